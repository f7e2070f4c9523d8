//! The end of a run as it is told: reports written, the result shown, what it cost, where to go on, and the exit code.

use std::path::PathBuf;

use anstyle::Style;
use convoke_domain::id::RunId;
use convoke_domain::record::{ApprovalRecord, DecisionRecord, RunRecord, RunSummary, TaskRecord};
use convoke_domain::task;
use convoke_store::agent::HeldUp;
use serde_json::Value;

use crate::args::Global;
use crate::error::{Exit, Result};
use crate::hub::Hub;
use crate::live::screen::{self, Stream};
use crate::text::{self, BOLD, CYAN, DIM, GREEN, RED, YELLOW, paint};
use crate::{file, inbox, say};

/// Rows of a terminal that are left for what follows a result.
const REST: usize = 12;
/// Characters of a call's arguments that are shown where leave for it is asked.
const ARGS_SHOWN: usize = 160;
/// Rows of a result that are shown at least.
const LEAST: usize = 20;

/// How the program ends after a run that stands like this.
pub fn exit_of(run: &RunSummary) -> Exit {
    let starts = |text: &Option<String>, word: &str| text.as_deref().is_some_and(|text| text.starts_with(word));
    match run.state.as_str() {
        "completed" => Exit::Done,
        "failed" if starts(&run.error, "budget_exhausted") => Exit::Budget,
        "paused" if starts(&run.reason, "budget:") => Exit::Budget,
        "cancelled" => Exit::Cancelled,
        "paused" | "waiting" | "escalated" => Exit::Person,
        _ => Exit::Failed,
    }
}

/// Tells how runs have ended, or why they rest. Gives the exit code: of several, the gravest.
pub async fn tell(global: &Global, hub: &Hub, runs: &[RunId], stopped: Option<Exit>) -> Result<Exit> {
    let mut exit = Exit::Done;
    let mut told = Vec::new();
    for run in runs {
        let record = hub.engine.run_record(*run).await?;
        let files = write_reports(hub, &record).map_err(|failure| failure.tell(global.json)).ok();
        let own = exit_of(&record.summary);
        exit = exit.max(if own == Exit::Failed && !has_ended(&record.summary) { stopped.unwrap_or(own) } else { own });
        if global.json {
            told.push(as_json(&record, files.as_ref()));
        } else if global.quiet {
            quietly(hub, &record)?;
        } else {
            say::text(&as_text(hub, &record, files.as_ref()))?;
        }
    }
    match (global.json, told.len()) {
        (false, _) => {}
        (true, 1) => say::json(&told[0])?,
        (true, _) => say::json(&told)?,
    }
    Ok(exit)
}

/// The report of a run as JSON, with where its other forms are.
fn as_json(record: &RunRecord, files: Option<&Files>) -> Value {
    let mut value = convoke_report::json(record);
    value["report_markdown"] = files.map(|files| files.markdown.display().to_string()).into();
    value["report_html"] = files.map(|files| files.html.display().to_string()).into();
    value
}

/// Whether nothing more comes of a run.
pub fn has_ended(run: &RunSummary) -> bool {
    convoke_domain::run::State::parse(&run.state).is_some_and(convoke_domain::run::State::has_ended)
}

struct Files {
    markdown: PathBuf,
    html: PathBuf,
}

/// Writes a run's report beside the data. It can be made again at any time, so a run is told of also where this fails.
fn write_reports(hub: &Hub, record: &RunRecord) -> Result<Files> {
    let dir = hub.reports();
    file::make_dir(&dir)?;
    let id = record.summary.id;
    let files = Files { markdown: dir.join(format!("{id}.md")), html: dir.join(format!("{id}.html")) };
    file::write(&files.markdown, convoke_report::markdown(record).as_bytes())?;
    file::write(&files.html, convoke_report::html(record).as_bytes())?;
    Ok(files)
}

/// The result alone; on the error stream, why there is none and what can be done.
fn quietly(hub: &Hub, record: &RunRecord) -> Result<()> {
    let run = &record.summary;
    if exit_of(run) != Exit::Done {
        let why = run.error.as_deref().or(run.reason.as_deref()).map(text::line);
        say::note(&format!("{}{}", word(run).1, why.map(|why| format!(": {why}")).unwrap_or_default()));
        last_fault(record).iter().for_each(|fault| say::note(fault));
        next(hub, record).iter().for_each(|next| say::note(next.trim_end()));
    }
    match result(record) {
        Some(output) => say::line(&output),
        None => Ok(()),
    }
}

