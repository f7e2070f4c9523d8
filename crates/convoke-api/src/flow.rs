//! The checker of flows: can these steps be carried out, do they end, and does every name in them name something? Asked of a
//! pattern by itself, and of each team that uses it, with what is known of the team.
//!
//! Rule: what is refused could not work, or would not do what it says; what may work is let through. Start at [`check`]; steps
//! that are work are in `work`, those that bring together in `many`, those that choose the way in `way`, texts in `said`.

pub(crate) mod cost;
pub(crate) mod crew;
mod expression;
mod filter;
mod form;
mod list;
mod many;
pub(crate) mod place;
mod said;
mod scope;
mod tree;
mod way;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use convoke_domain::flow::MAX_DEPTH;
use serde_json::{Map, Value};

use crate::near::{quoted, suggest};
use crate::node::{Entry, Node};
use crate::problem::{Finding, finding};
use cost::Least;
use crew::Crew;
use form::Form;
use list::List;
use scope::{Local, Scope};

/// The most steps of a flow, all lists together.
const MAX_STEPS: usize = 2_000;
/// The most steps that are gone through once more, item by item, to reckon what they take.
const MAX_RECKONED: usize = 2_000;
/// The longest name of a step.
const MAX_ID: usize = 40;
/// The kinds of steps.
const KINDS: [&str; 16] = [
    "task", "value", "split", "sync", "join", "merge", "loop", "branch", "vote", "review", "handoff", "ask",
    "delegate", "gate", "phase", "settle",
];
/// The fields that steps of all kinds have.
const COMMON: [&str; 7] = ["id", "title", "after", "when", "on_failure", "default", "timeout_s"];

/// A flow, and the team for which it is checked.
pub(crate) struct Whole<'n, 'c> {
    /// The mapping with `parameters`, `steps`, `result`.
    pub(crate) flow: &'n Node,
    /// The team, if it is one that is meant.
    pub(crate) crew: Option<&'c Crew<'n>>,
}

/// Something that is wrong.
pub(crate) struct Found<'n> {
    pub(crate) node: &'n Node,
    /// The bytes of its text that are meant.
    pub(crate) part: Option<Range<usize>>,
    pub(crate) finding: Finding,
}

/// Everything that is wrong with a flow.
pub(crate) fn check<'n>(whole: &Whole<'n, '_>) -> Vec<Found<'n>> {
    let mut checker = Checker {
        crew: whole.crew,
        parameters: BTreeMap::new(),
        known: whole.crew.map(|crew| crew.variables.clone()).unwrap_or_default(),
        steps: BTreeSet::new(),
        capabilities: whole
            .crew
            .map(|crew| crew.facts.values().flat_map(|one| one.capabilities.iter().cloned()).collect()),
        used: BTreeSet::new(),
        reckoned: 0,
        found: Vec::new(),
    };
    checker.whole(whole.flow);
    checker.found
}

struct Checker<'n, 'c> {
    crew: Option<&'c Crew<'n>>,
    /// The forms of the parameters.
    parameters: BTreeMap<String, Form>,
    /// Names whose values are known before the run.
    known: Map<String, Value>,
    /// The names of all steps.
    steps: BTreeSet<&'n str>,
    /// What somebody in the team can do.
    capabilities: Option<BTreeSet<String>>,
    /// Names that are used anywhere.
    used: BTreeSet<String>,
    /// Steps that were gone through once more to reckon what they take.
    reckoned: usize,
    found: Vec<Found<'n>>,
}

/// What a step or a list comes to.
struct Out {
    form: Form,
    /// The model calls that it takes at least.
    least: Least,
}

impl Out {
    const fn new(form: Form, least: Least) -> Self {
        Self { form, least }
    }

    /// Something that asks no model.
    fn free(form: Form) -> Self {
        Self { form, least: Least::default() }
    }
}

/// Where a list of steps stands.
struct Around<'s, 'n> {
    above: Option<&'s Scope<'s, 'n>>,
    locals: &'s [Local],
    is_round: bool,
    depth: usize,
}

