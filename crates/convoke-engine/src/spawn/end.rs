//! The end of spawned agents: with their task, with their run, or because a person stops them and all below them.

use std::sync::Arc;

use convoke_domain::event::Kind;
use convoke_domain::handoff::State;
use convoke_domain::id::{RunId, TaskId, WorkspaceId};
use convoke_domain::refusal::Refusal;
use convoke_domain::spawn::Tree;
use convoke_domain::spec::RunSpec;
use convoke_store::{Result as Stored, Tx, UseCase, agent, handoff, message, run, spawn, task};
use serde_json::json;

use super::stop::{pass_on, reason};
use crate::desk::Left;
use crate::engine::emit;
use crate::run::state_of;
use crate::user::may_govern;
use crate::{Engine, Result, advance, recover, wait};

/// What was stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Killed {
    /// The agent, and all that it had spawned.
    pub agents: Vec<String>,
    /// Their tasks: cancelled, or given to the team's fallback agent.
    pub tasks: Vec<TaskId>,
}

impl Engine {
    /// Stops an agent in a run and all that it has spawned there, until the run ends: their tasks go to the team's fallback agent or
    /// are cancelled, running calls are cut, and the spawned ones are retired. Owners and operators may.
    pub async fn kill(&self, run: RunId, agent: &str, user: &str) -> Result<Killed> {
        let spec = self.spec_of(run).await?;
        let kill = Kill { ws: self.ws(), run, agent: agent.to_owned(), user: user.to_owned(), spec };
        let killed = self.store().run(kill).await??;
        let mut cut = self.driving_now();
        cut.retain(|(task, _)| killed.tasks.contains(task));
        self.interrupt_these(&cut);
        self.wake().notify_one();
        Ok(killed)
    }
}

struct Kill {
    ws: WorkspaceId,
    run: RunId,
    agent: String,
    user: String,
    spec: Arc<RunSpec>,
}

impl UseCase for Kill {
    type Out = std::result::Result<Killed, Refusal>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        if let Err(refusal) = may_govern(tx, &self.user, "stop agents").await? {
            return Ok(Err(refusal));
        }
        let held = run::hold(tx, self.run).await?;
        let state = state_of(&held)?;
        if state.has_ended() {
            let message = format!("run {} has ended ({}): nobody is at work in it", self.run, state.as_str());
            return Err(Refusal::new("run_ended", message).hint("nothing is left to stop").into());
        }
        let nodes = spawn::of_run(tx, self.run).await?.iter().map(Into::into).collect();
        let tree = Tree { nodes };
        if tree.find(&self.agent).is_none() && !self.spec.profiles.contains_key(&self.agent) {
            return Err(convoke_store::Error::missing("agent of this run", &self.agent));
        }
        let agents = tree.subtree(&self.agent);
        let who = format!("user:{}", self.user);
        let open = task::open(tx, self.run).await?;
        let open: Vec<_> = open.into_iter().filter(|task| agents.contains(&task.agent)).collect();
        let tasks: Vec<TaskId> = open.iter().map(|task| task.id).collect();
        // Told first, so that the record reads in the order of cause and effect.
        let payload = json!({"agents": agents, "tasks": tasks});
        emit(tx, Kind::AgentKilled, ("agent", self.agent.clone()), (Some(self.run), &who), payload);
        for name in &agents {
            spawn::stop(tx, self.run, name, &who).await?;
            if spawn::end(tx, self.run, name).await? {
                retire(tx, self.run, name, "retired", &who).await?;
            }
        }
        let (passed, kept) = pass_on(tx, self.run, &self.spec, open, &who).await?;
        recover::bill_orphans(tx, self.run, Some(&passed)).await?;
        if !passed.is_empty() {
            wait::go_on(tx, self.run).await?;
        }
        advance::cancel_tasks(tx, self.run, &kept, (&who, &reason(&who)), &self.spec).await?;
        Ok(Ok(Killed { agents, tasks }))
    }
}

/// The end of the task that a spawned agent was made for is its end, and it keeps how the task ended as its status. One that has
/// handed that task away goes as soon as it holds nothing more.
pub(crate) async fn left(tx: &mut Tx<'_>, left: &Left<'_>) -> Stored<()> {
    if !left.is_over && left.handed_to.is_none() {
        return Ok(());
    }
    let Some(made_for) = spawn::task_of(tx, left.run, left.agent).await? else { return Ok(()) };
    if left.is_over && made_for == left.task {
        spawn::end(tx, left.run, left.agent).await?;
        let ended = task::hold(tx, left.task).await?.state;
        let status = match ended.as_str() {
            "completed" => "completed",
            "failed" => "failed",
            _ => "retired",
        };
        return retire(tx, left.run, left.agent, status, "system").await;
    }
    let gives_now = left.handed_to.is_some() && made_for == left.task;
    if !gives_now && !gave_away(tx, made_for, left.agent).await? {
        return Ok(());
    }
    let open = message::open_tasks(tx, left.run, left.agent).await?;
    if open.iter().any(|(task, _)| *task != left.task) {
        return Ok(());
    }
    retire_idle(tx, left.run, left.agent).await
}

/// Whether an agent has handed a task over.
async fn gave_away(tx: &mut Tx<'_>, task: TaskId, agent: &str) -> Stored<bool> {
    let accepted = State::Accepted.as_str();
    Ok(handoff::of_task(tx, task).await?.iter().any(|row| row.state == accepted && row.giver == agent))
}

/// One that has been without work goes.
pub(crate) async fn retire_idle(tx: &mut Tx<'_>, run: RunId, name: &str) -> Stored<()> {
    if spawn::end(tx, run, name).await? {
        retire(tx, run, name, "retired", "system").await?;
    }
    Ok(())
}

/// Whatever a run has spawned ends with it.
pub(crate) async fn end_run(tx: &mut Tx<'_>, run: RunId) -> Stored<()> {
    for row in spawn::of_run(tx, run).await?.into_iter().filter(|row| row.living) {
        if spawn::end(tx, run, &row.name).await? {
            retire(tx, run, &row.name, "retired", "system").await?;
        }
    }
    Ok(())
}

async fn retire(tx: &mut Tx<'_>, run: RunId, name: &str, status: &str, who: &str) -> Stored<()> {
    agent::set_status(tx, name, status, true).await?;
    agent::set_active(tx, name, false).await?;
    emit(tx, Kind::AgentRetired, ("agent", name.to_owned()), (Some(run), who), json!({"status": status}));
    Ok(())
}
