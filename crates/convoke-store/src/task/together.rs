//! What tasks need for agents and people to work together: messages, parts, what they wait for, who does them.

use convoke_domain::id::{RunId, SessionId, TaskId};
use convoke_domain::time::Timestamp;

use super::Open;
use crate::{Asked, Result, Tx, p, row};

/// Counts messages (`more` > 0) for the agent of each of these tasks.
pub async fn add_mail(tx: &mut Tx<'_>, id: TaskId, more: i64) -> Result<()> {
    let ws = tx.ws();
    tx.put("UPDATE task SET mail = mail + $3 WHERE ws = $1 AND id = $2", p![ws, id, more]).await?;
    Ok(())
}

/// From now on there may be something to let go of when an attempt of the task ends.
pub async fn tie(tx: &mut Tx<'_>, id: TaskId) -> Result<()> {
    let ws = tx.ws();
    tx.put("UPDATE task SET ties = 1 WHERE ws = $1 AND id = $2 AND ties = 0", p![ws, id]).await?;
    Ok(())
}

/// All messages for the agent of a task were given to it.
pub async fn clear_mail(tx: &mut Tx<'_>, id: TaskId) -> Result<()> {
    let ws = tx.ws();
    tx.put("UPDATE task SET mail = 0 WHERE ws = $1 AND id = $2", p![ws, id]).await?;
    Ok(())
}

/// The parts of a task that have not ended: tasks that no pattern made.
pub async fn open_parts(tx: &mut Tx<'_>, parent: TaskId) -> Result<Vec<Open>> {
    let ws = tx.ws();
    tx.many(
        "SELECT id, state, agent, attempt, ties FROM task WHERE ws = $1 AND parent = $2 \
         AND state IN ('pending', 'ready', 'running', 'waiting', 'blocked') ORDER BY n /*pg FOR UPDATE*/",
        p![ws, parent],
    )
    .await
}

/// What the parked tasks of a run wait for, each reason once.
pub async fn waiting(tx: &mut Tx<'_>, run: RunId) -> Result<Vec<(String,)>> {
    let asked = ask_waiting(tx, run).await?;
    tx.answer(asked).await
}

/// The same, to be looked at later.
pub async fn ask_waiting(tx: &mut Tx<'_>, run: RunId) -> Result<Asked<(String,)>> {
    let ws = tx.ws();
    tx.ask(
        "SELECT DISTINCT waits_for FROM task WHERE ws = $1 AND run = $2 AND state = 'waiting' AND waits_for IS NOT NULL ORDER BY waits_for",
        p![ws, run],
    )
    .await
}

/// True if a task of the run is at work, or may be.
pub async fn is_busy(tx: &mut Tx<'_>, run: RunId) -> Result<bool> {
    let ws = tx.ws();
    let found: Option<(i64,)> = tx
        .opt("SELECT n FROM task WHERE ws = $1 AND run = $2 AND state IN ('ready', 'running') LIMIT 1", p![ws, run])
        .await?;
    Ok(found.is_some())
}

row! {
    /// A task that a person does, with all there is to know about it.
    pub struct Given {
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
        /// Who does it: the agent that stands for people.
        pub agent: String,
        /// What to do.
        pub instructions: String,
        /// JSON Schema of the answer, as text.
        pub output_schema: Option<String>,
        /// Where it stands.
        pub state: String,
        /// What it waits for.
        pub waits_for: Option<String>,
        /// The attempt that the answer ends.
        pub attempt: i64,
        /// The token of the last claim.
        pub fence: i64,
        /// Tasks whose results it is given.
        pub parents: i64,
        /// Time for one attempt, in microseconds.
        pub timeout_us: i64,
        /// When it was given to people.
        pub started_at: Option<Timestamp>,
        /// Digest of the run's spec.
        pub spec: String,
        /// The run's task.
        pub run_task: String,
        /// The run's input folder.
        pub input: Option<String>,
        /// The run's session.
        pub session: SessionId,
    }
}

impl Given {
    /// Time for one attempt.
    pub fn timeout(&self) -> std::time::Duration {
        std::time::Duration::from_micros(u64::try_from(self.timeout_us).unwrap_or(0))
    }
}

/// Tasks that wait to be done by people, oldest first, behind `after` where that is given.
pub async fn for_people(tx: &mut Tx<'_>, after: Option<TaskId>, limit: i64) -> Result<Vec<Given>> {
    let ws = tx.ws();
    let after = after.unwrap_or(TaskId(uuid::Uuid::nil()));
    tx.many(
        "SELECT t.id, t.run, t.key, t.title, t.stage, t.round, t.agent, t.instructions, t.output_schema, t.state, t.waits_for, t.attempt, \
         t.fence, t.parents, t.timeout_us, t.started_at, r.spec, r.task AS run_task, r.input, r.session FROM task t \
         JOIN run r ON r.ws = t.ws AND r.id = t.run \
         WHERE t.ws = $1 AND t.state = 'waiting' AND t.waits_for = 'person' AND t.id > $2 ORDER BY t.id LIMIT $3",
        p![ws, after, limit],
    )
    .await
}

