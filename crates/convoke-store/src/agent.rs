//! Agents: registered participants, how many tasks each holds, and what is heard of them.

use convoke_domain::id::RunId;
use convoke_domain::time::Timestamp;

use crate::task::Lapsed;
use crate::{Result, Tx, p, row};

row! {
    /// An agent in full.
    pub struct Record {
        /// Its name.
        pub name: String,
        /// How it is driven: `llm`, `human`, `command`.
        pub kind: String,
        /// The profile it is made from.
        pub profile: String,
        /// That profile's version.
        pub profile_version: i64,
        /// Its part.
        pub role: String,
        /// What it can do, as a JSON list.
        pub capabilities: String,
        /// Words to find it by, as a JSON list.
        pub tags: String,
        /// Tasks it may hold.
        pub capacity: i64,
        /// Tasks it holds.
        pub running: i64,
        /// The workspace's default.
        pub is_default: bool,
        /// May be chosen.
        pub active: bool,
        /// When it was registered.
        pub created_at: Timestamp,
        /// When it last changed.
        pub updated_at: Timestamp,
        /// What it is busy with.
        pub status: String,
        /// Whether it can be reached.
        pub health: String,
        /// When it was last heard of.
        pub heartbeat: Option<Timestamp>,
        /// It has beaten by itself.
        pub beats: bool,
        /// It gets no task now.
        pub away: bool,
        /// Its rank in the workspace.
        pub standing: String,
        /// The run that it ends with, if it is temporary.
        pub run: Option<RunId>,
    }
}

/// What a profile makes of its agent.
#[derive(Debug, Clone)]
pub struct NewRow<'a> {
    /// Its name, which is the profile's.
    pub name: &'a str,
    /// How it is driven.
    pub kind: &'static str,
    /// The profile's version.
    pub profile_version: i64,
    /// Its part.
    pub role: &'static str,
    /// What it can do, as a JSON list.
    pub capabilities: &'a str,
    /// Words to find it by, as a JSON list.
    pub tags: &'a str,
    /// Tasks it may hold.
    pub capacity: i64,
    /// May be chosen.
    pub active: bool,
}

/// Registers an agent, or brings it up to its profile's new version.
pub async fn upsert(tx: &mut Tx<'_>, agent: &NewRow<'_>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "INSERT INTO agent (ws, name, kind, profile, profile_version, role, capabilities, tags, capacity, running, is_default, \
         active, created_at, updated_at) VALUES ($1, $2, $10, $2, $3, $4, $5, $6, $7, 0, 0, $8, $9, $9) \
         ON CONFLICT (ws, name) DO UPDATE SET kind = excluded.kind, profile_version = excluded.profile_version, role = excluded.role, \
         capabilities = excluded.capabilities, tags = excluded.tags, capacity = excluded.capacity, active = excluded.active, \
         updated_at = excluded.updated_at",
        p![
            ws, agent.name, agent.profile_version, agent.role, agent.capabilities, agent.tags, agent.capacity, agent.active, now,
            agent.kind
        ],
    )
    .await?;
    Ok(())
}

/// Registers a temporary agent that ends with its run: it works by a profile of its own.
pub async fn insert_temporary(tx: &mut Tx<'_>, agent: &NewRow<'_>, run: RunId) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "INSERT INTO agent (ws, name, kind, profile, profile_version, role, capabilities, tags, capacity, running, is_default, \
         active, created_at, updated_at, run) VALUES ($1, $2, $3, $2, $4, $5, $6, $7, $8, 0, 0, 1, $9, $9, $10)",
        p![
            ws, agent.name, agent.kind, agent.profile_version, agent.role, agent.capabilities, agent.tags, agent.capacity, now, run
        ],
    )
    .await?;
    Ok(())
}

/// The agent of this name, locked until the transaction ends.
pub async fn hold(tx: &mut Tx<'_>, name: &str) -> Result<Option<Record>> {
    let ws = tx.ws();
    tx.opt(
        "SELECT name, kind, profile, profile_version, role, capabilities, tags, capacity, running, is_default, active, created_at, \
         updated_at, status, health, heartbeat, beats, away, standing, run FROM agent WHERE ws = $1 AND name = $2 /*pg FOR UPDATE*/",
        p![ws, name],
    )
    .await
}

