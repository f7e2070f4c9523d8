//! The library in the program is the library in the folder, and all of it is right.

use std::path::{Path, PathBuf};

use convoke_api::{Kind, Known, Source, bundle_to_yaml, example, library, read, schema};
use convoke_domain::flow::PatternFile;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All files below a folder, by their paths relative to it.
fn tree(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => open.push(path),
                false => found.push(path.strip_prefix(folder).expect("inside").to_str().expect("text").to_owned()),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_file_is_built_in() {
    let scripts = library::scripts().iter().map(|(name, _)| format!("scripts/{name}.yaml"));
    let mut built_in: Vec<String> = library::files().iter().map(|file| file.path.to_owned()).chain(scripts).collect();
    built_in.sort();
    assert_eq!(tree(&root().join("library")), built_in);
    for example in example::all() {
        let mut files: Vec<&str> = example.files.iter().map(|(path, _)| *path).collect();
        files.sort_unstable();
        assert_eq!(tree(&root().join("examples").join(example.team).join("data")), files, "{}", example.team);
    }
}

#[test]
fn profiles_and_teams_are_right_and_name_only_what_exists() {
    let tools = [
        "read_file",
        "list_files",
        "search_files",
        "query_table",
        "write_file",
        "patch_file",
        "lock",
        "unlock",
        "send",
    ];
    let known = Known::new(tools, ["anthropic"]);
    let sources: Vec<Source<'_>> =
        library::files().iter().map(|file| Source { file: file.path, text: file.text }).collect();
    let bundle = read(&sources, &known).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((bundle.profiles.len(), bundle.teams.len()), (28, 9));
    assert_eq!(bundle, library::bundle());
    for profile in &bundle.profiles {
        assert!(profile.prompt.len() > 800, "{} has a real prompt", profile.name);
        assert!(
            profile.capacity == 16 && !profile.capabilities.is_empty() && !profile.tags.is_empty(),
            "{}",
            profile.name
        );
        assert!(profile.model.is_none(), "{}: which model is the user's choice", profile.name);
    }
}

#[test]
fn files_fit_their_schema_for_editors_too() {
    for file in library::files() {
        let kind = match file.path.split('/').next() {
            Some("teams") => Kind::Team,
            Some("patterns") => Kind::Pattern,
            _ => Kind::Profile,
        };
        let comment = format!("# yaml-language-server: $schema=../../docs/schema/{}.json\n", kind.as_str());
        assert!(file.text.starts_with(&comment), "{}", file.path);
        let value: serde_json::Value = serde_saphyr::from_str(file.text).expect(file.path);
        let validator = jsonschema::validator_for(schema(kind)).expect("a schema");
        let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", file.path);
    }
}

#[test]
fn a_team_travels_with_its_profiles() {
    let bundle = library::bundle();
    for team in &bundle.teams {
        let text = bundle_to_yaml(team, &bundle.profiles);
        let back = convoke_api::read_one("bundle.yaml", &text, &Known::default()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((back.profiles, back.teams), (bundle.profiles.clone(), vec![team.clone()]));
    }
}

#[test]
fn every_team_has_a_script() {
    for team in library::bundle().teams {
        assert!(library::scripts().iter().any(|(name, _)| *name == team.name), "{}", team.name);
        assert!(example::of(&team.name).is_some(), "{}", team.name);
    }
}

/// Run with `CONVOKE_WRITE_DOCS=1` to write the tables anew.
#[test]
fn the_page_on_patterns_has_every_parameter() {
    let path = root().join("docs/concept/patterns.md");
    let kept = std::fs::read_to_string(&path).expect("the page");
    let mut wanted = String::new();
    let mut shown = Vec::new();
    let mut parts = kept.split("<!-- parameters ");
    wanted.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (name, rest) = part.split_once(" -->").expect("a mark");
        let (_, after) = rest.split_once("<!-- end -->").expect("its end");
        let pattern = library::patterns().iter().find(|one| one.name == name).expect(name);
        shown.push(name);
        wanted.push_str(&format!("<!-- parameters {name} -->\n\n{}\n<!-- end -->{after}", parameters(pattern)));
    }
    let all: Vec<&str> = library::patterns().iter().map(|one| one.name.as_str()).collect();
    shown.sort_unstable();
    assert_eq!(shown, all);
    match std::env::var_os("CONVOKE_WRITE_DOCS") {
        Some(_) => std::fs::write(&path, &wanted).expect("writes the page"),
        None => assert_eq!(kept, wanted, "the page is out of date; run with CONVOKE_WRITE_DOCS=1"),
    }
}

fn parameters(pattern: &PatternFile) -> String {
    let mut text = "| parameter | type | default | meaning |\n|---|---|---|---|\n".to_owned();
    for (name, one) in &pattern.parameters {
        let kind = serde_json::to_value(one.r#type).expect("a word");
        let bounds = match (one.min, one.max) {
            (Some(min), Some(max)) => format!(", {min} to {max}"),
            _ => String::new(),
        };
        let default = match &one.default {
            Some(serde_json::Value::String(text)) if !text.is_empty() => format!("`{text}`"),
            Some(value) => format!("`{value}`"),
            None => "required".to_owned(),
        };
        let kind = kind.as_str().unwrap_or_default();
        text.push_str(&format!("| `{name}` | {kind}{bounds} | {default} | {} |\n", one.description));
    }
    text
}
