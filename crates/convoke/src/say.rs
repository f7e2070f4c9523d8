//! Writing on the output stream. Rule: a reader that has gone away (`convoke runs | head`) ends the program quietly.

use std::io::{ErrorKind, Write};

use serde::Serialize;

use crate::error::{Failure, Result};

/// Writes text as it is; colours are left out where the stream has none.
pub fn text(text: &str) -> Result<()> {
    let mut out = anstream::stdout().lock();
    finish(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Writes a line.
pub fn line(line: &str) -> Result<()> {
    text(&format!("{line}\n"))
}

/// Writes a value as JSON, indented.
pub fn json(value: &impl Serialize) -> Result<()> {
    let body = serde_json::to_string_pretty(value)
        .map_err(|cause| Failure::new("broken", "cannot write JSON").cause(cause))?;
    line(&body)
}

/// Writes a value as JSON on one line.
pub fn json_line(value: &impl Serialize) -> Result<()> {
    let body =
        serde_json::to_string(value).map_err(|cause| Failure::new("broken", "cannot write JSON").cause(cause))?;
    line(&body)
}

/// Writes a line for people on the error stream, where it does not disturb the result.
pub fn note(line: &str) {
    // A note that nobody can read is no failure.
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}

fn finish(written: std::io::Result<()>) -> Result<()> {
    match written {
        Err(cause) if cause.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(cause) => Err(Failure::io("cannot write the output", &cause)),
        Ok(()) => Ok(()),
    }
}
