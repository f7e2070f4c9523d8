//! Reading rows out of CSV, TSV and JSON files, one at a time.
//!
//! Rule: a row is a list of (column number, cell); columns are found on the way. What does not fit is counted, not guessed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use convoke_port::tool::ToolError;
use serde_json::Value;

use crate::tool::limits::QueryLimits;

/// Bytes of a JSON file that is not lines: it is read whole.
const WHOLE_JSON: u64 = 32 << 20;
/// Bytes of one JSON line.
const JSON_LINE: u64 = 4 << 20;
/// Objects in objects that become columns of their own.
const NESTING: usize = 8;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Cells between this byte.
    Separated(u8),
    /// One JSON value a line.
    JsonLines,
    /// One JSON value: a list, or an object that holds one list.
    Json,
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
}

/// The columns met so far.
#[derive(Default)]
pub(crate) struct Columns {
    pub(crate) names: Vec<String>,
    by_path: HashMap<String, usize>,
    taken: HashMap<String, u32>,
    /// Columns beyond the limit, left out.
    pub(crate) left_out: usize,
}

/// What could not be taken.
#[derive(Default)]
pub(crate) struct Odd {
    pub(crate) bad_lines: u64,
    pub(crate) long_rows: u64,
}

/// A row on its way: columns by number.
pub(crate) type Row = Vec<(usize, Cell)>;
type Visit<'a> = &'a mut dyn FnMut(&Columns, Row) -> Result<(), ToolError>;

impl Columns {
    /// The number of the column called `path`, made if new; `None` beyond `most`.
    fn number(&mut self, path: &str, most: usize) -> Option<usize> {
        if let Some(number) = self.by_path.get(path) {
            return Some(*number);
        }
        if self.names.len() == most {
            self.left_out += 1;
            return None;
        }
        let number = self.add(path);
        self.by_path.insert(path.to_owned(), number);
        Some(number)
    }

    /// Adds a column; a name that is there already, by SQLite's rule without regard to case, gets a number.
    fn add(&mut self, wanted: &str) -> usize {
        let mut name: String = wanted.trim().chars().take(200).collect();
        if name.is_empty() {
            name = format!("column_{}", self.names.len() + 1);
        }
        let count = self.taken.entry(name.to_lowercase()).or_insert(0);
        *count += 1;
        if *count > 1 {
            name = format!("{name}_{count}");
            self.taken.insert(name.to_lowercase(), 1);
        }
        self.names.push(name);
        self.names.len() - 1
    }
}

/// Tells the format by the file's ending, else by its first byte.
pub(crate) fn format_of(path: &str, start: &[u8]) -> Result<Format, ToolError> {
    let ending = path.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
    let first = start.iter().find(|byte| !byte.is_ascii_whitespace());
    Ok(match ending.as_str() {
        "csv" => Format::Separated(separator(start)),
        "tsv" | "tab" => Format::Separated(b'\t'),
        "jsonl" | "ndjson" => Format::JsonLines,
        "json" => Format::Json,
        _ if first == Some(&b'{') => Format::JsonLines,
        _ if first == Some(&b'[') => Format::Json,
        _ => {
            return Err(ToolError::Failed(format!(
                "`{path}` is not a table; query_table reads .csv, .tsv, .jsonl and .json; use search_files for text"
            )));
        }
    })
}

/// The byte between cells, by the first line.
fn separator(start: &[u8]) -> u8 {
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |separator: u8| line.iter().filter(|byte| **byte == separator).count();
    let by_count = |separator: &u8| (count(*separator), *separator == b',');
    *[b',', b';', b'\t', b'|'].iter().max_by_key(|separator| by_count(separator)).unwrap_or(&b',')
}

/// Reads all rows.
pub(crate) fn rows(
    file: &File,
    format: Format,
    limits: &QueryLimits,
    columns: &mut Columns,
    visit: Visit<'_>,
) -> Result<Odd, ToolError> {
    match format {
        Format::Separated(separator) => separated(file, separator, limits, columns, visit),
        Format::JsonLines => json_lines(file, limits, columns, visit),
        Format::Json => json(file, limits, columns, visit),
    }
}

