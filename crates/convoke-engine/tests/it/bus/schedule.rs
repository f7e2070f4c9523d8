//! Random talk on each real store: members send, broadcast, ask, answer, reply and wait as chance has it, a person answers some
//! of it, and clocks run out. Every thread stays in order, nothing is given twice, and what was asked has one end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use convoke_domain::id::MessageId;
use convoke_domain::message::{Waiting, in_order};
use convoke_domain::record::{MessageRecord, RunRecord};
use convoke_domain::task::Priority;
use convoke_domain::team::Team;
use convoke_engine::StartRun;
use convoke_port::model::{Fault, ModelRequest};
use convoke_store::{Options, PgOptions, Store};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, asks, fault, says};
use convoke_testkit::tool::FakeTools;
use serde_json::{Value, json};

use super::{Reply, heard, said};
use crate::lock::Chance;

const SCHEDULES: u64 = 200;
/// Model calls of a member in which it talks.
const TURNS: u32 = 3;
const MEMBERS: [&str; 3] = ["ann", "bob", "cid"];
/// Chat tasks at the same time.
const AT_ONCE: usize = 256;
/// A run that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// Who started the runs, and is asked sometimes.
const PERSON: &str = "tester";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_talk_keeps_its_order_on_sqlite() {
    let dir = tempfile::tempdir().expect("a folder");
    play(Store::open_sqlite(dir.path(), Options::default()).await.expect("a store"), dir.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_talk_keeps_its_order_on_postgresql() {
    let dir = tempfile::tempdir().expect("a folder");
    let url = std::env::var("CONVOKE_TEST_PG");
    let url = url.expect("CONVOKE_TEST_PG names no PostgreSQL for tests; run `cargo xtask test`, which starts one");
    let schema = format!("talk_{}_{:08x}", std::process::id(), fastrand::u32(..));
    let options = PgOptions { schema: Some(schema), create_schema: true, ..PgOptions::default() };
    play(Store::open_postgres(&url, options, Options::default()).await.expect("a schema"), dir.path()).await;
}

/// The chances of one model call: always the same ones for the same place in the same schedule.
fn chance(request: &ModelRequest) -> Chance {
    let origin = &request.origin;
    let place = format!("{}/{}/{}/{}", origin.run_task, origin.agent, origin.stage, origin.turn);
    Chance(
        place.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)),
    )
}

fn models() -> FakeModels {
    FakeModels::new(|request| match request.origin.stage.as_str() {
        "work" if request.origin.turn <= TURNS => talk(request),
        "reply" => reply(request),
        _ => Ok(says("done")),
    })
}

/// Whoever is asked says something, or cannot.
fn reply(request: &ModelRequest) -> Reply {
    let mut chance = chance(request);
    if chance.below(12) == 0 {
        return Err(fault(Fault::BadRequest, "no answer"));
    }
    Ok(says(json!({"choice": chance.pick(&["yes", "no"])}).to_string()))
}

/// One to three calls of the desk.
fn talk(request: &ModelRequest) -> Reply {
    let (mut chance, heads) = (chance(request), heads(&heard(request)));
    let count = 1 + chance.below(3);
    let ids: Vec<String> = (0..count).map(|n| format!("c{n}")).collect();
    let calls = ids.iter().map(|id| {
        let (tool, args) = call(request, &mut chance, &heads);
        (id.as_str(), tool, args)
    });
    Ok(asks(&calls.collect::<Vec<_>>()))
}

