//! What a person decides about agents: changes of one, heartbeats, grants, spawning, stopping, moving budget. Carried out here,
//! or by the process that works on the folder; what is asked for carries its own id, so that nothing has to come back.

use convoke_domain::id::{AgentId, GrantId, RunId};
use convoke_engine::{AgentBeat, AgentChange, Engine, GiveGrant, MoveBudget, SpawnOrder};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::args::Global;
use crate::control::Request;
use crate::error::{Exit, Result};
use crate::{hold, say};

/// One decision.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Change what is kept of an agent.
    Change {
        /// Its name.
        agent: String,
        /// How.
        change: AgentChange,
    },
    /// Take a heartbeat.
    Beat {
        /// The agent's name.
        agent: String,
        /// What it says.
        beat: AgentBeat,
    },
    /// Give an agent a right.
    Grant {
        /// The grant's id.
        id: GrantId,
        /// What is given.
        give: GiveGrant,
    },
    /// Take a grant back.
    Revoke {
        /// The grant's id.
        id: GrantId,
    },
    /// Add an agent to a run.
    Spawn {
        /// The run.
        run: RunId,
        /// What is asked for.
        order: Box<SpawnOrder>,
        /// What its name is made unique by.
        seed: AgentId,
    },
    /// Stop an agent and all below it.
    Kill {
        /// The run.
        run: RunId,
        /// The agent's name.
        agent: String,
    },
    /// Move unspent budget.
    Move(MoveBudget),
}

impl Order {
    /// Carries it out here.
    pub async fn carry_out(self, engine: &Engine, user: &str) -> Result<()> {
        match self {
            Self::Change { agent, change } => engine.change_agent(&agent, change, user).await?,
            Self::Beat { agent, beat } => engine.heartbeat(&agent, beat, user).await?,
            Self::Grant { id, give } => drop(engine.grant(id, GiveGrant { user: user.to_owned(), ..give }).await?),
            Self::Revoke { id } => engine.revoke(id, user).await?,
            Self::Spawn { run, order, seed } => drop(engine.spawn(run, *order, user, seed.0).await?),
            Self::Kill { run, agent } => drop(engine.kill(run, &agent, user).await?),
            Self::Move(what) => engine.move_budget(MoveBudget { user: user.to_owned(), ..what }).await?,
        }
        Ok(())
    }
}

/// Has a decision carried out, and tells that it was.
pub async fn done(global: &Global, order: Order, (id, what): (&str, &str), words: &str) -> Result<Exit> {
    hold::carry_out(global, Request::Govern { order, user: global.user.clone() }).await?;
    if global.json {
        say::json(&json!({"id": id, what: true}))?;
    } else if !global.quiet {
        say::line(words)?;
    }
    Ok(Exit::Done)
}
