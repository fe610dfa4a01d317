//! `greenroom:db`: the statements that the manifest names.

use std::sync::Arc;

use greenroom_manifest::Grant;

use super::size;
use crate::plugin::bindings::greenroom::db::db::{Error, Host, Step, Value};
use crate::plugin::state::{Ports, State};
use crate::ports::db as port;

const ROWS_MAX: usize = 1_000;
const STEPS_MAX: usize = 1_000;
const PARAMS_MAX: usize = 64;
/// All parameters of one call together, and all columns of one answer.
const BYTES_MAX: usize = 1024 * 1024;

impl Host for State {
    async fn query(
        &mut self,
        statement: String,
        params: Vec<Value>,
    ) -> wasmtime::Result<Result<Vec<Vec<Value>>, Error>> {
        self.enter()?;
        Ok(query(self, &statement, params).await)
    }

    async fn transact(&mut self, steps: Vec<Step>) -> wasmtime::Result<Result<Vec<u64>, Error>> {
        self.enter()?;
        Ok(transact(self, steps).await)
    }
}

async fn query(state: &mut State, statement: &str, params: Vec<Value>) -> Result<Vec<Vec<Value>>, Error> {
    state.granted(Grant::Db).map_err(Error::NotGranted)?;
    size("params", bytes_of(&params), BYTES_MAX).map_err(Error::Invalid)?;
    let sql = sql(state, statement)?.to_owned();
    let (ports, plugin) = (Arc::clone(&state.ports), Arc::clone(&state.profile.name));
    let rows = if state.profile.remembered.contains(statement) && params.is_empty() {
        remembered(&ports, &plugin, &sql).await?
    } else {
        ports.statements.query(&plugin, &sql, converted(params)?, ROWS_MAX).await?
    };
    let rows: Vec<Vec<Value>> = rows.into_iter().map(|row| row.into_iter().map(Value::from).collect()).collect();
    let bytes = rows.iter().map(|row| bytes_of(row)).sum();
    size("the answer", bytes, BYTES_MAX).map_err(Error::Invalid)?;
    Ok(rows)
}

async fn remembered(ports: &Ports, plugin: &Arc<str>, sql: &str) -> Result<Vec<Vec<port::Value>>, Error> {
    let now_ms = ports.clock.now_ms();
    match ports.rows.get(plugin, sql, now_ms) {
        Ok(rows) => Ok((*rows).clone()),
        Err(missing) => {
            let rows = ports.statements.query(plugin, sql, Vec::new(), ROWS_MAX).await?;
            ports.rows.put(missing, plugin, sql, Arc::new(rows.clone()), now_ms);
            Ok(rows)
        }
    }
}

async fn transact(state: &mut State, steps: Vec<Step>) -> Result<Vec<u64>, Error> {
    state.granted(Grant::Db).map_err(Error::NotGranted)?;
    if steps.is_empty() || steps.len() > STEPS_MAX {
        return Err(Error::Invalid(format!("steps has {} elements; it may have 1 to {STEPS_MAX}", steps.len())));
    }
    let bytes = steps.iter().map(|step| bytes_of(&step.params)).sum();
    size("params", bytes, BYTES_MAX).map_err(Error::Invalid)?;
    let mut prepared = Vec::with_capacity(steps.len());
    for step in steps {
        prepared.push(port::Step {
            sql: sql(state, &step.statement)?.into(),
            params: converted(step.params)?,
            expected_rows: step.expected_rows,
        });
    }
    let (ports, plugin) = (Arc::clone(&state.ports), Arc::clone(&state.profile.name));
    let touched = ports.statements.transact(&plugin, prepared).await;
    // Also after a failure: it may have been done nevertheless.
    if !state.profile.remembered.is_empty() {
        ports.rows.forget();
        if let Err(error) = ports.push_bus.announce().await {
            tracing::debug!(%error, "a change of a plugin's tables was not announced");
        }
    }
    Ok(touched?)
}

fn sql<'a>(state: &'a State, statement: &str) -> Result<&'a str, Error> {
    let found = state.profile.statements.get(statement);
    found.map(String::as_str).ok_or_else(|| Error::UnknownStatement(statement.into()))
}

fn bytes_of(values: &[Value]) -> usize {
    let bytes = |value: &Value| match value {
        Value::Null | Value::Integer(_) => 8,
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
    };
    values.iter().map(bytes).sum()
}

fn converted(params: Vec<Value>) -> Result<Vec<port::Value>, Error> {
    if params.len() > PARAMS_MAX {
        return Err(Error::Invalid(format!("params has {} elements; it may have up to {PARAMS_MAX}", params.len())));
    }
    Ok(params.into_iter().map(port::Value::from).collect())
}

impl From<Value> for port::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => port::Value::Null,
            Value::Integer(number) => port::Value::Integer(number),
            Value::Text(text) => port::Value::Text(text),
            Value::Blob(bytes) => port::Value::Blob(bytes),
        }
    }
}

impl From<port::Value> for Value {
    fn from(value: port::Value) -> Self {
        match value {
            port::Value::Null => Value::Null,
            port::Value::Integer(number) => Value::Integer(number),
            port::Value::Text(text) => Value::Text(text),
            port::Value::Blob(bytes) => Value::Blob(bytes),
        }
    }
}

impl From<port::TransactError> for Error {
    fn from(error: port::TransactError) -> Self {
        match error {
            port::TransactError::Conflict(what) => Error::Conflict(what),
            port::TransactError::Invalid(what) => Error::Invalid(what),
            port::TransactError::UnexpectedRows(step) => Error::UnexpectedRows(u32::try_from(step).unwrap_or(u32::MAX)),
            port::TransactError::Db(port::Error::Unavailable(cause)) => {
                Error::Unavailable(super::unavailable("the database", &cause))
            }
            // A statement of the plugin's own that takes too long is its own fault, and may be that of the event.
            port::TransactError::Db(port::Error::Busy(cause)) => {
                tracing::warn!(cause, "the database asks to try again");
                Error::Unavailable("the database asks to try again".into())
            }
            port::TransactError::Db(port::Error::Refused(why)) => Error::Other(why),
        }
    }
}
