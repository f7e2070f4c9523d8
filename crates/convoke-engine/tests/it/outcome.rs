//! Outcomes: who may record them, what they say of an agent, and that a run votes by what was known when it started.

use convoke_domain::id::WorkspaceId;
use convoke_domain::outcome::{Case, Kind};
use convoke_domain::time::Timestamp;
use convoke_domain::user::Role;
use convoke_engine::{About, Gold, Rate, Recorded};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, says};
use convoke_testkit::tool::FakeTools;
use serde_json::{Value, json};

use crate::play::usual;

fn case(subject: &str, agent: &str, kind: Kind, value: f64) -> Case {
    let (subject, agent) = (subject.to_owned(), agent.to_owned());
    Case { subject, agent, capability: String::new(), kind, value, choice: None, at: Timestamp::from_micros(0) }
}

/// `logs` was right nine times of ten, `cost` once.
fn records() -> Vec<Case> {
    let of =
        |n: i32, agent: &str, right: bool| case(&format!("q{n}"), agent, Kind::Gold, if right { 1.0 } else { 0.0 });
    (0..10).flat_map(|n| [of(n, "logs", n != 3), of(n, "cost", n == 3), of(n, "net", n == 3)]).collect()
}

async fn hub(models: FakeModels) -> Hub {
    let hub = Hub::new(models, FakeTools::none()).await;
    hub.engine.ensure_user("ada").await.expect("the owner");
    hub.engine.appoint("eve", Role::Viewer, true, "user:ada").await.expect("a user");
    hub
}

#[tokio::test]
async fn what_became_of_work_is_recorded_once_and_told() {
    let hub = hub(FakeModels::new(usual)).await;
    let run = hub.run(team(&["logs", "cost"], json!({})), "Look.").await;
    hub.ended(run).await;
    assert_eq!(hub.engine.reputation(None).await.expect("read"), []);
    let strangers = vec!["net".to_owned()];
    let first = hub.engine.record_outcomes(records(), "ada").await.expect("recorded");
    assert_eq!(first, Recorded { new: 30, strangers, ..Recorded::default() });
    let again = hub.engine.record_outcomes(records(), "ada").await.expect("recorded");
    assert_eq!(again, Recorded { same: 30, ..Recorded::default() });
    let rate = Rate { run, about: About::Agent("logs".into()), stars: 3, note: String::new() };
    hub.engine.rate(rate, "ada").await.expect("rated");
    let found = hub.engine.reputation(Some("logs")).await.expect("read");
    let [one] = found.as_slice() else { panic!("{found:?}") };
    assert!((one.right - 9.5).abs() < 1e-3 && (one.wrong - 1.5).abs() < 1e-3, "three stars are half a case: {one:?}");
    assert!((one.accuracy - 11.5 / 14.0).abs() < 1e-3);
    assert_eq!((one.kinds[&Kind::Gold], one.kinds[&Kind::Rated]), (10, 1));
    let all = hub.engine.reputation(None).await.expect("read");
    assert_eq!(all.iter().map(|one| one.agent.as_str()).collect::<Vec<_>>(), ["cost", "logs", "net"]);
    let events = hub.engine.store().events_after(WorkspaceId::DEFAULT, 0, None, 1_000).await.expect("events");
    let told: Vec<_> = events.iter().filter(|event| event.kind == "outcome.recorded").collect();
    assert_eq!((told.len(), told[0].actor.as_str()), (1, "user:ada"), "what changes nothing is not told");
    assert_eq!(told[0].payload["outcomes"].as_array().map(Vec::len), Some(30));
}

