//! Whether an address that a model wrote may be asked: scheme, host list, and literal addresses.

use std::net::IpAddr;

use convoke_port::tool::{ToolError, ToolScope};
use reqwest::Url;

use super::address::{Reach, reach};

/// Bytes of an address.
const URL_BYTES: usize = 4_096;

/// What may be reached.
#[derive(Debug, Clone)]
pub(crate) struct Permit {
    hosts: Vec<String>,
    /// Private and loopback addresses too.
    pub(crate) private: bool,
}

impl Permit {
    /// What a scope allows.
    pub(crate) fn of(scope: &ToolScope) -> Self {
        Self { hosts: scope.http_hosts.clone(), private: scope.private_network }
    }

    /// A permit that is about addresses, not names.
    pub(crate) fn addresses_only(private: bool) -> Self {
        Self { hosts: Vec::new(), private }
    }

    /// Reads an address and refuses it if it may not be asked. Names are looked up later, by [`super::egress`].
    pub(crate) fn target(&self, text: &str) -> Result<Url, ToolError> {
        if text.len() > URL_BYTES {
            return Err(refused(format!("`url` is longer than {URL_BYTES} bytes")));
        }
        let url = Url::parse(text.trim()).map_err(|error| refused(format!("`url` is not an address: {error}")))?;
        self.check(&url)?;
        Ok(url)
    }

    /// The same for an address that has been read, such as a redirect's.
    pub(crate) fn check(&self, url: &Url) -> Result<(), ToolError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused(format!("`{}:` addresses cannot be asked, only http and https", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("an address may not hold a user name or password".into()));
        }
        let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
        let plain = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_or_known_default().unwrap_or(0);
        if port == 0 || !self.hosts.iter().any(|pattern| matches(pattern, plain, port)) {
            return Err(refused(format!(
                "the host `{host}` is not among those this agent may reach ({}); see `authority.http_hosts` of its profile",
                self.hosts.join(", ")
            )));
        }
        match plain.parse::<IpAddr>() {
            Ok(address) => self.address(address, &host),
            Err(_) => Ok(()),
        }
    }

    /// Refuses an address that may not be connected to.
    pub(crate) fn address(&self, address: IpAddr, host: &str) -> Result<(), ToolError> {
        match reach(address) {
            Reach::Global => Ok(()),
            Reach::Private if self.private => Ok(()),
            Reach::Private => Err(refused(format!(
                "`{host}` is at {address}, a private address; `authority.private_network` of the profile would allow it"
            ))),
            Reach::Never => Err(refused(format!("`{host}` is at {address}, which is not a public address"))),
        }
    }
}

/// A refusal of this tool.
pub(crate) fn refused(why: String) -> ToolError {
    ToolError::Refused(format!("http_get: {why}"))
}

/// `host`, `host:port`, `*.host` for all below it, `*` for all.
fn matches(pattern: &str, host: &str, port: u16) -> bool {
    let pattern = pattern.trim().to_ascii_lowercase();
    let bare = pattern.trim_start_matches('[').trim_end_matches(']');
    // An IPv6 address has colons of its own.
    let (name, wanted) = match bare.parse::<IpAddr>() {
        Ok(_) => (bare, None),
        Err(_) => match pattern.rsplit_once(':').map(|(name, digits)| (name, digits.parse::<u16>())) {
            Some((_, Err(_))) => return false,
            Some((name, Ok(number))) => (name.trim_start_matches('[').trim_end_matches(']'), Some(number)),
            None => (bare, None),
        },
    };
    let name = name.trim_end_matches('.');
    let fits = match name.strip_prefix("*.") {
        Some(parent) => host.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        None => name == "*" || (!name.is_empty() && name == host),
    };
    fits && wanted.is_none_or(|wanted| wanted == port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_matched_whole() {
        for (pattern, host, port, fits) in [
            ("api.example.com", "api.example.com", 443, true),
            ("API.Example.com", "api.example.com", 443, true),
            ("example.com", "api.example.com", 443, false),
            ("example.com", "badexample.com", 443, false),
            ("*.example.com", "api.example.com", 443, true),
            ("*.example.com", "a.b.example.com", 443, true),
            ("*.example.com", "example.com", 443, false),
            ("*.example.com", "badexample.com", 443, false),
            ("*.example.com", ".example.com", 443, false),
            ("example.com:8443", "example.com", 8443, true),
            ("example.com:8443", "example.com", 443, false),
            ("127.0.0.1", "127.0.0.1", 80, true),
            ("[::1]:80", "::1", 80, true),
            ("::1", "::1", 80, true),
            ("*", "anything", 1, true),
            ("", "", 80, false),
            ("example.com:x", "example.com", 80, false),
        ] {
            assert_eq!(matches(pattern, host, port), fits, "{pattern} {host}:{port}");
        }
    }
}
