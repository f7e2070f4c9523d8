//! `convoke stats`: counts over everything that is kept.

use std::collections::BTreeMap;

use clap::Args;

use crate::args::Global;
use crate::error::{Exit, Result};
use crate::hub::Hub;
use crate::{say, text};

#[derive(Debug, Args)]
pub struct StatsArgs {}

impl StatsArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let hub = Hub::reader(global).await?;
        let stats = hub.engine.stats().await?;
        if global.json {
            say::json(&stats)?;
            return Ok(Exit::Done);
        }
        let rows = [
            (
                "agents",
                format!(
                    "{}, {} at work, room for {} tasks",
                    stats.agents_total,
                    stats.agents_active,
                    text::count(stats.capacity)
                ),
            ),
            ("waiting tasks", text::count(stats.queue_size)),
            ("tasks", by_state(&stats.tasks)),
            ("runs", by_state(&stats.runs)),
            ("messages", text::count(stats.messages)),
            ("decisions", format!("{}, {} open", text::count(stats.decisions), text::count(stats.open_questions))),
            ("events", text::count(stats.events)),
        ];
        for (name, value) in rows {
            say::line(&format!("{}  {value}", text::pad(name, 14)))?;
        }
        Ok(Exit::Done)
    }
}

fn by_state(counts: &BTreeMap<String, i64>) -> String {
    let all: i64 = counts.values().sum();
    let parts: Vec<String> = counts.iter().map(|(state, count)| format!("{} {state}", text::count(*count))).collect();
    if parts.is_empty() { "0".to_owned() } else { format!("{} ({})", text::count(all), parts.join(", ")) }
}
