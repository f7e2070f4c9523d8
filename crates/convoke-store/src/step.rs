//! Steps: the journal of an attempt. A step is written before its effect as `started`, and again with its outcome.

use convoke_domain::id::{RunId, TaskId};
use convoke_domain::time::Timestamp;

use crate::{Asked, Result, Tx, p, row};

/// Names one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepRef {
    /// The task.
    pub task: TaskId,
    /// The attempt, from 1.
    pub attempt: i64,
    /// The step within the attempt, from 1.
    pub n: i64,
}

/// A step that is about to be taken.
#[derive(Debug, Clone)]
pub struct NewRow<'a> {
    /// Its name.
    pub at: StepRef,
    /// The run.
    pub run: RunId,
    /// The model call it is or follows from, from 1.
    pub turn: i64,
    /// `model` or `tool`.
    pub kind: &'static str,
    /// The model, or the tool's id.
    pub name: &'a str,
    /// The tool call's id; empty for a model call.
    pub call_id: &'a str,
    /// Hash of what goes in.
    pub input_hash: &'a str,
    /// A tool's arguments; a model's input is the fold of the steps before.
    pub input: Option<&'a str>,
    /// The token of the claim.
    pub fence: i64,
    /// The most it can cost, in nano-dollars.
    pub bound_cost: i64,
    /// The most tokens it can use.
    pub bound_tokens: i64,
    /// The budgets that hold the reservation, one per line.
    pub scopes: &'a str,
    /// Whose bill it is on: `priced`, `local`, `unpriced`, `simulated`; empty for a tool.
    pub tariff: &'static str,
}

/// Journals the intent. A step that was started before and never finished is started again, with one more try.
pub async fn start(tx: &mut Tx<'_>, step: &NewRow<'_>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "INSERT INTO step (ws, task, attempt, n, run, turn, kind, name, call_id, input_hash, input, status, tries, fence, \
         bound_cost, bound_tokens, scopes, tariff, started_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'started', 1, $12, $13, $14, $15, $16, $17) \
         ON CONFLICT (ws, task, attempt, n) DO UPDATE SET name = excluded.name, input_hash = excluded.input_hash, \
         input = excluded.input, status = 'started', tries = step.tries + 1, fence = excluded.fence, error = NULL, \
         bound_cost = excluded.bound_cost, bound_tokens = excluded.bound_tokens, scopes = excluded.scopes, \
         tariff = excluded.tariff, started_at = excluded.started_at, finished_at = NULL",
        p![
            ws, step.at.task, step.at.attempt, step.at.n, step.run, step.turn, step.kind, step.name, step.call_id,
            step.input_hash, step.input, step.fence, step.bound_cost, step.bound_tokens, step.scopes, step.tariff, now
        ],
    )
    .await?;
    Ok(())
}

row! {
    /// What a started step holds.
    pub struct Started {
        /// The run.
        pub run: RunId,
        /// `model` or `tool`.
        pub kind: String,
        /// The model, or the tool's id.
        pub name: String,
        /// How often it was started.
        pub tries: i64,
        /// The most it can cost, in nano-dollars.
        pub bound_cost: i64,
        /// The most tokens it can use.
        pub bound_tokens: i64,
        /// The budgets that hold the reservation, one per line.
        pub scopes: String,
        /// Whose bill it is on.
        pub tariff: String,
    }
}

/// Journals an outcome: `done`, `failed`, `denied`, `lost` or `unknown`. Nothing if the step is not under way, or was
/// started again under another token than `fence` (0 for any).
pub async fn finish(
    tx: &mut Tx<'_>,
    at: StepRef,
    fence: i64,
    status: &str,
    result: (Option<&str>, Option<&str>),
) -> Result<Option<Started>> {
    let asked = ask_finish(tx, at, fence, status, result).await?;
    Ok(tx.answer(asked).await?.pop())
}

