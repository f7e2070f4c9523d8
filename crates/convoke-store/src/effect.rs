//! Effects: tool calls that must not be repeated blindly, recorded under a stable key before dispatch.

use convoke_domain::id::{RunId, TaskId};
use convoke_domain::time::Timestamp;

use crate::step::StepRef;
use crate::{Result, Tx, p, row};

/// An effect that is about to be dispatched.
#[derive(Debug, Clone)]
pub struct NewRow<'a> {
    /// Stable: `run:task:attempt:step`.
    pub key: &'a str,
    /// The run.
    pub run: RunId,
    /// The step.
    pub at: StepRef,
    /// The tool's id.
    pub tool: &'a str,
    /// Hash of its arguments.
    pub args_hash: &'a str,
    /// `idempotent` or `once`.
    pub repeat_rule: &'static str,
}

/// Records that an effect is about to be dispatched; a repetition of an idempotent one keeps its first line.
pub async fn dispatch(tx: &mut Tx<'_>, effect: &NewRow<'_>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "INSERT INTO effect (ws, key, run, task, attempt, n, tool, args_hash, repeat_rule, state, dispatched_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'dispatched', $10) ON CONFLICT (ws, key) DO UPDATE SET state = 'dispatched'",
        p![
            ws, effect.key, effect.run, effect.at.task, effect.at.attempt, effect.at.n, effect.tool, effect.args_hash,
            effect.repeat_rule, now
        ],
    )
    .await?;
    Ok(())
}

/// Records an outcome: `done`, `failed`, `unknown`.
pub async fn settle(tx: &mut Tx<'_>, at: StepRef, state: &str) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "UPDATE effect SET state = $5, resolved_at = $6 WHERE ws = $1 AND task = $2 AND attempt = $3 AND n = $4",
        p![ws, at.task, at.attempt, at.n, state, now],
    )
    .await?;
    Ok(())
}

row! {
    /// An effect in full.
    pub struct Record {
        /// Stable: `run:task:attempt:step`.
        pub key: String,
        /// The run.
        pub run: RunId,
        /// The task.
        pub task: TaskId,
        /// The attempt.
        pub attempt: i64,
        /// The step.
        pub n: i64,
        /// The tool's id.
        pub tool: String,
        /// `idempotent` or `once`.
        pub repeat_rule: String,
        /// How it stands.
        pub state: String,
        /// When it was dispatched first.
        pub dispatched_at: Timestamp,
        /// Who said what became of it.
        pub resolved_by: Option<String>,
        /// What they said.
        pub note: Option<String>,
    }
}

/// All effects of a run in order.
pub async fn of_run(tx: &mut Tx<'_>, run: RunId) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT key, run, task, attempt, n, tool, repeat_rule, state, dispatched_at, resolved_by, note FROM effect \
         WHERE ws = $1 AND run = $2 ORDER BY dispatched_at, key",
        p![ws, run],
    )
    .await
}

row! {
    /// A call that nothing is known of yet.
    pub struct Open {
        /// The task.
        pub task: TaskId,
        /// The attempt.
        pub attempt: i64,
        /// The step.
        pub n: i64,
        /// `idempotent` or `once`.
        pub repeat_rule: String,
        /// `dispatched`, or `retry` if a person said that it did not act and shall be made again.
        pub state: String,
    }
}

/// Effects of a run that are under way, or were to be made again.
pub async fn open_of_run(tx: &mut Tx<'_>, run: RunId) -> Result<Vec<Open>> {
    let ws = tx.ws();
    tx.many(
        "SELECT task, attempt, n, repeat_rule, state FROM effect WHERE ws = $1 AND run = $2 AND state IN ('dispatched', 'retry') \
         ORDER BY key",
        p![ws, run],
    )
    .await
}

row! {
    /// A call whose outcome nobody knows, and where the work stands that it was made in.
    pub struct Unknown {
        /// Stable: `run:task:attempt:step`.
        pub key: String,
        /// The run.
        pub run: RunId,
        /// The task.
        pub task: TaskId,
        /// The tool's id.
        pub tool: String,
        /// When it was dispatched first.
        pub dispatched_at: Timestamp,
        /// Where the run stands.
        pub run_state: String,
        /// Where the task stands.
        pub task_state: String,
    }
}

/// Effects whose outcome a person must tell, oldest first.
pub async fn unknown(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<Unknown>> {
    let ws = tx.ws();
    tx.many(
        "SELECT e.key, e.run, e.task, e.tool, e.dispatched_at, r.state AS run_state, t.state AS task_state FROM effect e \
         JOIN run r ON r.ws = e.ws AND r.id = e.run JOIN task t ON t.ws = e.ws AND t.id = e.task \
         WHERE e.ws = $1 AND e.state = 'unknown' ORDER BY e.dispatched_at, e.key LIMIT $2",
        p![ws, limit],
    )
    .await
}

/// One effect, locked until the transaction ends.
pub async fn hold(tx: &mut Tx<'_>, key: &str) -> Result<Record> {
    let ws = tx.ws();
    let found = tx
        .opt(
            "SELECT key, run, task, attempt, n, tool, repeat_rule, state, dispatched_at, resolved_by, note FROM effect \
             WHERE ws = $1 AND key = $2 /*pg FOR UPDATE*/",
            p![ws, key],
        )
        .await?;
    found.ok_or_else(|| crate::Error::missing("effect", key))
}

/// Records what a person said became of an effect.
pub async fn resolve(tx: &mut Tx<'_>, key: &str, state: &str, by: &str, note: &str) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "UPDATE effect SET state = $3, resolved_by = $4, note = $5, resolved_at = $6 WHERE ws = $1 AND key = $2",
        p![ws, key, state, by, note, now],
    )
    .await?;
    Ok(())
}
