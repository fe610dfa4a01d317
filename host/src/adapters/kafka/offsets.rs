//! Offsets of many partitions at once: where they begin and end, and what a group has committed. Every function here blocks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{Logged, unavailable};
use super::names::Place;
use super::topics::{ASK_AGAIN, Partitions};
use crate::ports::queue::Error;

/// An offset for each place.
pub(super) type Places = BTreeMap<Place, i64>;

/// Every partition of these topics.
pub(super) fn places<'a>(topics: impl IntoIterator<Item = (&'a String, &'a i32)>) -> Vec<Place> {
    let each =
        topics.into_iter().flat_map(|(topic, count)| (0..*count).map(move |partition| (topic.clone(), partition)));
    each.collect()
}

/// Every partition of those topics that are chosen.
pub(super) fn places_of(all: &Partitions, is_chosen: impl Fn(&str) -> bool) -> Vec<Place> {
    places(all.iter().filter(|(topic, _)| is_chosen(topic)))
}

/// A list for librdkafka, with an offset for each place.
pub(super) fn list<'a>(places: impl IntoIterator<Item = (&'a Place, Offset)>) -> Result<TopicPartitionList, Error> {
    let mut list = TopicPartitionList::new();
    for ((topic, partition), offset) in places {
        list.add_partition_offset(topic, *partition, offset).map_err(unavailable)?;
    }
    Ok(list)
}

/// What the consumer's group has committed; nothing for a place where it has not.
pub(super) fn committed(consumer: &BaseConsumer<Logged>, places: &[Place], timeout: Duration) -> Result<Places, Error> {
    if places.is_empty() {
        return Ok(Places::new());
    }
    persist(timeout, || {
        let asked = list(places.iter().map(|place| (place, Offset::Invalid)))?;
        numbers(consumer.committed_offsets(asked, timeout))
    })
}

/// The offset of the next event of each place.
pub(super) fn ends(consumer: &BaseConsumer<Logged>, places: &[Place], timeout: Duration) -> Result<Places, Error> {
    bounds(consumer, places, Offset::End, timeout)
}

/// The offset of the oldest event that each place still has.
pub(super) fn begins(consumer: &BaseConsumer<Logged>, places: &[Place], timeout: Duration) -> Result<Places, Error> {
    bounds(consumer, places, Offset::Beginning, timeout)
}

fn bounds(
    consumer: &BaseConsumer<Logged>,
    places: &[Place],
    bound: Offset,
    timeout: Duration,
) -> Result<Places, Error> {
    if places.is_empty() {
        return Ok(Places::new());
    }
    // Kafka takes the numbers of these two for times, so one question tells the bounds of all partitions.
    let found = persist(timeout, || {
        let asked = list(places.iter().map(|place| (place, bound)))?;
        numbers(consumer.offsets_for_times(asked, timeout))
    })?;
    match places.iter().find(|place| !found.contains_key(*place)) {
        Some((topic, partition)) => {
            Err(Error::Unavailable(format!("partition {partition} of {topic} does not answer")))
        }
        None => Ok(found),
    }
}

/// Asks again for so long: a partition whose leader is new, as after its topic was made, refuses to answer for a moment.
fn persist<T>(timeout: Duration, ask: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    let deadline = Instant::now() + timeout;
    loop {
        match ask() {
            Err(error) if Instant::now() < deadline => {
                tracing::debug!(%error, "asking again");
                std::thread::sleep(ASK_AGAIN);
            }
            answer => return answer,
        }
    }
}

fn numbers(answer: KafkaResult<TopicPartitionList>) -> Result<Places, Error> {
    let answer = answer.map_err(unavailable)?;
    let mut found = Places::new();
    for element in answer.elements() {
        element.error().map_err(unavailable)?;
        if let Offset::Offset(offset) = element.offset() {
            found.insert((element.topic().to_owned(), element.partition()), offset);
        }
    }
    Ok(found)
}

/// Commits for the consumer's group, and waits for the answer.
pub(super) fn commit(consumer: &BaseConsumer<Logged>, offsets: &Places) -> Result<(), Error> {
    if offsets.is_empty() {
        return Ok(());
    }
    let list = list(offsets.iter().map(|(place, offset)| (place, Offset::Offset(*offset))))?;
    consumer.commit(&list, CommitMode::Sync).map_err(unavailable)
}
