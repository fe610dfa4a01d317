//! Removing a database that a host has used: roles belong to the server, so they outlive the database that they were made for.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

/// Removes the database with this name, if there is one, and the roles that were made for it. Whoever is connected is thrown out.
pub(crate) async fn remove_database(server: &str, name: &str) {
    let mut admin = PgConnection::connect(server).await.unwrap();
    let roles: Vec<String> = sqlx::query_scalar(
        "SELECT rolname::text FROM pg_roles JOIN pg_database AS d ON starts_with(rolname, 'greenroom_' || d.oid || '_') \
         WHERE datname = $1",
    )
    .bind(name)
    .fetch_all(&mut admin)
    .await
    .unwrap();
    admin.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))).await.unwrap();
    for role in roles {
        admin.execute(AssertSqlSafe(format!("DROP ROLE \"{role}\""))).await.unwrap();
    }
    admin.close().await.unwrap();
}
