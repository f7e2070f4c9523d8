//! Recovery: leases of workers that are gone, runs whose time is up, calls that nobody waits for any more.

use std::time::Duration;

use convoke_domain::event::Kind;
use convoke_domain::id::{RunId, TaskId, WorkspaceId};
use convoke_domain::run::State;
use convoke_domain::task::{self as domain, Command, Priority, rank};
use convoke_domain::time::Timestamp;
use convoke_store::step::StepRef;
use convoke_store::{Result as Stored, Tx, UseCase, agent, approval, effect, lock, run, step, task};
use serde_json::json;

use crate::engine::emit;
use crate::lock::{GRACE, PARKED};
use crate::{Engine, Result, advance, ledger};

/// Tasks and runs looked after in one transaction.
const BATCH: i64 = 256;

impl Engine {
    /// Puts back what workers that are gone have left, and gives unfinished runs their full time again.
    pub(crate) async fn recover(&self) -> Result<()> {
        let sole = self.config().exclusive.then(|| self.worker_name().to_owned());
        for ws in self.workspaces() {
            while self.store().run(Reap { ws, sole: sole.clone() }).await?.requeued == BATCH as usize {}
        }
        Ok(())
    }
}

/// Why a task was put back.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Why {
    /// Its worker stops, its run is paused, or it makes room.
    Yielded,
    /// Its worker did not keep its lease.
    LeaseLapsed,
    /// Its agent is gone, or is not heard of.
    AgentGone,
}

/// Records that a task was put back.
pub(crate) fn tell_requeued(tx: &mut Tx<'_>, (task, run): (TaskId, RunId), key: &str, why: Why) {
    let why = match why {
        Why::Yielded => "yielded",
        Why::LeaseLapsed => "lease_lapsed",
        Why::AgentGone => "agent_gone",
    };
    let on = ("task", task.to_string());
    emit(tx, Kind::TaskRequeued, on, (Some(run), "system"), json!({"key": key, "why": why}));
}

/// Puts tasks back that this worker holds and cannot drive.
pub(crate) struct PutBack {
    pub ws: WorkspaceId,
    pub tasks: Vec<(TaskId, i64)>,
}

impl UseCase for PutBack {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<()> {
        for (id, fence) in &self.tasks {
            let held = task::hold(tx, *id).await?;
            if held.state != "running" || held.fence != *fence {
                continue;
            }
            give_back(tx, *id, &held).await?;
        }
        Ok(())
    }
}

/// Puts a running task back into the queue; its attempt goes on with the next claim.
pub(crate) async fn give_back(tx: &mut Tx<'_>, id: TaskId, held: &task::Held) -> Stored<()> {
    domain::decide(domain::State::Running, Command::Yield)?;
    let how = task::Requeue {
        rank: rank(Priority::parse(&held.priority), tx.now()),
        not_before: Timestamp::default(),
        resume: true,
        retries_left: held.retries_left,
        agent: &held.agent,
        error: None,
    };
    task::requeue(tx, id, &how).await?;
    tell_requeued(tx, (id, held.run), &held.key, Why::Yielded);
    agent::count(tx, &held.agent, -1).await
}

/// Keeps the leases of a worker.
pub(crate) struct Renew {
    pub ws: WorkspaceId,
    pub worker: String,
    pub lease: Duration,
}

impl UseCase for Renew {
    type Out = Vec<(TaskId, i64)>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        let until = tx.now().after(self.lease);
        lock::renew(tx, &self.worker, until.after(GRACE)).await?;
        let held = task::renew(tx, &self.worker, until).await?;
        if !held.is_empty() {
            agent::beat_for(tx, &self.worker).await?;
        }
        Ok(held)
    }
}

/// Takes over lapsed leases and ends overdue runs.
pub(crate) struct Reap {
    pub ws: WorkspaceId,
    /// The only worker there is, at its start: what others hold is held by nobody.
    pub sole: Option<String>,
}

/// What was done.
pub(crate) struct Reaped {
    pub requeued: usize,
    pub overdue: Vec<RunId>,
}

impl UseCase for Reap {
    type Out = Reaped;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Reaped> {
        let lapsed = task::lapsed(tx, self.sole.as_deref(), BATCH).await?;
        for found in &lapsed {
            requeue(tx, found, Why::LeaseLapsed).await?;
        }
        let mut overdue = Vec::new();
        // At the start the time that the process was down is nobody's fault.
        if self.sole.is_none() {
            for (id,) in run::overdue(tx, BATCH).await? {
                let error = "timeout: the run did not end within its time";
                advance::end_run(tx, id, State::Failed, (None, Some(error)), "system").await?;
                overdue.push(id);
            }
        } else {
            let until = tx.now().after(PARKED);
            lock::keep_all(tx, until).await?;
            for (id, _, _) in run::unfinished(tx, BATCH).await? {
                run::extend(tx, id).await?;
            }
        }
        Ok(Reaped { requeued: lapsed.len(), overdue })
    }
}

/// Puts a running task back; its attempt goes on with the next claim, under a higher token.
pub(crate) async fn requeue(tx: &mut Tx<'_>, found: &task::Lapsed, why: Why) -> Stored<()> {
    let how = task::Requeue {
        rank: rank(Priority::parse(&found.priority), tx.now()),
        not_before: Timestamp::default(),
        resume: true,
        retries_left: found.retries_left,
        agent: &found.agent,
        error: None,
    };
    task::requeue(tx, found.id, &how).await?;
    tell_requeued(tx, (found.id, found.run), &found.key, why);
    agent::count(tx, &found.agent, -1).await?;
    run::extend(tx, found.run).await
}

/// Bills the model calls that nobody waits for any more: of these tasks, or of a whole run.
pub(crate) async fn bill_orphans(tx: &mut Tx<'_>, run: RunId, only: Option<&[TaskId]>) -> Stored<()> {
    if only.is_some_and(<[TaskId]>::is_empty) {
        return Ok(());
    }
    let mut orphans = step::orphans(tx, run).await?;
    orphans.retain(|orphan| only.is_none_or(|tasks| tasks.contains(&orphan.task)));
    for orphan in orphans {
        let at = StepRef { task: orphan.task, attempt: orphan.attempt, n: orphan.n };
        ledger::bill_lost(tx, at, &orphan.agent, ledger::CUT).await?;
    }
    Ok(())
}

/// What is recorded of a tool call that was under way when its run ended.
pub(crate) const LEFT: &str = "the run ended while the call was under way: it may have acted";

/// Settles the tool calls that an ended run leaves under way, whether their worker died or is about to be cut: a person may say
/// what became of one that must not act twice. A worker that still hears of the outcome corrects it.
pub(crate) async fn settle_calls(tx: &mut Tx<'_>, run: RunId) -> Stored<()> {
    for call in effect::open_of_run(tx, run).await? {
        let at = StepRef { task: call.task, attempt: call.attempt, n: call.n };
        let is_unknown = call.state == "dispatched" && call.repeat_rule == "once";
        let (status, kind) = if is_unknown { ("unknown", Kind::EffectUnknown) } else { ("failed", Kind::StepFailed) };
        effect::settle(tx, at, status).await?;
        let Some(held) = step::finish(tx, at, 0, status, (None, Some(LEFT))).await? else { continue };
        approval::fail(tx, at).await?;
        let payload = json!({"step": at.n, "kind": held.kind, "name": held.name, "try": held.tries, "error": LEFT});
        emit(tx, kind, ("task", at.task.to_string()), (Some(run), "system"), payload);
    }
    Ok(())
}
