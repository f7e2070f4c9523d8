//! A team over time: its runs by day or week, added up. Start at [`series`].
//!
//! Rule: a run belongs to the day in UTC on which it was accepted. Times of runs that have not ended count nowhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::flow::Pace;
use super::voice::{Delays, Voices, median};
use super::{millis, number, ratio};
use crate::money::Money;
use crate::run::State;
use crate::time::Timestamp;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;
/// The first Monday after 1970 began, in days.
const MONDAY: i64 = 4;

/// How long a part of the series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// A day in UTC.
    Day,
    /// Monday to Sunday in UTC.
    Week,
}

impl Every {
    /// When the part began that an instant falls into.
    pub fn start(self, at: Timestamp) -> Timestamp {
        let day = at.as_micros().div_euclid(DAY);
        let first = match self {
            Self::Day => day,
            Self::Week => day - (day - MONDAY).rem_euclid(7),
        };
        Timestamp::from_micros(first * DAY)
    }
}

/// What counts of one run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunPoint {
    /// Its team.
    pub team: String,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Where it stands.
    pub state: String,
    /// From its first claim to its end, in microseconds.
    pub took: Option<i64>,
    /// The times that speed-up, parallel use and coordination are made of, once it has ended.
    pub pace: Option<Pace>,
    /// The voices of its polls.
    pub voices: Voices,
    /// How long each decision by a person took, in microseconds; nothing for one that is open.
    pub by_people: Vec<Option<i64>>,
    /// The same by an agent, or by default.
    pub by_agents: Vec<Option<i64>>,
    /// What it cost.
    pub cost: Money,
    /// Model calls whose price is not known.
    pub unpriced_calls: i64,
    /// Tokens in and out.
    pub tokens: i64,
    /// What people gave the run as a whole.
    pub stars: Vec<i64>,
    /// What they gave to the work of agents in it.
    pub stars_of_work: Vec<i64>,
}

/// Runs added up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sum {
    /// All that were accepted.
    pub runs: i64,
    /// Those that ended with a result.
    pub completed: i64,
    /// Those that ended without one.
    pub failed: i64,
    /// Those that were called off; they count neither way.
    pub cancelled: i64,
    /// Those that were handed to a person, who has not closed them.
    pub escalated: i64,
    /// Those that have not ended.
    pub open: i64,
    /// `completed / (completed + failed + escalated)`.
    pub success_rate: Option<f64>,
    /// How long those that completed took on average.
    pub mean_ms: Option<i64>,
    /// Half of them took no longer.
    pub median_ms: Option<i64>,
    /// What all of them cost.
    pub cost_usd: Money,
    /// Model calls whose price is not known; they are not in it.
    pub unpriced_calls: i64,
    /// Tokens in and out.
    pub tokens: i64,
    /// What all of them cost, failed ones too, by run that completed.
    pub cost_per_completed_usd: Option<Money>,
    /// All tasks of all runs one after another, by the time the runs took: long runs weigh more.
    pub speed_up: Option<f64>,
    /// The same in the times that it is made of.
    pub serial_ms: i64,
    /// The time that all of these figures are shares of.
    pub working_ms: i64,
    /// Calls of all agents of all runs, by what plans and capacities allowed: `busy / allowed`.
    pub utilization: Option<f64>,
    /// Model and tool calls, added up.
    pub busy_ms: i64,
    /// What they could have been.
    pub allowed_ms: i64,
    /// Time without any call, by the time the runs took.
    pub overhead: Option<f64>,
    /// That time.
    pub overhead_ms: i64,
    /// Voices with a proposal or the largest party, by all voices of all polls.
    pub agreement: Option<f64>,
    /// Voices with a proposal, or with the largest party.
    pub voices_with: i64,
    /// Voices against it.
    pub voices_against: i64,
    /// From a question to its answer, whoever gave it.
    pub decisions: Delays,
    /// The same where a person gave it.
    pub answers_by_people: Delays,
    /// The same where an agent gave it, or the default was taken.
    pub answers_by_agents: Delays,
    /// Ratings of runs.
    pub ratings: i64,
    /// Their average.
    pub stars: Option<f64>,
    /// Ratings of the work of agents.
    pub ratings_of_work: i64,
    /// Their average.
    pub stars_of_work: Option<f64>,
}

