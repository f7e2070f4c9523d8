//! Reading rows: a cell is read by its meaning, not by its database. Rule: a cell of the wrong type is
//! [`Error::Broken`] with the column's name, never a silent default. Start at [`FromRow`] and [`crate::row!`].

use convoke_domain::id::{
    AgentId, ApprovalId, GrantId, HandoffId, MemoryId, MessageId, RunId, SessionId, TaskId, ThreadId, UserId,
    WorkspaceId,
};
use convoke_domain::money::Money;
use convoke_domain::time::Timestamp;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::error::{Error, Result};

/// One value of a row, as the database gave it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'r> {
    /// No value.
    Null,
    /// A whole number.
    Int(i64),
    /// A real number.
    Real(f64),
    /// Text.
    Text(&'r str),
    /// Bytes; in SQLite also an id.
    Bytes(&'r [u8]),
    /// An id, where the database has a type for it.
    Uuid(Uuid),
}

/// A type that one cell can hold.
pub trait FromCell: Sized {
    /// What was expected, for the error text.
    const EXPECTED: &'static str;

    /// Reads it; `None` if the cell holds something else.
    fn from_cell(cell: Cell<'_>) -> Option<Self>;
}

/// A row while it is read.
pub struct Row<'r> {
    pub(crate) source: Source<'r>,
}

pub(crate) enum Source<'r> {
    Lite(&'r rusqlite::Row<'r>),
    Pg(&'r tokio_postgres::Row),
}

impl Row<'_> {
    /// How many columns there are.
    pub fn columns(&self) -> usize {
        match &self.source {
            Source::Lite(row) => row.as_ref().column_count(),
            Source::Pg(row) => row.len(),
        }
    }

    /// The name of column `at`, or nothing if there is no such column.
    pub fn name(&self, at: usize) -> &str {
        match &self.source {
            Source::Lite(row) => row.as_ref().column_name(at).unwrap_or_default(),
            Source::Pg(row) => row.columns().get(at).map_or("", |column| column.name()),
        }
    }

    fn cell(&self, at: usize) -> Result<Cell<'_>> {
        match &self.source {
            Source::Lite(row) => crate::sqlite::cell(row, at),
            Source::Pg(row) => crate::pg::cell(row, at),
        }
    }

    /// Column `at`, from 0.
    pub fn get<T: FromCell>(&self, at: usize) -> Result<T> {
        let cell = self.cell(at)?;
        T::from_cell(cell).ok_or_else(|| {
            let (name, expected) = (self.name(at), T::EXPECTED);
            Error::broken(format!("column {} (`{name}`) should be {expected} but is {cell:?}", at + 1))
        })
    }

    /// Column `at` for the field `field`; in debug builds the names must agree, so that swapped columns show in tests.
    pub fn field<T: FromCell>(&self, at: usize, field: &str) -> Result<T> {
        if cfg!(debug_assertions) {
            self.expect_name(at, field.trim_start_matches("r#"))?;
        }
        self.get(at)
    }

    fn expect_name(&self, at: usize, field: &str) -> Result<()> {
        let (name, at) = (self.name(at), at + 1);
        if name == field {
            return Ok(());
        }
        Err(Error::broken(format!("column {at} is `{name}` but the field is `{field}`; alias it with AS")))
    }

    /// Fails unless the row has exactly `count` columns.
    pub fn expect_columns(&self, count: usize) -> Result<()> {
        let found = self.columns();
        if found == count {
            return Ok(());
        }
        Err(Error::broken(format!("the statement gives {found} columns but {count} are read")))
    }
}

