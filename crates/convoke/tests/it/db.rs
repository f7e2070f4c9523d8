//! The database: forward and back, backed up and restored, and found out when it was changed by hand.

use crate::support::{Place, WORKS, strs};

#[test]
fn a_backup_is_a_data_folder_again() {
    let place = Place::new();
    let words = place.team(WORKS);
    let run = place.json(&strs(&words))["id"].clone();
    place.done(&["db", "backup", "backup"]);
    place.done(&["db", "restore", "backup", "--data", "restored"]);
    assert_eq!(place.json(&["runs", "--data", "restored"])[0]["id"], run);
    let again = place.run(&["db", "restore", "backup"]);
    assert_ne!(again.code, 0, "a folder with data is not overwritten: {}", again.out);
    assert_eq!(place.json(&["db", "verify", "--data", "restored"])["sound"], true);
}

#[test]
fn going_back_to_no_schema_at_all_is_refused() {
    let place = Place::new();
    let run = place.json(&strs(&place.team(WORKS)))["id"].clone();
    let back = place.run(&["db", "migrate", "--to", "0"]);
    assert_eq!(back.code, 2, "{}{}", back.out, back.err);
    assert!(back.err.contains("there is no schema version 0"), "{}", back.err);
    assert_eq!(place.json(&["runs"])[0]["id"], run, "nothing was dropped");
}

#[test]
fn the_schema_goes_back_and_forth() {
    let place = Place::new();
    let latest = place.json(&["db", "migrate"])["to"].as_i64().expect("a version");
    let back = place.json(&["db", "migrate", "--to", &(latest - 1).to_string()]);
    assert_eq!((back["from"].as_i64(), back["to"].as_i64()), (Some(latest), Some(latest - 1)));
    let reader = place.run(&["runs"]);
    assert!(reader.code == 0 || reader.err.contains("db migrate"), "{}", reader.err);
    place.done(&["db", "migrate"]);
    place.done(&["runs"]);
}
