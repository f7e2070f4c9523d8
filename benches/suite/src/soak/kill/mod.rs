//! `kill -9` at random points: the real program, a real data folder, a mock model that outlives it and remembers.
//!
//! A round starts a run, kills the process at chances that its seed decides, resumes and kills again, and at last lets it
//! come to its end. Then everything that is kept is held against what the mock saw and against a run that nobody
//! disturbed. Start at [`Rounds::round`]; [`job`] is what is run, [`stop`] when it is killed, [`facts`] what is known
//! afterwards, [`check`] what must hold.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, ensure};
use convoke_bench_mock::Mock;
use fastrand::Rng;

use crate::context::Context;

pub mod check;
pub mod facts;
pub mod job;
mod stop;

use facts::Facts;
use job::Job;
use stop::{Chances, Ended};

/// Kills in one round at most.
const KILLS: u64 = 4;

/// The lease of tasks on PostgreSQL: whoever goes on waits until that of the dead process has run out.
const LEASE_S: u32 = 2;

/// A schema of a PostgreSQL server, for one round.
struct Schema {
    server: String,
    name: String,
}

impl Schema {
    /// Makes it, without tables: those are the program's to make.
    fn new(server: &str, round: &str) -> Result<Self> {
        let schema = Self { server: server.to_owned(), name: format!("kill_{}_{round}", std::process::id()) };
        schema.empty().map(|()| schema)
    }

    fn empty(&self) -> Result<()> {
        facts::empty(&self.server, &self.name)
    }

    /// Where the program finds it.
    fn url(&self) -> String {
        let joint = if self.server.contains('?') { '&' } else { '?' };
        format!("{}{joint}options=-csearch_path%3D{}", self.server, self.name)
    }
}

/// What may happen to the machine beside the process.
pub trait Machine: Sync {
    /// Before a process starts on a data folder: what it is to be told.
    fn before(&self, data: &Path, command: &mut Command) -> Result<()>;
    /// After a process was killed: what becomes of its data folder.
    fn after_kill(&self, data: &Path, rng: &mut Rng) -> Result<()>;
}

/// A machine that goes on while the process dies.
#[derive(Debug, Clone, Copy)]
pub struct Sound;

impl Machine for Sound {
    fn before(&self, _: &Path, _: &mut Command) -> Result<()> {
        Ok(())
    }

    fn after_kill(&self, _: &Path, _: &mut Rng) -> Result<()> {
        Ok(())
    }
}

/// What one round was like.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    /// Processes that were killed before their end.
    pub kills: usize,
    /// Calls that the mock got and whose replies came too late.
    pub repeated: usize,
    /// Calls that were billed as lost.
    pub lost: usize,
}

/// Rounds on one program, compared with one run that was not disturbed.
#[derive(Debug)]
pub struct Rounds {
    binary: PathBuf,
    scratch: PathBuf,
    /// The PostgreSQL server that keeps the data; else it is in folders.
    server: Option<String>,
    calm: String,
    chances: Chances,
}

impl Rounds {
    /// Runs the job once in peace, for comparison and to see how long it takes.
    pub fn new(binary: &Path, scratch: &Path) -> Result<Self> {
        Self::on(binary, scratch, None)
    }

    /// The same with the data on a PostgreSQL server, in a schema for each round.
    pub fn on(binary: &Path, scratch: &Path, server: Option<&str>) -> Result<Self> {
        let folder = scratch.join("calm");
        let mock = job::mock()?;
        let mut job = Job::new(binary, &folder, &mock)?;
        let schema = server.map(|server| Schema::new(server, "calm")).transpose()?;
        job.database = schema.as_ref().map(Schema::url);
        let took = job.to_its_end(&mut job.start(&Sound)?)?;
        let facts = Facts::read(&job, &mock)?;
        check::all(&facts).context("in a run that nobody disturbed")?;
        let outcome = check::outcome(&facts);
        ensure!(outcome.lost == 0 && outcome.repeated == 0, "undisturbed, and yet {outcome:?}");
        let requests = facts.records.len() as u64;
        schema.map_or(Ok(()), |schema| schema.empty())?;
        let (binary, scratch, server) = (binary.to_owned(), scratch.to_owned(), server.map(str::to_owned));
        Ok(Self { binary, scratch, server, calm: facts.report(), chances: Chances { took, requests } })
    }

