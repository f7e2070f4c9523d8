//! Where the providers are and which keys open them: plain data, filled from the vendors' own environment variables.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Secret;

const OPENAI: &str = "https://api.openai.com/v1";
const ANTHROPIC: &str = "https://api.anthropic.com";
const GEMINI: &str = "https://generativelanguage.googleapis.com";
const OLLAMA: &str = "http://127.0.0.1:11434";

/// A provider's address and key.
#[derive(Debug, Clone)]
pub struct Remote {
    /// Base URL without a slash at its end.
    pub base_url: String,
    /// The key, if there is one.
    pub key: Option<Secret>,
}

/// A server that speaks OpenAI Chat Completions, as written in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compatible {
    /// Base URL with the version, such as `http://10.0.0.7:8000/v1`.
    pub base_url: String,
    /// The environment variable that holds its key; none is sent if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_env: Option<String>,
}

/// Everything [`super::Providers`] needs to know of the outside world.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// `openai` and `openai-responses`.
    pub openai: Remote,
    /// `anthropic`.
    pub anthropic: Remote,
    /// `gemini`.
    pub gemini: Remote,
    /// `ollama`, by its OpenAI-compatible side.
    pub ollama: Remote,
    /// Other OpenAI-compatible servers, by the provider name they go by.
    pub compatible: BTreeMap<String, Remote>,
    /// The longest wait for the head of an answer.
    pub first_byte: Duration,
    /// The longest silence within an answer.
    pub idle: Duration,
}

/// A setting that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl Default for ModelConfig {
    fn default() -> Self {
        let at = |base_url: &str| Remote { base_url: base_url.to_owned(), key: None };
        Self {
            openai: at(OPENAI),
            anthropic: at(ANTHROPIC),
            gemini: at(GEMINI),
            ollama: at(&format!("{OLLAMA}/v1")),
            compatible: BTreeMap::new(),
            first_byte: Duration::from_secs(120),
            idle: Duration::from_secs(120),
        }
    }
}

impl ModelConfig {
    /// Reads the process environment.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_vars(|name| std::env::var(name).ok())
    }

    /// Reads variables through `var`, so that tests need not touch the process.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let ollama = ollama_base(var("OLLAMA_HOST").as_deref())?;
        Ok(Self {
            openai: remote(&var, "OPENAI", OPENAI)?,
            anthropic: remote(&var, "ANTHROPIC", ANTHROPIC)?,
            gemini: remote(&var, "GEMINI", GEMINI)?,
            ollama: Remote { base_url: ollama, key: key_of(&var, "OLLAMA_API_KEY")? },
            ..Self::default()
        })
    }

    /// Adds a server from a configuration file, its key read through `var`.
    pub fn add_compatible(
        &mut self,
        name: &str,
        server: &Compatible,
        var: impl Fn(&str) -> Option<String>,
    ) -> Result<(), ConfigError> {
        let base_url = clean_url(&format!("provider {name}: base_url"), &server.base_url)?;
        let key = match &server.key_env {
            Some(key_env) => key_of(&var, key_env)?,
            None => None,
        };
        self.compatible.insert(name.to_owned(), Remote { base_url, key });
        Ok(())
    }
}

fn remote(var: &impl Fn(&str) -> Option<String>, name: &str, default: &str) -> Result<Remote, ConfigError> {
    let setting = format!("{name}_BASE_URL");
    let base_url = match var(&setting).filter(|url| !url.trim().is_empty()) {
        Some(url) => clean_url(&setting, &url)?,
        None => default.to_owned(),
    };
    Ok(Remote { base_url, key: key_of(var, &format!("{name}_API_KEY"))? })
}

/// The key in variable `name`, or in the file that variable `name_FILE` points at.
fn key_of(var: &impl Fn(&str) -> Option<String>, name: &str) -> Result<Option<Secret>, ConfigError> {
    if let Some(key) = var(name).as_deref().and_then(Secret::new) {
        return Ok(Some(key));
    }
    let setting = format!("{name}_FILE");
    let Some(path) = var(&setting).filter(|path| !path.is_empty()) else { return Ok(None) };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| ConfigError(format!("{setting} points at {path}, which cannot be read: {error}")))?;
    Secret::new(&text).map(Some).ok_or_else(|| ConfigError(format!("{setting} points at {path}, which is empty")))
}

