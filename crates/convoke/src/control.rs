//! The control socket: while one process works on a data folder, others ask it to cancel, pause, resume, resolve and answer.
//!
//! `control.sock` in the folder, for its owner alone. One JSON line asks, one answers. Everything is bounded: length, time,
//! askers at once. Start at [`Request`]; [`serve`] answers, [`ask`] asks.

use std::path::Path;

use convoke_domain::approval::Choice;
use convoke_domain::context::Write;
use convoke_domain::id::{ApprovalId, HandoffId, MemoryId, MessageId, RunId, TaskId, ThreadId};
use convoke_domain::memory::{Note, Shelf};
use convoke_domain::money::Money;
use convoke_domain::outcome::Case;
use convoke_domain::time::Timestamp;
use convoke_domain::user::Role;
use convoke_engine::{Caps, EffectOutcome, Engine, Gold, NewMessage, Rate, Recorded, Resume, TaskAnswer, Which};
use serde::{Deserialize, Serialize};

use crate::error::{Failure, Result};
use crate::govern::Order;
use crate::outcome;

/// What one process may ask of another.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Call a run off.
    Cancel {
        /// The run.
        run: RunId,
        /// Who asks.
        user: String,
    },
    /// Hold a run.
    Pause {
        /// The run.
        run: RunId,
        /// Who asks.
        user: String,
    },
    /// Let a run go on.
    Resume {
        /// The run.
        run: RunId,
        /// New cap in dollars.
        budget: Option<Money>,
        /// New cap in tokens.
        tokens: Option<i64>,
        /// Who asks.
        user: String,
    },
    /// Say what became of a tool call.
    Resolve {
        /// The effect's key.
        effect: String,
        /// `done`, `failed` or `retry`.
        outcome: Outcome,
        /// What there is to say about it.
        note: String,
        /// Who says so.
        user: String,
    },
    /// Approve or reject a tool call.
    Decide {
        /// The approval.
        approval: ApprovalId,
        /// Yes or no.
        choice: Choice,
        /// What there is to say about it.
        note: String,
        /// Who says so.
        user: String,
    },
    /// Answer a task that was given to people.
    Answer {
        /// The task.
        task: TaskId,
        /// The result, or why it will not be done.
        text: String,
        /// It will not be done.
        is_decline: bool,
        /// Who answers.
        user: String,
    },
    /// Answer a question or a request.
    AnswerQuestion {
        /// The message that asks.
        question: MessageId,
        /// What is chosen or said.
        choice: String,
        /// Why.
        rationale: Option<String>,
        /// Who answers.
        user: String,
    },
    /// Replace a decision that stands.
    OverrideDecision {
        /// The question, or the message that decided it.
        decision: MessageId,
        /// What shall hold instead.
        choice: String,
        /// Why.
        reason: String,
        /// Who says so.
        user: String,
    },
    /// Close a run that was handed to people.
    Close {
        /// The run.
        run: RunId,
        /// The result, or why there is none.
        text: String,
        /// There is none.
        is_decline: bool,
        /// Who closes it.
        user: String,
    },
    /// Add a user, or give one another role.
    Appoint {
        /// The user.
        name: String,
        /// What they may do.
        role: Role,
        /// There is none of that name yet.
        is_new: bool,
        /// Who says so.
        user: String,
    },
    /// Take locks away from whoever holds them.
    ReleaseLocks {
        /// Which.
        which: Which,
        /// Who takes them.
        user: String,
    },
    /// Decide about agents.
    Govern {
        /// What.
        order: Order,
        /// Who says so.
        user: String,
    },
    /// Accept a handoff for the agent that was asked, or decline it.
    Handoff {
        /// The handoff.
        id: HandoffId,
        /// Why it is declined; accepted if absent.
        reason: Option<String>,
        /// Who says so.
        user: String,
    },
    /// Say something.
    Say {
        /// The run.
        run: Option<RunId>,
        /// What is said, and to whom.
        message: Box<NewMessage>,
        /// Who says it.
        user: String,
    },
    /// Close a thread, or let it go on.
    Thread {
        /// The thread.
        id: ThreadId,
        /// It goes on.
        open: bool,
        /// Who asks.
        user: String,
    },
    /// A person has read a thread.
    Read {
        /// The thread.
        id: ThreadId,
        /// Who has read it.
        user: String,
    },
    /// A person reads private threads on behalf of the audit.
    Audit {
        /// What they look at.
        what: String,
        /// Who reads.
        user: String,
    },
    /// Put away threads in which nothing was said for long.
    Archive {
        /// Since when.
        before: Timestamp,
        /// How many at most.
        limit: i64,
        /// Who asks.
        user: String,
    },
    /// Write a variable of a run's shared context.
    WriteContext {
        /// The run.
        run: RunId,
        /// What to write.
        wish: Write,
        /// Who writes.
        user: String,
    },
    /// Add an entry to memory.
    AddMemory {
        /// Whose memory.
        shelf: Shelf,
        /// What to remember.
        note: Note,
        /// Who writes.
        user: String,
    },
    /// Say how well a run, or work in it, was.
    Rate {
        /// What of it, and how well.
        rate: Rate,
        /// Who says so.
        user: String,
    },
    /// Say what the right answer of a vote was.
    RecordAnswer {
        /// Which vote, and what was right.
        gold: Gold,
        /// Who says so.
        user: String,
    },
    /// Say what became of agents' work.
    RecordOutcomes {
        /// What.
        cases: Vec<Case>,
        /// Who says so.
        user: String,
    },
    /// Have an entry of memory forgotten.
    ForgetMemory {
        /// The entry.
        id: MemoryId,
        /// Who asks.
        user: String,
    },
}

