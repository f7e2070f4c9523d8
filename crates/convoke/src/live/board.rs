//! What is known of a run while it is watched: a fold over events, which are kept, and pulses, which are not.
//!
//! Rule: pure, and the same events give the same board. Costs come from events; what a pulse says was billed counts only
//! until the event that records it has come. Start at [`Board::event`] and [`Board::pulse`].

use std::collections::HashMap;
use std::time::Duration;

use convoke_domain::event::{Event, Kind};
use convoke_domain::id::RunId;
use convoke_domain::money::Money;
use convoke_domain::pattern::Stage;
use convoke_domain::run::State;
use convoke_domain::time::Timestamp;
use convoke_engine::{Pulse, PulseKind};

use super::course::Course;
use crate::text;

/// Bytes of a reply that are kept to show its last words.
const TAIL: usize = 400;
/// Notices that are kept.
const NOTICES: usize = 3;

/// How a task stands, for its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Something must end before.
    Pending,
    /// Free to be claimed.
    Ready,
    /// An agent is at it.
    Running,
    /// Waits for a person or a budget.
    Waiting,
    /// Ended with a result.
    Done,
    /// Ended without.
    Failed,
    /// Called off.
    Cancelled,
}

impl Mark {
    /// True once nothing more will come of it.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// What an agent does right now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Doing {
    /// Nothing that is known.
    #[default]
    Nothing,
    /// A model call is under way; the last words of the reply so far.
    Thinking(String),
    /// A tool runs.
    Tool(String),
    /// Waits until it tries again, and why.
    Retrying(String),
    /// Waits for this.
    Waits(String),
    /// Why it did not work.
    Trouble(String),
}

/// One task.
#[derive(Debug, Clone)]
pub struct Job {
    /// One line.
    pub title: String,
    /// Who does it.
    pub agent: String,
    /// Where in the flow it stands, where it is a step of one.
    pub path: Option<String>,
    /// How it stands.
    pub mark: Mark,
    /// What happens in it.
    pub doing: Doing,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    tokens: Tally,
    cost: Tally,
}

/// An amount that events have recorded, and one that pulses have told of since.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    recorded: i64,
    ahead: i64,
}

impl Tally {
    fn record(&mut self, amount: i64) {
        self.recorded = self.recorded.saturating_add(amount);
        self.ahead = self.ahead.saturating_sub(amount).max(0);
    }

    fn total(self) -> i64 {
        self.recorded.saturating_add(self.ahead)
    }
}

impl Job {
    /// Tokens in and out so far.
    pub fn tokens(&self) -> i64 {
        self.tokens.total()
    }

    /// What it cost so far.
    pub fn cost(&self) -> Money {
        Money::from_nanos(self.cost.total())
    }

    /// How long it has taken, as of `now`.
    pub fn took(&self, now: Timestamp) -> Option<Duration> {
        Some(self.finished.unwrap_or(now).since(self.started?))
    }
}

/// A run that is watched.
#[derive(Debug, Clone)]
pub struct Board {
    /// The run.
    pub run: RunId,
    /// Its team.
    pub team: String,
    /// A script plays the models.
    pub simulated: bool,
    /// Where it stands.
    pub state: State,
    /// What it is busy with.
    pub phase: String,
    /// Why it is held or waits, or failed.
    pub reason: Option<String>,
    /// The most dollars.
    pub cap: Option<Money>,
    /// When it was accepted.
    pub created: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Tasks in the order in which they were made.
    pub jobs: Vec<Job>,
    /// Its flow, where it has one, and where what was written down of the coordination is about.
    pub course: Course,
    /// Its tasks are of stages, and no steps of a flow: what it does is seen in them.
    pub has_stages: bool,
    /// What the person who watches should know, the newest last.
    pub notices: Vec<String>,
    /// Place of the last event that was folded in.
    pub seen: i64,
    by_id: HashMap<String, usize>,
}

impl Board {
    /// A board of a run of which nothing is known.
    pub fn new(run: RunId, cap: Option<Money>) -> Self {
        Self {
            run,
            team: String::new(),
            simulated: false,
            state: State::Initializing,
            phase: "delegation".to_owned(),
            reason: None,
            cap,
            created: Timestamp::default(),
            finished: None,
            jobs: Vec::new(),
            course: Course::default(),
            has_stages: false,
            notices: Vec::new(),
            seen: 0,
            by_id: HashMap::new(),
        }
    }

