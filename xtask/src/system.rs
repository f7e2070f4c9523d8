//! What the tests need from the operating system's packages, installed with `apt-get` where it is missing.
//!
//! Only what is not there already is installed, in one call. Without the right to install, or on a system without
//! `apt-get`, each missing thing becomes a named failure with the command that mends it.

use std::io::IsTerminal;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::stage::{Lack, Stages};
use crate::{place, postgres, run};

/// One package and how to see whether what it brings is there.
struct Package {
    name: &'static str,
    present: fn() -> bool,
}

const NEEDED: [Package; 6] = [
    Package { name: "postgresql", present: || postgres::programs().is_some() },
    Package { name: "bubblewrap", present: || place::program("bwrap").is_some() },
    Package { name: "python3", present: || place::program("python3").is_some() },
    Package { name: "python3-venv", present: has_venv },
    Package { name: "git", present: || place::program("git").is_some() },
    Package { name: "openssl", present: || place::program("openssl").is_some() },
];

/// Installs what is missing; what is still missing then is kept as a lack.
pub fn provide(stages: &Stages) {
    let missing: Vec<&str> = missing();
    if missing.is_empty() {
        return;
    }
    let result = install(&missing);
    let reason = match &result {
        Ok(()) => "it was installed, and still its programs are not found".to_owned(),
        Err(error) => format!("{error:#}"),
    };
    for name in self::missing() {
        stages.lack(Lack::new(name, &reason, next_step(name)));
    }
}

fn next_step(package: &str) -> String {
    match place::program("apt-get") {
        Some(_) => format!("sudo apt-get install {package}"),
        None => format!("install what Debian calls {package}"),
    }
}

fn missing() -> Vec<&'static str> {
    NEEDED.iter().filter(|package| !(package.present)()).map(|package| package.name).collect()
}

/// Debian and Ubuntu ship Python without the part that makes virtual environments.
fn has_venv() -> bool {
    run::quiet(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_ok()
}

fn install(packages: &[&str]) -> Result<()> {
    eprintln!("[xtask] installing {}", packages.join(" "));
    if apt("install", packages).is_ok() {
        return Ok(());
    }
    // The lists of packages may be old or, in a container, empty.
    apt("update", &[]).and_then(|()| apt("install", packages))
}

fn apt(verb: &str, packages: &[&str]) -> Result<()> {
    place::program("apt-get").context("this system has no apt-get")?;
    let mut command = if place::is_root() { Command::new("apt-get") } else { sudo()? };
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-y", "--no-install-recommends"]);
    command.args(["-o", "Acquire::Retries=2", "-o", "Acquire::http::Timeout=30", "-o", "DPkg::Lock::Timeout=120"]);
    run::quiet(command.arg(verb).args(packages)).map(drop)
}

/// `sudo apt-get`, if that can work without anybody there to type a password, or if somebody is.
fn sudo() -> Result<Command> {
    let asks_nothing = || run::quiet(Command::new("sudo").args(["-n", "true"])).is_ok();
    if place::program("sudo").is_none() || !(std::io::stdin().is_terminal() || asks_nothing()) {
        bail!("installing needs root or a sudo that asks for no password");
    }
    let mut command = Command::new("sudo");
    command.arg("apt-get");
    Ok(command)
}
