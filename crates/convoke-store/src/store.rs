//! The store as everyone else sees it: open it, run use cases, read, listen.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use convoke_domain::time::Timestamp;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;

use crate::error::{Error, Result};
use crate::feed::Feed;
use crate::pg::{self, PgOptions};
use crate::sqlite;
use crate::use_case::{UseCase, queued};
use crate::workspace::EnsureDefault;

/// Told why the store stopped.
pub type OnPoison = Arc<dyn Fn(&str) + Send + Sync>;

/// How a store is opened; `..Options::default()` for what does not matter.
#[derive(Clone)]
pub struct Options {
    /// Tells the time, once per batch.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// The most use cases that wait to be run; on PostgreSQL for each lane.
    pub queue: usize,
    /// How long [`Store::run`] and [`Store::read`] wait for a place in the queue.
    pub queue_wait: Duration,
    /// The most use cases in one transaction.
    pub max_batch: usize,
    /// How many read at the same time.
    pub readers: usize,
    /// How many commits a subscriber may be behind before it has to read events from the store; a large one counts as several.
    pub feed: usize,
    /// Whether to bring the schema to the version of this program.
    pub migrate: bool,
    /// Told once, with the reason, when a commit failed; the program should end. Called on a thread of the store.
    pub on_poison: Option<OnPoison>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Arc::new(system_time),
            queue: 4_096,
            queue_wait: Duration::from_secs(5),
            max_batch: 1_024,
            readers: 2,
            feed: 1_024,
            migrate: true,
            on_poison: None,
        }
    }
}

fn system_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// What is kept. Cloning gives another handle to the same store; the last one closes it.
#[derive(Clone)]
pub struct Store {
    engine: Arc<Engine>,
    queue_wait: Duration,
}

/// The database underneath.
pub(crate) enum Engine {
    Lite(sqlite::Engine),
    Pg(Box<pg::Engine>),
}

impl Store {
    /// Opens (or makes) a data folder with SQLite. One process at a time; the error names the holder.
    pub async fn open_sqlite(dir: &Path, options: Options) -> Result<Self> {
        let (dir, for_thread) = (dir.to_owned(), options.clone());
        let engine = blocking(move || sqlite::Engine::open(&dir, &for_thread)).await?;
        let store = Self { engine: Arc::new(Engine::Lite(engine)), queue_wait: options.queue_wait };
        if options.migrate {
            store.run(EnsureDefault).await?;
        }
        Ok(store)
    }

    /// Opens a SQLite data folder for reading only; another process may be writing it.
    pub async fn open_reader(dir: &Path, options: Options) -> Result<Self> {
        let (dir, for_thread) = (dir.to_owned(), options.clone());
        let engine = blocking(move || sqlite::Engine::open_reader(&dir, &for_thread)).await?;
        Ok(Self { engine: Arc::new(Engine::Lite(engine)), queue_wait: options.queue_wait })
    }

    /// Opens a PostgreSQL database; any number of processes may share it. The store lives on the current runtime.
    pub async fn open_postgres(url: &str, pg: PgOptions, options: Options) -> Result<Self> {
        let engine = pg::Engine::open(url, pg, &options).await?;
        let store = Self { engine: Arc::new(Engine::Pg(Box::new(engine))), queue_wait: options.queue_wait };
        if options.migrate {
            match store.run(EnsureDefault).await {
                // Another node that starts at the same time was faster.
                Err(Error::Conflict(_)) => store.run(EnsureDefault).await?,
                done => done?,
            }
        }
        Ok(store)
    }

    /// Runs a use case; answers after its commit is durable.
    ///
    /// Waits for a place in the queue up to [`Options::queue_wait`], then [`Error::LimitReached`]. If the caller is
    /// dropped, a use case that has not begun is skipped, and one that has begun commits all the same.
    pub async fn run<U: UseCase>(&self, use_case: U) -> Result<U::Out> {
        self.write(use_case, Some(self.queue_wait)).await
    }

