//! Facts about the store itself: its schema version and its fencing epoch.

use crate::error::{Error, OrMissing, Result};
use crate::p;
use crate::tx::Tx;

/// The key of the schema version.
pub const SCHEMA_VERSION: &str = "schema_version";
/// The key of the fencing epoch.
pub const FENCING_EPOCH: &str = "fencing_epoch";

/// A fact as text.
pub async fn get(tx: &mut Tx<'_>, key: &str) -> Result<Option<String>> {
    tx.opt("SELECT value FROM meta WHERE key=$1", p![key]).await
}

/// Sets a fact.
pub async fn set(tx: &mut Tx<'_>, key: &str, value: &str) -> Result<()> {
    let sql = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value=excluded.value";
    tx.exec(sql, p![key, value]).await.map(drop)
}

/// The epoch that every fencing token starts with. A restore raises it, so that a token given before the restore is
/// never accepted after it, although the counters went back.
pub async fn fencing_epoch(tx: &mut Tx<'_>) -> Result<i64> {
    let text = get(tx, FENCING_EPOCH).await?.or_missing("meta entry", FENCING_EPOCH)?;
    text.parse().map_err(|error| Error::broken_by(format!("the fencing epoch `{text}` is not a number"), error))
}
