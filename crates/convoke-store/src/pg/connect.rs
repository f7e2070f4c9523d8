//! Connecting to PostgreSQL: where, how a session is set up, and what is refused. Rule: no error text holds a password.

use std::net::IpAddr;
use std::time::Duration;

use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, SimpleQueryRow, Socket};

use super::tls::{self, Mode, Tls};
use super::{MIN_POSTGRES, trouble, url};
use crate::error::{Error, Result};

/// A dead peer is noticed after about this long.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// The longest name PostgreSQL keeps whole.
const MAX_NAME: usize = 63;

/// How a PostgreSQL database is used; `..PgOptions::default()` for what does not matter.
#[derive(Debug, Clone)]
pub struct PgOptions {
    /// The schema that holds the tables; the connection's own search path if none is named.
    pub schema: Option<String>,
    /// Whether to make that schema where it is missing.
    pub create_schema: bool,
    /// How many connections write. Each workspace belongs to one of them.
    pub lanes: usize,
    /// The most use cases in one transaction, if [`crate::Options::max_batch`] does not say fewer.
    pub max_batch: usize,
    /// The longest a statement may take on the server, waiting for locks included.
    pub statement_timeout: Duration,
    /// The longest the server keeps a transaction in which nothing happens, and so its locks, if this process hangs.
    pub idle_in_transaction_timeout: Duration,
    /// The longest a use case may take as a whole.
    pub use_case_timeout: Duration,
    /// The longest that making a connection may take.
    pub connect_timeout: Duration,
    /// How long a use case waits for a lost connection to come back before it is [`Error::Unavailable`].
    pub reconnect_for: Duration,
    /// How this program is called in `pg_stat_activity`.
    pub application_name: String,
    /// Whether to talk to another machine without encryption: only on a network that nobody else can listen to.
    pub allow_plain_remote: bool,
    /// `sslmode`, if the URL does not say: `disable`, `prefer`, `require` or `verify-full`. Whatever is encrypted is verified,
    /// the name of the host included. Without it other machines get `verify-full`, this one `disable`.
    pub ssl_mode: Option<String>,
    /// `sslrootcert`, if the URL does not say: a PEM file with the authorities to trust, instead of the system's.
    pub ssl_root_cert: Option<String>,
}

impl Default for PgOptions {
    fn default() -> Self {
        Self {
            schema: None,
            create_schema: false,
            lanes: 8,
            max_batch: 64,
            statement_timeout: Duration::from_secs(15),
            idle_in_transaction_timeout: Duration::from_secs(15),
            use_case_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            reconnect_for: Duration::from_secs(10),
            application_name: "convoke".to_owned(),
            allow_plain_remote: false,
            ssl_mode: None,
            ssl_root_cert: None,
        }
    }
}

/// Where the database is, and how to get there.
#[derive(Clone)]
pub(crate) struct Target {
    config: Config,
    tls: Option<Tls>,
    pub(super) options: PgOptions,
    /// Where it is, for people: without the password.
    place: String,
}

impl Target {
    /// Reads a URL, and refuses what must not be.
    pub(crate) fn new(url: &str, options: PgOptions) -> Result<Self> {
        // The parser's own text could repeat parts of the URL.
        let unreadable = "the PostgreSQL URL cannot be read; it looks like postgres://USER:PASSWORD@HOST:PORT/DATABASE";
        let (rest, mut found) = url::take(url, &[tls::MODE, tls::ROOT]);
        tls::refuse_unknown(&rest)?;
        let root = found.pop().flatten().or_else(|| options.ssl_root_cert.clone());
        let asked = found.pop().flatten().or_else(|| options.ssl_mode.clone());
        let mut config: Config = rest.parse().map_err(|_| Error::Unavailable(unreadable.to_owned()))?;
        let place = place(&config);
        let mode = Mode::choose(asked.as_deref(), is_local(&config))?;
        refuse_listeners(&config, mode, &place, options.allow_plain_remote)?;
        let tls = (mode != Mode::Plain).then(|| Tls::new(root.as_deref())).transpose()?;
        config.ssl_mode(mode.driver());
        if let Some(schema) = &options.schema {
            refuse_strange(schema)?;
        }
        if config.get_application_name().is_none() {
            config.application_name(&options.application_name);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(options.connect_timeout);
        }
        config.keepalives_idle(KEEPALIVE).tcp_user_timeout(KEEPALIVE);
        // A standby can neither write nor promise that reads see what was just committed.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        Ok(Self { config, tls, options, place })
    }

