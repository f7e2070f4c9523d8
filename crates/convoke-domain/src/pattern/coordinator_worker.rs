//! `coordinator_worker`: a coordinator plans, members work in parallel, the coordinator puts the results together, the
//! members may judge it.
//!
//! Order of stages: plan → work → synthesis → (more work → synthesis)* → (validation → synthesis)* → end. Each arrow
//! waits for every task before it; each loop has its limit in the team's rules, so a run always ends.

mod told;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::plan::{self, Plan, PlannedTask, task_ref};
use super::{Ending, Move, NewTask, RunView, Stage, TaskView};
use crate::graph::Edge;
use crate::run::Phase;
use crate::task::Priority;
use crate::team::{EscalationPolicy, Planning};

/// The key of the coordinator's own tasks.
pub const COORDINATOR_KEY: &str = "coordinator";

/// What a synthesis says while another round of work may be asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Synthesis {
    /// The result in Markdown.
    pub answer: String,
    /// Sub-tasks that are still needed; the run goes on with them.
    #[serde(default)]
    pub follow_up: Vec<PlannedTask>,
}

/// What a member says of a synthesis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// `agree` or `disagree`.
    pub verdict: Verdict,
    /// Why, in a sentence or two.
    #[serde(default)]
    pub comment: String,
}

/// Whether a member stands behind a synthesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It does.
    Agree,
    /// It does not.
    Disagree,
}

/// What should happen next; nothing while a task that is waited for has not ended.
pub fn next(view: &RunView<'_>) -> Vec<Move> {
    let Some(last) = view.tasks.last() else { return begin(view) };
    let (needed, spare): (Vec<_>, Vec<_>) =
        view.tasks.iter().filter(|task| task.ending.is_none()).partition(|task| is_needed(view, task));
    if !needed.is_empty() {
        return Vec::new();
    }
    let mut moves = Vec::new();
    if !spare.is_empty() {
        moves.push(Move::Cancel(spare.iter().map(|task| task_ref(task.stage, task.round, &task.key)).collect()));
    }
    let found = match last.stage {
        Stage::Plan => after_plan(view, last),
        Stage::Work => after_work(view),
        Stage::Synthesis => after_synthesis(view, last),
        Stage::Validation | Stage::Step => after_validation(view),
    };
    moves.extend(told::stage_ended(view, last, &found));
    moves.extend(found);
    moves
}

/// Optional members are not waited for where the team does not wait for all.
fn is_needed(view: &RunView<'_>, task: &TaskView) -> bool {
    view.team.rules.wait_for_all || task.stage != Stage::Work || !is_optional(view, &task.agent)
}

fn is_optional(view: &RunView<'_>, agent: &str) -> bool {
    view.team.members.iter().any(|member| member.profile == agent && member.optional)
}

fn begin(view: &RunView<'_>) -> Vec<Move> {
    match view.team.rules.planning {
        Planning::Plan | Planning::Brief => vec![Move::Enter(Phase::Delegation), Move::Create(vec![plan_task(view)])],
        Planning::Fixed => execute(view, plan::fixed(view, &view.team.tasks).map(|tasks| in_order(view, tasks))),
        Planning::SameTask => execute(view, Ok(in_order(view, same_task(view, None)))),
    }
}

fn plan_task(view: &RunView<'_>) -> NewTask {
    let names: Vec<_> = view.members.iter().map(|(name, _)| name.clone()).collect();
    let structured = view.team.rules.planning == Planning::Plan;
    let instructions = if structured {
        "Break the task down into sub-tasks for the members of your team. Give each to the member whose field it is, with \
         everything that member needs to know. Let them work at the same time where they can; make one depend on another \
         only where it needs its result."
    } else {
        "Write a short brief for the members of your team, who will all work on this task at the same time, each from the \
         point of view of its own field: what matters, what to look at first, what a good answer contains."
    };
    NewTask {
        key: COORDINATOR_KEY.into(),
        title: if structured { "Plan the work".into() } else { "Brief the team".into() },
        instructions: instructions.into(),
        stage: Stage::Plan,
        round: 1,
        agent: view.team.coordinator.clone(),
        priority: Priority::High,
        output_schema: structured.then(|| plan::schema(&names, view.team.rules.max_tasks)),
        after: Vec::new(),
        timeout_s: None,
        retries: None,
    }
}

fn after_plan(view: &RunView<'_>, planning: &TaskView) -> Vec<Move> {
    let output = match &planning.ending {
        Some(Ending::Completed(output)) => output,
        Some(Ending::Failed(reason)) => return vec![Move::Fail("planning_failed", reason.clone())],
        Some(Ending::Cancelled) | None => return vec![Move::Fail("planning_failed", "the plan was called off".into())],
    };
    if view.team.rules.planning == Planning::Brief {
        return execute(view, Ok(in_order(view, same_task(view, Some(output)))));
    }
    execute(view, read_plan(view, output).map(|tasks| in_order(view, tasks)))
}

