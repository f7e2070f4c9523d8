//! TLS to PostgreSQL: which connections have it, whose certificates are trusted, and what a refusal means.
//!
//! Rule: a connection that is encrypted is verified, the name of the host included; encryption that somebody in the
//! middle can take part in protects nothing. Start at [`Tls::new`].

use std::fs;
use std::io::{self, Read};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::url;
use crate::error::{Error, Result};

/// The parameters of a URL that are read here; the driver does not know the second, nor all values of the first.
pub(super) const MODE: &str = "sslmode";
pub(super) const ROOT: &str = "sslrootcert";
/// The value of [`ROOT`] that stands for what the system trusts.
const SYSTEM: &str = "system";
/// The largest file of certificates that is read.
const MAX_ROOT_BYTES: u64 = 4 << 20;
/// What libpq knows of TLS and is not here: certificates of clients, lists of revoked ones, bounds of versions.
const ELSEWHERE: [&str; 9] = [
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslcertmode",
    "sslcrl",
    "sslcrldir",
    "sslsni",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
];
/// What PostgreSQL calls itself where TLS is spoken from the first byte on (`sslnegotiation=direct`).
const PROTOCOL: &[u8] = b"postgresql";

/// What of a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Nothing.
    Plain,
    /// All if the server speaks TLS, else nothing.
    IfOffered,
    /// All, or there is no connection.
    Always,
}

impl Mode {
    /// What was asked for, or what is right for a server that is on this machine (`local`) or not.
    pub(super) fn choose(asked: Option<&str>, local: bool) -> Result<Self> {
        match asked {
            None if local => Ok(Self::Plain),
            Some("disable") => Ok(Self::Plain),
            Some("prefer") => Ok(Self::IfOffered),
            None | Some("require" | "verify-ca" | "verify-full") => Ok(Self::Always),
            Some(_) => Err(Error::Unavailable(format!(
                "the PostgreSQL URL has a `{MODE}` that is not known; it is `disable`, `prefer`, `require` or \
                 `verify-full`, and the last two mean the same: encrypted, certificate and host name verified"
            ))),
        }
    }

    /// True if data may pass in plain.
    pub(super) fn may_be_plain(self) -> bool {
        self != Self::Always
    }

    /// How the driver calls it.
    pub(super) fn driver(self) -> SslMode {
        match self {
            Self::Plain => SslMode::Disable,
            Self::IfOffered => SslMode::Prefer,
            Self::Always => SslMode::Require,
        }
    }
}

/// How TLS is made.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) connector: MakeRustlsConnect,
}

impl Tls {
    /// Trusts the certificates in the file `root` and no others, or else those that the system trusts.
    pub(super) fn new(root: Option<&str>) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|cause| Error::broken_by("TLS cannot be set up", cause))?;
        let builder = match root.filter(|root| *root != SYSTEM) {
            Some(path) => builder.with_root_certificates(roots(path)?),
            None => builder.with_platform_verifier().map_err(|cause| {
                Error::Unavailable(format!(
                    "the certificate authorities of this system cannot be read ({cause}); install them (the package \
                     `ca-certificates`), or name a file with `{ROOT}`"
                ))
            })?,
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Self { connector: MakeRustlsConnect::new(config) })
    }
}

/// Refuses what a URL can ask of libpq and cannot be had here, by its name: the driver only says that it knows no such thing.
pub(super) fn refuse_unknown(text: &str) -> Result<()> {
    let found = url::take(text, &ELSEWHERE).1;
    match ELSEWHERE.iter().zip(found).find(|(_, value)| value.is_some()) {
        None => Ok(()),
        Some((name, _)) => Err(Error::Unavailable(format!(
            "the PostgreSQL URL has `{name}`, which is not supported; leave it out. Known are `{MODE}` and `{ROOT}`"
        ))),
    }
}

/// The authorities in a PEM file.
fn roots(path: &str) -> Result<RootCertStore> {
    let unusable = |why: String| {
        Error::Unavailable(format!(
            "the certificate authorities in {path} (`{ROOT}`) cannot be used: {why}; name a PEM file with the certificate \
             of the authority that signed the server's"
        ))
    };
    let mut pem = Vec::new();
    let file = fs::File::open(path).map_err(|cause| unusable(cause.to_string()))?;
    file.take(MAX_ROOT_BYTES + 1).read_to_end(&mut pem).map_err(|cause| unusable(cause.to_string()))?;
    if pem.len() as u64 > MAX_ROOT_BYTES {
        return Err(unusable(format!("it has more than {} MiB", MAX_ROOT_BYTES >> 20)));
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|cause| unusable(cause.to_string()))?;
        roots.add(certificate).map_err(|cause| unusable(cause.to_string()))?;
    }
    if roots.is_empty() { Err(unusable("no certificate is in it".to_owned())) } else { Ok(roots) }
}

/// Why no connection was made, with the next step where TLS is the reason.
pub(super) fn told(cause: &tokio_postgres::Error) -> String {
    let Some(source) = std::error::Error::source(cause) else { return cause.to_string() };
    let refused = source.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    if let Some(refused) = refused.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return refused_by_us(refused);
    }
    // The driver has no kind for this, only these words.
    match source.to_string().as_str() {
        "server does not support TLS" => format!(
            "the server does not speak TLS; turn it on there (`ssl = on` with a certificate), or use `{MODE}=disable` \
             where nobody else can listen"
        ),
        "no hostname provided for TLS handshake" => {
            "TLS needs the name of the host to verify; give `host` besides `hostaddr`, and none over a socket"
                .to_owned()
        }
        reason => format!("{cause}: {reason}"),
    }
}

fn refused_by_us(why: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(found) = why else {
        return format!("TLS failed: {why}; look at the server's log and its TLS settings");
    };
    match found {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
            "its certificate is for another host name ({found}); connect by a name that is in it (`hostaddr` can give the \
             address), or give the server a certificate for this name"
        ),
        CertificateError::UnknownIssuer => format!(
            "its certificate is signed by nobody who is trusted here; name the file of the authority's certificate with \
             `{ROOT}=FILE` in the URL or PGSSLROOTCERT"
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("its certificate has expired ({found}); renew it on the server")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("its certificate is not valid yet ({found}); look at the clocks of both machines")
        }
        _ => format!("its certificate is not accepted ({found}); give the server one that an authority signed for it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_leaves_the_machine_is_plain_unless_asked_for() {
        for (asked, local, expected) in [
            (None, true, Mode::Plain),
            (None, false, Mode::Always),
            (Some("disable"), false, Mode::Plain),
            (Some("prefer"), true, Mode::IfOffered),
            (Some("require"), true, Mode::Always),
            (Some("verify-ca"), false, Mode::Always),
            (Some("verify-full"), false, Mode::Always),
        ] {
            assert_eq!(Mode::choose(asked, local).expect("known"), expected, "{asked:?} {local}");
        }
        assert!(Mode::choose(Some("allow"), true).is_err());
    }

    #[test]
    fn authorities_are_certificates_in_a_file() {
        let told = |path: &str| Tls::new(Some(path)).err().expect(path).to_string();
        assert!(told("/nowhere/ca.pem").contains("/nowhere/ca.pem (`sslrootcert`) cannot be used: No such file"));
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("ca.pem");
        for (text, why) in [
            ("no certificate", "no certificate is in it"),
            ("-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n", "base64"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "BadEncoding"),
        ] {
            fs::write(&path, text).expect("written");
            let told = told(path.to_str().expect("text"));
            assert!(told.contains(why), "{told}");
        }
    }
}
