//! `convoke doctor`: is everything there that Convoke needs, and what is missing? Keys are never shown.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use convoke_domain::transcript::Turn;
use convoke_port::model::{ModelRequest, Models, Origin};
use convoke_store::{Error as StoreError, Store, migrate};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::args::Global;
use crate::error::{Exit, Failure, Result};
use crate::hub::options;
use crate::place::Place;
use crate::text::{self, GREEN, RED, YELLOW, paint};
use crate::{say, wire};

/// Less free space than this is a warning.
const LITTLE: u64 = 1 << 30;
/// Less than this, and a run will soon fail.
const TOO_LITTLE: u64 = 64 << 20;
/// The longest wait for the one short call that tells whether a model answers.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Make one short call to this model and say whether it answers; may cost a fraction of a cent
    #[arg(long, value_name = "PROVIDER/MODEL")]
    pub model: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Good,
    Note,
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    name: String,
    verdict: Verdict,
    what: String,
}

fn finding(name: &str, verdict: Verdict, what: impl Into<String>) -> Finding {
    Finding { name: name.to_owned(), verdict, what: what.into() }
}

impl DoctorArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let place = Place::find(global.data.as_deref())?;
        let mut found = vec![finding("version", Verdict::Good, env!("CARGO_PKG_VERSION"))];
        found.push(folder(&place));
        found.push(schema(&place).await);
        found.push(finding("sqlite", Verdict::Good, convoke_store::sqlite_version()));
        found.push(space(&place.dir));
        found.push(sandbox().await);
        found.extend(providers(&place.dir));
        for model in &self.model {
            found.push(answers(&place.dir, model).await?);
        }
        let worst = found.iter().map(|one| one.verdict).max().unwrap_or(Verdict::Good);
        if global.json {
            say::json(&serde_json::json!({"healthy": worst != Verdict::Bad, "findings": found}))?;
        } else {
            found.iter().try_for_each(|one| say::line(&line(one)))?;
        }
        Ok(if worst == Verdict::Bad { Exit::Failed } else { Exit::Done })
    }
}

fn line(one: &Finding) -> String {
    let mark = match one.verdict {
        Verdict::Good => paint(GREEN, "✓"),
        Verdict::Note => paint(YELLOW, "–"),
        Verdict::Bad => paint(RED, "✗"),
    };
    format!("{mark} {}  {}", text::pad(&one.name, 24), text::line(&one.what))
}

fn folder(place: &Place) -> Finding {
    let dir = place.dir.display();
    if !place.dir.exists() {
        return finding(
            "data folder",
            Verdict::Note,
            format!("{dir} is not there yet; it is made when it is first needed"),
        );
    }
    let probe = place.dir.join(format!(".probe-{}", std::process::id()));
    let written = std::fs::write(&probe, b"probe").and_then(|()| std::fs::remove_file(&probe));
    match written {
        Ok(()) => finding("data folder", Verdict::Good, dir.to_string()),
        Err(cause) => finding("data folder", Verdict::Bad, format!("{dir} cannot be written: {cause}")),
    }
}

async fn schema(place: &Place) -> Finding {
    let needs = migrate::LATEST;
    match Store::open_reader(&place.dir, options(false)).await {
        Ok(store) => match store.schema_version().await {
            Ok(version) => finding("schema", Verdict::Good, format!("version {version}, as this program needs it")),
            Err(error) => finding("schema", Verdict::Bad, error.to_string()),
        },
        Err(StoreError::Missing { .. }) => {
            finding("schema", Verdict::Note, format!("none yet; it will be version {needs}"))
        }
        Err(error) => finding("schema", Verdict::Bad, error.to_string()),
    }
}

/// Free space where the data is, or will be.
fn space(dir: &Path) -> Finding {
    let there = dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    let Some(free) = free_space(there) else {
        return finding("disk", Verdict::Note, "its free space could not be found out");
    };
    let verdict = match free {
        0..TOO_LITTLE => Verdict::Bad,
        TOO_LITTLE..LITTLE => Verdict::Note,
        _ => Verdict::Good,
    };
    finding("disk", verdict, format!("{:.1} GiB free", free as f64 / (1_u64 << 30) as f64))
}

#[cfg(unix)]
fn free_space(dir: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(dir).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(unix))]
fn free_space(_: &Path) -> Option<u64> {
    None
}

async fn sandbox() -> Finding {
    match wire::sandbox().await {
        Ok(how) => {
            finding("sandbox", Verdict::Good, format!("{how} confines shell commands, where a profile grants them"))
        }
        Err(why) => finding("sandbox", Verdict::Note, format!("shell commands are refused: {why}")),
    }
}

/// Which providers could be called now.
fn providers(dir: &Path) -> Vec<Finding> {
    let providers = match wire::providers(dir) {
        Ok(providers) => providers,
        Err(Failure { message, .. }) => return vec![finding("models", Verdict::Bad, message)],
    };
    let one = |name: &&str| {
        let (verdict, what) = match (*name, providers.is_ready(name)) {
            ("script", _) => (Verdict::Good, "plays models from a file"),
            ("ollama", _) => (Verdict::Good, "needs no key"),
            (_, true) => (Verdict::Good, "key: yes"),
            (_, false) => (Verdict::Note, "key: no"),
        };
        finding(&format!("models: {name}"), verdict, what)
    };
    providers.names().iter().map(one).collect()
}

/// One short call.
async fn answers(dir: &Path, name: &str) -> Result<Finding> {
    let label = format!("answers: {name}");
    let name = wire::full_name(name)?;
    let providers = wire::providers(dir)?;
    let handle = match providers.find(&name) {
        Ok(handle) => handle,
        Err(error) => return Ok(finding(&label, Verdict::Bad, error.message)),
    };
    let request = ModelRequest {
        model: handle.name.clone(),
        system: "Answer with one word.".to_owned(),
        turns: vec![Turn::user("Say: ready")].into(),
        tools: Vec::new(),
        output_schema: None,
        max_output_tokens: 256,
        temperature: None,
        top_p: None,
        reasoning_effort: None,
        timeout: PATIENCE,
        origin: Origin::default(),
    };
    let begun = std::time::Instant::now();
    Ok(match handle.model.call(&request, &|_| {}, &CancellationToken::new()).await {
        Ok(reply) => {
            let took = text::duration(begun.elapsed());
            finding(&label, Verdict::Good, format!("yes, {} in {took}", reply.model))
        }
        Err(error) => finding(&label, Verdict::Bad, error.message),
    })
}
