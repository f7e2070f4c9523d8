//! Shared context and memory from the command line: what people see, write and are told.

use serde_json::Value;

use crate::support::{Place, strs};

const TEAM: &str = "\
kind: profile
name: boss
role: coordinator
prompt: You lead.
tools: ['@share']
---
kind: profile
name: digger
prompt: You dig.
tools: ['@share']
---
kind: team
name: diggers
coordinator: boss
members:
  - {profile: digger}
rules: {planning: same_task}
memory: {propagate: [finding], expire_days: 90}
";

const SCRIPT: &str = r#"
price: {input: 3.0, output: 15.0}
agents:
  boss:
    - text: "Put together."
  digger:
    - when: {turn: 1}
      tools:
        - {label: v, name: write_context, input: {name: db/primary, value: eu-1, version: 0}}
        - {label: f, name: add_finding, input: {text: "The pool was exhausted by a migration.", evidence: "app.log:7", confidence: high, tags: [postgres]}}
    - text: "Dug."
"#;

fn with_run() -> Place {
    let place = Place::new();
    place.write("team.yaml", TEAM);
    let script = place.write("script.yaml", SCRIPT);
    let model = format!("script/{}", script.display());
    place.done(&["run", "team.yaml", "Why are connections refused?", "--model", &model]);
    place
}

/// The call as people see it, without times and ids.
fn told(place: &Place, args: &[&str]) -> String {
    let mut out = String::new();
    for word in place.told(args).split_inclusive([' ', '\n', '`']) {
        let bare = word.trim_end_matches([' ', '\n', '`', ';', ',']);
        let is_time = bare.len() >= 8 && bare.bytes().all(|b| b.is_ascii_digit() || b"-:TZ.".contains(&b));
        let shown = if is_time {
            "TIME"
        } else if bare.starts_with("mem_01") {
            "MEM"
        } else {
            bare
        };
        out.push_str(shown);
        out.push_str(&word[bare.len()..]);
    }
    out
}

#[test]
fn people_see_what_a_run_shares_and_what_is_remembered() {
    let place = with_run();
    let calls: &[&[&str]] = &[
        &["context", "last"],
        &["context", "last", "get", "db/primary"],
        &["context", "last", "get", "f0001"],
        &["context", "last", "history", "db/primary"],
        &["memory", "list"],
        &["memory", "list", "--team", "diggers"],
        &["memory", "list", "--team", "nobody"],
        &["memory", "add", "The staging pool has 20 connections.", "--tag", "postgres", "--days", "30"],
        &["memory", "add", "Ask before you restart.", "--agent", "digger"],
        &["memory", "search", "pool connections", "--team", "diggers"],
        &["memory", "search", "zebra"],
    ];
    let all: Vec<_> = calls.iter().map(|call| told(&place, call)).collect();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn what_is_wrong_is_told() {
    let place = with_run();
    let long = "x".repeat(9_000);
    let calls: &[&[&str]] = &[
        &["context", "last", "get", "nothing"],
        &["context", "last", "history", "no\u{7}thing"],
        &["context", "last", "history", "nothing"],
        &["context", "last", "set", "db/primary", "eu-2", "--version", "1"],
        &["context", "run_01h455vb4pex5vsknk084sn02q"],
        &["context", "last", "set", "a"],
        &["context", "last", "set", "a", "b", "--version", "-1"],
        &["context", "last", "unset", "a"],
        &["memory"],
        &["memory", "add", " "],
        &["memory", "add", "x", "--team", "ghosts"],
        &["memory", "add", "x", "--agent", "ghost"],
        &["memory", "add", "x", "--agent", "digger", "--team", "diggers"],
        &["memory", "add", "x", "--tag", "a b"],
        &["memory", "add", "x", "--days", "0"],
        &["memory", "forget", "mem_1"],
        &["memory", "forget", "mem_00000000000000000000000001"],
        &["memory", "list", "--before", "yesterday"],
    ];
    let mut all: Vec<_> = calls.iter().map(|call| told(&place, call)).collect();
    all.push(told(&place, &["memory", "add", &long]).replace(&long, "[9000 BYTES]"));
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn programs_read_it_as_json() {
    let place = with_run();
    let context = place.json(&["context", "last"]);
    assert_eq!(
        (&context["variables"][0]["value"], &context["findings"][0]["confidence"]),
        (&"eu-1".into(), &"high".into())
    );
    assert_eq!((&context["size"]["entries"], &context["size"]["findings"]), (&2.into(), &1.into()));
    assert_eq!(place.json(&["context", "last", "get", "f0001"])["by"], "agent:digger");
    assert_eq!(place.json(&["context", "last", "history", "db/primary"])[0]["version"], 1);
    let kept = place.json(&["memory", "list"]);
    let id = kept[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!((&kept[0]["source"], &kept[0]["owner"]), (&"finding:f0001".into(), &"diggers".into()));
    let found = place.json(&["memory", "search", "migrations", "--team", "diggers"]);
    assert!(found[0]["id"] == id.as_str() && found[0]["score"].as_f64().is_some_and(|score| score > 0.0), "{found}");
    assert_eq!(place.json(&["memory", "add", "x y"])["added"], true);
    let lines: Vec<Value> =
        place.done(&["memory", "export"]).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(place.json(&["memory", "forget", &id])["forgotten"], true);
    assert_eq!(place.json(&["memory", "search", "migrations", "--team", "diggers"]), Value::Array(vec![]));
}

/// While a process works on the folder, a person writes into its run's context through it.
#[test]
fn a_person_writes_into_a_run_that_goes_on() {
    let place = Place::new();
    let words = place.team(crate::support::SLOW);
    let mut working = place.start(&strs(&words));
    working.until("search_files");
    assert_eq!(place.json(&["context", "last", "set", "region", "eu"])["written"], true);
    let ended = place.run(&["context", "last", "set", "region", "us", "--json"]);
    assert!(ended.code != 0 && ended.err.contains("stale_version") && ended.err.contains("version 1"), "{}", ended.err);
    assert_eq!(place.json(&["context", "last", "set", "region", "us", "--version", "1"])["written"], true);
    assert_eq!(place.json(&["context", "last", "unset", "region", "--version", "2"])["removed"], true);
    let versions = place.json(&["context", "last", "history", "region"]);
    assert_eq!(versions.as_array().map(Vec::len), Some(3));
    assert_eq!(working.end().code, 0);
}
