//! Waits: steps of which the result comes later, and what brings it.
//!
//! Rule: a wait and the step it belongs to are made and ended in one transaction. Start at [`insert`].

use convoke_domain::id::{RunId, TaskId};
use convoke_domain::time::Timestamp;

use crate::step::StepRef;
use crate::{Result, Tx, p, row};

/// A wait that is about to be made.
#[derive(Debug, Clone)]
pub struct NewRow<'a> {
    /// The step that waits.
    pub at: StepRef,
    /// Its run.
    pub run: RunId,
    /// What kind of thing brings the result.
    pub reason: &'a str,
    /// Which of them.
    pub key: &'a str,
    /// When the result comes at the latest.
    pub due: Option<Timestamp>,
}

/// Adds a wait.
pub async fn insert(tx: &mut Tx<'_>, wait: &NewRow<'_>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "INSERT INTO wait (ws, task, attempt, n, run, reason, key, due, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        p![ws, wait.at.task, wait.at.attempt, wait.at.n, wait.run, wait.reason, wait.key, wait.due, now],
    )
    .await?;
    Ok(())
}

row! {
    /// A wait in full.
    pub struct Record {
        /// The task.
        pub task: TaskId,
        /// The attempt.
        pub attempt: i64,
        /// The step.
        pub n: i64,
        /// The run.
        pub run: RunId,
        /// What kind of thing brings the result.
        pub reason: String,
        /// Which of them.
        pub key: String,
        /// When the result comes at the latest.
        pub due: Option<Timestamp>,
        /// Since when.
        pub created_at: Timestamp,
    }
}

impl Record {
    /// The step that waits.
    pub const fn step(&self) -> StepRef {
        StepRef { task: self.task, attempt: self.attempt, n: self.n }
    }
}

/// The waits that this very thing ends.
pub async fn of_key(tx: &mut Tx<'_>, reason: &str, key: &str) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT task, attempt, n, run, reason, key, due, created_at FROM wait WHERE ws = $1 AND reason = $2 AND key = $3 \
         ORDER BY created_at, task, n /*pg FOR UPDATE*/",
        p![ws, reason, key],
    )
    .await
}

/// The waits of a run for one kind of thing.
pub async fn of_run(tx: &mut Tx<'_>, reason: &str, run: RunId) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT task, attempt, n, run, reason, key, due, created_at FROM wait WHERE ws = $1 AND reason = $2 AND run = $3 \
         ORDER BY created_at, task, n /*pg FOR UPDATE*/",
        p![ws, reason, run],
    )
    .await
}

/// True if a wait of the run ends by itself at `by` at the latest; waits for parts do not count, since their time stands still with
/// those they wait for.
pub async fn ends_by(tx: &mut Tx<'_>, run: RunId, by: Timestamp) -> Result<bool> {
    let ws = tx.ws();
    let sql = "SELECT n FROM wait WHERE ws = $1 AND run = $2 AND reason <> 'child' AND due IS NOT NULL AND due <= CAST($3 AS BIGINT) LIMIT 1";
    let found: Option<(i64,)> = tx.opt(sql, p![ws, run, by]).await?;
    Ok(found.is_some())
}

/// What an attempt waits for.
pub async fn of_attempt(tx: &mut Tx<'_>, task: TaskId, attempt: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT task, attempt, n, run, reason, key, due, created_at FROM wait WHERE ws = $1 AND task = $2 AND attempt = $3 ORDER BY n",
        p![ws, task, attempt],
    )
    .await
}

/// Waits whose time has come, the oldest first.
pub async fn due(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<Record>> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.many(
        "SELECT task, attempt, n, run, reason, key, due, created_at FROM wait WHERE ws = $1 AND due IS NOT NULL AND due <= CAST($2 AS BIGINT) \
         ORDER BY due LIMIT $3 /*pg FOR UPDATE SKIP LOCKED*/",
        p![ws, now, limit],
    )
    .await
}

/// Lets a wait that has an end go on until `due`.
pub async fn postpone(tx: &mut Tx<'_>, at: StepRef, due: Timestamp) -> Result<()> {
    let ws = tx.ws();
    let sql = "UPDATE wait SET due = $5 WHERE ws = $1 AND task = $2 AND attempt = $3 AND n = $4 AND due IS NOT NULL";
    tx.put(sql, p![ws, at.task, at.attempt, at.n, due]).await?;
    Ok(())
}

/// Ends a wait; false if there is none.
pub async fn delete(tx: &mut Tx<'_>, at: StepRef) -> Result<bool> {
    let ws = tx.ws();
    let sql = "DELETE FROM wait WHERE ws = $1 AND task = $2 AND attempt = $3 AND n = $4";
    Ok(tx.exec(sql, p![ws, at.task, at.attempt, at.n]).await? > 0)
}

/// Ends all waits of a task.
pub async fn delete_of_task(tx: &mut Tx<'_>, task: TaskId) -> Result<u64> {
    let ws = tx.ws();
    tx.exec("DELETE FROM wait WHERE ws = $1 AND task = $2", p![ws, task]).await
}
