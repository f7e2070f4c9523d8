//! The threads of an open SQLite store, and what they share.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;

use convoke_domain::time::Timestamp;
use tokio::sync::mpsc::Sender;
use tokio::sync::{mpsc, oneshot};

use super::conn::Conn;
use super::lock::{self, FolderLock};
use super::writer::{Work, Writer};
use super::{FILE, MIN_SQLITE, reader, schema};
use crate::error::{Error, Result};
use crate::feed::{Feed, Speaker};
use crate::migrate;
use crate::store::{OnPoison, Options};
use crate::use_case::Job;

type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What all threads of a store know.
pub(crate) struct Shared {
    pub(super) clock: Clock,
    poisoned: OnceLock<String>,
    on_poison: Option<OnPoison>,
}

impl Shared {
    /// Refuses everything after a commit whose outcome is not known.
    pub(super) fn usable(&self) -> Result<()> {
        match self.poisoned.get() {
            None => Ok(()),
            Some(why) => Err(Error::Unavailable(format!(
                "the store stopped because a commit failed ({why}); restart to recover from its log"
            ))),
        }
    }

    pub(super) fn poison(&self, why: &str) {
        tracing::error!(reason = why, "the store stops: the outcome of a commit is not known");
        if self.poisoned.set(why.to_owned()).is_ok()
            && let Some(tell) = &self.on_poison
        {
            tell(why);
        }
    }
}

/// How readers open the database.
pub(crate) type Open = fn(&Path) -> Result<Conn>;

/// How a folder is read, and what keeps writers away meanwhile, where that is needed.
pub(super) struct How {
    pub(super) open: Open,
    lock: Option<Arc<FolderLock>>,
}

/// The version of the schema, and how to read it. SQLite needs files beside the database even to read it; where they cannot be
/// made, and nothing waits in the log of writes, the database itself is all there is.
pub(super) fn how_to_read(dir: &Path, path: &Path) -> Result<(u32, How)> {
    let first = match Conn::reader(path).and_then(|conn| schema::version(&conn)) {
        Ok(found) => return Ok((found, How { open: Conn::reader, lock: None })),
        Err(error) => error,
    };
    let log = std::fs::metadata(path.with_extension("db-wal"));
    if !matches!(first, Error::Unavailable(_)) || log.is_ok_and(|log| log.len() > 0) {
        return Err(first);
    }
    let lock = lock::share(dir).map(Arc::new);
    let found = Conn::still(path).and_then(|conn| schema::version(&conn)).map_err(|_| first)?;
    Ok((found, How { open: Conn::still, lock }))
}

/// An open SQLite store.
pub(crate) struct Engine {
    pub(crate) path: PathBuf,
    /// How another reader opens it.
    pub(crate) open: Open,
    writes: Mutex<Option<Sender<Work>>>,
    reads: Mutex<Option<Sender<Box<dyn Job>>>>,
    /// Gone when the store is closed.
    feed: Mutex<Option<Speaker>>,
    shared: Arc<Shared>,
    /// Each holds the lock of the folder, which so is released when the last connection is closed and not before.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Engine {
    /// Opens a data folder for writing; makes it if needed.
    pub(crate) fn open(dir: &Path, options: &Options) -> Result<Self> {
        refuse_old_sqlite(rusqlite::version_number())?;
        let made = std::fs::create_dir_all(dir).and_then(|()| dir.parent().map_or(Ok(()), sync_parent));
        made.map_err(|cause| Error::broken_by(format!("cannot make the data folder {}", dir.display()), cause))?;
        let lock = Arc::new(lock::take(dir)?);
        let path = dir.join(FILE);
        let mut conn = Conn::writer(&path)?;
        migrate::refuse_newer(schema::version(&conn)?)?;
        if options.migrate {
            schema::migrate(&mut conn, migrate::LATEST)?;
        }
        let engine = Self::start(path, options, Some(&lock), Conn::reader)?;
        let (writes, queue) = mpsc::channel(options.queue);
        let feed = slot(&engine.feed).clone().ok_or_else(|| Error::broken("a store that opens has no feed"))?;
        let writer = Writer::new(conn, &engine.path, Arc::clone(&engine.shared), feed)?;
        let max_batch = options.max_batch;
        engine.spawn("store-writer", Some(&lock), move || writer.serve(queue, max_batch))?;
        *slot(&engine.writes) = Some(writes);
        Ok(engine)
    }

