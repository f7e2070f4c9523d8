//! How runs went: figures from what a real run left, waits for people, interruptions, teams over time.

use std::time::Duration;

use convoke_domain::analytics::series::Every;
use convoke_domain::approval::Choice;
use convoke_domain::id::RunId;
use convoke_domain::time::Timestamp;
use convoke_engine::{About, Rate, TeamQuery};
use convoke_port::model::{ModelError, ModelReply, ModelRequest};
use convoke_port::tool::Repeat;
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, Gate, asks, says};
use convoke_testkit::tool::{FakeTools, gives};
use serde_json::{Value, json};

use crate::play::usual;

/// All there is, by day.
fn all(team: Option<&str>) -> TeamQuery {
    let (since, until) = (Timestamp::from_micros(0), Timestamp::from_micros(i64::MAX));
    TeamQuery { team: team.map(str::to_owned), since, until, every: Every::Day }
}

#[tokio::test]
async fn a_run_is_told_in_figures() {
    let hub = Hub::new(FakeModels::new(usual), FakeTools::none()).await;
    let run = hub.run(team(&["logs", "cost"], json!({"rules": {"validation_rounds": 1}})), "Look.").await;
    let record = hub.ended(run).await;
    let told = hub.engine.analytics(run).await.expect("figures");
    assert_eq!(record.analytics.as_ref(), Some(&told), "the record has them");
    let flow = told.flow.expect("it was claimed");
    assert!(flow.speed_up > Some(0.0) && flow.speed_up <= flow.best_speed_up, "{flow:?}");
    assert!(flow.utilization <= Some(1.0) && flow.overhead.share <= Some(1.0) && flow.people_ms == 0, "{flow:?}");
    assert!(flow.shortest_ms <= flow.working_ms && flow.working_ms == flow.wall_ms, "{flow:?}");
    let judged = record.tasks.iter().filter(|task| task.stage == "validation").count();
    assert!(judged > 0, "{:?}", record.tasks);
    assert_eq!((told.agreement.rate, told.agreement.polls.len()), (Some(1.0), 1));
    assert_eq!(told.agreement.polls[0].with, i64::try_from(judged).expect("few"));
    assert_eq!(
        (told.success.completed, told.success.rate),
        (i64::try_from(record.tasks.len()).expect("few"), Some(1.0))
    );
    assert_eq!((told.cost.outcomes, told.cost.cost_usd), (2, record.summary.cost_usd));
    let by_outcome = told.cost.cost_per_outcome_usd.expect("two");
    assert_eq!(by_outcome.as_nanos(), record.summary.cost_usd.as_nanos() / 2);
    assert_eq!(told.pickup.count, i64::try_from(record.tasks.len()).expect("few"));
    assert_eq!(told.retries, Default::default());
}

/// While the members wait at the gate together, both are worked on; what dependencies allow is used.
#[tokio::test]
async fn members_at_work_together_are_faster_than_in_turn() {
    let gate = Gate::default();
    let models = FakeModels::new(usual).with_gate(&gate);
    let hub = Hub::new(models, FakeTools::none()).await;
    let run = hub.run(team(&["logs", "cost"], json!({"rules": {"planning": "same_task"}})), "Look.").await;
    gate.held(2).await;
    // What counts is a length of time, so some has to pass.
    tokio::time::sleep(Duration::from_millis(300)).await;
    gate.open();
    hub.ended(run).await;
    let flow = hub.engine.analytics(run).await.expect("figures").flow.expect("claimed");
    assert_eq!(flow.widest, 2);
    assert!(flow.speed_up > Some(1.4) && flow.time_saved > Some(0.3), "{flow:?}");
    assert!(flow.utilization > Some(0.7) && flow.overhead.share < Some(0.3), "{flow:?}");
    assert!(flow.model_ms >= 300 && flow.critical_path_ms >= 300, "{flow:?}");
}

