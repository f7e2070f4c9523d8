//! Ratings: what people think of a run, of an agent's part in it, of a task. One row for each person and thing; what was said before is
//! in the events.

use convoke_domain::id::{RunId, TaskId};
use convoke_domain::time::Timestamp;

use crate::{Result, Tx, p, row};

/// A rating that is about to be given.
#[derive(Debug, Clone)]
pub struct NewRow<'a> {
    /// The run.
    pub run: RunId,
    /// What of it: `run`, `agent:NAME`, or a task's id.
    pub what: &'a str,
    /// Who says so: `user:NAME`.
    pub who: &'a str,
    /// The task, where one is rated.
    pub task: Option<TaskId>,
    /// Whose work it is, where it is not the run as a whole.
    pub agent: Option<&'a str>,
    /// What the work took, where that is known; else empty.
    pub capability: &'a str,
    /// From 1 to 5.
    pub stars: i64,
    /// Why.
    pub note: &'a str,
}

/// Gives a rating, in place of what the person had given before.
pub async fn put(tx: &mut Tx<'_>, new: &NewRow<'_>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "INSERT INTO rating (ws, run, what, who, task, agent, stars, note, at, capability) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (ws, run, what, who) DO UPDATE SET task = excluded.task, agent = excluded.agent, stars = excluded.stars, \
         note = excluded.note, at = excluded.at, capability = excluded.capability",
        p![ws, new.run, new.what, new.who, new.task, new.agent, new.stars, new.note, now, new.capability],
    )
    .await?;
    Ok(())
}

/// The stars that a person gave before.
pub async fn find(tx: &mut Tx<'_>, run: RunId, what: &str, who: &str) -> Result<Option<i64>> {
    let ws = tx.ws();
    tx.opt("SELECT stars FROM rating WHERE ws = $1 AND run = $2 AND what = $3 AND who = $4", p![ws, run, what, who])
        .await
}

row! {
    /// A rating in full.
    pub struct Record {
        /// The run.
        pub run: RunId,
        /// The task, where one is rated.
        pub task: Option<TaskId>,
        /// Whose work it is, where it is not the run as a whole.
        pub agent: Option<String>,
        /// What the work took; empty where that is not known.
        pub capability: String,
        /// Who says so.
        pub who: String,
        /// From 1 to 5.
        pub stars: i64,
        /// Why.
        pub note: String,
        /// When.
        pub at: Timestamp,
    }
}

/// The ratings of a run: of the whole, then of agents, then of tasks; at most `limit`.
pub async fn of_run(tx: &mut Tx<'_>, run: RunId, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT run, task, agent, capability, who, stars, note, at FROM rating WHERE ws = $1 AND run = $2 \
         ORDER BY CASE WHEN agent IS NULL THEN 0 WHEN task IS NULL THEN 1 ELSE 2 END, what, who LIMIT $3",
        p![ws, run, limit],
    )
    .await
}

/// Ratings of an agent's work since an instant, the newest first.
pub async fn of_agent(tx: &mut Tx<'_>, agent: &str, since: Timestamp, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT run, task, agent, capability, who, stars, note, at FROM rating WHERE ws = $1 AND agent = $2 AND at >= $3 \
         ORDER BY at DESC, run, what, who LIMIT $4",
        p![ws, agent, since, limit],
    )
    .await
}
