//! Money: nothing is spent beyond a cap, whatever happens at the same time, and a raised cap lets the run go on.

use convoke_domain::money::Money;
use convoke_domain::price::Price;
use convoke_domain::transcript::Usage;
use convoke_engine::{Caps, Resume, StartRun};
use convoke_port::model::Tariff;
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, says};
use convoke_testkit::tool::FakeTools;
use serde_json::json;

use crate::play::usual;

/// A start whose calls are bounded at a known price: 1,000 tokens of output at most.
async fn start(hub: &Hub, members: &[&str], more: serde_json::Value, cap: Money) -> StartRun {
    let settings = json!({"model_settings": {"max_output_tokens": 1000}});
    let profiles = members.iter().chain(&["lead"]).map(|name| profile(name, settings.clone())).collect();
    let start = hub.prepare(team(members, more), profiles, "Look.").await.expect("a team");
    StartRun { caps: Caps { cost: Some(cap), tokens: None }, ..start }
}

#[tokio::test]
async fn an_empty_budget_pauses_and_a_raised_cap_goes_on() {
    // The plan costs so much that no member's call fits any more.
    let models = FakeModels::new(|request| {
        let mut reply = usual(request)?;
        reply.usage = Some(Usage { input_tokens: 3_500, ..Usage::default() });
        Ok(reply)
    });
    let hub = Hub::new(models, FakeTools::none()).await;
    hub.engine.ensure_user("ann").await.expect("the owner");
    let start = start(&hub, &["logs", "cost"], json!({}), Money::from_nanos(5_500_000)).await;
    let run = hub.engine.start_run(start).await.expect("a run");
    let record = hub.until(run, &["paused"]).await;
    let reason = record.summary.reason.expect("a reason");
    assert!(reason.starts_with("budget: the run budget of $0.0055 has $0.0020 left"), "{reason}");
    assert_eq!(record.summary.cost_usd, Money::from_nanos(3_500_000));
    let raise = Resume { caps: Caps { cost: Some(Money::from_usd(1.0)), tokens: None }, user: "ann".into() };
    hub.engine.resume(run, raise).await.expect("resumed");
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed");
    assert_eq!(record.summary.model_calls, 4);
}

#[tokio::test]
async fn the_policy_may_be_to_stop() {
    let hub = Hub::new(FakeModels::new(usual), FakeTools::none()).await;
    let start = start(&hub, &["logs"], json!({"budget": {"on_exhausted": "stop"}}), Money::from_nanos(1)).await;
    let run = hub.engine.start_run(start).await.expect("a run");
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "failed");
    assert!(record.summary.error.expect("a reason").starts_with("budget_exhausted: the run budget"));
    assert_eq!(record.summary.model_calls, 0);
}

#[tokio::test]
async fn what_is_used_at_once_never_passes_the_cap() {
    // Each of 60 members may cost up to a bound; there is room for a few at a time only.
    let members: Vec<String> = (0..60).map(|n| format!("m{n:02}")).collect();
    let names: Vec<&str> = members.iter().map(String::as_str).collect();
    let hub = Hub::new(FakeModels::new(usual), FakeTools::none()).await;
    let cap = Money::from_nanos(20_000_000);
    let start = start(&hub, &names, json!({"rules": {"planning": "same_task"}}), cap).await;
    let run = hub.engine.start_run(start).await.expect("a run");
    let record = hub.until(run, &["paused", "completed"]).await;
    for budget in &record.budgets {
        let used = budget.reserved.cost + budget.settled.cost;
        assert!(used <= budget.cap_cost.expect("a cap"), "{budget:?}");
    }
}

#[tokio::test]
async fn a_bill_above_its_bound_is_an_overrun_that_blocks() {
    let models = FakeModels::new(|request| {
        let mut reply = usual(request)?;
        reply.usage = Some(Usage { input_tokens: 5_000_000, output_tokens: 10, ..Usage::default() });
        Ok(reply)
    });
    let hub = Hub::new(models, FakeTools::none()).await;
    let start = start(&hub, &["logs"], json!({}), Money::from_usd(0.1)).await;
    let run = hub.engine.start_run(start).await.expect("a run");
    let record = hub.until(run, &["paused"]).await;
    let budget = record.budgets.iter().find(|budget| budget.scope.starts_with("run:")).expect("the run's budget");
    assert!(budget.overrun > Money::from_usd(4.9), "{budget:?}");
    assert_eq!(record.summary.model_calls, 1);
}

#[tokio::test]
async fn a_model_without_a_price_needs_leave() {
    let models = FakeModels::new(usual).with_tariff(Tariff::Unpriced);
    let hub = Hub::new(models, FakeTools::none()).await;
    let start = start(&hub, &["logs", "cost"], json!({}), Money::from_usd(1.0)).await;
    let refused = hub.engine.start_run(start.clone()).await.expect("a run");
    let record = hub.ended(refused).await;
    assert!(record.summary.error.expect("a reason").contains("--allow-unpriced"));
    let mut spec = start.spec.clone();
    spec.allow_unpriced = true;
    let allowed = hub.engine.start_run(StartRun { spec, ..start }).await.expect("a run");
    let record = hub.ended(allowed).await;
    assert_eq!((record.summary.state.as_str(), record.summary.unpriced_calls), ("completed", 4));
}

#[tokio::test]
async fn a_dearer_model_gives_way_to_its_fallback() {
    let models = FakeModels::new(|request| if request.model == "dear" { Ok(says("dear")) } else { usual(request) });
    let hub = Hub::new(models.clone(), FakeTools::none()).await;
    let settings =
        json!({"model": "fake/model", "model_settings": {"max_output_tokens": 100, "fallback": ["fake/second"]}});
    let profiles = vec![profile("lead", settings.clone()), profile("logs", settings)];
    let team = team(&["logs"], json!({"budget": {"on_exhausted": "downgrade"}}));
    let start = hub.prepare(team, profiles, "Look.").await.expect("a team");
    let start = StartRun { caps: Caps { cost: Some(Money::from_nanos(1)), tokens: None }, ..start };
    let run = hub.engine.start_run(start).await.expect("a run");
    // Neither fits one nano-dollar: the last one stops the run.
    let record = hub.ended(run).await;
    assert!(record.summary.error.expect("a reason").starts_with("budget_exhausted"));
    assert!(models.calls().is_empty());
}

#[tokio::test]
async fn a_cached_prompt_costs_what_the_cache_costs() {
    let price = Price { input: 10.0, output: 0.0, cache_read: Some(1.0), cache_write: None };
    let models = FakeModels::new(|request| {
        let mut reply = usual(request)?;
        reply.usage = Some(Usage { input_tokens: 1_000, cache_read_tokens: 900, output_tokens: 1, ..Usage::default() });
        Ok(reply)
    });
    let hub = Hub::new(models.with_tariff(Tariff::Priced(price)), FakeTools::none()).await;
    let run = hub.run(team(&["logs"], json!({"rules": {"planning": "same_task"}})), "Look.").await;
    let record = hub.ended(run).await;
    // 100 fresh at 10 and 900 cached at 1 per million, twice.
    assert_eq!(record.summary.cost_usd, Money::from_nanos(2 * (1_000_000 + 900_000)));
}
