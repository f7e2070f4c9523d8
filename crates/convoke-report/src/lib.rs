//! What is told: a run as Markdown, HTML, JSON or a tree for the terminal; pure.
//!
//! Rule: everything comes from a [`RunRecord`] alone; no clock is read. What has not ended yet is told as of the last
//! instant the record knows. Whatever agents, models and tools wrote is untrusted: it passes through [`quote`] or
//! [`nest`] before it stands in a report. Start at [`view`], which draws the conclusions, then [`markdown`](mod@markdown).

mod analytics;
mod artifact;
pub mod diagram;
mod effect;
mod html;
mod json;
mod markdown;
mod nest;
mod phrase;
mod quote;
mod sheet;
mod table;
mod talk;
mod tree;
mod validation;
mod view;

pub use analytics::{Figure, figures, rated};
pub use html::html;
pub use json::{SCHEMA_VERSION, json};
pub use markdown::{markdown, markdown_without_times};
pub use talk::{decisions_markdown, thread_markdown};
pub use tree::tree;

#[cfg(doc)]
use convoke_domain::record::RunRecord;

/// What a report says of a run whose models were played by a script.
pub const SIMULATED: &str = "Played by a script: no model was called, usage and cost are simulated";