#[tokio::test]
async fn waiting_for_a_person_is_no_overhead() {
    let play = |request: &convoke_port::model::ModelRequest| match (request.origin.agent.as_str(), request.origin.turn)
    {
        ("logs", 1) => Ok(asks(&[("c1", "post", json!({}))])),
        ("logs", _) => Ok(says("posted")),
        _ => usual(request),
    };
    let tools = FakeTools::new(&[("post", Repeat::Once)], |_| gives("sent"));
    let hub = Hub::new(FakeModels::new(play), tools).await;
    hub.engine.ensure_user("ada").await.expect("the owner");
    let careful = json!({"tools": ["post"], "ask": ["post"]});
    let profiles = vec![profile("lead", json!({})), profile("logs", careful)];
    let rules = json!({"rules": {"planning": "same_task"}});
    let start = hub.prepare(team(&["logs"], rules), profiles, "Look.").await.expect("a team");
    let run = hub.engine.start_run(start).await.expect("a run");
    let record = hub.until(run, &["waiting"]).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    hub.engine.answer_approval(record.approvals[0].id, Choice::Approve, "user:ada", "").await.expect("approved");
    hub.ended(run).await;
    let told = hub.engine.analytics(run).await.expect("figures");
    let flow = told.flow.expect("claimed");
    assert!(flow.people_ms >= 350 && flow.working_ms < flow.wall_ms - 350, "{flow:?}");
    assert!(flow.serial_ms < flow.wall_ms - 350, "while it waits nobody works on it: {flow:?}");
    assert_eq!((told.approvals.count, told.approvals.open), (1, 0));
    assert!(told.approvals.median_ms >= Some(350), "{:?}", told.approvals);
}

#[tokio::test]
async fn a_team_is_told_over_time() {
    let hub = Hub::new(FakeModels::new(usual), FakeTools::none()).await;
    let mut runs: Vec<RunId> = Vec::new();
    for _ in 0..3 {
        runs.push(hub.run(team(&["logs"], json!({"rules": {"planning": "same_task"}})), "Look.").await);
        hub.ended(*runs.last().expect("a run")).await;
    }
    hub.engine.ensure_user("ada").await.expect("the owner");
    for (run, about, stars) in
        [(runs[0], About::Run, 5), (runs[1], About::Run, 2), (runs[1], About::Agent("logs".into()), 4)]
    {
        let rate = Rate { run, about, stars, note: String::new() };
        hub.engine.rate(rate, "ada").await.expect("rated");
    }
    let told = hub.engine.team_analytics(all(Some("test"))).await.expect("figures");
    assert_eq!((told.total.runs, told.total.completed, told.total.success_rate, told.cut), (3, 3, Some(1.0), false));
    assert_eq!((told.total.stars, told.total.ratings, told.total.stars_of_work), (Some(3.5), 2, Some(4.0)));
    assert!(told.total.mean_ms.is_some() && told.total.speed_up > Some(0.0), "{:?}", told.total);
    assert_eq!(told.parts.iter().map(|part| part.sum.runs).sum::<i64>(), 3);
    assert_eq!(told.agents.get("logs").map(|stars| (stars.ratings, stars.stars)), Some((1, 4.0)));
    let mut spent = 0;
    for run in &runs {
        spent += hub.engine.run_record(*run).await.expect("a run").summary.cost_usd.as_nanos();
        let alone = hub.engine.analytics(*run).await.expect("figures").flow.expect("claimed");
        assert!(alone.speed_up.is_some());
    }
    assert_eq!(told.total.cost_usd.as_nanos(), spent);
    assert_eq!(hub.engine.team_analytics(all(None)).await.expect("figures").teams.keys().collect::<Vec<_>>(), ["test"]);
    let unknown = hub.engine.team_analytics(all(Some("ghosts"))).await.expect_err("no such team");
    assert_eq!((unknown.code(), unknown.to_string().as_str()), ("missing", "there is no team `ghosts`"));
    let never = TeamQuery { until: Timestamp::from_micros(1), ..all(Some("test")) };
    assert_eq!(hub.engine.team_analytics(never).await.expect("none").total.runs, 0);
}

/// Says `x` or `y` as a member's position, answers questions, and judges.
fn opinionated(request: &ModelRequest) -> Result<ModelReply, ModelError> {
    let origin = &request.origin;
    let said = if origin.agent == "net" { "y" } else { "x" };
    let text = match (&*origin.stage, &*origin.agent, origin.turn) {
        ("step", "logs", 1) if origin.task_key.starts_with("first") => {
            let question = json!({"to": "lead", "question": "How much?", "kind": "request"});
            return Ok(asks(&[("q", "ask", question)]));
        }
        ("reply", ..) => "as much as before".to_owned(),
        _ if request.output_schema.as_ref().is_some_and(|schema| schema.to_string().contains("verdict")) => {
            json!({"verdict": "accept", "comments": "fine"}).to_string()
        }
        _ if request.output_schema.is_some() => {
            json!({"position": said, "answer": said, "reason": origin.task_key}).to_string()
        }
        _ => "a text".to_owned(),
    };
    Ok(says(text))
}

