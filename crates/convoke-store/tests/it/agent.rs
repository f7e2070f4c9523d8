//! Agents, spawned agents, grants and escalations on each database.

use convoke_domain::id::{GrantId, LAST, RunId};
use convoke_domain::money::Money;
use convoke_domain::time::Timestamp;
use convoke_store::{Error, agent, budget, escalate, grant, spawn, task};
use uuid::Uuid;

use crate::noun::{NOW, RUN, ready, task_id, with_run};
use crate::support::{Place, act, cases, look};

cases! {
    states_of_agents,
    one_default_a_workspace,
    silence_is_found,
    who_is_away_gets_nothing,
    spawned_agents,
    who_is_stopped_gets_nothing,
    grants_hold_for_their_time,
    escalations_in_order,
    budgets_are_moved,
}

async fn states_of_agents(place: Place) {
    let store = with_run(&place).await;
    let ada = look!(store, tx => agent::hold(tx, "ada").await).expect("ada");
    assert_eq!((ada.status.as_str(), ada.health.as_str(), ada.heartbeat), ("idle", "unknown", None));
    assert_eq!((ada.standing.as_str(), ada.beats, ada.away, ada.run), ("worker", false, false, None));
    act!(store, tx => {
        agent::count(tx, "ada", 2).await?;
        agent::set_standing(tx, "ada", "supervisor").await
    });
    let ada = look!(store, tx => agent::hold(tx, "ada").await).expect("ada");
    assert_eq!((ada.status.as_str(), ada.health.as_str(), ada.heartbeat), ("working", "healthy", Some(NOW)));
    act!(store, tx => agent::count(tx, "ada", -1).await);
    assert_eq!(look!(store, tx => agent::hold(tx, "ada").await).expect("ada").status, "working");
    act!(store, tx => agent::count(tx, "ada", -1).await);
    assert_eq!(look!(store, tx => agent::hold(tx, "ada").await).expect("ada").status, "idle");
    let names = |rows: Vec<agent::Record>| rows.into_iter().map(|row| row.name).collect::<Vec<_>>();
    assert_eq!(names(look!(store, tx => agent::of_standing(tx, "supervisor", 10).await)), ["ada"]);
    act!(store, tx => {
        agent::set_status(tx, "ada", "blocked", true).await?;
        agent::count(tx, "ada", 1).await
    });
    let ada = look!(store, tx => agent::hold(tx, "ada").await).expect("ada");
    assert_eq!((ada.status.as_str(), ada.away, ada.running), ("blocked", true, 1));
    assert_eq!(look!(store, tx => agent::hold(tx, "eve").await), None);
}

async fn one_default_a_workspace(place: Place) {
    let store = with_run(&place).await;
    assert_eq!(look!(store, tx => agent::default(tx).await), None);
    act!(store, tx => agent::set_default(tx, "ada").await);
    act!(store, tx => agent::set_default(tx, "bob").await);
    assert_eq!(look!(store, tx => agent::default(tx).await), Some("bob".to_owned()));
    let defaults = look!(store, tx => agent::list(tx, "", 10).await).into_iter().filter(|row| row.is_default).count();
    assert_eq!(defaults, 1);
}

async fn silence_is_found(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        task::insert(tx, &ready(1, "ada")).await?;
        task::start(tx, task_id(1), 1, 1, ("node-1", NOW)).await?;
        agent::count(tx, "ada", 1).await?;
        agent::beat(tx, "bob", true).await
    });
    let later = Timestamp::from_micros(NOW.as_micros() + 1);
    assert!(look!(store, tx => agent::silent(tx, NOW, 10).await).is_empty(), "just heard of");
    let silent = look!(store, tx => agent::silent(tx, later, 10).await);
    let brief: Vec<_> = silent.iter().map(|row| (row.name.as_str(), row.beats, row.health.as_str())).collect();
    assert_eq!(brief, [("ada", false, "healthy"), ("bob", true, "unknown")]);
    let held = look!(store, tx => agent::running(tx, "ada", 10).await);
    let brief: Vec<_> = held.iter().map(|row| (row.id, row.run, row.priority.as_str(), row.retries_left)).collect();
    assert_eq!(brief, [(task_id(1), RUN, "normal", 2)]);
    assert_eq!(look!(store, tx => agent::open_tasks(tx, "ada").await), 1);
    act!(store, tx => {
        agent::set_health(tx, "ada", "stale", false).await?;
        agent::set_health(tx, "bob", "offline", true).await?;
        agent::beat_for(tx, "node-1").await
    });
    let healths: Vec<_> = look!(store, tx => agent::list(tx, "", 10).await)
        .into_iter()
        .map(|row| (row.name, row.health, row.away))
        .collect();
    assert_eq!(healths, [("ada".into(), "healthy".into(), false), ("bob".into(), "offline".into(), true)]);
}

