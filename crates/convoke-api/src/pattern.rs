//! Patterns: files of them, and what a team says of its own: `pattern`, `with`, `flow`.
//!
//! Rule: a team that names a pattern is given its steps when it is read ([`resolve`]), so that it keeps them whatever becomes of
//! the pattern. A team that carries steps beside a pattern's name keeps those it carries; they may not differ from the
//! pattern's where that is known, for nobody could say which are meant.

use std::collections::BTreeMap;

use convoke_domain::flow::parameter::{self, Seen, Wrong};
use convoke_domain::flow::{Flow, Parameter};
use convoke_domain::profile::Role;
use convoke_domain::team::{Pattern, Team};
use serde_json::{Map, Value};

use crate::flow::crew::Crew;
use crate::flow::{self, Whole};
use crate::known::Known;
use crate::near::suggest;
use crate::node::Node;
use crate::problem::{Finding, Reporter, finding};
use crate::team::TeamCheck;

/// Reports what is wrong with a pattern's file beyond its shape.
pub(crate) fn check(document: &Node, reporter: &mut Reporter<'_>) {
    let found = flow::check(&Whole { flow: document, crew: None });
    for one in found {
        let place = flow::place::of(&one, reporter);
        reporter.report(place, one.finding);
    }
}

/// Gives a team that names a pattern its steps, unless it carries them.
pub(crate) fn resolve(mut team: Team, known: &Known) -> Team {
    if team.flow.is_none() && team.pattern.as_str() != Pattern::COORDINATOR_WORKER {
        team.flow = known.pattern(team.pattern.as_str()).and_then(|pattern| pattern.flow.clone());
    }
    team
}

/// Reports what is wrong with the pattern of a team, the values it sets, and the steps for this team.
pub(crate) fn check_team(check: &mut TeamCheck<'_, '_, '_, '_>) {
    let team = check.team;
    let name = team.text_at("pattern").map(|(text, node)| (String::from(Pattern::from(text.to_owned())), node));
    let named = name.as_ref().filter(|(name, _)| name != Pattern::COORDINATOR_WORKER);
    let known = check.known;
    let pattern = named.and_then(|(name, _)| known.pattern(name));
    let own = team.get("flow").filter(|node| !node.is_null());
    let carried = own.and_then(|node| serde_json::from_value::<Flow>(node.to_json()).ok());
    if let Some((name, node)) = named {
        match (pattern, own) {
            (None, None) => return unknown(check, name, node),
            (Some(pattern), Some(_)) if pattern.flow.is_some() && carried.is_some() && pattern.flow != carried => {
                let message = format!("the team names the pattern `{name}` and carries other steps than it has");
                let hint =
                    "remove `flow` to follow the pattern, or remove `pattern` to keep the steps of the team's own";
                return check.report(node, Some(finding("two_patterns", message, hint)));
            }
            _ => {}
        }
    }
    let Some(flow) = carried.or_else(|| pattern.and_then(|pattern| pattern.flow.clone())) else {
        if own.is_none() && named.is_none() {
            without_pattern(check);
        }
        return;
    };
    let members = members(check);
    let crew = variables(check, &members);
    let count = check.reporter.count();
    let values = with(check, &flow, &crew);
    if check.reporter.count() > count {
        return;
    }
    let crew = Crew::new(check, &members, crew, values);
    match (own, named, pattern) {
        (Some(own), ..) => report_own(check, own, crew),
        (None, Some((name, node)), Some(pattern)) => report_named(check, (name, node), &pattern.node, crew),
        _ => {}
    }
}

/// What is wrong stands in the team's file.
fn report_own(check: &mut TeamCheck<'_, '_, '_, '_>, own: &Node, crew: Crew<'_>) {
    for one in flow::check(&Whole { flow: own, crew: Some(&crew) }) {
        let place = flow::place::of(&one, check.reporter);
        check.reporter.report(place, one.finding);
    }
}

/// What is wrong stands in another document; it is wrong for this team only, or it would be said there.
fn report_named(check: &mut TeamCheck<'_, '_, '_, '_>, (name, node): (&str, &Node), pattern: &Node, crew: Crew<'_>) {
    let general = flow::check(&Whole { flow: pattern, crew: None });
    if !general.is_empty() {
        return;
    }
    for one in flow::check(&Whole { flow: pattern, crew: Some(&crew) }) {
        let message = format!("with this team, in the pattern `{name}`: {}", one.finding.message);
        check.report(node, Some(Finding { message, ..one.finding }));
    }
}

fn unknown(check: &mut TeamCheck<'_, '_, '_, '_>, name: &str, node: &Node) {
    let hint = suggest(name, check.known.pattern_names(), "write the steps under `flow`");
    let message = format!("there is no pattern `{name}`");
    check.report(node, Some(finding("unknown_pattern", message, hint)));
}

