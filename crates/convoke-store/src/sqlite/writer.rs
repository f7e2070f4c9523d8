//! The one thread that writes: take what is queued, one transaction, one fsync, answer all (natural group commit).
//!
//! A use case that fails before it wrote costs nothing. One that fails later spoils the batch, which is rolled back and
//! run again: with a savepoint around each, and if SQLite gave up the whole transaction even then (disk full, I/O error),
//! each in a transaction of its own. Savepoints always would cost a tenth of the throughput (measured); this costs only
//! when something fails.
//!
//! When COMMIT itself fails, it is not tried again: the kernel may have dropped the pages, and a second fsync would lie.
//! Every caller is told that the outcome is not known, and the store refuses everything until a restart reads the log.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use convoke_domain::time::Timestamp;
use rusqlite::ErrorCode;
use rusqlite::hooks::Wal;
use tokio::sync::mpsc::Receiver;

use super::checkpoint::Mover;
use super::conn::{Conn, error};
use super::engine::Shared;
use crate::error::{Error, Result};
use crate::feed::Speaker;
use crate::tx::{Db, Tx};
use crate::use_case::{Job, run_at_once};

/// What the writer is asked for.
pub(crate) enum Work {
    /// A use case, to be committed with its neighbours.
    Job(Box<dyn Job>),
    /// Something that needs the connection outside a transaction, such as a migration.
    Alone(Box<dyn FnOnce(&mut Conn) + Send>),
}

type Jobs = [Box<dyn Job>];

/// How a batch is tried.
#[derive(Clone, Copy, PartialEq)]
enum Care {
    None,
    Savepoints,
}

/// Why a batch did not commit.
enum Failed {
    /// Nothing was stored, and the batch may be tried with more care.
    Spoiled,
    /// Nothing was stored, for a reason that trying again does not change.
    Refused(String),
    /// COMMIT failed: it is not known what was stored.
    Unknown(String),
}

pub(super) struct Writer {
    conn: Conn,
    shared: Arc<Shared>,
    feed: Speaker,
    mover: Mover,
}

impl Writer {
    pub(super) fn new(mut conn: Conn, path: &Path, shared: Arc<Shared>, feed: Speaker) -> Result<Self> {
        let wal_pages = Arc::new(AtomicI32::new(0));
        let seen = Arc::clone(&wal_pages);
        let hook = move |_: &mut Wal, pages| {
            seen.store(pages, Ordering::Relaxed);
            Ok(())
        };
        conn.db.wal_hook(Some(hook)).map_err(error)?;
        let mover = Mover::start(path, wal_pages, Arc::clone(&shared))?;
        Ok(Self { conn, shared, feed, mover })
    }

    /// Runs until the queue is closed and empty.
    pub(super) fn serve(mut self, mut queue: Receiver<Work>, max_batch: usize) {
        let mut batch = Vec::new();
        while let Some(first) = queue.blocking_recv() {
            let mut next = Some(first);
            let mut alone = None;
            while let Some(work) = next.take() {
                match work {
                    Work::Job(job) => batch.push(job),
                    Work::Alone(act) => alone = Some(act),
                }
                if alone.is_none() && batch.len() < max_batch {
                    next = queue.try_recv().ok();
                }
            }
            self.settle(std::mem::take(&mut batch));
            if let Some(act) = alone {
                act(&mut self.conn);
            }
            self.mover.look(&self.conn, queue.is_empty());
        }
        self.mover.stop();
        // What remains in the WAL is safe there; this only saves the next start some work.
        let _ = self.conn.pragmas("PRAGMA wal_checkpoint(TRUNCATE)");
    }

    /// Runs a batch to its end and answers every caller.
    fn settle(&mut self, mut batch: Vec<Box<dyn Job>>) {
        batch.retain(|job| !job.caller_gone());
        if batch.is_empty() {
            return;
        }
        match self.shared.usable() {
            Ok(()) => self.commit_or_retry(&mut batch),
            Err(error) => fail_all(&mut batch, |text| Error::Unavailable(text.to_owned()), &error.to_string()),
        }
        for job in batch {
            job.answer();
        }
    }

    fn commit_or_retry(&mut self, batch: &mut Jobs) {
        let now = (self.shared.clock)();
        if !self.finish(batch, now, Care::None) && !self.finish(batch, now, Care::Savepoints) {
            for job in batch.chunks_mut(1) {
                self.finish(job, now, Care::None);
            }
        }
    }

