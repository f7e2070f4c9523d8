//! An approval: leave that people give for one tool call, bound to its exact arguments and used once.
//!
//! Rule: what nobody approves in time is refused, one no is a no, and an agent never answers. `docs/state/approval.md` is
//! printed from here. Start at [`cast`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::attempt::canonical;
use crate::refusal::Refusal;
use crate::user::{self, Role};

/// The most characters of an agent's reason that are kept.
pub const REASON_CHARS: usize = 2_000;
/// The most approvals that one call may need.
pub const MOST_NEEDED: u32 = 100;

/// Who approves the tool calls of a team that wait for it, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "ApprovalRule")]
pub struct Rule {
    /// Seconds until silence means no; without it a call waits as long as it takes.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub expires_s: Option<u64>,
    /// Users by name, or `role:ROLE` for all of a role; anybody who is not a viewer if empty.
    #[schemars(length(max = 100))]
    pub approvers: Vec<String>,
    /// How many of them must approve.
    #[schemars(range(min = 1, max = 100))]
    pub needed: u32,
    /// Who may answer in the place of an approver, by the approver's name.
    pub deputies: BTreeMap<String, Vec<String>>,
    /// The user who started the run may not approve its calls.
    pub four_eyes: bool,
}

impl Default for Rule {
    fn default() -> Self {
        Self { expires_s: None, approvers: Vec::new(), needed: 1, deputies: BTreeMap::new(), four_eyes: false }
    }
}

/// Where an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not enough people have answered.
    Pending,
    /// The call may be made, once.
    Approved,
    /// Somebody said no.
    Rejected,
    /// The call was made.
    Executed,
    /// The call was made and failed, or what became of it is unknown.
    Failed,
    /// Nobody said yes in time, or its task ended before the call was made.
    Expired,
}

impl State {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Approved, Self::Rejected, Self::Executed, Self::Failed, Self::Expired];

    /// The name in JSON and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Executed => "executed",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What may be asked of an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// The last approval that was needed has come.
    Approve,
    /// Somebody said no.
    Reject,
    /// Its time is up.
    Expire,
    /// Its task has ended, or asks for something else now.
    Withdraw,
    /// The call is about to be made.
    Execute,
    /// The call failed, or its outcome is unknown.
    Fail,
}

impl Command {
    /// All commands.
    pub const ALL: [Self; 6] = [Self::Approve, Self::Reject, Self::Expire, Self::Withdraw, Self::Execute, Self::Fail];

    /// The name in refusals and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Expire => "expire",
            Self::Withdraw => "withdraw",
            Self::Execute => "execute",
            Self::Fail => "fail",
        }
    }
}

/// Where `command` takes an approval that stands in `state`, or why it must not.
pub fn decide(state: State, command: Command) -> Result<State, Refusal> {
    use Command as C;
    use State as S;
    let next = match (state, command) {
        (S::Pending, C::Approve) => S::Approved,
        (S::Pending, C::Reject) => S::Rejected,
        (S::Pending, C::Expire) | (S::Pending | S::Approved, C::Withdraw) => S::Expired,
        (S::Approved, C::Execute) => S::Executed,
        (S::Executed, C::Fail) => S::Failed,
        (S::Pending, C::Execute | C::Fail)
        | (S::Approved, C::Approve | C::Reject | C::Expire | C::Fail)
        | (S::Executed, C::Approve | C::Reject | C::Expire | C::Withdraw | C::Execute)
        | (S::Rejected | S::Failed | S::Expired, _) => return Err(closed(state, command)),
    };
    Ok(next)
}

fn closed(state: State, command: Command) -> Refusal {
    let message = format!("cannot {} what is {}", command.as_str(), state.as_str());
    Refusal::new("approval_closed", message).hint("`convoke inbox` lists what waits for an answer")
}

/// What a person says to an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// The call may be made.
    Approve,
    /// It may not.
    Reject,
}

impl Choice {
    /// The name in JSON and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Approve, Self::Reject].into_iter().find(|choice| choice.as_str() == text)
    }
}

/// One person's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Who answered, by name.
    pub by: String,
    /// In whose place, by name: their own, or that of the approver they are a deputy of.
    pub place: String,
    /// What they said.
    pub choice: Choice,
}

/// Somebody who wants to answer.
#[derive(Debug, Clone, Copy)]
pub struct Voter<'a> {
    /// `user:NAME`; anybody else is refused.
    pub who: &'a str,
    /// The user's role; none if there is no such user.
    pub role: Option<Role>,
}

/// An approval as far as an answer depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Where it stands.
    pub state: State,
    /// Who answers it.
    pub rule: &'a Rule,
    /// Who started the run: `user:NAME`.
    pub creator: &'a str,
    /// The answers so far.
    pub votes: &'a [Vote],
}

