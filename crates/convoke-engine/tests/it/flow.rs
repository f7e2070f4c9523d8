//! Flows on real stores: what the machine decides is carried out, survives crashes, and leaves nothing behind.

use std::path::Path;
use std::time::Duration;

use convoke_domain::flow::account::{Fact, Stand};
use convoke_domain::id::{RunId, WorkspaceId};
use convoke_domain::record::RunRecord;
use convoke_domain::team::Team;
use convoke_domain::user::Role;
use convoke_engine::TaskAnswer;
use convoke_port::model::{ModelError, ModelReply, ModelRequest};
use convoke_store::{Options, PgOptions, Store};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, Gate, says};
use convoke_testkit::tool::FakeTools;
use serde_json::{Value, json};

use crate::crash;
use crate::lock::{Hands, Kept};

const MEMBERS: [&str; 3] = ["ann", "bob", "eve"];
/// A fact that is not there after so long will not come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A team with these steps.
fn flow_team(steps: Value, more: Value) -> Team {
    let mut rules = json!({"retries": 0});
    if let (Some(into), Some(from)) = (rules.as_object_mut(), more.as_object()) {
        into.extend(from.clone());
    }
    team(&MEMBERS, json!({"pattern": "own", "flow": {"steps": steps}, "rules": rules}))
}

/// What everybody says: what the form of the answer asks for, or who they are.
fn obliging(request: &ModelRequest) -> Result<ModelReply, ModelError> {
    let agent = request.origin.agent.as_str();
    let Some(schema) = &request.output_schema else { return Ok(says(format!("{agent} says so"))) };
    let has = |name: &str| schema.pointer(&format!("/properties/{name}")).is_some();
    let answer = if has("tasks") {
        let task = |name: &&str| json!({"key": name, "title": "t", "instructions": "Look.", "assignee": name, "depends_on": [], "expected_output": ""});
        json!({"tasks": MEMBERS.iter().map(task).collect::<Vec<_>>()})
    } else if has("choice") {
        json!({"choice": "yes", "confidence": 0.8, "reason": "because"})
    } else if has("verdict") {
        json!({"verdict": "accept", "comments": "fine"})
    } else {
        json!({"answer": agent, "ok": true})
    };
    Ok(says(answer.to_string()))
}

/// One step of each kind that needs a store.
fn all_kinds() -> Value {
    json!([
        {"id": "look", "phase": {"do": [
            {"id": "views", "split": {"over": "members", "do": [
                {"id": "view", "task": {"agent": "{{ item }}", "instructions": "Look at {{ task }}"}},
                {"id": "again", "task": {"agent": "{{ item }}", "instructions": "Once more.", "see": ["view"]}}], "sync": {"least": 1}}},
            {"id": "list", "merge": {"of": "views", "how": "combine"}}], "summary": "{{ results.views | length }} views"}},
        {"id": "work", "phase": {"do": [
            {"id": "parts", "split": {"plan": {"by": "{{ coordinator }}"}, "sync": {"least": 1}}},
            {"id": "rounds", "loop": {"max": 2, "until": "results.try.ok", "do": [
                {"id": "try", "task": {"agent": "ann", "instructions": "Try {{ round }}.", "output": {"type": "object", "properties": {"ok": {"type": "boolean"}}}}}]}},
            {"id": "bar", "gate": {"require": ["rounds"], "on_fail": "back", "max": 1, "on_limit": "continue"}}]}},
        {"id": "check", "review": {"of": "work", "author": "ann", "reviewers": "members", "rounds": 2, "on_limit": "continue"}},
        {"id": "choose", "vote": {"question": "Ship it?", "rule": {"options": ["yes", "no"]}}},
        {"id": "end", "branch": {"cases": [{"when": "results.choose.choice == 'yes'", "do": [
            {"id": "ship", "task": {"agent": "{{ coordinator }}", "instructions": "Ship.", "see": ["choose"]}}]}],
            "otherwise": [{"id": "stay", "value": "'not shipped'"}]}},
    ])
}

