//! What comes of a vote, and whether it is certain before all ballots are in.
//!
//! A vote is certain when every way to fill in the ballots that are still out gives the same outcome. That is decided from
//! the worst case for each outcome, not by trying: all that is out goes to one rival, or nobody else votes at all. A test
//! tries all ways and compares. Start at [`tally`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Ballot, MAX_WEIGHT, Majority, QuorumOf, TieRule, VoteRule};

/// Weights are counted in these parts of one, so that sums are exact.
const PARTS: f64 = 1_000_000.0;

/// What comes of a vote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Outcome {
    /// Ballots are out that can change what comes of it.
    Open,
    /// There is a choice.
    Decided {
        /// The option as the rule writes it, or the one form of an open answer.
        choice: String,
    },
    /// Several choices are ahead with the same weight, and the rule does not say which comes first.
    Tied {
        /// Those that are tied.
        choices: Vec<String>,
    },
    /// Too few have voted.
    NoQuorum,
    /// No choice has as many votes as the rule wants.
    NoMajority {
        /// The choice that is ahead.
        leading: String,
    },
}

/// How a choice stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The option as the rule writes it, or the one form of an open answer.
    pub choice: String,
    /// As the first of its voters said it.
    pub said: String,
    /// The weight of its voters.
    pub weight: f64,
    /// That weight as a part of all that was cast.
    pub share: f64,
    /// Who voted for it, in the order of the electorate.
    pub voters: Vec<String>,
}

/// A vote as it stands: plain data for a program or a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// What comes of it.
    pub outcome: Outcome,
    /// The choices, the heaviest first.
    pub standing: Vec<Standing>,
    /// Every ballot that counts, abstentions included, in the order of the electorate.
    pub ballots: Vec<Ballot>,
    /// Ballots for another choice than the one that is decided or ahead, with their reasons.
    pub dissent: Vec<Ballot>,
    /// Who returned a ballot and chose nothing.
    pub abstained: Vec<String>,
    /// Whose ballots are out; of no account once the outcome is certain.
    pub outstanding: Vec<String>,
    /// The part of the voters, or of their weight, that has voted.
    pub turnout: f64,
    /// The quorum is met.
    pub quorum_met: bool,
    /// The outcome was certain before all ballots were in.
    pub decided_early: bool,
    /// Several choices were ahead, and the rule's order decided.
    pub tie_broken: bool,
    /// The part of the weight cast that stands behind the choice that is decided or ahead; a measure of how far to trust it.
    pub agreement: f64,
}

impl Tally {
    /// The choice that was decided on, as it stands.
    pub fn winner(&self) -> Option<&Standing> {
        let Outcome::Decided { choice } = &self.outcome else { return None };
        self.standing.iter().find(|standing| standing.choice == *choice)
    }
}

/// Counts a vote. Of several ballots of one voter the first counts; ballots of others than the electorate do not.
pub fn tally(rule: &VoteRule, electorate: &[(String, f64)], ballots: &[Ballot]) -> Tally {
    let count = Count::of(rule, electorate, ballots);
    let now = count.outcome();
    let is_over = count.out.is_empty() || rule.early_stop && count.is_certain(&now);
    let ahead: Vec<&str> = count.ahead();
    let dissent = |ballot: &Ballot| chooses(rule, ballot) && !ahead.contains(&ballot.canonical.as_str());
    let has_dissent = is_over && !matches!(now, Outcome::NoQuorum);
    Tally {
        standing: count.standing(),
        ballots: count.ballots.iter().map(|ballot| (*ballot).clone()).collect(),
        dissent: count
            .ballots
            .iter()
            .filter(|ballot| has_dissent && dissent(ballot))
            .map(|ballot| (*ballot).clone())
            .collect(),
        abstained: count
            .ballots
            .iter()
            .filter(|ballot| !chooses(rule, ballot))
            .map(|ballot| ballot.voter.clone())
            .collect(),
        outstanding: count.out.iter().map(|voter| voter.name.to_owned()).collect(),
        turnout: count.turnout(),
        quorum_met: count.meets_quorum(false),
        decided_early: is_over && !count.out.is_empty(),
        tie_broken: is_over && matches!(now, Outcome::Decided { .. }) && count.top().len() > 1,
        agreement: part(count.piles.first().map_or(0, |pile| pile.weight), count.cast),
        outcome: if is_over { now } else { Outcome::Open },
    }
}

/// A part of a whole; nothing of nothing.
fn part(some: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { some as f64 / all as f64 }
}

struct Voter<'a> {
    name: &'a str,
    weight: u64,
    place: usize,
}

/// The votes for one choice.
struct Pile<'a> {
    choice: &'a str,
    said: &'a str,
    weight: u64,
    voters: Vec<&'a str>,
    /// Its place when choices are tied: that of the option, or of its first voter with any weight.
    place: usize,
}

