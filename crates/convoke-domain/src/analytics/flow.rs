//! How time was used: speed-up, what the plan allowed, utilization, coordination overhead. The formulas stand in
//! `docs/concept/analytics.md`. Start at [`flow`].

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::span::{Span, Spans};
use super::times::{Days, Mark, RunTimes, TaskTimes, Trace, Turn};
use super::{millis, ratio};
use crate::id::TaskId;
use crate::time::Timestamp;

/// How a run used its time. Shares are from 0 to 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// From the first claim to the end.
    pub wall_ms: i64,
    /// Of that, nothing went on because a person had to act.
    pub people_ms: i64,
    /// The rest: the time that the figures below are shares of.
    pub working_ms: i64,
    /// The tasks one after another: the sum of the times in which each was worked on.
    pub serial_ms: i64,
    /// `serial / working`.
    pub speed_up: Option<f64>,
    /// `1 - working / serial`: how much sooner it was done than one after another; below 0 if later.
    pub time_saved: Option<f64>,
    /// The longest chain of tasks that had to wait for each other.
    pub critical_path_ms: i64,
    /// No plan of these tasks is faster: the critical path, or the load of the busiest agent by its capacity.
    pub shortest_ms: i64,
    /// `serial / shortest`: the most that the plan allowed.
    pub best_speed_up: Option<f64>,
    /// The most tasks worked on at once.
    pub widest: i64,
    /// Model and tool calls of all agents, added up.
    pub busy_ms: i64,
    /// What dependencies and capacities allowed them to be.
    pub allowed_ms: i64,
    /// `busy / allowed`.
    pub utilization: Option<f64>,
    /// Some model call was under way.
    pub model_ms: i64,
    /// No model call, but some tool call.
    pub tool_ms: i64,
    /// Neither, nor was a person awaited.
    pub overhead: Overhead,
}

/// Time that went into coordination.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Overhead {
    /// Its share of the working time.
    pub share: Option<f64>,
    /// All of it.
    pub total_ms: i64,
    /// A worker held a task, between two calls: prompts, decisions, commits.
    pub between_calls_ms: i64,
    /// Tasks were free to be claimed, and no worker held any.
    pub queued_ms: i64,
    /// The rest: waits before a retry, waits for messages and locks, time in which no process worked.
    pub other_ms: i64,
}

/// The times that speed-up, parallel use and coordination are made of, in microseconds; so that those of several runs can be
/// added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// The tasks one after another.
    pub serial: i64,
    /// The time they took.
    pub working: i64,
    /// Model and tool calls of all agents, added up.
    pub busy: i64,
    /// What dependencies and capacities allowed them to be.
    pub allowed: i64,
    /// Working time without any call, and without anybody being awaited.
    pub overhead: i64,
}

impl std::ops::AddAssign for Pace {
    fn add_assign(&mut self, other: Self) {
        self.serial += other.serial;
        self.working += other.working;
        self.busy += other.busy;
        self.allowed += other.allowed;
        self.overhead += other.overhead;
    }
}

/// What became of the time of a run and each of its tasks.
struct Parted<'a> {
    run: &'a RunTimes,
    days: Vec<Days>,
    active: Spans,
    people: Spans,
}

impl<'a> Parted<'a> {
    fn of(run: &'a RunTimes, trace: &Trace) -> Self {
        let mut marks: HashMap<TaskId, Vec<Mark>> = HashMap::new();
        let mut own = Vec::new();
        for mark in &trace.marks {
            match mark.task {
                Some(task) => marks.entry(task).or_default().push(mark.clone()),
                None => own.push(mark),
            }
        }
        let held = held(&own, run.window);
        let ready = ready(run, &trace.edges);
        let days: Vec<Days> = run
            .tasks
            .iter()
            .zip(ready)
            .map(|(task, ready)| {
                let marks = marks.get(&task.id).map(Vec::as_slice).unwrap_or_default();
                Days::of(task, marks, ready, run.window, &held)
            })
            .collect();
        let active = Spans::union(days.iter().flat_map(|day| &day.tenures).map(|tenure| &tenure.active));
        let people = Spans::union(days.iter().map(|day| &day.for_people).chain([&held]));
        Self { run, days, active, people }
    }

    /// The window without the time in which people alone were awaited.
    fn working(&self) -> Spans {
        Spans::of([self.run.window]).minus(&self.people.minus(&self.active))
    }

