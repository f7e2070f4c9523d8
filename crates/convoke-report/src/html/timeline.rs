//! The timeline as bars: one row for each task, drawn as inline SVG, so that what ran at the same time is seen.
//!
//! Widths are parts of the whole run in percent, so a bar fits any screen and its words keep their size.

use std::time::Duration;

use convoke_domain::record::{StepRecord, TaskRecord};

use crate::phrase;
use crate::quote;
use crate::view::{View, label};

/// The most rows drawn; the table below has them all.
const ROWS_SHOWN: usize = 200;
/// The most steps drawn in one row.
const STEPS_SHOWN: usize = 300;
/// The narrowest bar in percent, so that the shortest task is seen.
const NARROWEST: f64 = 0.4;

/// All tasks that have begun; nothing if none has.
pub(super) fn bars(view: &View<'_>) -> String {
    let mut tasks: Vec<_> = view.run.tasks.iter().filter_map(|task| view.span(task).map(|span| (task, span))).collect();
    tasks.sort_by_key(|(_, (from, _))| *from);
    let Some(whole) = tasks.iter().map(|(_, (_, to))| *to).max() else { return String::new() };
    let whole = whole.max(Duration::from_millis(1));
    let rows: String = tasks.iter().take(ROWS_SHOWN).map(|(task, span)| row(view, task, *span, whole)).collect();
    format!("<div class=\"gantt\">\n{rows}{}</div>\n{LEGEND}", axis(whole))
}

const LEGEND: &str = "<p class=\"legend\"><span class=\"item\"><span class=\"key wait\"></span>task</span> \
     <span class=\"item\"><span class=\"key model\"></span>model call</span> \
     <span class=\"item\"><span class=\"key tool\"></span>tool call</span> \
     <span class=\"item\"><span class=\"key bad\"></span>failed or unknown</span></p>\n";

fn row(view: &View<'_>, task: &TaskRecord, (from, to): (Duration, Duration), whole: Duration) -> String {
    let took = phrase::duration(to - from);
    let told = format!("{}, {}: {}, {took}, from +{}", label(task), task.agent, task.state, phrase::duration(from));
    let steps = task.attempts.iter().flat_map(|attempt| &attempt.steps).take(STEPS_SHOWN);
    let steps: String = steps.map(|step| step_bar(view, step, whole)).collect();
    let class = if task.state == "failed" { "task bad" } else { "task" };
    format!(
        "<div class=\"row\"><div class=\"name\"><b>{}</b> <span>{}</span></div>\
         <svg role=\"img\" aria-label=\"{}\" width=\"100%\" height=\"18\"><title>{}</title>{}{steps}</svg>\
         <div class=\"took\">{took}</div></div>\n",
        quote::html(&label(task)),
        quote::html(if task.key == task.agent && task.stage == "work" { "" } else { &task.agent }),
        quote::html(&told),
        quote::html(&told),
        bar(class, (from, to), whole, None),
    )
}

fn step_bar(view: &View<'_>, step: &StepRecord, whole: Duration) -> String {
    let from = step.started_at.since(view.began());
    let to = step.finished_at.unwrap_or(view.until).since(view.began());
    let class = match (step.status.as_str(), step.kind.as_str()) {
        ("done" | "started", "model") => "step model",
        ("done" | "started", _) => "step tool",
        _ => "step bad",
    };
    let status = phrase::step_status(&step.status);
    let told = format!("{} {}: {status}, {}", step.kind, step.name, phrase::duration(to.saturating_sub(from)));
    bar(class, (from, to), whole, Some(&told))
}

fn bar(class: &str, (from, to): (Duration, Duration), whole: Duration, title: Option<&str>) -> String {
    let percent = |at: Duration| (at.as_secs_f64() / whole.as_secs_f64() * 100.0).min(100.0);
    let width = (percent(to) - percent(from)).max(NARROWEST);
    let left = percent(from).min(100.0 - width);
    let (top, height) = if title.is_some() { (6, 6) } else { (2, 14) };
    let title = title.map(|title| format!("<title>{}</title>", quote::html(title))).unwrap_or_default();
    format!(
        "<rect class=\"{class}\" x=\"{left:.2}%\" y=\"{top}\" width=\"{width:.2}%\" height=\"{height}\" rx=\"2\">{title}</rect>"
    )
}

fn axis(whole: Duration) -> String {
    let tick = |quarter: u32| format!("<span>{}</span>", phrase::duration(whole * quarter / 4));
    let ticks: String = (0..=4).map(tick).collect();
    format!(
        "<div class=\"row axis\"><div class=\"name\"></div><div class=\"ticks\">{ticks}</div><div class=\"took\"></div></div>\n"
    )
}
