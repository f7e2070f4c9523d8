//! `convoke validate`: are these files right? Nothing is saved.

use std::path::{Path, PathBuf};

use clap::Args;
use convoke_api::{Bundle, Problem, Problems, Source};
use serde_json::json;

use crate::args::Global;
use crate::error::{Exit, Failure, Result};
use crate::hub::Hub;
use crate::text::{self, GREEN, RED, paint};
use crate::{definition, job, people, say, wire};

/// The most files of a folder.
const MAX_FILES: usize = 1_000;
/// How deep a folder is looked through.
pub const MAX_DEPTH: usize = 8;

#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// YAML files of profiles, teams, patterns and scripts, folders of them, or names of saved teams; what they define may refer
    /// to each other and to what is saved
    #[arg(required = true, value_name = "FILE|FOLDER|TEAM")]
    pub what: Vec<String>,
}

impl ValidateArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let hub = Hub::up_to_date(global).await?;
        let mut texts = Vec::new();
        for what in &self.what {
            texts.extend(found(&hub, what).await?);
        }
        let (scripts, texts): (Vec<_>, Vec<_>) = texts.into_iter().partition(|(_, text)| is_script(text));
        let mut problems: Vec<Problem> = scripts.iter().filter_map(|(file, text)| flaw(file, text)).collect();
        let known = definition::known(&hub).await?;
        let sources: Vec<Source<'_>> = texts.iter().map(|(file, text)| Source { file, text }).collect();
        let read = if sources.is_empty() { Ok(Bundle::default()) } else { convoke_api::read(&sources, &known) };
        match read {
            Ok(bundle) if problems.is_empty() => {
                let named = people::named(&bundle.teams, bundle.profiles.iter());
                let strangers = people::strangers(&hub, &named).await?;
                let warnings: Vec<_> = strangers.iter().filter_map(|stranger| stranger.warning(&texts)).collect();
                right(global, &bundle, scripts.len(), &warnings)
            }
            Ok(_) => wrong(global, &Problems(problems)),
            Err(found) => {
                problems.extend(found.0);
                wrong(global, &Problems(problems))
            }
        }
    }
}

/// The texts that a word on the command line means.
async fn found(hub: &Hub, what: &str) -> Result<Vec<(String, String)>> {
    let path = Path::new(what);
    if path.is_dir() {
        let mut files = Vec::new();
        files_in(path, MAX_DEPTH, &mut files)?;
        files.sort();
        if files.is_empty() {
            let failure = Failure::usage("missing_file", format!("there are no files to check in `{what}`"));
            return Err(failure.hint("definitions are files whose names end in `.yaml`, `.yml` or `.json`"));
        }
        return definition::texts(&files);
    }
    if job::is_path(what) || path.exists() {
        return definition::texts(&[path.to_path_buf()]);
    }
    let teams = hub.engine.teams().await?;
    let Some(team) = teams.iter().find(|team| team.body.name == what) else {
        let failure = Failure::usage("missing", format!("there is no team `{what}`, and no file of that name"));
        return Err(failure.hint("`convoke teams` lists teams; a file is given by its path, such as `./team.yaml`"));
    };
    Ok(vec![(format!("team {what}"), convoke_api::bundle_to_yaml(&team.body, &[]))])
}

/// The definitions in a folder and those below it; what is hidden is left out.
fn files_in(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let unreadable =
        |cause: std::io::Error| Failure::usage("io", format!("cannot read `{}`", folder.display())).cause(cause);
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() && depth > 0 {
            files_in(&path, depth - 1, files)?;
        } else if is_definition_name(&name) && path.is_file() {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            let message = format!("`{}` holds more than {MAX_FILES} files", folder.display());
            return Err(Failure::usage("too_many_files", message).hint("name a smaller folder"));
        }
    }
    Ok(())
}

/// True for the name of a file that may hold definitions.
pub fn is_definition_name(name: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end))
}

/// The definitions in a folder and those below it.
pub fn definitions_in(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    files_in(folder, MAX_DEPTH, files)
}

/// True for a script that plays a model: it has a list of agents, and is of no kind.
pub fn is_script(text: &str) -> bool {
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

fn right(global: &Global, bundle: &Bundle, scripts: usize, warnings: &[Problem]) -> Result<Exit> {
    let profiles: Vec<&str> = bundle.profiles.iter().map(|one| one.name.as_str()).collect();
    let teams: Vec<&str> = bundle.teams.iter().map(|one| one.name.as_str()).collect();
    let patterns: Vec<&str> = bundle.patterns.iter().map(|one| one.name.as_str()).collect();
    if global.json {
        let names = json!({
            "valid": true, "profiles": profiles, "teams": teams, "patterns": patterns, "scripts": scripts, "problems": [],
            "notes": bundle.notes, "warnings": warnings,
        });
        say::json(&names)?;
    } else if !global.quiet {
        for warning in warnings {
            let told = warning.to_string().replacen("error[", "warning[", 1);
            say::note(&format!("{}\n", text::plain(told.trim_end())));
        }
        let mut what = vec![text::many(profiles.len(), "profile"), text::many(teams.len(), "team")];
        if !patterns.is_empty() {
            what.push(text::many(patterns.len(), "pattern"));
        }
        if scripts > 0 {
            what.push(text::many(scripts, "script"));
        }
        say::line(&format!("{} {}", paint(GREEN, "valid:"), what.join(", ")))?;
        for note in &bundle.notes {
            let place = format!("{}:{}:{}", note.file, note.line, note.column);
            say::note(&text::plain(&format!("note: {place}: {}; {}", note.message, note.hint)));
        }
    }
    Ok(Exit::Done)
}

fn wrong(global: &Global, problems: &Problems) -> Result<Exit> {
    if global.json {
        let none = json!({
            "valid": false, "profiles": [], "teams": [], "patterns": [], "scripts": 0, "problems": problems, "warnings": [],
        });
        say::json(&none)?;
    } else {
        say::text(&definition::listed(problems))?;
        say::note(&format!("\n{} {}", paint(RED, "invalid:"), text::many(problems.0.len(), "problem")));
    }
    Ok(Exit::Usage)
}
