//! Memory across runs: what is left by one run and shown to the next, who sees what, and how much is read to find it.

use std::time::{Duration, Instant};

use convoke_domain::id::RunId;
use convoke_domain::memory::{Note, Scope, Shelf};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, asks, says};
use convoke_testkit::tool::FakeTools;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::play::usual;

async fn run(hub: &Hub, name: &str, more: Value, task: &str) -> RunId {
    let share = json!({"tools": ["@share"]});
    let profiles = vec![profile("lead", share.clone()), profile("logs", share.clone()), profile("cost", share)];
    let mut rules = json!({"name": name, "rules": {"planning": "same_task"}});
    rules.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let start = hub.prepare(team(&["logs", "cost"], rules), profiles, task).await.expect("a team");
    let run = hub.engine.start_run(start).await.expect("a run");
    assert_eq!(hub.ended(run).await.summary.state, "completed");
    run
}

fn note(text: &str) -> Note {
    Note { text: text.into(), tags: vec![], days: None }
}

#[tokio::test]
async fn what_a_run_found_is_shown_to_the_next_of_its_team() {
    let models = FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) if request.origin.run_task.contains("first") => Ok(asks(&[
            (
                "a",
                "add_finding",
                json!({"text": "The connection pool was exhausted by a migration.", "evidence": "app.log:7", "confidence": "high", "tags": ["postgres"]}),
            ),
            ("b", "add_finding", json!({"text": "Perhaps the pool is too small.", "confidence": "low"})),
        ])),
        _ => usual(request),
    });
    let hub = Hub::new(models.clone(), FakeTools::none()).await;
    let rule = json!({"memory": {"propagate": ["finding"], "expire_days": 30}});
    let first = run(&hub, "crew", rule.clone(), "The first incident: the pool.").await;
    let kept = hub.engine.memory(None, None, 10).await.expect("memory");
    assert_eq!(kept.len(), 1, "guesses stay in their run: {kept:?}");
    let entry = &kept[0];
    assert_eq!((entry.scope.as_str(), entry.owner.as_str(), entry.run), ("team", "crew", Some(first)));
    assert_eq!((entry.author.as_str(), entry.source.as_str()), ("agent:logs", "finding:f0001"));
    assert!(entry.expires_at.is_some());
    run(&hub, "crew", rule.clone(), "Connections to postgres are refused again.").await;
    let shown = |task: &str| {
        let calls = models.calls().into_iter().filter(|call| call.origin.run_task.contains(task)).collect::<Vec<_>>();
        calls.iter().filter(|call| call.turns[0].text().contains("> The connection pool was exhausted")).count()
    };
    assert_eq!(shown("refused again"), 3, "every member is reminded");
    run(&hub, "others", rule, "Connections to postgres are refused elsewhere.").await;
    assert_eq!(shown("refused elsewhere"), 0, "another team is not");
}

#[tokio::test]
async fn each_shelf_has_its_readers() {
    let models = FakeModels::new(|request| {
        let own = json!({"text": format!("{} prefers the slow query log", request.origin.agent), "scope": "private"});
        let all = json!({"text": "The slow query log is on host seven.", "scope": "workspace"});
        match (request.origin.stage.as_str(), request.origin.turn) {
            ("work", 1) if request.origin.run_task == "Write." => {
                Ok(asks(&[("a", "remember", own), ("b", "remember", all)]))
            }
            ("synthesis", 1) if request.origin.run_task == "Write." => Ok(asks(&[("a", "remember", all)])),
            ("work", 1) => Ok(asks(&[("a", "recall", json!({"query": "slow query logs"}))])),
            ("work", 2) => Ok(says(format!("{:?}", request.turns[2].blocks))),
            _ => usual(request),
        }
    });
    let hub = Hub::new(models, FakeTools::none()).await;
    run(&hub, "crew", json!({}), "Write.").await;
    let scopes: Vec<_> =
        hub.engine.memory(None, None, 10).await.expect("memory").into_iter().map(|row| row.scope).collect();
    assert_eq!(scopes.iter().filter(|scope| *scope == "private").count(), 2);
    assert_eq!(
        scopes.iter().filter(|scope| *scope == "workspace").count(),
        1,
        "only the coordinator may, and the same is kept once"
    );
    let second = run(&hub, "crew", json!({}), "Read.").await;
    let record = hub.engine.run_record(second).await.expect("the run");
    for (agent, other) in [("logs", "cost"), ("cost", "logs")] {
        let task = record.tasks.iter().find(|task| task.agent == agent).expect("a task");
        let said = task.output.clone().unwrap_or_default();
        assert!(said.contains(&format!("{agent} prefers")) && said.contains("host seven"), "{said}");
        assert!(!said.contains(&format!("{other} prefers")), "what is private stays so: {said}");
    }
}

#[tokio::test]
async fn an_entry_is_written_anew_by_its_author_alone() {
    let hub = Hub::new(FakeModels::new(|_| Ok(says("x"))), FakeTools::none()).await;
    hub.engine.ensure_user("eve").await.expect("the owner");
    let shelf = || Shelf::of(Scope::Workspace, "", "");
    let kept = hub.engine.add_memory(shelf(), note("Restart  the pool."), "eve").await.expect("kept");
    let again = hub.engine.add_memory(shelf(), note("Restart the pool."), "eve").await.expect("known");
    assert_eq!((again.id, again.is_new), (kept.id, false), "the same words are kept once");
    hub.engine.forget_memory(kept.id, "eve").await.expect("forgotten");
    assert_eq!(hub.engine.forget_memory(kept.id, "eve").await.expect_err("gone").code(), "missing");
    assert!(hub.engine.search_memory(vec![shelf()], "pool", 5).await.expect("a search").is_empty());
}

/// The answer is found among many without reading them: what is looked at has a bound.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rare_word_is_found_among_many_entries() {
    const MANY: usize = 4_000;
    let hub = Hub::new(FakeModels::new(|_| Ok(says("x"))), FakeTools::none()).await;
    hub.engine.ensure_user("eve").await.expect("the owner");
    let shelf = || Shelf::of(Scope::Workspace, "", "");
    let started = Instant::now();
    let texts = (0..MANY).map(|n| {
        let words: String = (0..12).map(|place| format!("word{} ", (n * 7 + place * 131) % 900)).collect();
        let rare = if n == MANY / 2 { "The quorum of the ledger was lost." } else { "" };
        format!("Incident {n} in the cluster: {words}{rare}")
    });
    let adding = futures_util::stream::iter(texts.collect::<Vec<_>>())
        .map(|text| hub.engine.add_memory(shelf(), Note { text, tags: vec!["incident".into()], days: None }, "eve"))
        .buffer_unordered(256);
    let added: Vec<_> = adding.collect().await;
    assert!(added.iter().all(Result::is_ok));
    let filled = started.elapsed();
    let mut took = Vec::new();
    for _ in 0..20 {
        let started = Instant::now();
        let found =
            hub.engine.search_memory(vec![shelf()], "How was the quorum of the incident cluster lost?", 5).await;
        took.push(started.elapsed());
        let found = found.expect("a search");
        assert!(found[0].0.text.contains("quorum"), "{found:?}");
        assert_eq!(found.len(), 5);
    }
    took.sort();
    println!("{MANY} entries kept in {filled:?}; a search takes {:?}, at most {:?}", took[10], took[19]);
    assert!(took[10] < Duration::from_secs(1));
}
