//! The connections of an open PostgreSQL store, and what they share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use convoke_domain::id::WorkspaceId;
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::connect::Target;
use super::lane::{Lane, Link, Shared};
use super::{PgOptions, reader, schema, statistics};
use crate::error::{Error, Result};
use crate::feed::{Feed, Speaker};
use crate::migrate;
use crate::store::Options;
use crate::use_case::Job;

/// The longest that a lane which ends waits for its connection to be closed in order.
const GOODBYE: Duration = Duration::from_millis(500);

/// An open PostgreSQL store.
pub(crate) struct Engine {
    pub(crate) target: Target,
    shared: Arc<Shared>,
    open: Mutex<Option<Open>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    threads: Mutex<Vec<Thread>>,
}

/// A lane's thread, and what tells that it ends.
type Thread = (std::thread::JoinHandle<()>, oneshot::Receiver<()>);

/// What is there until the store is closed.
struct Open {
    lanes: Vec<Sender<Box<dyn Job>>>,
    reads: Sender<Box<dyn Job>>,
    feed: Speaker,
    /// Dropped, it ends the care for the statistics.
    _statistics: oneshot::Sender<()>,
}

impl Engine {
    /// Connects, brings the schema up to date if asked to, and starts lanes and readers on the current runtime.
    pub(crate) async fn open(url: &str, pg: PgOptions, options: &Options) -> Result<Self> {
        let target = Target::new(url, pg)?;
        let client = target.connect().await?;
        if options.migrate {
            schema::alone(&client, &target).await?;
            schema::make(&client, &target).await?;
            migrate::refuse_newer(schema::version(&client).await?)?;
            schema::migrate(&client, migrate::LATEST).await?;
        } else {
            migrate::refuse_newer(schema::version(&client).await?)?;
        }
        Self::start(target, options)
    }

    fn start(target: Target, options: &Options) -> Result<Self> {
        let (clock, for_shared) = (Arc::clone(&options.clock), target.clone());
        let shared =
            Arc::new(Shared { clock, target: for_shared, schema: AtomicU64::new(0), written: AtomicU64::new(0) });
        let (feed, mut tasks, mut threads) = (Speaker::new(options.feed), Vec::new(), Vec::new());
        let max_batch = options.max_batch.min(target.options.max_batch);
        let mut lane = || {
            let (jobs, queue) = mpsc::channel(options.queue);
            let lane = Lane::new(Arc::clone(&shared), feed.clone(), max_batch);
            threads.push(on_thread(lane, queue)?);
            Ok(jobs)
        };
        let lanes = (0..target.options.lanes.max(1)).map(|_| lane()).collect::<Result<_>>()?;
        let (reads, queue) = mpsc::channel(options.queue);
        let queue = Arc::new(tokio::sync::Mutex::new(queue));
        for _ in 0..options.readers.max(1) {
            tasks.push(tokio::spawn(reader::serve(Link::new(Arc::clone(&shared), true), Arc::clone(&queue))));
        }
        let (statistics, stop) = oneshot::channel();
        tasks.push(tokio::spawn(statistics::keep(Arc::clone(&shared), stop)));
        let open = Mutex::new(Some(Open { lanes, reads, feed, _statistics: statistics }));
        Ok(Self { target, shared, open, tasks: Mutex::new(tasks), threads: Mutex::new(threads) })
    }

    /// The queue for use cases that write this workspace.
    pub(crate) fn writes(&self, ws: WorkspaceId) -> Result<Sender<Box<dyn Job>>> {
        self.opened(|open| open.lanes[place(ws, open.lanes.len())].clone())
    }

    /// The queue for use cases that read.
    pub(crate) fn reads(&self) -> Result<Sender<Box<dyn Job>>> {
        self.opened(|open| open.reads.clone())
    }

    /// A subscription; one that ends at once if the store is closed.
    pub(crate) fn feed(&self) -> Feed {
        self.opened(|open| open.feed.subscribe()).unwrap_or_else(|_| Feed::ended())
    }

    fn opened<T>(&self, take: impl FnOnce(&Open) -> T) -> Result<T> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().map(take).ok_or_else(|| Error::Unavailable("the store is closed".to_owned()))
    }

    pub(crate) async fn schema_version(&self) -> Result<u32> {
        schema::version(&self.target.connect().await?).await
    }

    /// Moves the schema on a connection of its own; lanes and readers prepare their statements anew.
    pub(crate) async fn migrate(&self, version: u32) -> Result<()> {
        self.opened(|_| ())?;
        let client = self.target.connect().await?;
        schema::alone(&client, &self.target).await?;
        let done = schema::migrate(&client, version).await;
        self.shared.schema.fetch_add(1, Ordering::Release);
        done
    }

    /// Lets lanes and readers finish what is queued, and waits for them.
    pub(crate) async fn close(&self) {
        drop(self.open.lock().unwrap_or_else(PoisonError::into_inner).take());
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            if task.await.is_err_and(|ended| ended.is_panic()) {
                tracing::error!("a reader of the store panicked");
            }
        }
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for (thread, ended) in threads {
            // Dropped when the thread ends, whatever of.
            let _ = ended.await;
            if thread.join().is_err() {
                tracing::error!("a lane of the store panicked");
            }
        }
    }
}

/// Serves a lane on a thread of its own: who waits for a statement does not queue behind whatever else the process does, and
/// the answer passes from the connection to the lane without waking another thread.
fn on_thread(lane: Lane, queue: Receiver<Box<dyn Job>>) -> Result<Thread> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| Error::broken_by("a lane of the store cannot be started", cause))?;
    let (ends, ended) = oneshot::channel();
    let serve = move || {
        runtime.block_on(async {
            lane.serve(queue).await;
            // The connection says goodbye after the lane has let go of it.
            let goodbye = async {
                while Handle::current().metrics().num_alive_tasks() > 0 {
                    sleep(GOODBYE / 100).await;
                }
            };
            let _ = timeout(GOODBYE, goodbye).await;
        });
        drop(ends);
    };
    let thread = std::thread::Builder::new().name("convoke-lane".to_owned()).spawn(serve);
    thread
        .map(|thread| (thread, ended))
        .map_err(|cause| Error::broken_by("a lane of the store cannot be started", cause))
}

/// Which of `count` lanes a workspace belongs to. Any spread will do, as long as it is the same every time.
fn place(ws: WorkspaceId, count: usize) -> usize {
    let bits = ws.0.as_u128();
    // Fibonacci hashing: the upper bits of the product depend on all bits of the id.
    let mixed = ((bits ^ (bits >> 64)) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    mixed as usize % count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspaces_spread_over_the_lanes() {
        let mut seen = [0; 8];
        for n in 0..800_u128 {
            seen[place(WorkspaceId(uuid::Uuid::from_u128((1_763_703_000_123 + n) << 80 | n)), 8)] += 1;
        }
        assert!(seen.iter().all(|count| (50..200).contains(count)), "{seen:?}");
    }
}
