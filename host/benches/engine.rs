//! What a component costs: a warm call of the gift plugin against the same work done natively, a trivial call against a native one, and
//! a fresh instance with its call. `cargo bench --bench engine -- --calls 20000 --rounds 21`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::float_arithmetic)]

#[path = "../tests/engine/guest.rs"]
mod guest;
mod house;
mod native;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use greenroom::domain::UserId;
use greenroom::plugin::{ApiRequest, Caller, Context, Occasion, Registry};
use greenroom_manifest::{Isolation, Method, Role};
use house::undelayed::Undelayed;
use house::{Goal, House, Row, argument, median};
use native::Native;

const VIEWERS: usize = 1_000;
/// Requests under way at the same time, where the disk is waited for.
const TASKS: usize = 64;

fn main() {
    let (calls, rounds) = (argument("calls", 20_000), argument("rounds", 21));
    let one = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    one.block_on(async { tokio::spawn(processor(calls / 10, rounds)).await.unwrap() });
    drop(one);
    let all = tokio::runtime::Runtime::new().unwrap();
    all.block_on(disk(calls, (rounds / 4) | 1));
}

/// A gift plugin that is enabled in a room, and viewers with money.
struct Stage {
    house: Arc<House>,
    context: Arc<Context>,
    route: usize,
    native: Native,
}

impl Stage {
    async fn open(dir: &std::path::Path, undelayed: Option<&Arc<Undelayed>>) -> Self {
        let house = Arc::new(House::open(dir, undelayed).await);
        house.recharge(VIEWERS as i64).await;
        let plugin = house.registry.install(&house::built("gift")).await.unwrap();
        let is_send = |r: &greenroom_manifest::Route| r.method == Method::Post && r.path == "gifts";
        let route = plugin.manifest.routes.iter().position(is_send).unwrap();
        let context = house::context(&plugin);
        house.registry.lifecycle(&context, Occasion::Enabled).await.unwrap().unwrap();
        Self { native: Native::new(house.clone()), house, context, route }
    }

    async fn component(&self, number: usize) {
        let request = request(self.route, body(), viewer(number));
        let answer = self.house.registry.api(&self.context, request).await.unwrap().unwrap();
        assert_eq!(answer.status, 200);
    }

    async fn natively(&self, number: usize) {
        std::hint::black_box(self.native.send(&body(), viewer(number)).await);
    }
}

fn viewer(number: usize) -> UserId {
    UserId((number % VIEWERS) as i64 + 1)
}

fn body() -> Bytes {
    format!(r#"{{"eventId":"{}","giftId":"2002","count":1}}"#, uuid::Uuid::now_v7()).into()
}

fn request(route: usize, body: Bytes, user_id: UserId) -> ApiRequest {
    let caller = Caller { user_id, role: Role::Viewer, level: 0 };
    ApiRequest { route, params: Vec::new(), query: Vec::new(), body, idempotency_key: None, caller }
}

/// Microseconds of one call, one after the other.
async fn micros<F: Future<Output = ()>>(calls: usize, call: impl Fn(usize) -> F) -> f64 {
    let started = Instant::now();
    for number in 0..calls {
        call(number).await;
    }
    started.elapsed().as_secs_f64() * 1e6 / calls as f64
}

/// On one thread and without waiting for the disk: the work of the processor alone.
async fn processor(calls: usize, rounds: usize) {
    let undelayed = Arc::new(Undelayed::default());
    let folder = house::folder();
    let stage = Stage::open(folder.path(), Some(&undelayed)).await;
    let (mut component, mut native) = (Vec::new(), Vec::new());
    micros(calls, |n| stage.component(n)).await;
    micros(calls, |n| stage.natively(n)).await;
    for _ in 0..rounds {
        undelayed.catch_up().await;
        component.push(micros(calls, |n| stage.component(n)).await);
        undelayed.catch_up().await;
        native.push(micros(calls, |n| stage.natively(n)).await);
    }
    let above = median(component.iter().zip(&native).map(|(c, n)| c - n).collect());
    let (component, native) = (median(component), median(native));
    Row {
        name: "gift, warm call",
        figure: component,
        unit: "us",
        limit: Some(native),
        ratio: Some(above),
        goal: Goal::AtMost(2.5),
        contains: "the ratio is the difference in us; Registry::api (instance, limits, circuits, host functions) with JSON, hold and \
                   push, one thread, nobody waits for the disk; limit: the same work natively",
    }
    .print();
    trivial(&stage.house.registry, calls, rounds).await;
    fresh(&stage, calls, rounds).await;
    undelayed.catch_up().await;
}

/// A component that answers with twelve bytes, and a native function behind a trait object that does the same.
async fn trivial(registry: &Arc<Registry>, calls: usize, rounds: usize) {
    let plugin = registry.install(&guest::hostile("trivial")).await.unwrap();
    let context = house::context(&plugin);
    let call = async |_: usize| {
        let answer = registry.api(&context, request(0, Bytes::new(), UserId(5))).await;
        assert!(answer.unwrap().is_ok());
    };
    let nothing: Box<dyn Nothing> = Box::new(Answers);
    let native = async |_: usize| {
        let request = std::hint::black_box(request(0, Bytes::new(), UserId(5)));
        std::hint::black_box(nothing.answer(request).await);
    };
    let (mut component, mut natively) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        component.push(micros(calls, &call).await);
        natively.push(micros(calls, &native).await);
    }
    let (component, natively) = (median(component), median(natively));
    Row {
        name: "trivial, warm call",
        figure: component,
        unit: "us",
        limit: Some(natively),
        ratio: Some(component - natively),
        goal: Goal::AtMost(2.5),
        contains: "the ratio is the difference in us; Registry::api of a component that calls nothing and answers with 11 bytes of JSON; \
                   limit: an async call through a trait object with the same request and answer",
    }
    .print();
}

