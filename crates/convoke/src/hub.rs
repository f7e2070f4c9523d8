//! One open data folder, or database, and who asks. Commands that only read open it beside whoever writes; commands that change something
//! take the lock; commands that work also get models and tools.

use std::ops::RangeInclusive;
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
use crate::say;
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
    /// How long a worker that is not heard of keeps its tasks; the engine's default if absent.
    pub lease: Option<Duration>,
}

/// The variable for [`Settings::lease`], in seconds.
const LEASE: &str = "CONVOKE_LEASE_S";
/// The shortest and the longest lease, in seconds.
const LEASES: RangeInclusive<u64> = 1..=3600;

/// The lease that the environment asks for.
fn lease() -> Result<Option<Duration>> {
    let Some(text) = std::env::var(LEASE).ok().filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.parse().ok().filter(|seconds| LEASES.contains(seconds)) {
        Some(seconds) => Ok(Some(Duration::from_secs(seconds))),
        None => {
            let (least, most) = (LEASES.start(), LEASES.end());
            let message = format!("{LEASE} is `{text}`; it is a whole number of seconds from {least} to {most}");
            Err(Failure::usage("bad_setting", message))
        }
    }
}

impl Hub {
    /// Opens for reading; the usual folder is made where it is missing.
    pub async fn reader(global: &Global) -> Result<Self> {
        if global.database.is_some() {
            return Self::writer(global).await;
        }
        let place = Place::find(global.data.as_deref())?;
        place.check()?;
        match Store::open_reader(&place.dir, options(global.json)).await {
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

    /// Opens for changes, or for reading where another process holds the folder or it cannot be written: for lists that the
    /// library belongs to.
    pub async fn up_to_date(global: &Global) -> Result<Self> {
        match Self::writer(global).await {
            Err(failure) if failure.code == "in_use" => Self::reader(global).await,
            Err(failure) if failure.code == "read_only" => {
                let hub = Self::reader(global).await?;
                if !global.quiet && !global.json {
                    say::note(&format!("note: {}; this is what was last kept there", failure.message));
                }
                Ok(hub)
            }
            other => other,
        }
    }

    /// Opens for work.
    pub async fn worker(global: &Global, place: Place, parts: Parts, settings: Settings) -> Result<Self> {
        let settings = Settings { lease: settings.lease.or(lease()?), ..settings };
        place.make()?;
        let store = open(&place, global, options(global.json)).await?;
        let hub = Self::over(store, place, global, parts, settings);
        let known = library::bundle();
        hub.engine.install(known.profiles, known.teams).await?;
        hub.engine.ensure_user(&hub.user).await?;
        Ok(hub)
    }

    fn over(store: Store, place: Place, global: &Global, parts: Parts, settings: Settings) -> Self {
        let mut config = Config::new(place.dir.join("work"));
        config.concurrency = settings.concurrency.unwrap_or(config.concurrency);
        config.lease = settings.lease.unwrap_or(config.lease);
        config.default_model = settings.default_model;
        config.daily_cap = settings.daily_cap;
        config.exclusive = global.database.is_none();
        let engine = Engine::new(store, parts.models, parts.tools, Arc::new(SystemClock), config);
        Self { engine, place, user: global.user.clone() }
    }

    /// Over a store whose schema may be another one: nothing is installed.
    pub fn bare(store: Store, place: Place, global: &Global) -> Self {
        Self::over(store, place, global, wire::idle(), Settings::default())
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
pub fn options(as_json: bool) -> Options {
    Options { readers: READERS, on_poison: Some(Arc::new(move |why: &str| end(why, as_json))), ..Options::default() }
}

fn end(why: &str, as_json: bool) {
    crate::live::screen::restore();
    Failure::new("storage_failed", "the data could not be written, so nothing more is done")
        .cause(why)
        .hint("look after the disk (`convoke doctor`), then `convoke resume`: all that was acknowledged is there")
        .tell(as_json);
    std::process::exit(1);
}
