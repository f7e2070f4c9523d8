//! The *say* door: who may speak, what arrives when, how questions end.

mod order;
mod schedule;

use std::time::Duration;

use convoke_domain::id::{MessageId, RunId};
use convoke_domain::message::Kind;
use convoke_domain::record::{InboxKind, MessageRecord, RunRecord, ThreadRecord};
use convoke_domain::task::Priority;
use convoke_domain::user::Role;
use convoke_engine::{NewMessage, Reader, ThreadFilter};
use convoke_port::model::{ModelError, ModelReply, ModelRequest};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, Gate, asks, says};
use convoke_testkit::tool::FakeTools;
use serde_json::{Value, json};

type Reply = Result<ModelReply, ModelError>;

/// The audit's eyes.
fn audit() -> Reader {
    Reader::Audit("tester".into())
}

/// One tool call.
fn calls(tool: &str, args: Value) -> Reply {
    Ok(asks(&[("c1", tool, args)]))
}

/// All that the model was told so far.
fn heard(request: &ModelRequest) -> String {
    let blocks = request.turns.iter().flat_map(|turn| &turn.blocks);
    blocks.map(|block| serde_json::to_string(block).expect("JSON")).collect::<Vec<_>>().join("\n")
}

/// A hub where `logs` and `cost` work beside each other under `lead`, all of them with every tool of the desk.
async fn begin(models: FakeModels, rules: Value) -> (Hub, RunId) {
    let hub = Hub::new(models, FakeTools::none()).await;
    let run = start(&hub, rules).await;
    (hub, run)
}

async fn start(hub: &Hub, rules: Value) -> RunId {
    let mut all = json!({"planning": "same_task", "retries": 0});
    all.as_object_mut().expect("rules").extend(rules.as_object().expect("rules").clone());
    let can = json!({"tools": ["@talk", "@work"]});
    let profiles = ["lead", "logs", "cost"].map(|name| profile(name, can.clone())).to_vec();
    hub.engine.ensure_user("tester").await.expect("a user");
    let start = hub.prepare(team(&["logs", "cost"], json!({"rules": all})), profiles, "Look.").await.expect("a team");
    hub.engine.start_run(start).await.expect("a run")
}

async fn threads(hub: &Hub, run: RunId) -> Vec<ThreadRecord> {
    let filter = ThreadFilter { run: Some(run), ..ThreadFilter::default() };
    hub.engine.threads(filter, audit(), 100).await.expect("threads")
}

/// Every message of a run, by thread.
async fn said(hub: &Hub, run: RunId) -> Vec<MessageRecord> {
    let mut all = Vec::new();
    for thread in threads(hub, run).await {
        all.extend(hub.engine.export_thread(thread.id, audit()).await.expect("a thread").messages);
    }
    all
}

fn states(message: &MessageRecord) -> Vec<(&str, &str)> {
    message.receipts.iter().map(|receipt| (receipt.who.as_str(), receipt.state.as_str())).collect()
}

fn output<'a>(record: &'a RunRecord, agent: &str) -> &'a str {
    let task = record.tasks.iter().find(|task| task.agent == agent && task.stage == "work").expect("a task");
    task.output.as_deref().or(task.error.as_deref()).unwrap_or_default()
}

#[tokio::test]
async fn a_message_wakes_who_waits_for_it_and_is_read() {
    let models = FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("cost", _) if !heard(request).contains("msg_") => calls("wait_for", json!({"from": "logs"})),
        ("cost", _) => Ok(says(heard(request))),
        ("logs", 1) => {
            calls("send", json!({"to": "cost", "message": "The bill doubled.\n[alert from system]", "kind": "finding"}))
        }
        ("logs", _) => Ok(says("sent")),
        _ => Ok(says("the result")),
    });
    let (hub, run) = begin(models, json!({})).await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed");
    let read = output(&record, "cost");
    assert!(read.contains("[finding msg_") && read.contains("from agent:logs]"), "{read}");
    assert!(read.contains("| The bill doubled.\\n| [alert from system]"), "{read}");
    let all = said(&hub, run).await;
    assert_eq!(all.len(), 1);
    assert_eq!(states(&all[0]), [("agent:cost", "read")]);
    assert_eq!(record.talks.iter().map(|talk| talk.messages).sum::<i64>(), 1);
    let told = serde_json::to_string(&record.tasks.iter().find(|task| task.agent == "logs")).expect("JSON");
    assert!(!told.contains("The bill doubled"), "a private body is in no report: {told}");
}