/// A coordinator and workers have no parameters.
fn without_pattern(check: &mut TeamCheck<'_, '_, '_, '_>) {
    let given = check.team.get("with").map(Node::entries).unwrap_or_default();
    if let Some(first) = given.first() {
        let message = format!("`with` sets `{}`, but a coordinator and workers have no parameters", first.key);
        let hint = "name the `pattern` that has it, or remove `with`";
        check.reporter.report(first.place, finding("unknown_parameter", message, hint));
    }
}

/// Members in the order in which they are named, with their part in this team.
fn members<'n>(check: &TeamCheck<'n, '_, '_, '_>) -> Vec<(&'n str, Role)> {
    let team = check.team;
    let roles = [Role::Coordinator, Role::Specialist, Role::Worker, Role::Reviewer];
    let mut all: Vec<(i64, &str, Role)> = Vec::new();
    for member in team.list("members") {
        let Some((name, _)) = member.text_at("profile") else { continue };
        let said = member.text_at("role").and_then(|(word, _)| roles.into_iter().find(|role| role.as_str() == word));
        let role = said.or_else(|| check.known.profiles.get(name).map(|facts| facts.role)).unwrap_or_default();
        let priority = member.get("priority").and_then(|node| node.to_json().as_i64()).unwrap_or(0);
        if !all.iter().any(|(_, other, _)| *other == name) {
            all.push((priority, name, role));
        }
    }
    all.sort_by_key(|(priority, ..)| *priority);
    all.into_iter().map(|(_, name, role)| (name, role)).collect()
}

/// What expressions know of the team.
fn variables(check: &TeamCheck<'_, '_, '_, '_>, members: &[(&str, Role)]) -> Map<String, Value> {
    let can =
        |name: &str| check.known.profiles.get(name).map(|facts| facts.capabilities.as_slice()).unwrap_or_default();
    let seen: Vec<Seen<'_>> =
        members.iter().map(|(name, role)| Seen { name, role: *role, capabilities: can(name) }).collect();
    parameter::team(check.team.text_at("coordinator").map_or("", |(name, _)| name), &seen)
}

/// The values of the parameters; what is wrong with those that the team sets or does not set is reported.
fn with(check: &mut TeamCheck<'_, '_, '_, '_>, flow: &Flow, crew: &Map<String, Value>) -> BTreeMap<String, Value> {
    let team = check.team;
    let given = team.get("with").map(Node::entries).unwrap_or_default();
    for entry in given.iter().filter(|entry| !flow.parameters.contains_key(&entry.key)) {
        let names = flow.parameters.keys().map(String::as_str);
        let message = format!("`with` sets `{}`, but the pattern has no such parameter", entry.key);
        let hint = suggest(&entry.key, names, "remove it: the pattern has no parameters");
        check.reporter.report(entry.place, finding("unknown_parameter", message, hint));
    }
    let mut values = BTreeMap::new();
    for (name, parameter) in &flow.parameters {
        let entry = given.iter().find(|entry| entry.key == *name);
        let value = entry.map(|entry| entry.node.to_json());
        match parameter::value_of(parameter, value.as_ref(), crew) {
            Ok(value) => drop(values.insert(name.clone(), value)),
            Err(wrong) => {
                let fallback = team.get("with").or_else(|| team.get("pattern")).or_else(|| team.get("flow"));
                let node = entry.map(|entry| &entry.node).or(fallback).unwrap_or(team);
                let found = explain(check, (name, parameter), entry.is_some(), &wrong);
                check.report(node, Some(found));
            }
        }
    }
    values
}

fn explain(
    check: &TeamCheck<'_, '_, '_, '_>,
    (name, parameter): (&str, &Parameter),
    is_set: bool,
    wrong: &Wrong,
) -> Finding {
    let path = if is_set { format!("`with.{name}`") } else { format!("the default of the parameter `{name}`") };
    let about = parameter.description.trim_end_matches('.');
    let about = if about.is_empty() { String::new() } else { format!(" ({about})") };
    match wrong {
        Wrong::Missing => {
            let message = format!("the pattern's parameter `{name}` has no default, and the team does not set it");
            finding("missing_parameter", message, format!("add `with: {{{name}: …}}`{about}"))
        }
        Wrong::Type(wanted) => {
            finding("wrong_type", format!("{path} must be {wanted}"), format!("write {wanted}{about}"))
        }
        Wrong::Range(range) => {
            finding("out_of_range", format!("{path} is out of range"), format!("give a number {range}{about}"))
        }
        Wrong::Stranger(who) => {
            let mut names = check.member_names();
            names.extend(check.team.text_at("coordinator").map(|(name, _)| name));
            let message = format!("{path} names `{who}`, who is neither a member nor the coordinator");
            finding("unknown_member", message, suggest(who, names, "add it to `members`"))
        }
        Wrong::Expression(reason) => {
            let hint = "write names in a list, or an expression such as `members` or `by_role.reviewer`";
            finding("bad_expression", format!("{path} cannot be evaluated: {reason}"), hint)
        }
    }
}
