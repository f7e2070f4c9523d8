//! A mock model server that costs next to nothing: OpenAI Chat Completions over hand-written HTTP/1.1.
//!
//! Benches measure Convoke against it, so it must be cheaper than what it measures; crash tests ask it afterwards what
//! was really requested and answered, so it keeps a record of every request. It is no stand-in for a provider's checks:
//! it accepts whatever parses. Start at [`Mock::start`]; [`call`] is what arrives, [`reply`] what is answered,
//! [`fault`] what goes wrong, [`tally`] what is remembered.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

pub mod call;
pub mod fault;
mod http;
pub mod options;
pub mod reply;
pub mod sample;
mod serve;
pub mod tally;
mod wire;

use call::Call;
use fault::Fault;
use options::Options;
use reply::Reply;
use tally::{Record, Stats};

/// A server on a thread of its own; dropping it stops it and cuts its connections.
pub struct Mock {
    address: SocketAddr,
    state: Arc<serve::State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Mock {
    /// Starts a server that answers by the rules of the options.
    pub fn start(options: Options) -> io::Result<Self> {
        let rules = options.clone();
        Self::start_with(options, move |call| rules.reply(call))
    }

    /// Starts a server that answers as `reply` says. It runs on the server's only thread, so it must be quick.
    pub fn start_with(
        options: Options,
        reply: impl Fn(&Call<'_>) -> Reply + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", options.port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::new(serve::State::new(options, Box::new(reply)));
        let (stop, stopped) = oneshot::channel();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::clone(&state);
        let thread = std::thread::Builder::new()
            .name("mock-model".to_owned())
            .spawn(move || runtime.block_on(serve::serve(listener, shared, stopped)))?;
        Ok(Self { address, state, stop: Some(stop), thread: Some(thread) })
    }

    /// The base URL that a client is given, such as `http://127.0.0.1:4010/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Counts since the start or the last reset.
    pub fn stats(&self) -> Stats {
        self.state.tally.stats()
    }

    /// Every request since the start or the last reset, in order of arrival.
    pub fn records(&self) -> Vec<Record> {
        self.state.tally.records(0)
    }

    /// Forgets all counts, records and how often each fault struck.
    pub fn reset(&self) {
        self.state.reset();
    }

    /// Replaces what goes wrong from now on.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.state.set_faults(faults);
    }

    /// Waits until the server ends, which it does only when it is dropped or its process is.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic of the server's thread was printed by the thread itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
