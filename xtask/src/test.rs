//! `cargo xtask test`: every test, with everything it talks to. Start at [`run`].
//!
//! Packages first, then the private PostgreSQL and the mocks while cargo compiles, then the doc tests, then the tests.
//! The tests run also when something could not be had: those that need it fail by themselves, and the lack is named at
//! the end. The last lines are the runners' own sums.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Instant;

use anyhow::Result;

use crate::postgres::Postgres;
use crate::stage::{Lack, Stages};
use crate::target::Target;
use crate::{mocks, place, run, sums, system};

/// What to test.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this package; may be given several times.
    #[arg(short, long = "package", value_name = "CRATE")]
    pub packages: Vec<String>,
    /// Only tests whose name contains this.
    pub filter: Option<String>,
    /// Install no packages of the operating system.
    #[arg(long)]
    pub no_packages: bool,
    /// Start no PostgreSQL; tests that need it fail unless CONVOKE_TEST_PG is set.
    #[arg(long)]
    pub no_postgres: bool,
    /// Install no mocks; tests that need them fail unless CONVOKE_TEST_NODE and CONVOKE_TEST_PYTHON are set.
    #[arg(long)]
    pub no_mocks: bool,
    /// Further words for the test runner.
    #[arg(last = true)]
    pub rest: Vec<String>,
}

/// Environment variables that tell the tests where things are.
type Environment = BTreeMap<&'static str, OsString>;

/// Runs all stages and says whether everything was there and every test passed.
pub fn run(args: &Args) -> Result<ExitCode> {
    let start = Instant::now();
    let stages = Stages::default();
    if !args.no_packages {
        stages.run("packages of the operating system", || system::provide(&stages));
    }
    let claimed = Target::claim()?;
    let target = claimed.path.as_path();
    let (ground, built) = thread::scope(|scope| {
        let ground = scope.spawn(|| Ground::provide(&stages, args));
        let built = stages.run("build", || build(args, target));
        (ground.join().expect("providing does not panic"), built)
    });
    let mut outcome = Outcome { passed: built?, sums: Vec::new() };
    if outcome.passed {
        outcome.add(stages.run("doc tests", || doc_tests(args, target))?);
        outcome.add(stages.run("tests", || tests(args, target, &ground.environment))?);
    }
    stages.run("stop", || drop(ground));
    stages.print(start.elapsed());
    Ok(outcome.print(&stages))
}

/// Whether all passed so far, and the runners' sums.
struct Outcome {
    passed: bool,
    sums: Vec<String>,
}

impl Outcome {
    fn add(&mut self, (passed, sum): (bool, String)) {
        self.passed &= passed;
        self.sums.push(sum);
    }

    /// Prints the sums last and makes the exit code; a lack fails even if no test noticed.
    fn print(&self, stages: &Stages) -> ExitCode {
        let lacks = stages.lacks();
        eprintln!();
        if !lacks.is_empty() {
            let names: Vec<&str> = lacks.iter().map(|lack| lack.name.as_str()).collect();
            eprintln!("FAILED: missing {}", names.join(", "));
        }
        if self.sums.is_empty() {
            eprintln!("FAILED: the tests do not compile; none was run");
        }
        for sum in &self.sums {
            eprintln!("{sum}");
        }
        if self.passed && lacks.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// What the tests stand on. The server lives as long as this.
#[derive(Default)]
struct Ground {
    environment: Environment,
    _postgres: Option<Postgres>,
}

impl Ground {
    /// Provides all that is not already named in the environment.
    fn provide(stages: &Stages, args: &Args) -> Self {
        let mut ground = Self::default();
        if !args.no_postgres && !is_set("CONVOKE_TEST_PG") {
            ground.add_postgres(stages);
        }
        if !args.no_mocks {
            ground.add_mocks(stages);
        }
        ground
    }

    fn add_postgres(&mut self, stages: &Stages) {
        let next = "the tests on PostgreSQL fail without it; or set CONVOKE_TEST_PG to a server of your own";
        let server = stages.provide("private PostgreSQL", || {
            Postgres::start().map_err(|error| Lack::new("PostgreSQL", format!("{error:#}"), next))
        });
        if let Some(server) = &server {
            self.environment.insert("CONVOKE_TEST_PG", server.url().into());
        }
        self._postgres = server;
    }

    fn add_mocks(&mut self, stages: &Stages) {
        let next = "read the reason above; the list is in tests/mocks, the cache may be removed at any time";
        let lack = |name: &str, error: anyhow::Error| Lack::new(name, format!("{error:#}"), next);
        if !is_set("CONVOKE_TEST_NODE")
            && let Some(node) = stages.provide("mocks on Node", || mocks::node().map_err(|e| lack("mocks on Node", e)))
        {
            if let Some(path) = node.bin.as_deref().and_then(|bin| mocks::path_with(bin).ok()) {
                self.environment.insert("PATH", path);
            }
            self.environment.insert("CONVOKE_TEST_NODE", node.folder.into());
        }
        if !is_set("CONVOKE_TEST_PYTHON")
            && let Some(python) =
                stages.provide("mocks on Python", || mocks::python().map_err(|e| lack("mocks on Python", e)))
        {
            self.environment.insert("CONVOKE_TEST_PYTHON", python.into());
        }
    }
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

fn has_nextest() -> bool {
    run::quiet(run::cargo().args(["nextest", "--version"])).is_ok()
}

/// Compiles everything that will run, so that the time of the tests is theirs alone.
fn build(args: &Args, target: &Path) -> Result<bool> {
    let mut command = runner(target);
    Ok(run::open(select(&mut command, &args.packages).arg("--no-run"))?.success())
}

/// The tests' runner: nextest if it is installed, else cargo's own; both run the same set.
fn runner(target: &Path) -> Command {
    let mut command = run::cargo();
    command.env("CARGO_TARGET_DIR", target);
    if has_nextest() {
        command.args(["nextest", "run"])
    } else {
        command.args(["test", "--tests"])
    };
    command
}

fn select<'a>(command: &'a mut Command, packages: &[String]) -> &'a mut Command {
    if packages.is_empty() {
        return command.arg("--workspace");
    }
    command.args(packages.iter().flat_map(|package| ["--package", package]))
}

fn tests(args: &Args, target: &Path, environment: &Environment) -> Result<(bool, String)> {
    let mut command = runner(target);
    select(&mut command, &args.packages).arg("--no-fail-fast").envs(environment).args(&args.filter);
    if !args.rest.is_empty() {
        command.arg("--").args(&args.rest);
    }
    let (status, lines) = run::tee(&mut command, sums::is_sum)?;
    Ok((status.success(), sums::add_up("tests", &lines)))
}

/// Doc tests, which nextest does not run. A package without a library has none.
fn doc_tests(args: &Args, target: &Path) -> Result<(bool, String)> {
    let packages: Vec<String> = args.packages.iter().filter(|name| has_library(name)).cloned().collect();
    if packages.is_empty() && !args.packages.is_empty() {
        return Ok((true, "doc tests: none in a package without a library".to_owned()));
    }
    let mut command = run::cargo();
    command.env("CARGO_TARGET_DIR", target).args(["test", "--doc", "--no-fail-fast", "--quiet"]);
    let (status, lines) = run::tee(select(&mut command, &packages).args(&args.filter), sums::is_sum)?;
    Ok((status.success(), sums::add_up("doc tests", &lines)))
}

fn has_library(package: &str) -> bool {
    let folder = if package == "xtask" { "xtask".to_owned() } else { format!("crates/{package}") };
    place::root().join(folder).join("src/lib.rs").exists()
}
