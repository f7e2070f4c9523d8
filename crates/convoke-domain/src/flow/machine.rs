//! The machine that drives a flow: from one thing that happened to the moves that follow from it. Pure.
//!
//! Rule: an event touches the frames above it and the results that the next steps name, never the whole run, so a step costs
//! the same in a flow of ten and of ten thousand. What it needs and has not got it names; see [`memory`](super::memory).
//! Start at [`next`]; lists of steps are in `block`, splits in `split`, votes in `vote`, variables and results in `scene`.

mod block;
mod gate;
mod moves;
mod node;
mod rounds;
mod scene;
mod size;
mod split;
mod task;
mod told;
mod vote;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::memory::{Block, End, Frame, Item, Key, Memory, Missing, State};
use super::{Flow, OnFailure, Step, path, template};
use crate::pattern::NewTask;
use crate::spec::RunSpec;
use crate::team::EscalationPolicy;
use node::Node;

pub use moves::{Move, Note, What};

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEnd {
    /// With this result.
    Completed(String),
    /// Without, for this reason.
    Failed(String),
}

/// What the machine is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened<'a> {
    /// The run begins.
    Began,
    /// The task at this path has ended.
    Ended(&'a str),
    /// The time of the frame at this path is up.
    Due(&'a str),
}

/// What does not change during a run.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// What the run pinned.
    pub spec: &'a RunSpec,
    /// The flow, in the smaller primitives.
    pub flow: &'a Flow,
    /// The run's task.
    pub task: &'a str,
}

/// Why a turn stops before its end.
enum Stop {
    /// Something must be loaded.
    Missing,
    /// The run is over.
    Over,
}

impl From<Missing> for Stop {
    fn from(_: Missing) -> Self {
        Self::Missing
    }
}

type Turn<T> = Result<T, Stop>;

/// What follows, and the frames that changed.
pub type Followed = (Vec<Move>, BTreeMap<String, Frame>);

/// How a step came out when it was begun.
enum Begun {
    /// It goes on by itself.
    Open,
    /// It is over already.
    Ended(End),
    /// Its condition does not hold.
    Skipped,
    /// A gate sends the flow back to the step at this place, for this reason.
    Back(u32, String),
}

/// What follows, and the frames that changed. `Err`: load these and ask again.
pub fn next(scope: Scope<'_>, memory: &mut Memory, happened: Happened<'_>, now: i64) -> Result<Followed, Vec<Key>> {
    let (moves, created, items, read) = Default::default();
    let mut machine = Machine { scope, memory, now, moves, created, items, read };
    let stopped = machine.turn(happened);
    let (mut moves, created) = (machine.moves, machine.created);
    match stopped {
        Err(Stop::Missing) => Err(memory.take_missing().into_iter().collect()),
        Ok(()) | Err(Stop::Over) => {
            if !created.is_empty() && !moves.iter().any(is_end) {
                moves.push(Move::Create(created));
            }
            Ok((moves, memory.take_changed()))
        }
    }
}

fn is_end(one: &Move) -> bool {
    matches!(one, Move::Complete(_) | Move::Fail(..) | Move::Escalate { .. })
}

struct Machine<'a, 'm> {
    scope: Scope<'a>,
    memory: &'m mut Memory,
    now: i64,
    moves: Vec<Move>,
    created: Vec<NewTask>,
    /// Items of children that this turn begins, until their frames hold them.
    items: BTreeMap<String, Item>,
    /// What the step that is looked at has read.
    read: size::Read,
}

