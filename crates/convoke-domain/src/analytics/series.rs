//! A team over time: its runs by day or week, added up. Start at [`series`].
//!
//! Rule: a run belongs to the day in UTC on which it was accepted. Times of runs that have not ended count nowhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::flow::Pace;
use super::voice::median;
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
    /// The times that speed-up is made of, once it has ended.
    pub pace: Option<Pace>,
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
    for point in points {
        sum.runs += 1;
        count(&mut sum, &point.state);
        if point.state == State::Completed.as_str() {
            took.extend(point.took);
        }
        sum.cost_usd += point.cost;
        sum.unpriced_calls += point.unpriced_calls;
        sum.tokens += point.tokens;
        let own = point.pace.unwrap_or_default();
        pace = Pace { serial: pace.serial + own.serial, working: pace.working + own.working };
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
