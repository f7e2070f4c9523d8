//! Agents as a workspace keeps them: default, rank, status, heartbeats; and the duty that finds those who fell silent.

use std::collections::BTreeMap;
use std::time::Duration;

use convoke_domain::agent::{self as domain, Command, Health, Sign, Standing, Status, decide, observe, silence};
use convoke_domain::event::Kind;
use convoke_domain::id::{RunId, WorkspaceId};
use convoke_domain::profile::AgentKind;
use convoke_domain::refusal::Refusal;
use convoke_domain::spec::RunSpec;
use convoke_domain::time::Timestamp;
use convoke_store::definition::profile;
use convoke_store::{OrMissing, Result as Stored, Tx, UseCase, agent, blob, run};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::engine::emit;
use crate::user::may_govern;
use crate::{Engine, Result, grant, recover};

/// Agents and tasks looked after in one transaction.
const BATCH: i64 = 256;
/// Runs that are asked whether they need an agent.
const RUNS: i64 = 10_000;
/// Runs that a refusal names.
const SHOWN: usize = 5;
/// How often silence is looked for, in parts of the time after which it counts.
pub(crate) const LOOKS: u32 = 6;

/// What an agent, or somebody for it, says of its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Beat {
    /// It is well.
    Well,
    /// It is in trouble.
    Trouble,
    /// It leaves.
    Leave,
}

/// What a person does with an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It may be chosen again.
    Activate,
    /// It is kept and not chosen.
    Deactivate,
    /// It gets no task for now.
    Block,
    /// It gets tasks again.
    Unblock,
    /// It is put away.
    Retire,
    /// It is the workspace's default.
    Default,
    /// It has this rank.
    Standing(Standing),
}

impl Engine {
    /// The agent of this name.
    pub async fn agent(&self, name: &str) -> Result<agent::Record> {
        Ok(self.store().read(Find { ws: self.ws(), name: name.to_owned() }).await?)
    }

    /// The tasks of these runs that are ready and wait for agents that get none: blocked, retired, or not heard of.
    pub async fn held_up(&self, runs: &[RunId]) -> Result<Vec<agent::HeldUp>> {
        Ok(self.store().read(FindHeldUp { ws: self.ws(), runs: runs.to_vec() }).await?)
    }

    /// Changes what a workspace keeps of an agent. Owners and operators may.
    pub async fn change_agent(&self, name: &str, change: Change, user: &str) -> Result<()> {
        let change = ChangeAgent { ws: self.ws(), name: name.to_owned(), change, user: user.to_owned() };
        self.store().run(change).await??;
        self.wake().notify_one();
        Ok(())
    }

    /// Takes a heartbeat that a person sends for an agent; owners and operators may. Only an agent that no worker of ours drives is
    /// expected to go on: the others are heard of through their workers.
    pub async fn heartbeat(&self, name: &str, beat: Beat, user: &str) -> Result<()> {
        let act = Heartbeat { ws: self.ws(), name: name.to_owned(), beat, who: format!("user:{user}") };
        self.govern(user, "send heartbeats for agents", act).await?;
        self.wake().notify_one();
        Ok(())
    }
}

struct Find {
    ws: WorkspaceId,
    name: String,
}

impl UseCase for Find {
    type Out = agent::Record;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<agent::Record> {
        agent::hold(tx, &self.name).await?.or_missing("agent", &self.name)
    }
}

struct FindHeldUp {
    ws: WorkspaceId,
    runs: Vec<RunId>,
}

impl UseCase for FindHeldUp {
    type Out = Vec<agent::HeldUp>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        let mut all = Vec::new();
        for run in &self.runs {
            all.extend(agent::holds_up(tx, *run, BATCH).await?);
        }
        Ok(all)
    }
}

struct ChangeAgent {
    ws: WorkspaceId,
    name: String,
    change: Change,
    user: String,
}

impl UseCase for ChangeAgent {
    /// The refusal of somebody who may not is on record, so the transaction commits.
    type Out = std::result::Result<(), Refusal>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        if let Err(refusal) = may_govern(tx, &self.user, "change agents").await? {
            return Ok(Err(refusal));
        }
        let held = agent::hold(tx, &self.name).await?.or_missing("agent", &self.name)?;
        match self.change {
            Change::Default => self.make_default(tx, &held).await?,
            Change::Standing(standing) => self.set_standing(tx, &held, standing).await?,
            Change::Activate => self.activate(tx, &held).await?,
            Change::Deactivate => self.put_away(tx, &held, None).await?,
            Change::Retire => self.put_away(tx, &held, Some(Command::Retire)).await?,
            Change::Block => self.set_status(tx, &held, Command::Block).await?,
            Change::Unblock => self.set_status(tx, &held, Command::Unblock).await?,
        }
        Ok(Ok(()))
    }
}

impl ChangeAgent {
    fn who(&self) -> String {
        format!("user:{}", self.user)
    }

