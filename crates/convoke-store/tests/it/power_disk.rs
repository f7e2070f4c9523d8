//! A disk on which a power cut can be made at any moment: what `tests/shim/power.c` recorded, and what may be left of it.
//!
//! What was synced is there. Of what was not, each file keeps nothing, the first few changes, some of them, some sectors of
//! them, or all. A name that was made, removed or changed since the folder was last synced may be so or not; these come in
//! order, as on a file system with a journal.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fastrand::Rng;

/// The smallest part of a write that a disk keeps or loses.
const SECTOR: usize = 512;
/// The bytes of an entry before its data.
const HEAD: usize = 17;
/// The size of a `-shm` file, of which nothing is ever promised.
const SHARED: usize = 32 * 1024;

/// An entry of the record.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A file that was there before.
    Known(u32, String),
    Changed(u32, Change),
    Synced(u32),
    SyncFailed(u32),
    Named(Naming),
    FolderSynced,
    Acked(String),
}

/// One change of a file.
#[derive(Debug, Clone)]
pub enum Change {
    Written(usize, Vec<u8>),
    Resized(usize),
}

/// One change of the folder.
#[derive(Debug, Clone)]
pub enum Naming {
    Created(String, u32),
    Removed(String),
    Renamed(String, String),
}

/// The shared library, compiled once for each text of its source.
pub fn shim() -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../convoke-store/tests/shim/power.c");
    let mut hasher = DefaultHasher::new();
    fs::read(source).expect("the source").hash(&mut hasher);
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("power-{:016x}.so", hasher.finish()));
    if !library.exists() {
        // Two tests may come here at the same time: each makes one, and the last name counts.
        let made = library.with_extension(format!("{:016x}", fastrand::u64(..)));
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-o"]).arg(&made).arg(source).args(["-ldl", "-lpthread"]);
        let output = compiler.output().expect("a C compiler, which the build needs too");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::rename(&made, &library).expect("renamed");
    }
    library
}

/// Runs a program whose doings in `folder` are recorded.
pub fn record(folder: &Path, program: &mut Command) -> (Vec<Entry>, Output) {
    let trace = folder.with_extension("trace");
    program.env("LD_PRELOAD", shim()).env("POWER_DIR", folder).env("POWER_TRACE", &trace);
    let output = program.env("POWER_ACKS", folder.with_extension("acks")).output().expect("it starts");
    (take_record(&trace), output)
}

/// Reads a record and removes it.
pub fn take_record(trace: &Path) -> Vec<Entry> {
    let entries = read(&fs::read(trace).expect("a record"));
    fs::remove_file(trace).expect("removed");
    entries
}

fn read(mut bytes: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    // The last entry may be cut short, where the process was killed.
    while bytes.len() >= HEAD {
        let (head, rest) = bytes.split_at(HEAD);
        let number =
            |range: Range<usize>| head[range].iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        let Some((data, rest)) = rest.split_at_checked(usize::try_from(number(13..17)).expect("small")) else { break };
        let (place, text) =
            (usize::try_from(number(5..13)).expect("small"), || String::from_utf8_lossy(data).into_owned());
        let file = u32::try_from(number(1..5)).expect("small");
        entries.push(match head[0] {
            0 => Entry::Known(file, text()),
            1 => Entry::Named(Naming::Created(text(), file)),
            2 => Entry::Changed(file, Change::Written(place, data.to_vec())),
            3 => Entry::Changed(file, Change::Resized(place)),
            4 => Entry::Synced(file),
            5 => Entry::Named(Naming::Removed(text())),
            6 => {
                let both = text();
                let (from, to) = both.split_once('/').expect("two names");
                Entry::Named(Naming::Renamed(from.to_owned(), to.to_owned()))
            }
            7 => Entry::Acked(text()),
            8 => Entry::FolderSynced,
            9 => Entry::SyncFailed(file),
            other => panic!("no entry of kind {other}"),
        });
        bytes = rest;
    }
    entries
}

/// How often the log was synced, and how many bytes were written by the last time.
pub fn syncs_of_log(entries: &[Entry]) -> (u64, usize) {
    let (mut logs, mut bytes, mut syncs) = (Vec::new(), 0, (0, 0));
    for entry in entries {
        match entry {
            Entry::Known(file, name) | Entry::Named(Naming::Created(name, file)) if name.ends_with("-wal") => {
                logs.push(*file);
            }
            Entry::Changed(_, Change::Written(_, data)) => bytes += data.len(),
            Entry::Synced(file) if logs.contains(file) => syncs = (syncs.0 + 1, bytes),
            _ => {}
        }
    }
    syncs
}

