//! One viewer's connection: where it has read to, and what it lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

use super::Full;
use super::message::Message;
use super::room::{Inbox, PRIORITIES, Room, place};
use crate::domain::{RoomId, UserId};

/// What a connection is given.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// A message.
    Message(Arc<Message>),
    /// Messages that came after the last one seen are no longer in the history, or its id is not one of this room's.
    HistoryLost,
    /// So many messages were lost because the reader was slow.
    Lagged(Lost),
}

/// How many messages of each priority were lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Lost {
    /// Of low priority.
    pub low: u64,
    /// Of normal priority.
    pub normal: u64,
    /// Of high priority.
    pub high: u64,
}

/// A connection to a room; dropping it disconnects.
pub struct Connection {
    room: Arc<Room>,
    user: UserId,
    inbox: Arc<Inbox>,
    woken: watch::Receiver<bool>,
    at: [u64; PRIORITIES],
    first: Vec<Delivery>,
    total: Arc<AtomicUsize>,
}

impl Connection {
    pub(super) fn open(
        room: Arc<Room>,
        user: UserId,
        last_id: Option<&str>,
        total: Arc<AtomicUsize>,
        room_connections_max: usize,
    ) -> Result<Self, Full> {
        let inbox = Arc::new(Inbox::default());
        let woken = room.woken.subscribe();
        let (at, missed) =
            room.enter(user, &inbox, last_id, room_connections_max).ok_or(Full("the connections of this room"))?;
        total.fetch_add(1, Ordering::Relaxed);
        let first = match missed {
            Some(messages) => messages.into_iter().map(Delivery::Message).collect(),
            None => vec![Delivery::HistoryLost],
        };
        Ok(Self { room, user, inbox, woken, at, first, total })
    }

    /// Waits until there is something and appends all of it to `out`, in order. False, with nothing appended, once the hub has
    /// shut down. Safe to cancel: nothing is lost.
    pub async fn next(&mut self, out: &mut Vec<Delivery>) -> bool {
        loop {
            let closed = *self.woken.borrow_and_update();
            let before = out.len();
            out.append(&mut self.first);
            self.drain(out);
            if out.len() > before {
                return true;
            }
            if closed {
                return false;
            }
            tokio::select! {
                changed = self.woken.changed() => if changed.is_err() { return false; },
                () = self.inbox.arrived.notified() => {}
            }
        }
    }

    /// Takes what is waiting; if it is more than a queue may hold, the oldest of the lowest priority go first.
    fn drain(&mut self, out: &mut Vec<Delivery>) {
        let mut waiting: [Vec<Arc<Message>>; PRIORITIES] = Default::default();
        let mut lost = [0; PRIORITIES];
        self.take(&mut waiting, &mut lost);
        let mut excess = waiting.iter().map(Vec::len).sum::<usize>().saturating_sub(self.room.queue_len_max);
        for (messages, lost) in waiting.iter_mut().zip(&mut lost) {
            let gone = excess.min(messages.len());
            messages.sort_unstable_by_key(|message| message.seq);
            messages.drain(..gone);
            *lost += gone as u64;
            excess -= gone;
        }
        if lost != [0; PRIORITIES] {
            let [low, normal, high] = lost;
            metrics::counter!("greenroom_push_lost_total").increment(low + normal + high);
            out.push(Delivery::Lagged(Lost { low, normal, high }));
        }
        let mut all: Vec<Arc<Message>> = waiting.into_iter().flatten().collect();
        all.sort_unstable_by_key(|message| message.seq);
        out.extend(all.into_iter().map(Delivery::Message));
    }

    /// Own and shared messages are added under the room's lock, and taken under it, so that none overtakes another.
    fn take(&mut self, waiting: &mut [Vec<Arc<Message>>; PRIORITIES], lost: &mut [u64; PRIORITIES]) {
        let state = self.room.state.read();
        let mut own = self.inbox.messages.lock();
        *lost = std::mem::take(&mut own.1);
        for message in own.0.drain(..) {
            if let Some(messages) = waiting.get_mut(place(message.priority)) {
                messages.push(message);
            }
        }
        for (((ring, at), messages), lost) in state.rings.iter().zip(&mut self.at).zip(waiting).zip(lost) {
            *lost += ring.base.saturating_sub(*at);
            let skip = usize::try_from(at.saturating_sub(ring.base)).unwrap_or(usize::MAX);
            messages.extend(ring.messages.iter().skip(skip).cloned());
            *at = ring.end();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.total.fetch_sub(1, Ordering::Relaxed);
        self.room.leave(self.user, &self.inbox);
    }
}

impl Delivery {
    /// The name and the data of what is no message of the room, as clients see it.
    #[must_use]
    pub fn notice(&self, room: RoomId) -> Option<(&'static str, String)> {
        match self {
            Delivery::Message(_) => None,
            Delivery::HistoryLost => Some(("history.lost", format!("{{\"roomId\":\"{room}\"}}"))),
            Delivery::Lagged(lost) => {
                let Lost { low, normal, high } = lost;
                Some(("lagged", format!("{{\"low\":{low},\"normal\":{normal},\"high\":{high}}}")))
            }
        }
    }
}