fn call(request: &ModelRequest, chance: &mut Chance, heads: &[(String, String)]) -> (&'static str, Value) {
    let others: Vec<_> = MEMBERS.into_iter().filter(|name| *name != request.origin.agent).collect();
    let (to, priority) = (chance.pick(&others), chance.pick(&["critical", "high", "normal", "low"]));
    let text = format!("{} in turn {}: {}", request.origin.agent, request.origin.turn, chance.below(1_000_000));
    let asked: Vec<_> = heads.iter().filter(|(kind, _)| kind == "question" || kind == "request").collect();
    match chance.below(12) {
        0 => ("send", json!({"to": to, "message": text, "kind": "alert", "priority": priority})),
        1..=3 => ("send", json!({"to": to, "message": text, "priority": priority})),
        4 | 5 => ("broadcast", json!({"message": text, "priority": priority})),
        6..=8 if asked.is_empty() => {
            let to = if chance.below(4) == 0 { "user" } else { to };
            let (kind, wait) = (chance.pick(&["question", "request"]), chance.below(2) == 0);
            let mut args =
                json!({"to": to, "question": text, "kind": kind, "wait": wait, "within_s": 1 + chance.below(2)});
            if kind == "question" {
                args["options"] = json!(["yes", "no"]);
            }
            if chance.below(2) == 0 {
                args["default"] = json!("no");
            }
            ("ask", args)
        }
        // Chosen among all that were ever put to it, so that some are answered twice, and some too late.
        6..=9 if !asked.is_empty() => {
            let (_, id) = chance.pick(&asked).clone();
            ("answer", json!({"question": id, "choice": chance.pick(&["yes", "no"]), "rationale": text}))
        }
        10 if !heads.is_empty() => ("reply", json!({"to": chance.pick(heads).1, "message": text})),
        _ => ("wait_for", json!({"from": to, "timeout_s": 1})),
    }
}

/// Kind and id of each message that a text gives to its reader, in order.
fn heads(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for piece in text.split('[').skip(1) {
        let mut words = piece.split(' ');
        if let (Some(kind), Some(id)) = (words.next(), words.next())
            && id.starts_with("msg_")
            && words.next() == Some("from")
        {
            found.push((kind.to_owned(), id.to_owned()));
        }
    }
    found
}

async fn play(store: Store, dir: &Path) {
    let (begun, models) = (Instant::now(), models());
    let mut hub = Hub::over(store, dir.join("work"), models.clone(), FakeTools::none(), |config| {
        config.concurrency = AT_ONCE;
    });
    hub.engine.ensure_user(PERSON).await.expect("a user");
    let can = json!({"tools": ["@talk"]});
    let profiles = ["lead"].iter().chain(&MEMBERS).map(|name| profile(name, can.clone())).collect();
    let start = hub.prepare(chatting(), profiles, "Talk.").await.expect("a team");
    hub.start().await;
    let mut runs = Vec::new();
    for seed in 0..SCHEDULES {
        let one = StartRun { task: format!("Schedule {seed}"), ..start.clone() };
        runs.push((seed, hub.engine.start_run(one).await.expect("a run")));
    }
    let answering = answer_some(&hub);
    let ended = async {
        for (_, run) in &runs {
            tokio::time::timeout(PATIENCE, hub.ended(*run)).await.expect("it ends");
        }
    };
    tokio::select! { () = answering => {}, () = ended => {} }
    let given = Given::of(&models.calls());
    let mut counts = BTreeMap::new();
    for (seed, run) in &runs {
        let record = hub.engine.run_record(*run).await.expect("a record");
        check(&hub, *seed, &record, &given, &mut counts).await;
    }
    println!("{SCHEDULES} schedules from seed 0 in {:?}: {counts:?}", begun.elapsed());
    for kind in ["answered", "defaulted", "expired", "in order"] {
        assert!(counts.get(kind).copied().unwrap_or(0) > 20, "{kind} was hardly tried: {counts:?}");
    }
    hub.stop().await;
}

fn chatting() -> Team {
    team(&MEMBERS, json!({"rules": {"planning": "same_task", "retries": 0}}))
}

