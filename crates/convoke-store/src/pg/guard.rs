//! Running a use case on a connection: it may wait for its statements and for nothing else, a panic is its error, and its
//! time is bounded.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

use crate::error::{Error, Result};
use crate::tx::Tx;
use crate::use_case::{Job, panicked, waits_elsewhere};

/// Runs a job; `under_way` tells whether a statement is on its way.
///
/// A use case that waits while no statement is under way waits for something that would hold the lane, and every lock
/// of its transaction, for as long as a stranger likes. One that waits for both at once gets `limit`.
pub(super) async fn run_guarded(
    job: &mut dyn Job,
    tx: &mut Tx<'_>,
    under_way: Arc<AtomicBool>,
    limit: Duration,
) -> Result<()> {
    let name = job.name();
    let mut running = job.run(tx);
    let guarded = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(context))) {
        Ok(Poll::Pending) if under_way.load(Ordering::Relaxed) => Poll::Pending,
        Ok(Poll::Pending) => Poll::Ready(Err(waits_elsewhere(name))),
        Ok(ready) => ready,
        Err(panic) => Poll::Ready(Err(panicked(name, panic.as_ref()))),
    });
    match timeout(limit, guarded).await {
        Ok(result) => result,
        Err(_) => Err(Error::Unavailable(format!("{name} took longer than {limit:?}; nothing of it was stored"))),
    }
}
