//! Locks on each database: what overlaps is found by index ranges, tokens never go back.

use convoke_domain::id::{RunId, TaskId};
use convoke_domain::lock::Resource;
use convoke_domain::time::Timestamp;
use convoke_store::lock::{self, Counts, Query, Record, TOKENS_PER_EPOCH};
use convoke_store::{meta, task};
use uuid::Uuid;

use crate::noun::{NOW, RUN, ready, task_id, with_run};
use crate::support::{Place, act, cases, look};

cases! {
    what_overlaps_is_found,
    a_task_holds_waits_and_leaves,
    leases_are_kept_and_run_out,
    tokens_and_counts_only_grow,
    lists_go_on_where_they_ended,
}

fn record(path: &str, task: TaskId, waits: bool) -> Record {
    Record {
        kind: "file".into(),
        path: path.into(),
        mode: "exclusive".into(),
        waits,
        run: RUN,
        task,
        agent: "ada".into(),
        token: i64::from(!waits),
        is_first: true,
        priority: "normal".into(),
        ticket: 1,
        since: NOW,
        until: later(30),
    }
}

fn later(secs: i64) -> Timestamp {
    Timestamp::from_micros(NOW.as_micros() + secs * 1_000_000)
}

fn resource(path: &str) -> Resource {
    Resource::stored("file", path)
}

fn paths(rows: &[Record]) -> Vec<&str> {
    let mut paths: Vec<_> = rows.iter().map(|row| row.path.as_str()).collect();
    paths.sort_unstable();
    paths
}

async fn what_overlaps_is_found(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        for path in ["a", "a/b", "a/b/c", "a/bc", "a/b.c", "a/b/é", "ab", "b", "a/b/c/d/e/f/g", "a0"] {
            lock::put(tx, &record(path, task_id(1), false)).await?;
        }
        let other = Record { kind: "topic".into(), ..record("a/b", task_id(1), false) };
        lock::put(tx, &other).await
    });
    for (path, expected) in [
        ("a/b", vec!["a", "a/b", "a/b/c", "a/b/c/d/e/f/g", "a/b/é"]),
        ("a/b/c/d/e/f/g/h", vec!["a", "a/b", "a/b/c", "a/b/c/d/e/f/g"]),
        ("b/c", vec!["b"]),
        ("c", vec![]),
    ] {
        let wanted = resource(path);
        let found = act!(store, tx => lock::overlapping(tx, &resource(path)).await);
        assert_eq!(paths(&found), expected, "{path}");
        assert!(found.iter().all(|row| row.row().expect("a row").item.resource.overlaps(&wanted)));
    }
}

async fn a_task_holds_waits_and_leaves(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        task::insert(tx, &ready(1, "ada")).await?;
        lock::put(tx, &Record { mode: "shared".into(), ..record("a", task_id(1), false) }).await?;
        lock::put(tx, &record("a", task_id(1), true)).await?;
        lock::put(tx, &record("b", task_id(1), false)).await?;
        lock::put(tx, &record("b", task_id(2), true)).await
    });
    let mine = look!(store, tx => lock::of_task(tx, task_id(1)).await);
    assert_eq!(
        mine.iter().map(|row| (row.path.as_str(), row.waits)).collect::<Vec<_>>(),
        [("a", false), ("a", true), ("b", false)]
    );
    act!(store, tx => lock::put(tx, &Record { token: 9, ..record("a", task_id(1), false) }).await);
    let mine = look!(store, tx => lock::of_task(tx, task_id(1)).await);
    assert_eq!((mine[0].mode.as_str(), mine[0].token), ("exclusive", 9), "the same lock, stronger");
    assert_eq!(act!(store, tx => lock::remove_waits(tx, task_id(1)).await).len(), 1);
    assert!(act!(store, tx => lock::remove(tx, task_id(1), &resource("b")).await));
    assert!(!act!(store, tx => lock::remove(tx, task_id(1), &resource("b")).await));
    assert_eq!(paths(&act!(store, tx => lock::remove_all(tx, task_id(2)).await)), ["b"]);
    assert_eq!(look!(store, tx => lock::holder(tx, task_id(1)).await), Some(("normal".to_owned(), None)));
    assert_eq!(look!(store, tx => lock::holder(tx, task_id(5)).await), None);
}

