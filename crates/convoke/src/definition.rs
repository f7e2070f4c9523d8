//! Profiles and teams as files: what they may refer to, reading them, and telling every problem.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use convoke_api::{Bundle, Known, Problems, Source, library};
use convoke_domain::profile::Profile;
use convoke_domain::spec::RunSpec;
use convoke_domain::team::Team;
use convoke_engine::{Caps, Definitions};

use crate::error::{Failure, Result};
use crate::hub::Hub;
use crate::job::MAX_TEAM_FILE;
use crate::run::default_model;
use crate::{file, text, wire};

/// What files may refer to: the profiles and teams that are saved, tools, providers.
pub async fn known(hub: &Hub) -> Result<Known> {
    let saved = hub.engine.profiles().await?;
    let teams = hub.engine.teams().await?;
    let patterns = hub.engine.patterns().await?;
    let known = wire::known(&hub.place.dir)?.with_profiles(saved.iter().map(|profile| &profile.body));
    let default = default_model().as_deref().map(wire::full_name).transpose()?;
    let known = known.with_patterns(patterns.iter().map(|pattern| &pattern.body));
    Ok(known.with_teams(teams.iter().map(|team| &team.body)).with_models(None, default))
}

/// What of a bundle is saved. A pattern that has the name of the library's own is not: where a team of the bundle names it, the
/// team carries its steps; where none does, it needs another name.
pub fn to_save(bundle: Bundle) -> Result<Definitions> {
    let Bundle { profiles, teams, mut patterns, .. } = bundle;
    let is_builtin = |name: &str| library::patterns().iter().any(|known| known.name == name);
    let is_carried = |name: &str| teams.iter().any(|team| team.pattern.as_str() == name);
    if let Some(taken) = patterns.iter().find(|one| is_builtin(&one.name) && !is_carried(&one.name)) {
        let message =
            format!("the library has a pattern `{}`, and nobody could say which of the two a team means", taken.name);
        return Err(Failure::usage("taken", message).hint("save yours under another name"));
    }
    patterns.retain(|one| !is_builtin(&one.name));
    Ok(Definitions { profiles, teams, patterns })
}

/// A team as a run would pin it, with these profiles beside those that are saved; its flow is still to be settled.
pub async fn spec_of(hub: &Hub, team: &Team, profiles: &[Profile]) -> Result<RunSpec> {
    let saved = hub.engine.profiles().await?.into_iter().map(|profile| profile.body);
    let all = saved.chain(profiles.iter().cloned()).map(|profile| (profile.name.clone(), profile));
    let mut all: BTreeMap<_, _> = all.collect();
    let is_in = |name: &str| name == team.coordinator || team.members.iter().any(|one| one.profile == name);
    all.retain(|name, _| is_in(name));
    Ok(RunSpec::new(team.clone(), all))
}

/// Refuses a budget that cannot suffice for a run of this team, whether the team says it or whoever starts the run.
pub fn afford(team: &Team, caps: Caps, known: &Known) -> Result<()> {
    let mut team = team.clone();
    team.budget.max_cost_usd = caps.cost.or(team.budget.max_cost_usd);
    team.budget.max_tokens = caps.tokens.and_then(|most| u64::try_from(most).ok()).or(team.budget.max_tokens);
    let text = convoke_api::bundle_to_yaml(&team, &[]);
    let Err(problems) = convoke_api::read_one(&team.name, &text, known) else { return Ok(()) };
    // Whatever else is wrong with it by now was right when it was saved.
    let Some(found) = problems.0.into_iter().find(|problem| problem.code == "budget_too_small") else { return Ok(()) };
    let message = format!("the budget cannot suffice: {}", found.message);
    Err(Failure::usage("budget_too_small", message)
        .hint(format!("{}; `--budget USD` and `--tokens N` set it for one run", found.hint)))
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
