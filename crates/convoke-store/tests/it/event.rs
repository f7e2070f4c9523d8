//! Events: numbered without gaps, chained, append-only, and heard by those who listen.

use convoke_domain::event::{Kind, NewEvent};
use convoke_domain::id::{RunId, WorkspaceId};
use convoke_store::{Lagged, Options, Result, Store, Tx, UseCase};
use serde_json::json;
use uuid::Uuid;

use crate::support::{AddUser, End, Place, add, cases, workspace};

const WS: WorkspaceId = WorkspaceId::DEFAULT;

cases! {
    chains_have_no_gap_under_many_writers,
    a_page_starts_after_its_cursor,
    subscribers_hear_what_was_committed_in_order,
    a_slow_subscriber_is_told,
    events_of_an_unknown_workspace_are_refused,
}

/// Records `count` events of a run.
struct Record {
    ws: WorkspaceId,
    run: Option<RunId>,
    count: usize,
}

impl UseCase for Record {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        for n in 0..self.count {
            tx.emit(NewEvent {
                kind: Kind::StepCompleted,
                entity: "step",
                entity_id: n.to_string(),
                run: self.run,
                actor: "agent:ada".to_owned(),
                payload: json!({ "n": n, "text": "größe \u{1F980}" }),
            });
        }
        Ok(())
    }
}

