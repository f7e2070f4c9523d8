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
