//! Patterns: files of them, and what a team says of its own: `pattern`, `with`, `flow`.
//!
//! Rule: a team that names a pattern is given its steps when it is read ([`resolve`]), so that it keeps them whatever becomes of
//! the pattern. A team that carries steps beside a pattern's name keeps those it carries; they may not differ from the
//! pattern's where that is known, for nobody could say which are meant.

use std::collections::BTreeMap;

use convoke_domain::flow::{Flow, Parameter, ParameterType, parameter};
use convoke_domain::profile::Role;
use convoke_domain::team::{Pattern, Team};
use serde_json::{Map, Value, json};

use crate::flow::cost::Least;
use crate::flow::crew::Crew;
use crate::flow::{self, Whole, cost};
use crate::idle;
use crate::known::Known;
use crate::near::suggest;
use crate::node::{Entry, Kind, Node};
use crate::problem::{Finding, Place, Reporter, finding};
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

/// The name of the pattern that a team names, by its one name.
pub(crate) fn name_in(team: &Node) -> Option<String> {
    team.text_at("pattern").map(|(text, _)| Pattern::from(text.to_owned()).into())
}

/// True for a team that goes by steps: those of a pattern, or its own.
pub(crate) fn goes_by_steps(team: &Node) -> bool {
    team.get("flow").is_some_and(|flow| !flow.is_null())
        || name_in(team).is_some_and(|name| name != Pattern::COORDINATOR_WORKER)
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
    idle::check(check, named.map(|(name, _)| name.as_str()), &flow);
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
        tell(check, place, one.finding);
    }
}

/// What is wrong stands in another document; it is wrong for this team only, or it would be said there.
fn report_named(check: &mut TeamCheck<'_, '_, '_, '_>, (name, node): (&str, &Node), pattern: &Node, crew: Crew<'_>) {
    let general = flow::check(&Whole { flow: pattern, crew: None });
    if !general.is_empty() {
        return;
    }
    for one in flow::check(&Whole { flow: pattern, crew: Some(&crew) }) {
        if matches!(one.finding.code, cost::TOO_SMALL | cost::UNPRICED) {
            // It stands in the team's file.
            tell(check, one.node.place, one.finding);
            continue;
        }
        let message = format!("with this team, in the pattern `{name}`: {}", one.finding.message);
        // What is to be done about a profile can be done; the pattern's steps are not the team's to change.
        let hint = match one.finding.code {
            "not_granted" | "unknown_capability" => one.finding.hint,
            _ => format!("change the team's `members` or `with`; in the pattern itself: {}", one.finding.hint),
        };
        check.report(node, Some(Finding { message, hint, ..one.finding }));
    }
}

/// Reports a problem, or takes down a note.
fn tell(check: &mut TeamCheck<'_, '_, '_, '_>, place: Place, found: Finding) {
    match found.code {
        cost::UNPRICED => check.reporter.note(place, found),
        _ => check.reporter.report(place, found),
    }
}

fn unknown(check: &mut TeamCheck<'_, '_, '_, '_>, name: &str, node: &Node) {
    let hint = suggest(name, check.known.pattern_names(), "write the steps under `flow`");
    let message = format!("there is no pattern `{name}`");
    check.report(node, Some(finding("unknown_pattern", message, hint)));
}

/// A coordinator and workers have no parameters, and make a call for the plan and one for the work at least.
fn without_pattern(check: &mut TeamCheck<'_, '_, '_, '_>) {
    let members = members(check);
    let crew = Crew::new(check, &members, Map::new(), BTreeMap::new());
    let planning = check.team.get("rules").and_then(|rules| rules.text_at("planning")).map_or("plan", |(word, _)| word);
    let mut least = Least::default();
    if matches!(planning, "plan" | "brief") {
        least = cost::call(Some(&crew), Some(&[crew.coordinator.to_owned()]));
    }
    let names: Vec<String> = members.iter().map(|(name, _)| (*name).to_owned()).collect();
    if !names.is_empty() {
        least = least.and(cost::call(Some(&crew), Some(&names)));
    }
    for one in cost::check(&crew, least) {
        tell(check, one.node.place, one.finding);
    }
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

/// What expressions know of the team: what `convoke_domain::flow::parameter::team_variables` will say of it in a run.
fn variables(check: &TeamCheck<'_, '_, '_, '_>, members: &[(&str, Role)]) -> Map<String, Value> {
    let roles = [Role::Coordinator, Role::Specialist, Role::Worker, Role::Reviewer];
    let mut by_role: BTreeMap<&str, Vec<&str>> = roles.map(|role| (role.as_str(), Vec::new())).into();
    let mut by_capability: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, role) in members {
        by_role.entry(role.as_str()).or_default().push(name);
        let can = check.known.profiles.get(*name).map(|facts| facts.capabilities.as_slice()).unwrap_or_default();
        for capability in can {
            by_capability.entry(capability).or_default().push(name);
        }
    }
    let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    let coordinator = check.team.text_at("coordinator").map_or("", |(name, _)| name);
    let all = json!({"coordinator": coordinator, "members": names, "by_role": by_role, "by_capability": by_capability});
    all.as_object().cloned().unwrap_or_default()
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
    let mut known = crew.clone();
    let mut values = BTreeMap::new();
    // A default may name other parameters, so whatever can be settled comes first, as in a run.
    let mut open: Vec<(&String, &Parameter)> = flow.parameters.iter().collect();
    loop {
        let before = open.len();
        open.retain(|(name, parameter)| match settled(name, parameter, given, &known) {
            Ok(value) => {
                known.insert((*name).clone(), value.clone());
                values.insert((*name).clone(), value);
                false
            }
            Err(_) => true,
        });
        if open.len() == before {
            break;
        }
    }
    let fallback = team.get("with").or_else(|| team.get("pattern")).or_else(|| team.get("flow")).unwrap_or(team);
    for (name, parameter) in open {
        let Err(reason) = settled(name, parameter, given, &known) else { continue };
        let entry = given.iter().find(|entry| entry.key == *name);
        let found = explain(&known, (name, parameter), entry.map(|entry| entry.node.to_json()), &reason);
        let node = entry.map_or(fallback, |entry| blamed(&entry.node, &found));
        check.report(node, Some(found));
    }
    values
}

