//! A run as lines of a log, for terminals that are none: one line per thing that happened. Pure; start at [`Teller`].

use convoke_domain::event::{Event, Kind};
use convoke_domain::time::Timestamp;
use convoke_engine::{Pulse, PulseKind};

use super::board::{Board, Job, call, who};
use super::course;
use crate::text;
use crate::which;

/// Columns of an agent's name that all lines leave room for.
const AGENT: usize = 22;
/// Parts of a split above which each is not told of by itself, and how often it is told then how far it is.
const MANY: usize = 50;
const PARTS_TOLD: usize = 20;
/// Columns of what a line quotes.
const QUOTE: usize = 160;

/// Tells what happens, line by line.
#[derive(Debug, Clone, Copy)]
pub struct Teller {
    /// Several runs are watched, so that each line must say which it is about.
    pub several: bool,
}

impl Teller {
    /// The line for an event that was just folded into `board`, if it is worth one.
    pub fn event(self, board: &Board, event: &Event) -> Option<String> {
        let kind = Kind::parse(&event.kind)?;
        let said = |key: &str| text::cut(&text::line(event.payload[key].as_str().unwrap_or_default()), QUOTE);
        let words = match kind {
            Kind::RunCreated => begins(board),
            Kind::RunPhaseChanged => format!("phase: {}", said("phase")),
            Kind::RunPhaseEnded => passed_on(event),
            _ if event.kind.starts_with("coordination.") => return self.coordination(board, kind, event),
            Kind::RunPaused => format!("paused: {}", said("reason")),
            Kind::RunResumed => "goes on".to_owned(),
            Kind::RunWaiting => format!("waits: {}", said("reason")),
            Kind::RunCompleted => ended(board, "completed"),
            Kind::RunFailed => format!("{}: {}", ended(board, "failed"), said("error")),
            Kind::RunCancelled => ended(board, "cancelled"),
            Kind::RunEscalated => format!("{}: {}", ended(board, "handed to a person"), said("error")),
            Kind::ApprovalRequested => format!("{}: {}", board.notices.last()?, event.entity_id),
            Kind::ApprovalApproved | Kind::ApprovalRejected | Kind::ApprovalExpired => board.notices.last()?.clone(),
            Kind::BudgetWarning | Kind::BudgetOverrun | Kind::EffectUnknown | Kind::ToolDenied | Kind::LoopDetected => {
                board.notices.last()?.clone()
            }
            Kind::AgentMessageSent => return self.message(board, event),
            Kind::QuestionAnswered => return Some(self.by(event.at, board, &who(event), &answers(&said("choice")))),
            Kind::QuestionDefaulted => format!("nobody answered in time: the default is taken: {}", said("choice")),
            Kind::QuestionOverridden => return Some(self.by(event.at, board, &who(event), &replaces(&said("choice")))),
            _ => return board.job(&event.entity_id).and_then(|job| self.task(board, job, kind, event)),
        };
        Some(self.line(event.at, board, &words))
    }

    /// What happened to a step of a flow, if it is worth a line.
    fn coordination(self, board: &Board, kind: Kind, event: &Event) -> Option<String> {
        let is_told = match kind {
            Kind::SplitCreated => event.payload["items"].as_u64().unwrap_or(0) > 1,
            Kind::SyncReady => event.payload["met"] == false || event.payload["failed"].as_u64().unwrap_or(0) > 0,
            Kind::StepSkipped => event.payload["reason"].is_string(),
            Kind::SyncCreated | Kind::JoinCreated => false,
            _ => true,
        };
        let (words, alarm) = course::said(kind, event).filter(|_| is_told)?;
        if !alarm && course::is_machinery(event.payload["path"].as_str().unwrap_or_default()) {
            return None;
        }
        Some(self.line(event.at, board, &format!("{}: {words}", text::cut(&said(event, "path"), QUOTE))))
    }

