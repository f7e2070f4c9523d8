//! Soaks: the same thing with other chances, round after round. A failure names its seed, which repeats it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use crate::bench::is_chosen;
use crate::context::Context;
use crate::list::{SOAKS, Soak};

pub mod kill;
pub mod mock;

/// Rounds between two lines of progress.
const TELL: u64 = 10;

/// What to soak and how long.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only soaks whose name contains one of these.
    pub only: Vec<String>,
    /// Rounds of each; each has a number of its own otherwise.
    #[arg(long)]
    pub rounds: Option<u64>,
    /// The first round's seed; the others follow it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Folder for data.
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
}

/// Runs all chosen soaks and fails if a round of any did. The first failure of a soak ends it.
pub fn run(args: &Args) -> Result<ExitCode> {
    let context = Context::new(args.scratch.clone(), false)?;
    let mut failures = Vec::new();
    for soak in SOAKS.iter().filter(|soak| is_chosen(soak.name, &args.only)) {
        let rounds = args.rounds.unwrap_or(soak.rounds);
        let start = Instant::now();
        println!("{}: {} ({rounds} rounds)", soak.name, soak.about);
        match rounds_of(soak, &context, args.seed..args.seed.saturating_add(rounds)) {
            Ok(()) => println!("{}: {rounds} rounds held, {:.1} s", soak.name, start.elapsed().as_secs_f64()),
            Err(failure) => failures.push(failure),
        }
    }
    failures.iter().for_each(|failure| eprintln!("FAILED {failure}"));
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn rounds_of(soak: &Soak, context: &Context, seeds: std::ops::Range<u64>) -> Result<(), String> {
    for (done, seed) in seeds.enumerate() {
        (soak.run)(context, seed).map_err(|error| {
            format!(
                "{} with seed {seed}: {error:#}\n  again: cargo xtask soak -- {0} --rounds 1 --seed {seed}",
                soak.name
            )
        })?;
        let done = done as u64 + 1;
        if done.is_multiple_of(TELL) {
            eprintln!("[soak] {}: {done} rounds", soak.name);
        }
    }
    Ok(())
}
