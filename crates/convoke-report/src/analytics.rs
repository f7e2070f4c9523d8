//! How a run went, in figures with their targets; ratings, approvals and handoffs as tables.
//!
//! Rule: a figure is told with what it is made of, and one that cannot be computed is left out. Start at [`figures`].

use std::time::Duration;

use convoke_domain::analytics::{Agreement, Cost, Delays, Flow, RunAnalytics, target};
use convoke_domain::id::TaskId;
use convoke_domain::record::{ApprovalRecord, RatingRecord, RunRecord};

use crate::phrase;
use crate::quote::one_line;
use crate::table::{Cell, Table};
use crate::view::{View, label};

/// The most characters of a note, a reason or arguments in a table.
const CELL: usize = 200;

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What it is called.
    pub name: &'static str,
    /// How much it is.
    pub value: String,
    /// What the sources of Convoke aim at, and whether it is met.
    pub target: Option<(String, bool)>,
    /// What it is made of.
    pub what: String,
}

impl Figure {
    fn new(name: &'static str, value: String, what: String) -> Self {
        Self { name, value, target: None, what }
    }

    fn aims(self, words: &str, met: bool) -> Self {
        Self { target: Some((words.to_owned(), met)), ..self }
    }

    /// The target in words: `over 70%: met`.
    pub fn aim(&self) -> String {
        let told = |(words, met): &(String, bool)| format!("{words}: {}", if *met { "met" } else { "missed" });
        self.target.as_ref().map(told).unwrap_or_default()
    }
}

/// How a run went; nothing if its record has no figures.
pub fn figures(run: &RunRecord) -> Vec<Figure> {
    of_view(&View::new(run))
}

/// Without times, those figures that two runs of one script share.
fn of_view(view: &View<'_>) -> Vec<Figure> {
    let Some(told) = &view.run.analytics else { return Vec::new() };
    let mut figures = Vec::new();
    if let Some(flow) = told.flow.as_ref().filter(|_| view.timed) {
        figures.extend(times(flow));
    }
    figures.extend(agreement(&told.agreement));
    figures.extend(success(told));
    figures.extend(costs(&told.cost));
    if view.timed {
        figures.extend(delays(told));
    }
    figures.extend(retries(told, view.timed));
    figures
}

fn span(ms: i64) -> String {
    phrase::duration(Duration::from_millis(ms.unsigned_abs()))
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

fn times(flow: &Flow) -> Vec<Figure> {
    let mut figures = Vec::new();
    let people = match flow.people_ms {
        0 => String::new(),
        ms => format!(", {} more in which people alone were awaited", span(ms)),
    };
    if let (Some(factor), Some(saved), Some(best)) = (flow.speed_up, flow.time_saved, flow.best_speed_up) {
        let [serial, working, shortest] = [flow.serial_ms, flow.working_ms, flow.shortest_ms].map(span);
        let what = format!(
            "one after another {serial}, as it was {working}{people}; the plan allowed {best:.2}×, which is {shortest}"
        );
        let sooner = if saved < 0.0 { "later" } else { "sooner" };
        let value = format!("{factor:.2}×, {} {sooner}", percent(saved.abs()));
        figures.push(Figure::new("speed-up", value, what).aims("30% sooner", saved >= target::TIME_SAVED));
    }
    if let Some(share) = flow.utilization {
        let [busy, allowed] = [flow.busy_ms, flow.allowed_ms].map(span);
        let what = format!(
            "{busy} of calls in {allowed} of agent time that plan and capacity allowed; {} at once",
            flow.widest
        );
        figures.push(Figure::new("parallel use", percent(share), what).aims("over 70%", share > target::UTILIZATION));
    }
    if let Some(share) = flow.overhead.share {
        let own = &flow.overhead;
        let [all, between, queued, other] = [own.total_ms, own.between_calls_ms, own.queued_ms, own.other_ms].map(span);
        let what = format!("{all} without any call: {between} between calls, {queued} until a claim, {other} else");
        figures.push(Figure::new("coordination", percent(share), what).aims("under 10%", share < target::OVERHEAD));
    }
    figures
}

fn agreement(agreement: &Agreement) -> Option<Figure> {
    let rate = agreement.rate?;
    let poll = |poll: &convoke_domain::analytics::Poll| {
        let silent = if poll.silent > 0 { format!(", {} silent", poll.silent) } else { String::new() };
        let round = if poll.round > 1 { format!(" {}", poll.round) } else { String::new() };
        format!("{}{round}: {} with, {} against{silent}", one_line(&poll.stage, 40), poll.with, poll.against)
    };
    let what = agreement.polls.iter().map(poll).collect::<Vec<_>>().join("; ");
    let last = agreement.last_rate.filter(|_| agreement.polls.len() > 1);
    let last = last.map(|rate| format!(", at last {}", percent(rate))).unwrap_or_default();
    let met = agreement.last_rate.unwrap_or(rate) > target::AGREEMENT;
    Some(Figure::new("agreement", format!("{}{last}", percent(rate)), what).aims("over 85%", met))
}

fn success(told: &RunAnalytics) -> Option<Figure> {
    let sum = &told.success;
    let rate = sum.rate?;
    let counts = [(sum.failed, "failed"), (sum.cancelled, "called off"), (sum.open, "open")];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}"));
    let what = format!("{} completed{}", phrase::plural(sum.completed, "task"), counts.collect::<String>());
    Some(Figure::new("success", percent(rate), what))
}

