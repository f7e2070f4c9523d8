//! How large results may be: one of a step, and all that one step reads together.
//!
//! Rule: a loop or a chain of joins can double what it holds with every round, so what is kept and what is read both have a limit.

use std::cell::Cell;
use std::io::{Error, ErrorKind, Write};

use serde_json::Value;

/// The most bytes, as JSON, of the result that a step computes.
const RESULT_MAX: u64 = 1 << 20;
/// The most bytes of all the results that one step reads.
const READ_MAX: u64 = 64 << 20;
/// What each part of a result counts besides its text.
const PART: u64 = 64;

/// What one step has read so far.
#[derive(Debug, Default)]
pub(super) struct Read(Cell<u64>);

impl Read {
    /// A step begins to read.
    pub(super) fn afresh(&self) {
        self.0.set(0);
    }

    /// Takes down that a result is read. False: it is too much, and nothing more should be.
    pub(super) fn take(&self, bytes: u64) -> bool {
        self.0.set(self.0.get().saturating_add(bytes).saturating_add(PART));
        self.0.get() <= READ_MAX
    }

    /// A result that was read, unless it is too much.
    pub(super) fn taken(&self, value: &Value) -> Value {
        if self.take(bytes_of(value, READ_MAX)) { value.clone() } else { Value::Null }
    }

    /// Why what was read is not all there is.
    pub(super) fn flaw(&self) -> Option<String> {
        (self.0.get() > READ_MAX).then(|| {
            format!(
                "the results that it names have more than {READ_MAX} bytes together: name the parts that it needs, or merge \
                 them into something shorter in a step before"
            )
        })
    }
}

/// Why a step's result cannot be kept, if so.
pub(super) fn flaw(value: &Value) -> Option<String> {
    (bytes_of(value, RESULT_MAX) > RESULT_MAX).then(|| {
        format!("its result has more than {RESULT_MAX} bytes as JSON, which is the most a step may keep: keep only what later steps need")
    })
}

/// The bytes of a value as JSON; more than `most` are not counted to their end.
fn bytes_of(value: &Value, most: u64) -> u64 {
    struct Count(u64, u64);
    impl Write for Count {
        fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
            self.0 += bytes.len() as u64;
            if self.0 > self.1 { Err(ErrorKind::FileTooLarge.into()) } else { Ok(bytes.len()) }
        }

        fn flush(&mut self) -> Result<(), Error> {
            Ok(())
        }
    }
    let mut count = Count(0, most);
    // The only error is that it is too large, and the count says so.
    drop(serde_json::to_writer(&mut count, value));
    count.0
}
