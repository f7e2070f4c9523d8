//! Tasks and their edges: rows, the order of claiming, leases.
//!
//! Rule: every change of a claimed task names the fencing token it was claimed under. Start at [`candidates`].

mod together;

use convoke_domain::id::{RunId, SessionId, TaskId};
use convoke_domain::time::Timestamp;

use crate::{Asked, Result, Tx, p, row};

pub use together::*;

/// A task that is about to be made.
#[derive(Debug, Clone)]
pub struct NewRow<'a> {
    /// Its id.
    pub id: TaskId,
    /// The run it belongs to.
    pub run: RunId,
    /// Its place in the run, from 1.
    pub n: i64,
    /// Its name within stage and round.
    pub key: &'a str,
    /// One line.
    pub title: &'a str,
    /// What it is for.
    pub stage: &'static str,
    /// The round.
    pub round: i64,
    /// Who does it.
    pub agent: &'a str,
    /// What to do.
    pub instructions: &'a str,
    /// JSON Schema of the answer, as text.
    pub output_schema: Option<String>,
    /// How urgent it is.
    pub priority: &'static str,
    /// `pending` or `ready`.
    pub state: &'static str,
    /// Order of claiming.
    pub rank: i64,
    /// The run is paused.
    pub held: bool,
    /// Dependencies that have not ended.
    pub deps_left: i64,
    /// Dependencies in all: tasks whose results it is given.
    pub parents: i64,
    /// Further attempts after a failure.
    pub retries_left: i64,
    /// Time for one attempt, in microseconds.
    pub timeout_us: i64,
    /// The task it is a part of, if no pattern made it.
    pub parent: Option<TaskId>,
    /// How many tasks are above it.
    pub depth: i64,
}

/// Adds a task.
pub async fn insert(tx: &mut Tx<'_>, task: &NewRow<'_>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "INSERT INTO task (ws, id, run, n, key, title, stage, round, agent, instructions, output_schema, priority, state, rank, \
         not_before, held, deps_left, attempt, resume, retries_left, fence, timeout_us, created_at, parents, parent, depth, ties) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, $15, $16, 0, 0, $17, 0, $18, $19, $20, $21, $22, $23)",
        p![
            ws, task.id, task.run, task.n, task.key, task.title, task.stage, task.round, task.agent, task.instructions,
            task.output_schema.as_deref(), task.priority, task.state, task.rank, task.held, task.deps_left,
            task.retries_left, task.timeout_us, now, task.parents, task.parent, task.depth,
            task.parent.is_some()
        ],
    )
    .await?;
    Ok(())
}

/// Makes `child` wait for `parent`.
pub async fn insert_edge(tx: &mut Tx<'_>, parent: TaskId, child: TaskId, hard: bool) -> Result<()> {
    let ws = tx.ws();
    tx.put("INSERT INTO edge (ws, parent, child, hard) VALUES ($1, $2, $3, $4)", p![ws, parent, child, hard]).await?;
    Ok(())
}

row! {
    /// What is needed to decide about a task.
    pub struct Held {
        /// Its run.
        pub run: RunId,
        /// Its name within stage and round.
        pub key: String,
        /// Where it stands.
        pub state: String,
        /// The token of its last claim.
        pub fence: i64,
        /// Which attempt this is.
        pub attempt: i64,
        /// Its run is paused.
        pub held: bool,
        /// Further attempts after a failure.
        pub retries_left: i64,
        /// Who does it.
        pub agent: String,
        /// How urgent it is.
        pub priority: String,
        /// Messages that were not yet given to its agent.
        pub mail: i64,
        /// The task it is a part of, if no pattern made it.
        pub parent: Option<TaskId>,
        /// How many tasks are above it.
        pub depth: i64,
        /// There may be something to let go of when its attempt ends.
        pub ties: bool,
    }
}

/// The task as it stands, locked until the transaction ends.
pub async fn hold(tx: &mut Tx<'_>, id: TaskId) -> Result<Held> {
    let asked = ask_hold(tx, id).await?;
    held(tx, id, asked).await
}