    /// Like [`Store::run`], but a full queue is [`Error::LimitReached`] at once: for whoever would rather do without than
    /// wait. Convoke's own use cases all wait; what fills a queue to its brim, such as a test, must not.
    pub async fn try_run<U: UseCase>(&self, use_case: U) -> Result<U::Out> {
        self.write(use_case, None).await
    }

    async fn write<U: UseCase>(&self, use_case: U, wait: Option<Duration>) -> Result<U::Out> {
        let (job, answer) = queued(use_case);
        match &*self.engine {
            Engine::Lite(engine) => put(&engine.writes()?, sqlite::Work::Job(job), "write", wait).await?,
            Engine::Pg(engine) => put(&engine.writes(job.ws())?, job, "write", wait).await?,
        }
        answer.await.map_err(|_| closed())?
    }

    /// Runs a use case that only reads, on one snapshot, never waiting for writers.
    pub async fn read<U: UseCase>(&self, use_case: U) -> Result<U::Out> {
        let (job, answer) = queued(use_case);
        match &*self.engine {
            Engine::Lite(engine) => put(&engine.reads()?, job, "read", Some(self.queue_wait)).await?,
            Engine::Pg(engine) => put(&engine.reads()?, job, "read", Some(self.queue_wait)).await?,
        }
        answer.await.map_err(|_| closed())?
    }

    /// Listens to events from now on. To miss none: subscribe, then read from the cursor, then skip what was seen.
    ///
    /// What other processes on the same PostgreSQL commit is not heard here: a number that does not follow the last one
    /// seen means that there is something to read.
    pub fn subscribe(&self) -> Feed {
        match &*self.engine {
            Engine::Lite(engine) => engine.feed(),
            Engine::Pg(engine) => engine.feed(),
        }
    }

    /// The version of the schema.
    pub async fn schema_version(&self) -> Result<u32> {
        match &*self.engine {
            Engine::Lite(engine) => {
                let (path, open) = (engine.path.clone(), engine.open);
                blocking(move || sqlite::version(&open(&path)?)).await
            }
            Engine::Pg(engine) => engine.schema_version().await,
        }
    }

    /// Moves the schema to a version, forward or back; 0 removes everything.
    pub async fn migrate_to(&self, version: u32) -> Result<()> {
        match &*self.engine {
            Engine::Lite(engine) => engine.alone(move |conn| sqlite::migrate(conn, version)).await,
            Engine::Pg(engine) => engine.migrate(version).await,
        }
    }

    /// Finishes what is queued and closes the store for every handle; later calls are [`Error::Unavailable`].
    pub async fn close(&self) -> Result<()> {
        if let Engine::Pg(engine) = &*self.engine {
            engine.close().await;
            return Ok(());
        }
        let engine = Arc::clone(&self.engine);
        blocking(move || {
            if let Engine::Lite(engine) = &*engine {
                engine.close();
            }
            Ok(())
        })
        .await
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }
}

/// Runs what blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(act: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(act).await;
    done.map_err(|cause| Error::broken_by("work on the store did not end", cause))?
}

/// Queues some work, waiting for a place as long as told or not at all.
async fn put<T>(queue: &Sender<T>, work: T, name: &str, wait: Option<Duration>) -> Result<()> {
    let full =
        |when: String| Error::LimitReached(format!("the {name} queue of the store {when}; try again with less load"));
    let place = match wait {
        Some(wait) => match timeout(wait, queue.reserve()).await {
            Ok(place) => place.map_err(|_| closed())?,
            Err(_) => return Err(full(format!("was full for {wait:?}"))),
        },
        None => match queue.try_reserve() {
            Ok(place) => place,
            Err(TrySendError::Full(())) => return Err(full("is full".to_owned())),
            Err(TrySendError::Closed(())) => return Err(closed()),
        },
    };
    place.send(work);
    Ok(())
}

fn closed() -> Error {
    Error::Unavailable("the store was closed before it answered".to_owned())
}
