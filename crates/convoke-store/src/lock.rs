//! Locks: one row for each resource that a task holds or waits for, and the counters that never go back.
//!
//! Rule: what stands in the way of a request is found by the paths above it and by the range of paths below it, never by
//! reading all locks. Who gets what is `convoke_domain::lock`'s to say. Start at [`overlapping`].

use convoke_domain::id::{RunId, TaskId};
use convoke_domain::lock::{Item, Mode, Order, Resource, Row, STORED_PARTS};
use convoke_domain::task::Priority;
use convoke_domain::time::Timestamp;

use crate::{Error, Result, Tx, p, row};

/// Rows that may overlap one resource; more are refused, for a decision needs all of them.
pub const MAX_OVERLAP: usize = 10_000;
/// Tokens of one fencing epoch: 2^40, enough for 10,000 a second over 3 years.
pub const TOKENS_PER_EPOCH: i64 = 1 << 40;

row! {
    /// A lock, held or waited for.
    pub struct Record {
        /// The type of the resource.
        pub kind: String,
        /// Its path.
        pub path: String,
        /// `shared` or `exclusive`.
        pub mode: String,
        /// It is waited for.
        pub waits: bool,
        /// The run.
        pub run: RunId,
        /// The task.
        pub task: TaskId,
        /// The task's agent when it asked.
        pub agent: String,
        /// The fencing token; 0 while it is waited for.
        pub token: i64,
        /// The asker held nothing when it asked.
        pub is_first: bool,
        /// How urgent the task was when it asked.
        pub priority: String,
        /// The order of asking.
        pub ticket: i64,
        /// Since when it is held, or waited for.
        pub since: Timestamp,
        /// When its lease ends, or its wait.
        pub until: Timestamp,
    }
}

impl Record {
    /// What is claimed, and how much of it.
    pub fn item(&self) -> Result<Item> {
        let mode = Mode::parse(&self.mode);
        let mode = mode.ok_or_else(|| Error::broken(format!("a lock is stored with the mode `{}`", self.mode)))?;
        Ok(Item { resource: Resource::stored(&self.kind, &self.path), mode })
    }

    /// Its place among those that wait.
    pub fn order(&self) -> Order {
        Order { is_first: self.is_first, priority: Priority::parse(&self.priority), ticket: self.ticket }
    }

    /// As the domain sees it.
    pub fn row(&self) -> Result<Row<TaskId>> {
        Ok(Row { item: self.item()?, holder: self.task, waits: self.waits.then(|| self.order()) })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT kind, path, mode, waits, run, task, agent, token, is_first, priority, ticket, since, until FROM lock ",
            $rest
        )
    };
}

/// `$5` to `$8`: paths of up to four parts; `$9` is the limit.
const SHALLOW: &str = concat!(
    select!("WHERE ws = $1 AND kind = $2 AND path IN ($5, $6, $7, $8) UNION ALL "),
    select!("WHERE ws = $1 AND kind = $2 AND path > $3 AND path < $4 LIMIT $9")
);
/// `$5` to `$38`: paths of any depth; `$39` is the limit.
const DEEP: &str = concat!(
    select!(
        "WHERE ws = $1 AND kind = $2 AND path IN ($5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, \
         $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38) UNION ALL "
    ),
    select!("WHERE ws = $1 AND kind = $2 AND path > $3 AND path < $4 LIMIT $39")
);
const SHALLOW_PARTS: usize = 4;
const DEEP_PARTS: usize = STORED_PARTS;

/// Every lock on the resource, above it and below it, held or waited for.
pub async fn overlapping(tx: &mut Tx<'_>, resource: &Resource) -> Result<Vec<Record>> {
    let lineage = resource.lineage();
    let (sql, parts) = if lineage.len() <= SHALLOW_PARTS { (SHALLOW, SHALLOW_PARTS) } else { (DEEP, DEEP_PARTS) };
    let (from, to) = resource.below();
    let mut params = vec![tx.ws().into(), resource.kind().into(), from.into(), to.into()];
    let own = resource.path();
    params.extend((0..parts).map(|at| crate::P::from(lineage.get(at).copied().unwrap_or(own))));
    params.push((MAX_OVERLAP + 1).into());
    let found = tx.many(sql, &params).await?;
    if found.len() > MAX_OVERLAP {
        return Err(Error::LimitReached(format!(
            "more than {MAX_OVERLAP} locks overlap `{resource}`; lock less of it"
        )));
    }
    Ok(found)
}

/// What a task holds and waits for.
pub async fn of_task(tx: &mut Tx<'_>, task: TaskId) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(select!("WHERE ws = $1 AND task = $2 ORDER BY kind, path, waits"), p![ws, task]).await
}

