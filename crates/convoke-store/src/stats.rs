//! Counts over a workspace.

use crate::{Result, Tx, p};

/// Agents in all, agents that hold a task, and tasks that all may hold together.
pub async fn agents(tx: &mut Tx<'_>) -> Result<(i64, i64, i64)> {
    let ws = tx.ws();
    tx.one(
        "SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN running > 0 THEN 1 ELSE 0 END), 0) AS BIGINT), \
         CAST(COALESCE(SUM(capacity), 0) AS BIGINT) FROM agent WHERE ws = $1 AND active = 1",
        p![ws],
    )
    .await
}

/// Tasks that are ready and wait for a worker.
pub async fn queue_size(tx: &mut Tx<'_>) -> Result<i64> {
    let ws = tx.ws();
    tx.one("SELECT COUNT(*) FROM task WHERE ws = $1 AND state = 'ready'", p![ws]).await
}

/// How many tasks stand in each state.
pub async fn tasks_by_state(tx: &mut Tx<'_>) -> Result<Vec<(String, i64)>> {
    let ws = tx.ws();
    tx.many("SELECT state, COUNT(*) FROM task WHERE ws = $1 GROUP BY state ORDER BY state", p![ws]).await
}

/// How many runs stand in each state.
pub async fn runs_by_state(tx: &mut Tx<'_>) -> Result<Vec<(String, i64)>> {
    let ws = tx.ws();
    tx.many("SELECT state, COUNT(*) FROM run WHERE ws = $1 GROUP BY state ORDER BY state", p![ws]).await
}

/// Events recorded.
pub async fn events(tx: &mut Tx<'_>) -> Result<i64> {
    let ws = tx.ws();
    tx.one("SELECT COUNT(*) FROM event WHERE ws = $1", p![ws]).await
}

/// Messages that were said and are not archived.
pub async fn messages(tx: &mut Tx<'_>) -> Result<i64> {
    let ws = tx.ws();
    tx.one("SELECT COUNT(*) FROM message WHERE ws = $1", p![ws]).await
}

/// Questions and requests that were decided, and those that are open.
pub async fn decisions(tx: &mut Tx<'_>) -> Result<(i64, i64)> {
    let ws = tx.ws();
    tx.one(
        "SELECT CAST(COALESCE(SUM(CASE WHEN standing IN ('answered', 'defaulted') THEN 1 ELSE 0 END), 0) AS BIGINT), \
         CAST(COALESCE(SUM(CASE WHEN standing = 'open' THEN 1 ELSE 0 END), 0) AS BIGINT) FROM question WHERE ws = $1",
        p![ws],
    )
    .await
}
