//! The tables of a report: plan, verdicts, timeline, evidence, costs, budgets, effects.
//!
//! Rule: each is made once, for Markdown and HTML alike. Columns that tell times are left out where the view has none.

use std::collections::BTreeMap;
use std::time::Duration;

use convoke_domain::budget::{Budget, Unit, WARN_AT_PERCENT};
use convoke_domain::money::Money;
use convoke_domain::pattern::Stage;
use convoke_domain::pattern::plan::Plan;
use convoke_domain::record::{StepRecord, TaskRecord, UsageRecord};
use convoke_domain::transcript::Usage;

use crate::effect::Effect;
use crate::phrase;
use crate::quote::one_line;
use crate::table::{Cell, Table};
use crate::validation::{Stand, Vote};
use crate::view::{View, full_name, is_unpriced, label};

/// The most characters of a call's arguments that a table shows.
const ARGUMENT_CHARS: usize = 160;
/// The most characters of a task's name in the timeline.
const NAME_CHARS: usize = 70;
/// The most characters of an error that a table shows.
const ERROR_CHARS: usize = 160;
/// The most tool calls of one agent that a report shows; the JSON has them all.
pub(crate) const CALLS_SHOWN: usize = 200;

/// Columns that tell times.
const TIMES: [&str; 4] = ["start", "end", "took", "dispatched"];

fn timed(view: &View<'_>, table: Table) -> Table {
    if view.timed { table } else { table.without(&TIMES) }
}

fn span_cell(span: Option<Duration>) -> Cell {
    Cell::Number(span.map_or_else(|| "–".into(), phrase::duration))
}

/// The coordinator's plan, where it made one as data.
pub(crate) fn plan(view: &View<'_>) -> Option<Table> {
    let outputs = view.stage(Stage::Plan).filter_map(|task| task.output.as_deref());
    let plan: Plan = outputs.filter_map(|output| serde_json::from_str(output).ok()).next()?;
    let mut table = Table::new(&["task", "title", "for", "after"]);
    for task in plan.tasks {
        let whom = task.assignee.unwrap_or_else(|| format!("whoever can: {}", task.needs.join(", ")));
        let after = if task.depends_on.is_empty() { "–".into() } else { task.depends_on.join(", ") };
        table.rows.push(vec![Cell::Code(task.key), Cell::Text(task.title), Cell::Text(whom), Cell::Text(after)]);
    }
    Some(table)
}

/// One round of verdicts.
pub(crate) fn verdicts(votes: &[Vote<'_>]) -> Table {
    let mut table = Table::new(&["member", "verdict", "comment"]);
    for vote in votes {
        let word = vote.stand.as_str().to_owned();
        let verdict = if vote.stand == Stand::Disagrees { Cell::Alarm(word) } else { Cell::Text(word) };
        table.rows.push(vec![Cell::Text(vote.agent.to_owned()), verdict, Cell::Text(vote.comment.clone())]);
    }
    table
}

/// All tasks: by start where times are told, else in order of creation.
pub(crate) fn timeline(view: &View<'_>) -> Table {
    let mut tasks: Vec<&TaskRecord> = view.run.tasks.iter().collect();
    if view.timed {
        tasks.sort_by_key(|task| (task.started_at.is_none(), task.started_at));
    }
    let mut table =
        Table::new(&["start", "end", "took", "stage", "task", "agent", "state", "attempts", "tokens", "cost"]);
    table.rows = tasks.into_iter().map(|task| timeline_row(view, task)).collect();
    timed(view, table)
}

fn timeline_row(view: &View<'_>, task: &TaskRecord) -> Vec<Cell> {
    let span = view.span(task);
    let offset = |at: Option<Duration>| at.map_or_else(|| "–".into(), |at| format!("+{}", phrase::duration(at)));
    let is_bad = matches!(task.state.as_str(), "failed" | "waiting" | "blocked");
    let stage = if task.round > 1 { format!("{}, round {}", task.stage, task.round) } else { task.stage.clone() };
    vec![
        Cell::Number(offset(span.map(|(from, _)| from))),
        Cell::Number(offset(span.map(|(_, to)| to).filter(|_| task.finished_at.is_some()))),
        span_cell(view.took(task)),
        Cell::Text(stage),
        Cell::Text(one_line(&full_name(task), NAME_CHARS)),
        Cell::Text(task.agent.clone()),
        if is_bad { Cell::Alarm(task.state.clone()) } else { Cell::Text(task.state.clone()) },
        Cell::Number(task.attempts.len().to_string()),
        Cell::Number(phrase::number(task.tokens)),
        Cell::Number(view.cost_of(task)),
    ]
}

/// A tool call with the task it was made for.
pub(crate) struct Call<'a> {
    /// The task.
    pub(crate) task: &'a TaskRecord,
    /// The step.
    pub(crate) step: &'a StepRecord,
}