#[tokio::test]
async fn what_cannot_be_recorded_says_why_and_changes_nothing() {
    let hub = hub(FakeModels::new(usual)).await;
    let good = || case("q", "logs", Kind::Gold, 1.0);
    let cases = [
        (vec![good(), case("q", "cost", Kind::Gold, 1.5)], "ada", "bad_outcome"),
        (vec![good(), case("", "cost", Kind::Gold, 1.0)], "ada", "bad_outcome"),
        (vec![good(); 1_001], "ada", "too_many_outcomes"),
        (vec![good()], "eve", "not_allowed"),
        (vec![good()], "zoe", "unknown_user"),
    ];
    for (cases, user, code) in cases {
        let refused = hub.engine.record_outcomes(cases, user).await.expect_err(code);
        assert_eq!(refused.code(), code, "{refused}");
        assert!(refused.hint().is_some(), "{code} has a next step");
    }
    assert_eq!(hub.engine.reputation(None).await.expect("read"), []);
    assert_eq!(hub.engine.reputation(Some("ghost")).await.expect_err("nobody").code(), "missing");
}

/// Starts a run that votes by learnt weights, where `logs` stands alone against `cost` and `net`.
async fn vote(hub: &Hub) -> Value {
    let profiles = ["lead", "logs", "cost", "net"].map(|name| profile(name, json!({}))).into();
    let mut start = hub.prepare(team(&["logs", "cost", "net"], json!({})), profiles, "Choose.").await.expect("a team");
    start.spec.flow = serde_json::from_value(json!({
        "steps": [{"id": "choose", "vote": {"question": "Which?", "rule": {"options": ["x", "y"], "weights": "learnt", "capability": "which"}}}],
        "result": "{{ results.choose | tojson }}",
    }))
    .expect("a flow");
    let run = hub.engine.start_run(start).await.expect("a run");
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed", "{:?}", record.summary);
    serde_json::from_str(record.output.as_deref().expect("a result")).expect("JSON")
}

#[tokio::test]
async fn a_run_votes_by_what_was_known_when_it_started() {
    let hub = hub(FakeModels::new(|request| {
        let choice = if request.origin.agent == "logs" { "x" } else { "y" };
        Ok(says(json!({"choice": choice, "confidence": 0.5, "reason": "because"}).to_string()))
    }))
    .await;
    assert_eq!(vote(&hub).await["choice"], "y", "nothing is known: two against one");
    let after = hub.engine.reputation(None).await.expect("read");
    let kinds = |agent: &str| {
        after.iter().find(|one| one.agent == agent && one.capability == "which").map(|one| one.kinds.clone())
    };
    assert_eq!(kinds("cost"), Some([(Kind::VoteWon, 1)].into()), "{after:?}");
    assert_eq!(kinds("logs"), Some([(Kind::VoteLost, 1)].into()));
    hub.engine.record_outcomes(records(), "ada").await.expect("recorded");
    let found = vote(&hub).await;
    assert_eq!(found["choice"], "x", "who is right nine times of ten outweighs two who are wrong as often");
}

/// Starts a run of these steps with `logs`, `cost` and `net`, and gives its state and result.
async fn steps(hub: &Hub, steps: Value) -> (String, String) {
    let profiles = ["lead", "logs", "cost", "net"].map(|name| profile(name, json!({}))).into();
    let mut start = hub.prepare(team(&["logs", "cost", "net"], json!({})), profiles, "Choose.").await.expect("a team");
    let flow = serde_json::from_value(json!({"steps": steps})).expect("a flow");
    start.spec.flow = Some(convoke_domain::flow::expand::expand(&flow, Default::default()));
    let run = hub.engine.start_run(start).await.expect("a run");
    let record = hub.ended(run).await;
    (record.summary.state, record.output.unwrap_or_default())
}

#[tokio::test]
async fn runs_teach_what_a_vote_weighs() {
    let hub = hub(FakeModels::new(|request| {
        let choice = if request.origin.agent == "cost" { "y" } else { "x" };
        Ok(says(json!({"choice": choice, "confidence": 0.5, "reason": "because"}).to_string()))
    }))
    .await;
    let vote = |voters: &str, rule: Value| {
        let mut all = json!({"options": ["y", "x"], "tie": "first", "early_stop": false});
        all.as_object_mut().expect("an object").extend(rule.as_object().expect("an object").clone());
        json!([{"id": "v", "vote": {"voters": voters, "question": "Which?", "rule": all}}, {"id": "end", "value": "results.v.choice"}])
    };
    let learnt = vote("['cost', 'logs']", json!({"weights": "learnt"}));
    assert_eq!(steps(&hub, learnt.clone()).await.1, "y", "nothing is known: a tie, and the first option");
    for _ in 0..6 {
        assert_eq!(steps(&hub, vote("members", json!({}))).await.1, "x");
    }
    assert_eq!(steps(&hub, learnt).await.1, "x", "who was with the others six times outweighs who never was");
    let found = hub.engine.reputation(None).await.expect("read");
    let right = |agent: &str| found.iter().find(|one| one.agent == agent).map(|one| one.accuracy).expect("a record");
    assert!(right("logs") > right("cost"), "{found:?}");
}

