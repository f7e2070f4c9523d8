//! Flows, driven: what happened goes to the machine of the domain with what it asks for, and its moves are carried out, all in
//! the transaction in which it happened. Start at [`tasks_ended`].

use convoke_domain::event::Kind;
use convoke_domain::flow::machine::{self, Happened, Move, Note, Scope, TaskEnd, What};
use convoke_domain::flow::memory::{Frame, Key, Memory, TaskSeen};
use convoke_domain::flow::path;
use convoke_domain::id::{RunId, TaskId};
use convoke_domain::run::{Command, State};
use convoke_domain::spec::RunSpec;
use convoke_store::{Error, Result, Tx, context, frame, run, task};
use serde_json::{Map, Value, json};

use crate::engine::emit;
use crate::run::state_of;
use crate::scale::{self, Members};
use crate::{advance, answer, ending, memory, outcome, wait};

/// How often the machine may ask for more in one turn; it asks once for each level that it goes down.
const ASKS_MAX: usize = 1_000;
/// Tasks of one run.
const TASKS_MAX: i64 = 100_000;
/// Variables of the shared context that templates may name.
const VARIABLES_MAX: i64 = 1_000;
/// The most bytes of a phase's summary in an event.
const SUMMARY_MAX: usize = 16 << 10;

/// A run begins; nothing if it has.
pub(crate) async fn begin(tx: &mut Tx<'_>, id: RunId, spec: &RunSpec) -> Result<()> {
    if frame::get(tx, id, "").await?.is_some() {
        return Ok(());
    }
    let mut held = run::hold(tx, id).await?;
    if state_of(&held)?.has_ended() {
        return Ok(());
    }
    advance::enter(tx, &mut held, "execution", Command::Reopen).await?;
    happened(tx, id, spec, Happened::Began).await?;
    check(tx, id).await
}

/// Tasks have ended; those that no flow made mean nothing to it.
pub(crate) async fn tasks_ended(
    tx: &mut Tx<'_>,
    id: RunId,
    spec: &RunSpec,
    ended: impl Iterator<Item = TaskId>,
) -> Result<()> {
    let mut is_told = false;
    for one in ended {
        if let Some(at) = task::path(tx, one).await? {
            happened(tx, id, spec, Happened::Ended(&at)).await?;
            is_told = true;
        }
    }
    // When the machine knows of all of them, and not before: those that failed with the first are not open any more.
    if is_told { check(tx, id).await } else { Ok(()) }
}

/// Looks after a step whose time is up.
pub(crate) async fn fall_due(tx: &mut Tx<'_>, row: &frame::Due) -> Result<()> {
    frame::still(tx, row.run, &row.path).await?;
    let held = run::hold(tx, row.run).await?;
    if state_of(&held)?.has_ended() {
        return Ok(());
    }
    let spec = answer::spec_of(tx, row.run).await?;
    wait::go_on(tx, row.run).await?;
    happened(tx, row.run, &spec, Happened::Due(&row.path)).await?;
    check(tx, row.run).await
}

async fn happened(tx: &mut Tx<'_>, id: RunId, spec: &RunSpec, what: Happened<'_>) -> Result<()> {
    let held = run::hold(tx, id).await?;
    let Some(flow) = &spec.flow else { return Ok(()) };
    if state_of(&held)?.has_ended() {
        return Ok(());
    }
    let scope = Scope { spec, flow, task: &held.task };
    let members = scale::members(tx, id, spec).await?;
    let mut memory = Memory::default();
    let mut asked = 0;
    let (moves, frames) = loop {
        match machine::next(scope, &mut memory, what, tx.now().as_micros()) {
            Ok(turn) => break turn,
            Err(keys) if asked < ASKS_MAX => {
                asked += 1;
                for key in &keys {
                    load(tx, id, &mut memory, (key, &members)).await?;
                }
            }
            Err(keys) => return Err(Error::broken(format!("run {id} asks for ever, at last for {keys:?}"))),
        }
    };
    for (at, frame) in frames {
        frame::put(tx, id, &row(at, &frame)?).await?;
    }
    let ended = if let Happened::Ended(at) = what { Some(at) } else { None };
    let mut turn = Turn { held, spec, ended };
    for one in moves {
        turn.carry_out(tx, one).await?;
    }
    Ok(())
}

