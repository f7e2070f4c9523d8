//! What the figures are computed from: when tasks were made, ready, claimed, worked on, parked, and ended.
//!
//! Rule: nothing is guessed. What neither the record nor the events tell does not count as anything. Start at [`RunTimes::of`].

use std::collections::{BTreeMap, BTreeSet};

use super::span::{Span, Spans};
use super::voice::Poll;
use crate::id::TaskId;
use crate::record::{AttemptRecord, RunRecord, TaskRecord};
use crate::task::WaitReason;
use crate::time::Timestamp;

/// What a run's record lacks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trace {
    /// Dependencies: the task before, the task after.
    pub edges: Vec<(TaskId, TaskId)>,
    /// What happened to tasks and the run, in the order of events.
    pub marks: Vec<Mark>,
    /// How many tasks each agent may hold at once; an agent that is not named, any number.
    pub capacity: BTreeMap<String, u32>,
    /// When messages were stored, and given to whom they were for.
    pub letters: Vec<(Timestamp, Timestamp)>,
    /// Votes that a flow counted and agreement that it measured: where in it, and how the voices stood.
    pub votes: Vec<(String, Poll)>,
    /// Tasks by which a flow plans, brings together or settles.
    pub beside: BTreeSet<TaskId>,
    /// How often a task was put back because its worker stopped or was gone.
    pub interruptions: i64,
}

/// An event that parts a run's time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at: Timestamp,
    /// Its task; nothing for the run itself.
    pub task: Option<TaskId>,
    /// What begins there.
    pub turn: Turn,
}

/// What begins with a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The task waits for another agent, a message, a lock.
    Waits,
    /// The task waits for a person, or the run is held until one acts.
    WaitsForPeople,
    /// The task may be claimed again.
    Ready,
    /// The task is held by a worker again, or the run goes on.
    GoesOn,
}

impl Turn {
    /// The kinds of events that part time. A store that is asked for marks gives these.
    pub const KINDS: [&'static str; 8] = [
        "task.waiting",
        "task.woken",
        "task.requeued",
        "task.taken_over",
        "run.paused",
        "run.waiting",
        "run.escalated",
        "run.resumed",
    ];

    /// What begins with an event of this kind; `waits_for` is what its payload says.
    pub fn of(kind: &str, waits_for: Option<&str>) -> Option<Self> {
        match kind {
            "task.waiting" => {
                let reason = waits_for.and_then(WaitReason::parse);
                let person = reason.is_some_and(WaitReason::is_for_a_person);
                Some(if person { Self::WaitsForPeople } else { Self::Waits })
            }
            "task.woken" | "task.requeued" => Some(Self::Ready),
            "task.taken_over" | "run.resumed" => Some(Self::GoesOn),
            "run.paused" | "run.waiting" | "run.escalated" => Some(Self::WaitsForPeople),
            _ => None,
        }
    }
}

/// A run as its times tell.
#[derive(Debug, Clone, PartialEq)]
pub struct RunTimes {
    /// From the first claim to the end, or to the last instant that is known.
    pub window: Span,
    /// Its tasks.
    pub tasks: Vec<TaskTimes>,
}

/// A task as its times tell.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskTimes {
    /// The task.
    pub id: TaskId,
    /// Who has it.
    pub agent: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Its attempts in order.
    pub attempts: Vec<AttemptTimes>,
}

/// An attempt as its times tell.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptTimes {
    /// Who made it.
    pub agent: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Its model calls.
    pub model: Vec<Span>,
    /// Its tool calls.
    pub tool: Vec<Span>,
}

impl RunTimes {
    /// The times that a record has; `None` while nothing was claimed.
    pub fn of(run: &RunRecord) -> Option<Self> {
        let until = run.summary.finished_at.unwrap_or_else(|| last_instant(run));
        let window = Span::new(run.summary.started_at?, until);
        Some(Self { window, tasks: run.tasks.iter().map(|task| task_times(task, until)).collect() })
    }
}

fn task_times(task: &TaskRecord, until: Timestamp) -> TaskTimes {
    let attempts = task.attempts.iter().map(|attempt| attempt_times(attempt, until)).collect();
    TaskTimes {
        id: task.id,
        agent: task.agent.clone(),
        created_at: task.created_at,
        finished_at: task.finished_at,
        attempts,
    }
}

