//! Moving unspent budget between agents of a run. What is moved comes from one cap and goes to the other; what is held or
//! billed stays where it is.

use std::sync::Arc;

use convoke_domain::budget::{Amount, Budget, shift};
use convoke_domain::event::Kind;
use convoke_domain::id::{RunId, WorkspaceId};
use convoke_domain::profile::{Limits, Profile};
use convoke_domain::refusal::Refusal;
use convoke_domain::spawn::Tree;
use convoke_domain::spec::RunSpec;
use convoke_store::{OrMissing, Result as Stored, Tx, UseCase, budget, run, spawn};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::engine::emit;
use crate::run::state_of;
use crate::user::may_govern;
use crate::{Engine, Result};

/// What is moved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MoveBudget {
    /// The run.
    pub run: RunId,
    /// Whose cap gets smaller.
    pub from: String,
    /// Whose cap grows.
    pub to: String,
    /// How much, in dollars, tokens, or both.
    pub amount: Amount,
    /// Who says so, by name.
    pub user: String,
}

impl Engine {
    /// Moves unspent budget between two agents of a run that are siblings. Owners and operators may.
    pub async fn move_budget(&self, what: MoveBudget) -> Result<()> {
        let spec = self.spec_of(what.run).await?;
        self.store().run(Move { ws: self.ws(), spec, what }).await??;
        Ok(())
    }
}

struct Move {
    ws: WorkspaceId,
    spec: Arc<RunSpec>,
    what: MoveBudget,
}

impl UseCase for Move {
    type Out = std::result::Result<(), Refusal>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        let what = &self.what;
        if let Err(refusal) = may_govern(tx, &what.user, "move budgets").await? {
            return Ok(Err(refusal));
        }
        let held = run::hold(tx, what.run).await?;
        if state_of(&held)?.has_ended() {
            return Err(Refusal::new("run_ended", format!("the run {} has ended", what.run)).into());
        }
        let rows = spawn::of_run(tx, what.run).await?;
        for name in [&what.from, &what.to] {
            open(tx, what.run, name, limits_of(&self.spec, &rows, name)?).await?;
        }
        let tree = Tree { nodes: rows.iter().map(Into::into).collect() };
        if !tree.siblings(&what.from, &what.to) {
            let message = format!("`{}` and `{}` are no siblings", what.from, what.to);
            let hint = "budget moves between agents of the team, or between agents that the same agent has spawned";
            return Err(Refusal::new("not_siblings", message).hint(hint).into());
        }
        self.shift(tx).await?;
        Ok(Ok(()))
    }
}

impl Move {
    async fn shift(&self, tx: &mut Tx<'_>) -> Stored<()> {
        let what = &self.what;
        let scopes = [scope(what.run, &what.from), scope(what.run, &what.to)];
        let rows = budget::hold(tx, &scopes).await?;
        let find = |name: &str| rows.iter().find(|row| row.scope == name).cloned().map(Budget::from);
        let from = find(&scopes[0]).or_missing("budget", &scopes[0])?;
        let to = find(&scopes[1]).or_missing("budget", &scopes[1])?;
        shift(&from, &to, what.amount)?;
        let (cost, tokens) = (what.amount.cost, what.amount.tokens);
        let less = convoke_domain::money::Money::from_nanos(-cost.as_nanos());
        budget::shift(tx, &scopes[0], less, -tokens).await?;
        budget::shift(tx, &scopes[1], cost, tokens).await?;
        let payload = json!({"from": what.from, "to": what.to, "cost_usd": cost, "tokens": tokens});
        let on = ("budget", scopes[1].clone());
        emit(tx, Kind::BudgetMoved, on, (Some(what.run), &format!("user:{}", what.user)), payload);
        Ok(())
    }
}

/// The budget of an agent in a run.
pub(crate) fn scope(run: RunId, agent: &str) -> String {
    format!("agent:{run}:{agent}")
}

async fn open(tx: &mut Tx<'_>, run: RunId, agent: &str, limits: Limits) -> Stored<()> {
    let tokens = limits.max_tokens.map(|tokens| i64::try_from(tokens).unwrap_or(i64::MAX));
    budget::open(tx, &scope(run, agent), limits.max_cost_usd, tokens).await
}

/// The limits that an agent of the run was born with.
fn limits_of(spec: &RunSpec, rows: &[spawn::Record], name: &str) -> Stored<Limits> {
    if let Some(profile) = spec.profiles.get(name) {
        return Ok(profile.limits);
    }
    let row = rows.iter().find(|row| row.name == name).or_missing("agent of this run", name)?;
    Ok(serde_json::from_str::<Profile>(&row.profile)?.limits)
}
