//! `query_table`: SQL over CSV, TSV and JSON-lines files.
//!
//! Rule: a file becomes a table in memory ([`load`]), is kept while it is unchanged ([`cache`]), and a query sees only the
//! tables it names, can only read, and stops in time ([`ask`]).

mod ask;
mod cache;
mod load;
mod source;

pub(crate) use cache::Tables;
use convoke_port::tool::{ToolError, ToolOutput};
use serde_json::{Value, json};

use super::argument::Arguments;
use super::file::ground::{Ground, Spot};
use super::job::{Job, said};
use super::limits::ToolLimits;

/// What a model is told about it.
pub(crate) const DESCRIPTION: &str = "Answer questions about CSV, TSV, JSON-lines or JSON-array files with one SQL SELECT \
    (SQLite). Each file is a table named after it without its ending (other characters than letters, digits and `_` become \
    `_`); a single file is also the table `t`. Numbers are recognized; nested JSON fields are columns such as \"user.name\" (put \
    names with dots in double quotes), lists are JSON text for json_each. `x REGEXP 'pattern'` works. Begin with \
    `SELECT * FROM t LIMIT 3` to see the columns. The answer is JSON: columns, rows, and whether rows were left out.";

/// The schema of its arguments.
pub(crate) fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "files": {"type": "array", "items": {"type": "string"}, "minItems": 1,
                "maxItems": ToolLimits::default().query.files,
                "description": "The files to query, for example [\"input/metrics.csv\"]."},
            "sql": {"type": "string", "description":
                "One SELECT, for example `SELECT host, avg(cpu) FROM t GROUP BY host ORDER BY 2 DESC LIMIT 10`."},
        },
        "required": ["files", "sql"],
        "additionalProperties": false,
    })
}

/// Queries.
pub(crate) fn run(job: &Job, tables: &Tables) -> Result<ToolOutput, ToolError> {
    let limits = &job.limits.query;
    let arguments = Arguments::read("query_table", &job.arguments, &["files", "file", "sql"])?;
    let field = if arguments.has("file") { "file" } else { "files" };
    let paths = arguments.texts(field, limits.files)?;
    if paths.is_empty() {
        return Err(arguments.wrong("files", "is missing; give a list of paths such as [\"input/metrics.csv\"]"));
    }
    let sql = arguments.text("sql")?;
    if sql.trim().is_empty() || sql.len() > limits.text_bytes {
        return Err(arguments.wrong("sql", &format!("has {} bytes; give 1 to {}", sql.len(), limits.text_bytes)));
    }
    let ground = Ground::open(job)?;
    let mut named: Vec<ask::Named> = Vec::new();
    for path in paths {
        let spot = Spot::parse(path, &job.limits.file).map_err(|why| arguments.wrong(field, &why))?;
        let table = tables.get(job, &ground, &spot)?;
        let name = free_name(&spot, &named);
        named.push(ask::Named { name, shown: spot.shown(), table });
    }
    ask::ask(job, &named, sql).map(said)
}

/// A table's name: the file's without its ending, made plain, unlike those before.
fn free_name(spot: &Spot, taken: &[ask::Named]) -> String {
    let stem = spot.relative.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
    let mut plain: String =
        stem.chars().take(60).map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    if !plain.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        plain.insert_str(0, "t_");
    }
    let mut name = plain.clone();
    let mut number = 2;
    while taken.iter().any(|other| other.name == name) {
        name = format!("{plain}_{number}");
        number += 1;
    }
    name
}
