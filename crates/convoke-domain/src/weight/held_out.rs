//! What past votes teach: how to weigh voters who do not err by themselves, and whether to vote at all.
//!
//! Log-odds are right for voters who err independently. Agents read the same words and make the same mistakes, so weights
//! are moved from there to where past votes would have been decided best: the likeliest ones, if a choice is right with a
//! chance that grows as the exponential of the weight behind it (a conditional logit, McFadden, "Conditional Logit
//! Analysis of Qualitative Choice Behavior", 1974), held back by a normal prior around the log-odds. The function has one
//! maximum; it is climbed voter by voter with bounded steps ([`SWEEPS`]), and nothing is drawn by chance.
//!
//! Whether the best voter alone would have done better is judged by votes that were not learnt from: past votes are dealt
//! into [`FOLDS`] parts, and each part is decided by what the others teach.
//!
//! Past votes fade as all outcomes do ([`HALF_LIFE`]): one of that age counts half, in the records and in the climb.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{HALF_LIFE, OPEN_CHOICES, Outcomes, PRIOR, expected, faded, log_odds};

/// Past votes below this many teach nothing about voting itself.
pub const FEWEST: usize = 20;
/// Past votes that are looked at, the newest.
pub const MOST: usize = 2_000;
/// Parts that past votes are dealt into.
const FOLDS: usize = 5;
/// Times that every voter's weight is moved.
const SWEEPS: usize = 40;
/// Weights stay when none moves by more.
const STAYS: f64 = 1e-6;
/// How strongly weights are held to the log-odds: one over the variance of the normal prior.
const HOLD: f64 = 1.0;
/// A voter with fewer cases keeps its log-odds: ten cases for each number that is fitted (Peduzzi and others, "A Simulation
/// Study of the Number of Events per Variable in Logistic Regression Analysis", 1996).
const CASES: usize = 10;
/// The farthest that a weight moves at once.
const STEP: f64 = 1.0;

/// Who said what, in one form.
pub type Ballots = Vec<(String, String)>;

/// A vote of which the truth is known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Past {
    /// Who said what, in one form.
    pub ballots: Ballots,
    /// What was right, in one form; what nobody said, where only that is known.
    pub truth: String,
    /// How long ago it was.
    pub age: Duration,
}

/// A vote of which the truth is not known, and how long ago it was.
pub type Untold = (Ballots, Duration);

/// What past votes teach.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Learnt {
    /// The record of each voter.
    pub records: BTreeMap<String, Outcomes>,
    /// What each voter's ballot weighs; below nothing for one whose word speaks against what it says.
    pub weights: BTreeMap<String, f64>,
    /// The voter that does better alone than the weighted vote does, beyond what chance explains.
    pub best: Option<String>,
    /// Past votes that the weighted vote decided rightly, each by what other votes teach.
    pub vote_right: f64,
    /// Past votes that the best voter decided rightly, chosen by what other votes teach.
    pub best_right: f64,
}

impl Learnt {
    /// What a voter's ballot weighs: at least nothing; for a stranger, what no record is worth.
    pub fn weight(&self, voter: &str, choices: Option<usize>) -> f64 {
        let stranger = || log_odds(Outcomes::default().accuracy(PRIOR), choices.unwrap_or(OPEN_CHOICES));
        self.weights.get(voter).copied().unwrap_or_else(stranger).max(0.0)
    }
}

/// Learns from past votes, the oldest first. `choices` is the number of options; none for open votes. Votes of which the
/// truth is not known teach how often their voters are right where all votes have their choices in common ([`expected`]).
pub fn learn(past: &[Past], unknown: &[Untold], choices: Option<usize>) -> Learnt {
    let newest: Vec<&Past> = past[past.len().saturating_sub(MOST)..].iter().collect();
    let unknown = &unknown[unknown.len().saturating_sub(MOST)..];
    let mut learnt = fit(&newest, unknown, choices);
    if newest.len() >= FEWEST {
        let trial = held_out(&newest, choices);
        (learnt.vote_right, learnt.best_right) = (trial.vote_right, trial.best_right);
        // More than one standard error behind: that is evidence, and less is none.
        learnt.best = if z(&trial.leads) < -1.0 {
            champion(&learnt.records, newest.iter().map(|vote| faded(vote.age, HALF_LIFE)).sum())
        } else {
            None
        };
    }
    learnt
}

