//! Watching runs until they rest: events and pulses are folded into boards, and shown as the terminal allows.
//!
//! Rule: subscribe first, then read what has happened, so that nothing is missed; what was seen is skipped by its number.
//! Start at [`Watch::new`], then [`Watch::until_rest`].

use std::future::Future;
use std::io::IsTerminal;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use convoke_domain::approval::Choice;
use convoke_domain::event::Event;
use convoke_domain::id::{MessageId, RunId, WorkspaceId};
use convoke_domain::money::Money;
use convoke_domain::record::{InboxEntry, InboxKind};
use convoke_domain::time::Timestamp;
use convoke_engine::{Engine, Pulse, TaskAnswer, Worker};
use convoke_port::clock::{Clock, SystemClock};
use convoke_store::agent::HeldUp;
use convoke_store::{Feed, Lagged};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::board::Board;
use super::frame::{self, Shot};
use super::keys::Keys;
use super::lines::Teller;
use super::prompt::{Prompt, Said};
use super::screen::{self, Screen, Stream};
use crate::error::{Exit, Failure, Result};
use crate::signals::Signals;
use crate::{log, outcome};

/// Time between two frames, and between two looks whether anything still goes on.
const TICK: Duration = Duration::from_millis(100);
/// Looks in a row that must find nothing going on, for an attempt may be between two workers.
const CALM: u32 = 3;
/// Ticks between two looks for tasks that wait for agents which get none.
const HELD: u32 = 10;
/// Events read at once.
const PAGE: u32 = 1_000;
/// Ticks between two looks for what other processes on the same database have committed.
const LOOK: u32 = 3;

/// How progress is shown.
pub enum View {
    /// Drawn again and again.
    Live(Screen),
    /// Line by line.
    Lines(Stream, Teller),
    /// Not at all.
    Quiet,
}

impl View {
    /// True if a person sits at the terminal who sees a live view and can answer in it.
    pub fn asks(quiet: bool, as_json: bool) -> bool {
        let stream = if as_json { Stream::Err } else { Stream::Out };
        !quiet && stream.is_terminal() && std::io::stdin().is_terminal()
    }

