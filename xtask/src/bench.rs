//! `cargo xtask bench` and `cargo xtask soak`: build everything in release, give it a PostgreSQL, start the suite.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, bail};

use crate::postgres::Postgres;
use crate::stage::{Lack, Stages};
use crate::target::Target;
use crate::{place, run, system};

/// What to measure or soak.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Start no PostgreSQL; what is measured on it fails unless CONVOKE_TEST_PG is set.
    #[arg(long)]
    pub no_postgres: bool,
    /// Words for the suite, such as names, `--rounds 3`, `--quick`, `--write FILE`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub rest: Vec<String>,
}

/// Runs the suite's `bench` or `soak`.
pub fn run(work: &str, args: &Args) -> Result<ExitCode> {
    let start = Instant::now();
    let stages = Stages::default();
    let claimed = Target::claim()?;
    let target = claimed.path.as_path();
    let packages = ["convoke", "convoke-bench", "convoke-bench-mock"];
    let mut build = run::cargo();
    build.env("CARGO_TARGET_DIR", target).args(["build", "--release", "--locked"]);
    build.args(packages.iter().flat_map(|package| ["--package", package]));
    if !stages.run("build", || run::open(&mut build))?.success() {
        bail!("the release build failed");
    }
    let mut suite = Command::new(target.join("release/convoke-bench"));
    suite.current_dir(place::root()).arg(work).args(&args.rest);
    let server =
        if args.no_postgres || std::env::var_os("CONVOKE_TEST_PG").is_some() { None } else { postgres(&stages) };
    if let Some(server) = &server {
        suite.env("CONVOKE_TEST_PG", server.url());
    }
    let passed = stages.run(work, || run::open(&mut suite))?.success();
    drop(server);
    stages.print(start.elapsed());
    Ok(if passed && stages.lacks().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn postgres(stages: &Stages) -> Option<Postgres> {
    stages.run("packages of the operating system", || system::provide(stages));
    stages.provide("private PostgreSQL", || {
        let next = "what is measured on PostgreSQL fails without it; or say --no-postgres";
        Postgres::start().map_err(|error| Lack::new("PostgreSQL", format!("{error:#}"), next))
    })
}
