//! The folders a call may touch (the attempt's, the run's input, what the run's members share), and the only way to open
//! something in them.
//!
//! Rule: a path from a model is first read as words ([`Spot`]: relative, no `..`), then opened by the kernel with
//! "stay beneath this folder" (`openat2`), so that neither symbolic links nor races lead outside. Where the kernel has no
//! `openat2`, each folder on the way is opened in turn and symbolic links are refused altogether.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use convoke_domain::lock::SHARED;
use convoke_port::tool::ToolError;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::tool::argument::Arguments;
use crate::tool::job::Job;
use crate::tool::limits::FileLimits;

/// The folder name that stands for the run's input.
pub(crate) const INPUT: &str = "input";
/// The folder in the attempt's folder that Convoke keeps notes in; no tool opens it.
pub(crate) const OWN: &str = ".convoke";
/// Times an open is repeated when something was renamed meanwhile.
const RACES: usize = 8;

/// Which of the folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Area {
    /// The run's input folder: read only.
    Input,
    /// The attempt's folder.
    Work,
    /// The folder that the run's members share; a part of the attempt's where they share none.
    Shared,
}

/// A place in one of the folders, as words; nothing has been opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) area: Area,
    pub(crate) relative: PathBuf,
}

impl Spot {
    /// Reads the path argument `field`; absent means the attempt's folder itself.
    pub(crate) fn read(arguments: &Arguments<'_>, field: &str, limits: &FileLimits) -> Result<Self, ToolError> {
        let text = arguments.text_if(field)?.unwrap_or(".");
        Self::parse(text, limits).map_err(|why| arguments.wrong(field, &why))
    }

    /// Reads a path that a model wrote.
    pub(crate) fn parse(text: &str, limits: &FileLimits) -> Result<Self, String> {
        if text.len() > limits.path_bytes || text.contains('\0') {
            return Err(format!("is too long or holds a NUL; {} bytes are allowed", limits.path_bytes));
        }
        let mut relative = PathBuf::new();
        for part in Path::new(text).components() {
            match part {
                Component::Normal(name) => relative.push(name),
                Component::CurDir => {}
                Component::ParentDir => {
                    return Err(
                        "may not contain `..`; give a path from the folder itself, such as `input/a.csv`".into()
                    );
                }
                _ => return Err("must be relative, such as `notes.md` or `input/a.csv`".into()),
            }
        }
        if relative.components().count() > limits.path_depth {
            return Err(format!("goes deeper than {} folders", limits.path_depth));
        }
        if relative.starts_with(OWN) {
            return Err(format!("lies in `{OWN}`, which Convoke keeps for itself"));
        }
        if let Ok(rest) = relative.strip_prefix(SHARED) {
            if rest.starts_with(OWN) {
                return Err(format!("lies in `{SHARED}/{OWN}`, which Convoke keeps for itself"));
            }
            return Ok(Self { area: Area::Shared, relative: rest.to_path_buf() });
        }
        Ok(match relative.strip_prefix(INPUT) {
            Ok(rest) => Self { area: Area::Input, relative: rest.to_path_buf() },
            Err(_) => Self { area: Area::Work, relative },
        })
    }

    /// The place as the model writes it.
    pub(crate) fn shown(&self) -> String {
        let relative = self.relative.to_string_lossy();
        match self.area {
            Area::Input if relative.is_empty() => INPUT.to_owned(),
            Area::Input => format!("{INPUT}/{relative}"),
            Area::Shared if relative.is_empty() => SHARED.to_owned(),
            Area::Shared => format!("{SHARED}/{relative}"),
            Area::Work if relative.is_empty() => ".".to_owned(),
            Area::Work => relative.into_owned(),
        }
    }

