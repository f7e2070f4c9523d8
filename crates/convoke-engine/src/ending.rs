//! How an attempt ends, in the journal's transaction: its task is done, tried again, given to another agent, parked, put
//! back, or has failed.

use convoke_domain::budget::Shortage;
use convoke_domain::event::Kind;
use convoke_domain::id::{RunId, TaskId};
use convoke_domain::pattern::SideStage;
use convoke_domain::run::State;
use convoke_domain::spec::RunSpec;
use convoke_domain::task::{self as domain, Command, Priority, WaitReason, rank};
use convoke_domain::team::{EscalationPolicy, OnExhausted};
use convoke_domain::time::Timestamp;
use convoke_store::{Result, Tx, agent, attempt, run, spawn, task};
use serde_json::json;

use crate::advance;
use crate::desk;
use crate::engine::emit;
use crate::handoff;
use crate::ledger;
use crate::lock;
use crate::recover;

use crate::journal::{End, Finished, Journal, Progress};

/// What becomes of a call that a later one of the same reply overtakes.
const NOT_MADE: &str = "not made: the task left the agent in the same reply";

impl Journal {
    /// Puts the task back into the queue; its attempt goes on with the next claim.
    pub(crate) async fn put_back(&self, tx: &mut Tx<'_>, held: &task::Held) -> Result<()> {
        recover::give_back(tx, self.at.task, held).await
    }

    pub(crate) async fn end_attempt(&self, tx: &mut Tx<'_>, held: &task::Held, end: &End) -> Result<()> {
        match end {
            End::Yield => self.put_back(tx, held).await,
            // Parked already.
            End::Wait { .. } => Ok(()),
            End::Person => {
                domain::decide(domain::State::Running, Command::Wait)?;
                task::park(tx, self.at.task, WaitReason::Person.as_str(), "").await?;
                agent::count(tx, &held.agent, -1).await?;
                let payload = json!({"waits_for": WaitReason::Person});
                emit(tx, Kind::TaskWaiting, self.on(), (Some(self.at.run), "system"), payload);
                Ok(())
            }
            End::Completed { output } => self.complete(tx, held, output).await,
            End::Failed { code, message, can_pass, not_before } => {
                let error = format!("{code}: {message}");
                attempt::end(tx, self.at.task, self.at.attempt, "failed", Some(&error)).await?;
                agent::count(tx, &held.agent, -1).await?;
                if *can_pass && held.retries_left > 0 {
                    self.leave(tx, held, false).await?;
                    return self.retry(tx, held, &error, *not_before).await;
                }
                match fallback(tx, &self.spec, (self.at.run, self.at.task, &self.at.stage), &held.agent).await? {
                    Some(other) => {
                        self.leave(tx, held, false).await?;
                        domain::decide(domain::State::Running, Command::Retry)?;
                        reassign(tx, &self.spec, (self.at.task, held), &error, &other).await?;
                    }
                    // What it read counts as read: no other attempt reads it again.
                    None => self.fail(tx, held, code, &error).await?,
                }
                Ok(())
            }
            End::UnknownEffect { message } => {
                domain::decide(domain::State::Running, Command::Wait)?;
                task::park(tx, self.at.task, WaitReason::UnknownEffect.as_str(), message).await?;
                lock::parked(tx, self.at.task).await?;
                agent::count(tx, &held.agent, -1).await?;
                run::set_state(tx, self.at.run, "waiting", Some(message)).await?;
                emit(
                    tx,
                    Kind::TaskWaiting,
                    self.on(),
                    (Some(self.at.run), "system"),
                    json!({"waits_for": "unknown_effect"}),
                );
                let on = ("run", self.at.run.to_string());
                emit(tx, Kind::RunWaiting, on, (Some(self.at.run), "system"), json!({"reason": message}));
                Ok(())
            }
        }
    }

