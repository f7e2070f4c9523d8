//! Which run is meant: a full id, its beginning or end, or `last`.

use convoke_domain::id::RunId;
use convoke_engine::Engine;

use crate::error::{Failure, Result};

/// What a run is called on the command line, for help texts.
pub const HELP: &str = "A run: its id, at least 4 characters of its beginning or end, or `last`";

/// Characters that a part of an id must have at least.
const MIN: usize = 4;
/// Ids read at once, and looked through at most.
const PAGE: i64 = 10_000;
const MAX: usize = 1_000_000;
/// Candidates that an error names.
const SHOWN: usize = 8;

/// Finds the run that `text` means.
pub async fn run(engine: &Engine, text: &str) -> Result<RunId> {
    if let Ok(id) = text.parse::<RunId>() {
        return Ok(id);
    }
    if text == "last" {
        let newest = engine.run_ids(None, 1).await?;
        return newest.first().copied().ok_or_else(|| {
            Failure::usage("missing", "there is no run yet").hint("start one with `convoke run TEAM \"task\"`")
        });
    }
    let part = text.strip_prefix("run_").unwrap_or(text);
    check(text, part)?;
    let found = search(engine, part).await?;
    match found.as_slice() {
        [only] => Ok(*only),
        [] => Err(Failure::usage("missing", format!("there is no run `{text}`")).hint("`convoke runs` lists them")),
        several => Err(ambiguous(text, several)),
    }
}

fn check(text: &str, part: &str) -> Result<()> {
    let fits = part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if part.len() >= MIN && fits {
        return Ok(());
    }
    let message = format!("`{text}` is not a run");
    Err(Failure::usage("bad_run", message).hint(format!(
        "give its id, at least {MIN} characters of its beginning or end, or `last`; `convoke runs` lists them"
    )))
}

async fn search(engine: &Engine, part: &str) -> Result<Vec<RunId>> {
    let (mut found, mut before, mut seen) = (Vec::new(), None, 0);
    loop {
        let page = engine.run_ids(before, PAGE).await?;
        seen += page.len();
        before = page.last().copied();
        found.extend(page.iter().filter(|id| matches(**id, part)));
        if page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) || seen >= MAX {
            return Ok(found);
        }
    }
}

fn matches(id: RunId, part: &str) -> bool {
    let text = id.to_string();
    let bare = text.trim_start_matches("run_");
    bare.starts_with(part) || bare.ends_with(part)
}

fn ambiguous(text: &str, several: &[RunId]) -> Failure {
    let mut names: Vec<String> = several.iter().take(SHOWN).map(ToString::to_string).collect();
    if several.len() > SHOWN {
        names.push(format!("and {} more", several.len() - SHOWN));
    }
    let message = format!("`{text}` may mean {} runs: {}", several.len(), names.join(", "));
    Failure::usage("ambiguous", message).hint("give more of it; the end of an id differs most")
}

/// The end of an id, enough to name it among few.
pub fn short(id: RunId) -> String {
    let text = id.to_string();
    text[text.len().saturating_sub(6)..].to_owned()
}
