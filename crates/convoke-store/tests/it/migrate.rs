//! The schema goes forward and back, and a newer one is left alone.

use convoke_domain::id::WorkspaceId;
use convoke_store::{Options, Store, migrate};

use crate::support::{Names, Place, add, cases};

cases! { down_and_up_again }

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
