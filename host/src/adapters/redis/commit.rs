//! One atomic step in a plugin's shard.

use super::cache::{RedisCache, unavailable};
use super::durability::Step;
use super::event::{encode, entry_id};
use super::key_space::expiry;
use super::reply::{Reply, parse, text};
use super::scripts::{COMMIT, Call};
use crate::ports::cache::{Commit, CommitResult, Error, Write};

/// How long a key of `once` is remembered: a day, as the port promises.
const ONCE_MS: u32 = 86_400_000;

impl RedisCache {
    pub(super) async fn make_commit(&self, commit: Commit) -> Result<CommitResult, Error> {
        let keys = self.keys.of_shard(&commit.shard.name);
        let once = commit.once.as_deref().map(|once| keys.once(&commit.shard, once));
        // Only the cluster's client asks again by itself.
        let attempt = self.server.is_cluster().then(|| keys.attempt(rand::random()));
        let mut call = Call::new(&COMMIT, &[&keys.epoch(), &keys.outbox(), &keys.shard(&commit.shard)])
            .arg(commit.now_ms)
            .arg(self.outbox_share())
            .arg(attempt.unwrap_or_default())
            .arg(once.as_deref().unwrap_or_default())
            .arg(expiry(commit.now_ms, Some(ONCE_MS)))
            .arg(commit.checks.len())
            .arg(commit.writes.len());
        for check in &commit.checks {
            call.push(&*check.key);
            call.push(u8::from(check.expected.is_some()));
            call.push(check.expected.as_deref().unwrap_or_default());
        }
        for write in &commit.writes {
            push_write(&mut call, write, commit.now_ms);
        }
        for event in &commit.events {
            call.push(encode(event).map_err(unavailable)?);
        }
        let answer = self.server.run(call).await.map_err(unavailable)?;
        let answer = Reply::new(answer).map_err(unavailable)?;
        self.read_committed(answer, keys.bucket, once)
    }

    fn read_committed(&self, mut answer: Reply, bucket: u32, once: Option<String>) -> Result<CommitResult, Error> {
        let kind = answer.text().map_err(unavailable)?;
        match kind.as_str() {
            "applied" => {
                let entry = answer.text().map_err(unavailable)?;
                let entry = if entry.is_empty() { None } else { Some(entry_id(&entry).map_err(unavailable)?) };
                if entry.is_some() {
                    self.steps.append(bucket);
                }
                let numbers = answer.rest().map(|number| parse(&text(number)?)).collect::<Result<_, _>>();
                let position = self.steps.position(Step { bucket, trace: once, entry });
                Ok(CommitResult::Applied(numbers.map_err(unavailable)?, position))
            }
            "repeated" => {
                let entry = answer.text().map_err(unavailable)?;
                let entry = if entry.is_empty() { None } else { Some(entry_id(&entry).map_err(unavailable)?) };
                Ok(CommitResult::Repeated(self.steps.position(Step { bucket, trace: once, entry })))
            }
            "check" => Ok(CommitResult::CheckFailed(answer.number().map_err(unavailable)?)),
            "full" => Err(Error::Full("the outbox")),
            "recovering" => Err(Error::Recovering),
            "limit" | "kind" => {
                let key = answer.text().map_err(unavailable)?;
                if kind == "kind" {
                    return Err(Error::WrongKind(key));
                }
                Ok(CommitResult::LimitReached(answer.number().map_err(unavailable)?))
            }
            other => Err(Error::Unavailable(format!("strange answer: {other}"))),
        }
    }
}

/// Six arguments for each: kind, key, two operands, when it expires, and the server's time to live.
fn push_write(call: &mut Call, write: &Write, now_ms: u64) {
    let mut push = |kind: &str, key: &str, one: &[u8], two: &str, ttl_ms: Option<u32>| {
        call.push((kind, key));
        call.push((one, two));
        call.push(expiry(now_ms, ttl_ms));
    };
    match write {
        Write::Put { key, value, ttl_ms } => push("put", key, value, "", *ttl_ms),
        Write::Delete { key } => push("delete", key, b"", "", None),
        Write::Add { key, delta, max, ttl_ms } => {
            let max = max.map(|max| max.to_string()).unwrap_or_default();
            push("add", key, delta.to_string().as_bytes(), &max, *ttl_ms);
        }
        Write::SetAdd { key, member } => push("set_add", key, member.as_bytes(), "", None),
        Write::SetRemove { key, member } => push("set_remove", key, member.as_bytes(), "", None),
        Write::RankAdd { key, member, delta, ttl_ms } => {
            push("rank_add", key, member.as_bytes(), &delta.to_string(), *ttl_ms);
        }
        Write::RankEnter { key, member, max, ttl_ms } => {
            let max = max.map(|max| max.to_string()).unwrap_or_default();
            push("rank_enter", key, member.as_bytes(), &max, *ttl_ms);
        }
        Write::RankSet { key, member, score } => {
            push("rank_set", key, member.as_bytes(), &score.to_string(), None);
        }
        Write::RankRemove { key, member } => push("rank_remove", key, member.as_bytes(), "", None),
    }
}
