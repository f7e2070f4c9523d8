//! Running other programs: quietly into a log that is shown when they fail, or in the open with their output kept.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};

/// Lines of a failed program's output that are shown.
const TAIL_LINES: usize = 25;

/// Cargo, as the one that started this program, without the variables it set for this program alone.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command.current_dir(crate::place::root());
    command
}

/// Runs a program to its end and returns what it wrote to standard output; its last lines are in the error.
pub fn quiet(command: &mut Command) -> Result<String> {
    let name = describe(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{name}`"))?;
    if !output.status.success() {
        let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.push_str(&String::from_utf8_lossy(&output.stderr));
        bail!("`{name}` failed ({}):\n{}", output.status, tail(&said));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program with its output shown as it comes.
pub fn open(command: &mut Command) -> Result<ExitStatus> {
    let name = describe(command);
    command.status().with_context(|| format!("cannot start `{name}`"))
}

/// Runs a program with its output shown as it comes, and keeps each line for which `keep` says so.
pub fn tee(command: &mut Command, keep: fn(&str) -> bool) -> Result<(ExitStatus, Vec<String>)> {
    let name = describe(command);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{name}`"))?;
    let out = child.stdout.take().expect("standard output is piped");
    let err = child.stderr.take().expect("standard error is piped");
    let kept = thread::scope(|scope| {
        let out = scope.spawn(|| copy(out, std::io::stdout(), keep));
        let err = scope.spawn(|| copy(err, std::io::stderr(), keep));
        let mut kept = out.join().expect("copying does not panic");
        kept.extend(err.join().expect("copying does not panic"));
        kept
    });
    Ok((child.wait()?, kept))
}

/// Copies line by line, whatever bytes the lines hold; ends with the input or when nobody reads any more.
fn copy(from: impl Read, mut to: impl Write, keep: fn(&str) -> bool) -> Vec<String> {
    let mut kept = Vec::new();
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        // Nobody reads our own output any more: go on reading, or the program would hang on a full pipe.
        let _ = to.write_all(&line).and_then(|()| to.flush());
        let text = String::from_utf8_lossy(&line);
        if keep(&text) {
            kept.push(text.trim_end().to_owned());
        }
        line.clear();
    }
    kept
}

/// A command as one would type it.
pub fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// The last lines of a text.
pub fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_the_last_lines() {
        let error = quiet(Command::new("sh").args(["-c", "seq 1 100; echo gone >&2; exit 3"])).expect_err("exit 3");
        let text = error.to_string();
        assert!(text.contains("exit status: 3") && text.ends_with("gone") && !text.contains("\n50\n"), "{text}");
    }

    #[test]
    fn lines_are_kept_while_they_are_shown() {
        let (status, kept) =
            tee(Command::new("sh").args(["-c", "echo a; echo b >&2"]), |line| line.starts_with('b')).expect("sh runs");
        assert!(status.success());
        assert_eq!(kept, ["b"]);
    }
}