/// Makes an agent choosable or not.
pub async fn set_active(tx: &mut Tx<'_>, name: &str, active: bool) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put("UPDATE agent SET active = $3, updated_at = $4 WHERE ws = $1 AND name = $2", p![ws, name, active, now])
        .await?;
    Ok(())
}

/// Puts an agent into a status; `away` while it gets no task.
pub async fn set_status(tx: &mut Tx<'_>, name: &str, status: &str, away: bool) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "UPDATE agent SET status = $3, away = $4, updated_at = $5 WHERE ws = $1 AND name = $2",
        p![ws, name, status, away, now],
    )
    .await?;
    Ok(())
}

/// Notes what is known of an agent's health; `away` while it gets no task.
pub async fn set_health(tx: &mut Tx<'_>, name: &str, health: &str, away: bool) -> Result<()> {
    let ws = tx.ws();
    tx.put("UPDATE agent SET health = $3, away = $4 WHERE ws = $1 AND name = $2", p![ws, name, health, away]).await?;
    Ok(())
}

/// Notes that an agent was heard of; `goes_on` if it is expected to beat from now on.
pub async fn beat(tx: &mut Tx<'_>, name: &str, goes_on: bool) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    let sql = "UPDATE agent SET heartbeat = $3, beats = $4 WHERE ws = $1 AND name = $2";
    tx.put(sql, p![ws, name, now, goes_on]).await?;
    Ok(())
}

/// Notes that those were heard of whose tasks this worker drives, unless they beat by themselves.
pub async fn beat_for(tx: &mut Tx<'_>, worker: &str) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "UPDATE agent SET heartbeat = $3, health = 'healthy' WHERE ws = $1 AND beats = 0 AND name IN \
         (SELECT t.agent FROM task t WHERE t.ws = $1 AND t.lease_owner = $2 AND t.state = 'running')",
        p![ws, worker, now],
    )
    .await?;
    Ok(())
}

/// Gives an agent a rank in the workspace.
pub async fn set_standing(tx: &mut Tx<'_>, name: &str, standing: &str) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put("UPDATE agent SET standing = $3, updated_at = $4 WHERE ws = $1 AND name = $2", p![ws, name, standing, now])
        .await?;
    Ok(())
}

/// Makes an agent the workspace's default, instead of the one that is.
pub async fn set_default(tx: &mut Tx<'_>, name: &str) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put("UPDATE agent SET is_default = 0, updated_at = $2 WHERE ws = $1 AND is_default = 1", p![ws, now]).await?;
    tx.put("UPDATE agent SET is_default = 1, updated_at = $3 WHERE ws = $1 AND name = $2", p![ws, name, now]).await?;
    Ok(())
}

/// The workspace's default agent.
pub async fn default(tx: &mut Tx<'_>) -> Result<Option<String>> {
    let ws = tx.ws();
    let found: Option<(String,)> = tx.opt("SELECT name FROM agent WHERE ws = $1 AND is_default = 1", p![ws]).await?;
    Ok(found.map(|(name,)| name))
}

/// The agents of a rank that may be active, in order.
pub async fn of_standing(tx: &mut Tx<'_>, standing: &str, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT name, kind, profile, profile_version, role, capabilities, tags, capacity, running, is_default, active, created_at, \
         updated_at, status, health, heartbeat, beats, away, standing, run FROM agent WHERE ws = $1 AND standing = $2 AND active = 1 \
         ORDER BY name LIMIT $3",
        p![ws, standing, limit],
    )
    .await
}

/// Counts tasks that an agent took (`more` > 0) or let go. Its status follows; one that takes a task has been heard of.
pub async fn count(tx: &mut Tx<'_>, name: &str, more: i64) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    let sql = if more > 0 {
        "UPDATE agent SET running = running + $3, status = CASE WHEN status = 'blocked' THEN status ELSE 'working' END, \
         health = CASE WHEN beats = 0 THEN 'healthy' ELSE health END, heartbeat = CASE WHEN beats = 0 THEN $4 ELSE heartbeat END \
         WHERE ws = $1 AND name = $2"
    } else {
        "UPDATE agent SET running = running + $3, status = CASE WHEN status = 'working' AND running + $3 <= 0 THEN 'idle' ELSE \
         status END, heartbeat = CASE WHEN beats = 0 THEN $4 ELSE heartbeat END WHERE ws = $1 AND name = $2"
    };
    tx.put(sql, p![ws, name, more, now]).await?;
    Ok(())
}

