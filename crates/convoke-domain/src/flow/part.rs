//! What a task of a flow is for, by its path: work, or what brings the work of others about and together.
//!
//! Rule: paths are looked up in the steps as their file has them, not as they are expanded. Start at [`of`].

use serde::{Deserialize, Serialize};

use super::planned::PLAN;
use super::{Flow, How, SplitStep, Step, path};

/// The segment of a review below which its reviewers' tasks are.
const VERDICTS: &str = "verdicts";
/// The segment of the task in which whoever delegated judges the result.
const JUDGEMENT: &str = "judgement";

/// What a task is for that is no member's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// It plans the items of a split.
    Plan,
    /// It puts the results of others together.
    Synthesis,
    /// It settles what others disagree on, or judges what it had delegated.
    Judge,
    /// It reviews what another made.
    Review,
    /// It is a ballot.
    Vote,
}

/// What the task at a path is for by which the flow plans, puts together, judges, reviews or votes; nothing for work.
pub fn of(flow: &Flow, at: &str) -> Option<Part> {
    let segments: Vec<&str> = at.split('/').map(path::id_of).collect();
    let (step, rest) = found(&flow.steps, &segments)?;
    match rest {
        [] => step.merge.as_ref().filter(|merge| merge.how == How::Synthesis).map(|_| Part::Synthesis),
        _ if step.settle.is_some() => Some(Part::Judge),
        _ if step.vote.is_some() => Some(Part::Vote),
        [.., VERDICTS, _] if step.review.is_some() => Some(Part::Review),
        [.., JUDGEMENT] if step.delegate.is_some() => Some(Part::Judge),
        [PLAN] => step.split.as_ref()?.plan.as_ref().map(|_| Part::Plan),
        _ => None,
    }
}

/// The split that the task at a path plans, if it plans one.
pub(super) fn split_planned_at<'a>(flow: &'a Flow, at: &str) -> Option<&'a SplitStep> {
    let segments: Vec<&str> = at.split('/').map(path::id_of).collect();
    match found(&flow.steps, &segments)? {
        (step, [PLAN]) => step.split.as_ref().filter(|split| split.plan.is_some()),
        _ => None,
    }
}

/// What a path leads to: the step, and what lies within it where that is no step of the file.
type Found<'a, 'p> = Option<(&'a Step, &'p [&'p str])>;

/// The step of a list at a path, or below one of its steps.
fn found<'a, 'p>(steps: &'a [Step], segments: &'p [&'p str]) -> Found<'a, 'p> {
    let (first, rest) = segments.split_first()?;
    within(steps.iter().find(|step| step.id == *first)?, rest)
}

fn within<'a, 'p>(step: &'a Step, rest: &'p [&'p str]) -> Found<'a, 'p> {
    let Some((first, below)) = rest.split_first() else { return Some((step, rest)) };
    if let Some(split) = &step.split {
        let is_plan = split.plan.is_some() && *first == PLAN;
        return match split.r#do.as_slice() {
            _ if is_plan => Some((step, rest)),
            // An item of one step is that step.
            [only] => within(only, below),
            [] if split.branches.is_empty() => Some((step, rest)),
            [] => found(&split.branches, rest),
            several => found(several, below),
        };
    }
    if let Some(body) = &step.r#loop {
        return found(&body.r#do, below);
    }
    if let Some(branch) = &step.branch {
        let lists = branch.cases.iter().map(|case| &case.r#do).chain([&branch.otherwise]);
        return lists.into_iter().find_map(|steps| found(steps, rest));
    }
    if let Some(phase) = &step.phase {
        return found(&phase.r#do, rest);
    }
    Some((step, rest))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_plans_puts_together_judges_reviews_and_votes_is_no_work() {
        let task = |id: &str| json!({"id": id, "task": {"agent": "a", "instructions": "?"}});
        let whole = |id: &str| json!({"id": id, "merge": {"of": "x", "how": "synthesis"}});
        let flow: Flow = serde_json::from_value(json!({"steps": [
            task("draft"),
            whole("sum"),
            {"id": "most", "merge": {"of": "x", "how": "majority"}},
            {"id": "parts", "split": {"plan": {"by": "a"}}},
            {"id": "areas", "split": {"over": "[1]", "do": [whole("area")]}},
            {"id": "wide", "split": {"over": "[1]", "do": [task("look"), whole("all")]}},
            {"id": "sides", "split": {"branches": [task("left"), whole("right")]}},
            {"id": "again", "loop": {"max": 2, "until": "true", "do": [task("plan"), whole("so_far")]}},
            {"id": "way", "branch": {"cases": [{"when": "true", "do": [task("one")]}], "otherwise": [whole("other")]}},
            {"id": "last", "phase": {"do": [whole("end")]}},
            {"id": "agreed", "settle": {"of": "x"}},
            {"id": "which", "vote": {"question": "?"}},
            {"id": "given", "delegate": {"by": "a", "to": "b", "instructions": "?"}},
            {"id": "check", "review": {"of": "draft", "author": "a", "reviewers": "members"}},
        ]}))
        .expect("a flow");
        let coordination = [
            ("sum", Part::Synthesis),
            ("sum~2", Part::Synthesis),
            ("parts/plan", Part::Plan),
            ("areas/1", Part::Synthesis),
            ("wide/1/all", Part::Synthesis),
            ("sides/right", Part::Synthesis),
            ("again/2/so_far", Part::Synthesis),
            ("way/other", Part::Synthesis),
            ("last/end", Part::Synthesis),
            ("which/ann", Part::Vote),
            ("which/casting", Part::Vote),
            ("check/rounds/2/verdicts/ann", Part::Review),
            ("given/rounds/1/judgement", Part::Judge),
            ("agreed/judge", Part::Judge),
            ("agreed/_settled/judge", Part::Judge),
        ];
        let work = [
            "draft",
            "most",
            "parts/logs",
            "wide/1/look",
            "wide~2/1/look",
            "sides/left",
            "again/1/plan",
            "way/one",
            "check/rounds/1/revision",
            "given/rounds/1/work",
            "unknown",
            "",
        ];
        for (at, expected) in coordination {
            assert_eq!(of(&flow, at), Some(expected), "{at}");
        }
        for at in work {
            assert_eq!(of(&flow, at), None, "{at}");
        }
    }
}