/// The same, to be looked at later. Who holds the task under the token `fence` may finish a step under any.
pub async fn ask_finish(
    tx: &mut Tx<'_>,
    at: StepRef,
    fence: i64,
    status: &str,
    (output, error): (Option<&str>, Option<&str>),
) -> Result<Asked<Started>> {
    let (ws, now) = (tx.ws(), tx.now());
    let change = p![ws, at.task, at.attempt, at.n, status, output, error, now, fence];
    if !tx.is_sqlite() {
        let told = "UPDATE step SET status = $5, output = $6, error = $7, finished_at = $8 \
             WHERE ws = $1 AND task = $2 AND attempt = $3 AND n = $4 AND status = 'started' \
             AND (fence = $9 OR $9 = 0 OR EXISTS (SELECT 1 FROM task t WHERE t.ws = $1 AND t.id = $2 AND t.state = 'running' AND t.fence = $9)) \
             RETURNING run, kind, name, tries, bound_cost, bound_tokens, scopes, tariff";
        return tx.ask(told, change).await;
    }
    // On SQLite a look is cheaper than RETURNING, which fills a temporary table; nobody else can write in between.
    let found = tx
        .opt(
            "SELECT run, kind, name, tries, bound_cost, bound_tokens, scopes, tariff FROM step \
             WHERE ws = $1 AND task = $2 AND attempt = $3 AND n = $4 AND status = 'started' AND (fence = $5 OR $5 = 0 \
             OR EXISTS (SELECT 1 FROM task t WHERE t.ws = $1 AND t.id = $2 AND t.state = 'running' AND t.fence = $5))",
            p![ws, at.task, at.attempt, at.n, fence],
        )
        .await?;
    if found.is_some() {
        tx.put(
            "UPDATE step SET status = $5, output = $6, error = $7, finished_at = $8 \
             WHERE ws = $1 AND task = $2 AND attempt = $3 AND n = $4",
            &change[..8],
        )
        .await?;
    }
    Ok(Asked::Here(found.into_iter().collect()))
}

/// Lets a step that is under way wait for its result; see [`crate::wait`].
pub async fn suspend(tx: &mut Tx<'_>, at: StepRef) -> Result<()> {
    let ws = tx.ws();
    let sql = "UPDATE step SET status = 'waiting' WHERE ws = $1 AND task = $2 AND attempt = $3 AND n = $4 AND status = 'started'";
    tx.put(sql, p![ws, at.task, at.attempt, at.n]).await?;
    Ok(())
}

/// Gives a waiting step its result: `done`, `failed`, or `retry` when it shall now be carried out. False if it does not wait.
pub async fn fulfil(
    tx: &mut Tx<'_>,
    at: StepRef,
    status: &str,
    (output, error): (Option<&str>, Option<&str>),
) -> Result<bool> {
    change(tx, at, "waiting", status, (output, error)).await
}

/// Gives up what the attempts of a task still wait for, or were about to carry out after a wait, for this reason. Gives the number
/// and the name of each.
pub async fn give_up(tx: &mut Tx<'_>, task: TaskId, reason: &str) -> Result<Vec<(i64, String)>> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.many(
        "UPDATE step SET status = 'failed', error = $3, finished_at = $4 \
         WHERE ws = $1 AND task = $2 AND status IN ('waiting', 'retry') RETURNING n, name",
        p![ws, task, reason, now],
    )
    .await
}

/// Changes the outcome of a step whose outcome was unknown.
pub async fn resolve(
    tx: &mut Tx<'_>,
    at: StepRef,
    status: &str,
    (output, error): (Option<&str>, Option<&str>),
) -> Result<bool> {
    change(tx, at, "unknown", status, (output, error)).await
}

/// Gives a tool call that was given up for this reason the outcome that came after all, from the worker that made it. False if
/// it does not stand so.
pub async fn come_late(
    tx: &mut Tx<'_>,
    at: StepRef,
    (fence, given_up): (i64, &str),
    status: &str,
    (output, error): (Option<&str>, Option<&str>),
) -> Result<bool> {
    let (ws, now) = (tx.ws(), tx.now());
    let changed = tx
        .exec(
            "UPDATE step SET status = $5, output = $6, error = $7, finished_at = $8 \
             WHERE ws = $1 AND task = $2 AND attempt = $3 AND n = $4 AND fence = $9 AND kind = 'tool' \
             AND status IN ('unknown', 'failed') AND error = $10",
            p![ws, at.task, at.attempt, at.n, status, output, error, now, fence, given_up],
        )
        .await?;
    Ok(changed > 0)
}

/// Gives a step that stands as `was` its outcome. False if it does not stand so.
async fn change(
    tx: &mut Tx<'_>,
    at: StepRef,
    was: &str,
    status: &str,
    (output, error): (Option<&str>, Option<&str>),
) -> Result<bool> {
    let (ws, now) = (tx.ws(), tx.now());
    let changed = tx
        .exec(
            "UPDATE step SET status = $5, output = $6, error = $7, finished_at = $8 \
             WHERE ws = $1 AND task = $2 AND attempt = $3 AND n = $4 AND status = $9",
            p![ws, at.task, at.attempt, at.n, status, output, error, now, was],
        )
        .await?;
    Ok(changed > 0)
}

