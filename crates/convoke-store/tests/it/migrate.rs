//! The schema goes forward and back, and a newer one is left alone.

use convoke_domain::id::WorkspaceId;
use convoke_store::{Options, Store, migrate};

use crate::support::{Names, Place, add, cases};

cases! { down_and_up_again, what_is_missing_of_the_schema_is_named }

async fn down_and_up_again(place: Place) {
    let store = place.open().await;
    assert_eq!(store.schema_version().await.expect("known"), migrate::LATEST);
    store.run(add(WorkspaceId::DEFAULT, "ada")).await.expect("added");
    for version in (0..migrate::LATEST).rev() {
        store.migrate_to(version).await.expect("one step back");
        assert_eq!(store.schema_version().await.expect("known"), version);
    }
    store.migrate_to(migrate::LATEST).await.expect("all the way up");
    store.close().await.expect("closed");
    let store = place.open().await;
    assert!(store.read(Names(WorkspaceId::DEFAULT)).await.expect("names").is_empty(), "everything was removed");
    store.run(add(WorkspaceId::DEFAULT, "ada")).await.expect("works as before");
    assert_eq!(store.verify().await.expect("verified").problems, []);
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_both_versions() {
    let place = Place::sqlite();
    place.open().await.close().await.expect("closed");
    let db = rusqlite::Connection::open(place.dir.path().join("convoke.db")).expect("the file");
    db.execute("UPDATE meta SET value='999' WHERE key='schema_version'", []).expect("changed");
    drop(db);
    let latest = migrate::LATEST;
    let expected = format!("has schema version 999, written by a newer Convoke; this program knows up to {latest}");
    let error = Store::open_sqlite(place.dir.path(), Options::default()).await.err().expect("refused");
    assert!(error.to_string().contains(&expected), "{error}");
    let error = Store::open_reader(place.dir.path(), Options::default()).await.err().expect("refused");
    assert!(error.to_string().contains(&expected), "{error}");
}

async fn what_is_missing_of_the_schema_is_named(place: Place) {
    let store = place.open().await;
    assert_eq!(store.verify().await.expect("verified").problems, []);
    store.migrate_to(1).await.expect("back");
    store.migrate_to(migrate::LATEST).await.expect("forward");
    assert_eq!(store.verify().await.expect("verified").problems, [], "the way does not matter");
    for (statement, expected) in [
        ("CREATE INDEX one_of_mine ON task (key)", &[][..]),
        ("DROP INDEX event_run", &["index event_run: it is missing; restore a backup"][..]),
        (
            "CREATE INDEX event_run ON event (ws)",
            &["index event_run: it is `event(ws)` and should be `event(ws, run, seq)`; restore a backup"],
        ),
        (
            "ALTER TABLE step DROP COLUMN input_hash",
            &[
                "column step.input_hash: it is missing; restore a backup",
                "index event_run: it is `event(ws)` and should be `event(ws, run, seq)`; restore a backup",
            ],
        ),
    ] {
        place.change(statement).await;
        let problems = store.verify().await.expect("verified").problems;
        let mut told: Vec<_> = problems.iter().map(|problem| format!("{}: {}", problem.place, problem.what)).collect();
        told.sort();
        assert_eq!(told, expected, "{statement}");
    }
    place.change("DROP TABLE blob").await;
    let problems = store.verify().await.expect("verified").problems;
    let of_blob: Vec<_> = problems.iter().filter(|problem| problem.place.contains("blob")).collect();
    assert_eq!(of_blob.len(), 1, "{of_blob:?}");
    assert_eq!((of_blob[0].check, of_blob[0].place.as_str()), ("schema", "table blob"));
}
