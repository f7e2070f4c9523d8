//! Driving an attempt: model call, tool calls, and again, until an answer that fits, or a limit.
//!
//! What comes next is [`Dialogue::next`]'s to say; the driver carries it out through the doors [`crate::spend`] and
//! [`crate::act`], and keeps outcomes in `pending` until they are journaled together with what follows from them.

use std::sync::Arc;
use std::time::Duration;

use convoke_domain::attempt::{Dialogue, Exchange, Next, ToolResult};
use convoke_domain::id::TaskId;
use convoke_domain::profile::{AgentKind, Profile};
use convoke_domain::spec::RunSpec;
use convoke_domain::team::OnExhausted;
use convoke_domain::time::Timestamp;
use convoke_domain::transcript::Turn;
use convoke_port::tool::{Repeat, ToolInfo, ToolScope};
use convoke_store::{Error as StoreError, Result as Stored, step};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::claim::Assignment;
use crate::compact::{self, Fit};
use crate::engine::{Driven, Engine};
use crate::journal::{Begun, End, Entry, Finished, Journal, Progress, Verdict};
use crate::load::{self, Load, Loaded};
use crate::mail::{self, Delivered};
use crate::number::Numbers;
use crate::pulse::{Pulse, PulseKind};
use crate::spawn::Kin;
use crate::spend::Journaled;
use crate::worker::Room;
use crate::{act, person, program, prompt, rights};

/// The first and the longest wait before an entry is offered to the store again.
const STORE_WAIT: Duration = Duration::from_millis(20);
const STORE_WAIT_MOST: Duration = Duration::from_secs(1);
/// Characters of a failure that are kept.
const ERROR_CHARS: usize = 2_000;

/// Why an attempt stops before its answer.
#[derive(Debug)]
pub(crate) enum Halt {
    /// It has ended like this.
    End(End),
    /// Its token was cancelled: the run was, or its time is up.
    Interrupted,
    /// The worker stops; the attempt goes on elsewhere.
    Stopping,
    /// The task is not ours any more, or is parked: nothing more to record.
    Gone,
    /// The store failed.
    Store(crate::Error),
}

impl Halt {
    pub(crate) fn failed(code: &str, message: String, can_pass: bool) -> Self {
        let message = message.chars().take(ERROR_CHARS).collect();
        Self::End(End::Failed { code: code.to_owned(), message, can_pass, not_before: Timestamp::default() })
    }
}

