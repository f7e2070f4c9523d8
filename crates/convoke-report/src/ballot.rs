//! Votes in reports: what came of them, how the choices stand, every ballot with its reason, all dissent. Start at [`blocks`].

use convoke_domain::flow::account::{Fact, StepAccount, VoteFact};
use convoke_domain::vote::{Ballot, Outcome, Standing, TieRule, is_weightless};

use crate::block::Block;
use crate::course::{name, percent, plain};
use crate::quote::one_line;
use crate::table::{Cell, Table};
use crate::view::View;

/// The most ballots of one vote that a report shows, dissent first; the JSON has them all.
const BALLOTS_SHOWN: usize = 100;
/// The most characters of a reason.
const REASON_CHARS: usize = 1_000;

/// Every vote of the run.
pub(crate) fn blocks(view: &View<'_>) -> Vec<Block> {
    let steps = view.run.flow.iter().flat_map(|flow| &flow.steps);
    let votes = steps.filter_map(|step| match &step.fact {
        Some(Fact::Vote(vote)) => Some((step, vote.as_ref())),
        _ => None,
    });
    votes.flat_map(|(step, vote)| one(step, vote)).collect()
}

fn one(step: &StepAccount, vote: &VoteFact) -> Vec<Block> {
    let title = step.title.as_deref().map(|title| format!(": {}", plain(title))).unwrap_or_default();
    let mut blocks = vec![Block::Heading(format!("{}{title}", name(&step.path)))];
    if let Some(question) = &vote.question {
        blocks.push(Block::Words(format!("The question: {}", one_line(question, 1_000).replace('`', "'"))));
    }
    for earlier in &vote.earlier {
        blocks.push(Block::Words(format!("Vote {} ended in a tie and was held again:", earlier.round)));
        blocks.push(Block::Table(standing(&earlier.standing)));
        blocks.push(Block::Table(ballots(&earlier.ballots, None)));
    }
    blocks.push(Block::Words(conclusion(vote)));
    if !vote.standing.is_empty() {
        blocks.push(Block::Table(standing(&vote.standing)));
    }
    if !vote.ballots.is_empty() {
        blocks.push(Block::Table(ballots(&vote.ballots, Some(vote))));
    }
    if vote.ballots.len() > BALLOTS_SHOWN {
        blocks
            .push(Block::Words(format!("{} more ballots are in the JSON report.", vote.ballots.len() - BALLOTS_SHOWN)));
    }
    blocks
}

/// What came of a vote, in a few words.
pub(crate) fn outcome(vote: &VoteFact) -> String {
    let cast: usize = vote.standing.iter().map(|one| one.voters.len()).sum();
    let lead = vote.standing.first();
    match (&vote.outcome, &vote.choice) {
        (_, Some(choice)) if vote.casting.is_some() => format!("a tie, broken for {}", plain(choice)),
        (_, Some(choice)) => {
            let with = lead.map_or(0, |one| one.voters.len());
            format!("{} with {with} of {cast} votes", plain(choice))
        }
        (Outcome::Open, None) => format!("open, {} of {} votes are in", vote.ballots.len(), vote.electorate.len()),
        (Outcome::Tied { .. }, None) => "a tie".into(),
        (Outcome::NoQuorum, None) => "too few voted".into(),
        (Outcome::NoMajority { leading }, None) => format!("no majority; {} leads", plain(leading)),
        (Outcome::Decided { choice }, None) => plain(choice),
    }
}

