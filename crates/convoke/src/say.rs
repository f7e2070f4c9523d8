//! Writing on the output stream, and beside it. Rules: a reader that has gone away (`convoke runs | head`) ends the program
//! quietly; a text goes out as one piece, so that nothing another thread or the other stream says falls into its lines.

use std::borrow::Cow;
use std::io::{ErrorKind, Write};

use anstream::ColorChoice;
use serde::Serialize;

use crate::error::{Failure, Result};

/// Writes text as it is; colours are left out where the stream has none.
pub fn text(text: &str) -> Result<()> {
    finish(to_out(text))
}

/// Writes text on the output stream.
pub fn to_out(text: &str) -> std::io::Result<()> {
    let text = shown(text, anstream::AutoStream::choice(&std::io::stdout()));
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

/// Writes text on the error stream.
pub fn to_err(text: &str) -> std::io::Result<()> {
    let text = shown(text, anstream::AutoStream::choice(&std::io::stderr()));
    anstream::stderr().lock().write_all(text.as_bytes())
}

/// What a stream shows of a text. A stream that leaves out colours by itself would write the text in pieces.
fn shown(text: &str, colours: ColorChoice) -> Cow<'_, str> {
    match colours {
        ColorChoice::Never => anstream::adapter::strip_str(text).to_string().into(),
        _ => text.into(),
    }
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
    let _ = to_err(&format!("{line}\n"));
}

fn finish(written: std::io::Result<()>) -> Result<()> {
    match written {
        Err(cause) if cause.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(cause) => Err(Failure::io("cannot write the output", &cause)),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_colours_is_one_piece() {
        let text = "\x1b[1m\x1b[31merror:\x1b[0m it fails\n\x1b[36mhint:\x1b[0m größer\n";
        let plain = shown(text, ColorChoice::Never);
        assert_eq!(plain, "error: it fails\nhint: größer\n");
        assert_eq!(anstream::adapter::strip_bytes(plain.as_bytes()).count(), 1);
        assert_eq!(shown(text, ColorChoice::Always), text);
    }
}
