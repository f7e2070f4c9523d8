//! `convoke rate`: a person says how well a run, an agent's part in it, or a task was.

use clap::Args;
use convoke_domain::analytics::STARS;
use convoke_engine::{About, Rate};
use serde_json::json;

use crate::args::Global;
use crate::control::Request;
use crate::error::{Exit, Failure, Result};
use crate::hold::{MAX_NOTE, carry_out};
use crate::hub::Hub;
use crate::{say, text, which};

#[derive(Debug, Args)]
pub struct RateArgs {
    #[arg(help = which::HELP)]
    pub run: String,
    /// From 1, of no use, to 5, could not be better
    #[arg(value_parser = stars)]
    pub stars: i64,
    /// The part of this agent in the run
    #[arg(long, value_name = "NAME", conflicts_with = "task")]
    pub agent: Option<String>,
    /// One task: its key, `STAGE/KEY`, or its id
    #[arg(long, value_name = "KEY")]
    pub task: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub note: String,
}

fn stars(text: &str) -> std::result::Result<i64, String> {
    let stars = text.parse().ok().filter(|stars| STARS.contains(stars));
    stars.ok_or_else(|| "a rating is a whole number from 1 (of no use) to 5 (could not be better)".to_owned())
}

impl RateArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        if self.note.len() > MAX_NOTE {
            return Err(
                Failure::usage("note_too_long", format!("the note has more than {MAX_NOTE} bytes")).hint("shorten it")
            );
        }
        let hub = Hub::reader(global).await?;
        let run = which::run(&hub.engine, &self.run).await?;
        drop(hub);
        let (about, of) = match (self.agent, self.task) {
            (Some(name), _) => (About::Agent(name.clone()), format!("the part of {name}")),
            (None, Some(key)) => (About::Task(key.clone()), format!("task {key}")),
            (None, None) => (About::Run, "the run".to_owned()),
        };
        let rate = Rate { run, about, stars: self.stars, note: self.note };
        carry_out(global, Request::Rate { rate, user: global.user.clone() }).await?;
        if global.json {
            say::json(&json!({"run": run, "of": of, "stars": self.stars, "rated": true}))?;
        } else if !global.quiet {
            let line = format!("rated: {} of 5 for {of}; rating again changes it", self.stars);
            say::line(&text::line(&line))?;
        }
        Ok(Exit::Done)
    }
}
