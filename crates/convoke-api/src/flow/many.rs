//! Steps for several at once, and those that bring together: split, sync, join, merge, vote, settle.

use convoke_domain::vote::{self, VoteRule, Weights};
use convoke_domain::weight::Pinned;
use serde_json::Value;

use super::cost::Least;
use super::form::Form;
use super::said::MAX_VALUES;
use super::scope::Local;
use super::{Around, At, Checker, Out, list};
use crate::near::suggest;
use crate::node::Node;

/// For how many is waited.
#[derive(Clone, Copy)]
enum Need {
    All,
    Some(u64),
}

impl Need {
    /// How many that is of so many.
    fn of(self, all: usize) -> usize {
        match self {
            Self::All => all,
            Self::Some(count) => usize::try_from(count).unwrap_or(usize::MAX),
        }
    }
}

impl<'n> Checker<'n, '_> {
    pub(super) fn split(&mut self, split: &'n Node, at: &At<'_, 'n>) -> Out {
        let is_given = |field: &str| split.get(field).is_some_and(|node| !node.is_empty());
        let given: Vec<&str> = ["branches", "over", "plan"].into_iter().filter(|field| is_given(field)).collect();
        let what = at.path("split");
        let out = match given.as_slice() {
            ["branches"] => self.branches(split, at),
            ["over"] => self.over(split, at),
            [_] => self.plan(split, at),
            [] => {
                let hint = "add `over: members` with `do`, fixed `branches`, or `plan` with who plans";
                self.say(split, "no_items", format!("`{what}` does not say what is split"), hint);
                Out::free(Form::Any)
            }
            [first, second, ..] => {
                let node = split.get(second).unwrap_or(split);
                let message = format!("`{what}` has both `{first}` and `{second}`");
                self.say(node, "two_splits", message, "keep one of them; a split within a split can do both");
                Out::free(Form::Any)
            }
        };
        let limit = split.get("limit").and_then(|node| node.to_json().as_u64()).unwrap_or(1_000);
        let width = self.amount(split.get("width"), at.scope, &at.path("split.width"), 1);
        if let Some((width, node)) = width.zip(split.get("width")).filter(|(width, _)| *width > limit) {
            let message =
                format!("`{}` is {width}, but there are never more than {limit} items", at.path("split.width"));
            self.say(node, "out_of_range", message, format!("give at most {limit}, or raise `limit`"));
        }
        out
    }

    fn branches(&mut self, split: &'n Node, at: &At<'_, 'n>) -> Out {
        let branches = split.list("branches");
        if let Some(inner) = split.get("do").filter(|node| !node.is_empty()) {
            let message = format!("`{}` has no effect beside `branches`", at.path("split.do"));
            self.say(inner, "unused_field", message, "move its steps into the branches, or split `over` a list");
        }
        let names: Vec<Value> = branches.iter().map(|step| list::id(step).into()).collect();
        let locals = self.item_of(split, at, Form::Text, Some(names));
        let mut forms: Vec<Form> = Vec::new();
        let mut all: Vec<Least> = Vec::new();
        for branch in branches {
            // Branches are there at the same time: each is a list of its own, so none sees another.
            let around = Around { above: Some(at.scope), locals: &locals, is_round: false, depth: at.depth + 1 };
            let out = self.steps(std::slice::from_ref(branch), &around, |_, _| {});
            forms.push(out.form);
            all.push(out.least);
        }
        let need = self.waiting(split.get("sync"), Some(branches.len() as u64), (at, "split.sync"));
        let form = forms.into_iter().reduce(Form::both).unwrap_or(Form::Any);
        Out::new(Form::shares(form), Least::some_of(&all, need.of(all.len())))
    }

    fn over(&mut self, split: &'n Node, at: &At<'_, 'n>) -> Out {
        let said =
            split.get("over").and_then(|node| Some((self.expression(node, at.scope, &at.path("split.over"))?, node)));
        let (mut items, mut values) = (Form::Any, None);
        if let Some((said, node)) = said {
            if !matches!(said.form.sure(), Form::Any | Form::List(_)) {
                let message = format!("`{}` must give a list, and it is {}", at.path("split.over"), said.form.words());
                let hint = match said.form.sure() {
                    Form::Text => "give the step it comes from an `output` schema with a list in it".to_owned(),
                    Form::Object { parts, .. } => {
                        let lists = parts.iter().filter(|(_, form)| matches!(form.sure(), Form::List(_)));
                        let text = node.text().unwrap_or_default().trim();
                        let names: Vec<String> = lists.map(|(name, _)| format!("{text}.{name}")).collect();
                        let names = names.iter().map(String::as_str);
                        suggest("", names, "give it a part that is a list, and write `STEP.PART`")
                    }
                    _ => "write an expression such as `members` or `results.plan.items`".to_owned(),
                };
                self.say(node, "wrong_form", message, hint);
            }
            items = said.form.items();
            let only = said.values.and_then(|values| values.into_iter().next());
            values = only.as_ref().and_then(Value::as_array).cloned();
        }
        let total = values.as_ref().map(|values| values.len() as u64);
        self.fits(split, total, at);
        let locals = self.item_of(split, at, items, values);
        let need = self.waiting(split.get("sync"), total, (at, "split.sync"));
        if split.list("do").is_empty() {
            let message = format!("`{}` does not say what is done for each item", at.path("split"));
            self.say(split, "missing_field", message, "add `do:` with one or more steps");
            return Out::free(Form::shares(Form::Any));
        }
        let around = Around { above: Some(at.scope), locals: &locals, is_round: false, depth: at.depth + 1 };
        let out = self.steps(split.list("do"), &around, |_, _| {});
        if let Some(each) = self.each(split.list("do"), at, &locals) {
            return Out::new(Form::shares(out.form), Least::some_of(&each, need.of(each.len())));
        }
        let needed = match (need, total) {
            (Need::All, total) => total.unwrap_or(0),
            (Need::Some(count), Some(total)) => count.min(total),
            (Need::Some(count), None) => count,
        };
        Out::new(Form::shares(out.form), out.least.times(needed))
    }

    /// What each item takes at least, where all items are known before the run and are not too many. What is wrong was said before.
    fn each(&mut self, steps: &'n [Node], at: &At<'_, 'n>, locals: &[Local]) -> Option<Vec<Least>> {
        let [item] = locals else { return None };
        let values = item.values.as_ref().filter(|values| values.len() <= MAX_VALUES)?;
        self.crew?;
        let found = std::mem::take(&mut self.found);
        let mut all = Vec::with_capacity(values.len());
        for value in values {
            self.reckoned += steps.len();
            if self.reckoned > super::MAX_RECKONED {
                break;
            }
            let only = [Local { values: Some(vec![value.clone()]), ..item.clone() }];
            let around = Around { above: Some(at.scope), locals: &only, is_round: false, depth: at.depth + 1 };
            all.push(self.steps(steps, &around, |_, _| {}).least);
        }
        self.found = found;
        (all.len() == values.len()).then_some(all)
    }

    fn plan(&mut self, split: &'n Node, at: &At<'_, 'n>) -> Out {
        let Some(plan) = split.get("plan") else { return Out::free(Form::Any) };
        let planned = self.planner(plan, at);
        let mut assignees = self.crew.map(|crew| crew.members.iter().map(|name| (*name).to_owned()).collect());
        if let Some(node) = plan.get("among").filter(|node| !node.is_null()) {
            assignees = self.agents(node, at.scope, &at.path("split.plan.among"));
            if assignees.as_ref().is_some_and(Vec::is_empty) {
                let message = format!("`{}` gives nobody who could be given an item", at.path("split.plan.among"));
                self.say(node, "no_recipient", message, "name members, or leave it out for all of them");
            }
        }
        let text = || Form::Text;
        let item = Form::Object {
            parts: ["key", "title", "instructions", "expected_output", "assignee"]
                .map(|name| (name.to_owned(), text()))
                .into(),
            is_open: true,
        };
        let mut locals = self.item_of(split, at, item, None);
        locals.iter_mut().for_each(|local| local.assignees.clone_from(&assignees));
        self.waiting(split.get("sync"), None, (at, "split.sync"));
        let steps = split.list("do");
        if steps.is_empty() {
            if let Some(width) = split.get("width").filter(|node| !node.is_null()) {
                let message = format!("`{}` has no effect without `do`", at.path("split.width"));
                let hint = "remove it: planned items may wait for one another, and so all of them begin; or add `do`";
                self.say(width, "unused_field", message, hint);
            }
            return Out::new(Form::shares(Form::Text), planned);
        }
        let around = Around { above: Some(at.scope), locals: &locals, is_round: false, depth: at.depth + 1 };
        let out = self.steps(steps, &around, |_, _| {});
        Out::new(Form::shares(out.form), planned)
    }

    /// Who plans, or what gives the items; and what that takes at least.
    fn planner(&mut self, plan: &'n Node, at: &At<'_, 'n>) -> Least {
        let by = plan.get("by").filter(|node| !node.is_null());
        let items = plan.get("items").filter(|node| !node.is_null());
        if by.is_none() && items.is_none() {
            let message = format!("`{}` does not say who plans", at.path("split.plan"));
            let hint = "add `by: \"{{ coordinator }}\"`, or `items` with an expression that gives a list";
            self.say(plan, "missing_field", message, hint);
        }
        if let Some(node) = items
            && let Some(said) = self.expression(node, at.scope, &at.path("split.plan.items"))
            && !matches!(said.form.sure(), Form::Any | Form::List(_))
        {
            let message =
                format!("`{}` must give a list, and it is {}", at.path("split.plan.items"), said.form.words());
            let hint = "write an expression that gives items with `key`, `assignee` and `instructions`";
            self.say(node, "wrong_form", message, hint);
        }
        for field in ["instructions", "see"] {
            if let (None, Some(_), Some(node)) = (by, items, plan.get(field).filter(|node| !node.is_empty())) {
                let message = format!("`{}` has no effect without `by`", at.path(&format!("split.plan.{field}")));
                self.say(node, "unused_field", message, "remove it, or add `by` for where `items` gives none");
            }
        }
        self.text(plan, "instructions", at, "split.plan");
        self.see(plan.list("see"), at.scope, &at.path("split.plan.see"));
        let by = by.map(|node| self.agent(node, at.scope, &at.path("split.plan.by")));
        match (by, items) {
            (Some(by), None) => self.call(by.as_deref()),
            _ => Least::default(),
        }
    }

    fn fits(&mut self, split: &'n Node, total: Option<u64>, at: &At<'_, 'n>) {
        let limit = split.get("limit").and_then(|node| node.to_json().as_u64()).unwrap_or(1_000);
        if let (Some(total), Some(node)) = (total.filter(|total| *total > limit), split.get("over")) {
            let message = format!("`{}` has {total} items, and `limit` allows {limit}", at.path("split.over"));
            self.say(node, "out_of_range", message, format!("set `limit: {total}`"));
        }
    }

    /// What an item is called within a split.
    fn item_of(&mut self, split: &'n Node, at: &At<'_, 'n>, form: Form, values: Option<Vec<Value>>) -> Vec<Local> {
        use super::expression::{EVERYWHERE, RESERVED};
        let given = split.text_at("as");
        let name = given.map_or("item", |(name, _)| name);
        if let Some((name, node)) = given {
            let is_word = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
                && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_');
            let is_taken = EVERYWHERE.contains(&name) || RESERVED.contains(&name) || self.parameters.contains_key(name);
            if is_taken || !is_word {
                let why =
                    if is_taken { "that is a name of its own" } else { "it has lower-case letters, digits and `_`" };
                let message = format!("`{}` cannot be `{name}`: {why}", at.path("split.as"));
                self.say(node, "bad_name", message, "choose another name, such as `part`");
            }
        }
        vec![Local { name: name.to_owned(), form, values, assignees: None }]
    }

    /// What a rule of waiting asks for, and what of it can never be met.
    fn waiting(&mut self, rule: Option<&'n Node>, total: Option<u64>, (at, what): (&At<'_, 'n>, &str)) -> Need {
        let Some(rule) = rule.filter(|rule| !rule.is_null()) else { return Need::All };
        let wait = rule.text_at("wait").map_or("all", |(word, _)| word);
        let what = &at.path(what);
        let is_given = |field: &str| rule.get(field).is_some_and(|node| !node.is_null());
        let (has_count, has_least) = (is_given("count"), is_given("least"));
        let count = self.amount(rule.get("count"), at.scope, &format!("{what}.count"), 1).zip(rule.get("count"));
        let least = self.amount(rule.get("least"), at.scope, &format!("{what}.least"), 0).zip(rule.get("least"));
        self.time(rule.get("timeout_s"), &format!("{what}.timeout_s"));
        let unmet = |count: u64, total: u64| {
            let are = if total == 1 { "is" } else { "are" };
            format!("waits for {count}, but there {are} only {total}")
        };
        match (wait, count) {
            ("count", None) if !has_count => {
                let node = rule.get("wait").unwrap_or(rule);
                let message = format!("`{what}` waits for a number of them, but does not say how many");
                self.say(node, "missing_field", message, "add `count: …`");
            }
            ("count", Some((count, node))) => {
                if let Some(total) = total.filter(|total| count > *total) {
                    let message = format!("`{what}.count` {}, so it can never be met", unmet(count, total));
                    self.say(node, "never_met", message, format!("give at most {total}"));
                }
            }
            (_, Some((_, node))) => {
                let message = format!("`{what}.count` has no effect without `wait: count`");
                self.say(node, "unused_field", message, "add `wait: count`, or remove `count`");
            }
            _ => {}
        }
        if let (Some(0), "any", Some(node)) = (total, wait, rule.get("wait")) {
            let message = format!("`{what}` waits for the first of none, so it can never be met");
            self.say(node, "never_met", message, "give it something to wait for");
        }
        let need = match (wait, count) {
            ("any", _) => Need::Some(1),
            ("count", count) => Need::Some(count.map_or(1, |(count, _)| count)),
            _ => Need::All,
        };
        let most = match need {
            Need::Some(_) if wait == "count" && count.is_none() => None,
            Need::Some(most) => Some(most),
            Need::All => total,
        };
        if let (Some((least, node)), Some(most)) = (least, most)
            && least > most
        {
            let message = format!("`{what}.least` is {least}, but it waits for {most} only");
            self.say(node, "never_met", message, format!("give at most {most}"));
        }
        match (need, least) {
            (Need::All, Some((least, _))) => Need::Some(least),
            (Need::Some(need), Some((least, _))) => Need::Some(need.min(least)),
            (_, None) if has_least => Need::Some(0),
            (need, None) => need,
        }
    }

    pub(super) fn sync(&mut self, sync: &'n Node, at: &At<'_, 'n>) -> Out {
        self.of_list(sync.list("of"), at, "sync.of");
        self.waiting(Some(sync), Some(sync.list("of").len() as u64), (at, "sync"));
        Out::free(self.object(sync.list("of"), at, true))
    }

    pub(super) fn join(&mut self, join: &'n Node, at: &At<'_, 'n>) -> Out {
        self.of_list(join.list("of"), at, "join.of");
        let has_after = at.step.get("after").is_some_and(|node| !node.is_null());
        for node in join.list("of") {
            let place = node.text().and_then(|name| at.scope.list.place(name)).filter(|place| *place != at.scope.at);
            if let Some(place) = place.filter(|place| has_after && !at.scope.list.is_before(*place, at.scope.at)) {
                let name = list::id(&at.scope.list.steps[place]);
                let message = format!("`{}` names `{name}`, which need not have ended by then", at.path("join.of"));
                self.say(node, "unreachable_result", message, format!("add `{name}` to `after`, or leave `after` out"));
            }
        }
        Out::free(self.object(join.list("of"), at, false))
    }

    /// Names of other steps of the same list, each once.
    fn of_list(&mut self, of: &'n [Node], at: &At<'_, 'n>, field: &str) {
        for (place, node) in of.iter().enumerate() {
            let Some(name) = node.text() else { continue };
            if name == at.id {
                let message = format!("`{}` names the step itself, so it can never be met", at.path(field));
                self.say(node, "never_met", message, "remove it");
            } else if at.scope.list.place(name).is_none() {
                self.not_in_list(node, name, (at.scope, &at.path(field)));
            } else if of[..place].iter().any(|other| other.text() == Some(name)) {
                let message = format!("`{}` names `{name}` twice", at.path(field));
                self.say(node, "duplicate", message, "remove one of the two");
            }
        }
    }

    fn object(&self, of: &[Node], at: &At<'_, 'n>, may_lack: bool) -> Form {
        let part = |node: &Node| {
            let name = node.text()?;
            let form = at.scope.list.place(name).map_or(Form::Any, |place| at.scope.list.form(place));
            Some((name.to_owned(), if may_lack { form.or_none() } else { form }))
        };
        Form::Object { parts: of.iter().filter_map(part).collect(), is_open: false }
    }

    pub(super) fn merge(&mut self, merge: &'n Node, at: &At<'_, 'n>) -> Out {
        let how = merge.text_at("how").map_or("", |(word, _)| word);
        let of = self.list_of(merge, at, "merge");
        let values = of.values().items();
        self.field(merge, "field", &values, at, "merge");
        match merge.get("score").filter(|node| !node.is_null()) {
            Some(node) if how != "best_of" => {
                let message = format!("`{}` has no effect without `how: best_of`", at.path("merge.score"));
                self.say(node, "unused_field", message, "set `how: best_of`, or remove it");
            }
            Some(node) => {
                let form = self.field(merge, "score", &values, at, "merge");
                if !matches!(form.sure(), Form::Any | Form::Number) {
                    let message = format!(
                        "`{}` must be a number in what is merged, and it is {}",
                        at.path("merge.score"),
                        form.words()
                    );
                    self.say(node, "wrong_form", message, "name a part that is a number in the `output` schema");
                }
            }
            None if how == "best_of" => {
                let message = format!("`{}` does not say by which part the best is found", at.path("merge"));
                self.say(merge, "missing_field", message, "add `score: …`, a part of each result that is a number");
            }
            None => {}
        }
        let mut least = Least::default();
        if how == "synthesis" {
            let agent = match merge.get("agent").filter(|node| !node.is_null()) {
                Some(node) => self.agent(node, at.scope, &at.path("merge.agent")),
                None => self.crew.map(|crew| vec![crew.coordinator.to_owned()]),
            };
            least = self.call(agent.as_deref());
        }
        for field in ["agent", "instructions"].into_iter().filter(|_| how != "synthesis") {
            if let Some(node) = merge.get(field).filter(|node| node.text().is_some_and(|text| !text.is_empty())) {
                let message =
                    format!("`{}` has no effect without `how: synthesis`", at.path(&format!("merge.{field}")));
                self.say(node, "unused_field", message, "set `how: synthesis`, or remove it");
            }
        }
        self.text(merge, "instructions", at, "merge");
        let form = match how {
            "synthesis" => Form::Text,
            "best_of" if merge.get("field").is_none() => values,
            _ => Form::Any,
        };
        Out::new(form, least)
    }

    /// The list that is brought together: a step's, or that of an expression.
    fn list_of(&mut self, holder: &'n Node, at: &At<'_, 'n>, kind: &str) -> Form {
        let what = at.path(&format!("{kind}.of"));
        let Some((text, node)) = holder.text_at("of") else { return Form::Any };
        let is_name = text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
        let form = match is_name || kind == "settle" {
            true => self.named(node, at.scope, &what),
            false => self.expression(node, at.scope, &what).map(|said| said.form),
        };
        let Some(form) = form else { return Form::Any };
        if !matches!(form.sure(), Form::Any | Form::List(_)) {
            let message = format!("`{what}` must be a list, and it is {}", form.words());
            let hint = match kind {
                "settle" => "name a `split`, or a `value` that is a list of its results",
                _ => "name a `split`, or write an expression that gives a list, such as `[results.a, results.b]`",
            };
            self.say(node, "wrong_form", message, hint);
            return Form::Any;
        }
        form
    }

    /// A part of each result.
    fn field(&mut self, holder: &'n Node, field: &str, of: &Form, at: &At<'_, 'n>, kind: &str) -> Form {
        let Some((name, node)) = holder.text_at(field) else { return Form::Any };
        match of.sure() {
            Form::Any => Form::Any,
            Form::Object { parts, is_open } => match parts.get(name) {
                Some(form) => form.clone(),
                None if *is_open => Form::Any,
                None => {
                    let names: Vec<&str> = parts.keys().map(String::as_str).collect();
                    let what = at.path(&format!("{kind}.{field}"));
                    let message = format!("`{what}` is `{name}`, but the results have no such part");
                    self.say(
                        node,
                        "unknown_part",
                        message,
                        suggest(name, names, "declare it in the step's `output` schema"),
                    );
                    Form::Any
                }
            },
            other => {
                let what = at.path(&format!("{kind}.{field}"));
                let message = format!("`{what}` is `{name}`, but each result is {} and has no parts", other.words());
                let hint =
                    format!("give the steps that are merged an `output` schema with `{name}` among its `properties`");
                self.say(node, "unknown_part", message, hint);
                Form::Any
            }
        }
    }

    pub(super) fn vote(&mut self, vote: &'n Node, at: &At<'_, 'n>) -> Out {
        let voters = match vote.get("voters").filter(|node| !node.is_null()) {
            Some(node) => self.agents(node, at.scope, &at.path("vote.voters")),
            None => self.crew.map(|crew| crew.members.iter().map(|name| (*name).to_owned()).collect()),
        };
        self.text(vote, "question", at, "vote");
        self.see(vote.list("see"), at.scope, &at.path("vote.see"));
        self.time(vote.get("ballots_within_s"), &at.path("vote.ballots_within_s"));
        if let Some(node) = vote.get("options").filter(|node| !node.is_null()) {
            let form = self.expression(node, at.scope, &at.path("vote.options")).map_or(Form::Any, |said| said.form);
            if !matches!(form.sure(), Form::Any | Form::List(_)) {
                let message = format!("`{}` must give a list, and it is {}", at.path("vote.options"), form.words());
                self.say(
                    node,
                    "wrong_form",
                    message,
                    "write an expression such as `['yes', 'no']` or `results.ideas | values`",
                );
            }
        }
        if voters.as_ref().is_some_and(Vec::is_empty) {
            let node = vote.get("voters").unwrap_or(vote);
            let message = format!("`{}` gives nobody, so no quorum can be met", at.path("vote.voters"));
            self.say(node, "never_met", message, "name somebody who votes");
        }
        self.tools(vote.list("tools"), voters.as_deref().unwrap_or_default(), &at.path("vote.tools"));
        self.rule(vote, voters.as_deref(), at);
        if let Some(node) = vote.get("settings").filter(|node| !node.is_null()) {
            self.settings(node, vote.get("rule"), voters.as_deref(), at);
        }
        let parts = [
            ("choice", Form::Text.or_none()),
            ("casting", Form::Any),
            ("outcome", Form::Any),
            ("standing", Form::list(Form::Any)),
            ("ballots", Form::list(Form::Any)),
            ("dissent", Form::list(Form::Any)),
            ("abstained", Form::list(Form::Text)),
            ("outstanding", Form::list(Form::Text)),
            ("electorate", Form::list(Form::Any)),
            ("turnout", Form::Number),
            ("agreement", Form::Number),
            ("round", Form::Number),
            ("quorum_met", Form::Flag),
            ("decided_early", Form::Flag),
            ("tie_broken", Form::Flag),
        ];
        Out::new(Form::object(parts), self.call(voters.as_deref().filter(|voters| !voters.is_empty())))
    }

    /// How ballots are counted.
    fn rule(&mut self, vote: &'n Node, voters: Option<&[String]>, at: &At<'_, 'n>) {
        let Some(rule) = vote.get("rule") else { return };
        if let Ok(read) = serde_json::from_value::<VoteRule>(rule.to_json()) {
            for (field, reason) in read.problems() {
                // What a setting says in the run may give an idle field its meaning.
                if vote.get("settings").is_none() || !reason.contains("no effect") {
                    let message = format!("`{}`: {reason}", at.path("vote.rule"));
                    let hint = match field {
                        _ if reason.contains("no effect") => "set that as well, or remove it",
                        "quorum" => "give a number from 0 to 1, such as 0.6 for six of ten",
                        "options" => "give each option a text of its own, at most 100 of them",
                        _ => "give a number that is not negative, such as 2 for twice the weight",
                    };
                    self.say(rule.get(field).unwrap_or(rule), "bad_vote", message, hint);
                }
            }
        }
        if let [only] = rule.list("options") {
            let message = format!("`{}` gives one option, which is no choice", at.path("vote.rule.options"));
            self.say(only, "no_choice", message, "give two or more, or none for any answer");
        }
        let weights = rule.get("fixed").map(Node::entries).unwrap_or_default();
        for entry in weights {
            let Some(voters) = voters.filter(|voters| !voters.contains(&entry.key)) else { continue };
            let message = format!("`{}` weighs `{}`, who does not vote", at.path("vote.rule.fixed"), entry.key);
            let hint = suggest(&entry.key, voters.iter().map(String::as_str), "remove it");
            self.say(&entry.node, "unknown_member", message, hint);
        }
        if let Ok(read) = serde_json::from_value::<VoteRule>(rule.to_json())
            && vote.get("settings").is_none()
        {
            self.weightless(&read, voters, rule.get("fixed").unwrap_or(rule), &at.path("vote.rule.fixed"));
        }
    }

    /// A vote in which nobody has any weight is none.
    fn weightless(&mut self, rule: &VoteRule, voters: Option<&[String]>, node: &'n Node, what: &str) {
        let Some(voters) = voters.filter(|_| rule.weights == Weights::Fixed) else { return };
        if vote::is_weightless(&vote::electorate(rule, voters, &Pinned::default())) {
            let message = format!("`{what}` gives every voter the weight 0, so no ballot would count");
            let hint = "give somebody a weight above 0, or set `weights: equal` to have all weigh the same";
            self.say(node, "bad_vote", message, hint);
        }
    }

    /// Fields of the rule that are known only in the run.
    fn settings(&mut self, node: &'n Node, rule: Option<&'n Node>, voters: Option<&[String]>, at: &At<'_, 'n>) {
        let what = at.path("vote.settings");
        let Some(said) = self.expression(node, at.scope, &what) else { return };
        let Form::Object { parts, .. } = said.form.sure() else {
            if *said.form.sure() != Form::Any {
                let message = format!("`{what}` must give an object, and it is {}", said.form.words());
                self.say(node, "wrong_form", message, "write an object such as `{'quorum': 0.5}`");
            }
            return;
        };
        let known = serde_json::to_value(VoteRule::default()).unwrap_or_default();
        let mut names: Vec<&str> = known.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        names.push("capability");
        if let Some(unknown) = parts.keys().find(|name| !names.contains(&name.as_str())) {
            let message = format!("`{what}` sets `{unknown}`, which is no field of a vote's `rule`");
            return self.say(node, "unknown_field", message, suggest(unknown, names, "remove it"));
        }
        let rule = rule.map_or_else(|| serde_json::json!({}), Node::to_json);
        for said in said.values.iter().flatten() {
            let (Some(mut all), Some(fields)) = (rule.as_object().cloned(), said.as_object()) else { continue };
            all.extend(fields.clone());
            // What else may be wrong with it is said of the rule, or in the run.
            if let Ok(rule) = serde_json::from_value::<VoteRule>(all.into()) {
                self.weightless(&rule, voters, node, &what);
            }
        }
    }

    pub(super) fn settle(&mut self, settle: &'n Node, at: &At<'_, 'n>) -> Out {
        let of = self.list_of(settle, at, "settle");
        let answer = self.field(settle, "field", &of.values().items(), at, "settle");
        if let Some(node) = settle.get("judge").filter(|node| !node.is_null()) {
            self.agent(node, at.scope, &at.path("settle.judge"));
        }
        self.part(settle.get("enough"), at.scope, &at.path("settle.enough"));
        let answer = if answer.sure() == &Form::Text { Form::Text } else { Form::Any };
        let parts = [
            ("answer", answer),
            ("settled_by", Form::Text),
            ("reason", Form::Text),
            ("disagreement", Form::list(Form::Any)),
            ("agreement", Form::Number),
        ];
        Out::free(Form::object(parts))
    }
}
