//! Where things are: the clone, the cache outside of it, and who runs this.
//!
//! Nothing is ever written into the clone, so a clean checkout stays clean.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The root of the clone. Cargo names it to what it runs; a binary in a shared build folder may stem from another clone.
pub fn root() -> PathBuf {
    let here = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.parent().expect("xtask lies one level below the root").to_owned()
}

/// The cache of this program: `$XDG_CACHE_HOME/convoke` or `~/.cache/convoke`.
pub fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|v| !v.is_empty()) {
        Some(set) => PathBuf::from(set),
        None => PathBuf::from(env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set; set one")?)
            .join(".cache"),
    };
    let cache = base.join("convoke");
    fs::create_dir_all(&cache).with_context(|| format!("cannot make the cache folder {}", cache.display()))?;
    Ok(cache)
}

/// Where cargo builds: `CARGO_TARGET_DIR` if set, else one fixed folder in the cache, shared by all clones.
pub fn target() -> Result<PathBuf> {
    match env::var_os("CARGO_TARGET_DIR").filter(|v| !v.is_empty()) {
        Some(set) => Ok(root().join(PathBuf::from(set))),
        None => Ok(cache()?.join("target")),
    }
}

/// True if this process is root.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

/// A program in the search path.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

/// True if the file exists and somebody may execute it.
pub fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|m| m.is_file() && m.mode() & 0o111 != 0)
}

/// Removes a folder and what is in it; one that is not there is no error.
pub fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
