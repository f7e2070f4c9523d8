//! What a person decides about agents, with the real binary: default, rank, heartbeats, grants; and what is refused.

use crate::support::Place;

#[test]
fn agents_are_changed_and_rights_are_given_and_taken_back() {
    let place = Place::new();
    place.done(&["agents", "default", "logs-specialist"]);
    place.done(&["agents", "role", "security-specialist", "supervisor"]);
    place.done(&["agents", "heartbeat", "cost-specialist", "--degraded"]);
    let shown = place.json(&["agents", "show", "logs-specialist"]);
    assert_eq!(
        (&shown["default"], &shown["status"], &shown["health"]),
        (&true.into(), &"idle".into(), &"unknown".into())
    );
    assert_eq!(place.json(&["agents", "show", "security-specialist"])["workspace_role"], "supervisor");
    assert_eq!(place.json(&["agents", "show", "cost-specialist"])["health"], "degraded");

    place.done(&["grant", "logs-specialist", "tool:write_file", "--for", "15m", "--reason", "the typo"]);
    let grants = place.json(&["grants"]);
    assert_eq!((&grants[0]["right"], &grants[0]["in_force"]), (&"tool:write_file".into(), &true.into()), "{grants}");
    let id = grants[0]["id"].as_str().expect("an id").to_owned();
    place.done(&["revoke", &id]);
    assert_eq!(place.json(&["grants"]), serde_json::json!([]));
    assert_eq!(place.json(&["grants", "--all"])[0]["in_force"], false);
}

#[test]
fn what_cannot_be_decided_says_why() {
    let place = Place::new();
    place.done(&["agents", "default", "logs-specialist"]);
    let mut said = Vec::new();
    for args in [
        &["agents", "show", "ghost"][..],
        &["agents", "default", "ghost"],
        &["agents", "retire", "logs-specialist"],
        &["agents", "role", "logs-specialist", "boss"],
        &["grant", "logs-specialist", "root"],
        &["grant", "logs-specialist", "shell", "--for", "1y"],
        &["grant", "logs-specialist", "shell", "--for", "31d"],
        &["grant", "ghost", "shell"],
        &["revoke", "grant_1"],
        &["spawn", "last", "Dig."],
        &["spawn", "last", "Dig.", "--profile", "logs-specialist"],
        &["kill", "last", "logs-specialist"],
        &["budget", "move", "last", "a", "b"],
        &["budget", "move", "last", "a", "b", "-1"],
    ] {
        let run = place.run(args);
        said.push(format!("$ convoke {} -> {}\n{}", args.join(" "), run.code, run.err.trim()));
    }
    insta::assert_snapshot!(said.join("\n\n"));
}

#[test]
fn it_is_said_for_which_agent_a_run_waits() {
    let place = Place::new();
    place.team("");
    let team = std::fs::read_to_string(place.path("team.yaml")).expect("the team");
    place.write("team.yaml", &team.replace("tools: [read_file, search_files, shell]", "tools: [\"@talk\"]"));
    place.team_script(
        "    - when: {turn: 1}\n      tools:\n        - {label: q, name: ask, input: {to: user, question: Which?, options: [red, blue]}}\n    - text: done\n",
    );
    assert_eq!(place.run(&["run", "team.yaml", "Look", "--model", "script/script.yaml"]).code, 5, "it asks");
    place.done(&["agents", "block", "lead"]);
    let inbox = place.json(&["inbox"]);
    place.done(&["answer", inbox[0]["id"].as_str().expect("an id"), "red"]);
    let mut going = place.start(&["resume"]);
    let line = going.until("waits for agent `lead`, which is blocked");
    assert!(line.contains("agents unblock lead"), "{line}");
    let shown = place.done(&["show", "last"]);
    assert!(shown.contains("waits for agent `lead`, which is blocked"), "{shown}");
    let refused = place.run(&["agents", "retire", "worker"]);
    assert!(refused.code != 0 && refused.err.contains("not ended yet"), "{}", refused.err);
    place.done(&["agents", "unblock", "lead"]);
    let ended = going.end();
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
}
