//! Delegation and handoff, from the tools that agents call to the task that changes hands.

use std::time::Duration;

use convoke_domain::id::{RunId, WorkspaceId};
use convoke_domain::record::RunRecord;
use convoke_engine::Which;
use convoke_port::model::{ModelError, ModelReply, ModelRequest};
use convoke_port::tool::Repeat;
use convoke_store::{Tx, UseCase, budget};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, asks, says};
use convoke_testkit::tool::{FakeTools, gives};
use serde_json::{Value, json};

use crate::crash::{crash, runtime};

type Play = Result<ModelReply, ModelError>;

/// The rights to give tasks to peers, without which `delegate` is denied.
fn may() -> Value {
    json!({"can_delegate": true, "can_assign_to_peers": true})
}

/// A run in which every member gets the task; each may use the tools named.
async fn run(hub: &Hub, members: &[(&str, &[&str])]) -> RunId {
    let mut profiles = vec![profile("lead", json!({}))];
    profiles.extend(members.iter().map(|(name, tools)| {
        profile(name, json!({"tools": tools, "capabilities": [format!("{name}-work")], "authority": may()}))
    }));
    let fixed =
        json!([{"key": "main", "title": "Main", "instructions": "Do the main thing.", "assignee": members[0].0}]);
    let names: Vec<_> = members.iter().map(|(name, _)| *name).collect();
    let team = team(
        &names,
        json!({"tasks": fixed, "rules": {"planning": "fixed", "retries": 0, "allow_peer_assignment": true}}),
    );
    let start = hub.prepare(team, profiles, "Look.").await.expect("a team");
    hub.engine.start_run(start).await.expect("a run")
}

fn last(request: &ModelRequest) -> String {
    format!("{:?}", request.turns.last().expect("a turn").blocks)
}

fn who(request: &ModelRequest) -> (&str, &str, u32) {
    (request.origin.agent.as_str(), request.origin.stage.as_str(), request.origin.turn)
}

fn call(tool: &str, args: Value) -> Play {
    Ok(asks(&[("c1", tool, args)]))
}

fn task<'a>(record: &'a RunRecord, stage: &str) -> &'a convoke_domain::record::TaskRecord {
    record.tasks.iter().find(|task| task.stage == stage).unwrap_or_else(|| panic!("no task of stage {stage}"))
}

#[tokio::test]
async fn parts_are_delegated_side_by_side_and_their_results_come_back() {
    let models = FakeModels::new(|request| match who(request) {
        ("ann", "work", 1) => Ok(asks(&[
            ("c1", "delegate", json!({"to": "bob", "title": "Logs", "instructions": "Read the logs."})),
            ("c2", "delegate", json!({"needs": ["cid-work"], "title": "Bill", "instructions": "Read the bill."})),
        ])),
        ("ann", "work", 2) => {
            let text = last(request);
            assert!(text.contains("bob did: Read the logs.") && text.contains("cid did: Read the bill."), "{text}");
            Ok(says("both are back"))
        }
        (agent, "delegated", _) => {
            let what = request.turns[0].text();
            let what = if what.contains("Read the logs.") { "Read the logs." } else { "Read the bill." };
            Ok(says(format!("{agent} did: {what}")))
        }
        _ => Ok(says("the result")),
    });
    let hub = Hub::new(models.clone(), FakeTools::none()).await;
    let run = run(&hub, &[("ann", &["delegate"]), ("bob", &[]), ("cid", &[])]).await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed", "{:?}", record.summary.error);
    assert_eq!(task(&record, "work").output.as_deref(), Some("both are back"));
    assert_eq!(models.calls().len(), 5, "two turns of ann, one of each other, the synthesis");
}

