//! A file as a table in memory.
//!
//! Rule: two passes. The first finds the columns and what is in them, the second fills the table. A column of whole numbers is
//! INTEGER, of numbers REAL, else TEXT; `007` is text. An empty CSV cell is NULL.

use std::fs::File;
use std::io::{Read, Seek};
use std::sync::atomic::{AtomicU64, Ordering};

use convoke_port::tool::ToolError;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, ToSql};

use super::source::{self, Cell, Columns, Format, Odd};
use crate::tool::job::Job;

/// The table's name in its own database.
pub(crate) const TABLE: &str = "data";
/// Rows between two looks at the clock.
const ROWS_PER_CHECK: usize = 2_000;
/// Bytes of a page.
const PAGE: u64 = 4_096;

/// A loaded file.
pub(crate) struct Table {
    /// Where other connections of this process find it.
    pub(crate) uri: String,
    /// `name type` of each column, for error messages.
    pub(crate) columns: Vec<String>,
    /// What was left out in loading.
    pub(crate) notes: Vec<String>,
    /// Bytes in memory.
    pub(crate) bytes: u64,
    /// Keeps the memory alive; SQLite frees it with the last connection.
    _holder: std::sync::Mutex<Connection>,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Nothing,
    Integer,
    Real,
    Text,
    /// JSON of different kinds.
    Mixed,
}

/// Loads `file`, shown as `path`.
pub(crate) fn load(job: &Job, mut file: File, path: &str) -> Result<Table, ToolError> {
    let mut start = vec![0; 64 << 10];
    let read = file.read(&mut start).map_err(|error| failed(path, &error))?;
    let format = source::format_of(path, &start[..read])?;
    let (columns, kinds, odd) = survey(job, &mut file, format, path)?;
    if columns.names.is_empty() {
        return Err(ToolError::Failed(format!("`{path}` has no rows")));
    }
    let uri = fresh_uri();
    let holder = fill(job, &mut file, format, &uri, (&columns, &kinds)).map_err(|error| match error {
        ToolError::Failed(why) => ToolError::Failed(format!("`{path}` cannot be loaded: {why}")),
        other => other,
    })?;
    let pages: i64 =
        holder.query_row("PRAGMA page_count", [], |row| row.get(0)).map_err(|error| failed(path, &error))?;
    Ok(Table {
        uri,
        columns: columns.names.iter().zip(&kinds).map(|(name, kind)| format!("\"{name}\" {}", sql(*kind))).collect(),
        notes: notes(&columns, &odd, path),
        bytes: pages.unsigned_abs() * PAGE,
        _holder: std::sync::Mutex::new(holder),
    })
}

/// First pass: columns, and what is in them.
fn survey(job: &Job, file: &mut File, format: Format, path: &str) -> Result<(Columns, Vec<Kind>, Odd), ToolError> {
    file.rewind().map_err(|error| failed(path, &error))?;
    let (mut columns, mut kinds, mut count) = (Columns::default(), Vec::new(), 0usize);
    let from_text = matches!(format, Format::Separated(_));
    let odd = source::rows(file, format, &job.limits.query, &mut columns, &mut |columns, row| {
        count += 1;
        if count > job.limits.query.table_rows {
            return Err(ToolError::Failed(format!("it has more than {} rows", job.limits.query.table_rows)));
        }
        if count.is_multiple_of(ROWS_PER_CHECK) {
            job.check()?;
        }
        kinds.resize(columns.names.len(), Kind::Nothing);
        for (number, cell) in row {
            kinds[number] = joined(kinds[number], if from_text { kind_of_text(&cell) } else { kind_of(&cell) });
        }
        Ok(())
    })
    .map_err(|error| match error {
        ToolError::Failed(why) => ToolError::Failed(format!("`{path}` cannot be loaded: {why}")),
        other => other,
    })?;
    kinds.resize(columns.names.len(), Kind::Nothing);
    // CSV cells are text in the end, never of different kinds.
    for kind in kinds.iter_mut().filter(|kind| from_text && **kind == Kind::Mixed) {
        *kind = Kind::Text;
    }
    Ok((columns, kinds, odd))
}

/// Second pass: the table.
fn fill(
    job: &Job,
    file: &mut File,
    format: Format,
    uri: &str,
    shape: (&Columns, &[Kind]),
) -> Result<Connection, ToolError> {
    let (columns, kinds) = shape;
    let wrong = |error: rusqlite::Error| ToolError::Failed(error.to_string());
    file.rewind().map_err(|error| ToolError::Failed(error.to_string()))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_URI;
    let mut connection = Connection::open_with_flags(uri, flags).map_err(wrong)?;
    let pages = job.limits.query.cache_bytes / PAGE;
    let setup = format!("PRAGMA page_size = {PAGE}; PRAGMA max_page_count = {pages}; {}", create(columns, kinds));
    connection.execute_batch(&setup).map_err(wrong)?;
    let transaction = connection.transaction().map_err(wrong)?;
    let marks = vec!["?"; columns.names.len()].join(",");
    let mut insert = transaction.prepare(&format!("INSERT INTO {TABLE} VALUES ({marks})")).map_err(wrong)?;
    let from_text = matches!(format, Format::Separated(_));
    let mut again = Columns::default();
    let mut count = 0usize;
    source::rows(file, format, &job.limits.query, &mut again, &mut |_, row| {
        count += 1;
        if count.is_multiple_of(ROWS_PER_CHECK) {
            job.check()?;
        }
        let mut cells = vec![Cell::Null; kinds.len()];
        // The file may have grown since the first pass: what is new is not taken.
        for (number, cell) in row.into_iter().filter(|(number, _)| *number < kinds.len()) {
            cells[number] = if from_text { typed(cell, kinds[number]) } else { cell };
        }
        insert.execute(rusqlite::params_from_iter(cells)).map(|_| ()).map_err(|error| full(error, job))
    })?;
    drop(insert);
    transaction.commit().map_err(wrong)?;
    Ok(connection)
}

