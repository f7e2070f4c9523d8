//! Votes: a ballot is a task of each voter; they are counted as they come, and the vote ends when the rest cannot matter.

use serde_json::{Value, json};

use super::{Begun, End, Frame, Machine, Node, State, TaskEnd, Turn, What, failed};
use crate::flow::memory::Vote;
use crate::flow::{Step, VoteStep, path, template};
use crate::vote::{self, Ballot, Outcome, Tally, TieRule, VoteRule};

/// The key of the task in which a tie is broken.
const CASTING: &str = "casting";
/// How often a tie is voted on, the first vote included.
const ROUNDS_MAX: u32 = 3;
/// The most voters.
const VOTERS_MAX: usize = 1_000;

/// Whether there is time for more ballots.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Time {
    IsLeft,
    IsUp,
}

impl<'a> Machine<'a, '_> {
    pub(super) fn start_vote(&mut self, at: &str, step: &'a Step, vote: &'a VoteStep) -> Turn<Begun> {
        let voters = match self.names(at, vote.voters.as_deref().unwrap_or("members"))? {
            Ok(voters) => voters,
            Err(reason) => return Ok(failed(format!("`voters`: {reason}"))),
        };
        if voters.len() > VOTERS_MAX {
            return Ok(failed(format!("{} voters, and {VOTERS_MAX} is the most", voters.len())));
        }
        let mut rule = match self.rule(at, vote)? {
            Ok(rule) => rule,
            Err(reason) => return Ok(failed(reason)),
        };
        if let Some(expression) = &vote.options {
            match self.evaluate(at, expression)? {
                Ok(Value::Array(list)) => {
                    for option in list.iter().map(template::text_of) {
                        if !option.trim().is_empty() && !rule.options.contains(&option) {
                            rule.options.push(option);
                        }
                    }
                }
                Ok(_) => return Ok(failed("`options` must be a list".into())),
                Err(reason) => return Ok(failed(format!("`options`: {reason}"))),
            }
        }
        let electorate = vote::electorate(&rule, &voters, &self.scope.spec.weights);
        let state = Vote { electorate, rule, round: 1, ..Vote::default() };
        let item = self.items.remove(at);
        let due = self.due_at(vote.ballots_within_s, step.timeout_s);
        self.memory.set(at, Frame { state: State::Vote(state.clone()), item, due, ..Frame::default() });
        let mut facts = json!({"voters": state.electorate, "options": state.rule.options});
        if vote::is_weightless(&state.electorate) {
            facts["even"] = true.into();
        }
        self.note(What::VoteOpened, at, facts);
        if let Err(reason) = self.ask_voters(at, vote, &state)? {
            return Ok(failed(reason));
        }
        Ok(self.count_ballots(at, step, state, Time::IsLeft)?.map_or(Begun::Open, Begun::Ended))
    }

    /// The rule, with what is known of it only now.
    fn rule(&mut self, at: &str, vote: &'a VoteStep) -> Turn<Result<VoteRule, String>> {
        let Some(settings) = &vote.settings else { return Ok(Ok(vote.rule.clone())) };
        let said = match self.evaluate(at, settings)? {
            Ok(said) => said,
            Err(reason) => return Ok(Err(format!("`settings`: {reason}"))),
        };
        let mut rule = serde_json::to_value(&vote.rule).unwrap_or_default();
        let (Some(into), Value::Object(fields)) = (rule.as_object_mut(), said) else {
            return Ok(Err("`settings` must be an object with fields of `rule`".into()));
        };
        into.extend(fields);
        let rule: Result<VoteRule, String> =
            serde_json::from_value(rule).map_err(|error| format!("`settings`: {error}"));
        Ok(rule.and_then(|rule| match rule.problems().into_iter().next() {
            Some((field, problem)) => Err(format!("`settings`: `{field}`: {problem}")),
            None => Ok(rule),
        }))
    }

    fn ask_voters(&mut self, at: &str, vote: &'a VoteStep, state: &Vote) -> Turn<Result<(), String>> {
        let rule = state.rule.clone();
        for (voter, _) in &state.electorate {
            let child = path::visited(at, voter, state.round);
            if let Err(reason) = self.ballot_task(&child, vote, (voter, &rule))? {
                return Ok(Err(reason));
            }
        }
        Ok(Ok(()))
    }

    pub(super) fn ballot_came(&mut self, at: &str, segment: &str, mut state: Vote) -> Turn<Option<End>> {
        let Node::Step(step) = self.node(at)? else { return Ok(None) };
        if step.vote.is_none() {
            return Ok(None);
        }
        let rule = state.rule.clone();
        let end = self.memory.task(&path::join(at, segment))?.and_then(|task| task.end.clone());
        if segment == CASTING {
            return self.cast(at, state, end).map(Some);
        }
        let (voter, round) = segment.split_once('~').unwrap_or((segment, "1"));
        let is_awaited = round == state.round.to_string() && !state.ballots.iter().any(|ballot| ballot.voter == voter);
        if !is_awaited || !state.electorate.iter().any(|(name, _)| name == voter) {
            return Ok(None);
        }
        state.ballots.push(match end {
            Some(TaskEnd::Completed(text)) => Ballot::read(&rule, voter, &text),
            Some(TaskEnd::Failed(reason)) => Ballot::abstain(voter, &reason),
            None => Ballot::abstain(voter, "called off"),
        });
        self.count_ballots(at, step, state, Time::IsLeft)
    }

    fn set_vote(&mut self, at: &str, state: Vote) -> Turn<()> {
        let frame = self.memory.frame(at)?.cloned().unwrap_or_default();
        self.memory.set(at, Frame { state: State::Vote(state), ..frame });
        Ok(())
    }

    /// The time is up: who has not voted abstains.
    pub(super) fn close_vote(&mut self, at: &str, step: &'a Step, mut state: Vote) -> Turn<Option<End>> {
        if state.casting.is_some() {
            self.call_off(at);
            self.give_up_vote(at, &state)?;
            return Ok(Some(End::Failed("the tie was not broken in time".into())));
        }
        let missing: Vec<String> = state
            .electorate
            .iter()
            .filter(|(name, _)| !state.ballots.iter().any(|ballot| ballot.voter == *name))
            .map(|(name, _)| name.clone())
            .collect();
        state.ballots.extend(missing.iter().map(|voter| Ballot::abstain(voter, "no ballot in time")));
        self.call_off(at);
        self.count_ballots(at, step, state, Time::IsUp)
    }

    /// The time of the whole step is up: how the ballots stand is told.
    pub(super) fn give_up_vote(&mut self, at: &str, state: &Vote) -> Turn<()> {
        let tally = vote::tally(&state.rule, &state.electorate, &state.ballots);
        self.tell_count(at, state, &tally, (None, None)).map(drop)
    }

    fn count_ballots(&mut self, at: &str, step: &'a Step, mut state: Vote, time: Time) -> Turn<Option<End>> {
        let Some(vote) = &step.vote else { return Ok(None) };
        let rule = state.rule.clone();
        let tally = vote::tally(&rule, &state.electorate, &state.ballots);
        self.set_vote(at, state.clone())?;
        let choices = match &tally.outcome {
            Outcome::Open => return Ok(None),
            Outcome::Tied { choices } => choices.clone(),
            Outcome::Decided { .. } | Outcome::NoQuorum | Outcome::NoMajority { .. } => {
                return self.end_vote(at, &state, &tally, None).map(Some);
            }
        };
        match rule.tie {
            // Where the time is up, there is none to vote again.
            TieRule::Revote if state.round < ROUNDS_MAX && time == Time::IsLeft => {
                self.tell_count(at, &state, &tally, (None, None))?;
                self.call_off_ballots(at, &state, &tally);
                let rule = VoteRule { options: said(&tally, &choices), ..state.rule.clone() };
                state = Vote { round: state.round + 1, rule, ballots: Vec::new(), ..state };
                self.set_vote(at, state.clone())?;
                match self.ask_voters(at, vote, &state)? {
                    Ok(()) => Ok(None),
                    Err(reason) => Ok(Some(End::Failed(reason))),
                }
            }
            TieRule::Coordinator => {
                self.call_off_ballots(at, &state, &tally);
                let options = said(&tally, &choices);
                state.casting = Some(self.scope.spec.team.coordinator.clone());
                self.set_vote(at, state)?;
                let rule = VoteRule { options, ..rule };
                let voter = self.scope.spec.team.coordinator.clone();
                match self.ballot_task(&path::join(at, CASTING), vote, (&voter, &rule))? {
                    Ok(()) => Ok(None),
                    Err(reason) => Ok(Some(End::Failed(reason))),
                }
            }
            TieRule::Escalate => {
                self.tell_count(at, &state, &tally, (None, None))?;
                self.escalate(at, &format!("the vote is tied between {}", choices.join(", ")))
            }
            TieRule::Fail | TieRule::First | TieRule::Revote => self.end_vote(at, &state, &tally, None).map(Some),
        }
    }

    /// Nobody is asked for the ballots of this round any more; the vote itself goes on, and so does its time.
    fn call_off_ballots(&mut self, at: &str, state: &Vote, tally: &Tally) {
        for voter in &tally.outstanding {
            self.call_off(&path::visited(at, voter, state.round));
        }
    }

    /// The coordinator's choice among those that are tied.
    fn cast(&mut self, at: &str, state: Vote, end: Option<TaskEnd>) -> Turn<End> {
        let rule = state.rule.clone();
        let tally = vote::tally(&rule, &state.electorate, &state.ballots);
        let Outcome::Tied { choices } = &tally.outcome else { return Ok(End::Failed("there is no tie".into())) };
        let casting = VoteRule { options: said(&tally, choices), ..rule };
        let Some(TaskEnd::Completed(text)) = end else {
            self.tell_count(at, &state, &tally, (None, None))?;
            return Ok(End::Failed("the tie was not broken".into()));
        };
        let ballot = Ballot::read(&casting, state.casting.as_deref().unwrap_or_default(), &text);
        if ballot.abstains {
            self.tell_count(at, &state, &tally, (None, Some(&ballot)))?;
            return Ok(End::Failed("the tie was not broken: the coordinator chose nothing".into()));
        }
        self.end_vote(at, &state, &tally, Some(&ballot))
    }

    fn end_vote(&mut self, at: &str, state: &Vote, tally: &Tally, casting: Option<&Ballot>) -> Turn<End> {
        if !tally.outstanding.is_empty() {
            self.call_off(at);
        }
        let choice = match (&tally.outcome, casting) {
            (_, Some(ballot)) => Some(ballot.choice.clone()),
            (Outcome::Decided { choice }, None) => Some(tally.winner().map_or(choice.clone(), |one| one.said.clone())),
            _ => None,
        };
        let facts = self.tell_count(at, state, tally, (choice.as_deref(), casting))?;
        let frame = self.memory.frame(at)?.cloned().unwrap_or_default();
        self.memory.set(at, Frame { result: Some(facts), ..frame });
        Ok(match (&tally.outcome, choice) {
            (_, Some(_)) => End::Done,
            (Outcome::NoQuorum, None) => {
                End::Failed(format!("too few voted: {:.0} % of the voters", tally.turnout * 100.0))
            }
            (Outcome::NoMajority { leading }, None) => {
                End::Failed(format!("no choice has the majority; `{leading}` leads"))
            }
            (Outcome::Tied { choices }, None) => {
                End::Failed(format!("the vote is tied between {}", choices.join(", ")))
            }
            (Outcome::Open | Outcome::Decided { .. }, None) => End::Failed("the vote has no result".into()),
        })
    }

    /// Writes down how the ballots stand, whatever comes of it.
    fn tell_count(
        &mut self,
        at: &str,
        state: &Vote,
        tally: &Tally,
        (choice, casting): (Option<&str>, Option<&Ballot>),
    ) -> Turn<Value> {
        let mut facts = serde_json::to_value(tally).unwrap_or_default();
        facts["round"] = state.round.into();
        facts["electorate"] = json!(state.electorate);
        facts["choice"] = choice.into();
        facts["casting"] = serde_json::to_value(casting).unwrap_or(Value::Null);
        if let Some(capability) = state.rule.capability.as_deref() {
            facts["capability"] = capability.into();
        }
        self.note(What::VoteCounted, at, facts.clone());
        Ok(facts)
    }
}

/// Choices as they were said.
fn said(tally: &Tally, choices: &[String]) -> Vec<String> {
    let said = |choice: &String| {
        tally.standing.iter().find(|one| one.choice == *choice).map_or(choice.clone(), |one| one.said.clone())
    };
    choices.iter().map(said).collect()
}