    /// Tokens of all tasks.
    pub fn tokens(&self) -> i64 {
        self.jobs.iter().map(Job::tokens).sum()
    }

    /// Cost of all tasks.
    pub fn cost(&self) -> Money {
        self.jobs.iter().map(Job::cost).sum()
    }

    /// How long the run has taken, as of `now`.
    pub fn took(&self, now: Timestamp) -> Duration {
        self.finished.unwrap_or(now).since(self.created)
    }

    /// True once this process has nothing more to do for it: it has ended, is held, or waits.
    pub fn rests(&self) -> bool {
        self.state.has_ended() || matches!(self.state, State::Paused | State::Waiting)
    }

    /// The task that an event or a pulse is about.
    pub fn job(&self, id: &str) -> Option<&Job> {
        self.by_id.get(id).and_then(|at| self.jobs.get(*at))
    }

    fn job_mut(&mut self, id: &str) -> Option<&mut Job> {
        self.by_id.get(id).and_then(|at| self.jobs.get_mut(*at))
    }

    /// Folds an event in. False if it is another run's, or was folded in before.
    pub fn event(&mut self, event: &Event) -> bool {
        if event.run != Some(self.run) || event.seq <= self.seen {
            return false;
        }
        self.seen = event.seq;
        let Some(kind) = Kind::parse(&event.kind) else { return false };
        match event.entity.as_str() {
            "run" => self.run_event(kind, event),
            "task" => self.task_event(kind, event),
            "budget" => self.budget_event(kind, event),
            "approval" => self.approval_event(kind, event),
            _ => {}
        }
        true
    }

    fn run_event(&mut self, kind: Kind, event: &Event) {
        let said = |key: &str| event.payload[key].as_str().map(text::line);
        let state = match kind {
            Kind::RunCreated => {
                self.team = said("team").unwrap_or_default();
                self.simulated = event.payload["simulated"].as_bool().unwrap_or(false);
                self.created = event.at;
                return;
            }
            Kind::RunPhaseChanged => {
                self.phase = said("phase").unwrap_or_default();
                return;
            }
            _ if event.kind.starts_with("coordination.") => return self.course.note(kind, event),
            Kind::RunStarted | Kind::RunResumed => State::Running,
            Kind::RunPaused => State::Paused,
            Kind::RunWaiting => State::Waiting,
            Kind::RunCompleted => State::Completed,
            Kind::RunFailed => State::Failed,
            Kind::RunCancelled => State::Cancelled,
            Kind::RunEscalated => State::Escalated,
            _ => return,
        };
        self.state = state;
        self.reason = said("reason").or_else(|| said("error"));
        if state.has_ended() {
            self.finished = Some(event.at);
        }
    }

    fn task_event(&mut self, kind: Kind, event: &Event) {
        if kind == Kind::TaskCreated {
            self.create(event);
            return;
        }
        if let Some(notice) = task_notice(kind, event) {
            self.notice(notice);
        }
        let Some(job) = self.job_mut(&event.entity_id) else { return };
        let was = job.mark;
        let error = || text::line(event.payload["error"].as_str().unwrap_or_default());
        match kind {
            Kind::TaskReady | Kind::TaskRequeued => job.mark = Mark::Ready,
            Kind::TaskStarted | Kind::TaskTakenOver => {
                (job.mark, job.doing) = (Mark::Running, Doing::Nothing);
                job.started = job.started.or(Some(event.at));
            }
            Kind::TaskWaiting => {
                let what = event.payload["waits_for"].as_str().unwrap_or("a person").replace('_', " ");
                (job.mark, job.doing) = (Mark::Waiting, Doing::Waits(text::line(&what)));
            }
            Kind::TaskRetried => (job.mark, job.doing) = (Mark::Ready, Doing::Retrying(error())),
            Kind::TaskReassigned => {
                job.agent = text::line(event.payload["to"].as_str().unwrap_or_default());
                (job.mark, job.doing) = (Mark::Ready, Doing::Trouble(error()));
            }
            Kind::TaskCompleted => job.end(Mark::Done, Doing::Nothing, event.at),
            Kind::TaskFailed => job.end(Mark::Failed, Doing::Trouble(error()), event.at),
            Kind::TaskCancelled => job.end(Mark::Cancelled, Doing::Nothing, event.at),
            Kind::StepCompleted | Kind::StepFailed => job.step(event),
            _ => {}
        }
        if job.mark != was
            && let (Some(path), is) = (job.path.clone(), job.mark)
        {
            self.course.mark(&path, was, is);
        }
    }