fn full(error: rusqlite::Error, job: &Job) -> ToolError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => {
            ToolError::Failed(format!("it takes more than {} bytes of memory", job.limits.query.cache_bytes))
        }
        _ => ToolError::Failed(error.to_string()),
    }
}

fn create(columns: &Columns, kinds: &[Kind]) -> String {
    let column = |(name, kind): (&String, &Kind)| format!("\"{}\" {}", name.replace('"', "\"\""), sql(*kind));
    let all: Vec<_> = columns.names.iter().zip(kinds).map(column).collect();
    format!("CREATE TABLE {TABLE} ({})", all.join(", "))
}

fn fresh_uri() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    // The leading slash makes it shared between the connections of this process.
    format!("file:/convoke-table-{}?vfs=memdb", NUMBER.fetch_add(1, Ordering::Relaxed))
}

fn notes(columns: &Columns, odd: &Odd, path: &str) -> Vec<String> {
    let mut notes = Vec::new();
    if odd.bad_lines > 0 {
        notes.push(format!("{path}: {} lines are not JSON and were left out", odd.bad_lines));
    }
    if odd.long_rows > 0 {
        notes
            .push(format!("{path}: {} rows have more cells than the header; these cells were left out", odd.long_rows));
    }
    if columns.left_out > 0 {
        notes.push(format!("{path}: only the first {} columns were loaded", columns.names.len()));
    }
    notes
}

fn sql(kind: Kind) -> &'static str {
    match kind {
        Kind::Integer => "INTEGER",
        Kind::Real => "REAL",
        Kind::Nothing | Kind::Text => "TEXT",
        Kind::Mixed => "",
    }
}

fn kind_of(cell: &Cell) -> Kind {
    match cell {
        Cell::Null => Kind::Nothing,
        Cell::Integer(_) => Kind::Integer,
        Cell::Real(_) => Kind::Real,
        Cell::Text(_) => Kind::Text,
    }
}

fn kind_of_text(cell: &Cell) -> Kind {
    match cell {
        Cell::Text(text) if !text.is_empty() => match number(text) {
            Some(number) => kind_of(&number),
            None => Kind::Text,
        },
        _ => Kind::Nothing,
    }
}

/// What a column holds that held `one` and now `other`.
fn joined(one: Kind, other: Kind) -> Kind {
    match (one, other) {
        (Kind::Nothing, kind) | (kind, Kind::Nothing) => kind,
        (one, other) if one == other => one,
        (Kind::Integer | Kind::Real, Kind::Integer | Kind::Real) => Kind::Real,
        _ => Kind::Mixed,
    }
}

/// A number in plain writing; leading zeros and signs such as `+` make it text, for these are ids and phone numbers.
fn number(text: &str) -> Option<Cell> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.starts_with(|c: char| c.is_ascii_digit())
        && !(digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit());
    if !plain || text.len() > 40 {
        return None;
    }
    if let Ok(number) = text.parse() {
        return Some(Cell::Integer(number));
    }
    // A whole number too long for SQLite is an id; as a float it would lose digits.
    let looks_real = digits.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
    text.parse().ok().filter(|number: &f64| looks_real && number.is_finite()).map(Cell::Real)
}

/// A CSV cell by the kind of its column.
fn typed(cell: Cell, kind: Kind) -> Cell {
    match cell {
        Cell::Text(text) if text.is_empty() => Cell::Null,
        Cell::Text(text) if matches!(kind, Kind::Integer | Kind::Real) => number(&text).unwrap_or(Cell::Text(text)),
        other => other,
    }
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

fn failed(path: &str, error: &dyn std::fmt::Display) -> ToolError {
    ToolError::Failed(format!("`{path}` cannot be loaded: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_from_text() {
        assert_eq!(number("12"), Some(Cell::Integer(12)));
        assert_eq!(number("-0.5"), Some(Cell::Real(-0.5)));
        assert_eq!(number("1e3"), Some(Cell::Real(1_000.0)));
        assert_eq!(number("0"), Some(Cell::Integer(0)));
        for text in ["007", "+1", " 1", "1,5", "abc", "", "-", "inf", "NaN", "99999999999999999999"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn kinds_join() {
        assert_eq!(joined(Kind::Nothing, Kind::Integer), Kind::Integer);
        assert_eq!(joined(Kind::Integer, Kind::Real), Kind::Real);
        assert_eq!(joined(Kind::Text, Kind::Integer), Kind::Mixed);
    }
}
