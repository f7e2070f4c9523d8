//! What agents' work takes, beside what is known of how right they are: loads it. The figures are the domain's
//! ([`convoke_domain::effort`]). Rule: reads alone. Start at [`add`].

use convoke_domain::effort::{Done, efforts};
use convoke_domain::outcome::Reputation;
use convoke_store::{Result, Tx, analytics};

/// Attempts that are looked at, of the newest tasks of the workspace.
const ATTEMPTS: i64 = 10_000;

/// Adds to what is known of agents' work what it takes.
pub(crate) async fn add(tx: &mut Tx<'_>, known: &mut [Reputation]) -> Result<()> {
    if known.is_empty() {
        return Ok(());
    }
    let done: Vec<Done> = analytics::done(tx, ATTEMPTS).await?.into_iter().map(done).collect();
    let mut found = efforts(&done, tx.now());
    for one in known.iter_mut().filter(|one| one.capability.is_empty()) {
        one.effort = found.remove(&one.agent);
    }
    Ok(())
}

fn done(row: analytics::Done) -> Done {
    let analytics::Done { agent, state, started_at: from, finished_at: to, cost, unpriced: unpriced_calls, tokens } =
        row;
    Done { agent, completed: state == "completed", from, to, cost, unpriced_calls, tokens }
}
