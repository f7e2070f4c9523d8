//! Broken files: each `broken/NAME.yaml` is read beside the profiles `logs`, `cost` and `lead`, and what is said of it is
//! kept word for word in `broken/snapshots/NAME.snap`.

use std::path::Path;

use convoke_api::{Known, Problems, read_one};
use convoke_domain::profile::Profile;
use serde_json::json;

const LEAST: usize = 40;

fn known() -> Known {
    let profile = |name: &str, tools: &[&str]| -> Profile {
        serde_json::from_value(json!({"name": name, "prompt": "x", "tools": tools, "capabilities": [name, "reading"]}))
            .expect("a profile")
    };
    let profiles = [profile("lead", &[]), profile("logs", &["read_file"]), profile("cost", &["mcp:billing/*"])];
    let tools = ["read_file", "list_files", "search_files", "query_table", "write_file", "http_get", "shell"];
    Known::new(tools, ["anthropic", "openai", "gemini", "ollama", "script"]).with_profiles(&profiles)
}

fn problems_of(path: &Path) -> Problems {
    let text = std::fs::read_to_string(path).expect("an example");
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    read_one(name, &text, &known()).expect_err(name)
}

#[test]
fn every_broken_file_gets_its_message() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/broken");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("examples")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "yaml" || ext == "json"))
        .collect();
    files.sort();
    assert!(files.len() >= LEAST, "{} examples", files.len());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder.join("snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for path in files {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        let problems = problems_of(&path);
        settings.bind(|| insta::assert_snapshot!(name.clone(), problems.to_string()));
        for problem in &problems.0 {
            assert!(!problem.message.is_empty() && !problem.hint.is_empty(), "{name}: {problem:?}");
        }
    }
}

#[test]
fn problems_are_data_as_well() {
    let problems = read_one("p.yaml", "kind: profile\nname: a\npromt: x\n", &known()).expect_err("a problem");
    let value = serde_json::to_value(&problems).expect("JSON");
    assert_eq!(
        value[0],
        json!({
            "file": "p.yaml", "line": 3, "column": 1, "code": "unknown_field",
            "message": "a profile has no field `promt`", "hint": "did you mean `prompt`?", "excerpt": "promt: x",
        })
    );
}

#[test]
fn files_may_refer_to_each_other() {
    use convoke_api::{Source, read};
    let team = Source { file: "t.yaml", text: "kind: team\nname: t\ncoordinator: a\nmembers: [{profile: a}]\n" };
    let profile = Source { file: "p.yaml", text: "kind: profile\nname: a\nprompt: x\n" };
    let bundle = read(&[team, profile], &Known::default()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((bundle.profiles.len(), bundle.teams.len()), (1, 1));
    let twice = read(&[profile, Source { file: "q.yaml", ..profile }], &Known::default()).expect_err("twice");
    assert_eq!(twice.0[0].message, "the profile `a` is defined twice; the first is at p.yaml:2");
}
