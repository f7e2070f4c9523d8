//! What is kept: the only SQL of Convoke, on SQLite and PostgreSQL.
//!
//! A use case is plain data with one re-runnable function over a [`Tx`]; [`Store::run`] answers after its commit is
//! durable. One SQL text serves both databases (rules in [`mod@sql`]). State and events commit together.
//! Start at [`UseCase`], then [`Store`] and [`Tx`].

pub mod agent;
pub mod analytics;
pub mod approval;
pub mod attempt;
pub mod backup;
pub mod blob;
pub mod budget;
pub mod chain;
mod check;
pub mod context;
pub mod decision;
pub mod definition;
pub mod effect;
mod error;
pub mod escalate;
pub mod event;
mod feed;
pub mod frame;
pub mod grant;
pub mod handoff;
pub mod lock;
pub mod memory;
pub mod message;
pub mod meta;
pub mod migrate;
pub mod outcome;
mod param;
mod pg;
pub mod rating;
mod row;
pub mod run;
pub mod scale;
pub mod session;
mod shape;
pub mod spawn;
pub mod sql;
mod sqlite;
pub mod stats;
pub mod step;
mod store;
pub mod task;
pub mod thread;
mod tx;
pub mod usage;
mod use_case;
pub mod user;
pub mod verify;
pub mod wait;
pub mod workspace;

pub use error::{Error, OrMissing, Result};
pub use feed::{Feed, Lagged};
pub use param::P;
pub use pg::{MIN_POSTGRES, PgOptions};
pub use row::{Cell, FromCell, FromRow, Json, Row};
pub use sqlite::{MIN_SQLITE, sqlite_version};
pub use store::{OnPoison, Options, Store};
pub use tx::{Asked, Tx};
pub use use_case::UseCase;
