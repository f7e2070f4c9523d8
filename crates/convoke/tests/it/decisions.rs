//! The example `decisions`: teams that do not simply agree, each to its end, with the report of its run as a snapshot. What they say
//! comes from recorded answers of real models; no script holds it.

use std::path::Path;

use crate::library::steady;
use crate::postgres::database;
use crate::support::Place;

/// What comes out, and stands in no script and no team: by team, its task, script, exit code, and words of its report.
const CASES: [(&str, &str, &str, i32, &[&str]); 5] = [
    (
        "weighted-vote",
        "gsm8k-155: How many hours?",
        "weighted-vote",
        0,
        &["272", "by heads alone it is 112, with 3 of 5 votes"],
    ),
    ("tie", "gsm8k-124: How many miles?", "tie", 0, &["a tie, broken for 50", "68 of 120"]),
    ("rejected", "Propose a model for questions of customers.", "rejected", 1, &["Round 1: rejected", "11 of 60"]),
    ("evidence", WHICH, "settle", 0, &["Settled by evidence: 175b-verification", "11 of the first 20", "mixtral-8x7b"]),
    ("escalate", WHICH, "settle", 5, &["It is not settled", "175b-verification", "mixtral-8x7b"]),
];
const WHICH: &str = "Which model shall answer questions of arithmetic?";

/// A place with the example in it and its voters known.
fn place(more: &[&str]) -> Place {
    let place = Place::new();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/decisions");
    copy(&from, &place, "decisions");
    place.done(&[&["profiles", "import", "decisions/voters.yaml"], more].concat());
    place
}

fn copy(from: &Path, place: &Place, to: &str) {
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = format!("{to}/{}", path.file_name().and_then(|name| name.to_str()).expect("a name"));
        if path.is_dir() {
            copy(&path, place, &name);
        } else {
            place.write(&name, &std::fs::read_to_string(&path).expect("a text"));
        }
    }
}

/// Runs a team of the example. Gives the report without what differs from run to run.
fn report(place: &Place, team: &str, more: &[&str]) -> String {
    let (_, task, script, code, words) = CASES.iter().find(|(name, ..)| *name == team).expect("a case");
    let (file, model) = (format!("decisions/{team}.yaml"), format!("script/decisions/scripts/{script}.yaml"));
    let words_of = ["run", &file, task, "--input", "decisions/data", "--model", &model, "--quiet"];
    let ended = place.run(&[&words_of, more].concat());
    assert_eq!(ended.code, *code, "{}{}", ended.out, ended.err);
    let text = steady(&place.masked(&place.done(&[&["report", "last", "--format", "markdown"], more].concat())));
    let missing: Vec<_> = words.iter().filter(|word| !text.contains(**word)).collect();
    assert!(missing.is_empty() || team == "weighted-vote", "{missing:?} is not in the report:\n{text}");
    text
}

/// The same vote before and after it is known how often each voter was right.
fn weighted(more: &[&str]) -> String {
    let place = place(more);
    let before = report(&place, "weighted-vote", more);
    assert!(before.contains("# Result: 112") && !before.contains("by heads alone"), "{before}");
    let told = place.done(&[&["reputation", "import", "decisions/data/outcomes.csv"], more].concat());
    assert_eq!(told, "300 outcomes recorded\n");
    let after = report(&place, "weighted-vote", more);
    assert!(after.contains("# Result: 272"), "{after}");
    for word in CASES[0].4 {
        assert!(after.contains(word), "`{word}` is not in the report:\n{after}");
    }
    place.done(&[&["reputation", "record", "last", "272"], more].concat());
    after
}

#[test]
fn weights_of_recorded_outcomes_turn_a_majority() {
    insta::assert_snapshot!("weighted-vote", weighted(&[]));
}

#[test]
fn they_do_so_on_postgresql() {
    let url = database("decisions");
    insta::assert_snapshot!("weighted-vote", weighted(&["--database", &url]));
}

#[test]
fn a_tie_is_broken_by_the_rule_for_ties() {
    insta::assert_snapshot!("tie", report(&place(&[]), "tie", &[]));
}

#[test]
fn a_review_is_rejected_for_good() {
    let place = place(&[]);
    insta::assert_snapshot!("rejected", report(&place, "rejected", &[]));
    let kinds = &place.json(&["reputation", "business"])[0]["kinds"];
    assert_eq!(kinds["review_rejected"], 1, "{kinds}");
    // Its reviewers have done their part, and what they did was to turn the work down.
    let drawn = place.done(&["diagram", "last"]);
    let line = drawn.lines().find(|line| line.contains("reviewed<br/>")).unwrap_or_else(|| panic!("{drawn}"));
    let (id, told) = line.trim().split_once("{{").expect("a choice");
    assert!(told.contains("<br/>rejected"), "{line}");
    assert!(
        drawn.contains(&format!("class {id} rejected\n")) && !drawn.contains(&format!("class {id} done")),
        "{drawn}"
    );
    let svg = place.done(&["diagram", "last", "--format", "svg"]);
    assert_eq!(svg.matches("<rect class=\"rejected\"").count(), 1, "{svg}");
}

#[test]
fn evidence_settles_a_disagreement() {
    insta::assert_snapshot!("evidence", report(&place(&[]), "evidence", &[]));
}

#[test]
fn a_person_settles_a_disagreement() {
    let place = place(&[]);
    insta::assert_snapshot!("escalate", report(&place, "escalate", &[]));
    let id = place.json(&["inbox"])[0]["id"].as_str().expect("an id").to_owned();
    place.done(&["answer", &id, "mixtral-8x7b, for its price"]);
    assert_eq!(place.json(&["show", "last"])["state"], "completed");
    assert!(place.done(&["report", "last", "--format", "markdown"]).contains("mixtral-8x7b, for its price"));
}

#[test]
fn no_script_and_no_team_holds_what_comes_out() {
    let place = place(&[]);
    for (team, _, script, _, words) in CASES {
        for file in [format!("decisions/{team}.yaml"), format!("decisions/scripts/{script}.yaml")] {
            let text = std::fs::read_to_string(place.path(&file)).expect("a file");
            let held: Vec<_> = words.iter().filter(|word| text.contains(**word)).collect();
            assert!(held.is_empty(), "{file} holds {held:?}");
        }
    }
}
