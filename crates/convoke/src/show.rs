//! `convoke show`: a run as a tree of tasks and steps, with cost and time.

use clap::Args;

use crate::args::Global;
use crate::error::{Exit, Result};
use crate::hub::Hub;
use crate::{outcome, say, which};

#[derive(Debug, Args)]
pub struct ShowArgs {
    #[arg(help = which::HELP)]
    pub run: String,
}

impl ShowArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let hub = Hub::reader(global).await?;
        let run = which::run(&hub.engine, &self.run).await?;
        let record = hub.engine.run_record(run).await?;
        if global.json {
            say::json(&convoke_report::json(&record))?;
        } else {
            // Colours are taken out again where the stream has none.
            say::text(&convoke_report::tree(&record, true))?;
            outcome::waits(&hub, &record).iter().try_for_each(|line| say::line(line))?;
        }
        Ok(Exit::Done)
    }
}
