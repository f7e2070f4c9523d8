//! Agents that talk, ask, lock, hand over, delegate and spawn, in processes that are killed wherever they stand. The run ends
//! as it does in peace: every message once, one end for each question, no lock left, no effect twice.

use std::panic::catch_unwind;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use convoke_bench::soak::kill::facts::empty;
use serde_json::{Value, json};

use crate::doomed::Doomed;

/// Rounds, each with its own seed.
const ROUNDS: u64 = 24;
/// Rounds on PostgreSQL, where each process waits for the lease of the dead one.
const ROUNDS_ON_POSTGRES: u64 = 4;
/// Rounds at the same time.
const AT_ONCE: usize = 2;
/// Processes of one round, after which it must have ended.
const PROCESSES: u32 = 120;
/// The longest life of a process that is to be killed, in milliseconds.
const LIFE: u64 = 140;
/// The same on PostgreSQL: it waits for a lease before it does anything.
const LIFE_ON_POSTGRES: u64 = 900;
const TEAM: &str = include_str!("together/team.yaml");
const SCRIPT: &str = include_str!("together/script.yaml");
const RUN: [&str; 5] = ["run", "team.yaml", "Work together.", "--model", "script/./script.yaml"];
/// Whoever starts and watches everything: an owner, being the first.
const AS: [&str; 2] = ["--as", "ada"];

/// What is known of a run that has ended, but for times and ids.
#[derive(Debug, PartialEq)]
struct Facts {
    tasks: Vec<String>,
    messages: Vec<String>,
    decisions: Vec<String>,
    handoffs: Vec<String>,
    context: Vec<String>,
    agents: Vec<String>,
    acts: Vec<String>,
}

fn ask(place: &Doomed, words: &[&str]) -> Value {
    place.json(&[words, &AS].concat()).unwrap_or_else(|| panic!("no answer to {words:?}"))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().unwrap_or_else(|| panic!("a list: {value}")).iter()
}

/// The fields of each entry as lines without ids, in alphabetical order.
fn lines(of: &Value, fields: &[&str]) -> Vec<String> {
    let line = |one: &Value| masked(&json!(fields.iter().map(|field| &one[*field]).collect::<Vec<_>>()).to_string());
    let mut lines: Vec<_> = list(of).map(line).collect();
    lines.sort();
    lines
}

/// The text without ids, and without the ends of made names: which step made them is a matter of chance.
fn masked(text: &str) -> String {
    let id =
        regex::Regex::new("(run|task|msg|thr|hand)_[0-9a-z]{26}|(-[0-9]+-[0-9]+)?-[0-9a-z]{8}\\b").expect("a pattern");
    id.replace_all(text, "*").into_owned()
}

impl Facts {
    fn of(place: &Doomed) -> Self {
        let record = ask(place, &["show", "last"]);
        assert_eq!(record["state"], "completed", "{record:#}");
        let context = ask(place, &["context", "last"]);
        let mut shared = lines(&context["variables"], &["name", "version", "value", "by"]);
        shared.extend(lines(&context["findings"], &["text", "by"]));
        // An offer that was answered may be called off before its agent has said so: the handoffs tell what became of it.
        let tasks = list(&record["tasks"]).filter(|task| task["stage"] != "offer").cloned().collect();
        Self {
            tasks: lines(&Value::Array(tasks), &["key", "agent", "state", "output"]),
            messages: messages(place),
            decisions: lines(
                &ask(place, &["decisions", "last"]),
                &["kind", "asked_by", "question", "standing", "choice"],
            ),
            handoffs: lines(&ask(place, &["handoffs"]), &["from", "to", "state", "packet"]),
            context: shared,
            agents: lines(&ask(place, &["agents"]), &["name", "status", "running", "active"]),
            acts: place.acts(),
        }
    }

    /// The same as if the person's answer had been the default, for comparison.
    fn by_default(mut self) -> Self {
        let plain = |text: &str| {
            text.replace("\"answered\",\"red\"", "\"defaulted\",\"blue\"").replace("noon, red", "noon, blue")
        };
        for line in self.tasks.iter_mut().chain(&mut self.decisions) {
            *line = plain(line);
        }
        self
    }
}

/// All that was said, thread by thread, with what holds within a thread.
fn messages(place: &Doomed) -> Vec<String> {
    let mut said = Vec::new();
    for thread in list(&ask(place, &["threads", "--audit"])) {
        let id = thread["id"].as_str().expect("an id");
        let whole = ask(place, &["threads", "show", id, "--audit"]);
        let numbers: Vec<_> =
            list(&whole["messages"]).map(|message| message["n"].as_u64().expect("a number")).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "a thread has no gaps");
        for question in list(&whole["messages"]).filter(|one| one["kind"] == "question" || one["kind"] == "request") {
            let ends = list(&whole["messages"]).filter(|one| {
                one["reply_to"] == question["id"] && (one["kind"] == "decision" || one["kind"] == "response")
            });
            assert_eq!(ends.count(), 1, "one end for {question}: {whole:#}");
        }
        // Who decided, a person or the clock, is a matter of chance.
        let plain = list(&whole["messages"]).filter(|one| one["kind"] != "decision").cloned();
        said.extend(lines(&Value::Array(plain.collect()), &["from", "to", "kind", "priority", "body"]));
    }
    said.sort();
    said
}