row! {
    /// A step in full.
    pub struct Record {
        /// The task.
        pub task: TaskId,
        /// Its place in the attempt, from 1.
        pub n: i64,
        /// The attempt.
        pub attempt: i64,
        /// The model call it is or follows from.
        pub turn: i64,
        /// `model` or `tool`.
        pub kind: String,
        /// The model, or the tool's id.
        pub name: String,
        /// The tool call's id; empty for a model call.
        pub call_id: String,
        /// A tool's arguments.
        pub input: Option<String>,
        /// How it stands.
        pub status: String,
        /// A model's reply as JSON; a tool's result.
        pub output: Option<String>,
        /// What it failed of.
        pub error: Option<String>,
        /// How often it was started.
        pub tries: i64,
        /// When it was started last.
        pub started_at: Timestamp,
        /// When its outcome was journaled.
        pub finished_at: Option<Timestamp>,
    }
}

/// The steps of one attempt in order, `after` the given one.
pub async fn of_attempt(tx: &mut Tx<'_>, task: TaskId, attempt: i64, after: i64, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT task, n, attempt, turn, kind, name, call_id, input, status, output, error, tries, started_at, finished_at FROM step \
         WHERE ws = $1 AND task = $2 AND attempt = $3 AND n > $4 ORDER BY n LIMIT $5",
        p![ws, task, attempt, after, limit],
    )
    .await
}

/// The steps of one turn of an attempt, in order.
pub async fn of_turn(tx: &mut Tx<'_>, task: TaskId, attempt: i64, turn: i64, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT task, n, attempt, turn, kind, name, call_id, input, status, output, error, tries, started_at, finished_at FROM step \
         WHERE ws = $1 AND task = $2 AND attempt = $3 AND turn = $4 ORDER BY n LIMIT $5",
        p![ws, task, attempt, turn, limit],
    )
    .await
}

/// One step.
pub async fn get(tx: &mut Tx<'_>, at: StepRef) -> Result<Option<Record>> {
    let ws = tx.ws();
    tx.opt(
        "SELECT task, n, attempt, turn, kind, name, call_id, input, status, output, error, tries, started_at, finished_at FROM step \
         WHERE ws = $1 AND task = $2 AND attempt = $3 AND n = $4",
        p![ws, at.task, at.attempt, at.n],
    )
    .await
}

/// The steps of a run by task, attempt and place, `after` the given one.
pub async fn of_run(tx: &mut Tx<'_>, run: RunId, after: StepRef, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT task, n, attempt, turn, kind, name, call_id, input, status, output, error, tries, started_at, finished_at FROM step \
         WHERE ws = $1 AND run = $2 AND (task, attempt, n) > ($3, $4, $5) ORDER BY task, attempt, n LIMIT $6",
        p![ws, run, after.task, after.attempt, after.n, limit],
    )
    .await
}

row! {
    /// A model call that was started and whose worker is gone.
    pub struct Orphan {
        /// The task.
        pub task: TaskId,
        /// The attempt.
        pub attempt: i64,
        /// The step.
        pub n: i64,
        /// Who made the call.
        pub agent: String,
    }
}

/// Model calls of a run that are under way although their task is not running.
pub async fn orphans(tx: &mut Tx<'_>, run: RunId) -> Result<Vec<Orphan>> {
    let ws = tx.ws();
    tx.many(
        "SELECT s.task, s.attempt, s.n, t.agent FROM step s CROSS JOIN task t WHERE s.ws = $1 AND s.run = $2 AND s.status = 'started' \
         AND s.kind = 'model' AND t.ws = s.ws AND t.id = s.task AND t.state <> 'running' ORDER BY s.n",
        p![ws, run],
    )
    .await
}

row! {
    /// How often each kind of step was taken in a run.
    pub struct Tally {
        /// The run.
        pub run: RunId,
        /// `model` or `tool`.
        pub kind: String,
        /// How many.
        pub count: i64,
    }
}

/// Counts the finished steps of a run by kind.
pub async fn tally(tx: &mut Tx<'_>, run: RunId) -> Result<Vec<Tally>> {
    let ws = tx.ws();
    tx.many(
        "SELECT run, kind, COUNT(*) AS count FROM step WHERE ws = $1 AND run = $2 AND status <> 'started' GROUP BY run, kind ORDER BY kind",
        p![ws, run],
    )
    .await
}
