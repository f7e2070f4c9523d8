//! People who talk, answer, sign, accept and decline, with processes that are killed wherever they stand: theirs and those that
//! carry the run. What was said is there once for each recipient, what was asked has one answer, an offer is settled once.

use std::process::Stdio;

use serde_json::Value;

use crate::doomed::Doomed;

/// Rounds, each with its own seed.
const ROUNDS: u64 = 8;
/// Rounds at the same time: they sleep more than they work.
const AT_ONCE: u64 = 4;
/// Processes of one round, after which it must have ended.
const PROCESSES: u32 = 300;
/// The longest life of a process that is to be killed, in milliseconds.
const LIFE: u64 = 120;
const TEAM: &str = include_str!("people/team.yaml");
const SCRIPT: &str = include_str!("people/script.yaml");
const RUN: [&str; 5] = ["run", "team.yaml", "Serve.", "--model", "script/./script.yaml"];
/// Whoever starts and answers everything: an owner, being the first.
const AS: [&str; 2] = ["--as", "ada"];
/// What is said before the asker goes on: to whom, and the words.
const SAID: [(&str, &str); 2] = [("asker", "The hint."), ("all", "The rest.")];

fn ask(place: &Doomed, words: &[&str]) -> Value {
    place.json(&[words, &AS].concat()).unwrap_or_else(|| panic!("no answer to {words:?}"))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().unwrap_or_else(|| panic!("a list: {value}")).iter()
}

fn text<'v>(of: &'v Value, field: &str) -> &'v str {
    of[field].as_str().unwrap_or_default()
}

/// Every message, of every thread.
fn messages(place: &Doomed) -> Vec<Value> {
    let mut all = Vec::new();
    for thread in list(&ask(place, &["threads", "--audit"])) {
        let whole = ask(place, &["threads", "show", text(thread, "id"), "--audit"]);
        let numbers: Vec<_> = list(&whole["messages"]).filter_map(|message| message["n"].as_u64()).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "a thread has no gaps");
        all.extend(list(&whole["messages"]).cloned());
    }
    all
}

/// What a person does about one entry of the inbox.
fn answer(place: &mut Doomed, entry: &Value) {
    let (id, title) = (text(entry, "id").to_owned(), format!("{} {}", text(entry, "title"), text(entry, "detail")));
    let mut answered = |choice: &str| place.kill_within(&[&["answer", &id, choice][..], &AS].concat(), LIFE);
    match text(entry, "kind") {
        "task" => answered("Signed."),
        "question" if title.contains("Which size?") => answered("large"),
        "question" if title.contains("Is all said?") => say_or(place, &id),
        "question" if title.contains("keeper") => settle(place, &id, "keeper"),
        "question" if title.contains("refuser") => settle(place, &id, "refuser"),
        other => panic!("nobody expected {other:?}: {entry}"),
    }
}

/// Says what is not there yet, or that all is said. Whoever was killed while saying it looks before saying it again.
fn say_or(place: &mut Doomed, question: &str) {
    let said = place.text(&[&["watch", "last", "--once"][..], &AS].concat());
    match SAID.iter().find(|(_, words)| !said.contains(words)) {
        Some((to, words)) => place.kill_within(&[&["say", to, words, "--run", "last"][..], &AS].concat(), LIFE),
        None => place.kill_within(&[&["answer", question, "yes"][..], &AS].concat(), LIFE),
    }
}

/// Tells the agent that was asked what to do with the offer, or does it in its place.
fn settle(place: &mut Doomed, question: &str, receiver: &str) {
    let takes = receiver == "keeper";
    let open = ask(place, &["handoffs", "list", "--open"]);
    let offer = list(&open).find(|one| one["to"] == receiver).map(|one| text(one, "id").to_owned());
    match offer.filter(|_| place.chance.bool()) {
        Some(id) if takes => place.kill_within(&[&["handoffs", "accept", &id][..], &AS].concat(), LIFE),
        Some(id) => {
            let words = ["handoffs", "decline", &id, "--reason", "not now"];
            place.kill_within(&[&words[..], &AS].concat(), LIFE);
        }
        None => {
            let choice = if takes { "yes" } else { "no" };
            place.kill_within(&[&["answer", question, choice][..], &AS].concat(), LIFE);
        }
    }
}

