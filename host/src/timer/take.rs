//! Taking timers that are due, and writing down what became of them: one step each for many timers of a shard.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::try_join_all;

use super::{DUE, Firing, Timer, Timers, decode, encode};
use crate::ports::cache::{Check, CommitResult, Error, Shard, Write};

/// The first and the longest time between two tries of a timer that fails.
const BACKOFF_MS: (u64, u64) = (1_000, 60_000);
/// Members of the ranking that are read first, beside those that are being fired: most looks find a single timer.
const PEEK: usize = 8;
/// Members that are read at a time. A look reads the first page if all that it has peeked at is due and, if that holds timers for which
/// there is no room, one more, another each time: behind a plugin with very many timers there may be others.
const PAGE: usize = 128;

/// What a look has found.
#[derive(Debug, Default)]
pub struct Taken {
    /// To be fired, and then given to [`Timers::end`].
    pub timers: Vec<Timer>,
    /// When the next one is due that was not taken, in milliseconds since the Unix epoch; none if there is none, or if another process
    /// fires this shard's timers.
    pub next_ms: Option<u64>,
}

/// A timer that was fired.
#[derive(Debug)]
pub struct Ended {
    /// As it was taken.
    pub timer: Timer,
    /// Whether its plugin agreed; if not, it is put off by 1 s, and twice as long each time up to 60 s.
    pub is_done: bool,
}

impl Timers {
    /// Timers of a shard (0 to [`super::SHARDS`] − 1) that are due and that this process is to fire, as many as there is room for.
    ///
    /// # Errors
    /// As the cache has them.
    pub async fn take(&self, shard: u64, firing: &mut Firing) -> Result<Taken, Error> {
        let now_ms = self.clock.now_ms();
        let shard = self.shard(shard);
        if let Some(turns) = &self.turns
            && !turns.take(&*self.cache, &shard, now_ms).await?
        {
            return Ok(Taken::default());
        }
        let mut taken = Taken::default();
        let members = self.look(&shard, firing, &mut taken, now_ms).await?;
        let marked = match self.read(&shard, &members, now_ms).await {
            Ok(found) => self.mark(&shard, found).await,
            Err(error) => Err(error),
        };
        let fires: HashSet<Arc<str>> = marked.iter().flatten().map(Timer::member).collect();
        members.iter().filter(|member| !fires.contains(*member)).for_each(|member| firing.end(member));
        taken.timers = marked?;
        Ok(taken)
    }

    /// The members that are due and have got a place.
    async fn look(
        &self,
        shard: &Shard,
        firing: &mut Firing,
        taken: &mut Taken,
        now_ms: u64,
    ) -> Result<Vec<Arc<str>>, Error> {
        let mut members = Vec::new();
        // From the beginning again: what others have removed meanwhile must not move one out of sight.
        for (is_further, len) in [(false, firing.len() + PEEK), (false, PAGE), (true, PAGE)] {
            let offset = if is_further { firing.further(PAGE) } else { 0 };
            let page = match self.cache.top(shard, DUE, offset, len, now_ms).await {
                Ok(page) => page,
                Err(error) => {
                    members.iter().for_each(|member: &Arc<str>| firing.end(member));
                    return Err(error);
                }
            };
            for ranked in &page {
                let due_ms = ranked.score.unsigned_abs();
                if due_ms > now_ms {
                    taken.next_ms = Some(due_ms);
                    firing.start_over();
                    return Ok(members);
                }
                if !firing.has_room() {
                    return Ok(members);
                }
                if firing.begin(&ranked.member) {
                    members.push(ranked.member.clone());
                }
            }
            if page.len() < len {
                firing.start_over();
                break;
            }
        }
        Ok(members)
    }

