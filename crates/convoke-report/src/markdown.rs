//! A run as Markdown, for people and for version control.
//!
//! Rule: a section that has nothing to say is left out, except the result. Start at [`markdown`].

use convoke_domain::flow::part::Part;
use convoke_domain::pattern::Stage;
use convoke_domain::pattern::coordinator_worker::answer_of;
use convoke_domain::pattern::plan::Plan;
use convoke_domain::record::{RunRecord, TaskRecord};

use crate::sheet::{self, CALLS_SHOWN};
use crate::validation;
use crate::view::{View, label};
use crate::{SIMULATED, analytics, artifact, ballot, block, course, dispute, effect, nest, phrase, quote, talk};

/// The most contributions that a report shows; the JSON has them all.
pub(crate) const CONTRIBUTIONS_SHOWN: usize = 200;
/// Length of the base-32 part of an id.
const ID_CHARS: usize = 26;

/// A run as a self-contained Markdown document. What has not ended is told as of the last instant the record knows.
pub fn markdown(run: &RunRecord) -> String {
    write(&View::new(run))
}

/// The same report without times, durations and ids: two runs of one script give the same text.
///
/// What others spent of a session's or a workspace's budget is left out too. Ids in texts of agents and tools lose all
/// but their prefix.
pub fn markdown_without_times(run: &RunRecord) -> String {
    without_ids(&write(&View::without_times(run)))
}

fn write(view: &View<'_>) -> String {
    let sections = [
        head(view),
        held(view),
        section("Task", Some(quote::quotation(&nest::nested(&view.run.summary.task, 2)))),
        section("Result", Some(result(view))),
        section("What went wrong", failures(view)),
        section("Plan", plan(view)),
        section("Course", block::markdown(&course::blocks(view))),
        section("Votes", block::markdown(&ballot::blocks(view))),
        section("Disagreement", block::markdown(&dispute::settled(view))),
        section("Reviews", block::markdown(&dispute::reviews(view))),
        section("Gates", block::markdown(&dispute::gates(view))),
        section("Who had control", block::markdown(&dispute::control(view))),
        section("Agreement by round", block::markdown(&dispute::convergence(view))),
        section("Contributions", contributions(view, &view.contributions())),
        section("Put together on the way", contributions(view, &view.part(Part::Synthesis))),
        section("Judges", contributions(view, &view.part(Part::Judge))),
        section("Files", artifact::table(view).map(|table| table.markdown())),
        section("Validation", verdicts(view)),
        section("Earlier drafts", drafts(view)),
        section("Ratings", analytics::ratings(view).map(|table| table.markdown())),
        section("Decisions", talk::decisions(view).map(|table| table.markdown())),
        section("Approvals", analytics::approvals(view).map(|table| table.markdown())),
        section("Handoffs", analytics::handoffs(view).map(|table| table.markdown())),
        section("Messages", talk::talks(view).map(|table| table.markdown())),
        section(if view.timed { "Timeline" } else { "Tasks" }, timeline(view)),
        section("How it went", analytics::table(view).map(|table| table.markdown())),
        section("Evidence", evidence(view)),
        section("Costs", costs(view)),
        section("Budgets", (!view.run.budgets.is_empty()).then(|| sheet::budgets(view).markdown())),
        section("Tool calls a person decided", told_effects(view)),
    ];
    let mut text = sections.into_iter().flatten().collect::<Vec<_>>().join("\n\n");
    text.push('\n');
    text
}

fn section(title: &str, body: Option<String>) -> Option<String> {
    body.map(|body| format!("## {title}\n\n{}", body.trim_end_matches('\n')))
}

fn head(view: &View<'_>) -> Option<String> {
    let run = &view.run.summary;
    let kind = if view.has_ended() { "" } else { "Status report: " };
    let mut text = format!("# {kind}{}: {}\n\n", quote::markdown(&run.team), quote::markdown(&view.title()));
    if run.simulated {
        text.push_str(&format!("> **{SIMULATED}.**\n\n"));
    }
    if !view.has_ended() {
        let until = if view.timed { format!(" It tells what was known at {}.", view.until) } else { String::new() };
        text.push_str(&format!("This run has not ended: this is a status report.{until}\n\n"));
    }
    text.push_str(&format!("{}\n\n", quote::markdown(&view.headline())));
    text.push_str(&facts(view).map(|(name, value)| format!("- {name}: {value}\n")).collect::<String>());
    Some(text.trim_end().to_owned())
}

