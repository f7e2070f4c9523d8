//! `convoke db`: the schema, backups, and whether everything that is kept is sound.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use convoke_store::verify::Report;
use convoke_store::{Options, Store, migrate};
use serde_json::{Value, json};

use crate::args::Global;
use crate::error::{Exit, Failure, Result};
use crate::hub::{Hub, open, options, pg_options};
use crate::place::{Place, absolute};
use crate::say;
use crate::text::{self, GREEN, RED, paint};

#[derive(Debug, Args)]
pub struct DbArgs {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Bring the schema to the version of this program, or to the one named
    Migrate {
        /// Version to go to, forward or back; going back drops what only the newer one keeps
        #[arg(long, value_name = "VERSION")]
        to: Option<u32>,
    },
    /// Write a snapshot into an empty folder, while work goes on
    Backup {
        /// The folder
        dir: PathBuf,
    },
    /// Make the data folder from a backup; it must not exist or be empty
    Restore {
        /// The folder of the backup
        dir: PathBuf,
    },
    /// Check the database, the sums of the ledger, and the hash chain over all events
    Verify,
}

impl DbArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        match self.action {
            Action::Migrate { to } => migrate(global, to).await,
            Action::Backup { dir } => backup(global, dir).await,
            Action::Restore { dir } => restore(global, dir).await,
            Action::Verify => {
                let hub = Hub::reader(global).await?;
                let report = hub.engine.store().verify().await?;
                tell(global, &report, Checked::Everything)
            }
        }
    }
}

async fn migrate(global: &Global, to: Option<u32>) -> Result<Exit> {
    let to = to.unwrap_or(migrate::LATEST);
    // Version 0 is an empty database: going back to it would drop everything.
    if !(1..=migrate::LATEST).contains(&to) {
        let message = format!("there is no schema version {to}; this program knows 1 to {}", migrate::LATEST);
        return Err(Failure::usage("bad_version", message));
    }
    let place = Place::find(global.data.as_deref())?;
    place.make()?;
    let store = open(&place, global, Options { migrate: false, ..options(global.json) }).await?;
    let from = store.schema_version().await?;
    if to < from {
        // Forward is what every command does by itself; back loses what only the newer version keeps.
        let hub = Hub::bare(store.clone(), place, global);
        // Where nobody has worked yet there is nobody to ask.
        if !hub.engine.users("").await?.is_empty() {
            hub.engine.ensure_user(&hub.user).await?;
            hub.engine.check_governs(&hub.user, "take the schema back").await?;
        }
    }
    store.migrate_to(to).await?;
    store.close().await?;
    let words = if from == to {
        format!("the schema is at version {to} already")
    } else {
        format!("the schema went from version {from} to {to}")
    };
    done(global, &json!({"from": from, "to": to}), &words)
}

async fn backup(global: &Global, dir: PathBuf) -> Result<Exit> {
    let hub = Hub::reader(global).await?;
    let dir = absolute(&dir)?;
    hub.engine.store().backup(&dir).await?;
    done(global, &json!({"backup": dir.display().to_string()}), &format!("backup written to {}", dir.display()))
}

async fn restore(global: &Global, dir: PathBuf) -> Result<Exit> {
    let (place, dir) = (Place::find(global.data.as_deref())?, absolute(&dir)?);
    match &global.database {
        Some(url) => Store::restore_postgres(&dir, url, pg_options()).await?,
        None => {
            place.make()?;
            Store::restore_sqlite(&dir, &place.dir).await?;
        }
    }
    let words = format!("{} restored from {}", place.dir.display(), dir.display());
    done(global, &json!({"data": place.dir.display().to_string(), "backup": dir.display().to_string()}), &words)
}

fn done(global: &Global, value: &Value, words: &str) -> Result<Exit> {
    if global.json {
        say::json(value)?;
    } else if !global.quiet {
        say::line(words)?;
    }
    Ok(Exit::Done)
}

/// What was checked.
#[derive(Debug, Clone, Copy)]
pub enum Checked {
    /// The chain over all events.
    Chain,
    /// All there is.
    Everything,
}

/// Tells what a verification found.
pub fn tell(global: &Global, report: &Report, checked: Checked) -> Result<Exit> {
    let sound = report.problems.is_empty();
    if global.json {
        let problems: Vec<Value> = report
            .problems
            .iter()
            .map(|found| json!({"check": found.check, "place": found.place, "what": found.what}))
            .collect();
        say::json(&json!({"sound": sound, "events": report.events, "problems": problems}))?;
    } else {
        for found in &report.problems {
            say::line(&format!("{} {}: {}: {}", paint(RED, "✗"), found.check, found.place, text::line(&found.what)))?;
        }
        let events = text::count(i64::try_from(report.events).unwrap_or(i64::MAX));
        let what = match checked {
            Checked::Chain => "the chain is whole",
            Checked::Everything => "database, ledger and chain are sound",
        };
        match sound {
            true => say::line(&format!("{} {what}: {events} events", paint(GREEN, "✓")))?,
            false => say::line(&format!("{} among {events} events", text::many(report.problems.len(), "problem")))?,
        }
    }
    Ok(if sound { Exit::Done } else { Exit::Failed })
}
