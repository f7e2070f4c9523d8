//! Agents that a run has beside its team: who spawned them, with what rights, for which task.

use convoke_domain::id::{RunId, TaskId};
use convoke_domain::spawn::Node;
use convoke_domain::time::Timestamp;

use crate::{Result, Tx, p, row};

/// A spawned agent that is about to be kept.
#[derive(Debug, Clone)]
pub struct NewRow<'a> {
    /// Its run.
    pub run: RunId,
    /// Its name.
    pub name: &'a str,
    /// Its place among those of the run, from 1.
    pub n: i64,
    /// Who spawned it; nobody if a person did.
    pub parent: Option<&'a str>,
    /// How deep it stands.
    pub depth: i64,
    /// Its profile as JSON, with the rights that it has.
    pub profile: &'a str,
    /// Its models, as a JSON list.
    pub models: &'a str,
    /// The task that it is made for.
    pub task: TaskId,
    /// Who said so: `agent:NAME` or `user:NAME`.
    pub created_by: &'a str,
}

row! {
    /// A spawned agent in full.
    pub struct Record {
        /// Its name.
        pub name: String,
        /// Its place among those of the run.
        pub n: i64,
        /// Who spawned it.
        pub parent: Option<String>,
        /// How deep it stands.
        pub depth: u32,
        /// Its profile as JSON.
        pub profile: String,
        /// Its models, as a JSON list.
        pub models: String,
        /// The task that it was made for.
        pub task: TaskId,
        /// It was not retired.
        pub living: bool,
        /// Who said so.
        pub created_by: String,
        /// When it was made.
        pub created_at: Timestamp,
        /// When it was retired.
        pub ended_at: Option<Timestamp>,
    }
}

impl From<&Record> for Node {
    fn from(row: &Record) -> Self {
        Self { name: row.name.clone(), parent: row.parent.clone(), depth: row.depth, living: row.living }
    }
}

/// Keeps a spawned agent.
pub async fn insert(tx: &mut Tx<'_>, new: &NewRow<'_>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "INSERT INTO spawned (ws, run, name, n, parent, depth, profile, models, task, living, created_by, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $11)",
        p![ws, new.run, new.name, new.n, new.parent, new.depth, new.profile, new.models, new.task, new.created_by, now],
    )
    .await?;
    Ok(())
}

/// All that a run has spawned, in the order of spawning.
pub async fn of_run(tx: &mut Tx<'_>, run: RunId) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT name, n, parent, depth, profile, models, task, living, created_by, created_at, ended_at FROM spawned \
         WHERE ws = $1 AND run = $2 ORDER BY n",
        p![ws, run],
    )
    .await
}

/// The task that a spawned agent which lives was made for; nothing if there is no such agent.
pub async fn task_of(tx: &mut Tx<'_>, run: RunId, name: &str) -> Result<Option<TaskId>> {
    let ws = tx.ws();
    let sql = "SELECT task FROM spawned WHERE ws = $1 AND run = $2 AND name = $3 AND living = 1";
    let found: Option<(TaskId,)> = tx.opt(sql, p![ws, run, name]).await?;
    Ok(found.map(|(task,)| task))
}

/// Retires one spawned agent. Gives whether it lived.
pub async fn end(tx: &mut Tx<'_>, run: RunId, name: &str) -> Result<bool> {
    let (ws, now) = (tx.ws(), tx.now());
    let changed = tx
        .exec(
            "UPDATE spawned SET living = 0, ended_at = $4 WHERE ws = $1 AND run = $2 AND name = $3 AND living = 1",
            p![ws, run, name, now],
        )
        .await?;
    Ok(changed > 0)
}

/// Notes that somebody has stopped an agent in a run.
pub async fn stop(tx: &mut Tx<'_>, run: RunId, agent: &str, who: &str) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "INSERT INTO stopped (ws, run, agent, who, at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (ws, run, agent) DO NOTHING",
        p![ws, run, agent, who, now],
    )
    .await?;
    Ok(())
}

/// Who has stopped an agent in a run, if somebody has.
pub async fn stopped_by(tx: &mut Tx<'_>, run: RunId, agent: &str) -> Result<Option<String>> {
    let ws = tx.ws();
    let sql = "SELECT who FROM stopped WHERE ws = $1 AND run = $2 AND agent = $3";
    let found: Option<(String,)> = tx.opt(sql, p![ws, run, agent]).await?;
    Ok(found.map(|(who,)| who))
}

row! {
    /// A task that is ready for an agent that was stopped.
    pub struct Lost {
        /// The task.
        pub task: TaskId,
        /// Its run.
        pub run: RunId,
        /// Who stopped the agent.
        pub who: String,
        /// What the task is for.
        pub stage: String,
        /// An attempt of it was to go on.
        pub resume: bool,
    }
}

/// Tasks that are ready for agents that were stopped in their runs.
pub async fn lost(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<Lost>> {
    let ws = tx.ws();
    tx.many(
        "SELECT t.id AS task, t.run, s.who, t.stage, t.resume FROM stopped s JOIN task t ON t.ws = s.ws AND t.run = s.run AND t.agent = s.agent \
         WHERE s.ws = $1 AND t.state = 'ready' AND t.held = 0 ORDER BY t.id LIMIT $2",
        p![ws, limit],
    )
    .await
}

/// A run has ended: nobody needs to know any more who was stopped in it.
pub async fn forget_stopped(tx: &mut Tx<'_>, run: RunId) -> Result<()> {
    let ws = tx.ws();
    tx.put("DELETE FROM stopped WHERE ws = $1 AND run = $2", p![ws, run]).await?;
    Ok(())
}
