//! The tables in the reference are made from the schemas, so that they cannot be out of date.

use convoke_api::{Kind, Known, program_input, program_output, read_one, schema};
use convoke_domain::profile::Profile;
use serde_json::Value;

/// Run with `CONVOKE_WRITE_DOCS=1` to write the tables anew.
#[test]
fn reference_tables_are_those_of_the_schemas() {
    // What a program reads and prints stands on one page: the tables of one schema come before those of the other.
    let (reads, prints) = (program_input(), program_output());
    let programs = vec![("What it reads", &reads), ("What it prints", &prints)];
    let pages = Kind::ALL.map(|kind| (kind.as_str(), vec![("", schema(kind))]));
    for (name, schemas) in pages.into_iter().chain([("program", programs)]) {
        let path = format!("{}/../../docs/reference/{name}.md", env!("CARGO_MANIFEST_DIR"));
        let kept = std::fs::read_to_string(&path).expect("the page");
        let wanted = fill(&kept, &schemas);
        if std::env::var_os("CONVOKE_WRITE_DOCS").is_some() {
            std::fs::write(&path, &wanted).expect("writes the page");
        } else {
            assert_eq!(kept, wanted, "{path} is out of date; run with CONVOKE_WRITE_DOCS=1");
        }
        let tables = wanted.lines().filter(|line| line.starts_with("<!-- table"));
        assert!(tables.count() >= 4, "{path} shows its definitions");
    }
}

#[test]
fn examples_in_the_reference_are_right() {
    let profile = |name: &str| serde_json::from_value::<Profile>(serde_json::json!({"name": name, "prompt": "x"}));
    let known: Vec<Profile> =
        ["editor", "log-reader", "bill-reader"].map(|name| profile(name).expect("a profile")).into();
    let known = Known::default().with_profiles(&known);
    for kind in Kind::ALL {
        let path = format!("{}/../../docs/reference/{}.md", env!("CARGO_MANIFEST_DIR"), kind.as_str());
        let page = std::fs::read_to_string(&path).expect("the page");
        let examples: Vec<&str> = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(!examples.is_empty(), "{path}");
        for example in examples {
            read_one(&path, example, &known).unwrap_or_else(|problems| panic!("{problems}"));
        }
    }
}

/// Each pattern of the guide by itself, and its team with the last of them.
#[test]
fn the_guide_to_patterns_is_right() {
    let path = format!("{}/../../docs/guide/pattern.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(&path).expect("the page");
    let examples: Vec<&str> = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let library = convoke_api::library::bundle();
    let known = Known::default().with_profiles(&library.profiles);
    let [patterns @ .., team] = examples.as_slice() else { panic!("{path} has examples") };
    for pattern in patterns {
        read_one(&path, pattern, &known).unwrap_or_else(|problems| panic!("{problems}"));
    }
    let both = format!("{}---\n{team}", patterns.last().expect("a pattern"));
    let bundle = read_one(&path, &both, &known).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((bundle.patterns.len(), bundle.teams[0].flow.is_some()), (1, true));
}

/// Puts a table between each pair of marks, made from the schema of the part of the page it stands in.
fn fill(page: &str, schemas: &[(&str, &Value)]) -> String {
    let mut text = String::new();
    let (mut inside, mut root) = (false, schemas[0].1);
    for line in page.lines() {
        let part = line.strip_prefix("## ").and_then(|title| schemas.iter().find(|(part, _)| *part == title));
        root = part.map_or(root, |(_, schema)| schema);
        inside &= line != "<!-- end -->";
        if !inside {
            text.push_str(line);
            text.push('\n');
        }
        let mark = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
        if let Some(rest) = mark.filter(|mark| *mark != "end") {
            inside = true;
            text.push_str(&match rest.split_once(' ') {
                Some(("words", name)) => words(&root["$defs"][name]),
                Some((_, name)) => table(&root["$defs"][name], root),
                None => table(root, root),
            });
        }
    }
    text
}

fn table(definition: &Value, root: &Value) -> String {
    let mut text = "\n| field | type | default | meaning |\n|---|---|---|---|\n".to_owned();
    let required = definition["required"].as_array();
    for (name, field) in definition["properties"].as_object().expect("a definition with fields") {
        let must = required.is_some_and(|names| names.iter().any(|other| other == name));
        let default = match field.get("default") {
            _ if must => "required".to_owned(),
            None | Some(Value::Null) => "none".to_owned(),
            Some(Value::Object(fields)) if fields.is_empty() => "none".to_owned(),
            Some(Value::Object(_)) => "see below".to_owned(),
            Some(value) => format!("`{value}`"),
        };
        let about = field["description"].as_str().unwrap_or("").replace('\n', " ").replace('|', "\\|");
        text.push_str(&format!("| `{name}` | {} | {default} | {about} |\n", kind(field, root)));
    }
    text.push('\n');
    text
}

/// A field's type and range in words.
fn kind(field: &Value, root: &Value) -> String {
    if let Some(word) = field["const"].as_str() {
        return format!("`{word}`");
    }
    let field = field["anyOf"].as_array().and_then(|options| options.first()).unwrap_or(field);
    if let Some(name) = field["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap_or("");
        let definition = &root["$defs"][name];
        let choices: Vec<&str> = choices(definition);
        if definition["type"] == "string" && choices.is_empty() {
            return "text".to_owned();
        }
        return if choices.is_empty() { "mapping".to_owned() } else { format!("`{}`", choices.join("`, `")) };
    }
    let name = match &field["type"] {
        Value::String(name) => name.as_str(),
        Value::Array(names) => names[0].as_str().unwrap_or("any"),
        _ => "any",
    };
    let number = |word: &str| field[word].as_f64();
    let range = match (number("minimum").filter(|_| number("exclusiveMinimum").is_none()), number("maximum")) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) => format!(", at least {least}"),
        (None, _) if field.get("exclusiveMinimum").is_some() => ", more than 0".to_owned(),
        _ => String::new(),
    };
    match name {
        "string" => "text".to_owned(),
        "integer" => format!("whole number{range}"),
        "number" => format!("number{range}"),
        "boolean" => "`true`, `false`".to_owned(),
        "array" => format!("list of {}", kind(&field["items"], root)),
        "object" => format!("mapping of names to {}", kind(&field["additionalProperties"], root)),
        other => other.to_owned(),
    }
}

fn choices(definition: &Value) -> Vec<&str> {
    let options = definition["oneOf"].as_array().map(Vec::as_slice).unwrap_or_default();
    options.iter().filter_map(|option| option["const"].as_str()).collect()
}

fn words(definition: &Value) -> String {
    let options = definition["oneOf"].as_array().expect("a choice");
    let rows = options.iter().map(|option| {
        format!("- `{}`: {}\n", option["const"].as_str().unwrap_or(""), option["description"].as_str().unwrap_or(""))
    });
    format!("\n{}\n", rows.collect::<String>())
}
