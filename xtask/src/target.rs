//! The build folder, claimed by one clone at a time.
//!
//! Cargo tells the members of a workspace apart by their place *inside* the workspace, and fresh from stale by times of
//! files. So in a folder that several clones share, what one clone built can pass for the other's, if the other's files
//! are older. Whoever comes from another clone than the last one therefore forgets what was built of the members; the
//! dependencies, which are most of the work, stay. `.ci/run` does the same before it builds this program.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::place;

/// Names the clone that used the folder last.
const STAMP: &str = "clone";
/// How the members' packages begin.
const MEMBERS: [&str; 2] = ["convoke", "xtask"];
/// How long another command of ours may keep the folder.
const WAIT: Duration = Duration::from_secs(3600);

/// The build folder, ours until this is dropped.
pub struct Target {
    /// Where it is.
    pub path: PathBuf,
    _lock: File,
}

impl Target {
    /// Waits for the folder and makes it this clone's.
    pub fn claim() -> Result<Self> {
        let path = place::target()?;
        fs::create_dir_all(&path).with_context(|| format!("cannot make the build folder {}", path.display()))?;
        let lock = lock(&path.join("clone.lock"))?;
        let clone = place::root().to_string_lossy().into_owned();
        if fs::read_to_string(path.join(STAMP)).ok().as_deref() != Some(clone.as_str()) {
            forget_members(&path)?;
            fs::write(path.join(STAMP), clone)?;
        }
        Ok(Self { path, _lock: lock })
    }
}

fn lock(file: &Path) -> Result<File> {
    let lock = File::create(file).with_context(|| format!("cannot make {}", file.display()))?;
    let start = Instant::now();
    let mut told = false;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the build folder"),
            Err(TryLockError::WouldBlock) if start.elapsed() > WAIT => {
                bail!("another command keeps the build folder; set CARGO_TARGET_DIR to one of your own")
            }
            Err(TryLockError::WouldBlock) => {
                if !told {
                    eprintln!("[xtask] waiting for another command that uses the same build folder");
                }
                told = true;
                thread::sleep(Duration::from_millis(200));
            }
        }
    }
}

fn forget_members(target: &Path) -> Result<()> {
    for profile in fs::read_dir(target)?.flatten() {
        for unit in fs::read_dir(profile.path().join(".fingerprint")).into_iter().flatten().flatten() {
            let name = unit.file_name();
            if MEMBERS.iter().any(|member| name.to_string_lossy().starts_with(member)) {
                place::remove(&unit.path())?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_forgotten_and_dependencies_stay() {
        let folder = std::env::temp_dir().join(format!("convoke-xtask-target-{}", std::process::id()));
        let units =
            ["debug/.fingerprint/convoke-store-1", "release/.fingerprint/xtask-2", "debug/.fingerprint/serde-3"];
        units.iter().for_each(|unit| fs::create_dir_all(folder.join(unit)).expect("made"));
        forget_members(&folder).expect("forgotten");
        let left: Vec<bool> = units.iter().map(|unit| folder.join(unit).exists()).collect();
        fs::remove_dir_all(&folder).expect("removed");
        assert_eq!(left, [false, false, true]);
    }
}
