//! Leave for tool calls: asked for in the *act* door, given or refused by people, used in the transaction that begins the call.
//!
//! Rule: a call that needs leave begins in no other way than through [`admit`], which finds an approval for these very
//! arguments and uses it up. Start there; people come in through [`Engine::answer_approval`].

use std::sync::Arc;
use std::time::Duration;

use convoke_domain::approval::{self as domain, Asked, Choice, Command, Rule, State, Voter};
use convoke_domain::authority;
use convoke_domain::event::Kind;
use convoke_domain::id::{ApprovalId, RunId, WorkspaceId};
use convoke_domain::profile::Profile;
use convoke_domain::refusal::Refusal;
use convoke_domain::task::WaitReason;
use convoke_domain::time::Timestamp;
use convoke_domain::user::{ROLE, Role, name_of};
use convoke_store::{Error, Result as Stored, Tx, UseCase, approval, run, user, wait};
use serde_json::{Value, json};

use crate::desk::{Caller, Left};
use crate::engine::emit;
use crate::user::recorded;
use crate::wait::{Outcome, fulfil, give_time};
use crate::{Engine, Result};

/// What an agent asks leave for.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// What the leave is bound to.
    pub digest: String,
    /// Its arguments as JSON.
    pub args: String,
    /// What the agent said before the call.
    pub reason: Option<String>,
    /// Who the agent is.
    pub profile: Arc<Profile>,
}

impl Ask {
    /// What there is to ask for a call; nothing if the agent needs no leave for it.
    pub(crate) fn of(profile: &Arc<Profile>, tool: &str, args: &Value, said: &str) -> Option<Self> {
        authority::must_ask(profile, tool).then(|| Self {
            digest: domain::digest(tool, args),
            args: args.to_string(),
            reason: domain::reason_of(said),
            profile: Arc::clone(profile),
        })
    }
}

/// Whether a call may begin.
pub(crate) enum Leave {
    /// It may: its approval is used up, in this transaction.
    Given,
    /// People were asked, or have been: the call waits.
    Asked(ApprovalId, Option<Timestamp>),
    /// They said no, or nothing in time.
    Refused(String),
}

/// Finds leave for a call, or asks for it.
pub(crate) async fn admit(tx: &mut Tx<'_>, caller: &Caller<'_>, tool: &str, ask: &Ask) -> Stored<Leave> {
    let Some(found) = approval::of_step(tx, caller.step).await? else {
        return request(tx, caller, tool, ask).await;
    };
    let state = state_of(&found)?;
    if found.digest != ask.digest {
        close(tx, &found, Command::Withdraw, "the agent asks for something else now").await?;
        return request(tx, caller, tool, ask).await;
    }
    match state {
        State::Pending => Ok(Leave::Asked(found.id, found.expires_at)),
        State::Approved => {
            if !approval::execute(tx, found.id, &ask.digest).await? {
                return Err(Error::broken(format!("approval {} was used between two lines", found.id)));
            }
            let payload = json!({"task": found.task, "step": found.n, "tool": found.tool});
            tell(tx, &found, Kind::ApprovalExecuted, &caller.who(), payload);
            Ok(Leave::Given)
        }
        // The same call under the same key, begun again after a crash: a tool that may be repeated.
        State::Executed => Ok(Leave::Given),
        State::Rejected | State::Expired => Ok(Leave::Refused(refusal(&found))),
        // It did not work, and a person wants it made again: that is another use.
        State::Failed => request(tx, caller, tool, ask).await,
    }
}

async fn request(tx: &mut Tx<'_>, caller: &Caller<'_>, tool: &str, ask: &Ask) -> Stored<Leave> {
    let (at, now) = (caller.at, tx.now());
    let rule = &caller.spec.team.approvals;
    let before = approval::of_step(tx, caller.step).await?.map_or(String::new(), |row| row.id.to_string());
    let id = ApprovalId(caller.id(now, &format!("approval/{}/{before}", ask.digest)));
    let creator = run::find(tx, at.run).await?.map(|run| run.created_by).unwrap_or_default();
    let expires_at = rule.expires_s.map(|seconds| now.after(Duration::from_secs(seconds)));
    let reason = ask.reason.as_deref();
    let confidence = reason.and_then(domain::confidence_of);
    let row = approval::NewRow {
        id,
        run: at.run,
        at: caller.step,
        agent: &at.agent,
        tool,
        args: &ask.args,
        digest: &ask.digest,
        reason,
        confidence,
        rule: &serde_json::to_string(rule)?,
        creator: &creator,
        expires_at,
    };
    approval::insert(tx, &row).await?;
    let payload = json!({
        "task": at.task, "step": caller.step.n, "tool": tool, "digest": ask.digest, "needed": rule.needed, "reason": reason,
        "confidence": confidence, "expires_at": expires_at,
    });
    let on = ("approval", id.to_string());
    emit(tx, Kind::ApprovalRequested, on, (Some(at.run), &caller.who()), payload);
    Ok(Leave::Asked(id, expires_at))
}

