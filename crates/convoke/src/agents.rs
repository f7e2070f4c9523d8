//! `convoke agents`: who is registered, how each is, and what a person decides about one.

use clap::{Args, Subcommand, ValueEnum};
use convoke_domain::agent::Standing;
use convoke_engine::{AgentBeat, AgentChange};
use convoke_store::agent::Record;
use serde_json::{Value, json};

use crate::args::Global;
use crate::error::{Exit, Result};
use crate::govern::{self, Order};
use crate::hub::Hub;
use crate::runs::room;
use crate::say;
use crate::text::{self, Side, Table};

#[derive(Debug, Args)]
pub struct AgentsArgs {
    #[command(subcommand)]
    pub action: Option<Action>,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// List agents
    List {
        /// Those too that have ended with their run
        #[arg(long)]
        all: bool,
    },
    /// Show one in full
    Show {
        /// Its name
        name: String,
    },
    /// Make one the workspace's default
    Default {
        /// Its name
        name: String,
    },
    /// Give one a rank in the workspace
    Role {
        /// Its name
        name: String,
        /// The rank
        role: Rank,
    },
    /// Send a heartbeat for one
    Heartbeat {
        /// Its name
        name: String,
        /// It is there, and not well
        #[arg(long, conflicts_with = "leave")]
        degraded: bool,
        /// It leaves: its work is put back
        #[arg(long)]
        leave: bool,
    },
    /// Make one choosable again
    Activate {
        /// Its name
        name: String,
    },
    /// Keep one, but never choose it
    Deactivate {
        /// Its name
        name: String,
    },
    /// Give one no task for now
    Block {
        /// Its name
        name: String,
    },
    /// Give one tasks again
    Unblock {
        /// Its name
        name: String,
    },
    /// Put one away for good
    Retire {
        /// Its name
        name: String,
    },
}

/// A rank in the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rank {
    /// Escalations go to it, and it may give tasks to all
    Supervisor,
    /// The usual
    Worker,
    /// It is asked for what it knows
    Specialist,
}

impl AgentsArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let change = |name: String, change, what: &'static str, words: String| async move {
            let order = Order::Change { agent: name.clone(), change };
            govern::done(global, order, (&name, what), &format!("agent `{name}` {words}")).await
        };
        match self.action.unwrap_or(Action::List { all: false }) {
            Action::List { all } => list(global, all).await,
            Action::Show { name } => show(global, &name).await,
            Action::Default { name } => change(name, AgentChange::Default, "default", "is the default".into()).await,
            Action::Role { name, role } => {
                let standing = match role {
                    Rank::Supervisor => Standing::Supervisor,
                    Rank::Worker => Standing::Worker,
                    Rank::Specialist => Standing::Specialist,
                };
                let words = format!("is {} in this workspace", standing.as_str());
                change(name, AgentChange::Standing(standing), "role", words).await
            }
            Action::Heartbeat { name, degraded, leave } => heartbeat(global, &name, degraded, leave).await,
            Action::Activate { name } => change(name, AgentChange::Activate, "active", "is active".into()).await,
            Action::Deactivate { name } => {
                change(name, AgentChange::Deactivate, "inactive", "is switched off".into()).await
            }
            Action::Block { name } => change(name, AgentChange::Block, "blocked", "gets no task for now".into()).await,
            Action::Unblock { name } => {
                change(name, AgentChange::Unblock, "unblocked", "gets tasks again".into()).await
            }
            Action::Retire { name } => change(name, AgentChange::Retire, "retired", "is retired".into()).await,
        }
    }
}

async fn heartbeat(global: &Global, name: &str, degraded: bool, leave: bool) -> Result<Exit> {
    let (beat, words) = match (degraded, leave) {
        (_, true) => (AgentBeat::Leave, "is offline; its work is put back"),
        (true, false) => (AgentBeat::Trouble, "is degraded"),
        (false, false) => (AgentBeat::Well, "is healthy"),
    };
    let order = Order::Beat { agent: name.to_owned(), beat };
    govern::done(global, order, (name, "heartbeat"), &format!("agent `{name}` {words}")).await
}

fn words(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_default()
}

fn value(agent: &Record) -> Value {
    json!({
        "name": agent.name, "kind": agent.kind, "role": agent.role, "profile": agent.profile,
        "profile_version": agent.profile_version, "capabilities": words(&agent.capabilities), "tags": words(&agent.tags),
        "capacity": agent.capacity, "running": agent.running, "active": agent.active, "status": agent.status,
        "health": agent.health, "heartbeat": agent.heartbeat, "beats": agent.beats, "away": agent.away,
        "workspace_role": agent.standing, "default": agent.is_default, "run": agent.run,
        "created_at": agent.created_at, "updated_at": agent.updated_at,
    })
}

async fn list(global: &Global, all: bool) -> Result<Exit> {
    let hub = Hub::up_to_date(global).await?;
    let mut agents = hub.engine.agents().await?;
    agents.retain(|agent| all || agent.run.is_none() || agent.active);
    if global.json {
        say::json(&agents.iter().map(value).collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    let columns = [
        ("NAME", Side::Left),
        ("KIND", Side::Left),
        ("ROLE", Side::Left),
        ("STATUS", Side::Left),
        ("HEALTH", Side::Left),
        ("BUSY", Side::Right),
        ("ACTIVE", Side::Left),
        ("CAPABILITIES", Side::Left),
    ];
    let mut table = Table::new(&columns);
    for agent in &agents {
        let busy = format!("{}/{}", agent.running, agent.capacity);
        let active = if agent.active { "yes" } else { "no" };
        let name = if agent.is_default { format!("{} *", agent.name) } else { agent.name.clone() };
        table.row([
            name,
            agent.kind.clone(),
            agent.role.clone(),
            agent.status.clone(),
            agent.health.clone(),
            busy,
            active.to_owned(),
            words(&agent.capabilities).join(", "),
        ]);
    }
    say::text(&table.text(room()))?;
    Ok(Exit::Done)
}

async fn show(global: &Global, name: &str) -> Result<Exit> {
    let hub = Hub::up_to_date(global).await?;
    let agent = hub.engine.agent(name).await?;
    if global.json {
        say::json(&value(&agent))?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&[("", Side::Left), ("", Side::Left)]);
    let heard = agent.heartbeat.map_or_else(|| "never".to_owned(), text::clock);
    for (key, value) in [
        ("name", agent.name.clone()),
        ("kind", agent.kind.clone()),
        ("role", agent.role.clone()),
        ("in the workspace", agent.standing.clone()),
        ("default", if agent.is_default { "yes" } else { "no" }.to_owned()),
        ("active", if agent.active { "yes" } else { "no" }.to_owned()),
        ("status", agent.status.clone()),
        ("health", agent.health.clone()),
        ("heard of (UTC)", heard),
        ("busy", format!("{}/{}", agent.running, agent.capacity)),
        ("profile", format!("{}, version {}", agent.profile, agent.profile_version)),
        ("ends with", agent.run.map_or_else(|| "nothing".to_owned(), |run| run.to_string())),
        ("capabilities", words(&agent.capabilities).join(", ")),
        ("tags", words(&agent.tags).join(", ")),
    ] {
        table.row([key.to_owned(), text::line(&value)]);
    }
    say::text(&table.text(room()))?;
    Ok(Exit::Done)
}
