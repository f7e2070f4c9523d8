//! A run as a diagram: the steps of its flow with what became of them, or the tasks of a team without one.

use std::collections::{BTreeMap, BTreeSet};

use convoke_domain::flow::account::{Fact, Stand, StepAccount};
use convoke_domain::flow::{Flow, Step, path};
use convoke_domain::id::TaskId;
use convoke_domain::pattern::Stage;
use convoke_domain::record::{RunRecord, TaskRecord};
use convoke_domain::spec::RunSpec;
use convoke_domain::vote::Outcome;

use super::step::Scene;
use super::words::Words;
use super::{BOXES, Diagram, Edge, Lane, Look, Mood, Shape, of_steps, short};
use crate::quote::one_line;
use crate::view::{View, label};

/// The most characters of a title.
const TITLE: usize = 100;
/// Agents that a box names.
const AGENTS: usize = 3;

/// How a step stands in a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    by_state: BTreeMap<String, usize>,
    agents: BTreeSet<String>,
    /// What was said of work that is no result, such as that it was rejected.
    turned_down: BTreeMap<&'static str, usize>,
    /// It has ended without a result, whatever its tasks came to.
    has_failed: bool,
}

/// How the steps stand.
#[derive(Debug, Clone, Default)]
pub(super) struct Standings {
    by_step: BTreeMap<String, Standing>,
}

impl Standings {
    pub(super) fn of(&self, id: &str) -> Option<&Standing> {
        self.by_step.get(id)
    }
}

impl Standing {
    /// What there is to say, a line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let states: Vec<String> = self.by_state.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let mut agents: Vec<&str> = self.agents.iter().map(String::as_str).take(AGENTS).collect();
        if self.agents.len() > AGENTS {
            agents.push("…");
        }
        let mut lines = vec![short(&states.join(", ")), short(&agents.join(", "))];
        lines.extend(self.turned_down.iter().map(|(word, count)| match count {
            1 => (*word).to_owned(),
            count => format!("{count} × {word}"),
        }));
        lines
    }

    pub(super) fn mood(&self) -> Mood {
        if !self.turned_down.is_empty() {
            return Mood::Rejected;
        }
        if self.has_failed {
            return Mood::Failed;
        }
        let has = |mood: Mood| self.by_state.keys().any(|state| Mood::of(state) == mood);
        let order = [Mood::Open, Mood::Unbegun, Mood::Failed, Mood::Done];
        order.into_iter().find(|mood| has(*mood)).unwrap_or(Mood::Off)
    }
}

/// The diagram of a run: along its flow, if it has one; else its tasks and what each waited for.
pub fn of_run(run: &RunRecord, spec: &RunSpec, edges: &[(TaskId, TaskId)]) -> Diagram {
    let view = View::new(run);
    let title = one_line(&format!("{}: {}", run.summary.team, view.title()), TITLE);
    match &spec.team.flow {
        Some(flow) => of_steps(title, flow, Scene { words: &Words::of(spec), standings: &standings(run, flow) }),
        None => Diagram { title, notes: Vec::new(), lane: tasks(run, edges) },
    }
}

fn standings(run: &RunRecord, flow: &Flow) -> Standings {
    let mut out = Standings::default();
    for task in &run.tasks {
        let Some(id) = step_of(&flow.steps, &task.key) else { continue };
        let standing = out.by_step.entry(id.to_owned()).or_default();
        *standing.by_state.entry(task.state.clone()).or_default() += 1;
        standing.agents.insert(task.agent.clone());
    }
    for told in run.flow.iter().flat_map(|account| &account.steps) {
        // Of what a larger step is made of, the tasks say how it stands.
        let Some(step) = find(&flow.steps, &told.path).filter(|step| step.kinds().contains(&told.kind.as_str())) else {
            continue;
        };
        let word = turned_down(told);
        let has_failed = told.state == Stand::Failed;
        if word.is_none() && !has_failed {
            continue;
        }
        let standing = out.by_step.entry(step.id.clone()).or_default();
        standing.has_failed |= has_failed;
        if let Some(word) = word {
            *standing.turned_down.entry(word).or_default() += 1;
        }
    }
    out
}

/// What was said of work that did not pass. The tasks of those who said so are completed all the same.
fn turned_down(step: &StepAccount) -> Option<&'static str> {
    match &step.fact {
        Some(Fact::Review(review)) => match review.rounds.last()?.verdict.as_deref()? {
            "reject" => Some("rejected"),
            // What was revised after the last round is not reviewed any more.
            "revise" if matches!(step.state, Stand::Completed | Stand::Failed) => Some("a revision is still asked for"),
            _ => None,
        },
        Some(Fact::Gate(gate)) if !gate.open && step.state == Stand::Failed => Some("closed"),
        Some(Fact::Vote(vote)) => match vote.outcome {
            Outcome::NoQuorum => Some("no quorum"),
            Outcome::NoMajority { .. } => Some("no majority"),
            Outcome::Tied { .. } => Some("a tie"),
            Outcome::Open | Outcome::Decided { .. } => None,
        },
        _ => None,
    }
}

/// The step that a task's path leads to: the deepest that the flow names.
fn step_of<'f>(steps: &'f [Step], key: &str) -> Option<&'f str> {
    find(steps, key).map(|step| step.id.as_str())
}