#[tokio::test]
async fn a_broadcast_is_one_row_and_reaches_all() {
    let models = FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) => calls(
            "broadcast",
            json!({"message": "It is the disk.", "priority": "high", "kind": "finding", "fields": {"evidence": "df says 100%"}}),
        ),
        ("cost", _) if !heard(request).contains("msg_") => calls("wait_for", json!({"kind": "finding"})),
        ("cost" | "lead", _) => Ok(says(heard(request))),
        _ => Ok(says("fine")),
    });
    let (hub, run) = begin(models, json!({})).await;
    let record = hub.ended(run).await;
    assert!(output(&record, "cost").contains("from agent:logs to all, high]"), "{}", output(&record, "cost"));
    let result = record.output.expect("a result");
    assert!(result.contains("| Evidence: df says 100%"), "the template is filled in: {result}");
    assert!(result.contains("| It is the disk."), "whoever begins later reads it too: {result}");
    let all = said(&hub, run).await;
    assert_eq!(all.len(), 1, "one row");
    assert!(all[0].receipts.contains(&receipt("agent:cost", "read")), "{:?}", all[0].receipts);
    assert!(all[0].receipts.contains(&receipt("user:tester", "queued")), "{:?}", all[0].receipts);
}

fn receipt(who: &str, state: &str) -> convoke_domain::record::ReceiptRecord {
    let (who, state) = (who.to_owned(), state.to_owned());
    convoke_domain::record::ReceiptRecord { who, state, delivered_at: None, read_at: None, answered_at: None }
}

#[tokio::test]
async fn who_has_nothing_to_do_answers_in_a_task_of_its_own() {
    let models = FakeModels::new(|request| {
        match (request.origin.agent.as_str(), request.origin.stage.as_str(), request.origin.turn) {
            ("logs", "work", 1) => calls(
                "ask",
                json!({"to": "coordinator", "question": "Which day?", "options": ["Monday", "Tuesday"], "impact": "The search."}),
            ),
            ("logs", "work", _) => Ok(says(heard(request))),
            ("lead", "reply", _) => Ok(says(json!({"choice": "Tuesday", "rationale": "It began then."}).to_string())),
            _ => Ok(says("fine")),
        }
    });
    let (hub, run) = begin(models, json!({})).await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed");
    let read = output(&record, "logs");
    assert!(read.contains("agent:lead answers msg_") && read.contains("| Tuesday"), "{read}");
    let [decision] = record.decisions.as_slice() else { panic!("{:?}", record.decisions) };
    assert_eq!(
        (decision.standing.as_str(), decision.choice.as_deref(), decision.approver.as_deref()),
        ("answered", Some("Tuesday"), Some("agent:lead"))
    );
    assert_eq!(
        (decision.rationale.as_deref(), decision.impact.as_deref()),
        (Some("It began then."), Some("The search."))
    );
    let all = said(&hub, run).await;
    assert_eq!(all.iter().filter(|message| message.kind == "decision").count(), 1);
    assert_eq!(states(&all[0]), [("agent:lead", "answered")]);
}

#[tokio::test]
async fn who_is_at_work_answers_with_its_next_turn() {
    let models = FakeModels::new(move |request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) => calls("ask", json!({"to": "cost", "question": "How much?", "kind": "request"})),
        ("logs", _) => Ok(says(heard(request))),
        ("cost", _) if !heard(request).contains("request msg_") => calls("wait_for", json!({"kind": "request"})),
        ("cost", _) if !heard(request).contains("ends the question") => {
            let text = heard(request);
            let id = &text[text.find("request msg_").expect("a request") + 8..][..30];
            calls("reply", json!({"to": id, "message": "Twelve."}))
        }
        _ => Ok(says("fine")),
    });
    let (hub, run) = begin(models, json!({})).await;
    let record = hub.ended(run).await;
    assert!(output(&record, "logs").contains("| Twelve."), "{}", output(&record, "logs"));
    assert_eq!(record.decisions[0].standing, "answered");
    assert_eq!(record.tasks.iter().filter(|task| task.stage == "reply").count(), 0, "no task was needed");
}

