//! Outcomes: what became of an agent's work, by capability; and what a run pins of them when it starts.
//!
//! Rule: an outcome is a case in which an agent was right (1) or wrong (0), or something between. Cases fade
//! ([`HALF_LIFE`]). What a vote decided is no proof of what was right, so votes of which nobody knows the truth teach only
//! by how far their voters agree ([`chances`]), where their choices are the same from vote to vote. Start at [`Case`] and
//! [`pin`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::effort::Effort;
use crate::refusal::Refusal;
use crate::time::Timestamp;
use crate::vote::{Outcome, Tally};
use crate::weight::{Ballots, FEWEST, HALF_LIFE, Outcomes, PRIOR, Past, Pinned, Untold, chances, learn};

/// Choices that votes may have in common; beyond, they are open.
const MOST_CHOICES: usize = 12;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal,)+) => {
        /// How it is known.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Kind { $($(#[doc = $doc])* $name,)+ }

        impl Kind {
            /// All.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

kinds! {
    /// The agent voted for what was decided.
    VoteWon = "vote_won",
    /// The agent voted for something else.
    VoteLost = "vote_lost",
    /// Its work was accepted by a reviewer.
    ReviewAccepted = "review_accepted",
    /// Its work was rejected by a reviewer.
    ReviewRejected = "review_rejected",
    /// A critic or a judge gave it a score.
    Scored = "scored",
    /// A person rated it.
    Rated = "rated",
    /// The right answer is known, and its answer was compared with that.
    Gold = "gold",
}

impl Kind {
    /// Reads the word.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let all = Self::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
            Refusal::new("unknown_outcome", format!("`{text}` is no kind of outcome")).hint(format!("there are {all}"))
        })
    }

    /// True for what a vote says of its voters.
    pub const fn is_vote(self) -> bool {
        matches!(self, Self::VoteWon | Self::VoteLost)
    }
}

/// One outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// What it is about, such as a vote: outcomes of several agents about the same are compared. With agent, capability
    /// and kind it says which outcome this is: recorded again, it takes the place of the first.
    pub subject: String,
    /// Whose it is.
    pub agent: String,
    /// What it took; empty for work in general.
    #[serde(default)]
    pub capability: String,
    /// How it is known.
    pub kind: Kind,
    /// How right the agent was, from 0 to 1.
    pub value: f64,
    /// What it said, in one form, where it chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<String>,
    /// When; a time of zero is the one at which it is recorded.
    pub at: Timestamp,
}

/// Outcomes of a vote that was decided: who chose won, and who chose something else lost. One that was not decided says nothing.
pub fn of_vote(tally: &Tally, subject: &str, capability: Option<&str>) -> Vec<Case> {
    let Outcome::Decided { choice } = &tally.outcome else { return Vec::new() };
    let cast = tally.ballots.iter().filter(|ballot| !tally.abstained.contains(&ballot.voter));
    cast.map(|ballot| {
        let won = ballot.canonical == *choice;
        Case {
            subject: subject.to_owned(),
            agent: ballot.voter.clone(),
            capability: capability.unwrap_or_default().to_owned(),
            kind: if won { Kind::VoteWon } else { Kind::VoteLost },
            value: if won { 1.0 } else { 0.0 },
            choice: Some(ballot.canonical.clone()),
            at: Timestamp::from_micros(0),
        }
    })
    .collect()
}

/// Outcomes of a vote whose right answer is known, in the form in which its ballots are compared: who chose that was right, whatever
/// the vote decided. Who abstained was neither.
pub fn of_gold(tally: &Tally, gold: &str, subject: &str, capability: Option<&str>) -> Vec<Case> {
    let cast = tally.ballots.iter().filter(|ballot| !tally.abstained.contains(&ballot.voter));
    cast.map(|ballot| Case {
        subject: subject.to_owned(),
        agent: ballot.voter.clone(),
        capability: capability.unwrap_or_default().to_owned(),
        kind: Kind::Gold,
        value: if ballot.canonical == gold { 1.0 } else { 0.0 },
        choice: Some(ballot.canonical.clone()),
        at: Timestamp::from_micros(0),
    })
    .collect()
}

/// Outcomes of work that was scored, as the note of it tells.
pub fn of_scores(facts: &Value, subject: &str) -> Vec<Case> {
    let case = |one: &Value| {
        Some(Case {
            subject: subject.to_owned(),
            agent: one["agent"].as_str()?.to_owned(),
            capability: one["capability"].as_str().unwrap_or_default().to_owned(),
            kind: Kind::Scored,
            value: one["value"].as_f64()?.clamp(0.0, 1.0),
            choice: None,
            at: Timestamp::from_micros(0),
        })
    };
    facts["of"].as_array().into_iter().flatten().filter_map(case).collect()
}