/// What came of a request that was carried out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// The run that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// That run goes on.
    #[serde(default)]
    pub goes_on: bool,
    /// Where the thing stands now.
    #[serde(default)]
    pub state: String,
    /// How many must still approve.
    #[serde(default)]
    pub missing: u32,
    /// What came of outcomes that were told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Recorded>,
}

impl Done {
    fn recorded(recorded: Recorded) -> Self {
        Self { recorded: Some(recorded), ..Self::default() }
    }

    fn of(run: RunId, state: &str) -> Self {
        Self { run: Some(run), goes_on: true, state: state.to_owned(), ..Self::default() }
    }
}

/// True if `text` is a whole id, of whatever a person may answer.
pub fn is_whole(text: &str) -> bool {
    let is_effect = text.splitn(4, ':').count() == 4;
    let is_asked = text.parse::<ApprovalId>().is_ok() || text.parse::<MessageId>().is_ok();
    is_effect || is_asked || text.parse::<TaskId>().is_ok() || text.parse::<RunId>().is_ok()
}

/// What became of a tool call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It acted
    Done,
    /// It did not act, and shall not
    Failed,
    /// It did not act: make the call again
    Retry,
}

/// The answer: what came of it, or what is wrong.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    #[serde(default)]
    done: Done,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Wrong>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Wrong {
    code: String,
    message: String,
    hint: Option<String>,
}

impl Request {
    /// Carries it out here.
    pub async fn carry_out(self, engine: &Engine) -> Result<Done> {
        match self {
            Self::Cancel { run, user } => engine.cancel(run, &user).await?,
            Self::Pause { run, user } => engine.pause(run, &user).await?,
            Self::Resume { run, budget, tokens, user } => {
                engine.resume(run, Resume { caps: Caps { cost: budget, tokens }, user }).await?;
                return Ok(Done::of(run, "running"));
            }
            Self::Resolve { effect, outcome, note, user } => {
                let outcome = match outcome {
                    Outcome::Done => EffectOutcome::Done(note),
                    Outcome::Failed => EffectOutcome::Failed(note),
                    Outcome::Retry => EffectOutcome::Retry,
                };
                engine.resolve_effect(&effect, outcome, &user).await?;
            }
            Self::Decide { approval, choice, note, user } => {
                let answered = engine.answer_approval(approval, choice, &format!("user:{user}"), &note).await?;
                let goes_on = answered.missing == 0;
                let state = answered.state.as_str().to_owned();
                return Ok(Done { run: Some(answered.run), goes_on, state, missing: answered.missing, recorded: None });
            }
            Self::Answer { task, text, is_decline, user } => {
                let answer = if is_decline { TaskAnswer::Declined(text) } else { TaskAnswer::Done(text) };
                let run = engine.answer_task(task, answer, &format!("user:{user}")).await?;
                return Ok(Done::of(run, if is_decline { "failed" } else { "completed" }));
            }
            Self::AnswerQuestion { question, choice, rationale, user } => {
                let said = engine.answer_question(&user, question, &choice, rationale.as_deref()).await?;
                let goes_on = goes_on(engine, said.run).await?;
                return Ok(Done { run: said.run, goes_on, state: "answered".to_owned(), ..Done::default() });
            }
            Self::OverrideDecision { decision, choice, reason, user } => {
                let replaced = engine.override_decision(&user, decision, &choice, &reason).await?;
                let (run, state) = (replaced.run, "overridden".to_owned());
                return Ok(Done { run, state, ..Done::default() });
            }
            Self::Close { run, text, is_decline, user } => {
                let answer = if is_decline { TaskAnswer::Declined(text) } else { TaskAnswer::Done(text) };
                engine.close_run(run, answer, &format!("user:{user}")).await?;
                return Ok(Done { goes_on: false, ..Done::of(run, if is_decline { "failed" } else { "completed" }) });
            }
            Self::Appoint { name, role, is_new, user } => {
                engine.appoint(&name, role, is_new, &format!("user:{user}")).await?;
            }
            Self::ReleaseLocks { which, user } => {
                engine.force_locks(which, &user).await?;
            }
            Self::Govern { order, user } => order.carry_out(engine, &user).await?,
            Self::Handoff { id, reason: None, user } => engine.accept_handoff(id, &user).await?,
            Self::Handoff { id, reason: Some(reason), user } => engine.decline_handoff(id, &reason, &user).await?,
            Self::Say { run, message, user } => drop(engine.say(&user, run, *message).await?),
            Self::Thread { id, open, user } => engine.set_thread_open(id, &user, open).await?,
            Self::Read { id, user } => engine.mark_read(id, &user).await?,
            Self::Audit { what, user } => drop(engine.audit_threads(&user, &what).await?),
            Self::Archive { before, limit, user } => drop(engine.archive_threads(before, &user, limit).await?),
            Self::WriteContext { run, wish, user } => drop(engine.write_context(run, wish, &user).await?),
            Self::AddMemory { shelf, note, user } => drop(engine.add_memory(shelf, note, &user).await?),
            Self::Rate { rate, user } => drop(engine.rate(rate, &user).await?),
            Self::RecordAnswer { gold, user } => {
                return Ok(Done::recorded(engine.record_answer(gold, &user).await?));
            }
            Self::RecordOutcomes { cases, user } => {
                return Ok(Done::recorded(engine.record_outcomes(cases, &user).await?));
            }
            Self::ForgetMemory { id, user } => engine.forget_memory(id, &user).await?,
        }
        Ok(Done::default())
    }
}

