//! Attempts: one try of a task by one agent.

use convoke_domain::id::TaskId;
use convoke_domain::time::Timestamp;

use crate::{Result, Tx, p, row};

/// Begins an attempt.
pub async fn insert(tx: &mut Tx<'_>, task: TaskId, n: i64, agent: &str) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.exec(
        "INSERT INTO attempt (ws, task, n, agent, state, started_at) VALUES ($1, $2, $3, $4, 'running', $5)",
        p![ws, task, n, agent, now],
    )
    .await?;
    Ok(())
}

/// Ends an attempt as `completed`, `failed` or `cancelled`.
pub async fn end(tx: &mut Tx<'_>, task: TaskId, n: i64, state: &str, error: Option<&str>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.exec(
        "UPDATE attempt SET state = $4, error = $5, finished_at = $6 WHERE ws = $1 AND task = $2 AND n = $3",
        p![ws, task, n, state, error, now],
    )
    .await?;
    Ok(())
}

row! {
    /// An attempt as a report shows it.
    pub struct Record {
        /// Which attempt, from 1.
        pub n: i64,
        /// Who made it.
        pub agent: String,
        /// How it stands.
        pub state: String,
        /// When it began.
        pub started_at: Timestamp,
        /// When it ended.
        pub finished_at: Option<Timestamp>,
        /// What it failed of.
        pub error: Option<String>,
    }
}

/// All attempts of a task in order.
pub async fn of_task(tx: &mut Tx<'_>, task: TaskId) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT n, agent, state, started_at, finished_at, error FROM attempt WHERE ws = $1 AND task = $2 ORDER BY n",
        p![ws, task],
    )
    .await
}
