//! Threads and who takes part in them: rows, lists, and what the limits of a thread are decided from.
//!
//! Rule: a list shows a private thread to its participants and to the audit alone; see [`Viewer`]. Start at [`Record`].

use convoke_domain::id::{RunId, TaskId, ThreadId};
use convoke_domain::time::Timestamp;

use crate::{Result, Tx, p, row};

/// Who reads. Every query that gives a title, a subject or a body asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Viewer<'a> {
    /// A participant, such as `agent:logs` or `user:ada`: sees what is open to all, and its own private threads.
    Party(&'a str),
    /// The audit: sees everything.
    Audit,
}

impl Viewer<'_> {
    /// The participant's name, and whether everything may be seen.
    pub(crate) const fn parts(&self) -> (&str, bool) {
        match self {
            Self::Party(who) => (who, false),
            Self::Audit => ("", true),
        }
    }
}

/// A thread that is about to be made.
#[derive(Debug, Clone)]
pub struct NewRow<'a> {
    /// Its id.
    pub id: ThreadId,
    /// Its name, which no other thread has.
    pub channel: &'a str,
    /// `direct`, `team`, `task`, `run` or `free`.
    pub kind: &'a str,
    /// What it is about.
    pub title: &'a str,
    /// The run it belongs to.
    pub run: Option<RunId>,
    /// The task it belongs to.
    pub task: Option<TaskId>,
    /// Only participants and the audit may read.
    pub is_private: bool,
    /// Who opened it.
    pub created_by: &'a str,
}

/// Adds a thread; false if the channel has one.
pub async fn insert(tx: &mut Tx<'_>, thread: &NewRow<'_>) -> Result<bool> {
    let (ws, now) = (tx.ws(), tx.now());
    let made = tx
        .exec(
            "INSERT INTO thread (ws, id, channel, kind, title, run, task, is_private, status, last_n, pace, created_at, created_by, last_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'open', 0, '{}', $9, $10, $9) ON CONFLICT (ws, channel) DO NOTHING",
            p![
                ws, thread.id, thread.channel, thread.kind, thread.title, thread.run, thread.task, thread.is_private, now,
                thread.created_by
            ],
        )
        .await?;
    Ok(made > 0)
}

row! {
    /// A thread in full.
    pub struct Record {
        /// Its id.
        pub id: ThreadId,
        /// Its name.
        pub channel: String,
        /// `direct`, `team`, `task`, `run` or `free`.
        pub kind: String,
        /// What it is about.
        pub title: String,
        /// The run it belongs to.
        pub run: Option<RunId>,
        /// The task it belongs to.
        pub task: Option<TaskId>,
        /// Only participants and the audit may read.
        pub is_private: bool,
        /// `open`, `closed` or `archived`.
        pub status: String,
        /// How many messages it has had.
        pub last_n: i64,
        /// When it was opened.
        pub created_at: Timestamp,
        /// Who opened it.
        pub created_by: String,
        /// When the last message came.
        pub last_at: Timestamp,
        /// What was in it, once it is archived.
        pub summary: Option<String>,
        /// The blobs that hold its messages, once it is archived.
        pub archive: Option<String>,
    }
}

row! {
    /// What is needed to post.
    pub struct Held {
        /// The thread.
        pub id: ThreadId,
        /// Its name.
        pub channel: String,
        /// `direct`, `team`, `task`, `run` or `free`.
        pub kind: String,
        /// The run it belongs to.
        pub run: Option<RunId>,
        /// Only participants and the audit may read.
        pub is_private: bool,
        /// Where it stands.
        pub status: String,
        /// The number of its last message.
        pub last_n: i64,
        /// What its limits are decided from.
        pub pace: String,
    }
}

