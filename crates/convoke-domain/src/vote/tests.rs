//! Ballots as models write them, and the proof by trying that a vote ends early only when it is certain.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::weight::Pinned;

fn rule(options: &[&str]) -> VoteRule {
    VoteRule { options: options.iter().map(|option| (*option).to_owned()).collect(), ..VoteRule::default() }
}

fn read(rule: &VoteRule, answer: &str) -> (String, bool) {
    let ballot = Ballot::read(rule, "ada", answer);
    (ballot.canonical, ballot.abstains)
}

fn chosen(choice: &str) -> (String, bool) {
    (choice.to_owned(), false)
}

fn nothing() -> (String, bool) {
    (String::new(), true)
}

#[test]
fn ballots_are_read_from_json_in_every_dress() {
    let closed = rule(&["Roll back", "Wait"]);
    for answer in [
        r#"{"choice": "Roll back"}"#,
        r#"{"choice": "roll-back.", "confidence": 0.9, "reason": "safer"}"#,
        "```json\n{\"choice\": \"ROLL BACK\"}\n```",
        "I have thought about it. {\"choice\": \"Roll back\"} That is all.",
    ] {
        assert_eq!(read(&closed, answer), chosen("Roll back"), "{answer}");
    }
    let ballot = Ballot::read(&closed, "ada", r#"{"choice": "wait", "confidence": 85, "reason": " not yet "}"#);
    assert_eq!((ballot.confidence, ballot.reason.as_str(), ballot.choice.as_str()), (Some(0.85), "not yet", "wait"));
    for answer in
        [r#"{"choice": null}"#, r#"{"choice": "abstain"}"#, r#"{"choice": "explode"}"#, r#"{"vote": 1}"#, "{}", ""]
    {
        assert_eq!(read(&closed, answer), nothing(), "{answer}");
    }
    let reason = Ballot::read(&closed, "ada", r#"{"choice": null, "reason": "not my field"}"#).reason;
    assert_eq!(reason, "not my field");
}

#[test]
fn ballots_are_read_from_plain_text_without_guessing() {
    let closed = rule(&["Roll back", "Wait"]);
    for answer in [
        "Roll back",
        "**Roll back.**",
        "Roll back: the last deployment is the cause.",
        "The deployment is the cause.\n\nAnswer: roll back",
        "My vote: **Roll back**",
        "The cause is plain.\nRoll back.",
    ] {
        assert_eq!(read(&closed, answer), chosen("Roll back"), "{answer}");
    }
    for answer in ["I would not roll back", "Either roll back or wait", "abstain", "   "] {
        assert_eq!(read(&closed, answer), nothing(), "{answer}");
    }
    let number = VoteRule { canonical: Canonical::Number, ..rule(&[]) };
    assert_eq!(read(&number, "She earns 16 - 7 = 9 eggs, so $18.00 a day."), chosen("18"));
    assert_eq!(read(&number, r#"{"choice": 18.0}"#), chosen("18"));
    assert_eq!(read(&number, "I do not know."), nothing());
    let json = VoteRule { canonical: Canonical::Json, ..rule(&[]) };
    assert_eq!(read(&json, r#"{"b": 1, "a": [2.0]}"#), chosen(r#"{"a":[2],"b":1}"#));
    assert_eq!(read(&json, r#"{"choice": {"b": 1, "a": [2.0]}}"#), chosen(r#"{"a":[2],"b":1}"#));
    assert_eq!(Ballot::of_value(&rule(&[]), "ada", &json!(true)).canonical, "true");
    assert_eq!(Ballot::of_value(&rule(&["yes", "no"]), "ada", &json!("Answer: yes")).canonical, "yes");
    // An option that is called so can be chosen.
    assert_eq!(read(&rule(&["None", "Some"]), "none"), chosen("None"));
}

#[test]
fn rules_say_what_is_wrong_with_them() {
    let wrong = VoteRule {
        options: vec!["Roll back".into(), "roll-back!".into(), " ".into()],
        quorum: 1.5,
        fixed: [("ada".to_owned(), -1.0)].into(),
        capability: Some("sql".into()),
        collapse: true,
        ..VoteRule::default()
    };
    let found: Vec<_> = wrong.problems().into_iter().map(|(field, why)| format!("{field}: {why}")).collect();
    assert_eq!(
        found,
        [
            "quorum: the quorum is 1.5, and it is a part of the voters: 0 to 1",
            "options: `Roll back` and `roll-back!` are the same when answers are compared",
            "options: an option is empty",
            "fixed: `ada` weighs -1; a weight is 0 to 1000000",
            "fixed: `fixed` has no effect without `weights: fixed`",
            "capability: `capability` has no effect without `weights: learnt`",
            "collapse: `collapse` has no effect without `weights: learnt`",
        ]
    );
    assert!(VoteRule::default().problems().is_empty());
    assert!(serde_json::from_value::<VoteRule>(json!({"quorom": 1})).is_err());
    let short: VoteRule =
        serde_json::from_value(json!({"options": ["a", "b"], "majority": "two_thirds"})).expect("a rule");
    assert_eq!((short.quorum, short.early_stop, short.tie), (0.5, true, TieRule::Fail));
}

#[test]
fn electorates_weigh_as_the_rule_says() {
    let voters: Vec<String> = ["ada", "bob", "cy", "ada"].map(str::to_owned).into();
    let weights = |rule: &VoteRule, pinned: &Pinned| -> Vec<f64> {
        electorate(rule, &voters, pinned).into_iter().map(|(_, weight)| (weight * 1_000.0).round() / 1_000.0).collect()
    };
    let mut rule = rule(&["a", "b"]);
    let mut pinned = Pinned::default();
    assert_eq!(weights(&rule, &pinned), [1.0, 1.0, 1.0]);
    rule.weights = Weights::Fixed;
    rule.fixed = [("bob".to_owned(), 2.5)].into();
    assert_eq!(weights(&rule, &pinned), [1.0, 2.5, 1.0]);
    rule.weights = Weights::Learnt;
    pinned.accuracy = [("ada".to_owned(), 0.9), ("bob".to_owned(), 0.3), ("ada:sql".to_owned(), 0.8)].into();
    // ln 9, nothing for worse than chance, ln 2 for no record.
    assert_eq!(weights(&rule, &pinned), [2.197, 0.0, 0.693]);
    rule.capability = Some("sql".into());
    assert_eq!(weights(&rule, &pinned), [1.386, 0.0, 0.693]);
    pinned.best = [("sql".to_owned(), "cy".to_owned())].into();
    assert_eq!(weights(&rule, &pinned), [1.386, 0.0, 0.693], "not unless the rule allows it");
    rule.collapse = true;
    assert_eq!(weights(&rule, &pinned), [1.386, 0.0, 3.466]);
}

#[test]
fn schemas_ask_for_what_the_reader_reads() {
    let closed = schema(&rule(&["Roll back", "Wait"]));
    assert_eq!(closed["properties"]["choice"]["enum"], json!(["Roll back", "Wait", null]));
    let number = schema(&VoteRule { canonical: Canonical::Number, ..rule(&[]) });
    assert_eq!(number["properties"]["choice"]["type"], json!(["number", "string", "null"]));
}

/// A vote that is half over.
#[derive(Debug, Clone)]
struct Half {
    rule: VoteRule,
    electorate: Vec<(String, f64)>,
    ballots: Vec<Ballot>,
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const CHOICES: [&str; 3] = ["x", "y", "z"];

fn half() -> impl Strategy<Value = Half> {
    let majority =
        prop::sample::select(vec![Majority::Plurality, Majority::Absolute, Majority::TwoThirds, Majority::Unanimous]);
    let tie = prop::sample::select(vec![TieRule::Fail, TieRule::First]);
    let quorum = prop::sample::select(vec![0.0, 1.0 / 3.0, 0.5, 0.6, 1.0]);
    let of = prop::sample::select(vec![QuorumOf::Heads, QuorumOf::Weight]);
    let weights = prop::collection::vec(prop::sample::select(vec![0.0, 0.1, 0.2, 0.3, 1.0, 2.0]), 0..=5);
    // What each voter does: nothing yet, abstain, or a choice.
    let acts = prop::collection::vec(0_usize..6, 5);
    ((majority, tie, quorum, of), 0_usize..=3, weights, acts).prop_map(
        |((majority, tie, quorum, of), options, weights, acts)| {
            let rule = VoteRule {
                options: CHOICES[..options].iter().map(|choice| (*choice).to_owned()).collect(),
                quorum,
                quorum_of: of,
                majority,
                tie,
                ..VoteRule::default()
            };
            let electorate: Vec<_> =
                NAMES.iter().zip(weights).map(|(name, weight)| ((*name).to_owned(), weight)).collect();
            let ballots = electorate.iter().zip(acts).filter_map(|((voter, _), act)| match act {
                0 | 1 => None,
                2 => Some(Ballot::abstain(voter, "")),
                act => Some(Ballot::cast(&rule, voter, CHOICES[act - 3])),
            });
            Half { ballots: ballots.collect(), rule, electorate }
        },
    )
}

/// What counts of an outcome: who is ahead without a majority may change.
fn essence(outcome: &Outcome) -> String {
    match outcome {
        Outcome::NoMajority { .. } => "no majority".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Every way to fill in what is out, and what comes of it.
fn endings(half: &Half) -> BTreeSet<String> {
    let out = tally(&half.rule, &half.electorate, &half.ballots);
    let out: Vec<&String> = half
        .electorate
        .iter()
        .map(|(voter, _)| voter)
        .filter(|voter| !out.ballots.iter().any(|ballot| ballot.voter == **voter))
        .collect();
    let fresh = NAMES.iter().map(|name| format!("new {name}")).take(out.len());
    let mut can: Vec<Option<String>> = vec![None];
    if half.rule.options.is_empty() {
        can.extend(CHOICES.iter().map(|choice| Some((*choice).to_owned())).chain(fresh.map(Some)));
    } else {
        can.extend(half.rule.options.iter().cloned().map(Some));
    }
    let mut found = BTreeSet::new();
    for n in 0..can.len().pow(u32::try_from(out.len()).expect("few")) {
        let mut ballots = half.ballots.clone();
        let mut rest = n;
        for voter in &out {
            ballots.push(match &can[rest % can.len()] {
                None => Ballot::abstain(voter, ""),
                Some(choice) => Ballot::cast(&half.rule, voter, choice),
            });
            rest /= can.len();
        }
        let done = tally(&half.rule, &half.electorate, &ballots);
        assert!(done.outcome != Outcome::Open && !done.decided_early, "{done:?}");
        found.insert(essence(&done.outcome));
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn a_vote_ends_early_if_and_only_if_it_is_certain(half in half()) {
        let now = tally(&half.rule, &half.electorate, &half.ballots);
        let endings = endings(&half);
        if now.outcome == Outcome::Open {
            prop_assert!(endings.len() > 1, "open although only {:?} can come of it: {:?}", endings, half);
        } else {
            prop_assert_eq!(endings, BTreeSet::from([essence(&now.outcome)]), "{:?}", half);
        }
        prop_assert_eq!(now.decided_early, now.outcome != Outcome::Open && !now.outstanding.is_empty());
    }

    #[test]
    fn the_order_in_which_ballots_come_changes_nothing(half in half(), turn in 0_usize..5) {
        let first = tally(&half.rule, &half.electorate, &half.ballots);
        let mut turned = half.ballots.clone();
        let len = turned.len().max(1);
        turned.rotate_left(turn % len);
        prop_assert_eq!(first, tally(&half.rule, &half.electorate, &turned));
    }

    #[test]
    fn everybody_is_accounted_for(half in half()) {
        let now = tally(&half.rule, &half.electorate, &half.ballots);
        let voted: usize = now.standing.iter().map(|standing| standing.voters.len()).sum();
        prop_assert_eq!(voted + now.abstained.len() + now.outstanding.len(), half.electorate.len());
        prop_assert!((0.0..=1.0).contains(&now.turnout) && (0.0..=1.0).contains(&now.agreement));
        if let Some(winner) = now.winner() {
            prop_assert_eq!(winner.voters.len() + now.dissent.len(), voted);
        }
        let text = serde_json::to_string(&now).expect("plain data");
        prop_assert_eq!(serde_json::from_str::<Tally>(&text).expect("the same data").outcome, now.outcome);
    }
}

#[test]
fn hostile_electorates_are_counted_all_the_same() {
    let rule = rule(&["x", "y"]);
    let electorate = |weights: &[f64]| -> Vec<(String, f64)> {
        NAMES.iter().zip(weights).map(|(name, weight)| ((*name).to_owned(), *weight)).collect()
    };
    let ballots = [Ballot::cast(&rule, "a", "x"), Ballot::cast(&rule, "b", "y"), Ballot::cast(&rule, "a", "y")];
    let odd = tally(&rule, &electorate(&[f64::NAN, f64::INFINITY]), &ballots);
    assert_eq!(odd.outcome, Outcome::Decided { choice: "y".into() });
    assert_eq!(
        tally(&rule, &electorate(&[-1.0, 1e-9]), &ballots).outcome,
        Outcome::Tied { choices: vec!["x".into(), "y".into()] }
    );
    // Sums are exact: one tenth and two tenths are three tenths.
    let ballots = [Ballot::cast(&rule, "a", "x"), Ballot::cast(&rule, "b", "x"), Ballot::cast(&rule, "c", "y")];
    let level = tally(&rule, &electorate(&[0.1, 0.2, 0.3]), &ballots);
    assert_eq!(level.outcome, Outcome::Tied { choices: vec!["x".into(), "y".into()] });
    let stranger = [Ballot::cast(&rule, "mallory", "x")];
    assert_eq!(tally(&rule, &electorate(&[1.0]), &stranger).outcome, Outcome::Open);
}
