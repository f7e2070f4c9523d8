//! `convoke init`: a folder with a small team, data and a script, from which to start.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::args::Global;
use crate::error::{Exit, Failure, Result};
use crate::place::quoted;
use crate::{file, say};

macro_rules! files {
    ($($path:literal),+ $(,)?) => { &[$(($path, include_str!(concat!("../start/", $path))),)+] };
}

/// What is written.
const FILES: &[(&str, &str)] = files!["README.md", "team.yaml", "script.yaml", "input/notes.md", "input/orders.csv"];

#[derive(Debug, Args)]
pub struct InitArgs {
    /// Folder to make; it must not exist or be empty
    pub dir: PathBuf,
}

impl InitArgs {
    pub fn act(self, global: &Global) -> Result<Exit> {
        let shown = self.dir.display();
        let taken = match std::fs::read_dir(&self.dir) {
            Ok(mut entries) => entries.next().is_some(),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => false,
            Err(cause) => return Err(Failure::io(format!("cannot use the folder `{shown}`"), &cause)),
        };
        if taken {
            return Err(Failure::usage("not_empty", format!("the folder `{shown}` is not empty"))
                .hint("name a new folder; nothing is overwritten"));
        }
        for (path, body) in FILES {
            let path = self.dir.join(path);
            file::make_dir(path.parent().unwrap_or(&self.dir))?;
            file::write(&path, body.as_bytes())?;
        }
        if global.json {
            let files: Vec<&str> = FILES.iter().map(|(path, _)| *path).collect();
            say::json(&json!({"dir": shown.to_string(), "files": files}))?;
        } else if !global.quiet {
            say::line(&format!("made {shown} with a team, its data and a script that plays it; try:\n"))?;
            say::line(&format!("  cd {}", quoted(&self.dir)))?;
            say::line("  convoke run team.yaml \"Where do we stand?\" --input input --model script/script.yaml")?;
        }
        Ok(Exit::Done)
    }
}
