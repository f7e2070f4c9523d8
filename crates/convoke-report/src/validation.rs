//! What members said of the synthesis: verdicts by round, and what follows from them. Disagreement is never hidden.

use std::collections::BTreeMap;

use convoke_domain::pattern::Stage;
use convoke_domain::pattern::coordinator_worker::{Judgement, Verdict};
use convoke_domain::record::TaskRecord;

use crate::quote::one_line;
use crate::view::View;

/// The most characters of a comment that stand in a table.
const COMMENT_CHARS: usize = 1_000;

/// How a member stands to the synthesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stand {
    /// Behind it.
    Agrees,
    /// Not behind it.
    Disagrees,
    /// It gave no verdict that can be read: it failed, was called off, or wrote something else.
    Abstains,
    /// It has not said yet.
    Open,
}

impl Stand {
    /// The word in reports.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Disagrees => "DISAGREES",
            Self::Abstains => "abstains",
            Self::Open => "not yet",
        }
    }
}

/// One member's verdict.
pub(crate) struct Vote<'a> {
    /// Who.
    pub(crate) agent: &'a str,
    /// How it stands.
    pub(crate) stand: Stand,
    /// Why.
    pub(crate) comment: String,
}

/// Verdicts by round, in order.
pub(crate) fn rounds<'a>(view: &View<'a>) -> BTreeMap<i64, Vec<Vote<'a>>> {
    let mut rounds: BTreeMap<i64, Vec<Vote<'a>>> = BTreeMap::new();
    for task in view.stage(Stage::Validation) {
        rounds.entry(task.round).or_default().push(vote(view, task));
    }
    rounds
}

fn vote<'a>(view: &View<'a>, task: &'a TaskRecord) -> Vote<'a> {
    let (stand, comment) = match (&task.output, view.fate(task)) {
        (Some(output), _) => match serde_json::from_str::<Judgement>(output) {
            Ok(Judgement { verdict: Verdict::Agree, comment }) => (Stand::Agrees, comment),
            Ok(Judgement { verdict: Verdict::Disagree, comment }) => (Stand::Disagrees, comment),
            Err(_) => (Stand::Abstains, format!("It gave no verdict but wrote: {output}")),
        },
        (None, Some(fate)) if task.finished_at.is_none() => (Stand::Open, fate),
        (None, fate) => (Stand::Abstains, fate.unwrap_or_else(|| "It said nothing.".into())),
    };
    Vote { agent: &task.agent, stand, comment: one_line(&comment, COMMENT_CHARS) }
}

/// What the verdicts come to, in a sentence for each round.
pub(crate) fn conclusions(view: &View<'_>) -> Vec<String> {
    let rounds = rounds(view);
    let last = rounds.keys().next_back().copied();
    rounds.iter().map(|(round, votes)| conclusion(view, votes, *round, Some(*round) == last)).collect()
}

fn conclusion(view: &View<'_>, votes: &[Vote<'_>], round: i64, is_last: bool) -> String {
    let by = |stand| votes.iter().filter(|vote| vote.stand == stand).map(|vote| vote.agent).collect::<Vec<_>>();
    let [against, silent, open] = [Stand::Disagrees, Stand::Abstains, Stand::Open].map(by);
    let mut text = match (against.len(), silent.len() + open.len()) {
        (0, 0) if votes.len() == 1 => "The one member asked agrees.".to_owned(),
        (0, 0) => format!("All {} members agree.", votes.len()),
        (0, _) => "No member disagrees.".to_owned(),
        (1, _) => format!("1 of {} disagrees: {}.", votes.len(), against.join(", ")),
        (n, _) => format!("{n} of {} disagree: {}.", votes.len(), against.join(", ")),
    };
    if !silent.is_empty() {
        text.push_str(&format!(" Abstained: {}.", silent.join(", ")));
    }
    if !open.is_empty() {
        text.push_str(&format!(" Not heard yet: {}.", open.join(", ")));
    }
    if !against.is_empty() {
        text.push_str(consequence(&view.run.summary.state, is_last));
    }
    if round > 1 || !is_last { format!("Round {round}. {text}") } else { text }
}

fn consequence(state: &str, is_last: bool) -> &'static str {
    match state {
        _ if !is_last => " The results were put together again.",
        "completed" => " The result stands in spite of it.",
        "escalated" => " The run was handed to a person.",
        _ => "",
    }
}
