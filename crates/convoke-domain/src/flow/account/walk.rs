//! From frames to steps in order. Start at [`account`].

use std::collections::BTreeMap;

use serde_json::Value;

use super::Fact;
use super::{
    FlowAccount, GateFact, LoopFact, MOST_ITEMS, MOST_STEPS, Noted, PhaseAccount, Sources, SplitFact, Stand,
    StepAccount,
};
use crate::event::Kind;
use crate::flow::memory::{Block, End, Frame, Split, State};
use crate::flow::{Flow, Step, path};
use crate::record::TaskRecord;

/// What the flow of a run has done; nothing for a run without one.
pub fn account(sources: Sources<'_>) -> Option<FlowAccount> {
    let flow = sources.spec.flow.as_ref()?;
    let own = sources.spec.team.flow.as_ref().unwrap_or(flow);
    let mut walk = Walk { told: FlowAccount::default(), ..Walk::new(sources, own) };
    walk.told.phases = phases(sources.notes);
    walk.block("", &flow.steps, Place { depth: 0, inner: false });
    Some(walk.told)
}

/// When phases began and ended, and what was passed on.
fn phases(notes: &[Noted]) -> Vec<PhaseAccount> {
    let mut all: Vec<PhaseAccount> = Vec::new();
    for note in notes {
        let name = note.payload["phase"].as_str().unwrap_or_default();
        if note.kind == Kind::RunPhaseChanged.as_str() {
            all.push(PhaseAccount { name: name.to_owned(), started_at: Some(note.at), ..PhaseAccount::default() });
        } else if note.kind == Kind::RunPhaseEnded.as_str()
            && let Some(phase) = all.iter_mut().rev().find(|phase| phase.name == name)
        {
            phase.finished_at = Some(note.at);
            phase.summary = note.payload["summary"].as_str().map(str::to_owned);
        }
    }
    // What a run is busy with before its flow begins is no phase of the flow.
    all.retain(|phase| phase.finished_at.is_some() || !matches!(phase.name.as_str(), "delegation" | "execution"));
    all
}

/// Where a list of steps stands.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) depth: u32,
    /// Inside a primitive that is made of smaller ones: their names are none of the pattern's.
    pub(super) inner: bool,
}

impl Place {
    const fn below(self) -> Self {
        Self { depth: self.depth + 1, inner: self.inner }
    }
}

pub(super) struct Walk<'a> {
    pub(super) sources: Sources<'a>,
    pub(super) tasks: BTreeMap<&'a str, &'a TaskRecord>,
    /// The last note of each kind and path.
    pub(super) notes: BTreeMap<(&'a str, &'a str), &'a Value>,
    /// The steps as the pattern has them, by name.
    pub(super) own: BTreeMap<&'a str, &'a Step>,
    told: FlowAccount,
}

impl<'a> Walk<'a> {
    fn new(sources: Sources<'a>, own: &'a Flow) -> Self {
        let steps = sources.tasks.iter().filter(|task| task.stage == "step");
        let notes = sources
            .notes
            .iter()
            .filter_map(|note| Some(((note.kind.as_str(), note.payload["path"].as_str()?), &note.payload)));
        let mut by_name = BTreeMap::new();
        gather(&own.steps, &mut by_name);
        Self {
            sources,
            tasks: steps.map(|task| (task.key.as_str(), task)).collect(),
            notes: notes.collect(),
            own: by_name,
            told: FlowAccount::default(),
        }
    }

