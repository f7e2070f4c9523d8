//! The live view as lines of text: a pure function of boards, size and time. Rule: no line is wider than the terminal, and
//! there are fewer lines than it has rows. Start at [`draw`].

use convoke_domain::run::State;
use convoke_domain::time::Timestamp;

use super::board::{Board, Doing, Job, Mark};
use super::tree;
use crate::text::{self, BOLD, CYAN, DIM, GREEN, RED, YELLOW, cut, cut_start, pad, pad_start, paint, width};
use crate::which;

/// Columns for tokens and for dollars at the right edge.
const TOKENS: usize = 8;
const COST: usize = 10;
/// Columns for the time a task took.
const TIME: usize = 8;
/// Columns that an agent's name may take.
pub(super) const AGENT: usize = 24;
/// Below this many columns the figures are left out.
pub(super) const NARROW: usize = 60;
/// Turns while something is under way.
pub(super) const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// What a frame is drawn for.
#[derive(Debug, Clone, Copy)]
pub struct Shot<'a> {
    /// Columns and rows of the terminal.
    pub size: (usize, usize),
    /// The time.
    pub now: Timestamp,
    /// Which frame it is.
    pub frame: usize,
    /// What to say below all.
    pub footer: Option<&'a str>,
}

/// The lines of a frame.
pub fn draw(boards: &[Board], shot: Shot<'_>) -> Vec<String> {
    let (columns, rows) = shot.size;
    let room = rows.saturating_sub(1).max(3);
    let share = (room / boards.len().max(1)).max(3);
    let mut lines = Vec::new();
    for board in boards {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(one(board, shot, share.saturating_sub(usize::from(boards.len() > 1))));
    }
    if let Some(footer) = shot.footer {
        lines.truncate(room.saturating_sub(1));
        lines.push(paint(YELLOW, &cut(footer, columns)));
    }
    lines.truncate(room);
    lines
}

/// One run: two lines of head, its tasks, its notices.
fn one(board: &Board, shot: Shot<'_>, room: usize) -> Vec<String> {
    let columns = shot.size.0;
    let mut lines = head(board, shot);
    let notices = board.notices.len().min(room.saturating_sub(4));
    let room = room.saturating_sub(lines.len() + 1 + notices);
    lines.push(String::new());
    if board.course.is_empty() || board.has_stages {
        lines.extend(tasks(board, shot, room));
    } else {
        lines.extend(tree::draw(board, shot, room));
    }
    let told = board.notices.iter().rev().take(notices).rev();
    lines.extend(told.map(|notice| paint(YELLOW, &cut(&format!("! {notice}"), columns))));
    lines
}

/// The tasks in the order in which they were made.
fn tasks(board: &Board, shot: Shot<'_>, room: usize) -> Vec<String> {
    let columns = shot.size.0;
    let (jobs, hidden) = chosen(&board.jobs, room);
    let agent = jobs.iter().map(|job| width(&job.agent)).max().unwrap_or(0).min(AGENT).min(columns / 3);
    let mut lines: Vec<String> = jobs.iter().map(|job| task(job, shot, (0, agent))).collect();
    if hidden > 0 {
        lines.push(paint(DIM, &cut(&format!("  and {} more", text::many(hidden, "task")), columns)));
    }
    lines
}

fn head(board: &Board, shot: Shot<'_>) -> Vec<String> {
    let columns = shot.size.0;
    let script = if board.simulated { " · played by a script" } else { "" };
    let id = if columns >= 100 { board.run.to_string() } else { format!("run …{}", which::short(board.run)) };
    let rest = format!("  {id}{script}");
    let team = cut(&board.team, columns);
    let first = paint(BOLD, &team) + &paint(DIM, &cut(&rest, columns.saturating_sub(width(&team))));
    let (style, state) = standing(board);
    let state = cut(&state, columns / 2);
    let ended = board.jobs.iter().filter(|job| job.mark.has_ended()).count();
    let parts = [
        text::duration(board.took(shot.now)),
        spent(board),
        format!("{} tokens", text::count(board.tokens())),
        format!("{ended} of {}", text::many(board.jobs.len(), "task")),
    ];
    let mut figures = String::new();
    for part in parts {
        let more = format!(" · {part}");
        if width(&state) + width(&figures) + width(&more) <= columns {
            figures.push_str(&more);
        }
    }
    vec![first, paint(style, &state) + &figures]
}

fn spent(board: &Board) -> String {
    match board.cap {
        Some(cap) => format!("{} of {}", board.cost(), text::cap(cap)),
        None => board.cost().to_string(),
    }
}

