//! A run as one self-contained HTML page: no script, no outside resource, light and dark, for screen, phone and paper.
//!
//! Rule: every text of others goes through [`quote::html`] or [`prose`](prose::prose). Start at [`html`].

mod prose;
mod timeline;

use convoke_domain::flow::part::Part;
use convoke_domain::pattern::coordinator_worker::answer_of;
use convoke_domain::record::{RunRecord, TaskRecord};

pub(crate) use self::prose::prose;
use crate::markdown::{CONTRIBUTIONS_SHOWN, brief, earlier_attempts};
use crate::quote::html as text;
use crate::sheet::{self, CALLS_SHOWN, Call};
use crate::view::{View, label};
use crate::{SIMULATED, analytics, artifact, ballot, block, course, dispute, effect, phrase, quote, talk, validation};

const STYLE: &str = include_str!("html/style.css");
/// The most bytes of a tool's result that the page shows; the JSON has all that was kept.
const RESULT_BYTES: usize = 2_000;
/// The most bytes of a call's arguments that the page shows in full.
const ARGUMENT_BYTES: usize = 4_000;

/// A run as a page that can be saved, mailed and printed. Nothing in it is loaded or run.
pub fn html(run: &RunRecord) -> String {
    let view = View::new(run);
    let kind = if view.has_ended() { "Run report" } else { "Status report" };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"generator\" content=\"Convoke\">\n\
         <title>{}: {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{}{}</main>\n\
         <footer>{kind} by Convoke of {}. As of {}.</footer>\n</body>\n</html>\n",
        text(&run.summary.team),
        text(&view.title()),
        header(&view, kind),
        sections(&view),
        text(&run.summary.id.to_string()),
        view.until,
    )
}

fn sections(view: &View<'_>) -> String {
    let sections = [
        section("needs", "What it needs", held(view)),
        section("task", "Task", long_task(view)),
        section("result", "Result", Some(result(view))),
        section("wrong", "What went wrong", failures(view)),
        section("plan", "Plan", plan(view)),
        section("course", "Course", block::html(&course::blocks(view))),
        section("votes", "Votes", block::html(&ballot::blocks(view))),
        section("disagreement", "Disagreement", block::html(&dispute::settled(view))),
        section("reviews", "Reviews", block::html(&dispute::reviews(view))),
        section("gates", "Gates", block::html(&dispute::gates(view))),
        section("control", "Who had control", block::html(&dispute::control(view))),
        section("agreement", "Agreement by round", block::html(&dispute::convergence(view))),
        section("contributions", "Contributions", contributions(view, &view.contributions())),
        section("together", "Put together on the way", contributions(view, &view.part(Part::Synthesis))),
        section("judges", "Judges", contributions(view, &view.part(Part::Judge))),
        section("files", "Files", artifact::table(view).map(|table| table.html())),
        section("validation", "Validation", verdicts(view)),
        section("drafts", "Earlier drafts", drafts(view)),
        section("ratings", "Ratings", analytics::ratings(view).map(|table| table.html())),
        section("decisions", "Decisions", talk::decisions(view).map(|table| table.html())),
        section("approvals", "Approvals", analytics::approvals(view).map(|table| table.html())),
        section("handoffs", "Handoffs", analytics::handoffs(view).map(|table| table.html())),
        section("messages", "Messages", talk::talks(view).map(|table| table.html())),
        section("timeline", "Timeline", timeline(view)),
        section("analytics", "How it went", analytics::table(view).map(|table| table.html())),
        section("costs", "Costs", costs(view)),
        section("budgets", "Budgets", (!view.run.budgets.is_empty()).then(|| sheet::budgets(view).html())),
        section("evidence", "Evidence", evidence(view)),
        section("decided", "Tool calls a person decided", told_effects(view)),
        section("about", "About this run", Some(about(view))),
    ];
    sections.concat()
}

