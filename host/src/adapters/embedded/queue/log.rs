//! The queue in memory: events in partitions, and how far each group has come. Fed by the journal's writer, in journal order.
//!
//! Pure state behind one lock that the hot path never takes; a hold only reserves room in [`Log::reserve`]. An event is kept
//! while a group still wants it. A group wants the events of its topics from its subscription on, and every event that holds
//! money and whose topic starts with the group's name, whether it has subscribed yet or not: money is never dropped.
//! Bound: `len_max` events; then nothing is reserved.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::super::record::stable_hash;
use crate::domain::Event;
use crate::ports::queue::{Delivery, Offsets};

/// What the journal's writer tells the queue once it is durable.
#[derive(Debug)]
pub(in super::super) enum Change {
    /// An event for which room was reserved.
    Event(Arc<Event>),
    /// A group reads these topics from here on.
    Subscribe { group: Arc<str>, topics: Vec<Arc<str>> },
    /// A group is no more.
    Forget { group: Arc<str> },
}

/// What the head of a segment tells of the queue, so that older segments can go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct LogState {
    /// The offset of the next event, for each partition.
    pub(in super::super) next_offsets: Vec<u64>,
    /// The greatest time that an id of an event with a hold has told.
    pub(in super::super) id_time_max_ms: u64,
    groups: Vec<GroupState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct GroupState {
    name: String,
    committed: Vec<u64>,
    topics: Vec<(String, Vec<u64>)>,
}

/// See the module's text.
#[derive(Debug)]
pub(in super::super) struct Log {
    state: Mutex<State>,
    len: AtomicU64,
    len_max: u64,
}

#[derive(Debug, Default)]
struct State {
    partitions: Vec<Partition>,
    groups: BTreeMap<Arc<str>, Group>,
    id_time_max_ms: u64,
}

#[derive(Debug, Default)]
struct Partition {
    /// The offset of the first entry.
    start: u64,
    entries: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// None once no group waits for it.
    event: Option<Arc<Event>>,
    waiting: u32,
}

#[derive(Debug, Default)]
struct Group {
    /// From which offsets on, for each topic. Empty for a group that owns money but has not subscribed.
    topics: HashMap<Arc<str>, Vec<u64>>,
    committed: Vec<u64>,
    /// Events that it wants and has not committed.
    lag: u64,
    arrived: Arc<Notify>,
}

/// The group that an event with a hold belongs to: its topic up to the first dot.
fn owner(topic: &str) -> &str {
    topic.split('.').next().unwrap_or(topic)
}

/// The id's own time, unless it lies more than this ahead of the host's: one client with a wrong clock must not make the cache
/// look incomplete for years. The ledger asks the database for such ids.
const ID_AHEAD_MS_MAX: u64 = 300_000;

/// The time that an event's id tells, for knowing which outcomes are complete; the event's own if it tells none worth believing.
pub(in super::super) fn id_time_ms(event: &Event) -> u64 {
    match event.event_id.made_at_ms() {
        Some(made) if made <= event.at_ms.saturating_add(ID_AHEAD_MS_MAX) => made.max(event.at_ms),
        _ => event.at_ms,
    }
}

fn at(offsets: &[u64], partition: usize) -> u64 {
    offsets.get(partition).copied().unwrap_or(0)
}

impl Partition {
    fn next(&self) -> u64 {
        self.start + self.entries.len() as u64
    }

    fn entry_mut(&mut self, offset: u64) -> Option<&mut Entry> {
        let index = offset.checked_sub(self.start)?;
        self.entries.get_mut(usize::try_from(index).ok()?)
    }

    fn event(&self, offset: u64) -> Option<&Arc<Event>> {
        let index = offset.checked_sub(self.start)?;
        self.entries.get(usize::try_from(index).ok()?)?.event.as_ref()
    }