/// A run that has not ended has something to wait for. That it has is what the tests of the machine show; a run that would
/// stand still for ever all the same says so instead.
async fn check(tx: &mut Tx<'_>, id: RunId) -> Result<()> {
    let held = run::hold(tx, id).await?;
    if state_of(&held)?.has_ended() || run::count_tasks(tx, id, 0, 0).await? > 0 {
        return Ok(());
    }
    if frame::next_due(tx, id).await?.is_some() {
        return Ok(());
    }
    let error = "flow_stuck: nothing is open in the flow, and it has not ended";
    advance::end_run(tx, id, State::Failed, (None, Some(error)), "system").await
}

fn row(path: String, frame: &Frame) -> Result<frame::Record> {
    Ok(frame::Record {
        path,
        state: serde_json::to_string(frame)?,
        result: frame.result.as_ref().map(ToString::to_string),
        due: frame.due.map(convoke_domain::time::Timestamp::from_micros),
    })
}

pub(crate) fn frame_of(row: &frame::Record) -> Result<Frame> {
    let mut frame: Frame = serde_json::from_str(&row.state)?;
    frame.result = row.result.as_deref().map(serde_json::from_str).transpose()?;
    frame.due = row.due.map(|due| due.as_micros());
    Ok(frame)
}

fn seen(row: &task::Stepped, members: &Members) -> TaskSeen {
    let end = match row.state.as_str() {
        "completed" => Some(TaskEnd::Completed(row.output.clone().unwrap_or_default())),
        "failed" => Some(TaskEnd::Failed(row.error.clone().unwrap_or_default())),
        "cancelled" => Some(TaskEnd::Failed("it was called off".into())),
        _ => None,
    };
    let mut agent = row.agent.clone();
    members.name_member(&mut agent);
    TaskSeen { agent, is_json: row.is_json, end }
}

async fn load(tx: &mut Tx<'_>, id: RunId, memory: &mut Memory, (key, members): (&Key, &Members)) -> Result<()> {
    match key {
        Key::Frame(at) => {
            let found = frame::get(tx, id, at).await?;
            memory.put_frame(at, found.as_ref().map(frame_of).transpose()?);
        }
        Key::Task(at) => {
            let found = task::stepped(tx, id, (at, &format!("{at}\u{1}"))).await?;
            memory.put_task(at, found.first().map(|row| seen(row, members)));
        }
        Key::Below(at) => {
            let (from, to) = path::below(at);
            for row in frame::within(tx, id, (&from, &to)).await? {
                memory.put_frame(&row.path, Some(frame_of(&row)?));
            }
            for row in task::stepped(tx, id, (&from, &to)).await? {
                memory.put_task(&row.key, Some(seen(&row, members)));
            }
            memory.put_below(at);
        }
        Key::Context => {
            let rows = context::list(tx, id, context::VARIABLE, "", VARIABLES_MAX).await?;
            let text = |value: String| serde_json::from_str(&value).unwrap_or(Value::String(value));
            let all: Map<String, Value> =
                rows.into_iter().map(|row| (row.name, row.value.map_or(Value::Null, text))).collect();
            memory.put_context(all.into());
        }
    }
    Ok(())
}

/// The moves of one turn.
struct Turn<'a> {
    held: run::Held,
    spec: &'a RunSpec,
    /// The path of the task that ended, if that is what happened.
    ended: Option<&'a str>,
}

