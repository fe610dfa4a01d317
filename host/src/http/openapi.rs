//! `/openapi.json` and `/docs`: what the host answers, from its code, and what the installed plugins answer, from their manifests.

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response};
use axum::response::{IntoResponse, Redirect};
use greenroom_manifest::{Manifest, PROBLEM_CODES, ProblemKind, Route, Scope};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::App;
use super::observe::template;
use super::problem::{NOT_FOUND, Problem};
use super::{asset_changes, assets, bindings, events, operations, plugins, recharges, rooms, ws};

#[derive(OpenApi)]
#[openapi(
    info(title = "Greenroom", description = "Rooms whose features are WebAssembly plugins."),
    paths(
        rooms::create,
        rooms::list,
        rooms::read,
        rooms::start_stream,
        rooms::end_stream,
        bindings::list,
        bindings::change,
        bindings::audit,
        plugins::install,
        plugins::list,
        plugins::read,
        plugins::remove,
        assets::balances,
        assets::records,
        asset_changes::apply,
        recharges::credit,
        events::stream,
        ws::upgrade,
        operations::healthz,
        operations::readyz,
        operations::metrics,
    )
)]
struct Host;

static HOST: LazyLock<Value> = LazyLock::new(|| {
    let mut host = serde_json::to_value(Host::openapi()).unwrap_or_default();
    insert(
        &mut host,
        &["components", "securitySchemes"],
        "bearer",
        json!({
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
        }),
    );
    insert(&mut host, &["components", "schemas"], "Problem", problem_schema());
    if let Some(root) = host.as_object_mut() {
        root.insert("security".to_owned(), json!([{ "bearer": [] }]));
    }
    host
});

/// RFC 9457, with the older envelope as extensions.
fn problem_schema() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "errCode", "errMsg"],
        "properties": {
            "type": { "type": "string" }, "title": { "type": "string" }, "status": { "type": "integer" },
            "detail": { "type": "string" }, "instance": { "type": "string" },
            "errCode": { "type": "integer" }, "errMsg": { "type": "string" }, "extra": { "type": "object" },
        },
    })
}

fn insert(root: &mut Value, path: &[&str], key: &str, value: Value) {
    let mut at = root;
    for step in path {
        let Some(object) = at.as_object_mut() else { return };
        at = object.entry(*step).or_insert_with(|| Value::Object(Map::new()));
    }
    if let Some(object) = at.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

/// The description, as of the plugins that are installed now.
pub(super) async fn document(State(app): State<Arc<App>>) -> axum::Json<Value> {
    let plugins = app.state.registry.list();
    axum::Json(merged(plugins.iter().map(|plugin| (&plugin.manifest, plugin.problem_code_base))))
}

/// The host's description with the routes of manifests and the first of their problem codes; of two versions, the later in the list stands.
fn merged<'a>(plugins: impl Iterator<Item = (&'a Manifest, u32)>) -> Value {
    let mut document = HOST.clone();
    for (manifest, code_base) in plugins {
        let refusal = refusal(manifest, code_base);
        for route in &manifest.routes {
            let path = template(route.scope, &route.path);
            let method = route.method.as_str().to_ascii_lowercase();
            insert(&mut document, &["paths", &path], &method, operation(manifest, route, &refusal));
        }
    }
    document
}

fn operation(manifest: &Manifest, route: &Route, refusal: &str) -> Value {
    let in_room = (route.scope == Scope::Room).then_some("room");
    let own = route.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let parameter = |name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
    let mut parameters: Vec<Value> = in_room.into_iter().chain(own).map(parameter).collect();
    parameters.extend(route.query.iter().flat_map(query));
    let name = &manifest.name;
    let answer = route.response.clone().unwrap_or_else(|| json!({}));
    let mut operation = json!({
        "tags": [name],
        "summary": route.summary,
        "operationId": format!("{name}:{} {}", route.method.as_str(), route.path),
        "parameters": parameters,
        "responses": {
            "200": { "description": "Done.", "content": { "application/json": { "schema": answer } } },
            "default": { "description": refusal, "content": { "application/problem+json": {
                "schema": { "$ref": "#/components/schemas/Problem" } } } },
        },
    });
    if let Some(schema) = &route.request {
        let body = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
        insert(&mut operation, &[], "requestBody", body);
    }
    operation
}

