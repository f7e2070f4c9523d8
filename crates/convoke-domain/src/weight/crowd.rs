//! Records of voters without knowing what was right: from how they agree, by Dawid and Skene.
//!
//! Each voter has a matrix: how often it says `y` where `x` is right. Votes give a guess of what is right, the guess gives
//! the matrices, the matrices give a better guess, until it stays (expectation and maximization): Dawid and Skene, "Maximum
//! Likelihood Estimation of Observer Error-Rates Using the EM Algorithm", 1979. The whole matrix is needed: one number for
//! each voter does worse than a plain majority where voters lean to one side, as those of the bluebirds do. Where the truth
//! of some items is known, it is held fast. Nothing is drawn by chance; rounds are bounded ([`ROUNDS`]).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{HALF_LIFE, Outcomes};

/// Rounds after which the guess is taken as it stands.
pub const ROUNDS: usize = 50;
/// The guess stays when no chance changes by more.
const STAYS: f64 = 1e-3;
/// What every cell of a matrix has before the first vote, so that nothing is impossible.
const CELL: f64 = 0.1;
/// Choices in common beyond which votes are open, and say nothing about each other.
const MOST_CLASSES: usize = 12;
/// Votes below which agreement says nothing.
const FEWEST_ITEMS: usize = 10;

/// How many there are of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Questions.
    pub items: usize,
    /// Voters.
    pub voters: usize,
    /// Choices.
    pub classes: usize,
}

/// A voter says of an item that it is of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// The question.
    pub item: usize,
    /// The voter.
    pub voter: usize,
    /// The choice.
    pub class: usize,
}

/// What voters' agreement says.
#[derive(Debug, Clone, PartialEq)]
pub struct Consensus {
    /// For each item the chance of each class.
    pub chances: Vec<Vec<f64>>,
    /// How frequent each class is.
    pub frequency: Vec<f64>,
    /// For each voter and each class that is right, how often it says each class.
    pub says: Vec<Vec<Vec<f64>>>,
    /// Rounds it took.
    pub rounds: usize,
}

impl Consensus {
    /// How often a voter is right, over all classes as frequent as they are.
    pub fn accuracy(&self, voter: usize) -> f64 {
        self.frequency.iter().enumerate().map(|(class, often)| often * self.says[voter][class][class]).sum()
    }

    /// The classes of an item that are the likeliest together.
    pub fn likeliest(&self, item: usize) -> Vec<usize> {
        let most = self.chances[item].iter().copied().fold(0.0, f64::max);
        (0..self.frequency.len()).filter(|class| self.chances[item][*class] >= most - 1e-9).collect()
    }
}

/// What labels say together. `known` are items whose class is known; labels out of `size` are left out.
pub fn dawid_skene(labels: &[Label], size: Size, known: &[(usize, usize)]) -> Consensus {
    let is_inside = |label: &&Label| label.item < size.items && label.voter < size.voters && label.class < size.classes;
    let labels: Vec<Label> = labels.iter().filter(is_inside).copied().collect();
    let known: BTreeMap<usize, usize> =
        known.iter().filter(|(item, class)| *item < size.items && *class < size.classes).copied().collect();
    let mut chances = first_guess(&labels, size, &known);
    for round in 1..=ROUNDS {
        let (frequency, says) = matrices(&labels, size, &chances);
        let next = guess(&labels, (&frequency, &says), size, &known);
        let stays = moved(&chances, &next) <= STAYS;
        chances = next;
        if stays || round == ROUNDS {
            return Consensus { chances, frequency, says, rounds: round };
        }
    }
    let (frequency, says) = matrices(&labels, size, &chances);
    Consensus { chances, frequency, says, rounds: 0 }
}

/// The part of the votes that each class has.
fn first_guess(labels: &[Label], size: Size, known: &BTreeMap<usize, usize>) -> Vec<Vec<f64>> {
    let mut chances = vec![vec![0.0; size.classes]; size.items];
    labels.iter().for_each(|label| chances[label.item][label.class] += 1.0);
    for (item, row) in chances.iter_mut().enumerate() {
        match known.get(&item) {
            Some(class) => hold(row, *class),
            None => normalize(row),
        }
    }
    chances
}

fn hold(row: &mut [f64], class: usize) {
    row.fill(0.0);
    row[class] = 1.0;
}

fn normalize(row: &mut [f64]) {
    let sum: f64 = row.iter().sum();
    let even = 1.0 / row.len().max(1) as f64;
    row.iter_mut().for_each(|part| *part = if sum > 0.0 { *part / sum } else { even });
}

