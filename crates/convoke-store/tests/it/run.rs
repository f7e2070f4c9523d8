//! Runs, sessions, agents, definitions and counts on each database.

use convoke_domain::id::{RunId, SessionId};
use convoke_domain::time::Timestamp;
use convoke_store::definition::{pattern, profile, team};
use convoke_store::{Error, agent, run, session, stats, task};
use uuid::Uuid;

use crate::noun::{NOW, RUN, SESSION, WS, new_run, open, ready, task_id, with_run};
use crate::support::{Place, act, cases, look};

cases! { a_run_moves_through_its_states, runs_are_listed_from_the_newest, a_key_makes_one_run, agents_and_counts, definitions_keep_every_version }

async fn a_run_moves_through_its_states(place: Place) {
    let store = with_run(&place).await;
    let held = act!(store, tx => run::hold(tx, RUN).await);
    assert_eq!(
        (held.state.as_str(), held.phase.as_str(), held.open_tasks, held.made_tasks),
        ("initializing", "delegation", 0, 0)
    );
    assert_eq!(act!(store, tx => run::count_tasks(tx, RUN, 3, 3).await), 3);
    assert_eq!(act!(store, tx => run::count_tasks(tx, RUN, 0, -1).await), 2);
    act!(store, tx => run::set_state(tx, RUN, "paused", Some("asked to")).await);
    act!(store, tx => run::set_phase(tx, RUN, "work", "running").await);
    let row = look!(store, tx => run::find(tx, RUN).await).expect("there");
    assert_eq!((row.state.as_str(), row.phase.as_str(), row.reason.as_deref()), ("running", "work", Some("asked to")));
    assert_eq!((row.started_at, row.simulated, row.team_version), (Some(NOW), true, 3));
    act!(store, tx => run::end(tx, RUN, "failed", None, Some("no luck")).await);
    act!(store, tx => run::end(tx, RUN, "completed", Some("42"), None).await);
    let row = look!(store, tx => run::find(tx, RUN).await).expect("there");
    assert_eq!((row.output.as_deref(), row.error, row.finished_at), (Some("42"), None, Some(NOW)));
    let nobody = RunId(Uuid::from_u128(404));
    assert_eq!(look!(store, tx => run::find(tx, nobody).await), None);
    assert_eq!(act!(try store, tx => run::hold(tx, nobody).await).expect_err("none").code(), "missing");
}

async fn runs_are_listed_from_the_newest(place: Place) {
    let store = with_run(&place).await;
    let other = RunId(Uuid::from_u128(3));
    act!(store, tx => run::insert(tx, &run::NewRow { timeout_us: -1, ..new_run(other, None) }).await);
    let ids = |rows: Vec<run::Record>| rows.into_iter().map(|run| run.id).collect::<Vec<_>>();
    assert_eq!(ids(look!(store, tx => run::list(tx, None, 10).await)), [other, RUN]);
    assert_eq!(ids(look!(store, tx => run::list(tx, Some(other), 10).await)), [RUN]);
    assert_eq!(look!(store, tx => run::ids(tx, None, 10).await), [other, RUN]);
    assert_eq!(look!(store, tx => run::ids(tx, Some(RUN), 10).await), []);
    assert_eq!(act!(store, tx => run::overdue(tx, 10).await), [(other,)]);
    act!(store, tx => run::extend(tx, RUN).await);
    let unfinished = look!(store, tx => run::unfinished(tx, 10).await);
    assert_eq!(unfinished, [(RUN, "initializing".to_owned(), None), (other, "initializing".to_owned(), None)]);
    assert!(look!(store, tx => session::exists(tx, SESSION).await));
    assert!(!look!(store, tx => session::exists(tx, SessionId(Uuid::nil())).await));
}

async fn a_key_makes_one_run(place: Place) {
    let store = with_run(&place).await;
    let found = look!(store, tx => run::by_key(tx, "key-1").await);
    assert_eq!(found, Some((RUN, "crew".to_owned(), "find the cause".to_owned())));
    assert_eq!(look!(store, tx => run::by_key(tx, "key-2").await), None);
    let twice = act!(try store, tx => run::insert(tx, &new_run(RunId(Uuid::from_u128(9)), Some("key-1"))).await);
    assert!(matches!(twice, Err(Error::Conflict(_))), "{twice:?}");
}

