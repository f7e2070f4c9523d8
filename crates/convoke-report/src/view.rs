//! What a report concludes from a record: order, spans, sums and sentences that the record does not say outright.
//!
//! Rule: nothing here knows a format. Start at [`View::headline`].

use std::collections::BTreeSet;
use std::time::Duration;

use convoke_domain::flow::account::Fact;
use convoke_domain::flow::part::Part;
use convoke_domain::flow::path;
use convoke_domain::money::Money;
use convoke_domain::pattern::Stage;
use convoke_domain::record::{AttemptRecord, RunRecord, StepRecord, TaskRecord, UsageRecord};
use convoke_domain::run::State;
use convoke_domain::time::Timestamp;
use convoke_domain::transcript::Usage;

use crate::phrase;
use crate::quote::one_line;

/// The most characters of a task that a title shows.
const TITLE_CHARS: usize = 90;

/// A record and what follows from it.
pub(crate) struct View<'a> {
    /// The record.
    pub(crate) run: &'a RunRecord,
    /// Whether times, durations and ids are told; two runs of one script differ in nothing else.
    pub(crate) timed: bool,
    /// The last instant that the record knows; what has not ended is told as of then.
    pub(crate) until: Timestamp,
    /// The tasks of its flow by path, where it has one.
    steps: Vec<&'a TaskRecord>,
    /// Paths of tasks whose results stand elsewhere in a report: ballots, verdicts, plans.
    told_elsewhere: BTreeSet<String>,
}

/// What a part of a flow took: time from its first task to its last, dollars, tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Extent {
    /// From the first claim to the last end.
    pub(crate) took: Option<Duration>,
    /// Dollars.
    pub(crate) cost: Money,
    /// Tokens.
    pub(crate) tokens: i64,
    /// Tasks.
    pub(crate) tasks: usize,
}

/// Bills added up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Bills {
    /// Model calls.
    pub(crate) calls: i64,
    /// Those whose outcome is not known.
    pub(crate) lost: i64,
    /// Those whose price is not known.
    pub(crate) unpriced: i64,
    /// Tokens.
    pub(crate) usage: Usage,
    /// Dollars of the others.
    pub(crate) cost: Money,
}

impl<'a> View<'a> {
    /// A view with times and ids.
    pub(crate) fn new(run: &'a RunRecord) -> Self {
        let mut steps: Vec<_> = run.tasks.iter().filter(|task| task.stage == Stage::Step.as_str()).collect();
        steps.sort_by(|one, other| one.key.cmp(&other.key));
        let told_elsewhere = told_elsewhere(run, &steps);
        Self { run, timed: true, until: last_instant(run), steps, told_elsewhere }
    }

    /// What all tasks at a path and below it took together.
    pub(crate) fn extent(&self, at: &str) -> Extent {
        let inside: Vec<_> = self.step_at(at).into_iter().chain(tasks_below(&self.steps, at).iter().copied()).collect();
        let began = inside.iter().filter_map(|task| task.started_at).min().filter(|_| self.timed);
        let ended =
            inside.iter().filter(|task| task.started_at.is_some()).map(|task| task.finished_at.unwrap_or(self.until));
        Extent {
            took: began.zip(ended.max()).map(|(began, ended)| ended.since(began)),
            cost: inside.iter().map(|task| task.cost_usd).sum(),
            tokens: inside.iter().map(|task| task.tokens).sum(),
            tasks: inside.len(),
        }
    }

