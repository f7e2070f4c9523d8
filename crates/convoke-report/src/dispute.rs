//! Disagreement and how it was settled, reviews, gates, who had control, and how far members agreed round by round.
//!
//! Rule: every position and every comment is told with who holds it. Start at [`settled`].

use convoke_domain::flow::account::{Fact, Judged, MergeFact, ReviewFact, SettleFact, Stand, StepAccount};
use convoke_domain::merge::Position;

use crate::block::Block;
use crate::course::{name, percent, plain, value, verdict_word, words};
use crate::quote::one_line;
use crate::table::{Cell, Table};
use crate::view::View;

/// The most characters of a comment or a reason in a table.
const COMMENT_CHARS: usize = 1_000;
/// The most characters of a position.
const POSITION_CHARS: usize = 300;
/// The most rows of one table.
const ROWS_SHOWN: usize = 200;

fn facts<'a>(view: &View<'a>) -> impl Iterator<Item = (&'a StepAccount, &'a Fact)> {
    let steps = view.run.flow.iter().flat_map(|flow| &flow.steps);
    steps.filter_map(|step| Some((step, step.fact.as_ref()?)))
}

/// What was settled, and where merged results differ.
pub(crate) fn settled(view: &View<'_>) -> Vec<Block> {
    let told = facts(view).flat_map(|(step, fact)| match fact {
        Fact::Settle(settle) => settlement(view, step, settle),
        Fact::Merge(merge) if !merge.disagreements.is_empty() || !merge.missing.is_empty() => merged(step, merge),
        _ => Vec::new(),
    });
    told.collect()
}

fn settlement(view: &View<'_>, step: &StepAccount, settle: &SettleFact) -> Vec<Block> {
    // A run whose flow did not get past this step was handed to people; only they complete it then.
    let by_person = view.run.summary.state == "completed" && step.state != Stand::Failed;
    let how = match (settle.settled_by.as_deref(), settle.positions.len()) {
        (Some("agreement"), 0 | 1) => format!("All who answered agree: {}.", value(&settle.answer)),
        (Some("agreement"), _) => format!("Enough of them agree: {}.", value(&settle.answer)),
        (Some(by), _) => format!("Settled by {}: {}.", plain(by), value(&settle.answer)),
        (None, _) if by_person => "Settled by a person, who closed the run: the result above is theirs.".into(),
        (None, 0) => "It is not settled.".into(),
        (None, _) => format!("It is not settled{}.", reason(step.reason.as_deref())),
    };
    let why = settle.reason.as_deref().filter(|_| settle.settled_by.as_deref() != Some("agreement"));
    let why = why.map(|why| format!(" Why: {}.", one_line(why, COMMENT_CHARS).replace('`', "'").trim_end_matches('.')));
    let agreement =
        settle.agreement.map(|share| format!(" {} of those who were asked had said the same.", percent(share)));
    let mut blocks = vec![
        Block::Heading(name(&step.path)),
        Block::Words(format!("{how}{}{}", why.unwrap_or_default(), agreement.unwrap_or_default())),
    ];
    if settle.positions.len() > 1 {
        blocks.push(Block::Table(positions(&settle.positions, None)));
    }
    blocks
}

fn reason(reason: Option<&str>) -> String {
    reason.map(|reason| format!(": {}", words(reason))).unwrap_or_default()
}

fn positions(all: &[Position], at: Option<&str>) -> Table {
    let mut table = Table::new(&["about", "position", "who"]);
    for position in all.iter().take(ROWS_SHOWN) {
        table.rows.push(position_row(at.unwrap_or_default(), position, false));
    }
    if at.is_none() { table.without(&["about"]) } else { table }
}

fn position_row(about: &str, position: &Position, is_taken: bool) -> Vec<Cell> {
    let said = match &position.value {
        serde_json::Value::Null => "(left out)".to_owned(),
        serde_json::Value::String(text) => one_line(text, POSITION_CHARS),
        other => one_line(&other.to_string(), POSITION_CHARS),
    };
    let said = if is_taken { format!("{said} (taken)") } else { said };
    vec![Cell::Code(about.to_owned()), Cell::Text(said), Cell::Text(one_line(&position.agents.join(", "), 400))]
}

fn merged(step: &StepAccount, merge: &MergeFact) -> Vec<Block> {
    let mut words = format!("Merged by {} from {}.", merge.how.replace('_', " "), names(&merge.from));
    if !merge.missing.is_empty() {
        words.push_str(&format!(" Without a result: {}.", names(&merge.missing)));
    }
    if merge.more_disagreements > 0 {
        words.push_str(&format!(" {} more disagreements are not listed.", merge.more_disagreements));
    }
    let mut blocks = vec![Block::Heading(name(&step.path)), Block::Words(words)];
    let mut table = Table::new(&["about", "position", "who"]);
    for one in &merge.disagreements {
        let about = if one.path.is_empty() { "(the whole)" } else { &one.path };
        for (place, position) in one.positions.iter().enumerate() {
            table.rows.push(position_row(about, position, one.settled && place == 0));
        }
    }
    table.rows.truncate(ROWS_SHOWN);
    if !table.rows.is_empty() {
        blocks.push(Block::Table(table));
    }
    blocks
}

