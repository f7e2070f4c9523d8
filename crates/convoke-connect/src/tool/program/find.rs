//! Where a program is, and which variables it may be given.
//!
//! Rule: what is run is a file that may be run: a system program by its name, one by its full path (it alone is shown in the
//! sandbox), or one in the attempt's folder or the run's input, which is opened like any file of theirs.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::tool::file::ground::{Ground, Spot};
use crate::tool::job::Job;
use crate::tool::shell::sandbox::{PATH, SYSTEM};

/// Variables that the sandbox sets itself, or that change what a program is.
const OWN: [&str; 5] = ["PATH", "HOME", "TMPDIR", "PWD", "IFS"];
/// Beginnings of names of variables that are never passed on: Convoke's own, and the loader's.
const NEVER: [&str; 2] = ["CONVOKE_", "LD_"];

/// Whether a variable may be passed on. Files that name another one are refused when they are read; this is for all else.
pub(super) fn may_pass(name: &str) -> bool {
    !OWN.contains(&name) && !NEVER.iter().any(|start| name.starts_with(start))
}

/// The full path of a program, and the file to show in the sandbox if it is not there anyway.
pub(super) fn find(job: &Job, program: &str) -> Result<(PathBuf, Option<PathBuf>), String> {
    let path = Path::new(program);
    if program.is_empty() || program.contains('\0') {
        return Err("the name of the program is empty or holds a NUL".into());
    }
    if !program.contains('/') {
        let places = PATH.split(':').map(|folder| Path::new(folder).join(program));
        let found = places.into_iter().find(|place| may_be_run(place));
        return found.map(|place| (place, None)).ok_or_else(|| format!("there is no program `{program}` in {PATH}"));
    }
    if path.is_relative() {
        let spot = Spot::parse(program, &job.limits.file).map_err(|why| format!("the program `{program}` {why}"))?;
        Ground::open(job).and_then(|ground| ground.file(&spot)).map_err(|error| format!("the program {error}"))?;
        return Ok((job.workdir.join(program), None));
    }
    if !may_be_run(path) {
        return Err(format!("`{program}` is not a file that may be run"));
    }
    let is_there = SYSTEM.iter().any(|folder| path.starts_with(folder));
    Ok((path.to_owned(), (!is_there).then(|| path.to_owned())))
}

fn may_be_run(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}
