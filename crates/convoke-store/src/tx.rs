//! The transaction that a use case sees: seven ways to run a statement, and one to record what happened.
//!
//! Rule: after a statement failed, the transaction is lost on both databases (PostgreSQL insists on it), so every later
//! call fails too and the use case cannot end well. `None` from [`Tx::opt`] is not a failure.

use convoke_domain::event::NewEvent;
use convoke_domain::id::WorkspaceId;
use convoke_domain::time::Timestamp;

use crate::error::{Error, Result};
use crate::param::P;
use crate::row::FromRow;
use crate::{pg, sqlite};

/// A transaction on either database.
pub struct Tx<'c> {
    db: Db<'c>,
    ws: WorkspaceId,
    now: Timestamp,
    events: Vec<NewEvent>,
    lost: Option<String>,
}

/// The connection underneath. `&mut` keeps the future of a use case `Send`.
pub(crate) enum Db<'c> {
    Lite(&'c mut sqlite::Conn),
    Pg(&'c mut pg::Conn),
}

/// What was asked and not yet looked at.
#[derive(Debug)]
#[must_use = "an answer that nobody needs is asked for with `put`"]
pub enum Asked<T> {
    /// The rows are here.
    Here(Vec<T>),
    /// They come under this number, for this statement.
    Coming(u64, &'static str),
}

impl<'c> Tx<'c> {
    pub(crate) fn new(db: Db<'c>, ws: WorkspaceId, now: Timestamp) -> Self {
        Self { db, ws, now, events: Vec::new(), lost: None }
    }

    /// The time of this transaction; the same in every re-run.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The workspace of the use case.
    pub fn ws(&self) -> WorkspaceId {
        self.ws
    }

    /// For the few acts whose cheapest statements differ: in SQLite a statement costs next to nothing, in PostgreSQL a
    /// round trip.
    pub(crate) fn is_sqlite(&self) -> bool {
        matches!(self.db, Db::Lite(_))
    }

    /// Runs a statement that gives no rows; answers how many it changed.
    pub async fn exec(&mut self, sql: &'static str, params: &[P<'_>]) -> Result<u64> {
        self.usable()?;
        let result = match &mut self.db {
            Db::Lite(conn) => conn.exec(sql, params),
            Db::Pg(conn) => conn.exec(sql, params).await,
        };
        self.note(sql, result)
    }

    /// Runs a statement that changes something, where nobody needs to know how much. PostgreSQL is not waited for: a failure is
    /// that of a later statement, or of the use case as a whole, and never anybody else's.
    pub async fn put(&mut self, sql: &'static str, params: &[P<'_>]) -> Result<()> {
        self.usable()?;
        let result = match &mut self.db {
            Db::Lite(conn) => conn.exec(sql, params).map(drop),
            Db::Pg(conn) => conn.put(sql, params).await,
        };
        self.note(sql, result)
    }

    /// Runs the same statement once for each set of parameters, like [`Tx::put`].
    pub async fn batch(&mut self, sql: &'static str, sets: &[Vec<P<'_>>]) -> Result<()> {
        for params in sets {
            self.put(sql, params).await?;
        }
        Ok(())
    }

    /// Runs a statement now whose rows are needed later: see [`Tx::answer`]. What lies between them need not wait for it.
    pub async fn ask<T: FromRow>(&mut self, sql: &'static str, params: &[P<'_>]) -> Result<Asked<T>> {
        self.usable()?;
        let result = match &mut self.db {
            Db::Lite(conn) => conn.many(sql, params).map(Asked::Here),
            Db::Pg(conn) => conn.request(sql, params).await.map(|ticket| Asked::Coming(ticket, sql)),
        };
        self.note(sql, result)
    }

    /// The rows of what was asked before, in this use case.
    pub async fn answer<T: FromRow>(&mut self, asked: Asked<T>) -> Result<Vec<T>> {
        self.usable()?;
        match (&mut self.db, asked) {
            (_, Asked::Here(rows)) => Ok(rows),
            (Db::Pg(conn), Asked::Coming(ticket, sql)) => {
                let result = conn.answer(ticket).await;
                self.note(sql, result)
            }
            (Db::Lite(_), Asked::Coming(_, sql)) => {
                self.note(sql, Err(Error::broken("it was asked of another database")))
            }
        }
    }

    /// The one row; [`Error::Missing`] without, [`Error::Broken`] with more.
    pub async fn one<T: FromRow>(&mut self, sql: &'static str, params: &[P<'_>]) -> Result<T> {
        self.opt(sql, params).await?.ok_or_else(|| Error::missing("row", format_args!("{params:?}")))
    }

    /// The row, if there is one; [`Error::Broken`] with more.
    pub async fn opt<T: FromRow>(&mut self, sql: &'static str, params: &[P<'_>]) -> Result<Option<T>> {
        let mut rows = self.many(sql, params).await?;
        match rows.len() {
            0 | 1 => Ok(rows.pop()),
            count => self.note(sql, Err(Error::broken(format!("one row was expected, {count} came")))),
        }
    }

    /// All rows. The statement names its own limit.
    pub async fn many<T: FromRow>(&mut self, sql: &'static str, params: &[P<'_>]) -> Result<Vec<T>> {
        self.usable()?;
        let result = match &mut self.db {
            Db::Lite(conn) => conn.many(sql, params),
            Db::Pg(conn) => conn.many(sql, params).await,
        };
        self.note(sql, result)
    }

    /// Records what happened; numbered and chained when the use case ends, in the order of these calls.
    pub fn emit(&mut self, event: NewEvent) {
        self.events.push(event);
    }

    /// Numbers and writes the events: the last act of every use case.
    pub(crate) async fn finish(&mut self) -> Result<()> {
        self.usable()?;
        let events = std::mem::take(&mut self.events);
        if events.is_empty() {
            return Ok(());
        }
        let result = match &mut self.db {
            Db::Lite(conn) => conn.record(self.ws, self.now, events),
            Db::Pg(conn) => conn.record(self.ws, self.now, events),
        };
        self.note("recording events", result)
    }

    fn usable(&self) -> Result<()> {
        match &self.lost {
            None => Ok(()),
            Some(why) => Err(Error::broken(format!("the use case went on after its transaction had failed: {why}"))),
        }
    }

    /// Remembers the first failure, and adds the statement to a defect's text.
    fn note<T>(&mut self, sql: &str, result: Result<T>) -> Result<T> {
        result.map_err(|error| {
            self.lost = Some(error.to_string());
            error.in_statement(sql)
        })
    }
}
