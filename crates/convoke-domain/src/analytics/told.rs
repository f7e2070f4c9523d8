//! Polls that a flow tells of by its events: votes, measures of agreement, what was settled, merges by majority or by weight.
//!
//! Rule: voices count once. Whoever settles or merges what has just been measured asks nobody anew. Start at [`Polls::add`].

use serde_json::Value;

use super::number;
use super::voice::{Poll, counted_vote};
use crate::event::Kind;
use crate::flow::path;

/// Merges in which a result stands against another.
const CONTESTED: [&str; 2] = ["majority", "weighted"];

/// Polls in the order of their events.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Polls {
    told: Vec<(String, Poll)>,
    /// The results that were counted last, by their digest.
    last: Option<String>,
}

impl Polls {
    /// The kinds of events that tell of polls. A store that is asked for them gives these.
    pub const KINDS: [&'static str; 3] =
        [Kind::VoteCounted.as_str(), Kind::AgreementMeasured.as_str(), Kind::MergeCompleted.as_str()];

    /// Takes in what an event says.
    pub fn add(&mut self, kind: &str, payload: &Value) {
        let found = match Kind::parse(kind) {
            Some(Kind::VoteCounted) => counted_vote(payload).map(|told| (told, false)),
            Some(Kind::AgreementMeasured) => measured(payload),
            Some(Kind::MergeCompleted) => merged(payload),
            _ => None,
        };
        let Some((told, is_derived)) = found else { return };
        let digest = payload["digest"].as_str().map(str::to_owned);
        let is_said_again = is_derived && digest.is_some() && digest == self.last;
        if !is_said_again {
            self.told.push(told);
        }
        self.last = digest;
    }

    /// All of them: where in the flow, and how the voices stood.
    pub fn all(self) -> Vec<(String, Poll)> {
        self.told
    }
}

/// A poll, and whether it may only say again what was measured before.
type Found = ((String, Poll), bool);

fn names(list: &Value) -> impl Iterator<Item = String> + '_ {
    list.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned))
}

/// What a value measured. The share is of all who were asked, so that the number of voices follows from it.
fn measured(payload: &Value) -> Option<Found> {
    let (at, share) = (payload["path"].as_str()?, payload["agreement"].as_f64()?);
    let count = |key: &str| payload[key].as_i64().unwrap_or(0).max(0);
    let (voices, silent) = (count("voices"), count("silent"));
    let with = ((share * (voices + silent) as f64).round() as i64).min(voices);
    let (above, last) = path::split(at)?;
    let is_derived = last.starts_with('_');
    let poll = Poll {
        stage: if is_derived { above } else { at }.to_owned(),
        round: 1,
        with,
        against: voices - with,
        silent,
        rate: None,
    };
    Some(((at.to_owned(), poll), is_derived))
}

/// A merge: of whose results there is something in it, and who said something else.
fn merged(payload: &Value) -> Option<Found> {
    let at = payload["path"].as_str()?;
    if !CONTESTED.contains(&payload["how"].as_str()?) {
        return None;
    }
    let (with, silent): (Vec<_>, Vec<_>) = (names(&payload["from"]).collect(), names(&payload["missing"]).collect());
    let mut against: Vec<String> = Vec::new();
    for disagreement in payload["disagreements"].as_array().into_iter().flatten() {
        // Of a whole result everyone says one thing; of its parts one may differ in several.
        let is_whole = disagreement["path"] == "";
        let agents = disagreement["positions"].as_array().into_iter().flatten().flat_map(|one| names(&one["agents"]));
        for agent in agents.filter(|agent| !with.contains(agent)) {
            if is_whole || !against.contains(&agent) {
                against.push(agent);
            }
        }
    }
    let poll = Poll {
        stage: at.to_owned(),
        round: 1,
        with: number(with.len()),
        against: number(against.len()),
        silent: number(silent.len()),
        rate: None,
    };
    Some(((at.to_owned(), poll), true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(events: &[(Kind, Value)]) -> Vec<(String, i64, i64, i64)> {
        let mut polls = Polls::default();
        events.iter().for_each(|(kind, payload)| polls.add(kind.as_str(), payload));
        polls.all().into_iter().map(|(_, poll)| (poll.stage, poll.with, poll.against, poll.silent)).collect()
    }

    fn measure(at: &str, share: f64, of: &[&str], silent: usize) -> (Kind, Value) {
        (
            Kind::AgreementMeasured,
            json!({"path": at, "agreement": share, "voices": of.len() - silent, "silent": silent, "of": of, "digest": of.concat()}),
        )
    }

    fn merge(at: &str, how: &str, from: &[&str], against: &[&str]) -> (Kind, Value) {
        let positions = json!([{"value": "x", "agents": from}, {"value": "y", "agents": against}]);
        let disagreements =
            if against.is_empty() { json!([]) } else { json!([{"path": "", "positions": positions, "settled": true}]) };
        (
            Kind::MergeCompleted,
            json!({"path": at, "how": how, "from": from, "missing": [], "disagreements": disagreements, "digest": ([from, against].concat().concat())}),
        )
    }

    #[test]
    fn rounds_count_and_what_settles_them_does_not_count_again() {
        let of = ["a", "b", "c"];
        let rounds = [
            measure("rounds/1/measure", 1.0 / 3.0, &of, 0),
            measure("rounds/2/measure", 1.0 / 3.0, &of, 1),
            measure("settled/_polled", 1.0 / 3.0, &of, 1),
        ];
        let expected = [("rounds/1/measure", 1, 2, 0), ("rounds/2/measure", 1, 1, 1)];
        assert_eq!(told(&rounds), expected.map(|(at, with, against, silent)| (at.to_owned(), with, against, silent)));
        assert_eq!(told(&rounds[2..]), [("settled".to_owned(), 1, 1, 1)], "by itself it is a poll");
        let others = measure("settled/_polled", 0.5, &["d", "e"], 0);
        assert_eq!(told(&[rounds[1].clone(), others]).len(), 2, "others were asked");
    }

    #[test]
    fn merges_in_which_results_stand_against_each_other_are_polls() {
        let rows = [
            (merge("m", "majority", &["a", "b"], &["c"]), vec![("m".to_owned(), 2, 1, 0)]),
            (merge("m", "weighted", &["a"], &["b", "b"]), vec![("m".to_owned(), 1, 2, 0)]),
            (merge("m", "majority", &["a", "b"], &[]), vec![("m".to_owned(), 2, 0, 0)]),
            (merge("m", "union", &["a"], &["b"]), vec![]),
            (merge("m", "best_of", &["a"], &["b"]), vec![]),
            ((Kind::GateChecked, json!({"path": "m"})), vec![]),
            ((Kind::MergeCompleted, json!({})), vec![]),
        ];
        for (event, polls) in rows {
            assert_eq!(told(std::slice::from_ref(&event)), polls, "{event:?}");
        }
        let measured = measure("agreed", 2.0 / 3.0, &["a", "b", "c"], 0);
        let both = [measured, merge("most", "majority", &["a", "b"], &["c"])];
        assert_eq!(told(&both), [("agreed".to_owned(), 2, 1, 0)], "the same answers are not counted twice");
    }
}
