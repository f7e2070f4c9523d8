//! Leave for tool calls: asked, given, refused, used once; by whom, until when, and after restarts.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use convoke_domain::approval::{Choice, State};
use convoke_domain::id::{ApprovalId, RunId};
use convoke_domain::record::{ApprovalRecord, RunRecord};
use convoke_domain::time::Timestamp;
use convoke_domain::user::Role;
use convoke_engine::{Engine, Resume};
use convoke_port::model::{ModelError, ModelReply, ModelRequest};
use convoke_port::tool::Repeat;
use convoke_store::{Options, Store};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, asks, says};
use convoke_testkit::tool::{FakeTools, gives};
use serde_json::{Value, json};

use crate::play::usual;

/// The agent `logs` asks for as many calls at once, then repeats what came back.
fn calls(count: usize) -> impl Fn(&ModelRequest) -> Result<ModelReply, ModelError> + Send + Sync + 'static {
    move |request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs" | "cost", 1) => {
            let ids: Vec<_> = (1..=count).map(|n| format!("c{n}")).collect();
            let wanted: Vec<_> =
                ids.iter().enumerate().map(|(n, id)| (id.as_str(), "post", json!({"n": n + 1}))).collect();
            Ok(asks(&wanted))
        }
        ("logs" | "cost", _) => Ok(says(format!("got {:?}", request.turns.last().expect("a turn").blocks))),
        _ => usual(request),
    }
}

fn tools() -> FakeTools {
    FakeTools::new(&[("post", Repeat::Once), ("read", Repeat::Harmless)], |request| {
        gives(format!("sent {}", request.input))
    })
}

async fn people(engine: &Engine) {
    engine.ensure_user("ada").await.expect("the owner");
    for (name, role) in [("bob", Role::Operator), ("carl", Role::Approver), ("eve", Role::Viewer)] {
        engine.appoint(name, role, true, "user:ada").await.expect("a user");
    }
}

async fn start(hub: &Hub, approvals: Value) -> RunId {
    people(&hub.engine).await;
    let careful = json!({"tools": ["post", "read"], "ask": ["post"]});
    let profiles = vec![profile("lead", json!({})), profile("logs", careful.clone()), profile("cost", careful)];
    let rules = json!({"rules": {"planning": "same_task"}, "approvals": approvals});
    let start = hub.prepare(team(&["logs"], rules), profiles, "Look.").await.expect("a team");
    let mut start = start;
    // A profile beside the members, for tasks that no pattern makes.
    let careful = profile("cost", json!({"tools": ["post"], "ask": ["post"]}));
    start.spec.profiles.insert("cost".to_owned(), careful);
    start.spec.choose_models(None, None);
    start.user = "bob".to_owned();
    hub.engine.start_run(start).await.expect("a run")
}

async fn answer(hub: &Hub, id: ApprovalId, choice: Choice, who: &str) -> Result<State, String> {
    let answered = hub.engine.answer_approval(id, choice, who, "as agreed").await;
    answered.map(|answered| answered.state).map_err(|error| error.code().to_owned())
}

fn pending(record: &RunRecord) -> Vec<&ApprovalRecord> {
    record.approvals.iter().filter(|approval| approval.state == "pending").collect()
}

fn by(user: &str) -> Resume {
    Resume { user: user.to_owned(), ..Resume::default() }
}