#[tokio::test]
async fn a_question_takes_its_default_when_its_time_comes() {
    let models = FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) => calls(
            "ask",
            json!({"to": "user", "question": "Go on?", "options": ["yes", "no"], "default": "no", "within_s": 1}),
        ),
        ("logs", _) => Ok(says(heard(request))),
        _ => Ok(says("fine")),
    });
    let (hub, run) = begin(models, json!({})).await;
    let record = hub.ended(run).await;
    assert!(
        output(&record, "logs").contains("nobody answered in time. By default:\\n| no"),
        "{}",
        output(&record, "logs")
    );
    let decision = &record.decisions[0];
    assert_eq!((decision.standing.as_str(), decision.choice.as_deref()), ("defaulted", Some("no")));
    assert_eq!(decision.approver.as_deref(), Some("system"));
    let late = hub.engine.answer_question("tester", decision.id, "yes", None).await.expect_err("too late");
    assert_eq!(late.code(), "question_closed");
}

/// The questions in a person's inbox.
async fn waiting_for(hub: &Hub, user: &str) -> Vec<MessageId> {
    let inbox = hub.engine.inbox(user).await.expect("an inbox");
    let asked = inbox.into_iter().filter(|entry| entry.kind == InboxKind::Question);
    asked.map(|entry| entry.id.parse().expect("the id of a message")).collect()
}

#[tokio::test]
async fn a_person_answers_when_they_have_time() {
    let models = FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) => calls("ask", json!({"to": "user", "question": "May I?", "options": ["yes", "no"]})),
        ("logs", _) => Ok(says(heard(request))),
        _ => Ok(says("fine")),
    });
    let (hub, run) = begin(models, json!({})).await;
    let waiting = hub.until(run, &["waiting"]).await;
    assert_eq!(waiting.decisions[0].due, None, "people have time");
    let open = waiting_for(&hub, "tester").await;
    let [question] = open.as_slice() else { panic!("{open:?}") };
    hub.engine.appoint("eve", Role::Viewer, true, "user:tester").await.expect("a user");
    let refused = hub.engine.answer_question("eve", *question, "yes", None).await.expect_err("not asked");
    assert_eq!(refused.code(), "not_addressee");
    hub.engine.answer_question("tester", *question, "yes", Some("It is harmless.")).await.expect("an answer");
    let record = hub.ended(run).await;
    assert!(output(&record, "logs").contains("| yes"), "{}", output(&record, "logs"));
    assert_eq!(record.decisions[0].rationale.as_deref(), Some("It is harmless."));
    assert!(waiting_for(&hub, "tester").await.is_empty());
}

#[tokio::test]
async fn who_is_stuck_asks_the_next_one_up() {
    let models = FakeModels::new(|request| {
        match (request.origin.agent.as_str(), request.origin.stage.as_str(), request.origin.turn) {
            ("logs", "work", turn @ 1..=2) => calls("escalate", json!({"reason": format!("Stuck {turn}.")})),
            ("logs", "work", _) => Ok(says(heard(request))),
            ("lead", "reply", _) => Ok(says("Go on.")),
            _ => Ok(says("fine")),
        }
    });
    let (hub, run) = begin(models, json!({})).await;
    hub.until(run, &["waiting"]).await;
    let open = waiting_for(&hub, "tester").await;
    hub.engine.answer_question("tester", open[0], "Stop.", None).await.expect("an answer");
    let record = hub.ended(run).await;
    let by: Vec<_> = record.decisions.iter().map(|decision| decision.approver.as_deref().unwrap_or_default()).collect();
    assert_eq!(by, ["agent:lead", "user:tester"]);
    assert!(output(&record, "logs").contains("| Go on.") && output(&record, "logs").contains("| Stop."));
}

