//! What holds a flow up: syncs, which wait for enough of the steps beside them, and gates, which let it pass or send it back.

use serde_json::json;

use super::{Begun, End, Machine, State, Turn, What, failed};
use crate::flow::memory::Block;
use crate::flow::{Bar, GateStep, OnClosed, OnFailure, OnLimit, Step, Sync, SyncStep, path, template};

impl<'a> Machine<'a, '_> {
    /// For how many is waited, in numbers.
    pub(super) fn bar(&mut self, at: &str, sync: &Sync) -> Turn<Result<Bar, String>> {
        let mut numbers = [None, None];
        for (number, count) in numbers.iter_mut().zip([&sync.count, &sync.least]) {
            if let Some(count) = count {
                match self.number(at, count)? {
                    Ok(found) => *number = Some(found),
                    Err(reason) => return Ok(Err(reason)),
                }
            }
        }
        Ok(Ok(Bar { wait: sync.wait, count: numbers[0].unwrap_or(1), least: numbers[1] }))
    }

    fn bar_at(&self, at: &str) -> Turn<Bar> {
        Ok(match self.memory.frame(at)?.map(|frame| &frame.state) {
            Some(State::Sync(bar)) => *bar,
            _ => Bar::default(),
        })
    }

    /// Ends the syncs of a list that have what they wait for, or cannot get it.
    pub(super) fn try_syncs(&mut self, path: &str, steps: &'a [Step]) -> Turn<Option<End>> {
        let block = self.block_at(path)?;
        for place in block.open.clone() {
            let step = &steps[place as usize];
            let Some(sync) = &step.sync else { continue };
            let at = path::visited(path, &step.id, block.visit(place));
            let bar = self.bar_at(&at)?;
            let standing = standing(steps, &block, sync);
            let Some(outcome) = bar.outcome(standing.total, standing.done, standing.failed, false) else { continue };
            return self.end_sync(path, place, (sync, standing, outcome));
        }
        Ok(None)
    }

    pub(super) fn sync_timed_out(&mut self, at: &str) -> Turn<()> {
        let Some((path, segment)) = path::split(at) else { return Ok(()) };
        let steps = self.steps_at(path)?;
        let Some(place) = self.place_of(path, path::id_of(segment))? else { return Ok(()) };
        let Some(sync) = &steps[place as usize].sync else { return Ok(()) };
        let standing = standing(steps, &self.block_at(path)?, sync);
        let outcome = self.bar_at(at)?.outcome(standing.total, standing.done, standing.failed, true);
        let outcome = outcome.unwrap_or_else(|| Err("the time is up".into()));
        let end = match self.end_sync(path, place, (sync, standing, outcome))? {
            Some(end) => Some(end),
            None => self.run_block(path)?,
        };
        match end {
            Some(end) => self.ended(path, end),
            None => Ok(()),
        }
    }

    fn end_sync(
        &mut self,
        path: &str,
        place: u32,
        (sync, standing, outcome): (&SyncStep, Standing, Result<(), String>),
    ) -> Turn<Option<End>> {
        let steps = self.steps_at(path)?;
        let mut block = self.block_at(path)?;
        for open in standing.open {
            self.call_off(&path::visited(path, &steps[open as usize].id, block.visit(open)));
            block.note(open);
            block.skipped.insert(open);
            block.called_off.insert(open);
        }
        self.set_block(path, block.clone())?;
        let at = path::visited(path, &steps[place as usize].id, block.visit(place));
        let facts =
            json!({"of": sync.of, "completed": standing.done, "failed": standing.failed, "met": outcome.is_ok()});
        self.note(What::SyncReady, &at, facts);
        let end = match outcome {
            Ok(()) => End::Done,
            Err(reason) => End::Failed(reason),
        };
        self.close(&at, &end)?;
        self.step_ended(path, block, place, end)
    }

    pub(super) fn try_gate(&mut self, at: &str, step: &'a Step, gate: &'a GateStep) -> Turn<Begun> {
        let closed = match self.closed_by(at, gate)? {
            None => {
                self.note(What::GateChecked, at, json!({"open": true}));
                return Ok(self.leaf(at, true.into()));
            }
            Some(reason) => match &step.title {
                // The condition of a step that no file has says nothing to anybody.
                Some(title) if path::is_hidden(&step.id) && !reason.starts_with("`check`: ") => title.clone(),
                Some(title) => format!("{title}: {reason}"),
                None => reason,
            },
        };
        self.note(What::GateChecked, at, json!({"open": false, "reason": closed}));
        let (block, segment) = path::split(at).unwrap_or_default();
        let place = self.place_of(block, path::id_of(segment))?.unwrap_or_default();
        match gate.on_fail {
            OnClosed::Fail => Ok(failed(closed)),
            OnClosed::Escalate => self.hand_over_at(at, gate, &closed),
            OnClosed::Back if self.block_at(block)?.visit(place) <= gate.max => {
                let back = match &gate.back_to {
                    Some(id) => self.place_of(block, id)?,
                    None => place.checked_sub(1),
                };
                match back.filter(|back| *back < place) {
                    Some(back) => Ok(Begun::Back(back, closed)),
                    None => Ok(failed(closed)),
                }
            }
            OnClosed::Back => match gate.on_limit {
                OnLimit::Continue => Ok(self.leaf(at, false.into())),
                OnLimit::Fail => Ok(failed(format!("{closed}, after going back {} times", gate.max))),
                OnLimit::Escalate => self.hand_over_at(at, gate, &closed),
            },
        }
    }

    /// A person gets the run, with what there is. Where that cannot be said, the run is handed over all the same.
    fn hand_over_at(&mut self, at: &str, gate: &'a GateStep, reason: &str) -> Turn<Begun> {
        let output = match &gate.output {
            Some(expression) => self.evaluate(at, expression)?.ok().filter(|value| !template::is_missing(value)),
            None => None,
        };
        self.hand_over(at, reason, output.as_ref().map(template::text_of))
    }

    /// Why a gate is closed, if it is.
    fn closed_by(&mut self, at: &str, gate: &'a GateStep) -> Turn<Option<String>> {
        for name in &gate.require {
            let value = self.result_named(at, name)?;
            if template::is_missing(&value) {
                return Ok(Some(format!("`{name}` has no result")));
            }
        }
        let Some(check) = &gate.check else { return Ok(None) };
        Ok(match self.holds(at, check)? {
            Ok(true) => None,
            Ok(false) => Some(format!("`{check}` does not hold")),
            Err(reason) => Some(format!("`check`: {reason}")),
        })
    }
}

/// How the steps that a sync waits for stand. Those that were left out are none of them; those that failed and go on with their
/// default have completed.
struct Standing {
    total: u32,
    done: u32,
    failed: u32,
    open: Vec<u32>,
}

fn standing(steps: &[Step], block: &Block, sync: &SyncStep) -> Standing {
    let mut out = Standing { total: 0, done: 0, failed: 0, open: Vec::new() };
    for (place, step) in steps.iter().enumerate().filter(|(_, step)| sync.of.contains(&step.id)) {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        if block.is_left_out(place) {
            continue;
        }
        out.total += 1;
        let goes_on = step.on_failure == OnFailure::Continue;
        if !block.has_ended(place) {
            out.open.push(place);
        } else if block.called_off.contains(&place) || (block.failed.contains(&place) && !goes_on) {
            out.failed += 1;
        } else {
            out.done += 1;
        }
    }
    out
}