    fn create(&mut self, event: &Event) {
        let said = |key: &str| text::line(event.payload[key].as_str().unwrap_or_default());
        let mark = if event.payload["state"] == "ready" { Mark::Ready } else { Mark::Pending };
        let stage = event.payload["stage"].as_str().and_then(Stage::parse);
        let path = (stage == Some(Stage::Step)).then(|| said("key"));
        self.has_stages |= stage.is_some_and(|stage| stage != Stage::Step);
        if let Some(path) = &path {
            self.course.put(path, self.jobs.len());
        }
        self.by_id.insert(event.entity_id.clone(), self.jobs.len());
        self.jobs.push(Job {
            title: said("title"),
            agent: said("agent"),
            path,
            mark,
            doing: Doing::Nothing,
            started: None,
            finished: None,
            tokens: Tally::default(),
            cost: Tally::default(),
        });
    }

    fn approval_event(&mut self, kind: Kind, event: &Event) {
        let tool = text::line(event.payload["tool"].as_str().unwrap_or_default());
        match kind {
            Kind::ApprovalRequested => self.notice(format!("{} asks leave for {tool}", who(event))),
            Kind::ApprovalApproved => self.notice(format!("{} approved {tool}", who(event))),
            Kind::ApprovalRejected => self.notice(format!("{} rejected {tool}", who(event))),
            Kind::ApprovalExpired => self.notice(format!("nobody approved {tool} in time")),
            _ => {}
        }
    }

    fn budget_event(&mut self, kind: Kind, event: &Event) {
        let dollars = |key: &str| event.payload[key].as_f64().map(Money::from_usd);
        match kind {
            Kind::BudgetWarning => {
                let used = dollars("settled_usd").map(text::cap).unwrap_or_default();
                self.notice(format!("most of a budget is used: {used} ({})", level(&event.entity_id)));
            }
            Kind::BudgetChanged if event.entity_id == format!("run:{}", self.run) => self.cap = dollars("cap_usd"),
            Kind::BudgetExhausted => self.notice(text::line(event.payload["message"].as_str().unwrap_or_default())),
            _ => {}
        }
    }

    /// Folds in what happens right now. False if it is another run's.
    pub fn pulse(&mut self, pulse: &Pulse) -> bool {
        if pulse.run != self.run {
            return false;
        }
        if let PulseKind::Notice(notice) | PulseKind::Unrecorded(notice) = &pulse.kind {
            self.notice(format!("{}: {}", pulse.agent, text::line(notice)));
            return true;
        }
        let Some(job) = self.job_mut(&pulse.task.to_string()) else { return true };
        match &pulse.kind {
            PulseKind::Calling { .. } => job.doing = Doing::Thinking(String::new()),
            PulseKind::Text(more) => job.hear(more),
            PulseKind::Billed { tokens, cost } => {
                job.tokens.ahead = job.tokens.ahead.saturating_add(i64::try_from(*tokens).unwrap_or(i64::MAX));
                job.cost.ahead = job.cost.ahead.saturating_add(cost.as_nanos());
            }
            PulseKind::Tool { tool, args } => job.doing = Doing::Tool(call(tool, args)),
            PulseKind::Retrying { reason, wait_ms } => {
                let wait = text::duration(Duration::from_millis(*wait_ms));
                job.doing = Doing::Retrying(format!("in {wait}: {}", text::line(reason)));
            }
            PulseKind::Notice(_) | PulseKind::Unrecorded(_) => {}
        }
        true
    }

    fn notice(&mut self, notice: String) {
        if self.notices.len() >= NOTICES {
            self.notices.remove(0);
        }
        self.notices.push(notice);
    }
}

impl Job {
    fn end(&mut self, mark: Mark, doing: Doing, at: Timestamp) {
        (self.mark, self.doing, self.finished) = (mark, doing, Some(at));
        (self.tokens.ahead, self.cost.ahead) = (0, 0);
    }

