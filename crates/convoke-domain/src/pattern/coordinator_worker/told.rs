//! What there is to write down of the coordination: the same notes that a flow makes, at paths of stage and round such as `work/1`.
//!
//! Rule: told from the tasks that the pattern has before it anyway; a note changes nothing. Lists name members, never tasks, so that
//! a note is short however many tasks there are.

use serde_json::{Value, json};

use super::{Judgement, Verdict};
use crate::flow::machine::{Note, What};
use crate::flow::{How, Wait};
use crate::pattern::{Ending, Move, NewTask, RunView, Stage, TaskView};

fn note(what: What, stage: Stage, round: u32, facts: Value) -> Move {
    Move::Note(Note { what, path: at(stage, round), facts })
}

fn at(stage: Stage, round: u32) -> String {
    format!("{}/{round}", stage.as_str())
}

/// Members begin to work, and the run waits for them: all of them, or those who are not optional.
pub(super) fn work_begins(view: &RunView<'_>, tasks: &[NewTask]) -> Vec<Move> {
    let Some(round) = tasks.first().map(|task| task.round) else { return Vec::new() };
    let rules = &view.team.rules;
    let is_optional = |task: &&NewTask| super::is_optional(view, &task.agent);
    let needed = tasks.len() - if rules.wait_for_all { 0 } else { tasks.iter().filter(is_optional).count() };
    let wait = if needed == tasks.len() { Wait::All } else { Wait::Count };
    let width = if rules.parallel_execution { tasks.len() } else { 1 };
    let mut told = Vec::new();
    if rules.max_rounds > 1 {
        let facts = json!({"round": round, "max": rules.max_rounds});
        told.push(Move::Note(Note { what: What::RoundStarted, path: Stage::Work.as_str().into(), facts }));
    }
    let split = json!({"items": tasks.len(), "width": width, "wait": wait});
    told.push(note(What::SplitCreated, Stage::Work, round, split));
    let sync = json!({"items": tasks.len(), "wait": wait, "count": needed});
    told.push(note(What::SyncCreated, Stage::Work, round, sync));
    told
}

/// A stage has ended, and these moves follow.
pub(super) fn stage_ended(view: &RunView<'_>, last: &TaskView, moves: &[Move]) -> Option<Move> {
    match (last.stage, &last.ending) {
        (Stage::Work, _) => Some(work_ended(view, last.round, moves)),
        (Stage::Synthesis, Some(Ending::Completed(_))) => Some(put_together(view, last.round)),
        (Stage::Validation, _) => Some(judged(view, last.round)),
        (Stage::Plan | Stage::Synthesis | Stage::Step, _) => None,
    }
}

/// Those of a stage and round.
fn of<'a>(view: &RunView<'a>, stage: Stage, round: u32) -> impl Iterator<Item = &'a TaskView> {
    view.tasks.iter().filter(move |task| (task.stage, task.round) == (stage, round))
}

/// Enough members have ended with a result if the run goes on with what there is.
fn work_ended(view: &RunView<'_>, round: u32, moves: &[Move]) -> Move {
    let count = |is: fn(&Ending) -> bool| {
        of(view, Stage::Work, round).filter_map(|t| t.ending.as_ref()).filter(|e| is(e)).count()
    };
    let completed = count(|ending| matches!(ending, Ending::Completed(_)));
    let failed = count(|ending| matches!(ending, Ending::Failed(_)));
    let met = moves.iter().any(|step| matches!(step, Move::Create(_)));
    let items = of(view, Stage::Work, round).count();
    let facts = json!({"items": items, "completed": completed, "failed": failed, "met": met});
    note(What::SyncReady, Stage::Work, round, facts)
}

/// The coordinator is given these results, to put them together.
pub(super) fn join(round: u32, parts: impl Iterator<Item = (Stage, u32)>) -> Move {
    let mut of: Vec<String> = Vec::new();
    for (stage, round) in parts {
        let path = at(stage, round);
        if !of.contains(&path) {
            of.push(path);
        }
    }
    note(What::JoinCreated, Stage::Synthesis, round, json!({"of": of}))
}

/// A synthesis is there: of whose results, and who worked and had none. Where they differ is in its text.
fn put_together(view: &RunView<'_>, round: u32) -> Move {
    let work = || view.tasks.iter().filter(|task| task.stage == Stage::Work);
    let (mut from, mut missing): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for (name, _) in view.members {
        let mut own = work().filter(|task| task.agent == *name).peekable();
        if own.peek().is_none() {
            continue;
        }
        let has_result = own.any(|task| matches!(task.ending, Some(Ending::Completed(_))));
        if has_result { &mut from } else { &mut missing }.push(name);
    }
    note(
        What::MergeCompleted,
        Stage::Synthesis,
        round,
        json!({"how": How::Synthesis, "from": from, "missing": missing}),
    )
}

/// What a round of judgements came to, and who disagreed. One that cannot be read is an abstention.
fn judged(view: &RunView<'_>, round: u32) -> Move {
    let (mut with, mut dissent, mut silent) = (0, Vec::new(), Vec::new());
    for task in of(view, Stage::Validation, round) {
        match judgement(task).map(|judgement| judgement.verdict) {
            Some(Verdict::Agree) => with += 1,
            Some(Verdict::Disagree) => dissent.push(task.agent.as_str()),
            None => silent.push(task.agent.as_str()),
        }
    }
    let verdict = match (dissent.is_empty(), with) {
        (false, _) => Some("revise"),
        (true, 0) => None,
        (true, _) => Some("accept"),
    };
    let facts = json!({
        "author": view.team.coordinator, "verdict": verdict, "rounds": round, "dissent": dissent, "silent": silent
    });
    note(What::ReviewEnded, Stage::Validation, round, facts)
}

/// What a member says of a synthesis, if it said something that can be read.
pub(super) fn judgement(task: &TaskView) -> Option<Judgement> {
    let Some(Ending::Completed(output)) = &task.ending else { return None };
    serde_json::from_str(output).ok()
}