fn standing(board: &Board) -> (anstyle::Style, String) {
    let why = || board.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    match board.state {
        State::Initializing => (DIM, "begins".to_owned()),
        State::Running | State::Aggregating => (CYAN, board.phase.clone()),
        State::Paused => (YELLOW, format!("paused{}", why())),
        State::Waiting => (YELLOW, format!("waits{}", why())),
        State::Completed => (GREEN, "completed".to_owned()),
        State::Failed => (RED, format!("failed{}", why())),
        State::Cancelled => (YELLOW, "cancelled".to_owned()),
        State::Escalated => (YELLOW, format!("handed to a person{}", why())),
    }
}

/// The tasks that fit: those under way first, then the newest that ended, in their order.
fn chosen(jobs: &[Job], room: usize) -> (Vec<&Job>, usize) {
    if jobs.len() <= room {
        return (jobs.iter().collect(), 0);
    }
    let room = room.saturating_sub(1);
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|at| match jobs[*at].mark {
        Mark::Running | Mark::Waiting => (0, *at),
        Mark::Ready | Mark::Pending => (1, *at),
        Mark::Done | Mark::Failed | Mark::Cancelled => (2, jobs.len() - *at),
    });
    order.truncate(room);
    order.sort_unstable();
    (order.into_iter().map(|at| &jobs[at]).collect(), jobs.len() - room)
}

/// A task's line, moved in by `indent`; `agent` columns are for names.
pub(super) fn task(job: &Job, shot: Shot<'_>, (indent, agent): (usize, usize)) -> String {
    let columns = shot.size.0;
    let figures = if columns < NARROW { String::new() } else { figures(job) };
    let room = columns.saturating_sub(indent + 2 + agent + 2 + width(&figures));
    let (style, mark) = marked(job, shot.frame);
    let name = pad(&job.agent, agent);
    let name = if job.mark == Mark::Running { paint(BOLD, &name) } else { name };
    let indent = " ".repeat(indent);
    format!("{indent}{} {name}  {}{}", paint(style, mark), middle(job, shot.now, room), paint(DIM, &figures))
}

fn marked(job: &Job, frame: usize) -> (anstyle::Style, &'static str) {
    match job.mark {
        Mark::Pending => (DIM, "·"),
        Mark::Ready => (DIM, "○"),
        Mark::Running => (CYAN, SPINNER[frame % SPINNER.len()]),
        Mark::Waiting => (YELLOW, "?"),
        Mark::Done => (GREEN, "✓"),
        Mark::Failed => (RED, "✗"),
        Mark::Cancelled => (DIM, "–"),
    }
}

fn figures(job: &Job) -> String {
    if job.tokens() == 0 {
        return String::new();
    }
    pad_start(&text::count(job.tokens()), TOKENS) + &pad_start(&job.cost().to_string(), COST)
}

/// The title and what happens, in exactly `room` columns.
fn middle(job: &Job, now: Timestamp, room: usize) -> String {
    if job.mark == Mark::Done {
        let took = job.took(now).map(text::duration).unwrap_or_default();
        let title = pad(&job.title, room.saturating_sub(TIME));
        return paint(DIM, &(title + &pad_start(&took, TIME.min(room))));
    }
    let (style, doing) = doing(job);
    if doing.is_empty() {
        let title = pad(&job.title, room);
        return if job.mark.has_ended() { paint(DIM, &title) } else { title };
    }
    let title = cut(&job.title, room * 2 / 5);
    let left = room.saturating_sub(width(&title) + 2);
    let doing = match &job.doing {
        // The newest words are at the end.
        Doing::Thinking(_) => cut_start(&doing, left),
        _ => cut(&doing, left),
    };
    let fill = room.saturating_sub(width(&title) + 2 + width(&doing));
    format!("{title}  {}{}", paint(style, &doing), " ".repeat(fill))
}

