//! `convoke demo`: the library's teams at work, played by a script that calls real tools on real files. No key, no service.

use std::path::{Path, PathBuf};

use clap::Args;
use convoke_api::example::{self, Example};
use convoke_api::library;
use convoke_engine::Caps;
use serde_json::json;

use crate::args::Global;
use crate::error::{Exit, Failure, Result};
use crate::hub::Hub;
use crate::job::{Job, folder};
use crate::place::Place;
use crate::run::{Work, open};
use crate::runs::room;
use crate::text::{Side, Table};
use crate::{file, say, wire};

/// The team that is shown if none is named.
const FIRST: &str = "incident-response";

#[derive(Debug, Args)]
pub struct Demo {
    /// Team to watch; incident-response if none is named
    #[arg(value_name = "TEAM")]
    pub team: Option<String>,
    /// The same as TEAM
    #[arg(long = "team", value_name = "TEAM", hide = true, conflicts_with = "team")]
    pub named: Option<String>,
    /// List the teams that can be watched
    #[arg(long, conflicts_with_all = ["team", "named", "input", "model"])]
    pub list: bool,
    /// Other files to work on than those of the example
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
        if self.list {
            return list(global);
        }
        // What was typed is checked before a folder is made.
        let example = self.example()?;
        let input = self.input.as_deref().map(folder).transpose()?;
        let (hub, parts) = self.open(global).await?;
        let input = match input {
            Some(input) => input,
            None => written(example, &hub.place.dir)?,
        };
        if !global.quiet {
            say::note(&format!("data folder: {}", hub.place.dir.display()));
            say::note(&format!("input: {}", input.display()));
        }
        self.job(example, input).carry(global, &hub, &parts).await
    }

    fn example(&self) -> Result<&'static Example> {
        let team = self.team.as_deref().or(self.named.as_deref()).unwrap_or(FIRST);
        example::of(team).ok_or_else(|| {
            let teams: Vec<&str> = example::all().iter().map(|example| example.team).collect();
            Failure::usage("missing", format!("there is no demo of a team `{team}`"))
                .hint(format!("there are: {}", teams.join(", ")))
        })
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

    fn job(self, example: &Example, input: PathBuf) -> Job {
        Job {
            model: Some(self.model.unwrap_or_else(|| format!("script/{}", example.team))),
            team: example.team.to_owned(),
            task: example.task.to_owned(),
            input: Some(input),
            default_model: None,
            caps: Caps::default(),
            session: None,
            allow_unpriced: false,
        }
    }
}

/// The teams that can be watched, with what they are asked and how they work together.
fn list(global: &Global) -> Result<Exit> {
    let teams = library::bundle().teams;
    let pattern = |name: &str| {
        let team = teams.iter().find(|team| team.name == name);
        team.map_or_else(String::new, |team| team.pattern.as_str().to_owned())
    };
    if global.json {
        let all = example::all().iter();
        let all = all.map(|one| json!({"team": one.team, "pattern": pattern(one.team), "task": one.task}));
        say::json(&all.collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&[("TEAM", Side::Left), ("PATTERN", Side::Left), ("TASK", Side::Left)]);
    for one in example::all() {
        table.row([one.team.to_owned(), pattern(one.team), one.task.to_owned()]);
    }
    say::text(&table.text(room()))?;
    Ok(Exit::Done)
}

/// The example's files, written where the team can read them.
fn written(example: &Example, data: &Path) -> Result<PathBuf> {
    let root = data.join("input").join(example.team);
    for (path, body) in example.files {
        let path = root.join(path);
        if std::fs::read(&path).is_ok_and(|there| there == *body) {
            continue;
        }
        file::make_dir(path.parent().unwrap_or(&root))?;
        file::write(&path, body)?;
    }
    Ok(root)
}
