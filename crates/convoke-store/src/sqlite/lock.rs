//! The lock of a data folder: one process writes it. The lock is the operating system's, so it ends with the process,
//! however that ends; the pid in the file is for people.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use crate::error::{Error, Result};

const FILE: &str = "convoke.lock";

/// Held as long as it lives.
#[derive(Debug)]
pub(crate) struct FolderLock(#[allow(dead_code, reason = "closing the file releases the lock")] File);

/// Takes the lock of `dir`, or says who has it.
pub(crate) fn take(dir: &Path) -> Result<FolderLock> {
    let path = dir.join(FILE);
    let failed = |cause: std::io::Error| match cause.kind() {
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
            Error::ReadOnly { dir: dir.display().to_string(), why: cause.to_string() }
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Error::Unavailable("the disk is full; nothing of this was stored. Free space and try again".into())
        }
        _ => Error::broken_by(format!("cannot lock {}", path.display()), cause),
    };
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(held(dir, &mut file)),
        Err(TryLockError::Error(cause)) => return Err(failed(cause)),
    }
    file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(FolderLock(file))
}

/// Keeps writers away while the folder is read without a log of writes: nothing if one holds it, or if the lock was never made.
pub(crate) fn share(dir: &Path) -> Option<FolderLock> {
    let file = File::open(dir.join(FILE)).ok()?;
    file.try_lock_shared().ok().map(|()| FolderLock(file))
}

fn held(dir: &Path, file: &mut File) -> Error {
    let mut pid = String::new();
    let holder = match file.read_to_string(&mut pid) {
        Ok(_) if !pid.trim().is_empty() => format!("process {}", pid.trim()),
        _ => "another process".to_owned(),
    };
    Error::InUse { dir: dir.display().to_string(), holder }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}
