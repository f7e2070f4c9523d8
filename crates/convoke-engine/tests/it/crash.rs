//! Crashes in one process: a runtime is torn down at a chosen call, and another one takes over the same folder.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use convoke_domain::id::{RunId, WorkspaceId};
use convoke_domain::record::RunRecord;
use convoke_engine::EffectOutcome;
use convoke_port::tool::Repeat;
use convoke_store::{Options, Store};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, Gate, asks, says};
use convoke_testkit::tool::{FakeTools, gives};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::play::usual;

/// Plan, two members of whom one writes with a tool, synthesis: six model calls.
fn models() -> FakeModels {
    FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) => Ok(asks(&[("c1", "write", json!({"text": "a"})), ("c2", "write", json!({"text": "b"}))])),
        ("logs", _) => Ok(says("wrote it")),
        _ => usual(request),
    })
}

async fn begin(dir: &Path, models: FakeModels, tools: FakeTools) -> (Hub, RunId) {
    let mut hub = Hub::open(dir, models, tools, |_| {}).await;
    hub.start().await;
    let profiles =
        vec![profile("lead", json!({})), profile("logs", json!({"tools": ["write"]})), profile("cost", json!({}))];
    let start = hub.prepare(team(&["logs", "cost"], json!({})), profiles, "Look.").await.expect("a team");
    let run = hub.engine.start_run(start).await.expect("a run");
    (hub, run)
}

/// What a new process makes of the folder.
fn finish(dir: &Path, run: RunId, models: FakeModels, tools: FakeTools) -> RunRecord {
    runtime().block_on(async {
        let mut hub = Hub::open(dir, models, tools, |_| {}).await;
        hub.start().await;
        let record = hub.ended(run).await;
        check_events(&hub, &record).await;
        record
    })
}

/// Whoever reads nothing but the events knows of every lost call and of every cent.
async fn check_events(hub: &Hub, record: &RunRecord) {
    let all = hub.engine.store().events_after(WorkspaceId::DEFAULT, 0, Some(record.summary.id), 1_000).await;
    let all = all.expect("events");
    let steps: Vec<_> =
        all.iter().filter(|event| event.kind.starts_with("step.")).map(|event| &event.payload).collect();
    let taken_over = all.iter().filter(|event| event.kind == "task.taken_over").count();
    let requeued: Vec<_> = all.iter().filter(|event| event.kind == "task.requeued").collect();
    assert_eq!(requeued.len(), taken_over, "what goes on was put back first");
    assert!(requeued.iter().all(|event| event.payload["why"] == "lease_lapsed"), "nobody gave a task back");
    let is_lost =
        |step: &&&Value| step["kind"] == "model" && step["error"].as_str().is_some_and(|why| why.starts_with("lost"));
    let lost: i64 = record.usage.iter().map(|usage| usage.lost_calls).sum();
    assert_eq!(i64::try_from(steps.iter().filter(is_lost).count()), Ok(lost));
    let told: f64 = steps.iter().filter_map(|step| step["cost_usd"].as_f64()).sum();
    assert!((told - record.summary.cost_usd.as_usd()).abs() < 1e-9, "{told} of {}", record.summary.cost_usd);
}

/// A runtime that can be torn down.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Drops everything that is under way, as a crash would, and frees the folder.
pub fn crash(runtime: Runtime, store: Store) {
    drop(runtime);
    self::runtime().block_on(store.close()).expect("a store that closes");
}

#[test]
fn whatever_call_it_dies_in_the_run_ends_the_same() {
    for crash_at in 1..=5 {
        let dir = tempfile::tempdir().expect("a folder");
        let written = Arc::new(AtomicU32::new(0));
        let count = written.clone();
        let tools = FakeTools::new(&[("write", Repeat::Idempotent)], move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            gives("written")
        });
        // Calls before number `crash_at` are answered; the crash comes while it, and whatever is beside it, is under way.
        let gate = Gate::default();
        let first = models().with_gate_from(&gate, crash_at);
        let doomed = runtime();
        let (run, store) = doomed.block_on(async {
            let (hub, run) = begin(dir.path(), first.clone(), tools.clone()).await;
            gate.held(1).await;
            (run, hub.engine.store().clone())
        });
        crash(doomed, store);
        let second = models();
        let record = finish(dir.path(), run, second.clone(), tools.clone());
        assert_eq!(record.summary.state, "completed", "crash at call {crash_at}");
        assert_eq!(record.output.as_deref(), Some("the result"));
        let attempts = record.tasks.iter().flat_map(|task| &task.attempts);
        assert!(attempts.into_iter().all(|attempt| attempt.n == 1), "a crash starts no new attempt");
        check_calls(crash_at, &first, &second, &record);
    }
}