/// Begins to [`hold`] a task: [`held`] gives it.
pub async fn ask_hold(tx: &mut Tx<'_>, id: TaskId) -> Result<Asked<Held>> {
    let ws = tx.ws();
    tx.ask(
            "SELECT run, key, state, fence, attempt, held, retries_left, agent, priority, mail, parent, depth, ties FROM task WHERE ws = $1 AND id = $2 /*pg FOR UPDATE*/",
            p![ws, id],
        )
        .await
}

/// The task that was asked for.
pub async fn held(tx: &mut Tx<'_>, id: TaskId, asked: Asked<Held>) -> Result<Held> {
    tx.answer(asked).await?.pop().ok_or_else(|| crate::Error::missing("task", id))
}

row! {
    /// A task that may be claimed, with all its worker needs.
    pub struct Candidate {
        /// The task.
        pub id: TaskId,
        /// Its run.
        pub run: RunId,
        /// Its name within stage and round.
        pub key: String,
        /// One line.
        pub title: String,
        /// What it is for.
        pub stage: String,
        /// The round.
        pub round: i64,
        /// Who does it.
        pub agent: String,
        /// What to do.
        pub instructions: String,
        /// JSON Schema of the answer, as text.
        pub output_schema: Option<String>,
        /// The last attempt, 0 before the first.
        pub attempt: i64,
        /// The attempt goes on.
        pub resume: bool,
        /// The token of the last claim.
        pub fence: i64,
        /// Time for one attempt, in microseconds.
        pub timeout_us: i64,
        /// Tasks whose results it is given.
        pub parents: i64,
        /// Tasks the agent holds now.
        pub running: i64,
        /// Tasks the agent may hold.
        pub capacity: i64,
        /// Digest of the run's spec.
        pub spec: String,
        /// The run's task.
        pub run_task: String,
        /// The run's input folder.
        pub input: Option<String>,
        /// The run's session.
        pub session: SessionId,
        /// Where the run stands.
        pub run_state: String,
        /// Messages that were not yet given to the agent, or one more than that where something was said in the run.
        pub mail: i64,
        /// Rights that were granted to the agent, in any run.
        pub granted: i64,
    }
}

/// The tasks that come next, in the order of claiming, whether or not their agents have room.
pub async fn candidates(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<Candidate>> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.many(
        "SELECT t.id, t.run, t.key, t.title, t.stage, t.round, t.agent, t.instructions, t.output_schema, t.attempt, t.resume, \
         t.fence, t.timeout_us, t.parents, a.running, a.capacity, r.spec, r.task AS run_task, r.input, r.session, r.state AS run_state, t.mail + r.talks AS mail, \
         (SELECT COUNT(*) FROM agent_grant g WHERE g.ws = t.ws AND g.agent = t.agent AND g.ended = 0) AS granted \
         FROM task t JOIN agent a ON a.ws = t.ws AND a.name = t.agent JOIN run r ON r.ws = t.ws AND r.id = t.run \
         WHERE t.ws = $1 AND t.state = 'ready' AND t.held = 0 AND t.not_before <= $2 AND a.away = 0 \
         AND NOT EXISTS (SELECT 1 FROM stopped x WHERE x.ws = t.ws AND x.run = t.run AND x.agent = t.agent) \
         ORDER BY t.rank LIMIT $3 /*pg FOR UPDATE OF t SKIP LOCKED*/",
        p![ws, now, limit],
    )
    .await
}

/// The same for one agent: used when those in front all belong to agents without room.
pub async fn candidates_of(tx: &mut Tx<'_>, agent: &str, limit: i64) -> Result<Vec<Candidate>> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.many(
        "SELECT t.id, t.run, t.key, t.title, t.stage, t.round, t.agent, t.instructions, t.output_schema, t.attempt, t.resume, \
         t.fence, t.timeout_us, t.parents, a.running, a.capacity, r.spec, r.task AS run_task, r.input, r.session, r.state AS run_state, t.mail + r.talks AS mail, \
         (SELECT COUNT(*) FROM agent_grant g WHERE g.ws = t.ws AND g.agent = t.agent AND g.ended = 0) AS granted \
         FROM task t JOIN agent a ON a.ws = t.ws AND a.name = t.agent JOIN run r ON r.ws = t.ws AND r.id = t.run \
         WHERE t.ws = $1 AND t.agent = $4 AND t.state = 'ready' AND t.held = 0 AND t.not_before <= $2 AND a.away = 0 \
         AND NOT EXISTS (SELECT 1 FROM stopped x WHERE x.ws = t.ws AND x.run = t.run AND x.agent = t.agent) \
         ORDER BY t.rank LIMIT $3 /*pg FOR UPDATE OF t SKIP LOCKED*/",
        p![ws, now, limit, agent],
    )
    .await
}

