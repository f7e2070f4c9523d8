//! Lists of steps: which is next, what a step's end means for the others, phases and branches, and the way back from a gate.

use serde_json::json;

use super::{Begun, End, Frame, Machine, Move, OnFailure, State, Turn, What, failed};
use crate::flow::memory::{Back, Block};
use crate::flow::{Step, path, template};

impl<'a> Machine<'a, '_> {
    /// The place of a step in the list at `path`.
    pub(super) fn place_of(&self, path: &str, id: &str) -> Turn<Option<u32>> {
        Ok(self.place_in(self.steps_at(path)?, id))
    }

    /// The place of a step in a list of the flow.
    pub(super) fn place_in(&self, steps: &[Step], id: &str) -> Option<u32> {
        self.scope.spec.lists.place(self.scope.flow, steps, id)
    }

    pub(super) fn child_of_block(&mut self, path: &str, segment: &str, block: Block, end: End) -> Turn<Option<End>> {
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
    pub(super) fn step_ended(&mut self, path: &str, mut block: Block, place: u32, end: End) -> Turn<Option<End>> {
        let steps = self.steps_at(path)?;
        let step = &steps[place as usize];
        block.note(place);
        if let End::Failed(reason) = end {
            let is_counted =
                steps.iter().any(|other| other.sync.as_ref().is_some_and(|sync| sync.of.contains(&step.id)));
            match step.on_failure {
                OnFailure::Fail if is_counted => {}
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
                    return Ok(Some(End::Failed(failure_of(step, &reason))));
                }
            }
            block.failed.insert(place);
        }
        self.set_block(path, block)?;
        Ok(None)
    }

    pub(super) fn set_block(&mut self, path: &str, block: Block) -> Turn<()> {
        let frame = self.memory.frame(path)?.cloned().unwrap_or_default();
        self.memory.set(path, Frame { state: State::Block(block), ..frame });
        Ok(())
    }

    pub(super) fn block_at(&self, path: &str) -> Turn<Block> {
        match self.memory.frame(path)?.map(|frame| &frame.state) {
            Some(State::Block(block)) => Ok(block.clone()),
            _ => Ok(Block::default()),
        }
    }

    /// Begins every step of a list whose turn it is. `Some`: the list has ended.
    pub(super) fn run_block(&mut self, path: &str) -> Turn<Option<End>> {
        loop {
            let steps = self.steps_at(path)?;
            let mut block = self.block_at(path)?;
            if let Some(end) = self.try_syncs(path, steps)? {
                return Ok(Some(end));
            }
            if self.block_at(path)? != block {
                continue;
            }
            let Some(place) = self.ready(steps, &block) else {
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
                Begun::Back(back, reason) => self.go_back(path, block, place, Back { to: back, reason })?,
                Begun::Ended(end) => {
                    self.close(&at, &end)?;
                    if let Some(end) = self.step_ended(path, block, place, end)? {
                        return Ok(Some(end));
                    }
                }
            }
        }
    }

    /// The steps from there to the gate begin again, under new paths.
    fn go_back(&mut self, path: &str, mut block: Block, gate: u32, back: Back) -> Turn<()> {
        for place in back.to..=gate {
            let visit = block.visit(place);
            block.visits.insert(place, visit + 1);
            let Block { ended, open, skipped, called_off, failed, .. } = &mut block;
            for set in [ended, open, skipped, called_off, failed] {
                set.remove(&place);
            }
        }
        block.upto = back.to;
        block.send_back(gate, back);
        self.set_block(path, block)
    }

    pub(super) fn start_block(&mut self, at: &str, step: &'a Step) -> Turn<Begun> {
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

    pub(super) fn leave_phase(&mut self, at: &str, step: &'a Step) -> Turn<()> {
        let summary = match step.phase.as_ref().and_then(|phase| phase.summary.as_ref()) {
            Some(template) => match self.render_in(at, template)? {
                Ok(text) => text,
                Err(reason) => format!("(the summary cannot be made: {reason})"),
            },
            None => {
                self.read.afresh();
                template::text_of(&self.result_at(at)?)
            }
        };
        self.moves.push(Move::LeavePhase { name: step.id.clone(), summary });
        Ok(())
    }
}

impl Machine<'_, '_> {
    /// The next step whose turn it is and which was not begun.
    fn ready(&self, steps: &[Step], block: &Block) -> Option<u32> {
        let first = block.upto;
        let last = u32::try_from(steps.len()).unwrap_or(u32::MAX);
        for place in first..last {
            if block.open.contains(&place) || block.has_ended(place) {
                continue;
            }
            let ended = |id: &String| self.place_in(steps, id).is_some_and(|place| block.has_ended(place));
            let begun = |id: &String| {
                self.place_in(steps, id).is_some_and(|place| block.has_ended(place) || block.open.contains(&place))
            };
            let step = &steps[place as usize];
            let is_ready = match (&step.after, &step.sync, &step.join) {
                (Some(after), ..) => after.iter().all(ended),
                (None, Some(sync), _) => sync.of.iter().all(begun),
                (None, None, Some(join)) => join.of.iter().all(ended) && (place == 0 || block.has_ended(place - 1)),
                (None, None, None) => place == 0 || block.has_ended(place - 1),
            };
            if is_ready {
                return Some(place);
            }
            // Where nothing is out of order, nothing behind this one can be ready.
            if block.ended.is_empty() && self.scope.spec.lists.keep_order(self.scope.flow, steps, place) {
                return None;
            }
        }
        None
    }
}

/// Why the list fails in which a step failed.
fn failure_of(step: &Step, reason: &str) -> String {
    if path::is_hidden(&step.id) { reason.to_owned() } else { format!("`{}`: {reason}", step.id) }
}
