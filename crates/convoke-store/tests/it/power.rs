//! Power cuts: whatever moment the power goes, everything that was acknowledged is there when it comes back.
//!
//! A process of its own works on a store while all that it does to its files is recorded; a cut is any point of that
//! record, and what was not synced by then may be lost in part. The same disk is tried on plain SQLite with weaker
//! settings, where acknowledged rows must get lost: a check that could not fail would prove nothing. Start at
//! [`a_hundred_power_cuts_lose_nothing_that_was_acknowledged`], and at [`crate::power_disk`] for the disk.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use convoke_domain::id::WorkspaceId;
use convoke_store::{Error, Options, Store};
use fastrand::Rng;
use rusqlite::Connection;

use crate::power_disk::{Disk, Entry, record, syncs_of_log};
use crate::support::{Names, add};

const WS: WorkspaceId = WorkspaceId::DEFAULT;
/// Processes that go on from what a cut has left, one after the other.
const LIVES: u64 = 10;
/// Cuts in each life.
const CUTS: usize = 10;
/// Callers at once, and what each of them does.
const CALLERS: usize = 8;
const OPERATIONS: usize = 25;
/// What the recorded process is to do; it is this test program, started again.
const WORK: &str = "POWER_WORK";
const LIFE: &str = "POWER_LIFE";
const ENTRANCE: &str = "power::a_hundred_power_cuts_lose_nothing_that_was_acknowledged";

#[test]
fn a_hundred_power_cuts_lose_nothing_that_was_acknowledged() {
    if let Ok(work) = std::env::var(WORK) {
        return be_recorded(&work);
    }
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let place = Place::new();
    let (mut checked, mut acked) = (0, Vec::new());
    for life in 0..LIVES {
        let mut disk = place.disk();
        let (entries, output) = place.work("store", &[(LIFE, life.to_string())]);
        well(&output);
        assert!(syncs_of_log(&entries).0 > 10, "this life synced too little to be cut");
        disk.acked.clone_from(&acked);
        let last = cuts(&entries, &mut disk, &mut rng, CUTS, |disk, rng| {
            // The next life begins with a disk like this one; this one is looked at.
            let twin = rng.clone();
            place.cut(disk, rng);
            runtime().block_on(all_there(place.cut_dir(), &disk.acked));
            checked += 1;
            twin
        });
        place.begin_with(&disk, last);
        acked = disk.acked;
    }
    assert!(checked == 100 && acked.len() > 500, "{checked} cuts, {} acknowledged at last", acked.len());
}

#[test]
fn the_disk_loses_what_weaker_settings_do_not_sync() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let mut lost_by = |synchronous: &str| {
        let place = Place::new();
        let mut disk = place.disk();
        let (entries, output) = place.work(&format!("sqlite {synchronous}"), &[]);
        well(&output);
        let (mut lost, mut damaged) = (0, 0);
        cuts(&entries, &mut disk, &mut rng, 40, |disk, rng| {
            place.cut(disk, rng);
            match rows(place.cut_dir()) {
                Ok(rows) => lost += disk.acked.iter().filter(|key| !rows.contains(key)).count(),
                Err(_) => damaged += 1,
            }
        });
        (lost, damaged)
    };
    assert_eq!(lost_by("FULL"), (0, 0), "the disk itself must lose nothing that was synced");
    let (lost, damaged) = lost_by("NORMAL");
    assert!(lost > 0 && damaged == 0, "NORMAL: {lost} lost, {damaged} damaged");
    let (lost, _) = lost_by("OFF");
    assert!(lost > 0, "OFF: {lost} lost");
}

#[test]
fn a_failed_sync_stops_the_store_and_loses_nothing_that_was_acknowledged() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    for fails_at in [2, 7, 30] {
        let place = Place::new();
        let mut disk = place.disk();
        let (entries, output) = place.work("eio", &[("POWER_EIO", fails_at.to_string())]);
        well(&output);
        entries.iter().for_each(|entry| disk.go_on(entry));
        assert!(entries.iter().any(|entry| matches!(entry, Entry::SyncFailed(_))), "no sync failed");
        for _ in 0..5 {
            place.cut(&disk, &mut rng);
            runtime().block_on(all_there(place.cut_dir(), &disk.acked));
        }
    }
}

