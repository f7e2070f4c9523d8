//! Shared context of runs: entries as they stand, their history, and how much there is.

use convoke_domain::context::{Held, Size};
use convoke_domain::id::RunId;
use convoke_domain::time::Timestamp;

use crate::{Result, Tx, p, row};

/// The kind of a variable.
pub const VARIABLE: &str = "variable";
/// The kind of a finding.
pub const FINDING: &str = "finding";

row! {
    /// An entry as it stands, or one version of it.
    pub struct Record {
        /// The variable's name, or the finding's number.
        pub name: String,
        /// How often it was written.
        pub version: i64,
        /// A variable's text, or nothing once it is removed; a finding as JSON.
        pub value: Option<String>,
        /// Who wrote it.
        pub author: String,
        /// When.
        pub at: Timestamp,
    }
}

impl From<Record> for Held {
    fn from(row: Record) -> Self {
        Self { version: row.version, value: row.value, author: row.author, at: row.at }
    }
}

/// How much a run's context holds, and the right to change it until the end of the transaction.
pub async fn hold(tx: &mut Tx<'_>, run: RunId) -> Result<Size> {
    let ws = tx.ws();
    tx.put(
        "INSERT INTO context_size (ws, run, entries, findings, bytes, written) VALUES ($1, $2, 0, 0, 0, 0) ON CONFLICT DO NOTHING",
        p![ws, run],
    )
    .await?;
    let sql = "SELECT entries, findings, bytes, written FROM context_size WHERE ws = $1 AND run = $2 /*pg FOR UPDATE*/";
    let (entries, findings, bytes, written) = tx.one(sql, p![ws, run]).await?;
    Ok(Size { entries, findings, bytes, written })
}

/// How much a run's context holds.
pub async fn size(tx: &mut Tx<'_>, run: RunId) -> Result<Size> {
    let ws = tx.ws();
    let sql = "SELECT entries, findings, bytes, written FROM context_size WHERE ws = $1 AND run = $2";
    let found = tx.opt(sql, p![ws, run]).await?;
    Ok(found.map_or_else(Size::default, |(entries, findings, bytes, written)| Size {
        entries,
        findings,
        bytes,
        written,
    }))
}

/// Writes down how much it holds now.
pub async fn set_size(tx: &mut Tx<'_>, run: RunId, size: Size) -> Result<()> {
    let ws = tx.ws();
    tx.put(
        "UPDATE context_size SET entries = $3, findings = $4, bytes = $5, written = $6 WHERE ws = $1 AND run = $2",
        p![ws, run, size.entries, size.findings, size.bytes, size.written],
    )
    .await?;
    Ok(())
}

/// One entry.
pub async fn get(tx: &mut Tx<'_>, run: RunId, kind: &str, name: &str) -> Result<Option<Record>> {
    let ws = tx.ws();
    let sql =
        "SELECT name, version, value, author, at FROM context WHERE ws = $1 AND run = $2 AND kind = $3 AND name = $4";
    tx.opt(sql, p![ws, run, kind, name]).await
}

/// What is written.
#[derive(Debug, Clone, Copy)]
pub struct NewRow<'a> {
    /// [`VARIABLE`] or [`FINDING`].
    pub kind: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The version it has from now on.
    pub version: i64,
    /// Its value; nothing removes it.
    pub value: Option<&'a str>,
    /// Who writes.
    pub author: &'a str,
}

/// Writes an entry, and a variable's version into the history.
pub async fn put(tx: &mut Tx<'_>, run: RunId, row: &NewRow<'_>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "INSERT INTO context (ws, run, kind, name, version, value, author, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (ws, run, kind, name) DO UPDATE SET version = excluded.version, value = excluded.value, \
         author = excluded.author, at = excluded.at",
        p![ws, run, row.kind, row.name, row.version, row.value, row.author, now],
    )
    .await?;
    if row.kind == VARIABLE {
        let sql = "INSERT INTO context_history (ws, run, name, version, value, author, at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
        tx.put(sql, p![ws, run, row.name, row.version, row.value, row.author, now]).await?;
    }
    Ok(())
}

/// Entries of a kind that are there, in the order of their names, after `after`.
pub async fn list(tx: &mut Tx<'_>, run: RunId, kind: &str, after: &str, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT name, version, value, author, at FROM context WHERE ws = $1 AND run = $2 AND kind = $3 AND name > $4 \
         AND value IS NOT NULL ORDER BY name LIMIT $5",
        p![ws, run, kind, after, limit],
    )
    .await
}

/// The newest findings, the newest first.
pub async fn newest(tx: &mut Tx<'_>, run: RunId, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT name, version, value, author, at FROM context WHERE ws = $1 AND run = $2 AND kind = 'finding' \
         ORDER BY name DESC LIMIT $3",
        p![ws, run, limit],
    )
    .await
}

/// The versions of a variable, the newest first, before `before`.
pub async fn history(tx: &mut Tx<'_>, run: RunId, name: &str, before: i64, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT name, version, value, author, at FROM context_history WHERE ws = $1 AND run = $2 AND name = $3 AND version < $4 \
         ORDER BY version DESC LIMIT $5",
        p![ws, run, name, before, limit],
    )
    .await
}
