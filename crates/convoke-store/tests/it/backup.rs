//! Backup and restore: the same data, and tokens from before are told apart.

use std::path::Path;

use convoke_store::{Options, Result, Store, blob, meta, task};

use crate::noun::{RUN, WS, ready, task_id, with_run};
use crate::support::{Names, Place, act, add, cases, look, workspace};

cases! { a_backup_taken_under_load_restores_with_a_higher_epoch, every_value_comes_back, nothing_is_overwritten, a_damaged_backup_is_refused }

impl Place {
    /// Restores a backup to this place.
    async fn restore(&self, from: &Path) -> Result<()> {
        match &self.pg {
            None => Store::restore_sqlite(from, self.dir.path()).await,
            Some(pg) => Store::restore_postgres(from, &pg.url, pg.options()).await,
        }
    }

    /// Another place on the same database.
    fn other(&self) -> Self {
        if self.pg.is_some() { Self::postgres() } else { Self::sqlite() }
    }
}

async fn a_backup_taken_under_load_restores_with_a_higher_epoch(place: Place) {
    let (away, into) = (tempfile::tempdir().expect("a folder"), place.other());
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

    into.restore(&copy).await.expect("restored");
    let restored = into.open().await;
    let names = restored.read(Names(WS)).await.expect("names");
    assert_eq!(names.iter().filter(|name| name.starts_with("before-")).count(), 50);
    let report = restored.verify().await.expect("verified");
    assert_eq!((report.problems, report.events), (vec![], names.len() as u64 + 1), "of one moment");
    assert_eq!(look!(store, tx => meta::fencing_epoch(tx).await), 1);
    assert_eq!(look!(restored, tx => meta::fencing_epoch(tx).await), 2);
    restored.run(add(WS, "after")).await.expect("goes on");
}

const TEXT: &str = "tab\t, line\n, carriage\r\n, back\\slash, \\., \\N, quote \"'$1, größe \u{1F980}";

async fn every_value_comes_back(place: Place) {
    let (away, into) = (tempfile::tempdir().expect("a folder"), place.other());
    let store = with_run(&place).await;
    let other = workspace(&store, 5).await;
    store.run(add(other, "ada")).await.expect("added");
    let bytes: &[u8] = (0..=255).cycle().take(200_000).collect::<Vec<u8>>().leak();
    let hash = act!(store, tx => {
        task::insert(tx, &task::NewRow { instructions: TEXT, ..ready(1, "ada") }).await?;
        task::end(tx, task_id(1), "completed", Some(TEXT), Some("")).await?;
        meta::set(tx, "empty", "").await?;
        blob::put(tx, bytes).await
    });
    store.backup(away.path()).await.expect("backed up");
    into.restore(away.path()).await.expect("restored");
    let restored = into.open().await;
    assert_eq!(look!(restored, tx => blob::get(tx, hash).await), bytes);
    let (before, after) =
        (look!(store, tx => task::of_run(tx, RUN).await), look!(restored, tx => task::of_run(tx, RUN).await));
    assert_eq!(before, after);
    assert_eq!((after[0].output.as_deref(), after[0].error.as_deref()), (Some(TEXT), Some("")));
    assert_eq!(look!(restored, tx => meta::get(tx, "empty").await), Some(String::new()));
    for ws in [WS, other] {
        let events = |store: Store| async move { store.events_after(ws, 0, None, 100).await.expect("events") };
        assert_eq!(events(store.clone()).await, events(restored.clone()).await);
    }
}

async fn nothing_is_overwritten(place: Place) {
    let away = tempfile::tempdir().expect("a folder");
    let store = place.open().await;
    store.backup(away.path()).await.expect("backed up");
    for error in [
        store.backup(away.path()).await.expect_err("not empty"),
        place.restore(away.path()).await.expect_err("not empty"),
    ] {
        assert!(error.to_string().contains("is not empty; name a new one, nothing is overwritten"), "{error}");
    }
    let nowhere = away.path().join("nowhere");
    assert_eq!(place.other().restore(&nowhere).await.expect_err("missing").code(), "missing");
}

async fn a_damaged_backup_is_refused(place: Place) {
    let (away, into) = (tempfile::tempdir().expect("a folder"), place.other());
    let store = place.open().await;
    store.run(add(WS, "ada")).await.expect("added");
    store.backup(away.path()).await.expect("backed up");
    let file = away.path().join(if place.pg.is_some() { "convoke.postgresql" } else { "convoke.db" });
    let whole = std::fs::read(&file).expect("the backup");
    std::fs::write(&file, &whole[..whole.len() / 2]).expect("cut");
    let error = into.restore(away.path()).await.expect_err("damaged");
    assert_eq!(error.code(), "broken", "{error}");
    if place.pg.is_some() {
        let changed = String::from_utf8(whole).expect("text").replace("ada", "eve");
        std::fs::write(&file, changed).expect("changed");
        let error = into.restore(away.path()).await.expect_err("damaged");
        assert!(error.to_string().contains("is damaged or not complete; use another backup"), "{error}");
        let opened = Store::open_postgres(
            &into.pg.as_ref().expect("one").url,
            into.pg.as_ref().expect("one").options(),
            Options::default(),
        );
        opened.await.expect("nothing was left behind");
    }
}

/// A file that is what it should be, but whose rows the database does not take.
#[tokio::test]
async fn a_restore_that_fails_leaves_the_schema_empty() {
    let (away, place, into) = (tempfile::tempdir().expect("a folder"), Place::postgres(), Place::postgres());
    let store = place.open().await;
    store.run(add(WS, "ada")).await.expect("added");
    let beside = place.pg.as_ref().expect("on PostgreSQL").connect().await;
    beside
        .batch_execute("ALTER TABLE users DROP CONSTRAINT users_role_check; UPDATE users SET role='emperor'")
        .await
        .expect("changed");
    store.backup(away.path()).await.expect("backed up");
    assert_eq!(into.restore(away.path()).await.expect_err("no such role").code(), "conflict");
    let again = tempfile::tempdir().expect("a folder");
    beside.batch_execute("UPDATE users SET role='owner'").await.expect("changed");
    store.backup(again.path()).await.expect("backed up");
    into.restore(again.path()).await.expect("restored");
}

#[tokio::test]
async fn a_backup_goes_back_only_where_it_came_from() {
    let (sqlite, postgres) = (Place::sqlite(), Place::postgres());
    for (from, into, expected) in [
        (
            &sqlite,
            &postgres,
            "is a backup of a SQLite store and cannot go into PostgreSQL; restore it into a data folder",
        ),
        (
            &postgres,
            &sqlite,
            "is a backup of a PostgreSQL store and cannot become a data folder; restore it into PostgreSQL",
        ),
    ] {
        let away = tempfile::tempdir().expect("a folder");
        from.open().await.backup(away.path()).await.expect("backed up");
        let error = into.other().restore(away.path()).await.expect_err("of the other kind");
        assert!(error.to_string().ends_with(expected), "{error}");
    }
}

/// The runtime stands still right after the backup, so that nothing is ended that was not ended before the answer.
#[tokio::test]
async fn a_backup_leaves_nothing_locked() {
    let (away, place) = (tempfile::tempdir().expect("a folder"), Place::postgres());
    let store = place.open().await;
    store.backup(away.path()).await.expect("backed up");
    let schema = place.pg.as_ref().expect("on PostgreSQL");
    schema.aside("BEGIN; LOCK TABLE meta, users IN ACCESS EXCLUSIVE MODE NOWAIT").expect("nobody holds them");
}
