//! One room: its history, and three shared rings from which its connections read.
//!
//! A connection's queue is not a copy: it is the part of the rings that the connection has not read. Each ring holds as many
//! messages of its priority as one queue may hold of all, so a message that has left its ring is one that the connection's own
//! queue, losing the low ones first, would have lost as well.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::message::Message;
use crate::domain::{Audience, Priority, PushMessage, UserId};

/// One ring for each priority, the lowest first.
pub(super) const PRIORITIES: usize = 3;

pub(super) fn place(priority: Priority) -> usize {
    match priority {
        Priority::Low => 0,
        Priority::Normal => 1,
        Priority::High => 2,
    }
}

/// The newest messages of one priority; `base` is the number of the first, counted from the room's beginning.
#[derive(Default)]
pub(super) struct Ring {
    pub(super) base: u64,
    pub(super) messages: VecDeque<Arc<Message>>,
}

impl Ring {
    /// The number of the next message.
    pub(super) fn end(&self) -> u64 {
        self.base + self.messages.len() as u64
    }

    fn push(&mut self, message: Arc<Message>, len_max: usize) {
        if self.messages.len() >= len_max {
            self.messages.pop_front();
            self.base += 1;
        }
        self.messages.push_back(message);
    }

    fn clear(&mut self) {
        self.base = self.end();
        self.messages = VecDeque::new();
    }
}

/// What is for one connection alone.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) messages: Mutex<(VecDeque<Arc<Message>>, [u64; PRIORITIES])>,
    pub(super) arrived: Notify,
}

impl Inbox {
    fn push(&self, message: Arc<Message>, len_max: usize) {
        let mut guard = self.messages.lock();
        let (messages, lost) = &mut *guard;
        messages.push_back(message);
        if messages.len() > len_max {
            let lowest = messages.iter().enumerate().min_by_key(|(_, m)| m.priority).map(|(at, _)| at);
            if let Some(gone) = lowest.and_then(|at| messages.remove(at))
                && let Some(count) = lost.get_mut(place(gone.priority))
            {
                *count += 1;
            }
        }
        drop(guard);
        self.arrived.notify_one();
    }
}

pub(super) struct State {
    next_seq: u64,
    history: VecDeque<Arc<Message>>,
    keys: HashSet<(Arc<str>, Arc<str>)>,
    pub(super) rings: [Ring; PRIORITIES],
    inboxes: HashMap<UserId, Vec<Weak<Inbox>>>,
    connections: usize,
    touched_at: Instant,
}

/// Where a connection begins in each ring, and what it has missed; none if that is not known any more.
pub(super) type Entered = ([u64; PRIORITIES], Option<Vec<Arc<Message>>>);

/// A room with its connections.
pub(super) struct Room {
    epoch: String,
    history_len_max: usize,
    pub(super) queue_len_max: usize,
    pub(super) state: RwLock<State>,
    /// True once the room is closed; sending it again wakes everybody.
    pub(super) woken: watch::Sender<bool>,
}

impl Room {
    pub(super) fn new(epoch: String, history_len_max: usize, queue_len_max: usize) -> Self {
        let state = State {
            next_seq: 1,
            history: VecDeque::new(),
            keys: HashSet::new(),
            rings: Default::default(),
            inboxes: HashMap::new(),
            connections: 0,
            touched_at: Instant::now(),
        };
        Self { epoch, history_len_max, queue_len_max, state: RwLock::new(state), woken: watch::Sender::new(false) }
    }

    /// Takes a message, unless its key is in the history. True if the room's connections should be woken.
    pub(super) fn publish(&self, message: PushMessage) -> bool {
        let mut guard = self.state.write();
        let state = &mut *guard;
        if !state.keys.insert((message.event.clone(), message.key.clone())) {
            return false;
        }
        let message = Arc::new(Message::new(&self.epoch, state.next_seq, message));
        state.next_seq += 1;
        state.touched_at = Instant::now();
        state.history.push_back(message.clone());
        if state.history.len() > self.history_len_max
            && let Some(oldest) = state.history.pop_front()
        {
            state.keys.remove(&(oldest.event.clone(), oldest.key.clone()));
        }
        if state.connections == 0 {
            return false;
        }
        match message.audience {
            Audience::Room => {
                if let Some(ring) = state.rings.get_mut(place(message.priority)) {
                    ring.push(message, self.queue_len_max);
                }
                true
            }
            Audience::User(user) => {
                for inbox in state.inboxes.get(&user).into_iter().flatten().filter_map(Weak::upgrade) {
                    inbox.push(message.clone(), self.queue_len_max);
                }
                false
            }
        }
    }

    pub(super) fn wake(&self) {
        self.woken.send_modify(|_| {});
    }

    /// Ends every connection.
    pub(super) fn close(&self) {
        self.woken.send_replace(true);
    }

    pub(super) fn connections(&self) -> usize {
        self.state.read().connections
    }

    pub(super) fn idle_for(&self, ttl: Duration) -> bool {
        let state = self.state.read();
        state.connections == 0 && state.touched_at.elapsed() >= ttl
    }

    /// Adds a connection; none if there are as many as there may be.
    pub(super) fn enter(&self, user: UserId, inbox: &Arc<Inbox>, last_id: Option<&str>, max: usize) -> Option<Entered> {
        let mut state = self.state.write();
        if state.connections >= max {
            return None;
        }
        state.connections += 1;
        state.touched_at = Instant::now();
        state.inboxes.entry(user).or_default().push(Arc::downgrade(inbox));
        let at = state.rings.each_ref().map(Ring::end);
        let missed = match last_id {
            None => Some(Vec::new()),
            Some(id) => self.seq_of(id).and_then(|seq| state.since(seq, user)),
        };
        Some((at, missed))
    }

    /// Takes a connection away. A room without connections keeps only its history.
    pub(super) fn leave(&self, user: UserId, inbox: &Arc<Inbox>) {
        let mut state = self.state.write();
        state.connections = state.connections.saturating_sub(1);
        state.touched_at = Instant::now();
        if let Some(inboxes) = state.inboxes.get_mut(&user) {
            inboxes.retain(|one| !std::ptr::eq(one.as_ptr(), Arc::as_ptr(inbox)));
            if inboxes.is_empty() {
                state.inboxes.remove(&user);
            }
        }
        if state.connections == 0 {
            state.rings.iter_mut().for_each(Ring::clear);
        }
    }

    fn seq_of(&self, id: &str) -> Option<u64> {
        let (epoch, seq) = id.rsplit_once('-')?;
        if epoch == self.epoch { seq.parse().ok() } else { None }
    }
}

impl State {
    /// The user's messages after a number; none if some of them are forgotten, or the number was never given.
    fn since(&self, seq: u64, user: UserId) -> Option<Vec<Arc<Message>>> {
        let first = self.history.front().map_or(self.next_seq, |message| message.seq);
        if seq.checked_add(1)? < first || seq >= self.next_seq {
            return None;
        }
        Some(self.history.iter().filter(|m| m.seq > seq && m.is_for(user)).cloned().collect())
    }
}
