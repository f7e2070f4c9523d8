//! One SELECT over loaded tables.
//!
//! Rule: the connection is made for one query and can do nothing but read the tables it was given: SQLite's authorizer
//! refuses all else, its limits bound the text and the values, its progress handler the time.

use std::sync::Arc;
use std::time::Instant;

use convoke_port::tool::ToolError;
use regex::Regex;
use rusqlite::functions::FunctionFlags;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Statement};
use serde_json::Value;

use super::load::{TABLE, Table};
use crate::tool::job::{Job, cut};

/// Steps of SQLite's machine between two looks at the clock.
const STEPS_PER_CHECK: i32 = 4_000;
/// Bytes shown of one text value.
const TEXT_SHOWN: usize = 2_000;
/// Bytes left for what stands around the rows.
const FRAME: usize = 2_000;

/// A table under the name that the query uses.
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) shown: String,
    pub(crate) table: Arc<Table>,
}

/// Runs the query and writes the answer as JSON.
pub(crate) fn ask(job: &Job, tables: &[Named], sql: &str) -> Result<String, ToolError> {
    let mut connection = open(job, tables).map_err(|error| ToolError::Failed(format!("query_table: {error}")))?;
    let end = job.end.min(Instant::now() + job.limits.query.time);
    guard(&mut connection, job, end).map_err(|error| ToolError::Failed(format!("query_table: {error}")))?;
    let failed = |error: rusqlite::Error| explain(&error, job, tables);
    let mut statement = connection.prepare(sql).map_err(failed)?;
    if statement.column_count() == 0 || !statement.readonly() {
        return Err(ToolError::Refused("query_table: `sql` must be one SELECT".into()));
    }
    write(job, tables, &mut statement).map_err(|error| match error {
        Trouble::Sqlite(error) => failed(error),
        Trouble::Told(error) => error,
    })
}

fn open(job: &Job, tables: &[Named]) -> rusqlite::Result<Connection> {
    // Not SQLITE_OPEN_MEMORY: attached databases would inherit it and be fresh ones.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(":memory:", flags)?;
    // Large sorts go to a file rather than to memory. First of all: it empties the temporary database.
    connection.execute_batch("PRAGMA temp_store = FILE")?;
    for (number, table) in tables.iter().enumerate() {
        connection.execute(&format!("ATTACH ?1 AS f{number}"), [&table.table.uri])?;
        let view = |name: &str| format!("CREATE TEMP VIEW \"{name}\" AS SELECT * FROM f{number}.{TABLE}");
        connection.execute_batch(&view(&table.name))?;
        if tables.len() == 1 && table.name != "t" {
            connection.execute_batch(&view("t"))?;
        }
    }
    connection.execute_batch("PRAGMA query_only = ON")?;
    limit(&connection, job)?;
    add_regexp(&connection, job.limits.file.pattern_bytes)?;
    Ok(connection)
}

fn limit(connection: &Connection, job: &Job) -> rusqlite::Result<()> {
    let limits = &job.limits.query;
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, i32::try_from(limits.value_bytes).unwrap_or(i32::MAX)),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, i32::try_from(limits.text_bytes).unwrap_or(i32::MAX)),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 200),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 50),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, most)?;
    }
    Ok(())
}

/// Lets the connection read and nothing else, and only until `end`.
fn guard(connection: &mut Connection, job: &Job, end: Instant) -> rusqlite::Result<()> {
    let cancel = job.cancel.clone();
    connection.progress_handler(STEPS_PER_CHECK, Some(move || cancel.is_cancelled() || Instant::now() >= end))?;
    connection.authorizer(Some(|context: AuthContext<'_>| match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name } if !function_name.eq_ignore_ascii_case("load_extension") => {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    }))
}

fn add_regexp(connection: &Connection, most: usize) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("regexp", 2, flags, move |context| {
        let pattern =
            context.get_or_create_aux(0, |value| -> Result<Regex, Box<dyn std::error::Error + Send + Sync>> {
                Ok(regex::RegexBuilder::new(value.as_str()?).size_limit(most).build()?)
            })?;
        Ok(match context.get_raw(1) {
            ValueRef::Null => None,
            ValueRef::Text(text) => Some(pattern.is_match(&String::from_utf8_lossy(text))),
            ValueRef::Integer(number) => Some(pattern.is_match(&number.to_string())),
            ValueRef::Real(number) => Some(pattern.is_match(&number.to_string())),
            ValueRef::Blob(_) => Some(false),
        })
    })
}

enum Trouble {
    Sqlite(rusqlite::Error),
    Told(ToolError),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn write(job: &Job, tables: &[Named], statement: &mut Statement<'_>) -> Result<String, Trouble> {
    let columns: Vec<String> = statement.column_names().map(|name| cut(name, 200).to_owned()).collect();
    let mut text = format!("{{\"columns\":{},\"rows\":[", Value::from(columns.clone()));
    let room = job.limits.output_bytes.saturating_sub(FRAME).max(text.len() + 1);
    let (mut count, mut truncated) = (0usize, false);
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let values: Vec<Value> = (0..columns.len()).map(|at| row.get_ref(at).map(shown)).collect::<Result<_, _>>()?;
        let line = Value::from(values).to_string();
        if count == job.limits.query.rows || (count > 0 && text.len() + line.len() > room) {
            truncated = true;
            break;
        }
        if line.len() > room {
            return Err(Trouble::Told(ToolError::Failed(format!(
                "query_table: a row has {} bytes; select fewer columns, or parts with substr()",
                line.len()
            ))));
        }
        text.push_str(if count == 0 { "" } else { "," });
        text.push_str(&line);
        count += 1;
    }
    text.push_str(&format!("],\"truncated\":{truncated}"));
    let notes: Vec<&String> = tables.iter().flat_map(|table| &table.table.notes).collect();
    if !notes.is_empty() {
        text.push_str(&format!(",\"notes\":{}", serde_json::json!(notes)));
    }
    text.push('}');
    Ok(text)
}

fn shown(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Blob(bytes) => format!("<{} bytes>", bytes.len()).into(),
        ValueRef::Text(text) => {
            let text = String::from_utf8_lossy(text);
            let part = cut(&text, TEXT_SHOWN);
            if part.len() < text.len() {
                format!("{part}… [{} bytes more]", text.len() - part.len()).into()
            } else {
                part.into()
            }
        }
    }
}

/// An error with what the query could have used.
fn explain(error: &rusqlite::Error, job: &Job, tables: &[Named]) -> ToolError {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => job.check().err().unwrap_or_else(|| {
            ToolError::Failed(format!(
                "query_table: the query ran longer than {} s; filter earlier or join less",
                job.limits.query.time.as_secs()
            ))
        }),
        Some(ErrorCode::AuthorizationForStatementDenied) => {
            ToolError::Refused("query_table: only one SELECT over the given files is allowed".into())
        }
        _ if matches!(error, rusqlite::Error::MultipleStatement) => {
            ToolError::Refused("query_table: `sql` holds more than one statement; give one SELECT".into())
        }
        _ => {
            let about = |table: &Named| {
                let name = if tables.len() == 1 { "t" } else { &table.name };
                format!("{name} ({}): {}", table.shown, table.table.columns.join(", "))
            };
            let tables: Vec<String> = tables.iter().map(about).collect();
            let all = format!("query_table: {error}. Tables and columns: {}", tables.join("; "));
            ToolError::Failed(cut(&all, 4_000).to_owned())
        }
    }
}
