//! Driving a command to its end: output drained, time kept, processes counted, everything killed when it must end.

use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use convoke_port::tool::{ToolError, ToolOutput};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::unix::pipe::Receiver;

use super::family::{Size, Watch};
use super::output::Output;
use super::sandbox::{Ground, Sandbox};
use crate::tool::child::{self, Leader};
use crate::tool::file::ground::{INPUT, OWN};
use crate::tool::job::Job;
use crate::tool::limits::ShellLimits;

/// Time to read what is left in the pipe after the end.
const DRAIN: Duration = Duration::from_millis(500);

/// How a command came to its end.
pub(crate) enum End {
    Exit(ExitStatus),
    Late,
    Cancelled,
    TooMany(Size),
    Broken(std::io::Error),
}

/// Runs `command` for at most `time`.
pub(crate) async fn run(job: &Job, sandbox: &Sandbox, command: &str, time: Duration) -> Result<ToolOutput, ToolError> {
    prepare(job)?;
    let ground = Ground::of(command, &job.workdir, job.input.as_deref());
    let mut process =
        sandbox.command(&ground, &job.limits.shell, job.limits.shell.time_max).map_err(ToolError::Refused)?;
    let failed = |error: std::io::Error| ToolError::Failed(format!("shell: the sandbox does not start: {error}"));
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    process.stdin(Stdio::null()).stdout(writer.try_clone().map_err(failed)?).stderr(writer);
    let started = Instant::now();
    let mut pipe = Receiver::from_owned_fd(reader.into()).map_err(failed)?;
    let mut leader = child::start(process).await.map_err(failed)?;
    let mut output = Output::new(job.limits.output_bytes.saturating_sub(1_000));
    let end = drive(job, &mut leader, drain(&mut pipe, &mut output), started + time).await;
    tell(job, end, &output.text(), started.elapsed(), time)
}

/// Makes the folder for temporary files, and the link by which commands find the input where the file tools show it.
pub(crate) fn prepare(job: &Job) -> Result<(), ToolError> {
    let failed = |error: std::io::Error| ToolError::Failed(format!("shell: the attempt's folder: {error}"));
    // The folder is the command's; a link in place of these names must not lead us outside.
    let own = job.workdir.join(OWN);
    for folder in [own.clone(), own.join("tmp")] {
        match std::fs::symlink_metadata(&folder) {
            Ok(data) if data.is_dir() => {}
            Ok(_) => {
                return Err(ToolError::Failed(format!("shell: `{OWN}` in the attempt's folder was tampered with")));
            }
            Err(_) => std::fs::create_dir(&folder).map_err(failed)?,
        }
    }
    let link = job.workdir.join(INPUT);
    match &job.input {
        Some(input) if std::fs::symlink_metadata(&link).is_err() => {
            std::os::unix::fs::symlink(input, link).map_err(failed)
        }
        _ => Ok(()),
    }
}

/// Waits for the end of a process, or brings it about; `streams` is what moves its input and output meanwhile. Nothing of
/// the process is left.
pub(crate) async fn drive(job: &Job, leader: &mut Leader, streams: impl Future<Output = ()>, until: Instant) -> End {
    let mut streams = std::pin::pin!(streams);
    let (end, moved) = watch(job, leader, streams.as_mut(), until).await;
    leader.kill();
    if !moved {
        let _ = tokio::time::timeout(DRAIN, streams).await;
    }
    let _ = tokio::time::timeout(DRAIN, leader.wait()).await;
    leader.sweep();
    end
}

/// The end of a process, and whether its streams had come to theirs.
async fn watch(
    job: &Job,
    leader: &mut Leader,
    mut streams: Pin<&mut impl Future<Output = ()>>,
    until: Instant,
) -> (End, bool) {
    let until = tokio::time::Instant::from_std(until.min(job.end));
    let bounds = Size { processes: job.limits.shell.processes, memory: job.limits.shell.memory_bytes };
    let (_watch, mut too_many) = match leader.pid().map(|pid| Watch::over(pid, bounds)) {
        Some(Ok(watch)) => watch,
        Some(Err(error)) => return (End::Broken(error), false),
        None => return (End::Broken(std::io::Error::other("it has no process id")), false),
    };
    let mut moved = false;
    loop {
        let end = tokio::select! {
            biased;
            () = job.cancel.cancelled() => End::Cancelled,
            () = tokio::time::sleep_until(until) => End::Late,
            Ok(size) = &mut too_many => End::TooMany(size),
            status = leader.wait() => match too_many.try_recv() {
                Ok(size) => End::TooMany(size),
                Err(_) => status.map_or_else(End::Broken, End::Exit),
            },
            () = &mut streams, if !moved => {
                moved = true;
                continue;
            }
        };
        return (end, moved);
    }
}

/// Takes what comes out of a pipe until nothing more does.
pub(crate) async fn drain(pipe: &mut (impl AsyncRead + Unpin), output: &mut Output) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
        output.push(&buffer[..read]);
    }
}

/// What a family that outgrew its bounds is told to have done.
pub(crate) fn outgrown(size: Size, limits: &ShellLimits) -> String {
    if size.processes > limits.processes {
        return format!("killed: {} processes at once, {} are allowed", size.processes, limits.processes);
    }
    format!("killed: {} bytes of memory, {} are allowed", size.memory, limits.memory_bytes)
}

/// What the model is told.
fn tell(job: &Job, end: End, text: &str, took: Duration, time: Duration) -> Result<ToolOutput, ToolError> {
    use std::os::unix::process::ExitStatusExt;
    let limits = &job.limits.shell;
    let (head, is_error) = match end {
        End::Cancelled => return Err(ToolError::Cancelled),
        End::Late if took < time => {
            return Err(ToolError::TimedOut(format!(
                "shell: killed after {} s, when the call's time was over",
                took.as_secs()
            )));
        }
        End::Late => (format!("killed after {} s (`timeout_s`)", time.as_secs()), true),
        End::TooMany(size) => (outgrown(size, limits), true),
        End::Broken(error) => return Err(ToolError::Unknown(format!("shell: the command was lost: {error}"))),
        End::Exit(status) => match (status.code(), status.signal()) {
            (Some(code), _) => (format!("exit code {code}"), code != 0),
            (None, signal) => (format!("killed by signal {}", signal.unwrap_or(0)), true),
        },
    };
    let text = if text.is_empty() { "(no output)" } else { text };
    Ok(ToolOutput { content: format!("{head} after {:.1} s\n{text}", took.as_secs_f32()), is_error })
}
