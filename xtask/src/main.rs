//! Chores of the repository: `cargo xtask test | tidy | bench | soak`.
fn main() {}
