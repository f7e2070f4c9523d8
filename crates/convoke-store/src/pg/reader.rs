//! A connection that reads: each use case sees one snapshot, from its first statement to its last.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::sync::mpsc::Receiver;

use super::RETRIES;
use super::guard::run_guarded;
use super::lane::Link;
use super::trouble::Trouble;
use crate::error::Result;
use crate::tx::{Db, Tx};
use crate::use_case::Job;

/// The queue that the readers share.
pub(super) type Queue = Arc<Mutex<Receiver<Box<dyn Job>>>>;

/// Runs until the queue is closed and empty.
pub(super) async fn serve(mut link: Link, queue: Queue) {
    loop {
        let next = queue.lock().await.recv().await;
        let Some(mut job) = next else { return };
        if job.caller_gone() {
            continue;
        }
        let mut result = read(&mut link, job.as_mut()).await;
        for _ in 0..RETRIES {
            // A read changes nothing, so it may be asked again over a new connection.
            let Ok(Some(Trouble::Lost(_) | Trouble::Again(_))) = result else { break };
            link.undo().await;
            link.forget_statements();
            result = read(&mut link, job.as_mut()).await;
        }
        if let Err(error) = result {
            job.fail(error);
        }
        job.answer();
        link.undo().await;
    }
}

/// Runs a job; gives what was wrong with its transaction, if anything was. Its own error is already in the job.
async fn read(link: &mut Link, job: &mut dyn Job) -> Result<Option<Trouble>> {
    let (now, limit) = ((link.shared.clock)(), link.shared.target.options.use_case_timeout);
    let conn = link.conn().await?;
    conn.begin(Vec::new());
    let (under_way, ws) = (conn.under_way(), job.ws());
    let result = run_guarded(job, &mut Tx::new(Db::Pg(conn), ws, now), under_way, limit).await;
    let Err(error) = result else { return Ok(None) };
    job.fail(error);
    Ok(conn.trouble())
}
