//! Reading and writing the files that people name, with errors that say which and why.

use std::fs::{Metadata, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use crate::error::{Exit, Failure, Result};

/// Reads a text of at most `max` bytes. What is no file is refused before it is opened: a pipe into which nobody writes
/// would be waited for, and there is no end to what a device gives.
pub fn read(path: &Path, max: u64) -> Result<String> {
    let failed = |cause: &std::io::Error| refuse("cannot read", path, cause);
    let mut text = String::new();
    let there = std::fs::metadata(path).map_err(|cause| failed(&cause))?;
    if !there.is_file() {
        let reason = if there.is_dir() { "it is a folder" } else { "it is no file, but a pipe or a device" };
        return Err(Failure::usage("io", format!("cannot read `{}`", path.display())).cause(reason));
    }
    let file = std::fs::File::open(path).map_err(|cause| failed(&cause))?;
    // One byte more than allowed tells a file that is too long.
    file.take(max + 1).read_to_string(&mut text).map_err(|cause| failed(&cause))?;
    if text.len() as u64 <= max {
        return Ok(text);
    }
    Err(Failure::usage("file_too_long", format!("`{}` has more than {max} bytes", path.display())))
}

/// Reads a text of at most `max` bytes from the input stream; white space at its end is left out.
pub fn read_input(max: u64) -> Result<String> {
    let mut text = String::new();
    match std::io::stdin().lock().take(max + 1).read_to_string(&mut text) {
        Ok(_) if text.len() as u64 <= max => Ok(text.trim_end().to_owned()),
        Ok(_) => Err(Failure::usage("file_too_long", format!("the input stream has more than {max} bytes"))),
        Err(cause) => Err(Failure { exit: Exit::Usage, ..Failure::io("cannot read the input stream", &cause) }),
    }
}

/// Writes a file so that it is there in full or not at all. What stands there keeps its rights, a link goes on leading to
/// it, and what is no file (`/dev/stdout`, a pipe) is written into, never replaced.
pub fn write(path: &Path, body: &[u8]) -> Result<()> {
    let written = match std::fs::metadata(path) {
        Ok(there) if there.is_file() => path.canonicalize().and_then(|full| replace(&full, body, Some(&there))),
        Ok(there) if !there.is_dir() => OpenOptions::new().write(true).open(path).and_then(|mut it| it.write_all(body)),
        Ok(_) => Err(ErrorKind::IsADirectory.into()),
        Err(_) => replace(path, body, None),
    };
    written.map_err(|cause| refuse("cannot write", path, &cause))
}

/// Puts a new file in the place of an old one, or of none.
fn replace(path: &Path, body: &[u8], old: Option<&Metadata>) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    // A process of the same number may have left one behind; whatever has that name by now is not written through.
    let _ = std::fs::remove_file(&part);
    let written = OpenOptions::new().write(true).create_new(true).open(&part).and_then(|mut file| {
        file.write_all(body)?;
        old.map_or(Ok(()), |old| file.set_permissions(old.permissions()))
    });
    let written = written.and_then(|()| std::fs::rename(&part, path));
    if written.is_err() {
        // What is left of it is of no use; that it cannot be removed changes nothing.
        let _ = std::fs::remove_file(&part);
    }
    written
}

/// Makes a folder with those above it.
pub fn make_dir(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|cause| refuse("cannot make the folder", path, &cause))
}

fn refuse(what: &str, path: &Path, cause: &std::io::Error) -> Failure {
    let code = if cause.kind() == ErrorKind::NotFound { "missing_file" } else { "io" };
    let reason = match cause.kind() {
        ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        ErrorKind::PermissionDenied => "access is denied".to_owned(),
        ErrorKind::InvalidData => "it is not text in UTF-8".to_owned(),
        ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => cause.to_string(),
    };
    Failure::usage(code, format!("{what} `{}`", path.display())).cause(reason)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_file_keeps_its_rights_and_a_link_its_target() {
        let dir = tempfile::tempdir().expect("a folder");
        let (file, link) = (dir.path().join("report.md"), dir.path().join("latest.md"));
        write(&file, b"old").expect("written");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("set");
        symlink("report.md", &link).expect("linked");
        write(&link, b"new").expect("written");
        assert_eq!(std::fs::read(&file).expect("read"), b"new");
        assert!(link.is_symlink());
        assert_eq!(file.metadata().expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 2);
    }

    #[test]
    fn what_is_no_file_is_written_into_and_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
        assert!(made.success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read(pipe)
        });
        write(&pipe, b"through").expect("written");
        assert_eq!(reader.join().expect("no panic").expect("read"), b"through");
        assert!(pipe.metadata().expect("there").file_type().is_fifo());
        assert_eq!(write(dir.path(), b"x").expect_err("a folder").causes, ["it is a folder"]);
        assert_eq!(read(&pipe, 10).expect_err("a pipe").causes, ["it is no file, but a pipe or a device"]);
        assert_eq!(read(dir.path(), 10).expect_err("a folder").causes, ["it is a folder"]);
    }
}