fn names(all: &[String]) -> String {
    if all.is_empty() {
        "nobody".into()
    } else {
        all.iter().take(30).map(|one| name(one)).collect::<Vec<_>>().join(", ")
    }
}

/// Every round of every review.
pub(crate) fn reviews(view: &View<'_>) -> Vec<Block> {
    let told = facts(view).flat_map(|(step, fact)| match fact {
        Fact::Review(review) => review_blocks(step, review),
        _ => Vec::new(),
    });
    told.collect()
}

fn review_blocks(step: &StepAccount, review: &ReviewFact) -> Vec<Block> {
    let author = review.author.as_deref().map(|author| format!(" of the work of {}", name(author))).unwrap_or_default();
    let mut blocks = vec![Block::Heading(format!("{}{author}", name(&step.path)))];
    for round in &review.rounds {
        let verdict = round.verdict.as_deref().map_or("not decided yet", verdict_word);
        let revised = if round.revised { ", and it was revised" } else { "" };
        blocks.push(Block::Words(format!("Round {}: {verdict}{revised}.", round.round)));
        blocks.push(Block::Table(judged("reviewer", &round.verdicts)));
    }
    blocks
}

fn judged(who: &'static str, all: &[Judged]) -> Table {
    let mut table = Table::new(&[who, "verdict", "comments"]);
    for one in all.iter().take(ROWS_SHOWN) {
        let said = one.verdict.clone().unwrap_or_else(|| "none".into()).replace('_', " ");
        let verdict = match said.as_str() {
            "accept" | "none" => Cell::Text(said),
            _ => Cell::Alarm(said),
        };
        table.rows.push(vec![Cell::Text(one.by.clone()), verdict, Cell::Text(one_line(&one.comments, COMMENT_CHARS))]);
    }
    table
}

/// Every try of every gate.
pub(crate) fn gates(view: &View<'_>) -> Vec<Block> {
    let mut table = Table::new(&["gate", "try", "was", "why", "then"]);
    for (step, fact) in facts(view) {
        let Fact::Gate(gate) = fact else { continue };
        let then = match (gate.open, &gate.back_to) {
            (true, _) => "on".to_owned(),
            (false, Some(back)) => format!("back to {back}"),
            (false, None) => step.state.as_str().to_owned(),
        };
        table.rows.push(vec![
            Cell::Code(step.path.clone()),
            Cell::Number(step.visit.to_string()),
            if gate.open { Cell::Text("open".into()) } else { Cell::Alarm("closed".into()) },
            Cell::Text(gate.reason.as_deref().map(|why| one_line(why, POSITION_CHARS)).unwrap_or_default()),
            Cell::Text(then),
        ]);
    }
    table.rows.truncate(ROWS_SHOWN);
    if table.rows.is_empty() { Vec::new() } else { vec![Block::Table(table)] }
}

/// Chains of handoffs, and what was said of delegated work.
pub(crate) fn control(view: &View<'_>) -> Vec<Block> {
    let told = facts(view).flat_map(|(step, fact)| match fact {
        Fact::Handoff(turns) => {
            let mut table = Table::new(&["turn", "who", "then", "why"]);
            for (place, turn) in turns.iter().enumerate() {
                let then = match (turn.status.as_deref(), &turn.to) {
                    (Some("done"), _) => "was done".to_owned(),
                    (_, Some(to)) => format!("handed over to {to}"),
                    (Some(other), None) => other.replace('_', " "),
                    (None, None) => "has not ended".to_owned(),
                };
                let why = Cell::Text(one_line(&turn.reason, COMMENT_CHARS));
                table.rows.push(vec![
                    Cell::Number((place + 1).to_string()),
                    Cell::Text(turn.agent.clone()),
                    Cell::Text(then),
                    why,
                ]);
            }
            vec![Block::Heading(name(&step.path)), Block::Table(table)]
        }
        Fact::Delegate(judgements) if !judgements.is_empty() => {
            vec![Block::Heading(name(&step.path)), Block::Table(judged("delegator", judgements))]
        }
        _ => Vec::new(),
    });
    told.collect()
}

/// How far members agreed, round by round.
pub(crate) fn convergence(view: &View<'_>) -> Vec<Block> {
    let mut table = Table::new(&["where", "agreement"]);
    for (step, fact) in facts(view) {
        if let Fact::Agreement(share) = fact {
            table.rows.push(vec![Cell::Code(step.path.clone()), Cell::Number(percent(*share))]);
        }
    }
    table.rows.truncate(ROWS_SHOWN);
    if table.rows.is_empty() { Vec::new() } else { vec![Block::Table(table)] }
}