/// True while a run has not ended.
async fn goes_on(engine: &Engine, run: Option<RunId>) -> Result<bool> {
    let Some(run) = run else { return Ok(false) };
    Ok(!outcome::has_ended(&engine.run_summary(run).await?))
}

impl Answer {
    #[cfg(unix)]
    fn of(done: Result<Done>) -> Self {
        let wrong = |failure: Failure| Wrong { code: failure.code, message: failure.message, hint: failure.hint };
        match done {
            Ok(done) => Self { done, error: None },
            Err(failure) => Self { done: Done::default(), error: Some(wrong(failure)) },
        }
    }

    fn read(text: &str) -> Result<Done> {
        let answer: Self = serde_json::from_str(text).map_err(|cause| {
            Failure::new("bad_answer", "the process that holds the data folder did not answer").cause(cause)
        })?;
        match answer.error {
            None => Ok(answer.done),
            Some(Wrong { code, message, hint }) => Err(Failure { hint, ..Failure::new(&code, message) }),
        }
    }
}

#[cfg(unix)]
pub use unix::{ask, is_served, serve};

#[cfg(unix)]
mod unix {
    use std::os::fd::AsFd;
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{UnixListener, UnixSocket, UnixStream};
    use tokio::sync::{Semaphore, mpsc};
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::{Answer, Done, Engine, Failure, Path, Request, Result, RunId};

    const NAME: &str = "control.sock";
    /// The longest line either side may send.
    const MAX_LINE: u64 = 1024 * 1024;
    /// Time for one side to send its line, and for the request to be carried out.
    const PATIENCE: Duration = Duration::from_secs(10);
    /// Askers at once.
    const ASKERS: usize = 16;
    /// Bytes that the path of a socket may have on every system.
    const MAX_PATH: usize = 100;

    /// A socket that is served as long as this lives.
    pub struct Served {
        path: PathBuf,
        serving: JoinHandle<()>,
    }

