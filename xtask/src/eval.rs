//! `cargo xtask eval`: what was measured on real data, as tables. The test command holds the same figures to their bars; this prints
//! them.

use std::process::ExitCode;

use anyhow::Result;

use crate::run;
use crate::target::Target;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, Copy, clap::Subcommand)]
enum What {
    /// Votes by several models and people: best voter, majority, weights, agreement
    Voting,
}

impl What {
    /// The package and the test that measures it.
    const fn test(self) -> (&'static str, &'static str) {
        match self {
            Self::Voting => ("convoke-domain", "voting::"),
        }
    }
}

/// Measures, prints, and fails where a bar is missed.
pub fn run(args: &Args) -> Result<ExitCode> {
    let claimed = Target::claim()?;
    let (package, test) = args.what.test();
    let mut cargo = run::cargo();
    cargo.env("CARGO_TARGET_DIR", &claimed.path);
    cargo.args(["test", "--quiet", "--locked", "--package", package, "--test", "it", test, "--", "--nocapture"]);
    let passed = run::open(&mut cargo)?.success();
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
