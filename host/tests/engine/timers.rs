//! Timers that a guest sets in its room: durable before the answer, one for each key, and gone once they have fired.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use greenroom::adapters::embedded::SystemClock;
use greenroom::plugin::{Context, Error};
use greenroom::timer::{Ended, Firing, SHARDS, Timer, Timers};

use crate::ports::Happened;
use crate::{Bench, ask, bench, context, fine, guest, request};

async fn due(bench: &Bench) -> Vec<Timer> {
    let mut due = Vec::new();
    for shard in 0..SHARDS {
        due.extend(timers(bench).take(shard, &mut Firing::default()).await.unwrap().timers);
    }
    due
}

pub fn timers(bench: &Bench) -> Timers {
    Timers::new(bench.house.watched.clone(), Arc::new(SystemClock))
}

#[tokio::test]
async fn a_timer_is_durable_before_the_answer_and_gone_once_it_has_fired() {
    let bench = bench().await;
    let plugin = bench.registry.install(&guest::hostile("hostile")).await.unwrap();
    assert_eq!(ask(&bench, &plugin, "T").await.unwrap(), fine());
    let happened = bench.house.watched.take_happened();
    let [Happened::Committed(set), Happened::Durable(durable)] = happened[..] else { panic!("{happened:?}") };
    assert_eq!(set, durable);
    let mut set = due(&bench).await;
    let timer = set.pop().expect("it is due");
    assert_eq!((&*timer.plugin, timer.room_id.0, &*timer.key), ("hostile", 77, "key"));
    assert_eq!(timer.payload, b"no such stream");
    let fired = bench.registry.fire(&context(&plugin), &timer.key, &timer.payload).await;
    assert_eq!(fired.unwrap(), Ok(()));
    let shard = 77 % SHARDS;
    timers(&bench).end(shard, vec![Ended { timer, is_done: true }], &mut Firing::default()).await.unwrap();
    assert_eq!(due(&bench).await, []);
}

#[tokio::test]
async fn a_timer_of_the_same_key_takes_the_place_of_the_first_and_can_be_taken_back() {
    let bench = bench().await;
    let plugin = bench.registry.install(&guest::hostile("hostile")).await.unwrap();
    let other = bench.registry.install(&guest::hostile("other")).await.unwrap();
    for _ in 0..3 {
        assert_eq!(ask(&bench, &plugin, "T").await.unwrap(), fine());
    }
    assert_eq!(due(&bench).await.len(), 1);
    assert_eq!(ask(&bench, &other, "C").await.unwrap(), fine(), "an unknown key is no error");
    assert_eq!(due(&bench).await.len(), 1, "a plugin does not take back another's timer");
    assert_eq!(ask(&bench, &plugin, "C").await.unwrap(), fine());
    assert_eq!(due(&bench).await, []);
}

#[tokio::test]
async fn a_call_that_is_about_no_room_or_is_not_durable_is_not_told_that_its_timer_stands() {
    let bench = bench().await;
    let plugin = bench.registry.install(&guest::hostile("hostile")).await.unwrap();
    let homeless = Arc::new(Context {
        id: 2,
        plugin: plugin.clone(),
        room: None,
        config_json: "{}".into(),
        breaker: Arc::default(),
    });
    let refused = bench.registry.api(&homeless, request("T")).await.unwrap();
    assert_eq!(refused.unwrap_err().status, 409);
    assert_eq!(due(&bench).await, []);
    bench.house.watched.not_durable.store(true, Ordering::SeqCst);
    assert!(matches!(ask(&bench, &plugin, "T").await, Err(Error::NotDurable(_))));
}
