//! Reading what was not committed, beside the consumers: which events hold money, and whether settling has passed a mark.
//!
//! A consumer of its own reads from the committed offsets to where the topics ended when it began. In memory is only what holds money,
//! at most `pending_len_max` events. Every function here blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::{Message, Offset};

use super::client::{Config, Outsider, unavailable};
use super::names::{Place, owner};
use super::offsets::{self, Places};
use super::topics::Partitions;
use super::wire;
use crate::domain::Event;
use crate::ports::queue::{Error, Mark};

/// How long to wait for the next message before looking whether there will be one.
const POLL: Duration = Duration::from_millis(100);

/// Every event that holds money and that its owner has not committed.
pub(super) fn pending(config: &Config, all: &Partitions) -> Result<Vec<Arc<Event>>, Error> {
    let scan = Scan::open(config)?;
    let mut ends = scan.ends(&offsets::places_of(all, |_| true))?;
    let starts = scan.leave_out_committed(&mut ends)?;
    let mut found = Vec::new();
    let limit = config.settings.pending_len_max;
    scan.read(&starts, &ends, |_, event| {
        if event.held.is_some() {
            found.push(Arc::new(event));
        }
        if found.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if found.len() > limit {
        return Err(Error::Unavailable(format!("more than {limit} events that hold money are not consumed")));
    }
    Ok(found)
}

/// Where every topic ends now.
pub(super) fn mark(config: &Config, all: &Partitions) -> Result<Mark, Error> {
    let ends = Scan::open(config)?.ends(&offsets::places_of(all, |_| true))?;
    let mut mark = Mark::default();
    for ((name, partition), end) in ends {
        if let (Some(topic), Ok(partition), Ok(end)) =
            (config.names.plugin_topic(&name), u32::try_from(partition), u64::try_from(end))
        {
            mark.0.insert((topic.into(), partition), end);
        }
    }
    Ok(mark)
}

/// Takes out of a mark every partition whose owner has committed all money before it. A partition of a topic that its owner does not
/// read is looked through for money once: nobody would ever commit there.
pub(super) fn pass(config: &Config, mark: &mut BTreeMap<(Arc<str>, u32), u64>) -> Result<(), Error> {
    let scan = Scan::open(config)?;
    let mut ends = Places::new();
    for ((topic, partition), end) in mark.iter() {
        if let (Ok(partition), Ok(end)) = (i32::try_from(*partition), i64::try_from(*end)) {
            ends.insert((config.names.topic(topic), partition), end);
        }
    }
    let starts = scan.leave_out_committed(&mut ends)?;
    let mut holding = BTreeSet::new();
    scan.read(&starts, &ends, |place, event| {
        if event.held.is_some() {
            holding.insert(place.clone());
        }
        if holding.len() == ends.len() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    mark.retain(|(topic, partition), _| {
        i32::try_from(*partition).is_ok_and(|partition| holding.contains(&(config.names.topic(topic), partition)))
    });
    Ok(())
}

struct Scan<'c> {
    config: &'c Config,
    consumer: Outsider,
    timeout: Duration,
}

impl<'c> Scan<'c> {
    fn open(config: &'c Config) -> Result<Self, Error> {
        let consumer = config.outsider(&config.names.observer())?;
        Ok(Self { config, consumer, timeout: config.settings.request_timeout })
    }

    fn ends(&self, places: &[Place]) -> Result<Places, Error> {
        offsets::ends(&self.consumer, places, self.timeout)
    }

    /// Leaves out the places whose owner has come to the end, and tells where the others are.
    fn leave_out_committed(&self, ends: &mut Places) -> Result<Places, Error> {
        let mut starts = self.starts(ends)?;
        ends.retain(|place, end| starts.get(place).is_some_and(|start| start < end));
        starts.retain(|place, _| ends.contains_key(place));
        Ok(starts)
    }

    /// What the owners have not committed starts here.
    fn starts(&self, ends: &Places) -> Result<Places, Error> {
        let places: Vec<Place> = ends.keys().cloned().collect();
        let mut starts = offsets::begins(&self.consumer, &places, self.timeout)?;
        let mut by_owner: BTreeMap<&str, Vec<Place>> = BTreeMap::new();
        for place in ends.keys() {
            if let Some(topic) = self.config.names.plugin_topic(&place.0) {
                by_owner.entry(owner(topic)).or_default().push(place.clone());
            }
        }
        for (group, places) in by_owner {
            let outsider = self.config.outsider(&self.config.names.group(group))?;
            for (place, next) in offsets::committed(&outsider, &places, self.timeout)? {
                let start = starts.entry(place).or_insert(next);
                *start = (*start).max(next);
            }
        }
        Ok(starts)
    }

    /// Reads from and up to these offsets, or until it is told to stop.
    fn read(
        &self,
        starts: &Places,
        ends: &Places,
        mut each: impl FnMut(&Place, Event) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        if ends.is_empty() {
            return Ok(());
        }
        let assignment = starts.iter().map(|(place, start)| (place, Offset::Offset(*start)));
        self.consumer.assign(&offsets::list(assignment)?).map_err(unavailable)?;
        let mut open = ends.clone();
        let mut moved = Instant::now();
        while !open.is_empty() {
            match self.consumer.poll(POLL) {
                None if moved.elapsed() > self.timeout => {
                    return Err(Error::Unavailable("the brokers send no more events".into()));
                }
                None => {}
                Some(Err(error)) => return Err(unavailable(error)),
                Some(Ok(message)) => {
                    moved = Instant::now();
                    let place = (message.topic().to_owned(), message.partition());
                    let Some(end) = open.get(&place).copied().filter(|end| message.offset() < *end) else { continue };
                    if message.offset().saturating_add(1) >= end {
                        open.remove(&place);
                    }
                    let Some(topic) = self.config.names.plugin_topic(message.topic()) else { continue };
                    let read = wire::decode(message.payload().unwrap_or_default(), &topic.into());
                    if let Ok(event) = read
                        && each(&place, event).is_break()
                    {
                        break;
                    }
                }
            }
        }
        self.consumer.unassign().map_err(unavailable)
    }
}