fn clean_url(setting: &str, url: &str) -> Result<String, ConfigError> {
    let url = url.trim().trim_end_matches('/');
    let host = host_of(url);
    if host.is_none_or(str::is_empty) {
        return Err(ConfigError(format!(
            "{setting} is not a URL that begins with http:// or https:// and names a host"
        )));
    }
    Ok(url.to_owned())
}

/// `OLLAMA_HOST` as ollama itself reads it: host, host:port or URL; an address to listen on means this machine.
fn ollama_base(host: Option<&str>) -> Result<String, ConfigError> {
    let Some(host) = host.map(str::trim).filter(|host| !host.is_empty()) else { return Ok(format!("{OLLAMA}/v1")) };
    let url = if host.contains("://") { host.to_owned() } else { format!("http://{host}") };
    let mut url = clean_url("OLLAMA_HOST", &url)?;
    let authority = url.split_once("://").map_or("", |(_, rest)| rest);
    if !authority.contains('/') && !has_port(authority) && !url.starts_with("https") {
        url.push_str(":11434");
    }
    let url = url.replacen("://0.0.0.0", "://127.0.0.1", 1);
    Ok(if url.ends_with("/v1") { url } else { format!("{url}/v1") })
}

fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// The host of an `http(s)` URL, without brackets, user and port.
fn host_of(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match authority.strip_prefix('[') {
        Some(six) => six.split_once(']').map(|(host, _)| host),
        None => authority.split(':').next(),
    }
}

/// True if `url` leads to this machine.
pub(super) fn is_loopback(url: &str) -> bool {
    host_of(url).is_some_and(|host| {
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(vars: &[(&str, &str)]) -> Result<ModelConfig, ConfigError> {
        ModelConfig::from_vars(|name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn vendors_own_variables_are_honoured() {
        let config = with(&[
            ("OPENAI_API_KEY", "sk-1\n"),
            ("OPENAI_BASE_URL", "http://127.0.0.1:4010/v1/"),
            ("ANTHROPIC_BASE_URL", ""),
        ])
        .expect("valid");
        assert_eq!(config.openai.base_url, "http://127.0.0.1:4010/v1");
        assert_eq!(config.openai.key.expect("a key").expose(), "sk-1");
        assert_eq!(config.anthropic.base_url, ANTHROPIC);
        assert!(config.anthropic.key.is_none());
    }

    #[test]
    fn a_key_file_is_read_and_a_bad_one_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let path = file.path().to_str().expect("a path");
        let error = with(&[("GEMINI_API_KEY_FILE", path)]).expect_err("empty");
        assert!(error.to_string().contains("GEMINI_API_KEY_FILE") && error.to_string().contains("empty"));
        std::fs::write(path, "g-1\n").expect("written");
        assert_eq!(with(&[("GEMINI_API_KEY_FILE", path)]).expect("valid").gemini.key, Secret::new("g-1"));
    }

    #[test]
    fn a_base_url_without_scheme_is_refused() {
        assert!(with(&[("OPENAI_BASE_URL", "localhost:4010")]).is_err());
    }

    #[test]
    fn ollama_host_is_read_as_ollama_reads_it() {
        for (host, base) in [
            (None, "http://127.0.0.1:11434/v1"),
            (Some("0.0.0.0"), "http://127.0.0.1:11434/v1"),
            (Some("gpu:9000"), "http://gpu:9000/v1"),
            (Some("https://ollama.example.com"), "https://ollama.example.com/v1"),
        ] {
            assert_eq!(ollama_base(host).expect("valid"), base);
        }
    }

    #[test]
    fn loopback_is_known_in_all_its_spellings() {
        for url in ["http://localhost:1/v1", "http://127.0.0.2", "https://[::1]:8080/x", "http://u:p@127.0.0.1:1"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in ["https://api.openai.com/v1", "http://127.0.0.1.example.com", "http://10.0.0.1", "nonsense"] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