    /// The task at a path of the flow.
    pub(crate) fn step_at(&self, at: &str) -> Option<&'a TaskRecord> {
        self.steps.binary_search_by(|task| task.key.as_str().cmp(at)).ok().map(|place| self.steps[place])
    }

    /// A view without them.
    pub(crate) fn without_times(run: &'a RunRecord) -> Self {
        Self { timed: false, ..Self::new(run) }
    }

    /// True once no member will work on the run again; until then a report is a status report.
    pub(crate) fn has_ended(&self) -> bool {
        State::parse(&self.run.summary.state).is_some_and(State::has_ended)
    }

    /// The first line of the task.
    pub(crate) fn title(&self) -> String {
        let line = self.run.summary.task.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let title = one_line(line, TITLE_CHARS);
        if title.is_empty() { "a run without a task".into() } else { title }
    }

    /// From when offsets are counted.
    pub(crate) fn began(&self) -> Timestamp {
        self.run.summary.started_at.unwrap_or(self.run.summary.created_at)
    }

    /// How long the run took, or has taken so far; `None` where it has not begun or times are not told.
    pub(crate) fn lasted(&self) -> Option<Duration> {
        let end = self.run.summary.finished_at.unwrap_or(self.until);
        self.run.summary.started_at.filter(|_| self.timed).map(|began| end.since(began))
    }

    /// Tasks of one stage in order of creation.
    pub(crate) fn stage(&self, stage: Stage) -> impl Iterator<Item = &'a TaskRecord> {
        self.run.tasks.iter().filter(move |task| task.stage == stage.as_str())
    }

    /// What members were asked for, in the order of the plan; in a flow, the tasks of its steps that are told nowhere else.
    pub(crate) fn contributions(&self) -> Vec<&'a TaskRecord> {
        // The last task that said what the result is stands as the result.
        let is_result = |task: &&TaskRecord| self.run.output.is_some() && task.output == self.run.output;
        let result = self.stage(Stage::Step).filter(is_result).last().map(|task| task.id);
        let is_own = |task: &&TaskRecord| !self.told_elsewhere.contains(&task.key) && Some(task.id) != result;
        let steps = self.stage(Stage::Step).filter(|task| task.part.is_none()).filter(is_own);
        self.stage(Stage::Work).chain(steps).collect()
    }

    /// What a flow had done that is no member's work, whatever of it stands as the result: what judges decided, or what was put
    /// together on the way.
    pub(crate) fn part(&self, part: Part) -> Vec<&'a TaskRecord> {
        let is_result = |task: &TaskRecord| self.run.output.is_some() && task.output == self.run.output;
        let told = |task: &&TaskRecord| task.part == Some(part) && (part == Part::Judge || !is_result(task));
        // By path: which of two came first is a matter of time, and one run is told like the next.
        self.steps.iter().copied().filter(told).collect()
    }

    /// Synthesis results that a later one replaced.
    pub(crate) fn drafts(&self) -> Vec<&'a TaskRecord> {
        let mut drafts: Vec<_> = self.stage(Stage::Synthesis).filter(|task| task.output.is_some()).collect();
        let is_final = |task: &TaskRecord| {
            let answer = task.output.as_deref().map(convoke_domain::pattern::coordinator_worker::answer_of);
            answer.is_some() && answer == self.run.output
        };
        drafts.retain(|task| !is_final(task));
        drafts
    }

    /// From when to when a task was worked on, as seen at [`Self::until`].
    pub(crate) fn span(&self, task: &TaskRecord) -> Option<(Duration, Duration)> {
        let started = task.started_at.filter(|_| self.timed)?;
        let offset = started.since(self.began());
        Some((offset, offset + task.finished_at.unwrap_or(self.until).since(started)))
    }

    /// How long a task was worked on.
    pub(crate) fn took(&self, task: &TaskRecord) -> Option<Duration> {
        self.span(task).map(|(from, to)| to - from)
    }

    /// How long a step took; `None` while it is under way.
    pub(crate) fn step_took(&self, step: &StepRecord) -> Option<Duration> {
        step.finished_at.filter(|_| self.timed).map(|end| end.since(step.started_at))
    }

    /// Bills by agent in the order in which agents appear, then by model.
    pub(crate) fn usage(&self) -> Vec<&'a UsageRecord> {
        let place = |agent: &str| self.run.tasks.iter().position(|task| task.agent == agent).unwrap_or(usize::MAX);
        let mut rows: Vec<_> = self.run.usage.iter().collect();
        rows.sort_by_key(|row| (place(&row.agent), &row.agent, &row.model, &row.tariff));
        rows
    }

    /// All bills of the run.
    pub(crate) fn bills(&self) -> Bills {
        self.run.usage.iter().fold(Bills::default(), |sum, row| Bills {
            calls: sum.calls.saturating_add(row.calls),
            lost: sum.lost.saturating_add(row.lost_calls),
            unpriced: sum.unpriced.saturating_add(if is_unpriced(row) { row.calls } else { 0 }),
            usage: sum.usage + row.usage,
            cost: sum.cost + row.cost_usd,
        })
    }

    /// Says so where the bills do not add up to what the run says it cost. They always should.
    pub(crate) fn gap(&self) -> Option<String> {
        let (sum, told) = (self.bills().cost, self.run.summary.cost_usd);
        (sum != told).then(|| {
            let [sum, told] = [sum, told].map(phrase::exact);
            format!("The bills add up to {sum}, but the run says {told}. Check the ledger with `convoke db verify`.")
        })
    }

    /// What the run cost, unpriced calls named.
    pub(crate) fn cost(&self) -> String {
        phrase::cost(self.run.summary.cost_usd, self.run.summary.unpriced_calls)
    }

    /// What a task cost. A record has no price by task, so its models are looked up among the bills.
    pub(crate) fn cost_of(&self, task: &TaskRecord) -> String {
        let made_by = |row: &UsageRecord| {
            let by_agent = task.agent == row.agent || task.attempts.iter().any(|attempt| attempt.agent == row.agent);
            let mut models = task.attempts.iter().flat_map(model_steps).peekable();
            by_agent && (models.peek().is_none() || models.any(|step| step.name == row.model))
        };
        let is_in_part = task.tokens > 0 && self.run.usage.iter().any(|row| is_unpriced(row) && made_by(row));
        match (is_in_part, task.cost_usd) {
            (false, cost) => cost.to_string(),
            (true, Money::ZERO) => "unpriced".into(),
            (true, cost) => format!("{cost} + unpriced"),
        }
    }

    /// What became of a task that has no result, or why it is not there yet.
    pub(crate) fn fate(&self, task: &TaskRecord) -> Option<String> {
        let reason = task.error.as_deref().map(|error| one_line(error, 600));
        let told = |word: &str| match &reason {
            Some(reason) => format!("{word}: {reason}"),
            None => format!("{word}."),
        };
        match task.state.as_str() {
            "completed" | "archived" => None,
            "failed" => Some(told("Failed")),
            "cancelled" => Some(told("Called off")),
            "waiting" | "blocked" => Some(match (task.waits_for.as_deref().map(phrase::waiting), &reason) {
                (Some(what), Some(reason)) => {
                    format!("Waits: {} ({})", one_line(what, 200), reason.trim_end_matches('.'))
                }
                (Some(what), None) => format!("Waits: {}.", one_line(what, 200)),
                (None, _) => told("Waits"),
            }),
            "running" => Some("Not finished: it is being worked on.".into()),
            "pending" => Some("Not begun: it waits for earlier tasks.".into()),
            "ready" => Some("Not begun: it is free to be claimed.".into()),
            _ => Some(told(&phrase::capital(&one_line(&task.state, 40)))),
        }
    }

    /// Where the run stands, in a few words.
    pub(crate) fn standing(&self) -> String {
        match State::parse(&self.run.summary.state) {
            Some(State::Initializing) => "Accepted, not begun".into(),
            Some(State::Running) => "Running".into(),
            Some(State::Paused) => "Paused".into(),
            Some(State::Waiting) => "Waits for a person".into(),
            Some(State::Aggregating) => "Running: the results are being put together".into(),
            Some(State::Completed) => "Completed".into(),
            Some(State::Failed) => "Failed".into(),
            Some(State::Cancelled) => "Cancelled".into(),
            Some(State::Escalated) => "Handed to a person".into(),
            None => phrase::capital(&one_line(&self.run.summary.state, 40)),
        }
    }

    /// How the work of the members stands: `3 of 4 contributions`.
    pub(crate) fn progress(&self) -> String {
        let all = self.contributions();
        let done = all.iter().filter(|task| task.output.is_some()).count();
        if all.is_empty() {
            return "no contributions planned".into();
        }
        let noun = if all.len() == 1 { "contribution" } else { "contributions" };
        format!("{done} of {} {noun}", all.len())
    }

    /// State, duration, calls, tokens and cost in one sentence.
    pub(crate) fn headline(&self) -> String {
        let run = &self.run.summary;
        let lasted = match self.lasted().map(phrase::duration) {
            Some(span) if self.has_ended() => format!(" after {span}"),
            Some(span) => format!(", {span} after its start"),
            None => String::new(),
        };
        let mark = if run.simulated { " (simulated)" } else { "" };
        format!(
            "{}{lasted}: {}, {}, {}, {}, {}{mark}.",
            self.standing(),
            self.progress(),
            phrase::plural(run.model_calls, "model call"),
            phrase::plural(run.tool_calls, "tool call"),
            phrase::plural(run.tokens, "token"),
            self.cost(),
        )
    }

    /// What stands in the way of a run that is held, and what to do about it.
    pub(crate) fn next_step(&self) -> Option<String> {
        let id = self.run.summary.id;
        let is_short = |task: &TaskRecord| task.waits_for.as_deref() == Some("budget");
        match State::parse(&self.run.summary.state)? {
            _ if self.has_ended() && self.run.summary.state != State::Escalated.as_str() => None,
            State::Escalated => Some("A person decides what comes of it.".into()),
            _ if self.run.tasks.iter().any(is_short) => {
                Some(format!("Raise the budget that is short, then go on with `convoke resume {id}`."))
            }
            State::Paused => Some(format!("Go on with `convoke resume {id}`.")),
            _ => None,
        }
    }
}

