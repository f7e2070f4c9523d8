//! Two processes and one data folder: one works, the other asks.

use crate::support::{HANGS, Place, WORKS, strs};

/// The run that a line speaks of.
fn run_of(line: &str) -> String {
    let word = line.split_whitespace().find(|word| word.starts_with("run_"));
    word.expect("a run").to_owned()
}

#[test]
fn a_second_run_is_refused_and_told_who_holds_the_folder() {
    let place = Place::new();
    let mut work = place.start(&strs(&place.team(HANGS)));
    work.until("search_files");
    let ended = place.run(&["run", "pair", "x", "--model", "script/code-review"]);
    assert_eq!(ended.code, 1);
    let data = place.path("data").display().to_string();
    assert!(ended.err.starts_with(&format!("error: the data folder {data} is in use by process ")), "{}", ended.err);
    assert!(ended.err.contains("hint: wait until it ends, or use another folder with `--data DIR`"), "{}", ended.err);
    assert_eq!(place.json(&["runs"])[0]["state"], "running", "reading goes on meanwhile");
    // Whoever would carry on everything hears that it is carried on, and where to look.
    let (ended, run) = (place.run(&["resume"]), run_of(&place.done(&["runs"])));
    assert_eq!(ended.code, 1, "{}", ended.err);
    let told = format!(", which carries on what is unfinished: {run} (running)\n");
    assert!(ended.err.contains(&told), "{}", ended.err);
    assert!(ended.err.contains(&format!("hint: watch it: convoke watch {run}")), "{}", ended.err);
    place.done(&["teams"]);
    work.signal("KILL");
}

#[test]
fn cancel_reaches_the_process_that_works() {
    let place = Place::new();
    place.done(&["users", "add", "ann", "--role", "operator"]);
    let mut work = place.start(&strs(&place.team(HANGS)));
    let run = run_of(&work.until("begins: team pair"));
    work.until("worker                  search_files");
    let denied = place.run(&["cancel", &run, "--as", "eve"]);
    assert!(denied.code == 1 && denied.err.contains("`eve` is not known here"), "{}", denied.err);
    let out = place.done(&["cancel", &run[run.len() - 6..], "--as", "ann"]);
    assert_eq!(out, format!("run {run} is cancelled\n"));
    let ended = work.end();
    assert_eq!(ended.code, 4, "{}{}", ended.out, ended.err);
    let events = place.done(&["events", &run]);
    assert!(events.contains("run.cancelled") && events.contains("user:ann"), "{events}");
    let again = place.run(&["cancel", &run, "--json"]);
    assert_eq!(again.code, 1);
    let error: serde_json::Value = serde_json::from_str(&again.err).expect("JSON");
    assert_eq!(error["error"]["code"], "illegal_transition");
}

#[test]
fn the_socket_is_for_its_owner_alone_and_answers_nonsense_with_an_error() {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let mut work = place.start(&strs(&place.team(HANGS)));
    work.until("search_files");
    let path = place.path("data/control.sock");
    let mode = std::fs::metadata(&path).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for words in ["nonsense\n".to_owned(), r#"{"command":"format_disk"}"#.to_owned() + "\n", "x".repeat(1_100_000)] {
        let mut stream = std::os::unix::net::UnixStream::connect(&path).expect("it answers");
        // The far side stops reading at its limit, and may close before all is written.
        let _ = stream.write_all(words.as_bytes());
        let mut answer = String::new();
        if BufReader::new(stream).read_line(&mut answer).is_ok() && !answer.is_empty() {
            assert!(answer.contains("bad_request"), "{answer}");
        }
    }
    place.done(&["cancel", "last"]);
    assert_eq!(work.end().code, 4, "it works on");
    assert!(!path.exists(), "nothing is left behind");
}

#[test]
fn a_long_path_is_no_obstacle_to_the_socket() {
    let place = Place::new();
    let long = format!("{}/data", "a-folder-with-a-long-name/".repeat(6));
    let mut words = place.team(HANGS);
    words.extend(["--data".to_owned(), long.clone()]);
    let mut work = place.start(&strs(&words));
    work.until("search_files");
    place.done(&["cancel", "last", "--data", &long]);
    assert_eq!(work.end().code, 4);
}

#[test]
fn a_held_run_goes_on_in_the_process_that_works() {
    let place = Place::new();
    let words = place.team(WORKS);
    let held = place.run(&strs(&[words.clone(), vec!["--budget".to_owned(), "0.063".to_owned()]].concat()));
    assert_eq!(held.code, 3, "{}{}", held.out, held.err);
    let held = run_of(&held.out);
    let hanging = place.write(
        "hanging.yaml",
        &std::fs::read_to_string(place.path("script.yaml"))
            .expect("there")
            .replace("- text: \"Found", "- fault: hang\n      text: \"Found"),
    );
    let mut second = words;
    *second.last_mut().expect("a model") = format!("script/{}", hanging.display());
    let mut work = place.start(&strs(&second));
    let other = run_of(&work.until("begins: team pair"));
    work.until("search_files");
    let answer = place.json(&["resume", &held, "--budget", "1"]);
    assert_eq!((&answer["resumed"], &answer["here"]), (&true.into(), &false.into()));
    let events = place.done(&["events", &held, "--follow"]);
    assert!(events.contains("run.completed"), "{events}");
    place.done(&["cancel", &other]);
    let ended = work.end();
    assert_eq!(ended.code, 4, "of two runs the graver end counts: {}", ended.out);
    assert!(ended.out.contains("Together: Found ERROR two"), "{}", ended.out);
}
