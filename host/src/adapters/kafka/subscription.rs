//! What a group reads, and from where on: written down as the offsets of a group of its own, `<group>.subscription`.
//!
//! That group has no members, so any host may commit to it at any time, also while the group itself is being consumed. An offset there
//! says from where on the group reads a partition; [`DROPPED`] says that it reads the topic no more. A topic that is new to a group
//! starts where it ends at that moment. A topic that bears the group's name belongs to it, listed or not, and starts at its beginning:
//! there may be money in it from before.
//!
//! A group that is forgotten reads no topic but those that belong to it, and keeps its place there: what it has committed tells a cache
//! that recovers which money is settled, and what may still come is there if the plugin comes back.
//!
//! Where a group goes on is the greater of the two: what it has committed, and where its subscription starts. Brokers forget the
//! offsets of a group without members after `offsets.retention.minutes`, a week unless set otherwise; so a consumer renews its
//! subscription twice a day, and a group whose subscription was forgotten goes on where it committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::client::{Config, Logged, unavailable};
use super::names::{Place, owner, topic_number};
use super::offsets::{self, Places};
use super::topics::Partitions;
use crate::ports::queue::Error;

/// After every event.
const DROPPED: i64 = i64::MAX - 1;

/// What a consumer reads.
#[derive(Debug, Clone, Default)]
pub(super) struct Subscription {
    /// By the number of the topic.
    pub topics: BTreeMap<u32, Topic>,
}

/// One topic of a group.
#[derive(Debug, Clone)]
pub(super) struct Topic {
    /// As the plugin calls it.
    pub topic: Arc<str>,
    /// As Kafka does.
    pub name: String,
    /// Whether the group asked for it; otherwise only what holds money is delivered.
    pub is_listed: bool,
    /// Where the subscription starts, for each partition.
    pub starts: BTreeMap<i32, i64>,
}

/// Writes down that a group reads these topics, and tells from where on.
pub(super) fn subscribe(
    config: &Config,
    group: &str,
    listed: &[Arc<str>],
    all: &Partitions,
) -> Result<Subscription, Error> {
    let timeout = config.settings.request_timeout;
    let listed_names: Vec<String> = listed.iter().map(|topic| config.names.topic(topic)).collect();
    let is_listed = |name: &str| listed_names.iter().any(|listed| listed == name);
    let is_own = |name: &str| config.names.plugin_topic(name).is_some_and(|topic| owner(topic) == group);
    let subscription = config.outsider(&config.names.subscription(group))?;
    let outsider = config.outsider(&config.names.group(group))?;
    let mut starts = offsets::committed(&subscription, &offsets::places_of(all, |_| true), timeout)?;
    let read = offsets::places_of(all, |name| is_listed(name) || is_own(name));
    let committed = offsets::committed(&outsider, &read, timeout)?;

    let is_new = |place: &&Place| match starts.get(*place) {
        Some(start) => *start == DROPPED,
        None => !committed.contains_key(*place),
    };
    let (own, others): (Vec<Place>, Vec<Place>) =
        read.iter().filter(is_new).cloned().partition(|(name, _)| is_own(name));
    let mut changed = offsets::begins(&subscription, &own, timeout)?;
    changed.extend(offsets::ends(&subscription, &others, timeout)?);
    let forgotten = committed.iter().filter(|(place, _)| !starts.contains_key(*place));
    changed.extend(forgotten.map(|(place, next)| (place.clone(), *next)));
    let dropped = starts.keys().filter(|(name, _)| !is_listed(name) && !is_own(name));
    changed.extend(dropped.map(|place| (place.clone(), DROPPED)));
    starts.extend(changed);
    offsets::commit(&subscription, &starts)?;

    starts.retain(|place, _| read.contains(place));
    start_group(config, group, &outsider, &starts, &committed)?;
    subscription_of(config, &starts, is_listed)
}

/// Writes a subscription down again, before the brokers forget it.
pub(super) fn renew(config: &Config, group: &str, subscription: &Subscription) -> Result<(), Error> {
    let mut starts = Places::new();
    for topic in subscription.topics.values() {
        starts.extend(topic.starts.iter().map(|(partition, start)| ((topic.name.clone(), *partition), *start)));
    }
    offsets::commit(&*config.outsider(&config.names.subscription(group))?, &starts)
}

