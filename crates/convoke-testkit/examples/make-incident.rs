//! Writes an incident folder: `cargo run -p convoke-testkit --example make-incident -- --cause disk --at 09:15 --out DIR`.

use std::path::PathBuf;
use std::process::ExitCode;

use convoke_testkit::incident::{Cause, Options, write};

const USAGE: &str = "usage: make-incident [--cause CAUSE] [--at HH:MM] [--seed NUMBER] --out DIR";

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)).and_then(|(options, out)| {
        write(&options, &out).map_err(|error| format!("cannot write to {}: {error}", out.display()))?;
        Ok(format!("{}: {} at {}", out.display(), options.cause, options.at))
    }) {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            let causes = Cause::ALL.map(Cause::as_str).join(", ");
            eprintln!("{problem}\n{USAGE}\ncauses: {causes}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<(Options, PathBuf), String> {
    let mut options = Options::default();
    let mut out = None;
    while let Some(flag) = args.next() {
        let value = args.next().ok_or(format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--cause" => options.cause = value.parse()?,
            "--at" => options.at = value.parse()?,
            "--seed" => options.seed = value.parse().map_err(|_| format!("`{value}` is no number"))?,
            "--out" => out = Some(PathBuf::from(value)),
            _ => return Err(format!("`{flag}` is not known")),
        }
    }
    out.map(|out| (options, out)).ok_or("--out is missing".to_owned())
}