fn separated(
    file: &File,
    separator: u8,
    limits: &QueryLimits,
    columns: &mut Columns,
    visit: Visit<'_>,
) -> Result<Odd, ToolError> {
    let mut reader =
        csv::ReaderBuilder::new().delimiter(separator).flexible(true).buffer_capacity(64 << 10).from_reader(file);
    let head = reader.byte_headers().map_err(|error| broken(&error))?.clone();
    for name in head.iter().take(limits.table_columns) {
        let name = String::from_utf8_lossy(name);
        columns.add(name.trim_start_matches('\u{feff}'));
    }
    columns.left_out = head.len().saturating_sub(limits.table_columns);
    let mut odd = Odd::default();
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|error| broken(&error))? {
        odd.long_rows += u64::from(record.len() > head.len());
        let cells = record.iter().take(columns.names.len()).enumerate();
        let row =
            cells.map(|(number, cell)| (number, Cell::Text(String::from_utf8_lossy(cell).into_owned()))).collect();
        visit(columns, row)?;
    }
    Ok(odd)
}

fn json_lines(file: &File, limits: &QueryLimits, columns: &mut Columns, visit: Visit<'_>) -> Result<Odd, ToolError> {
    let mut reader = BufReader::with_capacity(64 << 10, file);
    let mut odd = Odd::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader).take(JSON_LINE).read_until(b'\n', &mut line).map_err(|error| broken(&error))?;
        if read == 0 {
            return Ok(odd);
        }
        if read as u64 == JSON_LINE && line.last() != Some(&b'\n') {
            return Err(ToolError::Failed(format!("a line is longer than {JSON_LINE} bytes")));
        }
        match serde_json::from_slice::<Value>(&line) {
            Ok(value) => {
                let row = flat(value, limits.table_columns, columns);
                visit(columns, row)?;
            }
            Err(_) if line.iter().all(u8::is_ascii_whitespace) => {}
            Err(_) => odd.bad_lines += 1,
        }
    }
}

fn json(file: &File, limits: &QueryLimits, columns: &mut Columns, visit: Visit<'_>) -> Result<Odd, ToolError> {
    let mut text = Vec::new();
    let mut reader = file;
    Read::take(&mut reader, WHOLE_JSON + 1).read_to_end(&mut text).map_err(|error| broken(&error))?;
    if text.len() as u64 > WHOLE_JSON {
        return Err(ToolError::Failed(format!(
            "a .json file of more than {WHOLE_JSON} bytes cannot be loaded; JSON lines (.jsonl) can be larger"
        )));
    }
    let value = match serde_json::from_slice::<Value>(&text) {
        Ok(value) => value,
        // Many a file of JSON lines is called .json.
        Err(_) if text.contains(&b'\n') => {
            std::io::Seek::rewind(&mut reader).map_err(|error| broken(&error))?;
            return json_lines(file, limits, columns, visit);
        }
        Err(error) => return Err(ToolError::Failed(format!("the file is not JSON: {error}"))),
    };
    for item in list_of(value) {
        let row = flat(item, limits.table_columns, columns);
        visit(columns, row)?;
    }
    Ok(Odd::default())
}

/// The rows of a JSON value: a list itself, the only list in an object, else the value as one row.
fn list_of(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        Value::Object(mut fields) => {
            let lists: Vec<String> =
                fields.iter().filter(|(_, field)| field.is_array()).map(|(name, _)| name.clone()).collect();
            match (lists.as_slice(), fields.len()) {
                ([only], _) => match fields.remove(only) {
                    Some(Value::Array(items)) => items,
                    _ => Vec::new(),
                },
                _ => vec![Value::Object(fields)],
            }
        }
        other => vec![other],
    }
}

fn flat(value: Value, most: usize, columns: &mut Columns) -> Row {
    let mut row = Row::new();
    let room = Room { depth: 1, columns: most };
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                put(&name, field, room, columns, &mut row);
            }
        }
        other => put("value", other, room, columns, &mut row),
    }
    row
}

/// How far a value may spread.
#[derive(Clone, Copy)]
struct Room {
    depth: usize,
    columns: usize,
}

fn put(path: &str, value: Value, room: Room, columns: &mut Columns, row: &mut Row) {
    let cell = match value {
        Value::Object(fields) if room.depth < NESTING && !fields.is_empty() => {
            for (name, field) in fields {
                put(&format!("{path}.{name}"), field, Room { depth: room.depth + 1, ..room }, columns, row);
            }
            return;
        }
        Value::Null => Cell::Null,
        Value::Bool(is) => Cell::Integer(i64::from(is)),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Cell::Integer(number),
            None => Cell::Real(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Cell::Text(text),
        nested => Cell::Text(nested.to_string()),
    };
    if let Some(number) = columns.number(path, room.columns) {
        row.push((number, cell));
    }
}

fn broken(error: &dyn std::fmt::Display) -> ToolError {
    ToolError::Failed(format!("the file cannot be read: {error}"))
}
