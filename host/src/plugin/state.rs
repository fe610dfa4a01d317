//! What an instance carries through its life, and what one call of it collects.
//!
//! A call's effects on the cache are made at once; the positions they reached are kept here, so that the caller can wait until all
//! are durable. Pushes are only collected.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use greenroom_manifest::Grant;
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, UpdateDeadline};

use crate::domain::{AssetType, ContentDigest, Event, EventId, PushMessage, RoomId, UserId};
use crate::ledger::Ledger;
use crate::plugin::host::{Pots, RememberedRows};
use crate::plugin::limits::Limits;
use crate::plugin::turn::Turn;
use crate::plugin::{Caller, Context, Enabled, RoomInfo};
use crate::ports::cache::{Cache, Position};
use crate::ports::clock::Clock;
use crate::ports::db;
use crate::ports::push_bus::PushBus;
use crate::ports::queue::Delivery;
use crate::timer::Timers;

/// Rooms of a call that are kept; others are asked for again.
const ROOMS_MAX: usize = 1_000;

/// What the host functions work over.
pub(crate) struct Ports {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) cache: Arc<dyn Cache>,
    pub(crate) timers: Arc<Timers>,
    pub(crate) statements: Arc<dyn db::Statements>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) mintable_assets: BTreeSet<AssetType>,
    pub(crate) rows: RememberedRows,
    pub(crate) pots: Pots,
    /// Not there before the rooms are, which hold the plugins.
    pub(crate) enabled: OnceLock<Weak<dyn Enabled>>,
    pub(crate) push_bus: Arc<dyn PushBus>,
}

/// What the host functions need to know of a plugin.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) name: Arc<str>,
    pub(crate) version: String,
    pub(crate) grants: BTreeSet<Grant>,
    pub(crate) publishes: Vec<Arc<str>>,
    pub(crate) statements: BTreeMap<String, String>,
    pub(crate) remembered: BTreeSet<String>,
    pub(crate) limits: Limits,
    /// How often guest code comes back to the host.
    pub(crate) tick: Duration,
    /// For calls that are about no room.
    pub(crate) default_config: Arc<str>,
}

/// What a call is, as far as the host functions care.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// The component is being instantiated: it may not call the host for effects.
    Starting,
    /// A request of a caller.
    Api(Caller),
    /// A batch of events.
    Consume(Arc<[Delivery]>),
    /// A lifecycle occasion or a timer.
    Told,
}

/// An event that a call tells a client of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) payer: UserId,
    pub(crate) event_id: EventId,
    pub(crate) digest: ContentDigest,
}

/// One call.
pub(crate) struct Call {
    pub(crate) kind: Kind,
    pub(crate) context: Option<Arc<Context>>,
    /// The positions of what the call did.
    pub(crate) positions: BTreeSet<Position>,
    pub(crate) pushes: Vec<PushMessage>,
    /// Events that this call held or found by their content: proof that they are the plugin's own.
    pub(crate) known: Vec<(UserId, EventId)>,
    /// Events that the caller of a request is told of.
    pub(crate) told: Vec<Told>,
    /// The batch by payer and event id; made when first needed.
    pub(crate) by_id: Option<HashMap<(UserId, EventId), Arc<Event>>>,
    /// The other rooms that the call has named.
    pub(crate) rooms: HashMap<RoomId, Option<Arc<Context>>>,
    pub(crate) log_lines: u32,
    pub(crate) pots_made: u32,
    pub(crate) host_calls_left: u32,
    pub(crate) pushes_max: usize,
    /// How long it may run, waits left out, and how long it has, in ticks.
    pub(crate) deadline: Duration,
    pub(crate) ran: Duration,
    /// Why the host ended the call.
    pub(crate) breach: Option<Breach>,
}

/// A limit that a call went beyond.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Breach {
    /// Its time on a processor.
    Deadline,
    /// Another one, in words.
    Limit(String),
}

impl Call {
    /// A call with all its limits ahead of it.
    pub(crate) fn new(kind: Kind, context: Option<Arc<Context>>, limits: &Limits) -> Self {
        let batch = matches!(kind, Kind::Consume(_) | Kind::Starting);
        let deadline = if batch { limits.batch_deadline } else { limits.deadline };
        Self {
            kind,
            context,
            positions: BTreeSet::new(),
            pushes: Vec::new(),
            known: Vec::new(),
            told: Vec::new(),
            by_id: None,
            rooms: HashMap::new(),
            log_lines: 0,
            pots_made: 0,
            pushes_max: if batch { limits.batch_pushes } else { limits.pushes } as usize,
            host_calls_left: if batch { limits.batch_host_calls } else { limits.host_calls },
            deadline,
            ran: Duration::ZERO,
            breach: None,
        }
    }

