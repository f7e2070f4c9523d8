//! What past votes teach, judged by votes that were not learnt from: how to weigh, and whether to vote at all.
//!
//! Each past vote is decided in turn by what all others teach (leave one out), so that no vote vouches for itself. Three
//! things are learnt: each voter's record; how many choices an open vote is taken to have, which says how much weights
//! differ; and whether the best voter alone would have been right at least as often as the weighted vote. In the last
//! case the simpler rule wins.

use std::collections::BTreeMap;

use super::{Outcomes, PRIOR, log_odds, weight};

/// Numbers of choices that are tried for an open vote: each step adds the logarithm of two to all weights.
const OPEN: [usize; 5] = [2, 3, 5, 9, 17];
/// Past votes below this many teach nothing about voting itself.
const FEWEST: usize = 20;
/// Past votes that are looked at, the newest.
const MOST: usize = 2_000;

/// A vote of which the truth is known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Past {
    /// Who said what, in one form.
    pub ballots: Vec<(String, String)>,
    /// What was right, in one form; what nobody said, where only that is known.
    pub truth: String,
}

/// What past votes teach.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Learnt {
    /// The record of each voter.
    pub records: BTreeMap<String, Outcomes>,
    /// How many choices a vote is taken to have.
    pub choices: usize,
    /// The voter that does better alone than the weighted vote does.
    pub best: Option<String>,
    /// Past votes that the weighted vote decided rightly, each by what the others taught.
    pub vote_right: f64,
    /// Past votes that the best voter decided rightly, chosen anew each time by what the others taught.
    pub best_right: f64,
}

impl Learnt {
    /// What a voter's ballot weighs.
    pub fn weight(&self, voter: &str) -> f64 {
        weight(accuracy(&self.records, voter), self.choices)
    }
}

/// Learns from past votes, the oldest first. `choices` is the number of options; none for open votes, where it is learnt too.
pub fn learn(past: &[Past], choices: Option<usize>) -> Learnt {
    let past = &past[past.len().saturating_sub(MOST)..];
    let mut records = BTreeMap::new();
    past.iter().for_each(|vote| count(&mut records, vote, 1.0));
    let tried: Vec<usize> = choices.map_or_else(|| OPEN.to_vec(), |choices| vec![choices]);
    let mut right = vec![0.0; tried.len()];
    let mut best_right = 0.0;
    let mut left = records.clone();
    for vote in past {
        count(&mut left, vote, -1.0);
        for (right, choices) in right.iter_mut().zip(&tried) {
            *right += decided(&left, *choices, vote);
        }
        best_right += f64::from(u8::from(single(&left, vote).is_some_and(|said| said == vote.truth)));
        count(&mut left, vote, 1.0);
    }
    // Of several that are as good, the one that leans most on the better voters.
    let at = (0..tried.len()).rev().max_by(|a, b| right[*a].total_cmp(&right[*b])).unwrap_or(0);
    let best = (past.len() >= FEWEST && best_right >= right[at]).then(|| champion(&records, past)).flatten();
    Learnt { records, choices: tried[at], best, vote_right: right[at], best_right }
}

fn count(records: &mut BTreeMap<String, Outcomes>, vote: &Past, times: f64) {
    for (voter, said) in &vote.ballots {
        let record = match records.get_mut(voter) {
            Some(record) => record,
            None => records.entry(voter.clone()).or_default(),
        };
        if *said == vote.truth { record.right += times } else { record.wrong += times }
    }
}

fn accuracy(records: &BTreeMap<String, Outcomes>, voter: &str) -> f64 {
    records.get(voter).copied().unwrap_or_default().accuracy(PRIOR)
}

/// The part of a case that the weighted vote gets right: a tie of n choices is worth 1/n.
fn decided(records: &BTreeMap<String, Outcomes>, choices: usize, vote: &Past) -> f64 {
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for (voter, said) in &vote.ballots {
        *sums.entry(said).or_default() += log_odds(accuracy(records, voter), choices).max(0.0);
    }
    let most = sums.values().copied().fold(0.0, f64::max);
    let top: Vec<_> = sums.iter().filter(|(_, sum)| **sum >= most - 1e-9).map(|(said, _)| *said).collect();
    if top.contains(&vote.truth.as_str()) { 1.0 / top.len() as f64 } else { 0.0 }
}

/// What the best of those who voted said.
fn single<'a>(records: &BTreeMap<String, Outcomes>, vote: &'a Past) -> Option<&'a str> {
    let mut best: Option<(f64, &str)> = None;
    for (voter, said) in &vote.ballots {
        let sure = accuracy(records, voter);
        if best.is_none_or(|(most, _)| sure > most) {
            best = Some((sure, said));
        }
    }
    best.map(|(_, said)| said)
}

/// The voter with the best record, if it is one who takes part nearly always: who voted rarely cannot stand for a vote.
fn champion(records: &BTreeMap<String, Outcomes>, past: &[Past]) -> Option<String> {
    let always = |record: &Outcomes| record.cases() >= 0.9 * past.len() as f64;
    let mut best: Option<(&String, f64)> = None;
    for (voter, record) in records.iter().filter(|(_, record)| always(record)) {
        let sure = record.accuracy(PRIOR);
        if best.is_none_or(|(_, most)| sure > most) {
            best = Some((voter, sure));
        }
    }
    best.map(|(voter, _)| voter.clone())
}