    async fn complete(&self, tx: &mut Tx<'_>, held: &task::Held, output: &str) -> Result<()> {
        domain::decide(domain::State::Running, Command::Complete)?;
        attempt::end(tx, self.at.task, self.at.attempt, "completed", None).await?;
        agent::count(tx, &held.agent, -1).await?;
        if self.at.attempt > 1 && handoff::give_back(tx, &self.at, held, output).await? {
            return Ok(());
        }
        task::end(tx, self.at.task, "completed", Some(output), None).await?;
        let payload = json!({"key": self.at.key, "stage": self.at.stage, "attempt": self.at.attempt});
        emit(tx, Kind::TaskCompleted, self.on(), (Some(self.at.run), &self.agent()), payload);
        self.leave(tx, held, true).await?;
        advance::tell_parent(tx, self.at.run, held.parent, self.at.task, Ok(output)).await?;
        advance::task_ended(tx, self.at.run, self.at.task, true, &self.spec).await
    }

    /// Lets go of what the attempt held.
    async fn leave(&self, tx: &mut Tx<'_>, held: &task::Held, is_over: bool) -> Result<()> {
        if !held.ties {
            return Ok(());
        }
        let at = &self.at;
        let left = desk::Left { run: at.run, task: at.task, agent: &at.agent, is_over, handed_to: None };
        desk::left(tx, &left).await?;
        advance::cancel_parts(tx, at.run, at.task, "system").await
    }

    async fn retry(&self, tx: &mut Tx<'_>, held: &task::Held, error: &str, not_before: Timestamp) -> Result<()> {
        domain::decide(domain::State::Running, Command::Retry)?;
        let how = task::Requeue {
            rank: rank(Priority::parse(&held.priority), not_before.max(tx.now())),
            not_before,
            resume: false,
            retries_left: held.retries_left - 1,
            agent: &held.agent,
            error: Some(error),
        };
        task::requeue(tx, self.at.task, &how).await?;
        let payload = json!({"key": self.at.key, "attempt": self.at.attempt, "error": error, "retries_left": how.retries_left, "not_before": not_before.to_string()});
        emit(tx, Kind::TaskRetried, self.on(), (Some(self.at.run), "system"), payload);
        Ok(())
    }

    async fn fail(&self, tx: &mut Tx<'_>, held: &task::Held, code: &str, error: &str) -> Result<()> {
        domain::decide(domain::State::Running, Command::Fail)?;
        task::end(tx, self.at.task, "failed", None, Some(error)).await?;
        let payload = json!({"key": self.at.key, "stage": self.at.stage, "code": code, "error": error});
        emit(tx, Kind::TaskFailed, self.on(), (Some(self.at.run), &self.agent()), payload);
        self.leave(tx, held, true).await?;
        advance::tell_parent(tx, self.at.run, held.parent, self.at.task, Err(error)).await?;
        // What a flow's step fails of is the flow's matter first.
        let is_step = self.spec.flow.is_some() && task::path(tx, self.at.task).await?.is_some();
        if !is_step && wants_person(&self.spec, &self.at.agent, code) {
            let reason = format!("{} ({}): {error}", self.at.key, self.at.agent);
            run::add_tasks(tx, self.at.run, 0, -1).await?;
            return advance::end_run(tx, self.at.run, State::Escalated, (None, Some(&reason)), "system").await;
        }
        advance::task_ended(tx, self.at.run, self.at.task, false, &self.spec).await
    }

    /// Ends the calls of this entry that were about to be made when the task left the agent: nobody makes them.
    pub(crate) async fn drop_calls(&self, tx: &mut Tx<'_>, begun: &[i64]) -> Result<()> {
        for n in begun {
            let text = Some(NOT_MADE.to_owned());
            let dropped = Finished { n: *n, status: "failed", output: text.clone(), error: text, bill: None };
            let started = self.ask_finish(tx, &dropped).await?;
            let settled = self.record_outcome(tx, &dropped, started, self.at.fence).await?;
            ledger::warn(tx, Vec::from_iter(settled)).await?;
        }
        Ok(())
    }