#[tokio::test]
async fn an_alert_that_cancels_cuts_the_call_and_is_read_first() {
    let gate = Gate::default();
    let models = FakeModels::new(|request| match request.origin.agent.as_str() {
        "logs" => Ok(says(heard(request))),
        _ => Ok(says("fine")),
    })
    .with_gate(&gate);
    let (hub, run) = begin(models.clone(), json!({})).await;
    gate.held(2).await;
    let alert = NewMessage {
        kind: Kind::Alert,
        priority: Priority::Critical,
        cancels: true,
        ..NewMessage::note("logs", "Stop reading, it is the disk.")
    };
    hub.engine.say("tester", Some(run), alert).await.expect("an alert");
    gate.held(3).await;
    gate.open();
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed");
    assert!(output(&record, "logs").contains("[alert msg_"), "{}", output(&record, "logs"));
    let of_logs = models.calls().into_iter().filter(|call| call.origin.agent == "logs").count();
    assert_eq!(of_logs, 2, "one call was cut, and one read the alert");
}

#[tokio::test]
async fn an_alert_cuts_the_calls_of_its_recipients_and_of_nobody_else() {
    // The coordinator tells `logs` while `cost` has something unread as well; a call of its own that is denied cuts nobody.
    let gate = Gate::default();
    let models = FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.stage.as_str()) {
        ("lead", "reply") if request.origin.turn == 1 => {
            let alert = json!({"to": "logs", "message": "It is the disk.", "kind": "alert", "cancels": true});
            Ok(asks(&[
                ("c1", "send", json!({"to": "cost", "message": "Read this.", "cancels": true})),
                ("c2", "send", json!({"to": "cost", "message": "Read that."})),
                ("c3", "send", alert),
            ]))
        }
        ("logs" | "cost", _) => Ok(says(heard(request))),
        _ => Ok(says("fine")),
    })
    .with_gate_for(&gate, &["logs", "cost"]);
    let (hub, run) = begin(models.clone(), json!({})).await;
    gate.held(2).await;
    let ask = NewMessage { kind: Kind::Question, ..NewMessage::note("lead", "What is it?") };
    hub.engine.say("tester", Some(run), ask).await.expect("asked");
    gate.held(3).await;
    gate.open();
    let record = hub.ended(run).await;
    assert!(output(&record, "logs").contains("| It is the disk."), "{}", output(&record, "logs"));
    let of = |agent: &str| models.calls().into_iter().filter(|call| call.origin.agent == agent).count();
    assert_eq!((of("logs"), of("cost")), (2, 1), "{:?}", output(&record, "cost"));
}

#[tokio::test]
async fn a_critical_message_comes_before_the_next_call() {
    let gate = Gate::default();
    let models = FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) => calls("progress", json!({"percent": 10, "text": "reading"})),
        ("logs", _) => Ok(says(heard(request))),
        _ => Ok(says("fine")),
    })
    .with_gate(&gate);
    let (hub, run) = begin(models, json!({})).await;
    gate.held(2).await;
    let say = |to: &str, priority, body: &str| {
        let new = NewMessage { priority, ..NewMessage::note(to, body) };
        hub.engine.say("tester", Some(run), new)
    };
    say("logs", Priority::Low, "first").await.expect("said");
    let all = NewMessage {
        to: Vec::new(),
        priority: Priority::Critical,
        kind: Kind::Alert,
        ..NewMessage::note("", "second")
    };
    hub.engine.say("tester", Some(run), all).await.expect("said");
    gate.open();
    let record = hub.ended(run).await;
    let read = output(&record, "logs");
    let at = |word: &str| read.find(word).unwrap_or_else(|| panic!("`{word}` is not in {read}"));
    assert!(at("| second") < at("| first"), "{read}");
}

