//! `convoke validate`: are these files right? Nothing is saved.

use std::path::PathBuf;

use clap::Args;
use convoke_api::{Bundle, Problems, Source};
use serde_json::json;

use crate::args::Global;
use crate::error::{Exit, Result};
use crate::hub::Hub;
use crate::text::{self, GREEN, RED, paint};
use crate::{definition, say};

#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// YAML files; they may refer to each other and to what is saved
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

impl ValidateArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let texts = definition::texts(&self.files)?;
        let hub = Hub::up_to_date(global).await?;
        let known = definition::known(&hub).await?;
        let sources: Vec<Source<'_>> = texts.iter().map(|(file, text)| Source { file, text }).collect();
        match convoke_api::read(&sources, &known) {
            Ok(bundle) => right(global, &bundle),
            Err(problems) => wrong(global, &problems),
        }
    }
}

fn right(global: &Global, bundle: &Bundle) -> Result<Exit> {
    let profiles: Vec<&str> = bundle.profiles.iter().map(|one| one.name.as_str()).collect();
    let teams: Vec<&str> = bundle.teams.iter().map(|one| one.name.as_str()).collect();
    if global.json {
        say::json(&json!({"valid": true, "profiles": profiles, "teams": teams, "problems": []}))?;
    } else if !global.quiet {
        let what = [text::many(profiles.len(), "profile"), text::many(teams.len(), "team")];
        say::line(&format!("{} {}", paint(GREEN, "valid:"), what.join(", ")))?;
    }
    Ok(Exit::Done)
}

fn wrong(global: &Global, problems: &Problems) -> Result<Exit> {
    if global.json {
        say::json(&json!({"valid": false, "profiles": [], "teams": [], "problems": problems}))?;
    } else {
        say::text(&definition::listed(problems))?;
        say::note(&format!("\n{} {}", paint(RED, "invalid:"), text::many(problems.0.len(), "problem")));
    }
    Ok(Exit::Failed)
}
