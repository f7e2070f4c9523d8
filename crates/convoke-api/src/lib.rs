//! What is said: the YAML and JSON shapes of Convoke and their checks.
//!
//! Start at [`read`], which turns files into profiles, teams and patterns or into [`Problems`] that say where and how to fix
//! them; [`schema`] is the same knowledge for editors, [`profile_to_yaml`] and its siblings the way back.

mod approvals;
pub mod example;
mod export;
mod extend;
mod file;
mod fixed;
mod flow;
mod idle;
mod known;
pub mod library;
pub mod near;
mod node;
mod outcome;
mod pattern;
mod problem;
mod profile;
mod program;
mod scale;
mod schema;
mod server;
mod shape;
mod syntax;
mod team;
mod word;

pub use export::{bundle_to_yaml, bundle_with, pattern_to_yaml, profile_to_yaml, team_to_yaml};
pub use file::{Bundle, Source, check, read, read_one};
pub use known::Known;
pub use node::{MAX_BYTES, MAX_DEPTH, MAX_NODES};
pub use outcome::{OutcomeFile, OutcomeFormat, read_outcomes};
pub use problem::{MAX_PROBLEMS, Problem, Problems};
pub use schema::{Kind, editor_schema, program_input, program_output, schema};
pub use word::{MAX_NAME, is_name, is_pattern_name};
