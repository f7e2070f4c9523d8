//! One open data folder, or database, and who asks. Commands that only read open it beside whoever writes; commands that change something
//! take the lock; commands that work also get models and tools.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use convoke_api::library;
use convoke_domain::money::Money;
use convoke_engine::{Config, Engine};
use convoke_port::clock::SystemClock;
use convoke_store::{Error as StoreError, Options, PgOptions, Store};

use crate::args::Global;
use crate::control;
use crate::error::{Failure, Result};
use crate::place::Place;
use crate::wire::{self, Parts};

/// Threads that read while a command works.
const READERS: usize = 2;

/// How often a folder is tried that another command holds, and the time between.
const TRIES: u32 = 20;
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// An open data folder.
pub struct Hub {
    /// Everything that can be asked.
    pub engine: Engine,
    /// Where it is.
    pub place: Place,
    /// Who asks.
    pub user: String,
}

/// How a worker works.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Attempts at the same time; the engine's default if absent.
    pub concurrency: Option<usize>,
    /// The model for agents that name none.
    pub default_model: Option<String>,
    /// The most dollars of all runs on one day in UTC.
    pub daily_cap: Option<Money>,
}

impl Hub {
    /// Opens for reading; the folder is made where it is missing.
    pub async fn reader(global: &Global) -> Result<Self> {
        if global.database.is_some() {
            return Self::writer(global).await;
        }
        let place = Place::find(global.data.as_deref())?;
        match Store::open_reader(&place.dir, options()).await {
            Ok(store) => Ok(Self::over(store, place, global, wire::idle(), Settings::default())),
            Err(StoreError::Missing { .. }) => Self::writer(global).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Opens for changes, alone.
    pub async fn writer(global: &Global) -> Result<Self> {
        let place = Place::find(global.data.as_deref())?;
        Self::worker(global, place, wire::idle(), Settings::default()).await
    }

    /// Opens for changes, or for reading where another process holds the folder: for lists that the library belongs to.
    pub async fn up_to_date(global: &Global) -> Result<Self> {
        match Self::writer(global).await {
            Err(failure) if failure.code == "in_use" => Self::reader(global).await,
            other => other,
        }
    }

    /// Opens for work.
    pub async fn worker(global: &Global, place: Place, parts: Parts, settings: Settings) -> Result<Self> {
        place.make()?;
        let store = open(&place, global, options()).await?;
        let hub = Self::over(store, place, global, parts, settings);
        let known = library::bundle();
        hub.engine.install(known.profiles, known.teams).await?;
        hub.engine.ensure_user(&hub.user).await?;
        Ok(hub)
    }

    fn over(store: Store, place: Place, global: &Global, parts: Parts, settings: Settings) -> Self {
        let mut config = Config::new(place.dir.join("work"));
        config.concurrency = settings.concurrency.unwrap_or(config.concurrency);
        config.default_model = settings.default_model;
        config.daily_cap = settings.daily_cap;
        config.exclusive = global.database.is_none();
        let engine = Engine::new(store, parts.models, parts.tools, Arc::new(SystemClock), config);
        Self { engine, place, user: global.user.clone() }
    }

    /// Where reports are written.
    pub fn reports(&self) -> PathBuf {
        self.place.dir.join("reports")
    }
}

/// Connects to the database that was named, or takes the folder. Another command that only changes something is done in a
/// moment, so it is waited for; a process that works, which answers on its socket, is not.
pub async fn open(place: &Place, global: &Global, options: Options) -> Result<Store> {
    if let Some(url) = &global.database {
        return Ok(Store::open_postgres(url, pg_options(), options).await?);
    }
    for _ in 0..TRIES {
        match Store::open_sqlite(&place.dir, options.clone()).await {
            Err(StoreError::InUse { .. }) if !control::is_served(&place.dir).await => {
                tokio::time::sleep(TRY_AGAIN).await
            }
            other => return Ok(other?),
        }
    }
    Ok(Store::open_sqlite(&place.dir, options).await?)
}

/// How PostgreSQL is reached where the URL does not say: by the variables that its other programs read too.
pub fn pg_options() -> PgOptions {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    PgOptions { ssl_mode: set("PGSSLMODE"), ssl_root_cert: set("PGSSLROOTCERT"), ..PgOptions::default() }
}

/// How stores are opened. A commit whose outcome is not known ends the program: what is in memory may be wrong by then.
pub fn options() -> Options {
    Options { readers: READERS, on_poison: Some(Arc::new(end)), ..Options::default() }
}

fn end(why: &str) {
    crate::live::screen::restore();
    Failure::new("storage_failed", "the data could not be written, so nothing more is done")
        .cause(why)
        .hint("look after the disk (`convoke doctor`), then `convoke resume`: all that was acknowledged is there")
        .tell(false);
    std::process::exit(1);
}
