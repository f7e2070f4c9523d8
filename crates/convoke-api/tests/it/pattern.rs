//! Patterns and teams that are right, and what becomes of them on the way out and back in.

use std::path::Path;

use convoke_api::{Bundle, Known, Problems, bundle_to_yaml, pattern_to_yaml, read_one, team_to_yaml};
use convoke_domain::flow::machine::{self, Happened, Move, Scope, What};
use convoke_domain::flow::memory::{Key, Memory};
use convoke_domain::profile::Profile;
use convoke_domain::spec::RunSpec;
use convoke_domain::team::Team;
use convoke_domain::weight::Pinned;
use serde_json::json;

fn known() -> Known {
    let profile = |name: &str, tools: &[&str]| -> Profile {
        serde_json::from_value(json!({"name": name, "prompt": "x", "tools": tools, "capabilities": [name, "reading"]}))
            .expect("a profile")
    };
    Known::default().with_profiles(&[profile("lead", &[]), profile("logs", &["read_file"]), profile("cost", &[])])
}

fn right(name: &str) -> Bundle {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/right").join(name);
    let text = std::fs::read_to_string(path).expect("an example");
    read(&text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn read(text: &str) -> Result<Bundle, Problems> {
    read_one("right.yaml", text, &known())
}

#[test]
fn every_primitive_may_be_used() {
    let bundle = right("every-primitive.yaml");
    let pattern = &bundle.patterns[0];
    let again = read(&pattern_to_yaml(pattern)).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(again.patterns, bundle.patterns);
    convoke_api::check(&bundle, &known()).unwrap_or_else(|problems| panic!("{problems}"));
}

#[test]
fn a_team_is_given_the_steps_of_its_pattern() {
    let bundle = right("team.yaml");
    let [two, own, library] = bundle.teams.as_slice() else { panic!("three teams") };
    assert_eq!(two.flow, Some(bundle.patterns[0].flow()));
    assert_eq!(own.flow.as_ref().map(|flow| flow.steps.len()), Some(2));
    let parallel = convoke_api::library::patterns().iter().find(|pattern| pattern.name == "parallel");
    assert_eq!(library.flow, parallel.map(|pattern| pattern.flow()));
    convoke_api::check(&bundle, &known()).unwrap_or_else(|problems| panic!("{problems}"));
}

/// Whatever a team carries, it can be written, read by somebody who knows none of it, and is the same.
#[test]
fn teams_travel_with_their_patterns() {
    let bundle = right("team.yaml");
    for team in &bundle.teams {
        let text = bundle_to_yaml(team, &[]);
        let back = read(&text).unwrap_or_else(|problems| panic!("{text}\n{problems}"));
        assert_eq!(back.teams, std::slice::from_ref(team), "{text}");
        let alone = team_to_yaml(team);
        let back = read(&alone).unwrap_or_else(|problems| panic!("{alone}\n{problems}"));
        assert_eq!(back.teams, std::slice::from_ref(team), "{alone}");
    }
    let library = team_to_yaml(&bundle.teams[2]);
    assert!(library.contains("pattern: parallel") && !library.contains("flow:"), "{library}");
    let text = bundle_to_yaml(&bundle.teams[0], &[]);
    assert!(text.contains("kind: pattern\nname: second_opinion") && !text.contains("flow:"), "{text}");
}

#[test]
fn aliases_name_the_same_patterns() {
    let team = |pattern: &str| {
        read(&format!("kind: team\nname: t\ncoordinator: lead\nmembers: [{{profile: logs}}]\npattern: {pattern}\n"))
    };
    assert_eq!(team("supervisor").expect("a team").teams, team("coordinator_worker").expect("a team").teams);
    let problems = team("paralel").expect_err("no such pattern").0;
    assert_eq!((problems[0].code, problems[0].hint.as_str()), ("unknown_pattern", "did you mean `parallel`?"));
}

/// A pattern as large as is allowed is checked in a moment.
#[test]
fn large_flows_are_checked() {
    let step = |n: usize| format!("  - {{id: s{n}, task: {{agent: a, instructions: \"{{{{ task }}}}\"}}}}\n");
    let text = |count: usize| format!("kind: pattern\nname: p\nsteps:\n{}", (0..count).map(step).collect::<String>());
    assert_eq!(read(&text(2_000)).expect("right").patterns[0].steps.len(), 2_000);
    let problems = read(&text(2_001)).expect_err("too many").0;
    assert_eq!(problems.iter().map(|one| one.code).collect::<Vec<_>>(), ["out_of_range", "too_many_steps"]);
}

/// The electorate of a pattern's first vote, as the machine opens it: who may vote, with what weight.
fn electorate(pattern: &str, with: serde_json::Value, weights: Pinned) -> serde_json::Value {
    let pattern = convoke_api::library::patterns().iter().find(|one| one.name == pattern).expect("a pattern");
    let mut team: Team = serde_json::from_value(json!({
        "name": "t", "coordinator": "lead", "pattern": pattern.name, "members": [{"profile": "logs"}, {"profile": "cost"}], "with": with,
    }))
    .expect("a team");
    team.flow = Some(pattern.flow());
    let profile =
        |name: &str| (name.to_owned(), serde_json::from_value(json!({"name": name, "prompt": "x"})).expect("one"));
    let mut spec = RunSpec::new(team, ["lead", "logs", "cost"].map(profile).into());
    spec.settle_flow().expect("parameters");
    spec.weights = weights;
    let flow = spec.flow.as_ref().expect("a flow");
    assert!(flow.goes_by_weights(), "its weights are pinned");
    let (scope, mut memory) = (Scope { spec: &spec, flow, task: "Which?" }, Memory::default());
    let moves = loop {
        match machine::next(scope, &mut memory, Happened::Began, 0) {
            Ok((moves, _)) => break moves,
            Err(keys) => keys.iter().for_each(|key| match key {
                Key::Frame(at) => memory.put_frame(at, None),
                Key::Task(at) => memory.put_task(at, None),
                Key::Below(at) => memory.put_below(at),
                Key::Context => memory.put_context(json!({})),
            }),
        }
    };
    let opened = moves.into_iter().find_map(|one| match one {
        Move::Note(note) if note.what == What::VoteOpened => Some(note.facts["voters"].clone()),
        _ => None,
    });
    opened.expect("a vote")
}

#[test]
fn a_weighted_vote_goes_by_the_record_in_its_capability() {
    let weights = || Pinned {
        weights: [("logs", 1.0), ("cost", 2.0), ("logs:sql", 5.0), ("cost:sql", 0.5)]
            .map(|(name, weight)| (name.to_owned(), weight))
            .into(),
        ..Pinned::default()
    };
    assert_eq!(electorate("weighted_vote", json!({}), weights()), json!([["logs", 1.0], ["cost", 2.0]]));
    let sql = json!({"capability": "sql"});
    assert_eq!(electorate("weighted_vote", sql, weights()), json!([["logs", 5.0], ["cost", 0.5]]));
}

/// Only the calls of those who ask models count, item by item.
#[test]
fn people_among_the_items_take_no_tokens() {
    let known = known().with_profiles(&[serde_json::from_value::<Profile>(
        json!({"name": "ada", "prompt": "x", "agent_kind": "human"}),
    )
    .expect("a person")]);
    let team = |tokens: u64| {
        let step = "{id: a, split: {over: members, do: [{id: b, task: {agent: '{{ item }}', instructions: x}}]}}";
        let text = format!(
            "kind: team\nname: t\ncoordinator: lead\nmembers: [{{profile: logs}}, {{profile: ada}}]\n\
             budget: {{max_tokens: {tokens}}}\nflow: {{steps: [{step}]}}\n"
        );
        read_one("right.yaml", &text, &known)
    };
    // One call: its prompt, what is around it, and the longest reply.
    team(4_496).unwrap_or_else(|problems| panic!("{problems}"));
    let problems = team(4_495).expect_err("too few").0;
    assert_eq!(problems[0].message, "a run makes at least 1 model call, which needs 4496 tokens; the budget is 4495");
}
