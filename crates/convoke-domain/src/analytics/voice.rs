//! What was said and how long it took to be said: agreement, decisions, approvals, messages, claims.
//!
//! Rule: results are read by what they hold, not by the name of a pattern, so that a stage which comes later counts by itself.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{STEP, millis, number, ratio, target};
use crate::flow::path;
use crate::id::TaskId;
use crate::record::{ApprovalRecord, DecisionRecord, TaskRecord};
use crate::time::Timestamp;
use crate::vote;

/// A decision should be there within this time, in milliseconds.
pub const DECISION_TARGET: i64 = target::DECISION_MS;

/// Whether those who judged, voted or reviewed agreed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// The share of voices that were with the proposal, or with the largest party of their vote.
    pub rate: Option<f64>,
    /// The same of the last poll alone.
    pub last_rate: Option<f64>,
    /// Each round of voices.
    pub polls: Vec<Poll>,
}

/// One round of voices on one thing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Poll {
    /// What was asked for: `validation`, `vote`, `review` and what else the pattern calls it.
    pub stage: String,
    /// The round.
    pub round: i64,
    /// Voices with the proposal, or with the largest party.
    pub with: i64,
    /// Voices against it, or for something else.
    pub against: i64,
    /// Those who were asked and gave nothing that can be counted.
    pub silent: i64,
    /// The share of those who said something.
    pub rate: Option<f64>,
}

/// Voices of several polls, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Voices {
    /// With the proposal, or with the largest party.
    pub with: i64,
    /// Against it, or for something else.
    pub against: i64,
}

impl Agreement {
    /// The voices that its rate is made of.
    pub fn voices(&self) -> Voices {
        let sum = |of: fn(&Poll) -> i64| self.polls.iter().map(of).sum();
        Voices { with: sum(|poll| poll.with), against: sum(|poll| poll.against) }
    }
}

/// A task as far as it may have a voice.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// Its stage.
    pub stage: &'a str,
    /// Its key.
    pub key: &'a str,
    /// Its round.
    pub round: i64,
    /// Who has it.
    pub agent: &'a str,
    /// It has ended, and was not called off.
    pub is_over: bool,
    /// Its result.
    pub output: Option<&'a str>,
}

/// What one result says.
enum Voice {
    For,
    Against,
    Choice(String),
}

/// The longest result in which a voice is looked for, in bytes.
pub const VOICE_BYTES: usize = 64 << 10;
/// Stages in which members are asked what they think, by a part of the name.
const POLLED: [&str; 4] = ["validation", "vote", "ballot", "review"];
const FOR: [&str; 6] = ["agree", "accept", "approve", "approved", "yes", "pass"];
const AGAINST: [&str; 7] = ["disagree", "reject", "revise", "rejected", "no", "fail", "request changes"];

/// Voices by round: what tasks say, then the votes that a flow has counted.
pub fn agreement<'a>(tasks: impl Iterator<Item = Said<'a>>, votes: &[(String, Poll)]) -> Agreement {
    let mut places: HashMap<(String, i64), usize> = HashMap::new();
    let mut rounds: Vec<(Poll, BTreeMap<String, i64>)> = Vec::new();
    for task in tasks.filter(|task| task.is_over) {
        let Some(stage) = task.polled() else { continue };
        let place = *places.entry((stage.clone(), task.round)).or_insert_with(|| {
            rounds.push((Poll { stage, round: task.round, ..Poll::default() }, BTreeMap::new()));
            rounds.len() - 1
        });
        let (poll, choices) = &mut rounds[place];
        match task.output.and_then(voice) {
            Some(Voice::For) => poll.with += 1,
            Some(Voice::Against) => poll.against += 1,
            Some(Voice::Choice(choice)) => *choices.entry(choice).or_default() += 1,
            None => poll.silent += 1,
        }
    }
    let mut polls: Vec<Poll> = rounds.into_iter().map(|(poll, choices)| counted(poll, &choices)).collect();
    polls.extend(votes.iter().map(|(_, poll)| counted(poll.clone(), &BTreeMap::new())));
    let all = Agreement { rate: None, last_rate: polls.last().and_then(|poll| poll.rate), polls };
    let Voices { with, against } = all.voices();
    Agreement { rate: ratio(with, with + against), ..all }
}

