//! A place to keep a store for one test, and use cases to try it with.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, mpsc};
use std::task::Poll;

use convoke_domain::id::WorkspaceId;
use convoke_domain::refusal::Refusal;
use convoke_store::{Options, Result, Store, Tx, UseCase, p, user, workspace};
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
    };
}
pub(crate) use cases;

/// Where the store of one test lives.
pub struct Place {
    pub dir: tempfile::TempDir,
}

impl Place {
    pub fn sqlite() -> Self {
        Self { dir: tempfile::tempdir().expect("a folder") }
    }

    pub async fn open(&self) -> Store {
        self.open_with(Options::default()).await
    }

    pub async fn open_with(&self, options: Options) -> Store {
        Store::open_sqlite(self.dir.path(), options).await.expect("the store opens")
    }
}

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
