//! `convoke show`: a run as a tree of tasks and steps, with cost and time.

use clap::Args;
use convoke_domain::record::RunRecord;

use crate::args::Global;
use crate::error::{Exit, Result};
use crate::hub::Hub;
use crate::{analytics, outcome, say, which};

#[derive(Debug, Args)]
pub struct ShowArgs {
    #[arg(help = which::HELP)]
    pub run: String,
    /// How it went, in figures: speed-up, parallel use, coordination, agreement, cost, and what people think
    #[arg(long)]
    pub analytics: bool,
}

impl ShowArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let hub = Hub::reader(global).await?;
        let run = which::run(&hub.engine, &self.run).await?;
        let record = hub.engine.run_record(run).await?;
        if self.analytics {
            return tell_analytics(global, &record);
        }
        if global.json {
            say::json(&convoke_report::json(&record))?;
        } else {
            // Colours are taken out again where the stream has none.
            say::text(&convoke_report::tree(&record, true))?;
            outcome::waits(&hub, &record).iter().try_for_each(|line| say::line(line))?;
            outcome::held_up(&hub, &[run]).await?.iter().try_for_each(|line| say::line(line))?;
        }
        Ok(Exit::Done)
    }
}

fn tell_analytics(global: &Global, record: &RunRecord) -> Result<Exit> {
    if global.json {
        say::json(&analytics::as_json(record))?;
    } else {
        analytics::of_run(record)?;
    }
    Ok(Exit::Done)
}
