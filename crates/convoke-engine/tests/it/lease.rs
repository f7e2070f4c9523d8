//! Leases: keeping them must not cut what was claimed at the same moment.

use std::time::{Duration, Instant};

use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, says};
use convoke_testkit::tool::FakeTools;
use serde_json::json;

/// Leases are kept every third of this.
const LEASE: Duration = Duration::from_millis(600);
/// Renewals that meet claims.
const RENEWALS: u32 = 10;
const AT_ONCE: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_claimed_while_leases_are_kept_is_left_alone() {
    let hub = Hub::with(FakeModels::new(|_| Ok(says("done"))), FakeTools::none(), |config| {
        config.lease = LEASE;
        config.concurrency = 4 * AT_ONCE;
    })
    .await;
    let team = team(&["a", "b"], json!({"rules": {"planning": "same_task"}}));
    let profiles = ["lead", "a", "b"].map(|name| profile(name, json!({}))).into();
    let start = hub.prepare(team, profiles, "go").await.expect("a team that is right");
    let begun = Instant::now();
    while begun.elapsed() < LEASE / 3 * RENEWALS {
        let mut runs = Vec::with_capacity(AT_ONCE);
        for _ in 0..AT_ONCE {
            runs.push(hub.engine.start_run(start.clone()).await.expect("a run"));
        }
        for run in runs {
            let record = hub.ended(run).await;
            assert_eq!(record.summary.state, "completed", "{record:#?}");
        }
    }
}
