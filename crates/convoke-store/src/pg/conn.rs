//! One PostgreSQL connection and the transaction that is open on it.
//!
//! **Who may write a workspace.** A transaction that writes begins with a lock on the `ws_head` row of every workspace it
//! may touch, in the order of their ids, and holds it until its end. Within a process a workspace has one lane anyway;
//! the lock extends that to all processes on the database. Numbers so have no gap (the next one is given only under the
//! lock, and is undone with the transaction), the chain cannot fork, and a use case that looks before it writes ("has the
//! agent room?", "is the name free?") cannot be overtaken, just as on SQLite. The alternatives were weighed: taking the
//! lock last holds it for a shorter time but protects only the numbers, and needs a round trip of its own; giving numbers
//! from memory and letting the primary key refuse costs a re-run of whole batches whenever two nodes share a workspace.
//! Sorted locking cannot deadlock against itself. A workspace that is new has no row yet; its first event makes it.
//!
//! **Round trips.** BEGIN and the lock travel with the first statement; events, heads and COMMIT travel together. A statement
//! whose answer nobody needs ([`Conn::put`]), or not yet ([`Conn::request`]), is sent and not waited for; the next answer that is
//! waited for comes after theirs. So a use case costs a wait for each answer that decides what it does next, and a
//! transaction one more. All answers are there before COMMIT goes out: a failure is known as one that stored nothing.
//!
//! A transaction that changed nothing ends with ROLLBACK, for which nobody waits for the disk: the lock alone would make
//! COMMIT write to the log.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use convoke_domain::event::{Event, NewEvent};
use convoke_domain::id::WorkspaceId;
use convoke_domain::time::Timestamp;
use futures_util::future::{join, join3};
use futures_util::{StreamExt, pin_mut};
use tokio_postgres::error::Severity;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error as PgError, NoTls, Row as PgRow, Statement};
use uuid::Uuid;

use super::sent::{Failure, For, Sent};
use super::trouble::{Trouble, error, lost, trouble};
use super::value;
use crate::chain::{Hash, Head};
use crate::error::{Error, Result};
use crate::param::P;
use crate::row::{FromRow, Row, Source};
use crate::sql;

const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
pub(super) const LOCK: &str = "SELECT ws, seq, hash FROM ws_head WHERE ws = ANY($1) ORDER BY ws FOR UPDATE";
/// Whether the transaction is open on the server.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    None,
    /// BEGIN goes out with the first statement.
    Wanted,
    Open,
}

/// What a statement gave.
pub(super) struct Answer {
    pub(super) rows: Vec<PgRow>,
    changed: u64,
}

/// A prepared statement.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) statement: Statement,
    writes: bool,
    /// Reads events or heads, so those of this transaction must be there first.
    looks_at_events: bool,
}

/// Why a commit failed.
pub(super) enum NotCommitted {
    /// Nothing was stored.
    Nothing(Trouble, Error),
    /// COMMIT was on its way.
    Unknown(String),
}

/// A connection, its prepared statements, and its transaction.
pub(crate) struct Conn {
    pub(super) client: Arc<Client>,
    /// By the address of the text as written.
    known: HashMap<(usize, usize), Known>,
    pub(super) reads_only: bool,
    phase: Phase,
    workspaces: Vec<Uuid>,
    pub(super) heads: HashMap<Uuid, Head>,
    pub(super) moved: BTreeSet<Uuid>,
    pub(super) waiting: Vec<(WorkspaceId, Timestamp, NewEvent)>,
    pub(super) recorded: Vec<Event>,
    pub(super) wrote: bool,
    /// The transaction changed something, whichever use case did.
    pub(super) changed: bool,
    sent: Sent,
    /// The first failure of the transaction; with one, there is no commit.
    trouble: Option<Trouble>,
    /// A statement is on its way. Stays set if its future is dropped, and then the connection is of no more use.
    under_way: Arc<AtomicBool>,
}