/// Makes tasks of a plan's text, or says what is wrong with it.
pub fn read_plan(view: &RunView<'_>, text: &str) -> Result<Vec<NewTask>, String> {
    let plan: Plan = serde_json::from_str(text).map_err(|error| format!("the plan cannot be read: {error}"))?;
    plan::compile(view, &plan, 1)
}

fn same_task(view: &RunView<'_>, brief: Option<&str>) -> Vec<NewTask> {
    let instructions = match brief {
        Some(brief) => format!("{}\n\nYour coordinator's brief:\n{brief}", view.task),
        None => view.task.to_owned(),
    };
    let work = |name: &String| NewTask {
        key: name.clone(),
        title: format!("{name}: {}", first_line(view.task)),
        instructions: instructions.clone(),
        stage: Stage::Work,
        round: 1,
        agent: name.clone(),
        priority: Priority::Normal,
        output_schema: None,
        after: Vec::new(),
        timeout_s: None,
        retries: None,
    };
    view.members.iter().map(|(name, _)| work(name)).collect()
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= 60 { line.to_owned() } else { line.chars().take(59).chain(['…']).collect() }
}

/// One after the other where the team does not work in parallel.
fn in_order(view: &RunView<'_>, mut tasks: Vec<NewTask>) -> Vec<NewTask> {
    if !view.team.rules.parallel_execution {
        for place in 1..tasks.len() {
            let before = task_ref(Stage::Work, tasks[place - 1].round, &tasks[place - 1].key);
            if !tasks[place].after.iter().any(|(known, _)| *known == before) {
                tasks[place].after.push((before, Edge::Soft));
            }
        }
    }
    tasks
}

fn execute(view: &RunView<'_>, tasks: Result<Vec<NewTask>, String>) -> Vec<Move> {
    match tasks {
        Ok(tasks) => {
            let told = told::work_begins(view, &tasks);
            [Move::Enter(Phase::Execution)].into_iter().chain(told).chain([Move::Create(tasks)]).collect()
        }
        Err(reason) => vec![Move::Fail("unusable_plan", reason)],
    }
}

fn after_work(view: &RunView<'_>) -> Vec<Move> {
    let work: Vec<_> = view.tasks.iter().filter(|task| task.stage == Stage::Work).collect();
    let failures: Vec<_> = work
        .iter()
        .filter_map(|task| match &task.ending {
            Some(Ending::Failed(reason)) => Some(format!("{} ({}): {reason}", task.key, task.agent)),
            Some(Ending::Completed(_) | Ending::Cancelled) | None => None,
        })
        .collect();
    let policy = view.team.rules.escalation_policy;
    if !failures.is_empty() && policy == EscalationPolicy::OnFailure {
        return vec![Move::Escalate { reason: failures.join("; "), output: None }];
    }
    let none_completed = !work.iter().any(|task| matches!(task.ending, Some(Ending::Completed(_))));
    if none_completed {
        let why = if failures.is_empty() { "every task was called off".to_owned() } else { failures.join("; ") };
        return vec![Move::Fail("all_members_failed", why)];
    }
    synthesize(view)
}

fn synthesize(view: &RunView<'_>) -> Vec<Move> {
    let round = rounds(view, Stage::Synthesis) + 1;
    let names: Vec<_> = view.members.iter().map(|(name, _)| name.clone()).collect();
    let may_ask = may_ask_for_more(view);
    let schema = may_ask.then(|| {
        json!({
            "type": "object", "additionalProperties": false, "required": ["answer", "follow_up"],
            "properties": {
                "answer": {"type": "string", "description": "the result in Markdown"},
                "follow_up": plan::tasks_schema(&names, view.team.rules.max_tasks, 0)
            }
        })
    });
    let task = NewTask {
        key: COORDINATOR_KEY.into(),
        title: if round == 1 {
            "Put the results together".into()
        } else {
            format!("Put the results together, round {round}")
        },
        instructions: synthesis_instructions(round, may_ask),
        stage: Stage::Synthesis,
        round,
        agent: view.team.coordinator.clone(),
        priority: Priority::High,
        output_schema: schema,
        after: inputs(view).map(|task| (task_ref(task.stage, task.round, &task.key), Edge::Soft)).collect(),
        timeout_s: None,
        retries: None,
    };
    let join = told::join(round, inputs(view).map(|task| (task.stage, task.round)));
    vec![Move::Enter(Phase::Synthesis), join, Move::Create(vec![task])]
}

fn synthesis_instructions(round: u32, may_ask: bool) -> String {
    let mut text = String::from(
        "Put the members' results together into one answer to the task. Attribute what you take over (\"According to \
         logs: …\"). Where members contradict each other, say so and say which evidence weighs more. Name what is \
         missing, members who failed included.",
    );
    if round > 1 {
        text.push_str(" Your earlier synthesis and what the members said of it are below: meet their objections.");
    }
    if may_ask {
        text.push_str(" If the results do not suffice, list in `follow_up` the sub-tasks that are still needed; otherwise leave it empty.");
    }
    text
}

