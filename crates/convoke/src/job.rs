//! A run from what was typed to its end: team and models are found and checked before anything starts, then it is started,
//! watched and told. `run` and `demo` share it. Start at [`Job::carry`].

use std::path::{Path, PathBuf};

use convoke_api::{Known, Source};
use convoke_domain::id::{RunId, SessionId};
use convoke_domain::money::Money;
use convoke_domain::record::RunRecord;
use convoke_domain::spec::RunSpec;
use convoke_engine::{Caps, StartRun, Worker};
use convoke_port::model::{Fault, ModelError, Tariff};
use tokio::sync::mpsc;

use crate::args::Global;
use crate::error::{Exit, Failure, Result};
use crate::hub::Hub;
use crate::live::watch::{View, Watch};
use crate::outcome;
use crate::signals::Signals;
use crate::wire::{self, Parts};
use crate::{control, definition, file, people, say, text};

/// The most bytes of a team file.
pub const MAX_TEAM_FILE: u64 = convoke_api::MAX_BYTES as u64;
/// Runs that may wait to be watched.
const ADDED: usize = 64;

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Job {
    /// The team's name, or the path of its file.
    pub team: String,
    /// What to do.
    pub task: String,
    /// The folder that members may read.
    pub input: Option<PathBuf>,
    /// The model for every agent.
    pub model: Option<String>,
    /// The model for agents that name none.
    pub default_model: Option<String>,
    /// The most dollars and tokens.
    pub caps: Caps,
    /// The session to run in.
    pub session: Option<SessionId>,
    /// Models without a known price may be used.
    pub allow_unpriced: bool,
}

/// A run that can be started.
struct Ready {
    start: StartRun,
    cap: Option<Money>,
}

impl Job {
    /// Starts the run and stays with it to its end.
    pub async fn carry(self, global: &Global, hub: &Hub, parts: &Parts) -> Result<Exit> {
        let ready = self.prepare(hub, parts).await?;
        if !global.quiet && !global.json {
            warn_of_strangers(hub, &ready.start.spec).await?;
        }
        let mut signals = Signals::listen()?;
        let (going, added) = mpsc::channel(ADDED);
        let _served = control::serve(&hub.place.dir, &hub.engine, going)?;
        let others = hub.engine.unfinished(1_000).await?;
        let mut watch = Watch::new(&hub.engine, View::suited(global.quiet, global.json, false), added);
        watch.answer_as(&hub.user);
        let worker = hub.engine.work().await?;
        let (run, worker) = start(hub, ready.start, worker).await?;
        watch.follow(run, ready.cap, true).await?;
        tell_others(&mut watch, &others);
        let stopped = watch.until_rest(worker, &mut signals).await?;
        let runs = watch.runs();
        drop(watch);
        outcome::tell(global, hub, &runs, stopped).await
    }

    /// Plays the run to its end and tells nobody.
    pub async fn play(self, hub: &Hub, parts: &Parts) -> Result<RunRecord> {
        let ready = self.prepare(hub, parts).await?;
        let mut signals = Signals::listen()?;
        let (_going, added) = mpsc::channel(ADDED);
        let mut watch = Watch::new(&hub.engine, View::suited(true, false, false), added);
        let worker = hub.engine.work().await?;
        let (run, worker) = start(hub, ready.start, worker).await?;
        watch.follow(run, ready.cap, false).await?;
        watch.until_rest(worker, &mut signals).await?;
        Ok(hub.engine.run_record(run).await?)
    }

    async fn prepare(&self, hub: &Hub, parts: &Parts) -> Result<Ready> {
        let input = self.input.as_deref().map(folder).transpose()?;
        let over = self.model.as_deref().map(wire::full_name).transpose()?;
        let default = self.default_model.as_deref().map(wire::full_name).transpose()?;
        let known = definition::known(hub).await?.with_models(over.clone(), default.clone());
        let name = self.team_name(hub, &known).await?;
        let (mut spec, team_version) = hub.engine.assemble(&name).await.map_err(refused)?;
        spec.allow_unpriced = self.allow_unpriced;
        let without = spec.choose_models(over.as_deref(), default.as_deref());
        if !without.is_empty() {
            return Err(no_model(&name, &without));
        }
        let simulated = check_models(&spec, parts)?;
        definition::afford(&spec.team, self.caps, &known.with_profiles(spec.profiles.values()))?;
        let cap = self.caps.cost.or(spec.team.budget.max_cost_usd);
        let start = StartRun {
            spec,
            team_version,
            task: self.task.clone(),
            input: input.map(|dir| dir.display().to_string()),
            session: self.session,
            caps: self.caps,
            simulated,
            user: hub.user.clone(),
            idempotency_key: None,
        };
        Ok(Ready { start, cap })
    }

