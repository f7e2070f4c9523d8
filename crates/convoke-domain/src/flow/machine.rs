//! The machine that drives a flow: from one thing that happened to the moves that follow from it. Pure.
//!
//! Rule: an event touches the frames above it and the results that the next steps name, never the whole run, so a step costs
//! the same in a flow of ten and of ten thousand. What it needs and has not got it names; see [`memory`](super::memory).
//! Start at [`next`]; blocks of steps are here, splits in `split`, votes in `vote`, variables and results in `scene`.

mod gate;
mod moves;
mod node;
mod rounds;
mod scene;
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
    /// A gate sends the flow back to the step at this place.
    Back(u32),
}

/// What follows, and the frames that changed. `Err`: load these and ask again.
pub fn next(scope: Scope<'_>, memory: &mut Memory, happened: Happened<'_>, now: i64) -> Result<Followed, Vec<Key>> {
    let mut machine = Machine { scope, memory, now, moves: Vec::new(), created: Vec::new(), items: BTreeMap::new() };
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
            End::Done => {
                let result = match &self.scope.flow.result {
                    Some(template) => match self.render("", template)? {
                        Ok(text) => text,
                        Err(reason) => return self.fail("flow_result", format!("the flow's `result`: {reason}")),
                    },
                    None => template::text_of(&self.result_at("")?),
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
        self.moves.push(Move::Escalate { reason: format!("{path}: {reason}"), output: None });
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

    // Blocks of steps.

    /// The place of a step in the list at `path`.
    fn place_of(&self, path: &str, id: &str) -> Turn<Option<u32>> {
        let place = self.steps_at(path)?.iter().position(|step| step.id == id);
        Ok(place.and_then(|place| u32::try_from(place).ok()))
    }

    fn child_of_block(&mut self, path: &str, segment: &str, block: Block, end: End) -> Turn<Option<End>> {
        let Some(place) = self.place_of(path, path::id_of(segment))? else { return Ok(None) };
        if !block.open.contains(&place) {
            return Ok(None);
        }
        match self.step_ended(path, block, place, end)? {
            Some(end) => Ok(Some(end)),
            None => self.run_block(path),
        }
    }

    /// Takes down how a step ended. `Some`: the list ends with it.
    fn step_ended(&mut self, path: &str, mut block: Block, place: u32, end: End) -> Turn<Option<End>> {
        let steps = self.steps_at(path)?;
        let step = &steps[place as usize];
        block.note(place);
        if let End::Failed(reason) = end {
            let is_counted =
                steps.iter().any(|other| other.sync.as_ref().is_some_and(|sync| sync.of.contains(&step.id)));
            match step.on_failure {
                _ if is_counted => {}
                OnFailure::Continue => {
                    let at = path::visited(path, &step.id, block.visit(place));
                    self.note(What::StepSkipped, &at, json!({"reason": reason}));
                }
                OnFailure::Escalate => return self.escalate(&path::join(path, &step.id), &reason),
                OnFailure::Fail => {
                    for open in block.open.clone() {
                        self.call_off(&path::visited(path, &steps[open as usize].id, block.visit(open)));
                    }
                    self.set_block(path, block)?;
                    return Ok(Some(End::Failed(format!("`{}`: {reason}", step.id))));
                }
            }
            block.failed.insert(place);
        }
        self.set_block(path, block)?;
        Ok(None)
    }

    fn set_block(&mut self, path: &str, block: Block) -> Turn<()> {
        let frame = self.memory.frame(path)?.cloned().unwrap_or_default();
        self.memory.set(path, Frame { state: State::Block(block), ..frame });
        Ok(())
    }

    fn block_at(&self, path: &str) -> Turn<Block> {
        match self.memory.frame(path)?.map(|frame| &frame.state) {
            Some(State::Block(block)) => Ok(block.clone()),
            _ => Ok(Block::default()),
        }
    }

    /// Begins every step of a list whose turn it is. `Some`: the list has ended.
    fn run_block(&mut self, path: &str) -> Turn<Option<End>> {
        loop {
            let steps = self.steps_at(path)?;
            let mut block = self.block_at(path)?;
            if let Some(end) = self.try_syncs(path, steps)? {
                return Ok(Some(end));
            }
            if self.block_at(path)? != block {
                continue;
            }
            let Some(place) = ready(steps, &block) else {
                if block.upto as usize == steps.len() {
                    let last = steps.len() - 1;
                    let from = path::visited(path, &steps[last].id, block.visit(u32::try_from(last).unwrap_or(0)));
                    let frame = self.memory.frame(path)?.cloned().unwrap_or_default();
                    self.memory.set(path, Frame { from: Some(from), ..frame });
                    return Ok(Some(End::Done));
                }
                return Ok(None);
            };
            let step = &steps[place as usize];
            let at = path::visited(path, &step.id, block.visit(place));
            block.open.insert(place);
            self.set_block(path, block)?;
            let begun = self.start(&at, step)?;
            let mut block = self.block_at(path)?;
            match begun {
                Begun::Open => {}
                Begun::Skipped => {
                    block.note(place);
                    block.skipped.insert(place);
                    self.set_block(path, block)?;
                }
                Begun::Back(back) => self.go_back(path, block, (back, place))?,
                Begun::Ended(end) => {
                    self.close(&at, &end)?;
                    if let Some(end) = self.step_ended(path, block, place, end)? {
                        return Ok(Some(end));
                    }
                }
            }
        }
    }

    /// The steps from `back` to the gate begin again, under new paths.
    fn go_back(&mut self, path: &str, mut block: Block, (back, gate): (u32, u32)) -> Turn<()> {
        for place in back..=gate {
            let visit = block.visit(place);
            block.visits.insert(place, visit + 1);
            for set in [&mut block.ended, &mut block.open, &mut block.skipped, &mut block.failed] {
                set.remove(&place);
            }
        }
        block.upto = back;
        self.set_block(path, block)
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
        self.memory.set(at, Frame { result: Some(result), ..Frame::default() });
        Begun::Ended(End::Done)
    }

    fn start_block(&mut self, at: &str, step: &'a Step) -> Turn<Begun> {
        let mut case = None;
        if let Some(branch) = &step.branch {
            let mut chosen = 0;
            for (place, one) in branch.cases.iter().enumerate() {
                match self.holds(at, &one.when)? {
                    Ok(true) => {
                        chosen = u32::try_from(place + 1).unwrap_or(0);
                        break;
                    }
                    Ok(false) => {}
                    Err(reason) => return Ok(failed(format!("`when`: {reason}"))),
                }
            }
            if !branch.cases.is_empty() {
                self.note(What::BranchTaken, at, json!({"case": chosen}));
            }
            if chosen == 0 && branch.otherwise.is_empty() {
                return Ok(Begun::Skipped);
            }
            case = Some(chosen);
        } else {
            self.moves.push(Move::EnterPhase(step.id.clone()));
        }
        let frame = Frame {
            state: State::Block(Block { case, ..Block::default() }),
            item: self.items.remove(at),
            due: self.due_at(step.timeout_s, None),
            ..Frame::default()
        };
        self.memory.set(at, frame);
        Ok(self.run_block(at)?.map_or(Begun::Open, Begun::Ended))
    }

    fn leave_phase(&mut self, at: &str, step: &'a Step) -> Turn<()> {
        let summary = match step.phase.as_ref().and_then(|phase| phase.summary.as_ref()) {
            Some(template) => match self.render_in(at, template)? {
                Ok(text) => text,
                Err(reason) => format!("(the summary cannot be made: {reason})"),
            },
            None => template::text_of(&self.result_at(at)?),
        };
        self.moves.push(Move::LeavePhase { name: step.id.clone(), summary });
        Ok(())
    }
}

fn failed(reason: String) -> Begun {
    Begun::Ended(End::Failed(reason))
}

/// The next step whose turn it is and which was not begun.
fn ready(steps: &[Step], block: &Block) -> Option<u32> {
    let first = block.upto;
    let last = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    for place in first..last {
        if block.open.contains(&place) || block.has_ended(place) {
            continue;
        }
        let ended = |id: &String| {
            let place = steps.iter().position(|step| step.id == *id).and_then(|place| u32::try_from(place).ok());
            place.is_some_and(|place| block.has_ended(place))
        };
        let step = &steps[place as usize];
        let is_ready = match (&step.after, &step.sync, &step.join) {
            (Some(after), ..) => after.iter().all(ended),
            (None, Some(sync), _) => sync.of.iter().all(|id| {
                let place = steps.iter().position(|step| step.id == *id).and_then(|place| u32::try_from(place).ok());
                place.is_some_and(|place| block.has_ended(place) || block.open.contains(&place))
            }),
            (None, None, Some(join)) => join.of.iter().all(ended) && (place == 0 || block.has_ended(place - 1)),
            (None, None, None) => place == 0 || block.has_ended(place - 1),
        };
        if is_ready {
            return Some(place);
        }
        // Where nothing is out of order, nothing behind this one can be ready.
        if block.ended.is_empty()
            && steps[place as usize..].iter().all(|step| step.after.is_none() && step.sync.is_none())
        {
            return None;
        }
    }
    None
}

/// Variables by name.
type Variables = Map<String, Value>;

#[cfg(test)]
mod tests;