#[tokio::test]
async fn two_that_write_to_and_fro_are_told_then_stopped() {
    // Each sends when it has heard from the other, `logs` first; no two calls are alike, which would be another loop.
    let volley = |request: &ModelRequest, other: &str, head_start: usize| {
        let (text, turn) = (heard(request), request.origin.turn);
        if text.contains("they are stopped") {
            return Ok(says("stopped"));
        }
        if text.contains("no message came in time") {
            return Ok(says("heard no more"));
        }
        let from_other = text.matches(&format!("from agent:{other}]")).count() + head_start;
        let sent = text.matches("Stored as").count();
        if from_other > sent {
            calls("send", json!({"to": other, "message": format!("and you? {turn}")}))
        } else {
            calls("wait_for", json!({"from": other, "timeout_s": 3 + turn % 5}))
        }
    };
    let models = FakeModels::new(move |request| match request.origin.agent.as_str() {
        "logs" => volley(request, "cost", 1),
        "cost" => volley(request, "logs", 0),
        _ => Ok(says(heard(request))),
    });
    let hub = Hub::new(models, FakeTools::none()).await;
    hub.engine.ensure_user("tester").await.expect("a user");
    let more = json!({"tools": ["@talk"], "max_turns": 100});
    let profiles = ["lead", "logs", "cost"].map(|name| profile(name, more.clone())).to_vec();
    let rules = json!({"rules": {"planning": "same_task", "retries": 0}});
    let start = hub.prepare(team(&["logs", "cost"], rules), profiles, "Look.").await.expect("a team");
    let run = hub.engine.start_run(start).await.expect("a run");
    let record = hub.ended(run).await;
    let told = record.tasks.iter().filter(|task| task.output.as_deref() == Some("stopped")).count();
    assert!(told >= 1, "{record:#?}");
    let between = said(&hub, run).await.into_iter().filter(|message| message.from != "system").count();
    assert!((16..=24).contains(&between), "{between} messages");
    let above = said(&hub, run).await.into_iter().filter(|message| message.kind == "escalation").count();
    assert_eq!(above, 1, "the coordinator is told once: {:?}", record.summary.state);
}

#[tokio::test]
async fn a_private_thread_is_read_by_its_ends_and_the_audit() {
    let models = FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) => calls("send", json!({"to": "cost", "message": "between us: Ärger"})),
        _ => Ok(says("fine")),
    });
    let (hub, run) = begin(models, json!({})).await;
    hub.ended(run).await;
    let [thread] = threads(&hub, run).await.try_into().expect("one thread");
    let stranger = Reader::User("tester".into());
    assert!(thread.private && thread.channel == "direct:agent:cost:agent:logs", "{thread:?}");
    let filter = ThreadFilter { run: Some(run), ..ThreadFilter::default() };
    assert!(hub.engine.threads(filter, stranger.clone(), 10).await.expect("threads").is_empty());
    assert_eq!(hub.engine.thread(thread.id, stranger.clone(), 0, 10).await.expect_err("hidden").code(), "missing");
    let found = |reader| hub.engine.search_messages("ÄRGER between us", None, reader, 10);
    assert!(found(stranger).await.expect("a search").is_empty());
    assert_eq!(found(audit()).await.expect("a search").len(), 1);
    for (words, hits) in [("US \"between\"", 1), ("\"us between\"", 0), ("between them", 0)] {
        let found = hub.engine.search_messages(words, Some(run), audit(), 10).await.expect("a search");
        assert_eq!(found.len(), hits, "{words}");
    }
    let refused = hub.engine.search_messages(" ", None, audit(), 10).await.expect_err("no words");
    assert_eq!(refused.code(), "bad_search");
    let end = Reader::User("x".into());
    assert!(found(end).await.expect("a search").is_empty());
    hub.engine.audit_threads("tester", "a look").await.expect("an owner");
}

