//! Sub-tasks that a team fixes in advance: who does them, what they wait for, and that they do not wait in a circle.

use std::collections::BTreeMap;

use crate::near::suggest;
use crate::node::{Kind, Node};
use crate::problem::finding;
use crate::team::TeamCheck;
use crate::word;

/// The most sub-tasks unless the team's rules say otherwise; the default of `rules.max_tasks`.
const MAX_TASKS: u64 = 20;
/// The types of JSON Schema.
const TYPES: [&str; 7] = ["object", "array", "string", "number", "integer", "boolean", "null"];
/// The two fields that name other tasks.
const EDGES: [&str; 2] = ["depends_on", "after"];

impl TeamCheck<'_, '_, '_, '_> {
    /// Checks `tasks` and `rules.planning` against each other, then each task.
    pub(crate) fn tasks(&mut self) {
        let team = self.team;
        let planning = team.get("rules").and_then(|rules| rules.text_at("planning"));
        let fixed = planning.is_some_and(|(text, _)| text == "fixed");
        let entry = team.entries().iter().find(|entry| entry.key == "tasks");
        let tasks = team.list("tasks");
        let goes_by_steps = crate::pattern::goes_by_steps(team);
        match (fixed, entry, planning) {
            // What `planning` says for nothing is said elsewhere.
            _ if goes_by_steps => {
                if let Some(entry) = entry.filter(|_| !tasks.is_empty()) {
                    let message = "the team has `tasks`, but it goes by steps, which do not use them";
                    let hint = "write them as `task` steps under `flow`, or remove `tasks`";
                    self.reporter.report(entry.place, finding("unused_tasks", message, hint));
                }
            }
            (true, _, Some((_, node))) if tasks.is_empty() => {
                let message = "`planning: fixed` needs tasks, and the team has none";
                self.report(
                    node,
                    Some(finding(
                        "missing_tasks",
                        message,
                        "add `tasks:` with at least one task, or use `planning: plan`",
                    )),
                );
            }
            (false, Some(entry), _) if !tasks.is_empty() => {
                let message = "the team has `tasks`, but its planning does not use them";
                self.reporter.report(
                    entry.place,
                    finding("unused_tasks", message, "set `rules: {planning: fixed}`, or remove `tasks`"),
                );
            }
            _ => {}
        }
        let most = team.get("rules").and_then(|rules| rules.get("max_tasks")).and_then(|node| node.to_json().as_u64());
        if let Some(entry) = entry.filter(|_| tasks.len() as u64 > most.unwrap_or(MAX_TASKS)) {
            let message =
                format!("the team has {} tasks; `rules.max_tasks` allows {}", tasks.len(), most.unwrap_or(MAX_TASKS));
            self.reporter
                .report(entry.place, finding("out_of_range", message, format!("set `max_tasks: {}`", tasks.len())));
        }
        self.each_task(tasks);
        self.cycles(tasks);
    }