/// One round; gives how many processes were killed.
fn round(seed: u64) -> usize {
    let mut place = Doomed::new(seed, TEAM, SCRIPT);
    for _ in 0..PROCESSES {
        let inbox = place.json(&[&["inbox"][..], &AS].concat()).unwrap_or_default();
        let entries: Vec<_> = inbox.as_array().into_iter().flatten().filter(|one| is_asked(one)).collect();
        if !entries.is_empty() && place.chance.u8(..4) > 0 {
            let entry = entries[place.chance.usize(..entries.len())].clone();
            answer(&mut place, &entry);
            continue;
        }
        let runs = place.json(&[&["runs"][..], &AS].concat()).unwrap_or_default();
        match runs[0]["state"].as_str().unwrap_or_default() {
            "" => place.kill_within(&[&RUN[..], &AS].concat(), LIFE),
            "completed" => {
                assert_eq!(runs.as_array().map(Vec::len), Some(1), "seed {seed}: one run");
                check(&place);
                return place.kills;
            }
            _ => place.kill_within(&[&["resume"][..], &AS].concat(), LIFE),
        }
    }
    panic!("seed {seed}: it never ended: {:#}", ask(&place, &["show", "last"]));
}

/// Something that waits for an answer; a message that was not read is none.
fn is_asked(entry: &Value) -> bool {
    matches!(text(entry, "kind"), "question" | "task")
}

fn check(place: &Doomed) {
    let verified = place.command(&["db", "verify"]).stdout(Stdio::null()).status().expect("it starts");
    assert!(verified.success(), "the database is sound: ledger, counts and chain");
    let record = ask(place, &["show", "last"]);
    let output = |key: &str| {
        let task = list(&record["tasks"]).find(|task| task["key"] == key && task["stage"] == "work");
        text(task.unwrap_or_else(|| panic!("no task {key}: {record:#}")), "output").to_owned()
    };
    // The order in which two threads are read is a matter of chance.
    assert!(["large, The hint, The rest", "large, The rest, The hint"].contains(&output("ask").as_str()), "{record:#}");
    assert_eq!((output("give"), output("offer")), ("Kept.".into(), "Mine after all, not now.".into()), "{record:#}");
    assert_eq!(output("sign"), "Signed.");
    let handoffs = ask(place, &["handoffs"]);
    let mut settled: Vec<_> =
        list(&handoffs).map(|one| (text(one, "from"), text(one, "to"), text(one, "state"))).collect();
    settled.sort_unstable();
    assert_eq!(settled, [("donor", "refuser", "declined"), ("giver", "keeper", "accepted")]);
    check_messages(&messages(place));
    let decisions = ask(place, &["decisions", "last"]);
    let mut asked: Vec<_> = list(&decisions).map(|one| (text(one, "question"), text(one, "standing"))).collect();
    asked.sort_unstable();
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert_eq!((asked[0], asked[3]), (("Is all said?", "answered"), ("Which size?", "answered")));
    // Whoever settled the offer in the agent's place left its question without need of an answer.
    assert!(asked[1..3].iter().all(|(_, standing)| ["answered", "withdrawn"].contains(standing)), "{asked:?}");
    assert!(list(&ask(place, &["inbox"])).all(|entry| !is_asked(entry)), "nothing waits");
}

/// Each message once, with one receipt for each recipient, and one end for what was asked.
fn check_messages(all: &[Value]) {
    for (_, words) in SAID {
        assert_eq!(all.iter().filter(|one| text(one, "body") == words).count(), 1, "{words} {all:#?}");
    }
    for message in all {
        let mut who: Vec<_> = list(&message["receipts"]).map(|receipt| text(receipt, "who")).collect();
        let count = who.len();
        who.sort_unstable();
        who.dedup();
        assert_eq!(who.len(), count, "one receipt for each: {message:#}");
        let asker = list(&message["receipts"]).find(|receipt| receipt["who"] == "agent:asker");
        if SAID.iter().any(|(_, words)| text(message, "body") == *words) {
            assert_eq!(asker.map(|receipt| text(receipt, "state")), Some("read"), "{message:#}");
        }
        if ["question", "request"].contains(&text(message, "kind")) {
            let ends = all.iter().filter(|one| one["reply_to"] == message["id"]).count();
            assert!(ends <= 1, "one end: {message:#}");
        }
    }
}

#[test]
fn wherever_they_are_killed_what_people_say_and_answer_is_there_once() {
    let first = fastrand::u64(..1 << 32);
    println!("seeds {first} to {}", first + ROUNDS - 1);
    let part = ROUNDS / AT_ONCE;
    let kills: usize = std::thread::scope(|scope| {
        let some = |n: u64| scope.spawn(move || (first + n * part..first + (n + 1) * part).map(round).sum::<usize>());
        let all: Vec<_> = (0..AT_ONCE).map(some).collect();
        all.into_iter().map(|rounds| rounds.join().expect("every round holds")).sum()
    });
    println!("{kills} kills");
    assert!(kills as u64 >= ROUNDS, "{kills} kills in {ROUNDS} rounds");
}
