//! Situations of votes and merges, and what comes of them: the tables that `docs/reference/voting.md` is printed from.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::*;
use crate::merge::{Contribution, How, MergeRule, merge};

/// One line: what is so, the rule, ballots by voter (`a: x`; `a: -` abstains; voters without a ballot are out).
struct Row {
    situation: &'static str,
    rule: Value,
    voters: &'static [(&'static str, f64)],
    ballots: &'static [(&'static str, &'static str)],
}

const FIVE: &[(&str, f64)] = &[("a", 1.0), ("b", 1.0), ("c", 1.0), ("d", 1.0), ("e", 1.0)];
const FOUR: &[(&str, f64)] = &[("a", 1.0), ("b", 1.0), ("c", 1.0), ("d", 1.0)];
const THREE: &[(&str, f64)] = &[("a", 1.0), ("b", 1.0), ("c", 1.0)];
const UNEQUAL: &[(&str, f64)] = &[("a", 3.0), ("b", 1.0), ("c", 1.0)];

fn row(
    situation: &'static str,
    rule: Value,
    voters: &'static [(&'static str, f64)],
    ballots: &'static [(&'static str, &'static str)],
) -> Row {
    Row { situation, rule, voters, ballots }
}

fn who_votes() -> Vec<Row> {
    vec![
        row("nobody may vote", json!({}), &[], &[]),
        row("one voter, who votes", json!({}), &[("a", 1.0)], &[("a", "x")]),
        row("one voter, whose ballot is out", json!({}), &[("a", 1.0)], &[]),
        row("no ballot is in", json!({}), THREE, &[]),
        row("all abstain or have failed", json!({}), THREE, &[("a", "-"), ("b", "-"), ("c", "-")]),
        row("some abstain, the rest is enough", json!({}), THREE, &[("a", "x"), ("b", "-"), ("c", "x")]),
        row("a choice that is no option", json!({"options": ["x", "y"]}), THREE, &[("a", "z"), ("b", "x"), ("c", "x")]),
        row("a stranger votes", json!({}), THREE, &[("a", "x"), ("b", "y"), ("c", "y"), ("mallory", "x")]),
        row(
            "two ballots of one voter: the first counts",
            json!({}),
            THREE,
            &[("a", "x"), ("a", "y"), ("b", "x"), ("c", "y")],
        ),
        row(
            "the same answer in other words",
            json!({"canonical": "number"}),
            THREE,
            &[("a", "1,000.0"), ("b", "$1000"), ("c", "999")],
        ),
    ]
}

fn quorums() -> Vec<Row> {
    vec![
        row("half of four is met by two", json!({}), FOUR, &[("a", "x"), ("b", "x"), ("c", "-"), ("d", "-")]),
        row(
            "half of five is not met by two",
            json!({}),
            FIVE,
            &[("a", "x"), ("b", "x"), ("c", "-"), ("d", "-"), ("e", "-")],
        ),
        row("it cannot be met any more", json!({}), FIVE, &[("a", "x"), ("c", "-"), ("d", "-"), ("e", "-")]),
        row("all must vote, one abstains", json!({"quorum": 1.0}), THREE, &[("a", "x"), ("b", "x"), ("c", "-")]),
        row("no quorum is asked, and one votes", json!({"quorum": 0.0}), THREE, &[("a", "x"), ("b", "-"), ("c", "-")]),
        row(
            "no quorum is asked, and nobody votes",
            json!({"quorum": 0.0}),
            THREE,
            &[("a", "-"), ("b", "-"), ("c", "-")],
        ),
        row(
            "by weight: the heavy one votes",
            json!({"quorum_of": "weight"}),
            UNEQUAL,
            &[("a", "x"), ("b", "-"), ("c", "-")],
        ),
        row(
            "by weight: the light ones vote",
            json!({"quorum_of": "weight"}),
            UNEQUAL,
            &[("a", "-"), ("b", "x"), ("c", "x")],
        ),
    ]
}

fn majorities() -> Vec<Row> {
    let split: &[(&str, &str)] = &[("a", "x"), ("b", "x"), ("c", "y"), ("d", "z"), ("e", "-")];
    let three: &[(&str, &str)] = &[("a", "x"), ("b", "x"), ("c", "x"), ("d", "y"), ("e", "-")];
    let four: &[(&str, &str)] = &[("a", "x"), ("b", "x"), ("c", "x"), ("d", "x"), ("e", "-")];
    let mut rows = Vec::new();
    for majority in ["plurality", "absolute", "two_thirds", "unanimous"] {
        rows.push(row("2 of 4 cast, 5 may vote", json!({"majority": majority}), FIVE, split));
        rows.push(row("3 of 4 cast, 5 may vote", json!({"majority": majority}), FIVE, three));
        rows.push(row("4 of 4 cast, 5 may vote", json!({"majority": majority}), FIVE, four));
    }
    rows.push(row("the heavy one against two", json!({}), UNEQUAL, &[("a", "x"), ("b", "y"), ("c", "y")]));
    rows.push(row(
        "nobody has any weight: all weigh the same",
        json!({}),
        &[("a", 0.0), ("b", 0.0), ("c", 0.0)],
        &[("a", "x"), ("b", "y"), ("c", "y")],
    ));
    rows.push(row(
        "who weighs nothing votes alone",
        json!({"quorum": 0.0}),
        &[("a", 1.0), ("b", 0.0)],
        &[("a", "-"), ("b", "y")],
    ));
    rows
}

