//! The wasmtime engine: how components are compiled and instantiated, and the clock that interrupts them.
//!
//! Bounds everything that instances take together: their number, their memory slots, their stacks. Host functions are async on the
//! host's side; guests are called one at a time for each instance, so the component model's own concurrency is off.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::plugin::limits::Bounds;

/// The greatest stack of guest code, in bytes; deeper recursion traps.
const WASM_STACK_BYTES: usize = 512 * 1024;
/// The stack of a call: that of the guest, and that of the host functions it calls.
const CALL_STACK_BYTES: usize = 2 * 1024 * 1024;
/// Elements of one table. JavaScript runtimes need about 8,000.
const TABLE_ELEMENTS: usize = 20_000;
/// Memories of one component; runtimes of scripting languages have up to three.
pub(crate) const MEMORIES_PER_COMPONENT: u32 = 3;
const TABLES_PER_COMPONENT: u32 = 12;
const CORE_INSTANCES_PER_COMPONENT: u32 = 24;

/// The engine with its ticker. Dropping it stops the ticker and waits for it.
pub(crate) struct Engine {
    pub(crate) inner: wasmtime::Engine,
    _ticker: Ticker,
}

impl Engine {
    /// Sets the engine up. Where the address space for pooled instances cannot be had, instances are made one by one, and the log
    /// says so.
    ///
    /// # Errors
    /// If neither way works.
    pub(crate) fn start(bounds: &Bounds) -> Result<Self, String> {
        let inner = match wasmtime::Engine::new(&configuration(Some(bounds))) {
            Ok(engine) => engine,
            Err(error) => {
                tracing::error!(
                    "cannot reserve {} pooled instances ({error:#}); going on without the pool, slower. \
                     A greater limit on address space (`ulimit -v`) or a smaller `instances_max` helps",
                    bounds.instances_max
                );
                wasmtime::Engine::new(&configuration(None)).map_err(|e| format!("cannot set up wasmtime: {e:#}"))?
            }
        };
        let ticker = Ticker::start(&inner, bounds.tick).map_err(|e| format!("cannot start the ticker: {e}"))?;
        Ok(Self { inner, _ticker: ticker })
    }
}

fn configuration(pooled: Option<&Bounds>) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(CALL_STACK_BYTES);
    if let Some(bounds) = pooled {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(bounds)));
    }
    config
}

fn pool(bounds: &Bounds) -> PoolingAllocationConfig {
    let instances = bounds.instances_max;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(8))
        .total_memories(instances.saturating_mul(2))
        .total_tables(instances.saturating_mul(6))
        .total_stacks(instances)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_memory_size(usize::try_from(bounds.memory_bytes_max).unwrap_or(usize::MAX))
        .table_elements(TABLE_ELEMENTS)
        .max_component_instance_size(1 << 20)
        .linear_memory_keep_resident(64 * 1024)
        .table_keep_resident(16 * 1024);
    pool
}

/// A thread that advances the engine's epoch, so that guest code comes back to the host at least that often.
struct Ticker {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: &wasmtime::Engine, tick: Duration) -> std::io::Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let engine = engine.clone();
        let thread = std::thread::Builder::new().name("epoch".into()).spawn(move || {
            while stopped.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the epoch ticker panicked");
        }
    }
}
