//! Answers that wait for their books, where a client is told only of what is settled.
//!
//! Whoever settles in this process tells at once, after the database's commit; what other processes settle is looked for in the database:
//! one question for all that wait, at intervals, by whoever waits and has the turn. Nothing is looked for while nobody waits. Bounded are
//! those who wait and the events of one question; with more, each look goes on where the one before it ended.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::sleep;

use super::Error;
use crate::domain::{EventId, UserId};
use crate::ports::db::{self, KnownEvent};

/// The wait before a look; while nothing is found each is twice as long as the one before.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const LOOK_EVERY_MAX: Duration = Duration::from_millis(100);
/// The wait after the database did not answer.
const BACKEND_WAIT: Duration = Duration::from_millis(500);
/// Events of one question.
const LOOKED_FOR_MAX: usize = 1_000;
/// Events that are waited for at the same time, about 200 bytes each: as many as a process has connections, twice over.
const WAITING_MAX: usize = 100_000;

/// An event: its payer and its id.
pub(super) type Key = (UserId, EventId);

/// The events whose books are waited for.
#[derive(Default)]
pub(super) struct Awaited {
    waiting: Mutex<Waiting>,
    /// Whoever has it looks for all.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Waiting {
    events: BTreeMap<Key, watch::Sender<Option<KnownEvent>>>,
    /// The last event of the last look.
    looked: Option<Key>,
}

/// One who waits; with the last of them an event is no longer looked for.
struct Place<'a> {
    awaited: &'a Awaited,
    key: Key,
    told: watch::Receiver<Option<KnownEvent>>,
}

impl Awaited {
    /// Returns once the database knows the event; there is no other end to it. Safe to cancel.
    pub async fn known(&self, db: &dyn db::Ledger, key: Key) -> Result<KnownEvent, Error> {
        let mut place = self.enter(key)?;
        tokio::select! {
            biased;
            known = place.known() => Ok(known),
            known = async {
                let _turn = self.turn.lock().await;
                self.watch(db).await
            } => match known {},
        }
    }

    /// The database knows these events.
    pub fn tell(&self, known: impl Iterator<Item = (Key, KnownEvent)>) {
        let mut waiting = self.waiting.lock();
        for (key, known) in known {
            if let Some(event) = waiting.events.remove(&key) {
                event.send_replace(Some(known));
            }
        }
    }

    fn enter(&self, key: Key) -> Result<Place<'_>, Error> {
        let mut waiting = self.waiting.lock();
        let told = match waiting.events.get(&key) {
            Some(event) => event.subscribe(),
            None if waiting.events.len() >= WAITING_MAX => return Err(Error::Full("what waits to be settled")),
            None => {
                let (event, told) = watch::channel(None);
                waiting.events.insert(key.clone(), event);
                told
            }
        };
        Ok(Place { awaited: self, key, told })
    }

    /// Looks again and again.
    async fn watch(&self, db: &dyn db::Ledger) -> std::convert::Infallible {
        let mut pause = LOOK_EVERY;
        loop {
            sleep(pause).await;
            pause = match self.look(db).await {
                Ok(0) => (pause * 2).min(LOOK_EVERY_MAX),
                Ok(_) => LOOK_EVERY,
                Err(error) => {
                    tracing::debug!(%error, "it is not known what is settled");
                    BACKEND_WAIT
                }
            };
        }
    }

    /// Looks once, for as many as one question may have. How many are known.
    async fn look(&self, db: &dyn db::Ledger) -> Result<usize, db::Error> {
        let asked = self.waiting.lock().next(LOOKED_FOR_MAX);
        let known = db.known(&asked).await?;
        let found: Vec<_> = asked.into_iter().zip(known).filter_map(|(key, known)| Some((key, known?))).collect();
        let count = found.len();
        self.tell(found.into_iter());
        Ok(count)
    }
}

impl Waiting {
    /// The events after those of the last look, in a circle.
    fn next(&mut self, count: usize) -> Vec<Key> {
        let from = self.looked.take().map_or(Unbounded, Excluded);
        let mut next: Vec<Key> =
            self.events.range((from.clone(), Unbounded)).take(count).map(|(key, _)| key.clone()).collect();
        if let Excluded(last) = from {
            let left = count - next.len();
            next.extend(self.events.range(..=last).take(left).map(|(key, _)| key.clone()));
        }
        self.looked = next.last().cloned();
        next
    }
}

impl Place<'_> {
    async fn known(&mut self) -> KnownEvent {
        loop {
            if let Some(known) = *self.told.borrow_and_update() {
                return known;
            }
            // The sender goes only after it has told.
            if self.told.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.awaited.waiting.lock();
        // What was told is no longer there, or is waited for anew by others.
        if self.told.borrow().is_none()
            && waiting.events.get(&self.key).is_some_and(|event| event.receiver_count() <= 1)
        {
            waiting.events.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ContentDigest;

    fn key(number: usize) -> Key {
        (UserId(1), EventId::new(&format!("e{number}")).unwrap())
    }

    fn known() -> KnownEvent {
        KnownEvent { digest: ContentDigest([0; 16]), voided: false }
    }

    #[test]
    fn every_event_has_its_turn_however_many_there_are() {
        let awaited = Awaited::default();
        let places: Vec<Place<'_>> = (0..5).map(|number| awaited.enter(key(number)).unwrap()).collect();
        let looked = |awaited: &Awaited| awaited.waiting.lock().next(2);
        let three: Vec<Key> = [looked(&awaited), looked(&awaited), looked(&awaited)].concat();
        assert_eq!(three, [0, 1, 2, 3, 4, 0].map(key));
        drop(places);
        assert_eq!(looked(&awaited), []);
    }

    #[test]
    fn an_event_is_looked_for_until_the_last_one_has_gone_or_was_told() {
        let awaited = Awaited::default();
        let (one, other) = (awaited.enter(key(1)).unwrap(), awaited.enter(key(1)).unwrap());
        drop(one);
        assert_eq!(awaited.waiting.lock().next(9).len(), 1);
        awaited.tell([(key(1), known())].into_iter());
        assert_eq!(*other.told.borrow(), Some(known()));
        let anew = awaited.enter(key(1)).unwrap();
        drop(other);
        assert_eq!(awaited.waiting.lock().next(9).len(), 1, "others wait for it");
        drop(anew);
        assert_eq!(awaited.waiting.lock().next(9).len(), 0);
    }

    #[test]
    fn more_than_the_bound_are_refused() {
        let awaited = Awaited::default();
        let _places: Vec<Place<'_>> = (0..WAITING_MAX).map(|number| awaited.enter(key(number)).unwrap()).collect();
        assert!(matches!(awaited.enter(key(WAITING_MAX)), Err(Error::Full(_))));
        assert!(awaited.enter(key(7)).is_ok(), "who waits for what is waited for already adds nothing");
    }
}
