//! Watching runs while they go on. [`board`] is what is known, folded from events and pulses; [`frame`] and [`lines`] turn
//! it into text; [`screen`] is the terminal; [`watch`] brings them together. Start at [`watch::Watch`].

pub mod board;
pub mod course;
pub mod frame;
pub mod keys;
pub mod lines;
pub mod prompt;
pub mod screen;
mod tree;
pub mod watch;
