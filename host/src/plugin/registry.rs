//! The installed plugins, and the way to call them.
//!
//! Reading the set takes no lock. One plugin is installed at a time; the others wait in line, which is as long as the operators who
//! install at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwap;
use semver::Version;
use tokio::sync::{Mutex, watch};
use wasmtime::component::Linker;

use crate::domain::AssetType;
use crate::ledger::Ledger;
use crate::plugin::bindings::exports::greenroom::plugin::api;
use crate::plugin::engine::Engine;
use crate::plugin::host::{Pots, RememberedRows};
use crate::plugin::instance::{Input, Output};
use crate::plugin::invoke::Caller;
use crate::plugin::limits::Bounds;
use crate::plugin::prepare::{Checked, Workshop};
use crate::plugin::state::{Kind, Ports};
use crate::plugin::{
    ApiRequest, ApiResponse, Context, Enabled, Error, Occasion, Plugin, Problem, Rejected, Verdict, answer, compile,
    consume, host,
};
use crate::ports::cache::Cache;
use crate::ports::clock::Clock;
use crate::ports::db::{self, StoredPlugin};
use crate::ports::push_bus::PushBus;
use crate::ports::queue::{Delivery, Queue};
use crate::timer::Timers;

/// What the registry works over, and its bounds.
pub struct Settings {
    /// Where compiled components are kept.
    pub compile_cache_dir: PathBuf,
    /// The ledger, for `greenroom:ledger`.
    pub ledger: Arc<Ledger>,
    /// For `greenroom:cache`.
    pub cache: Arc<dyn Cache>,
    /// Where plugins that consume have a group.
    pub queue: Arc<dyn Queue>,
    /// For `greenroom:timer`.
    pub timers: Arc<Timers>,
    /// For `greenroom:room`.
    pub push_bus: Arc<dyn PushBus>,
    /// For `greenroom:db`.
    pub statements: Arc<dyn db::Statements>,
    /// For the pots of `greenroom:ledger`.
    pub pots: Arc<dyn db::Pots>,
    /// Where installed plugins are remembered.
    pub plugins: Arc<dyn db::Plugins>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The assets that postings may take from the mint, such as points that viewers earn. Never one that is sold.
    pub mintable_assets: BTreeSet<AssetType>,
    /// The host's bounds on plugins.
    pub bounds: Bounds,
}

/// The assets that may be minted unless configured: points.
#[must_use]
pub fn default_mintable_assets() -> BTreeSet<AssetType> {
    BTreeSet::from([AssetType(3)])
}

/// Why a plugin was not installed or removed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The component is at fault.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// Another component has this name and version.
    #[error("{name} {version} is installed with another digest; give it a new version")]
    VersionTaken {
        /// The name.
        name: String,
        /// The version.
        version: Version,
    },
    /// Events wait for the last version of a plugin that consumes; worth a retry.
    #[error("{events} events wait for plugin {name} to consume them; let them be settled first, then remove it")]
    Awaited {
        /// The name.
        name: String,
        /// How many.
        events: u64,
    },
    /// The database or the disk; worth a retry.
    #[error("cannot install now: {0}")]
    Unavailable(String),
}

/// By name and version.
type Installed = BTreeMap<(String, Version), Arc<Plugin>>;

/// The installed plugins. Cheap to share.
pub struct Registry {
    workshop: Arc<Workshop>,
    pub(super) plugins: Arc<dyn db::Plugins>,
    push_bus: Arc<dyn PushBus>,
    queue: Arc<dyn Queue>,
    installed: ArcSwap<Installed>,
    /// The one place in which a plugin is installed. It keeps the versions that another process installed and that do not load here.
    pub(super) installing: Mutex<BTreeSet<(String, Version)>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("installed", &self.list()).finish_non_exhaustive()
    }
}