/// What a run gave, made harmless.
fn result(record: &RunRecord) -> Option<String> {
    record.output.as_deref().map(|output| text::plain(output.trim_end())).filter(|text| !text.is_empty())
}

fn as_text(hub: &Hub, record: &RunRecord, files: Option<&Files>) -> String {
    let run = &record.summary;
    let mut out = String::from("\n");
    if let Some(output) = result(record) {
        out.push_str(&shortened(&output, hub, run));
        out.push('\n');
    }
    out.push_str(&verdict(run));
    let fault = last_fault(record);
    fault.iter().flat_map(|fault| rows(fault)).for_each(|row| out.push_str(&(paint(word(run).0, &row) + "\n")));
    if let Some(files) = files {
        out.push_str(&row("report", &files.html.display().to_string()));
        out.push_str(&row("", &files.markdown.display().to_string()));
    }
    let id = run.id.to_string();
    out.push_str(&row("more", &hub.place.command(&format!("report {id}"))));
    out.push_str(&row("", &hub.place.command(&format!("show {id}"))));
    if run.simulated {
        out.push_str(&paint(YELLOW, &format!("{}.\n", convoke_report::SIMULATED)));
    }
    out + &next(hub, record).unwrap_or_default()
}

fn row(name: &str, value: &str) -> String {
    format!("{}  {value}\n", paint(DIM, &text::pad(name, 6)))
}

/// A result as text: all of it, or a screenful where a person looks at it.
fn shortened(output: &str, hub: &Hub, run: &RunSummary) -> String {
    let (columns, rows) = screen::size();
    let styled = |rows: &[String]| rows.iter().map(|row| heading(row) + "\n").collect::<String>();
    if !Stream::Out.is_terminal() {
        return styled(&output.lines().map(str::to_owned).collect::<Vec<_>>());
    }
    let lines: Vec<String> = output.lines().flat_map(|line| text::wrap(line, columns)).collect();
    let room = rows.saturating_sub(REST).max(LEAST);
    if lines.len() <= room {
        return styled(&lines);
    }
    let more = format!(
        "… {}: {}",
        text::many(lines.len() - room, "more line"),
        hub.place.command(&format!("report {}", run.id))
    );
    styled(&lines[..room]) + &paint(DIM, &more) + "\n"
}

fn heading(line: &str) -> String {
    if line.starts_with('#') { paint(BOLD, line) } else { line.to_owned() }
}

fn word(run: &RunSummary) -> (Style, &'static str) {
    match run.state.as_str() {
        "completed" => (GREEN, "completed"),
        "failed" => (RED, "failed"),
        "cancelled" => (YELLOW, "cancelled"),
        "paused" => (YELLOW, "paused"),
        "waiting" => (YELLOW, "waits for a person"),
        "escalated" => (YELLOW, "handed to a person"),
        _ => (CYAN, "stopped; it has not ended"),
    }
}

/// One line: how it ended, how long it took, what was used.
fn verdict(run: &RunSummary) -> String {
    let (style, word) = word(run);
    let took =
        run.finished_at.map(|at| format!(" in {}", text::duration(at.since(run.created_at)))).unwrap_or_default();
    let calls = [
        text::many(usize::try_from(run.model_calls).unwrap_or(0), "model call"),
        text::many(usize::try_from(run.tool_calls).unwrap_or(0), "tool call"),
        format!("{} tokens", text::count(run.tokens)),
        cost(run),
    ];
    let why = run.error.as_deref().or(run.reason.as_deref());
    let why: String =
        why.map(text::line).iter().flat_map(|why| rows(why)).map(|row| paint(style, &row) + "\n").collect();
    let told = rows(&format!("{word}{took} · {}", calls.join(" · "))).join("\n");
    format!("{}{}\n{why}", paint(style, word), told.strip_prefix(word).unwrap_or_default())
}

/// What went wrong last in a task that gave no result, where the run's own reason does not say it: a budget that bad replies
/// used up names only the budget.
fn last_fault(record: &RunRecord) -> Option<String> {
    let run = &record.summary;
    if matches!(exit_of(run), Exit::Done | Exit::Cancelled) {
        return None;
    }
    let attempts = record.tasks.iter().filter(|task| task.state != "completed").flat_map(|task| &task.attempts);
    let faults = attempts.flat_map(|attempt| {
        let calls = attempt.steps.iter().filter(|step| step.kind == "model");
        let calls = calls.map(|step| (step.finished_at, step.error.as_deref()));
        calls.chain([(attempt.finished_at, attempt.error.as_deref())])
    });
    let (_, fault) = faults.filter_map(|(at, error)| Some((at?, error?))).max_by_key(|(at, _)| *at)?;
    let why = run.error.as_deref().or(run.reason.as_deref()).unwrap_or_default();
    (!why.contains(fault)).then(|| format!("last fault: {}", text::line(fault)))
}