fn costs(cost: &Cost) -> Option<Figure> {
    let each = cost.cost_per_outcome_usd?;
    let tokens = cost.tokens_per_outcome.map(|tokens| format!(", {} each", phrase::plural(tokens, "token")));
    let beside =
        cost.beside_work.map(|share| format!("; {} of the cost is not members' completed work", percent(share)));
    let unpriced = match cost.unpriced_calls {
        0 => String::new(),
        calls => format!("; {} not in it", phrase::plural(calls, "unpriced call")),
    };
    let what = format!(
        "all of {} over {}{}{}{unpriced}",
        cost.cost_usd,
        phrase::plural(cost.outcomes, "outcome"),
        tokens.unwrap_or_default(),
        beside.unwrap_or_default()
    );
    Some(Figure::new("cost per outcome", each.to_string(), what))
}

fn delays(told: &RunAnalytics) -> impl Iterator<Item = Figure> {
    let minutes = (target::DECISION_MS, "under 2 min");
    let all = [
        ("decided by people", &told.answers_by_people, Some(minutes), "question"),
        ("decided by agents", &told.answers_by_agents, Some(minutes), "question"),
        ("approvals", &told.approvals, Some(minutes), "approval"),
        ("claims", &told.pickup, Some((target::READY_MS, "under 50 ms")), "task"),
        ("spawned agents", &told.spawn, Some((target::SPAWN_MS, "under 500 ms")), "agent"),
        ("messages given", &told.messages, None, "message"),
    ];
    all.map(|(name, delays, aim, noun)| delay(name, delays, aim, noun)).into_iter().flatten()
}

fn delay(name: &'static str, delays: &Delays, aim: Option<(i64, &str)>, noun: &str) -> Option<Figure> {
    let (median, longest, mean) = (delays.median_ms?, delays.longest_ms?, delays.mean_ms?);
    let open = if delays.open > 0 { format!(", {} open", delays.open) } else { String::new() };
    let what = format!("{}{open}; mean {}, longest {}", phrase::plural(delays.count, noun), span(mean), span(longest));
    let figure = Figure::new(name, span(median), what);
    Some(match aim {
        Some((most, words)) => figure.aims(words, median < most),
        None => figure,
    })
}

/// How often a process stopped on the way would tell two runs of one script apart.
fn retries(told: &RunAnalytics, timed: bool) -> Option<Figure> {
    let own = &told.retries;
    let interruptions = if timed { own.interruptions } else { 0 };
    let counts = [(own.attempts, "attempt"), (own.calls, "call"), (interruptions, "interruption")];
    let told: Vec<_> =
        counts.into_iter().filter(|(count, _)| *count > 0).map(|(n, noun)| phrase::plural(n, noun)).collect();
    let sum = own.attempts + own.calls;
    let note = if interruptions > 0 { "; while no process worked, time counts as coordination" } else { "" };
    (!told.is_empty()).then(|| Figure::new("done again", phrase::number(sum), format!("{}{note}", told.join(", "))))
}

/// The figures as a table.
pub(crate) fn table(view: &View<'_>) -> Option<Table> {
    let figures = of_view(view);
    let mut table = Table::new(&["figure", "value", "target", "made of"]);
    table.rows = figures
        .into_iter()
        .map(|figure| {
            let aim = figure.aim();
            let is_missed = figure.target.as_ref().is_some_and(|(_, met)| !met);
            vec![
                Cell::Text(figure.name.to_owned()),
                Cell::Number(figure.value),
                if is_missed { Cell::Alarm(aim) } else { Cell::Text(aim) },
                Cell::Text(figure.what),
            ]
        })
        .collect();
    (!table.rows.is_empty()).then_some(table)
}