/// Past votes decided by what other votes teach.
#[derive(Default)]
struct Trial {
    /// By how much the weighted vote was more right than the best voter, for each past vote.
    leads: Vec<f64>,
    vote_right: f64,
    best_right: f64,
}

fn fit(past: &[&Past], unknown: &[Untold], choices: Option<usize>) -> Learnt {
    let records = records(past, unknown, choices);
    let centre: Vec<f64> =
        records.values().map(|record| log_odds(record.accuracy(PRIOR), choices.unwrap_or(OPEN_CHOICES))).collect();
    let names: BTreeMap<&str, usize> = records.keys().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
    let mut climb = Climb::new(past, &names, &centre);
    climb.run(&centre);
    let weights = names.iter().map(|(name, at)| ((*name).to_owned(), climb.weights[*at])).collect();
    Learnt { weights, records, ..Learnt::default() }
}

fn records(past: &[&Past], unknown: &[Untold], choices: Option<usize>) -> BTreeMap<String, Outcomes> {
    if choices.is_some() && !unknown.is_empty() {
        let known = past.iter().map(|vote| ((vote.ballots.clone(), Some(vote.truth.clone())), vote.age));
        let untold = unknown.iter().map(|(ballots, age)| ((ballots.clone(), None), *age));
        let (all, ages): (Vec<_>, Vec<_>) = known.chain(untold).unzip();
        if let Some(found) = expected(&all, &ages) {
            return found;
        }
    }
    let mut records: BTreeMap<String, Outcomes> = BTreeMap::new();
    for vote in past {
        for (voter, said) in &vote.ballots {
            let value = f64::from(u8::from(*said == vote.truth));
            records.entry(voter.clone()).or_default().add(value, vote.age, HALF_LIFE);
        }
    }
    records
}

/// One past vote as the climb sees it.
struct Poll {
    /// The weight behind each choice.
    sums: Vec<f64>,
    truth: usize,
    /// What is left of it at its age.
    counts: f64,
}

/// Weights on their way to the likeliest.
struct Climb {
    weights: Vec<f64>,
    polls: Vec<Poll>,
    /// For each voter, how many votes it took part in.
    cases: Vec<usize>,
    /// For each voter, which choice it named in which poll.
    said: Vec<Vec<(usize, usize)>>,
}

impl Climb {
    fn new(past: &[&Past], names: &BTreeMap<&str, usize>, centre: &[f64]) -> Self {
        let said = vec![Vec::new(); names.len()];
        let mut climb = Self { weights: centre.to_vec(), polls: Vec::new(), cases: vec![0; names.len()], said };
        for vote in past {
            vote.ballots.iter().for_each(|(voter, _)| climb.cases[names[voter.as_str()]] += 1);
            let mut choices: Vec<&str> = vote.ballots.iter().map(|(_, said)| said.as_str()).collect();
            choices.sort_unstable();
            choices.dedup();
            // Where nobody was right, or all were, weights change nothing.
            let Ok(truth) = choices.binary_search(&vote.truth.as_str()) else { continue };
            let mut sums = vec![0.0; choices.len()];
            for (voter, said) in vote.ballots.iter().filter(|_| choices.len() > 1) {
                let (voter, said) = (names[voter.as_str()], choices.partition_point(|choice| *choice < said.as_str()));
                sums[said] += centre[voter];
                climb.said[voter].push((climb.polls.len(), said));
            }
            climb.polls.push(Poll { sums, truth, counts: faded(vote.age, HALF_LIFE) });
        }
        climb
    }

