//! Messages and receipts: rows, what waits for whom, search. One row a message; a receipt for each named recipient.
//!
//! Rule: whatever gives a body asks who reads; see [`Viewer`]. Start at [`insert`] and [`queued`].

use convoke_domain::id::{MessageId, RunId, TaskId, ThreadId};
use convoke_domain::time::Timestamp;

use crate::thread::Viewer;
use crate::{Result, Tx, p, row};

/// The longest that an id waits until its message is stored, in milliseconds.
const ID_LAG_MS: i64 = 60_000;

/// A message that is about to be stored.
#[derive(Debug, Clone)]
pub struct NewRow<'a> {
    /// Its id.
    pub id: MessageId,
    /// Its thread.
    pub thread: ThreadId,
    /// Its place in the thread, from 1.
    pub n: i64,
    /// The run it was said in.
    pub run: Option<RunId>,
    /// The task it was said in.
    pub task: Option<TaskId>,
    /// Who said it.
    pub sender: &'a str,
    /// The recipients as a JSON list; all participants if absent.
    pub audience: Option<&'a str>,
    /// What it is.
    pub kind: &'a str,
    /// How urgent it is.
    pub priority: &'a str,
    /// One line.
    pub subject: Option<&'a str>,
    /// What it says.
    pub body: &'a str,
    /// What it replies to.
    pub reply_to: Option<MessageId>,
    /// How many replies led to it.
    pub hops: i64,
    /// It cuts the model calls that its recipients make.
    pub cancels: bool,
}

/// Adds a message.
pub async fn insert(tx: &mut Tx<'_>, new: &NewRow<'_>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "INSERT INTO message (ws, id, thread, n, run, task, sender, audience, kind, priority, subject, body, reply_to, hops, cancels, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        p![
            ws, new.id, new.thread, new.n, new.run, new.task, new.sender, new.audience, new.kind, new.priority, new.subject,
            new.body, new.reply_to, new.hops, new.cancels, now
        ],
    )
    .await?;
    Ok(())
}

/// Adds a receipt for a recipient.
pub async fn insert_receipt(tx: &mut Tx<'_>, new: &NewRow<'_>, who: &str) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "INSERT INTO receipt (ws, message, who, thread, n, run, priority, state, attempt, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'queued', 0, $8)",
        p![ws, new.id, who, new.thread, new.n, new.run, new.priority, now],
    )
    .await?;
    Ok(())
}

row! {
    /// A message in full.
    pub struct Record {
        /// Its id.
        pub id: MessageId,
        /// Its thread.
        pub thread: ThreadId,
        /// Its place in the thread.
        pub n: i64,
        /// The run it was said in.
        pub run: Option<RunId>,
        /// Who said it.
        pub sender: String,
        /// The recipients as a JSON list; all participants if absent.
        pub audience: Option<String>,
        /// What it is.
        pub kind: String,
        /// How urgent it is.
        pub priority: String,
        /// One line.
        pub subject: Option<String>,
        /// What it says.
        pub body: String,
        /// What it replies to.
        pub reply_to: Option<MessageId>,
        /// How many replies led to it.
        pub hops: i64,
        /// It cuts the model calls that its recipients make.
        pub cancels: bool,
        /// When it was stored.
        pub at: Timestamp,
    }
}

/// One message, if `viewer` may see it.
pub async fn get(tx: &mut Tx<'_>, id: MessageId, viewer: Viewer<'_>) -> Result<Option<Record>> {
    let (ws, (who, all)) = (tx.ws(), viewer.parts());
    tx.opt(
        "SELECT x.id, x.thread, x.n, x.run, x.sender, x.audience, x.kind, x.priority, x.subject, x.body, x.reply_to, x.hops, x.cancels, x.at \
         FROM message x JOIN thread t ON t.ws = x.ws AND t.id = x.thread WHERE x.ws = $1 AND x.id = $2 \
         AND (t.is_private = 0 OR CAST($4 AS BIGINT) = 1 OR EXISTS \
         (SELECT 1 FROM participant m WHERE m.ws = t.ws AND m.thread = t.id AND m.who = $3))",
        p![ws, id, who, all],
    )
    .await
}