    /// The team's name; a file is checked and saved first.
    async fn team_name(&self, hub: &Hub, known: &Known) -> Result<String> {
        if !is_path(&self.team) {
            return Ok(self.team.clone());
        }
        let text = file::read(Path::new(&self.team), MAX_TEAM_FILE)?;
        let bundle = definition::read(&[Source { file: &self.team, text: &text }], known)?;
        let [team] = bundle.teams.as_slice() else {
            let message = format!("`{}` holds {}; a run needs one", self.team, text::many(bundle.teams.len(), "team"));
            let hint = match bundle.teams.len() {
                0 => "add a document with `kind: team`",
                _ => "save the file with `convoke teams import FILE`, then name the team",
            };
            return Err(Failure::usage("which_team", message).hint(hint));
        };
        let name = team.name.clone();
        hub.engine.save(bundle.profiles, bundle.teams, &hub.user).await?;
        Ok(name)
    }
}

/// Says whom the run may come to wait for in vain, while there is time to add them.
async fn warn_of_strangers(hub: &Hub, spec: &RunSpec) -> Result<()> {
    let asks = spec.profiles.values().any(|profile| !profile.ask.is_empty());
    let teams = if asks { std::slice::from_ref(&spec.team) } else { &[] };
    let strangers = people::strangers(hub, &people::named(teams, spec.profiles.values())).await?;
    strangers.iter().for_each(|stranger| say::note(&stranger.line()));
    Ok(())
}

/// Starts a run; if that is refused, the worker is stopped before the refusal is told.
async fn start(hub: &Hub, start: StartRun, worker: Worker) -> Result<(RunId, Worker)> {
    match hub.engine.start_run(start).await {
        Ok(run) => Ok((run, worker)),
        Err(error) => {
            worker.stop().await;
            Err(refused(error))
        }
    }
}

/// What a rule refuses before a run has begun cannot be done as it was asked.
fn refused(error: convoke_engine::Error) -> Failure {
    match error {
        convoke_engine::Error::Refused(_) => Failure { exit: Exit::Usage, ..error.into() },
        convoke_engine::Error::Store(error) => error.into(),
    }
}

/// Says which other runs this process carries on as well.
fn tell_others(watch: &mut Watch, others: &[(RunId, String, Option<String>)]) {
    let going = others.iter().filter(|(_, state, _)| !matches!(state.as_str(), "paused" | "waiting")).count();
    if going > 0 {
        watch.tell(&format!("{} that had not ended goes on beside it", text::many(going, "run")));
    }
}

/// True if a team is given by a file's path rather than by its name.
pub fn is_path(team: &str) -> bool {
    let path = Path::new(team);
    let yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
    yaml || path.components().count() > 1 || team.starts_with('.')
}

/// An existing folder, by its full path.
pub fn folder(path: &Path) -> Result<PathBuf> {
    let refused = |reason: String| {
        Failure::usage("bad_input_folder", format!("the input `{}` cannot be used", path.display()))
            .cause(reason)
            .hint("give a folder whose files the team may read")
    };
    let full = path.canonicalize().map_err(|cause| match cause.kind() {
        std::io::ErrorKind::NotFound => refused("there is no such folder".to_owned()),
        _ => refused(cause.to_string()),
    })?;
    if full.is_dir() { Ok(full) } else { Err(refused("it is not a folder".to_owned())) }
}

fn no_model(team: &str, without: &[String]) -> Failure {
    let message = format!("no model is named for {}", without.join(", "));
    let script = match convoke_api::library::scripts().iter().any(|(plays, _)| *plays == team) {
        true => format!("; `--model script/{team}` plays this team without a model"),
        false => String::new(),
    };
    Failure::usage("no_model", message).hint(format!(
        "name one for all with `--model PROVIDER/MODEL`, one for those without with the variable CONVOKE_MODEL{script}"
    ))
}

/// Finds every agent's first model before anything is spent. Gives whether a script plays one of them.
fn check_models(spec: &RunSpec, parts: &Parts) -> Result<bool> {
    let mut simulated = false;
    for (agent, models) in &spec.models {
        for (place, name) in models.iter().enumerate() {
            let handle = match parts.models.find(name) {
                Ok(handle) => handle,
                // A fallback that cannot be had is found out when it is needed.
                Err(_) if place > 0 => continue,
                Err(error) => {
                    return Err(unusable(name, agent, error));
                }
            };
            simulated |= matches!(handle.tariff, Tariff::Simulated(_));
            if matches!(handle.tariff, Tariff::Unpriced) && !spec.allow_unpriced && place == 0 {
                return Err(unpriced(name));
            }
        }
    }
    Ok(simulated)
}

fn unusable(name: &str, agent: &str, error: ModelError) -> Failure {
    let message = format!("the model `{name}` of agent `{agent}` cannot be used");
    let failure = Failure::usage("model_unusable", message).cause(error.message);
    match error.fault {
        Fault::Auth => failure.hint("`convoke doctor` shows which providers have a key"),
        _ => failure,
    }
}

fn unpriced(name: &str) -> Failure {
    let message = format!("no price is known for the model `{name}`, so a budget in dollars cannot hold it");
    Failure::usage("unpriced_model", message).hint(format!(
        "add its price to `{}` in the data folder, or allow it with `--allow-unpriced` and limit it with `--tokens N`",
        wire::PRICES
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_from_a_name() {
        for path in ["team.yaml", "./team", "a/b", "/x", "t.json", "../t.yml"] {
            assert!(is_path(path), "{path}");
        }
        assert!(!is_path("incident-response") && !is_path("code-review"));
    }
}
