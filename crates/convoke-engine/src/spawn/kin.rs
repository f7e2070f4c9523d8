//! What a driver needs of a spawned agent, whom the pinned spec does not know: its profile, its models, those above it.

use convoke_domain::id::{RunId, WorkspaceId};
use convoke_domain::profile::{Limits, Profile};
use convoke_domain::spawn::{Tree, bounds};
use convoke_domain::spec::RunSpec;
use convoke_store::{OrMissing, Result, Tx, UseCase, spawn};

use crate::budget;
use crate::ledger::Scope;

/// A spawned agent among its kin.
#[derive(Debug, Clone)]
pub(crate) struct Kin {
    /// As it was born.
    pub profile: Profile,
    /// Its models.
    pub models: Vec<String>,
    /// Those above it that were spawned themselves, with their limits, and the one of the team that began it.
    above: Vec<(String, Option<Limits>)>,
}

impl Kin {
    /// The budgets that its calls fall under besides those of the team's agents: its own, of all above it, and of all that were
    /// spawned in its run together. So do the calls of whoever it has handed its task: what was given for the task goes along.
    pub(crate) fn scopes(&self, run: RunId, spec: &RunSpec) -> Vec<Scope> {
        let tokens = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
        let own = |name: &String| spec.profiles.get(name).map(|profile| profile.limits);
        let me = (&self.profile.name, self.profile.limits);
        let above = self.above.iter().filter_map(|(name, limits)| Some((name, limits.or_else(|| own(name))?)));
        let limits = std::iter::once(me).chain(above);
        let limited = limits.filter(|(_, limits)| limits.max_cost_usd.is_some() || limits.max_tokens.is_some());
        let family = limited.map(|(name, limits)| Scope {
            name: budget::scope(run, name),
            cap_cost: limits.max_cost_usd,
            cap_tokens: limits.max_tokens.map(tokens),
        });
        let all = bounds(&spec.team.rules.spawn).tokens;
        let together = Scope { name: format!("spawned:{run}"), cap_cost: None, cap_tokens: Some(tokens(all)) };
        family.chain([together]).collect()
    }
}

/// Reads the kin of a spawned agent.
pub(crate) struct LoadKin {
    pub ws: WorkspaceId,
    pub run: RunId,
    pub agent: String,
}

impl UseCase for LoadKin {
    type Out = Kin;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Kin> {
        let rows = spawn::of_run(tx, self.run).await?;
        let find = |name: &str| rows.iter().find(|row| row.name == name);
        let row = find(&self.agent).or_missing("agent of this run", &self.agent)?;
        let tree = Tree { nodes: rows.iter().map(Into::into).collect() };
        let mut above = Vec::new();
        for name in tree.above(&self.agent) {
            let limits = match find(&name) {
                Some(row) => Some(serde_json::from_str::<Profile>(&row.profile)?.limits),
                None => None,
            };
            above.push((name, limits));
        }
        Ok(Kin { profile: serde_json::from_str(&row.profile)?, models: serde_json::from_str(&row.models)?, above })
    }
}