/// The messages of a thread after number `after`, in order. Ask [`crate::thread::get`] first whether they may be seen.
pub async fn of_thread(tx: &mut Tx<'_>, thread: ThreadId, after: i64, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT id, thread, n, run, sender, audience, kind, priority, subject, body, reply_to, hops, cancels, at FROM message \
         WHERE ws = $1 AND thread = $2 AND n > $3 ORDER BY n LIMIT $4",
        p![ws, thread, after, limit],
    )
    .await
}

/// Messages of a run after `after` in the order of their ids, as far as `viewer` may see them.
pub async fn of_run(
    tx: &mut Tx<'_>,
    run: RunId,
    after: Option<MessageId>,
    viewer: Viewer<'_>,
    limit: i64,
) -> Result<Vec<Record>> {
    let (ws, (who, all)) = (tx.ws(), viewer.parts());
    let after = after.map_or(uuid::Uuid::nil(), |id| id.0);
    tx.many(
        "SELECT x.id, x.thread, x.n, x.run, x.sender, x.audience, x.kind, x.priority, x.subject, x.body, x.reply_to, x.hops, x.cancels, x.at \
         FROM message x JOIN thread t ON t.ws = x.ws AND t.id = x.thread WHERE x.ws = $1 AND x.run = $2 AND x.id > $3 \
         AND (t.is_private = 0 OR CAST($5 AS BIGINT) = 1 OR EXISTS \
         (SELECT 1 FROM participant m WHERE m.ws = t.ws AND m.thread = t.id AND m.who = $4)) ORDER BY x.id LIMIT $6",
        p![ws, run, after, who, all, limit],
    )
    .await
}

/// Messages before `before`, or from the newest, of one run or of all, as far as `viewer` may see them.
pub async fn before(
    tx: &mut Tx<'_>,
    before: Option<MessageId>,
    run: Option<RunId>,
    viewer: Viewer<'_>,
    limit: i64,
) -> Result<Vec<Record>> {
    let (ws, (who, all)) = (tx.ws(), viewer.parts());
    let before = before.map_or(convoke_domain::id::LAST, |id| id.0);
    let (any, run) = (run.is_none(), run.map_or(uuid::Uuid::nil(), |run| run.0));
    tx.many(
        "SELECT x.id, x.thread, x.n, x.run, x.sender, x.audience, x.kind, x.priority, x.subject, x.body, x.reply_to, x.hops, x.cancels, x.at \
         FROM message x JOIN thread t ON t.ws = x.ws AND t.id = x.thread WHERE x.ws = $1 AND x.id < $2 \
         AND (CAST($7 AS BIGINT) = 1 OR x.run = $3) AND (t.is_private = 0 OR CAST($5 AS BIGINT) = 1 OR EXISTS \
         (SELECT 1 FROM participant m WHERE m.ws = t.ws AND m.thread = t.id AND m.who = $4)) ORDER BY x.id DESC LIMIT $6",
        p![ws, before, run, who, all, limit, any],
    )
    .await
}

row! {
    /// A message that waits for a recipient, without its text.
    pub struct Queued {
        /// The message.
        pub message: MessageId,
        /// Its thread.
        pub thread: ThreadId,
        /// Its place there.
        pub n: i64,
        /// How urgent it is.
        pub priority: String,
        /// When it was stored.
        pub at: Timestamp,
    }
}