    /// Of a split with many parts only now and then how far it is, unless something is wrong.
    fn of_many(self, board: &Board, job: &Job, kind: Kind) -> Option<Option<String>> {
        let above = board.course.above(job.path.as_deref()?)?;
        if above.children.len() <= MANY {
            return None;
        }
        let (ended, all) = (above.counts.ended(), above.counts.all);
        match kind {
            Kind::TaskStarted | Kind::TaskCancelled => Some(None),
            Kind::TaskCompleted if ended.is_multiple_of((all / PARTS_TOLD).max(1)) || ended == all => {
                let (ended, all) = [ended, all].map(|count| i64::try_from(count).unwrap_or(i64::MAX)).into();
                Some(Some(format!("{}: {} of {} have ended", above.path, text::count(ended), text::count(all))))
            }
            Kind::TaskCompleted => Some(None),
            _ => None,
        }
    }

    /// Who writes to whom; answers are told of by the end of their question.
    fn message(self, board: &Board, event: &Event) -> Option<String> {
        let kind = said(event, "kind");
        if matches!(kind.as_str(), "answer" | "response" | "decision") {
            return None;
        }
        let to = event.payload["to"].as_array().into_iter().flatten().filter_map(|one| one.as_str());
        let to: Vec<_> = to.map(|one| one.strip_prefix("agent:").unwrap_or(one)).collect();
        let to = if to.is_empty() { "all".to_owned() } else { text::line(&to.join(", ")) };
        let urgent = if event.payload["priority"] == "critical" { "critical " } else { "" };
        Some(self.by(event.at, board, &who(event), &text::cut(&format!("{urgent}{kind} to {to}"), QUOTE)))
    }

    fn task(self, board: &Board, job: &Job, kind: Kind, event: &Event) -> Option<String> {
        if let Some(words) = self.of_many(board, job, kind) {
            return words.map(|words| self.line(event.at, board, &words));
        }
        let error = || text::cut(&text::line(event.payload["error"].as_str().unwrap_or_default()), QUOTE);
        let words = match kind {
            Kind::TaskStarted => format!("begins: {}", job.title),
            Kind::TaskTakenOver => format!("goes on: {}", job.title),
            Kind::TaskRequeued if said(event, "why") == "lease_lapsed" => format!("was left behind: {}", job.title),
            Kind::TaskCompleted => format!("done: {}{}", job.title, figures(job, event.at)),
            Kind::TaskFailed => format!("failed: {}: {}", job.title, error()),
            Kind::TaskCancelled => format!("cancelled: {}", job.title),
            Kind::TaskWaiting if event.payload["waits_for"] == "person" => format!("waits for a person: {}", job.title),
            Kind::TaskRetried => format!("will try again: {}", error()),
            Kind::TaskReassigned => match error() {
                reason if reason.is_empty() => format!("takes over from {}: {}", said(event, "from"), job.title),
                reason => format!("takes over from {}: {reason}", said(event, "from")),
            },
            Kind::HandoffRequested => format!("offers to hand over to {}: {}", said(event, "to"), job.title),
            Kind::HandoffDeclined => format!("does not take over from {}: {}", said(event, "from"), job.title),
            Kind::CollabStarted => format!("delegates to {}: {}", said(event, "to"), said(event, "title")),
            Kind::LockWaiting => format!("waits for a lock: {}", text::cut(&said(event, "waits_for"), QUOTE)),
            _ => return None,
        };
        let is_by_actor = matches!(kind, Kind::TaskStarted | Kind::HandoffDeclined | Kind::CollabStarted);
        let agent = if is_by_actor { who(event) } else { job.agent.clone() };
        Some(self.by(event.at, board, &agent, &words))
    }

    /// The line for a pulse, if it is worth one. `at` is when it came.
    pub fn pulse(self, board: &Board, pulse: &Pulse, at: Timestamp) -> Option<String> {
        let words = match &pulse.kind {
            PulseKind::Tool { tool, args } => text::cut(&call(tool, args), QUOTE),
            PulseKind::Retrying { reason, wait_ms } => {
                let wait = text::duration(std::time::Duration::from_millis(*wait_ms));
                format!("tries again in {wait}: {}", text::cut(&text::line(reason), QUOTE))
            }
            PulseKind::Notice(notice) | PulseKind::Unrecorded(notice) => text::cut(&text::line(notice), QUOTE),
            PulseKind::Calling { .. } | PulseKind::Text(_) | PulseKind::Billed { .. } => return None,
        };
        Some(self.by(at, board, &pulse.agent, &words))
    }

    fn by(self, at: Timestamp, board: &Board, agent: &str, words: &str) -> String {
        self.line(at, board, &format!("{}  {words}", text::pad(agent, AGENT)))
    }

