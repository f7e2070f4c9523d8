//! The `convoke` binary: flags, configuration, wiring, and text for the terminal.
fn main() {}