/// What waits for `who` in a run or in none, the oldest first. With `task`, also what another attempt of it was given. Questions
/// that have ended are left out: nobody needs their answers.
pub async fn queued(
    tx: &mut Tx<'_>,
    who: &str,
    run: RunId,
    (task, attempt): (TaskId, i64),
    limit: i64,
) -> Result<Vec<Queued>> {
    let ws = tx.ws();
    if attempt > 1 {
        let sql = "SELECT message, thread, n, priority, at FROM receipt WHERE ws = $1 AND who = $2 AND (run = $3 OR run IS NULL) \
                   AND (state = 'queued' OR (task = $4 AND attempt < $5)) AND NOT EXISTS (SELECT 1 FROM question q \
                   WHERE q.ws = receipt.ws AND q.id = receipt.message AND q.standing <> 'open') ORDER BY at, message LIMIT $6";
        return tx.many(sql, p![ws, who, run, task, attempt, limit]).await;
    }
    let sql = "SELECT message, thread, n, priority, at FROM receipt WHERE ws = $1 AND who = $2 AND (run = $3 OR run IS NULL) \
               AND state = 'queued' AND NOT EXISTS (SELECT 1 FROM question q \
               WHERE q.ws = receipt.ws AND q.id = receipt.message AND q.standing <> 'open') ORDER BY at, message LIMIT $4";
    tx.many(sql, p![ws, who, run, limit]).await
}

/// What waits for `who` and answers something that another open task of theirs has said: it is given there.
pub async fn of_other_tasks(tx: &mut Tx<'_>, who: &str, run: RunId, task: TaskId) -> Result<Vec<(MessageId,)>> {
    let ws = tx.ws();
    tx.many(
        "SELECT r.message FROM receipt r JOIN message x ON x.ws = r.ws AND x.id = r.message \
         JOIN message q ON q.ws = x.ws AND q.id = x.reply_to AND q.sender = r.who JOIN task t ON t.ws = q.ws AND t.id = q.task \
         WHERE r.ws = $1 AND r.who = $2 AND r.run = $3 AND r.state = 'queued' AND t.id <> $4 AND 'agent:' || t.agent = r.who \
         AND t.state IN ('pending', 'ready', 'running', 'waiting', 'blocked') ORDER BY r.message",
        p![ws, who, run, task],
    )
    .await
}

/// The task of `agent` in which a message was said, if it has not ended.
pub async fn open_task_of(tx: &mut Tx<'_>, id: MessageId, agent: &str) -> Result<Option<TaskId>> {
    let ws = tx.ws();
    let found: Option<(TaskId,)> = tx
        .opt(
            "SELECT t.id FROM message x JOIN task t ON t.ws = x.ws AND t.id = x.task WHERE x.ws = $1 AND x.id = $2 AND t.agent = $3 \
             AND x.sender = 'agent:' || t.agent AND t.state IN ('pending', 'ready', 'running', 'waiting', 'blocked')",
            p![ws, id, agent],
        )
        .await?;
    Ok(found.map(|(task,)| task))
}

/// When a task was last given messages, or began.
pub async fn looked_at(tx: &mut Tx<'_>, (task, attempt): (TaskId, i64)) -> Result<Option<Timestamp>> {
    let ws = tx.ws();
    let found: Option<(Option<Timestamp>,)> = tx
        .opt(
            "SELECT COALESCE((SELECT MAX(s.finished_at) FROM step s WHERE s.ws = t.ws AND s.task = t.id AND s.attempt = $3 \
             AND s.kind = 'message'), t.started_at) FROM task t WHERE t.ws = $1 AND t.id = $2",
            p![ws, task, attempt],
        )
        .await?;
    Ok(found.and_then(|(at,)| at))
}

/// What an attempt was given at a time, as it read it.
pub async fn letters_at(tx: &mut Tx<'_>, (task, attempt): (TaskId, i64), at: Timestamp) -> Result<Vec<(String,)>> {
    let ws = tx.ws();
    tx.many(
        "SELECT output FROM step WHERE ws = $1 AND task = $2 AND attempt = $3 AND kind = 'message' AND finished_at = $4 \
         AND output IS NOT NULL ORDER BY n",
        p![ws, task, attempt, at],
    )
    .await
}

