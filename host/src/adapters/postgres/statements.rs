//! The port of plugins' statements: checked once each, then run on connections of the plugins' own, as the plugin's role, within the
//! plugins' time. A reading statement runs in a transaction that cannot write.

use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt;
use sqlx::postgres::{PgStatement, PgTransaction};
use sqlx::{AssertSqlSafe, Column, Either, Executor, SqlSafeStr, Statement};

use crate::ports::db::{Error, Statements, Step, TransactError, Value};

use super::schema::{self, Home};
use super::values::{self, Kind};
use super::{Postgres, error, rules};

/// A statement that may be run.
#[derive(Debug)]
pub(super) struct Checked {
    reads: bool,
    params: Vec<Kind>,
    columns: Vec<Kind>,
}

#[async_trait]
impl Statements for Postgres {
    async fn migrate(&self, plugin: &str, schema: &[String]) -> Result<(), Error> {
        self.within(self.settings.batch_timeout, async move { schema::migrate(self, plugin, schema).await }).await
    }

    async fn prepare(&self, plugin: &str, sql: &str) -> Result<(), Error> {
        self.within(self.settings.call_timeout, async move { self.checked(plugin, sql).await.map(drop) }).await
    }

    async fn query(
        &self,
        plugin: &str,
        sql: &str,
        params: Vec<Value>,
        rows_max: usize,
    ) -> Result<Vec<Vec<Value>>, TransactError> {
        self.within(self.settings.call_timeout, async move {
            let checked = self.checked(plugin, sql).await?;
            if !checked.reads {
                return Err(TransactError::Invalid("the statement writes; it belongs in a transaction".into()));
            }
            let arguments = values::arguments(&checked.params, params)?;
            let mut tx = self.enter("BEGIN READ ONLY", plugin).await?;
            let statement = prepared(&mut tx, sql).await.map_err(failed)?;
            let mut found = statement.query_with(arguments).fetch(&mut *tx);
            let mut rows = Vec::new();
            while let Some(row) = found.try_next().await.map_err(failed)? {
                if rows.len() == rows_max {
                    return Err(TransactError::Invalid(format!("more than {rows_max} rows")));
                }
                rows.push(values::read(&checked.columns, &row)?);
            }
            drop(found);
            tx.rollback().await.map_err(failed)?;
            Ok(rows)
        })
        .await
    }

    async fn transact(&self, plugin: &str, steps: Vec<Step>) -> Result<Vec<u64>, TransactError> {
        self.within(self.settings.call_timeout, async move {
            let mut checked = Vec::with_capacity(steps.len());
            for step in &steps {
                let one = self.checked(plugin, &step.sql).await?;
                if one.reads {
                    return Err(TransactError::Invalid("the statement reads; a transaction is for writing".into()));
                }
                checked.push(one);
            }
            let mut attempts = self.attempts();
            loop {
                match self.try_transact(plugin, &steps, &checked).await {
                    Ok(answer) => return answer,
                    Err(fault) if attempts.again(&fault).await => {}
                    Err(fault) => return Err(failed(fault)),
                }
            }
        })
        .await
    }
}

impl Postgres {
    async fn try_transact(
        &self,
        plugin: &str,
        steps: &[Step],
        checked: &[Arc<Checked>],
    ) -> Result<Result<Vec<u64>, TransactError>, sqlx::Error> {
        let mut tx = match self.enter("BEGIN", plugin).await {
            Ok(tx) => tx,
            Err(fault) => return Ok(Err(fault.into())),
        };
        let mut touched = Vec::with_capacity(steps.len());
        for (index, (step, checked)) in steps.iter().zip(checked).enumerate() {
            let arguments = match values::arguments(&checked.params, step.params.clone()) {
                Ok(arguments) => arguments,
                Err(fault) => return Ok(Err(fault)),
            };
            let statement = prepared(&mut tx, &step.sql).await?;
            let rows = statement.query_with(arguments).execute(&mut *tx).await?.rows_affected();
            if step.expected_rows.is_some_and(|expected| expected != rows) {
                return Ok(Err(TransactError::UnexpectedRows(index)));
            }
            touched.push(rows);
        }
        tx.commit().await?;
        Ok(Ok(touched))
    }

    /// Begins a transaction that can do what the plugin's role can. In two steps: if the role is missing, the driver must know of the
    /// transaction, or the connection goes back to the pool in the middle of it.
    async fn enter(&self, begin: &'static str, plugin: &str) -> Result<PgTransaction<'static>, Error> {
        let home = Home::of(self, plugin)?;
        let mut tx = self.plugin_pool().begin_with(begin).await.map_err(error::of)?;
        tx.execute(AssertSqlSafe(home.enter())).await.map_err(error::of)?;
        Ok(tx)
    }

    /// Checks a statement, once for each plugin and text: a table that it names never goes away.
    async fn checked(&self, plugin: &str, sql: &str) -> Result<Arc<Checked>, Error> {
        let key = format!("{plugin}\n{sql}");
        if let Some(checked) = self.checked.get(&key) {
            return Ok(checked);
        }
        let seen = rules::statement(sql).map_err(Error::Refused)?;
        let mut tx = self.enter("BEGIN READ ONLY", plugin).await?;
        if let Some(words) = schema::forbidden(&mut tx, &seen.called).await.map_err(error::of)? {
            return Err(Error::Refused(words));
        }
        let statement = prepared(&mut tx, sql).await.map_err(error::of)?;
        tx.rollback().await.map_err(error::of)?;
        let checked = Arc::new(described(&statement, seen.reads).map_err(Error::Refused)?);
        self.checked.insert(key, Arc::clone(&checked));
        Ok(checked)
    }
}

/// Prepares without types of parameters, so that PostgreSQL finds them; from the connection's own cache after the first time.
async fn prepared(tx: &mut PgTransaction<'static>, sql: &str) -> Result<PgStatement, sqlx::Error> {
    (&mut **tx).prepare(AssertSqlSafe(sql.to_owned()).into_sql_str()).await
}

fn described(statement: &PgStatement, reads: bool) -> Result<Checked, String> {
    let params = match statement.parameters() {
        Some(Either::Left(params)) => params,
        _ => &[],
    };
    let params =
        params.iter().enumerate().map(|(index, info)| Kind::of_param(index, info)).collect::<Result<_, _>>()?;
    let columns = statement.columns().iter().map(|column| Kind::of_column(column.ordinal(), column.type_info()));
    // What a writing statement returns is not given to the plugin.
    let columns = if reads { columns.collect::<Result<_, _>>()? } else { Vec::new() };
    Ok(Checked { reads, params, columns })
}

fn failed(fault: sqlx::Error) -> TransactError {
    if error::is_constraint(&fault) {
        TransactError::Conflict(fault.to_string())
    } else if error::is_data(&fault) {
        TransactError::Invalid(fault.to_string())
    } else {
        error::of(fault).into()
    }
}
