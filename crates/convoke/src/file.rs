//! Reading and writing the files that people name, with errors that say which and why.

use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::error::{Failure, Result};

/// Reads a text of at most `max` bytes.
pub fn read(path: &Path, max: u64) -> Result<String> {
    let failed = |cause: &std::io::Error| refuse("cannot read", path, cause);
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|cause| failed(&cause))?;
    // One byte more than allowed tells a file that is too long.
    file.take(max + 1).read_to_string(&mut text).map_err(|cause| failed(&cause))?;
    if text.len() as u64 <= max {
        return Ok(text);
    }
    Err(Failure::usage("file_too_long", format!("`{}` has more than {max} bytes", path.display())))
}

/// Writes a file so that it is there in full or not at all.
pub fn write(path: &Path, body: &[u8]) -> Result<()> {
    let failed = |cause: std::io::Error| refuse("cannot write", path, &cause);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let written = std::fs::write(&part, body).and_then(|()| std::fs::rename(&part, path));
    if written.is_err() {
        // What is left of it is of no use; that it cannot be removed changes nothing.
        let _ = std::fs::remove_file(&part);
    }
    written.map_err(failed)
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
