//! Ratings: who may rate what, when, and what is kept.

use convoke_domain::id::RunId;
use convoke_domain::user::Role;
use convoke_engine::{About, Error, Rate};
use convoke_testkit::hub::{Hub, team};
use convoke_testkit::model::{FakeModels, Gate};
use convoke_testkit::tool::FakeTools;
use serde_json::json;

use crate::play::usual;

async fn with_run() -> (Hub, RunId) {
    let hub = Hub::new(FakeModels::new(usual), FakeTools::none()).await;
    hub.engine.ensure_user("ada").await.expect("the owner");
    for (name, role) in [("carl", Role::Approver), ("eve", Role::Viewer)] {
        hub.engine.appoint(name, role, true, "user:ada").await.expect("a user");
    }
    let run = hub.run(team(&["logs", "cost"], json!({})), "Look.").await;
    hub.ended(run).await;
    (hub, run)
}

async fn rate(hub: &Hub, run: RunId, about: About, stars: i64, user: &str) -> Result<Option<String>, Error> {
    let note = format!("{stars} by {user}");
    hub.engine.rate(Rate { run, about, stars, note }, user).await.map(|given| given.agent)
}

fn task(name: &str) -> About {
    About::Task(name.to_owned())
}

#[tokio::test]
async fn the_last_word_of_each_person_counts_and_all_are_on_record() {
    let (hub, run) = with_run().await;
    assert_eq!(rate(&hub, run, About::Run, 2, "ada").await.expect("rated"), None);
    assert_eq!(rate(&hub, run, About::Run, 4, "carl").await.expect("rated"), None);
    assert_eq!(rate(&hub, run, About::Run, 5, "ada").await.expect("rated"), None);
    assert_eq!(rate(&hub, run, About::Agent("logs".into()), 3, "ada").await.expect("rated").as_deref(), Some("logs"));
    assert_eq!(rate(&hub, run, task("cost"), 1, "ada").await.expect("rated").as_deref(), Some("cost"));
    assert_eq!(rate(&hub, run, task("synthesis/coordinator"), 1, "ada").await.expect("rated").as_deref(), Some("lead"));
    let record = hub.engine.run_record(run).await.expect("the run");
    let kept: Vec<_> = record
        .ratings
        .iter()
        .map(|one| (one.by.as_str(), one.stars, one.agent.as_deref(), one.task.is_some()))
        .collect();
    assert_eq!(
        kept[..3],
        [("user:ada", 5, None, false), ("user:carl", 4, None, false), ("user:ada", 3, Some("logs"), false)]
    );
    assert_eq!(kept[3..].iter().filter(|(_, stars, _, is_task)| *stars == 1 && *is_task).count(), 2);
    assert_eq!(record.ratings[0].note, "5 by ada");
    let events = hub.engine.store().events_after(record_ws(), 0, Some(run), 1_000).await.expect("events");
    let ratings: Vec<_> = events.iter().filter(|event| event.entity == "rating").collect();
    let told: Vec<_> = ratings
        .iter()
        .map(|event| (event.kind.as_str(), event.payload["stars"].as_i64(), event.payload["was"].as_i64()))
        .collect();
    assert_eq!(
        told[..3],
        [("rating.given", Some(2), None), ("rating.given", Some(4), None), ("rating.changed", Some(5), Some(2))]
    );
    assert_eq!((ratings[2].actor.as_str(), &ratings[2].payload["note"]), ("user:ada", &json!("5 by ada")));
}

fn record_ws() -> convoke_domain::id::WorkspaceId {
    convoke_domain::id::WorkspaceId::DEFAULT
}

#[tokio::test]
async fn what_cannot_be_rated_says_why() {
    let (hub, run) = with_run().await;
    let unknown = "task_00000000000000000000000001";
    let cases = [
        (About::Run, 0, "ada", "bad_stars", "a rating has 1 to 5 stars, and 0 is none of these"),
        (About::Run, 6, "ada", "bad_stars", "a rating has 1 to 5 stars, and 6 is none of these"),
        (About::Run, 3, "eve", "not_allowed", "the user `eve` is a viewer, and may not rate"),
        (About::Run, 3, "zoe", "unknown_user", "the user `zoe` is not known here, and may not rate"),
        (About::Agent("ghost".into()), 3, "ada", "missing_agent", "`ghost` has ended no task of this run"),
        (task("nothing"), 3, "ada", "missing_task", "this run has no task `nothing`"),
        (task("work/coordinator"), 3, "ada", "missing_task", "this run has no task `work/coordinator`"),
        (task(unknown), 3, "ada", "missing_task", "this run has no task `task_00000000000000000000000001`"),
        (task("coordinator"), 3, "ada", "ambiguous", "several tasks of this run are called `coordinator`"),
    ];
    for (about, stars, user, code, message) in cases {
        let refused = rate(&hub, run, about.clone(), stars, user).await.expect_err(code);
        assert_eq!((refused.code(), refused.to_string().as_str()), (code, message), "{about:?}");
        assert!(refused.hint().is_some(), "{code} has a next step");
    }
    let long = Rate { run, about: About::Run, stars: 3, note: "x".repeat(20_000) };
    assert_eq!(hub.engine.rate(long, "ada").await.expect_err("long").code(), "note_too_long");
    let nobody = RunId::derived(convoke_domain::time::Timestamp::default(), &[b"x"]);
    assert_eq!(rate(&hub, nobody, About::Run, 3, "ada").await.expect_err("no run").code(), "missing");
    assert_eq!(hub.engine.run_record(run).await.expect("the run").ratings, [], "nothing was changed");
}

#[tokio::test]
async fn what_has_no_end_is_not_rated() {
    let gate = Gate::default();
    let hub = Hub::new(FakeModels::new(usual).with_gate_from(&gate, 2), FakeTools::none()).await;
    hub.engine.ensure_user("ada").await.expect("the owner");
    let run = hub.run(team(&["logs", "cost"], json!({})), "Look.").await;
    gate.held(2).await;
    for about in [About::Run, task("logs")] {
        assert_eq!(rate(&hub, run, about, 3, "ada").await.expect_err("it goes on").code(), "not_ended");
    }
    assert_eq!(
        rate(&hub, run, About::Agent("logs".into()), 3, "ada").await.expect_err("not yet").code(),
        "missing_agent"
    );
    rate(&hub, run, task("plan/coordinator"), 3, "ada").await.expect("the plan has ended");
    gate.open();
    hub.ended(run).await;
    rate(&hub, run, About::Run, 3, "ada").await.expect("now it has");
}
