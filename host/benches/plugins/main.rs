//! What a room's plugins stand: votes, grabs and likes a second in one room over HTTP, each beside a bare axum route with the same JSON;
//! the draw of a lottery against its entrants; timers that are due at the same moment, beside calls without timers. After each run all is
//! counted again, and a count that is not exact ends the bench.
//! `cargo bench --bench plugins -- --duration 5 [votes|grabs|likes|lottery|timers …]`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::float_arithmetic, clippy::cast_precision_loss)]

mod generator;
mod grabs;
#[path = "../house/mod.rs"]
mod house;
mod likes;
mod limit;
mod lottery;
mod stage;
#[allow(dead_code)]
#[path = "../../tests/e2e/support.rs"]
mod support;
mod timers;
#[allow(dead_code)]
#[path = "../../src/cli/lottery/draw.rs"]
mod verify;
mod votes;

use std::time::Duration;

/// As the program has it, so that generator and limit are no slower for another one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PARTS: [&str; 5] = ["votes", "grabs", "likes", "lottery", "timers"];

fn main() {
    let duration = Duration::from_secs(house::argument("duration", 5) as u64);
    let named: Vec<String> = std::env::args().filter(|word| PARTS.contains(&word.as_str())).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for part in PARTS.iter().filter(|part| named.is_empty() || named.iter().any(|name| name == *part)) {
        runtime.block_on(async {
            match *part {
                "votes" => votes::measure(duration).await,
                "grabs" => grabs::measure(duration).await,
                "likes" => likes::measure(duration).await,
                "lottery" => lottery::measure().await,
                _ => timers::measure().await,
            }
        });
    }
}
