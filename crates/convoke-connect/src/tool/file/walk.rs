//! Going through folders in a fixed order, without following links, within bounds.

use std::ffi::{OsStr, OsString};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;

use convoke_domain::lock::SHARED;
use convoke_port::tool::ToolError;
use rustix::fs::{AtFlags, Dir, FileType};

use super::ground::{Area, Ground, INPUT, OWN, Spot, failed};
use crate::tool::job::Job;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file and its bytes.
    File(u64),
    /// A folder.
    Folder,
    /// A symbolic link; it is not followed.
    Link,
    /// A pipe, a socket, a device.
    Other,
}

/// One thing met on the way.
pub(crate) struct Entry {
    pub(crate) spot: Spot,
    pub(crate) kind: Kind,
    /// Folders between the start and this one.
    pub(crate) depth: usize,
}

/// Visits what is below; folders before what is in them, names in order.
pub(crate) struct Walk<'a> {
    pub(crate) ground: &'a Ground,
    pub(crate) job: &'a Job,
    /// Folders to go down.
    pub(crate) depth: usize,
    /// Entries that may still be looked at.
    pub(crate) left: usize,
}

/// Contents that only get in the way: looked into when named, not when passing by.
const PASSED_BY: [&str; 1] = [".git"];

impl Walk<'_> {
    /// A walk with the usual bounds.
    pub(crate) fn new<'a>(ground: &'a Ground, job: &'a Job, depth: usize) -> Walk<'a> {
        Walk { ground, job, depth, left: job.limits.file.walk_entries }
    }

    /// Goes through `start`; through all folders if it is the attempt's folder itself.
    /// `Break` from `visit` ends it. Returns whether it came to the end.
    pub(crate) fn go(
        &mut self,
        start: &Spot,
        visit: &mut dyn FnMut(&Entry) -> Result<ControlFlow<()>, ToolError>,
    ) -> Result<bool, ToolError> {
        if start.area == Area::Work && start.is_root() {
            let others = [(Area::Input, self.ground.has_input()), (Area::Shared, self.ground.has_shared())];
            for (area, _) in others.into_iter().filter(|(_, is_there)| *is_there) {
                let top = Spot { area, relative: Default::default() };
                let entry = Entry { spot: top.clone(), kind: Kind::Folder, depth: 0 };
                if visit(&entry)?.is_break() || (self.depth > 0 && !self.folder(&top, 1, visit)?) {
                    return Ok(false);
                }
            }
        }
        self.folder(start, 0, visit)
    }

    fn folder(
        &mut self,
        spot: &Spot,
        depth: usize,
        visit: &mut dyn FnMut(&Entry) -> Result<ControlFlow<()>, ToolError>,
    ) -> Result<bool, ToolError> {
        let Some((entries, whole)) = self.entries(spot)? else { return Ok(true) };
        for (name, kind) in entries {
            self.job.check()?;
            let entry = Entry { spot: spot.below(&name), kind, depth };
            if visit(&entry)?.is_break() {
                return Ok(false);
            }
            let down = kind == Kind::Folder && depth < self.depth && depth < self.job.limits.file.walk_depth;
            if down
                && !PASSED_BY.iter().any(|passed| name == **passed)
                && !self.folder(&entry.spot, depth + 1, visit)?
            {
                return Ok(false);
            }
        }
        Ok(whole)
    }

    /// The sorted entries of a folder, and whether these are all. `None` if it vanished meanwhile.
    #[allow(clippy::type_complexity)]
    fn entries(&mut self, spot: &Spot) -> Result<Option<(Vec<(OsString, Kind)>, bool)>, ToolError> {
        let fd = match self.ground.folder(spot) {
            Ok(fd) => fd,
            Err(ToolError::Failed(_)) if !spot.is_root() => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in Dir::read_from(&fd).map_err(|errno| failed(spot, errno))? {
            let name = OsStr::from_bytes(entry.map_err(|errno| failed(spot, errno))?.file_name().to_bytes()).to_owned();
            if name == "." || name == ".." || self.is_own(spot, &name) {
                continue;
            }
            if self.left == 0 {
                return Ok(Some((self.kinds(&fd, names), false)));
            }
            self.left -= 1;
            names.push(name);
        }
        names.sort();
        Ok(Some((self.kinds(&fd, names), true)))
    }

    /// Names at the top of a folder that are not the model's.
    fn is_own(&self, folder: &Spot, name: &OsStr) -> bool {
        let taken = match folder.area {
            Area::Work => name == OWN || name == INPUT || (name == SHARED && self.ground.has_shared()),
            Area::Shared => name == OWN,
            Area::Input => false,
        };
        taken && folder.is_root()
    }

    fn kinds(&self, fd: &std::os::fd::OwnedFd, names: Vec<OsString>) -> Vec<(OsString, Kind)> {
        names
            .into_iter()
            .filter_map(|name| {
                let stat = rustix::fs::statat(fd, &name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
                let kind = match FileType::from_raw_mode(stat.st_mode) {
                    FileType::RegularFile => Kind::File(u64::try_from(stat.st_size).unwrap_or(0)),
                    FileType::Directory => Kind::Folder,
                    FileType::Symlink => Kind::Link,
                    _ => Kind::Other,
                };
                Some((name, kind))
            })
            .collect()
    }
}