impl<'n> Checker<'n, '_> {
    fn say(&mut self, node: &'n Node, code: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        self.found.push(Found { node, part: None, finding: finding(code, message, hint) });
    }

    fn whole(&mut self, flow: &'n Node) {
        let steps = flow.list("steps");
        if !self.names(steps) {
            return;
        }
        self.parameters(flow);
        let around = Around { above: None, locals: &[], is_round: false, depth: 1 };
        let out = self.steps(steps, &around, |checker, scope| {
            if let Some(result) = flow.get("result") {
                checker.template(result, scope, "result");
            }
        });
        self.unused(flow);
        self.budget(out.least);
    }

    /// A run must be able to pay for the calls that it makes in any case.
    fn budget(&mut self, least: Least) {
        let Some(crew) = self.crew else { return };
        self.found.extend(cost::check(crew, least));
    }

    /// One call of one of these; of anybody where it is not known whose.
    fn call(&self, names: Option<&[String]>) -> Least {
        cost::call(self.crew, names)
    }

    /// The names of all steps; each belongs to one. False if there are too many.
    fn names(&mut self, steps: &'n [Node]) -> bool {
        let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
        let mut open: Vec<&'n Node> = steps.iter().rev().collect();
        let mut count = 0;
        while let Some(step) = open.pop() {
            count += 1;
            if count > MAX_STEPS {
                let hint = "split over a list instead of writing each step out";
                self.say(step, "too_many_steps", format!("the flow has more than {MAX_STEPS} steps"), hint);
                return false;
            }
            if let Some((id, node)) = step.text_at("id") {
                self.name(id, node);
                if let Some(line) = lines.insert(id, node.place.line) {
                    let message = format!("the step `{id}` is there twice; the first is on line {line}");
                    self.say(
                        node,
                        "duplicate_step",
                        message,
                        "give each step a name of its own, also those within others",
                    );
                }
                self.steps.insert(id);
            }
            inner_lists(step).into_iter().rev().for_each(|list| open.extend(list.iter().rev()));
        }
        true
    }

    fn name(&mut self, id: &str, node: &'n Node) {
        let is_right = id.len() <= MAX_ID
            && id.starts_with(|c: char| c.is_ascii_lowercase())
            && id.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_');
        if !is_right {
            let better: String =
                id.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
            let better = better.trim_matches(|c: char| c == '_' || c.is_ascii_digit());
            let hint = if better.is_empty() {
                "for example `first_draft`".to_owned()
            } else {
                format!("write `{}`", &better[..better.len().min(MAX_ID)])
            };
            let message = format!(
                "`{id}` cannot be the name of a step: it begins with a lower-case letter and goes on with lower-case letters, digits and `_`, at most {MAX_ID} in all"
            );
            self.say(node, "bad_name", message, hint);
        }
    }

    fn parameters(&mut self, flow: &'n Node) {
        let entries = flow.get("parameters").map(Node::entries).unwrap_or_default();
        for entry in entries {
            let name = entry.key.as_str();
            let kind = entry.node.text_at("type").map_or("text", |(word, _)| word);
            let taken =
                expression::EVERYWHERE.contains(&name) || expression::RESERVED.contains(&name) || name == "item";
            let is_word = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
                && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_');
            if taken || !is_word {
                let message = match taken {
                    true => format!("a parameter cannot be called `{name}`: that is a name of its own"),
                    false => {
                        format!("a parameter cannot be called `{name}`: it has lower-case letters, digits and `_`")
                    }
                };
                self.say(&entry.node, "bad_name", message, "choose another name");
                self.used.insert(name.to_owned());
            }
            self.parameters.insert(name.to_owned(), form_of(kind));
        }
        for entry in entries {
            self.default(entry, entry.node.text_at("type").map_or("text", |(word, _)| word));
        }
    }

    /// A default has the type of its parameter, as far as that can be said without a team.
    fn default(&mut self, entry: &'n Entry, kind: &str) {
        let Some(node) = entry.node.get("default").filter(|node| !node.is_null()) else { return };
        let value = node.to_json();
        let bound = |word: &str| entry.node.get(word).and_then(|node| node.to_json().as_f64());
        let wanted = match kind {
            "agent" => (!value.is_string()).then_some("a name, or an expression such as `coordinator`"),
            "agents" | "list" => {
                (!value.is_string() && !value.is_array()).then_some("a list, or an expression such as `members`")
            }
            "integer" => (!value.is_i64() && !value.is_u64()).then_some("a whole number"),
            "number" => (!value.is_number()).then_some("a number"),
            "flag" => (!value.is_boolean()).then_some("`true` or `false`"),
            "schema" => (!value.is_object()).then_some("a JSON Schema, which is a mapping"),
            _ => (!value.is_string()).then_some("text"),
        };
        let name = &entry.key;
        if let Some(wanted) = wanted {
            let message = format!("the default of the parameter `{name}` must be {wanted}");
            return self.say(node, "wrong_type", message, format!("write {wanted}, or another `type`"));
        }
        let options = entry.node.list("options");
        if !options.is_empty() && !options.iter().any(|option| option.text() == value.as_str()) {
            let message = format!("the default of the parameter `{name}` is none of its own `options`");
            let hint =
                suggest(value.as_str().unwrap_or_default(), options.iter().filter_map(Node::text), "write one of them");
            return self.say(node, "out_of_range", message, hint);
        }
        let number = value.as_f64().unwrap_or(f64::NAN);
        if bound("min").is_some_and(|least| number < least) || bound("max").is_some_and(|most| number > most) {
            let message = format!("the default of the parameter `{name}` is out of its own range");
            return self.say(node, "out_of_range", message, "write a number from `min` to `max`");
        }
        if self.crew.is_none() && !matches!(kind, "agent" | "agents" | "list" | "schema") {
            self.known.insert(name.clone(), value);
        } else if matches!(kind, "agents" | "list") && self.crew.is_none() {
            self.default_expression(node, name);
        }
    }

    /// An expression for a default sees the team and the other parameters.
    fn default_expression(&mut self, node: &'n Node, name: &str) {
        let (list, steps) = (List::new(&[]), BTreeSet::new());
        let mut parameters = self.parameters.clone();
        parameters.remove(name);
        let scope = Scope { above: None, list: &list, at: 0, locals: &[], is_round: false };
        let names = expression::Names { scope: &scope, parameters: &parameters, steps: &steps, capabilities: None };
        let Some(text) = node.text() else { return };
        let reading = expression::expression(text, &names);
        self.used.extend(reading.roots);
        for (range, found) in reading.found {
            let message = format!("the default of the parameter `{name}`: {}", found.message);
            self.found.push(Found { node, part: Some(range), finding: Finding { message, ..found } });
        }
    }

    /// A parameter that no step uses does nothing when a team sets it.
    fn unused(&mut self, flow: &'n Node) {
        let entries = flow.get("parameters").map(Node::entries).unwrap_or_default();
        for entry in entries.iter().filter(|entry| !self.used.contains(&entry.key)) {
            let message = format!("no step uses the parameter `{}`", entry.key);
            let hint = format!("use it, such as `{{{{ {} }}}}`, or remove it", entry.key);
            self.found.push(Found {
                node: &entry.node,
                part: None,
                finding: finding("unused_parameter", message, hint),
            });
        }
    }

    /// Checks a list of steps, and whatever sees all of their results. Its result is that of its last step.
    fn steps(
        &mut self,
        steps: &'n [Node],
        around: &Around<'_, 'n>,
        then: impl FnOnce(&mut Self, &Scope<'_, 'n>),
    ) -> Out {
        let list = List::new(steps);
        if around.depth > MAX_DEPTH {
            if let Some(first) = steps.first() {
                let message = format!("steps stand in each other deeper than {MAX_DEPTH} levels");
                self.say(first, "too_deep", message, "flatten the flow: a list of steps needs no step around it");
            }
            return Out::free(Form::Any);
        }
        if let Some(circle) = &list.circle {
            let place =
                circle.iter().filter_map(|id| list.place(id)).find(|place| steps[*place].get("after").is_some());
            let node = &steps[place.unwrap_or(0)];
            let names: Vec<&str> = circle.iter().rev().copied().collect();
            let message = format!("the steps wait for one another, so none of them can begin: {}", names.join(" -> "));
            let hint =
                "remove one of these names from `after` or `of`; without `after`, a step waits for the one before it";
            self.say(node.get("after").unwrap_or(node), "step_cycle", message, hint);
        }
        let mut least = Least::default();
        for &at in &list.order {
            let scope =
                Scope { above: around.above, list: &list, at, locals: around.locals, is_round: around.is_round };
            let out = self.step(&steps[at], &scope, around.depth);
            least = least.and(out.least);
            list.forms.borrow_mut()[at] = out.form;
        }
        self.behind_closed_gates(steps);
        let end = Scope {
            above: around.above,
            list: &list,
            at: steps.len(),
            locals: around.locals,
            is_round: around.is_round,
        };
        then(self, &end);
        Out::new(steps.len().checked_sub(1).map_or(Form::Any, |last| list.form(last)), least)
    }

    fn step(&mut self, step: &'n Node, scope: &Scope<'_, 'n>, depth: usize) -> Out {
        let id = list::id(step);
        self.after(step, scope, id);
        if let Some(title) = step.get("title") {
            self.template(title, scope, &path(id, "title"));
        }
        let mut may_be_left_out = false;
        if let Some(when) = step.get("when").filter(|node| !node.is_null()) {
            may_be_left_out = true;
            match self.condition(when, scope, &path(id, "when")) {
                Some(false) => {
                    let message = format!("the step `{id}` never happens: its condition is always false");
                    self.say(when, "unreachable_step", message, "remove the step, or correct `when`");
                }
                Some(true) => may_be_left_out = false,
                None => {}
            }
        }
        self.time(step.get("timeout_s"), &path(id, "timeout_s"));
        self.takes_no_time(step, id);
        let goes_on = step.text_at("on_failure").is_some_and(|(word, _)| word == "continue");
        if let Some(default) = step.get("default").filter(|_| !goes_on && step.get("ask").is_none() && !may_be_left_out)
        {
            let message = format!("the step `{id}` has a `default`, but the flow never goes on without its result");
            self.say(default, "unused_field", message, "add `on_failure: continue`, or remove `default`");
        }
        let out = self.kind(step, scope, (id, depth));
        let has_default = step.get("default").is_some_and(|node| !node.is_null());
        let form = match (may_be_left_out || goes_on, has_default) {
            (false, _) => out.form,
            (true, false) => out.form.or_none(),
            (true, true) => Form::Any,
        };
        Out::new(form, if may_be_left_out { Least::default() } else { out.least })
    }

    fn kind(&mut self, step: &'n Node, scope: &Scope<'_, 'n>, (id, depth): (&str, usize)) -> Out {
        let named: Vec<&Entry> = step
            .entries()
            .iter()
            .filter(|entry| KINDS.contains(&entry.key.as_str()) && !entry.node.is_null())
            .collect();
        let only = match named.as_slice() {
            [only] => only,
            [] => {
                let is_known =
                    |entry: &Entry| COMMON.contains(&entry.key.as_str()) || KINDS.contains(&entry.key.as_str());
                if step.entries().iter().all(is_known) && !step.entries().is_empty() {
                    let message = format!("the step `{id}` does not say what it does");
                    self.say(step, "no_primitive", message, format!("add one of {}", quoted(&KINDS)));
                }
                return Out::free(Form::Any);
            }
            [first, second, ..] => {
                let message = format!("the step `{id}` is both `{}` and `{}`", first.key, second.key);
                self.found.push(Found {
                    node: &second.node,
                    part: None,
                    finding: finding("two_primitives", message, "make two steps of it, one after the other"),
                });
                return Out::free(Form::Any);
            }
        };
        let (node, at) = (&only.node, At { id, step, scope, depth });
        match only.key.as_str() {
            "task" => self.task(node, &at),
            "value" => {
                let said = self.expression(node, scope, &at.path("value"));
                Out::free(said.map_or(Form::Any, |said| said.form))
            }
            "split" => self.split(node, &at),
            "sync" => self.sync(node, &at),
            "join" => self.join(node, &at),
            "merge" => self.merge(node, &at),
            "loop" => self.rounds(node, &at),
            "branch" => self.branch(node, &at),
            "vote" => self.vote(node, &at),
            "review" => self.review(node, &at),
            "handoff" => self.handoff(node, &at),
            "ask" => self.ask(node, &at),
            "delegate" => self.delegate(node, &at),
            "gate" => self.gate(node, &at),
            "phase" => self.phase(node, &at),
            _ => self.settle(node, &at),
        }
    }

    /// `after` names other steps of the same list.
    fn after(&mut self, step: &'n Node, scope: &Scope<'_, 'n>, id: &str) {
        for node in step.list("after") {
            let Some(name) = node.text() else { continue };
            if name == id {
                let message = format!("the step `{id}` waits for itself, so it can never begin");
                self.say(node, "step_cycle", message, "remove it");
            } else if scope.list.place(name).is_none() {
                self.not_in_list(node, name, (scope, &path(id, "after")));
            }
        }
    }

    /// What is said of a name that stands for no step of the same list.
    fn not_in_list(&mut self, node: &'n Node, name: &str, (scope, what): (&Scope<'_, 'n>, &str)) {
        let here: Vec<&str> = scope.list.ids().filter(|id| scope.list.place(id) != Some(scope.at)).collect();
        if self.steps.contains(name) {
            let message = format!("`{what}` names `{name}`, which stands in another list");
            let hint = "name a step of the same list; a step within another one ends with it";
            return self.say(node, "unreachable_result", message, hint);
        }
        let message = format!("`{what}` names `{name}`, but there is no such step");
        self.say(node, "unknown_step", message, suggest(name, here, "remove it"));
    }

    /// Steps that end in the moment in which they begin cannot take too long.
    fn takes_no_time(&mut self, step: &'n Node, id: &str) {
        let Some(node) = step.get("timeout_s").filter(|node| !node.is_null()) else { return };
        let is_named = |kind: &&str| step.get(kind).is_some_and(|node| !node.is_null());
        let Some(kind) = ["value", "gate", "join", "merge"].into_iter().find(is_named) else { return };
        let merge = step.get("merge").and_then(|merge| merge.text_at("how"));
        if kind == "merge" && merge.is_some_and(|(how, _)| how == "synthesis") {
            return;
        }
        let message = format!("`{}` has no effect: a `{kind}` ends at once", path(id, "timeout_s"));
        self.say(node, "unused_field", message, "remove it, or give it to the steps whose results are waited for");
    }

    /// Nothing is waited for longer than the run may take.
    fn time(&mut self, node: Option<&'n Node>, what: &str) {
        let Some((node, seconds)) = node.and_then(|node| Some((node, node.to_json().as_u64()?))) else { return };
        let Some(whole) = self.crew.map(|crew| crew.timeout_s).filter(|whole| seconds > *whole) else { return };
        let message = format!("`{what}` is {seconds} s, but the whole run may take {whole} s only");
        self.say(
            node,
            "out_of_range",
            message,
            format!("give at most {whole}, or raise `rules.timeout_s` of the team"),
        );
    }
}

