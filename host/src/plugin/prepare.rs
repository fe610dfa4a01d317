//! From bytes to a [`Plugin`]: every check, the compilation, the first instance.
//!
//! The order is that of cost: what can be said from the bytes, then the database, then the compiler, then a trial instance.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use greenroom_manifest::{Grant, Manifest};
use serde_json::Value;
use sha2::{Digest, Sha256};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};

use crate::breaker::{self, Breaker};
use crate::plugin::engine::{Engine, MEMORIES_PER_COMPONENT};
use crate::plugin::inspect::{inspect, missing_grant, rejected};
use crate::plugin::install::{Schemas, configure};
use crate::plugin::instance::Template;
use crate::plugin::limits::{Bounds, Limits};
use crate::plugin::pool::{Pool, Refused};
use crate::plugin::state::{Ports, Profile, State};
use crate::plugin::{InstallError, Plugin, Rejected, compile};
use crate::ports::db;

/// Failures in a row, in all rooms together, that open a plugin's circuit: several rooms' worth.
const FAILURES_MAX: u32 = 20;

/// Functions that need a grant beyond that of their interface.
const GRANTED_FUNCTIONS: [(&str, &str, Grant); 5] = [
    ("greenroom:room/", "broadcast", Grant::Push),
    ("greenroom:room/", "send", Grant::Push),
    ("greenroom:room/", "broadcast-in", Grant::Push),
    ("greenroom:room/", "send-in", Grant::Push),
    ("greenroom:ledger/", "pot", Grant::Pots),
];

/// What preparing needs; one for all plugins.
pub(crate) struct Workshop {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<State>,
    pub(crate) ports: Arc<Ports>,
    pub(crate) bounds: Bounds,
    pub(crate) cache_dir: PathBuf,
}

/// A component whose bytes, manifest and statements are in order.
pub(crate) struct Checked {
    pub(crate) manifest: Manifest,
    pub(crate) digest: String,
    limits: Limits,
    schemas: Schemas,
}

impl Workshop {
    /// Checks all that can be checked without compiling or asking anybody.
    ///
    /// # Errors
    /// With the first fault.
    pub(crate) fn check(&self, wasm: &[u8]) -> Result<Checked, Rejected> {
        let manifest = inspect(wasm, &self.bounds)?;
        let limits = Limits::of(&manifest, &self.bounds)?;
        let schemas = Schemas::compile(&manifest)?;
        Ok(Checked { manifest, digest: hexadecimal(wasm), limits, schemas })
    }

    /// Makes the plugin's tables and prepares its statements against them.
    ///
    /// # Errors
    /// With the statement that does not prepare, in the database's words.
    pub(crate) async fn check_statements(&self, manifest: &Manifest) -> Result<(), InstallError> {
        let uses_db = !manifest.schema.is_empty() || !manifest.statements.is_empty();
        if !uses_db {
            return Ok(());
        }
        if !manifest.grants.contains(&Grant::Db) {
            let fault = "the manifest has statements; add \"db\" to `grants`";
            return Err(rejected("grant db", fault).into());
        }
        let statements = &self.ports.statements;
        statements.migrate(&manifest.name, &manifest.schema).await.map_err(|e| refused("schema", e))?;
        for (name, sql) in &manifest.statements {
            statements.prepare(&manifest.name, sql).await.map_err(|e| refused(&format!("statement {name}"), e))?;
        }
        Ok(())
    }

