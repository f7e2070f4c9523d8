//! Approvals: tool calls that wait for people, and the votes on each.

use convoke_domain::id::{ApprovalId, RunId, TaskId};
use convoke_domain::time::Timestamp;

use crate::step::StepRef;
use crate::{Result, Tx, p, row};

/// A call that is about to wait.
#[derive(Debug, Clone)]
pub struct NewRow<'a> {
    /// Its id.
    pub id: ApprovalId,
    /// The run.
    pub run: RunId,
    /// The step that waits.
    pub at: StepRef,
    /// Who wants to make the call: an agent's name.
    pub agent: &'a str,
    /// The tool's id.
    pub tool: &'a str,
    /// Its arguments as JSON.
    pub args: &'a str,
    /// What the approval is bound to.
    pub digest: &'a str,
    /// Why the agent wants it.
    pub reason: Option<&'a str>,
    /// How sure it says it is, in percent.
    pub confidence: Option<i64>,
    /// Who answers, as JSON.
    pub rule: &'a str,
    /// Who started the run.
    pub creator: &'a str,
    /// When silence means no.
    pub expires_at: Option<Timestamp>,
}

/// Adds an approval that is pending.
pub async fn insert(tx: &mut Tx<'_>, new: &NewRow<'_>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "INSERT INTO approval (ws, id, run, task, attempt, n, agent, tool, args, digest, reason, confidence, rule, creator, state, \
         created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 'pending', $15, $16)",
        p![
            ws, new.id, new.run, new.at.task, new.at.attempt, new.at.n, new.agent, new.tool, new.args, new.digest,
            new.reason, new.confidence, new.rule, new.creator, now, new.expires_at
        ],
    )
    .await?;
    Ok(())
}

row! {
    /// An approval in full.
    pub struct Record {
        /// Its id.
        pub id: ApprovalId,
        /// The run.
        pub run: RunId,
        /// The task.
        pub task: TaskId,
        /// The attempt.
        pub attempt: i64,
        /// The step.
        pub n: i64,
        /// Who wants to make the call.
        pub agent: String,
        /// The tool's id.
        pub tool: String,
        /// Its arguments as JSON.
        pub args: String,
        /// What the approval is bound to.
        pub digest: String,
        /// Why the agent wants it.
        pub reason: Option<String>,
        /// How sure it says it is, in percent.
        pub confidence: Option<i64>,
        /// Who answers, as JSON.
        pub rule: String,
        /// Who started the run.
        pub creator: String,
        /// How it stands.
        pub state: String,
        /// Who gave the answer that decided.
        pub decided_by: Option<String>,
        /// What they said, or why it is closed.
        pub note: Option<String>,
        /// When it was asked for.
        pub created_at: Timestamp,
        /// When silence means no.
        pub expires_at: Option<Timestamp>,
        /// When it was decided.
        pub decided_at: Option<Timestamp>,
        /// When the call was made.
        pub used_at: Option<Timestamp>,
    }
}

impl Record {
    /// The step that waits, or waited.
    pub fn at(&self) -> StepRef {
        StepRef { task: self.task, attempt: self.attempt, n: self.n }
    }
}

/// One approval, locked until the transaction ends.
pub async fn hold(tx: &mut Tx<'_>, id: ApprovalId) -> Result<Record> {
    let ws = tx.ws();
    let found = tx
        .opt(
            "SELECT id, run, task, attempt, n, agent, tool, args, digest, reason, confidence, rule, creator, state, decided_by, note, \
             created_at, expires_at, decided_at, used_at FROM approval WHERE ws = $1 AND id = $2 /*pg FOR UPDATE*/",
            p![ws, id],
        )
        .await?;
    found.ok_or_else(|| crate::Error::missing("approval", id))
}

/// The approval of a step that still counts, or the last one, locked until the transaction ends.
pub async fn of_step(tx: &mut Tx<'_>, at: StepRef) -> Result<Option<Record>> {
    let ws = tx.ws();
    tx.opt(
        "SELECT id, run, task, attempt, n, agent, tool, args, digest, reason, confidence, rule, creator, state, decided_by, note, \
         created_at, expires_at, decided_at, used_at FROM approval WHERE ws = $1 AND task = $2 AND attempt = $3 AND n = $4 \
         ORDER BY CASE WHEN state IN ('pending', 'approved', 'executed') THEN 0 ELSE 1 END, id DESC LIMIT 1 /*pg FOR UPDATE*/",
        p![ws, at.task, at.attempt, at.n],
    )
    .await
}

