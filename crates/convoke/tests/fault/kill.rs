//! `kill -9` at random points over whole runs: nothing that was committed is lost or done twice.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use convoke_bench::soak::kill::{Outcome, Rounds};

/// Rounds here; `cargo xtask soak kill` does ten times as many.
const ROUNDS: u64 = 50;
/// Rounds at the same time.
const AT_ONCE: usize = 2;

#[test]
fn fifty_rounds_of_kills_change_nothing_but_what_was_lost() {
    let first = fastrand::u64(..1 << 32);
    println!("seeds {first} to {}", first + ROUNDS - 1);
    let scratch = tempfile::tempdir().expect("a folder");
    let rounds = Rounds::new(Path::new(env!("CARGO_BIN_EXE_convoke")), scratch.path()).expect("a run in peace");
    let (next, outcomes, failures) = (AtomicU64::new(first), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= first + ROUNDS {
                        return;
                    }
                    match rounds.round(seed) {
                        Ok(outcome) => outcomes.lock().expect("no panic").push(outcome),
                        Err(error) => failures.lock().expect("no panic").push(format!("{error:#}")),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no panic");
    if !failures.is_empty() {
        let kept = scratch.keep();
        panic!("{} of {ROUNDS} rounds failed, kept in {}:\n{}", failures.len(), kept.display(), failures.join("\n"));
    }
    tell(&outcomes.into_inner().expect("no panic"));
}

/// The kills must have hit: rounds in which nothing was ever under way would prove nothing.
fn tell(outcomes: &[Outcome]) {
    let sum = |of: fn(&Outcome) -> usize| outcomes.iter().map(of).sum::<usize>();
    let (kills, repeated, lost) = (sum(|o| o.kills), sum(|o| o.repeated), sum(|o| o.lost));
    println!("{kills} kills, {repeated} calls asked again, {lost} billed as lost");
    assert!(kills >= outcomes.len(), "{kills} kills in {} rounds", outcomes.len());
    assert!(repeated > 0 && lost >= repeated, "no kill hit a call that was under way");
}