/// What the agent is told of a no.
fn refusal(row: &approval::Record) -> String {
    let note = row.note.as_deref().unwrap_or_default().trim();
    let by = row.decided_by.as_deref().and_then(name_of).unwrap_or("nobody");
    let told = if row.state == State::Rejected.as_str() {
        format!("the call to `{}` was rejected by {by}", row.tool)
    } else {
        format!("nobody approved the call to `{}` in time, which means no", row.tool)
    };
    let why = if note.is_empty() { String::new() } else { format!(": {note}") };
    format!("{told}{why}. It was not made. Do not make the same call again; go on without it, or say what is missing")
}

/// Closes what may still be used or answered, without an answer of a person.
async fn close(tx: &mut Tx<'_>, row: &approval::Record, command: Command, why: &str) -> Stored<()> {
    let Ok(next) = domain::decide(state_of(row)?, command) else { return Ok(()) };
    approval::decide(tx, row.id, next.as_str(), "system", why).await?;
    let payload = json!({"task": row.task, "tool": row.tool, "why": why});
    tell(tx, row, Kind::ApprovalExpired, "system", payload);
    Ok(())
}

/// An attempt that has ended needs no leave any more.
pub(crate) async fn withdraw(tx: &mut Tx<'_>, left: &Left<'_>) -> Stored<()> {
    for row in approval::open_of_task(tx, left.task).await? {
        close(tx, &row, Command::Withdraw, "its task ended before").await?;
    }
    Ok(())
}

/// The time of an approval is up. Gives what the agent is told.
pub(crate) async fn expire(tx: &mut Tx<'_>, wait: &wait::Record) -> Stored<String> {
    let id = wait.key.parse().map_err(|error| Error::broken(format!("a wait for an approval: {error}")))?;
    let row = approval::hold(tx, id).await?;
    close(tx, &row, Command::Expire, "").await?;
    Ok(refusal(&approval::hold(tx, id).await?))
}

fn tell(tx: &mut Tx<'_>, row: &approval::Record, kind: Kind, who: &str, payload: Value) {
    emit(tx, kind, ("approval", row.id.to_string()), (Some(row.run), who), payload);
}

fn state_of(row: &approval::Record) -> Stored<State> {
    State::parse(&row.state).ok_or_else(|| Error::broken(format!("approval {} has no state `{}`", row.id, row.state)))
}

/// Who answers an approval.
pub(crate) fn rule_of(row: &approval::Record) -> Stored<Rule> {
    Ok(serde_json::from_str(&row.rule)?)
}

/// The votes as the domain counts them.
pub(crate) fn counted(votes: &[approval::Vote]) -> Vec<domain::Vote> {
    let vote = |row: &approval::Vote| {
        let choice = Choice::parse(&row.choice)?;
        Some(domain::Vote { by: row.voter.clone(), place: row.place.clone(), choice })
    };
    votes.iter().filter_map(vote).collect()
}

/// The role of somebody, as an answer depends on it.
pub(crate) async fn role_of(tx: &mut Tx<'_>, who: &str) -> Stored<Option<Role>> {
    let Some(name) = name_of(who) else { return Ok(None) };
    Ok(user::by_name(tx, name).await?.and_then(|user| Role::parse(&user.role)))
}

/// What an answer to an approval came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Where the approval stands now.
    pub state: State,
    /// Its run.
    pub run: RunId,
    /// The tool it is about.
    pub tool: String,
    /// How many must still approve.
    pub missing: u32,
}

impl Engine {
    /// A person approves or rejects a tool call. `who` is `user:NAME`; nobody else may.
    pub async fn answer_approval(&self, id: ApprovalId, choice: Choice, who: &str, note: &str) -> Result<Answered> {
        let answer = Answer { ws: self.ws(), id, choice, who: who.to_owned(), note: note.to_owned() };
        let answered = self.store().run(answer).await??;
        self.wake().notify_one();
        Ok(answered)
    }
}

impl Engine {
    /// Those names of a list of people that are no user's.
    pub async fn strangers(&self, names: Vec<String>) -> Result<Vec<String>> {
        Ok(self.store().read(Strangers { ws: self.ws(), names }).await?)
    }
}

struct Strangers {
    ws: WorkspaceId,
    names: Vec<String>,
}

impl UseCase for Strangers {
    type Out = Vec<String>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Vec<String>> {
        let found = strangers(tx, self.names.iter().map(String::as_str)).await?;
        Ok(found.into_iter().map(str::to_owned).collect())
    }
}

