//! Members with a rule of scale, their queues, and the agents that came to their relief.
//!
//! Rule: whoever changes these rows holds the run's row, so no two transactions answer the same queue.

use convoke_domain::id::{RunId, TaskId};
use convoke_domain::time::Timestamp;

use crate::{Result, Tx, p, row};

row! {
    /// A member with a rule of scale.
    pub struct Scaled {
        /// The member.
        pub member: String,
        /// The rule by which no further agent came.
        pub denied: Option<String>,
    }
}

row! {
    /// What waits for a member in a run.
    pub struct Queue {
        /// Ready tasks that nobody has begun.
        pub fresh: i64,
        /// Its other ready tasks: begun before, part of another task, or of another run.
        pub others: i64,
        /// Tasks that the member may take now; none while it gets none.
        pub room: i64,
        /// The member may be chosen.
        pub active: bool,
    }
}

row! {
    /// A living agent that came to a member's relief.
    pub struct Relief {
        /// Its name.
        pub name: String,
        /// Its tasks that have not ended.
        pub open: i64,
        /// Since when it was seen without one.
        pub idle_since: Option<Timestamp>,
    }
}

/// Notes that a member of a run has a rule of scale.
pub async fn insert(tx: &mut Tx<'_>, run: RunId, member: &str) -> Result<()> {
    let ws = tx.ws();
    tx.put("INSERT INTO scaled (ws, run, member) VALUES ($1, $2, $3)", p![ws, run, member]).await?;
    Ok(())
}

/// The members of a run that have one.
pub async fn of_run(tx: &mut Tx<'_>, run: RunId) -> Result<Vec<Scaled>> {
    let ws = tx.ws();
    tx.many("SELECT member, denied FROM scaled WHERE ws = $1 AND run = $2 ORDER BY member", p![ws, run]).await
}

/// The runs that have such members.
pub async fn runs(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<(RunId,)>> {
    let ws = tx.ws();
    tx.many("SELECT DISTINCT run FROM scaled WHERE ws = $1 ORDER BY run LIMIT $2", p![ws, limit]).await
}

/// Notes by which rule no further agent came, or that one did.
pub async fn set_denied(tx: &mut Tx<'_>, run: RunId, member: &str, rule: Option<&str>) -> Result<()> {
    let ws = tx.ws();
    let sql = "UPDATE scaled SET denied = $4 WHERE ws = $1 AND run = $2 AND member = $3";
    tx.put(sql, p![ws, run, member, rule]).await?;
    Ok(())
}

/// The run has ended.
pub async fn end_run(tx: &mut Tx<'_>, run: RunId) -> Result<()> {
    let ws = tx.ws();
    tx.put("DELETE FROM scaled WHERE ws = $1 AND run = $2", p![ws, run]).await?;
    Ok(())
}

/// What waits for a member in a run.
pub async fn queue(tx: &mut Tx<'_>, run: RunId, member: &str) -> Result<Queue> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.one(
        "SELECT (SELECT COUNT(*) FROM task t WHERE t.ws = a.ws AND t.run = $2 AND t.agent = a.name AND t.state = 'ready' AND t.held = 0 \
         AND t.not_before <= $4 AND t.attempt = 0 AND t.parent IS NULL) AS fresh, \
         (SELECT COUNT(*) FROM task t WHERE t.ws = a.ws AND t.agent = a.name AND t.state = 'ready' AND t.held = 0 \
         AND t.not_before <= $4 AND (t.run <> $2 OR t.attempt > 0 OR t.parent IS NOT NULL)) AS others, \
         CASE WHEN a.away = 0 AND a.running < a.capacity THEN a.capacity - a.running ELSE 0 END AS room, a.active \
         FROM agent a WHERE a.ws = $1 AND a.name = $3",
        p![ws, run, member, now],
    )
    .await
}

/// The first of a member's ready tasks that nobody has begun, locked until the transaction ends; those that are being claimed are
/// passed over.
pub async fn fresh(tx: &mut Tx<'_>, run: RunId, member: &str, limit: i64) -> Result<Vec<(TaskId, String)>> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.many(
        "SELECT id, key FROM task WHERE ws = $1 AND run = $2 AND agent = $3 AND state = 'ready' AND held = 0 AND not_before <= $4 \
         AND attempt = 0 AND parent IS NULL ORDER BY rank LIMIT $5 /*pg FOR UPDATE SKIP LOCKED*/",
        p![ws, run, member, now, limit],
    )
    .await
}

/// Gives a ready task that nobody has begun to another agent. What was said to the first one stays with that.
pub async fn give(tx: &mut Tx<'_>, id: TaskId, to: &str) -> Result<()> {
    let ws = tx.ws();
    let sql = "UPDATE task SET agent = $3 WHERE ws = $1 AND id = $2 AND state = 'ready' AND attempt = 0";
    tx.put(sql, p![ws, id, to]).await?;
    Ok(())
}

/// Notes that a spawned agent came to a member's relief.
pub async fn insert_relief(tx: &mut Tx<'_>, run: RunId, name: &str, member: &str) -> Result<()> {
    let ws = tx.ws();
    tx.put("INSERT INTO relief (ws, run, name, member) VALUES ($1, $2, $3, $4)", p![ws, run, name, member]).await?;
    Ok(())
}

/// Those that came to a member's relief and live, in the order in which they came.
pub async fn reliefs(tx: &mut Tx<'_>, run: RunId, member: &str) -> Result<Vec<Relief>> {
    let ws = tx.ws();
    tx.many(
        "SELECT r.name, (SELECT COUNT(*) FROM task t WHERE t.ws = r.ws AND t.run = r.run AND t.agent = r.name \
         AND t.state IN ('pending', 'ready', 'running', 'waiting', 'blocked')) AS open, r.idle_since \
         FROM relief r JOIN spawned s ON s.ws = r.ws AND s.run = r.run AND s.name = r.name \
         WHERE r.ws = $1 AND r.run = $2 AND r.member = $3 AND s.living = 1 ORDER BY s.n",
        p![ws, run, member],
    )
    .await
}

/// Notes since when one has been without work, or that it has some.
pub async fn set_idle(tx: &mut Tx<'_>, run: RunId, name: &str, since: Option<Timestamp>) -> Result<()> {
    let ws = tx.ws();
    tx.put("UPDATE relief SET idle_since = $4 WHERE ws = $1 AND run = $2 AND name = $3", p![ws, run, name, since])
        .await?;
    Ok(())
}

/// All that ever came to the relief of members of a run: their names, and whose profile they have.
pub async fn members(tx: &mut Tx<'_>, run: RunId) -> Result<Vec<(String, String)>> {
    let ws = tx.ws();
    tx.many("SELECT name, member FROM relief WHERE ws = $1 AND run = $2 ORDER BY name", p![ws, run]).await
}