#[tokio::test]
async fn a_call_waits_for_leave_and_is_made_once() {
    let tools = tools();
    let hub = Hub::new(FakeModels::new(calls(1)), tools.clone()).await;
    let run = start(&hub, json!({})).await;
    let record = hub.until(run, &["waiting"]).await;
    assert!(tools.calls().is_empty(), "nothing runs before it is approved");
    let [asked] = pending(&record)[..] else { panic!("one: {:?}", record.approvals) };
    assert_eq!((asked.tool.as_str(), asked.args.as_str(), asked.agent.as_str()), ("post", r#"{"n":1}"#, "logs"));
    assert_eq!(record.tasks[0].waits_for.as_deref(), Some("approval"));
    // Waiting costs no worker: the one that was at it lets go.
    while hub.engine.driven() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(hub.engine.resume(run, by("ada")).await.expect_err("people first").code(), "waits_for_person");
    assert_eq!(answer(&hub, asked.id, Choice::Approve, "user:carl").await, Ok(State::Approved));
    let record = hub.ended(run).await;
    assert_eq!((record.summary.state.as_str(), tools.calls().len()), ("completed", 1));
    assert_eq!(record.approvals[0].state, "executed");
    assert_eq!(record.approvals[0].decided_by.as_deref(), Some("user:carl"));
    assert_eq!(answer(&hub, record.approvals[0].id, Choice::Approve, "user:bob").await, Err("approval_closed".into()));
}

#[tokio::test]
async fn the_agent_is_told_of_a_no_and_why() {
    let tools = tools();
    let hub = Hub::new(FakeModels::new(calls(1)), tools.clone()).await;
    let run = start(&hub, json!({})).await;
    let id = pending(&hub.until(run, &["waiting"]).await)[0].id;
    assert_eq!(answer(&hub, id, Choice::Reject, "user:bob").await, Ok(State::Rejected));
    let record = hub.ended(run).await;
    let told = record.tasks[0].output.as_deref().unwrap_or_default();
    assert!(told.contains("the call to `post` was rejected by bob: as agreed"), "{told}");
    assert!(tools.calls().is_empty());
}

#[tokio::test]
async fn others_go_on_meanwhile_and_each_call_goes_when_it_may() {
    let tools = tools();
    let play = FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) => Ok(asks(&[
            ("a", "post", json!({"n": 1})),
            ("b", "read", json!({})),
            ("c", "post", json!({"n": 2})),
            ("d", "post", json!({"n": 3})),
        ])),
        _ => calls(0)(request),
    });
    let hub = Hub::new(play, tools.clone()).await;
    let run = start(&hub, json!({})).await;
    let record = hub.until(run, &["waiting"]).await;
    assert_eq!(tools.calls().len(), 1, "what needs no leave has run");
    let ids: Vec<_> = pending(&record).iter().map(|approval| approval.id).collect();
    assert_eq!(ids.len(), 3);
    // The last one is made although the others still wait.
    answer(&hub, ids[2], Choice::Approve, "user:ada").await.expect("approved");
    let record =
        until(&hub, run, |record| record.approvals[2].state == "executed" && record.summary.state == "waiting").await;
    assert_eq!(record.approvals[0].state, "pending");
    answer(&hub, ids[0], Choice::Reject, "user:ada").await.expect("rejected");
    answer(&hub, ids[1], Choice::Approve, "user:ada").await.expect("approved");
    let record = hub.ended(run).await;
    let sent: Vec<_> =
        tools.calls().iter().filter(|call| call.id == "post").map(|call| call.input["n"].clone()).collect();
    assert_eq!((record.summary.state.as_str(), sent), ("completed", vec![json!(3), json!(2)]));
}