    /// Remembers how far the cache must be durable before somebody is told of the call.
    pub(crate) fn reached(&mut self, position: Position) {
        self.positions.insert(position);
    }
}

/// The data of an instance's store.
pub(crate) struct State {
    pub(crate) ports: Arc<Ports>,
    pub(crate) profile: Arc<Profile>,
    pub(crate) call: Call,
    pub(crate) memory: Memory,
    pub(crate) table: ResourceTable,
    pub(crate) turn: Arc<Turn>,
}

impl State {
    pub(crate) fn new(ports: Arc<Ports>, profile: Arc<Profile>) -> Self {
        let call = Call::new(Kind::Starting, None, &profile.limits);
        let memory = Memory { limit: profile.limits.memory_bytes, bytes: 0, refused: false };
        let mut table = ResourceTable::new();
        table.set_max_capacity(1_024);
        Self { ports, profile, call, memory, table, turn: Arc::new(Turn::new()) }
    }

    /// Counts a host call.
    ///
    /// # Errors
    /// A trap, if the call has made too many.
    pub(crate) fn enter(&mut self) -> wasmtime::Result<()> {
        match self.call.host_calls_left.checked_sub(1) {
            Some(left) => {
                self.call.host_calls_left = left;
                Ok(())
            }
            None => Err(self.breach("more host calls than one call may make".into())),
        }
    }

    /// The trap that ends a call for going beyond a limit.
    pub(crate) fn breach(&mut self, what: String) -> wasmtime::Error {
        self.call.breach = Some(Breach::Limit(what.clone()));
        wasmtime::Error::msg(what)
    }

    /// Whether the plugin has a grant. During instantiation it has none.
    pub(crate) fn granted(&self, grant: Grant) -> Result<(), String> {
        if matches!(self.call.kind, Kind::Starting) {
            return Err("the host's functions may not be called while the component is being instantiated".into());
        }
        if self.profile.grants.contains(&grant) {
            return Ok(());
        }
        let name = format!("{grant:?}").to_lowercase();
        Err(format!("the manifest does not ask for the grant `{name}`"))
    }

    pub(crate) fn room(&self) -> Option<&Arc<RoomInfo>> {
        self.call.context.as_ref().and_then(|context| context.room.as_ref())
    }

    pub(crate) fn room_id(&self) -> Option<RoomId> {
        self.room().map(|room| room.room_id)
    }

    /// What the plugin runs under in a room that a call has named; none if it is not enabled there. The same through one call.
    ///
    /// # Errors
    /// In words, if that cannot be read now.
    pub(crate) async fn context_in(&mut self, room: RoomId) -> Result<Option<Arc<Context>>, String> {
        if self.room_id() == Some(room) {
            return Ok(self.call.context.clone());
        }
        if let Some(known) = self.call.rooms.get(&room) {
            return Ok(known.clone());
        }
        let (ports, profile) = (Arc::clone(&self.ports), Arc::clone(&self.profile));
        let Some(enabled) = ports.enabled.get().and_then(Weak::upgrade) else {
            return Err("the host is starting or stopping".into());
        };
        let found = enabled.enabled(room, &profile.name).await?;
        if self.call.rooms.len() < ROOMS_MAX {
            self.call.rooms.insert(room, found.clone());
        }
        Ok(found)
    }

    pub(crate) fn config_json(&self) -> Arc<str> {
        match &self.call.context {
            Some(context) => Arc::clone(&context.config_json),
            None => Arc::clone(&self.profile.default_config),
        }
    }

    /// Called now and then while guest code runs, and when it goes on after a wait for the host.
    pub(crate) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        // Right after a wait, it is the wait that let the tick pass.
        if self.turn.lasted() >= self.profile.tick / 2 {
            self.call.ran = self.call.ran.saturating_add(self.profile.tick);
        }
        if self.call.ran < self.call.deadline {
            return Ok(UpdateDeadline::Yield(1));
        }
        self.call.breach = Some(Breach::Deadline);
        Err(wasmtime::Error::msg("the call used up its time on the processor"))
    }
}

/// The linear memory of an instance.
pub(crate) struct Memory {
    pub(crate) limit: u64,
    pub(crate) bytes: u64,
    /// Whether it was refused more.
    pub(crate) refused: bool,
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        let total = self.bytes.saturating_add(more);
        if total > self.limit {
            self.refused = true;
            return Ok(false);
        }
        self.bytes = total;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= 20_000)
    }

    fn instances(&self) -> usize {
        24
    }

    fn tables(&self) -> usize {
        12
    }

    fn memories(&self) -> usize {
        3
    }
}