impl From<convoke_store::Error> for Halt {
    fn from(error: convoke_store::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<crate::Error> for Halt {
    fn from(error: crate::Error) -> Self {
        Self::Store(error)
    }
}

/// One attempt while it is driven.
pub(crate) struct Driver {
    pub engine: Engine,
    pub at: Assignment,
    pub spec: Arc<RunSpec>,
    /// Who the agent is, with the rights that it has now.
    pub profile: Arc<Profile>,
    /// The same without what was granted to it.
    pub base: Arc<Profile>,
    /// Something was granted to it.
    pub has_grants: bool,
    /// Its family if it was spawned, and that which its task was made in.
    pub kin: Vec<Kin>,
    pub system: String,
    pub schema: Option<Value>,
    pub context: Value,
    pub offered: Vec<ToolInfo>,
    pub scope: ToolScope,
    pub pending: Vec<Finished>,
    /// Cut what is under way.
    pub cancel: CancellationToken,
    /// Begin nothing more.
    pub stop: CancellationToken,
    /// Rung when the model call under way is not wanted any more.
    pub cut: Arc<Notify>,
    /// There are messages for the agent.
    pub mail: bool,
    /// The agent has used a tool of the desk.
    pub used_desk: bool,
    /// Steps whose results come later.
    awaited: Vec<i64>,
    /// How the conversation is kept within its model's window.
    pub fit: Fit,
    pub dialogue: Dialogue,
    pub numbered: Numbers,
    after_crash: bool,
    /// The agent was told that it repeats itself, and this is not on record yet.
    repeated: Option<(String, usize)>,
    told: bool,
}

/// Drives an attempt to its end, and lets its worker claim what that made possible.
pub(crate) async fn drive(engine: Engine, at: Assignment, stop: CancellationToken, room: Room) {
    let engine = engine.within(at.ws);
    let cancel = CancellationToken::new();
    let cut = Arc::new(Notify::new());
    engine.register(at.task, Driven { run: at.run, fence: at.fence, cancel: cancel.clone(), cut: Arc::clone(&cut) });
    let mut held = Held { engine: engine.clone(), task: at.task, fence: at.fence, is_recorded: false };
    let (timeout, of) = (at.timeout, (at.run, at.agent.clone()));
    let timer = expire(cancel.clone(), timeout);
    let outcome = run(&engine, at, Signals { cancel, stop, cut }, room, &timer).await;
    drop(timer);
    held.is_recorded = outcome.is_ok();
    if let Err(error) = outcome {
        let task = held.task;
        tracing::error!(%task, %error, "an attempt could not be recorded; it goes on when the store works again");
        engine.note_unrecorded(&error);
        engine.pulse(Pulse { run: of.0, task, agent: of.1, kind: PulseKind::Unrecorded(error.to_string()) });
    }
}

/// A task while it is driven here. Whatever ends that, a panic too, the task is let go, and put back if its end was not
/// recorded.
struct Held {
    engine: Engine,
    task: TaskId,
    fence: i64,
    is_recorded: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.engine.unregister(self.task, self.fence);
        if !self.is_recorded {
            self.engine.abandon(self.task, self.fence);
        }
    }
}

/// Cancels a token when an attempt's time is up; stops when dropped.
struct Timer {
    expired: CancellationToken,
    handle: tokio::task::JoinHandle<()>,
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

fn expire(cancel: CancellationToken, after: Duration) -> Timer {
    let expired = CancellationToken::new();
    let signal = expired.clone();
    let handle = tokio::spawn(async move {
        tokio::time::sleep(after).await;
        signal.cancel();
        cancel.cancel();
    });
    Timer { expired, handle }
}

/// What reaches an attempt from outside.
struct Signals {
    cancel: CancellationToken,
    stop: CancellationToken,
    cut: Arc<Notify>,
}

async fn run(engine: &Engine, at: Assignment, signals: Signals, room: Room, timer: &Timer) -> crate::Result<()> {
    let mut driver = match Driver::begin(engine.clone(), at, signals).await {
        Ok(driver) => driver,
        Err(Halt::Store(error)) => return Err(error),
        Err(_) => return Ok(()),
    };
    if driver.profile.agent_kind == AgentKind::Human {
        return driver.finish(Halt::End(End::Person), room).await;
    }
    let halt = match driver.forward().await {
        Ok(output) => Halt::End(End::Completed { output }),
        Err(Halt::Interrupted) if timer.expired.is_cancelled() => {
            let seconds = driver.at.timeout.as_secs();
            Halt::failed("timeout", format!("the attempt did not end within {seconds} s"), true)
        }
        // Cut because the worker stops: another one need not wait for the lease to run out.
        Err(Halt::Interrupted) if driver.stop.is_cancelled() => Halt::Stopping,
        Err(halt) => halt,
    };
    driver.finish(halt, room).await
}

impl Driver {
    async fn begin(engine: Engine, at: Assignment, signals: Signals) -> Result<Self, Halt> {
        let (spec, kin) = rights::known(&engine, &at).await?;
        let base = spec.profiles.get(&at.agent).cloned();
        let base =
            base.ok_or_else(|| convoke_store::Error::broken(format!("the run has no profile `{}`", at.agent)))?;
        let base = Arc::new(base);
        let profile = if at.has_grants { Arc::new(rights::now(&engine, &at, &base).await?) } else { Arc::clone(&base) };
        let handed = (at.attempt > 1).then(|| at.agent.clone());
        let brief = prompt::Brief::of(&at, &spec, &profile);
        let load = Load { ws: engine.ws(), task: at.task, attempt: at.continued.then_some(at.attempt), handed, brief };
        // Most tasks begin with nothing to read.
        let is_needed = at.has_inputs || at.continued || at.attempt > 1 || load.brief.is_some();
        let Loaded { inputs, steps, packet, brief } =
            if is_needed { engine.store().read(load).await? } else { Loaded::default() };
        let handed_over = packet.map(|(giver, packet)| prompt::handed_over(&giver, &packet)).unwrap_or_default();
        let limit = engine.config().input_bytes;
        let opening = Turn::user(prompt::opening(&at, &inputs, limit) + &handed_over);
        let schema = at.output_schema.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let scope = rights::scope(&engine, &at, &spec, &profile);
        let Signals { cancel, stop, cut } = signals;
        let of_program = |_| program::document(&at, &profile, (&inputs, &handed_over), limit);
        let document = program::of(&profile).map(of_program);
        let mut driver = Self {
            system: prompt::system(&spec, &profile, &at),
            context: prompt::data(&inputs),
            after_crash: at.continued,
            mail: at.has_mail,
            used_desk: at.continued,
            engine,
            at,
            spec,
            has_grants: profile != base,
            base,
            profile,
            kin,
            cut,
            awaited: Vec::new(),
            schema,
            offered: Vec::new(),
            scope,
            pending: Vec::new(),
            cancel,
            stop,
            fit: Fit::default(),
            dialogue: Dialogue::new(opening),
            numbered: Numbers::default(),
            repeated: None,
            told: false,
        };
        driver.offer_tools().await;
        if let Some(document) = document {
            driver.begin_program(document, &steps).await?;
        }
        brief.into_iter().for_each(|text| driver.show_brief(text));
        match driver.replay(steps) {
            Ok(()) => Ok(driver),
            Err(halt) => {
                driver.finish(halt, Room::none()).await?;
                Err(Halt::Gone)
            }
        }
    }