    /// Opens a data folder for reading only, beside the process that writes it.
    pub(crate) fn open_reader(dir: &Path, options: &Options) -> Result<Self> {
        refuse_old_sqlite(rusqlite::version_number())?;
        let path = dir.join(FILE);
        if !path.exists() {
            return Err(Error::missing("data folder", dir.display()));
        }
        let (found, how) = how_to_read(dir, &path)?;
        migrate::refuse_newer(found)?;
        if found < migrate::LATEST {
            let latest = migrate::LATEST;
            return Err(Error::Unavailable(format!(
                "this data has schema version {found}, this program needs {latest}; run `convoke db migrate` first"
            )));
        }
        Self::start(path, options, how.lock.as_ref(), how.open)
    }

    fn start(path: PathBuf, options: &Options, lock: Option<&Arc<FolderLock>>, open: Open) -> Result<Self> {
        let shared = Arc::new(Shared {
            clock: Arc::clone(&options.clock),
            poisoned: OnceLock::new(),
            on_poison: options.on_poison.clone(),
        });
        let (reads, queue) = mpsc::channel(options.queue);
        let queue = Arc::new(Mutex::new(queue));
        let reads = Mutex::new(Some(reads));
        let feed = Mutex::new(Some(Speaker::new(options.feed)));
        let engine = Self { path, open, writes: Mutex::new(None), reads, feed, shared, threads: Mutex::default() };
        for _ in 0..options.readers.max(1) {
            let (queue, conn, shared) = (Arc::clone(&queue), open(&engine.path)?, Arc::clone(&engine.shared));
            engine.spawn("store-reader", lock, move || reader::serve(conn, &queue, &shared))?;
        }
        Ok(engine)
    }

    fn spawn(&self, name: &str, lock: Option<&Arc<FolderLock>>, work: impl FnOnce() + Send + 'static) -> Result<()> {
        let lock = lock.cloned();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            work();
            drop(lock);
        });
        let thread = thread.map_err(|cause| Error::broken_by("cannot start a thread for the store", cause))?;
        slot(&self.threads).push(thread);
        Ok(())
    }

    /// A subscription; one that ends at once if the store is closed.
    pub(crate) fn feed(&self) -> Feed {
        slot(&self.feed).as_ref().map_or_else(Feed::ended, Speaker::subscribe)
    }

    /// The queue for use cases that write.
    pub(crate) fn writes(&self) -> Result<Sender<Work>> {
        self.shared.usable()?;
        let read_only = || Error::Unavailable("the store was opened for reading only, or is closed".to_owned());
        slot(&self.writes).clone().ok_or_else(read_only)
    }

    /// The queue for use cases that read.
    pub(crate) fn reads(&self) -> Result<Sender<Box<dyn Job>>> {
        self.shared.usable()?;
        slot(&self.reads).clone().ok_or_else(|| Error::Unavailable("the store is closed".to_owned()))
    }

    /// Runs `act` on the writer's connection, between two batches.
    pub(crate) async fn alone<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (tell, told) = oneshot::channel();
        let work: Box<dyn FnOnce(&mut Conn) + Send> = Box::new(move |conn| drop(tell.send(act(conn))));
        let gone = || Error::Unavailable("the store is closed".to_owned());
        self.writes()?.send(Work::Alone(work)).await.map_err(|_| gone())?;
        told.await.map_err(|_| gone())?
    }

    /// Lets the threads finish what is queued, and waits for them.
    pub(crate) fn close(&self) {
        drop(slot(&self.writes).take());
        drop(slot(&self.reads).take());
        // The writer has the other one: subscriptions end when it is done.
        drop(slot(&self.feed).take());
        let me = std::thread::current().id();
        for thread in std::mem::take(&mut *slot(&self.threads)) {
            // A use case may hold the last handle of the store; its own thread ends by itself.
            if thread.thread().id() != me && thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

fn slot<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing can panic while one of these is held.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn sync_parent(dir: &Path) -> std::io::Result<()> {
    if dir.as_os_str().is_empty() { Ok(()) } else { lock::sync_dir(dir) }
}

fn refuse_old_sqlite(version: i32) -> Result<()> {
    if version >= MIN_SQLITE {
        return Ok(());
    }
    Err(Error::Unavailable(format!(
        "SQLite {version} can corrupt its write-ahead log; Convoke needs {MIN_SQLITE} (3.51.3) or newer. \
         Build with the bundled SQLite"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlite_that_corrupts_its_log_is_refused() {
        assert!(refuse_old_sqlite(3_051_002).is_err());
        assert!(refuse_old_sqlite(rusqlite::version_number()).is_ok());
    }
}