#[tokio::test]
async fn a_review_is_an_outcome_of_its_author() {
    let hub = hub(FakeModels::new(|request| {
        let verdict = if request.origin.task_key.starts_with("good") { "accept" } else { "reject" };
        let judged = json!({"verdict": verdict, "comments": "because"}).to_string();
        Ok(says(if request.output_schema.is_some() { &judged } else { "a draft" }))
    }))
    .await;
    let review = |id: &str| {
        json!([
            {"id": "draft", "task": {"agent": "logs", "instructions": "write"}},
            {"id": id, "review": {"of": "draft", "author": "logs", "reviewers": "members"}},
        ])
    };
    assert_eq!(steps(&hub, review("good")).await.0, "completed");
    assert_eq!(steps(&hub, review("bad")).await.0, "failed");
    let found = hub.engine.reputation(Some("logs")).await.expect("read");
    let kinds = found.iter().find(|one| one.capability.is_empty()).map(|one| one.kinds.clone());
    assert_eq!(kinds, Some([(Kind::ReviewAccepted, 1), (Kind::ReviewRejected, 1)].into()), "{found:?}");
}

/// What an agent's record for a capability comes to: right and wrong, to a whole number.
async fn counts(hub: &Hub, agent: &str, capability: &str) -> Option<(i64, i64)> {
    let found = hub.engine.reputation(Some(agent)).await.expect("read");
    let one = found.iter().find(|one| one.capability == capability)?;
    Some((one.right.round() as i64, one.wrong.round() as i64))
}

#[tokio::test]
async fn the_right_answer_of_a_vote_is_told_and_told_again() {
    let hub = hub(FakeModels::new(|request| {
        let choice = if request.origin.agent == "logs" { "x" } else { "y" };
        Ok(says(json!({"choice": choice, "confidence": 0.5, "reason": "because"}).to_string()))
    }))
    .await;
    vote(&hub).await;
    let run = hub.engine.run_ids(None, 1).await.expect("runs")[0];
    let gold =
        |vote: Option<&str>, answer: &str| Gold { run, vote: vote.map(str::to_owned), answer: answer.to_owned() };
    let of = |new, changed, same, right: &[&str], wrong: &[&str]| {
        let [right, wrong] = [right, wrong].map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        Recorded { new, changed, same, right, wrong, vote: Some("choose".into()), ..Recorded::default() }
    };
    let first = hub.engine.record_answer(gold(None, "X."), "ada").await.expect("recorded");
    assert_eq!(first, of(3, 0, 0, &["logs"], &["cost", "net"]));
    assert_eq!((counts(&hub, "logs", "which").await, counts(&hub, "net", "which").await), (Some((1, 0)), Some((0, 1))));
    let again = hub.engine.record_answer(gold(Some("choose"), "x"), "ada").await.expect("recorded");
    assert_eq!(again, of(0, 0, 3, &["logs"], &["cost", "net"]));
    let changed = hub.engine.record_answer(gold(None, "y"), "ada").await.expect("recorded");
    assert_eq!(changed, of(0, 3, 0, &["cost", "net"], &["logs"]));
    assert_eq!((counts(&hub, "logs", "which").await, counts(&hub, "net", "which").await), (Some((0, 1)), Some((1, 0))));
    let events = hub.engine.store().events_after(WorkspaceId::DEFAULT, 0, None, 1_000).await.expect("events");
    let told: Vec<_> = events.iter().filter(|event| event.kind == "outcome.recorded").collect();
    let told: Vec<_> = told.iter().map(|event| (event.actor.as_str(), event.payload["answer"].as_str())).collect();
    assert_eq!(told, [("system", None), ("user:ada", Some("x")), ("user:ada", Some("y"))]);
    let refusals = [
        (gold(None, "z"), "ada", "no_option"),
        (gold(Some("chose"), "x"), "ada", "no_vote"),
        (gold(None, "x"), "eve", "not_allowed"),
    ];
    for (gold, user, code) in refusals {
        let refused = hub.engine.record_answer(gold, user).await.expect_err(code);
        assert_eq!((refused.code(), refused.hint().is_some()), (code, true), "{refused}");
    }
    assert_eq!(counts(&hub, "net", "which").await, Some((1, 0)), "nothing was changed");
}