/// The same with turnout, quorum, ties, dissent, and whether it was decided early.
fn conclusion(vote: &VoteFact) -> String {
    let mut words = vec![format!("Outcome: {}.", outcome(vote))];
    let quorum = match (vote.quorum_met, vote.quorum > 0.0) {
        (_, false) => String::new(),
        (true, true) => format!(", and {} was asked for", percent(vote.quorum)),
        (false, true) => format!(", and {} was asked for: the quorum is missed", percent(vote.quorum)),
    };
    words.push(format!("Turnout {}{quorum}.", percent(vote.turnout)));
    if let Some(casting) = &vote.casting {
        let reason = if casting.reason.is_empty() { String::new() } else { format!(": {}", plain(&casting.reason)) };
        words.push(format!("{} broke the tie{reason}.", name(&casting.voter)));
    }
    words.extend(heads(vote));
    if is_weightless(&vote.electorate) {
        words.push("Nobody has any weight, so all weigh the same.".into());
    }
    if vote.tie_broken {
        words.push("The tie was broken by the order of the options.".into());
    } else if matches!(vote.outcome, Outcome::Tied { .. }) && vote.casting.is_none() {
        let means = match vote.tie {
            TieRule::Escalate => "a person decides",
            TieRule::Coordinator => "the coordinator decides",
            TieRule::Revote => "it is voted on again",
            TieRule::Fail | TieRule::First => "the vote has failed",
        };
        words.push(format!("By the rule for ties, {means}."));
    }
    if vote.decided_early && !vote.outstanding.is_empty() {
        words.push(format!("It was decided early: {} could not have changed it.", list(&vote.outstanding)));
    } else if !vote.outstanding.is_empty() {
        words.push(format!("Not heard: {}.", list(&vote.outstanding)));
    }
    if !vote.abstained.is_empty() {
        words.push(format!("Abstained: {}.", list(&vote.abstained)));
    }
    if !vote.dissent.is_empty() {
        let who: Vec<_> = vote.dissent.iter().map(|ballot| ballot.voter.clone()).collect();
        words.push(format!("Dissent: {}.", list(&who)));
    }
    words.join(" ")
}

/// What would have come of it if every ballot had weighed the same, where that is something else.
fn heads(vote: &VoteFact) -> Option<String> {
    let (Outcome::Decided { choice }, None) = (&vote.outcome, &vote.casting) else { return None };
    let most = vote.standing.iter().map(|one| one.voters.len()).max()?;
    let ahead: Vec<_> = vote.standing.iter().filter(|one| one.voters.len() == most).collect();
    let cast: usize = vote.standing.iter().map(|one| one.voters.len()).sum();
    match ahead.as_slice() {
        [one] if one.choice != *choice => Some(format!(
            "The weights decided: by heads alone it is {}, with {most} of {cast} votes.",
            plain(&one.said)
        )),
        [_] | [] => None,
        _ if vote.tie_broken => None,
        several => {
            let said: Vec<_> = several.iter().map(|one| plain(&one.said)).collect();
            Some(format!(
                "The weights decided: by heads alone {} are level, with {most} of {cast} votes each.",
                said.join(" and ")
            ))
        }
    }
}

/// The most names in a sentence.
const NAMES_SHOWN: usize = 20;

fn list(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMES_SHOWN);
    let shown = names.iter().take(NAMES_SHOWN).map(|one| name(one)).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

fn standing(all: &[Standing]) -> Table {
    let mut table = Table::new(&["choice", "votes", "weight", "share", "who"]);
    for one in all.iter().take(BALLOTS_SHOWN) {
        table.rows.push(vec![
            Cell::Text(one_line(&one.said, 200)),
            Cell::Number(one.voters.len().to_string()),
            Cell::Number(weight(one.weight)),
            Cell::Number(percent(one.share)),
            Cell::Text(one_line(&one.voters.join(", "), 400)),
        ]);
    }
    table
}

fn weight(weight: f64) -> String {
    let text = format!("{weight:.2}");
    text.strip_suffix(".00").map(str::to_owned).unwrap_or(text)
}

/// Ballots; those of dissent first, where it is known what was chosen.
fn ballots(all: &[Ballot], vote: Option<&VoteFact>) -> Table {
    let dissents =
        |ballot: &Ballot| vote.is_some_and(|vote| vote.dissent.iter().any(|other| other.voter == ballot.voter));
    let mut order: Vec<&Ballot> = all.iter().collect();
    if all.len() > BALLOTS_SHOWN {
        order.sort_by_key(|ballot| !dissents(ballot));
    }
    let mut table = Table::new(&["voter", "weight", "choice", "sure", "reason"]);
    for ballot in order.into_iter().take(BALLOTS_SHOWN) {
        let said = one_line(&ballot.choice, 200);
        let choice = match () {
            () if ballot.abstains => Cell::Text("abstains".into()),
            () if dissents(ballot) => Cell::Alarm(said),
            () => Cell::Text(said),
        };
        let own = vote.and_then(|vote| vote.electorate.iter().find(|(name, _)| *name == ballot.voter));
        table.rows.push(vec![
            Cell::Text(ballot.voter.clone()),
            Cell::Number(own.map_or_else(|| "–".into(), |(_, own)| weight(*own))),
            choice,
            Cell::Number(ballot.confidence.map_or_else(|| "–".into(), percent)),
            Cell::Text(one_line(&ballot.reason, REASON_CHARS)),
        ]);
    }
    table
}
