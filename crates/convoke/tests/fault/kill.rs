//! `kill -9` at random points over whole runs: nothing that was committed is lost or done twice.

use crate::support::rounds;

/// Rounds here; `cargo xtask soak kill` does ten times as many.
const ROUNDS: u64 = 50;

#[test]
fn fifty_rounds_of_kills_change_nothing_but_what_was_lost() {
    rounds(ROUNDS, |rounds, seed| rounds.round(seed));
}