/// Alerts of a run since a time, critical ones and those that cut calls, that another task of `who` was given already: each
/// of their tasks is to hear of them.
pub async fn alerts_given(
    tx: &mut Tx<'_>,
    who: &str,
    run: RunId,
    (task, since): (TaskId, Timestamp),
    limit: i64,
) -> Result<Vec<Queued>> {
    let ws = tx.ws();
    // Ids begin with the time at which they were made, a little before their message is stored: earlier ones are not looked at.
    let first = since.as_millis().saturating_sub(ID_LAG_MS).max(0);
    let first = uuid::Uuid::from_u128(u128::from(first.unsigned_abs()) << 80);
    tx.many(
        "SELECT x.id AS message, x.thread, x.n, x.priority, x.at FROM message x WHERE x.ws = $1 AND x.run = $2 AND x.id >= $3 \
         AND x.at >= $4 AND x.kind = 'alert' AND (x.priority = 'critical' OR x.cancels = 1) AND x.sender <> $5 AND (EXISTS \
         (SELECT 1 FROM receipt r WHERE r.ws = x.ws AND r.message = x.id AND r.who = $5 AND r.state <> 'queued' AND r.task <> $6) \
         OR (x.audience IS NULL AND EXISTS (SELECT 1 FROM participant m WHERE m.ws = x.ws AND m.thread = x.thread AND m.who = $5 \
         AND m.cursor >= x.n))) ORDER BY x.id LIMIT $7",
        p![ws, run, first, since, who, task, limit],
    )
    .await
}

/// Messages to all in a thread after `after` that `who` did not say itself, without their text.
pub async fn to_all(tx: &mut Tx<'_>, thread: ThreadId, after: i64, who: &str, limit: i64) -> Result<Vec<Queued>> {
    let ws = tx.ws();
    tx.many(
        "SELECT id AS message, thread, n, priority, at FROM message WHERE ws = $1 AND thread = $2 AND n > $3 AND audience IS NULL \
         AND sender <> $4 ORDER BY n LIMIT $5",
        p![ws, thread, after, who, limit],
    )
    .await
}

row! {
    /// How far a message has come with one recipient.
    pub struct Receipt {
        /// The recipient.
        pub who: String,
        /// `queued`, `delivered`, `read` or `answered`.
        pub state: String,
        /// When it was given to them.
        pub delivered_at: Option<Timestamp>,
        /// When they had read it.
        pub read_at: Option<Timestamp>,
        /// When they replied.
        pub answered_at: Option<Timestamp>,
    }
}

/// The receipts of a message, by recipient.
pub async fn receipts(tx: &mut Tx<'_>, id: MessageId) -> Result<Vec<Receipt>> {
    let ws = tx.ws();
    tx.many(
        "SELECT who, state, delivered_at, read_at, answered_at FROM receipt WHERE ws = $1 AND message = $2 ORDER BY who /*pg FOR UPDATE*/",
        p![ws, id],
    )
    .await
}

/// A message was given to a recipient, in whose context `of` says.
pub async fn delivered(tx: &mut Tx<'_>, id: MessageId, who: &str, of: Option<(TaskId, i64)>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    let (task, attempt) = (of.map(|(task, _)| task), of.map_or(0, |(_, attempt)| attempt));
    tx.put(
        "UPDATE receipt SET state = CASE WHEN state = 'queued' THEN 'delivered' ELSE state END, task = $4, attempt = $5, \
         delivered_at = COALESCE(delivered_at, $6) WHERE ws = $1 AND message = $2 AND who = $3",
        p![ws, id, who, task, attempt, now],
    )
    .await?;
    Ok(())
}

/// What a task was given counts as read.
pub async fn saw(tx: &mut Tx<'_>, task: TaskId) -> Result<u64> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.exec(
        "UPDATE receipt SET state = 'read', read_at = $3 WHERE ws = $1 AND task = $2 AND state = 'delivered'",
        p![ws, task, now],
    )
    .await
}

/// What earlier attempts of a task were given: as many messages another attempt has to read again.
pub async fn given(tx: &mut Tx<'_>, task: TaskId) -> Result<i64> {
    let ws = tx.ws();
    let (count,): (i64,) = tx.one("SELECT COUNT(*) FROM receipt WHERE ws = $1 AND task = $2", p![ws, task]).await?;
    Ok(count)
}

