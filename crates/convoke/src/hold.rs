//! `convoke cancel`, `pause` and `resolve`: what a person says to a run, here or through the process that works on it.

use clap::Args;
use serde_json::json;

use crate::args::Global;
use crate::control::{self, Done, Outcome, Request};
use crate::error::{Exit, Failure, Result};
use crate::hub::Hub;
use crate::{say, which};

/// The longest note, in bytes.
pub const MAX_NOTE: usize = 16 * 1024;

#[derive(Debug, Args)]
pub struct CancelArgs {
    #[arg(help = which::HELP)]
    pub run: String,
}

#[derive(Debug, Args)]
pub struct PauseArgs {
    #[arg(help = which::HELP)]
    pub run: String,
}

#[derive(Debug, Args)]
pub struct ResolveArgs {
    /// The effect's key, as `convoke show RUN` prints it
    pub effect: String,
    /// What became of it
    pub outcome: Outcome,
    /// What the tool gave back, or why it did not act
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub note: String,
}

impl CancelArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let hub = Hub::reader(global).await?;
        let (run, user) = (which::run(&hub.engine, &self.run).await?, hub.user.clone());
        drop(hub);
        carry_out(global, Request::Cancel { run, user }).await?;
        told(global, &run.to_string(), "cancelled", &format!("run {run} is cancelled"))
    }
}

impl PauseArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let hub = Hub::reader(global).await?;
        let (run, user) = (which::run(&hub.engine, &self.run).await?, hub.user.clone());
        let resume = hub.place.command(&format!("resume {run}"));
        drop(hub);
        carry_out(global, Request::Pause { run, user }).await?;
        told(global, &run.to_string(), "paused", &format!("run {run} is paused; let it go on with {resume}"))
    }
}

impl ResolveArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        if self.note.len() > MAX_NOTE {
            return Err(Failure::usage("note_too_long", format!("the note has more than {MAX_NOTE} bytes")));
        }
        let (effect, user) = (self.effect.clone(), global.user.clone());
        let request = Request::Resolve { effect, outcome: self.outcome, note: self.note, user };
        carry_out(global, request).await?;
        let words =
            format!("noted; if its run waits for nothing else, it goes on with `convoke resume`: {}", self.effect);
        told(global, &self.effect, "resolved", &words)
    }
}

fn told(global: &Global, id: &str, what: &str, words: &str) -> Result<Exit> {
    if global.json {
        say::json(&json!({"id": id, what: true}))?;
    } else if !global.quiet {
        say::line(words)?;
    }
    Ok(Exit::Done)
}

/// A request that was carried out.
pub struct Carried {
    /// What came of it.
    pub done: Done,
    /// By this very process, so that nobody works on what follows.
    pub is_here: bool,
}

/// Carries a request out here, or has it carried out by the process that holds the folder.
pub async fn carry_out(global: &Global, request: Request) -> Result<Carried> {
    match Hub::writer(global).await {
        Ok(hub) => Ok(Carried { done: request.carry_out(&hub.engine).await?, is_here: true }),
        Err(held) if held.code == "in_use" => {
            let place = crate::place::Place::find(global.data.as_deref())?;
            let done = control::ask(&place.dir, &request).await.unwrap_or(Err(held))?;
            Ok(Carried { done, is_here: false })
        }
        Err(failure) => Err(failure),
    }
}
