//! Names that nobody has and folders that are not there: a list does not look as if there were nothing.

use crate::support::Place;

#[test]
fn a_list_of_what_somebody_has_refuses_a_name_that_nobody_has() {
    let place = Place::new();
    place.done(&["teams"]);
    for words in [
        vec!["locks", "--agent", "logs-specalist"],
        vec!["locks", "release", "--agent", "logs-specalist"],
        vec!["grants", "--agent", "logs-specalist"],
        vec!["threads", "list", "--agent", "logs-specalist"],
        vec!["memory", "list", "--agent", "logs-specalist"],
        vec!["memory", "search", "disk", "--agent", "logs-specalist"],
        vec!["reputation", "logs-specalist"],
    ] {
        let refused = place.run(&words);
        assert_eq!(refused.code, 2, "{words:?}: {}{}", refused.out, refused.err);
        assert!(refused.err.starts_with("error: there is no agent `logs-specalist`\n"), "{words:?}: {}", refused.err);
        assert!(refused.err.contains("did you mean `logs-specialist`?"), "{words:?}: {}", refused.err);
        // Whoever is there has nothing.
        let known: Vec<_> =
            words.iter().map(|word| if *word == "logs-specalist" { "logs-specialist" } else { word }).collect();
        let ended = place.run(&known);
        assert_eq!(ended.code, if known[1] == "release" { 2 } else { 0 }, "{known:?}: {}{}", ended.out, ended.err);
        assert!(!ended.err.contains("no agent"), "{}", ended.err);
    }
    let refused = place.run(&["memory", "list", "--team", "incident-respons"]);
    assert_eq!(refused.code, 2, "{}", refused.out);
    assert!(refused.err.contains("did you mean `incident-response`?"), "{}", refused.err);
    let nobody = place.run(&["locks", "--agent", "x"]);
    assert!(nobody.err.contains("use one of `"), "{}", nobody.err);
}

#[test]
fn nothing_is_said_to_wait_for_a_user_that_is_not_there() {
    let place = Place::new();
    place.done(&["users", "add", "annika", "--role", "approver"]);
    for words in [
        &["inbox", "--as", "anika"][..],
        &["approve", "abcd", "--as", "anika"],
        &["threads", "list", "--agent", "user:anika"],
    ] {
        let refused = place.run(words);
        assert_eq!((refused.code, refused.out.as_str()), (2, ""), "{words:?}: {}", refused.err);
        let told = "error: there is no user `anika`\n";
        assert!(refused.err.starts_with(told), "{words:?}: {}", refused.err);
        assert!(refused.err.contains("did you mean `annika`?; `convoke users` lists them"), "{}", refused.err);
    }
    assert_eq!(place.done(&["inbox", "--as", "annika"]), "nothing waits for annika\n");
    place.done(&["threads", "list", "--agent", "user:annika"]);
    let agent = place.run(&["inbox", "--as", "logs-specialist"]);
    assert!(agent.code == 2 && agent.err.contains("`logs-specialist` is an agent"), "{}", agent.err);
}

#[test]
fn a_data_folder_that_is_not_there_is_not_empty() {
    let place = Place::new();
    for words in [&["inbox"][..], &["runs"], &["threads"], &["show", "last"], &["approve", "appr"]] {
        let refused = place.run(&[words, &["--data", "tpyo"]].concat());
        assert_eq!((refused.code, refused.out.as_str()), (2, ""), "{words:?}: {}", refused.err);
        let told = format!("error: there is no data folder {}\n", place.path("tpyo").display());
        assert!(refused.err.starts_with(&told), "{words:?}: {}", refused.err);
        assert!(!place.path("tpyo").exists(), "{words:?} made it");
    }
    // The usual folder is made where it is missing, and so is one that something is to be kept in.
    assert!(place.done(&["inbox"]).starts_with("nothing waits for "));
    place.done(&["memory", "add", "The disk is full.", "--data", "new"]);
    assert!(place.done(&["memory", "list", "--data", "new"]).contains("The disk is full."));
}
