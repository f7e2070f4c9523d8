//! Values that say more than their steps ask for: what a review came to, how far those who were asked agree, how good somebody's
//! work was. Rule: what cannot be read says nothing; no run fails of it. Start at [`Machine::tell_of`].

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Machine, What};
use crate::flow::{expand, path, template};

/// The largest score where none is said.
const MOST: f64 = 10.0;
/// Names of those who were asked that an event lists.
const NAMED: usize = 200;

impl Machine<'_, '_> {
    /// Notes what the value of the step at a path says.
    pub(super) fn tell_of(&mut self, at: &str, id: &str, value: &Value) {
        if id == expand::REVIEWED {
            let review = path::split(at).map_or("", |(review, _)| review).to_owned();
            self.note(What::ReviewEnded, &review, value.clone());
        }
        if let Some(facts) = measured(value) {
            self.note(What::AgreementMeasured, at, facts);
        }
        let team = &self.scope.spec.team;
        let is_known = |name: &str| name == team.coordinator || team.members.iter().any(|one| one.profile == name);
        if let Some(facts) = scored(value, is_known) {
            self.note(What::WorkScored, at, facts);
        }
    }
}

/// A share `agreement` of those in the list `positions`: who said something, who did not.
fn measured(value: &Value) -> Option<Value> {
    let share = value.get("agreement")?.as_f64().filter(|share| (0.0..=1.0).contains(share))?;
    let positions = value.get("positions")?.as_array()?;
    let voices = template::voices(positions);
    let all = voices.as_array().map(Vec::as_slice).unwrap_or_default();
    let said = all.iter().filter(|one| one["ok"] == true).count();
    let names: Vec<&Value> = all.iter().take(NAMED).map(|one| &one["agent"]).collect();
    let digest = template::digest(&voices);
    Some(json!({"agreement": share, "voices": said, "silent": all.len() - said, "of": names, "digest": digest}))
}

/// A list `scores` of `{agent, score, most, capability}`: how good each one's work was, from 0 to 1, on average where it is scored
/// more than once.
fn scored(value: &Value, is_known: impl Fn(&str) -> bool) -> Option<Value> {
    let mut sums: BTreeMap<(&str, &str), (f64, u32)> = BTreeMap::new();
    for one in value.get("scores")?.as_array()? {
        let agent = one.get("agent").and_then(Value::as_str).filter(|agent| is_known(agent));
        let score = one.get("score").and_then(Value::as_f64);
        let most = one.get("most").and_then(Value::as_f64).unwrap_or(MOST);
        let (Some(agent), Some(score), true) = (agent, score, most > 0.0) else { continue };
        let capability = one.get("capability").and_then(Value::as_str).unwrap_or_default();
        let (sum, count) = sums.entry((agent, capability)).or_default();
        *sum += (score / most).clamp(0.0, 1.0);
        *count += 1;
    }
    let told = sums.into_iter().map(|((agent, capability), (sum, count))| {
        json!({"agent": agent, "capability": capability, "value": sum / f64::from(count), "scores": count})
    });
    let told: Vec<Value> = told.collect();
    (!told.is_empty()).then(|| json!({"of": told}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_with_its_positions_is_a_poll() {
        let share = |agent: &str, ok: bool| json!({"key": agent, "agent": agent, "ok": ok, "value": {}});
        let shares = json!([share("a", true), share("b", true), share("c", false)]);
        let told = |value: Value| {
            let mut facts = measured(&value)?;
            let digest = facts.as_object_mut().and_then(|facts| facts.remove("digest"));
            Some((facts, digest))
        };
        let (facts, digest) = told(json!({"agreement": 0.5, "positions": shares})).expect("a poll");
        assert_eq!(facts, json!({"agreement": 0.5, "voices": 2, "silent": 1, "of": ["a", "b", "c"]}));
        let brief = template::voices(shares.as_array().expect("a list"));
        assert_eq!(
            told(json!({"agreement": 0.5, "positions": brief})),
            Some((facts, digest.clone())),
            "the same voices"
        );
        let others = json!([share("a", true), share("b", false), share("c", false)]);
        assert_ne!(told(json!({"agreement": 0.5, "positions": others})).expect("a poll").1, digest);
        let (facts, _) = told(json!({"agreement": 1.0, "positions": ["x", null]})).expect("a poll");
        assert_eq!(facts, json!({"agreement": 1.0, "voices": 1, "silent": 1, "of": ["1", "2"]}));
        let bad = [json!(1.5), json!("all"), json!(null)].map(|share| json!({"agreement": share, "positions": ["x"]}));
        for value in bad.into_iter().chain([json!({"agreement": 0.5}), json!(0.5)]) {
            assert_eq!(told(value.clone()), None, "{value}");
        }
    }

    #[test]
    fn scores_are_told_by_agent_from_0_to_1() {
        let is_known = |name: &str| name != "stranger";
        let one = |agent: &str, score: Value| json!({"agent": agent, "score": score});
        let of = |scores: Value| scored(&json!({"scores": scores}), is_known).map(|facts| facts["of"].clone());
        let told = |agent: &str, capability: &str, value: f64, scores: u32| json!({"agent": agent, "capability": capability, "value": value, "scores": scores});
        assert_eq!(
            of(json!([one("a", json!(8)), one("b", json!(12)), one("c", json!(-1))])),
            Some(json!([told("a", "", 0.8, 1), told("b", "", 1.0, 1), told("c", "", 0.0, 1)]))
        );
        assert_eq!(
            of(json!([one("a", json!(8)), one("a", json!(4))])),
            Some(json!([told("a", "", 0.6000000000000001, 2)]))
        );
        let special = json!({"agent": "a", "score": 3, "most": 4, "capability": "sql"});
        assert_eq!(of(json!([special])), Some(json!([told("a", "sql", 0.75, 1)])));
        let bad = json!([one("stranger", json!(8)), one("a", json!("good")), {"agent": "a", "score": 1, "most": 0}, 7]);
        assert_eq!((of(bad), of(json!([])), scored(&json!(1), is_known)), (None, None, None));
    }
}
