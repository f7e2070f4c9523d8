//! The part of the terminal that is drawn again and again. One write per frame, inside a synchronized update where the
//! terminal knows that, so nothing flickers; the cursor is hidden meanwhile and comes back however the program ends.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::say;
use crate::text::width;

const HIDE: &str = "\x1b[?25l";
const SHOW: &str = "\x1b[?25h";
const BEGIN: &str = "\x1b[?2026h";
const END: &str = "\x1b[?2026l";
/// What is taken for the size of a terminal that does not tell.
const USUAL: (usize, usize) = (80, 24);

/// The cursor is hidden and must be shown again.
static HIDDEN: AtomicBool = AtomicBool::new(false);

/// Where progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// With the result.
    Out,
    /// Beside the result, which is for programs.
    Err,
}

impl Stream {
    /// True if a person looks at it directly.
    pub fn is_terminal(self) -> bool {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        !dumb
            && match self {
                Self::Out => std::io::stdout().is_terminal(),
                Self::Err => std::io::stderr().is_terminal(),
            }
    }

    /// Writes, without colours where the stream has none. Whether progress can be shown changes nothing.
    pub fn write(self, text: &str) {
        let _ = match self {
            Self::Out => say::to_out(text),
            Self::Err => say::to_err(text),
        };
    }

    /// Writes to the terminal as it is, cursor movements included.
    fn act(self, text: &str) {
        let written = match self {
            Self::Out => {
                let mut out = std::io::stdout().lock();
                out.write_all(text.as_bytes()).and_then(|()| out.flush())
            }
            Self::Err => std::io::stderr().lock().write_all(text.as_bytes()),
        };
        let _ = written;
    }
}

/// Columns and rows of the terminal.
pub fn size() -> (usize, usize) {
    let found = terminal_size::terminal_size();
    found.map_or(USUAL, |(columns, rows)| (usize::from(columns.0).max(1), usize::from(rows.0).max(1)))
}

/// Shows the cursor again, if it is hidden. May be called from anywhere, any number of times.
pub fn restore() {
    super::keys::restore();
    if HIDDEN.swap(false, Ordering::SeqCst) {
        let text = format!("{END}{SHOW}");
        Stream::Err.act(&text);
    }
}

/// The lines at the end of the terminal that belong to the live view.
pub struct Screen {
    stream: Stream,
    colours: bool,
    /// Columns of each line that stands there now.
    drawn: Vec<usize>,
}

impl Screen {
    /// A screen that shows nothing yet.
    pub fn new(stream: Stream) -> Self {
        let choice = match stream {
            Stream::Out => anstream::AutoStream::choice(&std::io::stdout()),
            Stream::Err => anstream::AutoStream::choice(&std::io::stderr()),
        };
        HIDDEN.store(true, Ordering::SeqCst);
        stream.act(HIDE);
        Self { stream, colours: choice != anstream::ColorChoice::Never, drawn: Vec::new() }
    }

    /// Replaces what stands there; `above` goes before it and stays.
    pub fn show(&mut self, above: &[String], lines: &[String]) {
        let mut text = format!("{BEGIN}{}", self.back(size().0));
        for line in above.iter().chain(lines) {
            text.push_str(&self.coloured(line));
            text.push_str("\x1b[K\n");
        }
        text.push_str("\x1b[J");
        text.push_str(END);
        self.stream.act(&text);
        self.drawn = lines.iter().map(|line| width(&plain(line))).collect();
    }

    /// To the first of the lines that stand there. A terminal that has become narrower has broken them into more rows.
    fn back(&self, columns: usize) -> String {
        let rows: usize = self.drawn.iter().map(|width| width.div_ceil(columns).max(1)).sum();
        if rows == 0 { "\r".to_owned() } else { format!("\r\x1b[{rows}A") }
    }

    fn coloured(&self, line: &str) -> String {
        if self.colours { line.to_owned() } else { plain(line) }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        HIDDEN.store(false, Ordering::SeqCst);
        self.stream.act(SHOW);
    }
}

fn plain(line: &str) -> String {
    anstream::adapter::strip_str(line).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_counts_rows_that_were_broken() {
        let screen = Screen { stream: Stream::Out, colours: false, drawn: vec![80, 10, 0, 81] };
        assert_eq!(screen.back(80), "\r\x1b[5A");
        assert_eq!(screen.back(40), "\r\x1b[7A");
        std::mem::forget(screen);
    }
}