fn ties() -> Vec<Row> {
    let tied: &[(&str, &str)] = &[("a", "y"), ("b", "x"), ("c", "x"), ("d", "y")];
    let mut rows: Vec<Row> = ["fail", "escalate", "coordinator", "revote"]
        .iter()
        .map(|tie| row("2 against 2", json!({"options": ["x", "y"], "tie": tie}), FOUR, tied))
        .collect();
    rows.push(row(
        "2 against 2: the option that is listed first",
        json!({"options": ["x", "y"], "tie": "first"}),
        FOUR,
        tied,
    ));
    rows.push(row("2 against 2, open: the choice of the first voter", json!({"tie": "first"}), FOUR, tied));
    rows.push(row("three are level", json!({}), THREE, &[("a", "x"), ("b", "y"), ("c", "z")]));
    rows.push(row("two thirds are asked: a tie is no majority", json!({"majority": "two_thirds"}), FOUR, tied));
    rows.push(row(
        "a tie that the last ballot may break",
        json!({"options": ["x", "y"], "quorum": 0.0}),
        THREE,
        &[("a", "x"), ("b", "y")],
    ));
    rows
}

fn early() -> Vec<Row> {
    let three: &[(&str, &str)] = &[("a", "x"), ("b", "x"), ("c", "x")];
    vec![
        row("3 of 5 for one", json!({}), FIVE, three),
        row("3 of 5 for one, without early stop", json!({"early_stop": false}), FIVE, three),
        row("2 of 5 for one", json!({}), FIVE, &[("a", "x"), ("b", "x"), ("c", "y")]),
        row("2 of 4: the rest can draw level", json!({"options": ["x", "y"]}), FOUR, &[("a", "x"), ("b", "x")]),
        row(
            "2 of 4: the rest can draw level, and the first option wins ties",
            json!({"options": ["x", "y"], "tie": "first"}),
            FOUR,
            &[("a", "x"), ("b", "x")],
        ),
        row(
            "2 of 4 for the second option: the rest can draw level",
            json!({"options": ["x", "y"], "tie": "first"}),
            FOUR,
            &[("a", "y"), ("b", "y")],
        ),
        row("decided but for the quorum", json!({"quorum": 0.8}), FIVE, three),
        row("the heavy one has voted", json!({"quorum": 0.0}), UNEQUAL, &[("a", "x")]),
        row("the heavy one has voted, and the quorum is out", json!({}), UNEQUAL, &[("a", "x")]),
        row("unanimity is broken", json!({"majority": "unanimous"}), FIVE, &[("a", "x"), ("b", "y"), ("c", "x")]),
        row("unanimity so far", json!({"majority": "unanimous"}), FIVE, three),
        row("more than half of all is reached", json!({"majority": "absolute"}), FIVE, three),
        row(
            "more than half of all cannot be reached",
            json!({"majority": "absolute"}),
            FIVE,
            &[("a", "x"), ("b", "y"), ("c", "-"), ("d", "-")],
        ),
        row("two thirds can still be missed", json!({"majority": "two_thirds"}), FIVE, three),
        row("one option only", json!({"options": ["x"], "quorum": 0.0}), THREE, &[("a", "x")]),
    ]
}

fn outcome_of(row: &Row) -> (Tally, String) {
    let rule: VoteRule = serde_json::from_value(row.rule.clone()).expect("a rule");
    let electorate: Vec<_> = row.voters.iter().map(|(voter, weight)| ((*voter).to_owned(), *weight)).collect();
    let ballot = |(voter, said): &(&str, &str)| {
        if *said == "-" { Ballot::abstain(voter, "") } else { Ballot::cast(&rule, voter, said) }
    };
    let ballots: Vec<Ballot> = row.ballots.iter().map(ballot).collect();
    let tally = tally(&rule, &electorate, &ballots);
    let text = match &tally.outcome {
        Outcome::Open => "open".to_owned(),
        Outcome::Decided { choice } => format!("**{choice}**"),
        Outcome::Tied { choices } => format!("tied: {}", choices.join(", ")),
        Outcome::NoQuorum => "no quorum".to_owned(),
        Outcome::NoMajority { leading } => format!("no majority; {leading} is ahead"),
    };
    (tally, text)
}

