//! Turning the configuration into what each part of the house takes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{App, Backends, Error, secret};
use crate::config::Config;
use crate::domain::AssetType;
use crate::http::{self, Rate, State};
use crate::ledger::Ledger;
use crate::plugin;
use crate::ports::rate_limit::RateLimit;
use crate::push::{self, Hub};
use crate::timer::Timers;

/// The period over which rates are counted.
const RATE_PERIOD: Duration = Duration::from_secs(1);
/// What stands for no limit at all.
const NO_LIMIT: u32 = u32::MAX;

/// What the plugins work over.
pub(super) fn registry(
    config: &Config,
    backends: &Backends,
    ledger: Arc<Ledger>,
    timers: Arc<Timers>,
) -> plugin::Settings {
    let mintable_assets: BTreeSet<AssetType> = config.plugins.mintable_assets.iter().copied().map(AssetType).collect();
    plugin::Settings {
        compile_cache_dir: config.data_dir.join("compiled"),
        ledger,
        cache: backends.cache.clone(),
        queue: backends.queue.clone(),
        timers,
        push_bus: backends.push_bus.clone(),
        statements: backends.db.clone(),
        pots: backends.db.clone(),
        plugins: backends.db.clone(),
        clock: backends.clock.clone(),
        mintable_assets,
        bounds: plugin::Bounds {
            component_bytes_max: config.http.plugin_bytes_max,
            instances_max: config.plugins.instances_max,
            ..plugin::Bounds::default()
        },
    }
}

/// The hub.
pub(super) fn hub(config: &Config) -> Arc<Hub> {
    Hub::new(push::Settings {
        history_len_max: config.push.history_len,
        queue_len_max: config.push.queue_len_max,
        connections_max: config.push.connections_max,
        room_connections_max: config.push.connections_max,
        ..push::Settings::default()
    })
}

/// The interface over an app.
pub(super) fn http(app: &App) -> Result<Arc<http::App>, Error> {
    let state = State {
        rooms: app.rooms.clone(),
        registry: app.registry.clone(),
        ledger: app.ledger.clone(),
        reconciler: app.backends.reconciler(),
        deliveries: app.backends.db.clone(),
        hub: app.hub.clone(),
        clock: app.backends.clock.clone(),
        user_limit: user_limit(app),
        readiness: app.backends.readiness(),
        circuits: app.backends.circuits(),
        metrics: Some(app.metrics.clone()),
    };
    Ok(http::App::new(interface(&app.config)?, state)?)
}

fn user_limit(app: &App) -> Option<Arc<dyn RateLimit>> {
    let Rate { requests_max, period } = rate(app.config.rate_limits.user_per_second);
    if requests_max == NO_LIMIT { None } else { app.backends.user_limit(requests_max, period) }
}

fn interface(config: &Config) -> Result<http::Settings, Error> {
    let (keys, rates) = (&config.http, &config.rate_limits);
    let current = secret::secret_or_made(config)?;
    let previous = Some(&config.auth.hs256_secret_previous).filter(|secret| !secret.is_empty());
    let jwks_file = Some(&config.auth.jwks_file).filter(|file| !file.as_os_str().is_empty());
    Ok(http::Settings {
        secrets: current.into_iter().chain(previous.map(|secret| secret.clone().into_bytes())).collect(),
        jwks_file: jwks_file.cloned(),
        body_bytes_max: keys.body_bytes_max,
        plugin_bytes_max: keys.plugin_bytes_max,
        head_bytes_max: keys.header_bytes_max,
        head_timeout: Duration::from_millis(keys.header_timeout_ms),
        body_timeout: Duration::from_millis(keys.request_timeout_ms),
        request_timeout: Duration::from_millis(keys.request_timeout_ms),
        connections_max: keys.connections_max,
        drain_timeout: Duration::from_millis(config.shutdown_ms),
        user_rate: rate(rates.user_per_second),
        room_rate: rate(rates.room_per_second),
        ws_requests_max: config.push.websocket_requests_max,
        docs: keys.docs,
        ..http::Settings::default()
    })
}

fn rate(per_second: u32) -> Rate {
    Rate { requests_max: if per_second == 0 { NO_LIMIT } else { per_second }, period: RATE_PERIOD }
}
