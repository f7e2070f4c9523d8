//! What is true: nouns, state machines, graph, patterns, policy and budgets of Convoke.
//!
//! Pure: no IO, no async, no clock, no random ids. Start at [`task`] and [`run`], then [`pattern`].

pub mod agent;
pub mod analytics;
pub mod approval;
pub mod attempt;
pub mod authority;
pub mod budget;
pub mod choice;
pub mod compaction;
pub mod context;
#[cfg(test)]
mod docs;
pub mod effort;
pub mod escalate;
pub mod event;
pub mod flow;
pub mod graph;
pub mod handoff;
pub mod id;
pub mod lock;
pub mod material;
pub mod memory;
pub mod merge;
pub mod message;
pub mod money;
pub mod outcome;
pub mod pace;
pub mod pattern;
pub mod plan;
pub mod price;
pub mod profile;
pub mod program;
pub mod record;
pub mod refusal;
pub mod relevance;
pub mod retry;
pub mod run;
pub mod scale;
pub mod spawn;
pub mod spec;
pub mod task;
pub mod team;
pub mod thread;
pub mod time;
pub mod transcript;
pub mod user;
pub mod vote;
pub mod weight;
