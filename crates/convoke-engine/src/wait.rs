//! Waits: steps of which the result comes later. While a task waits no worker is held; what brings the result wakes it.
//!
//! Rule: every wait has a time at which it ends anyway, but for those on people. Start at [`fulfil`].

use std::time::Duration;

use convoke_domain::event::Kind;
use convoke_domain::id::{RunId, TaskId};
use convoke_domain::run::State;
use convoke_domain::task::{self as domain, Command, Priority, WaitReason, rank};
use convoke_store::{Asked, Result, Tx, frame, run, step, task, wait};
use serde_json::json;

use crate::answer;
use crate::desk::{Caller, Left, Wait};
use crate::engine::emit;
use crate::handoff;
use crate::lock;
use crate::run::{set_going, state_of};

/// A wait that ends by itself within this time is sat out: a run does not go to rest for it.
const SOON: Duration = Duration::from_secs(60);

/// What is recorded of a call whose task ended while it waited.
const NOT_HEARD: &str = "the task ended while this waited";

/// Lets the step of a call wait.
pub(crate) async fn begin(tx: &mut Tx<'_>, caller: &Caller<'_>, on: &Wait) -> Result<()> {
    task::tie(tx, caller.at.task).await?;
    step::suspend(tx, caller.step).await?;
    let row =
        wait::NewRow { at: caller.step, run: caller.at.run, reason: on.reason.as_str(), key: &on.key, due: on.due };
    wait::insert(tx, &row).await
}

