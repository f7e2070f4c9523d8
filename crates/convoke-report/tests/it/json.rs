//! The JSON report.

use std::collections::BTreeSet;

use convoke_domain::record::RunRecord;
use convoke_report::{SCHEMA_VERSION, json};
use serde_json::Value;

use crate::samples;

const DOCS: &str = include_str!("../../../../docs/reference/report.md");

#[test]
fn waiting() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&json(&samples::waiting())).expect("JSON"));
}

#[test]
fn the_version_comes_first_and_the_record_reads_back() {
    for run in [samples::completed(), samples::failed(), samples::empty(), samples::with_people(), samples::with_flow()]
    {
        let told = json(&run);
        assert_eq!(
            told.as_object().and_then(|fields| fields.iter().next()),
            Some((&"schema_version".to_owned(), &SCHEMA_VERSION.into()))
        );
        assert_eq!(serde_json::from_value::<RunRecord>(told).expect("a record"), run);
    }
}

/// Paths of all fields: `tasks[].attempts[].n`. What a tool was given is its own affair.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(_) if path.ends_with("steps[].input") => {}
        Value::Object(object) => {
            for (name, value) in object {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                found.insert(path.clone());
                fields(value, &path, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, &format!("{path}[]"), found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_field_is_documented_and_none_beside() {
    let mut told = BTreeSet::new();
    for run in [samples::with_people(), samples::waiting(), samples::with_flow()] {
        fields(&json(&run), "", &mut told);
    }
    let rows = DOCS.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<_> = rows.map(|(field, _)| field.to_owned()).collect();
    assert_eq!(told.difference(&documented).collect::<Vec<_>>(), Vec::<&String>::new(), "not documented");
    assert_eq!(documented.difference(&told).collect::<Vec<_>>(), Vec::<&String>::new(), "documented and not there");
}
