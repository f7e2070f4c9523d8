//! Where models and tools come from: the environment, two files of the data folder, and what is built in.
//!
//! Rule: the only file that knows `convoke-connect`. Start at [`connect`].

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use convoke_api::{Known, library};
use convoke_connect::model::script::{Script, ScriptError, ScriptText, Scripts};
use convoke_connect::model::{Compatible, ModelConfig, ModelFacts, PriceTable, Providers};
use convoke_connect::tool::{ToolLimits, Toolbox};
use convoke_domain::price::Price;
use convoke_port::BoxFuture;
use convoke_port::model::{Fault, ModelError, ModelHandle, Models};
use convoke_port::tool::{Repeat, ToolError, ToolInfo, ToolOutput, ToolRequest, ToolScope, Tools};
use tokio_util::sync::CancellationToken;

use crate::error::{Failure, Result};

/// Prices and windows of models, laid over the built-in table.
pub const PRICES: &str = "prices.yaml";
/// Further servers that speak OpenAI Chat Completions, by provider name.
pub const PROVIDERS: &str = "providers.yaml";
/// The most bytes of such a file.
const MAX_FILE: u64 = 1 << 20;

/// What an engine calls.
#[derive(Clone)]
pub struct Parts {
    /// Models by name.
    pub models: Arc<dyn Models>,
    /// Tools of every kind.
    pub tools: Arc<dyn Tools>,
}

/// Connects models and tools for the data folder `dir`.
pub fn connect(dir: &Path) -> Result<Parts> {
    Ok(Parts { models: Arc::new(providers(dir)?), tools: Arc::new(Toolbox::new(ToolLimits::default())) })
}

/// The model providers of a data folder.
pub fn providers(dir: &Path) -> Result<Providers> {
    let refused = |error: &dyn std::fmt::Display| Failure::usage("bad_setting", error);
    let mut config = ModelConfig::from_env().map_err(|error| refused(&error))?;
    if let Some((file, text)) = read(&dir.join(PROVIDERS))? {
        let servers: BTreeMap<String, Compatible> =
            serde_saphyr::from_str(&text).map_err(|error| Failure::usage("bad_setting", format!("{file}: {error}")))?;
        for (name, server) in &servers {
            config.add_compatible(name, server, |name| std::env::var(name).ok()).map_err(|error| refused(&error))?;
        }
    }
    let mut prices = PriceTable::built_in();
    if let Some((file, text)) = read(&dir.join(PRICES))? {
        prices.merge(&file, &text).map_err(|error| refused(&error))?;
    }
    Ok(Providers::new(config, prices, Arc::new(Scripts { built_in: library::scripts() })))
}

/// The price of a model as the table has it, whether or not there is a key for its provider.
pub fn price(dir: &Path, model: &str) -> Result<Option<Price>> {
    let mut prices = PriceTable::built_in();
    if let Some((file, text)) = read(&dir.join(PRICES))? {
        prices.merge(&file, &text).map_err(|error| Failure::usage("bad_setting", error))?;
    }
    Ok(prices.find(model).map(ModelFacts::price))
}

/// Those of the tools that change nothing.
pub fn harmless(tools: Arc<dyn Tools>) -> Arc<dyn Tools> {
    Arc::new(Harmless(tools))
}

struct Harmless(Arc<dyn Tools>);

impl Tools for Harmless {
    fn offer<'a>(&'a self, scope: &'a ToolScope) -> BoxFuture<'a, (Vec<ToolInfo>, Vec<String>)> {
        Box::pin(async move {
            let scope =
                ToolScope { mcp_servers: BTreeMap::new(), shell: false, http_hosts: Vec::new(), ..scope.clone() };
            self.0.offer(&scope).await
        })
    }

    fn call<'a>(
        &'a self,
        scope: &'a ToolScope,
        request: &'a ToolRequest,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ToolOutput, ToolError>> {
        Box::pin(async move {
            let (known, _) = self.offer(scope).await;
            match known.iter().find(|tool| tool.id == request.id) {
                Some(tool) if tool.repeat == Repeat::Harmless && scope.program.is_none() => {
                    self.0.call(scope, request, cancel).await
                }
                _ => Err(ToolError::Refused("this is a plan: nothing is changed".to_owned())),
            }
        })
    }
}

fn read(path: &Path) -> Result<Option<(String, String)>> {
    let name = path.display().to_string();
    match crate::file::read(path, MAX_FILE) {
        Ok(text) => Ok(Some((name, text))),
        Err(failure) if failure.code == "missing_file" => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The names that definitions may use besides profiles: tools, and providers where a data folder tells them; and what models cost.
pub fn known(dir: &Path) -> Result<Known> {
    let providers = providers(dir)?;
    let tools = Toolbox::names().iter().copied().chain(convoke_engine::tool_names());
    let groups = convoke_domain::authority::GROUPS.iter().map(|(group, _)| *group);
    let known = Known::new(tools.chain(groups), providers.names());
    Ok(known.with_rates(move |model| providers.rate(model)))
}

/// Refuses a tool that there is not. Those of MCP servers are known when the servers are asked.
pub fn check_tool(dir: &Path, tool: &str) -> Result<()> {
    known(dir)?.check_tool(tool).map_err(|(message, hint)| Failure::usage("unknown_tool", message).hint(hint))
}

/// A model's name as a run keeps it: a script that is a file by its full path, so that the run goes on from anywhere.
pub fn full_name(model: &str) -> Result<String> {
    match model.strip_prefix("script/") {
        Some(path) if path.ends_with(".yaml") || path.ends_with(".yml") => {
            let path = Path::new(path);
            // A file that is not there is an error that the provider tells.
            let full = path.canonicalize().or_else(|_| crate::place::absolute(path))?;
            Ok(format!("script/{}", full.display()))
        }
        _ => Ok(model.to_owned()),
    }
}

/// Whether a script that plays a model can be used.
pub fn check_script(file: &str, yaml: &str) -> std::result::Result<(), ScriptError> {
    Script::parse(file, ScriptText { file: file.to_owned(), yaml: yaml.to_owned() }).map(drop)
}

/// For commands that start no work: nothing is connected, nothing read from the environment.
pub fn idle() -> Parts {
    Parts { models: Arc::new(Idle), tools: Arc::new(Idle) }
}

struct Idle;

impl Models for Idle {
    fn find(&self, name: &str) -> Result<ModelHandle, ModelError> {
        let message = format!("this command calls no models, not even {name}");
        let fault = Fault::NoSuchModel;
        Err(ModelError { fault, message, status: None, retry_after: None, may_be_billed: false, usage: None })
    }
}

impl Tools for Idle {
    fn offer<'a>(&'a self, _: &'a ToolScope) -> BoxFuture<'a, (Vec<ToolInfo>, Vec<String>)> {
        Box::pin(async { (Vec::new(), Vec::new()) })
    }

    fn call<'a>(
        &'a self,
        _: &'a ToolScope,
        _: &'a ToolRequest,
        _: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ToolOutput, ToolError>> {
        Box::pin(async { Err(ToolError::Refused("this command calls no tools".to_owned())) })
    }
}

/// How shell commands are confined here, or why they are refused.
pub async fn sandbox() -> Result<&'static str, String> {
    Toolbox::new(ToolLimits::default()).sandbox().await
}