/// One part of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// When it begins.
    pub from: Timestamp,
    /// Its runs.
    #[serde(flatten)]
    pub sum: Sum,
}

/// Adds runs up, in all and by day or week. Days without a run are left out.
pub fn series(points: &[RunPoint], every: Every) -> (Sum, Vec<Part>) {
    let mut parts: BTreeMap<Timestamp, Vec<&RunPoint>> = BTreeMap::new();
    for point in points {
        parts.entry(every.start(point.created_at)).or_default().push(point);
    }
    let parts = parts.into_iter().map(|(from, own)| Part { from, sum: sum(own.into_iter()) }).collect();
    (sum(points.iter()), parts)
}

/// Adds runs up by team.
pub fn by_team(points: &[RunPoint]) -> BTreeMap<String, Sum> {
    let mut teams: BTreeMap<String, Vec<&RunPoint>> = BTreeMap::new();
    for point in points {
        teams.entry(point.team.clone()).or_default().push(point);
    }
    teams.into_iter().map(|(team, own)| (team, sum(own.into_iter()))).collect()
}

fn sum<'a>(points: impl Iterator<Item = &'a RunPoint>) -> Sum {
    let (mut sum, mut pace, mut took) = (Sum::default(), Pace::default(), Vec::new());
    let (mut stars, mut stars_of_work) = (Vec::new(), Vec::new());
    let (mut people, mut agents) = (Vec::new(), Vec::new());
    for point in points {
        sum.runs += 1;
        count(&mut sum, &point.state);
        if point.state == State::Completed.as_str() {
            took.extend(point.took);
        }
        sum.cost_usd += point.cost;
        sum.unpriced_calls += point.unpriced_calls;
        sum.tokens += point.tokens;
        pace += point.pace.unwrap_or_default();
        sum.voices_with += point.voices.with;
        sum.voices_against += point.voices.against;
        people.extend(&point.by_people);
        agents.extend(&point.by_agents);
        stars.extend(&point.stars);
        stars_of_work.extend(&point.stars_of_work);
    }
    took.sort_unstable();
    let (ratings, ratings_of_work) = (number(stars.len()), number(stars_of_work.len()));
    Sum {
        success_rate: ratio(sum.completed, sum.completed + sum.failed + sum.escalated),
        mean_ms: (!took.is_empty()).then(|| millis(took.iter().sum::<i64>() / number(took.len()))),
        median_ms: median(&took).map(millis),
        cost_per_completed_usd: (sum.completed > 0).then(|| Money::from_nanos(sum.cost_usd.as_nanos() / sum.completed)),
        speed_up: ratio(pace.serial, pace.working),
        serial_ms: millis(pace.serial),
        working_ms: millis(pace.working),
        utilization: ratio(pace.busy, pace.allowed),
        busy_ms: millis(pace.busy),
        allowed_ms: millis(pace.allowed),
        overhead: ratio(pace.overhead, pace.working),
        overhead_ms: millis(pace.overhead),
        agreement: ratio(sum.voices_with, sum.voices_with + sum.voices_against),
        decisions: Delays::of(people.iter().chain(&agents).copied()),
        answers_by_people: Delays::of(people),
        answers_by_agents: Delays::of(agents),
        ratings,
        stars: ratio(stars.iter().sum(), ratings),
        ratings_of_work,
        stars_of_work: ratio(stars_of_work.iter().sum(), ratings_of_work),
        ..sum
    }
}

fn count(sum: &mut Sum, state: &str) {
    match State::parse(state) {
        Some(State::Completed) => sum.completed += 1,
        Some(State::Failed) => sum.failed += 1,
        Some(State::Cancelled) => sum.cancelled += 1,
        Some(State::Escalated) => sum.escalated += 1,
        _ => sum.open += 1,
    }
}
