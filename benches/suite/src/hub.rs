//! A hub in this process for measuring: a real store, the real OpenAI adapter, no tools, a team of four specialists.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use convoke_connect::model::script::Scripts;
use convoke_connect::model::{ModelConfig, PriceTable, Providers};
use convoke_connect::tool::{ToolLimits, Toolbox};
use convoke_domain::profile::Profile;
use convoke_domain::team::Team;
use convoke_engine::{Caps, Config, Engine, StartRun, Worker};
use convoke_port::clock::SystemClock;
use convoke_store::Store;
use serde_json::json;

/// The specialists of the job.
pub const SPECIALISTS: [&str; 4] = ["security", "performance", "cost", "logs"];
/// Attempts at the same time: more than any measurement wants.
const PLACES: usize = 8_192;

/// An engine at work on a store.
pub struct Hub {
    /// The engine.
    pub engine: Engine,
    /// What starts one more run of the job.
    pub job: StartRun,
    worker: Option<Worker>,
}

impl Hub {
    /// A hub over a store, its models at this base URL.
    pub async fn over(store: Store, folder: &Path, base_url: &str) -> Result<Self> {
        // A second hub in one process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut models = ModelConfig::default();
        base_url.clone_into(&mut models.openai.base_url);
        let providers = Providers::new(models, PriceTable::built_in(), Arc::new(Scripts { built_in: &[] }));
        let config = Config { concurrency: PLACES, ..Config::new(folder.join("work")) };
        let tools = Arc::new(Toolbox::new(ToolLimits::default()));
        let engine = Engine::new(store, Arc::new(providers), tools, Arc::new(SystemClock), config);
        let job = job(&engine).await?;
        let worker = Some(engine.work().await?);
        Ok(Self { engine, job, worker })
    }

    /// Lets what is under way end. Gives the store, which is the caller's to close.
    pub async fn stop(mut self) -> Store {
        if let Some(worker) = self.worker.take() {
            worker.stop().await;
        }
        self.engine.store().clone()
    }
}

/// An engine over a store without a pool: nothing is claimed. With it, what starts a run of the job.
pub async fn idle(store: Store, folder: &Path) -> Result<(Engine, StartRun)> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let models = Providers::new(ModelConfig::default(), PriceTable::built_in(), Arc::new(Scripts { built_in: &[] }));
    let tools = Arc::new(Toolbox::new(ToolLimits::default()));
    let config = Config::new(folder.join("work"));
    let engine = Engine::new(store, Arc::new(models), tools, Arc::new(SystemClock), config);
    let job = job(&engine).await?;
    Ok((engine, job))
}

/// The job of the peers' comparison: plan, four specialists in parallel, synthesis.
async fn job(engine: &Engine) -> Result<StartRun> {
    let profile = |name: &str| -> Result<Profile> {
        let prompt = format!(
            "You are the {name} specialist of an incident team. Find what matters in your field and say it briefly."
        );
        let value = json!({
            "name": name, "prompt": prompt, "model": "openai/gpt-4.1-mini", "capacity": 100_000,
            "model_settings": {"max_output_tokens": 1_000},
        });
        Ok(serde_json::from_value(value)?)
    };
    let mut profiles = vec![profile("lead")?];
    for name in SPECIALISTS {
        profiles.push(profile(name)?);
    }
    let members: Vec<_> = SPECIALISTS.iter().map(|name| json!({"profile": name})).collect();
    let team: Team = serde_json::from_value(json!({"name": "bench", "coordinator": "lead", "members": members}))?;
    engine.save(profiles, vec![team], "system").await?;
    let (mut spec, team_version) = engine.assemble("bench").await?;
    spec.choose_models(None, None);
    Ok(StartRun {
        spec,
        team_version,
        task: "Investigate the outage of the payment service and say what to do.".to_owned(),
        input: None,
        session: None,
        caps: Caps::default(),
        simulated: false,
        user: "system".to_owned(),
        idempotency_key: None,
    })
}