impl Turn<'_> {
    async fn carry_out(&mut self, tx: &mut Tx<'_>, one: Move) -> Result<()> {
        let id = self.held.id;
        match one {
            Move::Create(tasks) => {
                let count = i64::try_from(tasks.len()).unwrap_or(i64::MAX);
                if self.held.made_tasks.saturating_add(count) > TASKS_MAX {
                    let error = format!("too_many_tasks: the flow would make more than {TASKS_MAX} tasks");
                    return self.end(tx, State::Failed, (None, Some(&error))).await;
                }
                advance::create(tx, &mut self.held, self.spec, &tasks).await
            }
            Move::CallOff(at) => {
                let (from, to) = path::below(&at);
                frame::still(tx, id, &at).await?;
                advance::cancel_within(tx, id, (&at, &format!("{at}\u{1}"))).await?;
                advance::cancel_within(tx, id, (&from, &to)).await?;
                frame::still_within(tx, id, (&from, &to)).await
            }
            Move::EnterPhase(name) => advance::enter(tx, &mut self.held, &name, Command::Reopen).await,
            Move::LeavePhase { name, summary } => {
                let summary = convoke_domain::material::head_of(&summary, SUMMARY_MAX);
                let payload = json!({"phase": name, "summary": summary});
                emit(tx, Kind::RunPhaseEnded, ("run", id.to_string()), (Some(id), "system"), payload);
                Ok(())
            }
            Move::Note(note) => {
                if note.what == What::VoteCounted {
                    outcome::of_vote(tx, id, &note.path, &note.facts).await?;
                }
                if note.what == What::ReviewEnded {
                    outcome::of_review(tx, id, &note.path, &note.facts).await?;
                }
                if note.what == What::WorkScored {
                    outcome::of_scores(tx, id, &note.path, &note.facts).await?;
                }
                tell(tx, id, note);
                Ok(())
            }
            Move::Complete(output) => {
                memory::propagate(tx, id, self.spec).await?;
                self.end(tx, State::Completed, (Some(&output), None)).await
            }
            Move::Fail(code, reason) => match self.stuck_coordinator(tx).await? {
                Some(stuck) => self.end(tx, State::Escalated, (None, Some(&stuck))).await,
                None => self.end(tx, State::Failed, (None, Some(&format!("{code}: {reason}")))).await,
            },
            Move::Escalate { reason, output } => {
                self.end(tx, State::Escalated, (output.as_deref(), Some(&reason))).await
            }
        }
    }

    /// What the coordinator was stuck at, if the flow fails of that: then a person has the run instead.
    async fn stuck_coordinator(&self, tx: &mut Tx<'_>) -> Result<Option<String>> {
        let Some(at) = self.ended else { return Ok(None) };
        let found = task::stepped(tx, self.held.id, (at, &format!("{at}\u{1}"))).await?;
        let Some(task) = found.first() else { return Ok(None) };
        let error = task.error.as_deref().unwrap_or_default();
        let code = error.split(':').next().unwrap_or_default();
        let stuck = ending::wants_person(self.spec, &task.agent, code);
        Ok(stuck.then(|| format!("{at} ({}): {error}", task.agent)))
    }

    async fn end(&mut self, tx: &mut Tx<'_>, state: State, said: (Option<&str>, Option<&str>)) -> Result<()> {
        advance::end_run(tx, self.held.id, state, said, "system").await
    }
}

/// Writes down what happened in the coordination.
pub(crate) fn tell(tx: &mut Tx<'_>, id: RunId, note: Note) {
    let kind = match note.what {
        What::SplitCreated => Kind::SplitCreated,
        What::SyncCreated => Kind::SyncCreated,
        What::SyncReady => Kind::SyncReady,
        What::JoinCreated => Kind::JoinCreated,
        What::MergeCompleted => Kind::MergeCompleted,
        What::RoundStarted => Kind::RoundStarted,
        What::BranchTaken => Kind::BranchTaken,
        What::VoteOpened => Kind::VoteOpened,
        What::VoteCounted => Kind::VoteCounted,
        What::ReviewEnded => Kind::ReviewEnded,
        What::AgreementMeasured => Kind::AgreementMeasured,
        What::WorkScored => Kind::WorkScored,
        What::GateChecked => Kind::GateChecked,
        What::StepSkipped => Kind::StepSkipped,
    };
    let mut payload = json!({"path": note.path});
    if let (Some(into), Value::Object(facts)) = (payload.as_object_mut(), note.facts) {
        into.extend(facts);
    }
    emit(tx, kind, ("run", id.to_string()), (Some(id), "system"), payload);
}
