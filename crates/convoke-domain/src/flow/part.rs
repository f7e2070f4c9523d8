//! What a task of a flow is for, by its path: work, or what brings the work of others about and together.
//!
//! Rule: paths are looked up in the steps as their file has them, not as they are expanded. Start at [`is_coordination`].

use super::planned::PLAN;
use super::{Flow, How, SplitStep, Step, path};

/// True for the task at a path by which the flow plans a split, writes a synthesis or settles a disagreement.
pub fn is_coordination(flow: &Flow, at: &str) -> bool {
    let segments: Vec<&str> = at.split('/').map(path::id_of).collect();
    match found(&flow.steps, &segments) {
        Some((step, [])) => step.merge.as_ref().is_some_and(|merge| merge.how == How::Synthesis),
        Some((step, [PLAN])) => step.settle.is_some() || step.split.as_ref().is_some_and(|split| split.plan.is_some()),
        Some((step, _)) => step.settle.is_some(),
        None => false,
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
    fn plans_syntheses_and_what_settles_are_coordination() {
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
            {"id": "check", "review": {"of": "draft", "author": "a", "reviewers": "members"}},
        ]}))
        .expect("a flow");
        let coordination = [
            "sum",
            "sum~2",
            "parts/plan",
            "areas/1",
            "wide/1/all",
            "sides/right",
            "again/2/so_far",
            "way/other",
            "last/end",
            "agreed/_judged",
            "agreed/ask/ann",
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
            "unknown",
            "",
        ];
        for (paths, expected) in [(&coordination[..], true), (&work[..], false)] {
            for at in paths {
                assert_eq!(is_coordination(&flow, at), expected, "{at}");
            }
        }
    }
}