async fn who_is_away_gets_nothing(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        task::insert(tx, &ready(1, "ada")).await?;
        agent::set_health(tx, "ada", "stale", true).await
    });
    assert!(act!(store, tx => task::candidates(tx, 10).await).is_empty());
    assert!(act!(store, tx => task::candidates_of(tx, "ada", 10).await).is_empty());
    assert!(act!(store, tx => agent::with_room(tx, 10).await).is_empty());
    act!(store, tx => agent::set_health(tx, "ada", "healthy", false).await);
    assert_eq!(act!(store, tx => task::candidates(tx, 10).await).len(), 1);
}

fn spawned(name: &str, n: i64) -> spawn::NewRow<'_> {
    spawn::NewRow {
        run: RUN,
        name,
        n,
        parent: Some("ada"),
        depth: 1,
        profile: "{}",
        models: "[]",
        task: task_id(1),
        created_by: "agent:ada",
    }
}

async fn who_is_stopped_gets_nothing(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => task::insert(tx, &ready(1, "ada")).await);
    assert!(look!(store, tx => agent::holds_up(tx, RUN, 10).await).is_empty());
    act!(store, tx => agent::set_status(tx, "ada", "blocked", true).await);
    let held = look!(store, tx => agent::holds_up(tx, RUN, 10).await);
    assert_eq!((held.len(), held[0].agent.as_str(), held[0].status.as_str()), (1, "ada", "blocked"));
    act!(store, tx => agent::set_status(tx, "ada", "idle", false).await);
    assert_eq!(act!(store, tx => task::candidates(tx, 10).await).len(), 1);
    act!(store, tx => {
        spawn::stop(tx, RUN, "ada", "user:eve").await?;
        spawn::stop(tx, RUN, "ada", "user:bob").await
    });
    assert_eq!(look!(store, tx => spawn::stopped_by(tx, RUN, "ada").await).as_deref(), Some("user:eve"), "the first");
    assert_eq!(look!(store, tx => spawn::stopped_by(tx, RUN, "bob").await), None);
    assert!(act!(store, tx => task::candidates(tx, 10).await).is_empty());
    assert!(act!(store, tx => task::candidates_of(tx, "ada", 10).await).is_empty());
    let lost = act!(store, tx => spawn::lost(tx, 10).await);
    assert_eq!((lost.len(), lost[0].task, lost[0].run, lost[0].resume), (1, task_id(1), RUN, false));
    act!(store, tx => {
        task::explain(tx, task_id(1), "not yet").await?;
        task::end(tx, task_id(1), "cancelled", None, None).await?;
        task::explain(tx, task_id(1), "stopped by eve").await
    });
    let ended = look!(store, tx => task::brief(tx, task_id(1)).await).expect("a task");
    assert_eq!(ended.error.as_deref(), Some("stopped by eve"));
    act!(store, tx => spawn::forget_stopped(tx, RUN).await);
    assert_eq!(look!(store, tx => spawn::stopped_by(tx, RUN, "ada").await), None);
}

async fn spawned_agents(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        let row = agent::NewRow {
            name: "dig-1", kind: "llm", profile_version: 0, role: "worker", capabilities: "[]", tags: "[]", capacity: 1, active: true,
        };
        agent::insert_temporary(tx, &row, RUN).await?;
        spawn::insert(tx, &spawned("dig-1", 1)).await?;
        spawn::insert(tx, &spawn::NewRow { parent: None, ..spawned("dig-2", 2) }).await
    });
    assert_eq!(look!(store, tx => agent::hold(tx, "dig-1").await).expect("it").run, Some(RUN));
    let rows = look!(store, tx => spawn::of_run(tx, RUN).await);
    let brief: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.parent.as_deref(), row.living)).collect();
    assert_eq!(brief, [("dig-1", Some("ada"), true), ("dig-2", None, true)]);
    assert_eq!(look!(store, tx => spawn::task_of(tx, RUN, "dig-1").await), Some(task_id(1)));
    assert!(act!(store, tx => spawn::end(tx, RUN, "dig-1").await));
    assert_eq!(look!(store, tx => spawn::task_of(tx, RUN, "dig-1").await), None, "it lives no more");
    assert!(act!(store, tx => spawn::end(tx, RUN, "dig-2").await));
    assert!(!act!(store, tx => spawn::end(tx, RUN, "dig-2").await));
    assert!(look!(store, tx => spawn::of_run(tx, RUN).await).iter().all(|row| row.ended_at == Some(NOW)));
    let twice = act!(try store, tx => spawn::insert(tx, &spawned("dig-1", 3)).await);
    assert!(matches!(twice, Err(Error::Conflict(_))), "{twice:?}");
}

