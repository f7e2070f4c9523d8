//! A call that needs leave, and processes that are killed wherever they stand: asking, being answered, going on. Nothing is lost,
//! and what was approved is done once.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::support::binary;

/// Rounds, each with its own seed.
const ROUNDS: u64 = 8;
/// Processes of one round, after which it must have ended.
const PROCESSES: u32 = 80;
/// The longest life of a process that is to be killed, in milliseconds.
const LIFE: u64 = 250;
const TEAM: &str = "kind: profile\nname: lead\nrole: coordinator\nprompt: You lead.\n\
    ---\nkind: profile\nname: ops\nprompt: You act.\ntools: [shell]\nask: [shell]\nauthority: {shell: true}\n\
    ---\nkind: team\nname: acting\ncoordinator: lead\nmembers:\n  - {profile: ops}\nrules: {planning: same_task}\n";
const SCRIPT: &str = "agents:\n  lead:\n    - text: It was done.\n  ops:\n    - when: {turn: 1}\n      text: It must be done.\n      tools:\n        \
    - {label: one, name: shell, input: {command: echo acted >> acts.txt}}\n        \
    - {label: two, name: shell, input: {command: echo again >> acts.txt}}\n    - text: Done.\n";

struct Place {
    home: tempfile::TempDir,
    chance: fastrand::Rng,
}

impl Place {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(words).arg("--data").arg(self.data()).current_dir(self.home.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Runs a command that is killed at some time, or may end.
    fn doomed(&mut self, words: &[&str]) {
        let mut child = self.command(words).spawn().expect("it starts");
        if self.chance.u8(..4) == 0 {
            let _ = child.wait();
            return;
        }
        // Chance decides where it dies; nothing is waited for.
        sleep(Duration::from_millis(self.chance.u64(..LIFE)));
        let _ = child.kill();
        let _ = child.wait();
    }

    fn json(&self, words: &[&str]) -> Option<Value> {
        let output = self.command(&[words, &["--json"]].concat()).stdout(Stdio::piped()).output().expect("it starts");
        serde_json::from_slice(&output.stdout).ok()
    }

    /// How often the command that says so was carried out.
    fn acts(&self, word: &str) -> usize {
        let mut texts = Vec::new();
        collect(&self.data().join("work"), &mut texts);
        texts.iter().flat_map(|text| text.lines()).filter(|line| *line == word).count()
    }
}

fn collect(dir: &Path, into: &mut Vec<String>) {
    for path in std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(&path, into);
        } else if path.file_name().is_some_and(|name| name == "acts.txt") {
            into.extend(std::fs::read_to_string(&path));
        }
    }
}

/// What a person does about one entry of the inbox.
fn answer(place: &mut Place, entry: &Value) {
    let id = entry["id"].as_str().expect("an id").to_owned();
    match entry["kind"].as_str() {
        Some("approval") => place.doomed(&["approve", &id]),
        // The person looks whether it was done; which of the two it is, the record says.
        Some("effect") => {
            let record = place.json(&["show", "last"]).expect("a record");
            let step: usize = id.rsplit(':').next().and_then(|n| n.parse().ok()).expect("a step");
            let steps = record["tasks"][0]["attempts"][0]["steps"].as_array().expect("steps").clone();
            let step = steps.iter().find(|found| found["n"] == step).expect("the step");
            let is_first = step["input"]["command"].as_str().is_some_and(|command| command.contains("acted"));
            let done = place.acts(if is_first { "acted" } else { "again" }) > 0;
            place.doomed(&["resolve", &id, if done { "done" } else { "retry" }]);
        }
        other => panic!("nobody expected {other:?}: {entry}"),
    }
}

fn round(seed: u64) {
    let home = tempfile::tempdir().expect("a folder");
    std::fs::write(home.path().join("team.yaml"), TEAM).expect("written");
    std::fs::write(home.path().join("script.yaml"), SCRIPT).expect("written");
    let mut place = Place { home, chance: fastrand::Rng::with_seed(seed) };
    for _ in 0..PROCESSES {
        let runs = place.json(&["runs"]).unwrap_or_default();
        let state = runs[0]["state"].as_str().unwrap_or_default().to_owned();
        match state.as_str() {
            "" => place.doomed(&["run", "team.yaml", "Act.", "--model", "script/./script.yaml"]),
            "completed" => return check(seed, &place, &runs),
            _ => {
                let inbox = place.json(&["inbox"]).unwrap_or_default();
                let entries = inbox.as_array().cloned().unwrap_or_default();
                if entries.is_empty() || place.chance.bool() {
                    place.doomed(&["resume"]);
                } else {
                    let entry = entries[place.chance.usize(..entries.len())].clone();
                    answer(&mut place, &entry);
                }
            }
        }
    }
    panic!("seed {seed}: it never ended: {:#}", place.json(&["show", "last"]).unwrap_or_default());
}

fn check(seed: u64, place: &Place, runs: &Value) {
    assert_eq!(runs.as_array().map(Vec::len), Some(1), "seed {seed}: one run");
    assert_eq!((place.acts("acted"), place.acts("again")), (1, 1), "seed {seed}: each once");
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