#[async_trait::async_trait]
trait Nothing: Send + Sync {
    async fn answer(&self, request: ApiRequest) -> Bytes;
}

struct Answers;

#[async_trait::async_trait]
impl Nothing for Answers {
    async fn answer(&self, _: ApiRequest) -> Bytes {
        Bytes::from(b"{\"ok\":true}".to_vec())
    }
}

/// The same components, but a new instance for every call.
async fn fresh(stage: &Stage, calls: usize, rounds: usize) {
    let registry = &stage.house.registry;
    let trivial = house::repacked(&guest::hostile("fresh"), |manifest| manifest.isolation = Isolation::Fresh);
    let trivial = house::context(&registry.install(&trivial).await.unwrap());
    let gift = house::repacked(&house::built("gift"), |manifest| {
        manifest.isolation = Isolation::Fresh;
        manifest.version.patch += 1;
    });
    let gift = house::context(&registry.install(&gift).await.unwrap());
    let small = async |_: usize| {
        assert!(registry.api(&trivial, request(0, Bytes::new(), UserId(5))).await.unwrap().is_ok());
    };
    let refused = async |_: usize| {
        let request = request(stage.route, Bytes::from_static(b"{}"), UserId(5));
        assert!(registry.api(&gift, request).await.unwrap().is_err());
    };
    let (mut of_small, mut of_gift) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        of_small.push(micros(calls, &small).await);
        of_gift.push(micros(calls, &refused).await);
    }
    let row = |name, figure, contains| {
        Row { name, figure, unit: "us", limit: None, ratio: None, goal: Goal::AtMost(40.0), contains }.print();
    };
    row(
        "trivial, fresh instance",
        median(of_small),
        "Registry::api with a new instance for each call: instantiation, call, and its end",
    );
    row(
        "gift, fresh instance",
        median(of_gift),
        "the same with the gift plugin and a request that it refuses, so without any host function",
    );
}

/// On all threads, with so many requests under way that the disk is shared by many: calls a second, each durable.
async fn disk(calls: usize, rounds: usize) {
    let folder = house::folder();
    let stage = Arc::new(Stage::open(folder.path(), None).await);
    let (mut component, mut native) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        component.push(rate(&stage, calls, true).await);
        native.push(rate(&stage, calls, false).await);
    }
    let ratio = median(component.iter().zip(&native).map(|(c, n)| c / n).collect());
    Row {
        name: "gift, durable calls",
        figure: median(component),
        unit: "/s",
        limit: Some(median(native)),
        ratio: Some(ratio),
        goal: Goal::AtLeast(0.9),
        contains: "Registry::api on all threads with 64 requests under way, each waits for its group commit; limit: the same natively",
    }
    .print();
}

async fn rate(stage: &Arc<Stage>, calls: usize, component: bool) -> f64 {
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        let (stage, next) = (stage.clone(), next.clone());
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                match number < calls {
                    true if component => stage.component(number).await,
                    true => stage.natively(number).await,
                    false => break,
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    calls as f64 / started.elapsed().as_secs_f64()
}
