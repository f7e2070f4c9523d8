//! Profiles: what a profile file must hold besides its shape.

use std::collections::BTreeSet;

use convoke_domain::authority::covers;
use convoke_domain::profile::AgentKind;

use crate::known::Known;
use crate::node::Node;
use crate::problem::{Finding, Reporter, finding};
use crate::program;
use crate::word;

/// Reports what is wrong with a profile beyond its shape.
pub(crate) fn check(profile: &Node, known: &Known, reporter: &mut Reporter<'_>) {
    if let Some((text, node)) = profile.text_at("model") {
        report(reporter, node, word::model(text, "model", known));
    }
    let settings = profile.get("model_settings");
    for (index, node) in settings.map(|settings| settings.list("fallback")).unwrap_or_default().iter().enumerate() {
        if let Some(text) = node.text() {
            report(reporter, node, word::model(text, &format!("model_settings.fallback[{index}]"), known));
        }
    }
    if let Some((text, node)) = profile.get("compaction").and_then(|rule| rule.text_at("model")) {
        report(reporter, node, word::model(text, "compaction.model", known));
    }
    tools(profile, known, reporter);
    asks(profile, known, reporter);
    users(profile, reporter);
    hosts(profile, reporter);
    forbidden(profile, known, reporter);
    program::check(profile, reporter);
}

/// Tools that wait for approval must be among its tools.
fn asks(profile: &Node, known: &Known, reporter: &mut Reporter<'_>) {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let tools: Vec<&str> = profile.list("tools").iter().filter_map(Node::text).collect();
    for (index, node) in profile.list("ask").iter().enumerate() {
        let Some(text) = node.text() else { continue };
        if !seen.insert(text) {
            let message = format!("the tool `{text}` is named twice");
            report(reporter, node, Some(finding("duplicate", message, "remove one of the two")));
        }
        let wrong = word::tool(text, &format!("ask[{index}]"), known);
        let may = tools.iter().any(|tool| covers(tool, text) || covers(text, tool));
        let message =
            format!("`ask[{index}]` is `{text}`, which is not among the agent's tools, so nobody would ever be asked");
        let unused = (!may).then(|| finding("not_granted", message, "add it to `tools`, or remove it here"));
        report(reporter, node, wrong.or(unused));
    }
}

/// Who does the tasks of an agent that stands for people.
fn users(profile: &Node, reporter: &mut Reporter<'_>) {
    let is_human = profile.text_at("agent_kind").is_some_and(|(kind, _)| kind == AgentKind::Human.as_str());
    for (index, node) in profile.list("users").iter().enumerate() {
        let Some(text) = node.text() else { continue };
        report(reporter, node, word::user(text, &format!("users[{index}]")));
        if !is_human && index == 0 {
            let message = "`users` says who does a person's tasks, but the agent is not of kind `human`";
            report(reporter, node, Some(finding("not_granted", message, "add `agent_kind: human`, or remove `users`")));
        }
    }
}

fn tools(profile: &Node, known: &Known, reporter: &mut Reporter<'_>) {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for (index, node) in profile.list("tools").iter().enumerate() {
        let Some(text) = node.text() else { continue };
        if !seen.insert(text) {
            report(
                reporter,
                node,
                Some(finding("duplicate", format!("the tool `{text}` is named twice"), "remove one of the two")),
            );
        }
        report(reporter, node, word::tool(text, &format!("tools[{index}]"), known));
        report(reporter, node, ungranted(profile, text));
    }
}

/// A tool that is allowed but could never be used, because the right it needs is not granted.
fn ungranted(profile: &Node, tool: &str) -> Option<Finding> {
    let authority = profile.get("authority");
    let shell = authority.and_then(|rights| rights.get("shell")).is_some_and(|node| node.to_json() == true);
    let hosts = authority.is_some_and(|rights| !rights.list("http_hosts").is_empty());
    let may = |right: &str| authority.and_then(|rights| rights.get(right)).is_some_and(|node| node.to_json() == true);
    match tool {
        "spawn" if !may("can_spawn") => Some(finding(
            "not_granted",
            "the tool `spawn` is named, but the right to spawn agents is not granted",
            "add `authority: {can_spawn: true}`, or remove the tool",
        )),
        "delegate" if !may("can_delegate") => Some(finding(
            "not_granted",
            "the tool `delegate` is named, but the right to delegate tasks is not granted",
            "add `authority: {can_delegate: true}`, or remove the tool",
        )),
        "shell" if !shell => Some(finding(
            "not_granted",
            "the tool `shell` is named, but the right to it is not granted",
            "add `authority: {shell: true}`, or remove the tool",
        )),
        "http_get" if !hosts => Some(finding(
            "not_granted",
            "the tool `http_get` is named, but no host is granted",
            "add `authority: {http_hosts: [api.example.com]}`, or remove the tool",
        )),
        _ => None,
    }
}

fn hosts(profile: &Node, reporter: &mut Reporter<'_>) {
    let Some(authority) = profile.get("authority") else { return };
    for (index, node) in authority.list("http_hosts").iter().enumerate() {
        if let Some(text) = node.text() {
            report(reporter, node, word::host(text, &format!("authority.http_hosts[{index}]")));
        }
    }
}

/// What is forbidden must be a tool: a word that is none would forbid nothing.
fn forbidden(profile: &Node, known: &Known, reporter: &mut Reporter<'_>) {
    let Some(authority) = profile.get("authority") else { return };
    for (index, node) in authority.list("forbidden_actions").iter().enumerate() {
        if let Some(text) = node.text() {
            report(reporter, node, word::tool(text, &format!("authority.forbidden_actions[{index}]"), known));
        }
    }
}

fn report(reporter: &mut Reporter<'_>, node: &Node, found: Option<Finding>) {
    if let Some(found) = found {
        reporter.report(node.place, found);
    }
}
