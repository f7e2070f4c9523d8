//! What is true: nouns, state machines, graph, patterns, policy and budgets of Convoke.
//!
//! Pure: no IO, no async, no clock, no random ids. Start at [`task`] and [`run`], then [`pattern`].

pub mod event;
pub mod id;
pub mod money;
pub mod price;
pub mod profile;
pub mod refusal;
pub mod task;
pub mod team;
pub mod time;
pub mod transcript;