    fn each_task(&mut self, tasks: &[Node]) {
        let keys: Vec<&str> = keys(tasks);
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, task) in tasks.iter().enumerate() {
            if let Some((key, node)) = task.text_at("key") {
                self.report(node, word::name(key, &format!("`tasks[{index}].key`")));
                if let Some(line) = seen.insert(key, node.place.line) {
                    let message = format!("the key `{key}` is used twice; the first is on line {line}");
                    self.report(node, Some(finding("duplicate", message, "give each task its own key")));
                }
            }
            self.edges(task, index, &keys);
            self.doer(task, index);
            self.output_schema(task, index);
        }
    }

    /// Each dependency must be a task.
    fn edges(&mut self, task: &Node, index: usize, keys: &[&str]) {
        for field in EDGES {
            for node in task.list(field) {
                let Some(key) = node.text().filter(|key| !keys.contains(key)) else { continue };
                let message = format!("`tasks[{index}].{field}` names `{key}`, but there is no such task");
                let hint = suggest(key, keys.iter().copied(), "remove it");
                self.report(node, Some(finding("unknown_task", message, hint)));
            }
        }
    }

    /// A task names a member, or capabilities that one member has.
    fn doer(&mut self, task: &Node, index: usize) {
        if let Some((name, node)) = task.text_at("assignee") {
            let found = self.not_a_member(name, &format!("tasks[{index}].assignee"));
            return self.report(node, found);
        }
        let needs: Vec<(&str, &Node)> =
            task.list("needs").iter().filter_map(|n| n.text().map(|text| (text, n))).collect();
        let Some((_, first)) = needs.first() else {
            if matches!(task.kind, Kind::Map(_)) {
                let message = format!("`tasks[{index}]` does not say who does it");
                let hint = "add `assignee: PROFILE`, or `needs: [CAPABILITY]`";
                self.report(task, Some(finding("missing_assignee", message, hint)));
            }
            return;
        };
        let members = self.member_names();
        let skills: Vec<&Vec<String>> =
            members.iter().filter_map(|name| self.known.profiles.get(*name)).map(|facts| &facts.capabilities).collect();
        let mut unknown = false;
        for (need, node) in &needs {
            if !skills.iter().any(|has| has.iter().any(|skill| skill == need)) {
                unknown = true;
                let all = skills.iter().flat_map(|has| has.iter()).map(String::as_str);
                let hint = suggest(need, all, "give a member's profile `capabilities`");
                let message = format!("no member of the team is capable of `{need}`");
                self.reporter.report(node.place, finding("unknown_capability", message, hint));
            }
        }
        let able = skills.iter().any(|has| needs.iter().all(|(need, _)| has.iter().any(|skill| skill == need)));
        if !unknown && !able {
            let message = format!("no single member of the team is capable of all that `tasks[{index}]` needs");
            self.report(first, Some(finding("unknown_capability", message, "split the task, or ask for less")));
        }
    }

    fn output_schema(&mut self, task: &Node, index: usize) {
        let Some(node) = task.get("output_schema").filter(|node| !node.is_null()) else { return };
        let path = format!("tasks[{index}].output_schema");
        if !matches!(node.kind, Kind::Map(_)) {
            let message = format!("`{path}` must be a JSON Schema, which is a mapping");
            return self
                .report(node, Some(finding("bad_schema", message, "for example `{type: object, properties: {…}}`")));
        }
        if let Err(flaw) = valid_schema(&node.to_json()) {
            let message = format!("`{path}` is not a JSON Schema: {}", flaw.reason);
            self.report(node.follow(&flaw.pointer), Some(finding("bad_schema", message, flaw.hint)));
        }
    }

    /// Reports each circle of dependencies once, with its tasks named.
    fn cycles(&mut self, tasks: &[Node]) {
        let mut graph: BTreeMap<&str, Vec<(&str, &Node)>> = BTreeMap::new();
        for task in tasks {
            let Some((key, _)) = task.text_at("key") else { continue };
            let targets = EDGES.iter().flat_map(|field| task.list(field));
            graph.entry(key).or_default().extend(targets.filter_map(|node| node.text().map(|text| (text, node))));
        }
        let mut done: Vec<&str> = Vec::new();
        for task in tasks {
            if let Some((key, _)) = task.text_at("key") {
                self.walk(&graph, key, &mut done);
            }
        }
    }

    /// Goes along the dependencies of `start`; whatever leads back to the path closes a circle.
    fn walk<'g>(&mut self, graph: &BTreeMap<&'g str, Vec<(&'g str, &Node)>>, start: &'g str, done: &mut Vec<&'g str>) {
        let mut path: Vec<(&str, usize)> = vec![(start, 0)];
        while let Some((key, next)) = path.last_mut() {
            let key = *key;
            let edge = graph.get(key).and_then(|edges| edges.get(*next));
            *next += 1;
            let Some((target, node)) = edge.filter(|_| !done.contains(&key)) else {
                path.pop();
                if !done.contains(&key) {
                    done.push(key);
                }
                continue;
            };
            match path.iter().position(|(on_path, _)| on_path == target) {
                None => path.push((target, 0)),
                Some(from) => {
                    let mut names: Vec<&str> = path[from..].iter().map(|(name, _)| *name).collect();
                    names.push(target);
                    let message = format!("the tasks wait for one another: {}", names.join(" -> "));
                    self.reporter
                        .report(node.place, finding("dependency_cycle", message, "remove one of these dependencies"));
                }
            }
        }
    }
}

fn keys(tasks: &[Node]) -> Vec<&str> {
    tasks.iter().filter_map(|task| task.text_at("key")).map(|(key, _)| key).collect()
}

/// Where and why a value is not a JSON Schema, and what to write instead.
pub(crate) struct Flaw {
    pub(crate) pointer: String,
    pub(crate) reason: String,
    pub(crate) hint: String,
}

/// Whether a value is a JSON Schema.
pub(crate) fn valid_schema(schema: &serde_json::Value) -> Result<(), Flaw> {
    let (pointer, reason) = match jsonschema::meta::validate(schema) {
        Err(error) => (error.instance_path().to_string(), error.to_string()),
        Ok(()) => match jsonschema::validator_for(schema) {
            Ok(_) => return Ok(()),
            Err(error) => (error.instance_path().to_string(), error.to_string()),
        },
    };
    let named = schema.pointer(&pointer).and_then(serde_json::Value::as_str);
    Err(match named.filter(|named| pointer.ends_with("/type") && !TYPES.contains(named)) {
        Some(named) => Flaw { reason: format!("there is no type `{named}`"), hint: suggest(named, TYPES, ""), pointer },
        None => Flaw { pointer, reason, hint: "see https://json-schema.org/draft/2020-12".to_owned() },
    })
}