    /// Shows the agent a brief in its opening, and has it written down with the first call.
    fn show_brief(&mut self, text: String) {
        self.add_brief(&text);
        let n = self.numbered.of(1, compact::BRIEF);
        self.fit.keep(n, 1, (compact::BRIEF, "opening"), text, None);
    }

    /// Adds a brief to the opening.
    pub(crate) fn add_brief(&mut self, text: &str) {
        self.dialogue.note(format!("\n\n{text}"));
    }

    /// Takes over the steps of an attempt that was begun before.
    fn replay(&mut self, mut steps: Vec<step::Record>) -> Result<(), Halt> {
        // A call may have got its number before what came in between and was read first.
        steps.sort_by_key(|step| (step.turn, load::place_in_turn(step), step.n));
        let mut unknown = Vec::new();
        for step in steps {
            self.numbered.note(step.turn, &step.call_id, step.n);
            if self.replay_fit(&step)? {
                continue;
            } else if step.kind == "model" {
                self.replay_reply(&step)?;
            } else if step.kind == mail::STEP {
                // A program has it in its call.
                let is_model = program::of(&self.profile).is_none();
                step.output.filter(|_| is_model).into_iter().for_each(|text| self.dialogue.note(text));
            } else if step.status == "waiting" {
                self.awaited.push(step.n);
            } else {
                let lost = step.status == "unknown" || (step.status == "started" && self.acts_once(&step.name));
                if lost {
                    self.pending.push(Finished { n: step.n, status: "unknown", output: None, error: None, bill: None });
                    unknown.push(format!("`{}`", step.name));
                } else if !matches!(step.status.as_str(), "started" | "retry") {
                    let content = step.output.or(step.error).unwrap_or_default();
                    let turn = u32::try_from(step.turn).unwrap_or(u32::MAX);
                    self.give_back(turn, &step.call_id, ToolResult { content, is_error: step.status != "done" });
                }
            }
        }
        if unknown.is_empty() { Ok(()) } else { Err(act::unknown_outcome(&unknown)) }
    }

    fn replay_reply(&mut self, step: &step::Record) -> Result<(), Halt> {
        let Some(output) = step.output.as_deref().filter(|_| step.status == "done") else { return Ok(()) };
        let kept: Journaled = serde_json::from_str(output).map_err(convoke_store::Error::from)?;
        self.take(Exchange { reply: kept.blocks, stop: kept.stop, results: Default::default() });
        Ok(())
    }

    /// A tool that is not there any more may have been of any kind.
    fn acts_once(&self, id: &str) -> bool {
        self.offered.iter().find(|tool| tool.id == id).is_none_or(|tool| tool.repeat == Repeat::Once)
    }

    /// Whether there is leave to begin something.
    pub(crate) fn check_signals(&self) -> Result<(), Halt> {
        if self.cancel.is_cancelled() {
            return Err(Halt::Interrupted);
        }
        if self.stop.is_cancelled() { Err(Halt::Stopping) } else { Ok(()) }
    }

    /// Goes forward until there is an answer.
    async fn forward(&mut self) -> Result<String, Halt> {
        let profile = Arc::clone(&self.profile);
        if let Some(program) = program::of(&profile) {
            return self.run_program(program).await;
        }
        loop {
            self.check_signals()?;
            match self.next() {
                Next::CallModel { turn, with_tools } => {
                    self.note_repeats();
                    if self.mail {
                        self.take_mail(turn).await?;
                    }
                    let said = self.dialogue.turns();
                    let said = self.fit(turn, said, with_tools).await?;
                    // Without an exchange, messages have come: they are read first.
                    match self.spend(turn, said, with_tools).await? {
                        Some(exchange) => self.take(exchange),
                        None => self.mail = true,
                    }
                }
                Next::RunTools(calls) => {
                    self.act(self.dialogue.answered(), calls).await?;
                }
                Next::Answer(answer) => return Ok(answer),
                Next::Stop { code, message } => return Err(Halt::failed(code, message, false)),
            }
        }
    }

