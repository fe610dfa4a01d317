//! The distributed mode beside its limits: the hold's script alone, PostgreSQL's statement alone, settling alone, and latencies across
//! hosts. The servers are named by the variables that `cargo xtask services up` prints; `cargo xtask bench distributed` starts them,
//! and adds the figures over HTTP.
//! `cargo bench --bench distributed -- script|participants|settling|latency|open NAME|age NAME|close NAME`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::float_arithmetic, clippy::print_stdout, clippy::cast_precision_loss, clippy::cast_possible_wrap)]

mod books;
#[path = "../house/mod.rs"]
mod house;
mod latency;
mod place;
mod script;
mod settling;
mod stage;

use greenroom::adapters::redis;
use house::participants::{self, Names};
use place::{Place, begin};

/// The server's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PARTICIPANTS: Names = Names {
    counter: "participants, Redis",
    ranking: "members of a ranking, Redis",
    first: "its first 100, Redis",
    place: "a place in it, Redis",
};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let mut words = words.iter().map(String::as_str);
    let (task, name) = (words.next().unwrap_or_default(), words.next());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        match (task, name) {
            ("script", _) => with_place(async |place| script::measure(place).await).await,
            ("participants", _) => with_place(async |place| take_part(place).await).await,
            ("settling", _) => with_place(async |place| settling::measure(place).await).await,
            ("latency", _) => latency::measure().await,
            ("open", Some(name)) => Place::open(name).await.print(),
            ("age", Some(name)) => Place::named(name).age_epochs().await,
            ("close", Some(name)) => Place::named(name).close().await,
            _ => eprintln!("nothing to do: script, participants, settling, latency, open NAME, age NAME or close NAME"),
        }
    });
}

async fn take_part(place: &Place) {
    let redis::Redis { cache, outbox, .. } = redis::open(place.redis_settings()).await.unwrap();
    begin(&*outbox).await;
    participants::measure(&*cache, &PARTICIPANTS).await;
}

async fn with_place(measure: impl AsyncFnOnce(&Place)) {
    let place = Place::open(&format!("bench_{:08x}", rand::random::<u32>())).await;
    measure(&place).await;
    place.close().await;
}
