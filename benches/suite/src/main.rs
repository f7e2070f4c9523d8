//! The program behind `cargo xtask bench` and `cargo xtask soak`.

use std::process::ExitCode;

use clap::Parser;
use convoke_bench::{bench, list, soak};

/// The same allocator as the binary has.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Convoke and soaks it.
#[derive(Parser)]
enum Work {
    /// Measures and prints a table.
    Bench(bench::Args),
    /// Repeats what must hold with other chances.
    Soak(soak::Args),
    /// Names all measurements and soaks.
    List,
}

fn main() -> anyhow::Result<ExitCode> {
    match Work::parse() {
        Work::Bench(args) => bench::run(&args),
        Work::Soak(args) => soak::run(&args),
        Work::List => {
            list::MEASUREMENTS.iter().for_each(|one| println!("bench {:<10} {}", one.name, one.about));
            list::SOAKS.iter().for_each(|one| println!("soak  {:<10} {}", one.name, one.about));
            Ok(ExitCode::SUCCESS)
        }
    }
}
