//! `convoke reputation`: what is known of agents' work, from votes, reviews, scores, ratings and answers that were compared; and what it
//! takes.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use convoke_domain::effort::Effort;
use convoke_domain::outcome::{Kind, Reputation};

use crate::args::Global;
use crate::error::{Exit, Result};
use crate::hub::Hub;
use crate::runs::room;
use crate::say;
use crate::text::{self, Side, Table};

#[derive(Debug, Args)]
pub struct ReputationArgs {
    /// Only this agent
    pub agent: Option<String>,
}

impl ReputationArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let found = Hub::reader(global).await?.engine.reputation(self.agent.as_deref()).await?;
        if global.json {
            say::json(&found)?;
            return Ok(Exit::Done);
        }
        if found.is_empty() {
            say::line("nothing is known of anybody's work so far: no vote, review or rating")?;
            return Ok(Exit::Done);
        }
        let mut table = Table::new(&[
            ("AGENT", Side::Left),
            ("CAPABILITY", Side::Left),
            ("RIGHT", Side::Right),
            ("WEIGHT", Side::Right),
            ("CASES", Side::Right),
            ("BY TASK", Side::Right),
            ("TOOK", Side::Right),
            ("FROM", Side::Left),
        ]);
        for one in &found {
            table.row(cells(one));
        }
        say::text(&table.text(room()))?;
        Ok(Exit::Done)
    }
}

fn cells(one: &Reputation) -> [String; 8] {
    let [cost, took] = one.effort.as_ref().map_or_else(Default::default, effort);
    [
        one.agent.clone(),
        if one.capability.is_empty() { "all".to_owned() } else { one.capability.clone() },
        format!("{:.0} %", one.accuracy * 100.0),
        format!("{:.2}", one.weight),
        format!("{:.1}", one.right + one.wrong),
        cost,
        took,
        sources(&one.kinds),
    ]
}

/// What a task costs, and how long half of them take at most.
fn effort(effort: &Effort) -> [String; 2] {
    let unpriced = if effort.unpriced_calls > 0 { "+?" } else { "" };
    let took = effort.median_ms.map(|ms| text::duration(Duration::from_millis(ms.unsigned_abs())));
    [effort.cost_per_task_usd.map_or_else(String::new, |cost| format!("{cost}{unpriced}")), took.unwrap_or_default()]
}

fn sources(kinds: &BTreeMap<Kind, u64>) -> String {
    kinds.iter().map(|(kind, count)| format!("{count} {}", kind.as_str())).collect::<Vec<_>>().join(", ")
}
