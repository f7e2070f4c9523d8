//! `convoke reputation`: what is known of agents' work, from votes, reviews, ratings and answers that were compared.

use std::collections::BTreeMap;

use clap::Args;
use convoke_domain::outcome::{Kind, Reputation};

use crate::args::Global;
use crate::error::{Exit, Result};
use crate::hub::Hub;
use crate::runs::room;
use crate::say;
use crate::text::{Side, Table};

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
            ("FROM", Side::Left),
        ]);
        for one in &found {
            table.row(cells(one));
        }
        say::text(&table.text(room()))?;
        Ok(Exit::Done)
    }
}

fn cells(one: &Reputation) -> [String; 6] {
    [
        one.agent.clone(),
        if one.capability.is_empty() { "all".to_owned() } else { one.capability.clone() },
        format!("{:.0} %", one.accuracy * 100.0),
        format!("{:.2}", one.weight),
        format!("{:.1}", one.right + one.wrong),
        sources(&one.kinds),
    ]
}

fn sources(kinds: &BTreeMap<Kind, u64>) -> String {
    kinds.iter().map(|(kind, count)| format!("{count} {}", kind.as_str())).collect::<Vec<_>>().join(", ")
}
