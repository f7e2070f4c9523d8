//! Plans of splits, whoever made them: what they may say, and the check that makes items of them.
//!
//! Rule: a plan is checked in the same words when it has just been said, so that whoever planned can put it right, and before it is
//! carried out. Start at [`read`]; [`of_list`] takes what an expression gives.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Flow, SplitStep, part, path};
use crate::graph;
use crate::pattern::plan::{Plan, PlannedTask};

/// The segment of the task in which the items of a split are planned.
pub(super) const PLAN: &str = "plan";

/// What is wrong with an answer to the task at a path, if that task plans a split. `form` is the schema that the answer had to fit; it
/// names those who may be given an item.
pub fn flaw(flow: &Flow, at: &str, form: &str, answer: &str) -> Option<String> {
    let split = part::split_planned_at(flow, at)?;
    let form: Value = serde_json::from_str(form).ok()?;
    let names = form.pointer("/properties/tasks/items/properties/assignee/enum")?.as_array()?;
    let among: Vec<String> = names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    read(answer, &among, split).err()
}

/// Reads the plan that an agent wrote, or says what is wrong with it.
pub(super) fn read(text: &str, among: &[String], split: &SplitStep) -> Result<Vec<PlannedTask>, String> {
    let plan: Plan = serde_json::from_str(text).map_err(|error| format!("it cannot be read: {error}"))?;
    check(&plan.tasks, among, split)?;
    Ok(plan.tasks)
}

/// Reads the plan that an expression gave: each item with the value it has in templates. One that names nobody, but says what it
/// needs, goes to the first who is capable of it.
pub(super) fn of_list(
    items: Vec<Value>,
    (among, can): (&[String], impl Fn(&str, &str) -> bool),
    split: &SplitStep,
) -> Result<Vec<(PlannedTask, Value)>, String> {
    let (mut tasks, mut values) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
    for (place, mut value) in items.into_iter().enumerate() {
        let read = serde_json::from_value::<PlannedTask>(value.clone());
        let mut task = read.map_err(|error| format!("item {} cannot be read: {error}", place + 1))?;
        if task.assignee.as_deref().is_none_or(str::is_empty) && !task.needs.is_empty() {
            let able = among.iter().find(|name| task.needs.iter().all(|need| can(name, need)));
            let Some(able) = able else {
                return Err(format!("nobody is capable of all that `{}` needs: {}", task.key, task.needs.join(", ")));
            };
            task.assignee = Some(able.clone());
            value["assignee"] = able.as_str().into();
        }
        tasks.push(task);
        values.push(value);
    }
    check(&tasks, among, split)?;
    Ok(tasks.into_iter().zip(values).collect())
}