async fn leases_are_kept_and_run_out(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        for n in [1, 2] {
            task::insert(tx, &ready(n, "ada")).await?;
            task::start(tx, task_id(n), 1, 1, (if n == 1 { "w1" } else { "w2" }, later(30))).await?;
            lock::put(tx, &Record { until: NOW, ..record("a", task_id(n), false) }).await?;
            lock::put(tx, &Record { until: NOW, ..record("b", task_id(n), true) }).await?;
        }
        Ok(())
    });
    let lapsed = |rows: Vec<Record>| rows.into_iter().map(|row| row.task).collect::<Vec<_>>();
    assert_eq!(lapsed(act!(store, tx => lock::lapsed(tx, false, 10).await)).len(), 2);
    assert_eq!(act!(store, tx => lock::renew(tx, "w1", later(5)).await), 1);
    assert_eq!(lapsed(act!(store, tx => lock::lapsed(tx, false, 10).await)), [task_id(2)]);
    assert_eq!(act!(store, tx => lock::keep(tx, task_id(2), later(5)).await), 1);
    assert_eq!(lapsed(act!(store, tx => lock::lapsed(tx, false, 10).await)), []);
    assert_eq!(lapsed(act!(store, tx => lock::lapsed(tx, true, 10).await)).len(), 2, "waits end by themselves");
    assert_eq!(act!(store, tx => lock::keep_all(tx, later(6)).await), 2);
    assert_eq!(act!(store, tx => lock::keep_all(tx, later(6)).await), 0, "a longer lease stays");
    assert_eq!(act!(store, tx => lock::set_token(tx, task_id(1), 77).await), 1);
    assert_eq!(act!(store, tx => lock::hand_to(tx, task_id(1), "bob").await), 1);
    let mine = look!(store, tx => lock::of_task(tx, task_id(1)).await);
    assert_eq!((mine[0].token, mine[0].agent.as_str(), mine[1].agent.as_str()), (77, "bob", "ada"));
}

async fn tokens_and_counts_only_grow(place: Place) {
    let store = with_run(&place).await;
    assert_eq!(look!(store, tx => lock::stats(tx).await), None);
    assert_eq!(act!(store, tx => lock::next_ticket(tx).await), 1);
    let first = act!(store, tx => lock::next_token(tx, true).await);
    assert_eq!(first, TOKENS_PER_EPOCH + 1, "the first of epoch 1");
    assert_eq!(act!(store, tx => lock::next_token(tx, false).await), first + 1);
    act!(store, tx => meta::set(tx, meta::FENCING_EPOCH, "3").await);
    assert_eq!(act!(store, tx => lock::next_token(tx, true).await), 3 * TOKENS_PER_EPOCH + 1, "a restore skips ahead");
    act!(store, tx => meta::set(tx, meta::FENCING_EPOCH, "2").await);
    assert_eq!(act!(store, tx => lock::next_token(tx, true).await), 3 * TOKENS_PER_EPOCH + 2, "and never back");
    let more = Counts { died: 1, busy: 2, expired: 3, forced: 4, stale: 5, avoided: 6, waited_us: 7 };
    act!(store, tx => lock::count(tx, &more).await);
    act!(store, tx => lock::count(tx, &Counts { waited_us: 3, ..Counts::default() }).await);
    let stats = look!(store, tx => lock::stats(tx).await).expect("counters");
    assert_eq!((stats.granted, stats.waits, stats.died, stats.busy, stats.expired), (3, 1, 1, 2, 3));
    assert_eq!((stats.forced, stats.stale, stats.avoided, stats.waited_us, stats.longest_us), (4, 5, 6, 10, 7));
}

async fn lists_go_on_where_they_ended(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        for (path, n, waits) in [("a", 1, false), ("a", 2, true), ("b", 1, false), ("b", 1, true)] {
            lock::put(tx, &record(path, task_id(n), waits)).await?;
        }
        lock::put(tx, &Record { run: RunId(Uuid::from_u128(9)), agent: "bob".into(), ..record("c", task_id(3), false) }).await
    });
    let all = look!(store, tx => lock::list(tx, &Query::default(), 100).await);
    assert_eq!(all.len(), 5);
    let rest = look!(store, tx => {
        let after = Some(("file", "b", task_id(1), false));
        lock::list(tx, &Query { after, ..Query::default() }, 100).await
    });
    assert_eq!(rest, all[3..]);
    let count = |rows: Vec<Record>| rows.len();
    assert_eq!(count(look!(store, tx => lock::list(tx, &Query { run: Some(RUN), ..Query::default() }, 100).await)), 4);
    assert_eq!(
        count(look!(store, tx => lock::list(tx, &Query { task: Some(task_id(1)), ..Query::default() }, 100).await)),
        3
    );
    assert_eq!(count(look!(store, tx => lock::list(tx, &Query { agent: "bob", ..Query::default() }, 100).await)), 1);
    assert_eq!(count(look!(store, tx => lock::list(tx, &Query::default(), 2).await)), 2);
}
