//! Handoff: an offer, and if it is accepted, the task with all that belongs to it changes hands in one transaction.
//! Delegation: what becomes of a part that is not done in time.
//!
//! Rule: whoever receives a task gets the packet, never another agent's steps. Start at [`accept`].

use convoke_domain::event::Kind;
use convoke_domain::handoff::{Command, Packet, State, decide};
use convoke_domain::id::{HandoffId, RunId, TaskId, WorkspaceId};
use convoke_domain::refusal::Refusal;
use convoke_domain::task::{self as domain_task, Priority, WaitReason, rank};
use convoke_domain::time::Timestamp;
use convoke_store::{Error as StoreError, Result as Stored, Tx, UseCase, agent, attempt, handoff, task};
use serde::Serialize;
use serde_json::json;

use crate::claim::Assignment;
use crate::desk::{self, Left};
use crate::engine::emit;
use crate::{Engine, Result, advance, wait};

/// A handoff as people see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HandoffView {
    /// Its id.
    pub id: HandoffId,
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskId,
    /// Who had the task.
    pub from: String,
    /// Who was to have it.
    pub to: String,
    /// How it stands.
    pub state: String,
    /// What goes along.
    pub packet: Packet,
    /// Why it was declined.
    pub reason: Option<String>,
    /// When it was made.
    pub requested_at: Timestamp,
    /// Until when it stands.
    pub due: Option<Timestamp>,
    /// When it was settled.
    pub settled_at: Option<Timestamp>,
    /// By whom.
    pub settled_by: Option<String>,
}

impl Engine {
    /// Handoffs in the order they were made, of one run or of all.
    pub async fn handoffs(
        &self,
        run: Option<RunId>,
        only_open: bool,
        after: Option<HandoffId>,
        limit: i64,
    ) -> Result<Vec<HandoffView>> {
        Ok(self.store().read(List { ws: self.ws(), run, only_open, after, limit }).await?)
    }

    /// A person accepts a handoff for the agent that was asked.
    pub async fn accept_handoff(&self, id: HandoffId, user: &str) -> Result<()> {
        self.settle_handoff(id, None, user).await
    }

    /// A person declines a handoff for the agent that was asked.
    pub async fn decline_handoff(&self, id: HandoffId, reason: &str, user: &str) -> Result<()> {
        self.settle_handoff(id, Some(reason.to_owned()), user).await
    }

    async fn settle_handoff(&self, id: HandoffId, reason: Option<String>, user: &str) -> Result<()> {
        let settle = Settle { ws: self.ws(), id, reason, who: format!("user:{user}") };
        self.answer_for(user, "accept or decline handoffs", settle).await?;
        self.wake().notify_one();
        self.look_again().notify_one();
        Ok(())
    }
}

struct List {
    ws: WorkspaceId,
    run: Option<RunId>,
    only_open: bool,
    after: Option<HandoffId>,
    limit: i64,
}

impl UseCase for List {
    type Out = Vec<HandoffView>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        let rows = handoff::list(tx, self.run, self.only_open, self.after, self.limit).await?;
        rows.into_iter().map(view).collect()
    }
}

fn view(row: handoff::Record) -> Stored<HandoffView> {
    Ok(HandoffView {
        packet: packet_of(&row)?,
        id: row.id,
        run: row.run,
        task: row.task,
        from: row.giver,
        to: row.receiver,
        state: row.state,
        reason: row.reason,
        requested_at: row.requested_at,
        due: row.due,
        settled_at: row.settled_at,
        settled_by: row.settled_by,
    })
}

struct Settle {
    ws: WorkspaceId,
    id: HandoffId,
    /// Why it is declined; accepted if absent.
    reason: Option<String>,
    who: String,
}

