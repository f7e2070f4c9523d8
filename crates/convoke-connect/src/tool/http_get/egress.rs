//! The way out: an HTTP client that looks names up itself and connects to nothing but the addresses it has checked.
//!
//! Rule: the check is in the lookup that the connection uses, so there is no time between them (no rebinding); one address
//! that may not be reached spoils the name. No proxy, no redirects of its own, no cookies.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use convoke_port::BoxFuture;
use convoke_port::tool::ToolError;
use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;

use super::target::Permit;

/// Time to connect.
const CONNECT: Duration = Duration::from_secs(10);

/// How names are looked up.
pub(crate) type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> + Send + Sync>;
/// Where a checked address is really connected to. Nothing but tests has one: they cannot listen on public addresses.
pub(crate) type Detour = Option<Arc<dyn Fn(IpAddr) -> SocketAddr + Send + Sync>>;

/// The clients: one for public addresses only, one for private ones as well.
pub(crate) struct Egress {
    lookup: Lookup,
    detour: Detour,
    public: OnceLock<Result<Client, String>>,
    private: OnceLock<Result<Client, String>>,
}

impl Default for Egress {
    fn default() -> Self {
        Self::new(Arc::new(|host| Box::pin(async move { system(&host).await })), None)
    }
}

async fn system(host: &str) -> std::io::Result<Vec<IpAddr>> {
    Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
}

impl Egress {
    /// A way out with this lookup.
    pub(crate) fn new(lookup: Lookup, detour: Detour) -> Self {
        Self { lookup, detour, public: OnceLock::new(), private: OnceLock::new() }
    }

    /// The client for a permit.
    pub(crate) fn client(&self, permit: &Permit) -> Result<Client, ToolError> {
        let cell = if permit.private { &self.private } else { &self.public };
        cell.get_or_init(|| self.build(permit.private))
            .clone()
            .map_err(|why| ToolError::Failed(format!("http_get: no client can be made: {why}")))
    }

    fn build(&self, private: bool) -> Result<Client, String> {
        // The process has one provider; whoever comes first sets it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let guard = Guard { lookup: self.lookup.clone(), detour: self.detour.clone(), private };
        Client::builder()
            .dns_resolver(Arc::new(guard))
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(2)
            .user_agent(concat!("convoke/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| error.to_string())
    }
}

/// A refusal on its way through the client's errors.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Denied(pub(crate) String);

struct Guard {
    lookup: Lookup,
    detour: Detour,
    private: bool,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let (addresses, detour) = ((self.lookup)(host.clone()), self.detour.clone());
        let permit = Permit::addresses_only(self.private);
        Box::pin(async move {
            let addresses = addresses.await?;
            if addresses.is_empty() {
                return Err(Denied(format!("http_get: `{host}` has no address")).into());
            }
            for address in &addresses {
                permit.address(*address, &host).map_err(|error| Denied(error.to_string()))?;
            }
            let targets: Vec<SocketAddr> = addresses
                .into_iter()
                .map(|address| detour.as_ref().map_or(SocketAddr::new(address, 0), |detour| detour(address)))
                .collect();
            Ok(Box::new(targets.into_iter()) as Addrs)
        })
    }
}
