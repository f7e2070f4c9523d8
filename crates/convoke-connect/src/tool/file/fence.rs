//! Writes into the folder that a run shares: none without a lock, none after its end, none with a token older than the one
//! that wrote the file last.
//!
//! The *act* door has checked the lock when the call was let through. This is for what may happen after: a process that
//! was stopped in between and woken when the lock was another's. Rule: the token that writes is noted durably before the
//! file is changed, under a lock of the system, for members may run in several processes.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use convoke_domain::time::Timestamp;
use convoke_port::tool::{Fence, ToolError};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::ground::{Area, Ground, OWN, Spot, failed};
use super::write::replace;
use crate::tool::job::Job;

/// How long to wait before another look at a lock of the system that another process has.
const LOOK: Duration = Duration::from_millis(2);

/// The right to write one file now; in the shared folder no other process writes while it lives.
pub(crate) struct Pass {
    fence: Option<Fence>,
    shown: String,
    _alone: Option<File>,
}

impl Pass {
    /// Takes it, or says why not. Waits for other processes that write there.
    pub(crate) fn take(job: &Job, ground: &Ground, spot: &Spot) -> Result<Self, ToolError> {
        let shown = spot.shown();
        if spot.area != Area::Shared || !ground.has_shared() {
            return Ok(Self { fence: None, shown, _alone: None });
        }
        let why = || ToolError::Refused(format!("`{shown}` is written only under a lock; lock `file:{shown}` first"));
        let fence = job.fence.ok_or_else(why)?;
        let alone = alone(job, ground)?;
        let note = note(spot);
        let last = last(ground, &note)?;
        if last > fence.token {
            return Err(ToolError::Stale(format!(
                "your lock on `{shown}` was over before this write was made, and another has written since; nothing was \
                 written; lock it again and read it before you go on"
            )));
        }
        let pass = Self { fence: Some(fence), shown, _alone: Some(alone) };
        pass.in_time()?;
        if last < fence.token {
            replace(ground, &note, fence.token.to_string().as_bytes())?;
        }
        Ok(pass)
    }

    /// Says no once the lock is over.
    pub(crate) fn in_time(&self) -> Result<(), ToolError> {
        match self.fence {
            Some(fence) if now() >= fence.until => Err(ToolError::Stale(format!(
                "your lock on `{}` ran out before this write was made; nothing was written; lock it again and read it \
                 before you go on",
                self.shown
            ))),
            _ => Ok(()),
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

fn own(name: &str) -> Spot {
    Spot { area: Area::Shared, relative: PathBuf::from(OWN).join(name) }
}

/// Keeps other processes from writing in the shared folder.
fn alone(job: &Job, ground: &Ground) -> Result<File, ToolError> {
    let spot = own("lock");
    let folder = ground.make_folder(&Spot { area: Area::Shared, relative: OWN.into() })?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(&folder, "lock", flags, Mode::from_raw_mode(0o600));
    let file = File::from(opened.map_err(|errno| failed(&spot, errno))?);
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(failed(&spot, errno)),
        }
        job.check()?;
        std::thread::sleep(LOOK);
    }
}

/// Where the last token that wrote a file is noted.
fn note(spot: &Spot) -> Spot {
    let digest = Sha256::digest(spot.relative.as_os_str().as_encoded_bytes());
    let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    own(&format!("fence/{name}"))
}

fn last(ground: &Ground, note: &Spot) -> Result<i64, ToolError> {
    let file = match ground.file(note) {
        Ok((file, _)) => file,
        Err(_) => return Ok(0),
    };
    let mut text = String::new();
    file.take(64).read_to_string(&mut text).map_err(|_| failed(note, Errno::IO))?;
    let broken = || ToolError::Failed(format!("the note on who wrote last is damaged: `{}`", note.shown()));
    text.trim().parse().map_err(|_| broken())
}
