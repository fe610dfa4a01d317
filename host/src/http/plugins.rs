//! Installing plugins, looking at them, removing them. For operators.

use std::sync::Arc;

use axum::Json as Written;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use greenroom_manifest::Role;
use semver::Version;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::problem::{PLUGIN_IN_USE, PLUGIN_NOT_INSTALLED, Problem};
use super::{App, Identity, body};
use crate::plugin::Plugin;

/// An installed version.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Installed {
    name: String,
    #[schema(value_type = String)]
    version: Version,
    /// SHA-256 of the component, in hexadecimal.
    digest: String,
    description: String,
    authors: Vec<String>,
    /// The first of its 1,000 problem codes.
    problem_code_base: u32,
    /// The capabilities it was given.
    #[schema(value_type = Vec<String>)]
    grants: Vec<greenroom_manifest::Grant>,
    /// What it answers, such as `POST /v1/rooms/{room}/gifts`.
    routes: Vec<String>,
    publishes: Vec<String>,
    consumes: Vec<String>,
    /// JSON Schema of its configuration.
    #[schema(value_type = Object)]
    config: Value,
}

/// Installed versions, by name and then version.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AllInstalled {
    plugins: Vec<Installed>,
}

impl From<&Arc<Plugin>> for Installed {
    fn from(plugin: &Arc<Plugin>) -> Self {
        let manifest = plugin.manifest.clone();
        let route = |route: &greenroom_manifest::Route| {
            format!("{} {}", route.method.as_str(), super::observe::template(route.scope, &route.path))
        };
        Self {
            digest: plugin.digest.clone(),
            problem_code_base: plugin.problem_code_base,
            routes: manifest.routes.iter().map(route).collect(),
            name: manifest.name,
            version: manifest.version,
            description: manifest.description,
            authors: manifest.authors,
            grants: manifest.grants,
            publishes: manifest.publishes,
            consumes: manifest.consumes,
            config: manifest.config,
        }
    }
}

/// Installs a component; the same bytes again change nothing.
#[utoipa::path(post, path = "/v1/plugins", tag = "plugins",
    request_body(content = Vec<u8>, content_type = "application/wasm"), responses(
    (status = 201, description = "Installed.", body = Installed),
    (status = 409, description = "`plugin-version-taken`"),
    (status = 422, description = "`plugin-rejected`: which import, grant, statement or section, and the remedy.")))]
pub(super) async fn install(
    State(app): State<Arc<App>>,
    who: Identity,
    request: Request,
) -> Result<(StatusCode, Written<Installed>), Problem> {
    who.require(&[Role::Operator])?;
    let (parts, body) = request.into_parts();
    body::require_type(&parts.headers, "application/wasm")?;
    let settings = &app.settings;
    let wasm = body::read(body, &parts.headers, settings.plugin_bytes_max, settings.body_timeout * 10).await?;
    let plugin = app.state.registry.install(&wasm).await?;
    Ok((StatusCode::CREATED, Written(Installed::from(&plugin))))
}

/// Every installed version.
#[utoipa::path(get, path = "/v1/plugins", tag = "plugins", responses(
    (status = 200, description = "All of them.", body = AllInstalled)))]
pub(super) async fn list(State(app): State<Arc<App>>, who: Identity) -> Result<Written<AllInstalled>, Problem> {
    who.require(&[Role::Operator])?;
    let plugins = app.state.registry.list().iter().map(Installed::from).collect();
    Ok(Written(AllInstalled { plugins }))
}

/// Every installed version of one plugin.
#[utoipa::path(get, path = "/v1/plugins/{name}", tag = "plugins", params(("name" = String, Path)), responses(
    (status = 200, description = "Its versions.", body = AllInstalled),
    (status = 404, description = "`plugin-not-installed`")))]
pub(super) async fn read(
    State(app): State<Arc<App>>,
    who: Identity,
    Path(name): Path<String>,
) -> Result<Written<AllInstalled>, Problem> {
    who.require(&[Role::Operator])?;
    let all = app.state.registry.list();
    let plugins: Vec<Installed> =
        all.iter().filter(|plugin| plugin.manifest.name == name).map(Installed::from).collect();
    if plugins.is_empty() {
        return Err(not_installed(&name));
    }
    Ok(Written(AllInstalled { plugins }))
}

/// Removes a version that no room has a binding to, and if it is the last one, for which no events wait.
#[utoipa::path(delete, path = "/v1/plugins/{name}/{version}", tag = "plugins",
    params(("name" = String, Path), ("version" = String, Path)), responses(
    (status = 204, description = "Removed."), (status = 404, description = "`plugin-not-installed`"),
    (status = 409, description = "`plugin-in-use`")))]
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    who: Identity,
    Path((name, version)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    who.require(&[Role::Operator])?;
    let version = Version::parse(&version).map_err(|error| Problem::invalid("version", error))?;
    if app.state.rooms.bound(&name, &version).await? {
        let detail = format!("a room has a binding to {name} {version}; give it another version first");
        return Err(Problem::new(PLUGIN_IN_USE, detail));
    }
    if app.state.registry.remove(&name, &version).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(not_installed(&format!("{name} {version}")))
}

fn not_installed(what: &str) -> Problem {
    Problem::new(PLUGIN_NOT_INSTALLED, format!("plugin {what} is not installed"))
}