fn section(id: &str, title: &str, body: Option<String>) -> String {
    body.map(|body| format!("<section id=\"{id}\">\n<h2>{title}</h2>\n{body}</section>\n")).unwrap_or_default()
}

pub(crate) fn paragraph(words: &str) -> String {
    format!("<p>{}</p>\n", spoken(words))
}

fn header(view: &View<'_>, kind: &str) -> String {
    let run = &view.run.summary;
    let banner = if run.simulated { format!("<p class=\"banner\">{SIMULATED}.</p>\n") } else { String::new() };
    let open =
        if view.has_ended() { "" } else { "<p class=\"note\">This run has not ended: this is a status report.</p>\n" };
    format!(
        "<header>\n<p class=\"eyebrow\">{kind} · {}</p>\n<h1>{}</h1>\n<p class=\"lead\"><span class=\"badge {}\">{}</span> {}</p>\n\
         {banner}{open}{}</header>\n",
        text(&run.team),
        text(&view.title()),
        mood(&run.state),
        text(&view.standing()),
        spoken(&lead(view)),
        cards(view),
    )
}

/// Whose the run is; the figures follow in the cards.
fn lead(view: &View<'_>) -> String {
    let run = &view.run.summary;
    let [team, by] = [&run.team, &run.created_by].map(|name| quote::one_line(name, 100));
    format!("Team {team}, version {}, asked by {by}.", run.team_version)
}

/// The colour of a state.
fn mood(state: &str) -> &'static str {
    match state {
        "completed" | "archived" => "good",
        "failed" | "cancelled" => "bad",
        "paused" | "waiting" | "blocked" | "escalated" => "held",
        _ => "busy",
    }
}

fn cards(view: &View<'_>) -> String {
    let run = &view.run.summary;
    let done = view.contributions().iter().filter(|task| task.output.is_some()).count();
    let cost = if run.simulated { "Cost (simulated)" } else { "Cost" };
    let cards = [
        ("Duration", view.lasted().map_or_else(|| "–".into(), phrase::duration)),
        (cost, view.cost()),
        ("Tokens", phrase::number(run.tokens)),
        ("Model calls", phrase::number(run.model_calls)),
        ("Tool calls", phrase::number(run.tool_calls)),
        ("Contributions", format!("{done} of {}", view.contributions().len())),
    ];
    let card = |(name, value): (&str, String)| format!("<div><dt>{name}</dt><dd>{}</dd></div>\n", text(&value));
    format!("<dl class=\"cards\">\n{}</dl>\n", cards.into_iter().map(card).collect::<String>())
}

fn held(view: &View<'_>) -> Option<String> {
    let mut body = String::new();
    if let Some(reason) = &view.run.summary.reason {
        body.push_str(&paragraph(&format!("Why it stands there: {}", quote::one_line(reason, 1_000))));
    }
    let open = effect::open(view);
    if !open.is_empty() {
        body.push_str(&paragraph(effect::advice(view)));
        body.push_str(&sheet::open_effects(view, &open).html());
    }
    body.push_str(&view.next_step().map(|step| paragraph(&step)).unwrap_or_default());
    (!body.is_empty()).then_some(body)
}

/// A sentence in which names and commands stand between backticks.
pub(crate) fn spoken(sentence: &str) -> String {
    let Some(parts) = quote::spans(sentence) else { return text(sentence) };
    let part = |(place, part): (usize, &&str)| match place % 2 {
        1 => format!("<code>{}</code>", text(part)),
        _ => text(part),
    };
    parts.iter().enumerate().map(part).collect()
}

/// The task, where the title does not say it all.
fn long_task(view: &View<'_>) -> Option<String> {
    let task = view.run.summary.task.trim();
    (task != view.title()).then(|| prose(task, 2))
}

fn result(view: &View<'_>) -> String {
    match (&view.run.output, view.has_ended()) {
        (Some(output), _) if !output.trim().is_empty() => prose(output, 2),
        (_, true) => paragraph("The run ended without a result."),
        (_, false) => paragraph("There is none yet."),
    }
}

