//! A lane: one connection that writes the workspaces which belong to it, many use cases in one transaction.
//!
//! A use case that fails before it wrote costs nothing. One that fails later, or any statement that PostgreSQL refuses,
//! spoils the transaction: it is rolled back and each use case runs again in one of its own. A transaction that lost
//! against another (deadlock, serialization) or whose connection broke before its COMMIT was sent is tried again, a few
//! times. When the answer to COMMIT does not come, every caller is told that the outcome is not known. Unlike a file after
//! a failed fsync the server recovers by itself, so the lane only connects anew and goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use convoke_domain::time::Timestamp;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;

use super::RETRIES;
use super::conn::{Conn, NotCommitted};
use super::connect::Target;
use super::guard::run_guarded;
use super::trouble::{Trouble, error, lost};
use crate::error::{Error, Result};
use crate::feed::Speaker;
use crate::tx::{Db, Tx};
use crate::use_case::Job;

/// The first wait before something is tried again; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(10);
/// The longest such wait.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Every statement of a lane finds its rows by key, so that its plan does not depend on values; planning one costs several times
/// what it takes to run.
const PLAN_ONCE: &str = "SET plan_cache_mode = force_generic_plan";

/// What all lanes and readers of a store know.
pub(super) struct Shared {
    pub(super) clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    pub(super) target: Target,
    /// Counts changes of the schema by this process.
    pub(super) schema: AtomicU64,
    /// Counts transactions that changed something.
    pub(super) written: AtomicU64,
}

/// A connection that is made when it is needed and made again when it was lost.
pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    reads_only: bool,
    conn: Option<Conn>,
    schema: u64,
    /// The last attempt to connect failed, so the next is a single one: nobody waits long twice for a server that is down.
    down: bool,
}

impl Link {
    pub(super) fn new(shared: Arc<Shared>, reads_only: bool) -> Self {
        Self { shared, reads_only, conn: None, schema: 0, down: false }
    }

    /// The connection; waits for a server that comes back.
    pub(super) async fn conn(&mut self) -> Result<&mut Conn> {
        if !self.conn.as_ref().is_some_and(Conn::usable) {
            self.conn = None;
            self.conn = Some(self.connect().await?);
        }
        let schema = self.shared.schema.load(Ordering::Acquire);
        let conn = self.conn.as_mut().ok_or_else(|| Error::broken("a connection that was made is not there"))?;
        if std::mem::replace(&mut self.schema, schema) != schema {
            conn.forget_statements();
        }
        Ok(conn)
    }