    impl Drop for Served {
        fn drop(&mut self) {
            self.serving.abort();
            // The next holder of the folder removes what is left.
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// Serves the socket of a data folder whose lock this process holds. Runs that shall go on are told to `going`.
    pub fn serve(dir: &Path, engine: &Engine, going: mpsc::Sender<RunId>) -> Result<Served> {
        let path = dir.join(NAME);
        let listener =
            bind(dir, &path).map_err(|cause| Failure::io(format!("cannot open {}", path.display()), &cause))?;
        let serving = tokio::spawn(accept(listener, engine.clone(), going));
        Ok(Served { path, serving })
    }

    fn bind(dir: &Path, path: &Path) -> std::io::Result<UnixListener> {
        match std::fs::remove_file(path) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
        let socket = UnixSocket::new_stream()?;
        // Before it has a name, so that at no time others may connect. Where the system does not know this, the folder's
        // own rights stand in until the name has its own.
        let _ = rustix::fs::fchmod(socket.as_fd(), rustix::fs::Mode::from_raw_mode(0o600));
        let reach = Reach::of(dir, path)?;
        socket.bind(&reach.path)?;
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        socket.listen(u32::try_from(ASKERS).unwrap_or(u32::MAX))
    }

    /// A path that is short enough for a socket: through an open folder where the real one is too long.
    struct Reach {
        path: PathBuf,
        _dir: Option<std::fs::File>,
    }

    impl Reach {
        fn of(dir: &Path, path: &Path) -> std::io::Result<Self> {
            if path.as_os_str().len() <= MAX_PATH || !cfg!(target_os = "linux") {
                return Ok(Self { path: path.to_owned(), _dir: None });
            }
            let dir = std::fs::File::open(dir)?;
            let number = std::os::fd::AsRawFd::as_raw_fd(&dir);
            Ok(Self { path: format!("/proc/self/fd/{number}/{NAME}").into(), _dir: Some(dir) })
        }
    }

    async fn accept(listener: UnixListener, engine: Engine, going: mpsc::Sender<RunId>) {
        let room = Arc::new(Semaphore::new(ASKERS));
        loop {
            let Ok(permit) = room.clone().acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else { continue };
            let (engine, going) = (engine.clone(), going.clone());
            tokio::spawn(async move {
                // An asker that goes away, or takes too long, gets no answer.
                let _ = timeout(PATIENCE, answer(stream, &engine, &going)).await;
                drop(permit);
            });
        }
    }

    async fn answer(mut stream: UnixStream, engine: &Engine, going: &mpsc::Sender<RunId>) -> std::io::Result<()> {
        let line = read_line(&mut stream).await?;
        let done = match serde_json::from_str::<Request>(&line) {
            Err(cause) => Err(Failure::new("bad_request", "this is no request that is known here").cause(cause)),
            Ok(request) => {
                let done = request.carry_out(engine).await;
                if let Ok(Done { run: Some(run), goes_on: true, .. }) = &done {
                    // A watch that has ended needs no telling.
                    let _ = going.try_send(*run);
                }
                done
            }
        };
        let mut text = serde_json::to_string(&Answer::of(done))?;
        text.push('\n');
        stream.write_all(text.as_bytes()).await
    }

    async fn read_line(stream: &mut UnixStream) -> std::io::Result<String> {
        let mut line = String::new();
        BufReader::new(stream.take(MAX_LINE)).read_line(&mut line).await?;
        Ok(line)
    }

    /// True if a process works on the folder.
    pub async fn is_served(dir: &Path) -> bool {
        match Reach::of(dir, &dir.join(NAME)) {
            Ok(reach) => UnixStream::connect(&reach.path).await.is_ok(),
            Err(_) => false,
        }
    }

    /// Asks the process that holds the folder; `None` if nobody serves the socket.
    pub async fn ask(dir: &Path, request: &Request) -> Option<Result<Done>> {
        let reach = Reach::of(dir, &dir.join(NAME)).ok()?;
        let mut stream = UnixStream::connect(&reach.path).await.ok()?;
        let text = serde_json::to_string(request).ok()? + "\n";
        let asked = timeout(PATIENCE, async {
            stream.write_all(text.as_bytes()).await?;
            read_line(&mut stream).await
        });
        Some(match asked.await {
            Ok(Ok(line)) => Answer::read(&line),
            Ok(Err(cause)) => Err(Failure::io("the process that holds the data folder did not answer", &cause)),
            Err(_) => Err(Failure::new("timeout", "the process that holds the data folder did not answer in time")),
        })
    }
}

#[cfg(not(unix))]
pub use elsewhere::{ask, is_served, serve};

#[cfg(not(unix))]
mod elsewhere {
    use tokio::sync::mpsc;

    use super::{Done, Engine, Path, Request, Result, RunId};

    /// Nothing: this system has no such sockets.
    pub struct Served;

    /// Serves nothing.
    pub fn serve(_: &Path, _: &Engine, _: mpsc::Sender<RunId>) -> Result<Served> {
        Ok(Served)
    }

    /// Nobody can tell.
    pub async fn is_served(_: &Path) -> bool {
        false
    }

    /// Nobody answers.
    pub async fn ask(_: &Path, _: &Request) -> Option<Result<Done>> {
        None
    }
}
