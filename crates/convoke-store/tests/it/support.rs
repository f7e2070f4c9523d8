//! A place to keep a store for one test, and use cases to try it with.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, mpsc};
use std::task::Poll;
use std::time::UNIX_EPOCH;

use convoke_domain::id::WorkspaceId;
use convoke_domain::refusal::Refusal;
use convoke_store::{Options, PgOptions, Result, Store, Tx, UseCase, p, user, workspace};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Makes one test per database from `async fn case(place: Place)`.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case($crate::support::Place::sqlite()).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case($crate::support::Place::postgres()).await;
            })+
        }
    };
}
pub(crate) use cases;

/// How long a schema waits for what still uses it. The runtime of its test stands still meanwhile, so what only that could
/// end does not end.
const DROP_WAIT: &str = "10s";

/// Where the store of one test lives.
pub struct Place {
    pub dir: tempfile::TempDir,
    pub pg: Option<Schema>,
}

/// A schema of a PostgreSQL database, gone with its test.
pub struct Schema {
    pub url: String,
    pub name: String,
}

impl Schema {
    /// A name that no other test has, on the server for tests.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let url = std::env::var("CONVOKE_TEST_PG");
        let url = url.expect("CONVOKE_TEST_PG names no PostgreSQL for tests; run `cargo xtask test`, which starts one");
        let now = UNIX_EPOCH.elapsed().expect("after 1970").as_nanos();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { url, name: format!("test_{}_{count}_{now:x}", std::process::id()) }
    }

    pub fn options(&self) -> PgOptions {
        PgOptions { schema: Some(self.name.clone()), create_schema: true, lanes: 3, ..PgOptions::default() }
    }

    /// A connection beside the store.
    pub async fn connect(&self) -> tokio_postgres::Client {
        let connected = tokio_postgres::connect(&self.url, tokio_postgres::NoTls).await;
        let (client, connection) = connected.expect("the server for tests answers");
        tokio::spawn(connection);
        client.batch_execute(&format!("SET search_path = {}", self.name)).await.expect("set");
        client
    }
}

impl Schema {
    /// Runs statements from a thread with a runtime of its own, while that of the test stands still.
    pub fn aside(&self, sql: &str) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let (url, sql) = (self.url.clone(), format!("SET search_path={}; {sql}", self.name));
        let done = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await?;
                tokio::spawn(connection);
                Ok(client.batch_execute(&sql).await?)
            })
        });
        done.join().expect("no panic")
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let drop = format!("SET lock_timeout='{DROP_WAIT}'; DROP SCHEMA IF EXISTS {} CASCADE", self.name);
        // A schema that stays hurts nobody, and the test may be failing already.
        if let Err(error) = self.aside(&drop) {
            eprintln!("the schema {} stays: {error}", self.name);
        }
    }
}

impl Place {
    /// Changes the database behind the store's back.
    pub async fn change(&self, statement: &str) {
        match &self.pg {
            Some(pg) => pg.connect().await.batch_execute(statement).await.expect(statement),
            None => {
                let db = rusqlite::Connection::open(self.dir.path().join("convoke.db")).expect("the file");
                db.execute_batch(statement).expect(statement);
            }
        }
    }

    pub fn sqlite() -> Self {
        Self { dir: tempfile::tempdir().expect("a folder"), pg: None }
    }

    pub fn postgres() -> Self {
        Self { dir: tempfile::tempdir().expect("a folder"), pg: Some(Schema::new()) }
    }

    pub async fn open(&self) -> Store {
        self.open_with(Options::default()).await
    }

    pub async fn open_with(&self, options: Options) -> Store {
        let opened = match &self.pg {
            None => Store::open_sqlite(self.dir.path(), options).await,
            Some(pg) => Store::open_postgres(&pg.url, pg.options(), options).await,
        };
        opened.expect("the store opens")
    }
}

/// A use case from a function, in the default workspace.
struct Act<F>(F);

type Acting<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

impl<T, F> UseCase for Act<F>
where
    T: Send + 'static,
    F: for<'a, 'c> Fn(&'a mut Tx<'c>) -> Acting<'a, T> + Send + Sync + 'static,
{
    type Out = T;

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    fn run(&self, tx: &mut Tx<'_>) -> impl Future<Output = Result<T>> + Send {
        (self.0)(tx)
    }
}

/// Runs a function as a use case.
pub async fn run<T, F>(store: &Store, act: F) -> Result<T>
where
    T: Send + 'static,
    F: for<'a, 'c> Fn(&'a mut Tx<'c>) -> Acting<'a, T> + Send + Sync + 'static,
{
    store.run(Act(act)).await
}

