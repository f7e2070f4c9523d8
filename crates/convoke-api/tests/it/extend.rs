//! `extends`: what a file takes from another, and what it says itself.

use convoke_api::{Bundle, Known, library, read_one};
use serde_json::json;

fn bundle(text: &str, known: &Known) -> Bundle {
    read_one("x.yaml", text, known).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn a_team_says_what_differs_from_the_library_s() {
    let text = "
kind: team
name: our-audit
extends: security-audit
with: {rounds: 2}
rules: {timeout_s: 900}
budget: {max_cost_usd: 1.0}
";
    let known = Known::default().with_profiles(&library::bundle().profiles);
    let team = bundle(text, &known).teams.remove(0);
    let base = library::bundle().teams.into_iter().find(|team| team.name == "security-audit").expect("a team");
    assert_eq!((team.name.as_str(), team.pattern.as_str()), ("our-audit", "consensus"));
    assert_eq!(team.members, base.members);
    assert_eq!((&team.with["rounds"], &team.with["options"]), (&json!(2), &base.with["options"]));
    assert_eq!((team.rules.timeout_s, team.rules.conflict), (900, base.rules.conflict));
    assert_eq!(team.budget.on_exhausted, base.budget.on_exhausted);
    // The saved team, with the steps that it carries, is as good a base as its file.
    let saved = known.with_teams([&base]);
    assert_eq!(bundle(text, &saved).teams.remove(0), team);
}

#[test]
fn another_pattern_takes_no_parameters_from_the_base() {
    let text = "
kind: team
name: quick-audit
extends: security-audit
pattern: parallel
";
    let known = Known::default().with_profiles(&library::bundle().profiles);
    let team = bundle(text, &known).teams.remove(0);
    assert_eq!((team.pattern.as_str(), team.with.len()), ("parallel", 0));
}

#[test]
fn another_pattern_has_parameters_of_its_own() {
    let text = "
kind: team
name: quick-audit
extends: security-audit
pattern: ensemble
with: {k: 5}
";
    let known = Known::default().with_profiles(&library::bundle().profiles);
    let base = library::bundle().teams.into_iter().find(|team| team.name == "security-audit").expect("a team");
    for known in [known.clone(), known.with_teams([&base])] {
        let team = bundle(text, &known).teams.remove(0);
        assert_eq!((team.pattern.as_str(), &team.with), ("ensemble", &[("k".to_owned(), json!(5))].into()));
        assert_eq!((&team.members, team.rules.conflict), (&base.members, base.rules.conflict));
    }
}

#[test]
fn the_same_pattern_said_again_changes_nothing() {
    let with = |more: &str| {
        let text = format!("kind: team\nname: a\nextends: security-audit\n{more}with: {{rounds: 2}}\n");
        bundle(&text, &Known::default().with_profiles(&library::bundle().profiles)).teams.remove(0).with
    };
    assert_eq!(with("pattern: consensus\n"), with(""));
}

/// What only a coordinator with workers goes by stays behind where a team goes by steps instead.
#[test]
fn steps_take_no_rules_of_workers_from_the_base() {
    let known = Known::default().with_profiles(&library::bundle().profiles);
    let base = library::bundle().teams.into_iter().find(|team| team.name == "incident-response").expect("a team");
    let by_pattern = "kind: team\nname: a\nextends: incident-response\npattern: consensus\n";
    let by_flow = "kind: team\nname: a\nextends: incident-response\nflow: {steps: [{id: x, value: task}]}\n";
    for (text, known) in [by_pattern, by_flow]
        .into_iter()
        .flat_map(|text| [(text, known.clone()), (text, known.clone().with_teams([&base]))])
    {
        let team = bundle(text, &known).teams.remove(0);
        assert_eq!((team.rules.max_tasks, team.rules.validation_rounds), (20, 0), "{text}");
        assert_eq!((team.rules.timeout_s, team.members.len()), (base.rules.timeout_s, base.members.len()), "{text}");
        assert!(team.members.iter().all(|member| !member.optional), "{text}");
    }
}

#[test]
fn steps_of_a_team_s_own_replace_those_of_its_base() {
    let text = "
kind: team
name: b
extends: a
flow: {steps: [{id: y, value: task}]}
---
kind: team
name: a
coordinator: qa
members: [{profile: qa}]
with: {n: 2}
flow:
  parameters: {n: {type: integer}}
  steps: [{id: x, value: n}]
  result: '{{ results.x }}'
";
    let known = Known::default().with_profiles(&library::bundle().profiles);
    let team = bundle(text, &known).teams.into_iter().find(|team| team.name == "b").expect("b");
    let flow = team.flow.expect("steps");
    assert_eq!((team.with.len(), flow.parameters.len(), flow.result), (0, 0, None));
}

#[test]
fn a_profile_extends_one_of_its_file_and_that_one_another() {
    let text = "
kind: profile
name: c
extends: b
prompt: C.
---
kind: profile
name: b
extends: a
tools: [search_files]
model_settings: {timeout_s: 9}
---
kind: profile
name: a
prompt: A.
description: The first.
tools: [read_file, list_files]
model_settings: {max_output_tokens: 77}
";
    let found = bundle(text, &Known::default());
    let c = found.profiles.iter().find(|one| one.name == "c").expect("c");
    assert_eq!((c.prompt.as_str(), c.description.as_str()), ("C.", "The first."));
    assert_eq!(c.tools, ["search_files"]);
    assert_eq!((c.model_settings.timeout_s, c.model_settings.max_output_tokens), (9, 77));
}

#[test]
fn a_file_may_change_what_is_saved_under_its_own_name() {
    let known = Known::default().with_profiles(&library::bundle().profiles);
    let found = bundle("kind: profile\nname: qa\nextends: qa\nmax_turns: 40\n", &known);
    let base = library::bundle().profiles.into_iter().find(|one| one.name == "qa").expect("a profile");
    assert_eq!((found.profiles[0].max_turns, &found.profiles[0].prompt), (40, &base.prompt));
}