/// Tool calls by agent, agents in the order in which they first appear.
pub(crate) fn calls<'a>(view: &View<'a>) -> Vec<(&'a str, Vec<Call<'a>>)> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut agents: Vec<(&str, Vec<Call<'_>>)> = Vec::new();
    for task in &view.run.tasks {
        for attempt in &task.attempts {
            let made = attempt.steps.iter().filter(|step| step.kind == "tool").map(|step| Call { task, step });
            for call in made {
                let place = *places.entry(&attempt.agent).or_insert_with(|| {
                    agents.push((&attempt.agent, Vec::new()));
                    agents.len() - 1
                });
                agents[place].1.push(call);
            }
        }
    }
    agents
}

/// One agent's tool calls.
pub(crate) fn evidence(view: &View<'_>, calls: &[Call<'_>]) -> Table {
    let mut table = Table::new(&["task", "tool", "arguments", "status", "took"]);
    for Call { task, step } in calls.iter().take(CALLS_SHOWN) {
        table.rows.push(vec![
            Cell::Text(label(task)),
            Cell::Code(step.name.clone()),
            Cell::Code(arguments(step, ARGUMENT_CHARS)),
            status(step),
            span_cell(view.step_took(step)),
        ]);
    }
    timed(view, table)
}

/// A call's arguments on one line.
pub(crate) fn arguments(step: &StepRecord, max: usize) -> String {
    step.input.as_ref().map(|input| one_line(&input.to_string(), max)).unwrap_or_default()
}

fn status(step: &StepRecord) -> Cell {
    let text = status_text(step);
    let is_bad = !matches!(step.status.as_str(), "done" | "started");
    if is_bad { Cell::Alarm(text) } else { Cell::Text(text) }
}

/// How a step stands, with how often it was tried.
pub(crate) fn status_word(step: &StepRecord) -> String {
    let word = one_line(phrase::step_status(&step.status), 40);
    if step.tries > 1 { format!("{word}, {} tries", step.tries) } else { word }
}

/// The same with what it failed of.
pub(crate) fn status_text(step: &StepRecord) -> String {
    let mut text = status_word(step);
    if let Some(error) = &step.error {
        text.push_str(&format!(": {}", one_line(error, ERROR_CHARS)));
    }
    text
}

/// Bills by agent and model, with their sum. Columns in which all is zero are left out.
pub(crate) fn costs(view: &View<'_>) -> Table {
    let head =
        ["agent", "model", "calls", LOST, "tokens in", CACHED, WRITTEN, "tokens out", REASONING, "price", "cost"];
    let mut table = Table::new(&head);
    let (rows, sum) = (view.usage(), view.bills());
    table.rows = rows.iter().map(|row| cost_row(row)).collect();
    let is_simulated = rows.iter().all(|row| row.tariff == "simulated");
    let cost = match (sum.cost, sum.unpriced) {
        (cost, 0) => phrase::exact(cost),
        (Money::ZERO, _) => phrase::cost(Money::ZERO, sum.unpriced),
        (cost, unpriced) => format!("{} + {}", phrase::exact(cost), phrase::plural(unpriced, "unpriced call")),
    };
    let names = [Cell::Text("total".into()), Cell::Text(String::new())];
    let price = [Cell::Text(if is_simulated { "simulated".into() } else { String::new() }), Cell::Number(cost)];
    table.total = Some(names.into_iter().chain(counts(sum.calls, sum.lost, &sum.usage)).chain(price).collect());
    let optional = [
        (LOST, sum.lost == 0),
        (CACHED, sum.usage.cache_read_tokens == 0),
        (WRITTEN, sum.usage.cache_write_tokens == 0),
        (REASONING, sum.usage.reasoning_tokens == 0),
    ];
    table.without(&optional.into_iter().filter(|(_, is_zero)| *is_zero).map(|(name, _)| name).collect::<Vec<_>>())
}

const LOST: &str = "lost";
const CACHED: &str = "from cache";
const WRITTEN: &str = "to cache";
const REASONING: &str = "reasoning";

