//! Finding a model by name: `provider/model`, the price table beside it, and the adapter that speaks its format.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use convoke_domain::price::Price;
use convoke_port::model::{Fault, Model, ModelError, ModelHandle, Models, Tariff};

use super::anthropic::Anthropic;
use super::chat::{Chat, Dialect};
use super::config::{ModelConfig, Remote, is_loopback};
use super::gemini::Gemini;
use super::http::{Endpoint, Wire, key_setting};
use super::price::{DEFAULT_CONTEXT_WINDOW, DEFAULT_MAX_OUTPUT, ModelFacts, PriceTable};
use super::refused;
use super::responses::Responses;
use super::script::{Script, ScriptSource};

/// The providers that are always there; those of the configuration come on top.
const BUILT_IN: [&str; 6] = ["anthropic", "openai", "openai-responses", "gemini", "ollama", "script"];

/// All providers of one process. They share their connections.
pub struct Providers {
    config: ModelConfig,
    prices: PriceTable,
    scripts: Arc<dyn ScriptSource>,
    /// Scripts that were read, by name: a script counts its faults, so there is one of each.
    read: Mutex<HashMap<String, Arc<Script>>>,
    wire: Arc<Wire>,
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Providers").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A provider that is a server, and how it is to be treated.
struct Server<'a> {
    name: &'a str,
    at: &'a Remote,
    /// False for the servers people run themselves.
    vendor: bool,
}

impl Providers {
    /// Providers as `config` says, priced by `prices`, with scripts from `scripts`.
    pub fn new(config: ModelConfig, prices: PriceTable, scripts: Arc<dyn ScriptSource>) -> Self {
        let wire = Arc::new(Wire::new(config.first_byte, config.idle));
        Self { config, prices, scripts, read: Mutex::new(HashMap::new()), wire }
    }

    /// The names of all providers, for messages and listings.
    pub fn names(&self) -> Vec<&str> {
        BUILT_IN.into_iter().chain(self.config.compatible.keys().map(String::as_str)).collect()
    }

    /// What a model costs and how long its replies are, whether or not there is a key for it; nothing if its price is not known.
    pub fn rate(&self, name: &str) -> Option<(Price, u32)> {
        if let Ok(handle) = self.find(name) {
            let price = match handle.tariff {
                Tariff::Priced(price) | Tariff::Simulated(price) => price,
                Tariff::Local => Price::FREE,
                Tariff::Unpriced => return None,
            };
            return Some((price, handle.max_output_tokens));
        }
        let (provider, model) = name.split_once('/')?;
        let facts = self.prices.find(&format!("{}/{model}", self.server(provider)?.price_name()))?;
        Some((facts.price(), facts.max_output.unwrap_or(DEFAULT_MAX_OUTPUT)))
    }

    /// True if `provider` could be called now: it has a key or needs none.
    pub fn is_ready(&self, provider: &str) -> bool {
        provider == "script" || self.server(provider).is_some_and(|server| server.may_be_called())
    }

    fn server<'a>(&'a self, name: &'a str) -> Option<Server<'a>> {
        let config = &self.config;
        let (at, vendor) = match name {
            "openai" | "openai-responses" => (&config.openai, true),
            "anthropic" => (&config.anthropic, true),
            "gemini" => (&config.gemini, true),
            "ollama" => (&config.ollama, false),
            _ => (config.compatible.get(name)?, false),
        };
        Some(Server { name, at, vendor })
    }

    fn remote(&self, provider: &str, model: &str) -> Result<ModelHandle, ModelError> {
        let server = self.server(provider).ok_or_else(|| {
            let known = self.names().join(", ");
            refused(Fault::NoSuchModel, format!("there is no model provider {provider}; there are {known}"))
        })?;
        if !server.may_be_called() {
            return Err(no_key(provider, model));
        }
        let facts = self.prices.find(&format!("{}/{model}", server.price_name()));
        let (window, output) = facts.map_or((None, None), |facts| (facts.context_window, facts.max_output));
        Ok(ModelHandle {
            model: self.adapter(&server),
            provider: provider.to_owned(),
            name: model.to_owned(),
            tariff: server.tariff(facts),
            context_window: window.unwrap_or(DEFAULT_CONTEXT_WINDOW),
            max_output_tokens: output.unwrap_or(DEFAULT_MAX_OUTPUT),
        })
    }

