//! Formulas against their closed forms, and what is learnt against made-up voters of known worth.

use proptest::prelude::*;

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn records_are_smoothed_and_fade() {
    let mut record = Outcomes::default();
    assert!((record.accuracy(PRIOR) - 2.0 / 3.0).abs() < 1e-12);
    for _ in 0..7 {
        record.add(1.0, Duration::ZERO, HALF_LIFE);
    }
    assert!((record.accuracy(PRIOR) - 0.9).abs() < 1e-12, "9 of 10");
    record.add(0.0, DAY * 90, HALF_LIFE);
    record.add(0.0, DAY * 180, HALF_LIFE);
    assert!((record.wrong - 0.75).abs() < 1e-12, "half of one and a quarter of another");
    record.add(0.75, Duration::ZERO, HALF_LIFE);
    assert!((record.right - 7.75).abs() < 1e-12 && (record.cases() - 8.75).abs() < 1e-12);
    assert!((faded(DAY * 365, Duration::ZERO) - 1.0).abs() < 1e-12, "without a half-life nothing fades");
}

#[test]
fn weights_are_log_odds() {
    assert!((log_odds(0.9, 2) - 9.0_f64.ln()).abs() < 1e-12);
    assert!((log_odds(0.5, 5) - 4.0_f64.ln()).abs() < 1e-12);
    assert!(log_odds(0.2, 5).abs() < 1e-12, "chance is worth nothing");
    assert!(log_odds(0.1, 2) < 0.0 && weight(0.1, 2) == 0.0);
    assert!(log_odds(1.0, 2).is_finite() && log_odds(0.0, 2).is_finite() && log_odds(0.5, 0).is_finite());
}

#[test]
fn collapsing_lets_one_decide_where_it_votes() {
    let mut all = vec![("a".to_owned(), 1.0), ("b".to_owned(), 3.0), ("c".to_owned(), 2.0)];
    collapse(&mut all, "a");
    assert_eq!(all[0].1, 11.0, "more than two thirds of 16");
    collapse(&mut all, "nobody");
    assert_eq!(all[1].1, 3.0);
}

/// Chance that repeats.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / (1_u64 << 31) as f64
    }
}

/// Votes by voters who err by themselves, each right with its chance.
fn votes(dice: &mut Dice, count: usize, right: &[f64]) -> Vec<Past> {
    let mut vote = |_| {
        let truth = if dice.next() < 0.5 { "yes" } else { "no" };
        let said = |(n, chance): (usize, &f64)| {
            let is_right = dice.next() < *chance;
            (format!("v{n}"), if is_right == (truth == "yes") { "yes" } else { "no" }.to_owned())
        };
        Past { ballots: right.iter().enumerate().map(said).collect(), truth: truth.to_owned(), age: Duration::ZERO }
    };
    (0..count).map(&mut vote).collect()
}

#[test]
fn those_who_err_by_themselves_keep_their_log_odds() {
    let past = votes(&mut Dice(1), 2_000, &[0.9, 0.7, 0.6, 0.5]);
    let learnt = learn(&past, &[], Some(2));
    for (voter, chance) in [("v0", 0.9), ("v1", 0.7), ("v2", 0.6), ("v3", 0.5)] {
        let (found, best) = (learnt.weights[voter], log_odds(chance, 2));
        assert!((found - best).abs() < 0.3, "{voter}: {found:.2} instead of {best:.2}");
    }
    assert!((learnt.weight("stranger", Some(2)) - 2.0_f64.ln()).abs() < 1e-12);
}

#[test]
fn what_was_learnt_long_ago_fades() {
    let of = |n: u32, right: &str, age: Duration| {
        let (truth, other) = if n.is_multiple_of(2) { ("yes", "no") } else { ("no", "yes") };
        let ballots =
            ["ada", "bob"].map(|name| (name.to_owned(), if name == right { truth } else { other }.to_owned()));
        Past { ballots: ballots.into(), truth: truth.to_owned(), age }
    };
    // Ada was right for as long as Bob is now; at first sight they are worth the same.
    let turned = |age: Duration| -> Vec<Past> {
        (0..50).map(|n| of(n, "ada", age)).chain((0..50).map(|n| of(n, "bob", Duration::ZERO))).collect()
    };
    let same = learn(&turned(Duration::ZERO), &[], Some(2));
    assert!((same.weights["ada"] - same.weights["bob"]).abs() < 0.05, "{:?}", same.weights);
    let learnt = learn(&turned(DAY * 180), &[], Some(2));
    assert!((learnt.records["ada"].right - 12.5).abs() < 1e-9, "after two half-lives a quarter is left");
    assert!(learnt.weights["bob"] > learnt.weights["ada"] + 1.0, "{:?}", learnt.weights);
    // By agreement alone, too.
    let untold: Vec<_> = (0..50).map(|n| (of(n, "bob", Duration::ZERO).ballots, DAY * 180)).collect();
    let learnt = learn(&turned(Duration::ZERO), &untold, Some(2));
    assert!((learnt.records["ada"].cases() - 112.5).abs() < 1e-6, "{:?}", learnt.records);
}

