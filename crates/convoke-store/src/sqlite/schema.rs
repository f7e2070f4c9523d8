//! Moving the schema of a SQLite database, each step in its own transaction.

use rusqlite::OptionalExtension;

use super::conn::{Conn, error};
use crate::error::{Error, Result};
use crate::migrate::{self, Dialect};
use crate::shape::{OF_SQLITE, Part};

/// The version of the schema; 0 for an empty database.
pub(crate) fn version(conn: &Conn) -> Result<u32> {
    let sql = "SELECT 1 FROM sqlite_master WHERE type='table' AND name='meta'";
    let known: Option<i64> = conn.db.query_row(sql, [], |row| row.get(0)).optional().map_err(error)?;
    if known.is_none() {
        return Ok(0);
    }
    let sql = "SELECT value FROM meta WHERE key='schema_version'";
    let text: String = conn.db.query_row(sql, [], |row| row.get(0)).map_err(error)?;
    text.parse().map_err(|cause| Error::broken_by(format!("the schema version `{text}` is not a number"), cause))
}

/// The digest that was kept with the version.
fn digest(conn: &Conn, version: u32) -> Result<Option<String>> {
    let sql = "SELECT value FROM meta WHERE key='schema_digest'";
    if version == 0 { Ok(None) } else { conn.db.query_row(sql, [], |row| row.get(0)).optional().map_err(error) }
}

/// The parts of a schema that the migrations have just made, in memory.
pub(crate) fn fresh_parts() -> Result<Vec<Part>> {
    let mut conn = Conn::in_memory()?;
    migrate(&mut conn, migrate::LATEST)?;
    conn.many(OF_SQLITE, &[])
}

/// Brings the schema to `to`.
pub(crate) fn migrate(conn: &mut Conn, to: u32) -> Result<()> {
    let from = version(conn)?;
    migrate::refuse_foreign(from, digest(conn, from)?.as_deref())?;
    for (version, text) in migrate::way(from, to, Dialect::Sqlite)? {
        let transaction = conn.db.transaction().map_err(error)?;
        transaction.execute_batch(&text).map_err(|cause| {
            Error::broken_by(format!("the migration towards schema version {version} failed and was undone"), cause)
        })?;
        if version > 0 {
            transaction.execute_batch(&migrate::note(version)).map_err(error)?;
        }
        transaction.commit().map_err(error)?;
        conn.heads.get_or_insert_default().forget();
    }
    Ok(())
}