/// Members who are asked twice, what is settled of it, an answer by most, a review.
fn opinions() -> Value {
    let form = json!({"type": "object", "required": ["position"], "properties": {"position": {"type": "string"}}});
    let ask = |id: &str| {
        let task = json!({"agent": "{{ item }}", "instructions": "Judge.", "output": form});
        json!({"id": id, "split": {"over": "members", "do": [{"id": "position", "task": task}]}})
    };
    json!([
        ask("first"),
        {"id": "measure", "value": "{'agreement': results.first | agreement('position'), 'positions': results.first}"},
        {"id": "settled", "settle": {"of": "first", "field": "position"}},
        ask("second"),
        {"id": "most", "merge": {"of": "second", "how": "majority", "field": "position"}},
        {"id": "check", "review": {"of": "most", "author": "logs", "reviewers": "members"}},
    ])
}

/// The figures of one run are the same whether its record is read or only what they are made of.
#[tokio::test]
async fn one_run_and_its_team_agree() {
    for postgres in [false, true] {
        let dir = tempfile::tempdir().expect("a folder");
        let store = crate::flow::open(dir.path(), postgres).await;
        let tools = FakeTools::none();
        let mut hub = Hub::over(store, dir.path().join("work"), FakeModels::new(opinionated), tools, |_| {});
        hub.start().await;
        let flow = json!({"pattern": "own", "flow": {"steps": opinions()}, "rules": {"retries": 0}});
        let talks = |name: &str| profile(name, json!({"tools": ["@talk"]}));
        let profiles = ["lead", "logs", "cost", "net"].map(talks).into();
        let start = hub.prepare(team(&["logs", "cost", "net"], flow), profiles, "Look.").await.expect("a team");
        let run = hub.engine.start_run(start).await.expect("a run");
        let record = hub.ended(run).await;
        assert_eq!(record.summary.state, "completed", "{:?}", record.summary.error);
        let own = hub.engine.analytics(run).await.expect("figures");
        let flow = own.flow.as_ref().expect("claimed");
        let sum = hub.engine.team_analytics(all(None)).await.expect("figures").total;
        assert_eq!(
            (sum.speed_up, sum.utilization, sum.overhead),
            (flow.speed_up, flow.utilization, flow.overhead.share)
        );
        assert_eq!((sum.busy_ms, sum.allowed_ms), (flow.busy_ms, flow.allowed_ms));
        assert_eq!((sum.serial_ms, sum.working_ms), (flow.serial_ms, flow.working_ms));
        assert_eq!(sum.overhead_ms, flow.overhead.total_ms);
        assert_eq!((sum.agreement, sum.answers_by_agents), (own.agreement.rate, own.answers_by_agents.clone()));
        // Measured once although it was settled too, merged by most, reviewed by two.
        let polls: Vec<_> =
            own.agreement.polls.iter().map(|poll| (poll.stage.as_str(), poll.with, poll.against)).collect();
        assert_eq!(polls, [("check/rounds/1/verdicts", 2, 0), ("measure", 2, 1), ("most", 2, 1)]);
        assert_eq!((sum.voices_with, sum.voices_against, sum.agreement), (6, 2, Some(0.75)));
        assert_eq!((sum.decisions.count, sum.decisions.open, sum.answers_by_people.count), (1, 0, 0));
        assert!(flow.utilization.is_some() && flow.overhead.share.is_some(), "{flow:?}");
        let parts = hub.engine.team_analytics(all(Some("test"))).await.expect("figures").parts;
        assert_eq!(parts.iter().map(|part| part.sum.voices_with).sum::<i64>(), 6);
        hub.stop().await;
    }
}

/// What is settled counts by itself where nobody has measured it.
#[tokio::test]
async fn what_is_settled_is_agreement() {
    let hub = Hub::new(FakeModels::new(opinionated), FakeTools::none()).await;
    let mut steps = opinions();
    let kept = ["second", "settled"];
    steps.as_array_mut().expect("steps").retain(|step| kept.contains(&step["id"].as_str().unwrap_or_default()));
    steps.as_array_mut().expect("steps").reverse();
    steps[1]["settle"]["of"] = "second".into();
    let run =
        hub.run(team(&["logs", "cost", "net"], json!({"pattern": "own", "flow": {"steps": steps}})), "Look.").await;
    assert_eq!(hub.ended(run).await.summary.state, "completed");
    let told = hub.engine.analytics(run).await.expect("figures").agreement;
    let polls: Vec<_> = told.polls.iter().map(|poll| (poll.stage.as_str(), poll.with, poll.against)).collect();
    assert_eq!((polls, told.rate), (vec![("settled", 2, 1)], Some(0.6667)));
}