impl UseCase for Settle {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<()> {
        let row = handoff::hold(tx, self.id).await?;
        match &self.reason {
            None => accept(tx, &row, &self.who).await?,
            Some(reason) => decline(tx, &row, &self.who, reason).await?,
        }
        // Whoever was asked need not think about it any more.
        if let Some(offer) = row.offer {
            advance::cancel_part(tx, row.run, row.task, offer, &self.who).await?;
        }
        Ok(())
    }
}

fn state_of(row: &handoff::Record) -> Stored<State> {
    State::parse(&row.state)
        .ok_or_else(|| StoreError::broken(format!("handoff {} has no state `{}`", row.id, row.state)))
}

pub(crate) fn packet_of(row: &handoff::Record) -> Stored<Packet> {
    Ok(serde_json::from_str(&row.packet)?)
}

fn told(row: &handoff::Record) -> serde_json::Value {
    json!({"handoff": row.id, "from": row.giver, "to": row.receiver})
}

/// The receiver takes the task: attempt, locks and waits of the giver end, and the task is the receiver's.
pub(crate) async fn accept(tx: &mut Tx<'_>, row: &handoff::Record, who: &str) -> Stored<()> {
    decide(state_of(row)?, Command::Accept)?;
    let held = task::hold(tx, row.task).await?;
    let is_theirs = matches!(held.state.as_str(), "running" | "waiting") && held.attempt == row.attempt;
    if !is_theirs {
        let message = format!("the task is not with `{}` any more", row.giver);
        return Err(Refusal::new("handoff_closed", message).into());
    }
    handoff::settle(tx, row.id, State::Accepted.as_str(), who, None).await?;
    let text = format!("accepted: the task is with `{}` now", row.receiver);
    wait::settle_steps(tx, row.task, held.attempt, &text).await?;
    let left = Left { run: row.run, task: row.task, agent: &row.giver, is_over: false, handed_to: Some(&row.receiver) };
    desk::left(tx, &left).await?;
    advance::cancel_parts_but(tx, row.run, row.task, row.offer, "system").await?;
    attempt::end(tx, row.task, held.attempt, "handed_over", None).await?;
    if held.state == "running" {
        agent::count(tx, &row.giver, -1).await?;
    }
    pass_on(tx, row, &held).await?;
    emit(tx, Kind::HandoffAccepted, ("task", row.task.to_string()), (Some(row.run), who), told(row));
    wait::go_on(tx, row.run).await
}

/// Puts the task into the receiver's queue.
async fn pass_on(tx: &mut Tx<'_>, row: &handoff::Record, held: &task::Held) -> Stored<()> {
    let command = if held.state == "running" { domain_task::Command::Retry } else { domain_task::Command::Wake };
    let state = domain_task::State::parse(&held.state)
        .ok_or_else(|| StoreError::broken(format!("task {} has no state `{}`", row.task, held.state)))?;
    domain_task::decide(state, command)?;
    let how = task::Requeue {
        rank: rank(Priority::parse(&held.priority), tx.now()),
        not_before: Timestamp::default(),
        resume: false,
        retries_left: held.retries_left,
        agent: &row.receiver,
        error: None,
    };
    task::requeue(tx, row.task, &how).await?;
    let payload = json!({"from": row.giver, "to": row.receiver, "error": null});
    emit(tx, Kind::TaskReassigned, ("task", row.task.to_string()), (Some(row.run), "system"), payload);
    Ok(())
}

/// The receiver does not take the task: the giver goes on with it.
pub(crate) async fn decline(tx: &mut Tx<'_>, row: &handoff::Record, who: &str, reason: &str) -> Stored<()> {
    decide(state_of(row)?, Command::Decline)?;
    handoff::settle(tx, row.id, State::Declined.as_str(), who, Some(reason)).await?;
    tell_declined(tx, row, who, reason);
    let text = format!("`{}` declined: {reason}", row.receiver);
    for waits in [WaitReason::Handoff, WaitReason::Person] {
        wait::fulfil(tx, waits, &row.id.to_string(), wait::Outcome::Failed(&text)).await?;
    }
    Ok(())
}

