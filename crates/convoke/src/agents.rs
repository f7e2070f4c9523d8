//! `convoke agents`: who is registered.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::args::Global;
use crate::error::{Exit, Result};
use crate::hub::Hub;
use crate::runs::room;
use crate::say;
use crate::text::{Side, Table};

#[derive(Debug, Args)]
pub struct AgentsArgs {
    #[command(subcommand)]
    pub action: Option<Action>,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// List all agents
    List,
}

impl AgentsArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let Action::List = self.action.unwrap_or(Action::List);
        let hub = Hub::up_to_date(global).await?;
        let agents = hub.engine.agents().await?;
        let list = |text: &str| serde_json::from_str::<Vec<String>>(text).unwrap_or_default();
        if global.json {
            let all: Vec<Value> = agents
                .iter()
                .map(|agent| {
                    json!({
                        "name": agent.name, "kind": agent.kind, "role": agent.role, "profile": agent.profile,
                        "profile_version": agent.profile_version, "capabilities": list(&agent.capabilities),
                        "tags": list(&agent.tags), "capacity": agent.capacity, "running": agent.running, "active": agent.active,
                        "created_at": agent.created_at, "updated_at": agent.updated_at,
                    })
                })
                .collect();
            say::json(&all)?;
            return Ok(Exit::Done);
        }
        let columns = [
            ("NAME", Side::Left),
            ("ROLE", Side::Left),
            ("BUSY", Side::Right),
            ("ACTIVE", Side::Left),
            ("CAPABILITIES", Side::Left),
        ];
        let mut table = Table::new(&columns);
        for agent in &agents {
            let busy = format!("{}/{}", agent.running, agent.capacity);
            let active = if agent.active { "yes" } else { "no" };
            let capabilities = list(&agent.capabilities).join(", ");
            table.row([agent.name.clone(), agent.role.clone(), busy, active.to_owned(), capabilities]);
        }
        say::text(&table.text(room()))?;
        Ok(Exit::Done)
    }
}