/// Nothing of an ended run is open, waits, or falls due.
fn nothing_is_left(record: &RunRecord) {
    let open: Vec<_> = record
        .tasks
        .iter()
        .filter(|task| !matches!(task.state.as_str(), "completed" | "failed" | "cancelled"))
        .map(|task| (&task.key, &task.state))
        .collect();
    assert!(open.is_empty(), "{:?} has open tasks: {open:?}", record.summary.state);
}

#[tokio::test]
async fn a_flow_of_all_kinds_comes_to_its_end() {
    let hub = Hub::new(FakeModels::new(obliging), FakeTools::none()).await;
    let run = hub.run(flow_team(all_kinds(), json!({})), "the door").await;
    let record = hub.ended(run).await;
    assert_eq!(
        (record.summary.state.as_str(), record.output.as_deref()),
        ("completed", Some("lead says so")),
        "{:?}",
        record.summary.error
    );
    nothing_is_left(&record);
    let keys: Vec<_> = record.tasks.iter().map(|task| task.key.as_str()).collect();
    for key in [
        "look/views/ann/view",
        "look/views/eve/again",
        "work/parts/plan",
        "work/parts/bob",
        "work/rounds/1/try",
        "check/rounds/1/verdicts/bob",
        "choose/ann",
        "end/ship",
    ] {
        assert!(keys.contains(&key), "{key} is not among {keys:?}");
    }
    assert!(!keys.contains(&"check/rounds/1/verdicts/ann"), "an author reviews nothing of their own");
    let events = hub.engine.store().events_after(WorkspaceId::DEFAULT, 0, Some(run), 1_000).await.expect("events");
    for kind in [
        "coordination.split.created",
        "coordination.sync.ready",
        "coordination.merge.completed",
        "coordination.vote.counted",
        "coordination.gate.checked",
        "run.phase_ended",
    ] {
        assert!(events.iter().any(|event| event.kind == kind), "no {kind}");
    }
    the_record_tells_all(&record);
}

/// The record of a run of [`all_kinds`] has its steps in the order of the flow, with what came of them.
fn the_record_tells_all(record: &RunRecord) {
    let flow = record.flow.as_ref().expect("what the flow did");
    let phases: Vec<_> = flow.phases.iter().map(|phase| (phase.name.as_str(), phase.summary.as_deref())).collect();
    assert_eq!(phases[0], ("look", Some("3 views")));
    assert_eq!((phases[1].0, phases.len()), ("work", 2));
    let told: Vec<_> = flow.steps.iter().map(|step| (step.path.as_str(), step.kind.as_str())).collect();
    let mut rest = told.iter();
    for step in [
        ("look", "phase"),
        ("look/views", "split"),
        ("look/views/ann", "item"),
        ("look/views/ann/view", "task"),
        ("look/list", "merge"),
        ("work/parts/plan", "task"),
        ("work/rounds", "loop"),
        ("work/rounds/1", "round"),
        ("work/bar", "gate"),
        ("check", "review"),
        ("choose", "vote"),
        ("end", "branch"),
        ("end/ship", "task"),
    ] {
        assert!(rest.any(|one| *one == step), "{step:?} is not at its place among {told:?}");
    }
    assert!(flow.steps.iter().all(|step| step.state == Stand::Completed), "{:?}", flow.steps);
    let fact = |path: &str| flow.steps.iter().find(|step| step.path == path).and_then(|step| step.fact.clone());
    let Some(Fact::Vote(vote)) = fact("choose") else { panic!("a vote") };
    assert_eq!((vote.choice.as_deref(), vote.ballots.len() + vote.outstanding.len()), (Some("yes"), 3));
    let Some(Fact::Review(review)) = fact("check") else { panic!("a review") };
    assert_eq!((review.author.as_deref(), review.rounds[0].verdicts.len()), (Some("ann"), 2));
    assert!(matches!(fact("work/bar"), Some(Fact::Gate(gate)) if gate.open));
}

/// What the events of a kind say.
async fn told(hub: &Hub, run: RunId, kind: &str) -> Vec<Value> {
    let events = hub.engine.store().events_after(WorkspaceId::DEFAULT, 0, Some(run), 1_000).await.expect("events");
    events.into_iter().filter(|event| event.kind == kind).map(|event| event.payload).collect()
}