fn voters_of(row: &Row) -> String {
    let weighty = row.voters.iter().any(|(_, weight)| *weight != 1.0);
    let one = |(voter, weight): &(&str, f64)| if weighty { format!("{voter}={weight}") } else { (*voter).to_owned() };
    let all: Vec<_> = row.voters.iter().map(one).collect();
    if all.is_empty() { "nobody".to_owned() } else { all.join(" ") }
}

fn vote_table(page: &mut String, title: &str, rows: &[Row]) {
    let _ = write!(
        page,
        "\n## {title}\n\n| situation | rule | voters | ballots | outcome | early | dissent |\n|---|---|---|---|---|---|---|\n"
    );
    for row in rows {
        let (tally, text) = outcome_of(row);
        let rule: Vec<_> = row
            .rule
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| format!("`{name}: {}`", plain(value)))
            .collect();
        let ballots: Vec<_> = row.ballots.iter().map(|(voter, said)| format!("{voter}: {said}")).collect();
        let dissent: Vec<_> = tally.dissent.iter().map(|ballot| ballot.voter.as_str()).collect();
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {text} | {} | {} |",
            row.situation,
            rule.join(" "),
            voters_of(row),
            ballots.join(", "),
            if tally.decided_early { "yes" } else { "" },
            dissent.join(" ")
        );
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string().replace('"', ""), str::to_owned)
}

fn merge_table(page: &mut String) {
    let inputs: Vec<(&str, Vec<Value>)> = vec![
        ("nobody was asked", vec![]),
        ("all have failed", vec![Value::Null, Value::Null]),
        ("a single result", vec![json!(["x", "y"])]),
        ("one has failed", vec![json!(["x", "y"]), Value::Null, json!(["Y.", "z"])]),
        ("empty lists", vec![json!([]), json!([])]),
        ("an empty list beside another", vec![json!([]), json!(["x"])]),
        ("three lists", vec![json!(["x", "y"]), json!(["Y.", "z"]), json!(["y", "x"])]),
        ("three numbers", vec![json!(10), json!(10.0), json!(12)]),
        ("three that all differ", vec![json!("x"), json!("y"), json!("z")]),
        (
            "objects",
            vec![
                json!({"cause": "pool", "at": 9}),
                json!({"cause": "Pool.", "fix": "restart"}),
                json!({"cause": "cache", "at": 9}),
            ],
        ),
        ("a list and a text", vec![json!(["x"]), json!("x")]),
    ];
    let hows = [How::Union, How::Intersection, How::Combine, How::Majority, How::Weighted, How::BestOf];
    let _ = write!(
        page,
        "\n## Merging\n\nResults of agents a, b, c in this order; `null` is none. For `weighted` they weigh 1, 2 and 4; for `best_of` they score 0.5, 0.9 and \
         0.1. Behind the result stands how many disagreements are reported.\n\n| results | union | intersection | combine | majority | weighted | best of |\n\
         |---|---|---|---|---|---|---|\n"
    );
    for (situation, values) in inputs {
        let shown: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
        let _ =
            write!(page, "| {situation}: {} ", if shown.is_empty() { "nothing".to_owned() } else { shown.join(" ") });
        for how in hows {
            let contributions: Vec<_> = values
                .iter()
                .zip([("a", 1.0, 0.5), ("b", 2.0, 0.9), ("c", 4.0, 0.1)])
                .map(|(value, (agent, weight, score))| Contribution {
                    agent: agent.to_owned(),
                    weight,
                    value: value.clone(),
                    score: Some(score),
                })
                .collect();
            let merged = merge(&MergeRule { how, ..MergeRule::default() }, &contributions);
            let reported = merged.disagreements.len();
            let value = merged.value.to_string().replace("\\n\\n", " ¶ ");
            let _ =
                write!(page, "| `{value}`{} ", if reported == 0 { String::new() } else { format!(" ({reported})") });
        }
        page.push_str("|\n");
    }
}

#[test]
fn the_page_shows_what_comes_of_every_situation() {
    let mut page = String::from(
        "# Votes and merges, situation by situation\n\nPrinted by a test of `convoke-domain/src/vote.rs` and `convoke-domain/src/merge.rs`; [voting](../concept/voting.md) says what it \
         means. A rule that says nothing wants half of the voters to vote and the most votes to win. `-` is an abstention: the voter said so, failed, or gave an \
         answer that cannot be read. A voter without a ballot has not voted yet. *Early* says that the outcome was certain before all ballots were in.\n",
    );
    vote_table(&mut page, "Who votes", &who_votes());
    vote_table(&mut page, "Quorum", &quorums());
    vote_table(&mut page, "Majority", &majorities());
    vote_table(&mut page, "Ties", &ties());
    vote_table(&mut page, "Early stop", &early());
    merge_table(&mut page);
    crate::docs::check("reference/voting.md", &page);
}
