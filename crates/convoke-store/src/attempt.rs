//! Attempts: one try of a task by one agent.

use convoke_domain::id::{RunId, TaskId};
use convoke_domain::time::Timestamp;

use crate::{Result, Tx, p, row};

/// Begins an attempt.
pub async fn insert(tx: &mut Tx<'_>, task: TaskId, n: i64, agent: &str) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "INSERT INTO attempt (ws, task, n, agent, state, started_at) VALUES ($1, $2, $3, $4, 'running', $5)",
        p![ws, task, n, agent, now],
    )
    .await?;
    Ok(())
}

/// Ends an attempt as `completed`, `failed` or `cancelled`.
pub async fn end(tx: &mut Tx<'_>, task: TaskId, n: i64, state: &str, error: Option<&str>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "UPDATE attempt SET state = $4, error = $5, finished_at = $6 WHERE ws = $1 AND task = $2 AND n = $3",
        p![ws, task, n, state, error, now],
    )
    .await?;
    Ok(())
}

row! {
    /// An attempt as a report shows it.
    pub struct Record {
        /// The task.
        pub task: TaskId,
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
        "SELECT task, n, agent, state, started_at, finished_at, error FROM attempt WHERE ws = $1 AND task = $2 ORDER BY n",
        p![ws, task],
    )
    .await
}

/// Attempts of a run by task and number, `after` the given one.
pub async fn of_run(tx: &mut Tx<'_>, run: RunId, after: (TaskId, i64), limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT a.task, a.n, a.agent, a.state, a.started_at, a.finished_at, a.error FROM task t CROSS JOIN attempt a \
         WHERE t.ws = $1 AND t.run = $2 AND a.ws = t.ws AND a.task = t.id AND (a.task, a.n) > ($3, $4) \
         ORDER BY a.task, a.n LIMIT $5",
        p![ws, run, after.0, after.1, limit],
    )
    .await
}
