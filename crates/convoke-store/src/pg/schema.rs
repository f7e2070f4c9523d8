//! Moving the schema of a PostgreSQL database, each step in its own transaction, one process at a time.

use tokio_postgres::Client;

use super::connect::Target;
use super::trouble::error;
use crate::error::{Error, Result};
use crate::migrate::{self, Dialect};

/// How long a process waits for another one that is moving the schema, and a step for the locks it needs.
const PATIENCE: &str = "5min";

/// The version of the schema; 0 where there is none.
pub(crate) async fn version(client: &Client) -> Result<u32> {
    let known: bool = client.query_one("SELECT to_regclass('meta') IS NOT NULL", &[]).await.map_err(error)?.get(0);
    if !known {
        return Ok(0);
    }
    let sql = "SELECT value FROM meta WHERE key='schema_version'";
    let text: String = client.query_one(sql, &[]).await.map_err(error)?.get(0);
    text.parse().map_err(|cause| Error::broken_by(format!("the schema version `{text}` is not a number"), cause))
}

/// Holds the right to change the schema until the connection is closed: two nodes that start at once take turns.
pub(super) async fn alone(client: &Client, target: &Target) -> Result<()> {
    let settings = format!("SET statement_timeout=0; SET lock_timeout='{PATIENCE}'");
    client.batch_execute(&settings).await.map_err(error)?;
    let name = format!("convoke.schema.{}", target.options.schema.as_deref().unwrap_or_default());
    client.execute("SELECT pg_advisory_lock(hashtextextended($1, 0))", &[&name]).await.map_err(error)?;
    Ok(())
}

/// Makes the schema that holds the tables, if that was asked for.
pub(super) async fn make(client: &Client, target: &Target) -> Result<()> {
    let Some(schema) = &target.options.schema else { return Ok(()) };
    let sql = "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname=$1)";
    let exists: bool = client.query_one(sql, &[schema]).await.map_err(error)?.get(0);
    match (exists, target.options.create_schema) {
        (true, _) => Ok(()),
        (false, true) => client.batch_execute(&format!("CREATE SCHEMA {schema}")).await.map_err(error),
        (false, false) => Err(Error::Unavailable(format!(
            "the database has no schema `{schema}`; make it with `CREATE SCHEMA {schema}`, or let Convoke make it"
        ))),
    }
}

/// Brings the schema to `to`; the caller is [`alone`].
pub(super) async fn migrate(client: &Client, to: u32) -> Result<()> {
    let from = version(client).await?;
    if from > 0 {
        let sql = "SELECT value FROM meta WHERE key='schema_digest'";
        let found: Option<String> = client.query_opt(sql, &[]).await.map_err(error)?.map(|row| row.get(0));
        migrate::refuse_foreign(from, found.as_deref())?;
    }
    for (version, text) in migrate::way(from, to, Dialect::Postgres)? {
        let note = if version == 0 { String::new() } else { migrate::note(version) };
        if let Err(cause) = client.batch_execute(&format!("BEGIN;\n{text};\n{note}\nCOMMIT")).await {
            // The connection is closed by the caller, which undoes the step if this does not.
            let _ = client.batch_execute("ROLLBACK").await;
            let what = format!("the migration towards schema version {version} failed and was undone");
            return Err(Error::broken_by(what, error(cause)));
        }
    }
    Ok(())
}