fn attempt_times(attempt: &AttemptRecord, until: Timestamp) -> AttemptTimes {
    let end = attempt.finished_at.unwrap_or(until);
    let steps = |kind: &str| {
        let own = attempt.steps.iter().filter(|step| step.kind == kind);
        own.map(|step| Span::new(step.started_at, step.finished_at.unwrap_or(end))).collect()
    };
    AttemptTimes {
        agent: attempt.agent.clone(),
        started_at: attempt.started_at,
        finished_at: attempt.finished_at,
        model: steps("model"),
        tool: steps("tool"),
    }
}

fn last_instant(run: &RunRecord) -> Timestamp {
    let own = [Some(run.summary.created_at), run.summary.started_at, run.summary.finished_at];
    let tasks = run.tasks.iter().flat_map(|task| [Some(task.created_at), task.started_at, task.finished_at]);
    let attempts = run.tasks.iter().flat_map(|task| &task.attempts);
    let steps = attempts.flat_map(|attempt| &attempt.steps).flat_map(|step| [Some(step.started_at), step.finished_at]);
    own.into_iter().chain(tasks).chain(steps).flatten().max().unwrap_or_default()
}

/// What became of one task's time.
#[derive(Debug, Default)]
pub(super) struct Days {
    /// It was free to be claimed, and was not.
    pub(super) queued: Spans,
    /// It waited for a person.
    pub(super) for_people: Spans,
    /// Its attempts: who, held, in a model call, in a tool call.
    pub(super) tenures: Vec<Tenure>,
}

/// One attempt without the time in which it was parked.
#[derive(Debug)]
pub(super) struct Tenure {
    /// Who made it.
    pub(super) agent: String,
    /// A worker held it.
    pub(super) active: Spans,
    /// A model call was under way.
    pub(super) model: Spans,
    /// A tool call was under way.
    pub(super) tool: Spans,
}

impl Days {
    /// Parts the time of a task. `ready` is when all before it had ended, `held` when the run stood still.
    pub(super) fn of(task: &TaskTimes, marks: &[Mark], ready: Option<Timestamp>, window: Span, held: &Spans) -> Self {
        let end = task.finished_at.map_or(window.to, Timestamp::as_micros);
        let (mut queued, mut for_people, mut away) = (Vec::new(), Vec::new(), Vec::new());
        for (place, mark) in marks.iter().enumerate() {
            let to = marks.get(place + 1).map_or(end, |next| next.at.as_micros());
            // A new attempt ends whatever the one before waited for.
            let begun = task.attempts.iter().map(|attempt| attempt.started_at).filter(|start| *start > mark.at).min();
            let to = begun.map_or(to, |start| to.min(start.as_micros()));
            let span = Span { from: mark.at.as_micros(), to: to.max(mark.at.as_micros()) };
            match mark.turn {
                Turn::GoesOn => continue,
                Turn::Ready => queued.push(span),
                Turn::WaitsForPeople => for_people.push(span),
                Turn::Waits => {}
            }
            away.push(span);
        }
        let first = task.attempts.first().map_or(end, |attempt| attempt.started_at.as_micros());
        queued.extend(ready.map(|ready| Span { from: ready.as_micros(), to: first.max(ready.as_micros()) }));
        let (all, away) = (Spans::of([window]), Spans::of(away));
        let tenures = task.attempts.iter().map(|attempt| Tenure::of(attempt, &away, &all)).collect();
        Self { queued: Spans::of(queued).and(&all).minus(held), for_people: Spans::of(for_people).and(&all), tenures }
    }

    /// When it was held by a worker.
    pub(super) fn active(&self) -> i64 {
        self.tenures.iter().map(|tenure| tenure.active.length()).sum()
    }
}

impl Tenure {
    fn of(attempt: &AttemptTimes, away: &Spans, all: &Spans) -> Self {
        let end = attempt.finished_at.map_or(i64::MAX, Timestamp::as_micros);
        let span = Span { from: attempt.started_at.as_micros(), to: end.max(attempt.started_at.as_micros()) };
        let active = Spans::of([span]).and(all).minus(away);
        let within = |steps: &[Span]| Spans::of(steps.iter().copied()).and(&active);
        Self { agent: attempt.agent.clone(), model: within(&attempt.model), tool: within(&attempt.tool), active }
    }

    /// A model or tool call was under way.
    pub(super) fn busy(&self) -> Spans {
        Spans::union([&self.model, &self.tool])
    }
}
