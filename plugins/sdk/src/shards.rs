//! State that many viewers change at once, spread over many shards: what one of them changes is in their own shard, and different shards
//! may live on different machines.

use std::time::Duration;

use crate::{Problem, Step, cache};

/// So many shards, fixed once something is in them.
pub const SHARDS: u64 = 64;
/// The counters that the host reads in one call at most.
const COUNTERS_MAX: usize = 4_096;

/// The key whose presence ends what users may do in a shard. It is not for anything else.
const CLOSED: &str = "closed";

/// The shards of one thing, such as a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shards {
    thing: String,
}

impl Shards {
    /// Of the thing of that name, such as `poll/7`, unique in the plugin: ids of rooms belong into it where ids of things are a room's.
    #[must_use]
    pub fn of_thing(thing: impl Into<String>) -> Self {
        Self { thing: thing.into() }
    }

    /// The shard of a user: everything that one user's step touches is there, and can be changed in one commit.
    #[must_use]
    pub fn of(&self, user_id: i64) -> String {
        self.numbered(number(user_id))
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = String> + '_ {
        (0..SHARDS).map(|number| self.numbered(number))
    }

    /// A step of a user, in their shard, that is stopped at check 0 once the shards are closed.
    #[must_use]
    pub fn step(&self, user_id: i64) -> Step {
        Step::in_shard(self.of(user_id)).absent(CLOSED)
    }

    /// Ends all [`step`](Self::step)s: when this returns none is made any more, and sums and listings stay as they are. 64 host calls; may be repeated. The mark is
    /// forgotten after `ttl`, which should be no sooner than what it protects.
    ///
    /// # Errors
    /// As the cache has them; some of the shards may be closed then, so repeat it.
    pub fn close(&self, ttl: Duration) -> Result<(), Problem> {
        self.mark(CLOSED, ttl)
    }

    /// Writes a key into every shard: when this returns no step that has it [`absent`](Step::absent) is made any more, whatever the clocks of other hosts
    /// say. 64 host calls; may be repeated. The mark is forgotten after `ttl`.
    ///
    /// # Errors
    /// As the cache has them; some of the shards may be marked then, so repeat it.
    pub fn mark(&self, key: &str, ttl: Duration) -> Result<(), Problem> {
        for shard in self.all() {
            // Without checks and bounds there is nothing that could stop it.
            let _ = Step::in_shard(shard).put(key, &true, Some(ttl))?.commit()?;
        }
        Ok(())
    }

    /// The sums of counters over all shards, one for each key in their order: one host call for up to 64 keys. While the counters are
    /// being written the sums are of no one moment; they are exact once nothing is written any more.
    ///
    /// # Errors
    /// As the cache has them, or if a sum does not fit.
    pub fn sums(&self, keys: &[impl AsRef<str>]) -> Result<Vec<i64>, Problem> {
        let mut sums = Vec::with_capacity(keys.len());
        for keys in keys.chunks(COUNTERS_MAX / SHARDS as usize) {
            let named: Vec<_> = keys.iter().flat_map(|key| self.counters(key.as_ref())).collect();
            let values = cache::get_counters(&named)?;
            for (key, parts) in keys.iter().zip(values.chunks(SHARDS as usize)) {
                sums.push(sum(key.as_ref(), parts)?);
            }
        }
        Ok(sums)
    }

    fn counters(&self, key: &str) -> impl Iterator<Item = (String, String)> {
        self.all().map(move |shard| (shard, key.to_owned()))
    }

    fn numbered(&self, number: u64) -> String {
        format!("{}/{number}", self.thing)
    }
}

fn sum(key: &str, parts: &[i64]) -> Result<i64, Problem> {
    let sum = parts.iter().try_fold(0_i64, |sum, part| sum.checked_add(*part));
    sum.ok_or_else(|| Problem::failed(format!("the sum of `{key}` does not fit")))
}

/// Spreads ids that are counted up. Not the standard library's hash: a shard must be found again by a component that another compiler
/// built. The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
fn number(user_id: i64) -> u64 {
    let mut x = user_id.cast_unsigned();
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_spread_evenly_and_keep_their_shard() {
        let shards = Shards::of_thing("poll/7");
        // Fixed: these are written down in caches.
        assert_eq!([1, 1001, 1002].map(|user_id| shards.of(user_id)), ["poll/7/37", "poll/7/3", "poll/7/51"]);
        let mut counts = [0_u32; SHARDS as usize];
        for user_id in 1..=64_000 {
            counts[usize::try_from(number(user_id)).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
        assert_eq!(shards.all().count(), 64);
        assert_eq!(sum("yes", &[i64::MAX - 1, 1]), Ok(i64::MAX));
        assert!(sum("yes", &[i64::MAX, 1]).is_err());
    }
}