impl Registry {
    /// Starts the engine and loads what is installed, from the compile cache where it can. Plugins that no longer load are left out
    /// with an error in the log.
    ///
    /// # Errors
    /// If the engine cannot be set up or the database does not answer.
    pub async fn start(settings: Settings) -> Result<Self, InstallError> {
        let (plugins, push_bus) = (Arc::clone(&settings.plugins), Arc::clone(&settings.push_bus));
        let queue = Arc::clone(&settings.queue);
        let registry = Self {
            workshop: Arc::new(workshop(settings)?),
            plugins,
            push_bus,
            queue,
            installed: ArcSwap::default(),
            installing: Mutex::default(),
        };
        for stored in registry.plugins.installed().await.map_err(unavailable)? {
            let (name, version) = (stored.name.clone(), stored.version.clone());
            if let Err(error) = registry.load(stored).await {
                tracing::error!("plugin {name} {version} is left out: {error}");
            }
        }
        Ok(registry)
    }

    /// Checks, compiles and remembers a component. Installing the same bytes again gives what is there.
    ///
    /// # Errors
    /// See [`InstallError`].
    pub async fn install(&self, wasm: &[u8]) -> Result<Arc<Plugin>, InstallError> {
        let checked = self.workshop.check(wasm)?;
        let _place = self.installing.lock().await;
        let (name, version) = (checked.manifest.name.clone(), checked.manifest.version.clone());
        match self.get(&name, Some(&version)) {
            Some(there) if there.digest == checked.digest => return Ok(there),
            Some(_) => return Err(InstallError::VersionTaken { name, version }),
            None => {}
        }
        self.workshop.check_statements(&checked.manifest).await?;
        let mut stored = StoredPlugin {
            name: name.clone(),
            version: version.clone(),
            digest: checked.digest.clone(),
            wasm: wasm.to_vec(),
            installed_at_ms: self.workshop.ports.clock.now_ms(),
            problem_code_base: 0,
        };
        // Built before it is remembered, so that what does not compile is never there; the range of codes is known only after.
        let mut plugin = self.workshop.build(checked, wasm.into(), 0).await?;
        let base = self.plugins.install(&stored).await.map_err(unavailable)?;
        let Some(base) = base else { return Err(InstallError::VersionTaken { name, version }) };
        stored.problem_code_base = base;
        plugin.problem_code_base = base;
        let plugin = self.add(plugin);
        self.announce().await;
        Ok(plugin)
    }

    /// Forgets a version; the caller has made sure that it is not bound. With the last version of a plugin the queue keeps no events for
    /// it any more. False if it was not there.
    ///
    /// # Errors
    /// `Awaited` if it is the last version and events wait for it; nothing is done then. Else if the database or the queue does not answer.
    pub async fn remove(&self, name: &str, version: &Version) -> Result<bool, InstallError> {
        let _place = self.installing.lock().await;
        // Before it is removed: if this host ends in between, the plugin is there and joins its group again.
        if self.is_last(name, version) {
            self.forget_group(name).await?;
        }
        let removed = self.plugins.remove(name, version).await.map_err(unavailable)?;
        self.forget(&(name.to_owned(), version.clone()));
        self.announce().await;
        Ok(removed)
    }

    /// Whether this is the only version of a plugin that is there.
    fn is_last(&self, name: &str, version: &Version) -> bool {
        let installed = self.installed.load();
        let mut versions = installed.keys().filter(|(of, _)| of == name).map(|(_, version)| version);
        versions.next() == Some(version) && versions.next().is_none()
    }

    async fn forget_group(&self, name: &str) -> Result<(), InstallError> {
        let retries = self.workshop.ports.ledger.retries_of(name).await.map_err(unavailable)?;
        let waiting = self.queue.lag().await.map_err(unavailable)?.get(name).copied();
        match waiting.unwrap_or_default().saturating_add(retries) {
            0 if waiting.is_none() => Ok(()),
            0 => self.queue.forget(name).await.map_err(unavailable),
            events => Err(InstallError::Awaited { name: name.to_owned(), events }),
        }
    }

    /// Says who knows the rooms; once, when they are there. Until then plugins find no room but that of their call.
    pub fn know_rooms(&self, rooms: Weak<dyn Enabled>) {
        let _ = self.workshop.ports.enabled.set(rooms);
    }

