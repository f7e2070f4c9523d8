//! Users: who asks, and what they may answer. On one machine a name is enough: the first one owns the workspace, and an owner adds
//! the others. Whoever is not known here changes nothing.

use convoke_domain::authority::Denial;
use convoke_domain::event::Kind;
use convoke_domain::id::{RunId, WorkspaceId};
use convoke_domain::refusal::Refusal;
use convoke_domain::user::{Role, name_of};
use convoke_store::user::User;
use convoke_store::{Error, Result as Stored, Tx, UseCase, user};
use serde_json::json;

use crate::approval::role_of;
use crate::engine::emit;
use crate::{Engine, Result};

/// Users listed at once.
const PAGE: u32 = 1_000;
/// Who asks where no person does: the name of a program that no user started.
const SYSTEM: &str = "system";

impl Engine {
    /// Makes `name` the owner where there is none yet. Others are added by an owner.
    pub async fn ensure_user(&self, name: &str) -> Result<()> {
        Ok(self.store().run(Ensure { ws: self.ws(), name: name.to_owned() }).await?)
    }

    /// The users by name, from behind `after`.
    pub async fn users(&self, after: &str) -> Result<Vec<User>> {
        Ok(self.store().read(List { ws: self.ws(), after: after.to_owned() }).await?)
    }

    /// Adds a user, or gives one another role; an owner alone may.
    pub async fn appoint(&self, name: &str, role: Role, is_new: bool, by: &str) -> Result<()> {
        let appoint = Appoint { ws: self.ws(), name: name.to_owned(), role, is_new, by: by.to_owned() };
        let name = name_of(by).unwrap_or(by).to_owned();
        let allowed = Allowed { by: name, allows: Role::may_appoint, what: "say who may do what", act: appoint };
        Ok(self.store().run(allowed).await??)
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
        if user::count(tx, Role::Owner.as_str()).await? > 0 {
            return Ok(());
        }
        match user::by_name(tx, &self.name).await? {
            Some(found) => {
                user::set_role(tx, found.id, Role::Owner.as_str()).await?;
                let payload = json!({"name": self.name, "role": Role::Owner, "was": found.role});
                emit(tx, Kind::UserRoleChanged, ("user", found.id.to_string()), (None, "system"), payload);
                Ok(())
            }
            None => user::insert(tx, &self.name, Role::Owner.as_str(), "system").await.map(drop),
        }
    }
}

struct List {
    ws: WorkspaceId,
    after: String,
}

impl UseCase for List {
    type Out = Vec<User>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Vec<User>> {
        user::list(tx, &self.after, PAGE).await
    }
}

struct Appoint {
    ws: WorkspaceId,
    name: String,
    role: Role,
    is_new: bool,
    by: String,
}

impl UseCase for Appoint {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<()> {
        let found = user::by_name(tx, &self.name).await?;
        match found {
            Some(_) if self.is_new => {
                let message = format!("there is a user `{}` already", self.name);
                let hint = format!("`convoke users role {} {}` changes the role", self.name, self.role.as_str());
                Err(Refusal::new("user_exists", message).hint(hint).into())
            }
            Some(found) => self.change(tx, &found).await,
            None if self.is_new => user::insert(tx, &self.name, self.role.as_str(), &self.by).await.map(drop),
            None => Err(Error::missing("user", &self.name)),
        }
    }
}

impl Appoint {
    async fn change(&self, tx: &mut Tx<'_>, found: &User) -> Stored<()> {
        let was_owner = found.role == Role::Owner.as_str();
        if was_owner && self.role != Role::Owner && user::count(tx, Role::Owner.as_str()).await? <= 1 {
            let message = format!("`{}` is the only owner, and there must be one", self.name);
            return Err(Refusal::new("last_owner", message).hint("make another user an owner first").into());
        }
        user::set_role(tx, found.id, self.role.as_str()).await?;
        let payload = json!({"name": self.name, "role": self.role, "was": found.role});
        emit(tx, Kind::UserRoleChanged, ("user", found.id.to_string()), (None, &self.by), payload);
        Ok(())
    }
}

/// Which roles may do something.
type Allows = fn(Role) -> bool;

/// A use case of a person. Some roles may run it; that others tried is on record.
struct Allowed<U> {
    by: String,
    allows: Allows,
    what: &'static str,
    act: U,
}

impl<U: UseCase> UseCase for Allowed<U> {
    /// The refusal of somebody who may not is on record, so the transaction commits.
    type Out = std::result::Result<U::Out, Refusal>;

    fn ws(&self) -> WorkspaceId {
        self.act.ws()
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        match may(tx, &self.by, self.allows, self.what).await? {
            Ok(()) => self.act.run(tx).await.map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        }
    }
}