async fn agents_and_counts(place: Place) {
    let store = with_run(&place).await;
    const CHANGED: agent::NewRow<'_> = agent::NewRow {
        kind: "llm",
        name: "bob",
        profile_version: 2,
        role: "critic",
        capabilities: "[\"x\"]",
        tags: "[]",
        capacity: 5,
        active: true,
    };
    act!(store, tx => {
        agent::upsert(tx, &CHANGED).await?;
        agent::count(tx, "bob", 2).await?;
        agent::set_active(tx, "ada", false).await
    });
    let found = look!(store, tx => agent::list(tx, "", 10).await);
    let brief: Vec<_> =
        found.iter().map(|a| (a.name.as_str(), a.role.as_str(), a.capacity, a.running, a.active)).collect();
    assert_eq!(brief, [("ada", "specialist", 2, 0, false), ("bob", "critic", 5, 2, true)]);
    assert_eq!((found[1].profile.as_str(), found[1].profile_version, found[1].created_at), ("bob", 2, NOW));
    assert_eq!(look!(store, tx => agent::list(tx, "ada", 10).await).len(), 1);
    assert_eq!(look!(store, tx => stats::agents(tx).await), (1, 1, 5));
    act!(store, tx => {
        task::insert(tx, &ready(1, "ada")).await?;
        task::insert(tx, &ready(2, "bob")).await?;
        task::start(tx, task_id(2), 1, 1, ("node-1", Timestamp::default())).await
    });
    assert_eq!(look!(store, tx => stats::queue_size(tx).await), 1);
    let counts = |counts: &[(&str, i64)]| counts.iter().map(|(name, n)| (name.to_string(), *n)).collect::<Vec<_>>();
    assert_eq!(look!(store, tx => stats::tasks_by_state(tx).await), counts(&[("ready", 1), ("running", 1)]));
    assert_eq!(look!(store, tx => stats::runs_by_state(tx).await), counts(&[("initializing", 1)]));
    assert_eq!(look!(store, tx => stats::events(tx).await), 1, "the workspace was made");
    let places: Vec<_> =
        store.verify().await.expect("verified").problems.into_iter().map(|p| (p.check, p.place, p.what)).collect();
    let expected = [
        ("open tasks", format!("{WS} {RUN}"), "it counts 0 open tasks, there are 2".to_owned()),
        ("agents", format!("{WS} agent bob"), "it counts 2 running tasks, there are 1".to_owned()),
    ];
    assert_eq!(places, expected);
}

async fn definitions_keep_every_version(place: Place) {
    let store = open(&place).await;
    act!(store, tx => {
        for (name, version) in [("Zed", 1), ("ada", 1), ("ada", 2), ("émile", 1)] {
            profile::insert(tx, (name, version), "{}", true, "user:ada").await?;
            team::insert(tx, (name, version), "{}", version == 1, "user:ada").await?;
            pattern::insert(tx, (name, version), "{}", true, "user:ada").await?;
        }
        Ok(())
    });
    let brief = |rows: Vec<convoke_store::definition::Record>| {
        rows.into_iter().map(|r| (r.name, r.version)).collect::<Vec<_>>()
    };
    let listed = [("Zed".to_owned(), 1), ("ada".to_owned(), 2), ("émile".to_owned(), 1)];
    assert_eq!(brief(look!(store, tx => profile::list(tx, "", 10).await)), listed, "in the order of bytes");
    assert_eq!(brief(look!(store, tx => team::list(tx, "Zed", 1).await)), listed[1..2]);
    let latest = look!(store, tx => profile::latest(tx, "ada").await).expect("there");
    assert_eq!(
        (latest.version, latest.active, latest.created_by.as_str(), latest.created_at),
        (2, true, "user:ada", NOW)
    );
    assert!(!look!(store, tx => team::latest(tx, "ada").await).expect("there").active);
    assert_eq!(look!(store, tx => profile::version(tx, "ada", 1).await).expect("there").version, 1);
    assert_eq!(look!(store, tx => team::version(tx, "ada", 3).await), None);
    assert!(act!(store, tx => profile::set_active(tx, "ada", false).await));
    assert!(!act!(store, tx => team::set_active(tx, "nobody", true).await));
    assert!(!look!(store, tx => profile::latest(tx, "ada").await).expect("there").active);
}
