//! Mail: messages are given to an agent between two turns, never in the middle of one. What was given is a step of the
//! attempt, so that an attempt which goes on after a crash has read the same.
//!
//! Rule: an agent with several tasks at once is given a message in one of them: an answer in the one that asked, anything else
//! in the one that looks first. Alerts that are critical or cut calls are given in all of them.

use std::collections::BTreeSet;

use convoke_domain::event::Kind;
use convoke_domain::id::{MessageId, WorkspaceId};
use convoke_domain::message::{Waiting, in_order};
use convoke_domain::task::Priority;
use convoke_store::step::{self, StepRef};
use convoke_store::thread::Viewer;
use convoke_store::{Result, Tx, UseCase, message, task, thread};
use serde_json::json;

use crate::claim::Assignment;
use crate::engine::emit;
use crate::letter::{self, GIVEN, GIVEN_BYTES};
use crate::say::Wanted;

/// The kind of step that holds what was given to the agent.
pub(crate) const STEP: &str = "message";

/// Gives an agent the messages that have come.
pub(crate) struct Deliver {
    pub ws: WorkspaceId,
    pub at: Assignment,
    /// The model call before which they come.
    pub turn: i64,
    /// The step.
    pub n: i64,
    /// A program reads them, not a model.
    pub as_json: bool,
}

/// What was given.
pub(crate) enum Delivered {
    /// The task is not ours any more.
    Gone,
    /// Nothing, after all.
    Nothing,
    /// This text, and so many are left.
    Letters(String, usize),
}

impl UseCase for Deliver {
    type Out = Delivered;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Delivered> {
        let held = task::hold(tx, self.at.task).await?;
        if held.state != "running" || held.fence != self.at.fence {
            return Ok(Delivered::Gone);
        }
        let letters = letters(tx, &self.at).await?;
        task::clear_mail(tx, self.at.task).await?;
        let Some((given, left)) = letters else { return Ok(Delivered::Nothing) };
        let text = if self.as_json { letter::document(&given)? } else { letter::letters(&given, left) };
        // What is left comes before the next call all the same.
        if left > 0 {
            task::add_mail(tx, self.at.task, i64::try_from(left).unwrap_or(i64::MAX)).await?;
        }
        self.keep(tx, &text).await?;
        Ok(Delivered::Letters(text, left))
    }
}

impl Deliver {
    async fn keep(&self, tx: &mut Tx<'_>, text: &str) -> Result<()> {
        let at = StepRef { task: self.at.task, attempt: self.at.attempt, n: self.n };
        let row = step::NewRow {
            at,
            run: self.at.run,
            turn: self.turn,
            kind: STEP,
            name: "mail",
            call_id: &call_id(self.n),
            input_hash: "",
            input: None,
            fence: self.at.fence,
            bound_cost: 0,
            bound_tokens: 0,
            scopes: "",
            tariff: "",
        };
        step::start(tx, &row).await?;
        step::finish(tx, at, 0, "done", (Some(text), None)).await?;
        Ok(())
    }
}

/// What such a step is called among the calls of its turn.
pub(crate) fn call_id(n: i64) -> String {
    format!("mail:{n}")
}

/// The most messages that are looked at for one delivery.
const LOOK: i64 = 10_000;
/// The most threads in which an agent is looked for as behind.
const THREADS: i64 = 1_000;

/// A message on its way to a reader.
#[derive(Debug, Clone)]
struct Mail {
    id: MessageId,
    way: Way,
}

/// What keeps track of a message.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    /// A receipt.
    Addressed,
    /// A cursor: it was said to all.
    ToAll,
    /// Nothing any more: another task of the agent was given it, and all of them must know.
    Again,
}