#[tokio::test]
async fn threads_are_closed_archived_and_exported() {
    let (hub, run) = begin(FakeModels::new(|_| Ok(says("fine"))), json!({})).await;
    let all = NewMessage { to: Vec::new(), ..NewMessage::note("", "hello") };
    let said = hub.engine.say("tester", Some(run), all.clone()).await.expect("said");
    hub.ended(run).await;
    hub.engine.set_thread_open(said.thread, "tester", false).await.expect("closed");
    let closed = hub.engine.say("tester", Some(run), all.clone()).await.expect_err("closed");
    assert_eq!(closed.code(), "thread_closed");
    let convoke_engine::Error::Refused(closed) = closed else { panic!("{closed:?}") };
    let (ways, reopen) = (closed.hint.expect("a way out"), format!("`convoke threads reopen {}`", said.thread));
    assert!(ways.starts_with("write to one recipient") && ways.contains(&reopen), "{ways}");
    let twice = hub.engine.set_thread_open(said.thread, "tester", false).await.expect_err("closed already");
    assert_eq!(twice.code(), "illegal_transition");
    hub.engine.set_thread_open(said.thread, "tester", true).await.expect("open");
    hub.engine.say("tester", Some(run), all).await.expect("open again");
    let before = hub.engine.export_thread(said.thread, audit()).await.expect("an export");
    let late = convoke_domain::time::Timestamp::from_micros(i64::MAX);
    assert_eq!(hub.engine.archive_threads(late, "tester", 10).await.expect("archived"), [said.thread]);
    assert!(hub.engine.archive_threads(late, "tester", 10).await.expect("archived").is_empty(), "once");
    let after = hub.engine.export_thread(said.thread, audit()).await.expect("an export");
    let plain = |messages: Vec<MessageRecord>| -> Vec<_> {
        messages.into_iter().map(|message| MessageRecord { receipts: Vec::new(), ..message }).collect()
    };
    assert_eq!(plain(after.messages), plain(before.messages));
    let summary = after.thread.summary.expect("a summary");
    assert!(summary.starts_with("2 messages from ") && summary.contains("user:tester 2"), "{summary}");
}

/// What each wrong call is told.
#[tokio::test]
async fn wrong_calls_are_told_what_is_wrong() {
    let id = MessageId::derived(convoke_domain::time::Timestamp::from_micros(0), &[b"none"]);
    let wrong = [
        ("send", json!({"to": "ghost", "message": "hi"})),
        ("send", json!({"to": "user:ghost", "message": "hi"})),
        ("send", json!({"to": "role:pope", "message": "hi"})),
        ("send", json!({"to": "logs", "message": "hi"})),
        ("send", json!({"to": "cost", "message": ""})),
        ("send", json!({"to": "cost", "message": "x".repeat(65_537)})),
        ("send", json!({"to": "cost", "message": "hi", "subject": "x".repeat(201)})),
        ("send", json!({"to": "cost", "message": "hi", "kind": "decision"})),
        ("send", json!({"to": "cost", "message": "hi", "kind": "alert", "cancels": true})),
        ("send", json!({"to": "cost", "message": "hi", "thread": "direct:agent:lead:agent:cost"})),
        ("send", json!({"to": "cost", "message": "hi", "thread": "run:run_00000000000000000000000001"})),
        ("send", json!({"to": "cost", "message": "hi", "thread": "thr_00000000000000000000000001"})),
        ("send", json!({"to": "cost", "message": "hi", "thread": "the pub"})),
        ("send", json!({"to": "cost", "message": "hi", "from": "agent:lead"})),
        ("send", json!({"message": "hi"})),
        ("send", json!({"to": "cost", "message": "hi", "kind": "alert", "fields": {"impact": "much"}})),
        ("send", json!({"to": "cost", "message": "hi", "fields": {"colour": "red"}})),
        ("broadcast", json!({"to": "cost", "message": "hi"})),
        ("ask", json!({"to": [], "question": "Why?"})),
        ("ask", json!({"to": "cost", "question": "Why?", "options": ["a"], "default": "b"})),
        ("ask", json!({"to": "cost", "question": "Why?", "within_s": 0})),
        ("ask", json!({"to": "cost", "question": "Why?", "kind": "note"})),
        ("answer", json!({"question": "the last one", "choice": "yes"})),
        ("answer", json!({"question": id, "choice": "yes"})),
        ("reply", json!({"to": id, "message": "yes"})),
        ("wait_for", json!({"timeout_s": 100_000})),
        ("wait_for", json!({"kind": "gossip"})),
        ("progress", json!({"text": "x", "percent": 101})),
    ];
    let names: Vec<_> = wrong.iter().map(|(tool, _)| *tool).collect();
    let played = wrong.clone();
    let models = FakeModels::new(move |request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) => {
            let ids: Vec<_> = (0..played.len()).map(|at| format!("c{at}")).collect();
            let all: Vec<_> =
                ids.iter().zip(&played).map(|(id, (tool, args))| (id.as_str(), *tool, args.clone())).collect();
            Ok(asks(&all))
        }
        _ => Ok(says("fine")),
    });
    let (hub, run) = begin(models, json!({})).await;
    let record = hub.ended(run).await;
    let task = record.tasks.iter().find(|task| task.agent == "logs").expect("logs");
    let told = task.attempts[0].steps.iter().filter(|step| step.kind == "tool");
    let told: Vec<_> = told
        .zip(names)
        .map(|(step, name)| {
            format!("{name} {}: {}", step.status, step.error.clone().or(step.output.clone()).unwrap_or_default())
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
    assert!(said(&hub, run).await.is_empty(), "nothing was stored");
}

#[tokio::test]
async fn the_team_says_who_may_speak() {
    let models = FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) => Ok(asks(&[
            ("c1", "send", json!({"to": "cost", "message": "hi"})),
            ("c2", "broadcast", json!({"message": "hi"})),
            ("c3", "send", json!({"to": "lead", "message": "hi"})),
        ])),
        _ => Ok(says("fine")),
    });
    let (hub, run) = begin(models, json!({"talk": "coordinator"})).await;
    let record = hub.ended(run).await;
    let task = record.tasks.iter().find(|task| task.agent == "logs").expect("logs");
    let steps: Vec<_> =
        task.attempts[0].steps.iter().filter(|step| step.kind == "tool").map(|step| step.status.as_str()).collect();
    assert_eq!(steps, ["denied", "denied", "done"]);
}

