//! What figures need beside the record of a run: dependencies, events that part its time, messages; and the runs of a team by time.

use convoke_domain::id::{RunId, TaskId};
use convoke_domain::money::Money;
use convoke_domain::time::Timestamp;

use crate::step::StepRef;
use crate::{Result, Tx, p, row};

row! {
    /// A dependency.
    pub struct Edge {
        /// The task before.
        pub parent: TaskId,
        /// The task after.
        pub child: TaskId,
    }
}

/// The dependencies of a run's tasks, behind the given one.
pub async fn edges(tx: &mut Tx<'_>, run: RunId, after: (TaskId, TaskId), limit: i64) -> Result<Vec<Edge>> {
    let ws = tx.ws();
    tx.many(
        "SELECT e.parent, e.child FROM task t CROSS JOIN edge e WHERE t.ws = $1 AND t.run = $2 AND e.ws = t.ws AND e.parent = t.id \
         AND (e.parent, e.child) > ($3, $4) ORDER BY e.parent, e.child LIMIT $5",
        p![ws, run, after.0, after.1, limit],
    )
    .await
}

row! {
    /// An event that parts a run's time.
    pub struct Mark {
        /// Its number.
        pub seq: i64,
        /// When.
        pub at: Timestamp,
        /// What happened.
        pub kind: String,
        /// What it happened to: the id of a task or of the run.
        pub entity_id: String,
        /// Details, as JSON.
        pub payload: String,
    }
}

/// Events of a run by which tasks or the run begin to wait, may go on, or go on: those of
/// [`convoke_domain::analytics::Turn::KINDS`], behind the number `after`.
pub async fn marks(tx: &mut Tx<'_>, run: RunId, after: i64, limit: i64) -> Result<Vec<Mark>> {
    let ws = tx.ws();
    tx.many(
        "SELECT seq, at, kind, entity_id, payload FROM event WHERE ws = $1 AND run = $2 AND seq > $3 AND kind IN ('task.waiting', \
         'task.woken', 'task.requeued', 'task.taken_over', 'run.paused', 'run.waiting', 'run.escalated', 'run.resumed') \
         ORDER BY seq LIMIT $4",
        p![ws, run, after, limit],
    )
    .await
}

row! {
    /// A vote that was counted, or agreement that was measured.
    pub struct Poll {
        /// The number of its event.
        pub seq: i64,
        /// What happened.
        pub kind: String,
        /// What the event says, as JSON.
        pub payload: String,
    }
}

/// Events of a run that tell how far those who were asked agree: those of [`convoke_domain::analytics::Polls::KINDS`], behind the
/// number `after`.
pub async fn polls(tx: &mut Tx<'_>, run: RunId, after: i64, limit: i64) -> Result<Vec<Poll>> {
    let ws = tx.ws();
    tx.many(
        "SELECT seq, kind, payload FROM event WHERE ws = $1 AND run = $2 AND seq > $3 AND kind IN ('coordination.vote.counted', \
         'coordination.agreement.measured', 'coordination.merge.completed') ORDER BY seq LIMIT $4",
        p![ws, run, after, limit],
    )
    .await
}

/// When addressed messages of a run were stored, and given to their recipients; at most `limit`.
pub async fn letters(tx: &mut Tx<'_>, run: RunId, limit: i64) -> Result<Vec<(Timestamp, Timestamp)>> {
    let ws = tx.ws();
    tx.many(
        "SELECT r.at, r.delivered_at FROM message m CROSS JOIN receipt r WHERE m.ws = $1 AND m.run = $2 AND r.ws = m.ws AND r.message = m.id \
         AND r.delivered_at IS NOT NULL ORDER BY m.id, r.who LIMIT $3",
        p![ws, run, limit],
    )
    .await
}

row! {
    /// A task's times, without what it is about; with its result, where that may be a voice.
    pub struct TaskTimes {
        /// The task.
        pub id: TaskId,
        /// Its stage.
        pub stage: String,
        /// Its key.
        pub key: String,
        /// Its round.
        pub round: i64,
        /// Where it stands.
        pub state: String,
        /// Who has it.
        pub agent: String,
        /// When it was made.
        pub created_at: Timestamp,
        /// When it ended.
        pub finished_at: Option<Timestamp>,
        /// Its result, where that is an object of JSON and not too long to be a voice.
        pub said: Option<String>,
    }
}

/// The times of a run's tasks, behind the given one.
pub async fn tasks(tx: &mut Tx<'_>, run: RunId, after: TaskId, limit: i64) -> Result<Vec<TaskTimes>> {
    let (ws, most) = (tx.ws(), i64::try_from(convoke_domain::analytics::VOICE_BYTES).unwrap_or(i64::MAX));
    tx.many(
        "SELECT id, stage, key, round, state, agent, created_at, finished_at, CASE WHEN LENGTH(output) <= CAST($5 AS BIGINT) \
         AND LTRIM(output, $6) LIKE '{%' THEN output END AS said \
         FROM task WHERE ws = $1 AND run = $2 AND id > $3 ORDER BY id LIMIT $4",
        p![ws, run, after, limit, most, " \n\r\t"],
    )
    .await
}

row! {
    /// A model or tool call's times.
    pub struct Call {
        /// The task.
        pub task: TaskId,
        /// The attempt.
        pub attempt: i64,
        /// The step.
        pub n: i64,
        /// `model` or `tool`.
        pub kind: String,
        /// When it began.
        pub started_at: Timestamp,
        /// When it ended.
        pub finished_at: Option<Timestamp>,
    }
}

