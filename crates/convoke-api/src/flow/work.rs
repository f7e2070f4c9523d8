//! Steps in which agents work: task, review, handoff, ask, delegate. Who does it, whether they can, what comes of it.

use convoke_domain::profile::AgentKind;

use super::form::Form;
use super::{At, Checker, Out};
use crate::near::{quoted, suggest};
use crate::node::Node;

impl<'n> Checker<'n, '_> {
    pub(super) fn task(&mut self, task: &'n Node, at: &At<'_, 'n>) -> Out {
        if let Some(text) = task.get("instructions") {
            self.template(text, at.scope, &at.path("task.instructions"));
        }
        self.see(task.list("see"), at.scope, &at.path("task.see"));
        let form = self.schema(task.get("output"), &at.path("task.output")).unwrap_or(Form::Text);
        let agent = task.get("agent").filter(|node| node.text().is_none_or(|text| !text.trim().is_empty()));
        let needs = task.list("needs");
        let mut names = match agent {
            Some(node) => self.agent(node, at.scope, &at.path("task.agent")),
            None if needs.is_empty() => {
                let message = format!("`{}` does not say who does it", at.path("task"));
                self.say(task, "missing_assignee", message, "add `agent: NAME`, or `needs: [CAPABILITY]`");
                return Out::new(form, self.call(None));
            }
            None => self.able(needs, &at.path("task.needs")),
        };
        if let Some(node) = task.get("among").filter(|node| !node.is_null()) {
            names = self.among(node, (agent, names), at);
        }
        if names.is_none() {
            names = agent.and_then(|node| self.assigned(node, at.scope));
        }
        if let Some(names) = &names {
            self.tools(task.list("tools"), names, &at.path("task.tools"));
            if agent.is_some() {
                self.capable(needs, names, &at.path("task.needs"));
            }
        }
        Out::new(form, self.call(names.as_deref()))
    }

    /// To whom `agent` may come: those of `among`, unless it is known already.
    fn among(
        &mut self,
        node: &'n Node,
        (agent, known): (Option<&'n Node>, Option<Vec<String>>),
        at: &At<'_, 'n>,
    ) -> Option<Vec<String>> {
        let what = at.path("task.among");
        let names = self.agents(node, at.scope, &what);
        if agent.and_then(Node::text).is_none_or(|text| !text.contains("{{")) {
            let message = format!("`{what}` has no effect: `agent` is no template, so there is only one it can be");
            self.say(
                node,
                "unused_field",
                message,
                "remove it, or write `agent` as a template such as `{{ results.who }}`",
            );
            return known;
        }
        let (Some(known), Some(names)) = (&known, &names) else { return known.or(names) };
        if let Some(other) = known.iter().find(|name| !names.contains(name)) {
            let message = format!("`{}` is `{other}`, who is none of `among`", at.path("task.agent"));
            let all = names.iter().map(String::as_str);
            self.say(agent.unwrap_or(node), "unknown_member", message, suggest(other, all, "name somebody in `among`"));
        }
        Some(known.clone())
    }

    /// Who can do all that is needed: the first member of whom that is true.
    fn able(&mut self, needs: &'n [Node], what: &str) -> Option<Vec<String>> {
        let crew = self.crew?;
        let can = |name: &str, need: &str| {
            crew.facts.get(name).is_some_and(|facts| facts.capabilities.iter().any(|one| one == need))
        };
        let wanted: Vec<(&str, &'n Node)> =
            needs.iter().filter_map(|node| node.text().map(|text| (text, node))).collect();
        for (need, node) in &wanted {
            if !crew.members.iter().any(|name| can(name, need)) {
                let all = crew.members.iter().filter_map(|name| crew.facts.get(name));
                let all: Vec<&str> = all.flat_map(|facts| facts.capabilities.iter().map(String::as_str)).collect();
                let message = format!("`{what}` asks for `{need}`, and no member of the team is capable of it");
                self.say(
                    node,
                    "unknown_capability",
                    message,
                    suggest(need, all, "give a member's profile `capabilities`"),
                );
                return None;
            }
        }
        let able = crew.members.iter().find(|name| wanted.iter().all(|(need, _)| can(name, need)));
        if able.is_none()
            && let Some((_, first)) = wanted.first()
        {
            let message = format!("no single member of the team is capable of all of `{what}`");
            self.say(first, "unknown_capability", message, "split the task, or ask for less");
        }
        able.map(|name| vec![(*name).to_owned()])
    }

    /// Whoever is named must be capable of what the task asks for besides.
    fn capable(&mut self, needs: &'n [Node], names: &[String], what: &str) {
        let Some(crew) = self.crew else { return };
        for node in needs {
            let Some(need) = node.text() else { continue };
            let lacks = |name: &&String| {
                crew.facts.get(name.as_str()).is_some_and(|facts| !facts.capabilities.iter().any(|one| one == need))
            };
            if let Some(name) = names.iter().find(lacks) {
                let message = format!("`{what}` asks for `{need}`, of which `{name}` is not capable");
                let hint = "give the task to another agent, or leave `agent` out to have one chosen";
                return self.say(node, "unknown_capability", message, hint);
            }
        }
    }

    /// Tools that the step needs must be allowed to whoever does it.
    pub(super) fn tools(&mut self, tools: &'n [Node], names: &[String], what: &str) {
        let Some(crew) = self.crew else { return };
        for node in tools {
            let Some(tool) = node.text() else { continue };
            let lacks = |name: &&String| {
                crew.facts.get(name.as_str()).is_some_and(|facts| {
                    facts.kind == AgentKind::Llm && !facts.tools.iter().any(|allowed| covers(allowed, tool))
                })
            };
            let mut lacking: Vec<&String> = Vec::new();
            for name in names.iter().filter(lacks) {
                if !lacking.contains(&name) {
                    lacking.push(name);
                }
            }
            if let [first, others @ ..] = lacking.as_slice() {
                let all = quoted(&lacking);
                let profiles = if others.is_empty() { "the profile of" } else { "the profiles of" };
                let verb = if others.is_empty() { "does" } else { "do" };
                let message = format!("`{what}` needs `{tool}`, which {profiles} {all} {verb} not allow");
                let hint = match others {
                    [] => format!("add `{tool}` to the `tools` of `{first}`, or name somebody who has it"),
                    _ => format!("add `{tool}` to the `tools` of each, or name others who have it"),
                };
                self.say(node, "not_granted", message, hint);
            }
        }
    }

    pub(super) fn review(&mut self, review: &'n Node, at: &At<'_, 'n>) -> Out {
        let of = review.get("of").and_then(|node| self.named(node, at.scope, &at.path("review.of")));
        let author = review.get("author").and_then(|node| self.agent(node, at.scope, &at.path("review.author")));
        let reviewers = review
            .get("reviewers")
            .and_then(|node| self.agents(node, at.scope, &at.path("review.reviewers")).map(|names| (names, node)));
        self.text(review, "instructions", at, "review");
        self.count(review.get("rounds"), at.scope, &at.path("review.rounds"));
        self.accept(review, at);
        let revised = self.schema(review.get("output"), &at.path("review.output")).unwrap_or(Form::Text);
        if let (Some(authors), Some((names, node))) = (&author, &reviewers)
            && let Some(author) = authors.iter().find(|author| names.iter().all(|name| name == *author))
        {
            let message = if names.is_empty() {
                format!("`{}` gives nobody, so nobody reviews", at.path("review.reviewers"))
            } else {
                format!("`{author}` is the only reviewer and the author as well; nobody reviews their own work")
            };
            self.say(node, "no_reviewer", message, "name somebody else, such as `members | without(…)`");
        }
        if let Some((names, _)) = &reviewers {
            let author =
                author.as_ref().and_then(|authors| if let [one] = authors.as_slice() { Some(one) } else { None });
            let others: Vec<String> = names.iter().filter(|name| Some(*name) != author).cloned().collect();
            self.tools(review.list("tools"), &others, &at.path("review.tools"));
        }
        let parts = [
            ("output", of.unwrap_or(Form::Any).both(revised)),
            ("verdict", Form::Text),
            ("rounds", Form::Number),
            ("comments", Form::list(Form::Any)),
        ];
        let names = reviewers.map(|(names, _)| names).filter(|names| !names.is_empty());
        Out::new(Form::object(parts), self.call(names.as_deref()))
    }

    /// Who must accept: one of three words, or a template that gives one.
    fn accept(&mut self, review: &'n Node, at: &At<'_, 'n>) {
        const WORDS: [&str; 3] = ["all", "majority", "any"];
        let Some(node) = review.get("accept") else { return };
        let what = at.path("review.accept");
        let values = self.template(node, at.scope, &what).and_then(|said| said.values).unwrap_or_default();
        let wrong = values.iter().filter_map(serde_json::Value::as_str).find(|word| !WORDS.contains(&word.trim()));
        if let Some(wrong) = wrong {
            self.say(node, "unknown_value", format!("`{what}` cannot be `{wrong}`"), suggest(wrong, WORDS, ""));
        }
    }

    pub(super) fn handoff(&mut self, handoff: &'n Node, at: &At<'_, 'n>) -> Out {
        let start = handoff.get("start").and_then(|node| self.agent(node, at.scope, &at.path("handoff.start")));
        let among = handoff
            .get("among")
            .and_then(|node| self.agents(node, at.scope, &at.path("handoff.among")).map(|names| (names, node)));
        self.text(handoff, "instructions", at, "handoff");
        self.see(handoff.list("see"), at.scope, &at.path("handoff.see"));
        self.count(handoff.get("max"), at.scope, &at.path("handoff.max"));
        if let (Some([start]), Some((names, node))) = (start.as_deref(), &among)
            && names.iter().all(|name| name == start)
        {
            let message = format!("`{start}` begins and there is nobody to hand over to");
            self.say(node, "no_recipient", message, "name others as well, or use a `task`");
        }
        let mut circle = start.clone().unwrap_or_default();
        match (&among, self.crew) {
            (Some((names, _)), _) => circle.extend_from_slice(names),
            (None, Some(crew)) => circle.extend(crew.members.iter().map(|name| (*name).to_owned())),
            (None, None) => {}
        }
        self.tools(handoff.list("tools"), &circle, &at.path("handoff.tools"));
        let parts =
            [("answer", Form::Text), ("by", Form::Text), ("status", Form::Text), ("chain", Form::list(Form::Text))];
        Out::new(Form::object(parts), self.call(start.as_deref()))
    }

    pub(super) fn ask(&mut self, ask: &'n Node, at: &At<'_, 'n>) -> Out {
        let whom = ask.get("whom").and_then(|node| self.agent(node, at.scope, &at.path("ask.whom")));
        self.text(ask, "question", at, "ask");
        self.see(ask.list("see"), at.scope, &at.path("ask.see"));
        let options = ask.list("options");
        if let [only] = options {
            let message = format!("`{}` gives one option, which is no choice", at.path("ask.options"));
            self.say(only, "no_choice", message, "give two or more, or none for any answer");
        }
        let form = match options.is_empty() {
            true => Form::Text,
            false => Form::object([("answer", Form::Text), ("reason", Form::Text.or_none())]),
        };
        // A default may stand in for the answer, in a form of its own.
        let form = if at.step.get("default").is_some() { Form::Any } else { form };
        Out::new(form, self.call(whom.as_deref()))
    }

    pub(super) fn delegate(&mut self, delegate: &'n Node, at: &At<'_, 'n>) -> Out {
        let by = delegate.get("by").and_then(|node| self.agent(node, at.scope, &at.path("delegate.by")));
        let to = delegate
            .get("to")
            .and_then(|node| self.agent(node, at.scope, &at.path("delegate.to")).map(|names| (names, node)));
        self.text(delegate, "instructions", at, "delegate");
        self.see(delegate.list("see"), at.scope, &at.path("delegate.see"));
        if let (Some([by]), Some(([to], node))) =
            (by.as_deref(), to.as_ref().map(|(names, node)| (names.as_slice(), *node)))
            && by == to
        {
            let message = format!("`{by}` delegates to itself, and would judge its own work");
            self.say(node, "no_recipient", message, "name somebody else, or use a `task`");
        }
        if let Some((names, _)) = &to {
            self.tools(delegate.list("tools"), names, &at.path("delegate.tools"));
        }
        let (by, to) = (self.call(by.as_deref()), self.call(to.as_ref().map(|(names, _)| names.as_slice())));
        Out::new(Form::Text, by.and(to))
    }

    /// A template that may be left out.
    pub(super) fn text(&mut self, holder: &'n Node, field: &str, at: &At<'_, 'n>, kind: &str) {
        if let Some(node) = holder.get(field) {
            self.template(node, at.scope, &at.path(&format!("{kind}.{field}")));
        }
    }
}

/// True if a tool that a profile names, perhaps all of a server, covers another.
fn covers(allowed: &str, tool: &str) -> bool {
    allowed == tool
        || allowed.strip_suffix('*').is_some_and(|start| start.starts_with("mcp:") && tool.starts_with(start))
}