/// Writes a lock; a shared one that becomes exclusive is the same row.
pub async fn put(tx: &mut Tx<'_>, lock: &Record) -> Result<()> {
    let ws = tx.ws();
    tx.put(
        "INSERT INTO lock (ws, kind, path, mode, waits, run, task, agent, token, is_first, priority, ticket, since, until) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
         ON CONFLICT (ws, kind, path, task, waits) DO UPDATE SET mode = excluded.mode, token = excluded.token, \
         since = excluded.since, until = excluded.until",
        p![
            ws, &lock.kind, &lock.path, &lock.mode, lock.waits, lock.run, lock.task, &lock.agent, lock.token,
            lock.is_first, &lock.priority, lock.ticket, lock.since, lock.until
        ],
    )
    .await?;
    Ok(())
}

/// Removes one lock that is held; tells whether it was there.
pub async fn remove(tx: &mut Tx<'_>, task: TaskId, resource: &Resource) -> Result<bool> {
    let (ws, kind, path) = (tx.ws(), resource.kind(), resource.path());
    let sql = "DELETE FROM lock WHERE ws = $1 AND kind = $2 AND path = $3 AND task = $4 AND waits = 0";
    Ok(tx.exec(sql, p![ws, kind, path, task]).await? > 0)
}

/// Removes what a task holds and waits for; gives it.
pub async fn remove_all(tx: &mut Tx<'_>, task: TaskId) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "DELETE FROM lock WHERE ws = $1 AND task = $2 \
         RETURNING kind, path, mode, waits, run, task, agent, token, is_first, priority, ticket, since, until",
        p![ws, task],
    )
    .await
}

/// Removes what a task waits for; gives it.
pub async fn remove_waits(tx: &mut Tx<'_>, task: TaskId) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "DELETE FROM lock WHERE ws = $1 AND task = $2 AND waits = 1 \
         RETURNING kind, path, mode, waits, run, task, agent, token, is_first, priority, ticket, since, until",
        p![ws, task],
    )
    .await
}

/// Locks whose lease, or waits (`waits`) whose time, has run out, longest ago first.
pub async fn lapsed(tx: &mut Tx<'_>, waits: bool, limit: i64) -> Result<Vec<Record>> {
    let (ws, now) = (tx.ws(), tx.now());
    let sql = select!("WHERE ws = $1 AND waits = $2 AND until <= $3 ORDER BY until, kind, path LIMIT $4");
    tx.many(sql, p![ws, waits, now, limit]).await
}

/// Keeps what the running tasks of a worker hold.
pub async fn renew(tx: &mut Tx<'_>, worker: &str, until: Timestamp) -> Result<u64> {
    let ws = tx.ws();
    tx.exec(
        "UPDATE lock SET until = $3 WHERE ws = $1 AND waits = 0 AND task IN \
         (SELECT id FROM task WHERE ws = $1 AND lease_owner = $2 AND state = 'running')",
        p![ws, worker, until],
    )
    .await
}

/// Keeps what a task holds.
pub async fn keep(tx: &mut Tx<'_>, task: TaskId, until: Timestamp) -> Result<u64> {
    let ws = tx.ws();
    tx.exec("UPDATE lock SET until = $3 WHERE ws = $1 AND task = $2 AND waits = 0", p![ws, task, until]).await
}

/// Keeps everything that is held, at least until then: the time that nobody could renew is nobody's fault.
pub async fn keep_all(tx: &mut Tx<'_>, until: Timestamp) -> Result<u64> {
    let ws = tx.ws();
    tx.exec("UPDATE lock SET until = $2 WHERE ws = $1 AND waits = 0 AND until < $2", p![ws, until]).await
}

/// Gives what a task holds another token.
pub async fn set_token(tx: &mut Tx<'_>, task: TaskId, token: i64) -> Result<u64> {
    let ws = tx.ws();
    tx.exec("UPDATE lock SET token = $3 WHERE ws = $1 AND task = $2 AND waits = 0", p![ws, task, token]).await
}

/// Gives what a task holds to another agent: the task is in its hands now.
pub async fn hand_to(tx: &mut Tx<'_>, task: TaskId, agent: &str) -> Result<u64> {
    let ws = tx.ws();
    tx.exec("UPDATE lock SET agent = $3 WHERE ws = $1 AND task = $2 AND waits = 0", p![ws, task, agent]).await
}

/// The next fencing token: higher than any before, also after a restore, which raises the epoch. Counts the request that
/// it is for, if it is granted by it.
pub async fn next_token(tx: &mut Tx<'_>, granted: bool) -> Result<i64> {
    let ws = tx.ws();
    tx.one(
        "INSERT INTO lock_count (ws, token, ticket, granted, waits, died, busy, expired, forced, stale, avoided, waited_us, longest_us) \
         SELECT $1, CAST(value AS BIGINT) * $2 + 1, 0, $3, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM meta WHERE key = 'fencing_epoch' \
         ON CONFLICT (ws) DO UPDATE SET token = /*lite MAX*//*pg GREATEST*/(lock_count.token + 1, excluded.token), \
         granted = lock_count.granted + excluded.granted RETURNING token",
        p![ws, TOKENS_PER_EPOCH, granted],
    )
    .await
}