fn failures(view: &View<'_>) -> Option<String> {
    let item =
        |who: &str, what: &str| format!("<li><b>{}</b>: {}</li>\n", text(who), spoken(&quote::one_line(what, 1_000)));
    let own = view.run.summary.error.iter().map(|error| item("The run", error));
    let failed = view.run.tasks.iter().filter(|task| task.state == "failed");
    let tasks = failed
        .map(|task| item(&format!("Task {} of {}", label(task), task.agent), &view.fate(task).unwrap_or_default()));
    let items: String = own.chain(tasks).collect();
    (!items.is_empty()).then(|| format!("<ul class=\"failures\">\n{items}</ul>\n"))
}

fn plan(view: &View<'_>) -> Option<String> {
    sheet::plan(view).map(|table| table.html()).or_else(|| brief(view).map(|brief| prose(brief, 2)))
}

fn contributions(view: &View<'_>, all: &[&TaskRecord]) -> Option<String> {
    let mut told: String = all.iter().take(CONTRIBUTIONS_SHOWN).map(|task| contribution(view, task)).collect();
    if all.len() > CONTRIBUTIONS_SHOWN {
        told.push_str(&paragraph(&format!("{} more are in the JSON report.", all.len() - CONTRIBUTIONS_SHOWN)));
    }
    (!told.is_empty()).then_some(told)
}

fn contribution(view: &View<'_>, task: &TaskRecord) -> String {
    let took = view.took(task).map(phrase::duration);
    let figures = [took, Some(view.cost_of(task)), Some(phrase::plural(task.tokens, "token"))];
    let figures = figures.into_iter().flatten().collect::<Vec<_>>().join(" · ");
    let (fate, name) = (view.fate(task), label(task));
    let notes: String = earlier_attempts(task).map(|line| format!("<p class=\"note\">{}</p>\n", text(&line))).collect();
    format!(
        "<details{}>\n<summary><span class=\"dot {}\" title=\"{}\"></span><span class=\"what\"><b>{}</b> {}</span>\
         <span class=\"who\">{} · {} · {figures}</span></summary>\n<div class=\"inside\">\n{}{notes}{}</div>\n</details>\n",
        if fate.is_some() { " open" } else { "" },
        mood(&task.state),
        text(&task.state),
        text(if name == task.title { &task.key } else { &name }),
        text(&quote::one_line(&task.title, 200)),
        text(&task.agent),
        text(&task.state),
        fate.map(|fate| format!("<p class=\"fate {}\">{}</p>\n", mood(&task.state), spoken(&fate))).unwrap_or_default(),
        task.output.as_deref().map(|output| prose(output, 3)).unwrap_or_default(),
    )
}

fn verdicts(view: &View<'_>) -> Option<String> {
    let rounds = validation::rounds(view);
    let told = rounds.values().zip(validation::conclusions(view));
    let told: String = told.map(|(votes, words)| paragraph(&words) + &sheet::verdicts(votes).html()).collect();
    (!told.is_empty()).then_some(told)
}

fn drafts(view: &View<'_>) -> Option<String> {
    let draft = |task: &TaskRecord| {
        let answer = prose(&answer_of(task.output.as_deref().unwrap_or_default()), 3);
        let title = text(&task.title);
        format!(
            "<details>\n<summary><span class=\"what\">{title}</span></summary>\n<div class=\"inside\">\n{answer}</div>\n</details>\n"
        )
    };
    let drafts: String = view.drafts().into_iter().map(draft).collect();
    (!drafts.is_empty()).then_some(drafts)
}

fn timeline(view: &View<'_>) -> Option<String> {
    let table = || {
        format!(
            "<details>\n<summary><span class=\"what\">As a table</span></summary>\n<div class=\"inside\">\n{}</div>\n</details>\n",
            sheet::timeline(view).html()
        )
    };
    (!view.run.tasks.is_empty()).then(|| timeline::bars(view) + &table())
}

