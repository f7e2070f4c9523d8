//! Chores of the repository: `cargo xtask test | tidy | bench | eval | soak`. Each has a file of its own.

use std::process::ExitCode;

use clap::Parser;

mod bench;
mod eval;
mod mocks;
mod place;
mod postgres;
mod run;
mod stage;
mod sums;
mod system;
mod target;
mod test;
mod tidy;

/// Chores of the repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Chore {
    /// Runs all tests, and installs and starts what they need.
    Test(test::Args),
    /// Checks format, lints, structure, sizes, documents and dependencies.
    Tidy(tidy::Args),
    /// Builds in release and measures; words after it go to the suite.
    Bench(bench::Args),
    /// Measures on recorded data and prints tables.
    Eval(eval::Args),
    /// Builds in release and repeats what must hold, with other chances each time.
    Soak(bench::Args),
}

fn main() -> ExitCode {
    let result = match Chore::parse() {
        Chore::Test(args) => test::run(&args),
        Chore::Tidy(args) => tidy::run(&args),
        Chore::Bench(args) => bench::run("bench", &args),
        Chore::Eval(args) => eval::run(&args),
        Chore::Soak(args) => bench::run("soak", &args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("[xtask] failed: {error:#}");
        ExitCode::FAILURE
    })
}
