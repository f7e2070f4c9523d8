//! The program of an agent of kind `command`: its task goes in as JSON, what it found comes back.
//!
//! Rule: the same sandbox as `shell`, or it is refused; of our environment it gets the variables its profile names and no
//! other. [`find`] looks where it is, [`artifact`] measures what it leaves, [`convoke_domain::program::read`] reads its answer.

mod artifact;
mod find;

use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use convoke_domain::program::{self as domain, Prints, Program, fault};
use convoke_port::tool::{ToolError, ToolOutput, ToolScope};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::child::{self, Pipes};
use super::job::{Job, run_blocking, said};
use super::shell::output::Output;
use super::shell::run::{End, drain, drive, outgrown, prepare};
use super::shell::sandbox::{Ground, Sandbox};

/// The exit code by which programs say that trying again later may help (`EX_TEMPFAIL` of sysexits).
const TRY_LATER: i32 = 75;

/// What a program printed.
struct Printed {
    out: Output,
    err: Output,
}

/// Runs the program of `scope`, if it may be run here.
pub(crate) async fn run(
    job: &Job,
    (program, scope): (&Program, &ToolScope),
    sandbox: Result<&Sandbox, &String>,
) -> Result<ToolOutput, ToolError> {
    let refused = |why: &str| ToolError::Refused(fault(domain::REFUSED, why));
    if !scope.shell || (program.network && !scope.private_network) {
        return Err(refused("the agent has no authority to run its program"));
    }
    let sandbox = sandbox.map_err(|why| refused(why.strip_prefix("shell: ").unwrap_or(why)))?;
    prepare(job).map_err(|error| refused(&error.to_string()))?;
    let ground = ground(job, program).map_err(|why| refused(&why))?;
    let time = Duration::from_secs(program.timeout_s);
    let process = sandbox.command(&ground, &job.limits.shell, time).map_err(|why| refused(&why))?;
    let limits = &job.limits.program;
    let mut printed = Printed { out: Output::new(limits.output_bytes), err: Output::end_of(limits.error_bytes) };
    let started = Instant::now();
    let end = watch(job, process, &mut printed, started + time).await?;
    let content = match judge(job, end, &printed, (started.elapsed(), time))? {
        Some(fault) => fault,
        None => match read(job, program.output, &printed.out) {
            Ok(output) => return record(job, output).await,
            Err(why) => fault(domain::OUTPUT, &why),
        },
    };
    Ok(ToolOutput { content, is_error: true })
}

fn ground<'a>(job: &'a Job, program: &Program) -> Result<Ground<'a>, String> {
    let (path, extra) = find::find(job, &program.program)?;
    let variable = |name: &String| std::env::var_os(name).map(|value| (name.clone(), value));
    Ok(Ground {
        line: std::iter::once(path.into_os_string()).chain(program.args.iter().map(Into::into)).collect(),
        workdir: job.workdir.clone(),
        input: job.input.as_deref(),
        program: extra,
        variables: program.env.iter().filter(|name| find::may_pass(name)).filter_map(variable).collect(),
        network: program.network,
    })
}

/// Starts the process, gives it its document, takes what it prints, and sees to its end.
async fn watch(
    job: &Job,
    mut process: tokio::process::Command,
    printed: &mut Printed,
    until: Instant,
) -> Result<End, ToolError> {
    let failed = |why: String| ToolError::Failed(fault(domain::REFUSED, &format!("the sandbox does not start: {why}")));
    process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut leader = child::start(process).await.map_err(|error| failed(error.to_string()))?;
    let Pipes { mut stdin, mut stdout, mut stderr } = leader.pipes().ok_or_else(|| failed("it has no pipes".into()))?;
    let document = document(job).to_string();
    let give = async move {
        // A program need not read it.
        let _ = stdin.write_all(document.as_bytes()).await;
    };
    let Printed { out, err } = printed;
    let streams = async {
        tokio::join!(give, drain(&mut stdout, out), drain(&mut stderr, err));
    };
    Ok(drive(job, &mut leader, streams, until).await)
}

/// The document with what is known here alone.
fn document(job: &Job) -> Value {
    let mut document = job.arguments["document"].clone();
    if let Some(fields) = document.as_object_mut() {
        fields.insert("work_folder".into(), job.workdir.display().to_string().into());
        fields.insert("input_folder".into(), job.input.as_ref().map(|input| input.display().to_string()).into());
        fields.insert("idempotency_key".into(), job.key.clone().into());
    }
    document
}

/// What is wrong with the end of a program, if anything is; no outcome at all where it may have been cut short from outside.
fn judge(
    job: &Job,
    end: End,
    printed: &Printed,
    (took, time): (Duration, Duration),
) -> Result<Option<String>, ToolError> {
    let (code, what) = match end {
        End::Cancelled => return Err(ToolError::Cancelled),
        End::Late if took < time => {
            let what = format!("killed after {} s, when the call's time was over", took.as_secs());
            return Err(ToolError::TimedOut(fault(domain::LATE, &what)));
        }
        End::Broken(error) => {
            return Err(ToolError::Unknown(fault(domain::FAILED, &format!("the program was lost: {error}"))));
        }
        End::Late => (domain::LATE, "killed by `command.timeout_s`".to_owned()),
        End::TooMany(size) => (domain::KILLED, outgrown(size, &job.limits.shell)),
        End::Exit(status) if status.success() => return Ok(None),
        End::Exit(status) => ended(status),
    };
    Ok(Some(fault(code, &format!("{what} after {:.1} s{}", took.as_secs_f32(), last_words(printed)))))
}

fn ended(status: ExitStatus) -> (&'static str, String) {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(TRY_LATER), _) => (domain::BUSY, format!("exit code {TRY_LATER} (try later)")),
        (Some(code), _) => (domain::EXIT, format!("exit code {code}")),
        (None, signal) => (domain::KILLED, format!("killed by signal {}", signal.unwrap_or(0))),
    }
}

/// What stands at the end of standard error.
fn last_words(printed: &Printed) -> String {
    let text = printed.err.text();
    let text = text.trim();
    if text.is_empty() { String::new() } else { format!("; standard error ends: {text}") }
}

/// Reads what was printed. A document must be whole; of a text that is too long the middle is left out and named.
fn read(job: &Job, prints: Prints, out: &Output) -> Result<domain::Output, String> {
    let (text, total, most) = (out.text(), out.total(), job.limits.program.output_bytes);
    if prints == Prints::Json && total > most as u64 {
        let began = domain::beginning(&text);
        return Err(format!("{total} bytes were printed and {most} are allowed; it begins: {began}"));
    }
    domain::read(&text, prints)
}

/// Measures the artifacts, and gives the output as it is journaled.
async fn record(job: &Job, mut output: domain::Output) -> Result<ToolOutput, ToolError> {
    if output.artifacts.is_empty() {
        return Ok(said(text_of(&output)));
    }
    run_blocking(job.again(), move |job| match artifact::measure(job, &mut output.artifacts) {
        Ok(()) => Ok(said(text_of(&output))),
        Err(why) => Ok(ToolOutput { content: fault(domain::OUTPUT, &why), is_error: true }),
    })
    .await
}

fn text_of(output: &domain::Output) -> String {
    serde_json::to_string(output).expect("an output is plain data")
}