/// Gives a task to a worker.
pub async fn start(tx: &mut Tx<'_>, id: TaskId, attempt: i64, fence: i64, lease: (&str, Timestamp)) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "UPDATE task SET state = 'running', attempt = $3, resume = 0, fence = $4, lease_owner = $5, lease_until = $6, \
         started_at = COALESCE(started_at, $7) WHERE ws = $1 AND id = $2",
        p![ws, id, attempt, fence, lease.0, lease.1, now],
    )
    .await?;
    Ok(())
}

/// Ends a task.
pub async fn end(tx: &mut Tx<'_>, id: TaskId, state: &str, output: Option<&str>, error: Option<&str>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "UPDATE task SET state = $3, output = $4, error = $5, finished_at = $6, lease_owner = NULL, lease_until = NULL, \
         waits_for = NULL WHERE ws = $1 AND id = $2",
        p![ws, id, state, output, error, now],
    )
    .await?;
    Ok(())
}

/// Says of a task that was called off why.
pub async fn explain(tx: &mut Tx<'_>, id: TaskId, why: &str) -> Result<()> {
    let ws = tx.ws();
    tx.put("UPDATE task SET error = $3 WHERE ws = $1 AND id = $2 AND state = 'cancelled'", p![ws, id, why]).await?;
    Ok(())
}

/// How a task is put back.
#[derive(Debug, Clone)]
pub struct Requeue<'a> {
    /// Order of claiming.
    pub rank: i64,
    /// Not to be claimed before.
    pub not_before: Timestamp,
    /// The attempt goes on.
    pub resume: bool,
    /// Further attempts after a failure.
    pub retries_left: i64,
    /// Who does it.
    pub agent: &'a str,
    /// What the last attempt failed of.
    pub error: Option<&'a str>,
}

/// Makes a task claimable again.
pub async fn requeue(tx: &mut Tx<'_>, id: TaskId, how: &Requeue<'_>) -> Result<()> {
    let ws = tx.ws();
    tx.put(
        "UPDATE task SET state = 'ready', rank = $3, not_before = $4, resume = $5, retries_left = $6, agent = $7, error = $8, \
         lease_owner = NULL, lease_until = NULL, waits_for = NULL WHERE ws = $1 AND id = $2",
        p![ws, id, how.rank, how.not_before, how.resume, how.retries_left, how.agent, how.error],
    )
    .await?;
    Ok(())
}

/// Parks a task; no worker is held.
pub async fn park(tx: &mut Tx<'_>, id: TaskId, waits_for: &str, error: &str) -> Result<()> {
    let ws = tx.ws();
    tx.put(
        "UPDATE task SET state = 'waiting', waits_for = $3, error = $4, resume = 1, lease_owner = NULL, lease_until = NULL \
         WHERE ws = $1 AND id = $2",
        p![ws, id, waits_for, error],
    )
    .await?;
    Ok(())
}

/// Wakes the parked tasks of a run that wait for `reason`: their attempts go on. Gives their ids.
pub async fn wake(tx: &mut Tx<'_>, run: RunId, reason: &str, rank: i64) -> Result<Vec<(TaskId,)>> {
    let ws = tx.ws();
    tx.many(
        "UPDATE task SET state = 'ready', waits_for = NULL, error = NULL, rank = $4, not_before = 0 \
         WHERE ws = $1 AND run = $2 AND state = 'waiting' AND waits_for = $3 RETURNING id",
        p![ws, run, reason, rank],
    )
    .await
}

/// Wakes one parked task: its attempt goes on. False if it is not parked.
pub async fn wake_one(tx: &mut Tx<'_>, id: TaskId, rank: i64) -> Result<bool> {
    let ws = tx.ws();
    let changed = tx
        .exec(
            "UPDATE task SET state = 'ready', waits_for = NULL, error = NULL, rank = $3, not_before = 0 \
             WHERE ws = $1 AND id = $2 AND state = 'waiting'",
            p![ws, id, rank],
        )
        .await?;
    Ok(changed > 0)
}

