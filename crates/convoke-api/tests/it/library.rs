//! The library in the program is the library in the folder, and all of it is right.

use std::path::{Path, PathBuf};

use convoke_api::{Kind, Known, Source, bundle_to_yaml, example, library, read, schema};

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