#[tokio::test]
async fn every_turn_of_the_coordination_is_an_event() {
    let hub = Hub::new(FakeModels::new(obliging), FakeTools::none()).await;
    let steps = json!([
        {"id": "one", "after": [], "task": {"agent": "ann", "instructions": "?"}},
        {"id": "two", "after": [], "task": {"agent": "bob", "instructions": "?"}},
        {"id": "enough", "sync": {"of": ["one", "two"], "wait": "any"}},
        {"id": "both", "join": {"of": ["one", "two"]}},
        {"id": "never", "when": "1 == 2", "value": "1"},
        {"id": "list", "split": {"over": "['ann']", "do": [{"id": "x", "task": {"agent": "{{ item }}", "instructions": "?"}}]}},
        {"id": "again", "loop": {"max": 2, "until": "round == 2", "do": [{"id": "y", "value": "1"}]}},
        {"id": "way", "branch": {"cases": [{"when": "true", "do": [{"id": "z", "value": "1"}]}]}},
        {"id": "check", "review": {"of": "enough", "author": "ann", "reviewers": "members", "rounds": 1}},
        {"id": "choose", "vote": {"question": "?", "rule": {"options": ["yes", "no"], "capability": "law"}}},
    ]);
    let run = hub.run(flow_team(steps, json!({})), "the door").await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed", "{:?}", record.summary.error);
    for (kind, at) in [
        ("split.created", "list"),
        ("sync.created", "enough"),
        ("sync.created", "list"),
        ("sync.ready", "enough"),
        ("sync.ready", "list"),
        ("join.created", "both"),
        ("round.started", "again"),
        ("branch.taken", "way"),
        ("vote.opened", "choose"),
        ("vote.counted", "choose"),
        ("review.ended", "check"),
        ("step.skipped", "never"),
    ] {
        let all = told(&hub, run, &format!("coordination.{kind}")).await;
        assert!(all.iter().any(|payload| payload["path"] == at), "no {kind} of {at}: {all:?}");
    }
}

#[tokio::test]
async fn what_brings_work_together_is_no_outcome_of_a_member() {
    let hub = Hub::new(FakeModels::new(obliging), FakeTools::none()).await;
    let look = json!({"id": "look", "task": {"agent": "{{ item }}", "instructions": "Look."}});
    let steps = json!([
        {"id": "views", "split": {"over": "['ann', 'bob']", "do": [look]}},
        {"id": "whole", "merge": {"of": "views", "how": "synthesis"}},
    ]);
    let record = hub.ended(hub.run(flow_team(steps, json!({})), "the door").await).await;
    let told = record.analytics.expect("figures");
    assert_eq!((record.tasks.len(), told.success.completed, told.cost.outcomes), (3, 3, 2), "{:?}", told.cost);
}

#[tokio::test]
async fn a_vote_that_goes_to_a_person_is_in_the_record() {
    let split = |request: &ModelRequest| {
        let choice = if request.origin.agent == "ann" { "yes" } else { "no" };
        Ok(says(json!({"choice": choice, "confidence": 0.8, "reason": "because"}).to_string()))
    };
    let hub = Hub::new(FakeModels::new(split), FakeTools::none()).await;
    let rule = json!({"options": ["yes", "no"], "tie": "escalate"});
    let steps = json!([{"id": "choose", "vote": {"voters": "['ann', 'bob']", "question": "?", "rule": rule}}]);
    let run = hub.run(flow_team(steps, json!({})), "the door").await;
    assert_eq!(hub.ended(run).await.summary.state, "escalated");
    let counted = told(&hub, run, "coordination.vote.counted").await;
    assert_eq!((counted.len(), counted[0]["ballots"].as_array().map(Vec::len)), (1, Some(2)), "{counted:?}");
    assert_eq!((&counted[0]["outcome"]["is"], &counted[0]["choice"]), (&json!("tied"), &Value::Null));
}

