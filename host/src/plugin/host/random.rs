//! `wasi:random`: from the operating system's generator.

use rand::TryRng;
use rand::rngs::SysRng;

use crate::plugin::bindings::wasi::random::random::Host;
use crate::plugin::state::State;

const BYTES_MAX: u64 = 4_096;

impl Host for State {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.enter()?;
        if len > BYTES_MAX {
            return Err(self.breach(format!("{len} random bytes asked for; one call gives up to {BYTES_MAX}")));
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        SysRng.try_fill_bytes(&mut bytes).map_err(|e| wasmtime::Error::msg(format!("no random bytes: {e}")))?;
        Ok(bytes)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.enter()?;
        SysRng.try_next_u64().map_err(|e| wasmtime::Error::msg(format!("no random bytes: {e}")))
    }
}
