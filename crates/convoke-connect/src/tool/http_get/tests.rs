//! That nothing leads to an address that may not be reached, and what a good answer looks like.
//!
//! A listener on loopback stands for the whole internet: checked public addresses are connected to it by the detour, and every
//! connection to it by another way would be counted as well.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use convoke_port::tool::{ToolError, ToolOutput, ToolRequest, ToolScope};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::tool::limits::ToolLimits;

/// A server that answers a path with these bytes, and counts.
struct Net {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Net {
    fn new(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let address = listener.local_addr().expect("address");
        let net = Self { address, connections: Arc::default(), requests: Arc::default() };
        let (connections, requests, answer) = (net.connections.clone(), net.requests.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                connections.fetch_add(1, Ordering::SeqCst);
                let (mut stream, requests, answer) = (stream, requests.clone(), answer.clone());
                std::thread::spawn(move || {
                    let mut bytes = vec![0; 16 << 10];
                    let read = stream.read(&mut bytes).unwrap_or(0);
                    let request = String::from_utf8_lossy(&bytes[..read]).into_owned();
                    let path = request.split(' ').nth(1).unwrap_or("").to_owned();
                    requests.lock().expect("lock").push(request);
                    let _ = stream.write_all(&answer(&path));
                });
            }
        });
        net
    }

    /// Names and public addresses lead here; the lookup is given.
    fn egress(&self, lookup: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Egress {
        let address = self.address;
        let lookup: egress::Lookup = Arc::new(move |host| {
            let found = lookup(&host);
            Box::pin(async move { Ok(found) })
        });
        Egress::new(lookup, Some(Arc::new(move |_| address)))
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn public(_: &str) -> Vec<IpAddr> {
    vec!["93.184.215.14".parse().expect("address")]
}

async fn get(egress: &Egress, scope: &ToolScope, input: Value) -> Result<ToolOutput, ToolError> {
    let mut limits = ToolLimits::default();
    limits.http.time = Duration::from_secs(2);
    limits.http.body_bytes = 100_000;
    let request =
        ToolRequest { id: "http_get".into(), input, key: "k".into(), timeout: Duration::from_secs(10), fence: None };
    let job = Job::new(scope, &request, &Arc::new(limits), &CancellationToken::new());
    run(&job, &Permit::of(scope), egress).await
}

fn anywhere() -> ToolScope {
    ToolScope { http_hosts: vec!["*".into()], ..ToolScope::default() }
}

fn refusal(result: Result<ToolOutput, ToolError>, about: &str) -> String {
    match result {
        Err(ToolError::Refused(why)) => why,
        other => panic!("{about}: {other:?}"),
    }
}

#[tokio::test]
async fn no_address_in_the_corpus_is_connected_to() {
    let net = Net::new(|_| answer("200 OK", "Content-Type: text/plain\r\n", b"leaked"));
    let port = net.address.port();
    let egress = net.egress(|_| vec![IpAddr::from([127, 0, 0, 1])]);
    // In every spelling that a parser of addresses might understand.
    let hosts = [
        "127.0.0.1",
        "127.0.0.2",
        "127.1",
        "127.0.1",
        "127.255.255.254",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0x7f.1",
        "0177.0.0.1",
        "0177.1",
        "017700000001",
        "127.0x1",
        "0000177.0.0.1",
        "127.0.0.1.",
        "127。0。0。1",
        "１２７.0.0.1",
        "①②⑦.0.0.1",
        "0",
        "0.0.0.0",
        "0x0",
        "00",
        "0.0",
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::0001]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[::7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[2002:7f00:0001::1]",
        "[2001::7f00:1]",
        "[2001:0:7f00:1::]",
        "[fe80::1]",
        "[fe80::1%25lo]",
        "[fc00::1]",
        "[fd12:3456::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[2001:db8::1]",
        "[3fff::1]",
        "[100::1]",
        "[5f00::1]",
        "10.0.0.1",
        "10.1",
        "0xa000001",
        "167772161",
        "012.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "2886729729",
        "192.168.0.1",
        "192.168.1",
        "0xc0a80001",
        "3232235521",
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "100.64.0.1",
        "100.100.100.200",
        "192.0.0.192",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "192.88.99.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "4294967295",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "foo.localhost",
        "ip6-localhost",
        "127.0.0.1.nip.io",
        "metadata.google.internal",
        "inner.example.com",
    ];
    let scope = anywhere();
    let mut count = 0;
    for host in hosts {
        for url in [format!("http://{host}:{port}/"), format!("https://{host}:{port}/x?y=z")] {
            refusal(get(&egress, &scope, json!({"url": url})).await, &url);
            count += 1;
        }
    }
    for url in [
        "file:///etc/passwd",
        "gopher://127.0.0.1:1/_x",
        "ftp://127.0.0.1/",
        "unix:///var/run/docker.sock",
        "data:text/plain,x",
        "javascript:alert(1)",
        "dict://127.0.0.1:11211/",
        "ws://127.0.0.1/",
        "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
        "http://user@127.0.0.1/",
        "http://user:pass@example.com/",
        "http://example.com@127.0.0.1/",
        "http://127.0.0.1#@example.com/",
        "http://127.0.0.1\\@example.com/",
        "http:127.0.0.1",
        "http:///127.0.0.1",
        "//127.0.0.1/",
        "127.0.0.1",
        "",
        "http://",
        "http://:80/",
        "http://[::1",
        "http://exa mple.com/",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://1.2.3.4.5/",
        "http://256.0.0.1/",
        "http://0x7f.0x0.0x0.0x1/",
        "http:\\\\127.0.0.1\\",
        "ht\ttp://127.0.0.1/",
        "http://127.0.0.1%00.example.com/",
    ] {
        refusal(get(&egress, &scope, json!({"url": url})).await, url);
        count += 1;
    }
    assert!(count >= 200, "{count}");
    assert_eq!(net.connections(), 0);
}

#[tokio::test]
async fn one_private_address_among_public_ones_spoils_the_name() {
    let net = Net::new(|_| answer("200 OK", "", b"leaked"));
    let egress = net.egress(|_| vec![IpAddr::from([93, 184, 215, 14]), IpAddr::from([10, 0, 0, 1])]);
    let why = refusal(get(&egress, &anywhere(), json!({"url": "http://example.com/"})).await, "mixed");
    assert!(why.starts_with("http_get: `example.com` is at 10.0.0.1, a private address"), "{why}");
    assert_eq!(net.connections(), 0);
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_caught_at_each_connection() {
    let net = Net::new(|_| answer("200 OK", "Content-Type: text/plain\r\n", b"fine"));
    let turn = AtomicUsize::new(0);
    let egress = net.egress(move |_| match turn.fetch_add(1, Ordering::SeqCst) {
        0 => public(""),
        _ => vec![IpAddr::from([127, 0, 0, 1])],
    });
    let first = get(&egress, &anywhere(), json!({"url": "http://example.com/"})).await.expect("public");
    assert!(first.content.ends_with("\n\nfine"), "{first:?}");
    refusal(get(&egress, &anywhere(), json!({"url": "http://example.com/"})).await, "rebound");
    assert_eq!(net.connections(), 1);
}

#[tokio::test]
async fn redirects_are_checked_like_addresses() {
    let net = Net::new(|path| {
        let to = path.trim_start_matches("/to/").replace("%2F", "/");
        answer("302 Found", &format!("Location: {to}\r\n"), b"")
    });
    let egress = net
        .egress(|host| if host.ends_with("example.com") { public(host) } else { vec![IpAddr::from([127, 0, 0, 1])] });
    let mut scope = ToolScope {
        http_hosts: vec!["*.example.com".into(), "127.0.0.1".into(), "inner.test".into()],
        ..ToolScope::default()
    };
    for to in [
        "http:%2F%2F127.0.0.1%2F",
        "http:%2F%2Finner.test%2F",
        "http:%2F%2Fother.test%2F",
        "file:%2F%2F%2Fetc%2Fpasswd",
        "%2F%2F127.0.0.1",
    ] {
        let before = net.connections();
        refusal(get(&egress, &scope, json!({"url": format!("http://a.example.com/to/{to}")})).await, to);
        assert_eq!(net.connections(), before + 1, "{to}: only the first was asked");
    }
    scope.http_hosts = vec!["a.example.com".into()];
    let result = get(&egress, &scope, json!({"url": "http://a.example.com/to/%2Fto%2Fx"})).await;
    assert!(matches!(&result, Err(ToolError::Failed(why)) if why == "http_get: more than 5 redirects"), "{result:?}");
}

#[tokio::test]
async fn headers_do_not_follow_to_another_place() {
    let net = Net::new(|path| match path {
        "/start" => answer("307 Temporary Redirect", "Location: http://b.example.com/end\r\n", b""),
        _ => answer("200 OK", "Content-Type: application/json\r\n", b"{}"),
    });
    let egress = net.egress(public);
    let input = json!({"url": "http://a.example.com/start", "headers": {"Authorization": "Bearer secret", "X-A": "1"}});
    let output = get(&egress, &anywhere(), input).await.expect("answer");
    assert!(
        output.content.starts_with("HTTP 200 OK\nurl: http://b.example.com/end\ntype: application/json\n\n{}"),
        "{output:?}"
    );
    let requests = net.requests.lock().expect("lock");
    assert!(requests[0].contains("Bearer secret") && !requests[1].contains("Bearer secret"), "{requests:?}");
}

#[tokio::test]
async fn a_private_network_can_be_granted_but_not_what_is_worse() {
    let net = Net::new(|_| answer("404 Not Found", "Content-Type: text/html\r\n", b"no such thing"));
    let scope = ToolScope {
        http_hosts: vec!["127.0.0.1".into(), "169.254.169.254".into()],
        private_network: true,
        ..ToolScope::default()
    };
    let egress = Egress::default();
    let output = get(&egress, &scope, json!({"url": format!("http://{}/", net.address)})).await.expect("answer");
    assert!(output.is_error && output.content.contains("HTTP 404 Not Found"), "{output:?}");
    refusal(get(&egress, &scope, json!({"url": "http://169.254.169.254/latest/meta-data"})).await, "link-local");
    refusal(get(&egress, &scope, json!({"url": "http://127.0.0.2/"})).await, "not on the list");
}

#[tokio::test]
async fn answers_are_bounded_and_text() {
    // Members of a megabyte in a kilobyte.
    let bomb = include_bytes!("bomb.gz").repeat(64);
    let net = Net::new(move |path| match path {
        "/bomb" => answer("200 OK", "Content-Type: text/plain\r\nContent-Encoding: gzip\r\n", &bomb),
        "/big" => answer("200 OK", "Content-Type: text/plain\r\n", &vec![b'x'; 3 << 20]),
        "/image" => answer("200 OK", "Content-Type: image/png\r\n", b"\x89PNG"),
        "/latin" => answer("200 OK", "Content-Type: text/plain; charset=iso-8859-1\r\n", b"caf\xe9"),
        _ => answer("200 OK", "", b"a\0b"),
    });
    let egress = net.egress(public);
    let ask = |path: &str| json!({"url": format!("http://example.com{path}")});
    for path in ["/bomb", "/big"] {
        let output = get(&egress, &anywhere(), ask(path)).await.expect(path);
        assert!(output.content.len() <= 32 << 10, "{}", output.content.len());
        assert!(output.content.ends_with("of more than 100000 bytes]"), "{path}");
    }
    let output = get(&egress, &anywhere(), ask("/latin")).await.expect("latin");
    assert!(output.content.ends_with("café"), "{output:?}");
    for path in ["/image", "/none"] {
        let result = get(&egress, &anywhere(), ask(path)).await;
        assert!(matches!(&result, Err(ToolError::Failed(why)) if why.contains("not text")), "{result:?}");
    }
}

/// How long a silent server would keep a caller that has no bound of its own.
const SILENCE: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_server_that_is_silent_costs_no_more_than_the_time() {
    let net = Net::new(|_| {
        std::thread::park_timeout(SILENCE);
        Vec::new()
    });
    let egress = net.egress(public);
    let started = Instant::now();
    let result = get(&egress, &anywhere(), json!({"url": "http://example.com/"})).await;
    assert!(
        matches!(&result, Err(ToolError::TimedOut(why)) if why == "http_get: no whole answer within 2 s"),
        "{result:?}"
    );
    assert!(started.elapsed() < SILENCE, "it did not wait for the server");
}

#[tokio::test]
async fn headers_are_checked() {
    let egress = Egress::default();
    for (headers, why) in [
        (json!({"Host": "x"}), "http_get: `headers` may not set `Host`"),
        (json!({"Proxy-Authorization": "x"}), "http_get: `headers` may not set `Proxy-Authorization`"),
        (json!({"A\r\nB": "x"}), "http_get: `headers` holds `A\r\nB`, which is not a header with a plain text"),
        (json!({"A": "x\r\nHost: y"}), "http_get: `headers` holds `A`, which is not a header with a plain text"),
        (json!({"A": 1}), "http_get: `headers` holds `A`, which is not a header with a plain text"),
        (json!([]), "http_get: `headers` must be an object of at most 20 texts"),
    ] {
        let input = json!({"url": "http://example.com/", "headers": headers});
        assert_eq!(refusal(get(&egress, &anywhere(), input).await, why), why);
    }
}
