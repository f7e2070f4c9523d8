//! `convoke plan`: what a run would take, for people and for programs, and that nothing comes of it.

use crate::support::Place;

const TEAM: &str = "kind: team
name: pair
coordinator: orchestrator
members: [{profile: researcher}, {profile: qa, role: reviewer}]
budget: {max_cost_usd: 0.001}
flow:
  steps:
    - id: draft
      task: {agent: researcher, instructions: \"{{ task }}\"}
    - id: check
      review: {of: draft, author: researcher, reviewers: \"['qa']\", rounds: 2, on_reject: continue}
";

#[test]
fn a_plan_says_what_a_run_would_take() {
    let place = Place::new();
    place.write("pair.yaml", TEAM);
    let args = ["plan", "pair.yaml", "Compare two databases.", "--model", "openai/gpt-5"];
    insta::assert_snapshot!(place.done(&args));
    let found = place.json(&args);
    assert_eq!(found["plan"]["takes"]["least"]["tasks"], 2, "a draft and a review: {found}");
    assert_eq!(found["plan"]["takes"]["most"]["tasks"], 4, "and a revision with its review: {found}");
    assert!(found["warnings"][0].as_str().expect("a warning").contains("cannot suffice"), "{found}");
    assert!(place.json(&["runs"]).as_array().expect("a list").is_empty(), "nothing was started");
    assert!(!place.done(&["teams"]).lines().any(|line| line.starts_with("pair ")), "nothing was saved");
}

#[test]
fn what_agents_decide_themselves_is_said_not_to_be_counted() {
    let place = Place::new();
    let helper = "kind: profile\nname: helper\nprompt: You help.\ntools: [\"@work\", ask]\n---\n";
    let team = "kind: team\nname: helpers\ncoordinator: orchestrator\nmembers: [{profile: helper}, {profile: qa}]\n";
    place.write("helpers.yaml", &format!("{helper}{team}rules: {{planning: same_task}}\n"));
    let args = ["plan", "helpers.yaml", "Help.", "--model", "openai/gpt-5"];
    let told = place.done(&args);
    let part = told.split("\n\n").find(|part| part.starts_with("Not counted")).unwrap_or_else(|| panic!("{told}"));
    insta::assert_snapshot!(part);
    let found = place.json(&args);
    let tools: Vec<_> = found["plan"]["not_counted"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (&one["agent"], &one["tool"]))
        .collect();
    let helper = serde_json::Value::from("helper");
    assert_eq!(tools, [(&helper, &"hand_off".into()), (&helper, &"ask".into())], "{found}");
    let capped = place.done(&[&args[..], &["--budget", "2"]].concat());
    assert!(capped.contains("no figure would hold; the budget of $2.0000 does."), "{capped}");
}

#[test]
fn every_team_of_the_library_can_be_planned() {
    let place = Place::new();
    for team in convoke_api::library::bundle().teams {
        let found = place.json(&["plan", &team.name, "Do it.", "--model", "openai/gpt-5"]);
        let takes = &found["plan"]["takes"];
        let cost = |which: &str| takes[which]["cost_usd"].as_f64().expect("a number");
        assert!(cost("least") > 0.0 && cost("least") <= cost("typical") && cost("typical") <= cost("most"), "{found}");
        assert!(found["plan"]["completed"].as_u64().expect("a number") > 0, "{found}");
    }
}

#[test]
fn a_script_is_played_and_counted() {
    let place = Place::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../library/scripts/incident-response.yaml");
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/incident-response/data");
    let found = place.json(&["plan", "incident-response", "Find it.", "--script", script, "--input", data]);
    assert_eq!(found["script"]["state"], "completed", "{found}");
    assert!(found["script"]["model_calls"].as_u64().expect("a number") >= 10, "{found}");
    assert!(place.json(&["runs"]).as_array().expect("a list").is_empty(), "nothing is left of it");
}