    /// The report of the run that nobody disturbed.
    pub fn calm(&self) -> &str {
        &self.calm
    }

    /// One round; all its chances come from the seed.
    pub fn round(&self, seed: u64) -> Result<Outcome> {
        self.round_on(&Sound, seed)
    }

    /// One round on a machine that may suffer from the kills too.
    pub fn round_on(&self, machine: &dyn Machine, seed: u64) -> Result<Outcome> {
        let folder = self.scratch.join(format!("round-{seed}"));
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        let outcome = self
            .round_in(&folder, machine, seed)
            .with_context(|| format!("round with seed {seed} in {}", folder.display()))?;
        // Kept only where it failed.
        std::fs::remove_dir_all(&folder)?;
        Ok(outcome)
    }

    fn round_in(&self, folder: &Path, machine: &dyn Machine, seed: u64) -> Result<Outcome> {
        let mut rng = Rng::with_seed(seed);
        let mock = job::mock()?;
        let mut job = Job::new(&self.binary, folder, &mock)?;
        let schema = self.server.as_deref().map(|server| Schema::new(server, &seed.to_string())).transpose()?;
        job.database = schema.as_ref().map(Schema::url);
        job.lease_s = schema.as_ref().map(|_| LEASE_S);
        let kills = self.kill_again_and_again(&job, &mock, machine, &mut rng)?;
        let mut last = job.go_on(&Sound)?;
        job.to_its_end(&mut last)?;
        job.verify()?;
        let facts = Facts::read(&job, &mock)?;
        check::all(&facts)?;
        check::same(&self.calm, &facts.report())?;
        schema.map_or(Ok(()), |schema| schema.empty())?;
        let Outcome { repeated, lost, .. } = check::outcome(&facts);
        Ok(Outcome { kills, repeated, lost })
    }

    fn kill_again_and_again(&self, job: &Job, mock: &Mock, machine: &dyn Machine, rng: &mut Rng) -> Result<usize> {
        let mut kills = 0;
        for _ in 0..rng.u64(1..=KILLS) {
            let mut process = job.go_on(machine)?;
            if self.chances.draw(rng, mock).kill(&mut process, mock)? == Ended::ByItself {
                job.ended_well(&mut process)?;
                break;
            }
            machine.after_kill(&job.data, rng)?;
            kills += 1;
        }
        Ok(kills)
    }
}

/// One round of the soak on PostgreSQL.
pub fn run_on_postgres(context: &Context, seed: u64) -> Result<()> {
    static ROUNDS: OnceLock<std::result::Result<Rounds, String>> = OnceLock::new();
    let rounds = ROUNDS.get_or_init(|| {
        let server =
            context.postgres.as_deref().ok_or("CONVOKE_TEST_PG names no PostgreSQL; `cargo xtask soak` starts one")?;
        let folder = context.folder("kill-postgres").map_err(|error| format!("{error:#}"))?;
        Rounds::on(&context.binary, &folder, Some(server)).map_err(|error| format!("{error:#}"))
    });
    rounds.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?.round(seed).map(drop)
}

/// One round of the soak.
pub fn run(context: &Context, seed: u64) -> Result<()> {
    static ROUNDS: OnceLock<std::result::Result<Rounds, String>> = OnceLock::new();
    let rounds = ROUNDS.get_or_init(|| {
        let rounds = context.folder("kill").and_then(|folder| Rounds::new(&context.binary, &folder));
        rounds.map_err(|error| format!("{error:#}"))
    });
    rounds.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?.round(seed).map(drop)
}