#[tokio::test]
async fn of_several_votes_one_is_named_and_a_revote_counts_by_its_last_round() {
    let hub = hub(FakeModels::new(|request| {
        let choice = match request.origin.agent.as_str() {
            "logs" => "x",
            "cost" if request.origin.task_key.contains('~') => "x",
            _ => "y",
        };
        Ok(says(json!({"choice": choice, "confidence": 0.5, "reason": "because"}).to_string()))
    }))
    .await;
    let rule = |tie: &str| json!({"options": ["x", "y", "z"], "tie": tie, "early_stop": false});
    let both = json!([
        {"id": "v", "vote": {"voters": "['logs', 'cost']", "question": "Which?", "rule": rule("revote")}},
        {"id": "w", "vote": {"voters": "['logs', 'net']", "question": "Which?", "rule": rule("first")}},
    ]);
    assert_eq!(steps(&hub, both).await.0, "completed");
    let run = hub.engine.run_ids(None, 1).await.expect("runs")[0];
    let gold =
        |vote: Option<&str>, answer: &str| Gold { run, vote: vote.map(str::to_owned), answer: answer.to_owned() };
    let which = hub.engine.record_answer(gold(None, "x"), "ada").await.expect_err("two votes");
    assert_eq!((which.code(), which.hint()), ("which_vote", Some("name one with `--vote`: `v`, `w`")));
    let nobody = hub.engine.record_answer(gold(Some("v"), "z"), "ada").await.expect("an option of the first round");
    assert_eq!((nobody.right.len(), nobody.wrong.len()), (0, 2));
    assert_eq!((counts(&hub, "net", "").await, counts(&hub, "cost", "").await), (Some((0, 1)), Some((0, 1))));
}

/// Where a vote's settings are computed, and where the best of several is taken, what was known when the run started counts.
#[tokio::test]
async fn weights_are_pinned_wherever_they_may_count() {
    let hub = hub(FakeModels::new(|request| {
        let choice = if request.origin.agent == "logs" { "x" } else { "y" };
        let vote = json!({"choice": choice, "confidence": 0.5, "reason": "because"});
        let answer = json!({"answer": choice, "score": 5});
        let is_vote = request.output_schema.as_ref().is_some_and(|schema| schema.to_string().contains("choice"));
        Ok(says(if is_vote { vote } else { answer }.to_string()))
    }))
    .await;
    let settings = json!([
        {"id": "v", "vote": {"question": "Which?", "rule": {"options": ["x", "y"]}, "settings": "{'weights': 'learnt', 'capability': 'which'}"}},
        {"id": "end", "value": "results.v.choice"},
    ]);
    let best = json!([
        {"id": "all", "split": {"over": "['cost', 'logs']", "do": [{"id": "one", "task": {
            "agent": "{{ item }}", "instructions": "Answer.", "output": {"type": "object", "required": ["answer", "score"],
                "properties": {"answer": {"type": "string"}, "score": {"type": "number"}}}}}]}},
        {"id": "best", "merge": {"of": "all", "how": "best_of", "field": "answer", "score": "score"}},
    ]);
    assert_eq!(steps(&hub, settings.clone()).await.1, "y", "nothing is known: two against one");
    assert_eq!(steps(&hub, best.clone()).await.1, "y", "nothing is known: the first");
    let special = records().into_iter().map(|case| Case { capability: "which".into(), ..case }).collect();
    hub.engine.record_outcomes(special, "ada").await.expect("recorded");
    assert_eq!(steps(&hub, settings).await.1, "x", "the record in that capability decides");
    assert_eq!(steps(&hub, best).await.1, "x", "of two with the same score, who is right more often");
    let found = hub.engine.reputation(Some("logs")).await.expect("read");
    let which = found.iter().find(|one| one.capability == "which").expect("a record");
    assert_eq!(which.kinds.keys().copied().collect::<Vec<_>>(), [Kind::VoteWon, Kind::VoteLost, Kind::Gold]);
}

