//! What became of agents' work, told by people from the command line: the right answer of a vote, and outcomes from files.

use crate::postgres::database;
use crate::support::Place;

/// Outcomes of agents of the library, and of one that nobody has heard of.
const PAST: &str = "agent,outcome,capability,at\n\
                    merchant-analyst,right,,2026-01-05\n\
                    merchant-analyst,wrong,geography,2026-01-06\n\
                    device-analyst,0.5,,\n\
                    strangre,right,,\n";

fn tell(place: &Place, more: &[&str]) -> String {
    place.done(&[&["demo", "fraud-investigation", "--quiet"], more].concat());
    place.done(&[&["users", "add", "eve", "--role", "viewer"], more].concat());
    place.write("past.csv", PAST);
    place.write("more.jsonl", "{\"agent\": \"device-analyst\", \"outcome\": \"wrong\"}\n");
    place.write("broken.csv", "agent,outcome\nmerchant-analyst,good\n,right\n");
    place.write("past.txt", "agent,outcome\ndevice-analyst,right\n");
    let calls: &[&[&str]] = &[
        &["reputation", "record", "last", "M-153"],
        &["reputation", "record", "last", " m-153. "],
        &["reputation", "record", "last", "M-154", "--vote", "ballots"],
        &["reputation", "record", "last", "M-153", "--vote", "ballot"],
        &["reputation", "record", "last", "M-153", "--as", "eve"],
        &["reputation", "record", "zzzz", "M-153"],
        &["reputation", "import", "past.csv"],
        &["reputation", "import", "past.csv"],
        &["reputation", "import", "more.jsonl", "--name", "past"],
        &["reputation", "import", "broken.csv"],
        &["reputation", "import", "past.txt"],
        &["reputation", "import", "-", "--format", "csv"],
        &["reputation", "import", "past.txt", "--format", "csv", "--as", "eve"],
        &["reputation", "import", "past.txt", "--format", "csv"],
        &["reputation", "import", "nowhere.csv"],
    ];
    let told: Vec<String> = calls.iter().map(|call| place.told(&[call, more].concat())).collect();
    told.join("\n").replace(&more.iter().map(|word| format!(" {word}")).collect::<String>(), "")
}

#[test]
fn people_tell_what_became_of_work() {
    let place = Place::new();
    insta::assert_snapshot!("told", tell(&place, &[]));
    let all = place.json(&["reputation", "merchant-analyst"]);
    assert_eq!((&all[0]["kinds"]["gold"], &all[1]["capability"]), (&3.into(), &"geography".into()), "{all}");
    let again = place.json(&["reputation", "import", "past.csv"]);
    assert_eq!((&again["new"], &again["same"], &again["changed"]), (&0.into(), &4.into(), &0.into()), "{again}");
    place.write("past.csv", &PAST.replace("merchant-analyst,right", "merchant-analyst,wrong"));
    let changed = place.json(&["reputation", "import", "past.csv"]);
    assert_eq!((&changed["same"], &changed["changed"]), (&3.into(), &1.into()), "{changed}");
    let events = place.done(&["events", "last", "--json"]);
    assert!(events.lines().any(|line| line.contains("outcome.recorded") && line.contains("m 154")), "{events}");
}

#[test]
fn it_is_the_same_on_postgresql() {
    let url = database("reputation");
    insta::assert_snapshot!("told", tell(&Place::new(), &["--database", &url]));
}