row! {
    /// An agent of which nothing was heard for a while.
    pub struct Silent {
        /// Its name.
        pub name: String,
        /// What was last known.
        pub health: String,
        /// When it was last heard of.
        pub heartbeat: Timestamp,
        /// It beats by itself.
        pub beats: bool,
        /// It gets no task now.
        pub away: bool,
    }
}

/// Agents not heard of since `before` that should have been: they beat by themselves, or hold a task.
pub async fn silent(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<Vec<Silent>> {
    let ws = tx.ws();
    tx.many(
        "SELECT name, health, heartbeat, beats, away FROM agent WHERE ws = $1 AND heartbeat < $2 AND health <> 'offline' \
         AND status <> 'retired' AND (beats = 1 OR running > 0) ORDER BY name LIMIT $3 /*pg FOR UPDATE*/",
        p![ws, before, limit],
    )
    .await
}

/// The running tasks of an agent.
pub async fn running(tx: &mut Tx<'_>, name: &str, limit: i64) -> Result<Vec<Lapsed>> {
    let ws = tx.ws();
    tx.many(
        "SELECT id, run, key, agent, priority, retries_left FROM task WHERE ws = $1 AND agent = $2 AND state = 'running' ORDER BY id LIMIT $3 \
         /*pg FOR UPDATE*/",
        p![ws, name, limit],
    )
    .await
}

/// How many tasks of an agent have not ended.
pub async fn open_tasks(tx: &mut Tx<'_>, name: &str) -> Result<i64> {
    let ws = tx.ws();
    tx.one(
        "SELECT COUNT(*) FROM task WHERE ws = $1 AND agent = $2 AND state IN ('pending', 'ready', 'running', 'waiting', 'blocked')",
        p![ws, name],
    )
    .await
}

row! {
    /// A task that is ready and goes to nobody, because its agent gets no task now.
    pub struct HeldUp {
        /// Its run.
        pub run: RunId,
        /// The task's name within stage and round.
        pub key: String,
        /// The agent it waits for.
        pub agent: String,
        /// What the agent is busy with.
        pub status: String,
        /// Whether it can be reached.
        pub health: String,
    }
}

/// The tasks of a run that wait for agents that get none.
pub async fn holds_up(tx: &mut Tx<'_>, run: RunId, limit: i64) -> Result<Vec<HeldUp>> {
    let ws = tx.ws();
    tx.many(
        "SELECT t.run, t.key, t.agent, a.status, a.health FROM task t JOIN agent a ON a.ws = t.ws AND a.name = t.agent \
         WHERE t.ws = $1 AND t.run = $2 AND t.state = 'ready' AND t.held = 0 AND a.away = 1 ORDER BY t.n LIMIT $3",
        p![ws, run, limit],
    )
    .await
}

/// Agents by name after `after`, in order.
pub async fn list(tx: &mut Tx<'_>, after: &str, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT name, kind, profile, profile_version, role, capabilities, tags, capacity, running, is_default, active, created_at, \
         updated_at, status, health, heartbeat, beats, away, standing, run FROM agent WHERE ws = $1 AND name > $2 ORDER BY name LIMIT $3",
        p![ws, after, limit],
    )
    .await
}

/// Agents that have room and tasks that are ready, for claims past a queue of those without.
pub async fn with_room(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<(String, i64)>> {
    let ws = tx.ws();
    tx.many(
        "SELECT a.name, a.capacity - a.running FROM agent a WHERE a.ws = $1 AND a.away = 0 AND a.running < a.capacity AND EXISTS \
         (SELECT 1 FROM task t WHERE t.ws = a.ws AND t.agent = a.name AND t.state = 'ready' AND t.held = 0) ORDER BY a.name LIMIT $2",
        p![ws, limit],
    )
    .await
}
