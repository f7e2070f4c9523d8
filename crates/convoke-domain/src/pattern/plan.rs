//! A coordinator's plan: what it may say, and the check that makes tasks of it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{NewTask, RunView, Stage, TaskRef};
use crate::graph::{self, Edge};
use crate::task::Priority;
use crate::team::FixedTask;

/// A plan as the coordinator writes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The sub-tasks.
    pub tasks: Vec<PlannedTask>,
}

/// One sub-task of a plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PlannedTask {
    /// A short name, unique in the plan.
    pub key: String,
    /// One line.
    #[serde(default)]
    pub title: String,
    /// What to do.
    #[serde(default)]
    pub instructions: String,
    /// Who does it, by name.
    #[serde(default)]
    pub assignee: Option<String>,
    /// Or what whoever does it must be capable of.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Keys of sub-tasks whose results this one needs.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// What the answer should contain.
    #[serde(default)]
    pub expected_output: String,
}

/// JSON Schema of a plan for these members.
pub fn schema(members: &[String], max_tasks: u32) -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["tasks"],
        "properties": {"tasks": tasks_schema(members, max_tasks, 1)}
    })
}

/// JSON Schema of a list of sub-tasks.
pub(super) fn tasks_schema(members: &[String], max_tasks: u32, min_tasks: u32) -> Value {
    json!({
        "type": "array",
        "minItems": min_tasks,
        "maxItems": max_tasks,
        "items": {
            "type": "object",
            "additionalProperties": false,
            "required": ["key", "title", "instructions", "assignee", "depends_on", "expected_output"],
            "properties": {
                "key": {"type": "string", "description": "short unique name, such as `logs`"},
                "title": {"type": "string", "description": "one line"},
                "instructions": {"type": "string", "description": "what to do, with all the member needs to know"},
                "assignee": {"type": "string", "enum": members, "description": "the member who does it"},
                "depends_on": {"type": "array", "items": {"type": "string"}, "description": "keys of sub-tasks whose results it needs"},
                "expected_output": {"type": "string", "description": "what the answer should contain"}
            }
        }
    })
}

/// Reads a plan and makes tasks of it, or says what is wrong in words the coordinator can act on.
pub fn compile(view: &RunView<'_>, plan: &Plan, round: u32) -> Result<Vec<NewTask>, String> {
    let max = usize::try_from(view.team.rules.max_tasks).unwrap_or(usize::MAX);
    if plan.tasks.is_empty() {
        return Err("the plan has no sub-tasks".into());
    }
    if plan.tasks.len() > max {
        return Err(format!("the plan has {} sub-tasks; at most {max} are allowed", plan.tasks.len()));
    }
    for (place, task) in plan.tasks.iter().enumerate() {
        if task.key.trim().is_empty() {
            return Err(format!("sub-task {} has no key", place + 1));
        }
        if plan.tasks[..place].iter().any(|earlier| earlier.key == task.key) {
            return Err(format!("the key `{}` is used twice", task.key));
        }
        if let Some(unknown) = task.depends_on.iter().find(|key| !plan.tasks.iter().any(|other| other.key == **key)) {
            return Err(format!("sub-task `{}` depends on `{unknown}`, which is not in the plan", task.key));
        }
    }
    let edges = plan.tasks.iter().flat_map(|task| task.depends_on.iter().map(|on| (on.as_str(), task.key.as_str())));
    if let Some(cycle) = graph::cycle(edges) {
        return Err(format!("the sub-tasks depend on each other in a circle: {}", cycle.join(" -> ")));
    }
    plan.tasks.iter().map(|task| work(view, task, round)).collect()
}

fn work(view: &RunView<'_>, task: &PlannedTask, round: u32) -> Result<NewTask, String> {
    let agent = assign(view, task)?;
    let mut instructions = if task.instructions.is_empty() { view.task.to_owned() } else { task.instructions.clone() };
    if !task.expected_output.is_empty() {
        instructions.push_str(&format!("\n\nExpected output: {}", task.expected_output));
    }
    let after = task.depends_on.iter().map(|key| (task_ref(Stage::Work, round, key), Edge::Hard)).collect();
    Ok(NewTask {
        key: task.key.clone(),
        title: if task.title.is_empty() { task.key.clone() } else { task.title.clone() },
        instructions,
        stage: Stage::Work,
        round,
        agent,
        priority: Priority::Normal,
        output_schema: None,
        after,
        timeout_s: None,
        retries: None,
    })
}

/// The member named, or the one that covers most of what is needed. A member without a needed capability is no answer.
fn assign(view: &RunView<'_>, task: &PlannedTask) -> Result<String, String> {
    let names = || view.members.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(assignee) = task.assignee.as_deref().filter(|name| !name.is_empty()) {
        let known = view.members.iter().find(|(name, _)| name == assignee);
        return known.map(|(name, _)| name.clone()).ok_or_else(|| {
            format!(
                "sub-task `{}` is given to `{assignee}`, who is not a member; the members are {}",
                task.key,
                names()
            )
        });
    }
    if task.needs.is_empty() {
        return Err(format!("sub-task `{}` has neither an assignee nor needs; the members are {}", task.key, names()));
    }
    let able = view.members.iter().find(|(_, can)| task.needs.iter().all(|need| can.contains(need)));
    able.map(|(name, _)| name.clone()).ok_or_else(|| {
        format!("no member is capable of all that sub-task `{}` needs: {}", task.key, task.needs.join(", "))
    })
}

/// Tasks as the team fixes them. The team was checked when it was saved, so this refuses only what cannot be assigned.
pub(super) fn fixed(view: &RunView<'_>, tasks: &[FixedTask]) -> Result<Vec<NewTask>, String> {
    tasks
        .iter()
        .map(|task| {
            let planned = PlannedTask {
                key: task.key.clone(),
                title: task.title.clone(),
                instructions: task.instructions.replace("{{ task }}", view.task),
                assignee: task.assignee.clone(),
                needs: task.needs.clone(),
                depends_on: task.depends_on.clone(),
                expected_output: String::new(),
            };
            let mut made = work(view, &planned, 1)?;
            made.priority = task.priority;
            made.output_schema.clone_from(&task.output_schema);
            made.after.extend(task.after.iter().map(|key| (task_ref(Stage::Work, 1, key), Edge::Soft)));
            Ok(made)
        })
        .collect()
}

pub(super) fn task_ref(stage: Stage, round: u32, key: &str) -> TaskRef {
    TaskRef { stage: stage.as_str(), round, key: key.to_owned() }
}
