//! What a flow has to do with what is known of its members' work: whether it goes by that, and which capability a step takes.
//!
//! Rule: read from the typed steps, never from their text. Start at [`Flow::goes_by_weights`].

use super::{Flow, How, Step, path};
use crate::vote::Weights;

impl Step {
    /// The lists of steps that stand in it.
    pub(super) fn lists(&self) -> Vec<&[Step]> {
        let mut lists: Vec<&[Self]> = Vec::new();
        if let Some(split) = &self.split {
            lists.extend([split.branches.as_slice(), &split.r#do]);
        }
        if let Some(body) = &self.r#loop {
            lists.push(&body.r#do);
        }
        if let Some(branch) = &self.branch {
            lists.extend(branch.cases.iter().map(|case| case.r#do.as_slice()));
            lists.push(&branch.otherwise);
        }
        if let Some(phase) = &self.phase {
            lists.push(&phase.r#do);
        }
        lists
    }

    /// The first of it and of what stands in it for which something holds.
    fn find<'a>(&'a self, holds: &impl Fn(&Self) -> bool) -> Option<&'a Self> {
        if holds(self) {
            return Some(self);
        }
        self.lists().into_iter().flatten().find_map(|step| step.find(holds))
    }

    /// True if what it comes to may depend on what is known of how often its members are right. Settings that are computed may ask
    /// for that; nobody can tell before.
    fn goes_by_weights(&self) -> bool {
        let of_vote =
            self.vote.as_ref().is_some_and(|vote| vote.settings.is_some() || vote.rule.weights == Weights::Learnt);
        let of_merge =
            self.merge.as_ref().is_some_and(|merge| matches!(merge.how, How::Weighted | How::BestOf | How::Combine));
        of_vote || of_merge
    }

    /// The capability that it takes: the first that its task needs, or that of its vote; of steps in a row, that of the last.
    fn capability(&self) -> Option<&str> {
        if let Some(task) = &self.task {
            return task.needs.first().map(String::as_str);
        }
        if let Some(vote) = &self.vote {
            return vote.rule.capability.as_deref().filter(|capability| !capability.is_empty());
        }
        let last = self.r#loop.as_ref().map(|body| &body.r#do).or(self.phase.as_ref().map(|phase| &phase.r#do))?.last();
        last.and_then(Self::capability)
    }
}

impl Flow {
    /// True if anything in it goes by what is known of how often its members are right.
    pub fn goes_by_weights(&self) -> bool {
        self.steps.iter().any(|step| step.find(&Step::goes_by_weights).is_some())
    }

    /// The capability that the step of this name takes, where it says one.
    pub fn capability_of(&self, id: &str) -> Option<&str> {
        self.steps.iter().find_map(|step| step.find(&|one| one.id == id))?.capability()
    }

    /// The capability that the task at a path takes, where its step says one.
    pub fn capability_at(&self, at: &str) -> Option<&str> {
        let mut segments = at.split('/');
        let mut step = find(&self.steps, segments.next()?)?;
        while let Some(segment) = segments.next() {
            if step.vote.is_some() {
                break;
            }
            step = match &step.split {
                Some(split) if !split.branches.is_empty() => find(&split.branches, segment)?,
                Some(split) => match split.r#do.as_slice() {
                    [] => return None,
                    [only] => only,
                    many => find(many, segments.next()?)?,
                },
                // A round stands between a loop and its steps.
                None if step.r#loop.is_some() => find(&step.r#loop.as_ref()?.r#do, segments.next()?)?,
                None => step.lists().into_iter().find_map(|steps| find(steps, segment))?,
            };
        }
        step.capability()
    }
}

fn find<'a>(steps: &'a [Step], segment: &str) -> Option<&'a Step> {
    steps.iter().find(|step| step.id == path::id_of(segment))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn flow(steps: Value) -> Flow {
        serde_json::from_value(json!({"steps": steps})).expect("a flow")
    }

    #[test]
    fn what_goes_by_weights_is_found_wherever_it_stands() {
        let vote = |rule: Value| json!({"id": "v", "vote": {"question": "?", "rule": rule}});
        let merge = |how: &str| json!({"id": "m", "merge": {"of": "a", "how": how}});
        let rows = [
            (vote(json!({})), false),
            (vote(json!({"weights": "fixed", "fixed": {"a": 2}})), false),
            (vote(json!({"weights": "learnt"})), true),
            (json!({"id": "v", "vote": {"question": "?", "settings": "{'weights': 'learnt'}"}}), true),
            (json!({"id": "v", "vote": {"question": "?", "settings": "rule"}}), true),
            (merge("union"), false),
            (merge("majority"), false),
            (merge("weighted"), true),
            (merge("best_of"), true),
            (json!({"id": "t", "task": {"agent": "a", "instructions": "say \"weights\":\"learnt\""}}), false),
        ];
        for (step, goes) in rows {
            let inside = [
                json!([step]),
                json!([{"id": "s", "split": {"over": "members", "do": [step]}}]),
                json!([{"id": "s", "split": {"branches": [step]}}]),
                json!([{"id": "l", "loop": {"max": 2, "until": "true", "do": [step]}}]),
                json!([{"id": "b", "branch": {"cases": [{"when": "true", "do": [step]}]}}]),
                json!([{"id": "b", "branch": {"cases": [], "otherwise": [step]}}]),
                json!([{"id": "p", "phase": {"do": [{"id": "x", "value": "1"}, step]}}]),
            ];
            for steps in inside {
                assert_eq!(flow(steps.clone()).goes_by_weights(), goes, "{steps}");
            }
        }
    }

    #[test]
    fn the_capability_of_a_task_is_what_its_step_needs() {
        let task = |id: &str, needs: Value| json!({"id": id, "task": {"needs": needs, "instructions": "x"}});
        let steps = json!([
            task("draft", json!(["writing", "sql"])),
            {"id": "each", "split": {"over": "members", "do": [task("one", json!(["sql"]))]}},
            {"id": "many", "split": {"over": "members", "do": [task("first", json!(["sql"])), task("second", json!(["ops"]))]}},
            {"id": "fixed", "split": {"branches": [task("left", json!(["ops"]))]}},
            {"id": "again", "loop": {"max": 2, "until": "true", "do": [task("try", json!(["ops"]))]}},
            {"id": "way", "branch": {"cases": [{"when": "true", "do": [task("so", json!(["ops"]))]}], "otherwise": [task("else", json!(["sql"]))]}},
            {"id": "which", "vote": {"question": "?", "rule": {"capability": "ops"}}},
            {"id": "plain", "task": {"agent": "a", "instructions": "x"}},
        ]);
        let flow = flow(steps);
        let rows = [
            ("draft", Some("writing")),
            ("draft~2", Some("writing")),
            ("each/ada", Some("sql")),
            ("many/ada/second", Some("ops")),
            ("fixed/left", Some("ops")),
            ("again/2/try", Some("ops")),
            ("way/so", Some("ops")),
            ("way/else", Some("sql")),
            ("which/ada", Some("ops")),
            ("plain", None),
            ("nothing/at/all", None),
            ("", None),
        ];
        for (at, capability) in rows {
            assert_eq!(flow.capability_at(at), capability, "{at}");
        }
        assert_eq!((flow.capability_of("again"), flow.capability_of("second")), (Some("ops"), Some("ops")));
        assert_eq!((flow.capability_of("each"), flow.capability_of("no")), (None, None));
    }
}