    /// Makes a session, set up and checked.
    pub(crate) async fn connect(&self) -> Result<Client> {
        let client = match &self.tls {
            Some(tls) => self.join(tls.connector.clone()).await?,
            None => self.join(NoTls).await?,
        };
        self.set_up(&client).await?;
        Ok(client)
    }

    /// Makes a connection and keeps it moving.
    async fn join<T>(&self, tls: T) -> Result<Client>
    where
        T: MakeTlsConnect<Socket>,
        T::Stream: Send + 'static,
    {
        let (client, connection) = self.config.connect(tls).await.map_err(|cause| self.unreachable(&cause))?;
        let place = self.place.clone();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(%place, %error, "a connection to PostgreSQL ended");
            }
        });
        Ok(client)
    }

    fn unreachable(&self, cause: &tokio_postgres::Error) -> Error {
        let reason = cause.as_db_error().map_or_else(|| tls::told(cause), |told| told.message().to_owned());
        Error::Unavailable(format!("PostgreSQL at {} cannot be used: {reason}", self.place))
    }

    async fn set_up(&self, client: &Client) -> Result<()> {
        let messages = client.simple_query(&self.settings()).await.map_err(trouble::error)?;
        let row = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let row = row.ok_or_else(|| Error::broken("PostgreSQL did not tell its settings"))?;
        self.refuse_unfit(row)
    }

    fn settings(&self) -> String {
        let options = &self.options;
        let millis = |time: Duration| time.as_millis().clamp(1, i32::MAX as u128);
        let path = match &options.schema {
            Some(schema) => format!("set_config('search_path', '{schema}', false), "),
            None => String::new(),
        };
        // What was answered must be durable, so a server that acknowledges early is overruled; stricter is left alone.
        format!(
            "SELECT {path}set_config('statement_timeout', '{}', false),
             set_config('idle_in_transaction_session_timeout', '{}', false),
             CASE WHEN current_setting('synchronous_commit') = 'off' THEN set_config('synchronous_commit', 'on', false) END,
             current_setting('server_version_num') AS version, current_setting('server_encoding') AS encoding,
             current_setting('fsync') AS fsync",
            millis(options.statement_timeout),
            millis(options.idle_in_transaction_timeout)
        )
    }

    fn refuse_unfit(&self, row: &SimpleQueryRow) -> Result<()> {
        let (place, told) = (&self.place, |name: &str| row.get(name).unwrap_or_default());
        let version: u32 = told("version").parse().unwrap_or_default();
        if version / 10_000 < MIN_POSTGRES {
            let found = version / 10_000;
            return Err(Error::Unavailable(format!(
                "PostgreSQL at {place} has version {found}; Convoke needs {MIN_POSTGRES} or newer"
            )));
        }
        if told("encoding") != "UTF8" {
            let found = told("encoding");
            return Err(Error::Unavailable(format!(
                "the database at {place} has the encoding {found}; make one with `CREATE DATABASE … ENCODING 'UTF8'`"
            )));
        }
        if told("fsync") != "on" {
            tracing::warn!(%place, "PostgreSQL runs with fsync off: a power cut can lose or damage what was answered");
        }
        Ok(())
    }
}

/// `user@host:port/database`.
fn place(config: &Config) -> String {
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    });
    let hosts: Vec<String> = hosts.chain(config.get_hostaddrs().iter().map(IpAddr::to_string)).collect();
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let (user, name) = (config.get_user().unwrap_or("?"), config.get_dbname().unwrap_or("?"));
    format!("{user}@{}:{port}/{name}", hosts.join(","))
}