/// Waits until a run is as told.
async fn until(hub: &Hub, run: RunId, is_so: impl Fn(&RunRecord) -> bool) -> RunRecord {
    let mut feed = hub.engine.store().subscribe();
    let wait = async {
        loop {
            let record = hub.engine.run_record(run).await.expect("the run");
            if is_so(&record) {
                return record;
            }
            let _ = feed.next().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("it comes to that")
}

#[tokio::test]
async fn nobody_approves_who_may_not() {
    let hub = Hub::new(FakeModels::new(calls(1)), tools()).await;
    let rule =
        json!({"needed": 2, "approvers": ["bob", "ada", "carl"], "deputies": {"ada": ["dora"]}, "four_eyes": true});
    let run = start(&hub, rule).await;
    hub.engine.appoint("dora", Role::Approver, true, "user:ada").await.expect("a deputy");
    let id = pending(&hub.until(run, &["waiting"]).await)[0].id;
    for (who, code) in [
        ("agent:logs", "not_a_person"),
        ("agent:ada", "not_a_person"),
        ("system", "not_a_person"),
        ("user:ghost", "unknown_user"),
        ("user:eve", "role_denied"),
        // bob started the run.
        ("user:bob", "four_eyes"),
    ] {
        assert_eq!(answer(&hub, id, Choice::Approve, who).await, Err(code.to_owned()), "{who}");
    }
    let ws = hub.engine.config().workspace;
    let events = hub.engine.store().events_after(ws, 0, Some(run), 10_000).await.expect("events");
    let denied = events.iter().filter(|event| event.kind == "authority.denied");
    let rules: Vec<_> = denied.filter_map(|event| event.payload["rule"].as_str()).collect();
    let person = "user.person";
    assert_eq!(rules, [person, person, person, "user.role", "user.role", "approvals.four_eyes"]);
    assert_eq!(answer(&hub, id, Choice::Approve, "user:dora").await, Ok(State::Pending), "one of two");
    assert_eq!(answer(&hub, id, Choice::Approve, "user:dora").await, Err("already_voted".into()));
    assert_eq!(answer(&hub, id, Choice::Approve, "user:ada").await, Err("already_voted".into()), "dora stood for ada");
    let inbox = |name: &'static str| async { hub.engine.inbox(name).await.expect("an inbox").len() };
    assert_eq!([inbox("ada").await, inbox("carl").await, inbox("eve").await, inbox("bob").await], [0, 1, 0, 0]);
    assert_eq!(answer(&hub, id, Choice::Approve, "user:carl").await, Ok(State::Approved));
    assert_eq!(hub.ended(run).await.summary.state, "completed");
}

#[tokio::test]
async fn of_two_at_once_one_decides() {
    let tools = tools();
    let hub = Hub::new(FakeModels::new(calls(1)), tools.clone()).await;
    let run = start(&hub, json!({})).await;
    let id = pending(&hub.until(run, &["waiting"]).await)[0].id;
    let (one, other) =
        tokio::join!(answer(&hub, id, Choice::Approve, "user:ada"), answer(&hub, id, Choice::Approve, "user:carl"));
    let mut both = [one, other];
    both.sort_by_key(Result::is_err);
    assert_eq!(both, [Ok(State::Approved), Err("approval_closed".to_owned())]);
    hub.ended(run).await;
    assert_eq!(tools.calls().len(), 1);
}

/// A hub whose time stands still until it is moved.
async fn at_rest(dir: &Path, clock: &Arc<AtomicI64>, models: FakeModels, tools: &FakeTools) -> Hub {
    let now = Arc::clone(clock);
    let options =
        Options { clock: Arc::new(move || Timestamp::from_micros(now.load(Ordering::SeqCst))), ..Options::default() };
    let store = Store::open_sqlite(dir, options).await.expect("a store");
    let mut hub = Hub::over(store, dir.join("work"), models, tools.clone(), |_| {});
    hub.start().await;
    hub
}

#[tokio::test]
async fn silence_means_no_when_the_time_is_up_and_days_pass_before_it_is() {
    let (dir, tools) = (tempfile::tempdir().expect("a folder"), tools());
    let clock = Arc::new(AtomicI64::new(1_000_000_000));
    let hub = at_rest(dir.path(), &clock, FakeModels::new(calls(1)), &tools).await;
    let run = start(&hub, json!({"expires_s": 864_000})).await;
    let record = hub.until(run, &["waiting"]).await;
    let (id, due) = (pending(&record)[0].id, pending(&record)[0].expires_at);
    assert_eq!(due, Some(Timestamp::from_micros(1_000_000_000).after(Duration::from_secs(864_000))));
    // Nine days: far beyond the run's own hour, which does not run while people are waited for.
    clock.fetch_add(9 * 86_400_000_000, Ordering::SeqCst);
    hub.engine.fall_due().await.expect("nothing is due");
    assert_eq!(hub.engine.run_record(run).await.expect("the run").summary.state, "waiting");
    clock.fetch_add(86_400_000_001, Ordering::SeqCst);
    let late = answer(&hub, id, Choice::Approve, "user:ada").await;
    assert_eq!(late, Err("approval_closed".to_owned()), "too late");
    hub.engine.fall_due().await.expect("it is due");
    let record = hub.ended(run).await;
    assert_eq!((record.summary.state.as_str(), record.approvals[0].state.as_str()), ("completed", "expired"));
    let told = record.tasks[0].output.as_deref().unwrap_or_default();
    assert!(told.contains("nobody approved the call to `post` in time, which means no"), "{told}");
    assert!(tools.calls().is_empty());
}

#[tokio::test]
async fn a_run_that_is_called_off_needs_no_leave() {
    let hub = Hub::new(FakeModels::new(calls(2)), tools()).await;
    let run = start(&hub, json!({})).await;
    let ids: Vec<_> = pending(&hub.until(run, &["waiting"]).await).iter().map(|approval| approval.id).collect();
    hub.engine.cancel(run, "ada").await.expect("cancelled");
    let record = hub.ended(run).await;
    assert!(record.approvals.iter().all(|approval| approval.state == "expired"), "{:?}", record.approvals);
    for id in ids {
        assert_eq!(answer(&hub, id, Choice::Approve, "user:ada").await, Err("approval_closed".to_owned()));
    }
}

/// `logs` delegates a part to `cost`, which asks for three calls at once.
fn delegating() -> FakeModels {
    FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) => Ok(asks(&[(
            "d1",
            "delegate",
            json!({"to": "cost", "title": "Three", "instructions": "Send three.", "timeout_s": 60}),
        )])),
        ("logs", _) => Ok(says(format!("got {:?}", request.turns.last().expect("a turn").blocks))),
        _ => calls(3)(request),
    })
}