    fn serial(&self) -> i64 {
        self.days.iter().map(Days::active).sum()
    }
}

/// When the run as a whole stood still for people.
fn held(marks: &[&Mark], window: Span) -> Spans {
    let spans = marks.iter().enumerate().filter(|(_, mark)| mark.turn == Turn::WaitsForPeople).map(|(place, mark)| {
        let to = marks.get(place + 1).map_or(window.to, |next| next.at.as_micros());
        Span { from: mark.at.as_micros(), to: to.max(mark.at.as_micros()) }
    });
    Spans::of(spans).and(&Spans::of([window]))
}

/// When each task could first have been claimed: it was there, and all before it had ended.
fn ready(run: &RunTimes, edges: &[(TaskId, TaskId)]) -> Vec<Option<Timestamp>> {
    let ends: HashMap<TaskId, Option<Timestamp>> = run.tasks.iter().map(|task| (task.id, task.finished_at)).collect();
    let mut before: HashMap<TaskId, Vec<TaskId>> = HashMap::new();
    for (parent, child) in edges {
        before.entry(*child).or_default().push(*parent);
    }
    let of = |task: &TaskTimes| {
        let mut at = task.created_at;
        for parent in before.get(&task.id).into_iter().flatten() {
            match (ends.get(parent), task.attempts.is_empty()) {
                (Some(Some(end)), _) => at = at.max(*end),
                // One before it goes on, so it is not ready; if it was claimed all the same, the order did not matter.
                (Some(None), true) => return None,
                _ => {}
            }
        }
        Some(at)
    };
    run.tasks.iter().map(of).collect()
}

/// What counts of a run where several are added up.
pub fn pace(run: &RunTimes, trace: &Trace) -> Pace {
    let parted = Parted::of(run, trace);
    let working = parted.working();
    let (busy, allowed) = width(&parted, &trace.capacity);
    let calls: Vec<Spans> = parted.days.iter().flat_map(|day| &day.tenures).map(super::times::Tenure::busy).collect();
    let overhead = idle(&parted, &working, &Spans::union(&calls)).length();
    Pace { serial: parted.serial(), working: working.length(), busy, allowed, overhead }
}

/// Working time without any call, and without anybody being awaited.
fn idle(parted: &Parted<'_>, working: &Spans, calls: &Spans) -> Spans {
    working.minus(calls).minus(&parted.people)
}

/// How a run used its time.
pub fn flow(run: &RunTimes, trace: &Trace) -> Flow {
    let parted = Parted::of(run, trace);
    let (working, serial) = (parted.working(), parted.serial());
    let (critical, shortest) = shortest(&parted, trace);
    let (busy, allowed) = width(&parted, &trace.capacity);
    let tenures = || parted.days.iter().flat_map(|day| &day.tenures);
    let model = Spans::union(tenures().map(|tenure| &tenure.model));
    let tool = Spans::union(tenures().map(|tenure| &tenure.tool)).minus(&model);
    let time = working.length();
    Flow {
        wall_ms: millis(run.window.length()),
        people_ms: millis(run.window.length() - time),
        working_ms: millis(time),
        serial_ms: millis(serial),
        speed_up: ratio(serial, time),
        time_saved: ratio(serial - time, serial),
        critical_path_ms: millis(critical),
        shortest_ms: millis(shortest),
        best_speed_up: ratio(serial, shortest),
        widest: widest(tenures().flat_map(|tenure| tenure.active.parts())),
        busy_ms: millis(busy),
        allowed_ms: millis(allowed),
        utilization: ratio(busy, allowed),
        model_ms: millis(model.length()),
        tool_ms: millis(tool.length()),
        overhead: overhead(&parted, &working, &Spans::union([&model, &tool])),
    }
}

fn overhead(parted: &Parted<'_>, working: &Spans, calls: &Spans) -> Overhead {
    let rest = idle(parted, working, calls);
    let between = rest.and(&parted.active);
    let queued = rest.minus(&parted.active).and(&Spans::union(parted.days.iter().map(|day| &day.queued)));
    let [total, between, queued] = [rest.length(), between.length(), queued.length()];
    Overhead {
        share: ratio(total, working.length()),
        total_ms: millis(total),
        between_calls_ms: millis(between),
        queued_ms: millis(queued),
        other_ms: millis(total - between - queued),
    }
}