fn find<'f>(steps: &'f [Step], key: &str) -> Option<&'f Step> {
    let mut list: Vec<&'f Step> = steps.iter().collect();
    let mut found = None;
    let mut segments = key.split('/');
    while let Some(segment) = segments.next() {
        let step = list.iter().copied().find(|step| step.id == path::id_of(segment))?;
        found = Some(step);
        if let Some(split) = &step.split {
            if !split.branches.is_empty() {
                list = split.branches.iter().collect();
                continue;
            }
            // The item's key is no step; its only step has no segment of its own.
            let item = segments.next();
            match split.r#do.as_slice() {
                _ if split.plan.is_some() && item == Some("plan") => return found,
                [only] => match lists(only).is_empty() {
                    true => return Some(only),
                    false => {
                        found = Some(only);
                        list = inner(only, &mut segments);
                    }
                },
                many => list = many.iter().collect(),
            }
        } else {
            list = inner(step, &mut segments);
        }
        if list.is_empty() {
            return found;
        }
    }
    found
}

/// The steps within a step; of a loop, behind the number of the round.
fn inner<'f>(step: &'f Step, segments: &mut std::str::Split<'_, char>) -> Vec<&'f Step> {
    if step.r#loop.is_some() {
        segments.next();
    }
    lists(step)
}

fn lists(step: &Step) -> Vec<&Step> {
    let mut all: Vec<&Step> = Vec::new();
    all.extend(step.r#loop.iter().flat_map(|body| &body.r#do));
    all.extend(step.phase.iter().flat_map(|phase| &phase.r#do));
    all.extend(step.branch.iter().flat_map(|branch| branch.cases.iter().flat_map(|case| &case.r#do)));
    all.extend(step.branch.iter().flat_map(|branch| &branch.otherwise));
    all.extend(step.split.iter().flat_map(|split| split.branches.iter().chain(&split.r#do)));
    all
}

/// Tasks and what each waited for.
fn tasks(run: &RunRecord, edges: &[(TaskId, TaskId)]) -> Lane {
    let places: BTreeMap<TaskId, usize> =
        run.tasks.iter().take(BOXES).enumerate().map(|(place, task)| (task.id, place)).collect();
    let mut boxes: Vec<Shape> = run.tasks.iter().take(BOXES).map(shape).collect();
    let more = run.tasks.len().saturating_sub(BOXES);
    if more > 0 {
        let name = format!("and {more} more tasks");
        boxes.push(Shape { name, look: Look::Data, ..Shape::default() });
    }
    let edge = |(from, to): &(TaskId, TaskId)| {
        let (from, to) = (*places.get(from)?, *places.get(to)?);
        Some(Edge { from, to, label: String::new(), is_back: false })
    };
    let mut edges: Vec<Edge> = edges.iter().filter_map(edge).collect();
    edges.extend(planned(run, &edges));
    Lane { label: String::new(), boxes, edges }
}

/// Work that waits for nothing else came out of the plan of its round.
fn planned(run: &RunRecord, edges: &[Edge]) -> Vec<Edge> {
    let stages = || run.tasks.iter().take(BOXES).enumerate();
    let is = |task: &TaskRecord, stage: Stage| task.stage == stage.as_str();
    let plan =
        |round: i64| stages().find(|(_, task)| is(task, Stage::Plan) && task.round == round).map(|(place, _)| place);
    stages()
        .filter(|(to, task)| is(task, Stage::Work) && !edges.iter().any(|edge| edge.to == *to))
        .filter_map(|(to, task)| Some(Edge { from: plan(task.round)?, to, label: String::new(), is_back: false }))
        .collect()
}

fn shape(task: &TaskRecord) -> Shape {
    let lines = vec![short(&task.agent), short(&task.state)];
    Shape { name: short(&label(task)), lines, state: Some(Mood::of(&task.state)), ..Shape::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_leads_to_its_step() {
        let flow: Flow = serde_json::from_value(json!({"steps": [
            {"id": "a", "task": {"instructions": "x"}},
            {"id": "l", "loop": {"max": 2, "until": "x", "do": [
                {"id": "s", "split": {"over": "members", "do": [{"id": "one", "task": {"instructions": "x"}}]}},
                {"id": "many", "split": {"over": "members", "do": [
                    {"id": "b", "task": {"instructions": "x"}}, {"id": "c", "review": {"of": "b", "author": "x", "reviewers": "x"}}]}}]}},
            {"id": "p", "split": {"plan": {"by": "x"}}},
            {"id": "w", "branch": {"cases": [{"when": "x", "do": [{"id": "d", "task": {"instructions": "x"}}]}]}},
        ]}))
        .expect("a flow");
        let is = |key: &str, id: Option<&str>| assert_eq!(step_of(&flow.steps, key), id, "{key}");
        is("a~2", Some("a"));
        is("l/2/s/logs", Some("one"));
        is("l/1/many/logs/b", Some("b"));
        is("l/1/many/logs/c/rounds/1/verdicts/x", Some("c"));
        is("p/plan", Some("p"));
        is("p/first", Some("p"));
        is("w/d", Some("d"));
        is("zzz", None);
    }
}
