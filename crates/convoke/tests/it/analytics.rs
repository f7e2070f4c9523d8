//! How runs and teams did, and what people think of it, from the command line.

use crate::support::{Place, SLOW, WORKS, strs};

fn with_run() -> Place {
    let place = Place::new();
    let words = place.team(WORKS);
    place.done(&strs(&words));
    place
}

/// The call as people see it, with every figure that differs from run to run replaced.
fn told(place: &Place, args: &[&str]) -> String {
    let mut text = place.told(args);
    let rate = "nobody has rated it: convoke rate ";
    if let Some(at) = text.find(rate).map(|at| at + rate.len()) {
        // The end of the run's id.
        text.replace_range(at..at + 6, "[RUN]");
    }
    let mut out = String::new();
    for line in text.lines() {
        let words: Vec<_> = line.split(' ').filter(|word| !word.is_empty()).map(masked).collect();
        let indent = line.len() - line.trim_start().len();
        out.push_str(&format!("{}{}\n", " ".repeat(indent), words.join(" ")));
    }
    // Two words of a duration are one.
    ["s", "ms", "min"].iter().fold(out, |out, unit| out.replace(&format!("N {unit}"), "TIME"))
}

fn masked(word: &str) -> String {
    let bare = word.trim_end_matches([',', ';', ':']);
    let rest = &word[bare.len()..];
    let number = bare.trim_end_matches(['×', '%', 's']);
    let shown = match () {
        () if bare.len() == 10 && bare.starts_with("20") && bare.contains('-') => "[DAY]",
        () if bare.len() == 8 && bare.contains(':') => "[CLOCK]",
        () if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.') && bare != number => "N",
        () if number.contains('.') && number.bytes().all(|b| b.is_ascii_digit() || b == b'.') => "N",
        () => bare,
    };
    format!("{shown}{rest}")
}

/// The lines that chance has no part in.
fn steady(text: &str) -> String {
    let moves = [
        "speed-up",
        "parallel use",
        "coordination",
        "claims",
        "one after another",
        "of calls in",
        "without any call",
        "mean",
    ];
    text.lines().filter(|line| !moves.iter().any(|word| line.contains(word))).map(|line| format!("{line}\n")).collect()
}

#[test]
fn people_rate_and_see_how_it_went() {
    let place = with_run();
    let calls: &[&[&str]] = &[
        &["show", "last", "--analytics"],
        &["rate", "last", "2", "--note", "found it\nlate"],
        &["rate", "last", "4", "--note", "found it, on a second look"],
        &["rate", "last", "5", "--agent", "worker"],
        &["rate", "last", "1", "--task", "look", "--note", "one line of two"],
        &["show", "last", "--analytics"],
        &["analytics"],
        &["analytics", "pair", "--by", "week"],
    ];
    let all: Vec<_> = calls.iter().map(|call| steady(&told(&place, call))).collect();
    insta::assert_snapshot!(all.join("\n"));
    let figures = place.done(&["show", "last", "--analytics"]);
    for name in ["speed-up", "parallel use", "coordination", "success", "cost per outcome", "claims"] {
        assert_eq!(figures.lines().filter(|line| line.starts_with(name)).count(), 1, "{name}: {figures}");
    }
}

#[test]
fn what_is_wrong_is_told() {
    let place = with_run();
    place.done(&["users", "add", "eve", "--role", "viewer"]);
    let calls: &[&[&str]] = &[
        &["rate", "last"],
        &["rate", "last", "6"],
        &["rate", "last", "good"],
        &["rate", "zzzz", "3"],
        &["rate", "last", "3", "--agent", "ghost"],
        &["rate", "last", "3", "--task", "nothing"],
        &["rate", "last", "3", "--task", "coordinator"],
        &["rate", "last", "3", "--task", "look", "--agent", "worker"],
        &["rate", "last", "3", "--as", "eve"],
        &["analytics", "ghosts"],
        &["analytics", "--since", "yesterday"],
        &["analytics", "--until", "7d"],
        &["analytics", "pair", "--since", "2999-01-01"],
    ];
    let all: Vec<_> = calls.iter().map(|call| place.told(call)).collect();
    insta::assert_snapshot!(all.join("\n"));
    let long = "x".repeat(20_000);
    let ended = place.run(&["rate", "last", "3", "--note", &long]);
    assert!(ended.code == 2 && ended.err.contains("the note has more than 16384 bytes"), "{}", ended.err);
    assert_eq!(place.json(&["show", "last"])["ratings"], serde_json::Value::Null, "nothing was changed");
}

#[test]
fn programs_read_it_as_json() {
    let place = with_run();
    let given = place.json(&["rate", "last", "4", "--agent", "worker"]);
    assert_eq!(
        (&given["rated"], &given["stars"], &given["of"]),
        (&true.into(), &4.into(), &"the part of worker".into())
    );
    let of_run = place.json(&["show", "last", "--analytics"]);
    assert!(of_run["analytics"]["flow"]["speed_up"].as_f64().is_some_and(|factor| factor > 0.0), "{of_run}");
    assert_eq!((&of_run["simulated"], &of_run["ratings"][0]["agent"]), (&true.into(), &"worker".into()));
    assert_eq!(of_run["analytics"], place.json(&["report", "last"])["analytics"]);
    let of_team = place.json(&["analytics", "pair"]);
    assert_eq!((&of_team["total"]["completed"], &of_team["every"]), (&1.into(), &"week".into()));
    assert_eq!((&of_team["agents"]["worker"]["stars"], &of_team["cut"]), (&4.0.into(), &false.into()));
    assert_eq!(of_team["parts"][0]["runs"], 1);
    assert_eq!(of_team["total"]["speed_up"], of_run["analytics"]["flow"]["speed_up"], "the same from times alone");
    assert_eq!(place.json(&["analytics"])["teams"]["pair"]["runs"], 1);
    let stats = place.json(&["stats"]);
    assert_eq!((&stats["messages"], &stats["decisions"], &stats["open_questions"]), (&0.into(), &0.into(), &0.into()));
}

/// While a process works on the folder, a person rates what has ended through it.
#[test]
fn a_part_of_a_run_that_goes_on_is_rated() {
    let place = Place::new();
    let words = place.team(SLOW);
    let mut working = place.start(&strs(&words));
    working.until("search_files");
    assert_eq!(place.json(&["rate", "last", "3", "--task", "plan/coordinator"])["rated"], true);
    let refused = place.run(&["rate", "last", "3", "--json"]);
    assert!(refused.code == 1 && refused.err.contains("not_ended"), "{}", refused.err);
    assert_eq!(working.end().code, 0);
    assert_eq!(place.json(&["show", "last"])["ratings"][0]["stars"], 3);
}
