//! `write_file`: puts a text where the old one was, in one step.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use convoke_port::tool::{ToolError, ToolOutput};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use serde_json::{Value, json};

use super::fence::Pass;
use super::ground::{Area, Ground, Spot, failed, writable};
use crate::tool::argument::Arguments;
use crate::tool::job::{Job, said};
use crate::tool::limits::ToolLimits;

/// What a model is told about it.
pub(crate) const DESCRIPTION: &str = "Write a text file in your working folder. It replaces the file if there is one and makes \
    the folders on the way. Files under `input/` cannot be written. To change a part of a file use patch_file.";

/// The schema of its arguments.
pub(crate) fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": "The file, for example `report.md` or `src/main.py`."},
            "content": {"type": "string", "description": format!("The whole text of the file, at most {} bytes.",
                ToolLimits::default().file.write_bytes)},
        },
        "required": ["path", "content"],
        "additionalProperties": false,
    })
}

/// Writes.
pub(crate) fn run(job: &Job) -> Result<ToolOutput, ToolError> {
    let limits = &job.limits.file;
    let arguments = Arguments::read("write_file", &job.arguments, &["path", "content"])?;
    arguments.text("path")?;
    let spot = Spot::read(&arguments, "path", limits)?;
    let content = arguments.text("content")?;
    if content.len() > limits.write_bytes {
        let what = format!("has {} bytes; {} can be written", content.len(), limits.write_bytes);
        return Err(arguments.wrong("content", &what));
    }
    let _turn = turn(job, &spot);
    let ground = Ground::open(job)?;
    let pass = Pass::take(job, &ground, &spot)?;
    pass.in_time()?;
    replace(&ground, &spot, content.as_bytes())?;
    let lines = content.lines().count();
    Ok(said(format!("Wrote {} bytes ({lines} lines) to `{}`.", content.len(), spot.shown())))
}

/// Waits until no other call changes files in this folder: calls that a model makes at the same time must not undo each other.
pub(crate) fn turn(job: &Job, spot: &Spot) -> MutexGuard<'static, ()> {
    static LANES: [Mutex<()>; 64] = [const { Mutex::new(()) }; 64];
    let mut hash = DefaultHasher::new();
    match &job.shared {
        Some(shared) if spot.area == Area::Shared => shared.hash(&mut hash),
        _ => job.workdir.hash(&mut hash),
    }
    LANES[(hash.finish() % 64) as usize].lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts `content` at `spot`: readers see the old file or the new one, also after a power cut.
pub(crate) fn replace(ground: &Ground, spot: &Spot, content: &[u8]) -> Result<(), ToolError> {
    writable(spot)?;
    let name = spot.relative.file_name().ok_or_else(|| {
        ToolError::Refused("`path` names the working folder itself; give the name of a file in it".into())
    })?;
    let parent = Spot { area: spot.area, relative: spot.relative.parent().map(Into::into).unwrap_or_default() };
    let folder = ground.make_folder(&parent)?;
    let mode = mode_of(&folder, name, spot)?;
    let temporary = format!(".convoke-{:016x}.tmp", fastrand::u64(..));
    let put = || -> Result<(), Errno> {
        fill(&folder, &temporary, content, mode)?;
        rustix::fs::renameat(&folder, &temporary, &folder, name)?;
        rustix::fs::fsync(&folder)
    };
    put().map_err(|errno| {
        let _ = rustix::fs::unlinkat(&folder, &temporary, AtFlags::empty());
        match errno {
            Errno::NAMETOOLONG => ToolError::Refused(format!("the name of `{}` is too long", spot.shown())),
            errno => failed(spot, errno),
        }
    })
}

fn fill(folder: &OwnedFd, name: &str, content: &[u8], mode: Mode) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(folder, name, flags, mode)?);
    let io = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    file.write_all(content).map_err(io)?;
    rustix::fs::fchmod(&file, mode)?;
    file.sync_all().map_err(io)
}

/// The rights of the file that is replaced, so that a script stays one.
fn mode_of(folder: &OwnedFd, name: &std::ffi::OsStr, spot: &Spot) -> Result<Mode, ToolError> {
    if name.as_bytes().len() > 200 {
        return Err(ToolError::Refused(format!("the name of `{}` is longer than 200 bytes", spot.shown())));
    }
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Err(ToolError::Failed(format!("`{}` is a folder", spot.shown()))),
            FileType::RegularFile => Ok(Mode::from_raw_mode(stat.st_mode & 0o777)),
            _ => Ok(Mode::from_raw_mode(0o644)),
        },
        Err(_) => Ok(Mode::from_raw_mode(0o644)),
    }
}
