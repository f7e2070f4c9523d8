//! `cargo xtask tidy`: what a machine can hold about style and structure. Start at [`run`]; each check has a file.
//!
//! A finding fails the command. What could not be checked is said by name as well, so that silence means "checked".

use std::fmt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::stage::Stages;
use crate::target::Target;
use crate::{place, run};

mod arrows;
mod licence;
mod links;
mod names;
mod ratchet;
mod source;
mod text;

use source::Source;

/// What to check.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only what needs no compiler: all but clippy.
    #[arg(long)]
    pub fast: bool,
}

/// Something to mend.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, from the root of the clone.
    pub file: String,
    /// The line, from 1; 0 for the whole file.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl Finding {
    /// A finding at a line.
    pub fn new(file: &str, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message),
            line => write!(f, "{}:{line}: {}", self.file, self.message),
        }
    }
}

/// Runs all checks, prints what is to be mended, and fails if there is anything.
pub fn run(args: &Args) -> Result<ExitCode> {
    let start = Instant::now();
    let target = Target::claim()?;
    let stages = Stages::default();
    let files = tracked()?;
    let sources = sources(&files)?;
    let mut findings = Vec::new();
    findings.extend(stages.run("module docs, words, macros", || text::check(&files, &sources))?);
    findings.extend(stages.run("sizes", || ratchet::check(&sources))?);
    findings.extend(stages.run("links in documents", || links::check(&files))?);
    findings.extend(stages.run("names of code in documents", || names::check(&files))?);
    findings.extend(stages.run("arrows between crates", arrows::check)?);
    findings.extend(stages.run("licences and versions of dependencies", licence::check)?);
    let mut clean = stages.run("format", || program(&target, &["fmt", "--all", "--check"]))?;
    if !args.fast {
        let clippy = ["clippy", "--workspace", "--all-targets", "--keep-going", "--", "-D", "warnings"];
        clean &= stages.run("clippy", || program(&target, &clippy))?;
    }
    let notice = stages.run("advisories", licence::advisories)?;
    stages.print(start.elapsed());
    findings.sort();
    findings.iter().for_each(|finding| eprintln!("{finding}"));
    if let Some(notice) = notice {
        eprintln!("NOT CHECKED {notice}");
    }
    if args.fast {
        eprintln!("NOT CHECKED clippy: left out by --fast");
    }
    eprintln!("tidy: {} findings; format and clippy {}", findings.len(), if clean { "clean" } else { "FAILED" });
    Ok(if findings.is_empty() && clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn program(target: &Target, words: &[&str]) -> Result<bool> {
    let mut command = run::cargo();
    command.env("CARGO_TARGET_DIR", &target.path).args(words);
    Ok(run::open(&mut command)?.success())
}

/// Every file of the repository: those git knows and those it would add. Without git, nothing can be said.
fn tracked() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(place::root()).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = run::quiet(&mut git).context("tidy asks git which files belong to the repository")?;
    let exists = |file: &&str| !file.is_empty() && path(file).is_file();
    Ok(listed.split('\0').filter(exists).map(str::to_owned).collect())
}

/// A file of the repository.
fn path(file: &str) -> PathBuf {
    place::root().join(file)
}

fn sources(files: &[String]) -> Result<Vec<Source>> {
    let rust = files.iter().filter(|file| file.ends_with(".rs"));
    let read = |file: &String| {
        let text = std::fs::read_to_string(path(file)).with_context(|| format!("cannot read {file}"))?;
        Ok(Source::new(file, text))
    };
    let mut sources = rust.map(read).collect::<Result<Vec<_>>>()?;
    source::mark_test_files(&mut sources);
    Ok(sources)
}