fn check(tasks: &[PlannedTask], among: &[String], split: &SplitStep) -> Result<(), String> {
    if tasks.len() > split.limit as usize {
        return Err(format!("it has {} items; at most {} are allowed", tasks.len(), split.limit));
    }
    let mut seen = BTreeSet::new();
    for task in tasks {
        let key = path::slug(&task.key);
        if key.is_empty() || key == PLAN || !seen.insert(key) {
            return Err(format!("the key `{}` is empty, taken, or reserved", task.key));
        }
        if let Some(unknown) = task.depends_on.iter().find(|on| !tasks.iter().any(|other| other.key == **on)) {
            return Err(format!("`{}` depends on `{unknown}`, which is not in it", task.key));
        }
        if !split.r#do.is_empty() && !task.depends_on.is_empty() {
            return Err(format!("`{}` depends on others, and these items are worked on at the same time", task.key));
        }
        let who = task.assignee.as_deref().unwrap_or_default();
        if !among.iter().any(|name| name == who) {
            return Err(format!("`{}` is given to `{who}`; it may be given to {}", task.key, among.join(", ")));
        }
    }
    let edges = tasks.iter().flat_map(|task| task.depends_on.iter().map(|on| (on.as_str(), task.key.as_str())));
    match graph::cycle(edges) {
        Some(cycle) => Err(format!("its items depend on each other in a circle: {}", cycle.join(" -> "))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn flow() -> Flow {
        let each = json!([{"id": "x", "task": {"agent": "a", "instructions": "?"}}]);
        let steps = json!([
            {"id": "parts", "split": {"plan": {"by": "lead"}, "limit": 2}},
            {"id": "rounds", "loop": {"max": 2, "until": "true", "do": [
                {"id": "more", "split": {"plan": {"by": "lead"}, "do": each}}]}},
            {"id": "plan", "task": {"agent": "a", "instructions": "?"}},
        ]);
        Flow { steps: serde_json::from_value(steps).expect("steps"), ..Flow::default() }
    }

    #[test]
    fn what_is_wrong_with_a_plan_is_found_where_it_is_said() {
        let form = crate::pattern::plan::schema(&["a".into(), "b".into()], 5).to_string();
        let item = |key: &str, who: &str, on: &[&str]| json!({"key": key, "assignee": who, "depends_on": on});
        let said = |at: &str, items: Value| flaw(&flow(), at, &form, &json!({"tasks": items}).to_string());
        assert_eq!(said("parts/plan", json!([item("one", "a", &[]), item("two", "b", &["one"])])), None);
        for (at, items, wrong) in [
            ("parts/plan", json!([item("one", "zoe", &[])]), "`one` is given to `zoe`; it may be given to a, b"),
            (
                "parts/plan",
                json!([item("one", "a", &["two"]), item("two", "b", &["one"])]),
                "its items depend on each other in a circle: one -> two -> one",
            ),
            ("parts~2/plan", json!([item("", "a", &[])]), "the key `` is empty, taken, or reserved"),
            (
                "parts/plan",
                json!([1, 2, 3].map(|n| item(&n.to_string(), "a", &[]))),
                "it has 3 items; at most 2 are allowed",
            ),
            (
                "rounds/2/more/plan",
                json!([item("one", "a", &[]), item("two", "b", &["one"])]),
                "`two` depends on others, and these items are worked on at the same time",
            ),
        ] {
            assert_eq!(said(at, items).as_deref(), Some(wrong), "{at}");
        }
        let strange = json!([item("one", "zoe", &[])]);
        for at in ["parts/one", "plan", "rounds/2/more/one/x", "rounds/2/more", "no/plan"] {
            assert_eq!(said(at, strange.clone()), None, "{at} plans nothing");
        }
    }

    #[test]
    fn items_of_a_list_go_to_whom_they_name_or_to_who_is_capable() {
        let among = ["a".to_owned(), "b".to_owned()];
        let read = |items: Value| {
            let items = items.as_array().cloned().unwrap_or_default();
            of_list(items, (&among, |name, need| name == need), &SplitStep { limit: 3, ..SplitStep::default() })
        };
        let found =
            read(json!([{"key": "one", "needs": ["b"], "own": 1}, {"key": "two", "assignee": "a"}])).expect("a plan");
        let who: Vec<_> = found.iter().map(|(task, _)| task.assignee.as_deref()).collect();
        assert_eq!(who, [Some("b"), Some("a")]);
        assert_eq!(found[0].1, json!({"key": "one", "needs": ["b"], "own": 1, "assignee": "b"}), "as templates see it");
        for (items, wrong) in [
            (json!([{"key": "one", "needs": ["a", "b"]}]), "nobody is capable of all that `one` needs: a, b"),
            (json!([{"key": "one"}]), "`one` is given to ``; it may be given to a, b"),
            (json!(["one"]), "item 1 cannot be read: invalid type: string \"one\", expected struct PlannedTask"),
            (json!([{"assignee": "a"}]), "item 1 cannot be read: missing field `key`"),
        ] {
            assert_eq!(read(items).expect_err("no plan"), wrong);
        }
    }
}