/// What the run is, line by line.
fn facts<'a>(view: &'a View<'_>) -> impl Iterator<Item = (&'static str, String)> + 'a {
    let run = &view.run.summary;
    let team = format!(
        "{} (version {}), led by {}",
        quote::code(&run.team),
        run.team_version,
        quote::code(&view.run.coordinator)
    );
    let times = [("Accepted", Some(run.created_at)), ("Started", run.started_at), ("Ended", run.finished_at)];
    let times = times.into_iter().filter_map(|(name, at)| at.map(|at| (name, at.to_string())));
    let ids = [("Run", quote::code(&run.id.to_string())), ("Session", quote::code(&run.session.to_string()))];
    [("Team", team)]
        .into_iter()
        .chain(ids.into_iter().filter(|_| view.timed))
        .chain([("Asked for by", quote::code(&run.created_by))])
        .chain(run.input.iter().map(|input| ("Input", quote::code(input))))
        .chain(times.filter(|_| view.timed))
}

/// What holds the run up and what a person can do about it.
fn held(view: &View<'_>) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(reason) = &view.run.summary.reason {
        parts.push(format!("Why it stands there: {}", quote::markdown(&quote::one_line(reason, 1_000))));
    }
    let open = effect::open(view);
    if !open.is_empty() {
        parts.push(effect::advice(view).to_owned());
        parts.push(sheet::open_effects(view, &open).markdown().trim_end().to_owned());
    }
    parts.extend(view.next_step());
    section("What it needs", (!parts.is_empty()).then(|| parts.join("\n\n")))
}

fn result(view: &View<'_>) -> String {
    match (&view.run.output, view.has_ended()) {
        (Some(output), _) if !output.trim().is_empty() => nest::nested(output, 2),
        (_, true) => "The run ended without a result.".into(),
        (_, false) => "There is none yet.".into(),
    }
}

/// Why the run failed, and which tasks did that are no contributions.
fn failures(view: &View<'_>) -> Option<String> {
    let told = |text: &str| quote::markdown(&quote::one_line(text, 1_000));
    let own = view.run.summary.error.iter().map(|error| format!("- The run: {}", told(error)));
    let failed = view.run.tasks.iter().filter(|task| task.state == "failed");
    let tasks = failed.map(|task| {
        let fate = view.fate(task).unwrap_or_default();
        format!("- Task {} of {}: {}", quote::markdown(&label(task)), quote::markdown(&task.agent), told(&fate))
    });
    let lines: Vec<_> = own.chain(tasks).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The plan as a table, or the brief as the coordinator wrote it.
fn plan(view: &View<'_>) -> Option<String> {
    if let Some(table) = sheet::plan(view) {
        return Some(table.markdown());
    }
    brief(view).map(|brief| nest::nested(brief, 2))
}

/// What a coordinator wrote that is no plan.
pub(crate) fn brief<'a>(view: &View<'a>) -> Option<&'a str> {
    let outputs = view.stage(Stage::Plan).filter_map(|task| task.output.as_deref());
    outputs.filter(|output| serde_json::from_str::<Plan>(output).is_err()).last()
}

fn contributions(view: &View<'_>, all: &[&TaskRecord]) -> Option<String> {
    let shown = all.iter().take(CONTRIBUTIONS_SHOWN).enumerate();
    let mut told: Vec<_> = shown.map(|(n, task)| contribution(view, n + 1, task)).collect();
    if all.len() > CONTRIBUTIONS_SHOWN {
        told.push(format!("{} more are in the JSON report.", all.len() - CONTRIBUTIONS_SHOWN));
    }
    (!told.is_empty()).then(|| told.join("\n\n"))
}

fn contribution(view: &View<'_>, n: usize, task: &TaskRecord) -> String {
    let title = quote::one_line(&task.title, 200);
    let title = if label(task) == task.title { title } else { format!("{}: {title}", label(task)) };
    let mut text = format!("### {n}. {}\n\n{}", quote::markdown(&title), byline(view, task));
    if let Some(fate) = view.fate(task) {
        text.push_str(&format!("\n\n**{}**", quote::markdown(&fate)));
    }
    for line in earlier_attempts(task) {
        text.push_str(&format!("\n\n{}", quote::markdown(&line)));
    }
    if let Some(output) = &task.output {
        text.push_str(&format!("\n\n{}", nest::nested(output, 3)));
    }
    text
}