impl<'a> Said<'a> {
    /// What a record says of it.
    pub fn of(task: &'a TaskRecord) -> Self {
        let TaskRecord { stage, key, round, agent, output, .. } = task;
        let is_over = task.finished_at.is_some() && task.state != "cancelled";
        Self { stage, key, round: *round, agent, is_over, output: output.as_deref() }
    }

    /// What it was polled in; nothing if it was no poll. Verdicts on one thing stand in a flow beside each other, each under the
    /// name of who gives it.
    fn polled(&self) -> Option<String> {
        if self.stage != STEP {
            return POLLED.iter().any(|name| self.stage.contains(name)).then(|| self.stage.to_owned());
        }
        let others = self.key.split('/').filter(|segment| path::id_of(segment) != self.agent);
        self.is_verdict().then(|| others.collect::<Vec<_>>().join("/"))
    }

    /// True for a result that is for or against something.
    pub(super) fn is_verdict(&self) -> bool {
        matches!(self.output.and_then(voice), Some(Voice::For | Voice::Against))
    }
}

/// A vote as the event of its counting tells it: voices by head, whatever they weigh.
pub fn counted_vote(payload: &Value) -> Option<(String, Poll)> {
    let path = payload["path"].as_str()?.to_owned();
    let voters = |standing: &Value| number(standing["voters"].as_array().map_or(0, Vec::len));
    let standing: Vec<i64> = payload["standing"].as_array()?.iter().map(voters).collect();
    let with = standing.first().copied().unwrap_or(0);
    let poll = Poll {
        stage: path.clone(),
        round: payload["round"].as_i64().unwrap_or(1),
        with,
        against: standing.iter().sum::<i64>() - with,
        silent: number(payload["abstained"].as_array().map_or(0, Vec::len)),
        rate: None,
    };
    Some((path, poll))
}

fn counted(mut poll: Poll, choices: &BTreeMap<String, i64>) -> Poll {
    let (all, most) = (choices.values().sum::<i64>(), choices.values().max().copied().unwrap_or(0));
    poll.with += most;
    poll.against += all - most;
    poll.rate = ratio(poll.with, poll.with + poll.against);
    poll
}

/// Reads a result: a verdict, or a choice among several. Choices are the same where their one form is.
fn voice(output: &str) -> Option<Voice> {
    if output.len() > VOICE_BYTES {
        return None;
    }
    let said: Value = serde_json::from_str(output).ok()?;
    let field =
        |names: &[&str]| names.iter().find_map(|name| said.get(*name)).filter(|value| !value.is_null()).cloned();
    if let Some(verdict) = field(&["verdict", "decision"]) {
        let word = vote::canonical_value(&verdict);
        return match () {
            () if FOR.contains(&word.as_str()) => Some(Voice::For),
            () if AGAINST.contains(&word.as_str()) => Some(Voice::Against),
            () => Some(Voice::Choice(word)),
        };
    }
    field(&["choice", "vote", "answer", "option"]).map(|choice| Voice::Choice(vote::canonical_value(&choice)))
}

/// How long something took, over several times.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Delays {
    /// How often it was done.
    pub count: i64,
    /// How often it was begun and is not done yet.
    pub open: i64,
    /// Half of them took no longer.
    pub median_ms: Option<i64>,
    /// On average.
    pub mean_ms: Option<i64>,
    /// The longest.
    pub longest_ms: Option<i64>,
}