    /// Takes in the messages that have come, before the `turn`-th model call.
    async fn take_mail(&mut self, turn: u32) -> Result<(), Halt> {
        let n = self.numbered.next();
        let letters = mail::Deliver { ws: self.engine.ws(), at: self.at.clone(), turn: turn.into(), n, as_json: false };
        match self.engine.store().run(letters).await? {
            Delivered::Gone => return Err(Halt::Gone),
            Delivered::Nothing => {}
            Delivered::Letters(text, _) => {
                self.numbered.note(turn.into(), &mail::call_id(n), n);
                self.dialogue.note(text);
            }
        }
        self.mail = false;
        Ok(())
    }

    /// The result of this step comes later.
    pub(crate) fn awaits(&self, n: i64) -> bool {
        self.awaited.contains(&n)
    }

    /// Takes in what became of calls in the transaction that journaled them.
    pub(crate) fn take_verdicts(&mut self, turn: u32, verdicts: Vec<Verdict>) {
        for verdict in verdicts {
            verdict.cut.iter().for_each(|task| self.engine.cut(*task));
            match verdict.result {
                Some(result) => self.give_back(turn, &verdict.call_id, result),
                None => self.awaited.push(verdict.n),
            }
        }
        self.used_desk = true;
        self.tell_others();
    }

    /// What was done at the desk may have given others something to do, or taken something from them.
    fn tell_others(&self) {
        if self.used_desk {
            self.engine.wake().notify_one();
            self.engine.look_again().notify_one();
        }
    }

    /// Lets the task wait for the calls whose results come later, unless they have come meanwhile.
    pub(crate) async fn wait_for_calls(&mut self) -> Result<(), Halt> {
        let steps = std::mem::take(&mut self.awaited);
        let results = match self.journal(Vec::new(), OnExhausted::Pause, Some(End::Wait { steps })).await? {
            Progress::Woken(results) => results,
            _ => {
                self.engine.wake().notify_one();
                return Err(Halt::Gone);
            }
        };
        self.awaited.retain(|awaited| results.iter().any(|step| step.n == *awaited && step.status == "waiting"));
        for step in results.into_iter().filter(|step| !matches!(step.status.as_str(), "retry" | "waiting")) {
            let turn = u32::try_from(step.turn).unwrap_or(u32::MAX);
            let content = step.output.or(step.error).unwrap_or_default();
            self.give_back(turn, &step.call_id, ToolResult { content, is_error: step.status != "done" });
        }
        Ok(())
    }

    /// Puts on record, once, that the agent is told to stop repeating a call.
    fn note_repeats(&mut self) {
        if !self.told {
            self.repeated = self.dialogue.told_of();
            self.told = self.repeated.is_some();
        }
    }

    pub(crate) fn next(&self) -> Next {
        let turns = if self.offered.is_empty() && self.at.output_schema.is_none() { 1 } else { self.profile.max_turns };
        self.dialogue.next(turns, &|answer| self.fits(answer))
    }

    /// Checks an answer against its schema, and a plan against the team.
    pub(crate) fn fits(&self, answer: &str) -> Result<String, String> {
        let form = (self.at.stage.as_str(), self.at.key.as_str(), self.at.output_schema.as_deref());
        person::fits(self.engine.schemas(), &self.spec, form, &self.at.run_task, answer)
    }

    /// What the agent said in its last reply, besides calls.
    pub(crate) fn said(&self) -> String {
        self.dialogue.said()
    }

    /// Takes in what a model said.
    pub(crate) fn take(&mut self, exchange: Exchange) {
        // Out of the driver for a moment, which is asked whether an answer fits.
        let mut dialogue = std::mem::replace(&mut self.dialogue, Dialogue::new(Turn::user("")));
        dialogue.push(exchange, &|answer| self.fits(answer));
        self.dialogue = dialogue;
    }

    /// Gives a tool's result to the exchange that asked for it.
    pub(crate) fn give_back(&mut self, turn: u32, call_id: &str, result: ToolResult) {
        self.dialogue.give_back(turn, call_id, result);
    }

    /// The number of the step that is the `turn`-th model call: the one it had, or a new one.
    pub(crate) fn number_of_call(&mut self, turn: u32) -> i64 {
        self.numbered.of(turn.into(), "")
    }

