//! Ctrl-C, SIGTERM and SIGHUP (the terminal is gone): the first asks for a clean stop, the second ends the program at
//! once. Either way nothing that was recorded is lost.

use tokio::sync::watch;

use crate::error::{Exit, Failure, Result};
use crate::live::screen;

/// Tells of the first signal.
#[derive(Debug, Clone)]
pub struct Signals(watch::Receiver<Option<Exit>>);

impl Signals {
    /// Listens from now on.
    pub fn listen() -> Result<Self> {
        let mut asked = Asked::listen().map_err(|cause| Failure::io("cannot listen for signals", &cause))?;
        let (tell, told) = watch::channel(None);
        tokio::spawn(async move {
            loop {
                let exit = asked.next().await;
                if tell.borrow().is_some() {
                    screen::restore();
                    std::process::exit(exit.code().into());
                }
                tell.send_replace(Some(exit));
            }
        });
        Ok(Self(told))
    }

    /// Waits for the first signal.
    pub async fn first(&mut self) -> Exit {
        match self.0.wait_for(Option::is_some).await.map(|exit| *exit) {
            Ok(Some(exit)) => exit,
            // The listener is gone with its runtime: no signal comes any more.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

/// The signals that ask the program to end.
#[cfg(unix)]
struct Asked {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Asked {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
            _ = self.hangup.recv() => Exit::Terminated,
        }
    }
}

/// The signals that ask the program to end.
#[cfg(not(unix))]
struct Asked;

#[cfg(not(unix))]
impl Asked {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Exit {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Exit::Interrupted,
            Err(_) => std::future::pending().await,
        }
    }
}
