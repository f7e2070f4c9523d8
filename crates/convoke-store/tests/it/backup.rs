//! Backup and restore: the same data, and tokens from before are told apart.

use convoke_domain::id::WorkspaceId;
use convoke_store::{Result, Store, Tx, UseCase, meta};

use crate::support::{Names, Place, add};

const WS: WorkspaceId = WorkspaceId::DEFAULT;

struct Epoch;

impl UseCase for Epoch {
    type Out = i64;

    fn ws(&self) -> WorkspaceId {
        WS
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<i64> {
        meta::fencing_epoch(tx).await
    }
}

#[tokio::test]
async fn a_backup_taken_under_load_restores_with_a_higher_epoch() {
    let (place, away) = (Place::sqlite(), tempfile::tempdir().expect("a folder"));
    let store = place.open().await;
    for n in 0..50 {
        store.run(add(WS, format!("before-{n:02}"))).await.expect("added");
    }
    let (busy, copy) = (store.clone(), away.path().join("copy"));
    let load = tokio::spawn(async move {
        for n in 0..50 {
            busy.run(add(WS, format!("during-{n:02}"))).await.expect("added");
        }
    });
    store.backup(&copy).await.expect("backed up");
    load.await.expect("no panic");

    let into = Place::sqlite();
    Store::restore_sqlite(&copy, into.dir.path()).await.expect("restored");
    let restored = into.open().await;
    let names = restored.read(Names(WS)).await.expect("names");
    assert_eq!(names.iter().filter(|name| name.starts_with("before-")).count(), 50);
    assert_eq!(restored.verify().await.expect("verified").problems, []);
    let epochs = (store.read(Epoch).await.expect("known"), restored.read(Epoch).await.expect("known"));
    assert_eq!(epochs, (1, 2));
    restored.run(add(WS, "after")).await.expect("goes on");
}

#[tokio::test]
async fn nothing_is_overwritten() {
    let (place, away) = (Place::sqlite(), tempfile::tempdir().expect("a folder"));
    let store = place.open().await;
    store.backup(away.path()).await.expect("backed up");
    for error in [
        store.backup(away.path()).await.expect_err("not empty"),
        Store::restore_sqlite(away.path(), place.dir.path()).await.expect_err("not empty"),
    ] {
        assert!(error.to_string().contains("is not empty; name a new one, nothing is overwritten"), "{error}");
    }
    let nowhere = away.path().join("nowhere");
    assert_eq!(Store::restore_sqlite(&nowhere, &nowhere).await.expect_err("missing").code(), "missing");
}
