//! What the whole program makes of faults: it is killed, its power goes, its disk fails or is full, its models and tools
//! are hostile. Each ends in a named outcome, and nothing that was acknowledged is lost.

mod approval;
mod cost;
mod disk;
mod doomed;
mod effect;
mod hostile;
mod kill;
mod people;
mod place;
mod power;
#[path = "../../../convoke-store/tests/it/power_disk.rs"]
#[allow(dead_code, reason = "the store's own tests use all of it")]
mod power_disk;
mod program;
mod same;
mod support;
mod together;