/// An agent's record for a capability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reputation {
    /// The agent.
    pub agent: String,
    /// The capability; empty for all of them together.
    pub capability: String,
    /// Faded cases in which it was right.
    pub right: f64,
    /// Faded cases in which it was wrong.
    pub wrong: f64,
    /// The chance to be right next time.
    pub accuracy: f64,
    /// What its ballot weighs between two options.
    pub weight: f64,
    /// Outcomes of each kind, faded or not.
    pub kinds: BTreeMap<Kind, u64>,
    /// What its work takes, beside what is known of how right it is; told for all capabilities together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
}

/// What these outcomes say of each agent: for all its work, and for each capability. `now` fades them.
pub fn reputation(cases: &[Case], now: Timestamp) -> Vec<Reputation> {
    let pinned = pin(cases, now);
    let mut found = Vec::new();
    for scope in scopes(cases) {
        let within = within(cases, &scope);
        for (agent, record) in records(&within, now) {
            let mut kinds = BTreeMap::new();
            within.iter().filter(|case| case.agent == agent).for_each(|case| *kinds.entry(case.kind).or_default() += 1);
            let capability = (!scope.is_empty()).then_some(scope.as_str());
            found.push(Reputation {
                accuracy: pinned.accuracy(&agent, capability),
                weight: pinned.weight(&agent, capability, 2),
                agent,
                capability: scope.clone(),
                right: record.right,
                wrong: record.wrong,
                kinds,
                effort: None,
            });
        }
    }
    found.sort_by(|a, b| a.agent.cmp(&b.agent).then_with(|| a.capability.cmp(&b.capability)));
    found
}

/// What a run pins: each agent's chance to be right, and weights where past votes with known truth teach them.
pub fn pin(cases: &[Case], now: Timestamp) -> Pinned {
    let mut pinned = Pinned::default();
    for scope in scopes(cases) {
        let within = within(cases, &scope);
        for (agent, record) in records(&within, now) {
            // What is assumed for a capability is what all of the agent's work says; the scope of all work comes first.
            let before = if scope.is_empty() { PRIOR } else { PRIOR.of(pinned.accuracy(&agent, None)) };
            pinned.accuracy.insert(Pinned::key(&agent, &scope), record.accuracy(before));
        }
        let Votes { past, unknown, choices } = votes(&within, now);
        if past.len() >= FEWEST {
            let learnt = learn(&past, &unknown, choices);
            let named = |(agent, weight): (&String, &f64)| (Pinned::key(agent, &scope), *weight);
            pinned.weights.extend(learnt.weights.iter().map(named));
            pinned.best.extend(learnt.best.map(|best| (scope.clone(), best)));
        }
    }
    pinned
}

/// All capabilities, and the empty name for all work.
fn scopes(cases: &[Case]) -> BTreeSet<String> {
    cases.iter().map(|case| case.capability.clone()).chain((!cases.is_empty()).then(String::new)).collect()
}

fn within<'a>(cases: &'a [Case], scope: &str) -> Vec<&'a Case> {
    cases.iter().filter(|case| scope.is_empty() || case.capability == scope).collect()
}

/// Each agent's record. A ballot counts as right by the chance that agreement gives it, or by whether it won; where it was compared with
/// the right answer, that alone counts.
fn records(cases: &[&Case], now: Timestamp) -> BTreeMap<String, Outcomes> {
    let agreed = agreed(cases);
    let compared: BTreeSet<(&str, &str)> =
        cases.iter().filter(|case| case.kind == Kind::Gold).map(|case| (&*case.subject, &*case.agent)).collect();
    let is_told = |case: &Case| case.kind.is_vote() && compared.contains(&(&*case.subject, &*case.agent));
    let mut found: BTreeMap<String, Outcomes> = BTreeMap::new();
    for case in cases.iter().filter(|case| !is_told(case)) {
        let value = agreed.get(&(case.subject.as_str(), case.agent.as_str())).filter(|_| case.kind.is_vote());
        let age = now.since(case.at);
        found.entry(case.agent.clone()).or_default().add(value.copied().unwrap_or(case.value), age, HALF_LIFE);
    }
    found
}

/// For each ballot of which only the vote's end is known, the chance that it is right; by subject and agent.
fn agreed<'a>(cases: &[&'a Case]) -> BTreeMap<(&'a str, &'a str), f64> {
    let mut votes: BTreeMap<&str, (Ballots, Option<String>)> = BTreeMap::new();
    let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for case in cases {
        let Some(choice) = &case.choice else { continue };
        let vote = votes.entry(&case.subject).or_default();
        if case.kind == Kind::Gold && case.value >= 1.0 {
            vote.1 = Some(choice.clone());
        }
        let named = names.entry(&case.subject).or_default();
        if !named.contains(&case.agent.as_str()) {
            named.push(&case.agent);
            vote.0.push((case.agent.clone(), choice.clone()));
        }
    }
    let all: Vec<_> = votes.values().cloned().collect();
    let Some(found) = chances(&all) else { return BTreeMap::new() };
    let rows = names.into_iter().zip(found);
    rows.flat_map(|((subject, agents), row)| agents.into_iter().map(move |agent| (subject, agent)).zip(row)).collect()
}

