//! Escalations: who was asked when an agent was stuck with a task, in order.

use convoke_domain::id::{RunId, TaskId};
use convoke_domain::time::Timestamp;

use crate::{Result, Tx, p, row};

/// An escalation that is about to be kept.
#[derive(Debug, Clone)]
pub struct NewRow<'a> {
    /// The task.
    pub task: TaskId,
    /// Its place among those of the task, from 1.
    pub n: i64,
    /// The run.
    pub run: RunId,
    /// Who is stuck.
    pub agent: &'a str,
    /// `coordinator`, `supervisor` or `human`.
    pub rung: &'a str,
    /// Who is asked, by name; empty for a person.
    pub asked: &'a str,
    /// Why.
    pub reason: &'a str,
}

row! {
    /// An escalation as it was kept.
    pub struct Record {
        /// Its place among those of the task.
        pub n: i64,
        /// Who was stuck.
        pub agent: String,
        /// Which rung.
        pub rung: String,
        /// Who was asked, by name; empty for a person.
        pub asked: String,
        /// Why.
        pub reason: String,
        /// When.
        pub at: Timestamp,
    }
}

/// Keeps an escalation.
pub async fn insert(tx: &mut Tx<'_>, new: &NewRow<'_>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "INSERT INTO escalation (ws, task, n, run, agent, rung, asked, reason, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        p![ws, new.task, new.n, new.run, new.agent, new.rung, new.asked, new.reason, now],
    )
    .await?;
    Ok(())
}

/// The escalations of a task, in order.
pub async fn of_task(tx: &mut Tx<'_>, task: TaskId) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT n, agent, rung, asked, reason, at FROM escalation WHERE ws = $1 AND task = $2 ORDER BY n",
        p![ws, task],
    )
    .await
}
