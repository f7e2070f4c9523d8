//! A thread that reads: each use case sees one snapshot, from its first statement to its last.

use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::Receiver;

use super::conn::Conn;
use super::engine::Shared;
use crate::error::{Error, Result};
use crate::tx::{Db, Tx};
use crate::use_case::{Job, run_at_once};

/// The queue that the readers share.
pub(super) type Queue = Arc<Mutex<Receiver<Box<dyn Job>>>>;

/// Runs until the queue is closed.
pub(super) fn serve(mut conn: Conn, queue: &Queue, shared: &Shared) {
    loop {
        // A reader cannot panic while it holds the queue; if one did, the others go on.
        let next = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).blocking_recv();
        let Some(mut job) = next else { return };
        if job.caller_gone() {
            continue;
        }
        if let Err(error) = shared.usable().and_then(|()| read(&mut conn, job.as_mut(), shared)) {
            job.fail(error);
        }
        job.answer();
    }
}

fn read(conn: &mut Conn, job: &mut dyn Job, shared: &Shared) -> Result<()> {
    conn.pragmas("BEGIN")?;
    let mut tx = Tx::new(Db::Lite(conn), job.ws(), (shared.clock)());
    let result = run_at_once(job, &mut tx);
    let ended = if conn.db.is_autocommit() { Ok(()) } else { conn.pragmas("ROLLBACK") };
    result.and(ended.map_err(|error| Error::broken_by("a read could not be ended", error)))
}
