//! A call that needs leave, and processes that are killed wherever they stand: asking, being answered, going on. Nothing is lost,
//! and what was approved is done once.

use serde_json::Value;

use crate::doomed::Doomed;

/// Rounds, each with its own seed.
const ROUNDS: u64 = 8;
/// Processes of one round, after which it must have ended.
const PROCESSES: u32 = 200;
/// The longest life of a process that is to be killed, in milliseconds.
const LIFE: u64 = 250;
const TEAM: &str = "kind: profile\nname: lead\nrole: coordinator\nprompt: You lead.\n\
    ---\nkind: profile\nname: ops\nprompt: You act.\ntools: [shell]\nask: [shell]\nauthority: {shell: true}\n\
    ---\nkind: team\nname: acting\ncoordinator: lead\nmembers:\n  - {profile: ops}\nrules: {planning: same_task}\n";
const SCRIPT: &str = "agents:\n  lead:\n    - text: It was done.\n  ops:\n    - when: {turn: 1}\n      text: It must be done.\n      tools:\n        \
    - {label: one, name: shell, input: {command: echo acted >> acts.txt}}\n        \
    - {label: two, name: shell, input: {command: echo again >> acts.txt}}\n    - text: Done.\n";

/// What a person does about one entry of the inbox.
fn answer(place: &mut Doomed, entry: &Value) {
    let id = entry["id"].as_str().expect("an id").to_owned();
    match entry["kind"].as_str() {
        Some("approval") => place.kill_within(&["approve", &id], LIFE),
        Some("effect") => place.resolve(&id, &[], LIFE),
        other => panic!("nobody expected {other:?}: {entry}"),
    }
}

fn round(seed: u64) {
    let mut place = Doomed::new(seed, TEAM, SCRIPT);
    for _ in 0..PROCESSES {
        let runs = place.json(&["runs"]).unwrap_or_default();
        let state = runs[0]["state"].as_str().unwrap_or_default().to_owned();
        match state.as_str() {
            "" => place.kill_within(&["run", "team.yaml", "Act.", "--model", "script/./script.yaml"], LIFE),
            "completed" => return check(seed, &place, &runs),
            _ => {
                let inbox = place.json(&["inbox"]).unwrap_or_default();
                let entries = inbox.as_array().cloned().unwrap_or_default();
                if entries.is_empty() || place.chance.bool() {
                    place.kill_within(&["resume"], LIFE);
                } else {
                    let entry = entries[place.chance.usize(..entries.len())].clone();
                    answer(&mut place, &entry);
                }
            }
        }
    }
    panic!("seed {seed}: it never ended: {:#}", place.json(&["show", "last"]).unwrap_or_default());
}

fn check(seed: u64, place: &Doomed, runs: &Value) {
    assert_eq!(runs.as_array().map(Vec::len), Some(1), "seed {seed}: one run");
    assert_eq!(place.acts(), ["acted", "again"], "seed {seed}: each once");
    let record = place.json(&["show", "last"]).expect("a record");
    let approvals = record["approvals"].as_array().expect("approvals").clone();
    let used = approvals.iter().filter(|approval| approval["used_at"].is_string()).count();
    assert!(used >= 2, "seed {seed}: each call had leave: {approvals:?}");
    assert!(approvals.iter().all(|approval| approval["state"] != "pending"), "seed {seed}: {approvals:?}");
    let verified = place.command(&["db", "verify"]).status().expect("it starts");
    assert!(verified.success(), "seed {seed}: the database is sound");
}

#[test]
fn wherever_it_is_killed_what_was_approved_is_done_once() {
    let first = fastrand::u64(..1 << 32);
    println!("seeds {first} to {}", first + ROUNDS - 1);
    let half = ROUNDS / 2;
    std::thread::scope(|scope| {
        scope.spawn(|| (first..first + half).for_each(round));
        (first + half..first + ROUNDS).for_each(round);
    });
}