fn may_ask_for_more(view: &RunView<'_>) -> bool {
    rounds(view, Stage::Work) < view.team.rules.max_rounds && rounds(view, Stage::Validation) == 0
}

/// All work, and the last synthesis with its judgements where there is one.
fn inputs<'a>(view: &RunView<'a>) -> impl Iterator<Item = &'a TaskView> {
    let [synthesis, validation] = [Stage::Synthesis, Stage::Validation].map(|stage| (stage, rounds(view, stage)));
    let is_input = move |task: &&TaskView| {
        task.stage == Stage::Work || (task.stage, task.round) == synthesis || (task.stage, task.round) == validation
    };
    view.tasks.iter().filter(is_input)
}

fn after_synthesis(view: &RunView<'_>, synthesis: &TaskView) -> Vec<Move> {
    let output = match &synthesis.ending {
        Some(Ending::Completed(output)) => output,
        Some(Ending::Failed(reason)) => return vec![Move::Fail("synthesis_failed", reason.clone())],
        Some(Ending::Cancelled) | None => return vec![Move::Fail("synthesis_failed", "it was called off".into())],
    };
    if may_ask_for_more(view) {
        let follow_up = serde_json::from_str::<Synthesis>(output).unwrap_or_default().follow_up;
        if !follow_up.is_empty() {
            let round = rounds(view, Stage::Work) + 1;
            return execute(
                view,
                plan::compile(view, &Plan { tasks: follow_up }, round).map(|tasks| in_order(view, tasks)),
            );
        }
    }
    if rounds(view, Stage::Validation) < view.team.rules.validation_rounds {
        return vec![Move::Enter(Phase::Validation), Move::Create(validations(view, synthesis))];
    }
    vec![Move::Complete(answer_of(output))]
}

/// The answer in a synthesis, whichever of its two forms it has.
pub fn answer_of(output: &str) -> String {
    serde_json::from_str::<Synthesis>(output).map_or_else(|_| output.to_owned(), |synthesis| synthesis.answer)
}

fn validations(view: &RunView<'_>, synthesis: &TaskView) -> Vec<NewTask> {
    let round = rounds(view, Stage::Validation) + 1;
    let schema = judgement_schema();
    let judge = |(name, _): &(String, Vec<String>)| NewTask {
        key: name.clone(),
        title: format!("{name} judges the synthesis"),
        instructions:
            "Judge the synthesis below from the point of view of your field alone: is it right, is what it proposes \
             safe? Disagree only if it must not stand as it is, and say what has to change."
                .into(),
        stage: Stage::Validation,
        round,
        agent: name.clone(),
        priority: Priority::Normal,
        output_schema: Some(schema.clone()),
        after: vec![(task_ref(Stage::Synthesis, synthesis.round, &synthesis.key), Edge::Soft)],
        timeout_s: None,
        retries: None,
    };
    // Those who gave nothing have nothing to judge by.
    let worked = |name: &str| {
        view.tasks.iter().any(|task| {
            task.stage == Stage::Work && task.agent == name && matches!(task.ending, Some(Ending::Completed(_)))
        })
    };
    view.members.iter().filter(|(name, _)| worked(name)).map(judge).collect()
}

fn judgement_schema() -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": ["verdict", "comment"],
        "properties": {
            "verdict": {"type": "string", "enum": ["agree", "disagree"]},
            "comment": {"type": "string", "description": "why, in a sentence or two"}
        }
    })
}

fn after_validation(view: &RunView<'_>) -> Vec<Move> {
    let round = rounds(view, Stage::Validation);
    let objections: Vec<_> = view
        .tasks
        .iter()
        .filter(|task| task.stage == Stage::Validation && task.round == round)
        .filter_map(objection)
        .collect();
    let output = last_answer(view);
    match output {
        Some(output) if objections.is_empty() => vec![Move::Complete(output)],
        Some(_) if round < view.team.rules.validation_rounds => synthesize(view),
        output if view.team.rules.escalation_policy == EscalationPolicy::OnDisagreement && !objections.is_empty() => {
            vec![Move::Escalate {
                reason: format!("members disagree with the result: {}", objections.join("; ")),
                output,
            }]
        }
        Some(output) => vec![Move::Complete(output)],
        None => vec![Move::Fail("synthesis_failed", "there is no synthesis".into())],
    }
}

/// What a member objects, if it does. A judgement that failed is an abstention.
fn objection(task: &TaskView) -> Option<String> {
    let judgement = told::judgement(task)?;
    (judgement.verdict == Verdict::Disagree).then(|| format!("{}: {}", task.agent, judgement.comment))
}

fn last_answer(view: &RunView<'_>) -> Option<String> {
    view.tasks.iter().rev().find_map(|task| match (&task.stage, &task.ending) {
        (Stage::Synthesis, Some(Ending::Completed(output))) => Some(answer_of(output)),
        _ => None,
    })
}

/// How many rounds of a stage there have been.
fn rounds(view: &RunView<'_>, stage: Stage) -> u32 {
    view.tasks.iter().filter(|task| task.stage == stage).map(|task| task.round).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
