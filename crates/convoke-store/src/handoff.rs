//! Handoffs: offers to hand a task over, and how they were settled.

use convoke_domain::id::{HandoffId, RunId, TaskId};
use convoke_domain::time::Timestamp;

use crate::{Result, Tx, p, row};

/// An offer that is about to be made.
#[derive(Debug, Clone)]
pub struct NewRow<'a> {
    /// Its id.
    pub id: HandoffId,
    /// The run.
    pub run: RunId,
    /// The task that is offered.
    pub task: TaskId,
    /// The attempt in which it is.
    pub attempt: i64,
    /// Who has it.
    pub giver: &'a str,
    /// Who shall have it.
    pub receiver: &'a str,
    /// What goes along, as JSON.
    pub packet: &'a str,
    /// The task in which the receiver considers it.
    pub offer: Option<TaskId>,
    /// Until when it stands; `None` where a person is asked.
    pub due: Option<Timestamp>,
}

/// Adds an offer.
pub async fn insert(tx: &mut Tx<'_>, new: &NewRow<'_>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "INSERT INTO handoff (ws, id, run, task, attempt, giver, receiver, packet, state, offer, requested_at, due, returned) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'requested', $9, $10, $11, 0)",
        p![ws, new.id, new.run, new.task, new.attempt, new.giver, new.receiver, new.packet, new.offer, now, new.due],
    )
    .await?;
    Ok(())
}

row! {
    /// An offer in full.
    pub struct Record {
        /// Its id.
        pub id: HandoffId,
        /// The run.
        pub run: RunId,
        /// The task.
        pub task: TaskId,
        /// The attempt in which it was offered.
        pub attempt: i64,
        /// Who had it.
        pub giver: String,
        /// Who was to have it.
        pub receiver: String,
        /// What goes along, as JSON.
        pub packet: String,
        /// How it stands.
        pub state: String,
        /// Why it was declined.
        pub reason: Option<String>,
        /// The task in which the receiver considers it.
        pub offer: Option<TaskId>,
        /// When it was made.
        pub requested_at: Timestamp,
        /// Until when it stands.
        pub due: Option<Timestamp>,
        /// When it was settled.
        pub settled_at: Option<Timestamp>,
        /// By whom.
        pub settled_by: Option<String>,
        /// The task has gone back to whom the packet names.
        pub returned: bool,
    }
}

/// One offer, locked until the transaction ends.
pub async fn hold(tx: &mut Tx<'_>, id: HandoffId) -> Result<Record> {
    let ws = tx.ws();
    let found = tx
        .opt(
            "SELECT id, run, task, attempt, giver, receiver, packet, state, reason, offer, requested_at, due, settled_at, settled_by, returned \
             FROM handoff WHERE ws = $1 AND id = $2 /*pg FOR UPDATE*/",
            p![ws, id],
        )
        .await?;
    found.ok_or_else(|| crate::Error::missing("handoff", id))
}

/// The handoffs of a task, the oldest first.
pub async fn of_task(tx: &mut Tx<'_>, task: TaskId) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT id, run, task, attempt, giver, receiver, packet, state, reason, offer, requested_at, due, settled_at, settled_by, returned \
         FROM handoff WHERE ws = $1 AND task = $2 ORDER BY requested_at, id",
        p![ws, task],
    )
    .await
}

/// The offer that is considered in a task.
pub async fn of_offer(tx: &mut Tx<'_>, offer: TaskId) -> Result<Option<Record>> {
    let ws = tx.ws();
    tx.opt(
        "SELECT id, run, task, attempt, giver, receiver, packet, state, reason, offer, requested_at, due, settled_at, settled_by, returned \
         FROM handoff WHERE ws = $1 AND offer = $2",
        p![ws, offer],
    )
    .await
}

/// Handoffs after `after` in the order they were made: those of a run, or all.
pub async fn list(
    tx: &mut Tx<'_>,
    run: Option<RunId>,
    only_open: bool,
    after: Option<HandoffId>,
    limit: i64,
) -> Result<Vec<Record>> {
    let ws = tx.ws();
    let after = after.unwrap_or(HandoffId(uuid::Uuid::nil()));
    let sql = match run {
        Some(_) => {
            "SELECT id, run, task, attempt, giver, receiver, packet, state, reason, offer, requested_at, due, settled_at, settled_by, returned \
             FROM handoff WHERE ws = $1 AND run = $2 AND id > $3 AND (state = 'requested' OR $4 = 0) ORDER BY id LIMIT $5"
        }
        None => {
            "SELECT id, run, task, attempt, giver, receiver, packet, state, reason, offer, requested_at, due, settled_at, settled_by, returned \
             FROM handoff WHERE ws = $1 AND id <> $2 AND id > $3 AND (state = 'requested' OR $4 = 0) ORDER BY id LIMIT $5"
        }
    };
    tx.many(sql, p![ws, run.unwrap_or(RunId(uuid::Uuid::nil())), after, i64::from(only_open), limit]).await
}

/// Settles an open offer.
pub async fn settle(tx: &mut Tx<'_>, id: HandoffId, state: &str, by: &str, reason: Option<&str>) -> Result<bool> {
    let (ws, now) = (tx.ws(), tx.now());
    let changed = tx
        .exec(
            "UPDATE handoff SET state = $3, settled_by = $4, reason = $5, settled_at = $6 WHERE ws = $1 AND id = $2 AND state = 'requested'",
            p![ws, id, state, by, reason, now],
        )
        .await?;
    Ok(changed > 0)
}

/// Notes that the task has gone back to whom the packet names.
pub async fn set_returned(tx: &mut Tx<'_>, id: HandoffId) -> Result<()> {
    let ws = tx.ws();
    tx.put("UPDATE handoff SET returned = 1 WHERE ws = $1 AND id = $2", p![ws, id]).await?;
    Ok(())
}
