//! Questions and requests, who must answer them, and what became of each: the decision log.
//!
//! Rule: a question ends once. What was decided may be [`replace`]d, and stays on record; who may read it follows its thread.
//! Start at [`Record`].

use convoke_domain::id::{MessageId, RunId, TaskId, ThreadId};
use convoke_domain::time::Timestamp;

use crate::thread::Viewer;
use crate::{Result, Tx, p, row};

/// A question that is about to be stored.
#[derive(Debug, Clone)]
pub struct NewRow<'a> {
    /// The message that asks.
    pub id: MessageId,
    /// Its thread.
    pub thread: ThreadId,
    /// The run it was asked in.
    pub run: Option<RunId>,
    /// The task it was asked in.
    pub task: Option<TaskId>,
    /// `question` or `request`.
    pub kind: &'a str,
    /// Who asks.
    pub asked_by: &'a str,
    /// The question.
    pub asked: &'a str,
    /// The addressees as a JSON list.
    pub audience: &'a str,
    /// Options, default and impact as JSON.
    pub terms: &'a str,
    /// When it ends at the latest.
    pub due: Option<Timestamp>,
}

/// Adds a question.
pub async fn insert(tx: &mut Tx<'_>, new: &NewRow<'_>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "INSERT INTO question (ws, id, thread, run, task, kind, asked_by, asked, audience, terms, standing, due, asked_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'open', $11, $12)",
        p![
            ws, new.id, new.thread, new.run, new.task, new.kind, new.asked_by, new.asked, new.audience, new.terms, new.due,
            now
        ],
    )
    .await?;
    Ok(())
}

/// Adds somebody who may answer.
pub async fn insert_addressee(tx: &mut Tx<'_>, id: MessageId, who: &str, run: Option<RunId>) -> Result<()> {
    let ws = tx.ws();
    tx.put(
        "INSERT INTO addressee (ws, question, who, run, standing) VALUES ($1, $2, $3, $4, 'open')",
        p![ws, id, who, run],
    )
    .await?;
    Ok(())
}

row! {
    /// A question in full.
    pub struct Record {
        /// The message that asks.
        pub id: MessageId,
        /// Its thread.
        pub thread: ThreadId,
        /// The run it was asked in.
        pub run: Option<RunId>,
        /// The task it was asked in.
        pub task: Option<TaskId>,
        /// `question` or `request`.
        pub kind: String,
        /// Who asked.
        pub asked_by: String,
        /// The question.
        pub asked: String,
        /// The addressees as a JSON list.
        pub audience: String,
        /// Options, default and impact as JSON.
        pub terms: String,
        /// `open`, `answered`, `defaulted`, `expired`, `withdrawn` or `overridden`.
        pub standing: String,
        /// When it ends at the latest.
        pub due: Option<Timestamp>,
        /// What was chosen or said.
        pub choice: Option<String>,
        /// Why.
        pub rationale: Option<String>,
        /// Who answered.
        pub answered_by: Option<String>,
        /// The message that answers.
        pub answer: Option<MessageId>,
        /// When it was asked.
        pub asked_at: Timestamp,
        /// When it ended.
        pub ended_at: Option<Timestamp>,
    }
}

/// A question as it stands, locked until the transaction ends.
pub async fn hold(tx: &mut Tx<'_>, id: MessageId) -> Result<Option<Record>> {
    let ws = tx.ws();
    tx.opt(
        "SELECT id, thread, run, task, kind, asked_by, asked, audience, terms, standing, due, choice, rationale, answered_by, answer, \
         asked_at, ended_at FROM question WHERE ws = $1 AND id = $2 /*pg FOR UPDATE*/",
        p![ws, id],
    )
    .await
}

/// How a question ended.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    /// `answered`, `defaulted`, `expired`, `withdrawn` or `overridden`.
    pub standing: &'a str,
    /// What was chosen or said.
    pub choice: Option<&'a str>,
    /// Why.
    pub rationale: Option<&'a str>,
    /// Who answered.
    pub by: Option<&'a str>,
    /// The message that answers.
    pub answer: Option<MessageId>,
}

/// Ends a question for good.
pub async fn end(tx: &mut Tx<'_>, id: MessageId, how: &End<'_>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "UPDATE question SET standing = $3, choice = $4, rationale = $5, answered_by = $6, answer = $7, ended_at = $8 \
         WHERE ws = $1 AND id = $2 AND standing = 'open'",
        p![ws, id, how.standing, how.choice, how.rationale, how.by, how.answer, now],
    )
    .await?;
    tx.put("UPDATE addressee SET standing = 'closed' WHERE ws = $1 AND question = $2", p![ws, id]).await?;
    Ok(())
}

row! {
    /// A decision that stood until it was replaced.
    pub struct Past {
        /// `answered`, `defaulted` or `overridden`.
        pub standing: String,
        /// What was chosen or said.
        pub choice: Option<String>,
        /// Why.
        pub rationale: Option<String>,
        /// Who answered.
        pub answered_by: Option<String>,
        /// The message that answered.
        pub answer: Option<MessageId>,
        /// From when it stood.
        pub ended_at: Option<Timestamp>,
    }
}

/// Replaces a decision that stands; what was decided before is kept.
pub async fn replace(tx: &mut Tx<'_>, id: MessageId, how: &End<'_>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "INSERT INTO overridden (ws, question, n, standing, choice, rationale, answered_by, answer, ended_at) \
         SELECT q.ws, q.id, (SELECT COUNT(*) + 1 FROM overridden o WHERE o.ws = q.ws AND o.question = q.id), q.standing, q.choice, \
         q.rationale, q.answered_by, q.answer, q.ended_at FROM question q WHERE q.ws = $1 AND q.id = $2",
        p![ws, id],
    )
    .await?;
    tx.put(
        "UPDATE question SET standing = $3, choice = $4, rationale = $5, answered_by = $6, answer = $7, ended_at = $8 \
         WHERE ws = $1 AND id = $2",
        p![ws, id, how.standing, how.choice, how.rationale, how.by, how.answer, now],
    )
    .await?;
    Ok(())
}

