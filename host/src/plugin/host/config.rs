//! `wasi:config`: the top-level keys of the configuration.

use serde_json::{Map, Value};

use crate::plugin::bindings::wasi::config::store::{Error, Host};
use crate::plugin::state::State;

impl Host for State {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, Error>> {
        self.enter()?;
        Ok(read(self).map(|mut config| config.remove(&key).map(text)))
    }

    fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, Error>> {
        self.enter()?;
        Ok(read(self).map(|config| config.into_iter().map(|(key, value)| (key, text(value))).collect()))
    }
}

fn read(state: &State) -> Result<Map<String, Value>, Error> {
    serde_json::from_str(&state.config_json()).map_err(|e| Error::Upstream(e.to_string()))
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
