//! Agents of kind `command`: what their profiles must hold besides their shape.

use convoke_domain::profile::AgentKind;

use crate::node::Node;
use crate::problem::{Finding, Reporter, finding};

/// Variables that the sandbox sets itself, or that change what a program is.
const SET: [&str; 5] = ["PATH", "HOME", "TMPDIR", "PWD", "IFS"];

/// Reports what is wrong with an agent's program.
pub(crate) fn check(profile: &Node, reporter: &mut Reporter<'_>) {
    let is_program = profile.text_at("agent_kind").is_some_and(|(text, _)| text == AgentKind::Command.as_str());
    match (is_program, profile.get("command")) {
        (false, None) => {}
        (false, Some(command)) => {
            let message = "`command` is the program of an agent of kind `command`, and this agent is of another kind";
            let hint = "add `agent_kind: command`, or remove `command`";
            reporter.report(command.place, finding("wrong_kind", message, hint));
        }
        (true, None) => {
            let Some(kind) = profile.get("agent_kind") else { return };
            let message = "an agent of kind `command` needs the program that it is";
            let hint = "add `command: {program: NAME, args: [...]}`";
            reporter.report(kind.place, finding("missing_field", message, hint));
        }
        (true, Some(command)) => {
            for (node, found) in problems(profile, command) {
                reporter.report(node.place, found);
            }
        }
    }
}

fn problems<'a>(profile: &'a Node, command: &'a Node) -> Vec<(&'a Node, Finding)> {
    let mut found = Vec::new();
    let model = profile.get("model").filter(|node| !node.is_null()).map(|node| ("model", node));
    let tools = profile.get("tools").filter(|_| !profile.list("tools").is_empty()).map(|node| ("tools", node));
    for (field, node) in model.into_iter().chain(tools) {
        let message = format!("`{field}` is for agents that a model drives; a program has none");
        found.push((node, finding("wrong_kind", message, format!("remove `{field}`"))));
    }
    if let Some((text, node)) = command.text_at("program") {
        found.extend(program(text).map(|problem| (node, problem)));
    }
    for (index, node) in command.list("env").iter().enumerate() {
        found.extend(node.text().and_then(|text| variable(text, index)).map(|problem| (node, problem)));
    }
    found.extend(ungranted(profile, command).map(|problem| (command, problem)));
    found
}

/// A program that could never be run, because the right it needs is not granted.
fn ungranted(profile: &Node, command: &Node) -> Option<Finding> {
    let is_true = |node: Option<&Node>| node.is_some_and(|node| node.to_json() == true);
    let right = |name: &str| is_true(profile.get("authority").and_then(|rights| rights.get(name)));
    if !right("shell") {
        let message = "the agent runs a program, but the right to it is not granted";
        return Some(finding("not_granted", message, "add `authority: {shell: true}`"));
    }
    if is_true(command.get("network")) && !right("private_network") {
        let message = "the program is to reach the network, private addresses too, but the right to it is not granted";
        let hint = "add `private_network: true` to `authority`, or remove `network`";
        return Some(finding("not_granted", message, hint));
    }
    None
}

fn program(text: &str) -> Option<Finding> {
    if text.contains(char::is_whitespace) && !text.contains('/') {
        let message = format!("`command.program` is `{text}`, which no program is called");
        return Some(finding("bad_program", message, "give the program alone; what follows it goes to `args`"));
    }
    let climbs = text.split('/').any(|part| part == "..");
    climbs.then(|| {
        let hint = "give a name, an absolute path, or a path in the attempt's folder, such as `input/check.sh`";
        finding("bad_program", format!("`command.program` is `{text}`, which leads outside by `..`"), hint)
    })
}

fn variable(text: &str, index: usize) -> Option<Finding> {
    let field = format!("command.env[{index}]");
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        let hint = "write the name alone; its value comes from the environment of Convoke";
        return Some(finding("bad_variable", format!("`{field}` is no name of a variable: `{text}`"), hint));
    }
    let is_kept = text.starts_with("CONVOKE_") || text.starts_with("LD_") || SET.contains(&text);
    is_kept.then(|| {
        let message = format!("`{field}` is `{text}`, which is never passed on");
        finding("bad_variable", message, "remove it; the sandbox sets PATH, HOME and TMPDIR itself")
    })
}