/// What came of a wait.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome<'a> {
    /// This is the result.
    Done(&'a str),
    /// It did not work out, for this reason; the agent is told.
    Failed(&'a str),
    /// The call may now be carried out.
    Retry,
}

/// Ends every wait for this very thing; gives the tasks that were waiting.
pub(crate) async fn fulfil(
    tx: &mut Tx<'_>,
    reason: WaitReason,
    key: &str,
    outcome: Outcome<'_>,
) -> Result<Vec<TaskId>> {
    let found = wait::of_key(tx, reason.as_str(), key).await?;
    for row in &found {
        end(tx, row, outcome).await?;
    }
    Ok(found.into_iter().map(|row| row.task).collect())
}

/// Ends one wait, and wakes its task if it waits for nothing more, or has a call to make.
pub(crate) async fn end(tx: &mut Tx<'_>, row: &wait::Record, outcome: Outcome<'_>) -> Result<()> {
    let (status, output, error) = match outcome {
        Outcome::Done(text) => ("done", Some(text), None),
        Outcome::Failed(text) => ("failed", Some(text), Some(text)),
        Outcome::Retry => ("retry", None, None),
    };
    wait::delete(tx, row.step()).await?;
    if !step::fulfil(tx, row.step(), status, (output, error)).await? {
        return Ok(());
    }
    let kind = if error.is_some() { Kind::StepFailed } else { Kind::StepCompleted };
    let payload = json!({"step": row.n, "kind": "tool", "waited_for": row.reason, "status": status});
    emit(tx, kind, ("task", row.task.to_string()), (Some(row.run), "system"), payload);
    // A call that may now be made does not wait for the others.
    if matches!(outcome, Outcome::Retry) || wait::of_attempt(tx, row.task, row.attempt).await?.is_empty() {
        return wake(tx, row.run, row.task).await;
    }
    // What is left may be for people alone.
    rest(tx, row.run).await
}

/// Lets a parked task go on. Nothing if it is not parked: whoever drives it will look for the results.
pub(crate) async fn wake(tx: &mut Tx<'_>, id: RunId, sleeper: TaskId) -> Result<()> {
    let rank = rank(Priority::High, tx.now());
    if !task::wake_one(tx, sleeper, rank).await? {
        return Ok(());
    }
    emit(tx, Kind::TaskWoken, ("task", sleeper.to_string()), (Some(id), "system"), json!({}));
    go_on(tx, id).await
}

/// Lets a run go on that waited for people.
pub(crate) async fn go_on(tx: &mut Tx<'_>, id: RunId) -> Result<()> {
    let held = run::hold(tx, id).await?;
    if state_of(&held)? == State::Waiting {
        run::extend(tx, id).await?;
        set_going(tx, &held).await?;
        emit(tx, Kind::RunResumed, ("run", id.to_string()), (Some(id), "system"), json!({}));
    }
    Ok(())
}

/// True if a run has tasks that wait for people, and none that can go on without them.
pub(crate) async fn needs_people(tx: &mut Tx<'_>, id: RunId) -> Result<bool> {
    let waiting = task::ask_waiting(tx, id).await?;
    are_people_needed(tx, id, waiting).await
}

async fn are_people_needed(tx: &mut Tx<'_>, id: RunId, waiting: Asked<(String,)>) -> Result<bool> {
    let waiting = tx.answer(waiting).await?;
    let for_people = |(reason,): &(String,)| WaitReason::parse(reason).is_some_and(WaitReason::is_for_a_person);
    Ok(waiting.iter().any(for_people) && !task::is_busy(tx, id).await?)
}

/// After a task was parked: a run in which only people can bring anything about waits for them, and its time stands still.
pub(crate) async fn rest(tx: &mut Tx<'_>, id: RunId) -> Result<()> {
    let waiting = task::ask_waiting(tx, id).await?;
    rest_where(tx, id, waiting).await
}

/// The same, where it was asked already what its tasks wait for.
pub(crate) async fn rest_where(tx: &mut Tx<'_>, id: RunId, waiting: Asked<(String,)>) -> Result<()> {
    let soon = tx.now().after(SOON);
    if !are_people_needed(tx, id, waiting).await? || wait::ends_by(tx, id, soon).await? {
        return Ok(());
    }
    if frame::next_due(tx, id).await?.is_some_and(|due| due <= soon) {
        return Ok(());
    }
    let held = run::hold(tx, id).await?;
    if !matches!(state_of(&held)?, State::Running | State::Aggregating) {
        return Ok(());
    }
    let reason = "a person must decide or do something";
    run::set_state(tx, id, State::Waiting.as_str(), Some(reason)).await?;
    emit(tx, Kind::RunWaiting, ("run", id.to_string()), (Some(id), "system"), json!({"reason": reason}));
    Ok(())
}

/// Parks a running task whose calls wait. `None` if there is nothing left to wait for.
pub(crate) async fn park(tx: &mut Tx<'_>, id: TaskId, held: &task::Held) -> Result<Option<WaitReason>> {
    let waits = wait::of_attempt(tx, id, held.attempt).await?;
    let reasons: Vec<_> = waits.iter().filter_map(|row| WaitReason::parse(&row.reason)).collect();
    // Named after a person where one is awaited, so that people see what waits for them.
    let person = reasons.iter().find(|reason| reason.is_for_a_person());
    let Some(reason) = person.or_else(|| reasons.first()).copied() else { return Ok(None) };
    domain::decide(domain::State::Running, Command::Wait)?;
    task::park(tx, id, reason.as_str(), "").await?;
    lock::parked(tx, id).await?;
    convoke_store::agent::count(tx, &held.agent, -1).await?;
    let due = waits.iter().filter_map(|row| row.due).min();
    let payload = json!({"waits_for": reason.as_str(), "calls": waits.len(), "until": due.map(|at| at.to_string())});
    emit(tx, Kind::TaskWaiting, ("task", id.to_string()), (Some(held.run), "system"), payload);
    answer::parked(tx, held.run, &held.agent).await?;
    rest(tx, held.run).await?;
    Ok(Some(reason))
}

/// Gives all that an attempt waits for one result, without waking it: it goes on elsewhere.
pub(crate) async fn settle_steps(tx: &mut Tx<'_>, on: TaskId, attempt: i64, text: &str) -> Result<()> {
    for row in wait::of_attempt(tx, on, attempt).await? {
        wait::delete(tx, row.step()).await?;
        step::fulfil(tx, row.step(), "done", (Some(text), None)).await?;
    }
    Ok(())
}

/// An attempt that has ended waits for nothing any more, and hears of no result.
pub(crate) async fn withdraw(tx: &mut Tx<'_>, left: &Left<'_>) -> Result<()> {
    wait::delete_of_task(tx, left.task).await?;
    for (n, name) in step::give_up(tx, left.task, NOT_HEARD).await? {
        let payload = json!({"step": n, "kind": "tool", "name": name, "error": NOT_HEARD});
        emit(tx, Kind::StepFailed, ("task", left.task.to_string()), (Some(left.run), "system"), payload);
    }
    Ok(())
}

/// Parts of parts that are looked at.
const PARTS: usize = 256;

/// True if a task waits for people, itself or through its parts: its time stands still then.
async fn awaits_people(tx: &mut Tx<'_>, id: TaskId) -> Result<bool> {
    let mut next = vec![id];
    for _ in 0..PARTS {
        let Some(id) = next.pop() else { return Ok(false) };
        let found = task::given(tx, id).await?;
        match found.waits_for.as_deref().and_then(WaitReason::parse) {
            Some(reason) if reason.is_for_a_person() => return Ok(true),
            Some(_) => {
                let waits = wait::of_attempt(tx, id, found.attempt).await?;
                let parts = waits.iter().filter(|row| row.reason == WaitReason::Child.as_str());
                next.extend(parts.filter_map(|row| row.key.parse::<TaskId>().ok()));
            }
            None => {}
        }
    }
    Ok(false)
}

/// Gives a task that was given away its full time again, and so do the tasks above it.
pub(crate) async fn give_time(tx: &mut Tx<'_>, id: TaskId) -> Result<()> {
    let mut next = vec![id];
    for _ in 0..PARTS {
        let Some(id) = next.pop() else { break };
        let above = wait::of_key(tx, WaitReason::Child.as_str(), &id.to_string()).await?;
        let due = tx.now().after(task::given(tx, id).await?.timeout());
        for row in above {
            wait::postpone(tx, row.step(), due).await?;
            next.push(row.task);
        }
    }
    Ok(())
}

/// What the end of its time means for a wait.
pub(crate) async fn fall_due(tx: &mut Tx<'_>, row: &wait::Record) -> Result<()> {
    let reason = WaitReason::parse(&row.reason);
    let reason = reason.ok_or_else(|| {
        convoke_store::Error::broken(format!("task {} waits for `{}`, which nobody knows", row.task, row.reason))
    })?;
    if reason == WaitReason::Child
        && let Ok(child) = row.key.parse()
        && awaits_people(tx, child).await?
    {
        return give_time(tx, child).await;
    }
    let refused;
    let message = match reason {
        WaitReason::Message => "no message came in time",
        WaitReason::Answer => "no answer came in time",
        WaitReason::Child => "the task that was given away did not end in time",
        WaitReason::Handoff => "the offer was not accepted in time",
        WaitReason::Lock => {
            let why = lock::give_up(tx, row.task).await?;
            return end(tx, row, Outcome::Failed(&why)).await;
        }
        WaitReason::Approval => {
            refused = crate::approval::expire(tx, row).await?;
            &refused
        }
        WaitReason::Person => "no person answered in time",
        WaitReason::UnknownEffect | WaitReason::Budget => "its time is up",
    };
    end(tx, row, Outcome::Failed(message)).await?;
    match reason {
        WaitReason::Child => handoff::child_is_late(tx, row).await,
        WaitReason::Handoff => handoff::expire(tx, row).await,
        _ => Ok(()),
    }
}
