//! What is read by those who type something wrong: the exact words, and the exit code.

use crate::support::Place;

const BROKEN: &str = "\
kind: team
name: Bad Name
coordinator: nobody
members: []
bugdet: {max_cost_usd: 5}
";

#[test]
fn wrong_calls() {
    let place = Place::new();
    place.write("broken.yaml", BROKEN);
    place.write("two.yaml", "kind: profile\nname: a\nprompt: x\n");
    place.write("list.yaml", "- 1\n- 2\n");
    place.write("file.txt", "x");
    place.write("full/x", "x");
    let script = ["--model", "script/incident-response"];
    let calls: Vec<Vec<&str>> = vec![
        vec!["nonsense"],
        vec!["run"],
        vec!["run", "incident-response"],
        vec!["run", "incident-response", "x", "--budget", "nothing"],
        vec!["run", "incident-response", "x", "--budget", "-1"],
        vec!["run", "incident-response", "x", "--tokens", "0"],
        vec!["run", "incident-response", "x", "--concurrency", "0"],
        vec!["run", "incident-response", "x", "--session", "mine"],
        [&["run", "incident-response", "x", "--session", "ses_01h455vb4pex5vsknk084sn02q"], &script[..]].concat(),
        vec!["run", "incident-response", "x"],
        vec!["run", "incident-response", "x", "--model", "gpt-5"],
        vec!["run", "incident-response", "x", "--model", "openai/gpt-5"],
        vec!["run", "incident-response", "x", "--model", "acme/one"],
        vec!["run", "incident-response", "x", "--model", "script/no-such"],
        vec!["run", "incident-response", "x", "--model", "script/no-such.yaml"],
        [&["run", "no-such-team", "x"], &script[..]].concat(),
        [&["run", "incident-response", "  "], &script[..]].concat(),
        [&["run", "incident-response", "x", "--input", "no-such-folder"], &script[..]].concat(),
        [&["run", "incident-response", "x", "--input", "file.txt"], &script[..]].concat(),
        [&["run", "no-such.yaml", "x"], &script[..]].concat(),
        [&["run", "broken.yaml", "x"], &script[..]].concat(),
        [&["run", "two.yaml", "x"], &script[..]].concat(),
        vec!["demo", "--team", "other"],
        vec!["resume", "last"],
        vec!["resume", "--budget", "1"],
        vec!["resume", "run_01h455vb4pex5vsknk084sn02q"],
        vec!["cancel", "abc"],
        vec!["pause", "zzzz"],
        vec!["cancel", "RUN!"],
        vec!["resolve", "x", "perhaps"],
        vec!["resolve", "run_x:task_y:1:1", "done"],
        vec!["show", "run_01h455vb4pex5vsknk084sn02q"],
        vec!["report", "last", "--format", "pdf"],
        vec!["report", "zzzz", "--json", "--format", "html"],
        vec!["runs", "--limit", "0"],
        vec!["events", "last", "--after", "-1"],
        vec!["profiles", "show", "no-such"],
        vec!["teams", "clone", "code-review", "Bad Name"],
        vec!["teams", "clone", "code-review", "incident-response"],
        vec!["teams", "import", "no-such.yaml"],
        vec!["validate"],
        vec!["validate", "broken.yaml"],
        vec!["validate", "list.yaml"],
        vec!["init", "full"],
        vec!["db", "migrate", "--to", "99"],
        vec!["db", "restore", "no-such-backup", "--data", "elsewhere"],
        vec!["--as", "Nobody At All", "runs"],
        vec!["--log", "a=b=c", "runs"],
        vec!["completions", "cmd"],
        vec!["run", "no-such-team", "x", "--model", "script/code-review", "--json"],
        vec!["run", "--json"],
    ];
    let told: Vec<String> = calls.iter().map(|call| place.told(call)).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_setting_that_is_wrong_is_named() {
    let place = Place::new();
    let call = |name: &str, value: &str| {
        let args = ["run", "incident-response", "x", "--model", "openai/gpt-5"];
        let done = place.command(&args).env(name, value).output().expect("runs");
        format!(
            "{name}={value}\n{}[exit {}]\n",
            String::from_utf8_lossy(&done.stderr),
            done.status.code().expect("a code")
        )
    };
    let told = [
        call("OPENAI_BASE_URL", "localhost:4010"),
        call("OPENAI_API_KEY_FILE", "/no/such/file"),
        call("CONVOKE_CONCURRENCY", "many"),
        call("CONVOKE_LOG", "a=b=c"),
    ];
    place.write("data/prices.yaml", "models: {\"x\": {input: 1}}\n");
    let prices = place.told(&["run", "incident-response", "x", "--model", "openai/gpt-5"]);
    place.write("data/prices.yaml", "models: {}\n");
    place.write("data/providers.yaml", "acme: {base_url: nowhere}\n");
    let providers = place.told(&["run", "incident-response", "x", "--model", "acme/one"]);
    insta::assert_snapshot!(place.masked(&(told.join("\n") + "\n" + &prices + "\n" + &providers)));
}

#[test]
fn help_is_for_the_output_stream() {
    let place = Place::new();
    let ended = place.run(&["--help"]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    insta::assert_snapshot!(ended.out);
    assert!(place.run(&["--version"]).out.starts_with("convoke 0."));
    for shell in ["bash", "zsh", "fish"] {
        assert!(place.done(&["completions", shell]).contains("convoke"));
    }
}

#[test]
fn a_task_from_the_input_stream_is_text_of_bounded_length() {
    let place = Place::new();
    let call = |bytes: &[u8]| {
        let file = place.path("task.txt");
        std::fs::write(&file, bytes).expect("written");
        let mut command = place.command(&["run", "incident-response", "-", "--model", "script/incident-response"]);
        let done = command.stdin(std::fs::File::open(&file).expect("opened")).output().expect("runs");
        let err = String::from_utf8_lossy(&done.stderr).into_owned();
        (done.status.code(), err.lines().next().unwrap_or_default().to_owned())
    };
    assert_eq!(call(b" \n"), (Some(2), "error: the task is empty".to_owned()));
    assert_eq!(call(&[b'x'; 2 << 20]), (Some(2), "error: the task has more than 1048576 bytes".to_owned()));
    assert_eq!(call(b"\xff\xfe"), (Some(2), "error: cannot read the task from the input stream".to_owned()));
}
