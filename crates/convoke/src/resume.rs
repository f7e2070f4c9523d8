//! `convoke resume`: unfinished runs go on where they were, all or one.

use clap::Args;
use convoke_domain::id::RunId;
use convoke_domain::money::Money;
use convoke_engine::{Caps, Resume};
use tokio::sync::mpsc;

use crate::args::{Global, money, tokens};
use crate::control::{self, Request};
use crate::error::{Exit, Failure, Result};
use crate::hub::Hub;
use crate::live::watch::{View, Watch, can_be_asked};
use crate::outcome;
use crate::place::Place;
use crate::run::{Work, open};
use crate::signals::Signals;
use crate::{say, text, which};

/// Unfinished runs that are looked at.
const MAX_RUNS: i64 = 1_000;
/// Runs that an error names.
const NAMED: usize = 4;

#[derive(Debug, Args)]
pub struct ResumeArgs {
    #[arg(help = which::HELP)]
    pub run: Option<String>,
    /// New cap in dollars
    #[arg(long, value_name = "USD", value_parser = money, allow_negative_numbers = true, requires = "run")]
    pub budget: Option<Money>,
    /// New cap in tokens
    #[arg(long, value_name = "N", value_parser = tokens, allow_negative_numbers = true, requires = "run")]
    pub tokens: Option<i64>,
    #[command(flatten)]
    pub work: Work,
}

impl ResumeArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let place = Place::find(global.data.as_deref())?;
        let (hub, _) = match open(global, place, self.work).await {
            Err(failure) if failure.code == "in_use" && self.run.is_some() => {
                return self.ask_holder(global, failure).await;
            }
            Err(failure) if failure.code == "in_use" => return Err(held_by(global, failure).await),
            other => other?,
        };
        hub.engine.check_governs(&hub.user, "resume runs").await?;
        // What was to end while nobody was at work.
        let ended = hub.engine.fall_due().await?;
        if ended > 0 && !global.quiet {
            let what = text::many(ended, "wait");
            say::note(&format!(
                "{what} had come to an end while nobody was at work: where there was a default, it is taken"
            ));
        }
        match &self.run {
            Some(run) => {
                let run = which::run(&hub.engine, run).await?;
                hub.engine.resume(run, Resume { caps: self.caps(), user: hub.user.clone() }).await?;
                carry_on(global, &hub, vec![run]).await
            }
            None => {
                let runs = unfinished(global, &hub).await?;
                if runs.is_empty() && global.json {
                    say::line("[]")?;
                }
                if runs.is_empty() { Ok(Exit::Done) } else { carry_on(global, &hub, runs).await }
            }
        }
    }

    const fn caps(&self) -> Caps {
        Caps { cost: self.budget, tokens: self.tokens }
    }

    /// The process that works on the folder lets the run go on.
    async fn ask_holder(&self, global: &Global, held: Failure) -> Result<Exit> {
        let hub = Hub::reader(global).await?;
        let run = which::run(&hub.engine, self.run.as_deref().unwrap_or_default()).await?;
        let request = Request::Resume { run, budget: self.budget, tokens: self.tokens, user: hub.user.clone() };
        match control::ask(&hub.place.dir, &request).await {
            None => Err(held),
            Some(answer) => {
                answer?;
                let message = format!("run {run} goes on in the process that holds the data folder");
                if global.json {
                    say::json(&serde_json::json!({"id": run, "resumed": true, "here": false}))?;
                } else {
                    say::line(&message)?;
                }
                Ok(Exit::Done)
            }
        }
    }
}

/// What the process that works on the folder has in hand, so that nothing is left to carry on here.
async fn held_by(global: &Global, held: Failure) -> Failure {
    let Ok(hub) = Hub::reader(global).await else { return held };
    let Ok(runs) = hub.engine.unfinished(MAX_RUNS).await else { return held };
    if runs.is_empty() || !control::is_served(&hub.place.dir).await {
        return held;
    }
    let named = |(run, state, _): &(RunId, String, Option<String>)| format!("{run} ({state})");
    let mut names: Vec<_> = runs.iter().take(NAMED).map(named).collect();
    if runs.len() > NAMED {
        names.push(format!("{} more", runs.len() - NAMED));
    }
    let message = format!("{}, which carries on what is unfinished: {}", held.message, names.join(", "));
    let rests = runs.iter().find(|(_, state, _)| matches!(state.as_str(), "paused" | "waiting"));
    let place = &hub.place;
    let hint = match rests {
        Some((run, state, _)) if state == "paused" => {
            format!("let the one that is paused go on there: {}", place.command(&format!("resume {run}")))
        }
        Some(_) => format!("look at what is waited for: {}", place.command("inbox")),
        None => format!("watch it: {}", place.command(&format!("watch {}", runs[0].0))),
    };
    Failure { message, hint: Some(hint), ..held }
}

/// Runs that a crash or a stop left behind. Those that are held or wait are told, with what they need.
async fn unfinished(global: &Global, hub: &Hub) -> Result<Vec<RunId>> {
    let all = hub.engine.unfinished(MAX_RUNS).await?;
    let asked = match View::asks(global.quiet, global.json) {
        true => hub
            .engine
            .inbox(&hub.user)
            .await?
            .iter()
            .filter(|one| can_be_asked(one))
            .filter_map(|one| one.run)
            .collect(),
        false => Vec::new(),
    };
    let mut going = Vec::new();
    for (run, state, reason) in all {
        let reason = text::line(reason.as_deref().unwrap_or("no reason was given"));
        match state.as_str() {
            "paused" => {
                let resume = hub.place.command(&format!("resume {run}"));
                say::note(&format!("run {run} is paused: {reason}. Let it go on: {resume}"));
            }
            // What it waits for is asked in place, as `run` does.
            "waiting" if asked.contains(&run) => going.push(run),
            "waiting" => {
                say::note(&format!("run {run} waits: {reason}"));
                let record = hub.engine.run_record(run).await?;
                outcome::waits(hub, &record).iter().for_each(|line| say::note(&format!("  {line}")));
            }
            _ => going.push(run),
        }
    }
    if going.is_empty() && !global.quiet && !global.json {
        say::line("no run has to be carried on")?;
    }
    Ok(going)
}

async fn carry_on(global: &Global, hub: &Hub, runs: Vec<RunId>) -> Result<Exit> {
    let mut signals = Signals::listen()?;
    let (going, added) = mpsc::channel(64);
    let _served = control::serve(&hub.place.dir, &hub.engine, going)?;
    let mut watch = Watch::new(&hub.engine, View::suited(global.quiet, global.json, runs.len() > 1), added);
    watch.answer_as(&hub.user);
    for run in &runs {
        let record = hub.engine.run_budgets(*run).await?;
        let cap = record.iter().find(|budget| budget.scope.starts_with("run:")).and_then(|budget| budget.cap_cost);
        watch.follow(*run, cap, false).await?;
        watch.tell(&format!("run {run} goes on"));
    }
    let worker = hub.engine.work().await?;
    let stopped = watch.until_rest(worker, &mut signals).await?;
    let runs = watch.runs();
    drop(watch);
    outcome::tell(global, hub, &runs, stopped).await
}
