//! `wasi:clocks`: the host's clock port, and a clock that never goes back.

use std::sync::LazyLock;
use std::time::Instant;

use crate::plugin::bindings::wasi::clocks::{monotonic_clock, wall_clock};
use crate::plugin::state::State;

/// The moment that monotonic time counts from; a guest can only compare.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl wall_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        self.enter()?;
        let now_ms = self.ports.clock.now_ms();
        let nanoseconds = u32::try_from(now_ms % 1_000).unwrap_or(0) * 1_000_000;
        Ok(wall_clock::Datetime { seconds: now_ms / 1_000, nanoseconds })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        self.enter()?;
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1_000_000 })
    }
}

impl monotonic_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.enter()?;
        Ok(u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        self.enter()?;
        Ok(1)
    }
}