    /// Tries a batch once; `false` if it should be tried with more care.
    fn finish(&mut self, batch: &mut Jobs, now: Timestamp, care: Care) -> bool {
        let Err(failed) = self.attempt(batch, now, care) else {
            self.committed();
            return true;
        };
        self.undo();
        match failed {
            // Alone, the one that failed has its error already and there are no neighbours to save.
            Failed::Spoiled => batch.len() == 1,
            Failed::Refused(why) => {
                fail_all(batch, |text| Error::Unavailable(text.to_owned()), &why);
                true
            }
            Failed::Unknown(why) => {
                self.shared.poison(&why);
                fail_all(batch, |text| Error::Unknown(format!("{text}; restart first")), &why);
                true
            }
        }
    }

    fn attempt(&mut self, batch: &mut Jobs, now: Timestamp, care: Care) -> Result<(), Failed> {
        self.shared.usable().map_err(|error| Failed::Refused(error.to_string()))?;
        self.conn.pragmas("BEGIN IMMEDIATE").map_err(|error| Failed::Refused(error.to_string()))?;
        for job in batch.iter_mut() {
            match care {
                Care::None => self.bare(job.as_mut(), now)?,
                Care::Savepoints => self.guarded(job.as_mut(), now)?,
            }
        }
        self.conn.keep_heads().map_err(|error| Failed::Refused(error.to_string()))?;
        self.commit(batch)
    }

    /// Runs one job without a savepoint; spoils the batch if it fails after it wrote.
    fn bare(&mut self, job: &mut dyn Job, now: Timestamp) -> Result<(), Failed> {
        self.conn.wrote = false;
        let mark = self.mark();
        let Err(error) = self.run(job, now) else { return Ok(()) };
        job.fail(error);
        self.undo_to(mark);
        if self.conn.wrote || self.conn.db.is_autocommit() { Err(Failed::Spoiled) } else { Ok(()) }
    }

    /// Runs one job inside a savepoint; spoils the batch only if SQLite gave up the whole transaction.
    fn guarded(&mut self, job: &mut dyn Job, now: Timestamp) -> Result<(), Failed> {
        let spoiled = |_| Failed::Spoiled;
        let mark = self.mark();
        self.conn.exec("SAVEPOINT one", &[]).map_err(spoiled)?;
        if let Err(error) = self.run(job, now) {
            job.fail(error);
            self.undo_to(mark);
            if self.conn.db.is_autocommit() {
                return Err(Failed::Spoiled);
            }
            self.conn.exec("ROLLBACK TO one", &[]).map_err(spoiled)?;
        }
        self.conn.exec("RELEASE one", &[]).map(drop).map_err(spoiled)
    }

    fn run(&mut self, job: &mut dyn Job, now: Timestamp) -> Result<()> {
        let ws = job.ws();
        run_at_once(job, &mut Tx::new(Db::Lite(&mut self.conn), ws, now))
    }

    fn commit(&mut self, batch: &mut Jobs) -> Result<(), Failed> {
        let Err(cause) = self.conn.db.execute_batch("COMMIT") else { return Ok(()) };
        match cause.sqlite_error_code() {
            // Known not to be stored: the log has no commit record. A use case deferred a key check to here.
            Some(ErrorCode::ConstraintViolation) => {
                if let [job] = batch {
                    job.fail(error(cause));
                }
                Err(Failed::Spoiled)
            }
            Some(ErrorCode::DiskFull) => Err(Failed::Refused(error(cause).to_string())),
            _ => Err(Failed::Unknown(cause.to_string())),
        }
    }

    fn committed(&mut self) {
        if let Some(heads) = &mut self.conn.heads {
            heads.committed();
        }
        self.feed.tell(&mut self.conn.recorded);
    }

    /// Takes back everything of the transaction, in the file and in memory.
    fn undo(&mut self) {
        self.undo_to((0, 0));
        if !self.conn.db.is_autocommit()
            && let Err(error) = self.conn.pragmas("ROLLBACK")
        {
            self.shared.poison(&format!("a transaction could not be rolled back: {error}"));
        }
    }

    fn mark(&self) -> (usize, usize) {
        (self.conn.heads.as_ref().map_or(0, |heads| heads.mark()), self.conn.recorded.len())
    }

    fn undo_to(&mut self, (heads, recorded): (usize, usize)) {
        if let Some(known) = &mut self.conn.heads {
            known.undo_to(heads);
        }
        self.conn.recorded.truncate(recorded);
    }
}

fn fail_all(batch: &mut Jobs, meaning: fn(&str) -> Error, text: &str) {
    for job in batch {
        job.fail(meaning(text));
    }
}