/// Frequencies and matrices, given what is right by chance.
fn matrices(labels: &[Label], size: Size, chances: &[Vec<f64>]) -> (Vec<f64>, Vec<Vec<Vec<f64>>>) {
    let mut frequency = vec![CELL; size.classes];
    for row in chances {
        frequency.iter_mut().zip(row).for_each(|(sum, chance)| *sum += chance);
    }
    normalize(&mut frequency);
    let mut says = vec![vec![vec![CELL; size.classes]; size.classes]; size.voters];
    for label in labels {
        for (right, chance) in chances[label.item].iter().enumerate() {
            says[label.voter][right][label.class] += chance;
        }
    }
    says.iter_mut().flatten().for_each(|row| normalize(row));
    (frequency, says)
}

/// What is right by chance, given frequencies and matrices.
fn guess(
    labels: &[Label],
    (frequency, says): (&[f64], &[Vec<Vec<f64>>]),
    size: Size,
    known: &BTreeMap<usize, usize>,
) -> Vec<Vec<f64>> {
    let logs: Vec<Vec<Vec<f64>>> = says
        .iter()
        .map(|voter| voter.iter().map(|row| row.iter().map(|chance| chance.ln()).collect()).collect())
        .collect();
    let start: Vec<f64> = frequency.iter().map(|chance| chance.ln()).collect();
    let mut next = vec![start; size.items];
    for label in labels {
        let voter = &logs[label.voter];
        next[label.item].iter_mut().zip(voter).for_each(|(sum, row)| *sum += row[label.class]);
    }
    for (item, row) in next.iter_mut().enumerate() {
        if let Some(class) = known.get(&item) {
            hold(row, *class);
            continue;
        }
        let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        row.iter_mut().for_each(|log| *log = (*log - most).exp());
        normalize(row);
    }
    next
}

fn moved(before: &[Vec<f64>], after: &[Vec<f64>]) -> f64 {
    let pairs = before.iter().flatten().zip(after.iter().flatten());
    pairs.map(|(before, after)| (before - after).abs()).fold(0.0, f64::max)
}

/// Votes as they are compared with each other: who said what, and the truth where it is known.
pub type Asked = (Vec<(String, String)>, Option<String>);

/// For each ballot of each vote the chance that it is right, by how far voters agree. None where votes have too little in
/// common: too few of them, or with choices of their own.
pub fn chances(votes: &[Asked]) -> Option<Vec<Vec<f64>>> {
    let ballots = || votes.iter().flat_map(|(ballots, _)| ballots);
    let truths = || votes.iter().filter_map(|(_, truth)| truth.as_deref());
    let classes: BTreeSet<&str> = ballots().map(|(_, said)| said.as_str()).chain(truths()).collect();
    if classes.len() < 2 || classes.len() > MOST_CLASSES || votes.len() < FEWEST_ITEMS {
        return None;
    }
    let classes: BTreeMap<&str, usize> = classes.into_iter().enumerate().map(|(at, name)| (name, at)).collect();
    let names: BTreeSet<&str> = ballots().map(|(voter, _)| voter.as_str()).collect();
    let voters: BTreeMap<&str, usize> = names.into_iter().enumerate().map(|(at, name)| (name, at)).collect();
    let labels: Vec<Label> = votes
        .iter()
        .enumerate()
        .flat_map(|(item, (ballots, _))| ballots.iter().map(move |ballot| (item, ballot)))
        .map(|(item, (voter, said))| Label { item, voter: voters[voter.as_str()], class: classes[said.as_str()] })
        .collect();
    let known = votes.iter().enumerate().filter_map(|(item, (_, truth))| Some((item, classes[truth.as_deref()?])));
    let size = Size { items: votes.len(), voters: voters.len(), classes: classes.len() };
    let found = dawid_skene(&labels, size, &known.collect::<Vec<_>>());
    let row = |(item, (ballots, _)): (usize, &Asked)| {
        ballots.iter().map(|(_, said)| found.chances[item][classes[said.as_str()]]).collect()
    };
    Some(votes.iter().enumerate().map(row).collect())
}

/// The records of voters, each ballot right by its chance ([`chances`]), faded by the age of its vote.
pub fn expected(votes: &[Asked], ages: &[Duration]) -> Option<BTreeMap<String, Outcomes>> {
    let found = chances(votes)?;
    let mut records: BTreeMap<String, Outcomes> = BTreeMap::new();
    for (((ballots, _), age), chances) in votes.iter().zip(ages).zip(found) {
        for ((voter, _), chance) in ballots.iter().zip(chances) {
            records.entry(voter.clone()).or_default().add(chance, *age, HALF_LIFE);
        }
    }
    Some(records)
}
