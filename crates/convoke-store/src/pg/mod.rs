//! The PostgreSQL side: a few connections that write (lanes), a few that read, any number of processes.
//!
//! Rule: each workspace belongs to one lane, which is its single writer here, and every transaction that writes begins by
//! locking the heads of its workspaces, which makes it the single writer among all processes (see [`conn`]). So a use case
//! sees what it sees on SQLite: nobody else writes its workspace while it runs. Start at [`Engine`], then [`lane`].

mod conn;
mod connect;
mod engine;
mod files;
mod guard;
mod lane;
mod reader;
mod record;
mod schema;
mod sent;
mod statistics;
mod tls;
mod trouble;
mod url;
mod value;

pub(crate) use conn::Conn;
pub use connect::PgOptions;
pub(crate) use engine::Engine;
pub(crate) use files::{FILE as BACKUP, backup, restore};
pub(crate) use value::cell;

/// The oldest PostgreSQL that is tried and supported.
pub const MIN_POSTGRES: u32 = 14;

/// How often a transaction is tried again that lost against another, or whose connection broke before its COMMIT.
const RETRIES: u32 = 5;