/// What a person does about one entry of the inbox.
fn answer(place: &mut Doomed, entry: &Value, life: u64) {
    let id = entry["id"].as_str().expect("an id").to_owned();
    match entry["kind"].as_str() {
        Some("effect") => place.resolve(&id, &AS, life),
        Some("question") => place.kill_within(&[&["answer", &id, "red"][..], &AS].concat(), life),
        other => panic!("nobody expected {other:?}: {entry}"),
    }
}

/// A run that nobody disturbs.
fn calm(database: Option<String>) -> Facts {
    let place = Doomed::new(0, TEAM, SCRIPT).on(database);
    let ended = place.command(&[&RUN[..], &AS].concat()).stdout(Stdio::piped()).output().expect("it starts");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
    let facts = Facts::of(&place);
    assert_eq!(facts.acts, ["asked", "delegated", "given", "left", "right", "talked"]);
    assert_eq!((facts.handoffs.len(), facts.decisions.len()), (2, 2), "{facts:#?}");
    facts
}

/// One round; gives how many processes were killed.
fn round(seed: u64, database: Option<String>, calm: &Facts) -> usize {
    let life = if database.is_some() { LIFE_ON_POSTGRES } else { LIFE };
    let mut place = Doomed::new(seed, TEAM, SCRIPT).on(database);
    for _ in 0..PROCESSES {
        let runs = place.json(&[&["runs"][..], &AS].concat()).unwrap_or_default();
        match runs[0]["state"].as_str().unwrap_or_default() {
            "" => place.kill_within(&[&RUN[..], &AS].concat(), life),
            "completed" => {
                assert_eq!(runs.as_array().map(Vec::len), Some(1), "one run");
                let verified = place.command(&["db", "verify"]).status().expect("it starts");
                assert!(verified.success(), "the database is sound");
                assert_eq!(ask(&place, &["locks"]), json!([]), "no lock is left");
                assert_eq!(ask(&place, &["inbox"]), json!([]), "nothing waits");
                assert_eq!(&Facts::of(&place).by_default(), calm);
                return place.kills;
            }
            _ => {
                let inbox = place.json(&[&["inbox"][..], &AS].concat()).unwrap_or_default();
                let entries = inbox.as_array().cloned().unwrap_or_default();
                if entries.is_empty() || place.chance.bool() {
                    place.kill_within(&[&["resume"][..], &AS].concat(), life);
                } else {
                    let entry = entries[place.chance.usize(..entries.len())].clone();
                    answer(&mut place, &entry, life);
                }
            }
        }
    }
    panic!("it never ended: {:#}", ask(&place, &["show", "last"]));
}

/// A round in a schema of its own, if there is a server.
fn on<T>(server: Option<&str>, name: &str, round: impl FnOnce(Option<String>) -> T) -> T {
    let Some(server) = server else { return round(None) };
    let schema = format!("together_{}_{name}", std::process::id());
    empty(server, &schema).expect("a schema");
    let joint = if server.contains('?') { '&' } else { '?' };
    let done = round(Some(format!("{server}{joint}options=-csearch_path%3D{schema}")));
    empty(server, &schema).expect("emptied");
    done
}

/// So many rounds; a failure names its seed and keeps its folder.
fn rounds(count: u64, server: Option<&str>) {
    let first = fastrand::u64(..1 << 32);
    println!("seeds {first} to {}", first + count - 1);
    let calm = on(server, "calm", calm);
    let (next, kills) = (AtomicU64::new(first), AtomicUsize::new(0));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed >= first + count {
                return;
            }
            let killed = catch_unwind(|| on(server, &seed.to_string(), |database| round(seed, database, &calm)));
            kills.fetch_add(killed.unwrap_or_else(|_| panic!("the round with seed {seed} failed")), Ordering::SeqCst);
        }
    };
    std::thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    let kills = kills.into_inner();
    println!("{kills} kills");
    assert!(kills as u64 >= count, "{kills} kills in {count} rounds");
}

#[test]
fn wherever_they_are_killed_agents_that_work_together_end_as_in_peace() {
    rounds(ROUNDS, None);
}

#[test]
fn on_postgresql_too() {
    let server = std::env::var("CONVOKE_TEST_PG");
    let server =
        server.expect("CONVOKE_TEST_PG names no PostgreSQL for tests; run `cargo xtask test`, which starts one");
    rounds(ROUNDS_ON_POSTGRES, Some(&server));
}
