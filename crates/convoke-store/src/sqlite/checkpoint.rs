//! Moving the write-ahead log into the database, beside the writer.
//!
//! To move four megabytes takes several milliseconds, most of them in fsync; on the writer's thread everybody who wrote in that
//! time would wait for it. So a thread of its own moves what there is, while commits go on behind it, and the writer then moves
//! the little that came meanwhile ([`Mover::finish`]), after which the log begins anew. Start at [`Mover`].

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use super::conn::Conn;
use super::engine::Shared;
use crate::error::{Error, Result};

/// The log is moved whenever so many pages have come (4 MiB).
const PAGES: i32 = 1_024;
/// At this many pages in the log (64 MiB) the writer moves the rest even if somebody waits.
const BUSY_PAGES: i32 = 16_384;

/// What the writer knows of its log.
pub(super) struct Mover {
    /// Asks the thread to move what there is.
    asks: Option<SyncSender<()>>,
    /// The thread has moved something, and the rest is small.
    moved: Receiver<()>,
    thread: Option<JoinHandle<()>>,
    /// Pages in the log, as its hook says after each commit.
    pages: Arc<AtomicI32>,
    /// Pages at the last ask, of those that are in the log now.
    asked_at: i32,
    /// The thread is done and the rest is to be moved.
    is_short: bool,
    shared: Arc<Shared>,
}

impl Mover {
    /// Starts the thread.
    pub(super) fn start(path: &Path, pages: Arc<AtomicI32>, shared: Arc<Shared>) -> Result<Self> {
        let conn = Conn::mover(path)?;
        let (asks, asked) = sync_channel::<()>(1);
        let (tell, moved) = sync_channel::<()>(1);
        let known = Arc::clone(&shared);
        let serve = move || {
            while asked.recv().is_ok() {
                pass(&conn, &known);
                // The writer has not looked since the last time: that it may look is known already.
                let _ = tell.try_send(());
            }
        };
        let thread = std::thread::Builder::new().name("store-mover".to_owned()).spawn(serve);
        let thread = thread.map_err(|cause| Error::broken_by("cannot start a thread for the store", cause))?;
        Ok(Self { asks: Some(asks), moved, thread: Some(thread), pages, asked_at: 0, is_short: false, shared })
    }

    /// After a commit: has the log moved when enough has come, and finishes when that is quick and nobody waits.
    pub(super) fn look(&mut self, conn: &Conn, idle: bool) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.asked_at {
            // The log has begun anew.
            self.asked_at = 0;
        }
        if pages - self.asked_at >= PAGES
            && let Some(asks) = &self.asks
            && !matches!(asks.try_send(()), Err(TrySendError::Disconnected(())))
        {
            self.asked_at = pages;
        }
        self.is_short |= self.moved.try_recv().is_ok();
        if (self.is_short && idle) || pages >= BUSY_PAGES {
            self.finish(conn);
        }
    }

    /// Moves what came since the thread was done; the next commit begins the log anew, unless somebody still reads it.
    fn finish(&mut self, conn: &Conn) {
        self.is_short = false;
        pass(conn, &self.shared);
        self.pages.store(0, Ordering::Relaxed);
        self.asked_at = 0;
    }

    /// Ends the thread, so that nobody else moves the log.
    pub(super) fn stop(&mut self) {
        drop(self.asks.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that moves the log panicked");
        }
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Moves as much as can be moved without waiting for anybody; where somebody else is at it, nothing.
fn pass(conn: &Conn, shared: &Shared) {
    if shared.usable().is_err() {
        return;
    }
    if let Err(error) = conn.pragmas("PRAGMA wal_checkpoint(PASSIVE)") {
        shared.poison(&format!("the write-ahead log could not be moved: {error}"));
    }
}
