//! What bounds a plugin: the host's bounds, and what a manifest may ask for within them.

use std::time::Duration;

use greenroom_manifest::Manifest;

use crate::plugin::Rejected;

const MIB: u64 = 1024 * 1024;

/// The host's bounds on all plugins.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Size of a component with its manifest.
    pub component_bytes_max: usize,
    /// The most memory that a manifest may ask for, for one instance.
    pub memory_bytes_max: u64,
    /// Instances of all plugins together.
    pub instances_max: u32,
    /// Calls that wait for an instance of one plugin; more are refused. Operators and timers have a line of their own, as long.
    pub waiting_max: usize,
    /// Calls that an instance answers before it is replaced.
    pub calls_per_instance_max: u32,
    /// How long the events of a batch that failed may be tried one by one; the rest of them is for later.
    pub alone_max: Duration,
    /// How often guest code comes back to the host.
    pub tick: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            component_bytes_max: 32 * 1024 * 1024,
            memory_bytes_max: 256 * MIB,
            instances_max: 1_024,
            waiting_max: 1_024,
            calls_per_instance_max: 10_000,
            alone_max: Duration::from_secs(30),
            tick: Duration::from_millis(5),
        }
    }
}

/// The limits of one plugin: the manifest's, or the defaults.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Linear memory of one instance, all memories together.
    pub(crate) memory_bytes: u64,
    /// Time on a processor for one call.
    pub(crate) deadline: Duration,
    /// The same for a batch of events.
    pub(crate) batch_deadline: Duration,
    /// Time on the wall for one call.
    pub(crate) timeout: Duration,
    /// The same for a batch of events.
    pub(crate) batch_timeout: Duration,
    /// Calls at the same time.
    pub(crate) concurrency: u32,
    /// Host calls in one call.
    pub(crate) host_calls: u32,
    /// The same for a batch of events.
    pub(crate) batch_host_calls: u32,
    /// Bytes of one answer.
    pub(crate) response_bytes: u32,
    /// Pushes in one call.
    pub(crate) pushes: u32,
    /// The same for a batch of events.
    pub(crate) batch_pushes: u32,
}

impl Limits {
    /// What the manifest asks for, if the host allows it.
    ///
    /// # Errors
    /// With the first limit that is zero or above the host's bound.
    pub(crate) fn of(manifest: &Manifest, bounds: &Bounds) -> Result<Self, Rejected> {
        let asked = &manifest.limits;
        let memory = u32::try_from(bounds.memory_bytes_max).unwrap_or(u32::MAX);
        let memory_asked = asked.memory_bytes_max.map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX));
        let deadline = within("deadline-ms", asked.deadline_ms, 50, 10_000)?;
        let timeout = within("timeout-ms", asked.timeout_ms, 5_000, 60_000)?;
        let concurrency = within("concurrency-max", asked.concurrency_max, 64, bounds.instances_max.min(512))?;
        let host_calls = within("host-calls-max", asked.host_calls_max, 1_000, 100_000)?;
        let default_memory = u32::try_from(16 * MIB).unwrap_or(u32::MAX).min(memory);
        let pushes = within("pushes-max", asked.pushes_max, 16, 256)?;
        Ok(Self {
            memory_bytes: within("memory-bytes-max", memory_asked, default_memory, memory)?.into(),
            deadline: Duration::from_millis(deadline.into()),
            batch_deadline: Duration::from_millis(deadline.max(2_000).into()),
            timeout: Duration::from_millis(timeout.into()),
            batch_timeout: Duration::from_millis(timeout.max(30_000).into()),
            concurrency,
            host_calls,
            batch_host_calls: host_calls.max(100_000),
            response_bytes: within("response-bytes-max", asked.response_bytes_max, 1 << 20, 8 << 20)?,
            pushes,
            batch_pushes: pushes.max(1_000),
        })
    }
}

fn within(field: &str, asked: Option<u32>, default: u32, bound: u32) -> Result<u32, Rejected> {
    let value = asked.unwrap_or(default.min(bound));
    if value == 0 || value > bound {
        return Err(Rejected {
            subject: format!("limit {field}"),
            fault: format!("{value} asked for; this host allows 1 to {bound}"),
        });
    }
    Ok(value)
}
