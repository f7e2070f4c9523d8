//! TLS to PostgreSQL: what is encrypted is verified, and what cannot be had is told with the next step.

use convoke_domain::id::WorkspaceId;
use convoke_store::{Options, PgOptions, Result, Store, Tx, UseCase, p};

use crate::server::{NAME, Server};
use crate::support::{Names, add};

const WS: WorkspaceId = WorkspaceId::DEFAULT;

/// Whether the connection that writes is encrypted, as the server says.
struct Encrypted;

impl UseCase for Encrypted {
    type Out = i64;

    fn ws(&self) -> WorkspaceId {
        WS
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<i64> {
        tx.one("SELECT CAST(ssl AS INT) FROM pg_stat_ssl WHERE pid = pg_backend_pid()", p![]).await
    }
}

async fn open(url: &str, pg: PgOptions) -> Result<Store> {
    Store::open_postgres(url, PgOptions { lanes: 1, ..pg }, Options::default()).await
}

async fn refused(url: &str) -> String {
    let error = open(url, PgOptions::default()).await.err().expect(url);
    assert_eq!(error.code(), "unavailable");
    error.to_string()
}

/// The store at `url` works, and its connections are encrypted or not.
async fn works(url: &str, pg: PgOptions, encrypted: bool) {
    let store = open(url, pg).await.expect(url);
    assert_eq!(store.run(Encrypted).await.expect("told"), i64::from(encrypted), "{url}");
    assert_eq!(store.read(Encrypted).await.expect("told"), i64::from(encrypted), "{url}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_the_right_certificate_is_used_over_tls() {
    let mut server = Server::start_listening(true);
    let (by_name, ca) = (server.url_by(NAME), server.authority());
    for mode in ["prefer", "require", "verify-ca", "verify-full"] {
        // A name that is not this machine's may go on in plain only if that is allowed.
        let pg = PgOptions { allow_plain_remote: mode == "prefer", ..PgOptions::default() };
        works(&format!("{by_name} sslmode={mode} sslrootcert='{ca}'"), pg, true).await;
    }
    works(&format!("{by_name} sslrootcert='{ca}'"), PgOptions::default(), true).await;
    let of_environment =
        PgOptions { ssl_mode: Some("require".to_owned()), ssl_root_cert: Some(ca.clone()), ..PgOptions::default() };
    works(&server.url_by(NAME), of_environment.clone(), true).await;
    // The URL overrules, and over loopback nothing needs to be encrypted.
    works(&format!("{} sslmode=disable", server.url_by("localhost")), of_environment, false).await;
    works(&server.url_by("localhost"), PgOptions::default(), false).await;
    // A connection that is lost comes back as it was.
    let store =
        open(&format!("{by_name} sslmode=require sslrootcert='{ca}'"), PgOptions::default()).await.expect("opens");
    store.run(add(WS, "before")).await.expect("added");
    server.crash();
    server.up();
    store.run(add(WS, "after")).await.expect("added");
    assert_eq!(store.run(Encrypted).await.expect("told"), 1);
    assert_eq!(store.read(Names(WS)).await.expect("names"), ["after", "before"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_proves_nothing_is_refused() {
    let (server, other) = (Server::start_listening(true), Server::start_listening(true));
    let ca = server.authority();
    for (name, mode) in [("localhost", "prefer"), (NAME, "require"), (NAME, "verify-full")] {
        let by_name = server.url_by(name);
        let told = refused(&format!("{by_name} sslmode={mode}")).await;
        assert!(told.contains("signed by nobody who is trusted here") && told.contains("sslrootcert=FILE"), "{told}");
        let wrong = other.authority();
        let told = refused(&format!("{by_name} sslmode={mode} sslrootcert='{wrong}'")).await;
        assert!(told.contains("certificate"), "{told}");
        let by_other = server.url_by("localhost");
        let told = refused(&format!("{by_other} sslmode={mode} sslrootcert='{ca}'")).await;
        assert!(told.contains("for another host name") && told.contains(NAME), "{told}");
    }
    let told = refused(&format!("{} sslmode=require sslrootcert=/nowhere", server.url_by("localhost"))).await;
    assert!(told.contains("/nowhere (`sslrootcert`) cannot be used"), "{told}");
    let addressed = server.url_by("x").replace("host=x ", "");
    let told = refused(&format!("{addressed} sslmode=require sslrootcert='{ca}'")).await;
    assert!(told.contains("TLS needs the name of the host"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_is_used_in_plain_only_where_that_was_not_ruled_out() {
    let server = Server::start_listening(false);
    works(&format!("{} sslmode=prefer", server.url_by("localhost")), PgOptions::default(), false).await;
    for mode in ["require", "verify-full"] {
        let told = refused(&format!("{} sslmode={mode}", server.url_by("localhost"))).await;
        assert!(told.contains("does not speak TLS; turn it on there"), "{told}");
    }
    // A name that is not this machine's, at an address that is not either, is never tried in plain.
    let told = refused("host=db.convoke.test hostaddr=192.0.2.1 user=me sslmode=prefer").await;
    assert!(told.contains("might not be encrypted"), "{told}");
}