    fn run(&mut self, centre: &[f64]) {
        for _ in 0..SWEEPS {
            let mut farthest: f64 = 0.0;
            for (voter, centre) in centre.iter().enumerate().filter(|(voter, _)| self.cases[*voter] >= CASES) {
                let step = self.step(voter, *centre);
                self.weights[voter] += step;
                for (poll, said) in &self.said[voter] {
                    self.polls[*poll].sums[*said] += step;
                }
                farthest = farthest.max(step.abs());
            }
            if farthest < STAYS {
                break;
            }
        }
    }

    /// Newton's step for one weight while the others stay.
    fn step(&self, voter: usize, centre: f64) -> f64 {
        let (mut slope, mut bend) = (-HOLD * (self.weights[voter] - centre), HOLD);
        for (poll, said) in &self.said[voter] {
            let poll = &self.polls[*poll];
            let chance = chance(&poll.sums, *said);
            slope += poll.counts * (f64::from(u8::from(*said == poll.truth)) - chance);
            bend += poll.counts * chance * (1.0 - chance);
        }
        (slope / bend).clamp(-STEP, STEP)
    }
}

fn chance(sums: &[f64], of: usize) -> f64 {
    let most = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let all: f64 = sums.iter().map(|sum| (sum - most).exp()).sum();
    (sums[of] - most).exp() / all
}

fn held_out(past: &[&Past], choices: Option<usize>) -> Trial {
    let mut trial = Trial::default();
    for fold in 0..FOLDS {
        let others = past.iter().enumerate().filter(|(at, _)| at % FOLDS != fold);
        let by = fit(&others.map(|(_, vote)| *vote).collect::<Vec<_>>(), &[], choices);
        for vote in past.iter().skip(fold).step_by(FOLDS) {
            let voted = decided(&by, choices, vote);
            let alone = if single(&by.records, vote) == Some(vote.truth.as_str()) { 1.0 } else { 0.0 };
            trial.vote_right += voted;
            trial.best_right += alone;
            trial.leads.push(voted - alone);
        }
    }
    trial
}

/// A mean in its standard errors.
fn z(leads: &[f64]) -> f64 {
    let count = leads.len() as f64;
    let sum: f64 = leads.iter().sum();
    let spread = leads.iter().map(|lead| lead * lead).sum::<f64>() - sum * sum / count;
    if spread <= 0.0 { 0.0 } else { sum / spread.sqrt() }
}

/// The part of a case that the weighted vote gets right, where a tie of n choices is worth 1/n.
fn decided(by: &Learnt, choices: Option<usize>, vote: &Past) -> f64 {
    let mut behind: BTreeMap<&str, f64> = BTreeMap::new();
    for (voter, said) in &vote.ballots {
        *behind.entry(said).or_default() += by.weight(voter, choices);
    }
    let most = behind.values().copied().fold(0.0, f64::max);
    let top = behind.values().filter(|sum| **sum >= most - 1e-9).count();
    let right = behind.get(vote.truth.as_str()).is_some_and(|sum| *sum >= most - 1e-9);
    if right { 1.0 / top as f64 } else { 0.0 }
}

fn accuracy(records: &BTreeMap<String, Outcomes>, voter: &str) -> f64 {
    records.get(voter).copied().unwrap_or_default().accuracy(PRIOR)
}

/// What the best of those who voted said; of several the first.
fn single<'a>(records: &BTreeMap<String, Outcomes>, vote: &'a Past) -> Option<&'a str> {
    let better =
        |a: &&(String, String), b: &&(String, String)| accuracy(records, &a.0).total_cmp(&accuracy(records, &b.0));
    vote.ballots.iter().rev().max_by(better).map(|(_, said)| said.as_str())
}

/// The voter with the best record, if it is one who takes part nearly always: who voted rarely cannot stand for a vote.
fn champion(records: &BTreeMap<String, Outcomes>, votes: f64) -> Option<String> {
    let always = |record: &Outcomes| record.cases() >= 0.9 * votes;
    let all = records.iter().rev().filter(|(_, record)| always(record));
    all.max_by(|a, b| a.1.accuracy(PRIOR).total_cmp(&b.1.accuracy(PRIOR))).map(|(voter, _)| voter.clone())
}
