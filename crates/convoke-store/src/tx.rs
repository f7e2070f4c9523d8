//! The transaction that a use case sees: five ways to run a statement, and one to record what happened.
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

    /// Runs the same statement once for each set of parameters; answers how many rows were changed in all.
    pub async fn batch(&mut self, sql: &'static str, sets: &[Vec<P<'_>>]) -> Result<u64> {
        self.usable()?;
        let result = match &mut self.db {
            Db::Lite(conn) => sets.iter().try_fold(0, |sum, params| Ok(sum + conn.exec(sql, params)?)),
            Db::Pg(conn) => conn.batch(sql, sets).await,
        };
        self.note(sql, result)
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
            match error {
                Error::Broken { what, source } => Error::Broken { what: format!("{what} (in `{sql}`)"), source },
                other => other,
            }
        })
    }
}