    /// Tells every process that rooms or plugins were changed. If that fails, they find out by looking.
    pub async fn announce(&self) {
        if let Err(error) = self.push_bus.announce().await {
            tracing::debug!(%error, "a change was not announced");
        }
    }

    /// Changes whenever some process has announced a change.
    #[must_use]
    pub fn announced(&self) -> watch::Receiver<()> {
        self.push_bus.announced()
    }

    /// Drops what is remembered of plugins' tables: another process may have written to them.
    pub fn forget_rows(&self) {
        self.workshop.ports.rows.forget();
    }

    /// A version of a plugin; the newest if none is named.
    #[must_use]
    pub fn get(&self, name: &str, version: Option<&Version>) -> Option<Arc<Plugin>> {
        let installed = self.installed.load();
        match version {
            Some(version) => installed.get(&(name.to_owned(), version.clone())).cloned(),
            None => installed.values().rfind(|plugin| plugin.manifest.name == name).cloned(),
        }
    }

    /// Every installed version, by name and then version.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Plugin>> {
        self.installed.load().values().cloned().collect()
    }

    /// Answers a request.
    ///
    /// # Errors
    /// The outer one if the call gave no answer, the inner one if the plugin refused.
    pub async fn api(
        &self,
        context: &Arc<Context>,
        request: ApiRequest,
    ) -> Result<Result<ApiResponse, Problem>, Error> {
        let plugin = &context.plugin;
        let Some(route) = plugin.manifest.routes.get(request.route) else {
            return Err(Error::Failed { plugin: plugin.manifest.name.clone(), reason: "it has no such route".into() });
        };
        let params: Vec<(&str, &str)> = request.params.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let query: Vec<(&str, &str)> = request.query.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let input = Input::Api(api::Request {
            method: route.method.as_str(),
            route: &route.path,
            params: &params,
            query: &query,
            body: &request.body,
            idempotency_key: request.idempotency_key.as_deref(),
            caller: request.caller.into(),
            context: context.id,
            now_ms: self.workshop.ports.clock.now_ms(),
        });
        self.guarded(context, Kind::Api(request.caller), input, |output| match output {
            Output::Api(answer) => answer::checked(plugin, answer),
            _ => Err(confused(plugin)),
        })
        .await
    }

    /// Consumes a batch; one verdict for each event. `attempts` are the numbers of the tries, 1 for the first. If the batch as a whole
    /// gives no verdicts, each event is tried alone, and those that fail alone are to be tried again later.
    ///
    /// # Errors
    /// If the call gave no verdicts for a reason that lies in no event.
    pub async fn consume(
        &self,
        plugin: &Arc<Plugin>,
        batch: &[Delivery],
        attempts: &[u32],
    ) -> Result<Vec<Verdict>, Error> {
        consume::consume(&self.caller(), plugin, batch, attempts).await
    }

    /// Tells a plugin what happened in a room; a plugin without that export agrees to everything.
    ///
    /// # Errors
    /// The outer one if the call gave no answer, the inner one if the plugin refused.
    pub async fn lifecycle(&self, context: &Arc<Context>, occasion: Occasion) -> Result<Result<(), String>, Error> {
        if !context.plugin.pool.template().has_lifecycle() {
            return Ok(Ok(()));
        }
        let input = Input::On(occasion.into());
        self.guarded(context, Kind::Told, input, |output| told(&context.plugin, output)).await
    }

    /// Fires a timer.
    ///
    /// # Errors
    /// The outer one if the call gave no answer, the inner one if the plugin refused.
    pub async fn fire(&self, context: &Arc<Context>, key: &str, payload: &[u8]) -> Result<Result<(), String>, Error> {
        let input = Input::Fire(key, payload);
        self.guarded(context, Kind::Told, input, |output| told(&context.plugin, output)).await
    }

    /// A call under the circuits of the room and of the plugin.
    async fn guarded<T>(
        &self,
        context: &Arc<Context>,
        kind: Kind,
        input: Input<'_>,
        read: impl FnOnce(Output) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let plugin = &context.plugin;
        let suspended = |retry_after| Error::Suspended { plugin: plugin.manifest.name.clone(), retry_after };
        let in_room = context.breaker.enter().map_err(suspended)?;
        let in_all = plugin.breaker.enter().map_err(suspended)?;
        let answer = self.caller().call(plugin, kind, Some(context), input).await.and_then(read);
        match &answer {
            Ok(_) => {
                in_room.succeeded();
                in_all.succeeded();
            }
            Err(error @ (Error::Failed { .. } | Error::Timeout { .. })) => {
                in_room.failed(error);
                in_all.failed(error);
            }
            Err(Error::Overloaded { .. }) => self.trim_others(plugin),
            Err(_) => {}
        }
        answer
    }

    /// Lets go of other plugins' idle instances, which may be what this one lacks for its next call.
    fn trim_others(&self, plugin: &Arc<Plugin>) {
        for other in self.installed.load().values().filter(|other| !Arc::ptr_eq(other, plugin)) {
            let trimmed = other.pool.trim();
            if trimmed > 0 {
                tracing::debug!(plugin = other.manifest.name, "let go of {trimmed} idle instances");
            }
        }
    }

    fn caller(&self) -> Caller<'_> {
        let bounds = &self.workshop.bounds;
        Caller {
            cache: self.workshop.ports.cache.as_ref(),
            ledger: self.workshop.ports.ledger.as_ref(),
            push_bus: self.push_bus.as_ref(),
            alone_max: bounds.alone_max,
        }
    }

    pub(super) async fn load(&self, stored: StoredPlugin) -> Result<(), InstallError> {
        let checked: Checked = self.workshop.check(&stored.wasm)?;
        self.workshop.check_statements(&checked.manifest).await?;
        let plugin = self.workshop.build(checked, stored.wasm.into(), stored.problem_code_base).await?;
        self.add(plugin);
        Ok(())
    }

    pub(super) fn forget(&self, key: &(String, Version)) {
        self.installed.rcu(|installed| {
            let mut installed = Installed::clone(installed);
            installed.remove(key);
            installed
        });
    }

    fn add(&self, plugin: Plugin) -> Arc<Plugin> {
        let plugin = Arc::new(plugin);
        let key = (plugin.manifest.name.clone(), plugin.manifest.version.clone());
        self.installed.rcu(|installed| {
            let mut installed = Installed::clone(installed);
            installed.insert(key.clone(), Arc::clone(&plugin));
            installed
        });
        plugin
    }
}