/// What of a task may still be used or answered.
pub async fn open_of_task(tx: &mut Tx<'_>, task: TaskId) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT id, run, task, attempt, n, agent, tool, args, digest, reason, confidence, rule, creator, state, decided_by, note, \
         created_at, expires_at, decided_at, used_at FROM approval WHERE ws = $1 AND task = $2 \
         AND state IN ('pending', 'approved') ORDER BY n /*pg FOR UPDATE*/",
        p![ws, task],
    )
    .await
}

/// What waits for an answer, in the order of ids, behind `after` where that is given.
pub async fn pending(tx: &mut Tx<'_>, after: Option<ApprovalId>, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    let after = after.unwrap_or(ApprovalId(uuid::Uuid::nil()));
    tx.many(
        "SELECT id, run, task, attempt, n, agent, tool, args, digest, reason, confidence, rule, creator, state, decided_by, note, \
         created_at, expires_at, decided_at, used_at FROM approval WHERE ws = $1 AND state = 'pending' AND id > $2 \
         ORDER BY id LIMIT $3",
        p![ws, after, limit],
    )
    .await
}

/// All approvals of a run, oldest first.
pub async fn of_run(tx: &mut Tx<'_>, run: RunId, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT id, run, task, attempt, n, agent, tool, args, digest, reason, confidence, rule, creator, state, decided_by, note, \
         created_at, expires_at, decided_at, used_at FROM approval WHERE ws = $1 AND run = $2 ORDER BY created_at, task, n, id LIMIT $3",
        p![ws, run, limit],
    )
    .await
}

/// Records what decided a pending approval: who, and what they said.
pub async fn decide(tx: &mut Tx<'_>, id: ApprovalId, state: &str, by: &str, note: &str) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "UPDATE approval SET state = $3, decided_by = $4, note = $5, decided_at = $6 WHERE ws = $1 AND id = $2",
        p![ws, id, state, by, note, now],
    )
    .await?;
    Ok(())
}

/// Uses an approval up. False if it was not approved, or not for this: then nothing is changed.
pub async fn execute(tx: &mut Tx<'_>, id: ApprovalId, digest: &str) -> Result<bool> {
    let (ws, now) = (tx.ws(), tx.now());
    let changed = tx
        .exec(
            "UPDATE approval SET state = 'executed', used_at = $4 WHERE ws = $1 AND id = $2 AND digest = $3 AND state = 'approved'",
            p![ws, id, digest, now],
        )
        .await?;
    Ok(changed > 0)
}

/// Records that the call of a step, which was made with leave, failed.
pub async fn fail(tx: &mut Tx<'_>, at: StepRef) -> Result<()> {
    let ws = tx.ws();
    tx.put(
        "UPDATE approval SET state = 'failed' WHERE ws = $1 AND task = $2 AND attempt = $3 AND n = $4 AND state = 'executed'",
        p![ws, at.task, at.attempt, at.n],
    )
    .await?;
    Ok(())
}

row! {
    /// One person's answer.
    pub struct Vote {
        /// The approval.
        pub approval: ApprovalId,
        /// In whose place, by name.
        pub place: String,
        /// Who answered, by name.
        pub voter: String,
        /// `approve` or `reject`.
        pub choice: String,
        /// What they said.
        pub note: String,
        /// When.
        pub at: Timestamp,
    }
}

/// Keeps an answer; a second one in the same place, or of the same person, is [`crate::Error::Conflict`].
pub async fn vote(
    tx: &mut Tx<'_>,
    id: ApprovalId,
    (voter, place): (&str, &str),
    choice: &str,
    note: &str,
) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.exec(
        "INSERT INTO approval_vote (ws, approval, place, voter, choice, note, at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        p![ws, id, place, voter, choice, note, now],
    )
    .await?;
    Ok(())
}

/// The answers to one approval, in the order in which they came.
pub async fn votes(tx: &mut Tx<'_>, id: ApprovalId) -> Result<Vec<Vote>> {
    let ws = tx.ws();
    tx.many(
        "SELECT approval, place, voter, choice, note, at FROM approval_vote WHERE ws = $1 AND approval = $2 ORDER BY at, place",
        p![ws, id],
    )
    .await
}

/// The answers to all that is pending.
pub async fn votes_pending(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<Vote>> {
    let ws = tx.ws();
    tx.many(
        "SELECT v.approval, v.place, v.voter, v.choice, v.note, v.at FROM approval a JOIN approval_vote v ON v.ws = a.ws \
         AND v.approval = a.id WHERE a.ws = $1 AND a.state = 'pending' ORDER BY v.approval, v.at, v.place LIMIT $2",
        p![ws, limit],
    )
    .await
}