row! {
    /// A task that waits for another.
    pub struct Child {
        /// The task.
        pub id: TaskId,
        /// It fails if the other fails.
        pub hard: bool,
        /// Where it stands.
        pub state: String,
        /// Dependencies that have not ended, this one included.
        pub deps_left: i64,
        /// How urgent it is.
        pub priority: String,
        /// Its name, for events.
        pub key: String,
    }
}

/// The tasks that wait for `parent`.
pub async fn children(tx: &mut Tx<'_>, parent: TaskId) -> Result<Vec<Child>> {
    let ws = tx.ws();
    tx.many(
        "SELECT t.id, e.hard, t.state, t.deps_left, t.priority, t.key FROM edge e CROSS JOIN task t \
         WHERE e.ws = $1 AND e.parent = $2 AND t.ws = e.ws AND t.id = e.child ORDER BY e.child /*pg FOR UPDATE OF t*/",
        p![ws, parent],
    )
    .await
}

/// One dependency less; ready if it was the last.
pub async fn release(tx: &mut Tx<'_>, id: TaskId, deps_left: i64, rank: i64) -> Result<()> {
    let ws = tx.ws();
    let sql = if deps_left == 0 {
        "UPDATE task SET deps_left = $3, state = 'ready', rank = $4 WHERE ws = $1 AND id = $2"
    } else {
        "UPDATE task SET deps_left = $3, rank = $4 WHERE ws = $1 AND id = $2"
    };
    tx.put(sql, p![ws, id, deps_left, rank]).await?;
    Ok(())
}

row! {
    /// A task that has not ended.
    pub struct Open {
        /// The task.
        pub id: TaskId,
        /// Where it stands.
        pub state: String,
        /// Who does it.
        pub agent: String,
        /// Its attempt.
        pub attempt: i64,
        /// There may be something to let go of when its attempt ends.
        pub ties: bool,
    }
}

/// All tasks of a run that have not ended.
pub async fn open(tx: &mut Tx<'_>, run: RunId) -> Result<Vec<Open>> {
    let ws = tx.ws();
    tx.many(
        "SELECT id, state, agent, attempt, ties FROM task WHERE ws = $1 AND run = $2 \
         AND state IN ('pending', 'ready', 'running', 'waiting', 'blocked') ORDER BY n /*pg FOR UPDATE*/",
        p![ws, run],
    )
    .await
}

/// Holds a run's tasks back, or lets them go.
pub async fn set_held(tx: &mut Tx<'_>, run: RunId, held: bool) -> Result<()> {
    let ws = tx.ws();
    tx.put(
        "UPDATE task SET held = $3 WHERE ws = $1 AND run = $2 AND state IN ('pending', 'ready', 'running', 'waiting', 'blocked')",
        p![ws, run, held],
    )
    .await?;
    Ok(())
}

/// Keeps the leases of a worker; gives the tasks it still holds and their tokens.
pub async fn renew(tx: &mut Tx<'_>, worker: &str, until: Timestamp) -> Result<Vec<(TaskId, i64)>> {
    let ws = tx.ws();
    tx.many(
        "UPDATE task SET lease_until = $3 WHERE ws = $1 AND lease_owner = $2 AND state = 'running' RETURNING id, fence",
        p![ws, worker, until],
    )
    .await
}

row! {
    /// A running task whose worker, or agent, is gone.
    pub struct Lapsed {
        /// The task.
        pub id: TaskId,
        /// Its run.
        pub run: RunId,
        /// Its name within stage and round.
        pub key: String,
        /// Who does it.
        pub agent: String,
        /// How urgent it is.
        pub priority: String,
        /// Further attempts after a failure.
        pub retries_left: i64,
    }
}