/// A person answers what they see, now and then, until nobody needs it any more.
async fn answer_some(hub: &Hub) {
    let mut chance = Chance(4_711);
    loop {
        for asked in hub.engine.inbox(PERSON).await.expect("an inbox") {
            if chance.below(3) == 0 {
                // It may have ended meanwhile.
                let _ = hub.engine.answer_question(PERSON, asked.id.parse().expect("an id"), "yes", None).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The messages of each delivery to a task, in order.
type Deliveries = BTreeMap<String, Vec<Vec<String>>>;

/// What each task's agent was given, in order: the messages of each delivery.
#[derive(Default)]
struct Given {
    /// By run and agent, and then by task.
    by_task: BTreeMap<(String, String), Deliveries>,
}

impl Given {
    fn of(calls: &[ModelRequest]) -> Self {
        let mut given = Self::default();
        for call in calls {
            let mut place = call.origin.key.split(':');
            let (run, task) = (place.next().expect("a run").to_owned(), place.next().expect("a task").to_owned());
            let batches = given.by_task.entry((run, call.origin.agent.clone())).or_default().entry(task).or_default();
            let before: BTreeSet<_> = batches.iter().flatten().cloned().collect();
            let all: Vec<_> = heads(&heard(call)).into_iter().map(|(_, id)| id).collect();
            assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{} was given one twice", call.origin.key);
            // There may be several deliveries before a call, each a text of its own.
            for delivery in heard(call).split("# Messages for you") {
                let new = heads(delivery).into_iter().map(|(_, id)| id).filter(|id| !before.contains(id));
                batches.push(new.collect());
            }
        }
        given
    }
}

async fn check(hub: &Hub, seed: u64, record: &RunRecord, given: &Given, counts: &mut BTreeMap<&'static str, usize>) {
    assert_eq!(record.summary.state, "completed", "seed {seed}: {:?}", record.summary.error);
    let all = said(hub, record.summary.id).await;
    let mut threads: BTreeMap<_, Vec<i64>> = BTreeMap::new();
    all.iter().for_each(|message| threads.entry(message.thread).or_default().push(message.n));
    for numbers in threads.values() {
        assert!(numbers.is_sorted(), "seed {seed}: {numbers:?}");
    }
    for asked in &record.decisions {
        let ends = all.iter().filter(|one| one.reply_to == Some(asked.id));
        let ends = ends.filter(|one| matches!(one.kind.as_str(), "decision" | "response")).count();
        let expected = usize::from(matches!(asked.standing.as_str(), "answered" | "defaulted"));
        assert_eq!(ends, expected, "seed {seed}: {asked:?}");
        assert_ne!(asked.standing, "open", "seed {seed}: {asked:?}");
        assert_eq!(asked.choice.is_some(), expected == 1, "seed {seed}: {asked:?}");
        *counts.entry(word(&asked.standing)).or_default() += 1;
    }
    let by_id: BTreeMap<_, _> = all.iter().map(|message| (message.id, message)).collect();
    let run = record.summary.id.to_string();
    for ((_, agent), tasks) in given.by_task.iter().filter(|((of, _), _)| *of == run) {
        let mut of_tasks: BTreeMap<MessageId, usize> = BTreeMap::new();
        for id in tasks.values().flatten().flatten() {
            *of_tasks.entry(id.parse().expect("an id")).or_default() += 1;
        }
        let twice = of_tasks.iter().filter(|(_, count)| **count > 1).map(|(id, _)| by_id[id]);
        // A critical alert goes to all tasks that an agent has at the time.
        let twice: Vec<_> = twice.filter(|one| one.kind != "alert" || one.priority != "critical").collect();
        assert!(twice.is_empty(), "seed {seed}: {agent} was given these in several tasks: {twice:#?}");
        for batches in tasks.values() {
            in_their_order(seed, agent, batches, &by_id, counts);
        }
    }
}

fn word(standing: &str) -> &'static str {
    ["answered", "defaulted", "expired", "withdrawn"].into_iter().find(|word| *word == standing).expect("an end")
}

/// One task's messages: none twice, each thread in its order, and what came together in the order of urgency.
fn in_their_order(
    seed: u64,
    agent: &str,
    batches: &[Vec<String>],
    by_id: &BTreeMap<MessageId, &MessageRecord>,
    counts: &mut BTreeMap<&'static str, usize>,
) {
    let mut last = BTreeMap::new();
    for batch in batches {
        let messages: Vec<_> = batch.iter().map(|id| by_id[&id.parse().expect("an id")]).collect();
        let waiting = messages.iter().map(|message| Waiting {
            thread: message.thread,
            n: message.n,
            priority: Priority::parse(&message.priority),
            at: message.at,
            what: message.id,
        });
        let order: Vec<_> = in_order(waiting.collect()).into_iter().map(|one| one.what).collect();
        let was: Vec<_> = messages.iter().map(|message| message.id).collect();
        assert_eq!(was, order, "seed {seed}: what came together for {agent}");
        for message in messages {
            let before = last.insert(message.thread, message.n).unwrap_or(0);
            assert!(before < message.n, "seed {seed}: {} came to {agent} after {before}", message.n);
            assert_ne!(message.from, format!("agent:{agent}"), "seed {seed}: its own");
        }
        *counts.entry("in order").or_default() += usize::from(batch.len() > 1);
    }
}