/// Nothing whose reply was committed is asked again, and what was under way is billed at its bound.
fn check_calls(crash_at: usize, first: &FakeModels, second: &FakeModels, record: &RunRecord) {
    let answered: Vec<_> = first.calls().into_iter().take(crash_at - 1).map(|call| call.origin.key).collect();
    let again: Vec<_> = second.calls().into_iter().map(|call| call.origin.key).collect();
    // A reply may have come too late to be committed: at most those of the last moment are asked again.
    let twice = answered.iter().filter(|key| again.contains(key)).count();
    let lost: i64 = record.usage.iter().map(|usage| usage.lost_calls).sum();
    let under_way = i64::try_from(first.calls().len() - (crash_at - 1) + twice).expect("few");
    // A call that was journaled and not yet sent counts as lost as well: nobody can know.
    assert!(
        lost >= under_way && lost <= under_way + 1,
        "crash at call {crash_at}: {lost} billed as lost of {under_way}"
    );
    assert_eq!(record.summary.model_calls, 5 + lost);
    assert!(record.budgets.iter().all(|budget| budget.reserved.cost.as_nanos() == 0), "{:?}", record.budgets);
}

/// Dies while a tool is under way that never comes back.
fn die_in_a_tool(dir: &Path, repeat: Repeat) -> RunId {
    let doomed = runtime();
    let (inside, entered) = std::sync::mpsc::channel::<()>();
    let stuck = FakeTools::new(&[("write", repeat)], |_| gives("written")).with_stall(inside);
    let (run, store) = doomed.block_on(async {
        let (hub, run) = begin(dir, models(), stuck).await;
        while entered.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        (run, hub.engine.store().clone())
    });
    crash(doomed, store);
    run
}

#[test]
fn a_tool_that_must_not_act_twice_waits_for_a_person_after_a_crash() {
    let dir = tempfile::tempdir().expect("a folder");
    let run = die_in_a_tool(dir.path(), Repeat::Once);
    let tools = FakeTools::new(&[("write", Repeat::Once)], |_| gives("written"));
    let record = runtime().block_on(async {
        let mut hub = Hub::open(dir.path(), models(), tools.clone(), |_| {}).await;
        hub.start().await;
        hub.until(run, &["waiting"]).await
    });
    assert_eq!(record.effects.iter().filter(|effect| effect.state == "unknown").count(), 2);
    assert!(tools.calls().is_empty(), "nothing was repeated blindly");
}

#[test]
fn a_run_that_is_cancelled_before_anybody_takes_over_leaves_no_call_under_way() {
    for (repeat, state, told) in
        [(Repeat::Once, "unknown", "effect.unknown"), (Repeat::Idempotent, "failed", "step.failed")]
    {
        let dir = tempfile::tempdir().expect("a folder");
        let run = die_in_a_tool(dir.path(), repeat);
        let (record, events, inbox) = runtime().block_on(async {
            // Nobody works here: the cancellation is all that happens.
            let hub = Hub::open(dir.path(), models(), FakeTools::none(), |_| {}).await;
            hub.engine.ensure_user("tester").await.expect("a user");
            hub.engine.cancel(run, "tester").await.expect("cancelled");
            let events = hub.engine.store().events_after(WorkspaceId::DEFAULT, 0, Some(run), 1_000).await;
            let inbox = hub.engine.inbox("tester").await.expect("an inbox");
            (hub.ended(run).await, events.expect("events"), inbox)
        });
        assert_eq!(record.summary.state, "cancelled");
        let states: Vec<_> = record.effects.iter().map(|effect| effect.state.as_str()).collect();
        assert_eq!(states, [state, state], "{:#?}", record.effects);
        let steps = record.tasks.iter().flat_map(|task| &task.attempts).flat_map(|attempt| &attempt.steps);
        assert_eq!(steps.filter(|step| step.kind == "tool" && step.status == state).count(), 2);
        let tools: Vec<_> = events.iter().filter(|event| event.payload["kind"] == "tool").collect();
        assert_eq!(tools.iter().filter(|event| event.kind == told).count(), 2, "{tools:#?}");
        assert_eq!(inbox.len(), if state == "unknown" { 2 } else { 0 }, "a person may say what became of it");
    }
}

