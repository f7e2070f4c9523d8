//! Measures Convoke and soaks it. `cargo xtask bench` and `cargo xtask soak` build and start the program of this crate.
//!
//! A measurement is a function from [`context::Context`] to figures; [`bench`] repeats all of them in rounds, takes
//! medians and prints one table. A soak is a function that is called with a seed, round after round, until it fails.
//! To add one, write it in a file of its own and put it into the list in [`list`].

pub mod answer;
pub mod bench;
pub mod context;
pub mod figure;
pub mod floor;
pub mod hub;
pub mod journal;
pub mod lifecycle;
pub mod list;
pub mod machine;
pub mod measure;
pub mod soak;
pub mod table;
