//! Grants: a person gives an agent a right for a time, and may take it back. An agent never grants anything.
//!
//! Rule: whether a grant holds is asked when it is used, by the time of the transaction; nobody has to end it first.

use std::time::Duration;

use convoke_domain::authority::{self, Right, covers};
use convoke_domain::event::Kind;
use convoke_domain::id::{GrantId, LAST, RunId, WorkspaceId};
use convoke_domain::profile::Profile;
use convoke_domain::refusal::Refusal;
use convoke_store::definition::profile;
use convoke_store::{OrMissing, Result as Stored, Tx, UseCase, agent, grant, run};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::engine::emit;
use crate::user::may_govern;
use crate::{Engine, Result};

/// The longest time of a grant.
pub const LONGEST: Duration = Duration::from_secs(30 * 24 * 3_600);
/// The longest reason, in bytes.
const REASON_BYTES: usize = 4_096;
/// Grants that one agent may have at the same time.
const AT_ONCE: usize = 100;
/// Grants listed at once.
const PAGE: i64 = 1_000;

/// What is granted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GiveGrant {
    /// To which agent.
    pub agent: String,
    /// In which run; in all if absent.
    pub run: Option<RunId>,
    /// The right.
    #[serde(with = "word")]
    pub right: Right,
    /// For how long.
    pub lasts: Duration,
    /// Why.
    pub reason: String,
    /// Who gives it, by name.
    pub user: String,
}

/// A right as one word.
mod word {
    use convoke_domain::authority::Right;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(right: &Right, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(right)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Right, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

impl Engine {
    /// Gives an agent a right for a time, under an id that nothing else has. Owners and operators may.
    pub async fn grant(&self, id: GrantId, give: GiveGrant) -> Result<GrantId> {
        if give.lasts.is_zero() || give.lasts > LONGEST {
            let message = format!("a grant cannot last {} s", give.lasts.as_secs());
            return Err(Refusal::new("bad_time", message)
                .hint("a grant lasts at least a second and at most 30 days")
                .into());
        }
        if give.reason.len() > REASON_BYTES {
            let message = format!("the reason has {} bytes; at most {REASON_BYTES} are allowed", give.reason.len());
            return Err(Refusal::new("reason_too_long", message).hint("say it shorter").into());
        }
        Ok(self.store().run(Give { ws: self.ws(), id, give }).await??)
    }

    /// Takes a grant back. It works no more from the agent's next call on.
    pub async fn revoke(&self, id: GrantId, user: &str) -> Result<()> {
        self.store().run(Revoke { ws: self.ws(), id, user: user.to_owned() }).await??;
        Ok(())
    }

    /// Grants, the newest first, before `before` where given.
    pub async fn grants(&self, before: Option<GrantId>) -> Result<Vec<grant::Record>> {
        Ok(self.store().read(List { ws: self.ws(), before: before.unwrap_or(GrantId(LAST)) }).await?)
    }
}

struct Give {
    ws: WorkspaceId,
    id: GrantId,
    give: GiveGrant,
}

impl UseCase for Give {
    type Out = std::result::Result<GrantId, Refusal>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        let give = &self.give;
        if let Err(refusal) = may_govern(tx, &give.user, "grant rights").await? {
            return Ok(Err(refusal));
        }
        agent::hold(tx, &give.agent).await?.or_missing("agent", &give.agent)?;
        if let Some(run) = give.run {
            run::hold(tx, run).await?;
        }
        self.refuse_forbidden(tx).await?;
        let run = give.run.unwrap_or(RunId(LAST));
        if grant::in_force(tx, &give.agent, run).await?.len() >= AT_ONCE {
            let message = format!("the agent `{}` has {AT_ONCE} grants already", give.agent);
            return Err(Refusal::new("too_many_grants", message).hint("revoke some, or change its profile").into());
        }
        let (right, by, until) = (give.right.to_string(), format!("user:{}", give.user), tx.now().after(give.lasts));
        let row = grant::NewRow {
            id: self.id,
            agent: &give.agent,
            run: give.run,
            right: &right,
            reason: &give.reason,
            by: &by,
            until,
        };
        grant::insert(tx, &row).await?;
        let payload = json!({"agent": give.agent, "right": right, "until": until.to_string(), "reason": give.reason});
        emit(tx, Kind::GrantGiven, ("grant", self.id.to_string()), (give.run, &by), payload);
        Ok(Ok(self.id))
    }
}

impl Give {
    /// What a profile forbids stays forbidden; a grant of it would say otherwise and do nothing.
    async fn refuse_forbidden(&self, tx: &mut Tx<'_>) -> Stored<()> {
        let Right::Tool(tool) = &self.give.right else { return Ok(()) };
        let Some(latest) = profile::latest(tx, &self.give.agent).await? else { return Ok(()) };
        let body: Profile = serde_json::from_str(&latest.body)?;
        match body.authority.forbidden_actions.iter().find(|pattern| covers(pattern, tool)) {
            None => Ok(()),
            Some(pattern) => {
                let message = format!("the profile `{}` forbids `{pattern}`, and no grant lifts that", self.give.agent);
                Err(Refusal::new("forbidden_action", message)
                    .hint("change `authority.forbidden_actions` of the profile")
                    .into())
            }
        }
    }
}

struct Revoke {
    ws: WorkspaceId,
    id: GrantId,
    user: String,
}

impl UseCase for Revoke {
    type Out = std::result::Result<(), Refusal>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        if let Err(refusal) = may_govern(tx, &self.user, "revoke grants").await? {
            return Ok(Err(refusal));
        }
        let held = grant::hold(tx, self.id).await?.or_missing("grant", self.id)?;
        if held.revoked_at.is_some() || held.until <= tx.now() {
            let message = format!("the grant {} has ended already", self.id);
            return Err(Refusal::new("grant_ended", message).hint("`convoke grants` lists those in force").into());
        }
        let by = format!("user:{}", self.user);
        grant::revoke(tx, self.id, &by).await?;
        let payload = json!({"agent": held.agent, "right": held.right_name});
        emit(tx, Kind::GrantRevoked, ("grant", self.id.to_string()), (held.run, &by), payload);
        Ok(Ok(()))
    }
}

struct List {
    ws: WorkspaceId,
    before: GrantId,
}

impl UseCase for List {
    type Out = Vec<grant::Record>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        grant::list(tx, self.before, PAGE).await
    }
}

/// Tells of the end of grants whose time is up.
pub(crate) async fn expire(tx: &mut Tx<'_>) -> Stored<()> {
    for (id, agent, run, right) in grant::expire(tx).await? {
        let payload = json!({"agent": agent, "right": right});
        emit(tx, Kind::GrantExpired, ("grant", id.to_string()), (run, "system"), payload);
    }
    Ok(())
}

/// The profile with what is granted to its agent in this run now.
pub(crate) async fn effective(tx: &mut Tx<'_>, base: &Profile, run: RunId) -> Stored<Profile> {
    let words = grant::in_force(tx, &base.name, run).await?;
    let rights: Vec<Right> = words.iter().filter_map(|(word,)| word.parse().ok()).collect();
    Ok(authority::widen(base, &rights))
}

/// Reads the rights of an agent as they are now.
pub(crate) struct Effective {
    pub ws: WorkspaceId,
    pub run: RunId,
    pub base: Profile,
}

impl UseCase for Effective {
    type Out = Profile;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Profile> {
        effective(tx, &self.base, self.run).await
    }
}
