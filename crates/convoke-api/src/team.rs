//! Teams: what a team file must hold besides its shape. Members and their profiles, models, rules; sub-tasks are in
//! `fixed`, MCP servers in `server`.

use std::collections::BTreeMap;

use convoke_domain::profile::Role;

use crate::approvals;
use crate::known::Known;
use crate::near::{nearest, quoted, suggest};
use crate::node::Node;
use crate::problem::{Finding, Reporter, finding};
use crate::scale;
use crate::word;

/// The most members, as the schema says.
const MAX_MEMBERS: usize = 100;
/// The most fixed tasks, as the schema says.
const MAX_TASKS: usize = 1_000;

/// A team while it is checked.
pub(crate) struct TeamCheck<'n, 'k, 'r, 'a> {
    pub(crate) team: &'n Node,
    pub(crate) known: &'k Known,
    pub(crate) reporter: &'r mut Reporter<'a>,
}

/// Reports what is wrong with a team beyond its shape.
pub(crate) fn check(team: &Node, known: &Known, reporter: &mut Reporter<'_>) {
    if team.list("members").len() > MAX_MEMBERS || team.list("tasks").len() > MAX_TASKS {
        // The shape check has said so; comparing them all with each other would only take time.
        return;
    }
    let mut check = TeamCheck { team, known, reporter };
    check.members();
    check.models();
    check.rules();
    scale::check(&mut check);
    approvals::check(&mut check);
    check.memory();
    check.tasks();
    check.servers();
    crate::pattern::check_team(&mut check);
}

impl<'n> TeamCheck<'n, '_, '_, '_> {
    /// Takes down what was found at a node, if anything.
    pub(crate) fn report(&mut self, node: &Node, found: Option<Finding>) {
        if let Some(found) = found {
            self.reporter.report(node.place, found);
        }
    }

    /// The names of the members, each once.
    pub(crate) fn member_names(&self) -> Vec<&'n str> {
        let team = self.team;
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in team.list("members").iter().filter_map(|member| member.text_at("profile")) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    fn members(&mut self) {
        let team = self.team;
        if let Some((name, node)) = team.text_at("coordinator") {
            self.profile(name, node, "coordinator");
        }
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, member) in team.list("members").iter().enumerate() {
            if let Some((model, node)) = member.text_at("model") {
                let found = word::model(model, &format!("members[{index}].model"), self.known);
                self.report(node, found);
            }
            let Some((name, node)) = member.text_at("profile") else { continue };
            self.profile(name, node, &format!("members[{index}].profile"));
            if let Some(line) = seen.insert(name, node.place.line) {
                let message = format!("`{name}` is a member twice; the first is on line {line}");
                let hint = "remove one, or clone the profile under another name";
                self.report(node, Some(finding("duplicate_member", message, hint)));
            }
        }
    }

    fn profile(&mut self, name: &str, node: &Node, path: &str) {
        if self.known.profiles.contains_key(name) {
            return;
        }
        let names = self.known.profiles.keys().map(String::as_str);
        let hint = match nearest(name, names.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if word::is_name(name) => format!(
                "define it in a document with `kind: profile` and `name: {name}`, or {}",
                suggest(name, names, "import it first")
            ),
            None => suggest(name, names, "name a profile"),
        };
        let message = format!("`{path}` is `{name}`, but there is no such profile");
        self.report(node, Some(finding("unknown_profile", message, hint)));
    }

    fn models(&mut self) {
        let Some(models) = self.team.get("models") else { return };
        let roles = [Role::Coordinator, Role::Specialist, Role::Worker, Role::Reviewer].map(Role::as_str);
        for entry in models.entries() {
            if !roles.contains(&entry.key.as_str()) {
                let message = format!("`models` maps roles to models, and `{}` is no role", entry.key);
                self.reporter.report(entry.place, finding("unknown_value", message, suggest(&entry.key, roles, "")));
            }
            if let Some(text) = entry.node.text() {
                let found = word::model(text, &format!("models.{}", entry.key), self.known);
                self.report(&entry.node, found);
            }
        }
    }

    fn rules(&mut self) {
        let Some(rules) = self.team.get("rules") else { return };
        if let Some((name, node)) = rules.text_at("fallback_agent") {
            let found = self.not_a_member(name, "rules.fallback_agent");
            self.report(node, found);
        }
        if let Some((name, node)) = rules.text_at("default_supervisor") {
            self.profile(name, node, "rules.default_supervisor");
        }
        let seconds = |key: &str| rules.get(key).and_then(|node| node.to_json().as_u64().map(|value| (value, node)));
        let whole = seconds("timeout_s").map_or(3_600, |(value, _)| value);
        if let Some((each, node)) = seconds("timeout_per_agent_s").filter(|(each, _)| *each > whole) {
            let message = format!("one agent may take {each} s, but the whole run only {whole} s");
            let hint = format!("give at most {whole}, or raise `rules.timeout_s`");
            self.report(node, Some(finding("out_of_range", message, hint)));
        }
    }

    fn memory(&mut self) {
        let team = self.team;
        let summarizer = team.get("compaction").and_then(|rule| rule.text_at("model"));
        if let Some((model, node)) = summarizer {
            let found = word::model(model, "compaction.model", self.known);
            self.report(node, found);
        }
        let scope = team.get("memory").and_then(|rule| rule.text_at("scope"));
        if let Some((_, node)) = scope.filter(|(scope, _)| *scope == "private") {
            let message = "`memory.scope` is `private`, but what a run leaves behind has no agent whose it could be";
            let hint = "write `team`, or `workspace`; agents keep things for themselves with `remember`";
            self.report(node, Some(finding("out_of_range", message.to_owned(), hint)));
        }
    }

    /// What to say if `name` is not a member.
    pub(crate) fn not_a_member(&self, name: &str, path: &str) -> Option<Finding> {
        let members = self.member_names();
        if members.contains(&name) {
            return None;
        }
        let hint = match nearest(name, members.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add it to `members`, or use one of {}", quoted(&members)),
        };
        Some(finding("unknown_member", format!("`{path}` is `{name}`, who is not a member of the team"), hint))
    }
}
