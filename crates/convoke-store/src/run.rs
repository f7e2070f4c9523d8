//! Runs and sessions: rows and lists.

use convoke_domain::id::{RunId, SessionId};
use convoke_domain::time::Timestamp;

use crate::{Asked, Result, Tx, p, row};

/// A run that is about to be made.
#[derive(Debug, Clone)]
pub struct NewRow<'a> {
    /// Its id.
    pub id: RunId,
    /// The session it belongs to.
    pub session: SessionId,
    /// The team.
    pub team: &'a str,
    /// The team's version.
    pub team_version: i64,
    /// Digest of the blob with the whole spec.
    pub spec: &'a str,
    /// What to do.
    pub task: &'a str,
    /// Folder that members may read.
    pub input: Option<&'a str>,
    /// A script plays the models.
    pub simulated: bool,
    /// Who asked for it: `user:NAME`.
    pub created_by: &'a str,
    /// The same key twice is the same run.
    pub idem_key: Option<&'a str>,
    /// Time for the whole run, in microseconds.
    pub timeout_us: i64,
}

/// Adds a run in state `initializing`.
pub async fn insert(tx: &mut Tx<'_>, run: &NewRow<'_>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    let deadline = now.as_micros().saturating_add(run.timeout_us);
    tx.put(
        "INSERT INTO run (ws, id, session, team, team_version, spec, task, input, state, phase, simulated, created_by, idem_key, \
         open_tasks, made_tasks, created_at, deadline, timeout_us) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'initializing', 'delegation', $9, $10, $11, 0, 0, $12, $13, $14)",
        p![
            ws, run.id, run.session, run.team, run.team_version, run.spec, run.task, run.input, run.simulated,
            run.created_by, run.idem_key, now, deadline, run.timeout_us
        ],
    )
    .await?;
    Ok(())
}

row! {
    /// What is needed to drive a run.
    pub struct Held {
        /// The run.
        pub id: RunId,
        /// Its session.
        pub session: SessionId,
        /// Its team.
        pub team: String,
        /// Digest of its spec.
        pub spec: String,
        /// What to do.
        pub task: String,
        /// Where it stands.
        pub state: String,
        /// What it is busy with.
        pub phase: String,
        /// Tasks that have not ended.
        pub open_tasks: i64,
        /// Tasks that were ever made.
        pub made_tasks: i64,
        /// Why it stands where it does.
        pub reason: Option<String>,
    }
}

/// The run as it stands, locked until the transaction ends.
pub async fn hold(tx: &mut Tx<'_>, id: RunId) -> Result<Held> {
    let asked = ask_hold(tx, id).await?;
    held(tx, id, asked).await
}

/// Begins to [`hold`] a run: [`held`] gives it.
pub async fn ask_hold(tx: &mut Tx<'_>, id: RunId) -> Result<Asked<Held>> {
    let ws = tx.ws();
    tx.ask(
        "SELECT id, session, team, spec, task, state, phase, open_tasks, made_tasks, reason FROM run \
             WHERE ws = $1 AND id = $2 /*pg FOR UPDATE*/",
        p![ws, id],
    )
    .await
}

/// The run that was asked for.
pub async fn held(tx: &mut Tx<'_>, id: RunId, asked: Asked<Held>) -> Result<Held> {
    tx.answer(asked).await?.pop().ok_or_else(|| crate::Error::missing("run", id))
}

/// Counts tasks that were made (`made` more) and that have not ended (`open` more or fewer). Gives how many have not.
pub async fn count_tasks(tx: &mut Tx<'_>, id: RunId, made: i64, open: i64) -> Result<i64> {
    let asked = ask_count_tasks(tx, id, made, open).await?;
    let left = tx.answer(asked).await?.pop();
    left.map(|(left,)| left).ok_or_else(|| crate::Error::missing("run", id))
}

/// The same, to be looked at later.
pub async fn ask_count_tasks(tx: &mut Tx<'_>, id: RunId, made: i64, open: i64) -> Result<Asked<(i64,)>> {
    let ws = tx.ws();
    if tx.is_sqlite() {
        // A look is cheaper there than RETURNING, which fills a temporary table.
        add_tasks(tx, id, made, open).await?;
        return tx.ask("SELECT open_tasks FROM run WHERE ws = $1 AND id = $2", p![ws, id]).await;
    }
    tx.ask(
        "UPDATE run SET made_tasks = made_tasks + $3, open_tasks = open_tasks + $4 WHERE ws = $1 AND id = $2 RETURNING open_tasks",
        p![ws, id, made, open],
    )
    .await
}

/// The same, where nobody needs to know how many are left.
pub async fn add_tasks(tx: &mut Tx<'_>, id: RunId, made: i64, open: i64) -> Result<()> {
    let ws = tx.ws();
    tx.put(
        "UPDATE run SET made_tasks = made_tasks + $3, open_tasks = open_tasks + $4 WHERE ws = $1 AND id = $2",
        p![ws, id, made, open],
    )
    .await
}

/// Moves a run to another state that is not an end.
pub async fn set_state(tx: &mut Tx<'_>, id: RunId, state: &str, reason: Option<&str>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "UPDATE run SET state = $3, reason = $4, started_at = COALESCE(started_at, $5) WHERE ws = $1 AND id = $2",
        p![ws, id, state, reason, now],
    )
    .await?;
    Ok(())
}

/// Gives a run its full time again, from now.
pub async fn extend(tx: &mut Tx<'_>, id: RunId) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put("UPDATE run SET deadline = $3 + timeout_us WHERE ws = $1 AND id = $2", p![ws, id, now]).await?;
    Ok(())
}

