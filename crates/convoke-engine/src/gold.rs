//! Gold answers: a person says what the right answer of a vote was, and each ballot is compared with it, whatever the vote decided.
//!
//! Rule: a vote has one right answer; said again, it takes the place of the first. Start at [`Engine::record_answer`].

use convoke_domain::event::Kind;
use convoke_domain::flow::memory::{State, Vote};
use convoke_domain::flow::path;
use convoke_domain::id::{RunId, WorkspaceId};
use convoke_domain::outcome as known;
use convoke_domain::refusal::Refusal;
use convoke_domain::vote::{self, Outcome, VoteRule};
use convoke_store::{Error, Result as Stored, Tx, UseCase, run};
use serde::{Deserialize, Serialize};

use crate::account;
use crate::outcome::{self, By, Recorded};
use crate::{Engine, Result};

/// Votes and options that a refusal lists.
const NAMED: usize = 12;

/// The right answer of a vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gold {
    /// The run.
    pub run: RunId,
    /// Which of its votes, by its step or its path; needed where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vote: Option<String>,
    /// What was right.
    pub answer: String,
}

impl Engine {
    /// A person says what the right answer of a vote was: who said that was right, who said something else was wrong.
    pub async fn record_answer(&self, gold: Gold, user: &str) -> Result<Recorded> {
        let compare = Compare { ws: self.ws(), gold, who: format!("user:{user}") };
        self.rate_as(user, "say what became of work", compare).await
    }
}

struct Compare {
    ws: WorkspaceId,
    gold: Gold,
    who: String,
}

impl UseCase for Compare {
    type Out = Recorded;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Recorded> {
        let id = self.gold.run;
        run::find(tx, id).await?.ok_or_else(|| Error::missing("run", id))?;
        let (at, vote) = self.find(tx).await?;
        let tally = vote::tally(&vote.rule, &vote.electorate, &vote.ballots);
        if tally.outcome == Outcome::Open {
            let message = format!("the vote `{at}` is not counted yet");
            return Err(Refusal::new("not_ended", message).hint("wait until it is: `convoke show RUN` tells").into());
        }
        let right = self.form(tx, &at, &vote).await?;
        let subject = format!("{id}:{at}:{}", vote.round);
        let cases = known::of_gold(&tally, &right, &subject, vote.rule.capability.as_deref());
        if cases.is_empty() {
            let message = format!("nobody chose anything in the vote `{at}`: there is nothing to compare");
            return Err(Refusal::new("no_ballots", message).hint("name another vote").into());
        }
        let by = By { run: Some(id), who: &self.who, answer: Some(&right) };
        let mut came = outcome::say(tx, by, &cases).await?;
        let (right, wrong): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| case.value >= 1.0);
        came.strangers.clear();
        came.vote = Some(at);
        came.right = right.into_iter().map(|case| case.agent).collect();
        came.wrong = wrong.into_iter().map(|case| case.agent).collect();
        Ok(came)
    }
}

impl Compare {
    /// The vote that is meant, with its path.
    async fn find(&self, tx: &mut Tx<'_>) -> Stored<(String, Vote)> {
        let frames = account::frames(tx, self.gold.run).await?;
        let votes = frames.into_iter().filter_map(|(at, frame)| match frame.state {
            State::Vote(vote) => Some((at, vote)),
            _ => None,
        });
        let votes: Vec<(String, Vote)> = votes.collect();
        let Some(name) = self.gold.vote.as_deref() else { return self.only(votes) };
        if let Some(exact) = votes.iter().find(|(at, _)| at == name) {
            return Ok(exact.clone());
        }
        let is_step = |at: &str| path::split(at).is_some_and(|(_, segment)| path::id_of(segment) == name);
        let names = listed(&votes);
        let meant = votes.into_iter().filter(|(at, _)| is_step(at)).collect::<Vec<_>>();
        if meant.is_empty() {
            let refusal = Refusal::new("no_vote", format!("no vote of run {} is called `{name}`", self.gold.run));
            return Err(refusal.hint(hint("its votes are ", &names)).into());
        }
        self.only(meant)
    }

    fn only(&self, votes: Vec<(String, Vote)>) -> Stored<(String, Vote)> {
        let names = listed(&votes);
        let mut votes = votes.into_iter();
        match (votes.next(), votes.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => {
                let refusal = Refusal::new("no_vote", format!("run {} has held no vote", self.gold.run));
                Err(refusal.hint("`convoke show RUN` tells what its steps are").into())
            }
            (Some(_), Some(_)) => {
                let message = format!("run {} has held {} votes: which of them?", self.gold.run, names.len());
                Err(Refusal::new("which_vote", message).hint(hint("name one with `--vote`: ", &names)).into())
            }
        }
    }

    /// The answer in the form in which ballots are compared.
    async fn form(&self, tx: &mut Tx<'_>, at: &str, vote: &Vote) -> Stored<String> {
        let rule = VoteRule { options: self.options(tx, at, vote).await?, ..vote.rule.clone() };
        if let Some(form) = rule.choice(&self.gold.answer) {
            return Ok(form);
        }
        if rule.options.is_empty() {
            let refusal = Refusal::new("no_option", format!("no answer can be read in `{}`", self.gold.answer));
            return Err(refusal.hint("say it as the voters did").into());
        }
        let message = format!("`{}` is no option of the vote `{at}`", self.gold.answer);
        Err(Refusal::new("no_option", message).hint(hint("its options are ", &rule.options)).into())
    }

    /// The options of the first round: one in which a tie is voted on again has fewer.
    async fn options(&self, tx: &mut Tx<'_>, at: &str, vote: &Vote) -> Stored<Vec<String>> {
        if vote.round <= 1 {
            return Ok(vote.rule.options.clone());
        }
        let notes = account::notes(tx, self.gold.run).await?;
        let opened = notes.iter().find(|note| note.kind == Kind::VoteOpened.as_str() && note.payload["path"] == at);
        let first = opened.and_then(|note| serde_json::from_value(note.payload["options"].clone()).ok());
        Ok(first.unwrap_or_else(|| vote.rule.options.clone()))
    }
}

fn listed(votes: &[(String, Vote)]) -> Vec<String> {
    votes.iter().map(|(at, _)| at.clone()).collect()
}

fn hint(before: &str, names: &[String]) -> String {
    let shown = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(NAMED);
    if more == 0 { format!("{before}{shown}") } else { format!("{before}{shown} and {more} more") }
}
