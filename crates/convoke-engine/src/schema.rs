//! JSON Schemas of answers, compiled once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::Value;

/// Compiled schemas kept in memory.
const KEPT: usize = 512;
/// Reasons told to a model at once.
const REASONS: usize = 5;

/// Compiled schemas by their text.
#[derive(Default)]
pub(crate) struct Schemas {
    compiled: Mutex<HashMap<String, Option<Arc<Validator>>>>,
}

impl Schemas {
    /// Checks an answer: the JSON in it, as it shall be kept, or what is wrong with it in words a model can act on.
    pub(crate) fn check(&self, schema: &str, answer: &str) -> Result<String, String> {
        let value: Value = serde_json::from_str(bare(answer)).map_err(|error| format!("it is not JSON: {error}"))?;
        let Some(validator) = self.validator(schema) else { return Ok(value.to_string()) };
        let reasons: Vec<_> = validator
            .iter_errors(&value)
            .take(REASONS)
            .map(|error| {
                let place = error.instance_path().to_string();
                if place.is_empty() { error.to_string() } else { format!("at {place}: {error}") }
            })
            .collect();
        if reasons.is_empty() { Ok(value.to_string()) } else { Err(reasons.join("; ")) }
    }

    /// A schema that does not compile was refused when the team was saved; one from an older version checks nothing.
    fn validator(&self, schema: &str) -> Option<Arc<Validator>> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = compiled.get(schema) {
            return known.clone();
        }
        if compiled.len() >= KEPT {
            compiled.clear();
        }
        let value: Option<Value> = serde_json::from_str(schema).ok();
        let validator = value.and_then(|value| jsonschema::validator_for(&value).ok()).map(Arc::new);
        compiled.insert(schema.to_owned(), validator.clone());
        validator
    }
}

/// The JSON without a Markdown fence around it, which models like to add.
fn bare(answer: &str) -> &str {
    let text = answer.trim();
    let Some(inside) = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```")) else { return text };
    inside.strip_prefix("json").unwrap_or(inside).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str =
        r#"{"type":"object","required":["verdict"],"properties":{"verdict":{"enum":["agree","disagree"]}}}"#;

    #[test]
    fn answers_are_kept_bare_or_refused_with_the_place() {
        let schemas = Schemas::default();
        assert_eq!(
            schemas.check(SCHEMA, "```json\n{\"verdict\": \"agree\"}\n```"),
            Ok(r#"{"verdict":"agree"}"#.into())
        );
        assert_eq!(schemas.check(SCHEMA, "{}"), Err("\"verdict\" is a required property".into()));
        let wrong = schemas.check(SCHEMA, r#"{"verdict":"maybe"}"#).expect_err("not in the list");
        assert!(wrong.starts_with("at /verdict: "), "{wrong}");
        assert!(schemas.check(SCHEMA, "sure").expect_err("text").starts_with("it is not JSON"));
    }
}