    fn on(&self) -> (&'static str, String) {
        ("agent", self.name.clone())
    }

    async fn make_default(&self, tx: &mut Tx<'_>, held: &agent::Record) -> Stored<()> {
        if held.is_default {
            return Ok(());
        }
        let fits = domain::may_be_chosen(held.active, status_of(held)?, health_of(held)?);
        if !fits || held.run.is_some() {
            let message = format!("the agent `{}` cannot be the default: it {}", self.name, why_not(held));
            return Err(Refusal::new("not_choosable", message)
                .hint("name an agent that is active and can be reached")
                .into());
        }
        let was = agent::default(tx).await?;
        agent::set_default(tx, &self.name).await?;
        emit(tx, Kind::AgentDefaultChanged, self.on(), (None, &self.who()), json!({"was": was}));
        Ok(())
    }

    async fn set_standing(&self, tx: &mut Tx<'_>, held: &agent::Record, standing: Standing) -> Stored<()> {
        if held.run.is_some() {
            let message = format!("the agent `{}` ends with its run and gets no rank in the workspace", self.name);
            return Err(Refusal::new("temporary_agent", message).into());
        }
        agent::set_standing(tx, &self.name, standing.as_str()).await?;
        let payload = json!({"role": standing.as_str(), "was": held.standing});
        emit(tx, Kind::AgentRoleChanged, self.on(), (None, &self.who()), payload);
        Ok(())
    }

    async fn activate(&self, tx: &mut Tx<'_>, held: &agent::Record) -> Stored<()> {
        if held.run.is_some() {
            let message = format!("the agent `{}` has ended with its run", self.name);
            return Err(Refusal::new("temporary_agent", message).hint("spawn another one").into());
        }
        agent::set_active(tx, &self.name, true).await?;
        profile::set_active(tx, &self.name, true).await?;
        if matches!(status_of(held)?, Status::Pending | Status::Completed | Status::Failed | Status::Retired) {
            return self.set_status(tx, held, Command::Activate).await;
        }
        self.tell(tx, held, &held.status);
        Ok(())
    }

    /// Keeps an agent from being chosen, and retires it if that is wanted.
    async fn put_away(&self, tx: &mut Tx<'_>, held: &agent::Record, command: Option<Command>) -> Stored<()> {
        if held.is_default {
            let message = format!("the agent `{}` is the workspace's default", self.name);
            return Err(Refusal::new("is_default", message)
                .hint("make another one the default: `convoke agents default NAME`")
                .into());
        }
        if let Some(command) = command {
            let open = agent::open_tasks(tx, &self.name).await?;
            if open > 0 {
                let tasks = if open == 1 { "a task that has" } else { &format!("{open} tasks that have") };
                let message = format!("the agent `{}` has {tasks} not ended", self.name);
                return Err(Refusal::new("agent_busy", message)
                    .hint("let its runs end, or stop it: `convoke kill RUN AGENT`")
                    .into());
            }
            self.is_needed_by_none(tx).await?;
            agent::set_active(tx, &self.name, false).await?;
            profile::set_active(tx, &self.name, false).await?;
            return self.set_status(tx, held, command).await;
        }
        agent::set_active(tx, &self.name, false).await?;
        profile::set_active(tx, &self.name, false).await?;
        self.tell(tx, held, &held.status);
        Ok(())
    }