fn doing(job: &Job) -> (anstyle::Style, String) {
    match &job.doing {
        Doing::Nothing if job.mark == Mark::Running => (DIM, "begins".to_owned()),
        Doing::Nothing => (DIM, String::new()),
        Doing::Thinking(tail) if tail.trim().is_empty() => (DIM, "thinking".to_owned()),
        Doing::Thinking(tail) => (DIM, text::line(tail)),
        Doing::Tool(call) => (CYAN, call.clone()),
        Doing::Retrying(why) => (YELLOW, format!("tries again {why}")),
        Doing::Waits(what) => (YELLOW, format!("waits for {what}")),
        Doing::Trouble(why) => (RED, why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use convoke_domain::money::Money;
    use convoke_engine::PulseKind;
    use serde_json::json;

    use super::super::board::tests::{event, pulse, run_id};
    use super::*;

    const RUN: &str = "run_01kap0000000000000000000rn";

    fn task_id(n: usize) -> String {
        format!("task_01kap00000000000000000{n:04}")
    }

    fn board() -> Board {
        let mut board = Board::new(run_id(), Some(Money::from_usd(5.0)));
        let team = json!({"team": "incident-response", "simulated": true});
        board.event(&event(1, "run.created", RUN, "user:x", team));
        let jobs = [
            ("incident-coordinator", "Plan the work", "ready"),
            ("logs-specialist", "Search for error patterns", "ready"),
            ("security-specialist", "Check for security incidents", "ready"),
            ("cost-specialist", "Assess the cost impact", "pending"),
        ];
        for (n, (agent, title, state)) in jobs.into_iter().enumerate() {
            let payload = json!({"key": agent, "title": title, "agent": agent, "state": state});
            board.event(&event(2 + n as i64, "task.created", &task_id(n), "system", payload));
        }
        board.event(&event(6, "run.started", RUN, "system", json!({})));
        for n in 0..3 {
            board.event(&event(7 + n as i64, "task.started", &task_id(n), "agent:a", json!({})));
        }
        let payload = json!({"tokens": 3201, "cost_usd": 0.0123});
        board.event(&event(11, "step.completed", &task_id(0), "agent:a", payload));
        board.event(&event(12, "task.completed", &task_id(0), "agent:a", json!({})));
        board.event(&event(13, "run.phase_changed", RUN, "system", json!({"phase": "execution"})));
        let args = r#"{"pattern":"timeout|refused","path":"input/logs"}"#.to_owned();
        board.pulse(&pulse(&task_id(1), PulseKind::Tool { tool: "search_files".into(), args }));
        let words = "The audit log shows a change by deploy-bot at 14:02, which";
        board.pulse(&pulse(&task_id(2), PulseKind::Text(words.into())));
        board
    }

    fn shot(columns: usize, rows: usize) -> Shot<'static> {
        let now = Timestamp::from_micros(1_763_703_000_000_000 + 13_400_000);
        Shot { size: (columns, rows), now, frame: 0, footer: None }
    }

    fn text_of(lines: &[String]) -> String {
        lines
            .iter()
            .map(|line| anstream::adapter::strip_str(line).to_string().trim_end().to_owned())
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn eighty_columns() {
        insta::assert_snapshot!(text_of(&draw(&[board()], shot(80, 24))), @r"
        incident-response  run …0000rn · played by a script
        execution · 12.4s · $0.0123 of $5.00 · 3,201 tokens · 1 of 4 tasks

        ✓ incident-coordinator  Plan the work                     5.0s   3,201   $0.0123
        ⠋ logs-specialist       Search for error patt…  search_files timeout|refused in…
        ⠋ security-specialist   Check for security in…  …e by deploy-bot at 14:02, which
        · cost-specialist       Assess the cost impact
        ");
    }

    #[test]
    fn a_wide_terminal_shows_more() {
        insta::assert_snapshot!(text_of(&draw(&[board()], shot(120, 24))), @r"
        incident-response  run_01kap0000000000000000000rn · played by a script
        execution · 12.4s · $0.0123 of $5.00 · 3,201 tokens · 1 of 4 tasks

        ✓ incident-coordinator  Plan the work                                                             5.0s   3,201   $0.0123
        ⠋ logs-specialist       Search for error patterns  search_files timeout|refused input/logs
        ⠋ security-specialist   Check for security incidents  The audit log shows a change by deploy-bot at 14:02, which
        · cost-specialist       Assess the cost impact
        ");
    }

    #[test]
    fn every_size_fits() {
        let mut many = board();
        for n in 10..200 {
            let payload = json!({"key": "k", "title": "日本語のとても長い題名", "agent": "a-very-long-agent-name-indeed", "state": "ready"});
            many.event(&event(100 + n, "task.created", &task_id(n as usize), "system", payload));
        }
        many.notices = vec!["a notice that is a good deal longer than any terminal is wide".repeat(4); 3];
        for columns in [1, 5, 20, 40, 59, 60, 80, 200] {
            for rows in [2, 4, 8, 24, 60] {
                let shot = Shot { footer: Some("stopping"), ..shot(columns, rows) };
                let lines = draw(&[many.clone(), board()], shot);
                assert!(lines.len() < rows.max(4), "{} lines in {rows} rows", lines.len());
                for line in lines {
                    let plain = anstream::adapter::strip_str(&line).to_string();
                    let fits = width(&plain) <= columns.max(20);
                    assert!(fits, "{columns} columns: `{plain}`");
                }
            }
        }
    }
}