    /// The view that suits the terminal and what was asked for.
    pub fn suited(quiet: bool, as_json: bool, several: bool) -> Self {
        let stream = if as_json { Stream::Err } else { Stream::Out };
        match (quiet, stream.is_terminal()) {
            (true, _) => Self::Quiet,
            (false, true) => {
                log::keep();
                Self::Live(Screen::new(stream))
            }
            (false, false) => Self::Lines(stream, Teller { several }),
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if matches!(self, Self::Live(_)) {
            log::release().iter().for_each(|line| Stream::Err.write(&format!("{line}\n")));
        }
    }
}

/// Runs that are watched.
pub struct Watch {
    engine: Engine,
    boards: Vec<Board>,
    view: View,
    feed: Feed,
    /// The number up to which every event was seen: others come from the store, for the feed tells what this process commits alone.
    cursor: Option<i64>,
    pulses: Receiver<Pulse>,
    added: mpsc::Receiver<RunId>,
    frame: usize,
    footer: Option<String>,
    /// The tasks of which was said that they wait for agents.
    held_up: Vec<String>,
    /// Why what happens cannot be stored.
    unrecorded: watch::Receiver<Option<String>>,
    /// Who may answer in place, where somebody sits at the terminal.
    user: Option<String>,
    prompt: Prompt,
    keys: Option<Keys>,
    /// Something may wait for a person that was not looked at.
    look: bool,
}

type Stopping = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Watch {
    /// Watches from now on; `added` gives further runs that this process has been asked to carry on.
    pub fn new(engine: &Engine, view: View, added: mpsc::Receiver<RunId>) -> Self {
        Self {
            engine: engine.clone(),
            boards: Vec::new(),
            view,
            feed: engine.store().subscribe(),
            cursor: None,
            pulses: engine.pulses(),
            added,
            frame: 0,
            footer: None,
            held_up: Vec::new(),
            unrecorded: engine.unrecorded(),
            user: None,
            prompt: Prompt::default(),
            keys: None,
            look: false,
        }
    }

    /// Lets this user answer in place what the runs ask of people. Nothing changes where no live view is drawn.
    pub fn answer_as(&mut self, user: &str) {
        if matches!(self.view, View::Live(_)) {
            (self.user, self.look) = (Some(user.to_owned()), true);
        }
    }

    /// Adds a run, with what has happened in it; `tell` says whether that is news.
    pub async fn follow(&mut self, run: RunId, cap: Option<Money>, tell: bool) -> Result<()> {
        if self.boards.iter().any(|board| board.run == run) {
            return Ok(());
        }
        if self.cursor.is_none() {
            self.cursor = Some(self.engine.store().events_head().await?);
        }
        self.boards.push(Board::new(run, cap));
        self.catch_up(self.boards.len() - 1, tell).await
    }

    /// The runs, in the order in which they were added.
    pub fn runs(&self) -> Vec<RunId> {
        self.boards.iter().map(|board| board.run).collect()
    }

    /// Watches until every run rests, or a signal asks to stop; then the worker has stopped too.
    pub async fn until_rest(&mut self, worker: Worker, signals: &mut Signals) -> Result<Option<Exit>> {
        let (mut worker, mut stopping): (Option<Worker>, Option<Stopping>) = (Some(worker), None);
        let (mut exit, mut calm, mut ticks) = (None, 0, 0_u32);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                first = signals.first(), if exit.is_none() => {
                    exit = Some(first);
                    self.tell("stopping: steps under way end first. Ctrl-C again ends at once");
                    stopping = stopping.or_else(|| stop(&mut worker));
                }
                () = done(&mut stopping), if stopping.is_some() => break,
                pulse = self.pulses.recv() => self.take_pulse(pulse),
                event = self.feed.next() => self.take_event(event).await?,
                Some(run) = self.added.recv() => self.follow(run, None, false).await?,
                key = Keys::next(&mut self.keys) => self.take_key(key).await,
                _ = tick.tick() => {
                    ticks = ticks.wrapping_add(1);
                    if ticks.is_multiple_of(HELD) {
                        self.look_for_held_up().await?;
                    }
                    if ticks.is_multiple_of(LOOK) {
                        self.look_elsewhere().await?;
                    }
                    self.look_for_questions().await?;
                    calm = if self.calm() { calm + 1 } else { 0 };
                    self.draw();
                }
            }
            if stopping.is_none() && (self.unrecorded.borrow().is_some() || self.all_ended() || calm >= CALM) {
                if self.unrecorded.borrow().is_none() && self.engine.driven_beside(&self.runs()) > 0 {
                    self.tell("steps of other runs end first; those runs go on with the next start");
                }
                stopping = stop(&mut worker);
            }
        }
        if let Some(why) = self.unrecorded.borrow().as_deref() {
            return Err(storage_failed(why));
        }
        for at in 0..self.boards.len() {
            self.catch_up(at, true).await?;
        }
        (self.footer, self.prompt, self.keys) = (None, Prompt::default(), None);
        self.draw();
        Ok(exit.filter(|_| !self.boards.iter().all(Board::rests)))
    }

    fn all_ended(&self) -> bool {
        self.boards.iter().all(|board| board.state.has_ended())
    }

    /// Nothing that is watched goes on.
    fn calm(&self) -> bool {
        self.boards.iter().all(Board::rests) && self.engine.driven() == 0 && !self.prompt.is_asking()
    }

    /// Says once of each task that it waits for an agent which gets none: a run would seem to hang.
    async fn look_for_held_up(&mut self) -> Result<()> {
        let going: Vec<_> = self.boards.iter().filter(|board| !board.rests()).map(|board| board.run).collect();
        let found: Vec<_> = self.engine.held_up(&going).await?.iter().map(waits_for_agent).collect();
        let new: Vec<_> = found.iter().filter(|line| !self.held_up.contains(line)).cloned().collect();
        new.iter().for_each(|line| self.tell(line));
        if found.is_empty() && !self.held_up.is_empty() {
            self.footer = None;
        }
        self.held_up = found;
        Ok(())
    }

    /// Asks what waits for this user, if something may have changed. The terminal is read from the first question on.
    async fn look_for_questions(&mut self) -> Result<()> {
        let Some(user) = self.user.clone().filter(|_| std::mem::take(&mut self.look)) else { return Ok(()) };
        let runs = self.runs();
        let mut waiting = self.engine.inbox(&user).await?;
        waiting.retain(|entry| can_be_asked(entry) && entry.run.is_some_and(|run| runs.contains(&run)));
        if !waiting.is_empty() && self.keys.is_none() {
            self.keys = Keys::open();
        }
        if self.keys.is_some() {
            self.prompt.ask(waiting);
        }
        Ok(())
    }

    async fn take_key(&mut self, key: u8) {
        let Some(said) = self.prompt.key(key) else { return };
        let who = format!("user:{}", self.user.as_deref().unwrap_or_default());
        let done = match said {
            Said::Decided(id, choice, note) => self.decide(&id, choice, (&who, &note)).await,
            Said::Answered(id, answer) => self.answer(&id, answer, &who).await,
        };
        let note = done.unwrap_or_else(|failure| failure.message);
        self.prompt.tell(note);
        self.look = true;
    }

    async fn decide(&self, id: &str, choice: Choice, (who, note): (&str, &str)) -> Result<String> {
        let id = id.parse().map_err(|cause| Failure::new("bad_id", cause))?;
        let answered = self.engine.answer_approval(id, choice, who, note).await?;
        let tool = crate::text::line(&answered.tool);
        Ok(match answered.missing {
            0 => format!("{tool} is {}", answered.state.as_str()),
            more => format!("noted for {tool}; {more} more must approve"),
        })
    }

    async fn answer(&self, id: &str, answer: Result<String, String>, who: &str) -> Result<String> {
        if let (Ok(question), Ok(choice)) = (id.parse::<MessageId>(), &answer) {
            let user = who.trim_start_matches("user:");
            self.engine.answer_question(user, question, choice, None).await?;
            return Ok("answered".to_owned());
        }
        let id = id.parse().map_err(|cause| Failure::new("bad_id", cause))?;
        let (answer, told) = match answer {
            Ok(text) => (TaskAnswer::Done(text), "answered"),
            Err(why) => (TaskAnswer::Declined(why), "declined"),
        };
        self.engine.answer_task(id, answer, who).await?;
        Ok(told.to_owned())
    }

    fn take_pulse(&mut self, pulse: Result<Pulse, RecvError>) {
        // Pulses that went by unseen are not missed: what counts comes as an event.
        let Ok(pulse) = pulse else { return };
        for board in &mut self.boards {
            if board.pulse(&pulse)
                && let View::Lines(stream, teller) = &self.view
                && let Some(line) = teller.pulse(board, &pulse, now())
            {
                stream.write(&format!("{line}\n"));
            }
        }
    }

    async fn take_event(&mut self, event: Option<Result<Arc<Event>, Lagged>>) -> Result<()> {
        // A pulse that led to this event was sent before it.
        while let Ok(pulse) = self.pulses.try_recv() {
            self.take_pulse(Ok(pulse));
        }
        match event {
            Some(Ok(event)) if event.workspace != WorkspaceId::DEFAULT.0 => {}
            Some(Ok(event)) => match self.cursor {
                Some(cursor) if event.seq <= cursor => {}
                Some(cursor) if event.seq == cursor + 1 => self.fold_all(&event),
                // Others have committed before it, or this process more than was heard.
                _ => self.look_elsewhere().await?,
            },
            Some(Err(Lagged)) => self.look_elsewhere().await?,
            // The store was closed: the program ends for another reason.
            None => std::future::pending().await,
        }
        Ok(())
    }

    /// Folds in, in its order, what was committed since the last look, by whichever process.
    async fn look_elsewhere(&mut self) -> Result<()> {
        while let Some(cursor) = self.cursor {
            let page = self.engine.store().events_after(WorkspaceId::DEFAULT, cursor, None, PAGE).await?;
            page.iter().for_each(|event| self.fold_all(event));
            if page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
                break;
            }
        }
        Ok(())
    }

    fn fold_all(&mut self, event: &Event) {
        self.cursor = Some(event.seq);
        (0..self.boards.len()).for_each(|at| self.fold(at, event, true));
    }

    /// Folds in what the store has of a run and the board has not.
    async fn catch_up(&mut self, at: usize, tell: bool) -> Result<()> {
        loop {
            let board = &self.boards[at];
            let page =
                self.engine.store().events_after(WorkspaceId::DEFAULT, board.seen, Some(board.run), PAGE).await?;
            page.iter().for_each(|event| self.fold(at, event, tell));
            if page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
                return Ok(());
            }
        }
    }

    fn fold(&mut self, at: usize, event: &Event, tell: bool) {
        self.look |= ["approval.", "question.", "task."].iter().any(|noun| event.kind.starts_with(noun));
        let board = &mut self.boards[at];
        if board.event(event)
            && tell
            && let View::Lines(stream, teller) = &self.view
            && let Some(line) = teller.event(board, event)
        {
            stream.write(&format!("{line}\n"));
        }
    }

    /// Says something of the program itself: as a line, or below what is drawn.
    pub fn tell(&mut self, words: &str) {
        self.footer = Some(words.to_owned());
        if let View::Lines(stream, _) = &self.view {
            stream.write(&format!("{}  {words}\n", super::lines::time_of(now())));
        }
    }

    fn draw(&mut self) {
        let View::Live(screen) = &mut self.view else { return };
        let (columns, rows) = screen::size();
        let below = self.prompt.lines(columns);
        let size = (columns, rows.saturating_sub(below.len()).max(1));
        let shot = Shot { size, now: now(), frame: self.frame, footer: self.footer.as_deref() };
        let mut lines = frame::draw(&self.boards, shot);
        lines.extend(below);
        // Never more than the terminal has, or the way back to the first would be lost; the question stays in sight.
        let over = (lines.len() + 1).saturating_sub(rows);
        screen.show(&log::take(), &lines[over.min(lines.len())..]);
        self.frame += 1;
    }
}

/// Whether an entry of the inbox is one that is answered in place.
pub fn can_be_asked(entry: &InboxEntry) -> bool {
    matches!(entry.kind, InboxKind::Approval | InboxKind::Question | InboxKind::Task)
}

/// What goes on cannot be stored, so this process ends; everything that was acknowledged is there for the next.
fn storage_failed(why: &str) -> Failure {
    Failure::new("storage_failed", "what happens in the run cannot be stored, so nothing more is done")
        .cause(why)
        .hint("make room or look after the disk (`convoke doctor`), then `convoke resume`: all that was acknowledged is there")
}

fn waits_for_agent(one: &HeldUp) -> String {
    outcome::waits_for_agent(one, &|rest| format!("`convoke {rest}`"))
}

fn now() -> Timestamp {
    SystemClock.now()
}

fn stop(worker: &mut Option<Worker>) -> Option<Stopping> {
    worker.take().map(|worker| -> Stopping { Box::pin(worker.stop()) })
}

async fn done(stopping: &mut Option<Stopping>) {
    match stopping {
        Some(stopping) => stopping.await,
        None => std::future::pending().await,
    }
}