/// The thread of a channel as it stands, locked until the transaction ends.
pub async fn hold_channel(tx: &mut Tx<'_>, channel: &str) -> Result<Option<Held>> {
    let ws = tx.ws();
    tx.opt(
        "SELECT id, channel, kind, run, is_private, status, last_n, pace FROM thread WHERE ws = $1 AND channel = $2 /*pg FOR UPDATE*/",
        p![ws, channel],
    )
    .await
}

/// A thread as it stands, locked until the transaction ends.
pub async fn hold(tx: &mut Tx<'_>, id: ThreadId) -> Result<Option<Held>> {
    let ws = tx.ws();
    tx.opt(
        "SELECT id, channel, kind, run, is_private, status, last_n, pace FROM thread WHERE ws = $1 AND id = $2 /*pg FOR UPDATE*/",
        p![ws, id],
    )
    .await
}

/// Counts a message.
pub async fn advance(tx: &mut Tx<'_>, id: ThreadId, last_n: i64, pace: &str) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "UPDATE thread SET last_n = $3, pace = $4, last_at = $5 WHERE ws = $1 AND id = $2",
        p![ws, id, last_n, pace, now],
    )
    .await?;
    Ok(())
}

/// Opens or closes a thread.
pub async fn set_status(tx: &mut Tx<'_>, id: ThreadId, status: &str) -> Result<()> {
    let ws = tx.ws();
    tx.put("UPDATE thread SET status = $3 WHERE ws = $1 AND id = $2", p![ws, id, status]).await?;
    Ok(())
}

/// Keeps what is left of a thread whose messages were put away.
pub async fn archive(tx: &mut Tx<'_>, id: ThreadId, summary: &str, blobs: &str) -> Result<()> {
    let ws = tx.ws();
    tx.put(
        "UPDATE thread SET status = 'archived', summary = $3, archive = $4 WHERE ws = $1 AND id = $2",
        p![ws, id, summary, blobs],
    )
    .await?;
    Ok(())
}

/// One thread, if `viewer` may see it.
pub async fn get(tx: &mut Tx<'_>, id: ThreadId, viewer: Viewer<'_>) -> Result<Option<Record>> {
    let (ws, (who, all)) = (tx.ws(), viewer.parts());
    tx.opt(
        "SELECT t.id, t.channel, t.kind, t.title, t.run, t.task, t.is_private, t.status, t.last_n, t.created_at, t.created_by, t.last_at, \
         t.summary, t.archive FROM thread t WHERE t.ws = $1 AND t.id = $2 AND (t.is_private = 0 OR CAST($4 AS BIGINT) = 1 OR EXISTS \
         (SELECT 1 FROM participant m WHERE m.ws = t.ws AND m.thread = t.id AND m.who = $3))",
        p![ws, id, who, all],
    )
    .await
}

/// What a list is limited to; nothing for all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter<'a> {
    /// Threads with this participant.
    pub who: Option<&'a str>,
    /// Threads of this run, and those in which something was said in it.
    pub run: Option<RunId>,
    /// Threads of this task.
    pub task: Option<TaskId>,
    /// Threads that stand so.
    pub status: Option<&'a str>,
    /// Threads made before this one.
    pub before: Option<ThreadId>,
}

