//! `convoke runs`: the list, the newest first.

use clap::Args;
use convoke_domain::record::RunSummary;

use crate::args::Global;
use crate::error::{Exit, Result};
use crate::hub::Hub;
use crate::live::screen::{self, Stream};
use crate::text::{self, Side, Table};
use crate::{say, which};

#[derive(Debug, Args)]
pub struct RunsArgs {
    /// How many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=1_000))]
    pub limit: i64,
    /// Only runs older than this one
    #[arg(long, value_name = "RUN")]
    pub before: Option<String>,
}

impl RunsArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let hub = Hub::reader(global).await?;
        let before = match &self.before {
            Some(run) => Some(which::run(&hub.engine, run).await?),
            None => None,
        };
        let runs = hub.engine.runs(before, self.limit).await?;
        if global.json {
            say::json(&runs)?;
        } else if runs.is_empty() {
            say::line("no runs yet; begin with `convoke demo`, or `convoke run TEAM \"task\"`")?;
        } else {
            say::text(&table(&runs).text(room()))?;
            self.tell_more(&runs)?;
        }
        Ok(Exit::Done)
    }

    fn tell_more(&self, runs: &[RunSummary]) -> Result<()> {
        match runs.last() {
            Some(last) if i64::try_from(runs.len()).unwrap_or(0) == self.limit => {
                say::line(&text::paint(text::DIM, &format!("older: convoke runs --before {}", last.id)))
            }
            _ => Ok(()),
        }
    }
}

/// How wide a table may be: as the terminal is, or as it likes.
pub fn room() -> Option<usize> {
    Stream::Out.is_terminal().then(|| screen::size().0)
}

fn table(runs: &[RunSummary]) -> Table {
    let mut table = Table::new(&[
        ("RUN", Side::Left),
        ("STATE", Side::Left),
        ("STARTED (UTC)", Side::Left),
        ("TIME", Side::Right),
        ("CALLS", Side::Right),
        ("TOKENS", Side::Right),
        ("COST", Side::Right),
        ("TEAM", Side::Left),
        ("TASK", Side::Left),
    ]);
    for run in runs {
        let script = if run.simulated { "~" } else { "" };
        let unpriced = if run.unpriced_calls > 0 { "+?" } else { "" };
        let took = run.finished_at.map(|at| text::duration(at.since(run.created_at)));
        table.row([
            run.id.to_string(),
            standing(run),
            text::clock(run.started_at.unwrap_or(run.created_at)),
            took.unwrap_or_default(),
            text::count(run.model_calls),
            text::count(run.tokens),
            format!("{script}{}{unpriced}", run.cost_usd),
            run.team.clone(),
            run.task.clone(),
        ]);
    }
    table
}

/// The state; of a run that goes on, with the phase it is in.
fn standing(run: &RunSummary) -> String {
    match run.state.as_str() {
        "running" => format!("running: {}", run.phase),
        other => other.to_owned(),
    }
}
