//! `convoke validate`: are these files right? Nothing is saved.

use std::path::PathBuf;

use clap::Args;
use convoke_api::{Bundle, Problem, Problems, Source};
use serde_json::json;

use crate::args::Global;
use crate::error::{Exit, Result};
use crate::hub::Hub;
use crate::text::{self, GREEN, RED, paint};
use crate::{definition, say, wire};

#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// YAML files: profiles and teams, which may refer to each other and to what is saved, and scripts
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

impl ValidateArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let texts = definition::texts(&self.files)?;
        let (scripts, texts): (Vec<_>, Vec<_>) = texts.into_iter().partition(|(_, text)| is_script(text));
        let mut problems: Vec<Problem> = scripts.iter().filter_map(|(file, text)| flaw(file, text)).collect();
        let hub = Hub::up_to_date(global).await?;
        let known = definition::known(&hub).await?;
        let sources: Vec<Source<'_>> = texts.iter().map(|(file, text)| Source { file, text }).collect();
        let read = if sources.is_empty() { Ok(Bundle::default()) } else { convoke_api::read(&sources, &known) };
        match read {
            Ok(bundle) if problems.is_empty() => right(global, &bundle, scripts.len()),
            Ok(_) => wrong(global, &Problems(problems)),
            Err(found) => {
                problems.extend(found.0);
                wrong(global, &Problems(problems))
            }
        }
    }
}

/// True for a script that plays a model: it has a list of agents, and is of no kind.
fn is_script(text: &str) -> bool {
    let has = |key: &str| text.lines().any(|line| line.starts_with(key));
    has("agents:") && !has("kind:")
}

/// What is wrong with a script.
fn flaw(file: &str, text: &str) -> Option<Problem> {
    let error = wire::check_script(file, text).err()?;
    let place = |number| usize::try_from(number).unwrap_or_default();
    let fix = "see docs/reference/script.md for what a script may hold";
    Some(Problem::at((file, text), (place(error.line), place(error.column)), "bad_script", &error.reason, fix))
}

fn right(global: &Global, bundle: &Bundle, scripts: usize) -> Result<Exit> {
    let profiles: Vec<&str> = bundle.profiles.iter().map(|one| one.name.as_str()).collect();
    let teams: Vec<&str> = bundle.teams.iter().map(|one| one.name.as_str()).collect();
    if global.json {
        say::json(&json!({"valid": true, "profiles": profiles, "teams": teams, "scripts": scripts, "problems": []}))?;
    } else if !global.quiet {
        let mut what = vec![text::many(profiles.len(), "profile"), text::many(teams.len(), "team")];
        if scripts > 0 {
            what.push(text::many(scripts, "script"));
        }
        say::line(&format!("{} {}", paint(GREEN, "valid:"), what.join(", ")))?;
    }
    Ok(Exit::Done)
}

fn wrong(global: &Global, problems: &Problems) -> Result<Exit> {
    if global.json {
        say::json(&json!({"valid": false, "profiles": [], "teams": [], "scripts": 0, "problems": problems}))?;
    } else {
        say::text(&definition::listed(problems))?;
        say::note(&format!("\n{} {}", paint(RED, "invalid:"), text::many(problems.0.len(), "problem")));
    }
    Ok(Exit::Failed)
}
