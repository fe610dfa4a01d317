//! A component, made ready: checked, compiled, with its pool of warm instances.

use std::borrow::Cow;
use std::fmt;

use greenroom_manifest::{Manifest, Role};
use serde_json::{Map, Value};

use crate::breaker::Breaker;
use crate::plugin::limits::Limits;
use crate::plugin::pool::Pool;
use crate::plugin::schema::Schema;
use crate::plugin::{ApiRequest, Problem, query};

/// One installed version of a plugin: checked, compiled, with its pool of warm instances.
pub struct Plugin {
    /// What it says of itself.
    pub manifest: Manifest,
    /// SHA-256 of its bytes, in hexadecimal.
    pub digest: String,
    /// The first of its problem codes.
    pub problem_code_base: u32,
    /// Its circuit in all rooms together.
    pub(crate) breaker: Breaker,
    pub(crate) limits: Limits,
    pub(crate) pool: Pool,
    pub(crate) schemas: Schemas,
}

/// The schemas of a manifest, compiled.
pub(crate) struct Schemas {
    pub(crate) config: Schema,
    /// Those of the routes' bodies, in the order of the routes.
    pub(crate) requests: Vec<Option<Schema>>,
    /// Those of the routes' queries, in the same order.
    pub(crate) queries: Vec<Option<Schema>>,
}

impl Schemas {
    /// Compiles all of them.
    ///
    /// # Errors
    /// With the first that is none.
    pub(crate) fn compile(manifest: &Manifest) -> Result<Self, Rejected> {
        let config = Schema::compile("config", &manifest.config)?;
        let (mut requests, mut queries) = (Vec::new(), Vec::new());
        for (index, route) in manifest.routes.iter().enumerate() {
            let compiled = |part: &str, schema: &Option<Value>| {
                let subject = format!("routes[{index}].{part}");
                schema.as_ref().map(|schema| Schema::compile(&subject, schema)).transpose()
            };
            requests.push(compiled("request", &route.request)?);
            queries.push(compiled("query", &route.query)?);
            if let Some(response) = &route.response {
                Schema::compile(&format!("routes[{index}].response"), response)?;
            }
        }
        Ok(Self { config, requests, queries })
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.manifest.name)
            .field("version", &self.manifest.version)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// A configuration that the plugin's schema refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("configuration at `{pointer}`: {fault}")]
pub struct ConfigFault {
    /// JSON pointer into the configuration.
    pub pointer: String,
    /// What is wrong.
    pub fault: String,
}

/// Why a component is not installed: which import, grant, statement, section or limit, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{subject}: {fault}")]
pub struct Rejected {
    /// Such as `import wasi:filesystem/types@0.2.0`, `grant ledger`, `statement gifts`, `section greenroom:manifest`.
    pub subject: String,
    /// What is wrong with it, and what would be right.
    pub fault: String,
}

impl Plugin {
    /// Warm instances that wait for a call.
    #[must_use]
    pub fn idle_instances(&self) -> usize {
        self.pool.idle()
    }

    /// Fills in defaults and checks the configuration against the plugin's schema. Null counts as an empty object.
    ///
    /// # Errors
    /// With the place of the first fault.
    pub fn configure(&self, config: Value) -> Result<Value, ConfigFault> {
        configure(&self.schemas.config, config)
    }

    /// Checks a request before the plugin is called: the caller's role, and query and body against the route's schemas.
    ///
    /// # Errors
    /// The problem to answer with.
    pub fn admit(&self, request: &ApiRequest) -> Result<(), Problem> {
        let Some(route) = self.manifest.routes.get(request.route) else {
            return Err(refusal(404, 10_003, "plugin-not-enabled", "the plugin has no such route".into(), None));
        };
        if !route.roles.is_empty() && !route.roles.contains(&request.caller.role) {
            let roles: Vec<&str> = route.roles.iter().map(|role| word(*role)).collect();
            let role = word(request.caller.role);
            let detail = format!("a {role} may not do this; it takes one of: {}", roles.join(", "));
            return Err(refusal(403, 100_003, "forbidden", detail, None));
        }
        if let Some(Some(schema)) = self.schemas.queries.get(request.route) {
            let query = query::object(schema.source(), &request.query);
            schema.check(&query).map_err(|fault| misplaced("query", &fault))?;
        }
        let Some(Some(schema)) = self.schemas.requests.get(request.route) else { return Ok(()) };
        let body: Value = serde_json::from_slice(&request.body).map_err(|fault| {
            let detail = format!("the body is not JSON: {fault}");
            refusal(400, 10_006, "invalid-request", detail, Some("/"))
        })?;
        schema.check(&body).map_err(|fault| misplaced("body", &fault))
    }
}

/// What a schema refuses in a part of the request.
fn misplaced(part: &str, fault: &ConfigFault) -> Problem {
    let place = if fault.pointer.is_empty() { "/" } else { &fault.pointer };
    refusal(400, 10_006, "invalid-request", format!("{part} at `{place}`: {}", fault.fault), Some(place))
}

/// See [`Plugin::configure`].
pub(crate) fn configure(schema: &Schema, config: Value) -> Result<Value, ConfigFault> {
    let mut config = if config.is_null() { Value::Object(Map::new()) } else { config };
    schema.fill_in(&mut config);
    schema.check(&config)?;
    Ok(config)
}

fn refusal(status: u16, code: u32, slug: &str, detail: String, place: Option<&str>) -> Problem {
    let extra = place.map(|place| serde_json::json!({ "where": Cow::Borrowed(place) }));
    Problem { status, code, slug: slug.into(), detail, extra, retry_after: None }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Streamer => "streamer",
        Role::Operator => "operator",
        Role::Service => "service",
    }
}
