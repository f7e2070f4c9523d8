//! What figures need beside the record of a run: dependencies, events that part its time, messages; and the runs of a team by time.

use convoke_domain::id::{RunId, TaskId};
use convoke_domain::money::Money;
use convoke_domain::time::Timestamp;

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
    /// A task's times, without what it is about.
    pub struct TaskTimes {
        /// The task.
        pub id: TaskId,
        /// Who has it.
        pub agent: String,
        /// When it was made.
        pub created_at: Timestamp,
        /// When it ended.
        pub finished_at: Option<Timestamp>,
    }
}

/// The times of a run's tasks, behind the given one.
pub async fn tasks(tx: &mut Tx<'_>, run: RunId, after: TaskId, limit: i64) -> Result<Vec<TaskTimes>> {
    let ws = tx.ws();
    tx.many(
        "SELECT id, agent, created_at, finished_at FROM task WHERE ws = $1 AND run = $2 AND id > $3 ORDER BY id LIMIT $4",
        p![ws, run, after, limit],
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
            let sql = "SELECT r.id, r.team, r.state, r.created_at, r.started_at, r.finished_at, \
                 CAST(COALESCE(SUM(u.cost), 0) AS BIGINT) AS cost, \
                 CAST(COALESCE(SUM(CASE WHEN u.tariff = 'unpriced' THEN 1 ELSE 0 END), 0) AS BIGINT) AS unpriced, \
                 CAST(COALESCE(SUM(u.input_tokens + u.output_tokens), 0) AS BIGINT) AS tokens \
                 FROM (SELECT id, team, state, created_at, started_at, finished_at FROM run WHERE ws = $1 AND id < $2 \
                 AND created_at >= $3 AND created_at < $4 AND team = $6 ORDER BY id DESC LIMIT $5) r \
                 LEFT JOIN usage u ON u.ws = $1 AND u.run = r.id \
                 GROUP BY r.id, r.team, r.state, r.created_at, r.started_at, r.finished_at ORDER BY r.id DESC";
            tx.many(sql, p![ws, before, which.since, which.until, limit, team]).await?
        }
        None => {
            let sql = "SELECT r.id, r.team, r.state, r.created_at, r.started_at, r.finished_at, \
                 CAST(COALESCE(SUM(u.cost), 0) AS BIGINT) AS cost, \
                 CAST(COALESCE(SUM(CASE WHEN u.tariff = 'unpriced' THEN 1 ELSE 0 END), 0) AS BIGINT) AS unpriced, \
                 CAST(COALESCE(SUM(u.input_tokens + u.output_tokens), 0) AS BIGINT) AS tokens \
                 FROM (SELECT id, team, state, created_at, started_at, finished_at FROM run WHERE ws = $1 AND id < $2 \
                 AND created_at >= $3 AND created_at < $4 ORDER BY id DESC LIMIT $5) r \
                 LEFT JOIN usage u ON u.ws = $1 AND u.run = r.id \
                 GROUP BY r.id, r.team, r.state, r.created_at, r.started_at, r.finished_at ORDER BY r.id DESC";
            tx.many(sql, p![ws, before, which.since, which.until, limit]).await?
        }
    };
    Ok(rows)
}
