//! Hold and find: the first phase. Steps 4 and 5 of the way of a gift.

use super::{Answer, Error, Kind, Ledger, load};
use crate::domain::{Account, ContentDigest, EventId, UserId};
use crate::ports::cache::{Epoch, Hold, HoldResult, Position, Remembered};

/// How far a client's clock may be ahead of ours before its `UUIDv7` is no longer trusted to tell when the event was made. Less than the
/// five minutes that a cache believes, because the cache may look at the clock a little earlier than we do.
const CLOCK_SKEW_MS: u64 = 240_000;

impl Ledger {
    /// Reserves an amount, together with its outcome and its event, in one atomic step. Loads the payer's account if it must.
    /// Idempotent by (payer, event id). The answer is not durable yet. Safe to cancel: the hold was then made or not, and the same
    /// event id finds out.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn hold(&self, hold: Hold) -> Result<Answer, Error> {
        if !hold.amount.is_positive() {
            return Err(Error::Invalid(format!("amount: {} must be 1 or more", hold.amount)));
        }
        for _ in 0..load::TRIES_MAX {
            let epoch = self.cache.epoch(hold.payer.user_id).await?;
            if let Some(answer) = self.forgotten(&hold, epoch).await? {
                return Ok(answer);
            }
            match self.cache.hold(hold.clone(), epoch).await? {
                HoldResult::Held(outcome, position) => {
                    self.count_hold(&hold);
                    return Ok(Answer { outcome, digest: hold.digest, replayed: false, position });
                }
                HoldResult::Replayed(outcome, position) => {
                    return Ok(Answer { outcome, digest: hold.digest, replayed: true, position });
                }
                HoldResult::Reused => return Err(Error::Reused(hold.event_id)),
                HoldResult::NoAccount => return Err(Error::NoAccount(hold.payer)),
                HoldResult::LimitReached(index) => return Err(Error::LimitReached(index)),
                HoldResult::Recovering => return Err(Error::Loading),
                HoldResult::Insufficient(balance) => {
                    let posted = self.posted(hold.payer.user_id, &hold.event_id, hold.digest).await?;
                    return posted.ok_or(Error::Insufficient { balance, needed: hold.amount });
                }
                HoldResult::Miss => {
                    self.load(hold.payer).await?;
                }
                // What was lost meanwhile may be settled by now, so the database is asked again.
                HoldResult::OtherEpoch => {}
            }
        }
        Err(Error::Loading)
    }

    fn count_hold(&self, hold: &Hold) {
        let now_ms = self.clock.now_ms();
        self.hot.count(Kind::Payer, hold.payer.user_id.0, 1, now_ms);
        if let Some(room) = hold.room_id {
            self.hot.count(Kind::Room, room.0, 1, now_ms);
        }
    }

    /// What an event was answered with, by the cache or the database; none if it is unknown.
    ///
    /// # Errors
    /// `Reused` if it is known with another digest; else only what is worth a retry.
    pub async fn find(
        &self,
        payer: Account,
        event_id: &EventId,
        digest: ContentDigest,
    ) -> Result<Option<Answer>, Error> {
        for _ in 0..load::TRIES_MAX {
            match self.cache.outcome(payer, event_id).await? {
                Remembered::Known(known, outcome, position) if known == digest => {
                    return Ok(Some(Answer { outcome, digest, replayed: true, position }));
                }
                Remembered::Known(..) => return Err(Error::Reused(event_id.clone())),
                Remembered::Unknown => return self.posted(payer.user_id, event_id, digest).await,
                Remembered::Miss => {
                    let posted = self.posted(payer.user_id, event_id, digest).await?;
                    if posted.is_some() || !self.load(payer).await? {
                        return Ok(posted);
                    }
                }
            }
        }
        Err(Error::Loading)
    }

    /// Looks into the database for an event whose outcome the cache may have forgotten. Events whose own id says that they were made
    /// since the cache remembers everything are not looked up: this is what keeps the database out of the way of a gift.
    async fn forgotten(&self, hold: &Hold, epoch: Epoch) -> Result<Option<Answer>, Error> {
        let until = self.clock.now_ms().saturating_add(CLOCK_SKEW_MS);
        match hold.event_id.made_at_ms() {
            Some(made_at) if made_at >= epoch.complete_since_ms && made_at <= until => Ok(None),
            _ => self.posted(hold.payer.user_id, &hold.event_id, hold.digest).await,
        }
    }

    /// The answer of an event that the database knows.
    async fn posted(&self, payer: UserId, event_id: &EventId, digest: ContentDigest) -> Result<Option<Answer>, Error> {
        let Some(event) = self.db.event(payer, event_id).await? else { return Ok(None) };
        match event.outcome {
            Some(outcome) if event.digest == digest => {
                Ok(Some(Answer { outcome, digest, replayed: true, position: Position::default() }))
            }
            _ => Err(Error::Reused(event_id.clone())),
        }
    }
}