/// What a call that was lost cost.
pub(crate) fn lost_note(view: &View<'_>) -> Option<&'static str> {
    let note = "A call whose outcome is not known counts as lost and is billed at the most it could cost.";
    (view.bills().lost > 0).then_some(note)
}

fn cost_row(row: &UsageRecord) -> Vec<Cell> {
    let cost = if is_unpriced(row) { "unpriced".to_owned() } else { phrase::exact(row.cost_usd) };
    let names = [Cell::Text(row.agent.clone()), Cell::Code(row.model.clone())];
    let price = [Cell::Text(row.tariff.clone()), Cell::Number(cost)];
    names.into_iter().chain(counts(row.calls, row.lost_calls, &row.usage)).chain(price).collect()
}

fn counts(calls: i64, lost: i64, usage: &Usage) -> [Cell; 7] {
    let Usage { input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens } = *usage;
    let [read, written] = [cache_read_tokens, cache_write_tokens].map(phrase::count);
    let [input, output, reasoning] = [input_tokens, output_tokens, reasoning_tokens].map(phrase::count);
    [phrase::number(calls), phrase::number(lost), input, read, written, output, reasoning].map(Cell::Number)
}

/// Budgets the run fell under: dollars, and tokens where they are capped. What others spent of a wider one would tell two
/// runs apart, so it is left out without times.
pub(crate) fn budgets(view: &View<'_>) -> Table {
    let mut table = Table::new(&["budget", "unit", "cap", "used", "reserved", "left", "overrun", "stands"]);
    for budget in &view.run.budgets {
        let tokens = budget.cap_tokens.map(|_| Unit::Tokens);
        table.rows.extend([Unit::Cost].into_iter().chain(tokens).map(|unit| budget_row(view, budget, unit)));
    }
    table
}

fn budget_row(view: &View<'_>, budget: &Budget, unit: Unit) -> Vec<Cell> {
    let is_own = view.timed || budget.scope.starts_with("run:");
    let level = budget.scope.split(':').next().unwrap_or_default();
    let (unit_name, cap, [used, reserved]) = match unit {
        Unit::Cost => (
            "dollars",
            budget.cap_cost.map(Money::as_nanos),
            [budget.settled, budget.reserved].map(|amount| amount.cost.as_nanos()),
        ),
        Unit::Tokens => ("tokens", budget.cap_tokens, [budget.settled, budget.reserved].map(|amount| amount.tokens)),
    };
    let told = |amount: i64| match unit {
        Unit::Cost => Money::from_nanos(amount).to_string(),
        Unit::Tokens => phrase::number(amount),
    };
    let left = cap.map(|cap| cap.saturating_sub(used).saturating_sub(reserved));
    let overrun = Some(budget.overrun).filter(|overrun| unit == Unit::Cost && *overrun > Money::ZERO);
    let own = |text: String| Cell::Number(if is_own { text } else { "–".into() });
    vec![
        Cell::Code(if view.timed { budget.scope.clone() } else { level.to_owned() }),
        Cell::Text(unit_name.into()),
        Cell::Number(cap.map_or_else(|| "none".into(), told)),
        own(told(used)),
        own(told(reserved)),
        own(left.map_or_else(|| "no limit".into(), |left| told(left.max(0)))),
        own(overrun.map_or_else(|| "–".into(), phrase::exact)),
        if is_own { standing(cap, left, overrun) } else { Cell::Text("–".into()) },
    ]
}

fn standing(cap: Option<i64>, left: Option<i64>, overrun: Option<Money>) -> Cell {
    let is_low =
        |left: i64| cap.is_some_and(|cap| left.saturating_mul(100) <= cap.saturating_mul(100 - WARN_AT_PERCENT));
    match left {
        _ if overrun.is_some() => Cell::Alarm("overrun".into()),
        Some(..=0) => Cell::Alarm("used up".into()),
        Some(left) if is_low(left) => Cell::Alarm(format!("{WARN_AT_PERCENT}% in use")),
        _ => Cell::Text("within".into()),
    }
}

/// Tool calls whose outcome a person must tell.
pub(crate) fn open_effects(view: &View<'_>, effects: &[Effect<'_>]) -> Table {
    let mut table = Table::new(&["tool", "arguments", "task", "dispatched", "effect"]);
    for Effect { record, task, step } in effects {
        table.rows.push(vec![
            Cell::Code(record.tool.clone()),
            Cell::Code(step.map(|step| arguments(step, ARGUMENT_CHARS)).unwrap_or_default()),
            Cell::Text(task.map_or_else(|| "–".into(), label)),
            Cell::Text(record.dispatched_at.to_string()),
            Cell::Code(record.key.clone()),
        ]);
    }
    timed(view, table)
}

/// Tool calls whose outcome a person told.
pub(crate) fn told_effects(effects: &[Effect<'_>]) -> Table {
    let mut table = Table::new(&["tool", "task", "outcome", "told by", "note"]);
    for Effect { record, task, .. } in effects {
        table.rows.push(vec![
            Cell::Code(record.tool.clone()),
            Cell::Text(task.map_or_else(|| "–".into(), label)),
            Cell::Text(record.state.clone()),
            Cell::Text(record.resolved_by.clone().unwrap_or_default()),
            Cell::Text(record.note.as_deref().map(|note| one_line(note, ERROR_CHARS)).unwrap_or_default()),
        ]);
    }
    table
}
