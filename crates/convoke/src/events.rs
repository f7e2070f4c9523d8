//! `convoke events`: the record of what happened in a run, event by event, and as it goes on.

use std::time::Duration;

use clap::Args;
use convoke_domain::event::Event;
use convoke_domain::id::{RunId, WorkspaceId};
use convoke_domain::run::State;
use tokio::time::{MissedTickBehavior, interval};

use crate::args::Global;
use crate::error::{Exit, Result};
use crate::hub::Hub;
use crate::{say, text, which};

/// Events read at once.
const PAGE: u32 = 1_000;
/// Time between two looks for new events: whoever writes them may be another process.
const LOOK: Duration = Duration::from_millis(200);
/// Columns of an event's details.
const DETAILS: usize = 200;

#[derive(Debug, Args)]
pub struct EventsArgs {
    #[arg(help = which::HELP)]
    pub run: String,
    /// Go on until the run has ended
    #[arg(long, short)]
    pub follow: bool,
    /// Only events after this number
    #[arg(long, value_name = "SEQ", default_value_t = 0, allow_negative_numbers = true, value_parser = cursor)]
    pub after: i64,
}

fn cursor(text: &str) -> Result<i64, String> {
    text.parse::<i64>().ok().filter(|seq| *seq >= 0).ok_or_else(|| "write the number of an event, from 0".to_owned())
}

impl EventsArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let hub = Hub::reader(global).await?;
        let run = which::run(&hub.engine, &self.run).await?;
        // Tells apart a run without events after the cursor from a run that is not there.
        hub.engine.run_summary(run).await?;
        let mut after = self.after;
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let ended = !self.follow || has_ended(&hub, run).await?;
            after = print(global, &hub, run, after).await?;
            if ended {
                return Ok(Exit::Done);
            }
            look.tick().await;
        }
    }
}

async fn has_ended(hub: &Hub, run: RunId) -> Result<bool> {
    let state = hub.engine.run_summary(run).await?.state;
    Ok(State::parse(&state).is_none_or(State::has_ended))
}

/// Prints what there is after a number. Gives the number of the last.
async fn print(global: &Global, hub: &Hub, run: RunId, mut after: i64) -> Result<i64> {
    loop {
        let page = hub.engine.store().events_after(WorkspaceId::DEFAULT, after, Some(run), PAGE).await?;
        for event in &page {
            if global.json {
                say::json_line(event)?;
            } else {
                say::line(&line(event))?;
            }
        }
        after = page.last().map_or(after, |event| event.seq);
        if page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
            return Ok(after);
        }
    }
}

fn line(event: &Event) -> String {
    let empty = event.payload.as_object().is_none_or(serde_json::Map::is_empty);
    let details = if empty { String::new() } else { text::cut(&text::line(&event.payload.to_string()), DETAILS) };
    let id = event.entity_id.rsplit('_').next().unwrap_or_default();
    let id: String = id.chars().rev().take(6).collect::<Vec<_>>().into_iter().rev().collect();
    let on = if event.entity == "run" { String::new() } else { format!("…{id}") };
    let words = [
        text::pad_start(&event.seq.to_string(), 6),
        event.at.to_string(),
        text::pad(&event.kind, 18),
        text::pad(&text::line(&event.actor), 26),
        text::pad(&text::line(&on), 7),
        details,
    ];
    words.join("  ").trim_end().to_owned()
}