/// A person has looked at a thread: what was addressed to them there is delivered and read.
pub async fn read_thread(tx: &mut Tx<'_>, thread: ThreadId, who: &str) -> Result<u64> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.exec(
        "UPDATE receipt SET state = 'read', delivered_at = COALESCE(delivered_at, $4), read_at = $4 WHERE ws = $1 AND who = $2 \
         AND thread = $3 AND state IN ('queued', 'delivered')",
        p![ws, who, thread, now],
    )
    .await
}

/// A recipient replied.
pub async fn answered(tx: &mut Tx<'_>, id: MessageId, who: &str) -> Result<u64> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.exec(
        "UPDATE receipt SET state = 'answered', delivered_at = COALESCE(delivered_at, $4), read_at = COALESCE(read_at, $4), \
         answered_at = $4 WHERE ws = $1 AND message = $2 AND who = $3 AND state <> 'answered'",
        p![ws, id, who, now],
    )
    .await
}

/// What is addressed to somebody and was not read, in all runs, the oldest first: an inbox.
pub async fn unread(tx: &mut Tx<'_>, who: &str, limit: i64) -> Result<Vec<Queued>> {
    let ws = tx.ws();
    tx.many(
        "SELECT message, thread, n, priority, at FROM receipt WHERE ws = $1 AND who = $2 AND state = 'queued' ORDER BY at, message LIMIT $3",
        p![ws, who, limit],
    )
    .await
}

/// Removes the messages and receipts of a thread that was put away.
pub async fn remove(tx: &mut Tx<'_>, thread: ThreadId) -> Result<u64> {
    let ws = tx.ws();
    tx.put(
        "DELETE FROM receipt WHERE ws = $1 AND message IN (SELECT id FROM message WHERE ws = $1 AND thread = $2)",
        p![ws, thread],
    )
    .await?;
    tx.exec("DELETE FROM message WHERE ws = $1 AND thread = $2", p![ws, thread]).await
}

row! {
    /// Messages of one kind in one thread of a run, counted.
    pub struct Tally {
        /// The thread's channel.
        pub channel: String,
        /// The kind.
        pub kind: String,
        /// How many.
        pub count: i64,
    }
}

/// How many messages a run has, by thread and kind.
pub async fn tally(tx: &mut Tx<'_>, run: RunId) -> Result<Vec<Tally>> {
    let ws = tx.ws();
    tx.many(
        "SELECT t.channel, x.kind, COUNT(*) AS count FROM message x JOIN thread t ON t.ws = x.ws AND t.id = x.thread \
         WHERE x.ws = $1 AND x.run = $2 GROUP BY t.channel, x.kind ORDER BY t.channel, x.kind",
        p![ws, run],
    )
    .await
}

/// Counts a message for running tasks of a run: those of `who`, or of everybody but `who`. Gives these tasks. Other tasks look
/// when they are claimed; see [`crate::run::set_talks`].
pub async fn raise(tx: &mut Tx<'_>, run: RunId, (who, is_sender): (&str, bool)) -> Result<Vec<(TaskId, String)>> {
    let ws = tx.ws();
    // Few tasks run at once, however many there are.
    let sql = if is_sender {
        "UPDATE task /*lite INDEXED BY task_running*/ SET mail = mail + 1, ties = 1 WHERE ws = $1 AND run = $2 AND agent <> $3 \
         AND state = 'running' RETURNING id, agent"
    } else {
        "UPDATE task /*lite INDEXED BY task_running*/ SET mail = mail + 1, ties = 1 WHERE ws = $1 AND run = $2 AND agent = $3 \
         AND state = 'running' RETURNING id, agent"
    };
    tx.many(sql, p![ws, run, who]).await
}

/// The tasks of a run that their agent was given to do and that have not ended, with where they stand.
pub async fn open_tasks(tx: &mut Tx<'_>, run: RunId, agent: &str) -> Result<Vec<(TaskId, String)>> {
    let ws = tx.ws();
    tx.many(
        "SELECT id, state FROM task WHERE ws = $1 AND run = $2 AND agent = $3 \
         AND state IN ('pending', 'ready', 'running', 'waiting', 'blocked') ORDER BY n LIMIT 1000",
        p![ws, run, agent],
    )
    .await
}