    /// The timers behind the members; those that were taken back or put off meanwhile are left out.
    async fn read(&self, shard: &Shard, members: &[Arc<str>], now_ms: u64) -> Result<Vec<Timer>, Error> {
        // As many as there were places; a cache across the network answers them in one go.
        let reads: Vec<_> = members.iter().map(|member| self.cache.get(shard, member, now_ms)).collect();
        let mut timers = Vec::with_capacity(members.len());
        for (member, bytes) in members.iter().zip(try_join_all(reads).await?) {
            match bytes.as_deref().map(decode) {
                Some(Some(timer)) if timer.due_ms <= now_ms => timers.push(timer),
                Some(None) => self.remove_unreadable(shard, member, bytes).await?,
                Some(Some(_)) | None => {}
            }
        }
        Ok(timers)
    }

    /// What nobody can read would be due for ever, and take the place of another at each look.
    async fn remove_unreadable(&self, shard: &Shard, member: &Arc<str>, bytes: Option<Bytes>) -> Result<(), Error> {
        tracing::error!(%member, "a timer cannot be read; it is removed");
        let checks = vec![Check { key: member.clone(), expected: bytes }];
        let member = member.clone();
        let writes = vec![Write::Delete { key: member.clone() }, Write::RankRemove { key: self.due.clone(), member }];
        self.commit(shard.clone(), checks, writes).await.map(drop)
    }

    /// Writes down that they are being fired; those that somebody changes at the same time are left out.
    async fn mark(&self, shard: &Shard, mut timers: Vec<Timer>) -> Result<Vec<Timer>, Error> {
        let mut unmarked: Vec<usize> = (0..timers.len()).collect();
        unmarked.retain(|index| timers.get(*index).is_some_and(|timer| !timer.is_firing));
        let mut changed = Vec::new();
        while !unmarked.is_empty() {
            let these = || unmarked.iter().filter_map(|index| timers.get(*index));
            let checks = these().map(unchanged).collect();
            let put = |timer: &Timer| {
                let value = encode(&Timer { is_firing: true, ..timer.clone() });
                Write::Put { key: timer.member(), value, ttl_ms: None }
            };
            let writes = these().map(put).collect();
            match self.commit(shard.clone(), checks, writes).await? {
                CommitResult::CheckFailed(place) if place < unmarked.len() => changed.push(unmarked.remove(place)),
                // What a timer follows from may not be durable yet, and it may do what cannot be undone, such as writing to the database.
                CommitResult::Applied(_, position) => {
                    self.cache.durable(position).await?;
                    break;
                }
                _ => break,
            }
        }
        for index in unmarked {
            if let Some(timer) = timers.get_mut(index) {
                timer.is_firing = true;
            }
        }
        changed.sort_unstable();
        changed.into_iter().rev().for_each(|index| drop(timers.remove(index)));
        Ok(timers)
    }

    /// Removes what has fired and puts off what has failed, unless it was set anew meanwhile. Their places are free then, also if this
    /// fails: they fire again.
    ///
    /// # Errors
    /// As the cache has them.
    pub async fn end(&self, shard: u64, mut ended: Vec<Ended>, firing: &mut Firing) -> Result<(), Error> {
        ended.iter().for_each(|ended| firing.end(&ended.timer.member()));
        let shard = self.shard(shard);
        while !ended.is_empty() {
            let checks = ended.iter().map(|ended| unchanged(&ended.timer)).collect();
            let writes = ended.iter().flat_map(|ended| self.after(ended)).collect();
            match self.commit(shard.clone(), checks, writes).await? {
                CommitResult::CheckFailed(place) if place < ended.len() => drop(ended.swap_remove(place)),
                _ => break,
            }
        }
        Ok(())
    }

    fn after(&self, ended: &Ended) -> Vec<Write> {
        let timer = &ended.timer;
        if ended.is_done {
            return self.removal_of(timer);
        }
        let (first, longest) = BACKOFF_MS;
        let wait_ms = first.saturating_mul(1 << timer.failures.min(10)).min(longest);
        let due_ms = self.clock.now_ms().saturating_add(wait_ms);
        let failures = timer.failures.saturating_add(1);
        self.writes_of(&Timer { due_ms, failures, is_firing: false, ..timer.clone() })
    }
}

fn unchanged(timer: &Timer) -> Check {
    Check { key: timer.member(), expected: Some(encode(timer)) }
}
