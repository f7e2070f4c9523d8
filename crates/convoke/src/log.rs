//! The program's own log, on the error stream. While a live view is drawn, lines are kept for it to print above itself.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::error::{Failure, Result};

/// Lines that wait for the live view; more are dropped, the oldest first.
const MAX_KEPT: usize = 100;

static KEPT: Mutex<Option<Vec<String>>> = Mutex::new(None);

/// Starts logging what `filter` lets through.
pub fn start(filter: &str, colours: bool) -> Result<()> {
    let filter = EnvFilter::try_new(filter).map_err(|cause| {
        Failure::usage("bad_log_level", format!("`{filter}` is no log level"))
            .cause(cause)
            .hint("write error, warn, info, debug or trace, or levels by module such as `warn,convoke_engine=debug`")
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Log).with_ansi(colours).with_target(true);
    // A second start in one process changes nothing.
    let _ = log.try_init();
    Ok(())
}

/// Keeps lines from now on, until [`release`].
pub fn keep() {
    *kept() = Some(Vec::new());
}

/// The lines that were kept since the last time.
pub fn take() -> Vec<String> {
    kept().as_mut().map(std::mem::take).unwrap_or_default()
}

/// Writes lines at once again; gives those that were kept.
pub fn release() -> Vec<String> {
    kept().take().unwrap_or_default()
}

fn kept() -> std::sync::MutexGuard<'static, Option<Vec<String>>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Log;

impl<'a> MakeWriter<'a> for Log {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(Vec::new())
    }
}

/// One line of the log until it is complete.
struct Line(Vec<u8>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        match kept().as_mut() {
            Some(lines) => {
                lines.extend(String::from_utf8_lossy(&self.0).lines().map(str::to_owned));
                let over = lines.len().saturating_sub(MAX_KEPT);
                lines.drain(..over);
            }
            // A log that nobody can read is no failure.
            None => drop(std::io::stderr().lock().write_all(&self.0)),
        }
    }
}