/// A type that one row holds: one cell, a tuple of cells, or a struct named in [`crate::row!`].
pub trait FromRow: Sized {
    /// Reads it.
    fn from_row(row: &Row<'_>) -> Result<Self>;
}

/// Reads columns into the fields of a struct, in order; names must agree: `row!(Blob { hash, size });`, or the struct
/// itself, which is then made here too.
#[macro_export]
macro_rules! row {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$note:meta])* pub $field:ident: $type:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name { $($(#[$note])* pub $field: $type,)+ }
        $crate::row!($name { $($field),+ });
    };
    ($name:ident { $($field:ident),+ $(,)? }) => {
        impl $crate::FromRow for $name {
            fn from_row(row: &$crate::Row<'_>) -> $crate::Result<Self> {
                const FIELDS: &[&str] = &[$(stringify!($field)),+];
                row.expect_columns(FIELDS.len())?;
                let mut at = 0;
                let mut next = || { at += 1; at - 1 };
                Ok(Self { $($field: row.field(next(), stringify!($field))?),+ })
            }
        }
    };
}

/// A value kept as JSON text.
#[derive(Debug, Clone, PartialEq)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromCell for Json<T> {
    const EXPECTED: &'static str = "JSON of the expected shape";
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        let Cell::Text(text) = cell else { return None };
        serde_json::from_str(text).ok().map(Self)
    }
}

impl<T: FromCell> FromCell for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        if cell == Cell::Null { Some(None) } else { T::from_cell(cell).map(Some) }
    }
}

macro_rules! cells {
    ($($type:ty = $expected:literal: $pattern:pat => $read:expr;)+) => {$(
        impl FromCell for $type {
            const EXPECTED: &'static str = $expected;
            fn from_cell(cell: Cell<'_>) -> Option<Self> {
                match cell { $pattern => $read, _ => None }
            }
        }
    )+};
}

cells! {
    i64 = "a whole number": Cell::Int(v) => Some(v);
    i32 = "a whole number of 32 bits": Cell::Int(v) => v.try_into().ok();
    u16 = "a whole number of 16 bits": Cell::Int(v) => v.try_into().ok();
    u32 = "a whole number of 32 bits, not negative": Cell::Int(v) => v.try_into().ok();
    u64 = "a whole number, not negative": Cell::Int(v) => v.try_into().ok();
    usize = "a whole number, not negative": Cell::Int(v) => v.try_into().ok();
    bool = "0 or 1": Cell::Int(v @ (0 | 1)) => Some(v == 1);
    String = "text": Cell::Text(v) => Some(v.to_owned());
    Box<str> = "text": Cell::Text(v) => Some(v.into());
    Vec<u8> = "bytes": Cell::Bytes(v) => Some(v.to_vec());
    [u8; 32] = "32 bytes": Cell::Bytes(v) => v.try_into().ok();
    serde_json::Value = "JSON": Cell::Text(v) => serde_json::from_str(v).ok();
    Timestamp = "a time in microseconds": Cell::Int(v) => Some(Self::from_micros(v));
    Money = "money in nano-dollars": Cell::Int(v) => Some(Self::from_nanos(v));
}

impl FromCell for f64 {
    const EXPECTED: &'static str = "a number";
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Real(v) => Some(v),
            Cell::Int(v) => Some(v as f64),
            _ => None,
        }
    }
}

impl FromCell for Uuid {
    const EXPECTED: &'static str = "an id";
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Uuid(v) => Some(v),
            Cell::Bytes(v) => Self::from_slice(v).ok(),
            _ => None,
        }
    }
}

macro_rules! ids {
    ($($type:ident)+) => {$(
        impl FromCell for $type {
            const EXPECTED: &'static str = "an id";
            fn from_cell(cell: Cell<'_>) -> Option<Self> {
                Uuid::from_cell(cell).map(Self)
            }
        }
    )+};
}

ids! { WorkspaceId UserId AgentId GrantId SessionId RunId TaskId ApprovalId ThreadId MessageId HandoffId MemoryId }

impl<T: FromCell> FromRow for T {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        row.expect_columns(1)?;
        row.get(0)
    }
}

macro_rules! tuples {
    ($($count:literal: $($type:ident $at:tt),+;)+) => {$(
        impl<$($type: FromCell),+> FromRow for ($($type,)+) {
            fn from_row(row: &Row<'_>) -> Result<Self> {
                row.expect_columns($count)?;
                Ok(($(row.get::<$type>($at)?,)+))
            }
        }
    )+};
}

tuples! {
    1: A 0;
    2: A 0, B 1;
    3: A 0, B 1, C 2;
    4: A 0, B 1, C 2, D 3;
    5: A 0, B 1, C 2, D 3, E 4;
    6: A 0, B 1, C 2, D 3, E 4, F 5;
    7: A 0, B 1, C 2, D 3, E 4, F 5, G 6;
    8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7;
}