/// A line as rows of the terminal; one row where there is none.
fn rows(line: &str) -> Vec<String> {
    if Stream::Out.is_terminal() { text::wrap(line, screen::size().0) } else { vec![line.to_owned()] }
}

/// What a run cost, never less than what is known of it.
pub fn cost(run: &RunSummary) -> String {
    let simulated = if run.simulated { " (simulated)" } else { "" };
    match run.unpriced_calls {
        0 => format!("{}{simulated}", run.cost_usd),
        calls => {
            let calls = text::many(usize::try_from(calls).unwrap_or(0), "call");
            format!("{}{simulated} and {calls} without a known price", run.cost_usd)
        }
    }
}

/// How the budget that ran short is raised: the run's own, or the day's.
fn more_money(run: &RunSummary, resume: &str) -> String {
    let reason = run.reason.as_deref().unwrap_or_default();
    if reason.starts_with("budget: the workspace ") {
        format!("wait for the next day in UTC, or give the day more: CONVOKE_DAILY_BUDGET=USD {resume}")
    } else if ["team", "task", "agent"].iter().any(|level| reason.starts_with(&format!("budget: the {level} "))) {
        "the team's or the profile's own limit was reached; a new run takes a new limit from its file".to_owned()
    } else {
        format!("give it more: {resume} --budget USD")
    }
}

/// What a person can do for a run that has not ended well.
fn next(hub: &Hub, record: &RunRecord) -> Option<String> {
    let (run, command) = (&record.summary, |rest: String| hub.place.command(&rest));
    let resume = command(format!("resume {}", run.id));
    let lines = match (run.state.as_str(), exit_of(run)) {
        ("completed" | "cancelled" | "failed", _) => return None,
        ("escalated", _) => vec![format!("close it with a result: {}", command(format!("answer {} TEXT", run.id)))],
        ("paused", Exit::Budget) => vec![more_money(run, &resume)],
        ("waiting", _) => waits(hub, record),
        ("paused", _) => vec![format!("let it go on: {resume}")],
        _ => vec![format!("it goes on where it was with: {resume}")],
    };
    Some(lines.iter().map(|line| paint(YELLOW, line) + "\n").collect())
}

/// How to answer each thing of a run that only a person can: approvals, questions, tasks, tool calls whose outcome is unknown.
pub fn waits(hub: &Hub, record: &RunRecord) -> Vec<String> {
    let command = |rest: String| hub.place.command(&rest);
    let approvals = record.approvals.iter().filter(|approval| approval.state == "pending").map(|approval| {
        let (id, agent, tool) = (approval.id, text::line(&approval.agent), text::line(&approval.tool));
        let args = text::cut(&text::line(&approval.args), ARGS_SHOWN);
        let (yes, no) = (command(format!("approve {id}")), command(format!("reject {id}")));
        format!("{agent} asks leave for {tool} {args}{}: {yes}, or {no}{}", whom(approval), lacks(hub, approval))
    });
    let questions = record.decisions.iter().filter(|asked| is_for_people(asked)).map(|asked| {
        let (who, what) = (text::line(asked.asked_by.trim_start_matches("agent:")), text::line(&asked.question));
        let until = until(asked);
        let id = asked.id.to_string();
        let answers: Vec<_> = inbox::answers(&id, &asked.options).into_iter().map(command).collect();
        format!("{who} asks: {}{until}: {}", text::cut(&what, ARGS_SHOWN), answers.join(", or "))
    });
    // A task that a model works on waits for an answer, and is not for a person to do.
    let is_given = |task: &&TaskRecord| {
        task.waits_for.as_deref() == Some("person") && task.attempts.last().is_none_or(|last| last.steps.is_empty())
    };
    let tasks = record.tasks.iter().filter(is_given).map(|task| {
        let answer = command(format!("answer {} TEXT", task.id));
        format!("{} is for {} to do: {answer}", text::line(&task.title), text::line(&task.agent))
    });
    let unknown = record.effects.iter().filter(|effect| effect.state == "unknown").map(|effect| {
        let task = record.tasks.iter().find(|task| task.id == effect.task);
        let is_over = task.is_some_and(|task| task::State::parse(&task.state).is_some_and(task::State::has_ended));
        let choices = if is_over { "done|failed" } else { "done|failed|retry" };
        let answer = command(format!("resolve {} {choices}", effect.key));
        format!("say what became of {}: {answer}", text::line(&effect.tool))
    });
    approvals.chain(questions).chain(tasks).chain(unknown).collect()
}