/// What an answer makes of an approval: where it stands then, and the vote to keep; or why this one may not answer.
pub fn cast(asked: &Asked<'_>, voter: Voter<'_>, choice: Choice) -> Result<(State, Vote), Refusal> {
    let place = place_of(asked, voter)?;
    let by = user::name_of(voter.who).unwrap_or_default().to_owned();
    let vote = Vote { by, place, choice };
    let command = match choice {
        Choice::Approve => Command::Approve,
        Choice::Reject => Command::Reject,
    };
    let decided = decide(asked.state, command)?;
    if let Some(before) = asked.votes.iter().find(|other| other.by == vote.by || other.place == vote.place) {
        return Err(voted(before, &vote));
    }
    let enough = usize::try_from(asked.rule.needed).unwrap_or(usize::MAX) <= asked.votes.len() + 1;
    let state = if choice == Choice::Approve && !enough { State::Pending } else { decided };
    Ok((state, vote))
}

fn voted(before: &Vote, vote: &Vote) -> Refusal {
    let message = if before.by == vote.by {
        format!("user `{}` has answered already", vote.by)
    } else {
        format!("`{}` has answered in the place of `{}` already", before.by, before.place)
    };
    Refusal::new("already_voted", message).hint("somebody else must answer; `convoke inbox` says how many are needed")
}

/// In whose place somebody may answer, or why not at all.
fn place_of(asked: &Asked<'_>, voter: Voter<'_>) -> Result<String, Refusal> {
    let Some(name) = user::name_of(voter.who) else {
        let message = format!("`{}` is no person, and only a person can approve or reject", voter.who);
        return Err(Refusal::new("not_a_person", message));
    };
    let Some(role) = voter.role else {
        let message = format!("there is no user `{name}`");
        return Err(
            Refusal::new("unknown_user", message).hint(format!("an owner adds one: `convoke users add {name}`"))
        );
    };
    if !role.may_answer() {
        let message = format!("user `{name}` is a {}, who may look on but not answer", role.as_str());
        let hint = format!("an owner can change that: `convoke users role {name} approver`");
        return Err(Refusal::new("role_denied", message).hint(hint));
    }
    if asked.rule.four_eyes && asked.creator == voter.who {
        let message = format!("user `{name}` started the run, and `four_eyes` asks for somebody else");
        let hint = "have another user answer; an owner adds one: `convoke users add NAME --role approver`";
        return Err(Refusal::new("four_eyes", message).hint(hint));
    }
    let rule = asked.rule;
    if rule.approvers.is_empty() || rule.approvers.iter().any(|entry| user::means(entry, name, role)) {
        return Ok(name.to_owned());
    }
    let stands_for = rule.deputies.iter().filter(|(_, deputies)| deputies.iter().any(|entry| entry == name));
    // Of several, the first whose place is still free.
    let mut places = stands_for.map(|(approver, _)| approver.clone());
    let first = places.next();
    let free = |place: &String| !asked.votes.iter().any(|vote| vote.place == *place);
    let place = first.clone().filter(|place| free(place)).or_else(|| places.find(free)).or(first);
    place.ok_or_else(|| {
        let message = format!("user `{name}` is not among those who may answer: {}", rule.approvers.join(", "));
        Refusal::new("not_an_approver", message)
    })
}

/// Whether somebody could still answer; for lists of what waits for them.
pub fn waits_for(asked: &Asked<'_>, voter: Voter<'_>) -> bool {
    cast(asked, voter, Choice::Reject).is_ok()
}

/// What an approval is bound to: the SHA-256 of the tool's id and its exact arguments, whatever the order of their keys.
pub fn digest(tool: &str, args: &Value) -> String {
    let digest = Sha256::digest(format!("{tool}\n{}", canonical(args)));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An agent's reason as it is kept: what it said before the call.
pub fn reason_of(text: &str) -> Option<String> {
    let text: String = text.trim().chars().take(REASON_CHARS).collect();
    (!text.is_empty()).then_some(text)
}

/// How sure an agent says it is, 0 to 100 percent, where its reason says `confidence: 0.8` or `confidence 80%`.
pub fn confidence_of(reason: &str) -> Option<i64> {
    let lower = reason.to_ascii_lowercase();
    let after = lower.rsplit_once("confidence")?.1.trim_start_matches([':', '=', ' ', '*', '_', '`']);
    let number: String = after.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let value = number.trim_end_matches('.').parse::<f64>().ok()?;
    let is_percent = after[number.len()..].trim_start().starts_with('%');
    let percent = if is_percent { value } else { value * 100.0 };
    // Written as a fraction or with its sign; a bare 80 may be of anything.
    (0.0..=100.0).contains(&percent).then(|| percent.round() as i64)
}

#[cfg(test)]
mod tests;