/// All that an outcome depends on.
struct Count<'a> {
    rule: &'a VoteRule,
    /// The choices, the heaviest first.
    piles: Vec<Pile<'a>>,
    ballots: Vec<&'a Ballot>,
    out: Vec<Voter<'a>>,
    heads: usize,
    total: u64,
    cast: u64,
    cast_heads: usize,
    out_weight: u64,
}

impl<'a> Count<'a> {
    fn of(rule: &'a VoteRule, electorate: &'a [(String, f64)], ballots: &'a [Ballot]) -> Self {
        let voters = voters(electorate);
        let mut first: BTreeMap<&str, &Ballot> = BTreeMap::new();
        for ballot in ballots {
            first.entry(&ballot.voter).or_insert(ballot);
        }
        let (heads, total) = (voters.len(), voters.iter().map(|voter| voter.weight).sum());
        let mut count = Self {
            rule,
            piles: Vec::new(),
            ballots: Vec::new(),
            out: Vec::new(),
            heads,
            total,
            cast: 0,
            cast_heads: 0,
            out_weight: 0,
        };
        for voter in voters {
            match first.get(voter.name) {
                None => {
                    count.out_weight += voter.weight;
                    count.out.push(voter);
                }
                Some(ballot) => count.add(&voter, ballot),
            }
        }
        count.piles.sort_by(|a, b| b.weight.cmp(&a.weight).then(a.place.cmp(&b.place)).then(a.choice.cmp(b.choice)));
        count
    }

    fn add(&mut self, voter: &Voter<'a>, ballot: &'a Ballot) {
        self.ballots.push(ballot);
        if !chooses(self.rule, ballot) {
            return;
        }
        self.cast += voter.weight;
        self.cast_heads += 1;
        let place = match self.rule.options.iter().position(|option| *option == ballot.canonical) {
            Some(place) => place,
            None if voter.weight > 0 => voter.place,
            None => usize::MAX,
        };
        match self.piles.iter_mut().find(|pile| pile.choice == ballot.canonical) {
            Some(pile) => {
                pile.weight += voter.weight;
                pile.voters.push(voter.name);
                pile.place = pile.place.min(place);
            }
            None => self.piles.push(Pile {
                choice: &ballot.canonical,
                said: &ballot.choice,
                weight: voter.weight,
                voters: vec![voter.name],
                place,
            }),
        }
    }

