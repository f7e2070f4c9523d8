//! Profiles and teams: imported, exported, copied, switched off; a folder to start from.

use crate::support::{Place, WORKS, strs};

#[test]
fn a_team_goes_out_as_yaml_and_comes_back() {
    let place = Place::new();
    place.done(&["teams", "export", "code-review", "--output", "out.yaml"]);
    let out = place.done(&["teams", "import", "out.yaml"]);
    assert!(out.ends_with("0 new versions saved; what was there in the same words stays as it is\n"), "{out}");
    let text = std::fs::read_to_string(place.path("out.yaml")).expect("written");
    place.write("mine.yaml", &text.replace("max_cost_usd: 5", "max_cost_usd: 9"));
    place.done(&["teams", "import", "mine.yaml"]);
    let team = place.json(&["teams", "show", "code-review"]);
    assert_eq!((&team["version"], &team["saved_by"]), (&2.into(), &"system".into()), "the library does not undo it");
}

#[test]
fn a_copy_is_a_team_of_its_own_and_may_be_switched_off() {
    let place = Place::new();
    place.done(&["teams", "clone", "incident-response", "mine"]);
    place.done(&["teams", "deactivate", "mine"]);
    let told = place.told(&["run", "mine", "x", "--model", "script/incident-response"]);
    insta::assert_snapshot!(told, @r"
    $ convoke run mine x --model script/incident-response
    error: the team `mine` is switched off

    hint: `convoke teams activate mine`
    [exit 2]
    ");
    place.done(&["teams", "activate", "mine"]);
    assert_eq!(place.json(&["teams", "show", "mine"])["active"], true);
    place.done(&["profiles", "deactivate", "cost-specialist"]);
    let told = place.told(&["run", "mine", "x", "--model", "script/incident-response"]);
    insta::assert_snapshot!(told, @r"
    $ convoke run mine x --model script/incident-response
    error: the profile `cost-specialist` of team `mine` is switched off

    hint: `convoke profiles activate cost-specialist`
    [exit 2]
    ");
}

#[test]
fn a_new_folder_runs_as_its_readme_says() {
    let place = Place::new();
    let out = place.done(&["init", "start"]);
    let line = out.lines().last().expect("a command").trim().to_owned();
    assert!(line.starts_with("convoke run team.yaml"), "{out}");
    let mut command =
        place.command(&["run", "team.yaml", "Where do we stand?", "--input", "input", "--model", "script/script.yaml"]);
    let done = command.current_dir(place.path("start")).output().expect("runs");
    let out = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{out}{}", String::from_utf8_lossy(&done.stderr));
    for words in
        ["decided to ship the new checkout", "who answers them", "| open | 2 | $245.50 |", "According to my-counter"]
    {
        assert!(out.contains(words), "`{words}` is missing:\n{out}");
    }
    assert_eq!(place.run(&["validate", "start/team.yaml"]).code, 0);
}

#[test]
fn part_of_an_id_names_a_run_unless_it_names_several() {
    let place = Place::new();
    let words = place.team(WORKS);
    let ids: Vec<String> =
        (0..2).map(|_| place.json(&strs(&words))["id"].as_str().expect("an id").to_owned()).collect();
    let shown = place.json(&["show", &ids[0][ids[0].len() - 8..]]);
    assert_eq!(shown["id"], *ids[0]);
    assert_eq!(place.json(&["show", "last"])["id"], *ids[1]);
    let several = place.run(&["show", &ids[0][..8]]);
    assert_eq!(several.code, 2);
    assert!(ids.iter().all(|id| several.err.contains(id)), "{}", several.err);
    let older = place.json(&["runs", "--before", &ids[1]]);
    assert_eq!(older.as_array().map(Vec::len), Some(1));
}

#[test]
fn a_data_folder_that_cannot_be_written_is_read() {
    let place = Place::new();
    place.done(&strs(&place.team(WORKS)));
    for (args, words) in [
        (&["teams"][..], "incident-response"),
        (&["profiles", "list"], "cost-specialist"),
        (&["profiles", "show", "cost-specialist"], "name: cost-specialist"),
        (&["agents"], "NAME"),
        (&["runs"], "completed"),
        (&["show", "last"], "Completed"),
        (&["db", "verify"], "are sound"),
        (&["db", "backup", "kept"], "backup written to"),
    ] {
        let ended = place.sealed(args);
        assert_eq!(ended.code, 0, "{args:?}: {}", ended.err);
        assert!(ended.out.contains(words), "{args:?}: {}", ended.out);
    }
    let told = place.sealed(&["teams"]).err;
    assert!(told.contains("cannot be written") && told.contains("this is what was last kept there"), "{told}");
    assert_eq!(place.sealed(&["teams", "--quiet"]).err, "");
    let ended = place.sealed(&["run", "incident-response", "x", "--model", "script/incident-response"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("cannot be written") && ended.err.contains("`--data DIR`"), "{}", ended.err);
}

#[test]
fn an_empty_data_folder_that_cannot_be_written_is_told_with_the_way_out() {
    let place = Place::new();
    std::fs::create_dir(place.path("data")).expect("made");
    for args in [&["teams", "--json"][..], &["profiles", "--json"], &["runs", "--json"]] {
        let ended = place.sealed(args);
        assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{args:?}");
        let error: serde_json::Value = serde_json::from_str(&ended.err).expect("JSON");
        assert_eq!(error["error"]["code"], "read_only", "{args:?}: {error}");
        assert!(error["error"]["hint"].as_str().is_some_and(|hint| hint.contains("--data DIR")), "{error}");
    }
}

#[test]
fn a_script_is_validated_with_its_templates() {
    let place = Place::new();
    place.done(&["init", "start"]);
    let out = place.done(&["validate", "start/team.yaml", "start/script.yaml"]);
    assert!(out.contains("1 script"), "{out}");
    assert_eq!(place.json(&["validate", "start/script.yaml"])["scripts"], 1);
    place.write("wrong.yaml", "agents:\n  '*':\n    - text: |\n        first\n        then {{ task | uper }}\n");
    let told = place.told(&["validate", "wrong.yaml"]);
    insta::assert_snapshot!(told, @r"
    $ convoke validate wrong.yaml
    error[bad_script]: template: there is no filter `uper`
     --> wrong.yaml:5:24
      |
    5 |         then {{ task | uper }}
      |                        ^
      = fix: see docs/reference/script.md for what a script may hold

    invalid: 1 problem
    [exit 2]
    ");
}

const PATTERN: &str = "\
kind: pattern
name: twice
description: Two look at it, one after the other.
parameters:
  second: {type: agent, description: Who looks again.}
steps:
  - {id: look, task: {agent: \"{{ coordinator }}\", instructions: \"{{ task }}\"}}
  - {id: again, task: {agent: \"{{ second }}\", see: [look], instructions: Look again.}}
";

const NAMES_IT: &str = "\
kind: team
name: careful
coordinator: orchestrator
members: [{profile: qa}]
pattern: twice
with: {second: qa}
";

#[test]
fn a_pattern_is_kept_by_name_for_teams_that_come_later() {
    let place = Place::new();
    place.write("twice.yaml", PATTERN);
    place.write("careful.yaml", NAMES_IT);
    let refused = place.run(&["validate", "careful.yaml"]);
    assert!(refused.code == 2 && refused.out.contains("there is no pattern `twice`"), "{}", refused.out);

    assert_eq!(place.done(&["teams", "import", "careful.yaml", "twice.yaml", "--quiet", "--data", "other"]), "");
    let out = place.done(&["patterns", "import", "twice.yaml"]);
    assert!(out.starts_with("1 pattern: twice\n1 new version saved"), "{out}");
    let all = place.json(&["patterns"]);
    let brief: Vec<_> = all.as_array().expect("a list").iter().map(|one| (&one["name"], &one["saved_by"])).collect();
    assert!(brief.contains(&(&"twice".into(), &"system".into())), "{all}");
    assert!(brief.contains(&(&"parallel".into(), &"library".into())), "{all}");
    place.done(&["patterns", "export", "twice", "--output", "out.yaml"]);
    let out = place.done(&["patterns", "import", "out.yaml"]);
    assert!(out.contains("0 new versions saved"), "{out}");
    assert!(place.done(&["diagram", "twice"]).contains("<b>again</b>"));

    // A team that comes later names it, is checked against it, and runs by it.
    place.done(&["teams", "import", "careful.yaml"]);
    let plan = place.json(&["plan", "careful", "Look.", "--model", "openai/gpt-5"]);
    assert_eq!((&plan["pattern"], &plan["plan"]["takes"]["least"]["tasks"]), (&"twice".into(), &2.into()), "{plan}");
    place.write("wrong.yaml", &NAMES_IT.replace("twice", "twise").replace("careful", "wrong"));
    let refused = place.run(&["validate", "wrong.yaml"]);
    assert!(refused.out.contains("did you mean `twice`?"), "{}", refused.out);
    place.write("wrong.yaml", &NAMES_IT.replace("{second: qa}", "{third: qa}"));
    assert_eq!(place.run(&["validate", "wrong.yaml"]).code, 2, "its parameters are checked");

    // The team keeps its steps when the pattern changes, until it is saved anew.
    place.write("twice.yaml", &PATTERN.replace("Look again.", "Look once more."));
    place.done(&["patterns", "import", "twice.yaml"]);
    assert_eq!(place.json(&["patterns", "show", "twice"])["version"], 2);
    assert!(place.done(&["teams", "show", "careful"]).contains("Look again."));
    assert!(place.done(&["validate", "careful"]).starts_with("valid:"));
    place.done(&["teams", "import", "careful.yaml"]);
    assert!(place.done(&["teams", "show", "careful"]).contains("Look once more."));
}

#[test]
fn a_pattern_goes_along_with_a_team_into_another_workspace() {
    let place = Place::new();
    place.write("both.yaml", &format!("{PATTERN}---\n{NAMES_IT}"));
    let out = place.done(&["teams", "import", "both.yaml"]);
    assert!(out.contains("1 team: careful\n1 pattern: twice\n2 new versions saved"), "{out}");
    place.done(&["teams", "export", "careful", "--output", "out.yaml"]);
    let text = std::fs::read_to_string(place.path("out.yaml")).expect("written");
    assert!(text.contains("description: Two look at it, one after the other."), "{text}");
    place.done(&["teams", "import", "out.yaml", "--data", "other"]);
    let there = place.json(&["patterns", "show", "twice", "--data", "other"]);
    assert_eq!(there["description"], "Two look at it, one after the other.");
    // Without what it is for, it is the same pattern all the same.
    place.write("out.yaml", &text.replace("description: Two look at it, one after the other.\n", ""));
    let out = place.done(&["patterns", "import", "out.yaml", "--data", "other"]);
    assert!(out.contains("0 new versions saved"), "{out}");

    std::fs::create_dir(place.path("shared")).expect("a folder");
    place.write("shared/pattern.yaml", &PATTERN.replace("twice", "two_looks"));
    let shown = place.json(&["bundle", "install", "shared"]);
    assert_eq!(shown["patterns"][0]["pattern"], "two_looks", "{shown}");
    let digest = shown["digest"].as_str().expect("a digest");
    let done = place.json(&["bundle", "install", "shared", "--digest", digest]);
    assert_eq!((&done["patterns"][0], &done["saved"]), (&"two_looks".into(), &1.into()), "{done}");
    place.done(&["patterns", "clone", "two_looks", "three_looks"]);
    assert!(place.done(&["patterns", "list"]).contains("three_looks"));
}

#[test]
fn a_pattern_does_not_take_the_name_of_one_of_the_library() {
    let place = Place::new();
    place.write("parallel.yaml", &PATTERN.replace("twice", "parallel"));
    let told = place.told(&["patterns", "import", "parallel.yaml"]);
    insta::assert_snapshot!(told, @r"
    $ convoke patterns import parallel.yaml
    error: the library has a pattern `parallel`, and nobody could say which of the two a team means

    hint: save yours under another name
    [exit 2]
    ");
    // A team that carries such steps comes with them, and the library's pattern stays as it is.
    place.write("both.yaml", &format!("{PATTERN}---\n{NAMES_IT}").replace("twice", "parallel"));
    let out = place.done(&["teams", "import", "both.yaml"]);
    assert!(out.contains("1 team: careful\n1 new version saved"), "{out}");
    assert!(place.done(&["teams", "show", "careful"]).contains("Look again."));
    assert_eq!(place.json(&["patterns", "show", "parallel"])["saved_by"], "library");
}