impl Conn {
    pub(super) fn new(client: Client, reads_only: bool) -> Self {
        Self {
            client: Arc::new(client),
            known: HashMap::new(),
            reads_only,
            phase: Phase::None,
            workspaces: Vec::new(),
            heads: HashMap::new(),
            moved: BTreeSet::new(),
            waiting: Vec::new(),
            recorded: Vec::new(),
            wrote: false,
            changed: false,
            sent: Sent::default(),
            trouble: None,
            under_way: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Starts a transaction that may write these workspaces (none on a connection that only reads).
    pub(super) fn begin(&mut self, mut workspaces: Vec<Uuid>) {
        workspaces.sort_unstable();
        workspaces.dedup();
        self.workspaces = workspaces;
        self.phase = Phase::Wanted;
        self.heads.clear();
        self.moved.clear();
        self.waiting.clear();
        self.recorded.clear();
        self.sent.clear();
        (self.wrote, self.changed, self.trouble) = (false, false, None);
    }

    pub(super) fn usable(&self) -> bool {
        !self.client.is_closed() && !self.under_way.load(Ordering::Relaxed)
    }

    pub(super) fn under_way(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.under_way)
    }

    /// What failed in this transaction, if anything did.
    pub(super) fn trouble(&mut self) -> Option<Trouble> {
        self.trouble.take()
    }

    /// Where a use case begins: a place to come back to, as long as nothing was written or looked up after it.
    pub(super) fn mark(&mut self) -> usize {
        self.wrote = false;
        self.sent.forget_tickets();
        self.waiting.len()
    }

    pub(super) fn forget_after(&mut self, mark: usize) {
        self.waiting.truncate(mark);
    }

    /// The events of a transaction that was committed.
    pub(super) fn recorded(&mut self) -> &mut Vec<Event> {
        &mut self.recorded
    }

    pub(crate) async fn exec(&mut self, sql: &'static str, params: &[P<'_>]) -> Result<u64> {
        self.round(sql, params).await.map(|answer| answer.changed)
    }

