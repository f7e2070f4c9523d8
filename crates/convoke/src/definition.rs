//! Profiles and teams as files: what they may refer to, reading them, and telling every problem.

use std::path::{Path, PathBuf};

use convoke_api::{Bundle, Known, Problems, Source};

use crate::error::{Failure, Result};
use crate::hub::Hub;
use crate::job::MAX_TEAM_FILE;
use crate::{file, text, wire};

/// What files may refer to: the profiles and teams that are saved, tools, providers.
pub async fn known(hub: &Hub) -> Result<Known> {
    let saved = hub.engine.profiles().await?;
    let teams = hub.engine.teams().await?;
    let known = wire::known(&hub.place.dir)?.with_profiles(saved.iter().map(|profile| &profile.body));
    Ok(known.with_teams(teams.iter().map(|team| &team.body)))
}

/// Reads texts; all problems are told as one failure.
pub fn read(sources: &[Source<'_>], known: &Known) -> Result<Bundle> {
    convoke_api::read(sources, known).map_err(|problems| refused(&problems))
}

/// Reads files.
pub fn read_files(paths: &[PathBuf], known: &Known) -> Result<Bundle> {
    let texts = texts(paths)?;
    let sources: Vec<Source<'_>> = texts.iter().map(|(file, text)| Source { file, text }).collect();
    read(&sources, known)
}

/// The texts of files by the names they were given.
pub fn texts(paths: &[PathBuf]) -> Result<Vec<(String, String)>> {
    let one = |path: &PathBuf| Ok((path.display().to_string(), file::read(Path::new(path), MAX_TEAM_FILE)?));
    paths.iter().map(one).collect()
}

/// Every problem with its place and its fix.
pub fn listed(problems: &Problems) -> String {
    let all: Vec<String> = problems.0.iter().map(|problem| text::plain(problem.to_string().trim_end())).collect();
    all.join("\n\n") + "\n"
}

fn refused(problems: &Problems) -> Failure {
    let count = text::many(problems.0.len(), "problem");
    Failure::usage("invalid_definition", format!("the definition has {count}\n\n{}", listed(problems).trim_end()))
        .hint("`convoke validate FILE` checks a file and changes nothing")
}
