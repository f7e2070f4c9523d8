//! `convoke watch`: the messages of a run as they come.

use std::time::Duration;

use clap::Args;
use convoke_domain::run::State;
use convoke_engine::What;
use serde_json::json;

use crate::args::Global;
use crate::error::{Exit, Result};
use crate::thread::{reader, told};
use crate::{say, which};

/// How long a message is waited for before it is looked whether the run has ended.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct WatchArgs {
    #[arg(help = which::HELP)]
    pub run: String,
    /// Only messages after the event with this number
    #[arg(long, value_name = "SEQ", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub after: i64,
    /// Print what there is and end
    #[arg(long)]
    pub once: bool,
    /// Read private threads as well, on behalf of the audit: for owners, and put on record
    #[arg(long)]
    pub audit: bool,
}

impl WatchArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let (hub, reader) = reader(global, self.audit, "watch").await?;
        let run = which::run(&hub.engine, &self.run).await?;
        hub.engine.run_summary(run).await?;
        let mut follow = hub.engine.follow(What { run: Some(run), thread: None }, reader, self.after);
        loop {
            // Looked at first: what was said before the end is then among what is read.
            let state = hub.engine.run_summary(run).await?.state;
            let is_last = self.once || State::parse(&state).is_none_or(State::has_ended);
            let found = follow.next(if is_last { Duration::ZERO } else { PATIENCE }).await?;
            for (seq, message) in &found {
                if global.json {
                    say::json_line(&json!({"seq": seq, "message": message}))?;
                } else {
                    say::text(&told(message))?;
                }
            }
            if is_last && found.is_empty() {
                return Ok(Exit::Done);
            }
        }
    }
}