    fn line(self, at: Timestamp, board: &Board, words: &str) -> String {
        let run = if self.several { format!("{}  ", which::short(board.run)) } else { String::new() };
        format!("{}  {run}{words}", time_of(at))
    }
}

/// The time of day in UTC.
pub fn time_of(at: Timestamp) -> String {
    text::clock(at).chars().skip(11).collect()
}

fn said(event: &Event, key: &str) -> String {
    text::line(event.payload[key].as_str().unwrap_or_default())
}

/// A phase that ended, with what the next ones are told.
fn passed_on(event: &Event) -> String {
    let summary = text::cut(&said(event, "summary"), QUOTE);
    let summary = if summary.is_empty() { String::new() } else { format!(", and passes on: {summary}") };
    format!("phase {} has ended{summary}", said(event, "phase"))
}

fn answers(choice: &str) -> String {
    if choice.is_empty() { "answers".to_owned() } else { format!("answers: {choice}") }
}

fn replaces(choice: &str) -> String {
    let choice = if choice.is_empty() { String::new() } else { format!(": {choice}") };
    format!("replaces what was decided{choice}")
}

fn begins(board: &Board) -> String {
    let budget = board.cap.map(|cap| format!(", budget {}", text::cap(cap))).unwrap_or_default();
    let script = if board.simulated { ", played by a script" } else { "" };
    format!("{} begins: team {}{budget}{script}", board.run, board.team)
}

fn figures(job: &Job, at: Timestamp) -> String {
    let took = job.took(at).map(text::duration).unwrap_or_default();
    format!(" ({took}, {} tokens, {})", text::count(job.tokens()), job.cost())
}

fn ended(board: &Board, how: &str) -> String {
    let took = text::duration(board.took(board.created));
    format!("{how} after {took}, {} tokens, {}", text::count(board.tokens()), board.cost())
}

#[cfg(test)]
mod tests {
    use convoke_domain::money::Money;
    use serde_json::json;

    use super::super::board::tests::{event, pulse, run_id};
    use super::*;

    #[test]
    fn a_run_as_a_log() {
        let run = "run_01kap0000000000000000000rn";
        let task = "task_01kap0000000000000000000tk";
        let mut board = Board::new(run_id(), Some(Money::from_usd(5.0)));
        let created = json!({"key": "plan", "title": "Plan it", "agent": "ada", "state": "ready"});
        let events = [
            event(1, "run.created", run, "user:x", json!({"team": "t", "simulated": true})),
            event(2, "task.created", task, "system", created),
            event(3, "run.started", run, "system", json!({})),
            event(4, "task.started", task, "agent:ada", json!({})),
            event(5, "step.completed", task, "agent:ada", json!({"tokens": 1200, "cost_usd": 0.01})),
            event(6, "tool.denied", task, "agent:ada", json!({"tool": "shell", "message": "not granted"})),
            event(7, "task.retried", task, "system", json!({"error": "overloaded: try later"})),
            event(8, "task.started", task, "agent:ada", json!({})),
            event(9, "task.completed", task, "agent:ada", json!({})),
            event(10, "run.completed", run, "system", json!({})),
        ];
        let teller = Teller { several: false };
        let mut lines: Vec<String> = events
            .iter()
            .filter_map(|event| {
                board.event(event);
                teller.event(&board, event)
            })
            .collect();
        let args = r#"{"path":"a\u001b[2Jb"}"#.to_owned();
        let tool = pulse(task, PulseKind::Tool { tool: "read_file".into(), args });
        lines.extend(teller.pulse(&board, &tool, events[4].at));
        insta::assert_snapshot!(lines.join("\n"), @r"
        05:30:01  run_01kap0000000000000000000rn begins: team t, budget $5.00, played by a script
        05:30:04  ada                     begins: Plan it
        05:30:06  ada was denied shell: not granted
        05:30:07  ada                     will try again: overloaded: try later
        05:30:08  ada                     begins: Plan it
        05:30:09  ada                     done: Plan it (5.0s, 1,200 tokens, $0.0100)
        05:30:10  completed after 9.0s, 1,200 tokens, $0.0100
        05:30:05  ada                     read_file a [2Jb
        ");
    }
}