    fn adapter(&self, server: &Server<'_>) -> Arc<dyn Model> {
        let endpoint = Endpoint {
            provider: server.name.to_owned(),
            base_url: server.at.base_url.clone(),
            key: server.at.key.clone(),
            wire: Arc::clone(&self.wire),
        };
        match server.name {
            "anthropic" => Arc::new(Anthropic::new(endpoint)),
            "gemini" => Arc::new(Gemini::new(endpoint)),
            "openai-responses" => Arc::new(Responses::new(endpoint)),
            "openai" => Arc::new(Chat::new(endpoint, Dialect::OpenAi)),
            _ => Arc::new(Chat::new(endpoint, Dialect::Compatible)),
        }
    }

    fn script(&self, name: &str) -> Result<ModelHandle, ModelError> {
        let text = self.scripts.read(name).map_err(|reason| refused(Fault::NoSuchModel, reason))?;
        let mut read = self.read.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let script = match read.get(name).filter(|script| script.is_of(&text)) {
            Some(script) => Arc::clone(script),
            None => {
                let script =
                    Script::parse(name, text).map_err(|error| refused(Fault::BadRequest, error.to_string()))?;
                let script = Arc::new(script);
                read.insert(name.to_owned(), Arc::clone(&script));
                script
            }
        };
        Ok(ModelHandle {
            tariff: Tariff::Simulated(script.price()),
            model: script,
            provider: "script".to_owned(),
            name: name.to_owned(),
            context_window: DEFAULT_CONTEXT_WINDOW,
            max_output_tokens: DEFAULT_MAX_OUTPUT,
        })
    }
}

impl Server<'_> {
    /// Vendors want a key, except behind a URL on this machine, where a mock or gateway may hold it.
    fn may_be_called(&self) -> bool {
        !self.vendor || self.at.key.is_some() || is_loopback(&self.at.base_url)
    }

    /// Both of OpenAI's APIs have the same prices.
    fn price_name(&self) -> &str {
        if self.name == "openai-responses" { "openai" } else { self.name }
    }

    /// A known price counts wherever the model is, since a gateway on this machine does not make a vendor's model free.
    /// Without one, this machine costs nothing, and elsewhere nothing is known.
    fn tariff(&self, facts: Option<&ModelFacts>) -> Tariff {
        match facts {
            Some(facts) => Tariff::Priced(facts.price()),
            None if is_loopback(&self.at.base_url) => Tariff::Local,
            None => Tariff::Unpriced,
        }
    }
}

fn no_key(provider: &str, model: &str) -> ModelError {
    let setting = key_setting(provider);
    let message = format!("{provider}/{model} needs a key: set {setting}, or {setting}_FILE to a file that holds it");
    refused(Fault::Auth, message)
}

impl Models for Providers {
    fn find(&self, name: &str) -> Result<ModelHandle, ModelError> {
        match name.split_once('/') {
            Some(("script", script)) if !script.is_empty() => self.script(script),
            Some((provider, model)) if !provider.is_empty() && !model.is_empty() => self.remote(provider, model),
            _ => {
                let known = self.names().join(", ");
                let message = format!("{name:?} names no model: write PROVIDER/MODEL, with PROVIDER one of {known}");
                Err(refused(Fault::NoSuchModel, message))
            }
        }
    }
}

/// True if a script's name is a path rather than the name of a built-in one.
pub(super) fn is_path(name: &str) -> bool {
    name.contains('/')
        || name.contains('\\')
        || Path::new(name).extension().is_some_and(|end| end == "yaml" || end == "yml")
}