/// Enters a phase.
pub async fn set_phase(tx: &mut Tx<'_>, id: RunId, phase: &str, state: &str) -> Result<()> {
    let ws = tx.ws();
    tx.put("UPDATE run SET phase = $3, state = $4 WHERE ws = $1 AND id = $2", p![ws, id, phase, state]).await?;
    Ok(())
}

/// Ends a run.
pub async fn end(tx: &mut Tx<'_>, id: RunId, state: &str, output: Option<&str>, error: Option<&str>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "UPDATE run SET state = $3, output = COALESCE($4, output), error = $5, reason = NULL, finished_at = $6 WHERE ws = $1 AND id = $2",
        p![ws, id, state, output, error, now],
    )
    .await?;
    Ok(())
}

row! {
    /// A run in full.
    pub struct Record {
        /// The run.
        pub id: RunId,
        /// Its session.
        pub session: SessionId,
        /// Its team.
        pub team: String,
        /// The team's version.
        pub team_version: i64,
        /// Digest of its spec.
        pub spec: String,
        /// What to do.
        pub task: String,
        /// Folder that members may read.
        pub input: Option<String>,
        /// Where it stands.
        pub state: String,
        /// What it is busy with.
        pub phase: String,
        /// Why it stands where it does.
        pub reason: Option<String>,
        /// A script plays the models.
        pub simulated: bool,
        /// Who asked for it.
        pub created_by: String,
        /// When it was accepted.
        pub created_at: Timestamp,
        /// When its first task was claimed.
        pub started_at: Option<Timestamp>,
        /// When it ended.
        pub finished_at: Option<Timestamp>,
        /// Its result.
        pub output: Option<String>,
        /// What it failed of.
        pub error: Option<String>,
    }
}

/// One run, if there is such a one.
pub async fn find(tx: &mut Tx<'_>, id: RunId) -> Result<Option<Record>> {
    let ws = tx.ws();
    tx.opt(
        "SELECT id, session, team, team_version, spec, task, input, state, phase, reason, simulated, created_by, created_at, \
         started_at, finished_at, output, error FROM run WHERE ws = $1 AND id = $2",
        p![ws, id],
    )
    .await
}

/// The run that was made under an idempotency key.
pub async fn by_key(tx: &mut Tx<'_>, key: &str) -> Result<Option<(RunId, String, String)>> {
    let ws = tx.ws();
    tx.opt("SELECT id, team, task FROM run WHERE ws = $1 AND idem_key = $2", p![ws, key]).await
}

/// Runs from the newest, older than `before` where that is given.
pub async fn list(tx: &mut Tx<'_>, before: Option<RunId>, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    let before = before.unwrap_or(RunId(convoke_domain::id::LAST));
    tx.many(
        "SELECT id, session, team, team_version, spec, task, input, state, phase, reason, simulated, created_by, created_at, \
         started_at, finished_at, output, error FROM run WHERE ws = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
        p![ws, before, limit],
    )
    .await
}

/// Ids alone, from the newest, older than `before` where that is given.
pub async fn ids(tx: &mut Tx<'_>, before: Option<RunId>, limit: i64) -> Result<Vec<RunId>> {
    let ws = tx.ws();
    let before = before.unwrap_or(RunId(convoke_domain::id::LAST));
    tx.many("SELECT id FROM run WHERE ws = $1 AND id < $2 ORDER BY id DESC LIMIT $3", p![ws, before, limit]).await
}

/// Runs that have not ended, oldest first.
pub async fn unfinished(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<(RunId, String, Option<String>)>> {
    let ws = tx.ws();
    tx.many(
        "SELECT id, state, reason FROM run WHERE ws = $1 \
         AND state IN ('initializing', 'running', 'aggregating', 'paused', 'waiting') ORDER BY id LIMIT $2",
        p![ws, limit],
    )
    .await
}

/// Runs that people must decide about: handed to them, or held.
pub async fn for_people(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT id, session, team, team_version, spec, task, input, state, phase, reason, simulated, created_by, created_at, \
         started_at, finished_at, output, error FROM run WHERE ws = $1 AND state IN ('escalated', 'paused') ORDER BY id LIMIT $2",
        p![ws, limit],
    )
    .await
}

/// Runs whose time is up.
pub async fn overdue(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<(RunId,)>> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.many(
        "SELECT id FROM run WHERE ws = $1 AND deadline < $2 AND state IN ('initializing', 'running', 'aggregating') LIMIT $3",
        p![ws, now, limit],
    )
    .await
}

/// Remembers that something was said in a run.
pub async fn set_talks(tx: &mut Tx<'_>, id: RunId) -> Result<()> {
    let ws = tx.ws();
    tx.put("UPDATE run SET talks = 1 WHERE ws = $1 AND id = $2 AND talks = 0", p![ws, id]).await?;
    Ok(())
}

/// Whether anything was said in a run.
pub async fn talks(tx: &mut Tx<'_>, id: RunId) -> Result<bool> {
    let ws = tx.ws();
    Ok(tx.opt("SELECT talks FROM run WHERE ws = $1 AND id = $2", p![ws, id]).await?.unwrap_or(false))
}

/// Who started a run: `user:NAME`.
pub async fn created_by(tx: &mut Tx<'_>, id: RunId) -> Result<Option<String>> {
    let ws = tx.ws();
    tx.opt("SELECT created_by FROM run WHERE ws = $1 AND id = $2", p![ws, id]).await
}

/// The digest of a run's spec.
pub async fn spec_of(tx: &mut Tx<'_>, id: RunId) -> Result<Option<String>> {
    let ws = tx.ws();
    tx.opt("SELECT spec FROM run WHERE ws = $1 AND id = $2", p![ws, id]).await
}
