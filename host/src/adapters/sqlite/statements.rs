//! The port of plugins' statements: checked once each, then run on connections and within times that are the plugins' own.

use async_trait::async_trait;
use futures::TryStreamExt;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Row, SqliteConnection, TypeInfo, ValueRef};
use std::sync::Arc;
use tokio::time::timeout;

use crate::adapters::sql::plugin_tables::begins_as_statement;
use crate::ports::db::{Error, Statements, Step, TransactError, Value};

use super::authorizer::{self, Checked, Purpose};
use super::deadline::Deadline;
use super::{STATEMENT_TIME_MAX, Sqlite, WAIT_MAX, error, schema};

#[async_trait]
impl Statements for Sqlite {
    async fn migrate(&self, plugin: &str, schema: &[String]) -> Result<(), Error> {
        schema::migrate(self, plugin, schema).await
    }

    async fn prepare(&self, plugin: &str, sql: &str) -> Result<(), Error> {
        self.checked(plugin, sql).await.map(drop)
    }

    async fn query(
        &self,
        plugin: &str,
        sql: &str,
        params: Vec<Value>,
        rows_max: usize,
    ) -> Result<Vec<Vec<Value>>, TransactError> {
        let checked = self.checked(plugin, sql).await?;
        if !checked.reads {
            return Err(TransactError::Invalid("the statement writes; it belongs in a transaction".into()));
        }
        let query = bound(sql, params, checked)?;
        let mut connection = self.plugin_readers.acquire().await.map_err(error::of)?;
        let deadline = Arc::new(Deadline::default());
        deadline.set(STATEMENT_TIME_MAX);
        deadline.arm(&mut connection.lock_handle().await.map_err(error::of)?);
        let mut found = query.fetch(&mut *connection);
        let mut rows = Vec::new();
        while let Some(row) = found.try_next().await.map_err(failed)? {
            if rows.len() == rows_max {
                return Err(TransactError::Invalid(format!("more than {rows_max} rows")));
            }
            rows.push(read(&row)?);
        }
        Ok(rows)
    }

    async fn transact(&self, plugin: &str, steps: Vec<Step>) -> Result<Vec<u64>, TransactError> {
        let mut checked = Vec::with_capacity(steps.len());
        for step in &steps {
            let one = self.checked(plugin, &step.sql).await?;
            if one.reads {
                return Err(TransactError::Invalid("the statement reads; a transaction is for writing".into()));
            }
            checked.push(one);
        }
        let _turn = timeout(WAIT_MAX, self.plugin_turn.acquire()).await.map_err(|_| busy())?.map_err(|_| busy())?;
        let mut tx = self.write().await?;
        self.writer_deadline.set(STATEMENT_TIME_MAX);
        let mut touched = Vec::with_capacity(steps.len());
        for (index, (step, checked)) in steps.into_iter().zip(checked).enumerate() {
            let expected = step.expected_rows;
            let rows = match run(&mut tx, step, checked).await {
                Ok(rows) => rows,
                Err(fault) => {
                    tx.rollback().await;
                    return Err(fault);
                }
            };
            if expected.is_some_and(|expected| expected != rows) {
                tx.rollback().await;
                return Err(TransactError::UnexpectedRows(index));
            }
            touched.push(rows);
        }
        self.writer_deadline.clear();
        tx.commit().await.map_err(failed)?;
        Ok(touched)
    }
}

impl Sqlite {
    /// Checks a statement, once for each plugin and text: a table that it names never goes away.
    async fn checked(&self, plugin: &str, sql: &str) -> Result<Checked, Error> {
        let key = format!("{plugin}\n{sql}");
        if let Some(checked) = self.checked.get(&key) {
            return Ok(checked);
        }
        begins_as_statement(sql).map_err(Error::Refused)?;
        let mut connection = self.plugin_readers.acquire().await.map_err(error::of)?;
        let mut handle = connection.lock_handle().await.map_err(error::of)?;
        let checked = authorizer::check(&mut handle, plugin, sql, Purpose::Rows).map_err(Error::Refused)?;
        drop(handle);
        self.checked.insert(key, checked);
        Ok(checked)
    }
}

fn busy() -> Error {
    Error::Unavailable("too many plugins' transactions are waiting".into())
}

async fn run(connection: &mut SqliteConnection, step: Step, checked: Checked) -> Result<u64, TransactError> {
    let query = bound(&step.sql, step.params, checked)?;
    Ok(query.execute(connection).await.map_err(failed)?.rows_affected())
}

fn bound<'q>(
    sql: &str,
    params: Vec<Value>,
    checked: Checked,
) -> Result<Query<'q, sqlx::Sqlite, SqliteArguments>, TransactError> {
    if params.len() != checked.params {
        return Err(TransactError::Invalid(format!("{} parameters for {}", params.len(), checked.params)));
    }
    let query = sqlx::query(AssertSqlSafe(sql.to_owned()));
    Ok(params.into_iter().fold(query, |query, value| match value {
        Value::Null => query.bind(None::<i64>),
        Value::Integer(number) => query.bind(number),
        Value::Text(text) => query.bind(text),
        Value::Blob(bytes) => query.bind(bytes),
    }))
}

fn read(row: &SqliteRow) -> Result<Vec<Value>, TransactError> {
    (0..row.len())
        .map(|index| {
            let raw = row.try_get_raw(index).map_err(error::of)?;
            if raw.is_null() {
                return Ok(Value::Null);
            }
            match raw.type_info().name() {
                "INTEGER" | "BOOLEAN" => Ok(Value::Integer(row.try_get_unchecked(index).map_err(error::of)?)),
                "TEXT" => Ok(Value::Text(row.try_get_unchecked(index).map_err(error::of)?)),
                "BLOB" => Ok(Value::Blob(row.try_get_unchecked(index).map_err(error::of)?)),
                other => Err(TransactError::Invalid(format!("column {index} is {other}; cast it to INTEGER or TEXT"))),
            }
        })
        .collect()
}

fn failed(fault: sqlx::Error) -> TransactError {
    match error::is_constraint(&fault) {
        true => TransactError::Conflict(fault.to_string()),
        false => error::of(fault).into(),
    }
}