    /// The place in a list with one row for each: a name may hold an end of line, and would write rows of its own.
    pub(crate) fn row(&self) -> String {
        let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        let shown = self.shown();
        if !shown.contains(breaks) {
            return shown;
        }
        shown.chars().map(|c| if breaks(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
    }

    /// Is it the folder itself?
    pub(crate) fn is_root(&self) -> bool {
        self.relative.as_os_str().is_empty()
    }

    /// A place below this one.
    pub(crate) fn below(&self, name: &std::ffi::OsStr) -> Self {
        Self { area: self.area, relative: self.relative.join(name) }
    }
}

/// The folders, opened.
pub(crate) struct Ground {
    work: OwnedFd,
    input: Option<OwnedFd>,
    shared: Option<OwnedFd>,
}

impl Ground {
    /// Opens the folders of a job.
    pub(crate) fn open(job: &Job) -> Result<Self, ToolError> {
        let folder = |path: &Path, what: &str| {
            rustix::fs::openat(CWD, path, OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
                .map_err(|errno| ToolError::Failed(format!("{what} cannot be opened: {}", reason(errno))))
        };
        Ok(Self {
            work: folder(&job.workdir, "the attempt's folder")?,
            input: job.input.as_deref().map(|path| folder(path, "the run's input folder")).transpose()?,
            shared: job.shared.as_deref().map(|path| folder(path, "the folder that the run shares")).transpose()?,
        })
    }

    /// Does the run have an input folder?
    pub(crate) fn has_input(&self) -> bool {
        self.input.is_some()
    }

    /// Do the run's members share a folder?
    pub(crate) fn has_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// The place where it really is: without a shared folder `shared/` is a part of the attempt's.
    fn settle(&self, spot: &Spot) -> Spot {
        match spot.area {
            Area::Shared if self.shared.is_none() => {
                Spot { area: Area::Work, relative: Path::new(SHARED).join(&spot.relative) }
            }
            _ => spot.clone(),
        }
    }

    /// Opens a file for reading.
    pub(crate) fn file(&self, spot: &Spot) -> Result<(File, u64), ToolError> {
        // NONBLOCK: a pipe that somebody put there must not hold us up.
        let fd = self.at(spot, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| failed(spot, errno))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok((File::from(fd), u64::try_from(stat.st_size).unwrap_or(0))),
            FileType::Directory => {
                Err(ToolError::Failed(format!("`{}` is a folder, not a file; use list_files", spot.shown())))
            }
            _ => Err(ToolError::Refused(format!("`{}` is neither a file nor a folder", spot.shown()))),
        }
    }

    /// Opens a folder.
    pub(crate) fn folder(&self, spot: &Spot) -> Result<OwnedFd, ToolError> {
        self.at(spot, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Opens a folder for writing below it; makes it and those on the way if they are not there.
    pub(crate) fn make_folder(&self, spot: &Spot) -> Result<OwnedFd, ToolError> {
        writable(spot)?;
        let spot = &self.settle(spot);
        let mut here = Spot { area: spot.area, relative: PathBuf::new() };
        let mut fd = self.folder(&here)?;
        for part in spot.relative.components() {
            match rustix::fs::mkdirat(&fd, part.as_os_str(), Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(failed(&here.below(part.as_os_str()), errno)),
            }
            here = here.below(part.as_os_str());
            fd = self.folder(&here)?;
        }
        Ok(fd)
    }

    fn root(&self, area: Area) -> Result<BorrowedFd<'_>, ToolError> {
        match area {
            Area::Work => Ok(self.work.as_fd()),
            Area::Shared => Ok(self.shared.as_ref().unwrap_or(&self.work).as_fd()),
            Area::Input => self
                .input
                .as_ref()
                .map(AsFd::as_fd)
                .ok_or_else(|| ToolError::Failed("this run has no input folder; there is no `input/`".into())),
        }
    }

    fn at(&self, spot: &Spot, flags: OFlags) -> Result<OwnedFd, ToolError> {
        let spot = &self.settle(spot);
        let path = if spot.is_root() { Path::new(".") } else { &spot.relative };
        beneath(self.root(spot.area)?, path, flags | OFlags::CLOEXEC).map_err(|errno| failed(spot, errno))
    }
}

/// Refuses places that may not be written.
pub(crate) fn writable(spot: &Spot) -> Result<(), ToolError> {
    match spot.area {
        Area::Work | Area::Shared => Ok(()),
        Area::Input => Err(ToolError::Refused(format!(
            "`{}` lies in the input folder, which is read only; write elsewhere, such as `{}`",
            spot.shown(),
            spot.relative.file_name().map_or_else(|| "result.md".into(), |name| name.to_string_lossy())
        ))),
    }
}

/// An error of the system about a place.
pub(crate) fn failed(spot: &Spot, errno: Errno) -> ToolError {
    let shown = spot.shown();
    match errno {
        Errno::NOENT => ToolError::Failed(format!("`{shown}` does not exist; list_files shows what is there")),
        Errno::XDEV | Errno::LOOP => ToolError::Refused(format!("`{shown}` leads outside its folder by a link")),
        Errno::NOTDIR => ToolError::Failed(format!("`{shown}`: a part of the path is a file, not a folder")),
        other => ToolError::Failed(format!("`{shown}`: {}", reason(other))),
    }
}

fn reason(errno: Errno) -> String {
    std::io::Error::from(errno).to_string()
}

/// Opens `path` so that it cannot end up outside `root`.
fn beneath(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    #[cfg(target_os = "linux")]
    for _ in 0..RACES {
        use rustix::fs::ResolveFlags;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Older kernels, and sandboxes that do not know the call.
            Err(Errno::NOSYS | Errno::PERM) => return step_by_step(root, path, flags),
            result => return result,
        }
    }
    step_by_step(root, path, flags)
}

/// The same without help of the kernel: stricter, for it follows no link at all.
fn step_by_step(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut here = rustix::fs::openat(root, ".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut parts = path.components().filter(|part| !matches!(part, Component::CurDir)).peekable();
    if parts.peek().is_none() {
        return Ok(here);
    }
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else { return Err(Errno::XDEV) };
        let last = parts.peek().is_none();
        let flags = if last { flags } else { OFlags::DIRECTORY | OFlags::CLOEXEC };
        here = match rustix::fs::openat(&here, name, flags | OFlags::NOFOLLOW, Mode::empty()) {
            // A link where a folder was asked for is "not a directory"; say what it is.
            Err(Errno::NOTDIR) if is_link(&here, name) => return Err(Errno::LOOP),
            result => result?,
        };
    }
    Ok(here)
}

fn is_link(folder: &OwnedFd, name: &std::ffi::OsStr) -> bool {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Opener = fn(BorrowedFd<'_>, &Path, OFlags) -> Result<OwnedFd, Errno>;

    #[test]
    fn both_ways_of_opening_stay_inside() {
        let outside = tempfile::tempdir().expect("folder");
        std::fs::write(outside.path().join("secret"), "s").expect("file");
        let inside = tempfile::tempdir().expect("folder");
        let at = |name: &str| inside.path().join(name);
        std::fs::create_dir(at("sub")).expect("folder");
        std::fs::write(at("sub/plain"), "p").expect("file");
        std::os::unix::fs::symlink(outside.path(), at("out")).expect("link");
        std::os::unix::fs::symlink(outside.path().join("secret"), at("file")).expect("link");
        std::os::unix::fs::symlink("../secret", at("sub/up")).expect("link");
        std::os::unix::fs::symlink("/proc/self/root", at("magic")).expect("link");
        let root = rustix::fs::open(inside.path(), OFlags::DIRECTORY | OFlags::PATH, Mode::empty()).expect("root");
        for open in [beneath as Opener, step_by_step as Opener] {
            assert!(open(root.as_fd(), Path::new("sub/plain"), OFlags::RDONLY).is_ok());
            assert!(open(root.as_fd(), Path::new("."), OFlags::RDONLY).is_ok());
            for path in ["out/secret", "file", "sub/up", "magic/etc/passwd", "../x", "sub/../../x", "/etc/passwd"] {
                let errno = open(root.as_fd(), Path::new(path), OFlags::RDONLY).expect_err(path);
                assert!(matches!(errno, Errno::XDEV | Errno::LOOP | Errno::NOENT), "{path}: {errno}");
            }
        }
    }

    #[test]
    fn paths_are_read_as_words() {
        let limits = FileLimits::default();
        let shown = |text: &str| Spot::parse(text, &limits).map(|spot| (spot.area, spot.shown()));
        assert_eq!(shown("./a//b/./c").expect("ok"), (Area::Work, "a/b/c".into()));
        assert_eq!(shown("input/x.csv").expect("ok"), (Area::Input, "input/x.csv".into()));
        assert_eq!(shown("./shared//a.md").expect("ok"), (Area::Shared, "shared/a.md".into()));
        assert_eq!(shown("shared/").expect("ok"), (Area::Shared, "shared".into()));
        assert_eq!(shown("inputs").expect("ok"), (Area::Work, "inputs".into()));
        assert_eq!(shown("").expect("ok"), (Area::Work, ".".into()));
        assert_eq!(shown("./input/").expect("ok"), (Area::Input, "input".into()));
        for wrong in
            ["..", "a/../b", "/etc/passwd", "input/../x", "a\0b", ".convoke/x", "./.convoke", "shared/.convoke/x"]
        {
            assert!(shown(wrong).is_err(), "{wrong:?}");
        }
        assert!(shown(&"a/".repeat(40)).is_err());
        assert!(shown(&"a".repeat(2_000)).is_err());
    }
}