fn workshop(settings: Settings) -> Result<Workshop, InstallError> {
    let dir = settings.compile_cache_dir;
    compile::prepare(&dir).map_err(|e| InstallError::Unavailable(format!("{}: {e}", dir.display())))?;
    let engine = Engine::start(&settings.bounds).map_err(InstallError::Unavailable)?;
    let mut linker = Linker::new(&engine.inner);
    host::link(&mut linker).map_err(|e| InstallError::Unavailable(format!("cannot link the host: {e:#}")))?;
    let ports = Arc::new(Ports {
        ledger: settings.ledger,
        cache: settings.cache,
        timers: settings.timers,
        statements: settings.statements,
        clock: settings.clock,
        mintable_assets: settings.mintable_assets,
        rows: RememberedRows::default(),
        pots: Pots::new(settings.pots),
        enabled: OnceLock::new(),
        push_bus: settings.push_bus,
    });
    Ok(Workshop { engine, linker, ports, bounds: settings.bounds, cache_dir: dir })
}

fn told(plugin: &Plugin, output: Output) -> Result<Result<(), String>, Error> {
    match output {
        Output::Told(answer) => Ok(answer),
        _ => Err(confused(plugin)),
    }
}

fn confused(plugin: &Plugin) -> Error {
    Error::Failed { plugin: plugin.manifest.name.clone(), reason: "another export answered than the one called".into() }
}

pub(super) fn unavailable(error: impl fmt::Display) -> InstallError {
    InstallError::Unavailable(error.to_string())
}