/// What of these runs waits for an agent that gets no task, and how it gets some again.
pub async fn held_up(hub: &Hub, runs: &[RunId]) -> Result<Vec<String>> {
    let found = hub.engine.held_up(runs).await?;
    Ok(found.iter().map(|one| waits_for_agent(one, &|rest| hub.place.command(&rest))).collect())
}

/// The same for one task.
pub fn waits_for_agent(one: &HeldUp, command: &dyn Fn(String) -> String) -> String {
    let (key, agent) = (text::line(&one.key), text::line(&one.agent));
    let (is, how) = match (one.status.as_str(), one.health.as_str()) {
        ("blocked", _) => ("blocked", "unblock"),
        ("retired", _) => ("retired", "activate"),
        (_, "stale" | "offline") => (one.health.as_str(), "heartbeat"),
        (other, _) => (other, "activate"),
    };
    format!("{key} waits for agent `{agent}`, which is {is}: {}", command(format!("agents {how} {agent}")))
}

/// Whose leave it is, where not everybody may give it.
fn whom(approval: &ApprovalRecord) -> String {
    let names: Vec<_> = approval.approvers.iter().map(|name| text::line(name)).collect();
    if names.is_empty() { String::new() } else { format!(", of {}", names.join(" or ")) }
}

/// What is missing before they can: users of that name.
fn lacks(hub: &Hub, approval: &ApprovalRecord) -> String {
    let add = |name: &String| {
        let name = text::line(name);
        let command = hub.place.command(&format!("users add {name} --role approver"));
        format!("; there is no user {name} yet: {command}")
    };
    approval.unknown.iter().map(add).collect()
}

/// Until when an answer to a question is waited for, and what comes then: nobody takes a default while nobody is at work.
fn until(asked: &DecisionRecord) -> String {
    let Some(due) = asked.due else { return String::new() };
    let then = match &asked.default {
        Some(default) => format!("the default `{}` is taken", text::cut(&text::line(default), ARGS_SHOWN)),
        None => "the agent goes on without".to_owned(),
    };
    format!(" (until {} UTC; after that, `convoke resume` goes on and {then})", text::clock(due))
}

/// Whether a question is open, and a person can answer it.
fn is_for_people(asked: &DecisionRecord) -> bool {
    asked.standing == "open" && asked.asked.iter().any(|who| who.starts_with("user:"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn summary(state: &str, reason: Option<&str>, error: Option<&str>) -> RunSummary {
        serde_json::from_value(json!({
            "id": "run_01kap0000000000000000000rn", "session": "ses_01kap0000000000000000000rn", "team": "t", "team_version": 1,
            "task": "x", "input": null, "state": state, "phase": "execution", "reason": reason, "simulated": true,
            "created_by": "user:x", "model_calls": 1, "tool_calls": 2, "tokens": 3, "cost_usd": 0.5, "unpriced_calls": 0,
            "created_at": "2026-03-17T14:33:00Z", "started_at": null, "finished_at": null, "error": error,
        }))
        .expect("a summary")
    }

    #[test]
    fn every_state_has_its_exit_code() {
        for (state, reason, error, exit) in [
            ("completed", None, None, Exit::Done),
            ("failed", None, Some("timeout: too long"), Exit::Failed),
            ("failed", None, Some("budget_exhausted: the run budget"), Exit::Budget),
            ("paused", Some("budget: the run budget"), None, Exit::Budget),
            ("paused", Some("by a person"), None, Exit::Person),
            ("waiting", Some("the outcome of x"), None, Exit::Person),
            ("escalated", None, Some("disagreement"), Exit::Person),
            ("cancelled", None, None, Exit::Cancelled),
            ("running", None, None, Exit::Failed),
        ] {
            assert_eq!(exit_of(&summary(state, reason, error)), exit, "{state} {reason:?} {error:?}");
        }
    }

    #[test]
    fn a_price_that_is_not_known_is_never_zero() {
        let run = RunSummary { unpriced_calls: 2, simulated: false, ..summary("completed", None, None) };
        assert_eq!(cost(&run), "$0.5000 and 2 calls without a known price");
    }
}
