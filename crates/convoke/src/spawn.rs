//! `convoke spawn`, `kill` and `budget move`: what a person does to the agents of a run that is under way.

use clap::{Args, Subcommand};
use convoke_domain::budget::Amount;
use convoke_domain::id::AgentId;
use convoke_domain::money::Money;
use convoke_domain::profile::Limits;
use convoke_engine::{AdHoc, MoveBudget, SpawnOrder, SpawnWhat};

use crate::args::{self, Global};
use crate::error::{Exit, Failure, Result};
use crate::govern::{self, Order};
use crate::hub::Hub;
use crate::{which, wire};

#[derive(Debug, Args)]
pub struct SpawnArgs {
    #[arg(help = which::HELP)]
    pub run: String,
    /// What the agent shall do
    pub task: String,
    /// The profile to make it from
    #[arg(long, value_name = "PROFILE", required_unless_present = "name", conflicts_with = "name")]
    pub profile: Option<String>,
    /// Or what to call one that is made up
    #[arg(long, value_name = "NAME", requires = "prompt")]
    pub name: Option<String>,
    /// The instructions it works by
    #[arg(long, value_name = "TEXT", requires = "name")]
    pub prompt: Option<String>,
    /// A tool that it shall have; may be given more than once
    #[arg(long = "tool", value_name = "TOOL", requires = "name")]
    pub tools: Vec<String>,
    /// What it can do; may be given more than once
    #[arg(long = "capability", value_name = "WORD", requires = "name")]
    pub capabilities: Vec<String>,
    /// The most dollars it may spend
    #[arg(long, value_name = "USD", value_parser = args::money)]
    pub budget: Option<Money>,
    /// The most tokens it may use
    #[arg(long, value_name = "N", value_parser = args::tokens)]
    pub tokens: Option<i64>,
}

#[derive(Debug, Args)]
pub struct KillArgs {
    #[arg(help = which::HELP)]
    pub run: String,
    /// The agent
    pub agent: String,
}

#[derive(Debug, Args)]
pub struct BudgetArgs {
    #[command(subcommand)]
    pub action: BudgetAction,
}

#[derive(Debug, Subcommand)]
pub enum BudgetAction {
    /// Move unspent budget from one agent of a run to another
    Move {
        #[arg(help = which::HELP)]
        run: String,
        /// The agent whose cap gets smaller
        from: String,
        /// The agent whose cap grows
        to: String,
        /// Dollars
        #[arg(value_name = "USD", value_parser = args::money, required_unless_present = "tokens")]
        amount: Option<Money>,
        /// Tokens
        #[arg(long, value_name = "N", value_parser = args::tokens)]
        tokens: Option<i64>,
    },
}

impl SpawnArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let hub = Hub::reader(global).await?;
        let (run, seed) = (which::run(&hub.engine, &self.run).await?, AgentId(hub.engine.fresh()));
        for tool in &self.tools {
            wire::check_tool(&hub.place.dir, tool)?;
        }
        drop(hub);
        let order = self.order()?;
        let name = order.name(seed.0);
        let words = format!("agent `{name}` works for run {run}");
        let order = Order::Spawn { run, order: Box::new(order), seed };
        govern::done(global, order, (&name, "spawned"), &words).await
    }

    fn order(self) -> Result<SpawnOrder> {
        let what = match (self.profile, self.name, self.prompt) {
            (Some(profile), None, _) => SpawnWhat::Profile(profile),
            (None, Some(name), Some(prompt)) => {
                SpawnWhat::AdHoc(AdHoc { name, prompt, capabilities: self.capabilities, tools: self.tools })
            }
            _ => {
                return Err(Failure::usage("no_agent", "it is not said what the agent is made from")
                    .hint("give `--profile PROFILE`, or `--name NAME --prompt TEXT`"));
            }
        };
        let limits = Limits { max_cost_usd: self.budget, max_tokens: self.tokens.map(i64::unsigned_abs) };
        Ok(SpawnOrder { what, task: self.task, title: None, limits })
    }
}

impl KillArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let hub = Hub::reader(global).await?;
        let run = which::run(&hub.engine, &self.run).await?;
        drop(hub);
        let words = format!("agent `{}` and all that it had spawned are stopped in run {run}", self.agent);
        let order = Order::Kill { run, agent: self.agent.clone() };
        govern::done(global, order, (&self.agent, "killed"), &words).await
    }
}

impl BudgetArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let BudgetAction::Move { run, from, to, amount, tokens } = self.action;
        let hub = Hub::reader(global).await?;
        let run = which::run(&hub.engine, &run).await?;
        drop(hub);
        let words =
            format!("moved from `{from}` to `{to}`; if the run is paused, it goes on with `convoke resume {run}`");
        let amount = Amount { cost: amount.unwrap_or(Money::ZERO), tokens: tokens.unwrap_or(0) };
        let what = MoveBudget { run, from, to: to.clone(), amount, user: String::new() };
        govern::done(global, Order::Move(what), (&to, "moved"), &words).await
    }
}
