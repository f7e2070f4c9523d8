//! People who write to each other with the real binary: templates are filled in, and what was said is found again.

use serde_json::json;

use crate::support::Place;

#[test]
fn a_template_is_filled_in_and_the_message_is_found_by_its_words() {
    let place = Place::new();
    place.done(&["users", "list", "--as", "ada"]);
    for name in ["bob", "eve"] {
        place.done(&["users", "add", name, "--as", "ada"]);
    }
    let said = [
        &["say", "user:bob", "The disk of the Ölmühle is full.", "--as", "ada"][..],
        &["--template", "alert", "--field", "action=Delete old logs", "--field", "impact=No orders = no oil"],
    ];
    place.done(&said.concat());
    let found = place.json(&["threads", "search", "FULL \"ölmühle is\"", "--as", "bob"]);
    assert_eq!(found[0]["kind"], "alert");
    let body = "The disk of the Ölmühle is full.\n\nImpact: No orders = no oil\nWhat to do: Delete old logs";
    assert_eq!(found[0]["body"], body);
    assert_eq!(place.json(&["threads", "search", "full is ölmühle lost", "--as", "bob"]), json!([]));
    assert_eq!(place.json(&["threads", "search", "full", "--as", "eve"]), json!([]), "it is private");
}

#[test]
fn a_template_that_is_not_filled_in_is_refused_by_name() {
    let place = Place::new();
    place.run(&["inbox"]);
    let mut told = Vec::new();
    for more in [
        &["--template", "alert", "--field", "impact=much"][..],
        &["--template", "note", "--field", "colour=red"],
        &["--template", "note", "--field", "red"],
        &["--template", "decision"],
        &["--template", "note", "--kind", "alert"],
        &["--field", "why=so"],
    ] {
        told.push(place.told(&[&["say", "user:bob", "Hello."], more].concat()));
    }
    insta::assert_snapshot!(told.join("\n"));
}