/// The name in a list that a finding is about; else the whole value.
fn blamed<'n>(node: &'n Node, found: &Finding) -> &'n Node {
    let Kind::List(items) = &node.kind else { return node };
    let names = |item: &&Node| item.text().is_some_and(|text| found.message.contains(&format!("names `{text}`")));
    items.iter().find(names).unwrap_or(node)
}

/// The value of one parameter, as the run will settle it.
fn settled(name: &str, parameter: &Parameter, given: &[Entry], known: &Map<String, Value>) -> Result<Value, String> {
    let with = given.iter().filter(|entry| entry.key == name).map(|entry| (name.to_owned(), entry.node.to_json()));
    let all = BTreeMap::from([(name.to_owned(), parameter.clone())]);
    parameter::settle(&all, &with.collect(), known).map(|mut all| all.remove(name).unwrap_or_default())
}

/// What is wrong with a value, in words with the fix.
fn explain(
    known: &Map<String, Value>,
    (name, parameter): (&str, &Parameter),
    given: Option<Value>,
    reason: &str,
) -> Finding {
    let about = parameter.description.trim_end_matches('.');
    let about = if about.is_empty() { String::new() } else { format!(" ({about})") };
    let path =
        if given.is_some() { format!("`with.{name}`") } else { format!("the default of the parameter `{name}`") };
    let Some(value) = given.or_else(|| parameter.default.clone()) else {
        let message = format!("the pattern's parameter `{name}` has no default, and the team does not set it");
        return finding("missing_parameter", message, format!("add `with: {{{name}: …}}`{about}"));
    };
    let is_person = matches!(parameter.r#type, ParameterType::Agent | ParameterType::Agents);
    let names: Vec<&str> = known["members"]
        .as_array()
        .into_iter()
        .flatten()
        .chain([&known["coordinator"]])
        .filter_map(Value::as_str)
        .collect();
    let is_stranger = |name: &&str| is_word(name) && !names.contains(name) && !known.contains_key(*name);
    let said = value.as_array().map_or_else(|| vec![&value], |list| list.iter().collect());
    if let Some(who) = said.into_iter().filter_map(Value::as_str).find(is_stranger).filter(|_| is_person) {
        let message = format!("{path} names `{who}`, who is neither a member nor the coordinator");
        return finding("unknown_member", message, suggest(who, names, "add it to `members`"));
    }
    let bare = format!("`{name}`: ");
    let message = format!("{path}: {}", reason.trim_start_matches(&bare));
    let is_number = matches!(parameter.r#type, ParameterType::Integer | ParameterType::Number);
    if is_number && value.is_number() && reason.contains(" than ") {
        let range = match (parameter.min, parameter.max) {
            (Some(least), Some(most)) => format!("from {least} to {most}"),
            (Some(least), None) => format!("at least {least}"),
            (None, most) => format!("at most {}", most.unwrap_or(f64::MAX)),
        };
        return finding("out_of_range", message, format!("give a number {range}{about}"));
    }
    let has_expression = value.is_string() && matches!(parameter.r#type, ParameterType::Agents | ParameterType::List);
    if has_expression && !reason.contains(" is expected") {
        let hint = "write names in a list, or an expression such as `members` or `by_role.reviewer`";
        return finding("bad_expression", message, hint);
    }
    if let Some(said) = value.as_str().filter(|_| !parameter.options.is_empty()) {
        let options = parameter.options.iter().map(String::as_str);
        return finding("wrong_type", message, suggest(said, options, ""));
    }
    let wanted = wanted(parameter.r#type);
    finding("wrong_type", message, format!("write {wanted}{about}"))
}

const fn wanted(kind: ParameterType) -> &'static str {
    match kind {
        ParameterType::Text => "text",
        ParameterType::Agent => "the name of a member, or `coordinator`",
        ParameterType::Agents => "a list of names, or an expression such as `members` that gives at least one",
        ParameterType::Integer => "a whole number",
        ParameterType::Number => "a number",
        ParameterType::Flag => "`true` or `false`",
        ParameterType::List => "a list, or an expression that gives one",
        ParameterType::Schema => "a JSON Schema, which is a mapping",
    }
}

/// True for what could be a name, so that it is one, and no broken expression.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