    fn step(&mut self, event: &Event) {
        if let Some(tokens) = event.payload["tokens"].as_i64() {
            self.tokens.record(tokens);
        }
        if let Some(usd) = event.payload["cost_usd"].as_f64() {
            self.cost.record(Money::from_usd(usd).as_nanos());
        }
    }

    fn hear(&mut self, more: &str) {
        if !matches!(self.doing, Doing::Thinking(_)) {
            self.doing = Doing::Thinking(String::new());
        }
        let Doing::Thinking(tail) = &mut self.doing else { return };
        tail.push_str(more);
        if tail.len() > 2 * TAIL {
            let mut from = tail.len() - TAIL;
            while !tail.is_char_boundary(from) {
                from += 1;
            }
            tail.drain(..from);
        }
    }
}

/// What of a task the person who watches should be told.
fn task_notice(kind: Kind, event: &Event) -> Option<String> {
    let said = |key: &str| text::line(event.payload[key].as_str().unwrap_or_default());
    match kind {
        Kind::ToolDenied => Some(format!("{} was denied {}: {}", who(event), said("tool"), said("message"))),
        Kind::EffectUnknown => Some(format!("the outcome of {} is not known", said("name"))),
        Kind::BudgetOverrun => Some("a bill was above what was reserved for it".to_owned()),
        Kind::LoopDetected => Some(format!("{} repeats itself", who(event))),
        _ => None,
    }
}

/// Who did it, without the kind of who.
pub fn who(event: &Event) -> String {
    text::line(event.actor.split_once(':').map_or(event.actor.as_str(), |(_, name)| name))
}

/// The level of a budget by its scope.
fn level(scope: &str) -> &str {
    scope.split(':').next().unwrap_or_default()
}

/// A tool call in few words: its name and the values of its arguments, also where their JSON was cut short.
pub fn call(tool: &str, args: &str) -> String {
    let (mut words, mut rest) = (tool.to_owned(), args.chars().peekable());
    while let Some(c) = rest.next() {
        match c {
            '"' => {
                let value = quoted(&mut rest);
                // A text before a colon is a key.
                if rest.peek() != Some(&':') {
                    words.push(' ');
                    words.push_str(&value);
                }
            }
            '{' | '}' | '[' | ']' | ',' | ':' => words.push(' '),
            c => words.push(c),
        }
    }
    text::line(&words)
}

/// The rest of a JSON text up to its closing quote; line breaks and other escapes become what they stand for.
fn quoted(rest: &mut impl Iterator<Item = char>) -> String {
    let mut value = String::new();
    while let Some(c) = rest.next() {
        match c {
            '"' => break,
            '\\' => match rest.next() {
                Some('n' | 'r' | 't') => value.push(' '),
                // Only control characters are written by number.
                Some('u') => value.extend(rest.nth(3).map(|_| ' ')),
                Some(other) => value.push(other),
                None => {}
            },
            c => value.push(c),
        }
    }
    value
}

#[cfg(test)]
pub mod tests {
    use serde_json::{Value, json};

    use super::*;

    const RUN: &str = "run_01kap0000000000000000000rn";
    const TASK: &str = "task_01kap0000000000000000000tk";

    /// The run of the events that [`event`] makes.
    pub fn run_id() -> RunId {
        RUN.parse().expect("an id")
    }

    /// An event of the run at second `seq`.
    pub fn event(seq: i64, kind: &str, on: &str, actor: &str, payload: Value) -> Event {
        let entity = on.split(['_', ':']).next().expect("a noun").replace("run:", "");
        let entity = if on.contains(':') { "budget".to_owned() } else { entity };
        Event {
            seq,
            workspace: convoke_domain::id::WorkspaceId::DEFAULT.0,
            at: Timestamp::from_micros(1_763_703_000_000_000 + seq * 1_000_000),
            kind: kind.to_owned(),
            entity,
            entity_id: on.to_owned(),
            run: Some(run_id()),
            actor: actor.to_owned(),
            payload,
        }
    }

    /// A pulse of the task.
    pub fn pulse(task: &str, kind: PulseKind) -> Pulse {
        Pulse { run: run_id(), task: task.parse().expect("an id"), agent: "ada".to_owned(), kind }
    }

