//! Users: who asks. On one machine a name is enough, and a new one is added when it first asks for something.

use convoke_domain::authority::Denial;
use convoke_domain::event::Kind;
use convoke_domain::id::{RunId, WorkspaceId};
use convoke_domain::refusal::Refusal;
use convoke_store::{Result as Stored, Tx, UseCase, user};
use serde_json::json;

use crate::engine::emit;
use crate::{Engine, Result};

/// The part of a user whom the operator of this machine names.
const ROLE: &str = "owner";

impl Engine {
    /// Adds the user `name` if there is none of that name.
    pub async fn ensure_user(&self, name: &str) -> Result<()> {
        Ok(self.store().run(Ensure { ws: self.ws(), name: name.to_owned() }).await?)
    }
}

struct Ensure {
    ws: WorkspaceId,
    name: String,
}

impl UseCase for Ensure {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<()> {
        user::ensure(tx, &self.name, ROLE).await.map(drop)
    }
}

/// Whether a person may govern agents: owners and operators may. A refusal is on record if the transaction commits.
pub(crate) async fn may_govern(tx: &mut Tx<'_>, name: &str, what: &str) -> Stored<std::result::Result<(), Refusal>> {
    let role = user::by_name(tx, name).await?.map(|user| user.role);
    if matches!(role.as_deref(), Some("owner" | "operator")) {
        return Ok(Ok(()));
    }
    let who = format!("user:{name}");
    let is = role.map_or_else(|| "is not known here".to_owned(), |role| format!("is {role}"));
    let denial = Denial::new("user.role", format!("the user `{name}` {is}, and may not {what}"));
    Ok(Err(denied(tx, &who, None, &denial).hint("ask an owner or operator of the workspace")))
}

/// Puts a denial on record, and gives it as a refusal.
pub(crate) fn denied(tx: &mut Tx<'_>, who: &str, run: Option<RunId>, denial: &Denial) -> Refusal {
    let payload = json!({"rule": denial.rule, "message": denial.message});
    emit(tx, Kind::AuthorityDenied, ("authority", denial.rule.to_owned()), (run, who), payload);
    Refusal::new("not_allowed", denial.message.clone())
}
