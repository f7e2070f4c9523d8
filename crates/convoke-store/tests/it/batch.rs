//! Many use cases in one transaction: one that fails takes nothing with it.

use std::pin::pin;
use std::time::Duration;

use convoke_domain::id::WorkspaceId;
use convoke_store::{Error, Options, Store};

use crate::support::{AddUser, End, Names, Place, add, cases, hold, poll};

const WS: WorkspaceId = WorkspaceId::DEFAULT;

cases! {
    a_duplicate_fails_alone,
    a_late_refusal_fails_alone,
    a_panic_fails_alone,
    a_use_case_that_goes_on_after_an_error_fails_alone,
    waiting_for_anything_else_is_refused,
    a_caller_that_left_is_skipped,
    a_full_queue_is_told,
}

/// Queues 100 good use cases around `bad` while the writer is held, then lets them go.
async fn hundred_and(store: &Store, bad: AddUser) -> Error {
    let held = hold(store).await;
    let mut good: Vec<_> = (0..100).map(|n| Box::pin(store.run(add(WS, format!("user-{n:03}"))))).collect();
    let mut bad = pin!(store.run(bad));
    for (n, task) in good.iter_mut().enumerate() {
        assert!(poll(task).await.is_pending());
        if n == 50 {
            assert!(poll(&mut bad).await.is_pending());
        }
    }
    held.release().await;
    for task in good {
        task.await.expect("a good neighbour is kept");
    }
    bad.await.expect_err("the bad one fails")
}

async fn only_it_failed(store: &Store) {
    let names = store.read(Names(WS)).await.expect("names");
    assert_eq!(names.iter().filter(|name| name.starts_with("user-")).count(), 100);
    assert!(!names.contains(&"bad".to_owned()));
    let report = store.verify().await.expect("verified");
    assert_eq!(report.problems, []);
    assert_eq!(report.events, names.len() as u64 + 1, "an event for each user and for the workspace");
}

async fn a_duplicate_fails_alone(place: Place) {
    let store = place.open().await;
    store.run(add(WS, "taken")).await.expect("the first");
    let error = hundred_and(&store, add(WS, "taken")).await;
    assert!(matches!(error, Error::Conflict(_)), "{error}");
    only_it_failed(&store).await;
}

async fn a_late_refusal_fails_alone(place: Place) {
    let store = place.open().await;
    let error = hundred_and(&store, AddUser { ws: WS, name: "bad".into(), end: End::Refused }).await;
    assert_eq!((error.code(), error.to_string().as_str()), ("too_late", "this came too late"));
    only_it_failed(&store).await;
}

async fn a_panic_fails_alone(place: Place) {
    let store = place.open().await;
    let error = hundred_and(&store, AddUser { ws: WS, name: "bad".into(), end: End::Panics }).await;
    assert!(error.to_string().ends_with("AddUser panicked: as told; nothing of it was stored"), "{error}");
    only_it_failed(&store).await;
}

async fn a_use_case_that_goes_on_after_an_error_fails_alone(place: Place) {
    let store = place.open().await;
    let error = hundred_and(&store, AddUser { ws: WS, name: "bad".into(), end: End::Swallows }).await;
    assert!(error.to_string().contains("went on after its transaction had failed"), "{error}");
    only_it_failed(&store).await;
}

async fn waiting_for_anything_else_is_refused(place: Place) {
    let store = place.open().await;
    let error = hundred_and(&store, AddUser { ws: WS, name: "bad".into(), end: End::Waits }).await;
    assert!(error.to_string().contains("awaited something other than its transaction"), "{error}");
    only_it_failed(&store).await;
}

async fn a_caller_that_left_is_skipped(place: Place) {
    let store = place.open().await;
    let held = hold(&store).await;
    {
        let mut left = pin!(store.run(add(WS, "left")));
        assert!(poll(&mut left).await.is_pending(), "it is queued, and then its caller goes away");
    }
    let mut stays = pin!(store.run(add(WS, "stays")));
    assert!(poll(&mut stays).await.is_pending());
    held.release().await;
    stays.await.expect("kept");
    assert_eq!(store.read(Names(WS)).await.expect("names"), ["stays"]);
}

async fn a_full_queue_is_told(place: Place) {
    let store = place
        .open_with(Options { queue: 1, max_batch: 1, queue_wait: Duration::from_millis(20), ..Options::default() })
        .await;
    let held = hold(&store).await;
    let mut waiting = Box::pin(store.try_run(add(WS, "waits")));
    assert!(poll(&mut waiting).await.is_pending(), "one may wait");
    let error = store.try_run(add(WS, "too many")).await.expect_err("no place");
    assert_eq!(error.to_string(), "the write queue of the store is full; try again with less load");
    let error = store.run(add(WS, "too many")).await.expect_err("no place in time");
    assert_eq!(error.to_string(), "the write queue of the store was full for 20ms; try again with less load");
    held.release().await;
    waiting.await.expect("what was queued is done");
}