/// What a person rated, in words.
pub fn rated(run: &RunRecord, rating: &RatingRecord) -> String {
    let task = rating.task.and_then(|id| run.tasks.iter().find(|task| task.id == id));
    match (&rating.agent, rating.task) {
        (None, _) => "the run".to_owned(),
        (Some(agent), None) => format!("the part of {}", one_line(agent, 80)),
        (Some(agent), Some(_)) => {
            format!(
                "{} by {}",
                task.map_or_else(|| "a task".into(), |task| one_line(&label(task), 80)),
                one_line(agent, 80)
            )
        }
    }
}

/// What people think of the run and the work in it.
pub(crate) fn ratings(view: &View<'_>) -> Option<Table> {
    let mut table = Table::new(&["stars", "of", "by", "note"]);
    for rating in &view.run.ratings {
        table.rows.push(vec![
            Cell::Number(format!("{} of 5", rating.stars)),
            Cell::Text(rated(view.run, rating)),
            Cell::Code(rating.by.clone()),
            Cell::Text(one_line(&rating.note, 2_000)),
        ]);
    }
    (!table.rows.is_empty()).then_some(table)
}

/// Where a task stands in the plan: an order that is the same in two runs of one script.
fn place(view: &View<'_>, id: TaskId) -> usize {
    view.run.tasks.iter().position(|task| task.id == id).unwrap_or(usize::MAX)
}

/// Tool calls that needed leave, and who gave it.
pub(crate) fn approvals(view: &View<'_>) -> Option<Table> {
    let mut table = Table::new(&["tool", "arguments", "agent", "why", "stands", "by", "note", "took"]);
    let mut approvals: Vec<_> = view.run.approvals.iter().collect();
    approvals.sort_by_key(|approval| (place(view, approval.task), approval.id));
    table.rows = approvals.into_iter().map(|approval| approval_row(view, approval)).collect();
    let table = if view.timed { table } else { table.without(&["took"]) };
    (!table.rows.is_empty()).then_some(table)
}

fn approval_row(view: &View<'_>, approval: &ApprovalRecord) -> Vec<Cell> {
    let by: Vec<_> = approval.votes.iter().map(|vote| format!("{} ({})", vote.by, vote.choice)).collect();
    let by = match (by.is_empty(), &approval.decided_by) {
        (true, Some(who)) => who.clone(),
        _ => by.join(", "),
    };
    let state = match approval.needed {
        ..=1 => approval.state.clone(),
        needed => format!("{}, {needed} needed", approval.state),
    };
    let is_good = matches!(approval.state.as_str(), "approved" | "executed");
    let mut why = one_line(approval.reason.as_deref().unwrap_or_default(), CELL);
    if let Some(sure) = approval.confidence {
        why = format!("{why} ({sure}% sure)").trim().to_owned();
    }
    let until = approval.decided_at.unwrap_or(view.until);
    vec![
        Cell::Code(approval.tool.clone()),
        Cell::Code(one_line(&approval.args, CELL)),
        Cell::Text(approval.agent.clone()),
        Cell::Text(why),
        if is_good { Cell::Text(state) } else { Cell::Alarm(state) },
        Cell::Text(by),
        Cell::Text(one_line(approval.note.as_deref().unwrap_or_default(), CELL)),
        Cell::Number(phrase::duration(until.since(approval.created_at))),
    ]
}

/// Who offered which task to whom, and what became of it.
pub(crate) fn handoffs(view: &View<'_>) -> Option<Table> {
    let mut table = Table::new(&["task", "from", "to", "stands", "why", "answer", "took"]);
    let mut handoffs: Vec<_> = view.run.handoffs.iter().collect();
    handoffs.sort_by_key(|handoff| (place(view, handoff.task), handoff.id));
    for handoff in handoffs {
        let task = view.run.tasks.iter().find(|task| task.id == handoff.task);
        let took = handoff.settled_at.map(|at| phrase::duration(at.since(handoff.requested_at)));
        table.rows.push(vec![
            Cell::Text(task.map_or_else(|| "–".into(), label)),
            Cell::Text(handoff.from.clone()),
            Cell::Text(handoff.to.clone()),
            Cell::Text(handoff.state.clone()),
            Cell::Text(one_line(&handoff.reason, CELL)),
            Cell::Text(one_line(handoff.answer.as_deref().unwrap_or_default(), CELL)),
            Cell::Number(took.unwrap_or_else(|| "–".into())),
        ]);
    }
    let table = if view.timed { table } else { table.without(&["took"]) };
    (!table.rows.is_empty()).then_some(table)
}
