//! What templates and expressions see: the run's task, the team, items, rounds, and the results that they name.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{End, Frame, Machine, Node, State, TaskEnd, Turn, Variables};
use crate::flow::memory::Split;
use crate::flow::{Count, MAX_ROUNDS, OnFailure, Step, parameter, path, template};

/// A result in a template, or what is wrong with it in words for its author.
pub(super) type Said<T> = Result<T, String>;

impl<'a> Machine<'a, '_> {
    /// A template of the step at `at`, filled.
    pub(super) fn render(&mut self, at: &str, text: &str) -> Turn<Said<String>> {
        let block = path::split(at).map_or("", |(block, _)| block).to_owned();
        self.render_from(&block, at, text)
    }

    /// A template that sees the steps of the list at `at`.
    pub(super) fn render_in(&mut self, at: &str, text: &str) -> Turn<Said<String>> {
        self.render_from(at, at, text)
    }

    fn render_from(&mut self, block: &str, at: &str, text: &str) -> Turn<Said<String>> {
        let names = match template::names_of_template(text) {
            Ok(names) => names,
            Err(reason) => return Ok(Err(reason)),
        };
        let variables = self.variables(block, at, &names)?;
        if let Some(reason) = self.read.flaw() {
            return Ok(Err(reason));
        }
        Ok(template::render(text, &variables))
    }

    /// An expression of the step at `at`.
    pub(super) fn evaluate(&mut self, at: &str, text: &str) -> Turn<Said<Value>> {
        let block = path::split(at).map_or("", |(block, _)| block).to_owned();
        self.evaluate_from(&block, at, text)
    }

    fn evaluate_from(&mut self, block: &str, at: &str, text: &str) -> Turn<Said<Value>> {
        let names = match template::names_of_expression(text) {
            Ok(names) => names,
            Err(reason) => return Ok(Err(reason)),
        };
        let variables = self.variables(block, at, &names)?;
        if let Some(reason) = self.read.flaw() {
            return Ok(Err(reason));
        }
        Ok(template::evaluate(text, &variables))
    }

    /// A condition of the step at `at`.
    pub(super) fn holds(&mut self, at: &str, condition: &str) -> Turn<Said<bool>> {
        Ok(self.evaluate(at, condition)?.map(|value| template::is_true(&value)))
    }

    /// A condition that sees the steps of the list at `at`.
    pub(super) fn holds_in(&mut self, at: &str, condition: &str) -> Turn<Said<bool>> {
        Ok(self.evaluate_from(at, at, condition)?.map(|value| template::is_true(&value)))
    }

    /// A number of rounds: at least one, and never more than there may be.
    pub(super) fn count(&mut self, at: &str, count: &Count) -> Turn<Said<u32>> {
        Ok(self.number(at, count)?.and_then(|number| match number {
            0 => Err("0 rounds, and 1 is the least: a step that may be left out says `when`".to_owned()),
            1..=MAX_ROUNDS => Ok(number),
            _ => Err(format!("{number} rounds, and {MAX_ROUNDS} is the most")),
        }))
    }

    /// A number, not below zero.
    pub(super) fn number(&mut self, at: &str, count: &Count) -> Turn<Said<u32>> {
        let value = match count {
            Count::Number(number) => return Ok(Ok(*number)),
            Count::Expression(text) => self.evaluate(at, text)?,
        };
        Ok(value.and_then(|value| {
            let number = value.as_f64().filter(|number| *number >= 0.0 && number.fract() == 0.0);
            let number = number.ok_or_else(|| format!("a whole number is expected, not {value}"))?;
            Ok(if number >= f64::from(u32::MAX) { u32::MAX } else { number as u32 })
        }))
    }

    /// A list of names.
    pub(super) fn names(&mut self, at: &str, expression: &str) -> Turn<Said<Vec<String>>> {
        Ok(self.evaluate(at, expression)?.and_then(|value| {
            let list = value.as_array().ok_or("a list of names is expected")?;
            let names: Option<Vec<String>> = list.iter().map(|name| name.as_str().map(str::to_owned)).collect();
            names.ok_or_else(|| "a list of names is expected".to_owned())
        }))
    }

    /// What of the variables `names` uses.
    fn variables(&mut self, block: &str, at: &str, names: &BTreeSet<String>) -> Turn<Variables> {
        self.read.afresh();
        let uses = |name: &str| names.iter().any(|used| used.split('.').next() == Some(name));
        let mut out: Variables =
            self.scope.spec.parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        out.insert("task".into(), self.scope.task.into());
        let team = &self.scope.spec.team;
        out.insert("coordinator".into(), team.coordinator.as_str().into());
        if uses("members") || uses("by_role") || uses("by_capability") {
            out.extend(parameter::team_variables(self.scope.spec));
        }
        for above in path::line(at) {
            let item = match self.items.get(above) {
                Some(item) => Some(item.clone()),
                None => self.memory.frame_if_known(above).and_then(|frame| frame.item.clone()),
            };
            if let Some(item) = item {
                out.insert("index".into(), item.index.into());
                out.insert(item.name, item.value);
            }
        }
        let round = self.round(at)?;
        if let Some((_, round)) = &round {
            out.insert("round".into(), (*round).into());
        }
        if uses("context") {
            out.insert("context".into(), self.memory.context()?.clone());
        }
        let mut results = Map::new();
        for name in parts(names, "results") {
            let value = self.result_from(block, name)?;
            results.insert(name.to_owned(), value);
        }
        out.insert("results".into(), results.into());
        if uses("previous") {
            let mut previous = Map::new();
            for name in parts(names, "previous") {
                previous.insert(name.to_owned(), self.previous(&round, name)?);
            }
            out.insert("previous".into(), previous.into());
        }
        Ok(out)
    }

    /// The innermost loop around a path, and its round.
    pub(super) fn round(&self, at: &str) -> Turn<Option<(String, u32)>> {
        for pair in path::line(at).windows(2).rev() {
            let [above, below] = pair else { continue };
            let is_loop = matches!(self.memory.frame(above)?.map(|frame| &frame.state), Some(State::Loop { .. }));
            let round = path::split(below).and_then(|(_, segment)| segment.parse().ok());
            if let (true, Some(round)) = (is_loop, round) {
                return Ok(Some(((*above).to_owned(), round)));
            }
        }
        Ok(None)
    }

    fn previous(&self, round: &Option<(String, u32)>, name: &str) -> Turn<Value> {
        match round {
            Some((at, round)) if *round > 1 => self.result_in(&path::join(at, &(round - 1).to_string()), name),
            _ => Ok(Value::Null),
        }
    }

    /// A result that the step at `at` names: `NAME`, or `previous.NAME`.
    pub(super) fn result_named(&mut self, at: &str, name: &str) -> Turn<Value> {
        self.read.afresh();
        match name.strip_prefix("previous.") {
            Some(name) => self.previous(&self.round(at)?, name),
            None => self.result_from(path::split(at).map_or("", |(block, _)| block), name),
        }
    }

    /// The result of the step of this name in the list at `block` or the nearest around it that has it.
    fn result_from(&self, block: &str, name: &str) -> Turn<Value> {
        for above in path::line(block).into_iter().rev() {
            if self.place_of(above, name)?.is_some() {
                return self.result_in(above, name);
            }
        }
        Ok(Value::Null)
    }

    /// The result of a step of the list at `block`.
    fn result_in(&self, block: &str, name: &str) -> Turn<Value> {
        let Some(place) = self.place_of(block, name)? else { return Ok(Value::Null) };
        let Some(frame) = self.memory.frame(block)? else { return Ok(Value::Null) };
        let State::Block(list) = &frame.state else { return Ok(Value::Null) };
        let at = path::visited(block, name, list.visit(place));
        let steps = self.steps_at(block)?;
        let step = &steps[place as usize];
        let or_default = || step.default.clone().unwrap_or(Value::Null);
        if list.skipped.contains(&place) || list.failed.contains(&place) {
            return Ok(or_default());
        }
        self.result_of(&at, step)
    }

    /// The result of whatever stands at a path.
    pub(super) fn result_at(&self, at: &str) -> Turn<Value> {
        match self.node(at)? {
            Node::Step(step) => self.result_of(at, step),
            Node::Task => Ok(self.task_value(at)?.unwrap_or(Value::Null)),
            Node::Block(_) => match self.memory.frame(at)?.and_then(|frame| frame.from.clone()) {
                Some(from) => self.result_where(&from),
                None => Ok(Value::Null),
            },
            Node::Nothing => Ok(Value::Null),
        }
    }

    /// The result of a step by its path, left out or failed ones included.
    fn result_where(&self, at: &str) -> Turn<Value> {
        let Some((block, segment)) = path::split(at) else { return Ok(Value::Null) };
        match self.memory.frame(block)?.map(|frame| &frame.state) {
            Some(State::Block(_)) => self.result_in(block, path::id_of(segment)),
            _ => self.result_at(at),
        }
    }

    fn result_of(&self, at: &str, step: &Step) -> Turn<Value> {
        let missing = || step.default.clone().unwrap_or(Value::Null);
        if !self.read.take(0) {
            return Ok(Value::Null);
        }
        if step.task.is_some() {
            return Ok(self.task_value(at)?.unwrap_or_else(missing));
        }
        let Some(frame) = self.memory.frame(at)? else { return Ok(missing()) };
        if matches!(frame.end, Some(End::Failed(_))) {
            return Ok(missing());
        }
        if let Some(result) = &frame.result {
            return Ok(self.read.taken(result));
        }
        if let Some(join) = step.join.as_ref().map(|join| &join.of).or(step.sync.as_ref().map(|sync| &sync.of)) {
            let block = path::split(at).map_or("", |(block, _)| block);
            let mut all = Map::new();
            for name in join {
                all.insert(name.clone(), self.result_in(block, name)?);
            }
            return Ok(all.into());
        }
        if let State::Split(split) = &frame.state {
            return self.result_of_split(at, frame, split);
        }
        match &frame.from {
            Some(from) if matches!(frame.state, State::Loop { .. }) => self.result_at(from),
            Some(from) => self.result_where(from),
            None => Ok(missing()),
        }
    }

    fn result_of_split(&self, at: &str, frame: &Frame, split: &Split) -> Turn<Value> {
        if frame.end.is_none() {
            return Ok(Value::Null);
        }
        self.memory.all_below(at)?;
        let mut all = Vec::with_capacity(split.total as usize);
        for index in 0..split.total as usize {
            let key = split.keys.get(index).cloned().unwrap_or_else(|| (index + 1).to_string());
            all.extend(self.share(&path::join(at, &key), key)?);
        }
        Ok(all.into())
    }

    /// One item of a split's result; nothing for one that was left out.
    fn share(&self, at: &str, key: String) -> Turn<Option<Value>> {
        let is_member = |name: &str| self.scope.spec.profiles.contains_key(name);
        let (mut agent, mut end) = (None, None);
        if let Some(task) = self.memory.task(at)? {
            agent = Some(task.agent.clone());
            end = task.end.clone().map(|end| match end {
                TaskEnd::Completed(_) => End::Done,
                TaskEnd::Failed(reason) => End::Failed(reason),
            });
            // Its time was up: then its task was only called off.
            if let Some(End::Failed(reason)) = self.memory.frame_if_known(at).and_then(|frame| frame.end.as_ref()) {
                end = Some(End::Failed(reason.clone()));
            }
        } else if let Some(frame) = self.memory.frame(at)? {
            let named = frame.item.as_ref().and_then(|item| item.value.as_str().or(item.value["assignee"].as_str()));
            agent = named.filter(|name| is_member(name)).map(str::to_owned);
            end = frame.end.clone();
        }
        // Its only step may go on after a failure, with its default.
        let goes_on = matches!(self.node(at)?, Node::Step(only) if only.on_failure == OnFailure::Continue);
        let (ok, error) = match &end {
            Some(End::LeftOut) => return Ok(None),
            Some(End::Done) => (true, Value::Null),
            Some(End::Failed(reason)) => (goes_on, reason.as_str().into()),
            None => (false, "it was called off".into()),
        };
        let value = if ok { self.result_at(at)? } else { Value::Null };
        Ok(Some(json!({"key": key, "agent": agent, "ok": ok, "value": value, "error": error})))
    }

    /// What a task gave: JSON where it had to be, else its text. `None` if it did not complete.
    pub(super) fn task_value(&self, at: &str) -> Turn<Option<Value>> {
        let Some(task) = self.memory.task(at)? else { return Ok(None) };
        let Some(TaskEnd::Completed(text)) = &task.end else { return Ok(None) };
        if !self.read.take(text.len() as u64) {
            return Ok(Some(Value::Null));
        }
        let json = || serde_json::from_str(text).ok();
        Ok(Some(if task.is_json { json().unwrap_or_else(|| text.as_str().into()) } else { text.as_str().into() }))
    }

    /// The text that a task gave.
    pub(super) fn task_text(&self, at: &str) -> Turn<String> {
        Ok(match self.memory.task(at)?.and_then(|task| task.end.clone()) {
            Some(TaskEnd::Completed(text)) => text,
            Some(TaskEnd::Failed(_)) | None => String::new(),
        })
    }
}

/// The second parts of the names whose first is `first`.
fn parts<'n>(names: &'n BTreeSet<String>, first: &'n str) -> impl Iterator<Item = &'n str> {
    let second = move |name: &'n String| {
        let mut parts = name.split('.');
        (parts.next() == Some(first)).then(|| parts.next()).flatten()
    };
    names.iter().filter_map(second).collect::<BTreeSet<_>>().into_iter()
}