async fn grants_hold_for_their_time(place: Place) {
    let store = with_run(&place).await;
    fn id(n: u128) -> GrantId {
        GrantId(Uuid::from_u128(n))
    }
    fn new(n: u128, right: &'static str, run: Option<RunId>, until: Timestamp) -> grant::NewRow<'static> {
        grant::NewRow { id: id(n), agent: "ada", run, right, reason: "why", by: "user:eve", until }
    }
    let later = Timestamp::from_micros(NOW.as_micros() + 1);
    act!(store, tx => {
        grant::insert(tx, &new(1, "spawn", None, later)).await?;
        grant::insert(tx, &new(2, "shell", Some(RUN), later)).await?;
        grant::insert(tx, &new(3, "delegate", None, NOW)).await
    });
    let words = |rows: Vec<(String,)>| rows.into_iter().map(|(word,)| word).collect::<Vec<_>>();
    assert_eq!(words(look!(store, tx => grant::in_force(tx, "ada", RUN).await)), ["spawn", "shell"]);
    assert_eq!(words(look!(store, tx => grant::in_force(tx, "ada", RunId(LAST)).await)), ["spawn"]);
    assert!(look!(store, tx => grant::in_force(tx, "bob", RUN).await).is_empty());
    let expired = act!(store, tx => grant::expire(tx).await);
    assert_eq!(expired, [(id(3), "ada".to_owned(), None, "delegate".to_owned())]);
    assert!(act!(store, tx => grant::expire(tx).await).is_empty(), "told once");
    act!(store, tx => grant::revoke(tx, id(1), "user:eve").await);
    assert_eq!(words(look!(store, tx => grant::in_force(tx, "ada", RUN).await)), ["shell"]);
    let revoked = act!(store, tx => grant::hold(tx, id(1)).await).expect("kept");
    assert_eq!((revoked.revoked_at, revoked.revoked_by.as_deref()), (Some(NOW), Some("user:eve")));
    let all = look!(store, tx => grant::list(tx, GrantId(LAST), 2).await);
    assert_eq!(all.iter().map(|row| row.id).collect::<Vec<_>>(), [id(3), id(2)]);
    assert_eq!(look!(store, tx => grant::list(tx, id(2), 9).await).len(), 1);
}

async fn escalations_in_order(place: Place) {
    let store = with_run(&place).await;
    fn new(n: i64, rung: &'static str, asked: &'static str) -> escalate::NewRow<'static> {
        escalate::NewRow { task: task_id(1), n, run: RUN, agent: "ada", rung, asked, reason: "stuck" }
    }
    act!(store, tx => {
        escalate::insert(tx, &new(2, "human", "")).await?;
        escalate::insert(tx, &new(1, "coordinator", "bob")).await
    });
    let rows = look!(store, tx => escalate::of_task(tx, task_id(1)).await);
    assert_eq!(rows.iter().map(|row| (row.n, row.asked.as_str())).collect::<Vec<_>>(), [(1, "bob"), (2, "")]);
}

async fn budgets_are_moved(place: Place) {
    let store = with_run(&place).await;
    let usd = Money::from_usd;
    act!(store, tx => {
        let usd = Money::from_usd;
        budget::open(tx, "agent:x:ada", Some(usd(1.0)), None).await?;
        budget::open(tx, "agent:x:bob", Some(usd(1.0)), Some(50)).await?;
        budget::shift(tx, "agent:x:ada", Money::from_nanos(-usd(0.25).as_nanos()), 0).await?;
        budget::shift(tx, "agent:x:bob", usd(0.25), 5).await
    });
    let rows = look!(store, tx => budget::list(tx, "agent:x:", 10).await);
    let brief: Vec<_> =
        rows.iter().map(|row| (row.cap_cost, row.moved_cost, row.cap_tokens, row.moved_tokens)).collect();
    let nanos = |amount| usd(amount).as_nanos();
    assert_eq!(brief, [(Some(nanos(0.75)), -nanos(0.25), None, 0), (Some(nanos(1.25)), nanos(0.25), Some(55), 5),]);
    // A spawned agent's call falls under more budgets than that of a team's.
    act!(store, tx => {
        let usd = Money::from_usd;
        let many: Vec<String> = (0..11).map(|n| format!("deep:{n:02}")).collect();
        for scope in &many {
            budget::open(tx, scope, Some(usd(1.0)), Some(100)).await?;
        }
        let bound = convoke_domain::budget::Amount { cost: usd(0.5), tokens: 10 };
        let billed = convoke_domain::budget::Amount { cost: usd(0.25), tokens: 4 };
        assert_eq!(budget::hold(tx, &many).await?.len(), many.len());
        budget::reserve(tx, &many, bound).await?;
        let held = budget::hold(tx, &many).await?;
        assert!(held.iter().all(|row| (row.reserved_cost, row.reserved_tokens) == (usd(0.5).as_nanos(), 10)));
        let settled = budget::settle(tx, &many, bound, billed).await?;
        assert_eq!(settled.len(), many.len());
        assert!(settled.iter().all(|row| (row.reserved_cost, row.settled_cost, row.settled_tokens) == (0, usd(0.25).as_nanos(), 4)));
        Ok(())
    });
}