#[tokio::test]
async fn what_must_not_be_delegated_is_refused_with_the_reason() {
    let models = FakeModels::new(|request| match who(request) {
        ("ann", "work", 1) => call("delegate", json!({"to": "zoe", "title": "T", "instructions": "I"})),
        ("ann", "work", 2) => {
            assert!(last(request).contains("there is no agent `zoe` in this run"), "{}", last(request));
            call("delegate", json!({"title": "T"}))
        }
        ("ann", "work", 3) => {
            assert!(last(request).contains("missing field `instructions`"), "{}", last(request));
            call("delegate", json!({"to": "lead", "title": "T", "instructions": "I"}))
        }
        ("ann", "work", 4) => {
            assert!(last(request).contains("`lead` leads the run and takes no tasks from others"), "{}", last(request));
            call("hand_off", json!({"to": "lead", "reason": "R", "left": "L"}))
        }
        ("ann", "work", 5) => {
            assert!(last(request).contains("`lead` leads the run and takes no tasks from others"), "{}", last(request));
            call("delegate", json!({"to": "bob", "title": "T", "instructions": "I"}))
        }
        ("bob", "delegated", 1) => call("delegate", json!({"to": "ann", "title": "T", "instructions": "I"})),
        ("bob", "delegated", _) => Ok(says(last(request))),
        ("ann", "work", _) => Ok(says(last(request))),
        _ => Ok(says("the result")),
    });
    let hub = Hub::new(models, FakeTools::none()).await;
    let run = run(&hub, &[("ann", &["@work"]), ("bob", &["@work"])]).await;
    let record = hub.ended(run).await;
    let output = task(&record, "work").output.clone().expect("an output");
    assert!(output.contains("delegating to `ann` would close a circle: `ann` → `bob` → `ann`"), "{output}");
}

#[tokio::test]
async fn a_part_that_is_late_is_called_off_and_the_rest_goes_on() {
    let gate = convoke_testkit::model::Gate::default();
    let models = FakeModels::new(|request| match who(request) {
        ("ann", "work", 1) => call("delegate", json!({"to": "bob", "title": "T", "instructions": "I", "timeout_s": 1})),
        ("ann", "work", _) => Ok(says(last(request))),
        _ => Ok(says("the result")),
    });
    // The second call is bob's; it is held until the end.
    let models = models.with_gate_from(&gate, 2);
    let hub = Hub::new(models, FakeTools::none()).await;
    let run = run(&hub, &[("ann", &["delegate"]), ("bob", &[])]).await;
    gate.held(2).await;
    gate.open();
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed");
    let output = task(&record, "work").output.clone().expect("an output");
    assert!(output.contains("did not end in time"), "{output}");
    assert_eq!(task(&record, "delegated").state, "cancelled");
}

fn hand_off(to: &str, more: Value) -> Play {
    let mut args = json!({"to": to, "reason": "it is yours", "done": "half", "left": "the other half"});
    for (key, value) in more.as_object().expect("an object") {
        args[key] = value.clone();
    }
    call("hand_off", args)
}

#[tokio::test]
async fn an_accepted_task_goes_on_with_the_packet_and_without_the_steps() {
    let models = FakeModels::new(|request| match who(request) {
        ("ann", "work", 1) => call("progress_of_mine", json!({"secret": "raw call"})),
        ("ann", "work", 2) => hand_off("bob", json!({"artifacts": ["notes.md"]})),
        ("bob", "offer", 1) => {
            assert!(request.turns[0].text().contains("the other half"), "{}", request.turns[0].text());
            call("accept", json!({}))
        }
        ("bob", "offer", _) => Ok(says("accepted")),
        ("bob", "work", 1) => {
            let text = format!("{:?}", request.turns);
            assert!(text.contains("Handed over to you by `ann`") && text.contains("notes.md"), "{text}");
            assert!(!text.contains("raw call"), "{text}");
            Ok(says("bob finished it"))
        }
        _ => Ok(says("the result")),
    });
    let hub = Hub::new(models, FakeTools::none()).await;
    let run = run(&hub, &[("ann", &["hand_off"]), ("bob", &["accept", "decline"])]).await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed", "{:?}", record.summary.error);
    let work = task(&record, "work");
    assert_eq!((work.agent.as_str(), work.output.as_deref()), ("bob", Some("bob finished it")));
    let attempts: Vec<_> = work.attempts.iter().map(|a| (a.agent.as_str(), a.state.as_str())).collect();
    assert_eq!(attempts, [("ann", "handed_over"), ("bob", "completed")]);
    let handoffs = hub.engine.handoffs(Some(run), false, None, 10).await.expect("handoffs");
    assert_eq!((handoffs.len(), handoffs[0].state.as_str()), (1, "accepted"));
}