/// True if every server that is meant is on this machine.
fn is_local(config: &Config) -> bool {
    let here = |host: &Host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback()),
        #[cfg(unix)]
        Host::Unix(_) => true,
    };
    // An address overrules the name of its host, so each must be here.
    config.get_hosts().iter().all(here) && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

/// Refuses to send passwords and data where others can listen, and TLS where there is none.
fn refuse_listeners(config: &Config, mode: Mode, place: &str, allow_plain_remote: bool) -> Result<()> {
    #[cfg(unix)]
    if mode == Mode::Always && config.get_hosts().iter().any(|host| matches!(host, Host::Unix(_))) {
        return Err(Error::Unavailable(format!(
            "PostgreSQL at {place} is reached over a socket, which has no TLS and needs none; leave `sslmode` out"
        )));
    }
    if !mode.may_be_plain() || is_local(config) || allow_plain_remote {
        return Ok(());
    }
    Err(Error::Unavailable(format!(
        "PostgreSQL at {place} is on another machine and the connection might not be encrypted; use `sslmode=require`, or \
         leave `sslmode` out, which means the same there"
    )))
}

/// Schema names that need no quotes mean the same everywhere.
fn refuse_strange(schema: &str) -> Result<()> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let starts = schema.starts_with(|c: char| c.is_ascii_lowercase());
    if starts && schema.chars().all(fine) && schema.len() <= MAX_NAME && !schema.starts_with("pg_") {
        return Ok(());
    }
    Err(Error::Unavailable(format!(
        "`{schema}` cannot be a schema: use up to {MAX_NAME} of a-z, 0-9 and _, starting with a letter and not with pg_"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> Option<String> {
        Target::new(url, PgOptions::default()).err().map(|error| error.to_string())
    }

    fn target(url: &str) -> Target {
        Target::new(url, PgOptions::default()).expect(url)
    }

    #[test]
    fn only_connections_that_nobody_can_listen_to_are_made_in_plain() {
        for fine in [
            "postgres://me:secret@localhost/db",
            "postgres://me@127.0.0.1:5433/db",
            "postgres://me@[::1]/db",
            "postgres://me@%2Frun%2Fpostgresql/db",
            "host=/tmp user=me",
        ] {
            assert!(target(fine).tls.is_none(), "{fine}");
        }
        for other in [
            "postgres://me:secret@db.example.org/db",
            "postgres://me:secret@localhost,db.example.org/db",
            "host=localhost hostaddr=192.0.2.1 user=me password=secret",
        ] {
            assert!(target(other).tls.is_some(), "{other}");
            let join = if other.starts_with("host=") { " " } else { "?" };
            for mode in ["disable", "prefer"] {
                let plain = format!("{other}{join}sslmode={mode}");
                let told = refused(&plain).expect(other);
                assert!(told.contains("might not be encrypted") && !told.contains("secret"), "{told}");
                let allowed = PgOptions { allow_plain_remote: true, ..PgOptions::default() };
                assert!(Target::new(&plain, allowed).is_ok());
            }
        }
        let told = refused("postgres://me@%2Frun%2Fpostgresql/db?sslmode=require").expect("no TLS here");
        assert!(told.contains("reached over a socket, which has no TLS"), "{told}");
        let told = refused("postgres://me@localhost/db?sslmode=allow").expect("not known");
        assert!(told.contains("`sslmode` that is not known"), "{told}");
        let told = refused("postgres://me@localhost/db?sslcert=/x").expect("not known");
        assert!(told.contains("`sslcert`"), "{told}");
        let told = refused("postgres://me:secret@localhost:port/db").expect("not a port");
        assert!(told.contains("cannot be read") && !told.contains("secret"), "{told}");
    }

    #[test]
    fn a_schema_has_a_plain_name() {
        for (name, fine) in [("a1_b", true), ("", false), ("1a", false), ("A", false), ("pg_a", false), ("a-b", false)]
        {
            assert_eq!(refuse_strange(name).is_ok(), fine, "{name}");
        }
        assert!(refuse_strange(&"a".repeat(MAX_NAME + 1)).is_err());
    }
}
