//! What programs read: its shape is a promise.

use serde_json::Value;

use crate::support::{Place, WORKS, strs};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn a_run_and_all_that_is_told_of_it() {
    let place = Place::new();
    let words = place.team(WORKS);
    let run = place.json(&strs(&words));
    assert_eq!(
        (&run["state"], &run["simulated"], &run["schema_version"]),
        (&"completed".into(), &true.into(), &1.into())
    );
    assert!(run["report_html"].as_str().is_some_and(crate::support::exists));

    let runs = place.json(&["runs"]);
    let one = &runs.as_array().expect("an array")[0];
    for key in ["id", "team", "state", "model_calls", "tokens", "cost_usd", "started_at", "finished_at"] {
        assert!(one.get(key).is_some_and(|value| !value.is_null()), "{key}: {one}");
    }
    assert_eq!((&one["model_calls"], &one["team"]), (&4.into(), &"pair".into()));
    assert!(one["started_at"].as_str().is_some_and(|at| at.ends_with('Z') && at.len() == 27), "{one}");

    let id = one["id"].as_str().expect("an id");
    assert_eq!(place.json(&["show", id])["id"], *id);
    assert_eq!(place.json(&["report", &id[id.len() - 5..]])["output"], "Together: Found ERROR two");
    let events = place.done(&["events", "last", "--json"]);
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(keys(&events[0]), ["seq", "workspace", "at", "kind", "entity", "entity_id", "run", "actor", "payload"]);
    assert_eq!(events.last().expect("an event")["kind"], "run.completed");

    let stats = place.json(&["stats"]);
    assert_eq!(
        keys(&stats),
        [
            "agents_total",
            "agents_active",
            "capacity",
            "queue_size",
            "tasks",
            "runs",
            "messages",
            "decisions",
            "open_questions",
            "events"
        ]
    );
    assert_eq!(stats["runs"]["completed"], 1);
    assert_eq!(place.json(&["db", "verify"])["sound"], true);
    assert_eq!(place.json(&["audit", "verify"])["problems"], serde_json::json!([]));
}

#[test]
fn nothing_but_json_is_on_the_output_stream() {
    let place = Place::new();
    let words = place.team(WORKS);
    let ended = place.run(&[strs(&words), vec!["--json"]].concat());
    serde_json::from_str::<Value>(&ended.out).expect("one value");
    assert!(ended.err.contains("begins: team pair"), "progress goes beside it: {}", ended.err);
    let quiet = place.run(&[strs(&words), vec!["--json", "--quiet"]].concat());
    assert_eq!(quiet.err, "");
}

#[test]
fn lists_and_findings() {
    let place = Place::new();
    let agents = place.json(&["agents"]);
    assert!(agents.as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "logs-specialist")), "{agents}");
    let teams = place.json(&["teams"]);
    assert!(
        teams.as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "code-review" && one["version"] == 1))
    );
    let doctor = place.json(&["doctor"]);
    let names: Vec<&str> =
        doctor["findings"].as_array().expect("findings").iter().filter_map(|one| one["name"].as_str()).collect();
    for name in ["version", "data folder", "schema", "sqlite", "disk", "sandbox", "models: openai"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    assert_eq!(place.json(&["runs"]), serde_json::json!([]));
}

#[test]
fn a_key_is_never_shown() {
    let place = Place::new();
    let out = place.command(&["doctor"]).env("OPENAI_API_KEY", "sk-very-secret").output().expect("runs");
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(text.contains("models: openai") && text.contains("key: yes"), "{text}");
    assert!(!text.contains("secret"), "{text}");
}