#[test]
fn three_who_copy_each_other_count_about_once() {
    let mut past = votes(&mut Dice(2), 1_000, &[0.8, 0.7]);
    for vote in &mut past {
        let copied = vote.ballots[1].1.clone();
        vote.ballots.extend(["c1", "c2"].map(|name| (name.to_owned(), copied.clone())));
    }
    let learnt = learn(&past, &[], Some(2));
    let together: f64 = ["v1", "c1", "c2"].iter().map(|voter| learnt.weights[*voter]).sum();
    assert!(
        together < learnt.weights["v0"],
        "three copies of a worse voter outvote a better one: {:?}",
        learnt.weights
    );
    assert!(learnt.best.is_none());
}

#[test]
fn the_best_voter_decides_alone_only_on_evidence() {
    // Twenty voters with few cases between them, of which one is always right: the vote cannot be better than that.
    let mut chances = vec![0.55; 14];
    chances[0] = 1.0;
    let past = votes(&mut Dice(3), 24, &chances);
    let learnt = learn(&past, &[], Some(2));
    assert!(learnt.best_right >= 23.0, "{learnt:?}");
    assert!(learnt.best.as_deref().is_none_or(|best| best == "v0"));
    let few = learn(&past[..10], &[], Some(2));
    assert_eq!((few.best, few.vote_right), (None, 0.0), "ten votes say nothing about voting");
    assert_eq!(learn(&[], &[], None), Learnt::default());
}

#[test]
fn agreement_finds_who_is_right_without_the_truth() {
    let past = votes(&mut Dice(4), 400, &[0.95, 0.8, 0.75, 0.7, 0.65]);
    let hidden: Vec<_> = past.iter().map(|vote| (vote.ballots.clone(), None)).collect();
    let records = expected(&hidden, &[Duration::ZERO; 400]).expect("votes with two choices in common");
    for (voter, chance) in [("v0", 0.95), ("v1", 0.8), ("v4", 0.65)] {
        let found = records[voter].accuracy(PRIOR);
        assert!((found - chance).abs() < 0.07, "{voter}: {found:.2} instead of {chance}");
    }
    assert!(expected(&hidden[..5], &[Duration::ZERO; 5]).is_none(), "five votes have too little in common");
    let open: Vec<_> =
        (0..50).map(|n| (vec![("a".to_owned(), n.to_string()), ("b".to_owned(), "0".to_owned())], None)).collect();
    assert!(expected(&open, &vec![Duration::ZERO; open.len()]).is_none(), "open votes have no choices in common");
}

#[test]
fn who_always_says_the_same_has_no_weight_in_agreement() {
    // The whole matrix knows that `yes` from one who always says yes means nothing.
    let mut past = votes(&mut Dice(5), 300, &[0.8, 0.8, 0.8]);
    past.iter_mut().for_each(|vote| vote.ballots.push(("parrot".to_owned(), "yes".to_owned())));
    let labels: Vec<Label> = past
        .iter()
        .enumerate()
        .flat_map(|(item, vote)| {
            vote.ballots.iter().enumerate().map(move |(voter, (_, said))| Label {
                item,
                voter,
                class: usize::from(said == "yes"),
            })
        })
        .collect();
    let found = dawid_skene(&labels, Size { items: 300, voters: 4, classes: 2 }, &[]);
    let says_yes = |right: usize| found.says[3][right][1];
    assert!(says_yes(0) > 0.99 && says_yes(1) > 0.99);
    assert!((found.accuracy(3) - 0.5).abs() < 0.1 && (found.accuracy(0) - 0.8).abs() < 0.1);
    assert!(found.rounds <= crowd::ROUNDS);
}

