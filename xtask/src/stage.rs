//! Stages: what is done one after another, how long each took, and what could not be had.
//!
//! A thing that cannot be had does not stop the rest; it is kept as a [`Lack`], told by name at the end, and makes the
//! whole command fail. There is no third way: nothing is skipped in silence.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Something that was needed and could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// What is missing.
    pub name: String,
    /// Why.
    pub reason: String,
    /// What to do about it.
    pub next: String,
}

impl Lack {
    /// A lack of `name`, for a reason, with the next step.
    pub fn new(name: &str, reason: impl fmt::Display, next: impl Into<String>) -> Self {
        Self { name: name.to_owned(), reason: reason.to_string(), next: next.into() }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MISSING {}: {}\n        next: {}", self.name, self.reason.trim_end(), self.next)
    }
}

/// The stages of one command. Stages may run at the same time.
#[derive(Default)]
pub struct Stages {
    took: Mutex<Vec<(String, Duration)>>,
    lacks: Mutex<Vec<Lack>>,
}

impl Stages {
    /// Runs a stage, tells that it began, and keeps the time.
    pub fn run<T>(&self, name: &str, work: impl FnOnce() -> T) -> T {
        eprintln!("[xtask] {name}");
        let start = Instant::now();
        let result = work();
        self.took.lock().expect("no stage panics with the lock held").push((name.to_owned(), start.elapsed()));
        result
    }

    /// Like `run`; a lack is kept and told at the end.
    pub fn provide<T>(&self, name: &str, work: impl FnOnce() -> Result<T, Lack>) -> Option<T> {
        match self.run(name, work) {
            Ok(thing) => Some(thing),
            Err(lack) => {
                self.lack(lack);
                None
            }
        }
    }

    /// Keeps a lack, and tells it at once as well, for those who watch.
    pub fn lack(&self, lack: Lack) {
        eprintln!("[xtask] {lack}");
        self.lacks.lock().expect("no stage panics with the lock held").push(lack);
    }

    /// The lacks so far.
    pub fn lacks(&self) -> Vec<Lack> {
        self.lacks.lock().expect("no stage panics with the lock held").clone()
    }

    /// Prints how long each stage took, then what was missing.
    pub fn print(&self, total: Duration) {
        let took = self.took.lock().expect("no stage panics with the lock held");
        eprintln!("\n[xtask] time");
        for (name, duration) in took.iter() {
            eprintln!("  {:>8.1} s  {name}", duration.as_secs_f64());
        }
        eprintln!("  {:>8.1} s  in all", total.as_secs_f64());
        for lack in self.lacks() {
            eprintln!("\n{lack}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_is_kept_and_names_its_next_step() {
        let stages = Stages::default();
        let got: Option<()> = stages.provide("a thing", || Err(Lack::new("thing", "it is gone", "fetch it")));
        assert!(got.is_none());
        assert_eq!(stages.lacks()[0].to_string(), "MISSING thing: it is gone\n        next: fetch it");
    }
}