struct Answer {
    ws: WorkspaceId,
    id: ApprovalId,
    choice: Choice,
    who: String,
    note: String,
}

impl UseCase for Answer {
    /// The refusal of somebody who may not is on record, so the transaction commits.
    type Out = std::result::Result<Answered, Refusal>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        let row = approval::hold(tx, self.id).await?;
        let (rule, votes) = (rule_of(&row)?, counted(&approval::votes(tx, self.id).await?));
        let role = role_of(tx, &self.who).await?;
        let asked = Asked { state: state_of(&row)?, rule: &rule, creator: &row.creator, votes: &votes };
        let cast = domain::cast(&asked, Voter { who: &self.who, role }, self.choice);
        let (state, vote) = match cast {
            Ok(cast) => cast,
            Err(refusal) => {
                let refusal = match refusal.code.as_str() {
                    "not_an_approver" => Refusal { hint: Some(who_could(tx, &rule).await?), ..refusal },
                    _ => explained(refusal, &row),
                };
                return recorded(tx, &self.who, row.run, refusal.into()).map(Err);
            }
        };
        if let Some(due) = row.expires_at.filter(|due| *due <= tx.now()) {
            let message = format!("approval {} expired at {due}, which means no", row.id);
            return Err(Refusal::new("approval_closed", message).into());
        }
        approval::vote(tx, self.id, (&vote.by, &vote.place), self.choice.as_str(), &self.note).await?;
        let payload = json!({"choice": self.choice, "place": vote.place, "note": self.note});
        tell(tx, &row, Kind::ApprovalAnswered, &self.who, payload);
        self.follow(tx, &row, state).await?;
        let given = u32::try_from(votes.len()).unwrap_or(u32::MAX).saturating_add(1);
        let missing = if state == State::Pending { rule.needed.saturating_sub(given) } else { 0 };
        Ok(Ok(Answered { state, run: row.run, tool: row.tool, missing }))
    }
}

impl Answer {
    /// What follows from an answer that decided.
    async fn follow(&self, tx: &mut Tx<'_>, row: &approval::Record, state: State) -> Stored<()> {
        let (kind, text) = match state {
            State::Approved => (Kind::ApprovalApproved, None),
            State::Rejected => {
                let decided = approval::Record {
                    state: state.as_str().to_owned(),
                    decided_by: Some(self.who.clone()),
                    note: Some(self.note.clone()),
                    ..row.clone()
                };
                (Kind::ApprovalRejected, Some(refusal(&decided)))
            }
            State::Pending | State::Executed | State::Failed | State::Expired => return Ok(()),
        };
        approval::decide(tx, self.id, state.as_str(), &self.who, &self.note).await?;
        let payload = json!({"task": row.task, "tool": row.tool, "note": self.note});
        tell(tx, row, kind, &self.who, payload);
        let outcome = text.as_deref().map_or(Outcome::Retry, Outcome::Failed);
        fulfil(tx, WaitReason::Approval, &row.id.to_string(), outcome).await?;
        // What is above it was not to wait for people in its own time.
        give_time(tx, row.task).await
    }
}

/// What helps somebody who is not among those that may answer.
async fn who_could(tx: &mut Tx<'_>, rule: &Rule) -> Stored<String> {
    let unknown = strangers(tx, rule.approvers.iter().map(String::as_str)).await?;
    let Some(first) = unknown.first() else { return Ok("ask one of them".to_owned()) };
    Ok(format!("there is no user `{first}` yet; an owner adds one: `convoke users add {first} --role approver`"))
}

/// Those names of a list of people that are no user's.
pub(crate) async fn strangers<'n>(tx: &mut Tx<'_>, names: impl Iterator<Item = &'n str>) -> Stored<Vec<&'n str>> {
    let mut found = Vec::new();
    for name in names.filter(|name| !name.starts_with(ROLE)) {
        if !found.contains(&name) && user::by_name(tx, name).await?.is_none() {
            found.push(name);
        }
    }
    Ok(found)
}

/// A refusal with what is known of the approval.
fn explained(refused: Refusal, row: &approval::Record) -> Refusal {
    if refused.code != "approval_closed" {
        return refused;
    }
    let by = row.decided_by.as_deref().and_then(name_of).map(|name| format!(" by {name}")).unwrap_or_default();
    let at = row.decided_at.map(|at| format!(" at {at}")).unwrap_or_default();
    let used = if row.used_at.is_some() { "; it was used, and serves once" } else { "" };
    let decided = match row.state.as_str() {
        "executed" | "failed" => "approved",
        other => other,
    };
    Refusal { message: format!("approval {} was {decided}{by}{at} already{used}", row.id), ..refused }
}
