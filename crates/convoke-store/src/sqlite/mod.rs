//! The SQLite side: one connection that writes, a few that read, one process per data folder.
//!
//! Rule: only the [`writer`] writes, on its own thread; [`checkpoint`] moves its log beside it; readers are `query_only`. Start at
//! [`Engine`].

mod checkpoint;
mod conn;
mod engine;
mod files;
mod lock;
mod reader;
mod schema;
mod writer;

pub(crate) use conn::{Conn, cell};
pub(crate) use engine::Engine;
pub(crate) use files::{backup, make_empty, restore};
pub(crate) use lock::sync_dir;
pub(crate) use schema::{fresh_parts, migrate, version};
pub(crate) use writer::Work;

/// The database inside a data folder.
pub(crate) const FILE: &str = "convoke.db";

/// The oldest SQLite that is safe with a writer and a checkpoint on one WAL file: every release from 3.7.0 to 3.51.2 can
/// corrupt it (the WAL-reset defect, fixed in 3.51.3).
pub const MIN_SQLITE: i32 = 3_051_003;

/// The version of the SQLite that is built in, such as `3.53.0`.
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}