#[tokio::test]
async fn a_declined_or_forgotten_offer_leaves_the_task_where_it_is() {
    for (answer, reason) in [("decline", "too busy"), ("forget", "neither accepted nor declined")] {
        let models = FakeModels::new(move |request| match who(request) {
            ("ann", "work", 1) => hand_off("bob", json!({})),
            ("ann", "work", _) => Ok(says(last(request))),
            ("bob", "offer", 1) if answer == "decline" => call("decline", json!({"reason": "too busy"})),
            ("bob", "offer", _) => Ok(says("hm")),
            _ => Ok(says("the result")),
        });
        let hub = Hub::new(models, FakeTools::none()).await;
        let run = run(&hub, &[("ann", &["hand_off"]), ("bob", &["@work"])]).await;
        let record = hub.ended(run).await;
        let work = task(&record, "work");
        assert_eq!(work.agent, "ann");
        assert!(work.output.as_deref().is_some_and(|text| text.contains(reason)), "{:?}", work.output);
    }
}

#[tokio::test]
async fn an_agent_that_cannot_be_asked_takes_it_and_gives_it_back_where_that_was_agreed() {
    let models = FakeModels::new(|request| match who(request) {
        ("ann", "work", 1) if request.origin.attempt == 1 => hand_off("bob", json!({"return_to": "ann"})),
        ("bob", "work", _) => Ok(says("bob's half")),
        ("ann", "work", _) => {
            assert_eq!(request.origin.attempt, 3);
            assert!(request.turns[0].text().contains("bob's half"), "{}", request.turns[0].text());
            Ok(says("whole"))
        }
        _ => Ok(says("the result")),
    });
    let hub = Hub::new(models, FakeTools::none()).await;
    let run = run(&hub, &[("ann", &["hand_off"]), ("bob", &[])]).await;
    let record = hub.ended(run).await;
    let work = task(&record, "work");
    assert_eq!((work.agent.as_str(), work.output.as_deref()), ("ann", Some("whole")));
}

#[tokio::test]
async fn what_is_given_back_takes_its_locks_along_and_leaves_no_question_open() {
    let gate = convoke_testkit::model::Gate::default();
    let models = FakeModels::new(|request| match who(request) {
        ("ann", "work", 1) if request.origin.attempt == 1 => hand_off("bob", json!({"return_to": "ann"})),
        ("bob", "work", 1) => Ok(asks(&[
            ("c1", "lock", json!({"resources": ["api:billing"]})),
            ("c2", "ask", json!({"to": "user", "question": "Which day?", "wait": false})),
        ])),
        ("bob", "work", _) => Ok(says("bob's half")),
        ("ann", "work", _) => Ok(says("whole")),
        _ => Ok(says("the result")),
    });
    // ann, twice bob, and then ann again, who is held.
    let hub = Hub::new(models.with_gate_from(&gate, 4), FakeTools::none()).await;
    let run = run(&hub, &[("ann", &["hand_off"]), ("bob", &["lock", "ask"])]).await;
    gate.held(1).await;
    let locks = hub.engine.locks(Which::All).await.expect("locks");
    assert_eq!(locks.iter().map(|lock| lock.agent.as_str()).collect::<Vec<_>>(), ["ann"]);
    let record = hub.engine.run_record(run).await.expect("a record");
    assert_eq!(record.decisions.iter().map(|one| one.standing.as_str()).collect::<Vec<_>>(), ["withdrawn"]);
    gate.open();
    let record = hub.ended(run).await;
    assert_eq!(task(&record, "work").output.as_deref(), Some("whole"));
    assert!(hub.engine.locks(Which::All).await.expect("locks").is_empty());
}

