//! What things are called in Kafka, and how a partition of a topic becomes one number.
//!
//! The port counts partitions through all topics of a group, and a database keeps that number beside an offset, so it must be the same
//! on every host and for ever: 19 bits of a hash of the plugin's topic, then 12 bits of the partition. Two topics of one group whose
//! hashes meet are refused when it subscribes; with ten topics that happens once in ten thousand groups.

use crate::adapters::embedded::stable_hash;
use crate::ports::queue::Error;

/// Bits of a partition's number within its topic.
const PARTITION_BITS: u32 = 12;
/// Partitions of a topic, at most.
pub(super) const PARTITIONS_MAX: u32 = 1 << PARTITION_BITS;
/// Kafka's own bound is 249 characters.
const NAME_LEN_MAX: usize = 200;

/// How topics and groups are called.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

/// A partition of a topic, by its name in Kafka.
pub(super) type Place = (String, i32);

/// Refuses what Kafka takes for no name.
pub(super) fn check(name: &str) -> Result<(), Error> {
    let is_legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > NAME_LEN_MAX || !name.bytes().all(is_legal) {
        return Err(Error::Unavailable(format!(
            "`{name}` is no name for a topic or group: 1 to {NAME_LEN_MAX} characters of A-Z a-z 0-9 - _ ."
        )));
    }
    Ok(())
}

impl Names {
    pub fn new(prefix: &str) -> Result<Self, Error> {
        if !prefix.is_empty() {
            check(prefix)?;
        }
        Ok(Self { prefix: prefix.to_owned() })
    }

    pub fn topic(&self, topic: &str) -> String {
        format!("{}{topic}", self.prefix)
    }

    /// Where dead letters are told of. No plugin's topic: those begin with the plugin's name and a dot.
    pub fn dead_letters(&self) -> String {
        self.topic(DEAD_LETTERS)
    }

    /// The plugin's topic of one in Kafka; none if it is not of this installation.
    pub fn plugin_topic<'a>(&self, topic: &'a str) -> Option<&'a str> {
        topic.strip_prefix(&self.prefix).filter(|topic| *topic != DEAD_LETTERS)
    }

    pub fn group(&self, group: &str) -> String {
        format!("{}{group}", self.prefix)
    }

    /// The group of those who only look: it commits nothing and has no members.
    pub fn observer(&self) -> String {
        format!("{}.observer", self.prefix)
    }

    /// The group whose offsets say what a group reads, and from where on.
    pub fn subscription(&self, group: &str) -> String {
        format!("{}{group}{SUBSCRIPTION}", self.prefix)
    }

    /// The group that a subscription belongs to; none if the name is no subscription of this installation.
    pub fn subscriber<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(&self.prefix)?.strip_suffix(SUBSCRIPTION)
    }
}

const DEAD_LETTERS: &str = "dead-letters";
/// No group ends so by itself: a plugin's name has no dot.
const SUBSCRIPTION: &str = ".subscription";

/// The group that an event with a hold belongs to: its topic up to the first dot.
pub(super) fn owner(topic: &str) -> &str {
    topic.split('.').next().unwrap_or(topic)
}

/// The number of a topic.
pub(super) fn topic_number(topic: &str) -> u32 {
    // The upper bits, of which FNV-1a mixes more. 19 of them and those of the partition fit an `i32` without its sign.
    u32::try_from(stable_hash(topic.as_bytes()) >> (64 - (31 - PARTITION_BITS))).unwrap_or(0)
}

/// The number of a partition through all topics; none if the topic has too many.
pub(super) fn place_number(topic_number: u32, partition: i32) -> Option<u32> {
    let partition = u32::try_from(partition).ok().filter(|partition| *partition < PARTITIONS_MAX)?;
    Some(topic_number << PARTITION_BITS | partition)
}

/// The number of the topic and the partition within it.
pub(super) fn of_place_number(number: u32) -> (u32, i32) {
    (number >> PARTITION_BITS, i32::try_from(number & (PARTITIONS_MAX - 1)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_partition_never_changes() {
        let number = topic_number("gift.sent");
        assert_eq!(place_number(number, 0), Some(1_647_226_880));
        assert_eq!(of_place_number(place_number(number, 17).unwrap()), (number, 17));
        assert!(place_number(u32::MAX >> 13, 4_095).unwrap() <= i32::MAX as u32);
        assert_eq!(place_number(number, 4_096), None);
        assert_eq!(place_number(number, -1), None);
    }

    #[test]
    fn names_that_kafka_does_not_take_are_refused() {
        for name in ["", "a b", "ä", "a/b", &"x".repeat(201)] {
            assert!(check(name).is_err(), "{name:?}");
        }
        let names = Names::new("show.").unwrap();
        assert_eq!(names.plugin_topic(&names.topic("gift.sent")), Some("gift.sent"));
        assert_eq!(names.plugin_topic("gift.sent"), None);
        assert_eq!(
            (names.dead_letters().as_str(), names.plugin_topic("show.dead-letters")),
            ("show.dead-letters", None)
        );
        assert_eq!(names.subscriber(&names.subscription("gift")), Some("gift"));
        assert_eq!(names.subscriber(&names.group("gift")), None);
    }
}