async fn write_from_many(store: &Store, workspaces: &[WorkspaceId]) {
    let mut tasks = Vec::new();
    for writer in 0..64 {
        let (store, ws) = (store.clone(), workspaces[writer % workspaces.len()]);
        tasks.push(tokio::spawn(async move {
            for n in 0..10 {
                let end = if n == 7 { End::Refused } else { End::Well };
                let result = store.run(AddUser { ws, name: format!("user-{writer}-{n}"), end }).await;
                assert_eq!(result.is_ok(), n != 7);
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
}

async fn chains_have_no_gap_under_many_writers(place: Place) {
    let store = place.open().await;
    let mut workspaces = Vec::new();
    for n in 0..4 {
        workspaces.push(workspace(&store, n).await);
    }
    write_from_many(&store, &workspaces).await;
    for ws in workspaces {
        let events = store.events_after(ws, 0, None, 1_000).await.expect("events");
        let numbers: Vec<i64> = events.iter().map(|event| event.seq).collect();
        assert_eq!(numbers, (1..=1 + 16 * 9).collect::<Vec<_>>());
    }
    assert_eq!(store.verify().await.expect("verified").problems, []);
    store.close().await.expect("closed");
    let again = place.open().await;
    again.run(add(WS, "later")).await.expect("the chain goes on after a restart");
    assert_eq!(again.verify().await.expect("verified").problems, []);
}

async fn a_page_starts_after_its_cursor(place: Place) {
    let store = place.open().await;
    let (one, two) = (RunId(Uuid::from_u128(1)), RunId(Uuid::from_u128(2)));
    for run in [one, two, one] {
        store.run(Record { ws: WS, run: Some(run), count: 2 }).await.expect("recorded");
    }
    let numbers = |events: Vec<convoke_domain::event::Event>| events.iter().map(|event| event.seq).collect::<Vec<_>>();
    assert_eq!(numbers(store.events_after(WS, 0, Some(one), 100).await.expect("events")), [2, 3, 6, 7]);
    assert_eq!(numbers(store.events_after(WS, 3, Some(one), 1).await.expect("events")), [6]);
    assert_eq!(numbers(store.events_after(WS, 5, None, 100).await.expect("events")), [6, 7]);
    let event = store.events_after(WS, 2, None, 1).await.expect("events").remove(0);
    assert_eq!(event.payload, json!({ "n": 1, "text": "größe \u{1F980}" }));
    assert_eq!((event.kind.as_str(), event.actor.as_str(), event.run), ("step.completed", "agent:ada", Some(one)));
}

async fn subscribers_hear_what_was_committed_in_order(place: Place) {
    let store = place.open().await;
    let mut feed = store.subscribe();
    store.run(AddUser { ws: WS, name: "lost".into(), end: End::Refused }).await.expect_err("refused");
    store.run(add(WS, "kept")).await.expect("added");
    store.run(Record { ws: WS, run: None, count: 2 }).await.expect("recorded");
    for seq in 2..=4 {
        let heard = feed.next().await.expect("open").expect("not slow");
        assert_eq!(heard.seq, seq);
        assert_eq!(*heard, store.events_after(WS, seq - 1, None, 1).await.expect("events")[0]);
    }
    store.close().await.expect("closed");
    assert!(feed.next().await.is_none(), "the feed ends with the store");
}

async fn a_slow_subscriber_is_told(place: Place) {
    let store = place.open_with(Options { feed: 4, ..Options::default() }).await;
    let mut feed = store.subscribe();
    for _ in 0..5 {
        store.run(Record { ws: WS, run: None, count: 2 }).await.expect("recorded");
    }
    store.run(Record { ws: WS, run: None, count: 70 }).await.expect("recorded");
    assert_eq!(feed.next().await, Some(Err(Lagged)));
    let next = feed.next().await.expect("open").expect("caught up");
    assert_eq!(next.seq, 10, "what the last commit but one and the three pieces of the last say is still there");
    for seq in 11..=81 {
        assert_eq!(feed.next().await.expect("open").expect("caught up").seq, seq);
    }
}

async fn events_of_an_unknown_workspace_are_refused(place: Place) {
    let store = place.open().await;
    let ws = WorkspaceId(Uuid::from_u128(99));
    let error = store.run(Record { ws, run: None, count: 1 }).await.expect_err("no such workspace");
    assert_eq!(error.code(), "conflict");
}

/// Changes to the file behind the store's back, which only SQLite's file allows so simply.
mod tampering {
    use super::*;

    async fn found_after(change: &str) -> Vec<String> {
        let place = Place::sqlite();
        let store = place.open().await;
        store.run(Record { ws: WS, run: None, count: 9 }).await.expect("recorded");
        store.close().await.expect("closed");
        let db = rusqlite::Connection::open(place.dir.path().join("convoke.db")).expect("the file");
        db.execute_batch("DROP TRIGGER event_no_update; DROP TRIGGER event_no_delete;").expect("dropped");
        db.execute_batch(change).expect("changed");
        drop(db);
        let report = place.open().await.verify().await.expect("verified");
        let (of_schema, others): (Vec<_>, Vec<_>) =
            report.problems.into_iter().partition(|problem| problem.check == "schema");
        let of_schema: Vec<_> = of_schema.iter().map(|problem| problem.place.as_str()).collect();
        assert_eq!(of_schema, ["trigger event_no_update", "trigger event_no_delete"], "they are missed too");
        others.into_iter().map(|problem| format!("{}: {}", problem.place, problem.what)).collect()
    }

    #[tokio::test]
    async fn a_changed_event_is_found() {
        let found = found_after("UPDATE event SET payload='{}' WHERE seq=5").await;
        assert_eq!(found, [format!("{WS} event 5: its content is not what was recorded")]);
    }

    #[tokio::test]
    async fn a_removed_event_is_found() {
        let found = found_after("DELETE FROM event WHERE seq=5").await;
        assert_eq!(found, [format!("{WS} event 6: 1 events before it are gone")]);
    }

    #[tokio::test]
    async fn a_cut_end_is_found() {
        let found = found_after("DELETE FROM event WHERE seq>8").await;
        assert_eq!(found, [format!("{WS}: the record ends at 8, but 10 was the last number given")]);
    }

    #[tokio::test]
    async fn events_cannot_be_changed_or_removed() {
        let place = Place::sqlite();
        let store = place.open().await;
        let db = rusqlite::Connection::open(place.dir.path().join("convoke.db")).expect("the file");
        for change in ["UPDATE event SET kind='x'", "DELETE FROM event"] {
            let error = db.execute_batch(change).expect_err(change);
            assert!(error.to_string().contains("events are append-only"), "{error}");
        }
        drop(store);
    }
}
