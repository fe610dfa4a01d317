//! Which bucket a user or a shard is in, and what its keys are called.

use super::super::embedded::stable_hash;
use crate::domain::{Account, EventId, UserId};
use crate::ports::cache::Shard;

/// The names of all keys.
#[derive(Debug)]
pub(super) struct Keys {
    prefix: String,
    buckets: u32,
}

/// The names of the keys of one bucket.
#[derive(Debug, Clone)]
pub(super) struct BucketKeys {
    pub(super) bucket: u32,
    /// What each of them begins with: the hash tag, so that they all lie in one slot.
    tag: String,
}

impl Keys {
    pub(super) fn new(prefix: &str, buckets: u32) -> Self {
        Self { prefix: prefix.into(), buckets: buckets.max(1) }
    }

    pub(super) fn buckets(&self) -> u32 {
        self.buckets
    }

    pub(super) fn of_bucket(&self, bucket: u32) -> BucketKeys {
        BucketKeys { bucket, tag: format!("{{{}:b{bucket}}}:", self.prefix) }
    }

    /// The relays that are there. In no bucket.
    pub(super) fn relays(&self) -> String {
        format!("{{{}}}:relays", self.prefix)
    }

    /// How many requests a user has made. In no bucket, so that they are spread over a cluster one by one.
    pub(super) fn rate(&self, user: UserId) -> String {
        format!("{}:rate:{user}", self.prefix)
    }

    pub(super) fn of_user(&self, user: UserId) -> BucketKeys {
        self.of_hash(stable_hash(&user.0.to_le_bytes()))
    }

    /// The shard `user/<id>` is in that user's bucket, so that a hold can change its counters.
    pub(super) fn of_shard(&self, name: &str) -> BucketKeys {
        match name.strip_prefix("user/").and_then(|user| user.parse().ok()) {
            Some(user) => self.of_user(UserId(user)),
            None => self.of_hash(stable_hash(name.as_bytes())),
        }
    }

    fn of_hash(&self, hash: u64) -> BucketKeys {
        // The remainder is below a number of 32 bits.
        self.of_bucket((hash % u64::from(self.buckets)) as u32)
    }
}

/// How an account is called in keys.
pub(super) fn account_name(account: Account) -> String {
    format!("{}:{}", account.user_id, account.asset_type)
}

impl BucketKeys {
    fn key(&self, name: impl std::fmt::Display) -> String {
        format!("{}{name}", self.tag)
    }

    /// There as long as the bucket has lost nothing: `number@history`, the number being when it was set, in microseconds, and the history
    /// the server's that set it.
    pub(super) fn epoch(&self) -> String {
        self.key("epoch")
    }

    /// The stream of events.
    pub(super) fn outbox(&self) -> String {
        self.key("outbox")
    }

    /// Who relays.
    pub(super) fn relay(&self) -> String {
        self.key("relay")
    }

    /// The last token of a relay.
    pub(super) fn relay_token(&self) -> String {
        self.key("relay-token")
    }

    /// Written before waiting for replicas.
    pub(super) fn marker(&self) -> String {
        self.key("marker")
    }

    /// The set of the names of cached accounts.
    pub(super) fn accounts(&self) -> String {
        self.key("accounts")
    }

    /// What the key of an account has before its name.
    pub(super) fn account_prefix(&self) -> String {
        self.key("a:")
    }

    pub(super) fn account(&self, account: Account) -> String {
        self.key(format_args!("a:{}", account_name(account)))
    }

    pub(super) fn lease(&self, account: Account) -> String {
        self.key(format_args!("l:{}", account_name(account)))
    }

    pub(super) fn outcome(&self, payer: UserId, event_id: &EventId) -> String {
        self.key(format_args!("e:{payer}:{event_id}"))
    }

    /// A key of `once`. Lengths keep names apart that contain each other's separators.
    pub(super) fn once(&self, shard: &Shard, once: &str) -> String {
        self.key(format_args!("o:{}{once}", shard_name(shard)))
    }

    /// A try of a commit.
    pub(super) fn attempt(&self, number: u64) -> String {
        self.key(format_args!("t:{number:x}"))
    }

    /// What the keys of a shard have before the length and the name of each.
    pub(super) fn shard(&self, shard: &Shard) -> String {
        self.key(format_args!("k:{}", shard_name(shard)))
    }

    /// One key of a shard.
    pub(super) fn in_shard(&self, shard: &Shard, key: &str) -> String {
        format!("{}{}:{key}", self.shard(shard), key.len())
    }
}

fn shard_name(shard: &Shard) -> String {
    format!("{}:{}{}:{}", shard.plugin.len(), shard.plugin, shard.name.len(), shard.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shard_of_a_user_is_in_the_bucket_of_that_user() {
        let keys = Keys::new("p", 64);
        for user in [1, 17, i64::MAX, -1] {
            let name = format!("user/{user}");
            assert_eq!(keys.of_shard(&name).bucket, keys.of_user(UserId(user)).bucket);
        }
    }

    #[test]
    fn keys_of_different_shards_never_meet() {
        let bucket = Keys::new("p", 1).of_bucket(0);
        let shard = |plugin: &str, name: &str| Shard { plugin: plugin.into(), name: name.into() };
        let names = [
            bucket.in_shard(&shard("a", "b"), "c"),
            bucket.in_shard(&shard("a", "b1:c"), ""),
            bucket.in_shard(&shard("a1:b", ""), "c"),
            bucket.in_shard(&shard("a", "b"), "cz"),
            bucket.in_shard(&shard("a", "b"), "c") + "z",
        ];
        for (index, name) in names.iter().enumerate() {
            assert!(!names.iter().skip(index + 1).any(|other| other == name), "{name}");
        }
    }
}