#[test]
fn a_full_disk_is_told_and_work_goes_on_when_there_is_room() {
    let place = Place::new();
    let freed = place.home.path().join("freed");
    let (entries, output) =
        place.work("full", &[("POWER_ROOM", "1500000".into()), ("POWER_FREED", freed.display().to_string())]);
    well(&output);
    let mut disk = Disk::default();
    entries.iter().for_each(|entry| disk.go_on(entry));
    runtime().block_on(all_there(place.live(), &disk.acked));
}

/// Folders: where the recorded process works, and where a cut is looked at.
struct Place {
    home: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a folder");
        fs::create_dir(home.path().join("live")).expect("made");
        Self { home }
    }

    fn live(&self) -> std::path::PathBuf {
        self.home.path().canonicalize().expect("there").join("live")
    }

    fn cut_dir(&self) -> std::path::PathBuf {
        self.home.path().join("cut")
    }

    fn disk(&self) -> Disk {
        Disk::of(&self.live())
    }

    fn work(&self, work: &str, settings: &[(&str, String)]) -> (Vec<Entry>, Output) {
        let mut program = Command::new(std::env::current_exe().expect("this program"));
        program.args(["--exact", ENTRANCE, "--nocapture", "--test-threads", "1"]).env(WORK, work);
        program.envs(settings.iter().map(|(name, value)| (*name, value.clone())));
        record(&self.live(), &mut program)
    }

    fn cut(&self, disk: &Disk, rng: &mut Rng) {
        anew(&self.cut_dir());
        disk.cut(rng, &self.cut_dir());
    }

    /// Makes what a cut has left the place of the next process.
    fn begin_with(&self, disk: &Disk, mut rng: Rng) {
        anew(&self.live());
        disk.cut(&mut rng, &self.live());
    }
}

fn anew(dir: &Path) {
    if dir.exists() {
        fs::remove_dir_all(dir).expect("removed");
    }
    fs::create_dir(dir).expect("made");
}

fn well(output: &Output) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

