//! Which run or handoff is meant: a full id, its beginning or end, or `last`; and whether anybody goes by a name.

use std::fmt::Display;

use convoke_api::near::suggest;
use convoke_domain::id::{HandoffId, RunId};
use convoke_engine::Engine;
use convoke_store::user::User;

use crate::error::{Failure, Result};

/// What a run is called on the command line, for help texts.
pub const HELP: &str = "A run: its id, at least 4 characters of its beginning or end, or `last`";

/// What a handoff is called there.
pub const HANDOFF: &str = "A handoff: its id, or at least 4 characters of its beginning or end";

/// Characters that a part of an id must have at least.
const MIN: usize = 4;
/// Ids read at once, and looked through at most.
const PAGE: i64 = 10_000;
const HANDOFFS: i64 = 1_000;
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
        several => Err(ambiguous(text, "runs", several)),
    }
}

/// Finds the handoff that `text` means.
pub async fn handoff(engine: &Engine, text: &str) -> Result<HandoffId> {
    if let Ok(id) = text.parse::<HandoffId>() {
        return Ok(id);
    }
    let part = text.strip_prefix("hand_").unwrap_or(text);
    if !is_part(part) {
        return Err(Failure::usage("bad_id", format!("`{text}` is not a handoff")).hint(format!(
            "give its id, or at least {MIN} characters of its beginning or end; `convoke handoffs` lists them"
        )));
    }
    let (mut found, mut after, mut seen) = (Vec::new(), None, 0);
    loop {
        let page = engine.handoffs(None, false, after, HANDOFFS).await?;
        seen += page.len();
        after = page.last().map(|one| one.id);
        found.extend(page.iter().map(|one| one.id).filter(|id| matches(id, part)));
        if page.len() < usize::try_from(HANDOFFS).unwrap_or(usize::MAX) || seen >= MAX {
            break;
        }
    }
    match found.as_slice() {
        [only] => Ok(*only),
        [] => {
            Err(Failure::usage("missing", format!("there is no handoff `{text}`"))
                .hint("`convoke handoffs` lists them"))
        }
        several => Err(ambiguous(text, "handoffs", several)),
    }
}

/// Refuses a name that no agent goes by: a list of what such a one has would look as if there were nothing.
pub async fn agent(engine: &Engine, name: &str) -> Result<()> {
    match engine.agent(name).await {
        Err(error) if error.code() == "missing" => {
            let known = engine.agents().await?;
            let names = known.iter().filter(|agent| agent.run.is_none()).map(|agent| agent.name.as_str());
            let near = suggest(name, names, "there is none yet");
            Err(Failure::usage("missing", format!("there is no agent `{name}`"))
                .hint(format!("{near}; `convoke agents` lists them")))
        }
        found => Ok(found.map(drop)?),
    }
}

/// Refuses a name that no user goes by: for one nothing ever waits.
pub async fn user(engine: &Engine, name: &str) -> Result<()> {
    let known = users(engine).await?;
    if known.iter().any(|user| user.name == name) {
        return Ok(());
    }
    let hint = match engine.agent(name).await {
        Ok(_) => format!("`{name}` is an agent, and what waits for an agent comes to it in its runs"),
        Err(_) => suggest(name, known.iter().map(|user| user.name.as_str()), "there is none yet"),
    };
    Err(Failure::usage("unknown_user", format!("there is no user `{name}`"))
        .hint(format!("{hint}; `convoke users` lists them")))
}

/// All users by name.
pub async fn users(engine: &Engine) -> Result<Vec<User>> {
    let mut users = engine.users("").await?;
    while let Some(last) = users.last().map(|user| user.name.clone()) {
        let more = engine.users(&last).await?;
        if more.is_empty() {
            break;
        }
        users.extend(more);
    }
    Ok(users)
}

/// Refuses a name that no team goes by.
pub async fn team(engine: &Engine, name: &str) -> Result<()> {
    let known = engine.teams().await?;
    if known.iter().any(|team| team.body.name == name) {
        return Ok(());
    }
    let near = suggest(name, known.iter().map(|team| team.body.name.as_str()), "there is none yet");
    Err(Failure::usage("missing", format!("there is no team `{name}`"))
        .hint(format!("{near}; `convoke teams` lists them")))
}

/// Whether this can be a part of an id.
fn is_part(part: &str) -> bool {
    part.len() >= MIN && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn check(text: &str, part: &str) -> Result<()> {
    if is_part(part) {
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
        found.extend(page.iter().filter(|id| matches(id, part)));
        if page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) || seen >= MAX {
            return Ok(found);
        }
    }
}

fn matches(id: &impl Display, part: &str) -> bool {
    let text = id.to_string();
    let bare = text.split_once('_').map_or(text.as_str(), |(_, bare)| bare);
    bare.starts_with(part) || bare.ends_with(part)
}

fn ambiguous(text: &str, what: &str, several: &[impl Display]) -> Failure {
    let mut names: Vec<String> = several.iter().take(SHOWN).map(ToString::to_string).collect();
    if several.len() > SHOWN {
        names.push(format!("and {} more", several.len() - SHOWN));
    }
    let message = format!("`{text}` may mean {} {what}: {}", several.len(), names.join(", "));
    Failure::usage("ambiguous", message).hint("give more of it; the end of an id differs most")
}

/// The end of an id, enough to name it among few.
pub fn short(id: RunId) -> String {
    let text = id.to_string();
    text[text.len().saturating_sub(6)..].to_owned()
}
