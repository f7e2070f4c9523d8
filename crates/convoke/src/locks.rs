//! `convoke locks`: what agents hold and wait for, who waits for whom, and how a person takes a lock away.

use clap::{Args, Subcommand};
use convoke_domain::lock::Resource;
use convoke_engine::{LockStats, LockView, WaitGraph, Which};
use serde_json::json;

use crate::args::Global;
use crate::control::Request;
use crate::error::{Exit, Failure, Result};
use crate::hub::Hub;
use crate::runs::room;
use crate::text::{Side, Table};
use crate::{hold, say, text, which};

/// Locks shown at most.
const SHOWN: usize = 1_000;

#[derive(Debug, Args)]
pub struct LocksArgs {
    #[command(subcommand)]
    pub action: Option<Action>,
    /// Only those of this run
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// Only those of this agent
    #[arg(long, value_name = "NAME", conflicts_with = "run")]
    pub agent: Option<String>,
    /// Who waits for whom, and whether that goes round in a circle
    #[arg(long, conflicts_with_all = ["run", "agent", "counts"])]
    pub graph: bool,
    /// Counters: waits, leases that ran out, conflicts avoided, near misses
    #[arg(long, conflicts_with_all = ["run", "agent"])]
    pub counts: bool,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Take locks away: those on a resource and below it, or all of a run, an agent or a task
    Release(Release),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Release {
    /// The resource, as `convoke locks` shows it
    pub resource: Option<String>,
    /// All that this run holds
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// All that this agent holds
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// All that this task holds
    #[arg(long, value_name = "TASK")]
    pub task: Option<String>,
}

impl LocksArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        if let Some(Action::Release(release)) = self.action {
            return release.act(global).await;
        }
        let hub = Hub::reader(global).await?;
        if self.graph {
            return tell_graph(global, &hub.engine.lock_graph().await?);
        }
        if self.counts {
            return tell_counts(global, &hub.engine.lock_stats().await?);
        }
        let which = match (&self.run, self.agent) {
            (Some(run), _) => Which::Run(which::run(&hub.engine, run).await?),
            (None, Some(agent)) => Which::Agent(agent),
            (None, None) => Which::All,
        };
        let found = hub.engine.locks(which.clone()).await?;
        if let Which::Agent(name) = which
            && found.is_empty()
        {
            which::agent(&hub.engine, &name).await?;
        }
        if global.json {
            say::json(&found)?;
        } else if found.is_empty() {
            say::line("no locks")?;
        } else {
            say::text(&table(&found).text(room()))?;
            tell_more(found.len())?;
        }
        Ok(Exit::Done)
    }
}

impl Release {
    async fn act(self, global: &Global) -> Result<Exit> {
        let which = self.which(global).await?;
        let hub = Hub::reader(global).await?;
        let meant: Vec<LockView> =
            hub.engine.locks(which.clone()).await?.into_iter().filter(|lock| lock.state == "held").collect();
        if let Which::Agent(name) = &which
            && meant.is_empty()
        {
            which::agent(&hub.engine, name).await?;
        }
        drop(hub);
        if meant.is_empty() {
            return Err(Failure::usage("missing", "nobody holds such a lock").hint("`convoke locks` lists them"));
        }
        hold::carry_out(global, Request::ReleaseLocks { which, user: global.user.clone() }).await?;
        if global.json {
            say::json(&json!({"released": meant}))?;
        } else if !global.quiet {
            for lock in meant {
                say::line(&text::line(&format!("taken from {}: {}", lock.agent, lock.resource)))?;
            }
        }
        Ok(Exit::Done)
    }

    async fn which(&self, global: &Global) -> Result<Which> {
        if let Some(name) = &self.resource {
            let bad = |refusal: convoke_domain::refusal::Refusal| {
                let failure = Failure::usage(&refusal.code, refusal.message);
                refusal.hint.into_iter().fold(failure, Failure::hint)
            };
            return Ok(Which::Resource(name.parse::<Resource>().map_err(bad)?));
        }
        if let Some(run) = &self.run {
            let hub = Hub::reader(global).await?;
            return Ok(Which::Run(which::run(&hub.engine, run).await?));
        }
        if let Some(task) = &self.task {
            let bad = |error: convoke_domain::id::BadId| {
                Failure::usage("bad_id", error.to_string()).hint("`convoke locks --json` has the ids of tasks")
            };
            return Ok(Which::Task(task.parse().map_err(bad)?));
        }
        Ok(Which::Agent(self.agent.clone().unwrap_or_default()))
    }
}

fn tell_more(count: usize) -> Result<()> {
    if count <= SHOWN {
        return Ok(());
    }
    say::line(&text::paint(text::DIM, &format!("{} more: convoke locks --json", count - SHOWN)))
}

fn table(found: &[LockView]) -> Table {
    let mut table = Table::new(&[
        ("RESOURCE", Side::Left),
        ("MODE", Side::Left),
        ("STATE", Side::Left),
        ("AGENT", Side::Left),
        ("SINCE (UTC)", Side::Left),
        ("UNTIL", Side::Left),
        ("RUN", Side::Left),
    ]);
    for lock in found.iter().take(SHOWN) {
        table.row([
            lock.resource.to_string(),
            lock.mode.as_str().to_owned(),
            lock.state.to_owned(),
            lock.agent.clone(),
            text::clock(lock.since),
            text::clock(lock.until),
            lock.run.to_string(),
        ]);
    }
    table
}

fn tell_graph(global: &Global, graph: &WaitGraph) -> Result<Exit> {
    if global.json {
        say::json(graph)?;
        return Ok(Exit::Done);
    }
    if graph.edges.is_empty() {
        say::line("nobody waits for a lock")?;
    }
    for edge in &graph.edges {
        let others: Vec<_> = edge.waits_for.iter().map(ToString::to_string).collect();
        say::line(&text::line(&format!("{} ({}) waits for {}", edge.task, edge.agent, others.join(", "))))?;
    }
    if !graph.circle.is_empty() {
        let circle: Vec<_> = graph.circle.iter().map(ToString::to_string).collect();
        say::line(&format!("these wait for each other: {}", circle.join(" -> ")))?;
    }
    Ok(Exit::Done)
}

fn tell_counts(global: &Global, counts: &LockStats) -> Result<Exit> {
    if global.json {
        say::json(counts)?;
        return Ok(Exit::Done);
    }
    let number = |count: usize| text::count(i64::try_from(count).unwrap_or(i64::MAX));
    let rows = [
        ("held now", number(counts.held)),
        ("waited for now", number(counts.waiting)),
        ("granted", text::count(counts.granted)),
        ("had to wait", text::count(counts.waits)),
        ("mean wait", format!("{} ms", text::count(counts.mean_wait_ms))),
        ("longest wait", format!("{} ms", text::count(counts.longest_wait_ms))),
        ("told to come again", text::count(counts.busy)),
        ("told to let go first", text::count(counts.died)),
        ("leases that ran out", text::count(counts.expired)),
        ("taken by people", text::count(counts.forced)),
        ("conflicts avoided", text::count(counts.conflicts_avoided)),
        ("near misses", text::count(counts.stale_writes)),
    ];
    for (name, value) in rows {
        say::line(&format!("{}  {value}", text::pad(name, 20)))?;
    }
    Ok(Exit::Done)
}
