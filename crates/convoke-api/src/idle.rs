//! Rules that only a coordinator with workers goes by. A team that goes by steps would carry them for nothing, and its author
//! would believe in them: each is named, with what does the same in steps.

use convoke_domain::flow::Flow;

use crate::node::{Entry, Node};
use crate::problem::{Finding, finding};
use crate::team::TeamCheck;

/// A rule that steps do not read.
struct Rule {
    name: &'static str,
    /// What patterns call the parameter that does the same.
    parameters: &'static [&'static str],
    /// What does the same in steps.
    instead: &'static str,
}

const RULES: [Rule; 6] = [
    Rule {
        name: "parallel_execution",
        parameters: &[],
        instead: "steps follow one another and items of a `split` are worked on at the same time, unless its `width` is 1",
    },
    Rule {
        name: "wait_for_all",
        parameters: &[],
        instead: "`sync` in a `split` says for whom it waits, such as `sync: {wait: all, least: 2}`",
    },
    Rule {
        name: "planning",
        parameters: &[],
        instead: "a `split` with `plan` has an agent plan its items, one with `over: members` gives each the same task",
    },
    Rule {
        name: "max_rounds",
        parameters: &["rounds", "turns", "most"],
        instead: "`max` of a `loop` says how many rounds there are",
    },
    Rule {
        name: "validation_rounds",
        parameters: &["checks", "rounds"],
        instead: "a `review` step has members judge a result, in at most `rounds` rounds",
    },
    Rule { name: "max_tasks", parameters: &[], instead: "`limit` of a `split` says how many items it may have" },
];
/// The field of a member that steps do not read.
const OPTIONAL: &str = "optional";

/// True for a rule that only a coordinator with workers goes by.
pub(crate) fn is_idle(rule: &str) -> bool {
    RULES.iter().any(|known| known.name == rule)
}

/// A member without what only a coordinator with workers reads.
pub(crate) fn is_idle_of_member(field: &str) -> bool {
    field == OPTIONAL
}

/// Reports what a team that goes by these steps says for nothing: those of the named pattern, or its own.
pub(crate) fn check(check: &mut TeamCheck<'_, '_, '_, '_>, pattern: Option<&str>, flow: &Flow) {
    let team = check.team;
    let whose = pattern.map_or_else(|| "steps of its own".to_owned(), |name| format!("the steps of `{name}`"));
    let given = team.get("rules").map(Node::entries).unwrap_or_default();
    for entry in given.iter().filter(|entry| !entry.node.is_null()) {
        let Some(rule) = RULES.iter().find(|rule| rule.name == entry.key) else { continue };
        let found = unread(&format!("rules.{}", rule.name), &whose, hint(rule, entry, (pattern, flow)));
        check.reporter.report(entry.place, found);
    }
    for (index, member) in team.list("members").iter().enumerate() {
        let is_set = |entry: &&Entry| entry.key == OPTIONAL && entry.node.to_json() == true;
        let Some(entry) = member.entries().iter().find(is_set) else { continue };
        let instead = "`sync: {least: N}` in a `split` goes on without those who fail, `when` leaves a step out";
        let found = unread(&format!("members[{index}].{OPTIONAL}"), &whose, remove(pattern, instead));
        check.reporter.report(entry.place, found);
    }
}

fn unread(field: &str, whose: &str, hint: String) -> Finding {
    let message =
        format!("`{field}` has no effect: the team goes by {whose}, and only a coordinator with workers reads it");
    finding("unused_field", message, hint)
}

/// The parameter of the pattern that does the same, else what would in steps.
fn hint(rule: &Rule, entry: &Entry, (pattern, flow): (Option<&str>, &Flow)) -> String {
    let parameter = rule.parameters.iter().find_map(|name| flow.parameters.get_key_value(*name));
    let Some((name, parameter)) = parameter else { return remove(pattern, rule.instead) };
    let about = parameter.description.trim_end_matches('.');
    let about = if about.is_empty() { String::new() } else { format!(" ({about})") };
    let value = entry.node.to_json().as_u64().filter(|value| *value > 0);
    let value = value.map_or_else(|| "…".to_owned(), |value| value.to_string());
    format!("remove it; the pattern's parameter is `with: {{{name}: {value}}}`{about}")
}

fn remove(pattern: Option<&str>, instead: &str) -> String {
    match pattern {
        Some(_) => format!("remove it; in steps of your own under `flow`, {instead}"),
        None => format!("remove it; in steps, {instead}"),
    }
}
