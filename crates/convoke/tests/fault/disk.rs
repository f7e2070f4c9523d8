//! A disk that fails or is full under the whole program: it ends with a named failure, and the next process goes on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use convoke_bench::context::Process;
use convoke_bench::soak::kill::facts::Facts;
use convoke_bench::soak::kill::job::{self, Job};
use convoke_bench::soak::kill::{Machine, Rounds, Sound, check};
use convoke_bench_mock::Mock;
use fastrand::Rng;

use crate::power_disk::{shim, syncs_of_log, take_record};
use crate::support::binary;

/// Time after which a fact will not come.
const PATIENCE: Duration = Duration::from_secs(60);
/// The exit code of a failure.
const FAILED: Option<i32> = Some(1);

/// A machine with a disk of this kind; the settings are the shim's.
struct BadDisk(Vec<(&'static str, String)>);

impl Machine for BadDisk {
    fn before(&self, data: &Path, command: &mut Command) -> Result<()> {
        std::fs::create_dir_all(data)?;
        command.env("LD_PRELOAD", shim()).env("POWER_DIR", data);
        command.envs(self.0.iter().map(|(name, value)| (*name, value)));
        Ok(())
    }

    fn after_kill(&self, _: &Path, _: &mut Rng) -> Result<()> {
        Ok(())
    }
}

/// A folder for one job, and what the job comes to when nothing disturbs it.
struct Place {
    home: tempfile::TempDir,
    calm: String,
    /// Syncs of the store's log, and bytes written by the last of them.
    needs: (u64, usize),
    /// The same of a new folder before the first run.
    start: (u64, usize),
}

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let calm = Rounds::new(binary(), home.path()).expect("a run in peace").calm().to_owned();
        let mut place = Self { home, calm, needs: (0, 0), start: (0, 0) };
        let trace = place.folder("trace");
        let disk = BadDisk(vec![("POWER_TRACE", trace.display().to_string())]);
        let (mock, job, mut process) = place.start("recorded", &disk);
        assert_eq!(job.code(&mut process).expect("it ends"), Some(0), "{}", job.output());
        place.check(&mock, &job);
        place.needs = syncs_of_log(&take_record(&trace));
        place.start = place.needs_of_start();
        place
    }

    /// What a new folder takes: schema and library.
    fn needs_of_start(&self) -> (u64, usize) {
        let (trace, data) = (self.folder("start-trace"), self.folder("start"));
        let disk = BadDisk(vec![("POWER_TRACE", trace.display().to_string())]);
        let mut command = Command::new(binary());
        command.arg("--data").arg(&data).arg("teams").stdout(std::process::Stdio::null());
        disk.before(&data, &mut command).expect("a folder");
        assert!(command.status().expect("it starts").success());
        let (syncs, bytes) = syncs_of_log(&take_record(&trace));
        assert!(0 < syncs && syncs < self.needs.0, "{syncs} of {}", self.needs.0);
        assert!(0 < bytes && bytes < self.needs.1, "{bytes} of {}", self.needs.1);
        (syncs, bytes)
    }

    /// The syncs of a new folder, and a part of those that the job needs beyond them; fewer than those, by a part below zero.
    fn syncs(&self, part: f64) -> String {
        let of = if part < 0.0 { self.start.0 } else { self.needs.0 - self.start.0 };
        ((self.start.0 as f64 + of as f64 * part) as u64).to_string()
    }

    /// The room of a new folder, and a part of what the job needs beyond that.
    fn room(&self, part: f64) -> String {
        let beyond = (self.needs.1 - self.start.1) as f64 * part;
        ((self.start.1 as f64 + beyond) as usize).to_string()
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.home.path().canonicalize().expect("it is there").join(name)
    }

    /// Starts the job on a bad disk.
    fn start(&self, name: &str, disk: &BadDisk) -> (Mock, Job, Process) {
        let mock = job::mock().expect("a mock");
        let job = Job::new(binary(), &self.folder(name), &mock).expect("a job");
        let process = job.start(disk).expect("it starts");
        (mock, job, process)
    }

    /// Lets a job go on on a sound disk, and checks everything.
    fn finish(&self, mock: &Mock, job: &Job) {
        job.to_its_end(&mut job.go_on(&Sound).expect("it starts")).expect("it ends well");
        self.check(mock, job);
    }

    fn check(&self, mock: &Mock, job: &Job) {
        job.verify().expect("it is sound");
        let facts = Facts::read(job, mock).expect("the facts");
        check::all(&facts).expect("all holds");
        check::same(&self.calm, &facts.report()).expect("the same report");
    }
}

#[test]
fn a_failed_sync_ends_the_program_and_the_next_one_goes_on() {
    let place = Place::new();
    // The first falls into the start, the others among the calls of the run, whose commits are never quite the same.
    for part in [-0.5, 0.1, 0.25, 0.4] {
        let disk = BadDisk(vec![("POWER_EIO", place.syncs(part))]);
        let (mock, job, mut process) = place.start(&format!("eio-{part}"), &disk);
        assert_eq!(job.code(&mut process).expect("it ends"), FAILED, "{}", job.output());
        if part > 0.0 {
            let told = "error: the data could not be written, so nothing more is done";
            assert!(job.output().contains(told), "{}", job.output());
        }
        place.finish(&mock, &job);
    }
}

#[test]
fn a_full_disk_ends_the_program_with_its_name_and_the_next_one_goes_on() {
    let place = Place::new();
    // A run whose commits fall together needs less than one whose commits do not: the small parts are too little for any,
    // the others may be enough.
    std::thread::scope(|scope| {
        for (part, may_do) in
            [(-0.2, false), (0.0, false), (0.1, false), (0.2, false), (0.3, false), (0.6, true), (0.8, true)]
        {
            let place = &place;
            scope.spawn(move || full(place, part, may_do));
        }
    });
}

/// Starts the job where there is room for a part of what it needs.
fn full(place: &Place, part: f64, may_do: bool) {
    let disk = BadDisk(vec![("POWER_ROOM", place.room(part))]);
    let (mock, job, mut process) = place.start(&format!("full-{part}"), &disk);
    let start = Instant::now();
    let code = job.code(&mut process).expect("it ends");
    assert!(start.elapsed() < PATIENCE, "after {:?}: {}", start.elapsed(), job.output());
    if may_do && code == Some(0) {
        return place.check(&mock, &job);
    }
    assert_eq!(code, FAILED, "{}", job.output());
    assert!(job.output().contains("the disk is full; nothing of this was stored"), "{}", job.output());
    place.finish(&mock, &job);
}

#[test]
fn a_disk_that_has_room_again_in_time_disturbs_nothing() {
    let place = Place::new();
    let freed = place.folder("freed");
    let disk = BadDisk(vec![("POWER_ROOM", place.room(0.4)), ("POWER_FREED", freed.display().to_string())]);
    let (mock, job, mut process) = place.start("freed-in-time", &disk);
    let start = Instant::now();
    while !job.output().contains("it cannot be stored now and is tried again") {
        assert!(start.elapsed() < PATIENCE, "{}", job.output());
        std::thread::sleep(Duration::from_millis(5));
    }
    std::fs::write(&freed, "").expect("made");
    assert_eq!(job.code(&mut process).expect("it ends"), Some(0), "{}", job.output());
    place.check(&mock, &job);
    let facts = Facts::read(&job, &mock).expect("the facts");
    assert_eq!(check::outcome(&facts).lost, 0, "no reply was lost");
}