/// Moves a group that nobody consumes to where it starts, so that it need not read what it does not want. One that is being consumed
/// takes no offsets from outside; its members leave out what lies before.
fn start_group(
    config: &Config,
    group: &str,
    outsider: &BaseConsumer<Logged>,
    starts: &Places,
    committed: &Places,
) -> Result<(), Error> {
    warn_of_loss(outsider, group, committed, config)?;
    let behind = |place: &Place, start: i64| committed.get(place).is_none_or(|committed| *committed < start);
    let moved: Places =
        starts.iter().filter(|(place, start)| behind(place, **start)).map(|(p, s)| (p.clone(), *s)).collect();
    if let Err(error) = offsets::commit(outsider, &moved) {
        tracing::debug!(group, %error, "the group is being consumed: it starts by leaving out what lies before");
    }
    Ok(())
}

/// Tells of events that the brokers removed before the group had read them.
fn warn_of_loss(
    outsider: &BaseConsumer<Logged>,
    group: &str,
    committed: &Places,
    config: &Config,
) -> Result<(), Error> {
    let places: Vec<Place> = committed.keys().cloned().collect();
    let begins = offsets::begins(outsider, &places, config.settings.request_timeout)?;
    for (place, next) in committed {
        let lost = begins.get(place).map_or(0, |begin| begin.saturating_sub(*next));
        if let Ok(lost @ 1..) = u64::try_from(lost) {
            metrics::counter!("greenroom_queue_lost_total", "group" => group.to_owned()).increment(lost);
            tracing::error!(
                group,
                topic = place.0,
                partition = place.1,
                lost,
                "events were removed before they were read"
            );
        }
    }
    Ok(())
}

fn subscription_of(config: &Config, starts: &Places, is_listed: impl Fn(&str) -> bool) -> Result<Subscription, Error> {
    let mut subscription = Subscription::default();
    for ((name, partition), start) in starts {
        let Some(topic) = config.names.plugin_topic(name) else { continue };
        let entry = subscription.topics.entry(topic_number(topic)).or_insert_with(|| Topic {
            topic: topic.into(),
            name: name.clone(),
            is_listed: is_listed(name),
            starts: BTreeMap::new(),
        });
        if entry.name != *name {
            let other = &entry.topic;
            return Err(Error::Unavailable(format!(
                "one group cannot read `{topic}` and `{other}`: rename one of them"
            )));
        }
        entry.starts.insert(*partition, *start);
    }
    Ok(subscription)
}

/// Which events of a group count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// Those of every topic that it reads.
    All,
    /// Those that belong to it.
    Own,
}

/// How many events each group has not committed: those with a subscription, and those that own a topic with events and have none yet.
pub(super) fn lag(config: &Config, all: &Partitions, counted: Counted) -> Result<BTreeMap<String, u64>, Error> {
    let timeout = config.settings.request_timeout;
    let outsider = config.outsider(&config.names.observer())?;
    let places = offsets::places_of(all, |_| true);
    let ends = offsets::ends(&outsider, &places, timeout)?;
    let begins = offsets::begins(&outsider, &places, timeout)?;
    let list = outsider.fetch_group_list(None, timeout).map_err(unavailable)?;
    let mut lags = BTreeMap::new();
    for group in list.groups().iter().filter_map(|group| config.names.subscriber(group.name())) {
        let starts = offsets::committed(&*config.outsider(&config.names.subscription(group))?, &places, timeout)?;
        let committed = offsets::committed(&*config.outsider(&config.names.group(group))?, &places, timeout)?;
        let is_own = |(topic, _): &Place| config.names.plugin_topic(topic).map(owner) == Some(group);
        let next =
            starts.iter().filter(|(place, start)| **start != DROPPED && (counted == Counted::All || is_own(place)));
        let next = next.map(|(place, start)| (place, committed.get(place).map_or(*start, |next| *next.max(start))));
        // A group that was forgotten reads nothing but what belongs to it.
        let mut waiting = next.map(|(place, next)| between(Some(&next), ends.get(place))).peekable();
        if waiting.peek().is_some() {
            lags.insert(group.to_owned(), waiting.sum());
        }
    }
    for (place, end) in &ends {
        let Some(group) = config.names.plugin_topic(&place.0).map(owner) else { continue };
        let waiting = between(begins.get(place), Some(end));
        if waiting > 0 && !list.groups().iter().any(|known| config.names.subscriber(known.name()) == Some(group)) {
            *lags.entry(group.to_owned()).or_default() += waiting;
        }
    }
    Ok(lags)
}

fn between(next: Option<&i64>, end: Option<&i64>) -> u64 {
    next.zip(end).map_or(0, |(next, end)| u64::try_from(end.saturating_sub(*next)).unwrap_or(0))
}
