//! Splits: items that are worked on at the same time, and for how many of them the flow waits.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Begun, End, Frame, Item, Machine, Node, State, Turn, What, failed};
use crate::flow::memory::{Block, Split};
use crate::flow::{OnFailure, PlanRule, SplitStep, Step, path, planned};
use crate::graph::Edge;
use crate::pattern::plan::{self, PlannedTask};

pub(super) use crate::flow::planned::PLAN;

/// Up to how many items are called by what they are.
const NAMED_MAX: usize = 200;

/// An item before it begins.
struct New<'a> {
    key: String,
    item: Item,
    step: Option<&'a Step>,
    planned: Option<PlannedTask>,
}

impl<'a> Machine<'a, '_> {
    pub(super) fn start_split(&mut self, at: &str, step: &'a Step, split: &'a SplitStep) -> Turn<Begun> {
        if let Some(rule) = &split.plan {
            return self.start_planned(at, step, (split, rule));
        }
        let news = if split.branches.is_empty() {
            let over = split.over.as_deref().unwrap_or("[]");
            let items = match self.evaluate(at, over)? {
                Ok(Value::Array(items)) => items,
                Ok(other) => return Ok(failed(format!("`over` must be a list, and it is {}", short(&other)))),
                Err(reason) => return Ok(failed(format!("`over`: {reason}"))),
            };
            self.items_of(split, items)
        } else {
            let new = |(index, branch): (usize, &'a Step)| New {
                key: branch.id.clone(),
                item: Item { name: split.r#as.clone(), index: number(index), value: branch.id.as_str().into() },
                step: Some(branch),
                planned: None,
            };
            split.branches.iter().enumerate().map(new).collect()
        };
        self.begin_items(at, step, split, news)
    }

    fn items_of(&self, split: &'a SplitStep, items: Vec<Value>) -> Vec<New<'a>> {
        let only = match split.r#do.as_slice() {
            [only] => Some(only),
            _ => None,
        };
        let names = names(&items);
        let new = |(index, value): (usize, Value)| New {
            key: names.get(index).cloned().unwrap_or_else(|| (index + 1).to_string()),
            item: Item { name: split.r#as.clone(), index: number(index), value },
            step: only,
            planned: None,
        };
        items.into_iter().enumerate().map(new).collect()
    }

    fn begin_items(&mut self, at: &str, step: &'a Step, split: &'a SplitStep, news: Vec<New<'a>>) -> Turn<Begun> {
        let total = number(news.len());
        if total > split.limit {
            return Ok(failed(format!("{total} items; `limit` allows {}", split.limit)));
        }
        // Planned items that are tasks may wait for one another, so all of them begin.
        let are_tasks = split.plan.is_some() && split.r#do.is_empty();
        let width = match split.width.as_ref().filter(|_| !are_tasks) {
            Some(width) => match self.number(at, width)? {
                Ok(width) => width.max(1),
                Err(reason) => return Ok(failed(format!("`width`: {reason}"))),
            },
            None => total,
        };
        let bar = match self.bar(at, &split.sync)? {
            Ok(bar) => bar,
            Err(reason) => return Ok(failed(format!("`sync`: {reason}"))),
        };
        let is_named = news.iter().enumerate().any(|(place, new)| new.key != (place + 1).to_string());
        let keys = if is_named { news.iter().map(|new| new.key.clone()).collect() } else { Vec::new() };
        let state = Split { planning: false, total, begun: width.min(total), keys, bar, ..Split::default() };
        let before = self.memory.frame(at)?.cloned();
        let item = before.as_ref().and_then(|frame| frame.item.clone()).or_else(|| self.items.remove(at));
        let due = self.due_at(split.sync.timeout_s, step.timeout_s);
        self.memory.set(at, Frame { state: State::Split(state), item, due, ..Frame::default() });
        self.note(What::SplitCreated, at, json!({"items": total, "width": width.min(total), "wait": bar.wait}));
        self.note(What::SyncCreated, at, json!({"items": total, "wait": bar.wait, "count": bar.count}));
        self.begin_first(at, split, news, width)
    }

    /// Begins as many items as may be under way at once; the others wait for their turn.
    fn begin_first(&mut self, at: &str, split: &'a SplitStep, news: Vec<New<'a>>, width: u32) -> Turn<Begun> {
        let mut ended = Vec::new();
        for (place, new) in news.into_iter().enumerate() {
            let child = path::join(at, &new.key);
            if number(place) >= width {
                self.memory.set(&child, Frame { state: State::Queued, item: Some(new.item), ..Frame::default() });
                continue;
            }
            ended.extend(self.begin_item(&child, split, new)?);
        }
        let Some(State::Split(mut state)) = self.memory.frame(at)?.map(|frame| frame.state.clone()) else {
            return Ok(Begun::Open);
        };
        ended.iter().for_each(|end| state.count(end));
        Ok(self.fill(at, split, state, number(ended.len()))?.map_or(Begun::Open, Begun::Ended))
    }

    /// Begins as many of the items that wait as there is room for; one that ends at once makes room for another.
    fn fill(&mut self, at: &str, split: &'a SplitStep, mut state: Split, mut room: u32) -> Turn<Option<End>> {
        loop {
            if let Some(end) = self.settle_split(at, state.clone())? {
                return Ok(Some(end));
            }
            if room == 0 || state.begun >= state.total {
                return Ok(None);
            }
            let index = state.begun as usize;
            state.begun += 1;
            let key = state.keys.get(index).cloned().unwrap_or_else(|| (index + 1).to_string());
            let child = path::join(at, &key);
            let item = self.memory.frame(&child)?.and_then(|frame| frame.item.clone()).unwrap_or_default();
            let step = match split.r#do.as_slice() {
                [only] => Some(only),
                _ => split.branches.get(index),
            };
            match self.begin_item(&child, split, New { key, item, step, planned: None })? {
                None => room -= 1,
                Some(end) => state.count(&end),
            }
        }
    }

    /// Begins an item. `Some`: it has ended already.
    fn begin_item(&mut self, child: &str, split: &'a SplitStep, new: New<'a>) -> Turn<Option<End>> {
        if let Some(planned) = &new.planned {
            return self.planned_task(child, planned).map(|()| None);
        }
        if let Some(step) = new.step {
            self.items.insert(child.to_owned(), new.item.clone());
            let begun = self.start(child, step)?;
            self.items.remove(child);
            let end = match begun {
                Begun::Open => return Ok(None),
                Begun::Ended(end) => end,
                Begun::Skipped => End::LeftOut,
                Begun::Back(..) => End::Failed("a gate has nothing to go back to here".into()),
            };
            self.end_item(child, new.item, &end)?;
            return self.forgiven(child, step, end).map(Some);
        }
        debug_assert!(split.r#do.len() > 1, "an item of several steps");
        let frame = Frame { state: State::Block(Block::default()), item: Some(new.item), ..Frame::default() };
        self.memory.set(child, frame);
        let end = self.run_block(child)?;
        if let Some(end) = &end {
            self.close(child, end)?;
        }
        Ok(end)
    }

    /// Takes down how an item ended that did so at once; it may have no frame of its own.
    fn end_item(&mut self, child: &str, item: Item, end: &End) -> Turn<()> {
        match self.memory.frame_if_known(child).map(|frame| &frame.state) {
            None | Some(State::Queued) => {
                self.memory.set(child, Frame { item: Some(item), end: Some(end.clone()), ..Frame::default() });
                Ok(())
            }
            Some(_) => self.close(child, end),
        }
    }

    /// How an item ended by the rule of its only step.
    fn forgiven(&mut self, child: &str, step: &Step, end: End) -> Turn<End> {
        match (end, step.on_failure) {
            (End::Failed(reason), OnFailure::Continue) => {
                self.note(What::StepSkipped, child, json!({"reason": reason}));
                Ok(End::Done)
            }
            (End::Failed(reason), OnFailure::Escalate) => self.escalate(child, &reason),
            (end, _) => Ok(end),
        }
    }

    pub(super) fn child_of_split(&mut self, at: &str, segment: &str, mut state: Split, end: End) -> Turn<Option<End>> {
        let Node::Step(step) = self.node(at)? else { return Ok(None) };
        let Some(split) = &step.split else { return Ok(None) };
        if state.planning {
            return self.plan_came(at, step, split, end);
        }
        let child = path::join(at, segment);
        let end = match self.node(&child)? {
            Node::Step(only) => self.forgiven(&child, only, end)?,
            Node::Block(_) | Node::Task | Node::Nothing => end,
        };
        state.count(&end);
        // The next in the queue takes its place.
        self.fill(at, split, state, 1)
    }

    fn set_split(&mut self, at: &str, state: Split) -> Turn<()> {
        let frame = self.memory.frame(at)?.cloned().unwrap_or_default();
        self.memory.set(at, Frame { state: State::Split(state), ..frame });
        Ok(())
    }

    /// Ends a split that has what it waits for, or cannot get it.
    fn settle_split(&mut self, at: &str, state: Split) -> Turn<Option<End>> {
        let outcome = state.outcome(false);
        self.set_split(at, state.clone())?;
        Ok(outcome.map(|outcome| self.end_split(at, &state, outcome)))
    }

    pub(super) fn split_timed_out(&mut self, at: &str, state: &Split) -> Turn<Option<End>> {
        if state.planning {
            self.call_off(at);
            return Ok(Some(End::Failed("the items were not planned in time".into())));
        }
        let outcome = state.outcome(true);
        Ok(outcome.map(|outcome| self.end_split(at, state, outcome)))
    }

    fn end_split(&mut self, at: &str, state: &Split, outcome: Result<(), String>) -> End {
        if state.done + state.failed + state.left_out < state.total {
            self.call_off(at);
        }
        let mut facts =
            json!({"items": state.total, "completed": state.done, "failed": state.failed, "met": outcome.is_ok()});
        if state.left_out > 0 {
            facts["left_out"] = state.left_out.into();
        }
        self.note(What::SyncReady, at, facts);
        match outcome {
            Ok(()) => End::Done,
            Err(reason) => End::Failed(reason),
        }
    }

    // Planned items.

    /// The items that an expression gives; where it gives none, whoever plans is asked.
    fn start_planned(&mut self, at: &str, step: &'a Step, (split, rule): (&'a SplitStep, &'a PlanRule)) -> Turn<Begun> {
        let Some(expression) = &rule.items else { return self.ask_for_plan(at, step, (split, rule)) };
        let items = match self.evaluate(at, expression)? {
            Ok(Value::Array(items)) => items,
            Ok(Value::Null) => Vec::new(),
            Ok(other) => return Ok(failed(format!("`items` must be a list, and it is {}", short(&other)))),
            Err(reason) => return Ok(failed(format!("`items`: {reason}"))),
        };
        if items.is_empty() && !rule.by.is_empty() {
            return self.ask_for_plan(at, step, (split, rule));
        }
        let among = match self.among(at, rule)? {
            Ok(names) => names,
            Err(reason) => return Ok(failed(reason)),
        };
        let profiles = &self.scope.spec.profiles;
        let can = |name: &str, need: &str| {
            profiles.get(name).is_some_and(|profile| profile.capabilities.iter().any(|can| can == need))
        };
        match planned::of_list(items, (&among, can), split) {
            Ok(tasks) => self.begin_planned(at, step, split, tasks),
            Err(reason) => Ok(failed(format!("the plan cannot be used: {reason}"))),
        }
    }

    fn ask_for_plan(&mut self, at: &str, step: &'a Step, (split, rule): (&'a SplitStep, &'a PlanRule)) -> Turn<Begun> {
        let among = match self.among(at, rule)? {
            Ok(names) => names,
            Err(reason) => return Ok(failed(reason)),
        };
        let state = Split { planning: true, ..Split::default() };
        let due = self.due_at(split.sync.timeout_s, step.timeout_s);
        let item = self.items.get(at).cloned();
        self.memory.set(at, Frame { state: State::Split(state), item, due, ..Frame::default() });
        let schema = plan::schema(&among, split.limit.min(1_000));
        match self.plan_task(at, rule, schema)? {
            Ok(()) => Ok(Begun::Open),
            Err(reason) => Ok(failed(reason)),
        }
    }

    fn among(&mut self, at: &str, rule: &'a PlanRule) -> Turn<Result<Vec<String>, String>> {
        let value = self.evaluate(at, rule.among.as_deref().unwrap_or("members"))?;
        Ok(value.and_then(|value| {
            let names: Option<Vec<String>> =
                value.as_array().and_then(|list| list.iter().map(|name| name.as_str().map(str::to_owned)).collect());
            names.filter(|names| !names.is_empty()).ok_or_else(|| "`among` must be a list of names".to_owned())
        }))
    }

    fn plan_came(&mut self, at: &str, step: &'a Step, split: &'a SplitStep, end: End) -> Turn<Option<End>> {
        if let End::Failed(reason) = end {
            return Ok(Some(End::Failed(format!("the items were not planned: {reason}"))));
        }
        let Some(rule) = &split.plan else { return Ok(None) };
        let output = self.task_text(&path::join(at, PLAN))?;
        let among = match self.among(at, rule)? {
            Ok(names) => names,
            Err(reason) => return Ok(Some(End::Failed(reason))),
        };
        let tasks = match planned::read(&output, &among, split) {
            Ok(tasks) => tasks,
            Err(reason) => return Ok(Some(End::Failed(format!("the plan cannot be used: {reason}")))),
        };
        let valued = tasks.into_iter().map(|task| {
            let value = serde_json::to_value(&task).unwrap_or(Value::Null);
            (task, value)
        });
        Ok(match self.begin_planned(at, step, split, valued.collect())? {
            Begun::Ended(end) => Some(end),
            Begun::Open | Begun::Skipped | Begun::Back(..) => None,
        })
    }

    /// Begins items that were planned: each with its steps, or as a task of its assignee.
    fn begin_planned(
        &mut self,
        at: &str,
        step: &'a Step,
        split: &'a SplitStep,
        tasks: Vec<(PlannedTask, Value)>,
    ) -> Turn<Begun> {
        let only = match split.r#do.as_slice() {
            [only] => Some(only),
            _ => None,
        };
        let mut news = Vec::with_capacity(tasks.len());
        for (index, (planned, value)) in tasks.into_iter().enumerate() {
            let item = Item { name: split.r#as.clone(), index: number(index), value };
            let key = path::slug(&planned.key);
            let planned = split.r#do.is_empty().then_some(planned);
            news.push(New { key, item, step: only, planned });
        }
        self.begin_items(at, step, split, news)
    }
}

/// The tasks that a planned item waits for, at their paths.
pub(super) fn dependencies(at: &str, planned: &PlannedTask) -> Vec<(crate::pattern::TaskRef, Edge)> {
    let (above, _) = path::split(at).unwrap_or_default();
    let at = |key: &String| path::join(above, &path::slug(key));
    planned.depends_on.iter().map(|key| (super::task::reference(&at(key)), Edge::Hard)).collect()
}

/// Names of items that are texts, where they are few and each its own.
fn names(items: &[Value]) -> Vec<String> {
    if items.len() > NAMED_MAX {
        return Vec::new();
    }
    let slugs: Vec<String> = items.iter().filter_map(Value::as_str).map(path::slug).collect();
    let distinct: BTreeSet<&String> = slugs.iter().collect();
    let is_fit = slugs.len() == items.len() && distinct.len() == slugs.len() && !slugs.iter().any(String::is_empty);
    if is_fit { slugs } else { Vec::new() }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn short(value: &Value) -> String {
    crate::material::one_line(&value.to_string(), 60)
}