#[tokio::test]
async fn a_task_that_fails_with_the_one_it_depends_on_is_no_standstill() {
    let models = FakeModels::new(|request| {
        if request.origin.task_key == "parts/ann" {
            return Err(convoke_testkit::model::fault(convoke_port::model::Fault::BadRequest, "no"));
        }
        let task = |key: &str, on: &[&str]| json!({"key": key, "title": "t", "instructions": "Look.", "assignee": key, "depends_on": on, "expected_output": ""});
        Ok(says(json!({"tasks": [task("ann", &[]), task("bob", &["ann"])]}).to_string()))
    });
    let hub = Hub::new(models, FakeTools::none()).await;
    for (least, expected) in [(0, "completed"), (1, "failed")] {
        let steps = json!([{"id": "parts", "split": {"plan": {"by": "{{ coordinator }}"}, "sync": {"least": least}}}, {"id": "end", "value": "'so be it'"}]);
        let record = hub.ended(hub.run(flow_team(steps, json!({})), "the door").await).await;
        assert_eq!(record.summary.state, expected, "{:?}", record.summary.error);
        let error = record.summary.error.unwrap_or_default();
        assert!(least == 0 || error.contains("0 of 2 completed, and at least 1 must"), "{error}");
    }
}

#[tokio::test]
async fn a_bad_plan_of_a_flow_gets_one_more_chance() {
    let task = |key: &str, on: &str| json!({"key": key, "title": "t", "instructions": "Look.", "assignee": key, "depends_on": [on], "expected_output": ""});
    let circle = json!({"tasks": [task("ann", "bob"), task("bob", "ann")]}).to_string();
    for (learns, state) in [(true, "completed"), (false, "escalated")] {
        let circle = circle.clone();
        let models = FakeModels::new(move |request| match request.turns.last().map(|turn| turn.text()) {
            Some(told)
                if request.origin.task_key == "parts/plan"
                    && !(learns && told.contains("in a circle: ann -> bob -> ann")) =>
            {
                Ok(says(circle.clone()))
            }
            _ => obliging(request),
        });
        let hub = Hub::new(models.clone(), FakeTools::none()).await;
        let steps = json!([{"id": "parts", "split": {"plan": {"by": "{{ coordinator }}"}}}, {"id": "end", "value": "'so be it'"}]);
        let record = hub.ended(hub.run(flow_team(steps, json!({})), "the door").await).await;
        let error = record.summary.error.unwrap_or_default();
        assert_eq!(record.summary.state, state, "{error}");
        assert_eq!(models.calls().iter().filter(|call| call.origin.task_key == "parts/plan").count(), 2);
        assert!(learns || error.starts_with("parts/plan (lead): schema_mismatch"), "{error}");
    }
}

#[tokio::test]
async fn who_is_late_is_left_behind() {
    let gate = Gate::default();
    let held = gate.clone();
    let models = FakeModels::new(obliging).with_gate(&held);
    let hub = Hub::new(models, FakeTools::none()).await;
    let steps = json!([
        {"id": "all", "split": {"over": "members", "do": [{"id": "x", "task": {"agent": "{{ item }}", "instructions": "?"}}],
            "sync": {"least": 0, "timeout_s": 1}}},
        {"id": "n", "value": "results.all | values | length"},
    ]);
    let run = hub.run(flow_team(steps, json!({})), "in time").await;
    gate.held(3).await;
    let record = hub.ended(run).await;
    assert_eq!(
        (record.summary.state.as_str(), record.output.as_deref()),
        ("completed", Some("0")),
        "{:?}",
        record.summary.error
    );
    nothing_is_left(&record);
    gate.open();
}

/// A hub whose leases are not looked at for an hour, with `ann` at one gate and the others at another that nobody opens.
async fn hub_of_two_gates(
    play: impl Fn(&ModelRequest) -> Result<ModelReply, ModelError> + Send + Sync + 'static,
) -> (Hub, Gate, Gate) {
    let (first, never) = (Gate::default(), Gate::default());
    let models = FakeModels::new(play).with_gate_for(&first, &["ann"]).with_gate_for(&never, &["bob", "eve", "lead"]);
    let hub = Hub::with(models, FakeTools::none(), |config| config.lease = Duration::from_secs(10_800)).await;
    (hub, first, never)
}

