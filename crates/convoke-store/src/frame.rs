//! Frames: how far the steps of flows have come, by path. See `convoke_domain::flow`.
//!
//! Rule: a path's parts are a range of the key, so one statement reads or stills them all. Start at [`get`].

use convoke_domain::id::RunId;
use convoke_domain::time::Timestamp;

use crate::{Result, Tx, p, row};

row! {
    /// A frame.
    pub struct Record {
        /// Where in the flow it is.
        pub path: String,
        /// Where it stands, as JSON.
        pub state: String,
        /// Its own result, as JSON.
        pub result: Option<String>,
        /// When its time is up.
        pub due: Option<Timestamp>,
    }
}

/// The frame at a path.
pub async fn get(tx: &mut Tx<'_>, run: RunId, path: &str) -> Result<Option<Record>> {
    let ws = tx.ws();
    tx.opt("SELECT path, state, result, due FROM frame WHERE ws = $1 AND run = $2 AND path = $3", p![ws, run, path])
        .await
}

/// The frames whose paths are in a range, the end excluded.
pub async fn within(tx: &mut Tx<'_>, run: RunId, range: (&str, &str)) -> Result<Vec<Record>> {
    let ws = tx.ws();
    let sql = "SELECT path, state, result, due FROM frame WHERE ws = $1 AND run = $2 AND path >= $3 AND path < $4 ORDER BY path";
    tx.many(sql, p![ws, run, range.0, range.1]).await
}

/// A run's frames by path, from behind `after`; results of more than `bytes` are left out.
pub async fn page(tx: &mut Tx<'_>, run: RunId, after: Option<&str>, (bytes, limit): (i64, i64)) -> Result<Vec<Record>> {
    let ws = tx.ws();
    // The frame of the whole flow has the empty path.
    let sql = "SELECT path, state, CASE WHEN LENGTH(result) <= CAST($5 AS BIGINT) THEN result END AS result, due FROM frame \
               WHERE ws = $1 AND run = $2 AND path >= $3 AND path <> $4 ORDER BY path LIMIT $6";
    let (from, not) = (after.unwrap_or(""), after.unwrap_or("\u{7f}"));
    tx.many(sql, p![ws, run, from, not, bytes, limit]).await
}

/// Writes a frame.
pub async fn put(tx: &mut Tx<'_>, run: RunId, frame: &Record) -> Result<()> {
    let ws = tx.ws();
    tx.put(
        "INSERT INTO frame (ws, run, path, state, result, due) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (ws, run, path) DO UPDATE SET state = excluded.state, result = excluded.result, due = excluded.due",
        p![ws, run, frame.path.as_str(), frame.state.as_str(), frame.result.as_deref(), frame.due],
    )
    .await?;
    Ok(())
}

row! {
    /// A frame whose time is up.
    pub struct Due {
        /// Its run.
        pub run: RunId,
        /// Where in the flow it is.
        pub path: String,
    }
}

/// Frames whose time is up, the oldest first.
pub async fn due(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<Due>> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.many(
        "SELECT f.run, f.path FROM frame f JOIN run r ON r.ws = f.ws AND r.id = f.run \
         WHERE f.ws = $1 AND f.due IS NOT NULL AND f.due <= CAST($2 AS BIGINT) AND r.state <> 'paused' ORDER BY f.due LIMIT $3",
        p![ws, now, limit],
    )
    .await
}

/// A frame's time is no longer looked at.
pub async fn still(tx: &mut Tx<'_>, run: RunId, path: &str) -> Result<()> {
    let ws = tx.ws();
    tx.put("UPDATE frame SET due = NULL WHERE ws = $1 AND run = $2 AND path = $3", p![ws, run, path]).await?;
    Ok(())
}

/// The same for all frames in a range, the end excluded.
pub async fn still_within(tx: &mut Tx<'_>, run: RunId, range: (&str, &str)) -> Result<()> {
    let ws = tx.ws();
    let sql = "UPDATE frame SET due = NULL WHERE ws = $1 AND run = $2 AND path >= $3 AND path < $4 AND due IS NOT NULL";
    tx.put(sql, p![ws, run, range.0, range.1]).await?;
    Ok(())
}

/// When the next frame of a run falls due, if one does.
pub async fn next_due(tx: &mut Tx<'_>, run: RunId) -> Result<Option<Timestamp>> {
    let ws = tx.ws();
    let sql = "SELECT due FROM frame WHERE ws = $1 AND run = $2 AND due IS NOT NULL ORDER BY due LIMIT 1";
    let found: Option<(Timestamp,)> = tx.opt(sql, p![ws, run]).await?;
    Ok(found.map(|(due,)| due))
}

/// When the time is up of what stands at a path or of anything around it, whichever is first.
pub async fn due_above(tx: &mut Tx<'_>, run: RunId, path: &str) -> Result<Option<Timestamp>> {
    let ws = tx.ws();
    let sql = "SELECT due FROM frame WHERE ws = $1 AND run = $2 AND due IS NOT NULL AND (path = '' OR path = CAST($3 AS TEXT) \
               OR SUBSTR(CAST($3 AS TEXT), 1, LENGTH(path) + 1) = path || '/') ORDER BY due LIMIT 1";
    let found: Option<(Timestamp,)> = tx.opt(sql, p![ws, run, path]).await?;
    Ok(found.map(|(due,)| due))
}