impl<'a> Machine<'a, '_> {
    fn turn(&mut self, happened: Happened<'_>) -> Turn<()> {
        match happened {
            Happened::Began => self.begin(),
            Happened::Ended(path) => self.task_ended(path),
            Happened::Due(path) => self.due(path),
        }
    }

    fn begin(&mut self) -> Turn<()> {
        if self.memory.frame("")?.is_some() {
            return Ok(());
        }
        self.memory.set("", Frame { state: State::Block(Block::default()), ..Frame::default() });
        match self.run_block("")? {
            Some(end) => self.ended("", end),
            None => Ok(()),
        }
    }

    fn task_ended(&mut self, path: &str) -> Turn<()> {
        if !self.is_live(path)? {
            return Ok(());
        }
        let end = match self.memory.task(path)?.and_then(|task| task.end.clone()) {
            Some(TaskEnd::Completed(_)) => End::Done,
            Some(TaskEnd::Failed(reason)) => End::Failed(reason),
            None => return Ok(()),
        };
        self.ended(path, end)
    }

    /// Nothing above it has ended or was called off.
    fn is_live(&self, path: &str) -> Turn<bool> {
        let line = path::line(path);
        for (place, above) in line.iter().enumerate().take(line.len() - 1) {
            let Some(frame) = self.memory.frame(above)? else { return Ok(false) };
            if frame.end.is_some() {
                return Ok(false);
            }
            if let State::Block(block) = &frame.state {
                let (_, segment) = path::split(line[place + 1]).unwrap_or_default();
                let Some(at) = self.place_of(above, path::id_of(segment))? else { return Ok(false) };
                let current = path::visited(above, path::id_of(segment), block.visit(at));
                if !block.open.contains(&at) || current != line[place + 1] {
                    return Ok(false);
                }
            }
            if let State::Loop { round, .. } = &frame.state
                && path::split(line[place + 1]).map(|(_, round)| round) != Some(round.to_string().as_str())
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn due(&mut self, path: &str) -> Turn<()> {
        let is_open = self.memory.frame(path)?.is_some_and(|frame| frame.end.is_none());
        if !is_open || !self.is_live(path)? {
            return Ok(());
        }
        let frame = self.memory.frame(path)?.cloned().unwrap_or_default();
        let Node::Step(step) = self.node(path)? else { return Ok(()) };
        let sync = match &frame.state {
            State::Split(_) => step.split.as_ref().and_then(|split| split.sync.timeout_s),
            State::Sync(_) => step.sync.as_ref().and_then(|sync| sync.timeout_s),
            State::Vote(_) => step.vote.as_ref().and_then(|vote| vote.ballots_within_s),
            State::Block(_) | State::Loop { .. } | State::Leaf | State::Queued => None,
        };
        let whole = step.timeout_s;
        if sync.is_some_and(|sync| whole.is_none_or(|whole| sync <= whole)) {
            let end = match &frame.state {
                State::Split(split) => {
                    let split = split.clone();
                    self.split_timed_out(path, &split)?
                }
                State::Vote(vote) => {
                    let vote = vote.clone();
                    self.close_vote(path, step, vote)?
                }
                _ => return self.sync_timed_out(path),
            };
            return match end {
                Some(end) => self.ended(path, end),
                None => Ok(()),
            };
        }
        if let State::Vote(vote) = &frame.state {
            self.give_up_vote(path, vote)?;
        }
        self.call_off(path);
        self.ended(path, End::Failed(format!("it took longer than {} s", whole.unwrap_or_default())))
    }

    /// Tells what holds the thing at `path` that it has ended, and so on upwards.
    fn ended(&mut self, path: &str, end: End) -> Turn<()> {
        let mut at = (path.to_owned(), end);
        loop {
            self.close(&at.0, &at.1)?;
            let Some((parent, segment)) = path::split(&at.0) else { return self.finish(at.1) };
            let (parent, segment) = (parent.to_owned(), segment.to_owned());
            let Some(frame) = self.memory.frame(&parent)?.cloned() else { return Ok(()) };
            let end = match frame.state {
                State::Block(block) => self.child_of_block(&parent, &segment, block, at.1)?,
                State::Split(split) => self.child_of_split(&parent, &segment, split, at.1)?,
                State::Loop { round, max } => self.round_ended(&parent, round, max, at.1)?,
                State::Vote(vote) => self.ballot_came(&parent, &segment, vote)?,
                State::Leaf | State::Sync(_) | State::Queued => return Ok(()),
            };
            let Some(end) = end else { return Ok(()) };
            at = (parent, end);
        }
    }

    /// Marks a frame as ended; a task has none.
    fn close(&mut self, path: &str, end: &End) -> Turn<()> {
        if let Some(frame) = self.memory.frame(path)?.filter(|frame| frame.end.is_none()) {
            let frame = Frame { end: Some(end.clone()), due: None, ..frame.clone() };
            self.memory.set(path, frame);
            if let Node::Step(step) = self.node(path)?
                && step.phase.is_some()
                && *end == End::Done
            {
                self.leave_phase(path, step)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, end: End) -> Turn<()> {
        match end {
            End::Done | End::LeftOut => {
                let result = match &self.scope.flow.result {
                    Some(template) => match self.render("", template)? {
                        Ok(text) => text,
                        Err(reason) => return self.fail("flow_result", format!("the flow's `result`: {reason}")),
                    },
                    None => {
                        self.read.afresh();
                        let result = self.result_at("")?;
                        if let Some(reason) = self.read.flaw() {
                            return self.fail("flow_result", format!("the flow's result: {reason}"));
                        }
                        template::text_of(&result)
                    }
                };
                self.moves.push(Move::Complete(result));
            }
            End::Failed(reason) => return self.fail("step_failed", reason),
        }
        Ok(())
    }

    fn fail(&mut self, code: &'static str, reason: String) -> Turn<()> {
        let policy = self.scope.spec.team.rules.escalation_policy;
        self.moves.push(match policy {
            EscalationPolicy::OnFailure => Move::Escalate { reason, output: None },
            EscalationPolicy::OnDisagreement | EscalationPolicy::Never => Move::Fail(code, reason),
        });
        Err(Stop::Over)
    }

    fn escalate<T>(&mut self, path: &str, reason: &str) -> Turn<T> {
        self.hand_over(path, reason, None)
    }

    fn hand_over<T>(&mut self, path: &str, reason: &str, output: Option<String>) -> Turn<T> {
        self.moves.push(Move::Escalate { reason: format!("{}: {reason}", path::shown(path)), output });
        Err(Stop::Over)
    }

    fn call_off(&mut self, path: &str) {
        self.moves.push(Move::CallOff(path.to_owned()));
        self.created.retain(|new| new.key != path && !path::is_below(&new.key, path));
    }

    fn note(&mut self, what: What, path: &str, facts: Value) {
        self.moves.push(Move::Note(Note { what, path: path.to_owned(), facts }));
    }

    fn due_at(&self, first: Option<u64>, second: Option<u64>) -> Option<i64> {
        let seconds = [first, second].into_iter().flatten().min()?;
        Some(self.now.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000)))
    }

    /// Begins a step.
    fn start(&mut self, at: &str, step: &'a Step) -> Turn<Begun> {
        if let Some(when) = &step.when {
            match self.holds(at, when)? {
                Ok(true) => {}
                Ok(false) => {
                    self.note(What::StepSkipped, at, json!({"when": when}));
                    return Ok(Begun::Skipped);
                }
                Err(reason) => return Ok(failed(format!("`when`: {reason}"))),
            }
        }
        if let Some(task) = &step.task {
            return self.start_task(at, step, task);
        }
        if let Some(expression) = &step.value {
            return Ok(match self.evaluate(at, expression)? {
                Ok(value) => {
                    self.tell_of(at, &step.id, &value);
                    self.leaf(at, value)
                }
                Err(reason) => failed(reason),
            });
        }
        if let Some(split) = &step.split {
            return self.start_split(at, step, split);
        }
        if let Some(sync) = &step.sync {
            let bar = match self.bar(at, &super::Sync::from(sync))? {
                Ok(bar) => bar,
                Err(reason) => return Ok(failed(reason)),
            };
            let frame =
                Frame { state: State::Sync(bar), due: self.due_at(sync.timeout_s, step.timeout_s), ..Frame::default() };
            self.memory.set(at, frame);
            self.note(What::SyncCreated, at, json!({"of": sync.of, "wait": sync.wait, "count": sync.count}));
            return Ok(Begun::Open);
        }
        if let Some(join) = &step.join {
            self.memory.set(at, Frame::default());
            self.note(What::JoinCreated, at, json!({"of": join.of}));
            return Ok(Begun::Ended(End::Done));
        }
        if let Some(merge) = &step.merge {
            return self.start_merge(at, merge);
        }
        if let Some(body) = &step.r#loop {
            return self.start_loop(at, step, body);
        }
        if step.branch.is_some() || step.phase.is_some() {
            return self.start_block(at, step);
        }
        if let Some(vote) = &step.vote {
            return self.start_vote(at, step, vote);
        }
        if let Some(gate) = &step.gate {
            return self.try_gate(at, step, gate);
        }
        Ok(failed("the step says nothing to do".into()))
    }

    /// A step that only has a result.
    fn leaf(&mut self, at: &str, result: Value) -> Begun {
        if let Some(reason) = size::flaw(&result) {
            return failed(reason);
        }
        self.memory.set(at, Frame { result: Some(result), ..Frame::default() });
        Begun::Ended(End::Done)
    }
}

fn failed(reason: String) -> Begun {
    Begun::Ended(End::Failed(reason))
}

/// Variables by name.
type Variables = Map<String, Value>;

#[cfg(test)]
mod tests;