/// Who, how it stands, how long, how much.
fn byline(view: &View<'_>, task: &TaskRecord) -> String {
    let took = view.took(task).map(phrase::duration);
    let tokens = phrase::plural(task.tokens, "token");
    let parts = [Some(task.state.clone()), took, Some(view.cost_of(task)), Some(tokens)];
    let parts: Vec<_> = parts.into_iter().flatten().map(|part| quote::markdown(&part)).collect();
    let path =
        if task.stage == Stage::Step.as_str() { format!(" in {}", quote::code(&task.key)) } else { String::new() };
    format!("By {}{path} · {}", quote::code(&task.agent), parts.join(" · "))
}

/// What became of the attempts before the last, one line each.
pub(crate) fn earlier_attempts(task: &TaskRecord) -> impl Iterator<Item = String> + '_ {
    let earlier = task.attempts.split_last().map(|(_, earlier)| earlier).unwrap_or_default();
    earlier.iter().map(|attempt| {
        let reason = attempt.error.as_deref().map(|error| format!(": {}", quote::one_line(error, 300)));
        format!("Attempt {} by {} {}{}", attempt.n, attempt.agent, attempt.state, reason.unwrap_or_else(|| ".".into()))
    })
}

fn verdicts(view: &View<'_>) -> Option<String> {
    let rounds = validation::rounds(view);
    let told = rounds.values().zip(validation::conclusions(view));
    let told: Vec<_> = told
        .map(|(votes, conclusion)| format!("{}\n\n{}", quote::markdown(&conclusion), sheet::verdicts(votes).markdown()))
        .collect();
    (!told.is_empty()).then(|| told.join("\n"))
}

fn drafts(view: &View<'_>) -> Option<String> {
    let draft = |task: &TaskRecord| {
        let answer = answer_of(task.output.as_deref().unwrap_or_default());
        format!("### {}\n\n{}", quote::markdown(&task.title), nest::nested(&answer, 3))
    };
    let drafts: Vec<_> = view.drafts().into_iter().map(draft).collect();
    (!drafts.is_empty()).then(|| drafts.join("\n\n"))
}

fn timeline(view: &View<'_>) -> Option<String> {
    let note = if view.timed { format!("Offsets count from {}.\n\n", view.began()) } else { String::new() };
    (!view.run.tasks.is_empty()).then(|| format!("{note}{}", sheet::timeline(view).markdown()))
}

fn evidence(view: &View<'_>) -> Option<String> {
    let agent = |(agent, calls): (&str, Vec<sheet::Call<'_>>)| {
        let mut text =
            format!("### Tool calls of {}\n\n{}", quote::markdown(agent), sheet::evidence(view, &calls).markdown());
        if calls.len() > CALLS_SHOWN {
            text.push_str(&format!("\n{} more are in the JSON report.\n", calls.len() - CALLS_SHOWN));
        }
        text
    };
    let agents: Vec<_> = sheet::calls(view).into_iter().map(agent).collect();
    (!agents.is_empty()).then(|| agents.join("\n"))
}

fn costs(view: &View<'_>) -> Option<String> {
    let mut parts = Vec::new();
    if !view.run.usage.is_empty() {
        parts.push(sheet::costs(view).markdown());
    }
    parts.extend(sheet::lost_note(view).map(|note| format!("{note}\n")));
    parts.extend(view.gap());
    (!parts.is_empty()).then(|| parts.join("\n"))
}

fn told_effects(view: &View<'_>) -> Option<String> {
    let told = effect::told(view);
    (!told.is_empty()).then(|| sheet::told_effects(&told).markdown())
}

/// Replaces the part of every id that differs from run to run.
fn without_ids(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('_') {
        let (before, after) = rest.split_at(at + 1);
        kept.push_str(before);
        let id = after.get(..ID_CHARS).filter(|id| is_id(before, id));
        kept.push_str(if id.is_some() { "…" } else { "" });
        rest = id.map_or(after, |id| &after[id.len()..]);
    }
    kept.push_str(rest);
    kept
}

fn is_id(before: &str, text: &str) -> bool {
    let known = ["run_", "task_", "ses_", "agent_", "user_", "ws_"].iter().any(|prefix| before.ends_with(prefix));
    known && text.chars().all(|c| c.is_ascii_digit() || c.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_lose_all_but_their_prefix() {
        let text = "see run_01h455vb4pex5vsknk084sn02q:task_01h455vb4pex5vsknk084sn02q:1:2 in task_list";
        assert_eq!(without_ids(text), "see run_…:task_…:1:2 in task_list");
    }
}