#[tokio::test]
async fn what_is_called_off_is_cut_at_once() {
    let (hub, first, never) = hub_of_two_gates(obliging).await;
    let mut feed = hub.engine.store().subscribe();
    let steps = json!([
        {"id": "all", "split": {"over": "members", "do": [{"id": "x", "task": {"agent": "{{ item }}", "instructions": "?"}}],
            "sync": {"wait": "count", "count": 1}}},
        {"id": "end", "task": {"agent": "lead", "instructions": "Put it together."}},
    ]);
    let run = hub.run(flow_team(steps, json!({})), "one is enough").await;
    never.held(2).await;
    first.open();
    // While the coordinator is at work, what the others asked has ended and is billed.
    never.held(3).await;
    let (mut called_off, mut cut) = (0, 0);
    while cut < 2 {
        let event = tokio::time::timeout(PATIENCE, feed.next()).await.expect("the calls are cut");
        let event = event.expect("an open store").expect("few events");
        called_off += u32::from(event.kind == "task.cancelled");
        cut += u32::from(event.kind == "step.failed" && event.payload["error"] == "cancelled: cancelled");
    }
    assert_eq!(called_off, 2);
    while hub.engine.driven() > 1 {
        tokio::task::yield_now().await;
    }
    never.open();
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed");
    assert!(record.budgets.iter().all(|budget| budget.reserved.tokens == 0), "{:?}", record.budgets);
    nothing_is_left(&record);
}

#[tokio::test]
async fn the_end_of_a_run_cuts_whatever_its_members_are_doing() {
    let fails = |_: &ModelRequest| Err(convoke_testkit::model::fault(convoke_port::model::Fault::BadRequest, "no"));
    let (hub, first, never) = hub_of_two_gates(fails).await;
    let steps = json!([
        {"id": "all", "split": {"over": "members", "do": [{"id": "x", "task": {"agent": "{{ item }}", "instructions": "?"}}],
            "sync": {"wait": "all"}}},
    ]);
    let run = hub.run(flow_team(steps, json!({})), "all are needed").await;
    never.held(2).await;
    first.open();
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "failed");
    nothing_is_left(&record);
    let gone = async {
        while hub.engine.driven() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("their calls are cut");
}

/// A team in which a person is asked, and goes on without them after five minutes.
async fn asks_a_person(kept: Kept, more: Value) -> (tempfile::TempDir, Hub, Hands, RunId) {
    let dir = tempfile::tempdir().expect("a folder");
    let hands = Hands::at(1_800_000_000);
    let store = kept.open(dir.path(), &hands).await;
    let mut hub = Hub::over(store, dir.path().join("work"), FakeModels::new(obliging), FakeTools::none(), |_| {});
    hub.engine.ensure_user("ada").await.expect("the owner");
    hub.engine.appoint("bob", Role::Approver, true, "user:ada").await.expect("a user");
    let mut ask =
        json!({"id": "ok", "ask": {"whom": "eve", "question": "Go on?", "options": ["yes", "no"]}, "timeout_s": 300});
    if let (Some(into), Some(from)) = (ask.as_object_mut(), more.as_object()) {
        into.extend(from.clone());
    }
    let steps = json!([ask, {"id": "end", "value": "results.ok"}]);
    let person = profile("eve", json!({"agent_kind": "human", "users": ["bob"]}));
    let profiles = vec![profile("lead", json!({})), profile("ann", json!({})), profile("bob", json!({})), person];
    let start = hub.prepare(flow_team(steps, json!({})), profiles, "in time").await.expect("a team");
    let run = hub.engine.start_run(start).await.expect("a run");
    hub.start().await;
    hub.until(run, &["waiting"]).await;
    (dir, hub, hands, run)
}