#[tokio::test]
async fn calls_beside_a_hand_off_are_not_made_and_not_left_open() {
    let models = FakeModels::new(|request| match who(request) {
        ("ann", "work", _) => Ok(asks(&[
            ("c1", "post", json!({"text": "x"})),
            ("c2", "read", json!({})),
            ("c3", "hand_off", json!({"to": "bob", "reason": "it is yours", "left": "all"})),
            ("c4", "post", json!({"text": "y"})),
        ])),
        _ => Ok(says("the result")),
    });
    let tools = FakeTools::new(&[("post", Repeat::Once), ("read", Repeat::Harmless)], |_| gives("done"));
    let hub = Hub::new(models, tools.clone()).await;
    let run = run(&hub, &[("ann", &["hand_off", "post", "read"]), ("bob", &[])]).await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed", "{:?}", record.summary.error);
    assert!(tools.calls().is_empty(), "the task was bob's before they could be made");
    let steps = &task(&record, "work").attempts[0].steps;
    let steps: Vec<_> = steps.iter().map(|step| (step.name.as_str(), step.status.as_str())).collect();
    assert_eq!(steps[1..], [("post", "failed"), ("read", "failed"), ("hand_off", "done")]);
    assert_eq!(record.effects.iter().map(|effect| effect.state.as_str()).collect::<Vec<_>>(), ["failed"]);
}

#[tokio::test]
async fn back_and_forth_is_stopped_and_a_person_is_asked() {
    let models = FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.stage.as_str()) {
        ("ann", "work") => hand_off("bob", json!({})),
        ("bob", "work") => hand_off("ann", json!({})),
        _ => Ok(says("the result")),
    });
    let hub = Hub::new(models.clone(), FakeTools::none()).await;
    let run = run(&hub, &[("ann", &["hand_off"]), ("bob", &["hand_off"])]).await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "escalated");
    assert!(
        record.summary.error.as_deref().is_some_and(|error| error.starts_with("ping_pong")),
        "{:?}",
        record.summary.error
    );
    assert_eq!(models.calls().len(), 4, "there, back, told once, stopped");
}

#[tokio::test]
async fn a_person_settles_an_offer_for_the_agent_once() {
    let gate = convoke_testkit::model::Gate::default();
    let models = FakeModels::new(|request| match who(request) {
        ("ann", "work", 1) => hand_off("bob", json!({})),
        ("bob", "work", _) => Ok(says("bob finished it")),
        _ => Ok(says("the result")),
    });
    let hub = Hub::new(models.with_gate_from(&gate, 2), FakeTools::none()).await;
    let run = run(&hub, &[("ann", &["hand_off"]), ("bob", &["@work"])]).await;
    gate.held(1).await;
    hub.engine.ensure_user("eve").await.expect("the owner");
    let open = hub.engine.handoffs(None, true, None, 10).await.expect("handoffs");
    hub.engine.accept_handoff(open[0].id, "eve").await.expect("accepted");
    let error = hub.engine.decline_handoff(open[0].id, "no", "eve").await.expect_err("settled already");
    assert_eq!(error.to_string(), "cannot decline a handoff that is accepted");
    gate.open();
    let record = hub.ended(run).await;
    assert_eq!(task(&record, "work").agent, "bob");
    assert_eq!(task(&record, "offer").state, "cancelled");
}