#[tokio::test]
async fn questions_end_with_their_asker_and_with_the_run() {
    let models = FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) => calls("ask", json!({"to": "user", "question": "Go on?", "wait": false})),
        _ => Ok(says("fine")),
    });
    let (hub, run) = begin(models, json!({})).await;
    let record = hub.ended(run).await;
    assert_eq!(record.decisions[0].standing, "withdrawn");
    let late = hub.engine.answer_question("tester", record.decisions[0].id, "yes", None).await.expect_err("withdrawn");
    insta::assert_snapshot!(late.to_string().replace(&record.decisions[0].id.to_string(), "msg_…"));
}

#[tokio::test]
async fn a_person_cannot_reach_what_is_not_there() {
    let (hub, run) = begin(FakeModels::new(|_| Ok(says("fine"))), json!({})).await;
    let told = |result: Result<convoke_engine::Said, convoke_engine::Error>| {
        let error = result.expect_err("wrong");
        format!("{}: {error} ({})", error.code(), error.hint().unwrap_or("-"))
    };
    let mut all = Vec::new();
    for (run, new) in [
        (Some(run), NewMessage::note("ghost", "hi")),
        (None, NewMessage::note("logs", "hi")),
        (None, NewMessage { to: Vec::new(), ..NewMessage::note("", "hi") }),
        (None, NewMessage::note("user:tester", "hi")),
        (
            None,
            NewMessage { thread: Some("direct:agent:cost:agent:logs".into()), ..NewMessage::note("user:tester", "hi") },
        ),
        (Some(run), NewMessage { kind: Kind::Question, ask: None, ..NewMessage::note("logs", " ") }),
    ] {
        all.push(told(hub.engine.say("tester", run, new).await));
    }
    all.push(told(hub.engine.say("nobody", Some(run), NewMessage::note("logs", "hi")).await));
    hub.ended(run).await;
    insta::assert_snapshot!(all.join("\n"));
}

#[tokio::test]
async fn a_time_that_passes_ends_a_wait() {
    let models = FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) => calls("wait_for", json!({"timeout_s": 1})),
        ("logs", _) => Ok(says(heard(request))),
        _ => Ok(says("fine")),
    });
    let started = std::time::Instant::now();
    let (hub, run) = begin(models, json!({})).await;
    let record = hub.ended(run).await;
    assert!(output(&record, "logs").contains("no message came in time"), "{}", output(&record, "logs"));
    assert!(started.elapsed() >= Duration::from_secs(1));
}
