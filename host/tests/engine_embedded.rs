//! The plugin engine over the real embedded backends: what a guest may do, what it may not, and that its neighbours do not notice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

#[path = "engine/guest.rs"]
mod guest;
#[path = "engine/neighbours.rs"]
mod neighbours;
#[path = "engine/pool.rs"]
mod pool;
#[path = "engine/ports.rs"]
mod ports;
#[path = "engine/removal.rs"]
mod removal;
#[path = "engine/rooms.rs"]
mod rooms;
#[path = "engine/timers.rs"]
mod timers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use greenroom::breaker::Breaker;
use greenroom::domain::{Event, EventId, RoomId, UserId};
use greenroom::plugin::{
    ApiRequest, ApiResponse, Bounds, Caller, Context, Error, InstallError, Occasion, Plugin, Problem, Registry,
    RoomInfo, Verdict,
};
use greenroom::ports::queue::Delivery;
use greenroom_manifest::Role;
use ports::{Happened, House};
use serde_json::{Value, json};

struct Bench {
    registry: Arc<Registry>,
    house: House,
    dir: tempfile::TempDir,
}

/// Far fewer instances than a server has: the tests run beside each other.
fn bounds() -> Bounds {
    Bounds { instances_max: 64, ..Bounds::default() }
}

async fn bench() -> Bench {
    bench_within(bounds()).await
}

async fn bench_within(bounds: Bounds) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    Bench { registry: house.registry(dir.path(), bounds).await, house, dir }
}

fn context(plugin: &Arc<Plugin>) -> Arc<Context> {
    let room = RoomInfo { room_id: RoomId(77), title: "A room".into(), streamers: vec![UserId(9)], stream: None };
    Arc::new(Context {
        id: 1,
        plugin: Arc::clone(plugin),
        room: Some(Arc::new(room)),
        config_json: "{\"share\":50}".into(),
        breaker: Arc::new(Breaker::default()),
    })
}

fn request(body: &'static str) -> ApiRequest {
    ApiRequest {
        route: 0,
        params: Vec::new(),
        query: Vec::new(),
        body: Bytes::from_static(body.as_bytes()),
        idempotency_key: None,
        caller: Caller { user_id: UserId(5), role: Role::Viewer, level: 0 },
    }
}

async fn ask(bench: &Bench, plugin: &Arc<Plugin>, body: &'static str) -> Result<Result<ApiResponse, Problem>, Error> {
    bench.registry.api(&context(plugin), request(body)).await
}

fn fine() -> Result<ApiResponse, Problem> {
    Ok(ApiResponse { status: 200, body: Bytes::from_static(b"{\"ok\":true}") })
}

/// Lets a guest misbehave while a neighbour is called all the time. The neighbour's calls are all answered, and promptly.
async fn misbehave(body: &'static str) -> (Bench, Error) {
    let bench = bench().await;
    let hostile = bench.registry.install(&guest::hostile("hostile")).await.unwrap();
    let neighbour = context(&bench.registry.install(&guest::hostile("neighbour")).await.unwrap());
    let undisturbed = median(calls(&bench.registry, &neighbour, || false).await);
    let over = AtomicBool::new(false);
    let misbehaving = async {
        let error = ask(&bench, &hostile, body).await.expect_err("the call must not be answered");
        over.store(true, Ordering::SeqCst);
        error
    };
    let calling = calls(&bench.registry, &neighbour, || !over.load(Ordering::SeqCst));
    let (error, took) = tokio::join!(misbehaving, calling);
    // Guest code gives the thread back every tick; the rest is for whatever else the machine does.
    let disturbed = median(took);
    let bound = undisturbed * 20 + bounds().tick * 4;
    assert!(disturbed <= bound, "{disturbed:?} at the median beside {body:?}, {undisturbed:?} alone");
    assert_eq!(ask(&bench, &hostile, "").await.unwrap(), fine(), "the next call of the same plugin is answered");
    (bench, error)
}

/// How long each of 100 calls takes, or of more while there is a reason.
async fn calls(registry: &Registry, context: &Arc<Context>, more: impl Fn() -> bool) -> Vec<Duration> {
    let mut took = Vec::new();
    while took.len() < 100 || more() {
        let begun = Instant::now();
        assert_eq!(registry.api(context, request("")).await.unwrap(), fine());
        took.push(begun.elapsed());
        tokio::task::yield_now().await;
    }
    took
}

