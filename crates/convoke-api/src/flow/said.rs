//! Texts of a step: templates, expressions, conditions, names of agents, lists of names, numbers of rounds, JSON Schemas.

use std::collections::BTreeSet;

use convoke_domain::flow::{MAX_ITEMS, MAX_ROUNDS, template};
use serde_json::{Map, Value};

use super::expression::{self, EVERYWHERE, Names};
use super::form::Form;
use super::scope::{Result, Scope};
use super::{Checker, Found};
use crate::near::suggest;
use crate::node::{Kind, Node};
use crate::problem::Finding;

/// The most values that a text is tried with.
pub(super) const MAX_VALUES: usize = 100;

/// What is known of a text.
pub(super) struct Said {
    pub(super) form: Form,
    /// All that it can become, where that is known before the run.
    pub(super) values: Option<Vec<Value>>,
    /// It names nothing, so it is always the same.
    pub(super) is_constant: bool,
    /// A template without code.
    pub(super) is_plain: bool,
    /// It uses results.
    pub(super) uses_results: bool,
}

impl<'n> Checker<'n, '_> {
    pub(super) fn template(&mut self, node: &'n Node, scope: &Scope<'_, 'n>, what: &str) -> Option<Said> {
        self.read(node, scope, what, true)
    }

    pub(super) fn expression(&mut self, node: &'n Node, scope: &Scope<'_, 'n>, what: &str) -> Option<Said> {
        self.read(node, scope, what, false)
    }

    /// `None` if it is no text, or something is wrong with it.
    fn read(&mut self, node: &'n Node, scope: &Scope<'_, 'n>, what: &str, is_template: bool) -> Option<Said> {
        let text = node.text()?;
        let names =
            Names { scope, parameters: &self.parameters, steps: &self.steps, capabilities: self.capabilities.as_ref() };
        let reading =
            if is_template { expression::template(text, &names) } else { expression::expression(text, &names) };
        self.used.extend(reading.roots.iter().cloned());
        let is_right = reading.found.is_empty();
        for (range, found) in reading.found {
            let message = format!("`{what}`: {}", found.message);
            self.found.push(Found { node, part: Some(range), finding: Finding { message, ..found } });
        }
        if !is_right {
            return None;
        }
        let values = match self.values(text, &reading.roots, scope, is_template) {
            Ok(values) => values,
            Err(reason) => {
                let hint = "correct it; see docs/concept/flows.md for what there is";
                self.say(node, "bad_expression", format!("`{what}` cannot be evaluated: {reason}"), hint);
                return None;
            }
        };
        Some(Said {
            form: reading.form,
            values,
            is_constant: reading.roots.is_empty(),
            is_plain: reading.is_plain,
            uses_results: reading.roots.contains("results") || reading.roots.contains("previous"),
        })
    }

    /// What the text becomes, where all that it names is known. At most one of the names may be that of an item.
    fn values(
        &self,
        text: &str,
        roots: &BTreeSet<String>,
        scope: &Scope<'_, 'n>,
        is_template: bool,
    ) -> std::result::Result<Option<Vec<Value>>, String> {
        let mut item: Option<(&str, &[Value])> = None;
        for root in roots {
            match scope.local(root) {
                Some(local) => match (&local.values, item) {
                    (Some(values), None) if values.len() <= MAX_VALUES => item = Some((root, values)),
                    _ => return Ok(None),
                },
                None if self.known.contains_key(root) => {}
                None => return Ok(None),
            }
        }
        let value = |variables: &Map<String, Value>| match is_template {
            true => template::render(text, variables).map(Value::from),
            false => template::evaluate(text, variables),
        };
        let Some((name, values)) = item else {
            return value(&self.known).map(|value| Some(vec![value]));
        };
        let mut variables = self.known.clone();
        let mut all = Vec::with_capacity(values.len());
        for one in values {
            variables.insert(name.to_owned(), one.clone());
            all.push(value(&variables)?);
        }
        Ok(Some(all))
    }

    /// Whether a condition is always true or always false; `None` if that depends.
    pub(super) fn condition(&mut self, node: &'n Node, scope: &Scope<'_, 'n>, what: &str) -> Option<bool> {
        let said = self.expression(node, scope, what)?;
        let always = match &said.form {
            Form::Text => Some("text"),
            Form::Object { .. } => Some("an object"),
            _ => None,
        };
        if let Some(words) = always.filter(|_| said.uses_results) {
            let message =
                format!("`{what}` is no condition: a result that is {words} counts as true, whatever it says");
            let hint =
                "give the step an `output` schema with a part that is true or false, or compare: `results.x == 'yes'`";
            self.say(node, "no_condition", message, hint);
        }
        let value = said.values.as_ref().and_then(|values| values.first()).filter(|_| said.is_constant)?;
        Some(template::is_true(value))
    }

    /// The names that a template for an agent can become, where they are known.
    pub(super) fn agent(&mut self, node: &'n Node, scope: &Scope<'_, 'n>, what: &str) -> Option<Vec<String>> {
        let text = node.text()?.trim().to_owned();
        let said = self.template(node, scope, what)?;
        if !matches!(said.form.sure(), Form::Any | Form::Text) {
            let message = format!("`{what}` must give one name, and it is {}", said.form.words());
            let hint = "take one, such as `{{ members | first }}`, or use a `split` to ask each";
            self.say(node, "wrong_form", message, hint);
            return None;
        }
        let is_name_of = |word: &str| {
            self.parameters.contains_key(word) || scope.local(word).is_some() || EVERYWHERE.contains(&word)
        };
        let is_member = self.crew.is_some_and(|crew| crew.has(&text));
        if said.is_plain && !is_member && is_name_of(&text) {
            let message = format!("`{what}` is the word `{text}`, not what that name stands for");
            self.say(node, "unknown_member", message, format!("write `\"{{{{ {text} }}}}\"`"));
            return None;
        }
        let names: Vec<String> =
            said.values?.iter().filter_map(Value::as_str).map(|name| name.trim().to_owned()).collect();
        self.all_in_team(node, &names, what).then_some(names)
    }

    /// To whom `{{ item.assignee }}` may come, for an item that an agent plans.
    pub(super) fn assigned(&self, node: &Node, scope: &Scope<'_, 'n>) -> Option<Vec<String>> {
        let inside = node.text()?.trim().strip_prefix("{{")?.strip_suffix("}}")?.trim();
        let item = inside.strip_suffix(".assignee")?;
        scope.local(item)?.assignees.clone()
    }

    /// The names that an expression for a list of agents gives, where they are known.
    pub(super) fn agents(&mut self, node: &'n Node, scope: &Scope<'_, 'n>, what: &str) -> Option<Vec<String>> {
        let said = self.expression(node, scope, what)?;
        let items = said.form.items();
        let is_list = matches!(said.form.sure(), Form::Any | Form::List(_));
        if !is_list || !matches!(items.sure(), Form::Any | Form::Text) {
            let found = if is_list {
                format!("a list of {}s", items.words().trim_start_matches("a "))
            } else {
                said.form.words().to_owned()
            };
            let message = format!("`{what}` must give a list of names, and it is {found}");
            self.say(
                node,
                "wrong_form",
                message,
                "write an expression such as `members`, `by_role.reviewer` or `['ada', 'bob']`",
            );
            return None;
        }
        let [only] = said.values?.try_into().ok().map(|one: [Value; 1]| one)?;
        let names: Vec<String> = only.as_array()?.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
        self.all_in_team(node, &names, what).then_some(names)
    }

    fn all_in_team(&mut self, node: &'n Node, names: &[String], what: &str) -> bool {
        let Some(crew) = self.crew else { return true };
        let stranger = names.iter().find(|name| !crew.has(name));
        if let Some(stranger) = stranger {
            let message = format!("`{what}` is `{stranger}`, who is neither a member nor the coordinator");
            self.say(node, "unknown_member", message, suggest(stranger, crew.names(), "add it to `members`"));
        }
        stranger.is_none()
    }

    /// A number of rounds, or an expression that gives one: from 1 to 100.
    pub(super) fn count(&mut self, node: Option<&'n Node>, scope: &Scope<'_, 'n>, what: &str) {
        let Some((numbers, node)) = self.numbers(node, scope, what) else { return };
        let is_right =
            |number: &&Value| number.as_u64().is_some_and(|whole| (1..=u64::from(MAX_ROUNDS)).contains(&whole));
        if let Some(number) = numbers.iter().find(|number| !is_right(number)) {
            let message = format!("`{what}` is {number}; it must be a whole number from 1 to {MAX_ROUNDS}");
            let hint = match number.as_f64() {
                Some(number) if number > f64::from(MAX_ROUNDS) => {
                    format!("write at most {MAX_ROUNDS}: everything must come to an end")
                }
                _ => "write at least 1".to_owned(),
            };
            self.say(node, "unbounded_loop", message, hint);
        }
    }

    /// A number of items, or an expression that gives one; nothing where it is not known before the run.
    pub(super) fn amount(
        &mut self,
        node: Option<&'n Node>,
        scope: &Scope<'_, 'n>,
        what: &str,
        least: u64,
    ) -> Option<u64> {
        let (numbers, node) = self.numbers(node, scope, what)?;
        let whole = |number: &Value| number.as_u64().filter(|whole| (least..=u64::from(MAX_ITEMS)).contains(whole));
        if let Some(number) = numbers.iter().find(|number| whole(number).is_none()) {
            let message = format!("`{what}` is {number}, and it must be a whole number from {least} to {MAX_ITEMS}");
            self.say(node, "out_of_range", message, format!("give a whole number from {least} to {MAX_ITEMS}"));
            return None;
        }
        numbers.first().filter(|first| numbers.iter().all(|number| number == *first)).and_then(whole)
    }

    /// A part of a whole, or an expression that gives one: from 0 to 1.
    pub(super) fn part(&mut self, node: Option<&'n Node>, scope: &Scope<'_, 'n>, what: &str) {
        let Some((numbers, node)) = self.numbers(node, scope, what) else { return };
        let is_part = |number: &&Value| number.as_f64().is_some_and(|part| (0.0..=1.0).contains(&part));
        if let Some(number) = numbers.iter().find(|number| !is_part(number)) {
            let message = format!("`{what}` is {number}, which is no part of a whole");
            self.say(node, "out_of_range", message, "give a number from 0 to 1, such as 0.6 for six of ten");
        }
    }

    /// A number, or the values of an expression that gives one, one for each item, where that is known before the run.
    fn numbers(&mut self, node: Option<&'n Node>, scope: &Scope<'_, 'n>, what: &str) -> Option<(Vec<Value>, &'n Node)> {
        let node = node.filter(|node| !node.is_null())?;
        let numbers = match node.text() {
            Some(_) => {
                let said = self.expression(node, scope, what)?;
                if !matches!(said.form.sure(), Form::Any | Form::Number) {
                    let message = format!("`{what}` must be a number, and it is {}", said.form.words());
                    self.say(
                        node,
                        "wrong_form",
                        message,
                        "write a number, or an expression that gives one, without quotes",
                    );
                    return None;
                }
                said.values?
            }
            None => vec![node.to_json()],
        };
        if numbers.iter().any(|number| !number.is_number()) {
            let message = format!("`{what}` must be a number or an expression, and it is neither");
            self.say(node, "wrong_type", message, "write a number");
            return None;
        }
        Some((numbers, node))
    }

    /// A JSON Schema, and the form it gives.
    pub(super) fn schema(&mut self, node: Option<&'n Node>, what: &str) -> Option<Form> {
        let node = node.filter(|node| !node.is_null())?;
        if !matches!(node.kind, Kind::Map(_)) {
            let message = format!("`{what}` must be a JSON Schema, which is a mapping");
            self.say(node, "bad_schema", message, "for example `{type: object, properties: {…}}`");
            return Some(Form::Any);
        }
        let value = node.to_json();
        if let Err(flaw) = crate::fixed::valid_schema(&value) {
            let message = format!("`{what}` is not a JSON Schema: {}", flaw.reason);
            self.say(node.follow(&flaw.pointer), "bad_schema", message, flaw.hint);
            return Some(Form::Any);
        }
        Some(Form::of_schema(&value))
    }

    /// Steps whose results are shown: `NAME`, or `previous.NAME` in a loop.
    pub(super) fn see(&mut self, list: &'n [Node], scope: &Scope<'_, 'n>, what: &str) {
        for node in list {
            let Some(name) = node.text() else { continue };
            match name.strip_prefix("previous.") {
                Some(inner) => {
                    if !matches!(scope.previous(inner), Some(Result::Is(_))) {
                        let message = format!("`{what}` names `{name}`, but there is no such step in a loop around");
                        let names = scope.round_steps();
                        let hint = suggest(inner, names, "`previous.STEP` is there only within a loop");
                        self.say(node, "unknown_step", message, hint);
                    }
                }
                None => drop(self.named(node, scope, what)),
            }
        }
    }

    /// The result of a step that is named by a text: it must be there by then.
    pub(super) fn named(&mut self, node: &'n Node, scope: &Scope<'_, 'n>, what: &str) -> Option<Form> {
        let name = node.text()?;
        let (code, message, hint) = match scope.result(name) {
            Result::Is(form) => return Some(form),
            Result::Itself => {
                ("step_cycle", format!("`{what}` names the step itself"), "name an earlier step".to_owned())
            }
            Result::NotBefore => (
                "unreachable_result",
                format!("`{what}` names `{name}`, which need not have ended by then"),
                format!("move the step behind `{name}`, or add `after: [{name}]`"),
            ),
            Result::Unknown if self.steps.contains(name) => (
                "unreachable_result",
                format!("`{what}` names `{name}`, which stands in another list"),
                "only steps of the same list and of those around it are seen; name the step that holds it".to_owned(),
            ),
            Result::Unknown => {
                let names = scope.results();
                (
                    "unknown_step",
                    format!("`{what}` names `{name}`, but there is no such step"),
                    suggest(name, names, "name an earlier step"),
                )
            }
        };
        self.say(node, code, message, hint);
        None
    }
}
