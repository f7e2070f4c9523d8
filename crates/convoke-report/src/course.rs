//! What a flow did, as a list in its order: phases, splits with their members, rounds, and what came of each.
//!
//! Rule: a split is told by its first members; what is beyond is counted. Start at [`blocks`]; [`said`] is one step in words, for
//! reports and the terminal alike.

use std::collections::BTreeMap;

use convoke_domain::flow::Wait;
use convoke_domain::flow::account::{Fact, FlowAccount, PhaseAccount, Stand, StepAccount};
use convoke_domain::flow::path;
use serde_json::Value;

use crate::ballot;
use crate::block::Block;
use crate::quote::one_line;
use crate::view::View;
use crate::{phrase, quote};

/// The most parts of one step that are listed.
pub(crate) const PARTS_SHOWN: usize = 30;
/// The most lines of the list.
const LINES_SHOWN: usize = 1_000;
/// The most characters of a title or a reason in a line.
const LINE_CHARS: usize = 160;

/// The course of the flow, then what each phase passed on.
pub(crate) fn blocks(view: &View<'_>) -> Vec<Block> {
    let Some(flow) = &view.run.flow else { return Vec::new() };
    let shown = shown(flow);
    let rest = flow.steps.len() + flow.more_steps - shown.iter().filter(|line| matches!(line, Shown::Step(_))).count();
    let mut lines: Vec<(usize, String)> = shown.iter().take(LINES_SHOWN).map(|line| line.told(view)).collect();
    if lines.is_empty() {
        return Vec::new();
    }
    if shown.len() > LINES_SHOWN || flow.more_steps > 0 {
        lines.push((0, format!("{} more are in the JSON report", phrase::number(rest.try_into().unwrap_or(i64::MAX)))));
    }
    let mut blocks = vec![Block::List(lines)];
    for phase in flow.phases.iter().filter(|phase| phase.summary.is_some()) {
        blocks.extend(passed_on(view, phase));
    }
    blocks
}

fn passed_on(view: &View<'_>, phase: &PhaseAccount) -> Vec<Block> {
    let took = phase
        .started_at
        .zip(phase.finished_at)
        .filter(|_| view.timed)
        .map(|(from, to)| phrase::duration(to.since(from)));
    let took = took.map(|took| format!(", which took {took}")).unwrap_or_default();
    let summary = phase.summary.as_deref().unwrap_or_default();
    let words = format!("Passed on from phase {}{took}:", name(&phase.name));
    if summary.trim().is_empty() {
        return vec![Block::Words(format!("{words} nothing."))];
    }
    vec![Block::Words(words), Block::Quote(summary.to_owned())]
}

/// A line of the list.
pub(crate) enum Shown<'a> {
    /// A step.
    Step(&'a StepAccount),
    /// So many parts of the step at this depth are left out.
    More(usize, u64),
}

impl Shown<'_> {
    /// How many steps it stands in.
    pub(crate) const fn depth(&self) -> usize {
        match self {
            Self::Step(step) => step.depth as usize,
            Self::More(depth, _) => *depth,
        }
    }

    fn told(&self, view: &View<'_>) -> (usize, String) {
        match self {
            Self::Step(step) => (step.depth as usize, line(view, step)),
            Self::More(depth, count) => (*depth, more(*count)),
        }
    }
}

/// How a number of parts that are left out reads.
pub(crate) fn more(count: u64) -> String {
    format!("… and {} more", phrase::count(count))
}

/// The steps that are listed: without values, and of many parts the first, those that failed always.
pub(crate) fn shown(flow: &FlowAccount) -> Vec<Shown<'_>> {
    let mut parts: BTreeMap<&str, (usize, u64, u32)> = BTreeMap::new();
    let (mut out, mut left_out): (Vec<Shown<'_>>, Option<&str>) = (Vec::new(), None);
    let totals: BTreeMap<&str, u32> =
        flow.steps.iter().filter_map(|step| Some((step.path.as_str(), unlisted(step)?))).collect();
    let mut open: Vec<(&str, usize)> = Vec::new();
    let close = |out: &mut Vec<Shown<'_>>, parts: &BTreeMap<&str, (usize, u64, u32)>, (path, depth): (&str, usize)| {
        let (_, hidden, _) = parts.get(path).copied().unwrap_or_default();
        let count = hidden + u64::from(totals.get(path).copied().unwrap_or(0));
        if count > 0 {
            out.push(Shown::More(depth + 1, count));
        }
    };
    for step in &flow.steps {
        while let Some((path, depth)) = open.last().copied().filter(|(path, _)| !path::is_below(&step.path, path)) {
            close(&mut out, &parts, (path, depth));
            open.pop();
        }
        if left_out.is_some_and(|above| path::is_below(&step.path, above)) || is_silent(step) {
            continue;
        }
        left_out = None;
        if let Some((above, _)) = open.last() {
            let (told, hidden, _) = parts.entry(above).or_default();
            if *told >= PARTS_SHOWN && step.state != Stand::Failed {
                *hidden += 1;
                left_out = Some(&step.path);
                continue;
            }
            *told += 1;
        }
        out.push(Shown::Step(step));
        open.push((&step.path, step.depth as usize));
    }
    while let Some(last) = open.pop() {
        close(&mut out, &parts, last);
    }
    out
}

/// Parts of a step that the record does not list.
fn unlisted(step: &StepAccount) -> Option<u32> {
    match &step.fact {
        Some(Fact::Split(split)) => Some(split.more_items).filter(|more| *more > 0),
        _ => None,
    }
}