#[tokio::test]
async fn an_offer_that_nobody_answers_ends_by_itself() {
    let gate = convoke_testkit::model::Gate::default();
    let models = FakeModels::new(|request| match who(request) {
        ("ann", "work", 1) => hand_off("bob", json!({"timeout_s": 1})),
        ("ann", "work", _) => Ok(says(last(request))),
        _ => Ok(says("the result")),
    });
    let hub = Hub::with(models.with_gate_from(&gate, 2), FakeTools::none(), |config| {
        config.poll = Duration::from_millis(20);
    })
    .await;
    let run = run(&hub, &[("ann", &["hand_off"]), ("bob", &["@work"])]).await;
    gate.held(2).await;
    gate.open();
    let record = hub.ended(run).await;
    let work = task(&record, "work");
    assert!(work.output.as_deref().is_some_and(|text| text.contains("not accepted in time")), "{:?}", work.output);
    let handoffs = hub.engine.handoffs(Some(run), false, None, 10).await.expect("handoffs");
    assert_eq!(handoffs[0].state, "timed_out");
}

/// Delegates, hands over to one who is asked and accepts, and finishes: seven calls.
fn long_way() -> FakeModels {
    FakeModels::new(|request| match who(request) {
        ("ann", "work", 1) => call("delegate", json!({"to": "bob", "title": "T", "instructions": "I"})),
        ("bob", "delegated", _) => Ok(says("bob's part")),
        ("ann", "work", _) => {
            assert!(last(request).contains("bob's part"), "{}", last(request));
            hand_off("cid", json!({}))
        }
        ("cid", "offer", 1) => call("accept", json!({})),
        ("cid", "work", _) => Ok(says("cid finished it")),
        _ => Ok(says("the result")),
    })
}

#[test]
fn whatever_call_it_dies_in_a_task_is_handed_over_once() {
    for crash_at in 1..=7 {
        let dir = tempfile::tempdir().expect("a folder");
        let gate = convoke_testkit::model::Gate::default();
        let doomed = runtime();
        let (run, store) = doomed.block_on(async {
            let mut hub =
                Hub::open(dir.path(), long_way().with_gate_from(&gate, crash_at), FakeTools::none(), |_| {}).await;
            hub.start().await;
            let run = run(&hub, &[("ann", &["@work"]), ("bob", &[]), ("cid", &["@work"])]).await;
            gate.held(1).await;
            (run, hub.engine.store().clone())
        });
        crash(doomed, store);
        runtime().block_on(async {
            let mut hub = Hub::open(dir.path(), long_way(), FakeTools::none(), |_| {}).await;
            hub.start().await;
            let record = hub.ended(run).await;
            assert_eq!(record.summary.state, "completed", "crash at {crash_at}: {:?}", record.summary.error);
            // Once accepted, the offer's own last words hold nobody up: the run may end before they are said.
            let stages: Vec<_> = (record.tasks.iter().filter(|task| task.stage != "offer"))
                .map(|task| (task.stage.as_str(), task.state.as_str()))
                .collect();
            let expected = [("work", "completed"), ("delegated", "completed"), ("synthesis", "completed")];
            assert_eq!(stages, expected, "crash at {crash_at}");
            assert!(["completed", "cancelled"].contains(&task(&record, "offer").state.as_str()), "crash at {crash_at}");
            assert_eq!(task(&record, "work").output.as_deref(), Some("cid finished it"));
            let attempts: Vec<_> = task(&record, "work").attempts.iter().map(|a| (a.n, a.agent.as_str())).collect();
            assert_eq!(attempts, [(1, "ann"), (2, "cid")], "crash at {crash_at}");
            let handoffs = hub.engine.handoffs(Some(run), false, None, 10).await.expect("handoffs");
            assert_eq!(handoffs.iter().map(|one| one.state.as_str()).collect::<Vec<_>>(), ["accepted"]);
            let left = record.budgets.iter().map(|budget| budget.reserved.cost.as_nanos()).sum::<i64>();
            assert_eq!(left, 0, "nothing stays reserved");
            hub.stop().await;
        });
    }
}

