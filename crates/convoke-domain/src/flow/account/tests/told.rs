//! Rehearsals for the tests of accounts: what happened, and the account of it as indented lines.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::{Fact, FlowAccount, Judged, Noted, ReviewRound, Sources, StepAccount, Turn, account};
use crate::event::Kind;
use crate::flow::machine::{TaskEnd, What};
use crate::flow::rehearsal::{Rehearsal, Rehearsed};
use crate::flow::{Conflict, Flow, expand};
use crate::id::TaskId;
use crate::money::Money;
use crate::record::TaskRecord;
use crate::spec::RunSpec;
use crate::time::Timestamp;

/// What happens: a task completes with a text, fails, or the time of a step is up.
#[derive(Clone, Copy)]
pub(super) enum On {
    Done(&'static str, &'static str),
    Lost(&'static str),
    Late(&'static str),
}

pub(super) fn spec(steps: &Value) -> RunSpec {
    let flow = Flow { steps: serde_json::from_value(steps.clone()).expect("steps"), ..Flow::default() };
    let names = ["a", "b", "c"];
    let members: Vec<Value> = names.iter().map(|name| json!({"profile": name})).collect();
    let team = json!({"name": "t", "coordinator": "lead", "members": members});
    let profile = |name: &&str| {
        let profile = serde_json::from_value(json!({"name": name, "prompt": "x"})).expect("a profile");
        ((*name).to_owned(), profile)
    };
    let profiles = names.iter().chain(&["lead"]).map(profile).collect();
    let mut spec = RunSpec::new(serde_json::from_value(team).expect("a team"), profiles);
    spec.flow = Some(expand::expand(&flow, Conflict::Vote));
    spec.team.flow = Some(flow);
    spec
}

/// The tasks of a rehearsal as a record has them.
fn tasks(run: &Rehearsal) -> Vec<TaskRecord> {
    let open = run.open();
    let record = |(at, task): (&String, &Rehearsed)| {
        let (state, output, error) = match &task.end {
            Some(TaskEnd::Completed(text)) => ("completed", Some(text.clone()), None),
            Some(TaskEnd::Failed(error)) => ("failed", None, Some(error.clone())),
            None if task.off || run.end.is_some() => ("cancelled", None, None),
            None if open.contains(at) => ("running", None, None),
            None => ("pending", None, None),
        };
        TaskRecord {
            part: None,
            id: TaskId::derived(Timestamp::default(), &[at.as_bytes()]),
            key: at.clone(),
            title: task.new.title.clone(),
            stage: "step".into(),
            round: 1,
            agent: task.new.agent.clone(),
            state: state.into(),
            priority: "normal".into(),
            waits_for: None,
            output,
            error,
            created_at: Timestamp::default(),
            started_at: None,
            finished_at: None,
            cost_usd: Money::ZERO,
            tokens: 0,
            attempts: Vec::new(),
        }
    };
    run.tasks().iter().map(record).collect()
}

/// What was written down, as far as accounts read it.
fn notes(run: &Rehearsal) -> Vec<Noted> {
    let kind = |what| match what {
        What::MergeCompleted => Some(Kind::MergeCompleted),
        What::VoteCounted => Some(Kind::VoteCounted),
        What::GateChecked => Some(Kind::GateChecked),
        What::StepSkipped => Some(Kind::StepSkipped),
        _ => None,
    };
    let noted = run.notes.iter().filter_map(|note| {
        let mut payload = json!({"path": note.path});
        payload.as_object_mut()?.extend(note.facts.as_object().cloned().unwrap_or_default());
        Some(Noted { kind: kind(note.what)?.as_str().to_owned(), payload, at: Timestamp::default() })
    });
    noted.collect()
}

/// The account of a flow to which these things have happened.
pub(super) fn told(steps: &Value, happens: &[On]) -> FlowAccount {
    let spec = spec(steps);
    let mut run = Rehearsal::begin(Arc::new(spec.clone()), "the task");
    for one in happens {
        match one {
            On::Done(at, text) => run.finish(at, TaskEnd::Completed((*text).into())),
            On::Lost(at) => run.finish(at, TaskEnd::Failed("broken".into())),
            On::Late(at) => run.time_is_up(at),
        }
    }
    let (tasks, notes) = (tasks(&run), notes(&run));
    let sources =
        Sources { spec: &spec, frames: run.frames(), tasks: &tasks, notes: &notes, has_ended: run.end.is_some() };
    account(sources).expect("a flow")
}

/// Each step on a line, deeper where it stands in another.
pub(super) fn lines(account: &FlowAccount) -> Vec<String> {
    let line = |step: &StepAccount| {
        let fact = step.fact.as_ref().map(brief).map_or_else(String::new, |fact| format!(" [{fact}]"));
        let reason = step.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        let visit = if step.visit > 1 { format!(" (visit {})", step.visit) } else { String::new() };
        let indent = "  ".repeat(step.depth as usize);
        format!("{indent}{} {} {}{visit}{reason}{fact}", step.name, step.kind, step.state.as_str())
    };
    account.steps.iter().map(line).collect()
}

fn brief(fact: &Fact) -> String {
    let judged = |judged: &Judged| format!("{} {}", judged.by, judged.verdict.as_deref().unwrap_or("-"));
    let all = |list: &[Judged]| list.iter().map(judged).collect::<Vec<_>>().join(", ");
    match fact {
        Fact::Split(split) => {
            let planning = if split.planning { ", planning" } else { "" };
            format!(
                "{} items, {} begun, {} completed, {} failed{planning}",
                split.items, split.begun, split.completed, split.failed
            )
        }
        Fact::Loop(rounds) => format!("round {} of {}", rounds.round, rounds.max),
        Fact::Branch(case) => format!("case {case}"),
        Fact::Vote(vote) => format!(
            "{:?} {}, {} ballots, outstanding {:?}, round {}, {} earlier",
            vote.outcome,
            vote.choice.as_deref().unwrap_or("-"),
            vote.ballots.len(),
            vote.outstanding,
            vote.round,
            vote.earlier.len()
        ),
        Fact::Gate(gate) => match (gate.open, &gate.back_to) {
            (true, _) => "open".to_owned(),
            (false, Some(to)) => format!("back to {to}"),
            (false, None) => "closed".to_owned(),
        },
        Fact::Merge(merge) => {
            format!(
                "{} of {:?}, missing {:?}, {} disagreements",
                merge.how,
                merge.from,
                merge.missing,
                merge.disagreements.len()
            )
        }
        Fact::Settle(settle) => format!(
            "{} by {}, {} positions",
            settle.answer,
            settle.settled_by.as_deref().unwrap_or("-"),
            settle.positions.len()
        ),
        Fact::Review(review) => {
            let round = |round: &ReviewRound| {
                let revised = if round.revised { ", revised" } else { "" };
                format!(
                    "{}: {} ({}){revised}",
                    round.round,
                    round.verdict.as_deref().unwrap_or("-"),
                    all(&round.verdicts)
                )
            };
            let rounds: Vec<_> = review.rounds.iter().map(round).collect();
            format!("of {}; {}", review.author.as_deref().unwrap_or("-"), rounds.join("; "))
        }
        Fact::Handoff(turns) => {
            let turn = |turn: &Turn| {
                format!("{} {}", turn.agent, turn.to.as_deref().or(turn.status.as_deref()).unwrap_or("-"))
            };
            turns.iter().map(turn).collect::<Vec<_>>().join(", ")
        }
        Fact::Delegate(list) => all(list),
        Fact::Agreement(share) => format!("{share} agree"),
    }
}
