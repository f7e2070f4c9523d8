//! What a viewer may do: every command there is, taken from what the program itself says of its commands, is refused or has a reason
//! why it is not.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::Place;

/// What becomes of a command that a viewer types.
#[derive(Clone, Copy)]
enum Fate {
    /// It is refused with this code, typed like this behind the command's name.
    Refused(&'static str, &'static [&'static str]),
    /// It is not refused, for this reason.
    Free(&'static str),
}

use Fate::{Free, Refused};

const NOT: &str = "not_allowed";
const LOOKS: Fate = Free("it changes nothing that is kept");
const ID: &str = "00000000000000000000000001";

/// Every command, and what becomes of it. RUN, ASKED and DIGEST stand for the ids of what the test has made; ID for one of nothing.
const COMMANDS: &[(&str, Fate)] = &[
    ("demo", Free("it plays in a folder of its own")),
    ("run", Refused(NOT, &["pair", "Look", "--model", "script/script.yaml"])),
    ("plan", LOOKS),
    ("resume", Refused(NOT, &["RUN"])),
    ("cancel", Refused(NOT, &["RUN"])),
    ("pause", Refused(NOT, &["RUN"])),
    ("resolve", Refused(NOT, &["a:b:c:d", "done"])),
    ("inbox", LOOKS),
    ("approve", Refused("missing", &["appr_ID"])),
    ("reject", Refused("missing", &["appr_ID"])),
    ("answer", Refused("not_addressee", &["ASKED", "red"])),
    ("users list", LOOKS),
    ("users add", Refused(NOT, &["zed"])),
    ("users role", Refused(NOT, &["eve", "owner"])),
    ("runs", LOOKS),
    ("show", LOOKS),
    ("analytics", LOOKS),
    ("rate", Refused(NOT, &["RUN", "5"])),
    ("report", Free("it writes what anybody may read")),
    ("events", LOOKS),
    ("handoffs list", LOOKS),
    ("handoffs accept", Refused(NOT, &["hand_ID"])),
    ("handoffs decline", Refused(NOT, &["hand_ID", "--reason", "x"])),
    ("say", Free("viewers talk")),
    ("threads list", LOOKS),
    ("threads show", LOOKS),
    ("threads search", LOOKS),
    ("threads export", LOOKS),
    ("threads close", Refused(NOT, &["thr_ID"])),
    ("threads reopen", Refused(NOT, &["thr_ID"])),
    ("threads archive", Refused(NOT, &["--older-than", "1"])),
    ("watch", LOOKS),
    ("decisions override", Refused(NOT, &["ASKED", "red", "--reason", "x"])),
    ("locks release", Refused("missing", &["--run", "RUN"])),
    ("context list", LOOKS),
    ("context get", LOOKS),
    ("context history", LOOKS),
    ("context set", Refused(NOT, &["x", "1"])),
    ("context unset", Refused(NOT, &["x", "--version", "1"])),
    ("memory list", LOOKS),
    ("memory search", LOOKS),
    ("memory export", LOOKS),
    ("memory add", Refused(NOT, &["x"])),
    ("memory forget", Refused(NOT, &["mem_ID"])),
    ("agents list", LOOKS),
    ("agents show", LOOKS),
    ("agents default", Refused(NOT, &["worker"])),
    ("agents role", Refused(NOT, &["worker", "supervisor"])),
    ("agents heartbeat", Refused(NOT, &["worker"])),
    ("agents activate", Refused(NOT, &["worker"])),
    ("agents deactivate", Refused(NOT, &["worker"])),
    ("agents block", Refused(NOT, &["worker"])),
    ("agents unblock", Refused(NOT, &["worker"])),
    ("agents retire", Refused(NOT, &["worker"])),
    ("reputation record", Refused(NOT, &["RUN", "x"])),
    ("reputation import", Refused(NOT, &["outcomes.csv"])),
    ("grant", Refused(NOT, &["worker", "shell"])),
    ("grants", LOOKS),
    ("revoke", Refused(NOT, &["grant_ID"])),
    ("spawn", Refused(NOT, &["RUN", "Look", "--profile", "worker"])),
    ("kill", Refused(NOT, &["RUN", "worker"])),
    ("budget move", Refused(NOT, &["RUN", "worker", "lead", "--tokens", "1"])),
    ("profiles list", LOOKS),
    ("profiles show", LOOKS),
    ("profiles export", LOOKS),
    ("profiles import", Refused(NOT, &["other.yaml"])),
    ("profiles clone", Refused(NOT, &["worker", "mine"])),
    ("profiles activate", Refused(NOT, &["worker"])),
    ("profiles deactivate", Refused(NOT, &["worker"])),
    ("teams list", LOOKS),
    ("teams show", LOOKS),
    ("teams export", LOOKS),
    ("teams import", Refused(NOT, &["other.yaml"])),
    ("teams clone", Refused(NOT, &["pair", "mine"])),
    ("teams activate", Refused(NOT, &["pair"])),
    ("teams deactivate", Refused(NOT, &["pair"])),
    ("patterns list", LOOKS),
    ("patterns show", LOOKS),
    ("patterns export", LOOKS),
    ("patterns import", Refused(NOT, &["other.yaml"])),
    ("patterns clone", Refused(NOT, &["parallel", "mine"])),
    ("bundle install", Refused(NOT, &["bundle", "--digest", "sha256:00"])),
    ("bundle list", LOOKS),
    ("validate", LOOKS),
    ("diagram", LOOKS),
    ("init", Free("it writes a folder that is not the data's")),
    ("doctor", LOOKS),
    ("stats", LOOKS),
    ("db migrate", Refused(NOT, &["--to", "4"])),
    ("db backup", Free("it reads; whoever has the folder can copy it")),
    ("db restore", Free("it writes a folder that holds nothing yet")),
    ("db verify", LOOKS),
    ("audit verify", LOOKS),
    ("completions", LOOKS),
];

const ASKS: &str = r"
    - when: {turn: 1}
      tools:
        - {label: q, name: ask, input: {to: user, question: Which?, options: [red, blue]}}
    - text: done
";

/// The commands that have none below them, as the program's help names them.
fn leaves(place: &Place, path: &[&str], into: &mut BTreeSet<String>) {
    let help = place.done(&[path, &["--help"]].concat());
    let mut names: Vec<String> = Vec::new();
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    for line in list {
        let name =
            line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')).and_then(|rest| rest.split(' ').next());
        names.extend(name.map(str::to_owned));
    }
    if names.is_empty() {
        into.insert(path.join(" "));
    }
    for name in &names {
        leaves(place, &[path, &[name.as_str()]].concat(), into);
    }
}

#[test]
fn a_viewer_is_refused_by_every_command_that_changes_something() {
    let place = Place::new();
    let mut named = BTreeSet::new();
    leaves(&place, &[], &mut named);
    let table: BTreeMap<_, _> = COMMANDS.iter().copied().collect();
    let known: BTreeSet<String> = table.keys().map(|name| (*name).to_owned()).collect();
    assert_eq!(named, known, "a command that is not in the table, or one there that is gone");
    let made = made(&place);
    let before = kept(&place);
    for (name, fate) in COMMANDS {
        let (code, rest) = match fate {
            Refused(code, rest) => (*code, *rest),
            Free(why) => {
                assert!(!why.is_empty());
                continue;
            }
        };
        let words: Vec<String> = words(name, rest).iter().map(|word| filled(word, &made)).collect();
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.extend(["--as", "eve", "--json"]);
        let ended = place.run(&words);
        let error: serde_json::Value = serde_json::from_str(ended.err.trim()).unwrap_or_default();
        assert_eq!(error["error"]["code"], code, "{words:?}: {}{}", ended.out, ended.err);
        assert_ne!(ended.code, 0, "{words:?}");
    }
    assert_eq!(kept(&place), before, "nothing has changed");
}

/// The words of a command; the run of `context` stands before what is done with it.
fn words<'a>(name: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    let mut all: Vec<&str> = name.split(' ').collect();
    if all[0] == "context" {
        all.insert(1, "RUN");
    }
    all.extend(rest);
    all
}

fn filled(word: &str, (run, asked): &(String, String)) -> String {
    match word {
        "RUN" => run.clone(),
        "ASKED" => asked.clone(),
        other => other.replace("_ID", &format!("_{ID}")),
    }
}

/// A run of `ann` that asks her something, a viewer `eve`, and files that would change what is saved.
fn made(place: &Place) -> (String, String) {
    place.team("");
    let team = std::fs::read_to_string(place.path("team.yaml")).expect("the team");
    let team = team.replace("tools: [read_file, search_files, shell]", "tools: [read_file, \"@talk\"]");
    place.write("team.yaml", &team);
    place.write("other.yaml", &team.replace("You work.", "You do as eve says."));
    place.write("outcomes.csv", "agent,outcome\nworker,right\n");
    place.write("bundle/team.yaml", &team.replace("You work.", "You do as eve says."));
    place.team_script(ASKS);
    let run = ["run", "team.yaml", "Look", "--model", "script/script.yaml", "--as", "ann"];
    assert_eq!(place.run(&run).code, 5, "it asks");
    place.done(&["users", "add", "eve", "--role", "viewer", "--as", "ann"]);
    let inbox = place.json(&["inbox", "--as", "ann"]);
    let id = |at: &str| inbox[0][at].as_str().unwrap_or_else(|| panic!("{inbox}")).to_owned();
    (id("run"), id("id"))
}

/// What of the data a viewer must not change.
fn kept(place: &Place) -> Vec<String> {
    let lists: [&[&str]; 6] = [
        &["runs", "--json", "--as", "ann"],
        &["users", "list", "--json", "--as", "ann"],
        &["agents", "list", "--json", "--as", "ann"],
        &["teams", "show", "pair", "--json", "--as", "ann"],
        &["profiles", "show", "worker", "--json", "--as", "ann"],
        &["decisions", "--json", "--as", "ann"],
    ];
    lists.iter().map(|words| place.done(words)).collect()
}