    /// Refuses where a run that has not ended has pinned the agent: its turn may be still to come.
    async fn is_needed_by_none(&self, tx: &mut Tx<'_>) -> Stored<()> {
        let (mut specs, mut needing) = (BTreeMap::new(), Vec::new());
        for (id, ..) in run::unfinished(tx, RUNS).await? {
            let digest = run::hold(tx, id).await?.spec;
            if !specs.contains_key(&digest) {
                let spec: RunSpec = serde_json::from_slice(&blob::get(tx, digest.parse()?).await?)?;
                specs.insert(digest.clone(), spec.profiles.contains_key(&self.name));
            }
            if specs.get(&digest).is_some_and(|needs| *needs) {
                needing.push(id.to_string());
            }
        }
        if needing.is_empty() {
            return Ok(());
        }
        let more = needing.len().saturating_sub(SHOWN);
        needing.truncate(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let message =
            format!("the agent `{}` is in the team of {}{more}, not ended yet", self.name, needing.join(", "));
        let hint = format!(
            "let them end or cancel them first; `convoke agents deactivate {}` keeps it from new runs alone",
            self.name
        );
        Err(Refusal::new("agent_needed", message).hint(hint).into())
    }

    async fn set_status(&self, tx: &mut Tx<'_>, held: &agent::Record, command: Command) -> Stored<()> {
        let next = decide(status_of(held)?, command)?;
        let next = if next == Status::Idle && held.running > 0 { Status::Working } else { next };
        let silent = held.beats && matches!(health_of(held)?, Health::Stale | Health::Offline);
        let away = silent || matches!(next, Status::Blocked | Status::Retired | Status::Pending);
        agent::set_status(tx, &self.name, next.as_str(), away).await?;
        self.tell(tx, held, next.as_str());
        Ok(())
    }

    fn tell(&self, tx: &mut Tx<'_>, held: &agent::Record, status: &str) {
        let active = match self.change {
            Change::Activate => true,
            Change::Deactivate | Change::Retire => false,
            Change::Block | Change::Unblock | Change::Default | Change::Standing(_) => held.active,
        };
        let payload = json!({"status": status, "was": held.status, "active": active});
        emit(tx, Kind::AgentStatusChanged, self.on(), (None, &self.who()), payload);
    }
}

fn why_not(held: &agent::Record) -> String {
    if held.run.is_some() {
        "ends with its run".to_owned()
    } else if !held.active {
        "is switched off".to_owned()
    } else {
        format!("is {} and {}", held.status, held.health)
    }
}

pub(crate) fn status_of(held: &agent::Record) -> Stored<Status> {
    let broken = || convoke_store::Error::broken(format!("agent {} has no status `{}`", held.name, held.status));
    Status::parse(&held.status).ok_or_else(broken)
}

pub(crate) fn health_of(held: &agent::Record) -> Stored<Health> {
    let broken = || convoke_store::Error::broken(format!("agent {} has no health `{}`", held.name, held.health));
    Health::parse(&held.health).ok_or_else(broken)
}

struct Heartbeat {
    ws: WorkspaceId,
    name: String,
    beat: Beat,
    who: String,
}

impl UseCase for Heartbeat {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<()> {
        let held = agent::hold(tx, &self.name).await?.or_missing("agent", &self.name)?;
        let (was, status) = (health_of(&held)?, status_of(&held)?);
        if status == Status::Retired {
            let message = format!("the agent `{}` is retired", self.name);
            return Err(Refusal::new("agent_retired", message)
                .hint("`convoke agents activate NAME` brings it back")
                .into());
        }
        let sign = match self.beat {
            Beat::Well => Sign::Beat,
            Beat::Trouble => Sign::Trouble,
            Beat::Leave => Sign::Leave,
        };
        let next = observe(was, sign);
        // Whoever a worker drives has no process of its own that could fall silent.
        let goes_on = AgentKind::parse(&held.kind).is_none();
        agent::beat(tx, &self.name, goes_on).await?;
        let away = sign == Sign::Leave || status == Status::Blocked;
        if (next, away) != (was, held.away) {
            agent::set_health(tx, &self.name, next.as_str(), away).await?;
        }
        if next != was {
            let payload = json!({"health": next.as_str(), "was": was.as_str()});
            emit(tx, Kind::AgentHealthChanged, ("agent", self.name.clone()), (None, &self.who), payload);
        }
        if sign == Sign::Leave {
            requeue_all(tx, &self.name).await?;
        }
        Ok(())
    }
}

/// Looks after agents that have fallen silent, and grants whose time is up.
pub(crate) struct Tend {
    pub ws: WorkspaceId,
    pub stale_after: Duration,
}

impl UseCase for Tend {
    /// How many tasks were put back.
    type Out = usize;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<usize> {
        grant::expire(tx).await?;
        let micros = i64::try_from(self.stale_after.as_micros()).unwrap_or(i64::MAX);
        let before = Timestamp::from_micros(tx.now().as_micros().saturating_sub(micros));
        let mut requeued = 0;
        for found in agent::silent(tx, before, BATCH).await? {
            requeued += self.hush(tx, &found).await?;
        }
        Ok(requeued)
    }
}

impl Tend {
    /// Draws the consequence of an agent's silence.
    async fn hush(&self, tx: &mut Tx<'_>, found: &agent::Silent) -> Stored<usize> {
        let silent = tx.now().since(found.heartbeat);
        let Some(sign) = silence(silent, self.stale_after) else { return Ok(0) };
        let was = Health::parse(&found.health).unwrap_or(Health::Unknown);
        let next = observe(was, sign);
        if next == was {
            return Ok(0);
        }
        // Who is driven in a worker is heard of again with the next claim, and must get one.
        agent::set_health(tx, &found.name, next.as_str(), found.beats || found.away).await?;
        let payload = json!({"health": next.as_str(), "was": was.as_str(), "silent_s": silent.as_secs()});
        emit(tx, Kind::AgentHealthChanged, ("agent", found.name.clone()), (None, "system"), payload);
        requeue_all(tx, &found.name).await
    }
}

/// Puts back what an agent holds; its attempts go on with the next claim.
async fn requeue_all(tx: &mut Tx<'_>, name: &str) -> Stored<usize> {
    let held = agent::running(tx, name, BATCH).await?;
    for found in &held {
        recover::requeue(tx, found, recover::Why::AgentGone).await?;
    }
    Ok(held.len())
}