#[derive(Debug, Clone, Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// A sync of it failed: nothing that came after the last good one is promised any more.
    failed: bool,
}

/// The disk at one moment of the record.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    files: BTreeMap<u32, File>,
    names: BTreeMap<String, u32>,
    pending: Vec<Naming>,
    /// What was acknowledged so far.
    pub acked: Vec<String>,
}

impl Disk {
    /// The disk as it lies in a folder before the record begins.
    pub fn of(folder: &Path) -> Self {
        let mut disk = Self::default();
        for (place, entry) in (0..).zip(fs::read_dir(folder).expect("a folder")) {
            let entry = entry.expect("an entry");
            let durable = fs::read(entry.path()).expect("a file");
            disk.files.insert(u32::MAX - place, File { durable, ..File::default() });
            disk.names.insert(entry.file_name().into_string().expect("a plain name"), u32::MAX - place);
        }
        disk
    }

    /// Goes on by one entry.
    pub fn go_on(&mut self, entry: &Entry) {
        match entry {
            Entry::Known(file, name) => {
                let before = self.names.insert(name.clone(), *file).expect("a file that was there");
                let content = self.files.remove(&before).expect("its content");
                self.files.insert(*file, content);
            }
            Entry::Changed(file, change) => self.files.entry(*file).or_default().pending.push(change.clone()),
            Entry::Synced(file) => self.files.entry(*file).or_default().sync(),
            Entry::SyncFailed(file) => self.files.entry(*file).or_default().failed = true,
            Entry::Named(naming) => self.pending.push(naming.clone()),
            Entry::FolderSynced => {
                std::mem::take(&mut self.pending).iter().for_each(|naming| rename(&mut self.names, naming));
            }
            Entry::Acked(text) => self.acked.extend(text.lines().map(str::to_owned)),
        }
    }

    /// Cuts the power here: puts what may be left of every file into an empty folder.
    pub fn cut(&self, rng: &mut Rng, into: &Path) {
        let mut names = self.names.clone();
        let kept = rng.usize(0..=self.pending.len());
        self.pending[..kept].iter().for_each(|naming| rename(&mut names, naming));
        for (name, file) in names {
            let content = match name.ends_with("-shm") {
                true if rng.bool() => continue,
                true => (0..SHARED).map(|_| rng.u8(..)).collect(),
                false => self.files.get(&file).cloned().unwrap_or_default().left(rng),
            };
            fs::write(into.join(name), content).expect("written");
        }
    }
}

impl File {
    fn sync(&mut self) {
        if !self.failed {
            std::mem::take(&mut self.pending).iter().for_each(|change| change.apply(&mut self.durable));
        }
    }

    /// What is left of it after a power cut.
    fn left(self, rng: &mut Rng) -> Vec<u8> {
        let Self { durable: mut left, pending, .. } = self;
        let chance = rng.f64();
        match rng.u8(0..5) {
            0 => {}
            1 => pending.iter().for_each(|change| change.apply(&mut left)),
            2 => pending[..rng.usize(0..=pending.len())].iter().for_each(|change| change.apply(&mut left)),
            3 => pending.iter().filter(|_| rng.f64() < chance).for_each(|change| change.apply(&mut left)),
            _ => pending.iter().for_each(|change| change.apply_torn(&mut left, rng, chance)),
        }
        left
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Written(at, bytes) => put(content, *at, bytes),
            Self::Resized(size) => content.resize(*size, 0),
        }
    }

    /// Some sectors of it.
    fn apply_torn(&self, content: &mut Vec<u8>, rng: &mut Rng, chance: f64) {
        match self {
            Self::Resized(_) if rng.f64() >= chance => {}
            Self::Resized(_) => self.apply(content),
            Self::Written(at, bytes) => {
                let mut from = 0;
                while from < bytes.len() {
                    let to = ((*at + from) / SECTOR * SECTOR + SECTOR - *at).min(bytes.len());
                    if rng.f64() < chance {
                        put(content, *at + from, &bytes[from..to]);
                    }
                    from = to;
                }
            }
        }
    }
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(bytes);
}

fn rename(names: &mut BTreeMap<String, u32>, naming: &Naming) {
    match naming {
        Naming::Created(name, file) => {
            names.insert(name.clone(), *file);
        }
        Naming::Removed(name) => {
            names.remove(name);
        }
        Naming::Renamed(from, to) => {
            let file = names.remove(from);
            names.extend(file.map(|file| (to.clone(), file)));
        }
    }
}