/// The next place in the order of asking.
pub async fn next_ticket(tx: &mut Tx<'_>) -> Result<i64> {
    count(tx, &Counts::default()).await?;
    let ws = tx.ws();
    tx.one("UPDATE lock_count SET ticket = ticket + 1, waits = waits + 1 WHERE ws = $1 RETURNING ticket", p![ws]).await
}

/// What is to be added to the counters.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Requests that would have waited for an older one while they held something.
    pub died: i64,
    /// Requests that found others in the way and were not to wait.
    pub busy: i64,
    /// Leases that ran out.
    pub expired: i64,
    /// Locks that a person took away.
    pub forced: i64,
    /// Writes refused because their token was old: near misses.
    pub stale: i64,
    /// Writes refused because another's lock was in the way: conflicts avoided.
    pub avoided: i64,
    /// How long one request waited.
    pub waited_us: i64,
}

/// Adds to the counters.
pub async fn count(tx: &mut Tx<'_>, more: &Counts) -> Result<()> {
    let ws = tx.ws();
    tx.put(
        "INSERT INTO lock_count (ws, token, ticket, granted, waits, died, busy, expired, forced, stale, avoided, waited_us, longest_us) \
         VALUES ($1, 0, 0, 0, 0, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT (ws) DO UPDATE SET \
         died = lock_count.died + excluded.died, busy = lock_count.busy + excluded.busy, \
         expired = lock_count.expired + excluded.expired, forced = lock_count.forced + excluded.forced, \
         stale = lock_count.stale + excluded.stale, avoided = lock_count.avoided + excluded.avoided, \
         waited_us = lock_count.waited_us + excluded.waited_us, \
         longest_us = /*lite MAX*//*pg GREATEST*/(lock_count.longest_us, excluded.longest_us)",
        p![ws, more.died, more.busy, more.expired, more.forced, more.stale, more.avoided, more.waited_us],
    )
    .await?;
    Ok(())
}

row! {
    /// What has happened to the locks of a workspace since it was made.
    pub struct Stats {
        /// The last fencing token.
        pub token: i64,
        /// Requests that were granted.
        pub granted: i64,
        /// Requests that waited.
        pub waits: i64,
        /// Requests that would have waited for an older one while they held something.
        pub died: i64,
        /// Requests that found others in the way and were not to wait.
        pub busy: i64,
        /// Leases that ran out.
        pub expired: i64,
        /// Locks that a person took away.
        pub forced: i64,
        /// Writes refused because their token was old: near misses.
        pub stale: i64,
        /// Writes refused because another's lock was in the way: conflicts avoided.
        pub avoided: i64,
        /// How long granted requests have waited, together.
        pub waited_us: i64,
        /// The longest such wait.
        pub longest_us: i64,
    }
}

/// The counters; `None` before the first lock.
pub async fn stats(tx: &mut Tx<'_>) -> Result<Option<Stats>> {
    let ws = tx.ws();
    tx.opt(
        "SELECT token, granted, waits, died, busy, expired, forced, stale, avoided, waited_us, longest_us FROM lock_count WHERE ws = $1",
        p![ws],
    )
    .await
}

/// How urgent a task is, and its lease, if there is such a task.
pub async fn holder(tx: &mut Tx<'_>, task: TaskId) -> Result<Option<(String, Option<Timestamp>)>> {
    let ws = tx.ws();
    tx.opt("SELECT priority, lease_until FROM task WHERE ws = $1 AND id = $2", p![ws, task]).await
}

/// Which locks are wanted, and after which one. What is empty or `None` is not asked for.
#[derive(Debug, Clone, Default)]
pub struct Query<'a> {
    /// Those of this run.
    pub run: Option<RunId>,
    /// Those of this task.
    pub task: Option<TaskId>,
    /// Those of this agent.
    pub agent: &'a str,
    /// The last one seen: type, path, task, and whether it waits.
    pub after: Option<(&'a str, &'a str, TaskId, bool)>,
}

/// Locks in the order of their names, from `query.after` on.
pub async fn list(tx: &mut Tx<'_>, query: &Query<'_>, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    let (kind, path, task, waits) = query.after.unwrap_or(("", "", TaskId(uuid::Uuid::nil()), false));
    let any = TaskId(uuid::Uuid::nil());
    let (run, of) = (query.run.unwrap_or(RunId(uuid::Uuid::nil())), query.task.unwrap_or(any));
    tx.many(
        select!(
            "WHERE ws = $1 AND (kind, path, task, waits) > ($2, $3, $4, $5) AND (agent = $6 OR $6 = '') \
             AND (run = $7 OR $7 = $9) AND (task = $8 OR $8 = $9) ORDER BY kind, path, task, waits LIMIT $10"
        ),
        p![ws, kind, path, task, waits, query.agent, run, of, any, limit],
    )
    .await
}