/// A run in which `ann` spawns `digger` with 5,000 tokens, who hands its task to `bob`, whose replies may be so long.
async fn handed_on(reply: u32) -> (Hub, RunId, RunRecord) {
    let models = FakeModels::new(|request| match who(request) {
        ("ann", "work", 1) => call("spawn", json!({"profile": "digger", "task": "Dig.", "max_tokens": 5_000})),
        ("ann", "work", _) => Ok(says(last(request))),
        ("bob", "spawned", _) => {
            let text = request.turns[0].text();
            assert!(text.contains("What it may still cost") && text.contains(" tokens"), "{text}");
            Ok(says("bob dug"))
        }
        (agent, "spawned", 1) if agent.starts_with("digger-") => hand_off("bob", json!({})),
        _ => Ok(says("the result")),
    });
    let hub = Hub::new(models, FakeTools::none()).await;
    let may = json!({"can_spawn": true, "can_delegate": true, "can_assign_to_peers": true});
    let profiles = vec![
        profile("lead", json!({})),
        profile("ann", json!({"tools": ["spawn", "hand_off"], "authority": may, "limits": {"max_tokens": 100_000}})),
        profile("bob", json!({"model_settings": {"max_output_tokens": reply}})),
        profile(
            "digger",
            json!({"tools": ["hand_off"], "authority": may, "model_settings": {"max_output_tokens": 200}}),
        ),
    ];
    let fixed = json!([{"key": "main", "title": "Main", "instructions": "Do it.", "assignee": "ann"}]);
    let rules = json!({"planning": "fixed", "retries": 0, "allow_peer_assignment": true});
    let team = team(&["ann", "bob"], json!({"tasks": fixed, "rules": rules, "budget": {"on_exhausted": "stop"}}));
    let start = hub.prepare(team, profiles, "Look.").await.expect("a team");
    let run = hub.engine.start_run(start).await.expect("a run");
    let record = hub.ended(run).await;
    (hub, run, record)
}

/// The budgets of a run's agents.
struct Purses(RunId);

impl UseCase for Purses {
    type Out = Vec<budget::Record>;

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> convoke_store::Result<Self::Out> {
        budget::list(tx, &format!("agent:{}:", self.0), 100).await
    }
}

#[tokio::test]
async fn what_was_given_for_a_task_goes_along_and_no_cap_moves() {
    let (hub, run, record) = handed_on(200).await;
    assert_eq!(record.summary.state, "completed", "{record:#?}");
    assert!(task(&record, "work").output.as_deref().is_some_and(|text| text.contains("bob dug")), "{record:#?}");
    let purses = hub.engine.store().read(Purses(run)).await.expect("budgets");
    let brief = |row: &budget::Record| {
        let name = row.scope.rsplit(':').next().unwrap_or_default();
        (name.starts_with("digger-"), row.cap_tokens, row.settled_tokens, row.reserved_tokens, row.moved_tokens)
    };
    let (own, dug) = (task(&record, "work").tokens, task(&record, "spawned").tokens);
    // Both attempts at the task count against what was given for it and against who gave it; bob has no cap, and gets none.
    let wanted = [(false, Some(100_000), own + dug, 0, 0), (true, Some(5_000), dug, 0, 0)];
    assert_eq!(purses.iter().map(brief).collect::<Vec<_>>(), wanted, "{purses:#?}");
    assert_eq!(task(&record, "spawned").attempts.len(), 2);
    assert_eq!(hub.engine.store().verify().await.expect("verified").problems, []);
}

#[tokio::test]
async fn whoever_takes_a_task_over_spends_no_more_than_was_given_for_it() {
    let (hub, run, record) = handed_on(8_000).await;
    assert_eq!(record.summary.state, "failed", "{record:#?}");
    let events = hub.engine.store().events_after(WorkspaceId::DEFAULT, 0, Some(run), 10_000).await.expect("events");
    let exhausted = events.iter().find(|event| event.kind == "budget.exhausted").expect("it is on record");
    assert_eq!(exhausted.actor, "agent:bob");
    assert!(exhausted.entity_id.starts_with(&format!("agent:{run}:digger-")), "{exhausted:?}");
}