impl Delays {
    /// Counts spans of microseconds; those that are not over are nothing.
    pub(super) fn of(spans: impl IntoIterator<Item = Option<i64>>) -> Self {
        let (mut done, mut open) = (Vec::new(), 0);
        for span in spans {
            match span {
                Some(span) => done.push(span.max(0)),
                None => open += 1,
            }
        }
        done.sort_unstable();
        let count = number(done.len());
        Self {
            count,
            open,
            median_ms: median(&done).map(millis),
            mean_ms: (count > 0).then(|| millis(done.iter().sum::<i64>() / count)),
            longest_ms: done.last().copied().map(millis),
        }
    }
}

/// The middle of sorted values; between the two in the middle where they are even in number.
pub(super) fn median(sorted: &[i64]) -> Option<i64> {
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        even if even.is_multiple_of(2) => Some(sorted[half - 1] + (sorted[half] - sorted[half - 1]) / 2),
        _ => Some(sorted[half]),
    }
}

fn between(from: Timestamp, to: Timestamp) -> i64 {
    to.as_micros() - from.as_micros()
}

/// Who decided first, how, and when: what replaced it later took its own time.
fn decided(decision: &DecisionRecord) -> (Option<&str>, &str, Option<Timestamp>) {
    match decision.replaced.first() {
        Some(first) => (first.approver.as_deref(), &first.standing, first.at),
        None => (decision.approver.as_deref(), &decision.standing, decision.ended_at),
    }
}

/// Questions that people answered, or agents. One that is open counts for whom it was put to. One that was withdrawn, or ran out
/// without a default, was never decided.
pub(super) fn answers(decisions: &[DecisionRecord], by_people: bool) -> Delays {
    Delays::of(decision_times(decisions, by_people))
}

/// How long each of these decisions took, in microseconds; nothing for one that is open.
pub fn decision_times(decisions: &[DecisionRecord], by_people: bool) -> Vec<Option<i64>> {
    let is_person = |who: &str| who.starts_with("user:") || who.starts_with("role:");
    let own = decisions.iter().filter(|decision| match decided(decision) {
        (Some(who), "answered", _) => is_person(who) == by_people,
        (_, "defaulted", _) => !by_people,
        (_, "open", _) => decision.asked.iter().any(|who| is_person(who)) == by_people,
        _ => false,
    });
    let took = |decision: &DecisionRecord| decided(decision).2.map(|end| between(decision.asked_at, end));
    own.map(took).collect()
}

/// Approvals that somebody gave or refused; one that expired was never decided.
pub(super) fn approvals(approvals: &[ApprovalRecord]) -> Delays {
    let own = approvals.iter().filter(|approval| approval.state == "pending" || approval.decided_by.is_some());
    Delays::of(own.map(|approval| approval.decided_at.map(|at| between(approval.created_at, at))))
}

/// Claims: from when all before a task had ended to its first claim.
pub(super) fn pickup(tasks: &[TaskRecord], edges: &[(TaskId, TaskId)]) -> Delays {
    let ends: HashMap<TaskId, Option<Timestamp>> = tasks.iter().map(|task| (task.id, task.finished_at)).collect();
    let mut ready: HashMap<TaskId, Timestamp> = HashMap::new();
    for (parent, child) in edges {
        if let Some(Some(end)) = ends.get(parent) {
            let latest = ready.entry(*child).or_insert(*end);
            *latest = (*latest).max(*end);
        }
    }
    let took = |task: &TaskRecord| {
        let from = ready.get(&task.id).map_or(task.created_at, |end| task.created_at.max(*end));
        Some(between(from, task.started_at?))
    };
    Delays::of(tasks.iter().filter(|task| task.stage != "spawned").filter_map(took).map(Some))
}

/// Claims of the tasks of spawned agents.
pub(super) fn spawn(tasks: &[TaskRecord]) -> Delays {
    let own = tasks.iter().filter(|task| task.stage == "spawned");
    Delays::of(own.filter_map(|task| Some(between(task.created_at, task.started_at?))).map(Some))
}

pub(super) fn letters(letters: &[(Timestamp, Timestamp)]) -> Delays {
    Delays::of(letters.iter().map(|(stored, given)| Some(between(*stored, *given))))
}
