//! Agents that a person has stopped in a run: they get no further task there. What needs them goes to the team's fallback agent or
//! fails, as with any other loss, and says who stopped them.
//!
//! Rule: who was stopped is stored, and looked at before tasks are claimed, so that it holds for tasks that are made later. Start at
//! [`lose_all`].

use convoke_domain::event::Kind;
use convoke_domain::id::{RunId, TaskId};
use convoke_domain::pattern::SideStage;
use convoke_domain::spec::RunSpec;
use convoke_domain::task::{self as domain, Command, State};
use convoke_store::{Result, Tx, agent, attempt, spawn as store, task};
use serde_json::json;

use crate::desk::{self, Left};
use crate::engine::emit;
use crate::{advance, answer, ending};

/// Tasks looked after in one transaction.
const BATCH: i64 = 64;

/// Why a task has lost its agent, for people and programs.
pub(super) fn reason(who: &str) -> String {
    format!("agent_stopped: stopped by {}", who.trim_start_matches("user:"))
}

/// Looks after tasks that are ready for agents that were stopped.
pub(crate) async fn lose_all(tx: &mut Tx<'_>) -> Result<()> {
    for found in store::lost(tx, BATCH).await? {
        lose(tx, &found).await?;
    }
    Ok(())
}

async fn lose(tx: &mut Tx<'_>, found: &store::Lost) -> Result<()> {
    let (id, held) = (found.task, task::hold(tx, found.task).await?);
    // The end of one before it may have ended it too.
    if held.state != State::Ready.as_str() {
        return Ok(());
    }
    let (spec, error) = (answer::spec_of(tx, found.run).await?, reason(&found.who));
    if found.resume && held.attempt > 0 {
        attempt::end(tx, id, held.attempt, "failed", Some(&error)).await?;
    }
    let other = ending::fallback(tx, &spec, (found.run, id, &found.stage), &held.agent).await?;
    if held.ties {
        let left = Left { run: found.run, task: id, agent: &held.agent, is_over: other.is_none(), handed_to: None };
        desk::left(tx, &left).await?;
        advance::cancel_parts(tx, found.run, id, "system").await?;
    }
    if let Some(other) = other {
        return ending::reassign(tx, &spec, (id, &held), &error, &other).await;
    }
    domain::decide(State::Ready, Command::Fail)?;
    task::end(tx, id, "failed", None, Some(&error)).await?;
    let payload = json!({"key": held.key, "stage": found.stage, "code": "agent_stopped", "error": error});
    emit(tx, Kind::TaskFailed, ("task", id.to_string()), (Some(found.run), "system"), payload);
    advance::tell_parent(tx, found.run, held.parent, id, Err(&error)).await?;
    advance::task_ended(tx, found.run, id, false, &spec).await
}

/// Gives the open tasks of an agent that is being stopped to the fallback agent, as far as it takes them. Gives which it did not.
pub(super) async fn pass_on(
    tx: &mut Tx<'_>,
    run: RunId,
    spec: &RunSpec,
    open: Vec<task::Open>,
    who: &str,
) -> Result<(Vec<TaskId>, Vec<TaskId>)> {
    let (mut passed, mut kept) = (Vec::new(), Vec::new());
    for found in open {
        // Of a spawned agent nothing is passed on: it is in no team.
        let stage = if spec.profiles.contains_key(&found.agent) { "" } else { SideStage::Spawned.as_str() };
        match ending::fallback(tx, spec, (run, found.id, stage), &found.agent).await? {
            // It is looked after when its turn comes.
            Some(_) if found.state == State::Pending.as_str() => {}
            Some(other) => {
                pass(tx, run, spec, &found, (&reason(who), &other)).await?;
                passed.push(found.id);
            }
            None => kept.push(found.id),
        }
    }
    Ok((passed, kept))
}

async fn pass(
    tx: &mut Tx<'_>,
    run: RunId,
    spec: &RunSpec,
    found: &task::Open,
    (error, other): (&str, &str),
) -> Result<()> {
    let held = task::hold(tx, found.id).await?;
    if found.state == State::Running.as_str() {
        agent::count(tx, &found.agent, -1).await?;
    }
    if [State::Running.as_str(), State::Waiting.as_str()].contains(&found.state.as_str()) {
        attempt::end(tx, found.id, found.attempt, "cancelled", Some(error)).await?;
    }
    if found.ties {
        let left = Left { run, task: found.id, agent: &found.agent, is_over: false, handed_to: None };
        desk::left(tx, &left).await?;
        advance::cancel_parts(tx, run, found.id, "system").await?;
    }
    ending::reassign(tx, spec, (found.id, &held), error, other).await
}