/// All that waits for the task's agent, and the threads in which it is behind.
async fn box_of(tx: &mut Tx<'_>, at: &Assignment, who: &str) -> Result<(Vec<Waiting<Mail>>, Vec<thread::Behind>)> {
    let mut addressed = message::queued(tx, who, at.run, (at.task, at.attempt), LOOK).await?;
    if !addressed.is_empty() {
        let elsewhere = message::of_other_tasks(tx, who, at.run, at.task).await?;
        addressed.retain(|found| !elsewhere.contains(&(found.message,)));
    }
    let mut all: Vec<_> = addressed.into_iter().map(|found| waiting(found, Way::Addressed)).collect();
    let behind = thread::behind(tx, who, at.run, THREADS).await?;
    for one in &behind {
        let found = message::to_all(tx, one.thread, one.cursor, who, LOOK).await?;
        all.extend(found.into_iter().map(|found| waiting(found, Way::ToAll)));
    }
    if let Some(since) = message::looked_at(tx, (at.task, at.attempt)).await? {
        let mut alerts = message::alerts_given(tx, who, at.run, (at.task, since), LOOK).await?;
        // One clock tells the time of a whole batch: what came at this very time may have been given before, or after.
        if alerts.iter().any(|found| found.at == since) {
            let letters = message::letters_at(tx, (at.task, at.attempt), since).await?;
            let known: BTreeSet<_> = letters.iter().flat_map(|(text,)| letter::ids(text)).collect();
            alerts.retain(|found| !known.contains(&found.message.to_string()));
        }
        all.extend(alerts.into_iter().map(|found| waiting(found, Way::Again)));
    }
    Ok((all, behind))
}

/// Whether a message that somebody wants to wait for is there already.
pub(crate) async fn has_come(tx: &mut Tx<'_>, at: &Assignment, wanted: &Wanted) -> Result<bool> {
    let (all, _) = box_of(tx, at, &format!("agent:{}", at.agent)).await?;
    for one in all {
        let found = message::get(tx, one.what.id, Viewer::Audit).await?;
        if found.is_some_and(|found| wanted.fits(&found.sender, &found.kind)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The messages for the task's agent, and how many are left; they count as delivered.
async fn letters(tx: &mut Tx<'_>, at: &Assignment) -> Result<Option<(Vec<message::Record>, usize)>> {
    let who = format!("agent:{}", at.agent);
    // Whatever it was given before its last call, it has read.
    message::saw(tx, at.task).await?;
    thread::saw(tx, at.task).await?;
    let (waiting, behind) = box_of(tx, at, &who).await?;
    let (given, left) = give(tx, &who, at, in_order(waiting)).await?;
    for one in behind {
        move_on(tx, &who, at, (one, &left)).await?;
    }
    if given.is_empty() {
        return Ok(None);
    }
    task::tie(tx, at.task).await?;
    let ids: Vec<_> = given.iter().map(|message| message.id).collect();
    let payload = json!({"messages": ids, "left": left.len()});
    emit(tx, Kind::AgentMessageDelivered, ("task", at.task.to_string()), (Some(at.run), &who), payload);
    Ok(Some((given, left.len())))
}

fn waiting(found: message::Queued, way: Way) -> Waiting<Mail> {
    let what = Mail { id: found.message, way };
    Waiting { thread: found.thread, n: found.n, priority: Priority::parse(&found.priority), at: found.at, what }
}

/// Reads messages in their order as far as there is room, and marks them as delivered. Gives what is left.
async fn give(
    tx: &mut Tx<'_>,
    who: &str,
    at: &Assignment,
    order: Vec<Waiting<Mail>>,
) -> Result<(Vec<message::Record>, Vec<Waiting<Mail>>)> {
    let (mut given, mut bytes, mut rest) = (Vec::new(), 0, order.into_iter());
    while let Some(next) = rest.next() {
        // Whose context it goes into is chosen here, not by the message: the engine reads for its recipient.
        let Some(found) = message::get(tx, next.what.id, Viewer::Audit).await? else { continue };
        bytes += found.body.len();
        if given.len() >= GIVEN || (bytes > GIVEN_BYTES && !given.is_empty()) {
            return Ok((given, std::iter::once(next).chain(rest).collect()));
        }
        if next.what.way == Way::Addressed {
            message::delivered(tx, found.id, who, Some((at.task, at.attempt))).await?;
        }
        given.push(found);
    }
    Ok((given, Vec::new()))
}

/// Moves the reader's cursor up to the first message of the thread that is left, or to its end.
async fn move_on(
    tx: &mut Tx<'_>,
    who: &str,
    at: &Assignment,
    (one, left): (thread::Behind, &[Waiting<Mail>]),
) -> Result<()> {
    let first =
        left.iter().filter(|mail| mail.what.way == Way::ToAll && mail.thread == one.thread).map(|mail| mail.n).min();
    let cursor = first.map_or(one.last_n, |n| n - 1);
    let back = if one.task == Some(at.task) { one.back } else { one.cursor };
    thread::move_cursor(tx, one.thread, who, cursor, (Some(at.task), back)).await
}