/// What was scored, reviewed and rated is kept under what the work took; cost and time stand beside.
#[tokio::test]
async fn work_is_known_by_what_it_took() {
    let hub = hub(FakeModels::new(|request| {
        let has = |name: &str| request.output_schema.as_ref().is_some_and(|schema| schema.to_string().contains(name));
        Ok(says(match () {
            () if has("verdict") => json!({"verdict": "accept", "comments": "fine"}).to_string(),
            () if has("score") => json!({"score": 8}).to_string(),
            () => "a draft".to_owned(),
        }))
    }))
    .await;
    let score = json!({"type": "object", "required": ["score"], "properties": {"score": {"type": "number"}}});
    let all = json!([
        {"id": "draft", "task": {"agent": "logs", "needs": ["writing", "sql"], "instructions": "write"}},
        {"id": "check", "review": {"of": "draft", "author": "logs", "reviewers": "['cost']"}},
        {"id": "notes", "task": {"agent": "cost", "instructions": "score it", "output": score}},
        {"id": "quality", "value": "{'scores': [{'agent': 'logs', 'score': results.notes.score}, {'agent': 'logs', 'score': 3, 'most': 4, 'capability': 'writing'}]}"},
        {"id": "bar", "gate": {"check": "results.notes.score >= 8"}},
    ]);
    assert_eq!(steps(&hub, all).await.0, "completed");
    let run = hub.engine.run_ids(None, 1).await.expect("runs")[0];
    for about in [About::Task("draft".into()), About::Agent("logs".into()), About::Task("notes".into())] {
        hub.engine.rate(Rate { run, about, stars: 4, note: String::new() }, "ada").await.expect("rated");
    }
    let found = hub.engine.reputation(None).await.expect("read");
    let kinds = |agent: &str, capability: &str| {
        let one = found.iter().find(|one| (one.agent.as_str(), one.capability.as_str()) == (agent, capability));
        one.map(|one| one.kinds.clone().into_iter().collect::<Vec<_>>()).unwrap_or_default()
    };
    assert_eq!(kinds("logs", "writing"), [(Kind::ReviewAccepted, 1), (Kind::Scored, 1), (Kind::Rated, 2)], "{found:?}");
    assert_eq!(kinds("logs", ""), [(Kind::ReviewAccepted, 1), (Kind::Scored, 2), (Kind::Rated, 2)]);
    assert_eq!((kinds("cost", ""), kinds("cost", "writing")), (vec![(Kind::Rated, 1)], vec![]));
    let whole = found.iter().find(|one| one.agent == "logs" && one.capability.is_empty()).expect("all its work");
    // Accepted 1, scored 0.8 and 0.75, rated 0.75 twice.
    assert!((whole.right - 4.05).abs() < 1e-3 && (whole.wrong - 0.95).abs() < 1e-3, "{whole:?}");
    let effort = whole.effort.as_ref().expect("what it took");
    assert_eq!((effort.attempts, effort.completed), (1, 1));
    assert!(effort.cost_per_task_usd.is_some() && effort.tokens_per_task > Some(0) && effort.median_ms.is_some());
    assert!(found.iter().filter(|one| !one.capability.is_empty()).all(|one| one.effort.is_none()));
    let events = hub.engine.store().events_after(WorkspaceId::DEFAULT, 0, Some(run), 1_000).await.expect("events");
    let scored: Vec<_> = events.iter().filter(|event| event.kind == "coordination.work.scored").collect();
    assert_eq!((scored.len(), scored[0].payload["path"].as_str()), (1, Some("quality")));
}
