//! Scaling: what a member's `scale` must hold besides its shape, so that the agents it asks for can ever come.

use convoke_domain::profile::AgentKind;
use convoke_domain::spawn::bounds;
use convoke_domain::team::{Pattern, SpawnRules};

use crate::node::Node;
use crate::problem::{Finding, finding};
use crate::team::TeamCheck;

/// Reports rules of members that nobody can help, and more agents than may ever live.
pub(crate) fn check(check: &mut TeamCheck<'_, '_, '_, '_>) {
    let team = check.team;
    for (index, member) in team.list("members").iter().enumerate() {
        let Some(rule) = member.get("scale") else { continue };
        let name = member.text_at("profile").map_or("", |(name, _)| name);
        let alone = alone(check, name);
        check.report(rule, alone);
        if let Some(node) = rule.get("max") {
            let wanted = node.to_json().as_u64().unwrap_or(0);
            let path = format!("members[{index}].scale.max");
            let found = beyond_rules(team, wanted, &path).or_else(|| beyond_rights(check, (name, wanted), &path));
            check.report(node, found);
        }
    }
}

/// Why no second agent could do what this member does.
fn alone(check: &TeamCheck<'_, '_, '_, '_>, name: &str) -> Option<Finding> {
    let team = check.team;
    if team.text_at("coordinator").is_some_and(|(coordinator, _)| coordinator == name) {
        let message = format!("`{name}` coordinates the team, and one agent alone does that");
        return Some(finding(
            "out_of_range",
            message,
            "remove `scale`, or give it to a member that is not the coordinator",
        ));
    }
    if check.known.profiles.get(name).is_some_and(|facts| facts.kind == AgentKind::Human) {
        let message = format!("`{name}` is a person, and there is only one of each");
        let hint = "remove `scale`; `capacity` in the profile says how many tasks a person may have at once";
        return Some(finding("out_of_range", message, hint));
    }
    let plans = team.text_at("pattern").is_none_or(|(name, _)| Pattern::from(name.to_owned()) == Pattern::default());
    let rules = team.get("rules");
    let in_turn = rules.and_then(|rules| rules.get("parallel_execution")).map(Node::to_json) == Some(false.into());
    (plans && in_turn).then(|| {
        let message = format!("members work one after the other, so no task of `{name}` ever waits for another agent");
        finding("out_of_range", message, "remove `scale`, or `rules.parallel_execution: false`")
    })
}

/// More than the run may have.
fn beyond_rules(team: &Node, wanted: u64, path: &str) -> Option<Finding> {
    let spawn = team.get("rules").and_then(|rules| rules.get("spawn")).map(Node::to_json);
    let rules: SpawnRules = spawn.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
    let most = u64::from(bounds(&rules).agents);
    (wanted > most).then(|| {
        let message =
            format!("`{path}` is {wanted}, but `rules.spawn` lets {most} spawned agents live at the same time");
        let hint = match most {
            0 => "remove `scale`, or raise `rules.spawn.max_agents`".to_owned(),
            _ => format!("give at most {most}, or raise `rules.spawn.max_agents`"),
        };
        finding("out_of_range", message, hint)
    })
}

/// More than the member may have.
fn beyond_rights(check: &TeamCheck<'_, '_, '_, '_>, (name, wanted): (&str, u64), path: &str) -> Option<Finding> {
    let most = check.known.profiles.get(name)?.parallel;
    (wanted > most).then(|| {
        let message = format!("`{path}` is {wanted}, but `{name}` may have {most} spawned agents at the same time");
        let hint = format!("give at most {most}, or raise `authority.max_parallel_agents` in the profile `{name}`");
        finding("out_of_range", message, hint)
    })
}