    fn standing(&self) -> Vec<Standing> {
        let standing = |pile: &Pile<'_>| Standing {
            choice: pile.choice.to_owned(),
            said: pile.said.to_owned(),
            weight: pile.weight as f64 / PARTS,
            share: part(pile.weight, self.cast),
            voters: pile.voters.iter().map(|voter| (*voter).to_owned()).collect(),
        };
        self.piles.iter().map(standing).collect()
    }

    fn turnout(&self) -> f64 {
        match self.rule.quorum_of {
            QuorumOf::Heads => part(self.cast_heads as u64, self.heads as u64),
            QuorumOf::Weight => part(self.cast, self.total),
        }
    }

    /// True if enough have voted; with `all`, if enough will have voted in case that everybody else does.
    fn meets_quorum(&self, all: bool) -> bool {
        let (more, more_heads) = if all { (self.out_weight, self.out.len()) } else { (0, 0) };
        let weight = self.cast + more;
        let (some, of) = match self.rule.quorum_of {
            QuorumOf::Heads => ((self.cast_heads + more_heads) as f64, self.heads as f64),
            QuorumOf::Weight => (weight as f64, self.total as f64),
        };
        // A third of three voters is one voter, whatever a third is in binary.
        weight > 0 && some >= self.rule.quorum * of - 1e-9 * of
    }

    /// The piles that are ahead together.
    fn top(&self) -> Vec<&Pile<'a>> {
        let most = self.piles.first().map_or(0, |pile| pile.weight);
        self.piles.iter().take_while(|pile| pile.weight == most).collect()
    }

    /// The choices that are decided or tied; the first if the vote went by another majority.
    fn ahead(&self) -> Vec<&'a str> {
        match self.outcome() {
            Outcome::Tied { .. } => self.top().iter().map(|pile| pile.choice).collect(),
            _ => self.piles.first().map(|pile| pile.choice).into_iter().collect(),
        }
    }

    /// What comes of it if nobody else votes.
    fn outcome(&self) -> Outcome {
        let Some(first) = self.piles.first().filter(|_| self.meets_quorum(false)) else { return Outcome::NoQuorum };
        let decided = || Outcome::Decided { choice: first.choice.to_owned() };
        let enough = match self.rule.majority {
            Majority::Plurality => {
                let top = self.top();
                return if top.len() == 1 || self.rule.tie == TieRule::First {
                    decided()
                } else {
                    Outcome::Tied { choices: top.iter().map(|pile| pile.choice.to_owned()).collect() }
                };
            }
            Majority::Absolute => 2 * first.weight > self.total,
            Majority::TwoThirds => 3 * first.weight >= 2 * self.cast,
            Majority::Unanimous => first.weight == self.cast,
        };
        if enough { decided() } else { Outcome::NoMajority { leading: first.choice.to_owned() } }
    }

    /// True if no way to fill in the ballots that are out gives another outcome than `now`, which is what comes of none.
    fn is_certain(&self, now: &Outcome) -> bool {
        match now {
            Outcome::Open => false,
            Outcome::NoQuorum => !self.meets_quorum(true),
            // What is out can always break a tie, unless it weighs nothing.
            Outcome::Tied { .. } => self.out_weight == 0,
            Outcome::Decided { choice } => self.stays_decided(choice),
            Outcome::NoMajority { .. } => self.stays_undecided(),
        }
    }

    /// Some choice besides `choice` can still be voted for.
    fn has_rival(&self, choice: &str) -> bool {
        self.rule.options.is_empty() || self.rule.options.iter().any(|option| option != choice)
    }

    fn stays_decided(&self, choice: &str) -> bool {
        let Some(first) = self.piles.iter().find(|pile| pile.choice == choice) else { return false };
        if !self.has_rival(choice) && self.rule.majority != Majority::Absolute {
            return true;
        }
        match self.rule.majority {
            Majority::Plurality => self.rivals().all(|(weight, place)| self.beats(first, weight, place)),
            Majority::Absolute => true,
            Majority::TwoThirds => 3 * first.weight >= 2 * (self.cast + self.out_weight),
            Majority::Unanimous => self.out_weight == 0,
        }
    }

    /// Every choice but the first, with all that is out behind it: weight and place. One that nobody chose so far comes last.
    fn rivals(&self) -> impl Iterator<Item = (u64, usize)> {
        let next =
            self.out.iter().filter(|voter| voter.weight > 0).map(|voter| voter.place).min().unwrap_or(usize::MAX);
        let place = move |place: usize| if self.rule.options.is_empty() { place.min(next) } else { place };
        let known = self.piles.iter().skip(1).map(move |pile| (pile.weight + self.out_weight, place(pile.place)));
        let chosen = |option: &String| self.piles.iter().any(|pile| pile.choice == option);
        let options = self.rule.options.iter().enumerate().filter(move |(_, option)| !chosen(option));
        let fresh = self.rule.options.is_empty().then_some((self.out_weight, next));
        known.chain(options.map(|(at, _)| (self.out_weight, at))).chain(fresh)
    }

    fn beats(&self, first: &Pile<'_>, weight: u64, place: usize) -> bool {
        first.weight > weight || first.weight == weight && self.rule.tie == TieRule::First && first.place < place
    }

    /// No choice can get the majority, even if all that is out goes to it.
    fn stays_undecided(&self) -> bool {
        let most = self.piles.first().map_or(0, |pile| pile.weight) + self.out_weight;
        let all = self.cast + self.out_weight;
        match self.rule.majority {
            Majority::Plurality => false,
            Majority::Absolute => 2 * most <= self.total,
            Majority::TwoThirds => 3 * most < 2 * all,
            Majority::Unanimous => self.piles.first().is_some_and(|pile| pile.weight < self.cast),
        }
    }
}

/// True if a ballot names something that may be chosen.
fn chooses(rule: &VoteRule, ballot: &Ballot) -> bool {
    !ballot.abstains && (rule.options.is_empty() || rule.options.contains(&ballot.canonical))
}

/// The electorate, each voter once. If nobody has any weight, all weigh the same: a vote of nobodies is still a vote.
fn voters(electorate: &[(String, f64)]) -> Vec<Voter<'_>> {
    let mut seen = BTreeSet::new();
    let each = electorate.iter().filter(|(name, _)| seen.insert(name.as_str())).enumerate();
    let mut voters: Vec<_> =
        each.map(|(place, (name, weight))| Voter { name: name.as_str(), weight: in_parts(*weight), place }).collect();
    if is_weightless(electorate) {
        voters.iter_mut().for_each(|voter| voter.weight = in_parts(1.0));
    }
    voters
}

/// True if there are voters, and none of them has any weight: then all weigh the same.
pub fn is_weightless(electorate: &[(String, f64)]) -> bool {
    !electorate.is_empty() && electorate.iter().all(|(_, weight)| in_parts(*weight) == 0)
}

fn in_parts(weight: f64) -> u64 {
    // What is no number, and what is below nothing, weighs nothing.
    if weight.is_nan() { 0 } else { (weight.clamp(0.0, MAX_WEIGHT) * PARTS).round() as u64 }
}