fn costs(view: &View<'_>) -> Option<String> {
    let table = if view.run.usage.is_empty() { String::new() } else { sheet::costs(view).html() };
    let notes = sheet::lost_note(view).map(str::to_owned).into_iter().chain(view.gap());
    Some(table + &notes.map(|note| paragraph(&note)).collect::<String>()).filter(|body| !body.is_empty())
}

fn evidence(view: &View<'_>) -> Option<String> {
    let all: String = sheet::calls(view).iter().map(|(agent, calls)| agent_calls(view, agent, calls)).collect();
    (!all.is_empty()).then_some(all)
}

fn agent_calls(view: &View<'_>, agent: &str, calls: &[Call<'_>]) -> String {
    let shown: String = calls.iter().take(CALLS_SHOWN).map(|call| one_call(view, call)).collect();
    let rest = calls.len().saturating_sub(CALLS_SHOWN);
    let more = if rest > 0 { paragraph(&format!("{rest} more are in the JSON report.")) } else { String::new() };
    let count = phrase::plural(i64::try_from(calls.len()).unwrap_or(i64::MAX), "tool call");
    format!(
        "<details>\n<summary><span class=\"what\"><b>{}</b></span><span class=\"who\">{count}</span></summary>\n\
         <div class=\"inside\">\n{shown}{more}</div>\n</details>\n",
        text(agent)
    )
}

fn one_call(view: &View<'_>, Call { task, step }: &Call<'_>) -> String {
    let took = view.step_took(step).map(|took| format!(" · {}", phrase::duration(took))).unwrap_or_default();
    let class = if matches!(step.status.as_str(), "done" | "started") { "" } else { " class=\"alarm\"" };
    let pretty = step.input.as_ref().and_then(|input| serde_json::to_string_pretty(input).ok()).unwrap_or_default();
    let output = step.output.as_deref().map(|output| block("Result", output, RESULT_BYTES)).unwrap_or_default();
    format!(
        "<details class=\"call\">\n<summary><code>{}</code> <span class=\"args\">{}</span>\
         <span class=\"who\"><span{class}>{}</span>{took} · for {}</span></summary>\n{}{output}</details>\n",
        text(&step.name),
        text(&sheet::arguments(step, 160)),
        text(&sheet::status_text(step)),
        text(&label(task)),
        block("Arguments", &pretty, ARGUMENT_BYTES),
    )
}

fn block(title: &str, body: &str, max: usize) -> String {
    format!("<h4>{title}</h4>\n<pre><code>{}</code></pre>\n", text(&quote::excerpt(body, max)))
}

fn told_effects(view: &View<'_>) -> Option<String> {
    let told = effect::told(view);
    (!told.is_empty()).then(|| sheet::told_effects(&told).html())
}

fn about(view: &View<'_>) -> String {
    let run = &view.run.summary;
    let mut facts = vec![
        ("Run", run.id.to_string()),
        ("Session", run.session.to_string()),
        ("Team", format!("{} (version {})", run.team, run.team_version)),
        ("Coordinator", view.run.coordinator.clone()),
        ("Asked for by", run.created_by.clone()),
    ];
    facts.extend(run.input.iter().map(|input| ("Input", input.clone())));
    let times = [("Accepted", Some(run.created_at)), ("Started", run.started_at), ("Ended", run.finished_at)];
    facts.extend(times.into_iter().filter_map(|(name, at)| at.map(|at| (name, at.to_string()))));
    let fact = |(name, value): (&str, String)| format!("<dt>{name}</dt><dd>{}</dd>\n", quote::html_of_path(&value));
    format!("<dl class=\"facts\">\n{}</dl>\n", facts.into_iter().map(fact).collect::<String>())
}