#[tokio::test]
async fn a_person_who_does_not_answer_in_time_is_not_waited_for() {
    for kept in [Kept::Sqlite, Kept::Postgres] {
        let (_dir, hub, hands, run) = asks_a_person(kept, json!({"default": "no"})).await;
        let inbox = hub.engine.inbox("bob").await.expect("an inbox");
        let due = inbox[0].due.expect("it says until when");
        assert_eq!(due, hands.now().after(std::time::Duration::from_secs(300)));
        let task = inbox[0].id.parse().expect("a task's id");
        hands.advance(299);
        assert_eq!(hub.engine.fall_due().await.expect("looked at"), 0, "there is a second left");
        hands.advance(2);
        hub.engine.fall_due().await.expect("looked at");
        let record = hub.ended(run).await;
        assert_eq!((record.summary.state.as_str(), record.output.as_deref()), ("completed", Some("no")));
        nothing_is_left(&record);
        assert!(hub.engine.inbox("bob").await.expect("an inbox").is_empty(), "nobody is asked any more");
        let answer = TaskAnswer::Done(json!({"answer": "yes", "reason": ""}).to_string());
        let late = hub.engine.answer_task(task, answer, "user:bob").await.expect_err("too late");
        assert_eq!(late.code(), "not_waiting");
        let (_dir, hub, hands, run) = asks_a_person(kept, json!({"on_failure": "escalate"})).await;
        hands.advance(301);
        hub.engine.fall_due().await.expect("looked at");
        let record = hub.ended(run).await;
        let why = record.summary.error.clone().unwrap_or_default();
        assert!(
            record.summary.state == "escalated" && why.contains("it took longer than 300 s"),
            "{:?}",
            record.summary
        );
        nothing_is_left(&record);
    }
}

#[tokio::test]
async fn who_answers_in_time_is_heard() {
    let (_dir, hub, hands, run) = asks_a_person(Kept::Sqlite, json!({"default": {"answer": "no"}})).await;
    let task = hub.engine.inbox("bob").await.expect("an inbox")[0].id.parse().expect("a task's id");
    hands.advance(200);
    let answer = TaskAnswer::Done(json!({"answer": "yes", "reason": ""}).to_string());
    hub.engine.answer_task(task, answer, "user:bob").await.expect("in time");
    let record = hub.ended(run).await;
    assert_eq!(record.output.as_deref().map(|text| text.contains("yes")), Some(true), "{:?}", record.output);
    hands.advance(200);
    assert_eq!(hub.engine.fall_due().await.expect("looked at"), 0, "its time is no longer looked at");
}

#[tokio::test]
async fn the_time_of_a_step_is_that_of_all_its_attempts() {
    let dir = tempfile::tempdir().expect("a folder");
    let (hands, gate) = (Hands::at(1_800_000_000), Gate::default());
    let store = Kept::Sqlite.open(dir.path(), &hands).await;
    let models = FakeModels::new(obliging).with_gate(&gate);
    let mut hub = Hub::over(store, dir.path().join("work"), models, FakeTools::none(), |_| {});
    hub.start().await;
    let steps = json!([
        {"id": "x", "task": {"agent": "ann", "instructions": "?", "retries": 3}, "timeout_s": 300, "on_failure": "continue", "default": "late"},
        {"id": "end", "value": "results.x"},
    ]);
    let run = hub.run(flow_team(steps, json!({})), "in time").await;
    gate.held(1).await;
    hands.advance(301);
    hub.engine.fall_due().await.expect("looked at");
    let record = hub.ended(run).await;
    assert_eq!((record.summary.state.as_str(), record.output.as_deref()), ("completed", Some("late")));
    nothing_is_left(&record);
    gate.open();
}

/// A store of either kind.
pub async fn open(dir: &Path, postgres: bool) -> Store {
    if !postgres {
        return Store::open_sqlite(dir, Options::default()).await.expect("a store");
    }
    let url = std::env::var("CONVOKE_TEST_PG");
    let url = url.expect("CONVOKE_TEST_PG names no PostgreSQL for tests; run `cargo xtask test`, which starts one");
    let schema = format!("flow_{}_{:08x}", std::process::id(), fastrand::u32(..));
    let options = PgOptions { schema: Some(schema), create_schema: true, ..PgOptions::default() };
    Store::open_postgres(&url, options, Options::default()).await.expect("a schema")
}