/// Running tasks whose lease ended before `now`, or that are held by anybody but `keep` where that is given.
pub async fn lapsed(tx: &mut Tx<'_>, keep: Option<&str>, limit: i64) -> Result<Vec<Lapsed>> {
    let (ws, now) = (tx.ws(), tx.now());
    let sql = if keep.is_some() {
        "SELECT id, run, key, agent, priority, retries_left FROM task WHERE ws = $1 AND state = 'running' \
         AND (lease_until < $2 OR lease_owner <> $4) ORDER BY lease_until LIMIT $3 /*pg FOR UPDATE SKIP LOCKED*/"
    } else {
        "SELECT id, run, key, agent, priority, retries_left FROM task WHERE ws = $1 AND state = 'running' \
         AND lease_until < $2 AND $4 = '' ORDER BY lease_until LIMIT $3 /*pg FOR UPDATE SKIP LOCKED*/"
    };
    tx.many(sql, p![ws, now, limit, keep.unwrap_or_default()]).await
}

row! {
    /// A task with its result, as a pattern and a report see it.
    pub struct Record {
        /// The task.
        pub id: TaskId,
        /// Its place in the run.
        pub n: i64,
        /// Its name within stage and round.
        pub key: String,
        /// One line.
        pub title: String,
        /// What it is for.
        pub stage: String,
        /// The round.
        pub round: i64,
        /// Who does it.
        pub agent: String,
        /// Where it stands.
        pub state: String,
        /// How urgent it is.
        pub priority: String,
        /// Which attempt it is at.
        pub attempt: i64,
        /// What it waits for.
        pub waits_for: Option<String>,
        /// Its result.
        pub output: Option<String>,
        /// What it failed of.
        pub error: Option<String>,
        /// When it was made.
        pub created_at: Timestamp,
        /// When it was first claimed.
        pub started_at: Option<Timestamp>,
        /// When it ended.
        pub finished_at: Option<Timestamp>,
        /// The task it is a part of, if no pattern made it.
        pub parent: Option<TaskId>,
    }
}

/// All tasks of a run in order of creation.
pub async fn of_run(tx: &mut Tx<'_>, run: RunId) -> Result<Vec<Record>> {
    let asked = ask_of_run(tx, run).await?;
    tx.answer(asked).await
}

/// The same, to be looked at later.
pub async fn ask_of_run(tx: &mut Tx<'_>, run: RunId) -> Result<Asked<Record>> {
    let ws = tx.ws();
    tx.ask(
        "SELECT id, n, key, title, stage, round, agent, state, priority, attempt, waits_for, output, error, created_at, \
         started_at, finished_at, parent FROM task WHERE ws = $1 AND run = $2 ORDER BY n",
        p![ws, run],
    )
    .await
}

row! {
    /// What a task was given to build on.
    pub struct Input {
        /// Name within stage and round.
        pub key: String,
        /// One line.
        pub title: String,
        /// What it was for.
        pub stage: String,
        /// The round.
        pub round: i64,
        /// Who did it.
        pub agent: String,
        /// How it ended.
        pub state: String,
        /// Its result.
        pub output: Option<String>,
        /// What it failed of.
        pub error: Option<String>,
    }
}

/// The tasks that came before `child`, in order of creation.
pub async fn inputs(tx: &mut Tx<'_>, child: TaskId) -> Result<Vec<Input>> {
    let ws = tx.ws();
    tx.many(
        "SELECT t.key, t.title, t.stage, t.round, t.agent, t.state, t.output, t.error FROM edge e \
         CROSS JOIN task t WHERE e.ws = $1 AND e.child = $2 AND t.ws = e.ws AND t.id = e.parent ORDER BY t.n",
        p![ws, child],
    )
    .await
}

/// When the next task may be claimed that must not be claimed yet.
pub async fn next_not_before(tx: &mut Tx<'_>) -> Result<Option<Timestamp>> {
    let (ws, now) = (tx.ws(), tx.now());
    let found: Option<(Option<Timestamp>,)> = tx
        .opt(
            "SELECT MIN(not_before) FROM task WHERE ws = $1 AND state = 'ready' AND held = 0 AND not_before > 0 AND not_before > $2",
            p![ws, now],
        )
        .await?;
    Ok(found.and_then(|(at,)| at))
}

/// The tasks of a run that wait for `reason`.
pub async fn waits_for(tx: &mut Tx<'_>, run: RunId, reason: &str) -> Result<Vec<(TaskId,)>> {
    let ws = tx.ws();
    tx.many(
        "SELECT id FROM task WHERE ws = $1 AND run = $2 AND state = 'waiting' AND waits_for = $3 ORDER BY n",
        p![ws, run, reason],
    )
    .await
}