    pub(super) fn frame(&self, at: &str) -> Option<&'a Frame> {
        self.sources.frames.get(at)
    }

    pub(super) fn note(&self, kind: Kind, at: &str) -> Option<&'a Value> {
        self.notes.get(&(kind.as_str(), at)).copied()
    }

    /// The result of what stands at a path, where it is kept.
    pub(super) fn result(&self, at: &str) -> Option<Value> {
        let mut at = at.to_owned();
        for _ in 0..super::super::MAX_DEPTH * 4 {
            if let Some(task) = self.tasks.get(at.as_str()) {
                let text = task.output.as_deref()?;
                return Some(serde_json::from_str(text).unwrap_or_else(|_| text.into()));
            }
            let frame = self.frame(&at)?;
            match (&frame.result, &frame.from) {
                (Some(result), _) => return Some(result.clone()),
                (None, Some(from)) => at.clone_from(from),
                (None, None) => return None,
            }
        }
        None
    }

    fn block(&mut self, at: &str, steps: &'a [Step], place: Place) {
        let block = match self.frame(at).map(|frame| &frame.state) {
            Some(State::Block(block)) => block.clone(),
            _ => Block::default(),
        };
        for (index, visit) in self.order(at, steps, &block) {
            let step = &steps[index as usize];
            let path = path::visited(at, &step.id, visit);
            self.step(&path, step, place, (visit, block.skipped.contains(&index)));
        }
    }

    /// Places and visits of a list's steps as they came one after the other.
    fn order(&self, at: &str, steps: &[Step], block: &Block) -> Vec<(u32, u32)> {
        let mut order = Vec::new();
        let mut visits: BTreeMap<u32, u32> = BTreeMap::new();
        let mut index = 0;
        while (index as usize) < steps.len() && order.len() <= MOST_STEPS {
            let visit = *visits.entry(index).and_modify(|visit| *visit += 1).or_insert(1);
            order.push((index, visit));
            let step = &steps[index as usize];
            let path = path::visited(at, &step.id, visit);
            let is_closed = self.note(Kind::GateChecked, &path).is_none_or(|note| note["open"] == false);
            index = match &step.gate {
                Some(_) if is_closed && visit < block.visit(index) => back_of(steps, index),
                _ => index + 1,
            };
        }
        order
    }

    fn step(&mut self, at: &str, step: &'a Step, place: Place, (visit, is_skipped): (u32, bool)) {
        let own = self.own.get(step.id.as_str()).copied().filter(|_| !place.inner);
        let kind = own.unwrap_or(step).kinds().first().copied().unwrap_or("task");
        let (state, reason) = self.stand(at, is_skipped);
        // Of what a larger primitive is made of, what agents do is told: neither its values nor its loop.
        let is_machinery = step.id.starts_with('_') || matches!(kind, "value" | "loop") || state == Stand::Skipped;
        let is_hidden = place.inner && is_machinery;
        let mut inside =
            Place { inner: place.inner || matches!(kind, "review" | "handoff" | "delegate" | "settle"), ..place };
        if !is_hidden {
            let fact = self.fact(at, step, (kind, own));
            let title = self.tasks.get(at).map(|task| task.title.clone()).or_else(|| title_of(own.unwrap_or(step)));
            let name = path::split(at).map_or(at, |(_, segment)| path::id_of(segment)).to_owned();
            if !self.tell(StepAccount {
                path: at.to_owned(),
                name,
                depth: place.depth,
                kind: kind.to_owned(),
                title,
                state,
                reason,
                task: self.tasks.get(at).map(|task| task.id),
                visit,
                fact,
            }) {
                return;
            }
            inside = inside.below();
        }
        self.inside(at, step, inside);
    }

    /// What stands in a step.
    fn inside(&mut self, at: &str, step: &'a Step, place: Place) {
        let Some(frame) = self.frame(at) else { return };
        match &frame.state {
            State::Block(block) => self.block(at, steps_of(step, block), place),
            State::Split(split) => self.items(at, step, split, place),
            State::Loop { round, .. } => {
                let body = step.r#loop.as_ref().map_or(&[][..], |body| &body.r#do);
                for round in 1..=*round {
                    let path = path::join(at, &round.to_string());
                    if self.part(&path, "round", place) {
                        self.block(&path, body, place.below());
                    }
                }
            }
            State::Leaf | State::Vote(_) | State::Sync(_) | State::Queued => {}
        }
    }

    fn items(&mut self, at: &str, step: &'a Step, split: &'a Split, place: Place) {
        let Some(rule) = &step.split else { return };
        let planned = path::join(at, "plan");
        if rule.plan.is_some() && self.tasks.contains_key(planned.as_str()) {
            self.part(&planned, "task", place);
        }
        for (index, key) in keys(split).take(MOST_ITEMS).enumerate() {
            let child = path::join(at, &key);
            match (rule.branches.get(index), rule.r#do.as_slice()) {
                (Some(branch), _) => self.step(&child, branch, place, (1, false)),
                (None, [only]) => self.step(&child, only, place, (1, false)),
                (None, []) => drop(self.part(&child, "task", place)),
                (None, many) => {
                    if self.part(&child, "item", place) {
                        self.block(&child, many, place.below());
                    }
                }
            }
        }
    }

    /// Something that is no step of the pattern: a round, an item, a planned task.
    fn part(&mut self, at: &str, kind: &str, place: Place) -> bool {
        let (state, reason) = self.stand(at, false);
        let task = self.tasks.get(at);
        self.tell(StepAccount {
            path: at.to_owned(),
            name: path::split(at).map_or(at, |(_, segment)| segment).to_owned(),
            depth: place.depth,
            kind: kind.to_owned(),
            title: task.map(|task| task.title.clone()),
            state,
            reason,
            task: task.map(|task| task.id),
            visit: 1,
            fact: None,
        })
    }

    fn tell(&mut self, step: StepAccount) -> bool {
        let has_room = self.told.steps.len() < MOST_STEPS;
        if has_room {
            self.told.steps.push(step);
        } else {
            self.told.more_steps += 1;
        }
        has_room
    }

    fn stand(&self, at: &str, is_skipped: bool) -> (Stand, Option<String>) {
        let skipped = self.note(Kind::StepSkipped, at);
        if let Some(task) = self.tasks.get(at) {
            let state = match task.state.as_str() {
                "completed" | "archived" => Stand::Completed,
                "failed" => Stand::Failed,
                "cancelled" => match self.frame(at).and_then(|frame| frame.end.as_ref()) {
                    // Its time was up.
                    Some(End::Failed(reason)) => return (Stand::Failed, Some(reason.clone())),
                    _ => Stand::Cancelled,
                },
                "pending" => Stand::Pending,
                _ => Stand::Open,
            };
            return (state, task.error.clone());
        }
        match self.frame(at) {
            Some(Frame { state: State::Queued, .. }) => (self.not_begun(), None),
            Some(Frame { end: Some(End::LeftOut), .. }) => {
                (Stand::Skipped, skipped.and_then(|note| note["when"].as_str()).map(str::to_owned))
            }
            Some(Frame { end: Some(End::Failed(reason)), .. }) => (Stand::Failed, Some(reason.clone())),
            Some(Frame { end: Some(End::Done), .. } | Frame { state: State::Leaf, .. }) => (Stand::Completed, None),
            Some(_) if is_skipped || self.sources.has_ended => (Stand::Cancelled, None),
            Some(_) => (Stand::Open, None),
            None if is_skipped => (Stand::Skipped, skipped.and_then(|note| note["when"].as_str()).map(str::to_owned)),
            None if let Some(reason) = skipped.and_then(|note| note["reason"].as_str()) => {
                (Stand::Failed, Some(reason.to_owned()))
            }
            None if self.note(Kind::GateChecked, at).is_some() => (Stand::Failed, None),
            None => (self.not_begun(), None),
        }
    }

    const fn not_begun(&self) -> Stand {
        if self.sources.has_ended { Stand::Cancelled } else { Stand::Pending }
    }

    fn fact(&self, at: &str, step: &'a Step, (kind, own): (&str, Option<&'a Step>)) -> Option<Fact> {
        if step.gate.is_some() {
            return self.gate(at, step);
        }
        match kind {
            "merge" => return self.merge(at),
            "settle" => return self.settle(at, own?.settle.as_ref()?),
            "review" => return Some(self.review(at, own?.review.as_ref()?)),
            "handoff" => return Some(self.handoff(at)),
            "delegate" => return Some(self.delegate(at)),
            "value" => {
                let share = self.frame(at)?.result.as_ref()?.get("agreement")?.as_f64()?;
                return Some(Fact::Agreement(share));
            }
            _ => {}
        }
        match &self.frame(at)?.state {
            State::Split(split) => Some(Fact::Split(split_fact(split))),
            State::Loop { round, max } => Some(Fact::Loop(LoopFact { round: *round, max: *max })),
            State::Block(Block { case: Some(case), .. }) if kind == "branch" => Some(Fact::Branch(*case)),
            State::Vote(vote) => Some(self.vote(at, vote)),
            State::Block(_) | State::Leaf | State::Sync(_) | State::Queued => None,
        }
    }

    fn gate(&self, at: &str, step: &Step) -> Option<Fact> {
        let note = self.note(Kind::GateChecked, at)?;
        let open = note["open"] == true;
        // A gate that sent the flow back has no result of its own.
        let went_back = !open && self.frame(at).is_none() && self.has_next_visit(at);
        let back_to =
            step.gate.as_ref().and_then(|gate| gate.back_to.clone()).unwrap_or_else(|| "the step before it".into());
        Some(Fact::Gate(GateFact {
            open,
            reason: note["reason"].as_str().map(str::to_owned),
            back_to: went_back.then_some(back_to),
        }))
    }

    fn has_next_visit(&self, at: &str) -> bool {
        let Some((above, segment)) = path::split(at) else { return false };
        let visit: u32 = segment.split_once('~').and_then(|(_, visit)| visit.parse().ok()).unwrap_or(1);
        let Some(State::Block(block)) = self.frame(above).map(|frame| &frame.state) else { return false };
        block.visits.values().any(|most| *most > visit)
    }
}