fn median(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() / 2]
}

fn reason(error: Error) -> String {
    match error {
        Error::Failed { reason, .. } => reason,
        other => panic!("not a failure: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_loop_ends_at_its_deadline() {
    let (_bench, error) = misbehave("l").await;
    assert!(matches!(error, Error::Timeout { limit, .. } if limit == Duration::from_millis(50)), "{error:?}");
}

#[tokio::test]
async fn a_loop_leaves_the_one_thread_of_the_runtime_to_others() {
    let (_bench, error) = misbehave("l").await;
    assert!(matches!(error, Error::Timeout { .. }));
}

#[tokio::test]
async fn memory_is_refused_beyond_the_limit() {
    let (_bench, error) = misbehave("m").await;
    assert!(reason(error).contains("refused more than 16777216 bytes of memory"));
}

#[tokio::test]
async fn deep_recursion_traps() {
    let (_bench, error) = misbehave("r").await;
    let reason = reason(error);
    assert!(reason.contains("call stack exhausted"), "{reason}");
}

#[tokio::test]
async fn a_trap_ends_one_call_and_nothing_else() {
    let (_bench, error) = misbehave("t").await;
    let reason = reason(error);
    assert!(reason.contains("unreachable"), "{reason}");
}

#[tokio::test]
async fn a_flood_of_host_calls_is_ended() {
    let (_bench, error) = misbehave("f").await;
    assert!(reason(error).contains("more host calls"));
}

#[tokio::test]
async fn too_many_random_bytes_trap() {
    let (_bench, error) = misbehave("b").await;
    assert!(reason(error).contains("4097 random bytes"));
}

#[tokio::test]
async fn a_giant_answer_is_refused() {
    let (_bench, error) = misbehave("g").await;
    assert!(reason(error).contains("2097152 bytes; it may have up to 1048576"));
}

#[tokio::test]
async fn an_answer_that_is_not_json_is_refused() {
    let (_bench, error) = misbehave("j").await;
    assert!(reason(error).contains("not JSON"));
}

#[tokio::test]
async fn bytes_that_are_no_text_end_the_call() {
    let (bench, error) = misbehave("u").await;
    let reason = reason(error);
    assert!(reason.contains("utf-8"), "{reason}");
    assert!(bench.house.watched.pushes.lock().is_empty());
}

#[tokio::test]
async fn lying_lengths_end_the_call() {
    for body in ["o", "y"] {
        let (_bench, error) = misbehave(body).await;
        let reason = reason(error);
        assert!(reason.contains("out of bounds"), "{body}: {reason}");
    }
}

#[tokio::test]
async fn a_flood_of_pushes_stops_at_the_limit() {
    let bench = bench().await;
    let plugin = bench.registry.install(&guest::hostile("hostile")).await.unwrap();
    assert_eq!(ask(&bench, &plugin, "p").await.unwrap(), fine());
    assert_eq!(bench.house.watched.pushes.lock().len(), 16);
}

#[tokio::test]
async fn giant_log_lines_do_no_harm() {
    let bench = bench().await;
    let plugin = bench.registry.install(&guest::hostile("hostile")).await.unwrap();
    assert_eq!(ask(&bench, &plugin, "L").await.unwrap(), fine());
}

fn assert_in_order(happened: &[Happened]) {
    let [Happened::Committed(position), Happened::Durable(durable), Happened::Published(1)] = happened else {
        panic!("{happened:?}");
    };
    assert_eq!(position, durable);
}

#[tokio::test]
async fn pushes_wait_until_what_the_call_did_is_durable() {
    let bench = bench().await;
    let plugin = bench.registry.install(&guest::hostile("hostile")).await.unwrap();
    let watched = &bench.house.watched;
    assert_eq!(ask(&bench, &plugin, "s").await.unwrap(), fine());
    assert_in_order(&watched.take_happened());
    let problem = ask(&bench, &plugin, "q").await.unwrap().expect_err("refused");
    assert_eq!((problem.status, problem.code, problem.slug.as_str()), (409, 50_001, "refused-it"));
    assert_in_order(&watched.take_happened());
    assert_eq!(bench.house.watched.commits.lock()[0].shard.plugin.as_ref(), "hostile", "in its own key space");
}

#[tokio::test]
async fn a_call_that_traps_pushes_nothing_but_what_it_committed_stands() {
    let bench = bench().await;
    let plugin = bench.registry.install(&guest::hostile("hostile")).await.unwrap();
    assert!(matches!(ask(&bench, &plugin, "x").await, Err(Error::Failed { .. })));
    assert!(matches!(bench.house.watched.take_happened()[..], [Happened::Committed(_)]));
}

#[tokio::test]
async fn an_answer_that_is_not_durable_is_not_given() {
    let bench = bench().await;
    let plugin = bench.registry.install(&guest::hostile("hostile")).await.unwrap();
    bench.house.watched.not_durable.store(true, Ordering::SeqCst);
    assert!(matches!(ask(&bench, &plugin, "s").await, Err(Error::NotDurable(_))));
    assert!(bench.house.watched.pushes.lock().is_empty());
}

#[tokio::test]
async fn a_circuit_opens_after_five_failures_in_a_room_and_not_in_another() {
    let bench = bench().await;
    let plugin = bench.registry.install(&guest::hostile("hostile")).await.unwrap();
    let (room, other) = (context(&plugin), context(&plugin));
    for _ in 0..5 {
        assert!(matches!(bench.registry.api(&room, request("t")).await, Err(Error::Failed { .. })));
    }
    assert!(matches!(bench.registry.api(&room, request("")).await, Err(Error::Suspended { .. })));
    assert!(room.breaker.open_for().is_some());
    assert_eq!(bench.registry.api(&other, request("")).await.unwrap(), fine());
    assert_eq!((room.breaker.calls(), room.breaker.failures()), (5, 5));
}

fn delivery(offset: u64, payload: &'static str) -> Delivery {
    let event = Event {
        event_id: EventId::new(&format!("e{offset}")).unwrap(),
        topic: "hostile.sent".into(),
        key: "5".into(),
        room_id: None,
        at_ms: 1,
        held: None,
        payload: Bytes::from_static(payload.as_bytes()),
    };
    Delivery { partition: 0, offset, event: Arc::new(event), fault: None }
}

async fn verdicts(payloads: &[&'static str]) -> Vec<Verdict> {
    let bench = bench().await;
    let plugin = bench.registry.install(&guest::hostile("hostile")).await.unwrap();
    let batch: Vec<Delivery> = (0..).zip(payloads).map(|(offset, payload)| delivery(offset, payload)).collect();
    bench.registry.consume(&plugin, &batch, &vec![1; batch.len()]).await.unwrap()
}

#[tokio::test]
async fn a_poison_event_is_retried_and_its_neighbours_are_handled() {
    let later = Verdict::RetryAfter(Duration::from_secs(1));
    let got = verdicts(&["a", "t", "d", "b"]).await;
    assert_eq!(got, [Verdict::Ack, later.clone(), Verdict::Reject("no such stream".into()), Verdict::Ack]);
    assert_eq!(verdicts(&["a", "n"]).await, [Verdict::Ack, later], "a verdict too few counts as a failure");
}

#[tokio::test]
async fn one_poison_event_among_ten_waits_and_the_nine_are_done() {
    let got = verdicts(&["a", "a", "a", "a", "t", "a", "a", "a", "a", "a"]).await;
    let later = Verdict::RetryAfter(Duration::from_secs(1));
    assert_eq!(got.iter().filter(|verdict| **verdict == Verdict::Ack).count(), 9);
    assert_eq!(got[4], later);
    assert!(verdicts(&["t"; 100]).await.iter().all(|verdict| *verdict == later));
}

#[tokio::test]
async fn a_batch_of_endless_loops_is_given_up_in_time_and_nothing_of_it_is_lost() {
    let alone_max = Duration::from_millis(1);
    let bench = bench_within(Bounds { alone_max, ..bounds() }).await;
    let plugin = bench.registry.install(&guest::hostile("hostile")).await.unwrap();
    let batch: Vec<Delivery> = (0..500).map(|offset| delivery(offset, "l")).collect();
    let consumed = bench.registry.consume(&plugin, &batch, &[1; 500]);
    let verdicts = tokio::time::timeout(Duration::from_secs(60), consumed).await.expect("far less than 500 deadlines");
    assert_eq!(verdicts.unwrap(), vec![Verdict::RetryAfter(Duration::from_secs(1)); 500]);
}

#[tokio::test]
async fn lifecycle_and_timers_tell_agreement_refusal_and_failure_apart() {
    let bench = bench().await;
    let plugin = bench.registry.install(&guest::hostile("hostile")).await.unwrap();
    let context = context(&plugin);
    let on = |occasion| bench.registry.lifecycle(&context, occasion);
    assert_eq!(on(Occasion::Enabled).await.unwrap(), Ok(()));
    assert_eq!(on(Occasion::StreamStarted).await.unwrap(), Err("no such stream".into()));
    assert!(matches!(on(Occasion::StreamEnded).await, Err(Error::Failed { .. })));
    assert_eq!(bench.registry.fire(&context, "key", b"a").await.unwrap(), Ok(()));
    assert!(matches!(bench.registry.fire(&context, "key", b"t").await, Err(Error::Failed { .. })));
}

async fn rejected(wasm: &[u8]) -> String {
    match bench().await.registry.install(wasm).await {
        Err(InstallError::Rejected(rejected)) => rejected.to_string(),
        other => panic!("not rejected: {other:?}"),
    }
}

fn small(imports: &str, exports: &[&str], wat: &str, manifest: &Value) -> Vec<u8> {
    guest::packed(&guest::component(wat, imports, exports), manifest)
}

fn plain() -> Value {
    json!({ "name": "plain", "version": "1.0.0", "description": "Nothing." })
}

/// A section that can be appended to a component.
fn custom_section(name: &str, bytes: &[u8]) -> Vec<u8> {
    let content = [&[u8::try_from(name.len()).unwrap()], name.as_bytes(), bytes].concat();
    assert!(content.len() < 16_384);
    let mut section = vec![0];
    if content.len() < 128 {
        section.push(u8::try_from(content.len()).unwrap());
    } else {
        section.extend([u8::try_from(content.len() % 128 + 128).unwrap(), u8::try_from(content.len() / 128).unwrap()]);
    }
    section.extend(content);
    section
}

#[tokio::test]
async fn installation_names_what_is_wrong_with_the_file() {
    let whole = guest::hostile("hostile");
    let truncated = rejected(&whole[..whole.len() / 2]).await;
    assert!(truncated.contains("truncated"), "{truncated}");
    assert!(rejected(&wat::parse_str("(module)").unwrap()).await.contains("core module"));
    let bare = guest::component("(module)", "", &[]);
    let missing = rejected(&bare).await;
    assert!(missing.contains("section greenroom:manifest"), "{missing}");
    let twice = [whole, custom_section(greenroom_manifest::SECTION, plain().to_string().as_bytes())].concat();
    let twice = rejected(&twice).await;
    assert!(twice.contains("section greenroom:manifest"), "{twice}");
}

#[tokio::test]
async fn installation_names_an_import_without_its_grant() {
    let mut manifest = guest::manifest("hostile");
    manifest["grants"] = json!(["push", "timer"]);
    let component = guest::component(include_str!("engine/hostile.wat"), guest::ALL_IMPORTS, &guest::EXPORTS);
    let fault = rejected(&guest::packed(&component, &manifest)).await;
    assert!(fault.starts_with("grant cache: the component imports greenroom:cache/cache@0.1.0"), "{fault}");
    manifest["grants"] = json!(["cache", "timer"]);
    let fault = rejected(&guest::packed(&component, &manifest)).await;
    assert!(fault.starts_with("grant push: "), "{fault}");
}

#[tokio::test]
async fn installation_names_an_import_that_is_not_offered_and_the_remedy() {
    let wasi = "(component (import \"wasi:filesystem/types@0.2.0\" (instance)))";
    let fault = rejected(&guest::packed(&wat::parse_str(wasi).unwrap(), &plain())).await;
    assert!(fault.contains("wasi:filesystem/types@0.2.0") && fault.contains("wasm32-unknown-unknown"), "{fault}");
    let version = "(component (import \"greenroom:ledger/ledger@0.9.0\" (instance)))";
    let fault = rejected(&guest::packed(&wat::parse_str(version).unwrap(), &plain())).await;
    assert!(fault.contains("imports greenroom:ledger/ledger@0.9.0; this host offers 0.1.0"), "{fault}");
    let other = "(component (import \"wasi:random/random@0.2.0\" (instance (export \"dice\" (func (result u32))))))";
    let fault = rejected(&guest::packed(&wat::parse_str(other).unwrap(), &plain())).await;
    assert!(fault.contains("dice"), "{fault}");
}

#[tokio::test]
async fn installation_finds_a_manifest_that_lies() {
    let cases = [
        ("routes", json!([{ "method": "GET", "path": "x" }]), "export greenroom:plugin/api@0.1.0"),
        ("consumes", json!(["plain.sent"]), "export greenroom:plugin/consumer@0.1.0"),
        ("grants", json!(["timer"]), "export greenroom:plugin/timer-handler@0.1.0"),
        ("statements", json!({ "s": "SELECT 1" }), "grant db"),
        ("config", json!({ "type": "sort of an object" }), "config: not a valid JSON Schema"),
        ("limits", json!({ "memory-bytes-max": 1_u64 << 40 }), "limit memory-bytes-max"),
        ("limits", json!({ "deadline-ms": 0 }), "limit deadline-ms"),
    ];
    for (field, value, expected) in cases {
        let mut manifest = plain();
        manifest["publishes"] = json!(["plain.sent"]);
        manifest[field] = value;
        let fault = rejected(&small("", &[], "(module)", &manifest)).await;
        assert!(fault.starts_with(expected), "{field}: {fault}");
    }
    let mut manifest = plain();
    manifest["grants"] = json!(["db"]);
    manifest["statements"] = json!({ "fine": "SELECT 1", "wrong": "SELECT FROM" });
    let fault = rejected(&small("", &[], "(module)", &manifest)).await;
    assert!(fault.starts_with("statement wrong: ") && fault.contains("syntax error"), "{fault}");
}

#[tokio::test]
async fn a_component_that_traps_or_never_ends_when_it_starts_is_not_installed() {
    for body in ["unreachable", "(loop (br 0))"] {
        let module = format!("(module (func $start {body}) (start $start))");
        let fault = rejected(&small("", &[], &module, &plain())).await;
        assert!(fault.starts_with("component: it cannot be instantiated"), "{body}: {fault}");
    }
}

#[tokio::test]
async fn a_plugin_is_installed_once_and_found_again_after_a_restart_with_a_damaged_cache() {
    let bench = bench().await;
    let wasm = guest::hostile("hostile");
    let first = bench.registry.install(&wasm).await.unwrap();
    assert!(Arc::ptr_eq(&first, &bench.registry.install(&wasm).await.unwrap()));
    let mut other = guest::manifest("hostile");
    other["description"] = json!("Another.");
    let component = guest::component(include_str!("engine/hostile.wat"), guest::ALL_IMPORTS, &guest::EXPORTS);
    let taken = bench.registry.install(&guest::packed(&component, &other)).await;
    assert!(matches!(taken, Err(InstallError::VersionTaken { .. })));

    let code = std::fs::read_dir(bench.dir.path().join("code")).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&code).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&code, &damaged).unwrap();
    let restarted = bench.house.registry(bench.dir.path(), bounds()).await;
    let again = restarted.get("hostile", None).expect("still installed");
    assert_eq!((again.digest.as_str(), again.problem_code_base), (first.digest.as_str(), 50_000));
    assert_eq!(restarted.api(&context(&again), request("")).await.unwrap(), fine());
    assert!(std::fs::read(&code).unwrap() != damaged, "the damaged file was replaced");

    assert!(restarted.remove("hostile", &again.manifest.version).await.unwrap());
    assert!(restarted.get("hostile", None).is_none());
    assert!(!restarted.remove("hostile", &again.manifest.version).await.unwrap());
}

#[tokio::test]
async fn configuration_and_requests_are_checked_against_the_plugins_schemas() {
    let bench = bench().await;
    let plugin = bench.registry.install(&guest::hostile("hostile")).await.unwrap();
    assert_eq!(plugin.configure(Value::Null).unwrap(), json!({ "share": 50 }));
    assert_eq!(plugin.configure(json!({ "share": -1 })).unwrap_err().pointer, "/share");
    assert!(plugin.admit(&request("{\"n\":1}")).is_ok());
    let problem = plugin.admit(&request("{\"n\":\"x\"}")).unwrap_err();
    assert_eq!((problem.status, problem.code, problem.extra), (400, 10_006, Some(json!({ "where": "/n" }))));
    assert_eq!(plugin.admit(&request("{")).unwrap_err().status, 400);
    let mut operator = request("{\"n\":1}");
    operator.caller.role = Role::Operator;
    assert_eq!(plugin.admit(&operator).unwrap_err().code, 100_003);
}