pub(crate) fn tell_declined(tx: &mut Tx<'_>, row: &handoff::Record, who: &str, reason: &str) {
    let mut payload = told(row);
    payload["reason"] = reason.into();
    emit(tx, Kind::HandoffDeclined, ("task", row.task.to_string()), (Some(row.run), who), payload);
}

/// Nobody said anything in time.
pub(crate) async fn expire(tx: &mut Tx<'_>, on: &convoke_store::wait::Record) -> Stored<()> {
    let Ok(id) = on.key.parse() else { return Ok(()) };
    let row = handoff::hold(tx, id).await?;
    if decide(state_of(&row)?, Command::Expire).is_err() {
        return Ok(());
    }
    handoff::settle(tx, id, State::TimedOut.as_str(), "system", Some("no answer in time")).await?;
    tell_declined(tx, &row, "system", "no answer in time");
    match row.offer {
        Some(offer) => advance::cancel_part(tx, row.run, row.task, offer, "system").await,
        None => Ok(()),
    }
}

/// A part that was not done in time is called off.
pub(crate) async fn child_is_late(tx: &mut Tx<'_>, on: &convoke_store::wait::Record) -> Stored<()> {
    let Ok(child) = on.key.parse() else { return Ok(()) };
    advance::cancel_part(tx, on.run, on.task, child, "system").await
}

/// What goes along with a task for the agent that was handed it last.
pub(crate) async fn packet_for(tx: &mut Tx<'_>, on: TaskId, agent: &str) -> Stored<Option<(String, Packet)>> {
    let rows = handoff::of_task(tx, on).await?;
    let last = rows.into_iter().rfind(|row| row.state == State::Accepted.as_str());
    match last.filter(|row| row.receiver == agent) {
        Some(row) => Ok(Some((row.giver.clone(), packet_of(&row)?))),
        None => Ok(None),
    }
}

/// A task that was handed over to be given back goes back, with its result so far. False if it is simply done.
pub(crate) async fn give_back(tx: &mut Tx<'_>, at: &Assignment, held: &task::Held, output: &str) -> Stored<bool> {
    let rows = handoff::of_task(tx, at.task).await?;
    let Some(row) = rows.iter().rfind(|row| row.state == State::Accepted.as_str() && !row.returned) else {
        return Ok(false);
    };
    let packet = packet_of(row)?;
    let Some(back_to) = packet.return_to.clone().filter(|name| *name != at.agent && row.receiver == at.agent) else {
        return Ok(false);
    };
    handoff::set_returned(tx, row.id).await?;
    // As with every attempt that ends: its questions and parts end with it, and its locks go along with the task.
    let left = Left { run: at.run, task: at.task, agent: &at.agent, is_over: false, handed_to: Some(&back_to) };
    desk::left(tx, &left).await?;
    advance::cancel_parts(tx, at.run, at.task, "system").await?;
    let packet = Packet {
        goal: packet.goal,
        done: output.to_owned(),
        left: "Bring the task to its end; the part that was handed over is done.".to_owned(),
        reason: format!("given back by `{}`, as was agreed", at.agent),
        artifacts: packet.artifacts,
        constraints: packet.constraints,
        ..Packet::default()
    };
    let id = HandoffId::derived(tx.now(), &[row.id.0.as_bytes(), b"back"]);
    let new = handoff::NewRow {
        id,
        run: at.run,
        task: at.task,
        attempt: at.attempt,
        giver: &at.agent,
        receiver: &back_to,
        packet: &serde_json::to_string(&packet)?,
        offer: None,
        due: None,
    };
    handoff::insert(tx, &new).await?;
    handoff::settle(tx, id, State::Accepted.as_str(), "system", None).await?;
    let back = handoff::hold(tx, id).await?;
    pass_on(tx, &back, held).await?;
    emit(tx, Kind::HandoffAccepted, ("task", at.task.to_string()), (Some(at.run), "system"), told(&back));
    Ok(true)
}