    fn begun() -> Board {
        let mut board = Board::new(run_id(), Some(Money::from_usd(5.0)));
        let created = json!({"key": "plan", "title": "Plan\u{1b}[2J it", "agent": "ada", "state": "ready"});
        board.event(&event(1, "run.created", RUN, "user:x", json!({"team": "t", "simulated": true})));
        board.event(&event(2, "task.created", TASK, "system", created));
        board.event(&event(3, "run.started", RUN, "system", json!({})));
        board.event(&event(4, "task.started", TASK, "agent:ada", json!({"key": "plan"})));
        board
    }

    #[test]
    fn a_task_is_followed_from_its_making_to_its_end() {
        let mut board = begun();
        assert_eq!((board.state, board.jobs[0].mark), (State::Running, Mark::Running));
        assert_eq!(board.jobs[0].title, "Plan[2J it", "nothing acts on the terminal");
        board.pulse(&pulse(TASK, PulseKind::Calling { model: "p/m".into(), turn: 1 }));
        board.pulse(&pulse(TASK, PulseKind::Text("I look".into())));
        assert_eq!(board.jobs[0].doing, Doing::Thinking("I look".into()));
        let args = r#"{"path":"input/a.log","limit":5}"#.to_owned();
        board.pulse(&pulse(TASK, PulseKind::Tool { tool: "read_file".into(), args }));
        assert_eq!(board.jobs[0].doing, Doing::Tool("read_file input/a.log 5".into()));
        board.event(&event(9, "task.completed", TASK, "agent:ada", json!({})));
        board.event(&event(10, "run.completed", RUN, "system", json!({"error": null})));
        assert_eq!((board.state, board.jobs[0].mark), (State::Completed, Mark::Done));
        assert_eq!(board.took(Timestamp::default()), Duration::from_secs(9));
    }

    #[test]
    fn costs_run_ahead_with_pulses_and_are_never_counted_twice() {
        let mut board = begun();
        let billed = PulseKind::Billed { tokens: 100, cost: Money::from_usd(0.25) };
        board.pulse(&pulse(TASK, billed));
        assert_eq!((board.tokens(), board.cost()), (100, Money::from_usd(0.25)));
        let payload = json!({"kind": "model", "tokens": 100, "cost_usd": 0.25});
        board.event(&event(5, "step.completed", TASK, "agent:ada", payload.clone()));
        assert_eq!((board.tokens(), board.cost()), (100, Money::from_usd(0.25)));
        assert!(!board.event(&event(5, "step.completed", TASK, "agent:ada", payload)), "seen before");
        board.event(&event(6, "step.failed", TASK, "agent:ada", json!({"tokens": 10, "cost_usd": 0.05})));
        assert_eq!(board.tokens(), 110);
    }

    #[test]
    fn a_held_run_says_why_and_a_raised_cap_shows() {
        let mut board = begun();
        board.event(&event(5, "task.waiting", TASK, "system", json!({"waits_for": "budget"})));
        board.event(&event(6, "run.paused", RUN, "system", json!({"reason": "budget: the run budget is used up"})));
        assert!(board.rests());
        assert_eq!(board.reason.as_deref(), Some("budget: the run budget is used up"));
        board.event(&event(7, "budget.changed", &format!("run:{RUN}"), "user:x", json!({"cap_usd": 7.5})));
        board.event(&event(8, "run.resumed", RUN, "user:x", json!({})));
        assert_eq!((board.cap, board.rests(), board.reason.is_none()), (Some(Money::from_usd(7.5)), false, true));
    }

    #[test]
    fn the_tail_of_a_reply_stays_short() {
        let mut board = begun();
        for _ in 0..1_000 {
            board.pulse(&pulse(TASK, PulseKind::Text("wörter ".into())));
        }
        let Doing::Thinking(tail) = &board.jobs[0].doing else { panic!("it thinks") };
        assert!(tail.len() <= 2 * TAIL && tail.ends_with("wörter "));
    }

    #[test]
    fn arguments_are_told_by_their_values_also_when_cut_short() {
        let args = r#"{"files":["a.csv","b.csv"],"limit":5,"sql":"SELECT \"x\"\nFROM a WHE"#;
        assert_eq!(call("query_table", args), r#"query_table a.csv b.csv 5 SELECT "x" FROM a WHE"#);
    }
}
