//! A property: whatever was done, a restart at any time ends in the state that was durable, while checkpoints are being made and
//! segments removed all the time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use greenroom::adapters::embedded::{Embedded, Settings};
use greenroom::domain::{Amount, EventId};
use greenroom::ports::cache::{self, Cache, Commit, CommitResult, HoldResult, Ranked, Release, Shard, Write};
use greenroom::ports::queue::{Consumer, Queue};
use proptest::prelude::*;

use crate::embedded_crash::{account, open};
use crate::fixture::*;
use crate::key_space::commit_of;
use crate::queue::after;

/// One random step; small numbers, so that steps meet.
#[derive(Debug, Clone)]
enum Step {
    Hold { user: i64, id: u8, amount: i64, counts: bool },
    Commit { shard: u8, once: Option<u8>, writes: Vec<Write> },
    Consume { count: usize },
    Release { user: i64, id: u8 },
    Reopen { closes: bool },
}

fn any_write() -> impl Strategy<Value = Write> {
    let key = |kind: &'static str| (0u8..3).prop_map(move |n| Arc::<str>::from(format!("{kind}{n}")));
    let any_key = prop_oneof![key("b"), key("c"), key("s"), key("r")];
    let member = || (0u8..5).prop_map(|n| Arc::<str>::from(format!("m{n}")));
    let ttl = || prop::option::of(1u32..40);
    prop_oneof![
        (key("b"), any::<u8>(), ttl())
            .prop_map(|(key, byte, ttl_ms)| { Write::Put { key, value: vec![byte; 3].into(), ttl_ms } }),
        any_key.prop_map(|key| Write::Delete { key }),
        (key("c"), -3i64..9, prop::option::of(0i64..20), ttl())
            .prop_map(|(key, delta, max, ttl_ms)| { Write::Add { key, delta, max, ttl_ms } }),
        (key("s"), member()).prop_map(|(key, member)| Write::SetAdd { key, member }),
        (key("s"), member()).prop_map(|(key, member)| Write::SetRemove { key, member }),
        (key("r"), member(), -3i64..9, ttl())
            .prop_map(|(key, member, delta, ttl_ms)| { Write::RankAdd { key, member, delta, ttl_ms } }),
        (key("r"), member(), prop::option::of(0u32..5), ttl())
            .prop_map(|(key, member, max, ttl_ms)| { Write::RankEnter { key, member, max, ttl_ms } }),
        (key("r"), member(), 0i64..9).prop_map(|(key, member, score)| Write::RankSet { key, member, score }),
        (key("r"), member()).prop_map(|(key, member)| Write::RankRemove { key, member }),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1i64..4, any::<u8>(), 1i64..9, any::<bool>())
            .prop_map(|(user, id, amount, counts)| Step::Hold { user, id, amount, counts }),
        8 => (0u8..2, prop::option::of(0u8..20), prop::collection::vec(any_write(), 0..5))
            .prop_map(|(shard, once, writes)| Step::Commit { shard, once, writes }),
        2 => (0usize..4).prop_map(|count| Step::Consume { count }),
        2 => (1i64..4, any::<u8>()).prop_map(|(user, id)| Step::Release { user, id }),
        1 => any::<bool>().prop_map(|closes| Step::Reopen { closes }),
    ]
}

/// Everything that must be the same before and after a restart.
#[derive(Debug, PartialEq)]
struct Seen {
    bytes: Vec<Option<bytes::Bytes>>,
    counters: Vec<i64>,
    members: Vec<bool>,
    rankings: Vec<Vec<Ranked>>,
    keys: Vec<Vec<Arc<str>>>,
    repeated: Vec<bool>,
    lag: BTreeMap<String, u64>,
}

struct Run {
    settings: Settings,
    embedded: Embedded,
    consumer: Box<dyn Consumer>,
    now_ms: u64,
    /// The holds that must be open after a restart: of events that the owner has not committed.
    unsettled: BTreeMap<(i64, EventId), Amount>,
}

fn shard_of(number: u8) -> Shard {
    Shard { plugin: "gift".into(), name: format!("room/{number}").into() }
}

impl Run {
    async fn new(dir: &Path) -> Self {
        let settings = Settings {
            buckets: 3,
            segment_bytes: 700,
            checkpoint_bytes: 500,
            sweep_interval: Duration::from_millis(1),
            ..Settings::new(dir)
        };
        let embedded = open(&settings).await;
        let consumer = embedded.queue.subscribe("gift", &["gift.sent".into()]).await.unwrap();
        let mut run = Self { settings, embedded, consumer, now_ms: NOW_MS, unsettled: BTreeMap::new() };
        run.fill().await;
        run
    }

    async fn fill(&mut self) {
        for user in 1..4 {
            fill(&*self.embedded.cache, account(user), 1_000_000, 1).await;
        }
    }