/// The times of a run's model and tool calls, behind the given one.
pub async fn calls(tx: &mut Tx<'_>, run: RunId, after: StepRef, limit: i64) -> Result<Vec<Call>> {
    let ws = tx.ws();
    tx.many(
        "SELECT task, attempt, n, kind, started_at, finished_at FROM step WHERE ws = $1 AND run = $2 AND (task, attempt, n) > ($3, $4, $5) \
         AND kind IN ('model', 'tool') ORDER BY task, attempt, n LIMIT $6",
        p![ws, run, after.task, after.attempt, after.n, limit],
    )
    .await
}

row! {
    /// An attempt that has ended, with what it cost.
    pub struct Done {
        /// Who made it.
        pub agent: String,
        /// How it ended.
        pub state: String,
        /// When it began.
        pub started_at: Timestamp,
        /// When it ended.
        pub finished_at: Timestamp,
        /// What it cost.
        pub cost: Money,
        /// Model calls whose price is not known.
        pub unpriced: i64,
        /// Tokens in and out.
        pub tokens: i64,
    }
}

/// Attempts that have ended, of the newest tasks.
pub async fn done(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<Done>> {
    let ws = tx.ws();
    tx.many(
        "SELECT a.agent, a.state, a.started_at, a.finished_at, CAST(COALESCE(SUM(u.cost), 0) AS BIGINT) AS cost, \
         CAST(COALESCE(SUM(CASE WHEN u.tariff = 'unpriced' THEN 1 ELSE 0 END), 0) AS BIGINT) AS unpriced, \
         CAST(COALESCE(SUM(u.input_tokens + u.output_tokens), 0) AS BIGINT) AS tokens \
         FROM (SELECT task, n, agent, state, started_at, finished_at FROM attempt WHERE ws = $1 AND finished_at IS NOT NULL \
         ORDER BY task DESC, n DESC LIMIT $2) a LEFT JOIN usage u ON u.ws = $1 AND u.task = a.task AND u.attempt = a.n \
         GROUP BY a.task, a.n, a.agent, a.state, a.started_at, a.finished_at ORDER BY a.task DESC, a.n DESC",
        p![ws, limit],
    )
    .await
}

/// Which runs: of one team or of all, by when they were accepted.
#[derive(Debug, Clone, Copy)]
pub struct Which<'a> {
    /// Their team; all if absent.
    pub team: Option<&'a str>,
    /// Accepted then or later.
    pub since: Timestamp,
    /// Accepted earlier.
    pub until: Timestamp,
}

row! {
    /// A run as it counts for its team.
    pub struct RunRow {
        /// The run.
        pub id: RunId,
        /// Its team.
        pub team: String,
        /// The digest of what it has pinned.
        pub spec: String,
        /// Where it stands.
        pub state: String,
        /// When it was accepted.
        pub created_at: Timestamp,
        /// When its first task was claimed.
        pub started_at: Option<Timestamp>,
        /// When it ended.
        pub finished_at: Option<Timestamp>,
        /// What it cost.
        pub cost: Money,
        /// Model calls whose price is not known.
        pub unpriced: i64,
        /// Tokens in and out.
        pub tokens: i64,
    }
}

/// Runs from the newest, older than `before` where that is given.
pub async fn runs(tx: &mut Tx<'_>, which: Which<'_>, before: Option<RunId>, limit: i64) -> Result<Vec<RunRow>> {
    let (ws, before) = (tx.ws(), before.unwrap_or(RunId(convoke_domain::id::LAST)));
    let rows = match which.team {
        Some(team) => {
            let sql = "SELECT r.id, r.team, r.spec, r.state, r.created_at, r.started_at, r.finished_at, \
                 CAST(COALESCE(SUM(u.cost), 0) AS BIGINT) AS cost, \
                 CAST(COALESCE(SUM(CASE WHEN u.tariff = 'unpriced' THEN 1 ELSE 0 END), 0) AS BIGINT) AS unpriced, \
                 CAST(COALESCE(SUM(u.input_tokens + u.output_tokens), 0) AS BIGINT) AS tokens \
                 FROM (SELECT id, team, spec, state, created_at, started_at, finished_at FROM run WHERE ws = $1 AND id < $2 \
                 AND created_at >= $3 AND created_at < $4 AND team = $6 ORDER BY id DESC LIMIT $5) r \
                 LEFT JOIN usage u ON u.ws = $1 AND u.run = r.id \
                 GROUP BY r.id, r.team, r.spec, r.state, r.created_at, r.started_at, r.finished_at ORDER BY r.id DESC";
            tx.many(sql, p![ws, before, which.since, which.until, limit, team]).await?
        }
        None => {
            let sql = "SELECT r.id, r.team, r.spec, r.state, r.created_at, r.started_at, r.finished_at, \
                 CAST(COALESCE(SUM(u.cost), 0) AS BIGINT) AS cost, \
                 CAST(COALESCE(SUM(CASE WHEN u.tariff = 'unpriced' THEN 1 ELSE 0 END), 0) AS BIGINT) AS unpriced, \
                 CAST(COALESCE(SUM(u.input_tokens + u.output_tokens), 0) AS BIGINT) AS tokens \
                 FROM (SELECT id, team, spec, state, created_at, started_at, finished_at FROM run WHERE ws = $1 AND id < $2 \
                 AND created_at >= $3 AND created_at < $4 ORDER BY id DESC LIMIT $5) r \
                 LEFT JOIN usage u ON u.ws = $1 AND u.run = r.id \
                 GROUP BY r.id, r.team, r.spec, r.state, r.created_at, r.started_at, r.finished_at ORDER BY r.id DESC";
            tx.many(sql, p![ws, before, which.since, which.until, limit]).await?
        }
    };
    Ok(rows)
}
