//! How long instances live, how many calls wait for them, and how a circuit closes again.

use greenroom::plugin::{Bounds, Error, Occasion, Plugin};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::{Bench, ask, bench, bench_within, bounds, context, fine, guest, request};

async fn installed(bench: &Bench, change: impl FnOnce(&mut Value)) -> Arc<Plugin> {
    let mut manifest = guest::manifest("hostile");
    change(&mut manifest);
    let component = guest::component(include_str!("hostile.wat"), guest::ALL_IMPORTS, &guest::EXPORTS);
    bench.registry.install(&guest::packed(&component, &manifest)).await.unwrap()
}

#[tokio::test]
async fn a_call_beyond_the_concurrency_waits_and_one_beyond_the_queue_is_refused_at_once() {
    let bench = bench_within(Bounds { waiting_max: 1, ..bounds() }).await;
    let plugin = installed(&bench, |manifest| {
        manifest["limits"] = json!({ "concurrency-max": 1, "deadline-ms": 300, "timeout-ms": 30_000 });
    })
    .await;
    let calls =
        [ask(&bench, &plugin, "l"), ask(&bench, &plugin, ""), ask(&bench, &plugin, ""), ask(&bench, &plugin, "")];
    let answers = futures::future::join_all(calls).await;
    assert!(matches!(answers[0], Err(Error::Timeout { .. })), "{answers:?}");
    assert!(matches!(&answers[1], Ok(answer) if *answer == fine()), "{answers:?}");
    assert!(answers[2..].iter().all(|answer| matches!(answer, Err(Error::Overloaded { .. }))), "{answers:?}");
    assert_eq!(ask(&bench, &plugin, "").await.unwrap(), fine());
}

#[tokio::test]
async fn operators_and_timers_are_answered_while_viewers_fill_every_place() {
    let bench = bench_within(Bounds { waiting_max: 2, ..bounds() }).await;
    let plugin = installed(&bench, |manifest| {
        manifest["limits"] = json!({ "concurrency-max": 1, "deadline-ms": 300, "timeout-ms": 30_000 });
    })
    .await;
    let room = context(&plugin);
    let viewers = futures::future::join_all(["l", "l", "", ""].map(|body| ask(&bench, &plugin, body)));
    let others = async {
        let on = |occasion| bench.registry.lifecycle(&room, occasion);
        let fire = bench.registry.fire(&room, "key", b"a");
        let told = futures::join!(on(Occasion::Disabled), on(Occasion::Reconfigured), fire);
        (told, ask(&bench, &plugin, "").await)
    };
    let (viewers, (told, viewer)) = futures::join!(viewers, others);
    assert!(matches!(told, (Ok(Ok(())), Ok(Ok(())), Ok(Ok(())))), "{told:?}");
    assert!(matches!(viewer, Err(Error::Overloaded { .. })), "the places were still taken: {viewer:?}");
    assert!(matches!(viewers[..2], [Err(Error::Timeout { .. }), Err(Error::Timeout { .. })]), "{viewers:?}");
    assert!(matches!(viewers[3], Err(Error::Overloaded { .. })), "{viewers:?}");
    assert_eq!(ask(&bench, &plugin, "").await.unwrap(), fine());
}

#[tokio::test]
async fn an_instance_retires_after_its_calls_and_another_takes_its_place() {
    let bench = bench_within(Bounds { calls_per_instance_max: 3, ..bounds() }).await;
    let plugin = installed(&bench, |_| {}).await;
    for idle in [1, 1, 0, 1, 1, 0, 1] {
        assert_eq!(ask(&bench, &plugin, "").await.unwrap(), fine());
        assert_eq!(plugin.idle_instances(), idle);
    }
}

#[tokio::test]
async fn a_plugin_that_asks_for_fresh_instances_never_meets_one_twice() {
    let bench = bench().await;
    let plugin = installed(&bench, |manifest| manifest["isolation"] = json!("fresh")).await;
    for _ in 0..3 {
        assert_eq!(ask(&bench, &plugin, "").await.unwrap(), fine());
        assert_eq!(plugin.idle_instances(), 0);
    }
}

#[tokio::test]
async fn a_circuit_lets_a_call_through_after_its_backoff_and_closes_when_it_is_answered() {
    let bench = bench().await;
    let context = context(&installed(&bench, |_| {}).await);
    for _ in 0..5 {
        assert!(bench.registry.api(&context, request("t")).await.is_err());
    }
    let mut suspended = 0;
    while context.breaker.open_for().is_some() {
        let refused = bench.registry.api(&context, request("")).await;
        suspended += u32::from(matches!(refused, Err(Error::Suspended { .. })));
        tokio::task::yield_now().await;
    }
    assert!(suspended > 0);
    for _ in 0..2 {
        assert_eq!(bench.registry.api(&context, request("")).await.unwrap(), fine());
    }
}