/// A task's name for people: its key for a member's work, its title for a step of a flow, else its stage; with the round
/// where there are several.
pub(crate) fn label(task: &TaskRecord) -> String {
    let name = match Stage::parse(&task.stage) {
        Some(Stage::Work) => &task.key,
        Some(Stage::Step) => &task.title,
        _ => &task.stage,
    };
    if task.round > 1 { format!("{name} (round {})", task.round) } else { name.clone() }
}

/// A task's name with its title: `logs: Read the logs`.
pub(crate) fn full_name(task: &TaskRecord) -> String {
    let is_work = task.stage == Stage::Work.as_str() && !task.title.starts_with(&task.key);
    if is_work { format!("{}: {}", task.key, task.title) } else { task.title.clone() }
}

/// True where the price of a row's model is not known.
pub(crate) fn is_unpriced(row: &UsageRecord) -> bool {
    row.tariff == "unpriced"
}

/// Ballots stand among the votes, verdicts among the reviews; who plans what is seen in what was planned.
fn told_elsewhere(run: &RunRecord, tasks: &[&TaskRecord]) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for step in run.flow.iter().flat_map(|flow| &flow.steps) {
        let is_meant: fn(&str) -> bool = match (&step.fact, step.kind.as_str()) {
            (Some(Fact::Vote(_)), _) => |_| true,
            (Some(Fact::Review(_)), _) => |rest| rest.contains("/verdicts/"),
            (Some(Fact::Split(_)), _) => |rest| rest == "/plan",
            _ => continue,
        };
        let below = tasks_below(tasks, &step.path).iter().map(|task| &task.key);
        paths.extend(below.filter(|key| is_meant(&key[step.path.len()..])).cloned());
    }
    paths
}

/// Of tasks sorted by path, those below one.
fn tasks_below<'t, 'a>(tasks: &'t [&'a TaskRecord], at: &str) -> &'t [&'a TaskRecord] {
    let (from, to) = path::below(at);
    let [first, last] = [from, to].map(|end| tasks.partition_point(|task| task.key < end));
    &tasks[first..last.max(first)]
}

fn model_steps(attempt: &AttemptRecord) -> impl Iterator<Item = &StepRecord> {
    attempt.steps.iter().filter(|step| step.kind == "model")
}

fn last_instant(run: &RunRecord) -> Timestamp {
    let own = [Some(run.summary.created_at), run.summary.started_at, run.summary.finished_at];
    let tasks = run.tasks.iter().flat_map(|task| [Some(task.created_at), task.started_at, task.finished_at]);
    let attempts = run.tasks.iter().flat_map(|task| &task.attempts);
    let steps = attempts.flat_map(|attempt| {
        let steps = attempt.steps.iter().flat_map(|step| [Some(step.started_at), step.finished_at]);
        [Some(attempt.started_at), attempt.finished_at].into_iter().chain(steps)
    });
    own.into_iter().chain(tasks).chain(steps).flatten().max().unwrap_or_default()
}