/// The critical path, and the least time that these tasks need with these agents.
fn shortest(parted: &Parted<'_>, trace: &Trace) -> (i64, i64) {
    let own: Vec<i64> = parted.days.iter().map(Days::active).collect();
    let critical = longest_chain(&parted.run.tasks, &own, &trace.edges);
    let mut load: BTreeMap<&str, i64> = BTreeMap::new();
    for tenure in parted.days.iter().flat_map(|day| &day.tenures) {
        *load.entry(&tenure.agent).or_default() += tenure.active.length();
    }
    let share =
        |(agent, load): (&str, i64)| trace.capacity.get(agent).map_or(0, |room| load / i64::from((*room).max(1)));
    let busiest = load.into_iter().map(share).max().unwrap_or(0);
    (critical, critical.max(busiest))
}

/// The longest sum along a chain of tasks that had to wait for each other: by dependency, or because one was made at the moment
/// in which another ended, as patterns do from stage to stage.
fn longest_chain(tasks: &[TaskTimes], own: &[i64], edges: &[(TaskId, TaskId)]) -> i64 {
    let mut parents: HashMap<TaskId, Vec<TaskId>> = HashMap::new();
    for (parent, child) in edges {
        parents.entry(*child).or_default().push(*parent);
    }
    let start = |task: &TaskTimes| task.attempts.first().map_or(task.created_at, |attempt| attempt.started_at);
    let mut order: Vec<usize> = (0..tasks.len()).collect();
    order.sort_by_key(|place| (start(&tasks[*place]), tasks[*place].finished_at, *place));
    let (mut sums, mut ended, mut longest) = (HashMap::new(), HashMap::new(), 0);
    for place in order {
        let task = &tasks[place];
        let before = parents.get(&task.id).into_iter().flatten().filter_map(|parent| sums.get(parent));
        let before = before.filter(|(end, _)| *end <= start(task)).map(|(_, sum)| *sum);
        let sum = before.chain(ended.get(&task.created_at).copied()).max().unwrap_or(0) + own[place];
        longest = longest.max(sum);
        if let Some(end) = task.finished_at {
            sums.insert(task.id, (end, sum));
            let of_end = ended.entry(end).or_insert(sum);
            *of_end = sum.max(*of_end);
        }
    }
    longest
}

/// Agent time in calls, and what it could have been: at each instant as many of an agent's tasks as were ready or held, at
/// most its capacity.
fn width(parted: &Parted<'_>, capacity: &BTreeMap<String, u32>) -> (i64, i64) {
    let mut turns: BTreeMap<&str, Vec<(i64, [i64; 2])>> = BTreeMap::new();
    let mut add = |agent, spans: &Spans, step: [i64; 2]| {
        let of: &mut Vec<_> = turns.entry(agent).or_default();
        of.extend(spans.parts().flat_map(|span| [(span.from, step), (span.to, step.map(|by| -by))]));
    };
    for (task, day) in parted.run.tasks.iter().zip(&parted.days) {
        add(&task.agent, &day.queued, [1, 0]);
        for tenure in &day.tenures {
            add(&tenure.agent, &tenure.active, [1, 0]);
            add(&tenure.agent, &tenure.busy(), [0, 1]);
        }
    }
    let mut sums = (0, 0);
    for (agent, mut turns) in turns {
        let room = capacity.get(agent).map_or(i64::MAX, |room| i64::from((*room).max(1)));
        turns.sort_unstable();
        let (mut last, mut could, mut did) = (0, 0, 0);
        for (at, [could_by, did_by]) in turns {
            sums.0 += did * (at - last);
            sums.1 += could.min(room).max(did) * (at - last);
            (last, could, did) = (at, could + could_by, did + did_by);
        }
    }
    sums
}

/// The most of these spans at one instant.
fn widest(spans: impl Iterator<Item = Span>) -> i64 {
    // At one instant ends come before beginnings, so that tasks one after another are not two at once.
    let mut turns: Vec<(i64, i64)> = spans.flat_map(|span| [(span.from, 1), (span.to, -1)]).collect();
    turns.sort_unstable();
    let (mut now, mut most) = (0, 0);
    for (_, by) in turns {
        now += by;
        most = most.max(now);
    }
    most
}