    async fn step(&mut self, step: Step) {
        self.now_ms += 1;
        match step {
            Step::Hold { user, id, amount, counts } => {
                let mut hold = hold_of(account(user), &id.to_string(), amount);
                hold.now_ms = self.now_ms;
                if counts {
                    let key = "n".into();
                    hold.counters = vec![cache::CounterAdd { key, delta: 1, max: None, ttl_ms: 20 }];
                }
                if let HoldResult::Held(outcome, _) = self.embedded.cache.hold_now(hold).await.unwrap() {
                    self.unsettled.insert((user, event_id(&id.to_string())), outcome.amount);
                }
            }
            Step::Commit { shard, once, writes } => {
                let once = once.map(|once| once.to_string().into());
                let base = commit_of(&shard_of(shard), writes);
                let commit = Commit { once, now_ms: self.now_ms, ..base };
                self.embedded.cache.commit(commit).await.unwrap();
            }
            Step::Consume { count } => {
                let some = self.consumer.poll(count, Duration::ZERO).await.unwrap();
                for delivery in &some {
                    let payer = delivery.event.payer().unwrap();
                    self.unsettled.remove(&(payer.0, delivery.event.event_id.clone()));
                }
                self.consumer.commit(after(&some)).await.unwrap();
            }
            Step::Release { user, id } => {
                let id = event_id(&id.to_string());
                self.embedded
                    .cache
                    .release(vec![Release { account: account(user), events: vec![id], settled: None }])
                    .await
                    .unwrap();
            }
            Step::Reopen { closes } => self.reopen(closes).await,
        }
    }

    /// Opens again and compares. An old copy of the process's memory is what the new one must be.
    async fn reopen(&mut self, closes: bool) {
        let mut flush = commit_of(&shard_of(0), Vec::new());
        flush.now_ms = self.now_ms;
        let CommitResult::Applied(_, position) = self.embedded.cache.commit(flush).await.unwrap() else { panic!() };
        self.embedded.cache.durable(position).await.unwrap();
        let before = self.seen().await;
        let spare = tempfile::tempdir().unwrap();
        let idle = Settings::new(spare.path());
        let placeholder = open(&idle).await;
        self.consumer = placeholder.queue.subscribe("none", &["none".into()]).await.unwrap();
        let embedded = std::mem::replace(&mut self.embedded, placeholder);
        if closes {
            embedded.close().await.unwrap();
        } else {
            drop(embedded);
        }
        self.embedded = open(&self.settings).await;
        assert_eq!(self.seen().await, before);
        let mut open_now = BTreeMap::new();
        for user in 1..4 {
            let holds = self.embedded.cache.open_holds(account(user)).await.unwrap();
            open_now.extend(holds.into_iter().map(|(id, amount)| ((user, id), amount)));
        }
        assert_eq!(open_now, self.unsettled);
        self.consumer = self.embedded.queue.subscribe("gift", &["gift.sent".into()]).await.unwrap();
        self.fill().await;
    }

    async fn seen(&self) -> Seen {
        let cache = &self.embedded.cache;
        let now_ms = self.now_ms;
        let mut seen = Seen {
            bytes: Vec::new(),
            counters: Vec::new(),
            members: Vec::new(),
            rankings: Vec::new(),
            keys: Vec::new(),
            repeated: Vec::new(),
            lag: self.embedded.queue.lag().await.unwrap(),
        };
        for shard in [shard_of(0), shard_of(1)] {
            for n in 0..3 {
                seen.bytes.push(cache.get(&shard, &format!("b{n}"), now_ms).await.unwrap());
                seen.counters.push(cache.counter(&shard, &format!("c{n}"), now_ms).await.unwrap());
                seen.rankings.push(cache.top(&shard, &format!("r{n}"), 0, 9, now_ms).await.unwrap());
                for m in 0..5 {
                    seen.members
                        .push(cache.contains(&shard, &format!("s{n}"), &format!("m{m}"), now_ms).await.unwrap());
                }
            }
            seen.keys.push(cache.keys(&shard, None, 99, now_ms).await.unwrap());
            for once in 0..20 {
                // A check that cannot hold: it comes after the key of `once`.
                let mut probe = commit_of(&shard, Vec::new());
                probe.once = Some(once.to_string().into());
                probe.checks = vec![cache::Check { key: "none".into(), expected: Some("x".into()) }];
                probe.now_ms = now_ms;
                let probed = cache.commit(probe).await.unwrap();
                seen.repeated.push(matches!(probed, CommitResult::Repeated(_)));
            }
        }
        for user in 1..4 {
            let shard = Shard { plugin: "gift".into(), name: format!("user/{user}").into() };
            seen.counters.push(cache.counter(&shard, "n", now_ms).await.unwrap());
        }
        seen
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn a_restart_at_any_time_ends_in_the_state_that_was_durable(steps in prop::collection::vec(any_step(), 1..150)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let mut run = Run::new(dir.path()).await;
            for step in steps {
                run.step(step).await;
            }
            run.reopen(false).await;
        });
    }
}
