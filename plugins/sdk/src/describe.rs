//! What the build asks of a plugin, on this machine and never in the component: its routes, the schemas of its types, its refusals.
//!
//! A plugin is a program whose `main` ([`plugin!`](crate::plugin!) makes it) prints this as JSON; `cargo xtask plugins` runs it and puts
//! the answer into the manifest, so that no schema is written twice and none is carried in the component's code.

use std::process::ExitCode;

use schemars::JsonSchema;
use schemars::generate::{Contract, SchemaSettings};
use serde::Serialize;
use serde_json::Value;

use crate::{Case, Refusal};

/// The parts of the manifest that come from the code.
#[derive(Debug, Default, Serialize)]
pub struct Description {
    config: Value,
    routes: Vec<Route>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Case>,
    #[serde(skip)]
    faults: Vec<String>,
}

impl Description {
    /// Of a plugin with this configuration.
    #[must_use]
    pub fn new<C: JsonSchema>() -> Self {
        let config = schema::<C>(Contract::Deserialize);
        let faults = lenient(&config).map(|place| format!("the configuration{place} {STRICT}")).into_iter().collect();
        Self { config, faults, ..Self::default() }
    }

    /// Adds a route.
    pub fn route(&mut self, route: Route) {
        let name = format!("{} {}", route.method, route.path);
        self.faults.extend(route.faults.iter().map(|fault| format!("{name}: {fault}")));
        self.routes.push(route);
    }

    /// Adds the cases of a refusal.
    pub fn refusal<R: Refusal>(&mut self) {
        for case in R::CASES {
            if case.code < 1_000 && self.problems.iter().any(|other| other.code == case.code) {
                self.faults.push(format!("the code {} of `{}` is another refusal's, too", case.code, case.slug));
            }
            self.problems.push(*case);
        }
    }

    /// Prints it, or what is wrong.
    #[must_use]
    pub fn print(&self) -> ExitCode {
        match serde_json::to_string_pretty(self) {
            Ok(text) if self.faults.is_empty() => {
                println!("{text}");
                ExitCode::SUCCESS
            }
            Ok(_) => fail(&self.faults),
            Err(error) => fail(&[error.to_string()]),
        }
    }
}

fn fail(faults: &[String]) -> ExitCode {
    for fault in faults {
        eprintln!("error: {fault}");
    }
    ExitCode::FAILURE
}

/// A route, as the manifest has it.
#[derive(Debug, Serialize)]
pub struct Route {
    method: &'static str,
    path: &'static str,
    scope: &'static str,
    live: bool,
    roles: &'static [&'static str],
    summary: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Value>,
    #[serde(skip)]
    faults: Vec<String>,
}

impl Route {
    /// Without schemas yet.
    #[must_use]
    pub fn new(
        method: &'static str,
        path: &'static str,
        scope: &'static str,
        live: bool,
        roles: &'static [&'static str],
        summary: &'static str,
    ) -> Self {
        let (query, request, response, faults) = (None, None, None, Vec::new());
        Self { method, path, scope, live, roles, summary, query, request, response, faults }
    }

    /// It takes so many parameters of the path.
    pub fn params(&mut self, taken: usize) {
        let has = self.path.split('/').filter(|segment| segment.starts_with('{')).count();
        if has != taken {
            self.faults.push(format!("its path has {has} parameters, and its function takes {taken}"));
        }
    }

    /// It takes a body.
    pub fn request<T: JsonSchema>(&mut self) {
        self.request = Some(self.strict::<T>("the body"));
    }

    /// It takes a query.
    pub fn query<T: JsonSchema>(&mut self) {
        self.query = Some(self.strict::<T>("the query"));
    }

    /// It answers with this.
    pub fn response<T: JsonSchema>(&mut self) {
        let schema = schema::<T>(Contract::Serialize);
        self.response = (schema.get("type") != Some(&Value::from("null"))).then_some(schema);
    }

    fn strict<T: JsonSchema>(&mut self, what: &str) -> Value {
        let schema = schema::<T>(Contract::Deserialize);
        self.faults.extend(lenient(&schema).map(|place| format!("{what}{place} {STRICT}")));
        schema
    }
}

const STRICT: &str =
    "lets unknown fields through; make its type a #[request], or give it #[serde(deny_unknown_fields)]";

/// A schema without references, which would not be found within another document.
fn schema<T: JsonSchema>(contract: Contract) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.meta_schema = None;
    settings.inline_subschemas = true;
    settings.contract = contract;
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    untitled(&mut schema);
    schema
}

/// The names of Rust's types are no business of clients.
fn untitled(schema: &mut Value) {
    if let Some(object) = schema.as_object_mut()
        && object.get("title").is_some_and(Value::is_string)
    {
        object.remove("title");
    }
}

/// The first place at which an object lets unknown fields through, if there is one.
fn lenient(schema: &Value) -> Option<String> {
    match schema {
        Value::Object(object) => {
            let is_open = object.get("properties").is_some_and(|properties| properties.is_object())
                && !object.contains_key("additionalProperties")
                && !object.contains_key("unevaluatedProperties");
            if is_open {
                return Some(String::new());
            }
            object.iter().find_map(|(key, inner)| lenient(inner).map(|place| format!("/{key}{place}")))
        }
        Value::Array(list) => list.iter().find_map(lenient),
        _ => None,
    }
}