    async fn connect(&mut self) -> Result<Conn> {
        let target = &self.shared.target;
        let until = Instant::now() + if self.down { Duration::ZERO } else { target.options.reconnect_for };
        let mut wait = FIRST_WAIT;
        loop {
            match timeout(target.options.connect_timeout, session(target, self.reads_only)).await {
                Ok(Ok(client)) => {
                    self.down = false;
                    return Ok(Conn::new(client, self.reads_only));
                }
                Ok(Err(error)) if Instant::now() + wait >= until => {
                    self.down = true;
                    return Err(error);
                }
                Err(_) if Instant::now() + wait >= until => {
                    self.down = true;
                    return Err(Error::Unavailable("PostgreSQL does not answer; nothing was stored".to_owned()));
                }
                _ => {}
            }
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Rolls back what is open, or gives up the connection.
    pub(super) async fn undo(&mut self) {
        let options = &self.shared.target.options;
        let Some(mut conn) = self.conn.take() else { return };
        if matches!(timeout(options.statement_timeout, conn.rollback()).await, Ok(Ok(()))) {
            self.conn = Some(conn);
        } else if timeout(options.connect_timeout, conn.give_up()).await.is_err() {
            tracing::warn!("PostgreSQL did not answer when a statement was given up");
        }
    }

    /// Prepares every statement anew in the next transaction.
    pub(super) fn forget_statements(&mut self) {
        if let Some(conn) = &mut self.conn {
            conn.forget_statements();
        }
    }
}

async fn session(target: &Target, reads_only: bool) -> Result<Client> {
    let client = target.connect().await?;
    if !reads_only {
        client.batch_execute(PLAN_ONCE).await.map_err(error)?;
    }
    Ok(client)
}

type Jobs = [Box<dyn Job>];

/// Why a batch did not commit.
enum Failed {
    /// Nothing was stored.
    Nothing(Trouble),
    /// It is not known what was stored.
    Unknown(String),
}

pub(super) struct Lane {
    link: Link,
    feed: Speaker,
    max_batch: usize,
}

impl Lane {
    pub(super) fn new(shared: Arc<Shared>, feed: Speaker, max_batch: usize) -> Self {
        Self { link: Link::new(shared, false), feed, max_batch: max_batch.max(1) }
    }

    /// Runs until the queue is closed and empty.
    pub(super) async fn serve(mut self, mut queue: Receiver<Box<dyn Job>>) {
        let mut batch = Vec::with_capacity(self.max_batch);
        while queue.recv_many(&mut batch, self.max_batch).await > 0 {
            self.settle(std::mem::take(&mut batch)).await;
        }
    }

    /// Runs a batch to its end and answers every caller.
    async fn settle(&mut self, mut batch: Vec<Box<dyn Job>>) {
        batch.retain(|job| !job.caller_gone());
        let now = (self.link.shared.clock)();
        if !batch.is_empty() && !self.finish(&mut batch, now).await {
            for job in batch.chunks_mut(1) {
                self.finish(job, now).await;
            }
        }
        for job in batch {
            job.answer();
        }
    }

    /// Tries a batch until its outcome is clear; `false` if each of it should be tried alone.
    async fn finish(&mut self, batch: &mut Jobs, now: Timestamp) -> bool {
        let mut wait = FIRST_WAIT;
        for attempt in 0..=RETRIES {
            let Err(failed) = self.attempt(batch, now).await else { return true };
            self.link.undo().await;
            match failed {
                // Alone, the one that failed has its error already and there are no neighbours to save.
                Failed::Nothing(Trouble::Spoiled) => return batch.len() == 1,
                Failed::Nothing(Trouble::Refused(why)) => return fail_all(batch, || Error::Unavailable(why.clone())),
                Failed::Unknown(why) => return fail_all(batch, || Error::Unknown(why.clone())),
                Failed::Nothing(Trouble::Lost(why)) if attempt == RETRIES => return fail_all(batch, || lost(&why)),
                Failed::Nothing(Trouble::Again(why)) if attempt == RETRIES => {
                    let told = format!("other transactions were in the way {RETRIES} times ({why}); try again");
                    return fail_all(batch, || Error::Unavailable(told.clone()));
                }
                Failed::Nothing(Trouble::Again(_)) => self.link.forget_statements(),
                Failed::Nothing(Trouble::Lost(_)) => {}
            }
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        true
    }

    async fn attempt(&mut self, batch: &mut Jobs, now: Timestamp) -> Result<(), Failed> {
        let shared = Arc::clone(&self.link.shared);
        let limit = shared.target.options.use_case_timeout;
        let conn = self.link.conn().await.map_err(|error| Failed::Nothing(Trouble::Refused(error.to_string())))?;
        conn.begin(batch.iter().map(|job| job.ws().0).collect());
        for job in batch.iter_mut() {
            run(conn, job.as_mut(), now, limit).await?;
        }
        let Ok(settled) = timeout(limit, conn.settle_all()).await else {
            let why = format!("statements took longer than {limit:?}; nothing of it was stored");
            return Err(Failed::Nothing(Trouble::Refused(why)));
        };
        if let Err(error) = settled {
            if let [job] = batch {
                job.fail(error);
            }
            return Err(Failed::Nothing(conn.trouble().unwrap_or(Trouble::Spoiled)));
        }
        match timeout(limit, conn.commit()).await {
            Ok(Ok(())) => {
                shared.written.fetch_add(conn.changed.into(), Ordering::Relaxed);
                self.feed.tell(conn.recorded());
                Ok(())
            }
            Ok(Err(NotCommitted::Nothing(trouble, error))) => {
                if let [job] = batch {
                    job.fail(error);
                }
                Err(Failed::Nothing(trouble))
            }
            Ok(Err(NotCommitted::Unknown(why))) => Err(Failed::Unknown(why)),
            Err(_) => Err(Failed::Unknown(format!("COMMIT was not answered within {limit:?}"))),
        }
    }
}

/// Runs one use case; spoils the transaction if it fails after it wrote.
async fn run(conn: &mut Conn, job: &mut dyn Job, now: Timestamp, limit: Duration) -> Result<(), Failed> {
    let (mark, under_way, ws) = (conn.mark(), conn.under_way(), job.ws());
    let result = run_guarded(job, &mut Tx::new(Db::Pg(conn), ws, now), under_way, limit).await;
    let Err(error) = result else { return Ok(()) };
    // A statement that it did not wait for may have failed first; a wait that is too long leaves the connection unusable.
    let earlier = timeout(limit, conn.failed_before()).await.unwrap_or(None);
    job.fail(earlier.unwrap_or(error));
    if let Some(trouble) = conn.trouble() {
        return Err(Failed::Nothing(trouble));
    }
    conn.forget_after(mark);
    if conn.wrote || !conn.usable() { Err(Failed::Nothing(Trouble::Spoiled)) } else { Ok(()) }
}

/// Gives every use case the same error; `true` because that settles them.
fn fail_all(batch: &mut Jobs, error: impl Fn() -> Error) -> bool {
    for job in batch {
        job.fail(error());
    }
    true
}
