//! What a room runs, at one moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::breaker::Breaker;
use crate::plugin::{Context, Plugin, Registry, RoomInfo, StreamInfo};
use crate::ports::db::{BindingRow, RoomRow};
use crate::room::view::{BindingView, RoomView};

/// Contexts are numbered through the life of the process.
static NEXT_CONTEXT: AtomicU64 = AtomicU64::new(1);

/// A room with its bindings. Never changes.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub info: Arc<RoomInfo>,
    pub created_at_ms: u64,
    pub version: i64,
    pub bindings: Vec<Binding>,
}

/// A plugin in the room.
#[derive(Debug)]
pub(super) struct Binding {
    pub row: BindingRow,
    /// None if that version is no longer installed.
    pub stable: Option<Arc<Context>>,
    pub canary: Option<Canary>,
    /// It outlives every swap.
    pub breaker: Arc<Breaker>,
}

/// A second version that gets a share of the calls.
#[derive(Debug)]
pub(super) struct Canary {
    context: Arc<Context>,
    percent: u8,
    calls: AtomicUsize,
}

impl Snapshot {
    /// Makes ready what the rows say. Breakers are taken over from the snapshot before, so that a swap closes no open circuit.
    pub fn restore(row: RoomRow, rows: Vec<BindingRow>, registry: &Registry, before: Option<&Snapshot>) -> Self {
        let stream = row.stream.map(|s| StreamInfo { stream_id: s.stream_id, started_at_ms: s.started_at_ms });
        let title = row.title.into();
        let info = Arc::new(RoomInfo { room_id: row.room_id, title, streamers: row.streamers, stream });
        let bindings = rows.into_iter().map(|binding| Binding::restore(binding, &info, registry, before)).collect();
        Self { info, created_at_ms: row.created_at_ms, version: row.version, bindings }
    }

    /// The binding of a plugin, enabled or not.
    pub fn binding(&self, plugin: &str) -> Option<&Binding> {
        self.bindings.iter().find(|binding| binding.row.plugin == plugin)
    }

    /// Whether the room is worth keeping in memory.
    pub fn is_active(&self) -> bool {
        self.info.stream.is_some() || self.bindings.iter().any(|binding| binding.row.enabled)
    }

    /// The rows of the bindings.
    pub fn rows(&self) -> Vec<BindingRow> {
        self.bindings.iter().map(|binding| binding.row.clone()).collect()
    }
}

impl Binding {
    fn restore(row: BindingRow, info: &Arc<RoomInfo>, registry: &Registry, before: Option<&Snapshot>) -> Self {
        let breaker = before.and_then(|b| b.binding(&row.plugin)).map(|b| b.breaker.clone()).unwrap_or_default();
        let config_json: Arc<str> = row.config.to_string().into();
        let context = |plugin: Arc<Plugin>| {
            Arc::new(Context {
                id: NEXT_CONTEXT.fetch_add(1, Ordering::Relaxed),
                plugin,
                room: Some(info.clone()),
                config_json: config_json.clone(),
                breaker: breaker.clone(),
            })
        };
        let stable = registry.get(&row.plugin, Some(&row.version)).map(context);
        let canary = row.canary.as_ref().and_then(|(version, percent)| {
            let context = registry.get(&row.plugin, Some(version)).map(context)?;
            Some(Canary { context, percent: *percent, calls: AtomicUsize::new(0) })
        });
        Self { row, stable, canary, breaker }
    }

    /// What the next call runs under: the canary for its share of the calls.
    pub fn next(&self) -> Option<&Arc<Context>> {
        match &self.canary {
            Some(canary) if canary.takes_next() => Some(&canary.context),
            _ => self.stable.as_ref(),
        }
    }

    /// A context for something said of the plugin when there may be none in the room's snapshot, such as a global route.
    pub fn roomless(plugin: Arc<Plugin>) -> Arc<Context> {
        Arc::new(Context {
            id: NEXT_CONTEXT.fetch_add(1, Ordering::Relaxed),
            plugin,
            room: None,
            config_json: "{}".into(),
            breaker: Arc::default(),
        })
    }
}

impl Canary {
    /// Spreads the share evenly over every hundred calls.
    fn takes_next(&self) -> bool {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) % 100;
        let percent = usize::from(self.percent);
        (call + 1) * percent / 100 > call * percent / 100
    }
}

impl RoomView {
    pub(super) fn of(row: &RoomRow) -> Self {
        let stream =
            row.stream.as_ref().map(|s| StreamInfo { stream_id: s.stream_id.clone(), started_at_ms: s.started_at_ms });
        let (title, streamers) = (row.title.as_str().into(), row.streamers.clone());
        let info = Arc::new(RoomInfo { room_id: row.room_id, title, streamers, stream });
        Self { info, created_at_ms: row.created_at_ms }
    }
}

impl BindingView {
    pub(super) fn of(binding: &Binding) -> Self {
        let row = &binding.row;
        Self {
            name: row.plugin.clone(),
            version: row.version.clone(),
            enabled: row.enabled,
            config: row.config.clone(),
            canary: row.canary.clone(),
            healthy: binding.stable.is_some() && binding.breaker.open_for().is_none(),
            calls: binding.breaker.calls(),
            failures: binding.breaker.failures(),
        }
    }
}