    /// One group less waits for this entry; true if it was the last.
    fn settle(&mut self, offset: u64) -> bool {
        let Some(entry) = self.entry_mut(offset) else { return false };
        entry.waiting = entry.waiting.saturating_sub(1);
        if entry.waiting > 0 {
            return false;
        }
        entry.event.take().is_some()
    }

    fn trim(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.event.is_none()) {
            self.entries.pop_front();
            self.start += 1;
        }
    }
}

impl Group {
    fn wants(&self, name: &str, partition: usize, offset: u64, event: &Event) -> bool {
        if offset < at(&self.committed, partition) {
            return false;
        }
        let subscribed = self.topics.get(&event.topic).is_some_and(|from| offset >= at(from, partition));
        subscribed || (event.held.is_some() && owner(&event.topic) == name)
    }
}

impl Log {
    /// An empty queue.
    pub(in super::super) fn new(partitions: usize, len_max: u64) -> Self {
        let partitions = (0..partitions).map(|_| Partition::default()).collect();
        let state = State { partitions, ..State::default() };
        Self { state: Mutex::new(state), len: AtomicU64::new(0), len_max }
    }

    /// Room for so many events, or false if the queue is full.
    pub(in super::super) fn reserve(&self, events: u64) -> bool {
        let before = self.len.fetch_add(events, Ordering::Relaxed);
        if events > 0 && before.saturating_add(events) > self.len_max {
            self.len.fetch_sub(events, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Room for events that are in the journal already, full or not.
    pub(in super::super) fn reserve_recovered(&self, events: u64) {
        self.len.fetch_add(events, Ordering::Relaxed);
    }

    /// Gives room back.
    pub(in super::super) fn release(&self, events: u64) {
        self.len.fetch_sub(events, Ordering::Relaxed);
    }

    /// How many events are kept or reserved.
    pub(in super::super) fn len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    /// Takes over changes that have become durable, in their order.
    pub(in super::super) fn apply(&self, changes: impl IntoIterator<Item = Change>) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let mut dropped = 0;
        let mut woken = false;
        for change in changes {
            match change {
                Change::Event(event) => {
                    woken = true;
                    dropped += u64::from(!state.push(event));
                }
                Change::Subscribe { group, topics } => dropped += state.subscribe(group, topics),
                Change::Forget { group } => dropped += state.forget(&group),
            }
        }
        self.release(dropped);
        if woken {
            state.groups.values().filter(|group| group.lag > 0).for_each(|group| group.arrived.notify_one());
        }
    }

    /// Events that the group wants from its cursors on, at most `max`; the cursors move on. Partitions take turns from `first`, and each gives
    /// its share before any gives more, so that there is something for every lane of settling.
    pub(in super::super) fn take(&self, group: &str, cursors: &mut [u64], first: usize, max: usize) -> Vec<Delivery> {
        let state = self.state.lock();
        let mut taken = Vec::new();
        let Some(reader) = state.groups.get(group) else { return taken };
        let count = state.partitions.len();
        let turns =
            [max.div_ceil(count.max(1)), max].into_iter().flat_map(|share| (0..count).map(move |turn| (share, turn)));
        for (share, turn) in turns {
            let (index, end) = ((first + turn) % count, max.min(taken.len().saturating_add(share)));
            let (Some(partition), Some(cursor)) = (state.partitions.get(index), cursors.get_mut(index)) else {
                continue;
            };
            *cursor = (*cursor).max(partition.start);
            while taken.len() < end && *cursor < partition.next() {
                let offset = *cursor;
                *cursor += 1;
                if let Some(event) = partition.event(offset).filter(|event| reader.wants(group, index, offset, event)) {
                    let partition = u32::try_from(index).unwrap_or(u32::MAX);
                    taken.push(Delivery { partition, offset, event: Arc::clone(event), fault: None });
                }
            }
        }
        taken
    }

    /// The group has dealt with everything before these offsets. Never goes back.
    pub(in super::super) fn commit(&self, group: &str, offsets: &Offsets) {
        let mut state = self.state.lock();
        let State { partitions, groups, .. } = &mut *state;
        let Some(reader) = groups.get_mut(group) else { return };
        let mut settled = 0;
        for (&index, &offset) in offsets {
            let index = index as usize;
            let Some(partition) = partitions.get_mut(index) else { continue };
            let from = at(&reader.committed, index);
            let until = offset.min(partition.next());
            for place in from.max(partition.start)..until {
                let wanted = partition.event(place).is_some_and(|event| reader.wants(group, index, place, event));
                if wanted {
                    reader.lag = reader.lag.saturating_sub(1);
                    settled += u64::from(partition.settle(place));
                }
            }
            if let Some(committed) = reader.committed.get_mut(index) {
                *committed = until.max(from);
            }
            partition.trim();
        }
        self.release(settled);
    }

    /// Where a group goes on, and what wakes its consumer; none if it is not known.
    pub(in super::super) fn reader(&self, group: &str) -> Option<(Vec<u64>, Arc<Notify>)> {
        let state = self.state.lock();
        state.groups.get(group).map(|reader| (reader.committed.clone(), Arc::clone(&reader.arrived)))
    }

    /// Whether the group reads exactly these topics.
    pub(in super::super) fn is_subscribed(&self, group: &str, topics: &[Arc<str>]) -> bool {
        let state = self.state.lock();
        let Some(reader) = state.groups.get(group) else { return false };
        let all = topics.iter().all(|topic| reader.topics.contains_key(topic));
        all && reader.topics.keys().all(|topic| topics.contains(topic)) && !topics.is_empty()
    }

    /// What each group has not committed; groups without topics only if they are owed something.
    pub(in super::super) fn lag(&self) -> BTreeMap<String, u64> {
        let state = self.state.lock();
        let shown = state.groups.iter().filter(|(_, group)| group.lag > 0 || !group.topics.is_empty());
        shown.map(|(name, group)| (name.to_string(), group.lag)).collect()
    }

    /// The offset of the first event that is still kept, for each partition.
    pub(in super::super) fn first_offsets(&self) -> Vec<u64> {
        self.state.lock().partitions.iter().map(|partition| partition.start).collect()
    }

    /// The offset of the next event, for each partition.
    pub(in super::super) fn next_offsets(&self) -> Vec<u64> {
        self.state.lock().partitions.iter().map(Partition::next).collect()
    }

    /// What the head of a segment that starts here must tell.
    pub(in super::super) fn state(&self) -> LogState {
        let state = self.state.lock();
        let topics = |group: &Group| {
            let mut topics: Vec<_> =
                group.topics.iter().map(|(topic, from)| (topic.to_string(), from.clone())).collect();
            topics.sort();
            topics
        };
        let groups = state.groups.iter().map(|(name, group)| GroupState {
            name: name.to_string(),
            committed: group.committed.clone(),
            topics: topics(group),
        });
        LogState {
            next_offsets: state.partitions.iter().map(Partition::next).collect(),
            id_time_max_ms: state.id_time_max_ms,
            groups: groups.collect(),
        }
    }

    /// Starts from the head of the oldest segment that is left.
    pub(in super::super) fn restore(&self, head: &LogState) {
        let mut state = self.state.lock();
        let start = |offset: &u64| Partition { start: *offset, entries: VecDeque::new() };
        state.partitions = head.next_offsets.iter().map(start).collect();
        state.id_time_max_ms = head.id_time_max_ms;
        for group in &head.groups {
            let topics = group.topics.iter().map(|(topic, from)| (topic.as_str().into(), from.clone())).collect();
            let restored = Group { topics, committed: group.committed.clone(), ..Group::default() };
            state.groups.insert(group.name.as_str().into(), restored);
        }
    }

    /// The events whose owner has not committed them: their holds are open.
    pub(in super::super) fn open_holds(&self) -> Vec<Arc<Event>> {
        self.open_holds_before(|_| u64::MAX)
    }

    /// Those of them that lie before an offset, for each partition.
    pub(in super::super) fn open_holds_before(&self, end: impl Fn(usize) -> u64) -> Vec<Arc<Event>> {
        let state = self.state.lock();
        let mut open = Vec::new();
        for (index, partition) in state.partitions.iter().enumerate() {
            for (offset, entry) in (partition.start..end(index)).zip(&partition.entries) {
                let Some(event) = entry.event.as_ref().filter(|event| event.held.is_some()) else { continue };
                let name = owner(&event.topic);
                if state.groups.get(name).is_some_and(|group| group.wants(name, index, offset, event)) {
                    open.push(Arc::clone(event));
                }
            }
        }
        open
    }
}

impl State {
    /// Appends to the event's partition; false if nobody wants it.
    fn push(&mut self, event: Arc<Event>) -> bool {
        let count = self.partitions.len().max(1);
        let index = usize::try_from(stable_hash(event.key.as_bytes()) % count as u64).unwrap_or(0);
        if event.held.is_some() {
            self.id_time_max_ms = self.id_time_max_ms.max(id_time_ms(&event));
            let name = owner(&event.topic);
            if !self.groups.contains_key(name) {
                self.groups.insert(name.into(), Group { committed: vec![0; count], ..Group::default() });
            }
        }
        let Some(partition) = self.partitions.get_mut(index) else { return false };
        let offset = partition.next();
        let mut waiting = 0;
        for (name, group) in &mut self.groups {
            if group.wants(name, index, offset, &event) {
                group.lag += 1;
                waiting += 1;
            }
        }
        partition.entries.push_back(Entry { event: (waiting > 0).then_some(event), waiting });
        partition.trim();
        waiting > 0
    }

    /// Gives a group its topics; those that are new to it start here. Returns how many events nobody wants any more.
    fn subscribe(&mut self, name: Arc<str>, topics: Vec<Arc<str>>) -> u64 {
        let next: Vec<u64> = self.partitions.iter().map(Partition::next).collect();
        // A group that owns money from before starts at what it is owed, any other at the end.
        let group = self
            .groups
            .entry(Arc::clone(&name))
            .or_insert_with(|| Group { committed: next.clone(), ..Group::default() });
        let before = std::mem::take(&mut group.topics);
        let from = |topic: &Arc<str>| before.get(topic).cloned().unwrap_or_else(|| next.clone());
        let topics: HashMap<_, _> = topics.into_iter().map(|topic| (Arc::clone(&topic), from(&topic))).collect();
        group.topics = before;
        self.retopic(&name, topics)
    }

    fn forget(&mut self, name: &Arc<str>) -> u64 {
        self.retopic(name, HashMap::new())
    }

    /// Changes a group's topics and lets go of what it no longer wants. Newly added topics start at the end, so nothing is gained.
    fn retopic(&mut self, name: &Arc<str>, topics: HashMap<Arc<str>, Vec<u64>>) -> u64 {
        let Self { partitions, groups, .. } = self;
        let Some(group) = groups.get_mut(name) else { return 0 };
        let loses = group.topics.keys().any(|topic| !topics.contains_key(topic));
        let after =
            Group { topics, committed: group.committed.clone(), lag: group.lag, arrived: Arc::clone(&group.arrived) };
        let before = std::mem::replace(group, after);
        let mut dropped = 0;
        for (index, partition) in partitions.iter_mut().enumerate().filter(|_| loses) {
            for offset in at(&before.committed, index).max(partition.start)..partition.next() {
                let wanted = |group: &Group| {
                    partition.event(offset).is_some_and(|event| group.wants(name, index, offset, event))
                };
                if wanted(&before) && !wanted(group) {
                    group.lag = group.lag.saturating_sub(1);
                    dropped += u64::from(partition.settle(offset));
                }
            }
            partition.trim();
        }
        dropped
    }
}