/// One task as a person sees it, locked until the transaction ends.
pub async fn given(tx: &mut Tx<'_>, id: TaskId) -> Result<Given> {
    let ws = tx.ws();
    let found = tx
        .opt(
            "SELECT t.id, t.run, t.key, t.title, t.stage, t.round, t.agent, t.instructions, t.output_schema, t.state, t.waits_for, t.attempt, \
             t.fence, t.parents, t.timeout_us, t.started_at, r.spec, r.task AS run_task, r.input, r.session FROM task t \
             JOIN run r ON r.ws = t.ws AND r.id = t.run WHERE t.ws = $1 AND t.id = $2 /*pg FOR UPDATE OF t*/",
            p![ws, id],
        )
        .await?;
    found.ok_or_else(|| crate::Error::missing("task", id))
}

/// How far along a task is, as its agent says.
pub async fn set_progress(tx: &mut Tx<'_>, id: TaskId, percent: Option<i64>, text: &str) -> Result<()> {
    let ws = tx.ws();
    tx.put(
        "UPDATE task SET percent = COALESCE($3, percent), progress = $4 WHERE ws = $1 AND id = $2",
        p![ws, id, percent, text],
    )
    .await?;
    Ok(())
}

/// Whether an agent was given any task of a run.
pub async fn is_given(tx: &mut Tx<'_>, run: RunId, agent: &str) -> Result<bool> {
    let ws = tx.ws();
    let found: Option<(i64,)> =
        tx.opt("SELECT n FROM task WHERE ws = $1 AND run = $2 AND agent = $3 LIMIT 1", p![ws, run, agent]).await?;
    Ok(found.is_some())
}

/// Who does a task.
pub async fn agent_of(tx: &mut Tx<'_>, id: TaskId) -> Result<Option<(String,)>> {
    let ws = tx.ws();
    tx.opt("SELECT agent FROM task WHERE ws = $1 AND id = $2", p![ws, id]).await
}

row! {
    /// What a side task may hang on, and what became of it.
    pub struct Brief {
        /// The task.
        pub id: TaskId,
        /// Who does it.
        pub agent: String,
        /// Where it stands.
        pub state: String,
        /// How many tasks are above it.
        pub depth: i64,
        /// Its result.
        pub output: Option<String>,
        /// What it failed of.
        pub error: Option<String>,
    }
}

/// A task in short.
pub async fn brief(tx: &mut Tx<'_>, id: TaskId) -> Result<Option<Brief>> {
    let ws = tx.ws();
    tx.opt("SELECT id, agent, state, depth, output, error FROM task WHERE ws = $1 AND id = $2", p![ws, id]).await
}

/// The first task of a run, one that has ended before one that has not.
pub async fn first_of_run(tx: &mut Tx<'_>, run: RunId) -> Result<Option<Brief>> {
    let ws = tx.ws();
    tx.opt(
        "SELECT id, agent, state, depth, output, error FROM task WHERE ws = $1 AND run = $2 AND parent IS NULL \
         ORDER BY CASE WHEN finished_at IS NULL THEN 1 ELSE 0 END, n LIMIT 1",
        p![ws, run],
    )
    .await
}

row! {
    /// A task of a flow, as what follows from it is decided.
    pub struct Stepped {
        /// The task.
        pub id: TaskId,
        /// Its path.
        pub key: String,
        /// Who does it.
        pub agent: String,
        /// Where it stands.
        pub state: String,
        /// Its result.
        pub output: Option<String>,
        /// What it failed of.
        pub error: Option<String>,
        /// Its answer must fit a schema.
        pub is_json: bool,
    }
}

/// The tasks of a run's flow whose paths are in a range, the end excluded.
pub async fn stepped(tx: &mut Tx<'_>, run: RunId, range: (&str, &str)) -> Result<Vec<Stepped>> {
    let ws = tx.ws();
    tx.many(
        "SELECT id, key, agent, state, output, error, CAST(CASE WHEN output_schema IS NULL THEN 0 ELSE 1 END AS BIGINT) AS is_json FROM task \
         WHERE ws = $1 AND run = $2 AND stage = 'step' AND round = 1 AND key >= $3 AND key < $4 ORDER BY key",
        p![ws, run, range.0, range.1],
    )
    .await
}

/// The path of a task, if a flow made it.
pub async fn path(tx: &mut Tx<'_>, id: TaskId) -> Result<Option<String>> {
    let ws = tx.ws();
    let sql = "SELECT key FROM task WHERE ws = $1 AND id = $2 AND stage = 'step'";
    let found: Option<(String,)> = tx.opt(sql, p![ws, id]).await?;
    Ok(found.map(|(key,)| key))
}

/// The open tasks of a run's flow whose paths are in a range, the end excluded.
pub async fn open_within(tx: &mut Tx<'_>, run: RunId, range: (&str, &str)) -> Result<Vec<Open>> {
    let ws = tx.ws();
    tx.many(
        "SELECT id, state, agent, attempt, ties FROM task WHERE ws = $1 AND run = $2 AND stage = 'step' AND round = 1 AND key >= $3 AND key < $4 \
         AND state IN ('pending', 'ready', 'running', 'waiting', 'blocked') ORDER BY key /*pg FOR UPDATE*/",
        p![ws, run, range.0, range.1],
    )
    .await
}
