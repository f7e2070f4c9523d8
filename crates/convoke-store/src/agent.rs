//! Agents: registered participants, and how many tasks each holds.

use convoke_domain::time::Timestamp;

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
    tx.exec(
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

/// Makes an agent choosable or not.
pub async fn set_active(tx: &mut Tx<'_>, name: &str, active: bool) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.exec("UPDATE agent SET active = $3, updated_at = $4 WHERE ws = $1 AND name = $2", p![ws, name, active, now])
        .await?;
    Ok(())
}

/// Counts tasks that an agent took (`more` > 0) or let go.
pub async fn count(tx: &mut Tx<'_>, name: &str, more: i64) -> Result<()> {
    let ws = tx.ws();
    tx.exec("UPDATE agent SET running = running + $3 WHERE ws = $1 AND name = $2", p![ws, name, more]).await?;
    Ok(())
}

/// Agents by name after `after`, in order.
pub async fn list(tx: &mut Tx<'_>, after: &str, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT name, kind, profile, profile_version, role, capabilities, tags, capacity, running, is_default, active, created_at, \
         updated_at FROM agent WHERE ws = $1 AND name > $2 ORDER BY name LIMIT $3",
        p![ws, after, limit],
    )
    .await
}

/// Agents that have room and tasks that are ready, for claims past a queue of those without.
pub async fn with_room(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<(String, i64)>> {
    let ws = tx.ws();
    tx.many(
        "SELECT a.name, a.capacity - a.running FROM agent a WHERE a.ws = $1 AND a.running < a.capacity AND EXISTS \
         (SELECT 1 FROM task t WHERE t.ws = a.ws AND t.agent = a.name AND t.state = 'ready' AND t.held = 0) ORDER BY a.name LIMIT $2",
        p![ws, limit],
    )
    .await
}
