//! What the engine asks of the outside world, as traits: models, tools, the clock.
//!
//! `convoke-connect` implements them, tests replace them. Nothing here does anything.

pub mod clock;
pub mod model;
pub mod tool;

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = futures_util::future::BoxFuture<'a, T>;
