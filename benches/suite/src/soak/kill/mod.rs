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
    calm: String,
    chances: Chances,
}

impl Rounds {
    /// Runs the job once in peace, for comparison and to see how long it takes.
    pub fn new(binary: &Path, scratch: &Path) -> Result<Self> {
        let folder = scratch.join("calm");
        let mock = job::mock()?;
        let job = Job::new(binary, &folder, &mock)?;
        let took = job.to_its_end(&mut job.start(&Sound)?)?;
        let facts = Facts::read(&job.data, &mock)?;
        check::all(&facts).context("in a run that nobody disturbed")?;
        let outcome = check::outcome(&facts);
        ensure!(outcome.lost == 0 && outcome.repeated == 0, "undisturbed, and yet {outcome:?}");
        let requests = facts.records.len() as u64;
        let (binary, scratch) = (binary.to_owned(), scratch.to_owned());
        Ok(Self { binary, scratch, calm: facts.report(), chances: Chances { took, requests } })
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
        let job = Job::new(&self.binary, folder, &mock)?;
        let kills = self.kill_again_and_again(&job, &mock, machine, &mut rng)?;
        let mut last = job.go_on(&Sound)?;
        job.to_its_end(&mut last)?;
        job.verify()?;
        let facts = Facts::read(&job.data, &mock)?;
        check::all(&facts)?;
        check::same(&self.calm, &facts.report())?;
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

/// One round of the soak.
pub fn run(context: &Context, seed: u64) -> Result<()> {
    static ROUNDS: OnceLock<std::result::Result<Rounds, String>> = OnceLock::new();
    let rounds = ROUNDS.get_or_init(|| {
        let rounds = context.folder("kill").and_then(|folder| Rounds::new(&context.binary, &folder));
        rounds.map_err(|error| format!("{error:#}"))
    });
    rounds.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?.round(seed).map(drop)
}