fn split_fact(split: &Split) -> SplitFact {
    SplitFact {
        items: split.total,
        begun: split.begun,
        completed: split.done,
        failed: split.failed,
        wait: split.bar.wait,
        count: split.bar.count,
        planning: split.planning,
        more_items: split.total.saturating_sub(u32::try_from(MOST_ITEMS).unwrap_or(u32::MAX)),
    }
}

/// The keys of a split's items, in order.
pub(super) fn keys(split: &Split) -> impl Iterator<Item = String> + '_ {
    (0..split.total as usize).map(|index| split.keys.get(index).cloned().unwrap_or_else(|| (index + 1).to_string()))
}

/// The steps of a phase, or of the case of a branch that was chosen.
fn steps_of<'a>(step: &'a Step, block: &Block) -> &'a [Step] {
    match (&step.phase, &step.branch) {
        (Some(phase), _) => &phase.r#do,
        (None, Some(branch)) => match block.case.unwrap_or(0) {
            0 => &branch.otherwise,
            case => branch.cases.get(case as usize - 1).map_or(&[][..], |case| &case.r#do),
        },
        (None, None) => &[],
    }
}

/// Where a gate sends the flow back to.
fn back_of(steps: &[Step], gate: u32) -> u32 {
    let id = steps[gate as usize].gate.as_ref().and_then(|gate| gate.back_to.as_ref());
    let place = id.and_then(|id| steps.iter().position(|step| step.id == *id));
    place.and_then(|place| u32::try_from(place).ok()).unwrap_or(gate.saturating_sub(1))
}

/// What a step is called for people, where that does not depend on the run.
fn title_of(step: &Step) -> Option<String> {
    step.title.clone().filter(|title| !title.contains("{{") && !title.contains("{%"))
}

fn gather<'a>(steps: &'a [Step], all: &mut BTreeMap<&'a str, &'a Step>) {
    for step in steps {
        all.insert(&step.id, step);
        if let Some(split) = &step.split {
            gather(&split.branches, all);
            gather(&split.r#do, all);
        }
        if let Some(body) = &step.r#loop {
            gather(&body.r#do, all);
        }
        if let Some(branch) = &step.branch {
            branch.cases.iter().for_each(|case| gather(&case.r#do, all));
            gather(&branch.otherwise, all);
        }
        if let Some(phase) = &step.phase {
            gather(&phase.r#do, all);
        }
    }
}