/// Votes that teach.
struct Votes {
    past: Vec<Past>,
    unknown: Vec<Untold>,
    /// How many choices they have in common; none if they are open.
    choices: Option<usize>,
}

/// What nobody said: it stands for a truth of which only that is known.
const NOBODYS: &str = "\u{0}";

/// Votes by their subject, the oldest first. The truth is known where an answer was compared with it.
fn votes(cases: &[&Case], now: Timestamp) -> Votes {
    let mut subjects: BTreeMap<(Timestamp, &str), (Ballots, Option<String>)> = BTreeMap::new();
    let mut first: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for case in cases {
        let at = first.entry(&case.subject).or_insert(case.at);
        *at = (*at).min(case.at);
    }
    let mut choices = BTreeSet::new();
    for case in cases {
        let Some(choice) = &case.choice else { continue };
        let (ballots, truth) = subjects.entry((first[case.subject.as_str()], &case.subject)).or_default();
        choices.insert(choice.as_str());
        if !ballots.iter().any(|(agent, _)| *agent == case.agent) {
            ballots.push((case.agent.clone(), choice.clone()));
        }
        match (case.kind, truth.as_deref()) {
            (Kind::Gold, _) if case.value >= 1.0 => *truth = Some(choice.clone()),
            (Kind::Gold, None) => *truth = Some(NOBODYS.to_owned()),
            _ => {}
        }
    }
    let is_closed = (2..=MOST_CHOICES).contains(&choices.len());
    let mut found = Votes { past: Vec::new(), unknown: Vec::new(), choices: is_closed.then_some(choices.len()) };
    for ((at, _), (ballots, truth)) in subjects {
        let age = now.since(at);
        match truth {
            Some(truth) => found.past.push(Past { ballots, truth, age }),
            None => found.unknown.push((ballots, age)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::vote::{Ballot, VoteRule, tally};

    const NOW: Timestamp = Timestamp::from_micros(400 * 86_400 * 1_000_000);

    fn case(subject: &str, agent: &str, kind: Kind, value: f64) -> Case {
        let (subject, agent) = (subject.to_owned(), agent.to_owned());
        Case { subject, agent, capability: String::new(), kind, value, choice: None, at: NOW }
    }

    #[test]
    fn kinds_read_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Ok(*kind));
            assert_eq!(serde_json::to_value(kind).expect("a word"), kind.as_str());
        }
        assert_eq!(Kind::parse("luck").expect_err("no kind").code, "unknown_outcome");
    }

    #[test]
    fn records_are_kept_by_capability_and_for_all_work() {
        let query = |n: usize, value: f64| Case {
            capability: "sql".into(),
            ..case(&format!("q{n}"), "ada", Kind::Gold, value)
        };
        let old = Case {
            at: Timestamp::from_micros(NOW.as_micros() - 90 * 86_400 * 1_000_000),
            ..case("r", "ada", Kind::Rated, 0.0)
        };
        let mut cases: Vec<Case> = (0..7).map(|n| query(n, 1.0)).collect();
        cases.push(old);
        let found = reputation(&cases, NOW);
        let brief: Vec<_> = found.iter().map(|one| (one.capability.as_str(), one.right, one.wrong)).collect();
        assert_eq!(brief, [("", 7.0, 0.5), ("sql", 7.0, 0.0)]);
        // 7 cases, all right, and three that are as right as all its work: 9 of 10.5.
        let sql = (7.0 + 3.0 * 9.0 / 10.5) / 10.0;
        assert!((found[1].accuracy - sql).abs() < 1e-12 && (found[1].weight - (sql / (1.0 - sql)).ln()).abs() < 1e-12);
        assert_eq!((found[0].kinds[&Kind::Rated], found[0].kinds[&Kind::Gold]), (1, 7));
        let pinned = pin(&cases, NOW);
        assert!((pinned.accuracy("ada", Some("sql")) - sql).abs() < 1e-12);
        assert!(pin(&[], NOW).is_empty() && reputation(&[], NOW).is_empty());
    }

    #[test]
    fn a_vote_that_was_decided_leaves_its_voters_outcomes() {
        let rule = VoteRule { options: vec!["x".into(), "y".into()], ..VoteRule::default() };
        let voters: Vec<_> = ["a", "b", "c", "d"].map(|name| (name.to_owned(), 1.0)).into();
        let ballots = [
            Ballot::cast(&rule, "a", "x"),
            Ballot::cast(&rule, "b", "X."),
            Ballot::cast(&rule, "c", "y"),
            Ballot::abstain("d", ""),
        ];
        let cases = of_vote(&tally(&rule, &voters, &ballots), "run/vote", Some("ops"));
        let brief: Vec<_> = cases.iter().map(|case| (case.agent.as_str(), case.kind, case.choice.as_deref())).collect();
        assert_eq!(
            brief,
            [("a", Kind::VoteWon, Some("x")), ("b", Kind::VoteWon, Some("x")), ("c", Kind::VoteLost, Some("y"))]
        );
        assert!(
            of_vote(&tally(&rule, &voters, &ballots[..1]), "run/vote", None).is_empty(),
            "an open vote says nothing yet"
        );
    }

    #[test]
    fn the_right_answer_takes_the_place_of_what_a_vote_decided() {
        let rule = VoteRule { options: vec!["x".into(), "y".into()], ..VoteRule::default() };
        let voters: Vec<_> = ["a", "b", "c", "d"].map(|name| (name.to_owned(), 1.0)).into();
        let said = [("a", "x"), ("b", "x"), ("c", "Y.")].map(|(voter, choice)| Ballot::cast(&rule, voter, choice));
        let counted = tally(&rule, &voters, &[said.to_vec(), vec![Ballot::abstain("d", "")]].concat());
        let gold = of_gold(&counted, "y", "vote", Some("ops"));
        let brief: Vec<_> = gold.iter().map(|case| (case.agent.as_str(), case.kind, case.value)).collect();
        assert_eq!(brief, [("a", Kind::Gold, 0.0), ("b", Kind::Gold, 0.0), ("c", Kind::Gold, 1.0)]);
        let all: Vec<Case> = [of_vote(&counted, "vote", Some("ops")), gold].concat();
        let all: Vec<Case> = all.into_iter().map(|case| Case { at: NOW, ..case }).collect();
        let found = reputation(&all, NOW);
        let right = |agent: &str| {
            found.iter().find(|one| one.agent == agent && one.capability == "ops").map(|one| (one.right, one.wrong))
        };
        assert_eq!((right("a"), right("c")), (Some((0.0, 1.0)), Some((1.0, 0.0))), "a case counts once: {found:?}");
    }

    /// Votes of `good` and two who say the same wrong thing each third time.
    fn crowd(known: bool) -> Vec<Case> {
        let mut cases = Vec::new();
        for n in 0..60 {
            let truth = if n % 2 == 0 { "yes" } else { "no" };
            let wrong = if n % 2 == 0 { "no" } else { "yes" };
            for (agent, slips) in [("good", false), ("bad", n % 3 == 0), ("worse", n % 3 == 0 || n % 5 == 0)] {
                let said = if slips { wrong } else { truth };
                let (kind, value) = match (known, slips) {
                    (true, slips) => (Kind::Gold, if slips { 0.0 } else { 1.0 }),
                    (false, true) => (Kind::VoteWon, 1.0),
                    (false, false) => (Kind::VoteLost, 0.0),
                };
                cases.push(Case { choice: Some(said.into()), ..case(&format!("v{n:02}"), agent, kind, value) });
            }
        }
        cases
    }

    #[test]
    fn votes_with_known_truth_teach_weights() {
        let pinned = pin(&crowd(true), NOW);
        let weight = |agent: &str| pinned.weight(agent, None, 2);
        assert!(weight("good") > weight("bad") + weight("worse"), "{pinned:?}");
        assert!(pinned.accuracy("bad", None) > pinned.accuracy("worse", None));
    }

    #[test]
    fn what_a_vote_decided_is_not_taken_for_the_truth_where_agreement_tells_more() {
        let mut cases = crowd(false);
        for n in 0..60 {
            let truth = if n % 2 == 0 { "yes" } else { "no" };
            let more = ["d", "e"].map(|agent| Case {
                choice: Some(truth.into()),
                ..case(&format!("v{n:02}"), agent, Kind::VoteLost, 0.0)
            });
            cases.extend(more);
        }
        let pinned = pin(&cases, NOW);
        assert!(
            pinned.accuracy("good", None) > 0.9,
            "its votes are recorded as lost, and it agrees with most: {pinned:?}"
        );
        assert!(pinned.weights.is_empty(), "no truth is known");
    }

    #[test]
    fn half_a_life_later_a_case_counts_half() {
        let cases = [case("a", "ada", Kind::Gold, 1.0)];
        let later = NOW.after(Duration::from_secs(90 * 86_400));
        assert!((reputation(&cases, later)[0].right - 0.5).abs() < 1e-9);
    }
}