    /// What the team's policy makes of an empty budget.
    pub(crate) async fn exhausted(&self, tx: &mut Tx<'_>, held: &task::Held, shortage: Shortage) -> Result<Progress> {
        let message = shortage.to_string();
        match self.on_exhausted {
            OnExhausted::Downgrade => return Ok(Progress::Short(shortage)),
            OnExhausted::Stop => {
                self.tell_exhausted(tx, &shortage);
                let error = format!("budget_exhausted: {message}");
                advance::end_run(tx, self.at.run, State::Failed, (None, Some(&error)), "system").await?;
            }
            OnExhausted::Pause => {
                self.tell_exhausted(tx, &shortage);
                domain::decide(domain::State::Running, Command::Wait)?;
                task::park(tx, self.at.task, WaitReason::Budget.as_str(), &message).await?;
                lock::parked(tx, self.at.task).await?;
                agent::count(tx, &held.agent, -1).await?;
                let reason = format!("budget: {message}");
                run::set_state(tx, self.at.run, "paused", Some(&reason)).await?;
                task::set_held(tx, self.at.run, true).await?;
                emit(tx, Kind::TaskWaiting, self.on(), (Some(self.at.run), "system"), json!({"waits_for": "budget"}));
                let on = ("run", self.at.run.to_string());
                emit(tx, Kind::RunPaused, on, (Some(self.at.run), "system"), json!({"reason": reason}));
            }
        }
        Ok(Progress::Exhausted)
    }

    fn tell_exhausted(&self, tx: &mut Tx<'_>, shortage: &Shortage) {
        let payload = json!({"message": shortage.to_string(), "left": shortage.left, "wanted": shortage.wanted, "unit": shortage.unit});
        emit(
            tx,
            Kind::BudgetExhausted,
            ("budget", shortage.scope.clone()),
            (Some(self.at.run), &self.agent()),
            payload,
        );
    }
}

/// A member that is stuck escalates to its coordinator, who is told that it failed; a coordinator that is stuck
/// escalates to a person, unless the team never asks one.
pub(crate) fn wants_person(spec: &RunSpec, agent: &str, code: &str) -> bool {
    let escalates = spec.profiles.get(agent).is_some_and(|profile| profile.auto_escalate);
    let stuck = matches!(code, "repeated_call" | "schema_mismatch");
    let asks = spec.team.rules.escalation_policy != EscalationPolicy::Never;
    agent == spec.team.coordinator && escalates && stuck && asks
}

/// The team's fallback agent, unless it has had its turn.
pub(crate) async fn fallback(
    tx: &mut Tx<'_>,
    spec: &RunSpec,
    (run, id, stage): (RunId, TaskId, &str),
    agent: &str,
) -> Result<Option<String>> {
    let Some(name) = spec.team.rules.fallback_agent.clone().filter(|name| name != agent) else { return Ok(None) };
    // What a spawned agent was made for is not somebody else's, and who is switched off or was stopped is never chosen.
    let may_be = agent::hold(tx, &name).await?.is_some_and(|agent| agent.active);
    let may_be = may_be && spawn::stopped_by(tx, run, &name).await?.is_none();
    if stage == SideStage::Spawned.as_str() || !may_be {
        return Ok(None);
    }
    let tried = attempt::of_task(tx, id).await?.iter().any(|attempt| attempt.agent == name);
    Ok((!tried).then_some(name))
}

/// Gives a task to another agent, which begins it anew.
pub(crate) async fn reassign(
    tx: &mut Tx<'_>,
    spec: &RunSpec,
    (id, held): (TaskId, &task::Held),
    error: &str,
    other: &str,
) -> Result<()> {
    let how = task::Requeue {
        rank: rank(Priority::parse(&held.priority), tx.now()),
        not_before: Timestamp::default(),
        resume: false,
        retries_left: spec.team.rules.retries.into(),
        agent: other,
        error: Some(error),
    };
    task::requeue(tx, id, &how).await?;
    let payload = json!({"key": held.key, "from": held.agent, "to": other, "error": error});
    emit(tx, Kind::TaskReassigned, ("task", id.to_string()), (Some(held.run), "system"), payload);
    Ok(())
}