/// The step that is looked at, and where it stands.
struct At<'a, 'n> {
    id: &'a str,
    step: &'n Node,
    scope: &'a Scope<'a, 'n>,
    depth: usize,
}

impl At<'_, '_> {
    /// How a field is called in messages.
    fn path(&self, field: &str) -> String {
        path(self.id, field)
    }
}

fn path(id: &str, field: &str) -> String {
    if id.is_empty() { field.to_owned() } else { format!("{id}.{field}") }
}

fn form_of(parameter: &str) -> Form {
    match parameter {
        "agents" => Form::list(Form::Text),
        "integer" | "number" => Form::Number,
        "flag" => Form::Flag,
        "list" => Form::list(Form::Any),
        "schema" => Form::Any,
        _ => Form::Text,
    }
}

/// The lists of steps within a step.
fn inner_lists(step: &Node) -> Vec<&[Node]> {
    let mut lists = Vec::new();
    for (kind, fields) in
        [("split", ["branches", "do"]), ("loop", ["do", ""]), ("phase", ["do", ""]), ("branch", ["otherwise", ""])]
    {
        let Some(inner) = step.get(kind) else { continue };
        lists.extend(fields.iter().map(|field| inner.list(field)));
        lists.extend(inner.list("cases").iter().map(|case| case.list("do")));
    }
    lists
}

/// A round number that is not smaller.
fn round_up(number: u64) -> u64 {
    let unit = 10_u64.pow(number.max(10).ilog10() - 1);
    number.div_ceil(unit) * unit
}