    /// Compiles the component and makes a first instance of it.
    ///
    /// # Errors
    /// If it does not compile, link or start.
    pub(crate) async fn build(
        self: &Arc<Self>,
        checked: Checked,
        wasm: Arc<[u8]>,
        problem_code_base: u32,
    ) -> Result<Plugin, InstallError> {
        let component = self.compile(&checked.digest, wasm).await?;
        self.check_component(&component, &checked)?;
        let pre = self.linker.instantiate_pre(&component).map_err(|e| rejected("imports", format!("{e:#}")))?;
        let Checked { manifest, digest, limits, schemas } = checked;
        let profile = Arc::new(profile(&manifest, &limits, &schemas, self.bounds.tick));
        let pool = Pool::new(
            Template::new(pre),
            Arc::clone(&self.ports),
            profile,
            manifest.isolation,
            self.bounds.waiting_max,
            self.bounds.calls_per_instance_max,
        );
        pool.warm_up().await.map_err(|refused| match refused {
            Refused::Failed(error) => rejected("component", format!("it cannot be instantiated: {error:#}")).into(),
            Refused::Overloaded => InstallError::Unavailable("all plugins together have too many instances".into()),
        })?;
        let breaker = Breaker::new(breaker::Settings { failures_max: FAILURES_MAX, ..breaker::Settings::PLUGIN });
        Ok(Plugin { manifest, digest, problem_code_base, breaker, limits, pool, schemas })
    }

    async fn compile(self: &Arc<Self>, digest: &str, wasm: Arc<[u8]>) -> Result<Component, InstallError> {
        let (workshop, digest) = (Arc::clone(self), digest.to_owned());
        let compiled = tokio::task::spawn_blocking(move || {
            compile::load_or_compile(&workshop.engine.inner, &workshop.cache_dir, &digest, &wasm)
        });
        match compiled.await {
            Ok(Ok(component)) => Ok(component),
            Ok(Err(error)) => Err(rejected("component", format!("it does not compile: {error:#}")).into()),
            Err(error) => Err(InstallError::Unavailable(format!("the compiler panicked: {error}"))),
        }
    }

    /// Checks what only the compiled component tells: its memories, and the functions within its imports.
    fn check_component(&self, component: &Component, checked: &Checked) -> Result<(), Rejected> {
        let needs = component
            .resources_required()
            .ok_or_else(|| rejected("component", "it imports a module; build it as one component"))?;
        if needs.num_memories > MEMORIES_PER_COMPONENT {
            let fault = format!("it has {}; this host allows {MEMORIES_PER_COMPONENT}", needs.num_memories);
            return Err(rejected("memories", fault));
        }
        let (initial, limit) = (needs.max_initial_memory_size.unwrap_or(0), checked.limits.memory_bytes);
        if initial > limit {
            let fault =
                format!("it starts with {initial} bytes of memory; raise `limits.memory-bytes-max` above {limit}");
            return Err(rejected("limit memory-bytes-max", fault));
        }
        let engine = &self.engine.inner;
        for (import, item) in component.component_type().imports(engine) {
            let ComponentItem::ComponentInstance(instance) = item.ty else { continue };
            for (interface, function, grant) in GRANTED_FUNCTIONS {
                let imports =
                    import.starts_with(interface) && instance.exports(engine).any(|(name, _)| name == function);
                if imports && !checked.manifest.grants.contains(&grant) {
                    return Err(missing_grant(grant, &format!("{import} with `{function}`")));
                }
            }
        }
        Ok(())
    }
}

fn profile(manifest: &Manifest, limits: &Limits, schemas: &Schemas, tick: Duration) -> Profile {
    let default_config =
        configure(&schemas.config, Value::Null).map_or_else(|_| "{}".into(), |value| value.to_string());
    Profile {
        name: manifest.name.as_str().into(),
        version: manifest.version.to_string(),
        grants: manifest.grants.iter().copied().collect(),
        publishes: manifest.publishes.iter().map(|topic| topic.as_str().into()).collect(),
        statements: manifest.statements.clone(),
        remembered: manifest.remembered.iter().cloned().collect(),
        limits: limits.clone(),
        tick,
        default_config: default_config.into(),
    }
}

fn refused(subject: &str, error: db::Error) -> InstallError {
    match error {
        db::Error::Refused(words) => rejected(subject, words).into(),
        db::Error::Unavailable(words) | db::Error::Busy(words) => InstallError::Unavailable(words),
    }
}

fn hexadecimal(wasm: &[u8]) -> String {
    Sha256::digest(wasm).iter().map(|byte| format!("{byte:02x}")).collect()
}
