//! `convoke demo`, as a new user meets it: nothing is installed, no key is there.

use crate::support::{Place, exists};

#[test]
fn the_demo_finds_the_cause_in_the_data() {
    let place = Place::new();
    let ended = place.run(&["demo"]);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    let data = place.path("data").display().to_string();
    assert!(ended.err.contains(&format!("data folder: {data}")), "{}", ended.err);
    for words in
        ["played by a script", "query_table", "db.pool.max_size", "CHG-4417", "Played by a script: no model was called"]
    {
        assert!(ended.out.contains(words), "`{words}` is missing:\n{}", ended.out);
    }
    let report = ended.out.lines().find_map(|line| line.strip_prefix("report  ")).expect("where the report is");
    assert!(exists(report), "{report}");
    let ledger: f64 = place.json(&["show", "last"])["usage"]
        .as_array()
        .expect("usage")
        .iter()
        .map(|one| one["cost_usd"].as_f64().expect("dollars"))
        .sum();
    let cost = place.json(&["runs"])[0]["cost_usd"].as_f64().expect("dollars");
    assert!((ledger - cost).abs() < 1e-9, "{ledger} is not {cost}");
}

#[test]
fn another_incident_gives_another_report() {
    let place = Place::new();
    place.done(&["demo", "--quiet"]);
    // The same incident, but the change that did the harm was another one, at another place.
    let from = place.path("data/input/incident-response");
    let to = place.path("other");
    copy(&from, &to);
    for file in ["deploys/settings.csv", "deploys/diffs/CHG-4417.diff", "deploys/deploys.csv"] {
        let text = std::fs::read_to_string(to.join(file)).expect("there");
        std::fs::write(to.join(file), text.replace("CHG-4417", "CHG-7777")).expect("written");
    }
    std::fs::rename(to.join("deploys/diffs/CHG-4417.diff"), to.join("deploys/diffs/CHG-7777.diff")).expect("renamed");
    let out = place.done(&["demo", "--quiet", "--input", "other"]);
    assert!(out.contains("CHG-7777") && !out.contains("CHG-4417"), "{out}");
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("there") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)
        } else {
            std::fs::copy(entry.path(), target).map(drop).expect("copied")
        }
    }
}