/// The parameters of a query, from the schema of all of them as an object.
fn query(schema: &Value) -> Vec<Value> {
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|other| other == name));
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let parameter = |(name, schema): (&String, &Value)| json!({ "name": name, "in": "query", "required": is_required(name), "schema": schema });
    properties.map(parameter).collect()
}

/// What a plugin refuses: its own cases, which any of its routes may answer, beside the host's.
fn refusal(manifest: &Manifest, code_base: u32) -> String {
    let case = |kind: &ProblemKind| {
        let ProblemKind { code, status, slug, detail } = kind;
        // A small number is one of the plugin's own codes; others are the host's.
        let code = if *code < PROBLEM_CODES { code_base.saturating_add(*code) } else { *code };
        format!("\n- {code} `{slug}` ({status}): {detail}")
    };
    let cases: String = manifest.problems.iter().map(case).collect();
    if cases.is_empty() {
        "A refusal.".into()
    } else {
        format!("A refusal: one of the host's, or of the plugin's own:\n{cases}")
    }
}

static DOCS: LazyLock<Arc<utoipa_swagger_ui::Config<'static>>> =
    LazyLock::new(|| Arc::new(utoipa_swagger_ui::Config::from("/openapi.json").persist_authorization(true)));

/// The page refers to its files relatively, so it needs the slash.
pub(super) async fn docs_root() -> Redirect {
    Redirect::permanent("/docs/index.html")
}

/// A file of the page.
pub(super) async fn docs_file(Path(file): Path<String>) -> Result<Response<Body>, Problem> {
    let found = utoipa_swagger_ui::serve(&file, DOCS.clone()).ok().flatten();
    let file = found.ok_or_else(|| Problem::new(NOT_FOUND, format!("the documentation has no {file}")))?;
    let kind =
        HeaderValue::from_str(&file.content_type).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let mut response = file.bytes.into_owned().into_response();
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_has_the_hosts_routes_and_those_of_plugins() {
        let manifest: Manifest = serde_json::from_value(json!({
            "name": "gift", "version": "1.0.0", "description": "Gifts.",
            "routes": [
                { "method": "POST", "path": "gifts", "request": { "type": "object" }, "response": { "type": "object" } },
                { "method": "PUT", "path": "gifts/{giftId}", "scope": "global", "query": {
                    "type": "object", "properties": { "limit": { "type": "integer" } }, "required": ["limit"] } },
            ],
            "problems": [{ "code": 4, "status": 409, "slug": "gift-gone", "detail": "gift {gift_id} is gone" }],
        }))
        .unwrap();
        let document = merged(std::iter::once((&manifest, 50_000)));
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let gifts = &document["paths"]["/v1/rooms/{room}/gifts"]["post"];
        assert_eq!(gifts["parameters"][0]["name"], "room");
        assert_eq!(gifts["requestBody"]["content"]["application/json"]["schema"]["type"], "object");
        assert_eq!(document["paths"]["/v1/gifts/{giftId}"]["put"]["parameters"][0]["name"], "giftId");
        let put = &document["paths"]["/v1/gifts/{giftId}"]["put"];
        let limit = json!({ "name": "limit", "in": "query", "required": true, "schema": { "type": "integer" } });
        assert_eq!(put["parameters"][1], limit);
        let refusal = put["responses"]["default"]["description"].as_str().unwrap();
        assert!(refusal.contains("50004 `gift-gone` (409): gift {gift_id} is gone"), "{refusal}");
        for (path, method) in [
            ("/v1/rooms", "post"),
            ("/v1/rooms/{room}/plugins/{name}", "put"),
            ("/v1/asset-changes", "post"),
            ("/v1/rooms/{room}/events", "get"),
        ] {
            assert!(document["paths"][path][method].is_object(), "{method} {path}");
        }
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name} is referred to and not there");
        }
    }

    #[tokio::test]
    async fn the_page_and_its_files_are_there_and_others_are_not() {
        let page = docs_file(Path("index.html".to_owned())).await.unwrap();
        assert!(page.headers()[CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
        let script = docs_file(Path("swagger-initializer.js".to_owned())).await.unwrap();
        let script = http_body_util::BodyExt::collect(script.into_body()).await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&script).contains("/openapi.json"));
        assert_eq!(docs_file(Path("nothing.html".to_owned())).await.unwrap_err().code(), 10010);
    }
}
