//! `kill -9` at random points over whole runs: nothing that was committed is lost or done twice.

use crate::support::{rounds, rounds_on};

/// Rounds here; `cargo xtask soak kill` does ten times as many.
const ROUNDS: u64 = 50;
/// Rounds on PostgreSQL, each of which waits for leases to run out; `cargo xtask soak kill-postgres` does twenty times as many.
const ROUNDS_ON_POSTGRES: u64 = 10;

#[test]
fn fifty_rounds_of_kills_change_nothing_but_what_was_lost() {
    rounds(ROUNDS, |rounds, seed| rounds.round(seed));
}

#[test]
fn ten_rounds_on_postgresql_change_nothing_but_what_was_lost() {
    let server = std::env::var("CONVOKE_TEST_PG");
    let server =
        server.expect("CONVOKE_TEST_PG names no PostgreSQL for tests; run `cargo xtask test`, which starts one");
    let outcomes = rounds_on(Some(&server), ROUNDS_ON_POSTGRES, |rounds, seed| rounds.round(seed));
    let kills: usize = outcomes.iter().map(|outcome| outcome.kills).sum();
    assert!(kills > 0, "nothing was killed");
}
