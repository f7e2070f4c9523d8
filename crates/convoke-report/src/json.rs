//! A run as JSON, for programs: the record itself under a version of its shape. Described in `docs/reference/report.md`.

use convoke_domain::record::RunRecord;
use serde_json::{Map, Value};

/// The version of the shape. Fields may be added without a new one; none is removed or changes its meaning.
pub const SCHEMA_VERSION: u32 = 1;

/// A run as a JSON object: `schema_version`, then the fields of the record in their order.
pub fn json(run: &RunRecord) -> Value {
    let mut object = Map::new();
    object.insert("schema_version".into(), SCHEMA_VERSION.into());
    let record = serde_json::to_value(run).expect("a record has text keys and finite numbers");
    if let Value::Object(fields) = record {
        object.extend(fields);
    }
    Value::Object(object)
}