#[tokio::test]
async fn three_at_once_inside_a_delegated_task_are_answered_in_reverse_after_a_restart() {
    let (dir, tools, clock) =
        (tempfile::tempdir().expect("a folder"), tools(), Arc::new(AtomicI64::new(1_000_000_000)));
    let mut hub = at_rest(dir.path(), &clock, delegating(), &tools).await;
    people(&hub.engine).await;
    let profiles = vec![
        profile("lead", json!({})),
        profile(
            "logs",
            json!({"tools": ["delegate"], "authority": {"can_delegate": true, "can_assign_to_peers": true}}),
        ),
        profile("cost", json!({"tools": ["post"], "ask": ["post"]})),
    ];
    let tasks = json!([{"key": "main", "title": "Main", "assignee": "logs"}]);
    let team =
        team(&["logs", "cost"], json!({"rules": {"planning": "fixed", "allow_peer_assignment": true}, "tasks": tasks}));
    let start = hub.prepare(team, profiles, "Look.").await.expect("a team");
    let run = hub.engine.start_run(start).await.expect("a run");
    let record = hub.until(run, &["waiting"]).await;
    let mut ids: Vec<_> = pending(&record).iter().map(|approval| approval.id).collect();
    assert_eq!(ids.len(), 3);
    ids.reverse();
    hub.stop().await;
    let store = hub.engine.store().clone();
    drop(hub);
    store.close().await.expect("closed");
    // Three days, with a part that has a minute: time stands still while people are waited for.
    clock.fetch_add(3 * 86_400_000_000, Ordering::SeqCst);
    let hub = at_rest(dir.path(), &clock, delegating(), &tools).await;
    hub.engine.fall_due().await.expect("nothing ends");
    assert_eq!(pending(&hub.engine.run_record(run).await.expect("the run")).len(), 3);
    for id in ids {
        answer(&hub, id, Choice::Approve, "user:carl").await.expect("approved");
    }
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed", "{:?}", record.summary);
    let told = record.tasks[0].output.as_deref().unwrap_or_default();
    assert!(told.contains("sent") && !told.contains("in time"), "the part has ended well: {told}");
    let mut keys: Vec<_> = tools.calls().iter().map(|call| call.key.clone()).collect();
    assert_eq!(keys.len(), 3, "each once");
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 3);
    assert!(record.approvals.iter().all(|approval| approval.state == "executed"), "{:?}", record.approvals);
}
