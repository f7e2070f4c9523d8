//! `convoke demo`: the library's teams at work, played by a script that calls real tools on real files. No key, no service.

use std::path::{Path, PathBuf};

use clap::Args;
use convoke_api::library;
use convoke_engine::Caps;

use crate::args::Global;
use crate::error::{Exit, Failure, Result};
use crate::hub::Hub;
use crate::job::{Job, folder};
use crate::place::Place;
use crate::run::{Work, open};
use crate::{file, say, wire};

const INCIDENT: &str = "incident-response";
const REVIEW: &str = "code-review";

#[derive(Debug, Args)]
pub struct Demo {
    /// Team to watch
    #[arg(long, default_value = INCIDENT, value_parser = [INCIDENT, REVIEW])]
    pub team: String,
    /// Other data to look at: an incident, or for code-review a repository
    #[arg(long, value_name = "DIR")]
    pub input: Option<PathBuf>,
    /// A model in place of the script, such as openai/gpt-5
    #[arg(long, value_name = "PROVIDER/MODEL")]
    pub model: Option<String>,
    #[command(flatten)]
    pub work: Work,
}

impl Demo {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        // What was typed is checked before a folder is made.
        let input = self.input.as_deref().map(folder).transpose()?;
        if input.is_none() && self.team == REVIEW {
            return Err(Failure::usage("bad_input_folder", "this demo needs a repository to review")
                .hint("`convoke demo --team code-review --input REPO`"));
        }
        let (hub, parts) = self.open(global).await?;
        let input = match input {
            Some(input) => input,
            None => example(&hub.place.dir)?,
        };
        if !global.quiet {
            say::note(&format!("data folder: {}", hub.place.dir.display()));
            say::note(&format!("input: {}", input.display()));
        }
        self.job(input).carry(global, &hub, &parts).await
    }

    /// The demo's own folder unless one is named; another one while a demo is under way there.
    async fn open(&self, global: &Global) -> Result<(Hub, wire::Parts)> {
        if global.data.is_some() {
            return open(global, Place::find(global.data.as_deref())?, self.work).await;
        }
        match open(global, Place::demo()?, self.work).await {
            Err(failure) if failure.code == "in_use" => open(global, Place::another_demo()?, self.work).await,
            other => other,
        }
    }

    fn job(self, input: PathBuf) -> Job {
        let task = match self.team.as_str() {
            REVIEW => "Review this repository for security, performance, practices and tests.",
            _ => "Investigate INC-2093: customers cannot check out. Find the root cause and propose a fix.",
        };
        Job {
            model: Some(self.model.unwrap_or_else(|| format!("script/{}", self.team))),
            team: self.team,
            task: task.to_owned(),
            input: Some(input),
            default_model: None,
            caps: Caps::default(),
            session: None,
            allow_unpriced: false,
        }
    }
}

/// The example incident, written where the team can read it.
fn example(data: &Path) -> Result<PathBuf> {
    let root = data.join("input").join(INCIDENT);
    for (path, body) in library::incident_files() {
        let path = root.join(path);
        if std::fs::read(&path).is_ok_and(|there| there == *body) {
            continue;
        }
        file::make_dir(path.parent().unwrap_or(&root))?;
        file::write(&path, body)?;
    }
    Ok(root)
}