/// The threads that `viewer` may see, the newest first.
pub async fn list(tx: &mut Tx<'_>, filter: &Filter<'_>, viewer: Viewer<'_>, limit: i64) -> Result<Vec<Record>> {
    let (ws, (who, all)) = (tx.ws(), viewer.parts());
    let nil = uuid::Uuid::nil();
    let before = filter.before.map_or(convoke_domain::id::LAST, |id| id.0);
    let (any_run, run) = (filter.run.is_none(), filter.run.map_or(nil, |run| run.0));
    let (any_task, task) = (filter.task.is_none(), filter.task.map_or(nil, |task| task.0));
    tx.many(
        "SELECT t.id, t.channel, t.kind, t.title, t.run, t.task, t.is_private, t.status, t.last_n, t.created_at, t.created_by, t.last_at, \
         t.summary, t.archive FROM thread t WHERE t.ws = $1 AND t.id < $2 \
         AND (t.is_private = 0 OR CAST($4 AS BIGINT) = 1 OR EXISTS \
         (SELECT 1 FROM participant m WHERE m.ws = t.ws AND m.thread = t.id AND m.who = $3)) \
         AND ($5 = '' OR EXISTS (SELECT 1 FROM participant m WHERE m.ws = t.ws AND m.thread = t.id AND m.who = $5)) \
         AND (CAST($10 AS BIGINT) = 1 OR t.run = $6 OR EXISTS (SELECT 1 FROM message x WHERE x.ws = t.ws AND x.thread = t.id AND x.run = $6)) \
         AND (CAST($11 AS BIGINT) = 1 OR t.task = $7) AND ($8 = '' OR t.status = $8) ORDER BY t.id DESC LIMIT $9",
        p![
            ws, before, who, all, filter.who.unwrap_or_default(), run, task, filter.status.unwrap_or_default(), limit, any_run,
            any_task
        ],
    )
    .await
}

/// Threads that nobody needs in which nothing was said since `before`, the oldest first: none with a question that is open, and
/// none of a run that has not ended, or in which something was said in one.
pub async fn idle_since(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<Vec<(ThreadId,)>> {
    let ws = tx.ws();
    tx.many(
        "SELECT t.id FROM thread t WHERE t.ws = $1 AND t.status <> 'archived' AND t.last_at < $2 \
         AND t.id NOT IN (SELECT q.thread FROM question q WHERE q.ws = $1 AND q.standing = 'open') \
         AND t.id NOT IN (SELECT x.thread FROM run r JOIN message x ON x.ws = r.ws AND x.run = r.id WHERE r.ws = $1 \
         AND r.state IN ('initializing', 'running', 'aggregating', 'paused', 'waiting')) \
         AND (t.run IS NULL OR t.run NOT IN (SELECT r.id FROM run r WHERE r.ws = $1 \
         AND r.state IN ('initializing', 'running', 'aggregating', 'paused', 'waiting'))) \
         ORDER BY t.last_at, t.id LIMIT $3 /*pg FOR UPDATE OF t*/",
        p![ws, before, limit],
    )
    .await
}

/// Whether a thread is still one that [`idle_since`] gives: whoever holds it asks again.
pub async fn is_idle(tx: &mut Tx<'_>, id: ThreadId, before: Timestamp) -> Result<bool> {
    let ws = tx.ws();
    let found: Option<(ThreadId,)> = tx
        .opt(
            "SELECT t.id FROM thread t WHERE t.ws = $1 AND t.id = $2 AND t.status <> 'archived' AND t.last_at < $3 \
             AND NOT EXISTS (SELECT 1 FROM question q WHERE q.ws = t.ws AND q.thread = t.id AND q.standing = 'open') \
             AND NOT EXISTS (SELECT 1 FROM run r WHERE r.ws = t.ws \
             AND r.state IN ('initializing', 'running', 'aggregating', 'paused', 'waiting') AND (r.id = t.run \
             OR EXISTS (SELECT 1 FROM message x WHERE x.ws = r.ws AND x.run = r.id AND x.thread = t.id)))",
            p![ws, id, before],
        )
        .await?;
    Ok(found.is_some())
}

/// Lets somebody take part, from the message after `cursor` on; nothing if they do already.
pub async fn join(tx: &mut Tx<'_>, id: ThreadId, who: &str, run: Option<RunId>, cursor: i64) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "INSERT INTO participant (ws, thread, who, run, cursor, back, seen, joined_at) VALUES ($1, $2, $3, $4, $5, $5, $5, $6) \
         ON CONFLICT (ws, thread, who) DO NOTHING",
        p![ws, id, who, run, cursor, now],
    )
    .await?;
    Ok(())
}