    /// The number of the step that is this tool call.
    pub(crate) fn number_of_tool(&mut self, turn: u32, call_id: &str) -> i64 {
        self.numbered.of(turn.into(), call_id)
    }

    /// Journals what is pending and what is about to begin. An end other than going on is a halt.
    pub(crate) async fn journal(
        &mut self,
        mut begin: Vec<Begun>,
        on_exhausted: OnExhausted,
        end: Option<End>,
    ) -> Result<Progress, Halt> {
        let is_going = end.is_none();
        if !begin.is_empty() {
            begin.splice(0..0, self.fit.take_kept());
        }
        let finish = std::mem::take(&mut self.pending);
        let repeated = self.repeated.take();
        let entry = Journal { repeated, ..self.entry(finish, begin, on_exhausted, end) };
        let progress = self.record(entry).await?.0;
        match progress {
            Progress::Ended if is_going => {
                self.tell_others();
                Err(Halt::Gone)
            }
            Progress::Going(..) | Progress::Mail | Progress::Woken(_) | Progress::Ended | Progress::Short(_) => {
                Ok(progress)
            }
            Progress::Gone | Progress::PutBack | Progress::Exhausted => Err(Halt::Gone),
        }
    }

    /// Journals outcomes while others of the same reply are still under way.
    pub(crate) async fn journal_outcomes(&self, finish: Vec<Finished>) -> Result<(), Halt> {
        let entry = self.entry(finish, Vec::new(), OnExhausted::Pause, None);
        match self.record(entry).await?.0 {
            Progress::Gone => Err(Halt::Gone),
            _ => Ok(()),
        }
    }

    /// Journals an entry. A store that cannot take it now is asked again for a while, for a reply that was paid for may be
    /// in it.
    async fn record(&self, entry: Journal) -> Stored<(Progress, Vec<Assignment>)> {
        let entry = Arc::new(entry);
        let (deadline, mut wait) = (Instant::now() + self.engine.config().store_patience, STORE_WAIT);
        loop {
            let error = match self.engine.store().run(Entry(Arc::clone(&entry))).await {
                Err(error @ (StoreError::Unavailable(_) | StoreError::LimitReached(_))) => error,
                done => return done,
            };
            if Instant::now() + wait > deadline {
                return Err(error);
            }
            self.tell(PulseKind::Notice(format!("it cannot be stored now and is tried again: {error}")));
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(STORE_WAIT_MOST);
        }
    }

    fn entry(&self, finish: Vec<Finished>, begin: Vec<Begun>, on_exhausted: OnExhausted, end: Option<End>) -> Journal {
        Journal {
            ws: self.engine.ws(),
            at: self.at.clone(),
            spec: Arc::clone(&self.spec),
            finish,
            begin,
            repeated: None,
            after_crash: self.after_crash,
            on_exhausted,
            end,
            claim: None,
        }
    }

    /// Journals the end, and takes over what it made possible.
    async fn finish(&mut self, halt: Halt, mut room: Room) -> crate::Result<()> {
        let end = match halt {
            Halt::End(end) => Some(self.timed(end)),
            Halt::Stopping => Some(End::Yield),
            Halt::Interrupted | Halt::Gone => None,
            Halt::Store(error) => return Err(error),
        };
        if end.is_none() && self.pending.is_empty() {
            return Ok(());
        }
        let finish = std::mem::take(&mut self.pending);
        let mut entry = self.entry(finish, Vec::new(), OnExhausted::Pause, end);
        room.widen(&self.engine);
        entry.claim = room.spec(&self.engine);
        // A result frees only what this very commit could claim; all else may leave work for the dispatcher.
        let claims_all = entry.claim.is_some() && matches!(entry.end, Some(End::Completed { .. }));
        let (_, claimed) = self.record(entry).await?;
        if !claims_all {
            self.engine.wake().notify_one();
        }
        self.tell_others();
        self.engine.take_over(claimed, room);
        Ok(())
    }

    /// A failure that can pass is not tried again at once.
    fn timed(&self, end: End) -> End {
        let End::Failed { code, message, can_pass: true, .. } = end else { return end };
        let retry = u32::try_from(self.at.attempt).unwrap_or(u32::MAX).saturating_sub(1);
        let wait = self.engine.config().attempt_backoff.wait(retry, fastrand::f64(), None);
        End::Failed { code, message, can_pass: true, not_before: self.engine.now().after(wait) }
    }

    pub(crate) fn tell(&self, kind: PulseKind) {
        self.engine.pulse(Pulse { run: self.at.run, task: self.at.task, agent: self.at.agent.clone(), kind });
    }
}