/// Goes through the record and stops at so many moments of it, the last one included. Gives what the last look gave.
fn cuts<T>(
    entries: &[Entry],
    disk: &mut Disk,
    rng: &mut Rng,
    count: usize,
    mut look: impl FnMut(&Disk, &mut Rng) -> T,
) -> T {
    let mut moments: Vec<usize> = (1..count).map(|_| rng.usize(0..entries.len())).collect();
    moments.push(rng.usize(entries.len() / 2..entries.len()));
    moments.sort_unstable();
    let (mut done, mut last) = (0, None);
    for moment in moments {
        entries[done..moment].iter().for_each(|entry| disk.go_on(entry));
        done = moment;
        last = Some(look(disk, rng));
    }
    last.expect("one moment at least")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// The part of a user's name that is acknowledged.
fn key_of(name: &str) -> &str {
    name.rsplit_once('-').map_or(name, |(key, _)| key)
}

/// Everything acknowledged is there, nothing is there in part, and the store is sound and works.
async fn all_there(dir: std::path::PathBuf, acked: &[String]) {
    let store = Store::open_sqlite(&dir, Options::default()).await.expect("it opens after the cut");
    let names = store.read(Names(WS)).await.expect("names");
    let keys: Vec<&str> = names.iter().map(|name| key_of(name)).collect();
    let lost: Vec<_> = acked.iter().filter(|key| !keys.contains(&key.as_str())).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged are lost: {lost:?}", lost.len(), acked.len());
    let report = store.verify().await.expect("verified");
    assert_eq!(report.problems, []);
    assert_eq!(report.events, names.len() as u64 + 1, "an event for each user and for the workspace");
    store.run(add(WS, "after-the-cut")).await.expect("it works");
    store.close().await.expect("closed");
}

/// The keys in a plain SQLite database, if it is sound.
fn rows(dir: std::path::PathBuf) -> rusqlite::Result<Vec<String>> {
    let db = Connection::open(dir.join("plain.db"))?;
    let sound: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if sound != "ok" {
        return Err(rusqlite::Error::InvalidQuery);
    }
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema WHERE name='t'", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(Vec::new());
    }
    let mut statement = db.prepare("SELECT k FROM t")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// What the recorded process does.
fn be_recorded(work: &str) {
    let dir = std::env::var("POWER_DIR").expect("a folder");
    let acks = Acks(fs::File::create(std::env::var("POWER_ACKS").expect("a path")).expect("a file"));
    match work.split_once(' ') {
        Some((_, synchronous)) => plain_sqlite(dir.as_ref(), synchronous, &acks),
        None if work == "store" => runtime().block_on(many_callers(dir.as_ref(), acks)),
        None if work == "eio" => runtime().block_on(until_it_fails(dir.as_ref(), &acks)),
        None => runtime().block_on(until_it_is_full(dir.as_ref(), &acks)),
    }
}

/// Where acknowledgements go; each in one write.
struct Acks(fs::File);

impl Acks {
    fn tell(&self, key: &str) {
        (&self.0).write_all(format!("{key}\n").as_bytes()).expect("told");
    }
}

async fn many_callers(dir: &Path, acks: Acks) {
    let life = std::env::var(LIFE).expect("a number");
    let store = Store::open_sqlite(dir, Options::default()).await.expect("it opens");
    let acks = Arc::new(acks);
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (store, acks, life) = (store.clone(), acks.clone(), life.clone());
            tokio::spawn(async move {
                for n in 0..OPERATIONS {
                    let key = format!("{life}-{caller}-{n}");
                    let filler = "x".repeat(fastrand::usize(1..8_000));
                    store.run(add(WS, format!("{key}-{filler}"))).await.expect("done");
                    acks.tell(&key);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("no panic");
    }
    store.close().await.expect("closed");
}

fn plain_sqlite(dir: &Path, synchronous: &str, acks: &Acks) {
    let db = Connection::open(dir.join("plain.db")).expect("it opens");
    db.execute_batch(&format!(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous}; CREATE TABLE t (k TEXT, v TEXT)"
    ))
    .expect("set");
    for n in 0..400 {
        db.execute("INSERT INTO t VALUES (?1, ?2)", [format!("row {n}"), "x".repeat(fastrand::usize(1..20_000))])
            .expect("done");
        acks.tell(&format!("row {n}"));
    }
}

async fn until_it_fails(dir: &Path, acks: &Acks) {
    let store = match Store::open_sqlite(dir, Options::default()).await {
        Ok(store) => store,
        // The sync that fails may be one of the migration's.
        Err(error) => return println!("it did not open: {error}"),
    };
    for n in 0..1_000 {
        let key = format!("e-{n}");
        match store.run(add(WS, format!("{key}-x"))).await {
            Ok(_) => acks.tell(&key),
            Err(error) => {
                assert!(matches!(error, Error::Unknown(_)), "{error:?}");
                let later = store.run(add(WS, "later-x")).await.expect_err("stopped");
                assert!(later.to_string().contains("restart to recover from its log"), "{later}");
                store.read(Names(WS)).await.expect_err("reads stop too");
                return;
            }
        }
    }
    panic!("no sync failed");
}

async fn until_it_is_full(dir: &Path, acks: &Acks) {
    let store = Store::open_sqlite(dir, Options::default()).await.expect("it opens");
    let mut done = 0;
    let mut one_more = async || {
        let key = format!("f-{done}");
        store.run(add(WS, format!("{key}-{}", "x".repeat(8_000)))).await?;
        acks.tell(&key);
        done += 1;
        Ok::<_, Error>(done)
    };
    let full = loop {
        match one_more().await {
            Ok(done) => assert!(done < 1_000, "the disk was never full"),
            Err(error) => break error,
        }
    };
    assert_eq!(full.to_string(), "the disk is full; nothing of this was stored. Free space and try again");
    for _ in 0..3 {
        one_more().await.expect_err("still full");
    }
    assert!(!store.read(Names(WS)).await.expect("reading goes on").is_empty());
    fs::write(std::env::var("POWER_FREED").expect("a path"), "").expect("made");
    for _ in 0..20 {
        one_more().await.expect("there is room again");
    }
    store.close().await.expect("closed");
}
