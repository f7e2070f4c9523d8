//! Workspaces share a pool: one that floods it does not keep the others waiting.

use convoke_domain::id::{WorkspaceId, derive};
use convoke_domain::time::Timestamp;
use convoke_store::{Result, Tx, UseCase, workspace};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::FakeModels;
use convoke_testkit::tool::FakeTools;
use serde_json::json;

use crate::play::usual;

struct Found(WorkspaceId, &'static str);

impl UseCase for Found {
    type Out = WorkspaceId;

    fn ws(&self) -> WorkspaceId {
        self.0
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<WorkspaceId> {
        Ok(workspace::insert(tx, self.1, "user:tester").await?.id)
    }
}

#[tokio::test]
async fn a_flood_in_one_workspace_does_not_starve_another() {
    let hub = Hub::with(FakeModels::new(usual), FakeTools::none(), |config| config.concurrency = 2).await;
    let other = hub
        .engine
        .store()
        .run(Found(WorkspaceId(derive(Timestamp::default(), &[b"other"])), "other"))
        .await
        .expect("a workspace");
    let small = hub.engine.within(other);
    let profiles = || vec![profile("lead", json!({})), profile("logs", json!({}))];
    let same = || team(&["logs"], json!({"rules": {"planning": "same_task"}}));
    let flood = hub.prepare(same(), profiles(), "Look.").await.expect("a team");
    for _ in 0..200 {
        hub.engine.start_run(flood.clone()).await.expect("a run");
    }
    small.save(profiles(), vec![same()], "system").await.expect("saved");
    let (mut spec, _) = small.assemble("test").await.expect("a team");
    spec.choose_models(None, None);
    let run =
        small.start_run(convoke_engine::StartRun { spec, user: "system".to_owned(), ..flood }).await.expect("a run");
    let mut feed = small.store().subscribe();
    while small.run_record(run).await.expect("run").summary.state != "completed" {
        let _ = feed.next().await;
    }
    let still_open = hub.engine.unfinished(1_000).await.expect("runs").len();
    assert!(still_open > 50, "the small workspace waited for the flood: {still_open} of 200 were left");
    assert!(
        small.runs(None, 10).await.expect("runs").iter().all(|found| found.id == run),
        "nothing crosses workspaces"
    );
}