impl Engine {
    /// Runs a use case for a person who governs: owners and operators do. `what` completes "may not".
    pub(crate) async fn govern<U: UseCase>(&self, user: &str, what: &'static str, act: U) -> Result<U::Out> {
        let allowed = Allowed { by: user.to_owned(), allows: Role::may_govern, what, act };
        Ok(self.store().run(allowed).await??)
    }

    /// Runs a use case for a person who answers for others: all do but viewers. `what` completes "may not".
    pub(crate) async fn answer_for<U: UseCase>(&self, user: &str, what: &'static str, act: U) -> Result<U::Out> {
        let allowed = Allowed { by: user.to_owned(), allows: Role::may_answer, what, act };
        Ok(self.store().run(allowed).await??)
    }
}

impl Engine {
    /// Starts a run for a person who governs, or for the program that holds this engine and speaks for nobody.
    pub(crate) async fn start_as<U: UseCase>(&self, user: &str, act: U) -> Result<U::Out> {
        if user == SYSTEM {
            return Ok(self.store().run(act).await?);
        }
        self.govern(user, "start runs", act).await
    }

    /// Changes what is defined, as in [`Engine::start_as`].
    pub(crate) async fn define_as<U: UseCase>(&self, user: &str, what: &'static str, act: U) -> Result<U::Out> {
        if user == SYSTEM {
            return Ok(self.store().run(act).await?);
        }
        self.govern(user, what, act).await
    }

    /// Refuses a person who may not govern, before a change that no use case makes. `what` completes "may not".
    pub async fn check_governs(&self, user: &str, what: &'static str) -> Result<()> {
        self.govern(user, what, Nothing { ws: self.ws() }).await
    }

    /// Runs a use case for a person who says how well something was: all do but viewers.
    pub(crate) async fn rate_as<U: UseCase>(&self, user: &str, what: &'static str, act: U) -> Result<U::Out> {
        let allowed = Allowed { by: user.to_owned(), allows: Role::may_rate, what, act };
        Ok(self.store().run(allowed).await??)
    }
}

/// Changes nothing.
struct Nothing {
    ws: WorkspaceId,
}

impl UseCase for Nothing {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, _: &mut Tx<'_>) -> Stored<()> {
        Ok(())
    }
}

/// Whether a person may govern: owners and operators may. A refusal is on record if the transaction commits.
pub(crate) async fn may_govern(tx: &mut Tx<'_>, name: &str, what: &str) -> Stored<std::result::Result<(), Refusal>> {
    may(tx, name, Role::may_govern, what).await
}

async fn may(tx: &mut Tx<'_>, name: &str, allows: Allows, what: &str) -> Stored<std::result::Result<(), Refusal>> {
    let who = format!("user:{name}");
    let Some(role) = role_of(tx, &who).await? else {
        let denial = Denial::new("user.role", format!("the user `{name}` is not known here, and may not {what}"));
        let least = Role::ALL.into_iter().rfind(|role| allows(*role)).unwrap_or(Role::Owner).as_str();
        let hint = format!("an owner adds one: `convoke users add {name} --role {least}`");
        return Ok(Err(Refusal { code: "unknown_user".to_owned(), ..denied(tx, &who, None, &denial) }.hint(hint)));
    };
    if allows(role) {
        return Ok(Ok(()));
    }
    let is = with_article(role.as_str());
    let denial = Denial::new("user.role", format!("the user `{name}` is {is}, and may not {what}"));
    let others: Vec<_> = Role::ALL.into_iter().filter(|role| allows(*role)).map(Role::as_str).collect();
    let others: Vec<_> = others.into_iter().map(with_article).collect();
    let hint = format!("ask {}, or have an owner give the role: `convoke users role {name} ROLE`", others.join(" or "));
    Ok(Err(denied(tx, &who, None, &denial).hint(hint)))
}

fn with_article(word: &str) -> String {
    let article = if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {word}")
}

/// Puts a refusal on record if it is one of who asked, not of what they asked for; gives it back if so, for the transaction to
/// commit.
pub(crate) fn recorded(tx: &mut Tx<'_>, who: &str, run: RunId, error: Error) -> Stored<Refusal> {
    let Error::Refused(refusal) = error else { return Err(error) };
    let rule = match refusal.code.as_str() {
        "role_denied" | "unknown_user" => "user.role",
        "not_a_person" => "user.person",
        "not_an_approver" => "approvals.approvers",
        "four_eyes" => "approvals.four_eyes",
        _ => return Err(refusal.into()),
    };
    denied(tx, who, Some(run), &Denial::new(rule, refusal.message.clone()));
    Ok(refusal)
}

/// Puts a denial on record, and gives it as a refusal.
pub(crate) fn denied(tx: &mut Tx<'_>, who: &str, run: Option<RunId>, denial: &Denial) -> Refusal {
    let payload = json!({"rule": denial.rule, "message": denial.message});
    emit(tx, Kind::AuthorityDenied, ("authority", denial.rule.to_owned()), (run, who), payload);
    Refusal::new("not_allowed", denial.message.clone())
}
