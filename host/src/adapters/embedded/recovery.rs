//! Brings the cache and the queue back from the journal when the process starts.
//!
//! The queue is played through again from the oldest segment that is left: subscriptions, events, offsets. Whatever the owner of its
//! topic had not committed by the end is unsettled, so its hold is open. The outcomes of all events that are still in the journal are
//! known, for those that were made before only the database answers.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::cache::Buckets;
use super::journal::{self, Replayed};
use super::queue::log::{Change, Log};
use super::record::{EventRecord, Record};
use crate::ports::cache::{Position, Shard};

/// Reads the journal into the buckets and the queue. Steps in the key space up to `checkpoint` are there already.
pub(super) fn recover(
    dir: &Path,
    buckets: &Buckets,
    log: &Log,
    checkpoint: Position,
) -> Result<Replayed, journal::ReadError> {
    let mut recovery = Recovery { buckets, log, checkpoint, topics: HashMap::new() };
    let replayed =
        journal::replay(dir, log, |head| log.restore(head), |record, end| recovery.record(record, Position(end)))?;
    let open = log.open_holds();
    open.iter().for_each(|event| buckets.recover_hold(event));
    // With more events in the journal than are remembered, some of these were let go before their holds were open.
    open.iter().for_each(|event| buckets.recover_outcome(event, Position(0)));
    if replayed.records > 0 {
        tracing::info!(records = replayed.records, unsettled = open.len(), "read the journal");
    }
    Ok(replayed)
}

struct Recovery<'r> {
    buckets: &'r Buckets,
    log: &'r Log,
    checkpoint: Position,
    /// The same few topics come again and again.
    topics: HashMap<String, Arc<str>>,
}

impl Recovery<'_> {
    fn record(&mut self, record: Record<'_>, position: Position) -> Result<(), String> {
        match record {
            Record::Hold { event, plugin, effects } => {
                if !effects.is_empty() && position > self.checkpoint {
                    let payer = event.payer().ok_or("a hold without a payer")?;
                    let shard = Shard { plugin: plugin.into(), name: format!("user/{payer}").into() };
                    self.buckets.recover_step(shard, None, &effects, position);
                }
                self.event(&event, position)
            }
            Record::Commit { plugin, shard, once, effects, events } => {
                if position > self.checkpoint {
                    let shard = Shard { plugin: plugin.into(), name: shard.into() };
                    self.buckets.recover_step(shard, once, &effects, position);
                }
                events.iter().try_for_each(|event| self.event(event, position))
            }
            Record::Publish { events } => events.iter().try_for_each(|event| self.event(event, position)),
            Record::Subscribe { group, topics } => {
                let topics = topics.into_iter().map(|topic| self.topic(topic)).collect();
                self.log.apply([Change::Subscribe { group: group.into(), topics }]);
                Ok(())
            }
            Record::Forget { group } => {
                self.log.apply([Change::Forget { group: group.into() }]);
                Ok(())
            }
            Record::Offsets { group, offsets } => {
                self.log.commit(group, &offsets.into_iter().collect());
                Ok(())
            }
        }
    }

    fn event(&mut self, record: &EventRecord<'_>, position: Position) -> Result<(), String> {
        let topic = self.topic(record.topic);
        let event = record.event(topic).map_err(|error| error.to_string())?;
        self.buckets.recover_outcome(&event, position);
        self.log.reserve_recovered(1);
        self.log.apply([Change::Event(Arc::new(event))]);
        Ok(())
    }

    fn topic(&mut self, name: &str) -> Arc<str> {
        if let Some(topic) = self.topics.get(name) {
            return Arc::clone(topic);
        }
        let topic: Arc<str> = name.into();
        self.topics.insert(name.into(), Arc::clone(&topic));
        topic
    }
}