/// Runs a function as a use case that only reads.
pub async fn read<T, F>(store: &Store, act: F) -> Result<T>
where
    T: Send + 'static,
    F: for<'a, 'c> Fn(&'a mut Tx<'c>) -> Acting<'a, T> + Send + Sync + 'static,
{
    store.read(Act(act)).await
}

/// Runs `body` as a use case: `act!(store, tx => noun::function(tx).await)`; with `try`, an error is given.
macro_rules! act {
    (try $store:ident, $tx:ident => $body:expr) => {
        $crate::support::run(&$store, move |$tx| Box::pin(async move { $body })).await
    };
    ($store:ident, $tx:ident => $body:expr) => {
        $crate::support::act!(try $store, $tx => $body).expect("the use case ends well")
    };
}
pub(crate) use act;

/// Runs `body` as a use case that only reads.
macro_rules! look {
    ($store:ident, $tx:ident => $body:expr) => {
        $crate::support::read(&$store, move |$tx| Box::pin(async move { $body })).await.expect("the use case ends well")
    };
}
pub(crate) use look;

/// How an [`AddUser`] ends after it wrote.
#[derive(Clone, Copy, PartialEq)]
pub enum End {
    Well,
    Refused,
    Panics,
    Swallows,
    Waits,
}

/// Adds a user, with its event, and then ends as told.
pub struct AddUser {
    pub ws: WorkspaceId,
    pub name: String,
    pub end: End,
}

pub fn add(ws: WorkspaceId, name: impl Into<String>) -> AddUser {
    AddUser { ws, name: name.into(), end: End::Well }
}

impl UseCase for AddUser {
    type Out = user::User;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<user::User> {
        let user = user::insert(tx, &self.name, "operator", "system").await?;
        match self.end {
            End::Well => {}
            End::Refused => return Err(Refusal::new("too_late", "this came too late").into()),
            End::Panics => panic!("as told"),
            End::Swallows => drop(user::insert(tx, &self.name, "operator", "system").await),
            End::Waits => tokio::task::yield_now().await,
        }
        Ok(user)
    }
}

/// Adds a workspace.
pub struct AddWorkspace(pub WorkspaceId);

impl UseCase for AddWorkspace {
    type Out = workspace::Workspace;

    fn ws(&self) -> WorkspaceId {
        self.0
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<workspace::Workspace> {
        workspace::insert(tx, &self.0.to_string(), "system").await
    }
}

/// The names of the users of a workspace.
pub struct Names(pub WorkspaceId);

impl UseCase for Names {
    type Out = Vec<String>;

    fn ws(&self) -> WorkspaceId {
        self.0
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Vec<String>> {
        tx.many("SELECT name FROM users WHERE ws=$1 ORDER BY name LIMIT 10000", p![self.0]).await
    }
}

struct Gate(Mutex<Option<(oneshot::Sender<()>, mpsc::Receiver<()>)>>);

impl UseCase for Gate {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, _tx: &mut Tx<'_>) -> Result<()> {
        if let Some((entered, open)) = self.0.lock().expect("not poisoned").take() {
            let _ = entered.send(());
            let _ = open.recv();
        }
        Ok(())
    }
}

/// A writer that stands still, so that what is queued meanwhile becomes one batch.
pub struct Held {
    open: mpsc::Sender<()>,
    gate: JoinHandle<Result<()>>,
}

/// Stops the writer inside a use case of its own.
pub async fn hold(store: &Store) -> Held {
    let ((entered, inside), (open, opened)) = (oneshot::channel(), mpsc::channel());
    let store = store.clone();
    let gate = tokio::spawn(async move { store.run(Gate(Mutex::new(Some((entered, opened))))).await });
    inside.await.expect("the writer comes in");
    Held { open, gate }
}

impl Held {
    /// Lets the writer go on.
    pub async fn release(self) {
        self.open.send(()).expect("the writer waits");
        self.gate.await.expect("no panic").expect("the gate ends well");
    }
}

/// Workspace number `n`, made in the store.
pub async fn workspace(store: &Store, n: u128) -> WorkspaceId {
    let ws = WorkspaceId(Uuid::from_u128(0x1000 + n));
    store.run(AddWorkspace(ws)).await.expect("a new workspace");
    ws
}

/// Polls a future once, with all of the runtime's patience left.
pub async fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    tokio::task::yield_now().await;
    poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context))).await
}