#[test]
fn nobody_makes_a_call_of_a_run_that_has_ended_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let run = die_in_a_tool(dir.path(), Repeat::Once);
    runtime().block_on(async {
        let hub = Hub::open(dir.path(), models(), FakeTools::none(), |_| {}).await;
        hub.engine.ensure_user("tester").await.expect("a user");
        hub.engine.cancel(run, "tester").await.expect("cancelled");
        let inbox = hub.engine.inbox("tester").await.expect("an inbox");
        assert!(inbox.iter().all(|entry| entry.options == ["done", "failed"]), "{inbox:#?}");
        let [first, second] = [&inbox[0].id, &inbox[1].id];
        let refused = hub.engine.resolve_effect(first, EffectOutcome::Retry, "tester").await.expect_err("nobody would");
        let convoke_engine::Error::Refused(refusal) = refused else { panic!("{refused:?}") };
        let told = format!("run {run} is cancelled: nobody is left in it to make the call to write again");
        assert_eq!((refusal.code.as_str(), &refusal.message), ("run_over", &told));
        assert!(refusal.hint.as_ref().is_some_and(|hint| hint.contains(&format!("convoke resolve {first} done"))));
        for (effect, outcome) in
            [(first, EffectOutcome::Done("it was".into())), (second, EffectOutcome::Failed("it was not".into()))]
        {
            hub.engine.resolve_effect(effect, outcome, "tester").await.expect("for the record");
        }
        let record = hub.engine.run_record(run).await.expect("a record");
        let states: Vec<_> = record.effects.iter().map(|effect| effect.state.as_str()).collect();
        assert_eq!((record.summary.state.as_str(), states), ("cancelled", vec!["done", "failed"]));
        assert_eq!(hub.engine.inbox("tester").await.expect("an inbox"), vec![]);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_a_call_came_to_is_recorded_even_after_its_run_was_cancelled() {
    for repeat in [Repeat::Once, Repeat::Idempotent] {
        let dir = tempfile::tempdir().expect("a folder");
        let (inside, entered) = std::sync::mpsc::channel::<()>();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let released = Mutex::new(released);
        let slow = FakeTools::new(&[("write", repeat)], move |_| {
            let _ = inside.send(());
            let _ = tokio::task::block_in_place(|| released.lock().expect("no panic").recv());
            gives("written")
        });
        let (hub, run) = begin(dir.path(), models(), slow).await;
        while entered.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        hub.engine.cancel(run, "tester").await.expect("cancelled");
        let record = hub.engine.run_record(run).await.expect("a record");
        assert!(record.effects.iter().all(|effect| effect.state != "dispatched"), "{:#?}", record.effects);
        drop(release);
        let mut feed = hub.engine.store().subscribe();
        while hub.engine.run_record(run).await.expect("a record").effects.iter().all(|effect| effect.state != "done") {
            let _ = feed.next().await;
        }
        // The other call of the same reply was not begun any more.
        let record = hub.ended(run).await;
        let steps = record.tasks.iter().flat_map(|task| &task.attempts).flat_map(|attempt| &attempt.steps);
        let tools: Vec<_> = steps.filter(|step| step.kind == "tool").collect();
        assert_eq!((tools[0].status.as_str(), &tools[0].error), ("done", &None), "{tools:#?}");
        assert_eq!(tools[0].output.as_deref(), Some("written"));
        let given_up = if repeat == Repeat::Once { "unknown" } else { "failed" };
        assert_eq!(tools[1].status, given_up, "{tools:#?}");
    }
}

#[test]
fn a_worker_that_is_not_heard_of_loses_its_task() {
    let dir = tempfile::tempdir().expect("a folder");
    let (gate, shared) = (Gate::default(), runtime());
    let store = shared.block_on(Store::open_sqlite(dir.path(), Options::default())).expect("a store");
    let frozen = runtime();
    let (run, first) = frozen.block_on(async {
        let models = FakeModels::new(usual).with_gate(&gate);
        let mut hub = Hub::over(store.clone(), dir.path().join("a"), models, FakeTools::none(), |config| {
            config.lease = Duration::from_millis(100);
            config.exclusive = false;
        });
        hub.start().await;
        let run = hub.run(team(&["logs"], json!({"rules": {"planning": "same_task"}})), "Look.").await;
        gate.held(1).await;
        (run, hub)
    });
    // The first worker is stopped in its tracks; its lease runs out and the second takes over.
    let record = shared.block_on(async {
        let plain = FakeModels::new(usual);
        let mut second =
            Hub::over(store.clone(), dir.path().join("b"), plain, FakeTools::none(), |config| config.exclusive = false);
        second.start().await;
        second.ended(run).await
    });
    assert_eq!(record.summary.state, "completed");
    // It wakes up, and its late answer changes nothing.
    let after = frozen.block_on(async {
        gate.open();
        while first.engine.driven() > 0 {
            tokio::task::yield_now().await;
        }
        first.engine.run_record(run).await.expect("run")
    });
    assert_eq!(after.tasks, record.tasks);
    let lost: i64 = after.usage.iter().map(|usage| usage.lost_calls).sum();
    assert_eq!(lost, 1, "the call of the worker that was lost is billed at its bound");
}

/// `logs` asks `cost`, tells `lead`, and waits for a message; `cost` answers and sends: every step of a message once.
fn talkers() -> FakeModels {
    FakeModels::new(|request| {
        let text = format!("{:?}", request.turns);
        match (request.origin.agent.as_str(), request.origin.stage.as_str(), request.origin.turn) {
            ("logs", "work", 1) => Ok(asks(&[
                ("c1", "ask", json!({"to": "lead", "question": "Which day?"})),
                ("c2", "send", json!({"to": "cost", "message": "look at Tuesday"})),
            ])),
            ("logs", "work", _) if !text.contains("from agent:cost]") => {
                Ok(asks(&[("c3", "wait_for", json!({"from": "cost"}))]))
            }
            ("cost", "work", _) if !text.contains("look at Tuesday") => {
                Ok(asks(&[("c1", "wait_for", json!({"from": "logs"}))]))
            }
            ("cost", "work", _) if !text.contains("Stored as") => {
                Ok(asks(&[("c2", "send", json!({"to": "logs", "message": "it is the disk"}))]))
            }
            ("lead", "reply", _) => Ok(says("Tuesday.")),
            _ => usual(request),
        }
    })
}

async fn talk(dir: &Path, models: FakeModels) -> (Hub, RunId) {
    let mut hub = Hub::open(dir, models, FakeTools::none(), |_| {}).await;
    hub.engine.ensure_user("tester").await.expect("a user");
    hub.start().await;
    let profiles = ["lead", "logs", "cost"].map(|name| profile(name, json!({"tools": ["@talk"]}))).to_vec();
    let rules = json!({"rules": {"planning": "same_task"}});
    let start = hub.prepare(team(&["logs", "cost"], rules), profiles, "Look.").await.expect("a team");
    let run = hub.engine.start_run(start).await.expect("a run");
    (hub, run)
}

#[test]
fn whatever_step_of_a_message_it_dies_in_each_is_there_once() {
    for crash_at in 1..=8 {
        let dir = tempfile::tempdir().expect("a folder");
        let gate = Gate::default();
        let doomed = runtime();
        let (run, store) = doomed.block_on(async {
            let (hub, run) = talk(dir.path(), talkers().with_gate_from(&gate, crash_at)).await;
            // The run may end in fewer calls than the crash waits for; then there was nothing to lose.
            tokio::select! {
                () = gate.held(1) => {}
                _ = hub.ended(run) => {}
            }
            (run, hub.engine.store().clone())
        });
        crash(doomed, store);
        let (record, said) = runtime().block_on(async {
            let mut hub = Hub::open(dir.path(), talkers(), FakeTools::none(), |_| {}).await;
            hub.start().await;
            let record = hub.ended(run).await;
            let reader = convoke_engine::Reader::Audit("tester".into());
            let filter = convoke_engine::ThreadFilter { run: Some(run), ..Default::default() };
            let mut said = Vec::new();
            for thread in hub.engine.threads(filter, reader.clone(), 10).await.expect("threads") {
                said.extend(hub.engine.export_thread(thread.id, reader.clone()).await.expect("a thread").messages);
            }
            (record, said)
        });
        assert_eq!(record.summary.state, "completed", "crash at call {crash_at}");
        let mut kinds: Vec<_> = said.iter().map(|message| (message.from.as_str(), message.kind.as_str())).collect();
        kinds.sort_unstable();
        let once =
            [("agent:cost", "note"), ("agent:lead", "decision"), ("agent:logs", "note"), ("agent:logs", "question")];
        assert_eq!(kinds, once, "crash at call {crash_at}");
        let settled = |message: &convoke_domain::record::MessageRecord| {
            message.receipts.iter().all(|receipt| matches!(receipt.state.as_str(), "read" | "answered"))
        };
        assert!(said.iter().all(settled), "crash at call {crash_at}: {said:#?}");
        assert_eq!(record.decisions[0].standing, "answered");
    }
}