/// Whether a call fails is decided by its seed, its task and nothing else, so that the same seed gives the same end.
fn unreliable(seed: u64, request: &ModelRequest) -> Result<ModelReply, ModelError> {
    let mut mixed = seed;
    for byte in request.origin.task_key.bytes() {
        mixed = (mixed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
    }
    if mixed.is_multiple_of(5) {
        return Err(convoke_testkit::model::fault(convoke_port::model::Fault::BadRequest, "it does not work today"));
    }
    obliging(request)
}

async fn random_runs(postgres: bool) {
    const RUNS: u64 = 200;
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path(), postgres).await;
    let models = FakeModels::new(|request| unreliable(request.origin.run_task.parse().expect("a seed"), request));
    let mut hub = Hub::over(store, dir.path().join("work"), models, FakeTools::none(), |_| {});
    hub.start().await;
    let names = MEMBERS.iter().chain(&["lead"]);
    let profiles = names.map(|name| profile(name, json!({}))).collect();
    let mut steps = all_kinds();
    // Where a vote ends early, how many had voted by then is a matter of time, and so is what is said of it.
    steps[3]["vote"]["rule"]["early_stop"] = false.into();
    let start = hub.prepare(flow_team(steps, json!({"timeout_s": 600})), profiles, "").await.expect("a team");
    let mut runs: Vec<(u64, RunId)> = Vec::new();
    for seed in 0..RUNS {
        let start = convoke_engine::StartRun { task: (seed / 2).to_string(), ..start.clone() };
        runs.push((seed / 2, hub.engine.start_run(start).await.expect("a run")));
    }
    let mut ends = Vec::new();
    for (seed, run) in runs {
        let record = hub.ended(run).await;
        assert_ne!(record.summary.state, "cancelled", "seed {seed}");
        assert!(
            !record.summary.error.as_deref().unwrap_or_default().contains("flow_stuck"),
            "seed {seed}: {:?}",
            record.summary.error
        );
        nothing_is_left(&record);
        ends.push((seed, record.summary.state.clone(), record.output.clone(), record.summary.error.clone()));
    }
    let completed = ends.iter().filter(|(_, state, ..)| state == "completed").count();
    assert!(
        completed > 0 && completed < ends.len(),
        "{completed} of {} completed: chance has no part in it",
        ends.len()
    );
    let mut twice = ends.chunks(2);
    assert!(twice.all(|pair| pair[0] == pair[1]), "the same seed, another end: {ends:#?}");
    hub.stop().await;
}

#[tokio::test]
async fn random_runs_end_on_sqlite() {
    random_runs(false).await;
}

#[tokio::test]
async fn random_runs_end_on_postgres() {
    random_runs(true).await;
}

/// A run that goes on in this folder until call number `stop_at` is under way, or to its end.
fn go_on(dir: &Path, stop_at: Option<usize>) -> Option<RunRecord> {
    let runtime = crash::runtime();
    let gate = Gate::default();
    let models = FakeModels::new(obliging);
    let models = stop_at.map_or(models.clone(), |call| models.with_gate_from(&gate, call));
    let (record, store) = runtime.block_on(async {
        let mut hub = Hub::open(dir, models, FakeTools::none(), |_| {}).await;
        hub.start().await;
        let run = match hub.engine.runs(None, 10).await.expect("runs").first() {
            Some(run) => run.id,
            None => hub.run(flow_team(all_kinds(), json!({})), "the door").await,
        };
        let store = hub.engine.store().clone();
        if stop_at.is_some() {
            gate.held(1).await;
            return (None, store);
        }
        (Some(hub.ended(run).await), store)
    });
    crash::crash(runtime, store);
    record
}

#[test]
fn a_crash_at_any_call_changes_nothing_in_the_end() {
    let brief = |record: &RunRecord| {
        let all = record.tasks.iter();
        let mut tasks: Vec<_> = all.map(|task| (task.key.clone(), task.state.clone(), task.output.clone())).collect();
        // Which ballot comes last, and so is not needed, is a matter of time.
        tasks.retain(|(key, ..)| !key.starts_with("choose/"));
        tasks.sort();
        (record.summary.state.clone(), record.output.clone(), tasks)
    };
    let whole = tempfile::tempdir().expect("a folder");
    let expected = brief(&go_on(whole.path(), None).expect("it ends"));
    for stop_at in [1, 3, 6, 8, 11, 13] {
        let dir = tempfile::tempdir().expect("a folder");
        go_on(dir.path(), Some(stop_at));
        let record = go_on(dir.path(), None).expect("it ends");
        nothing_is_left(&record);
        assert_eq!(brief(&record), expected, "stopped at call {stop_at}");
    }
}