row! {
    /// A participant, and how far it has come with what was said to all.
    pub struct Participant {
        /// Who.
        pub who: String,
        /// The last message to all that was given to them.
        pub cursor: i64,
        /// The last that they have read.
        pub seen: i64,
        /// Since when they take part.
        pub joined_at: Timestamp,
    }
}

/// Who takes part, by name.
pub async fn participants(tx: &mut Tx<'_>, id: ThreadId, limit: i64) -> Result<Vec<Participant>> {
    let ws = tx.ws();
    tx.many(
        "SELECT who, cursor, seen, joined_at FROM participant WHERE ws = $1 AND thread = $2 ORDER BY who LIMIT $3",
        p![ws, id, limit],
    )
    .await
}

/// Whether somebody takes part.
pub async fn takes_part(tx: &mut Tx<'_>, id: ThreadId, who: &str) -> Result<bool> {
    let ws = tx.ws();
    let found: Option<(i64,)> =
        tx.opt("SELECT cursor FROM participant WHERE ws = $1 AND thread = $2 AND who = $3", p![ws, id, who]).await?;
    Ok(found.is_some())
}

row! {
    /// A thread in which something was said to all that `who` was not given yet.
    pub struct Behind {
        /// The thread.
        pub thread: ThreadId,
        /// The last that was given.
        pub cursor: i64,
        /// Where it stood before `task` read on.
        pub back: i64,
        /// The task that read last.
        pub task: Option<TaskId>,
        /// The last message there is.
        pub last_n: i64,
    }
}

/// The threads of a run, or of none, in which `who` is behind.
pub async fn behind(tx: &mut Tx<'_>, who: &str, run: RunId, limit: i64) -> Result<Vec<Behind>> {
    let ws = tx.ws();
    tx.many(
        "SELECT m.thread, m.cursor, m.back, m.task, t.last_n FROM participant m JOIN thread t ON t.ws = m.ws AND t.id = m.thread \
         WHERE m.ws = $1 AND m.who = $2 AND (m.run = $3 OR m.run IS NULL) AND t.kind <> 'direct' AND t.status <> 'archived' \
         AND t.last_n > m.cursor ORDER BY m.thread LIMIT $4",
        p![ws, who, run, limit],
    )
    .await
}

/// Moves a cursor on to `cursor`, on behalf of `task`.
pub async fn move_cursor(
    tx: &mut Tx<'_>,
    id: ThreadId,
    who: &str,
    cursor: i64,
    (task, back): (Option<TaskId>, i64),
) -> Result<()> {
    let ws = tx.ws();
    tx.put(
        "UPDATE participant SET cursor = $4, back = $5, task = $6 WHERE ws = $1 AND thread = $2 AND who = $3",
        p![ws, id, who, cursor, back, task],
    )
    .await?;
    Ok(())
}

/// Takes the cursors that `task` moved back to where it began, for another attempt that has read nothing. Gives how many.
pub async fn rewind(tx: &mut Tx<'_>, task: TaskId) -> Result<u64> {
    let ws = tx.ws();
    tx.exec("UPDATE participant SET cursor = back WHERE ws = $1 AND task = $2 AND cursor > back", p![ws, task]).await
}

/// What a task was given counts as read.
pub async fn saw(tx: &mut Tx<'_>, task: TaskId) -> Result<()> {
    let ws = tx.ws();
    tx.put("UPDATE participant SET seen = cursor WHERE ws = $1 AND task = $2 AND seen < cursor", p![ws, task]).await?;
    Ok(())
}

/// A person has read a thread up to its end.
pub async fn read_all(tx: &mut Tx<'_>, id: ThreadId, who: &str, last_n: i64) -> Result<()> {
    let ws = tx.ws();
    tx.put(
        "UPDATE participant SET cursor = $4, back = $4, seen = $4 WHERE ws = $1 AND thread = $2 AND who = $3 AND cursor < $4",
        p![ws, id, who, last_n],
    )
    .await?;
    Ok(())
}