fn is_silent(step: &StepAccount) -> bool {
    step.kind == "value" && step.fact.is_none() && step.state != Stand::Failed
}

fn line(view: &View<'_>, step: &StepAccount) -> String {
    let extent = view.extent(&step.path);
    let task = view.step_at(&step.path);
    let cost = match task {
        Some(task) => Some(view.cost_of(task)),
        None => (extent.tasks > 0).then(|| extent.cost.to_string()),
    };
    let took = extent.took.map(phrase::duration);
    let figures = [took, cost.filter(|_| extent.tasks > 0)].into_iter().flatten();
    [said(view, step)].into_iter().chain(figures).collect::<Vec<_>>().join(" · ")
}

/// A step in words: what it is, who did it, what came of it.
pub(crate) fn said(view: &View<'_>, step: &StepAccount) -> String {
    let again = if step.visit > 1 { format!(" (visit {})", step.visit) } else { String::new() };
    let by = view.step_at(&step.path).map(|task| format!(" by {}", name(&task.agent))).unwrap_or_default();
    let what = match step.kind.as_str() {
        "round" => format!("round {}", one_line(&step.name, 10)),
        "task" | "item" => format!("{}{again}{by}", name(&step.name)),
        kind => format!("{kind} {}{again}{by}", name(&step.name)),
    };
    let title = step.title.as_deref().map(|title| format!(": {}", plain(title))).unwrap_or_default();
    let outcome = outcome(step);
    let reason = step.reason.as_deref().filter(|_| !matches!(step.fact, Some(Fact::Gate(_))));
    let reason = reason.map(|reason| format!(" ({})", words(reason))).unwrap_or_default();
    format!("{what}{title} · {outcome}{reason}")
}

/// What came of a step.
pub(crate) fn outcome(step: &StepAccount) -> String {
    let state = step.state.as_str().to_owned();
    let Some(fact) = &step.fact else { return state };
    match fact {
        Fact::Split(split) if split.planning => "its items are being planned".into(),
        Fact::Split(split) => {
            let failed = if split.failed > 0 { format!(", {} failed", split.failed) } else { String::new() };
            let wait = match split.wait {
                Wait::All => String::new(),
                Wait::Any => ", one is enough".into(),
                Wait::Count => format!(", {} are enough", split.count),
            };
            format!("{} of {} completed{failed}{wait}", split.completed, split.items)
        }
        Fact::Loop(one) => format!("{state}, round {} of at most {}", one.round, one.max),
        Fact::Branch(0) => format!("{state}, no case held"),
        Fact::Branch(case) => format!("{state}, case {case}"),
        Fact::Vote(vote) => ballot::outcome(vote),
        Fact::Gate(gate) => match (&gate.open, &gate.back_to) {
            (true, _) => "open".into(),
            (false, Some(back)) => format!("closed, back to {}{}", back_name(back), reason_of(gate.reason.as_deref())),
            (false, None) => format!("closed{}", reason_of(gate.reason.as_deref())),
        },
        Fact::Merge(merge) => {
            let count = merge.disagreements.len() + merge.more_disagreements;
            let how = merge.how.replace('_', " ");
            let from =
                format!("{how} of {}", phrase::plural(merge.from.len().try_into().unwrap_or(i64::MAX), "result"));
            if count == 0 {
                from
            } else {
                format!("{from}, {}", phrase::plural(count.try_into().unwrap_or(i64::MAX), "disagreement"))
            }
        }
        Fact::Settle(settle) => match &settle.settled_by {
            Some(by) => format!("settled by {}: {}", plain(by), value(&settle.answer)),
            None => state,
        },
        Fact::Review(review) => {
            let rounds = phrase::plural(review.rounds.len().try_into().unwrap_or(i64::MAX), "round");
            let last = review.rounds.last().and_then(|round| round.verdict.as_deref());
            last.map_or(state, |verdict| format!("{} after {rounds}", verdict_word(verdict)))
        }
        Fact::Handoff(turns) => turns.iter().map(|turn| name(&turn.agent)).collect::<Vec<_>>().join(" → "),
        Fact::Delegate(judged) => {
            format!("{state}, {}", phrase::plural(judged.len().try_into().unwrap_or(i64::MAX), "result"))
        }
        Fact::Agreement(share) => format!("{} agree", percent(*share)),
    }
}

fn back_name(back: &str) -> String {
    if back.contains(' ') { back.to_owned() } else { name(back) }
}

fn reason_of(reason: Option<&str>) -> String {
    reason.map(|reason| format!(": {}", words(reason))).unwrap_or_default()
}

/// One line that others wrote, with its names between backticks where they are paired.
pub(crate) fn words(text: &str) -> String {
    let line = one_line(text, LINE_CHARS);
    if quote::spans(&line).is_some() { line } else { plain(&line) }
}

/// What reviewers say together.
pub(crate) fn verdict_word(verdict: &str) -> &str {
    match verdict {
        "accept" => "accepted",
        "revise" => "to be revised",
        "reject" => "rejected",
        other => other,
    }
}

/// A name between backticks, whatever is in it.
pub(crate) fn name(name: &str) -> String {
    format!("`{}`", plain(name))
}

/// One line that cannot open or close a name between backticks.
pub(crate) fn plain(text: &str) -> String {
    let line = one_line(text, LINE_CHARS).replace('`', "'");
    if line.is_empty() { "–".into() } else { line }
}

/// A value on one line.
pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::String(text) => plain(text),
        other => plain(&other.to_string()),
    }
}

/// `67 %`.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}