    pub(crate) async fn many<T: FromRow>(&mut self, sql: &'static str, params: &[P<'_>]) -> Result<Vec<T>> {
        let answer = self.round(sql, params).await?;
        answer.rows.iter().map(|row| T::from_row(&Row { source: Source::Pg(row) })).collect()
    }

    /// Sends a statement that changes something, and does not wait for it. If it fails, the next one that is waited for does.
    pub(crate) async fn put(&mut self, sql: &'static str, params: &[P<'_>]) -> Result<()> {
        if self.reads_only {
            // Nothing ends its transaction but ROLLBACK, which tells of no failure.
            return self.exec(sql, params).await.map(drop);
        }
        self.enter()?;
        let sent = self.post(sql, params, For::Nobody).await;
        self.leave(sent)
    }

    /// Sends a statement whose rows [`Conn::answer`] gives later, under this number.
    pub(crate) async fn request(&mut self, sql: &'static str, params: &[P<'_>]) -> Result<u64> {
        let ticket = self.sent.ticket();
        self.enter()?;
        let sent = self.post(sql, params, For::Ticket(ticket)).await;
        self.leave(sent).map(|()| ticket)
    }

    /// The rows of what was requested.
    pub(crate) async fn answer<T: FromRow>(&mut self, ticket: u64) -> Result<Vec<T>> {
        self.settle_all().await?;
        let answer =
            self.sent.take(ticket).ok_or_else(|| Error::broken("an answer was asked for twice, or too late"))?;
        answer.rows.iter().map(|row| T::from_row(&Row { source: Source::Pg(row) })).collect()
    }

    /// Sends one statement and waits for its answer.
    async fn round(&mut self, sql: &'static str, params: &[P<'_>]) -> Result<Answer> {
        self.enter()?;
        let answer = self.send(sql, params).await;
        self.leave(answer)
    }

    /// Notes that a statement is on its way.
    fn enter(&mut self) -> Result<()> {
        if self.under_way.swap(true, Ordering::Relaxed) {
            self.trouble = Some(Trouble::Spoiled);
            return Err(Error::broken("the statement before it was given up; await each to its end"));
        }
        Ok(())
    }

    /// Notes that it was not given up.
    fn leave<T>(&mut self, done: Result<T>) -> Result<T> {
        self.under_way.store(false, Ordering::Relaxed);
        done
    }

    /// Makes a statement ready to go out.
    async fn ready(&mut self, sql: &'static str, params: &[P<'_>]) -> Result<Known> {
        let known = self.prepared(sql).await?;
        value::check(params, known.statement.params())?;
        if known.looks_at_events && !self.waiting.is_empty() {
            self.write_events().await?;
        }
        self.wrote |= known.writes;
        self.changed |= known.writes;
        self.open().await?;
        Ok(known)
    }

    async fn post(&mut self, sql: &'static str, params: &[P<'_>], meant: For) -> Result<()> {
        let known = self.ready(sql, params).await?;
        if self.sent.is_full() {
            self.settle().await?;
        }
        let (client, params) = (Arc::clone(&self.client), params.iter().map(P::owned).collect::<Vec<_>>());
        let coming = async move { ask(&client, &known.statement, dynamic(&params)).await };
        self.sent.send(sql, meant, Box::pin(coming));
        Ok(())
    }

    async fn send(&mut self, sql: &'static str, params: &[P<'_>]) -> Result<Answer> {
        let known = self.ready(sql, params).await?;
        let client = Arc::clone(&self.client);
        let asked = ask(&client, &known.statement, dynamic(params));
        if self.sent.is_empty() {
            let answer = asked.await;
            return self.told(answer);
        }
        let (earlier, answer) = join(self.sent.settle(), asked).await;
        self.settled(earlier)?;
        self.told(answer)
    }

    /// Waits for what was only sent.
    pub(super) async fn settle(&mut self) -> Result<()> {
        if self.sent.is_empty() {
            return Ok(());
        }
        let answers = self.sent.settle().await;
        self.settled(answers)
    }

    /// The same, before COMMIT: as long as that is not sent, it is known that nothing was stored.
    pub(super) async fn settle_all(&mut self) -> Result<()> {
        self.enter()?;
        let settled = self.settle().await;
        self.leave(settled)
    }

    /// What a use case that has failed had sent before: if that failed, it is the cause.
    pub(super) async fn failed_before(&mut self) -> Option<Error> {
        if !self.usable() || self.sent.is_empty() {
            return None;
        }
        self.settle_all().await.err()
    }

    fn settled(&mut self, answers: Result<Vec<PgRow>, Failure>) -> Result<()> {
        match answers {
            Ok(heads) => self.hold(&heads),
            Err(failure) if failure.began => Err(self.not_begun(failure.cause)),
            Err(Failure { sql, cause, .. }) => self.told(Err(cause)).map_err(|error| error.in_statement(sql)),
        }
    }

    /// Opens the transaction, where that was not done: BEGIN and the lock go out, ahead of whatever follows.
    pub(super) async fn open(&mut self) -> Result<()> {
        if self.phase != Phase::Wanted {
            return Ok(());
        }
        let lock = self.lock_statement().await?;
        let (client, workspaces) = (Arc::clone(&self.client), ids(&self.workspaces));
        self.phase = Phase::Open;
        self.sent.send(LOCK, For::Begin, Box::pin(async move { begin(&client, lock.as_ref(), &workspaces).await }));
        Ok(())
    }

    async fn lock_statement(&mut self) -> Result<Option<Statement>> {
        if self.reads_only { Ok(None) } else { self.prepared(LOCK).await.map(|known| Some(known.statement)) }
    }

    fn not_begun(&mut self, cause: PgError) -> Error {
        // Not the fault of a use case, so that running each alone would only wait once for each.
        let why = match trouble(&cause) {
            Trouble::Spoiled => Trouble::Refused(format!("another process holds the workspace ({cause}); try again")),
            other => other,
        };
        self.trouble = Some(why);
        error(cause)
    }

    pub(super) fn hold(&mut self, rows: &[PgRow]) -> Result<()> {
        for row in rows {
            let row = Row { source: Source::Pg(row) };
            let (ws, seq, hash): (Uuid, i64, Hash) = FromRow::from_row(&row)?;
            self.heads.insert(ws, Head { seq, hash });
        }
        Ok(())
    }

    /// Notes what a failure means for the transaction.
    pub(super) fn told<T>(&mut self, answer: Result<T, PgError>) -> Result<T> {
        answer.map_err(|cause| {
            let found = trouble(&cause);
            self.trouble.get_or_insert(found);
            error(cause)
        })
    }

    pub(super) async fn prepared(&mut self, sql: &'static str) -> Result<Known> {
        let key = (sql.as_ptr().addr(), sql.len());
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        // In a transaction that failed nothing can be prepared.
        self.settle().await?;
        let text = if self.reads_only { sql::for_postgres_reader(sql) } else { sql::for_postgres(sql) };
        let prepared = self.client.prepare(&text).await;
        let statement = self.told(prepared)?;
        let writes = !text.trim_start().starts_with("SELECT");
        let looks_at_events = text.contains("event") || text.contains("ws_head");
        let known = Known { statement, writes, looks_at_events };
        self.known.insert(key, known.clone());
        Ok(known)
    }

    /// Ends the transaction so that it is durable.
    pub(super) async fn commit(&mut self) -> Result<(), NotCommitted> {
        if self.phase == Phase::Wanted && self.waiting.is_empty() {
            self.phase = Phase::None;
            return Ok(());
        }
        self.under_way.store(true, Ordering::Relaxed);
        let ended = self.send_commit().await;
        self.under_way.store(false, Ordering::Relaxed);
        if ended.is_ok() {
            self.phase = Phase::None;
        }
        ended
    }

    async fn send_commit(&mut self) -> Result<(), NotCommitted> {
        let client = Arc::clone(&self.client);
        if self.waiting.is_empty() {
            if self.changed {
                return ended(client.batch_execute("COMMIT").await);
            }
            let undone = client.batch_execute("ROLLBACK").await;
            return undone.map_err(|cause| NotCommitted::Nothing(trouble(&cause), error(cause)));
        }
        let prepared = self.prepare_commit().await;
        let (record, heads, columns) = prepared.map_err(|error| self.nothing(error))?;
        let moved = self.moved_heads();
        let recorded = ask(&client, &record, columns.params());
        let moved = ask(&client, &heads, dynamic_arrays(&moved));
        // If one of the first two fails, the server turns COMMIT into a rollback.
        let (recorded, moved, committed) = join3(recorded, moved, client.batch_execute("COMMIT")).await;
        for written in [recorded, moved] {
            if let Err(cause) = written {
                return Err(match trouble(&cause) {
                    Trouble::Lost(why) => NotCommitted::Unknown(why),
                    other => NotCommitted::Nothing(other, error(cause)),
                });
            }
        }
        ended(committed)
    }

    fn nothing(&mut self, error: Error) -> NotCommitted {
        NotCommitted::Nothing(self.trouble.take().unwrap_or(Trouble::Spoiled), error)
    }

    /// Takes back what is not committed. An error means that the connection is of no more use.
    pub(super) async fn rollback(&mut self) -> Result<()> {
        self.waiting.clear();
        self.recorded.clear();
        self.sent.clear();
        if !self.usable() {
            return Err(lost("it broke in a transaction"));
        }
        if std::mem::replace(&mut self.phase, Phase::None) == Phase::Open {
            // It comes after whatever was only sent.
            self.under_way.store(true, Ordering::Relaxed);
            self.client.batch_execute("ROLLBACK").await.map_err(error)?;
            self.under_way.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Ends what the server still does for this connection, which would keep its locks until it is done.
    pub(super) async fn give_up(self) {
        if self.under_way.load(Ordering::Relaxed) && !self.client.is_closed() {
            let asked = self.client.cancel_token().cancel_query(NoTls).await;
            if let Err(error) = asked {
                tracing::warn!(%error, "a statement that was given up goes on until the server's own limit");
            }
        }
    }

    /// Prepares everything anew: the schema has changed.
    pub(super) fn forget_statements(&mut self) {
        self.known.clear();
    }
}

/// What the answer to COMMIT says.
fn ended(answer: Result<(), PgError>) -> Result<(), NotCommitted> {
    let Err(cause) = answer else { return Ok(()) };
    // An ERROR is the server's own word that the transaction was rolled back; anything else leaves it open.
    let refused = cause.as_db_error().is_some_and(|told| told.parsed_severity() == Some(Severity::Error));
    Err(match (refused, trouble(&cause)) {
        (false, _) | (_, Trouble::Lost(_)) => NotCommitted::Unknown(cause.to_string()),
        (true, other) => NotCommitted::Nothing(other, error(cause)),
    })
}

/// BEGIN and the lock on the heads, in one go. A connection that only reads has no lock statement.
async fn begin(client: &Client, lock: Option<&Statement>, workspaces: &Vec<P<'static>>) -> Result<Answer, PgError> {
    let Some(lock) = lock else {
        return client.batch_execute(BEGIN_READ).await.map(|()| Answer { rows: Vec::new(), changed: 0 });
    };
    let (begun, held) = join(client.batch_execute(BEGIN_WRITE), ask(client, lock, vec![workspaces])).await;
    begun.and(held)
}

pub(super) type Param<'a> = &'a (dyn ToSql + Sync);

/// Sends a statement and collects its answer.
pub(super) async fn ask(client: &Client, statement: &Statement, params: Vec<Param<'_>>) -> Result<Answer, PgError> {
    let stream = client.query_raw(statement, params).await?;
    pin_mut!(stream);
    let mut rows = Vec::new();
    while let Some(row) = stream.next().await {
        rows.push(row?);
    }
    Ok(Answer { rows, changed: stream.rows_affected().unwrap_or_default() })
}

pub(super) fn dynamic<'a>(params: &'a [P<'_>]) -> Vec<Param<'a>> {
    params.iter().map(|param| param as Param<'a>).collect()
}

pub(super) fn dynamic_arrays<'a>(columns: &'a [Vec<P<'static>>]) -> Vec<Param<'a>> {
    columns.iter().map(|column| column as Param<'a>).collect()
}

pub(super) fn ids(ids: &[Uuid]) -> Vec<P<'static>> {
    ids.iter().map(|id| P::Uuid(*id)).collect()
}
