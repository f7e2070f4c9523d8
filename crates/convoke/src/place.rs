//! Where the data is: `--data`, `CONVOKE_DATA`, or the platform's place for an application's data.

use std::path::{Path, PathBuf};

use directories::ProjectDirs;

use crate::error::{Failure, Result};

/// A data folder, and whether commands find it without being told.
#[derive(Debug, Clone)]
pub struct Place {
    /// The folder; absolute.
    pub dir: PathBuf,
    /// A command typed in the same shell would use it too.
    pub usual: bool,
}

impl Place {
    /// The folder that was named, or the usual one.
    pub fn find(named: Option<&Path>) -> Result<Self> {
        match named {
            Some(dir) => {
                let usual = std::env::var_os("CONVOKE_DATA").is_some_and(|set| Path::new(&set) == dir);
                Ok(Self { dir: absolute(dir)?, usual })
            }
            None => Ok(Self { dir: dirs()?.data_dir().to_owned(), usual: true }),
        }
    }

    /// The demo's own folder, which may be thrown away.
    pub fn demo() -> Result<Self> {
        Ok(Self { dir: dirs()?.cache_dir().join("demo"), usual: false })
    }

    /// The demo's folder when another demo is under way.
    pub fn another_demo() -> Result<Self> {
        let dir = dirs()?.cache_dir().join(format!("demo-{}", std::process::id()));
        Ok(Self { dir, usual: false })
    }

    /// A command to type next, with what it needs to find this folder.
    pub fn command(&self, rest: &str) -> String {
        match rest.split_once(" -- ").filter(|(head, _)| !head.contains('\'')) {
            _ if self.usual => format!("convoke {rest}"),
            // Nothing behind the dashes is an option.
            Some((head, tail)) => format!("convoke {head} --data {} -- {tail}", quoted(&self.dir)),
            None => format!("convoke {rest} --data {}", quoted(&self.dir)),
        }
    }

    /// Refuses a folder that was named for this one command and is not there: nothing can be read in it, and what is empty
    /// would look as if nothing waited.
    pub fn check(&self) -> Result<()> {
        if self.usual || !matches!(self.dir.try_exists(), Ok(false)) {
            return Ok(());
        }
        let message = format!("there is no data folder {}", self.dir.display());
        Err(Failure::usage("missing_folder", message)
            .hint("look at `--data`: without it the usual folder is used, and `convoke run` makes a new one where there is none"))
    }

    /// Makes the folder where it is missing, readable by its owner alone: what teams work on is nobody else's affair.
    pub fn make(&self) -> Result<()> {
        let mut make = std::fs::DirBuilder::new();
        make.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut make, 0o700);
        let failed = |cause| {
            Failure::io(format!("cannot make the data folder {}", self.dir.display()), &cause)
                .hint("choose another one with `--data DIR` or the variable CONVOKE_DATA")
        };
        make.create(&self.dir).map_err(failed)
    }
}

fn dirs() -> Result<ProjectDirs> {
    ProjectDirs::from("", "", "convoke").ok_or_else(|| {
        Failure::usage("no_home", "there is no home folder to keep data in")
            .hint("name a data folder with `--data DIR`")
    })
}

/// A path that stays right when the working folder changes.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|cause| Failure::io(format!("cannot use the path `{}`", path.display()), &cause))
}

/// A path as it can be pasted into a shell.
pub fn quoted(path: &Path) -> String {
    word(&path.display().to_string())
}

/// A word as it can be pasted into a shell.
pub fn word(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "/._-+:@~".contains(c);
    if !text.is_empty() && text.chars().all(safe) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_to_paste_find_the_folder() {
        let place = Place { dir: "/tmp/my data".into(), usual: false };
        assert_eq!(place.command("runs"), "convoke runs --data '/tmp/my data'");
        assert_eq!(Place { usual: true, ..place }.command("runs"), "convoke runs");
        assert_eq!(quoted(Path::new("/a/it's")), r"'/a/it'\''s'");
    }
}
