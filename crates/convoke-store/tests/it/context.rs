//! Shared context on each database: entries and their history, and writers that race for the same variable.

use convoke_domain::context::{Held, Size, Write, write};
use convoke_domain::id::{RunId, WorkspaceId};
use convoke_store::context::{self, FINDING, NewRow, VARIABLE};
use convoke_store::{Error, Result, Store, Tx, UseCase};
use uuid::Uuid;

use crate::noun::{RUN, WS, open};
use crate::support::{Place, act, cases, look};

cases! {
    entries_and_their_history_are_kept,
    no_update_is_lost_among_writers,
}

async fn entries_and_their_history_are_kept(place: Place) {
    let store = open(&place).await;
    assert_eq!(look!(store, tx => context::size(tx, RUN).await), Size::default());
    let size = Size { entries: 2, findings: 1, bytes: 3, written: 4 };
    act!(store, tx => {
        assert_eq!(context::hold(tx, RUN).await?, Size::default());
        for (version, value) in [(1, Some("one")), (2, None), (3, Some("three"))] {
            let row = NewRow { kind: VARIABLE, name: "a", version, value, author: "agent:ada" };
            context::put(tx, RUN, &row).await?;
        }
        for (kind, name, value) in [(VARIABLE, "gone", None), (VARIABLE, "z", Some("")), (FINDING, "f0001", Some("{}")), (FINDING, "f0002", Some("{}"))] {
            context::put(tx, RUN, &NewRow { kind, name, version: 1, value, author: "user:eve" }).await?;
        }
        context::set_size(tx, RUN, size).await
    });
    assert_eq!(look!(store, tx => context::size(tx, RUN).await), size);
    let names = |rows: Vec<context::Record>| rows.into_iter().map(|row| row.name).collect::<Vec<_>>();
    assert_eq!(names(look!(store, tx => context::list(tx, RUN, VARIABLE, "", 10).await)), ["a", "z"]);
    assert_eq!(names(look!(store, tx => context::list(tx, RUN, VARIABLE, "a", 10).await)), ["z"]);
    assert_eq!(names(look!(store, tx => context::newest(tx, RUN, 1).await)), ["f0002"]);
    let found = look!(store, tx => context::get(tx, RUN, VARIABLE, "a").await).expect("it is there");
    assert_eq!((found.version, found.value.as_deref(), found.author.as_str()), (3, Some("three"), "agent:ada"));
    let history = look!(store, tx => context::history(tx, RUN, "a", 3, 10).await);
    let values: Vec<_> = history.into_iter().map(|row| (row.version, row.value)).collect();
    assert_eq!(values, [(2, None), (1, Some("one".to_owned()))]);
}

/// A writer that adds its mark to what it has read before.
struct Mark {
    run: RunId,
    wish: Write,
    author: String,
}

impl UseCase for Mark {
    type Out = i64;

    fn ws(&self) -> WorkspaceId {
        WS
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<i64> {
        let size = context::hold(tx, self.run).await?;
        let held = context::get(tx, self.run, VARIABLE, &self.wish.name).await?.map(Held::from);
        let (version, size) = write(held.as_ref(), size, &self.wish)?;
        let Write { name, value, .. } = &self.wish;
        let row = NewRow { kind: VARIABLE, name, version, value: value.as_deref(), author: &self.author };
        context::put(tx, self.run, &row).await?;
        context::set_size(tx, self.run, size).await?;
        Ok(version)
    }
}

/// Reads, adds a mark, writes; again until `marks` of them are in.
async fn write_marks(store: Store, run: RunId, who: u32, marks: u32) {
    for n in 0..marks {
        loop {
            let held = look!(store, tx => context::get(tx, run, VARIABLE, "list").await);
            let (version, list) = held.map_or((0, String::new()), |row| (row.version, row.value.unwrap_or_default()));
            let value = Some(format!("{list}{who}.{n},"));
            let wish = Write { name: "list".into(), value, version };
            match store.run(Mark { run, wish, author: format!("agent:a{who}") }).await {
                Ok(_) => break,
                Err(Error::Refused(refusal)) => assert_eq!(refusal.code, "stale_version"),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// 200 runs, each with writers that race for one variable in whatever order the machine gives.
async fn no_update_is_lost_among_writers(place: Place) {
    let store = open(&place).await;
    for seed in 0..200_u32 {
        let run = RunId(Uuid::from_u128(1_000 + u128::from(seed)));
        let (writers, marks) = (2 + seed % 3, 1 + seed % 2);
        let all: Vec<_> = (0..writers).map(|who| tokio::spawn(write_marks(store.clone(), run, who, marks))).collect();
        for writer in all {
            writer.await.expect("no panic");
        }
        let held = look!(store, tx => context::get(tx, run, VARIABLE, "list").await).expect("written");
        let list = held.value.expect("a list");
        assert_eq!(held.version, i64::from(writers * marks), "seed {seed}");
        for (who, n) in (0..writers).flat_map(|who| (0..marks).map(move |n| (who, n))) {
            assert!(list.contains(&format!("{who}.{n},")), "seed {seed}: {who}.{n} is lost in {list}");
        }
        let versions = look!(store, tx => context::history(tx, run, "list", i64::MAX, 100).await);
        assert_eq!(versions.len() as i64, held.version, "seed {seed}");
    }
}