/// What was decided before and replaced, the first decision first.
pub async fn replaced(tx: &mut Tx<'_>, id: MessageId) -> Result<Vec<Past>> {
    let ws = tx.ws();
    tx.many(
        "SELECT standing, choice, rationale, answered_by, answer, ended_at FROM overridden WHERE ws = $1 AND question = $2 ORDER BY n",
        p![ws, id],
    )
    .await
}

/// Who may answer, with the side task that was made for it, by name.
pub async fn addressees(tx: &mut Tx<'_>, id: MessageId) -> Result<Vec<(String, Option<TaskId>)>> {
    let ws = tx.ws();
    tx.many("SELECT who, reply_task FROM addressee WHERE ws = $1 AND question = $2 ORDER BY who", p![ws, id]).await
}

/// A side task was made in which an addressee answers.
pub async fn set_reply_task(tx: &mut Tx<'_>, id: MessageId, who: &str, task: TaskId) -> Result<()> {
    let ws = tx.ws();
    tx.put("UPDATE addressee SET reply_task = $4 WHERE ws = $1 AND question = $2 AND who = $3", p![ws, id, who, task])
        .await?;
    Ok(())
}

/// The question that a side task was made to answer.
pub async fn of_reply_task(tx: &mut Tx<'_>, task: TaskId) -> Result<Option<(MessageId, String)>> {
    let ws = tx.ws();
    tx.opt("SELECT question, who FROM addressee WHERE ws = $1 AND reply_task = $2", p![ws, task]).await
}

/// Open questions to an agent in a run for which no side task was made.
pub async fn unattended(tx: &mut Tx<'_>, who: &str, run: RunId, limit: i64) -> Result<Vec<(MessageId,)>> {
    let ws = tx.ws();
    tx.many(
        "SELECT question FROM addressee WHERE ws = $1 AND who = $2 AND standing = 'open' AND run = $3 AND reply_task IS NULL \
         ORDER BY question LIMIT $4",
        p![ws, who, run, limit],
    )
    .await
}

/// Open questions to somebody, in all runs, the oldest first: what an inbox shows.
pub async fn open_for(tx: &mut Tx<'_>, who: &str, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT q.id, q.thread, q.run, q.task, q.kind, q.asked_by, q.asked, q.audience, q.terms, q.standing, q.due, q.choice, q.rationale, \
         q.answered_by, q.answer, q.asked_at, q.ended_at FROM addressee a JOIN question q ON q.ws = a.ws AND q.id = a.question \
         WHERE a.ws = $1 AND a.who = $2 AND a.standing = 'open' ORDER BY q.id LIMIT $3",
        p![ws, who, limit],
    )
    .await
}

/// Open questions that a task asked.
pub async fn open_of_task(tx: &mut Tx<'_>, run: RunId, task: TaskId) -> Result<Vec<(MessageId,)>> {
    let ws = tx.ws();
    tx.many(
        "SELECT id FROM question WHERE ws = $1 AND run = $2 AND task = $3 AND standing = 'open' ORDER BY id LIMIT 1000",
        p![ws, run, task],
    )
    .await
}

/// Open questions of a run.
pub async fn open_of_run(tx: &mut Tx<'_>, run: RunId, limit: i64) -> Result<Vec<(MessageId,)>> {
    let ws = tx.ws();
    tx.many(
        "SELECT id FROM question WHERE ws = $1 AND run = $2 AND standing = 'open' ORDER BY id LIMIT $3",
        p![ws, run, limit],
    )
    .await
}

/// Open questions whose time has come.
pub async fn due(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<(MessageId,)>> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.many(
        "SELECT id FROM question WHERE ws = $1 AND standing = 'open' AND due IS NOT NULL AND due <= CAST($2 AS BIGINT) ORDER BY due LIMIT $3 \
         /*pg FOR UPDATE SKIP LOCKED*/",
        p![ws, now, limit],
    )
    .await
}

/// The log: questions of a run, or of all, before `before`, the newest first, as far as `viewer` may see them.
pub async fn list(
    tx: &mut Tx<'_>,
    run: Option<RunId>,
    before: Option<MessageId>,
    viewer: Viewer<'_>,
    limit: i64,
) -> Result<Vec<Record>> {
    let (ws, (who, all)) = (tx.ws(), viewer.parts());
    let (any, run) = (run.is_none(), run.map_or(uuid::Uuid::nil(), |run| run.0));
    let before = before.map_or(convoke_domain::id::LAST, |id| id.0);
    tx.many(
        "SELECT q.id, q.thread, q.run, q.task, q.kind, q.asked_by, q.asked, q.audience, q.terms, q.standing, q.due, q.choice, q.rationale, \
         q.answered_by, q.answer, q.asked_at, q.ended_at FROM question q JOIN thread t ON t.ws = q.ws AND t.id = q.thread \
         WHERE q.ws = $1 AND q.id < $2 AND (CAST($7 AS BIGINT) = 1 OR q.run = $3) AND (t.is_private = 0 OR CAST($5 AS BIGINT) = 1 OR EXISTS \
         (SELECT 1 FROM participant m WHERE m.ws = t.ws AND m.thread = t.id AND m.who = $4)) ORDER BY q.id DESC LIMIT $6",
        p![ws, before, run, who, all, limit, any],
    )
    .await
}
