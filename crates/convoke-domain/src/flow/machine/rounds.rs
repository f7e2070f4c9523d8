//! Loops: rounds of the same steps until a condition holds, or their number is reached.

use serde_json::json;

use super::{Begun, End, Frame, Machine, Node, State, Turn, What, failed};
use crate::flow::memory::Block;
use crate::flow::{LoopStep, OnLimit, Step, path};

impl<'a> Machine<'a, '_> {
    pub(super) fn start_loop(&mut self, at: &str, step: &'a Step, body: &'a LoopStep) -> Turn<Begun> {
        let max = match self.count(at, &body.max)? {
            Ok(max) => max,
            Err(reason) => return Ok(failed(format!("`max`: {reason}"))),
        };
        let frame = Frame {
            state: State::Loop { round: 1, max },
            item: self.items.remove(at),
            due: self.due_at(step.timeout_s, None),
            ..Frame::default()
        };
        self.memory.set(at, frame);
        Ok(self.run_rounds(at, 1, max)?.map_or(Begun::Open, Begun::Ended))
    }

    /// Begins a round, and those after it as long as each ends at once.
    fn run_rounds(&mut self, at: &str, first: u32, max: u32) -> Turn<Option<End>> {
        let mut round = first;
        loop {
            let path = path::join(at, &round.to_string());
            self.note(What::RoundStarted, at, json!({"round": round, "max": max}));
            let frame = self.memory.frame(at)?.cloned().unwrap_or_default();
            self.memory.set(at, Frame { state: State::Loop { round, max }, ..frame });
            self.memory.set(&path, Frame { state: State::Block(Block::default()), ..Frame::default() });
            let Some(end) = self.run_block(&path)? else { return Ok(None) };
            self.close(&path, &end)?;
            match self.after_round(at, round, max, end)? {
                Some(end) => return Ok(Some(end)),
                None => round += 1,
            }
        }
    }

    pub(super) fn round_ended(&mut self, at: &str, round: u32, max: u32, end: End) -> Turn<Option<End>> {
        match self.after_round(at, round, max, end)? {
            Some(end) => Ok(Some(end)),
            None => self.run_rounds(at, round + 1, max),
        }
    }

    /// `None`: another round.
    fn after_round(&mut self, at: &str, round: u32, max: u32, end: End) -> Turn<Option<End>> {
        if end != End::Done {
            return Ok(Some(end));
        }
        let Node::Step(step) = self.node(at)? else { return Ok(None) };
        let Some(body) = &step.r#loop else { return Ok(None) };
        let path = path::join(at, &round.to_string());
        let frame = self.memory.frame(at)?.cloned().unwrap_or_default();
        self.memory.set(at, Frame { from: Some(path.clone()), ..frame });
        match self.holds_in(&path, &body.until)? {
            Ok(true) => return Ok(Some(End::Done)),
            Ok(false) => {}
            Err(reason) => return Ok(Some(End::Failed(format!("`until`: {reason}")))),
        }
        if round < max {
            return Ok(None);
        }
        let reason = format!("{max} rounds did not suffice: `{}`", body.until);
        match body.on_limit {
            OnLimit::Continue => Ok(Some(End::Done)),
            OnLimit::Fail => Ok(Some(End::Failed(reason))),
            OnLimit::Escalate => self.escalate(at, &reason),
        }
    }
}
