//! Frames of flows on each database: by path, by range, by when they fall due.

use convoke_domain::event::{Kind, NewEvent};
use convoke_domain::time::Timestamp;
use convoke_store::{event, frame, task};
use serde_json::json;

use crate::noun::{NOW, RUN, ready, with_run};
use crate::support::{Place, act, cases, look};

cases! {
    a_part_is_a_range,
    what_falls_due_is_found_until_it_is_stilled,
    tasks_of_flows_are_found_by_path,
    what_was_written_down_is_found_in_order,
}

fn record(path: &str, due: Option<Timestamp>) -> frame::Record {
    frame::Record { path: path.into(), state: format!("{{\"at\":\"{path}\"}}"), result: None, due }
}

async fn a_part_is_a_range(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        for path in ["", "a", "a/1", "a/1/x", "a/10", "a~2", "a~2/1", "b"] {
            frame::put(tx, RUN, &record(path, None)).await?;
        }
        frame::put(tx, RUN, &frame::Record { result: Some("[1]".into()), ..record("b", None) }).await
    });
    let within = look!(store, tx => frame::within(tx, RUN, ("a/", "a0")).await);
    assert_eq!(within.iter().map(|row| row.path.as_str()).collect::<Vec<_>>(), ["a/1", "a/1/x", "a/10"]);
    let b = look!(store, tx => frame::get(tx, RUN, "b").await).expect("written twice, there once");
    assert_eq!((b.result.as_deref(), b.state.as_str()), (Some("[1]"), "{\"at\":\"b\"}"));
    assert!(look!(store, tx => frame::get(tx, RUN, "").await).is_some());
    assert_eq!(look!(store, tx => frame::get(tx, RUN, "c").await), None);
    let first = look!(store, tx => frame::page(tx, RUN, None, (2, 3)).await);
    assert_eq!(first.iter().map(|row| row.path.as_str()).collect::<Vec<_>>(), ["", "a", "a/1"]);
    let rest = look!(store, tx => frame::page(tx, RUN, Some("a/1"), (2, 100)).await);
    assert_eq!(rest.iter().map(|row| row.path.as_str()).collect::<Vec<_>>(), ["a/1/x", "a/10", "a~2", "a~2/1", "b"]);
    assert_eq!(rest[4].result, None, "it has more bytes than were asked for");
    let whole = look!(store, tx => frame::page(tx, RUN, Some("a~2/1"), (3, 100)).await);
    assert_eq!(whole[0].result.as_deref(), Some("[1]"));
}

async fn what_falls_due_is_found_until_it_is_stilled(place: Place) {
    let store = with_run(&place).await;
    let later = Timestamp::from_micros(NOW.as_micros() + 1);
    act!(store, tx => {
        frame::put(tx, RUN, &record("a", Some(NOW))).await?;
        frame::put(tx, RUN, &record("a/1", Some(NOW))).await?;
        frame::put(tx, RUN, &record("b", Some(later))).await
    });
    let due = look!(store, tx => frame::due(tx, 10).await);
    let mut paths: Vec<_> = due.iter().map(|row| (row.run, row.path.as_str())).collect();
    paths.sort_unstable();
    assert_eq!(paths, [(RUN, "a"), (RUN, "a/1")]);
    assert_eq!(look!(store, tx => frame::next_due(tx, RUN).await), Some(NOW));
    for (path, above) in
        [("a/1/x", Some(NOW)), ("b", Some(later)), ("b/1", Some(later)), ("a", Some(NOW)), ("ab", None), ("bb/1", None)]
    {
        assert_eq!(look!(store, tx => frame::due_above(tx, RUN, path).await), above, "{path}");
    }
    act!(store, tx => frame::still(tx, RUN, "a").await);
    act!(store, tx => frame::still_within(tx, RUN, ("a/", "a0")).await);
    assert_eq!(look!(store, tx => frame::due(tx, 10).await), []);
    assert_eq!(look!(store, tx => frame::next_due(tx, RUN).await), Some(later));
}

async fn tasks_of_flows_are_found_by_path(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        for (n, key) in [(1, "s/1"), (2, "s/2"), (3, "t")] {
            let new = task::NewRow { key, stage: "step", round: 1, output_schema: (n == 2).then(|| "{}".into()), ..ready(n, "ada") };
            task::insert(tx, &new).await?;
        }
        task::end(tx, crate::noun::task_id(1), "completed", Some("done"), None).await
    });
    let found = look!(store, tx => task::stepped(tx, RUN, ("s/", "s0")).await);
    let brief: Vec<_> =
        found.iter().map(|row| (row.key.as_str(), row.state.as_str(), row.output.as_deref(), row.is_json)).collect();
    assert_eq!(brief[0], ("s/1", "completed", Some("done"), false));
    assert_eq!((brief[1].0, brief[1].3), ("s/2", true));
    assert_eq!(look!(store, tx => task::open_within(tx, RUN, ("s/", "s0")).await).len(), 1);
    assert_eq!(look!(store, tx => task::path(tx, crate::noun::task_id(3)).await).as_deref(), Some("t"));
    assert_eq!(look!(store, tx => task::path(tx, crate::noun::task_id(5)).await), None);
}

async fn what_was_written_down_is_found_in_order(place: Place) {
    let store = with_run(&place).await;
    let kinds = [Kind::GateChecked, Kind::TaskStarted, Kind::MergeCompleted, Kind::SplitCreated, Kind::VoteCounted];
    act!(store, tx => {
        for kind in kinds {
            let (entity_id, actor, payload) = (RUN.to_string(), "system".to_owned(), json!({"path": "a"}));
            tx.emit(NewEvent { kind, entity: "run", entity_id, run: Some(RUN), actor, payload });
        }
        Ok(())
    });
    let first = look!(store, tx => event::of_coordination(tx, RUN, 0, 2).await);
    assert_eq!(
        first.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(),
        ["coordination.gate.checked", "coordination.merge.completed"]
    );
    let second = first[1].seq;
    let rest = look!(store, tx => event::of_coordination(tx, RUN, second, 10).await);
    assert_eq!(rest.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(), ["coordination.vote.counted"]);
}