#[test]
fn what_is_known_is_held_fast() {
    let labels = [
        Label { item: 0, voter: 0, class: 0 },
        Label { item: 0, voter: 1, class: 0 },
        Label { item: 9, voter: 9, class: 9 },
    ];
    let found = dawid_skene(&labels, Size { items: 2, voters: 2, classes: 2 }, &[(0, 1), (7, 0)]);
    assert_eq!(found.likeliest(0), [1]);
    assert_eq!(found.chances[0], [0.0, 1.0]);
    let nothing = dawid_skene(&[], Size { items: 0, voters: 0, classes: 0 }, &[]);
    assert!(nothing.chances.is_empty());
}

/// The chance that more than half of `n` are right who are each right with chance `p`: Condorcet's jury theorem.
fn jury(n: u32, p: f64) -> f64 {
    let choose = |k: u32| (0..k).fold(1.0, |all, i| all * f64::from(n - i) / f64::from(i + 1));
    (n / 2 + 1..=n).map(|k| choose(k) * p.powi(k.cast_signed()) * (1.0 - p).powi((n - k).cast_signed())).sum()
}

#[test]
fn majorities_are_right_as_often_as_condorcet_says() {
    use crate::vote::{Ballot, Outcome, VoteRule, tally};
    let rule = VoteRule { options: vec!["yes".into(), "no".into()], ..VoteRule::default() };
    for (voters, wanted) in [(3, 0.784), (5, 0.837), (9, 0.901), (15, 0.950)] {
        let exact = jury(voters, 0.7);
        assert!((exact - wanted).abs() < 5e-4);
        let mut right = 0;
        let past = votes(&mut Dice(u64::from(voters)), 2_000, &vec![0.7; voters as usize]);
        for vote in &past {
            let electorate: Vec<_> = vote.ballots.iter().map(|(voter, _)| (voter.clone(), 1.0)).collect();
            let ballots: Vec<_> = vote.ballots.iter().map(|(voter, said)| Ballot::cast(&rule, voter, said)).collect();
            right += usize::from(
                tally(&rule, &electorate, &ballots).outcome == Outcome::Decided { choice: vote.truth.clone() },
            );
        }
        // Four standard errors of 2,000 draws.
        let error = 4.0 * (exact * (1.0 - exact) / 2_000.0).sqrt();
        assert!((right as f64 / 2_000.0 - exact).abs() < error, "{voters} voters: {right} of 2000, not {exact:.3}");
    }
}

#[test]
fn what_is_pinned_is_found_by_the_nearest_record() {
    let mut pinned = Pinned::default();
    assert!(pinned.is_empty());
    pinned.accuracy.insert(Pinned::key("ada", ""), 0.9);
    pinned.accuracy.insert(Pinned::key("ada", "sql"), 0.6);
    assert_eq!(pinned.accuracy("ada", Some("sql")), 0.6);
    assert_eq!(pinned.accuracy("ada", Some("rust")), 0.9);
    assert!((pinned.weight("ada", None, 2) - 9.0_f64.ln()).abs() < 1e-12);
    pinned.weights.insert(Pinned::key("ada", "sql"), -1.0);
    assert_eq!(pinned.weight("ada", Some("sql"), 2), 0.0, "what speaks against itself weighs nothing");
    let text = serde_json::to_string(&pinned).expect("plain data");
    assert_eq!(serde_json::from_str::<Pinned>(&text).expect("the same"), pinned);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn learning_never_breaks(ballots in prop::collection::vec(prop::collection::vec((0_u8..6, 0_u8..4), 0..6), 0..60), closed in any::<bool>()) {
        let past: Vec<Past> = ballots
            .iter()
            .enumerate()
            .map(|(n, ballots)| Past {
                ballots: ballots.iter().map(|(voter, said)| (format!("v{voter}"), said.to_string())).collect(),
                truth: (n % 5).to_string(),
                age: DAY * (n as u32 * 30),
            })
            .collect();
        let hidden: Vec<_> = past.iter().map(|vote| (vote.ballots.clone(), vote.age)).collect();
        let learnt = learn(&past, &hidden, closed.then_some(4));
        prop_assert!(learnt.weights.values().all(|weight| weight.is_finite()));
        prop_assert_eq!(&learnt, &learn(&past, &hidden, closed.then_some(4)), "nothing is drawn by chance");
        prop_assert!(learnt.best.is_none() || past.len() >= FEWEST);
    }
}
