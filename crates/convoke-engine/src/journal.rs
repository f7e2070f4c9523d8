//! The journal: the one use case by which an attempt goes forward.
//!
//! In one transaction it records the outcomes that have come, the intents that follow, and the end of the attempt. So an
//! attempt costs two commits for each model call, and there is no instant at which a crash loses a paid reply.

use std::sync::Arc;

use convoke_domain::attempt::ToolResult;
use convoke_domain::budget::{Amount, Shortage};
use convoke_domain::event::Kind;
use convoke_domain::id::{TaskId, WorkspaceId};
use convoke_domain::profile::Profile;
use convoke_domain::program::TOOL;
use convoke_domain::spec::RunSpec;
use convoke_domain::task::WaitReason;
use convoke_domain::team::OnExhausted;
use convoke_domain::time::Timestamp;
use convoke_port::tool::{Fence, Repeat};
use convoke_store::step::StepRef;
use convoke_store::{Asked, Result, Tx, UseCase, budget, effect, step, task};
use serde_json::{Value, json};

use crate::approval::{self, Ask, Leave};
use crate::claim::{Assignment, ClaimSpec, claim_ready};
use crate::desk::{self, Answer, Caller};
use crate::engine::emit;
use crate::ledger::{self, Bill, Scope};
use crate::lock;
use crate::lock::guard::Check;
use crate::{program, recover, wait};

/// An outcome that has come.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    pub n: i64,
    /// `done`, `failed`, `unknown`.
    pub status: &'static str,
    pub output: Option<String>,
    pub error: Option<String>,
    /// What a model call came to; `None` for a tool.
    pub bill: Option<Bill>,
}

/// An intent.
#[derive(Clone)]
pub(crate) struct Begun {
    pub n: i64,
    pub turn: i64,
    /// The model as `provider/model`, or the tool's id.
    pub name: String,
    pub input_hash: String,
    pub what: Intent,
    /// What people are asked before it.
    pub ask: Option<Ask>,
}

#[derive(Clone)]
pub(crate) enum Intent {
    Model {
        bound: Amount,
        scopes: Vec<Scope>,
        tariff: &'static str,
        /// Empty, unless the call is beside the conversation; see [`crate::compact`].
        call_id: String,
    },
    /// What was decided about the conversation itself: it is done by being written down.
    Kept {
        kind: &'static str,
        text: String,
        event: Option<(Kind, Value)>,
    },
    Tool {
        call_id: String,
        args: String,
        repeat: Repeat,
    },
    /// A tool of the desk: carried out in this very transaction.
    Desk {
        call_id: String,
        args: Value,
        tool: &'static desk::Tool,
        profile: Arc<Profile>,
    },
    /// A tool call that the *act* door refused: recorded, never run.
    Denied {
        call_id: String,
        args: String,
        rule: &'static str,
        message: String,
    },
}

impl Begun {
    /// The tool call's id; empty for what is none.
    fn call_id(&self) -> String {
        match &self.what {
            Intent::Tool { call_id, .. } | Intent::Desk { call_id, .. } | Intent::Denied { call_id, .. } => {
                call_id.clone()
            }
            _ => String::new(),
        }
    }
}

/// How an attempt ends.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Completed {
        output: String,
    },
    Failed {
        code: String,
        message: String,
        can_pass: bool,
        not_before: Timestamp,
    },
    /// The worker stops; the attempt goes on elsewhere.
    Yield,
    /// A person must say what became of a tool call.
    UnknownEffect {
        message: String,
    },
    /// The results of calls come later: the task waits, unless they have come already.
    Wait {
        steps: Vec<i64>,
    },
    /// The agent is a person, who finds the task in the inbox.
    Person,
}

impl End {
    /// Whether the run may now be one in which only people can bring anything about.
    fn may_rest(&self) -> bool {
        matches!(self, Self::Completed { .. } | Self::Failed { .. } | Self::Person)
    }
}

/// Moves an attempt forward.
pub(crate) struct Journal {
    pub ws: WorkspaceId,
    pub at: Assignment,
    pub spec: Arc<RunSpec>,
    pub finish: Vec<Finished>,
    pub begin: Vec<Begun>,
    /// A tool that the agent was told to stop calling with the same arguments, and how often it did.
    pub repeated: Option<(String, usize)>,
    /// The attempt was taken over: what is under way from before is billed as lost.
    pub after_crash: bool,
    pub on_exhausted: OnExhausted,
    pub end: Option<End>,
    pub claim: Option<ClaimSpec>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Go on. What became of those intents that are not the driver's to carry out, and the locks under which others are.
    Going(Vec<Verdict>, Vec<(i64, Fence)>),
    /// There are messages for the agent: the call was not begun.
    Mail,
    /// All that was waited for has come.
    Woken(Vec<step::Record>),
    /// The task is not ours any more: stop.
    Gone,
    /// The run is paused and the task put back: stop.
    PutBack,
    /// The budget does not admit the call; the run was paused or ended by its policy.
    Exhausted,
    /// The budget does not admit the call; another model may.
    Short(Shortage),
    /// The attempt has ended.
    Ended,
}

/// What became of an intent in the transaction that journaled it.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The step.
    pub n: i64,
    /// The tool call's id.
    pub call_id: String,
    /// Its result; `None` if it comes later.
    pub result: Option<ToolResult>,
    /// Tasks whose model calls are to be cut: there is something that they are to read first.
    pub cut: Vec<TaskId>,
}

impl Verdict {
    fn waits(intent: &Begun) -> Self {
        Self { n: intent.n, call_id: intent.call_id(), result: None, cut: Vec::new() }
    }
}

/// What is to be done about an intent.
pub(crate) enum Admitted {
    /// The driver carries it out.
    Go,
    /// The driver carries it out under this lock.
    Under(Fence),
    /// It is settled, or waits.
    Settled(Verdict),
    /// Nothing more of this entry.
    Stop(Progress),
}

/// An entry that can be offered more than once.
pub(crate) struct Entry(pub Arc<Journal>);

impl UseCase for Entry {
    type Out = (Progress, Vec<Assignment>);

    fn ws(&self) -> WorkspaceId {
        self.0.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Out> {
        self.0.record(tx).await
    }
}

impl Journal {
    pub(crate) async fn record(&self, tx: &mut Tx<'_>) -> Result<(Progress, Vec<Assignment>)> {
        let held = task::ask_hold(tx, self.at.task).await?;
        let mut finished = Vec::with_capacity(self.finish.len());
        for outcome in &self.finish {
            // Whoever holds the task may finish any step of it; whoever lost it, only what it began itself.
            finished.push((outcome, self.ask_finish(tx, outcome).await?));
        }
        let budgets = self.ask_budgets(tx).await?;
        let held = task::held(tx, self.at.task, held).await?;
        let ours = held.state == "running" && held.fence == self.at.fence;
        let mut settled = Vec::new();
        for (outcome, started) in finished {
            settled.extend(self.record_outcome(tx, outcome, started, if ours { 0 } else { self.at.fence }).await?);
        }
        let done = if ours { self.go_on(tx, &held, budgets).await? } else { (Progress::Gone, Vec::new()) };
        ledger::warn(tx, settled).await?;
        Ok(done)
    }

    pub(crate) async fn ask_finish(&self, tx: &mut Tx<'_>, outcome: &Finished) -> Result<Asked<step::Started>> {
        let result = (outcome.output.as_deref(), outcome.error.as_deref());
        step::ask_finish(tx, self.step(outcome.n), self.at.fence, outcome.status, result).await
    }

    /// Asks for the budgets of the only thing that is to begin, where nothing touches them before.
    async fn ask_budgets(&self, tx: &mut Tx<'_>) -> Result<Option<Asked<budget::Record>>> {
        match self.begin.as_slice() {
            [Begun { what: Intent::Model { scopes, .. }, .. }] if self.finish.is_empty() && !self.after_crash => {
                ledger::ask(tx, scopes).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// What follows from the outcomes, or is to begin.
    async fn go_on(
        &self,
        tx: &mut Tx<'_>,
        held: &task::Held,
        mut budgets: Option<Asked<budget::Record>>,
    ) -> Result<(Progress, Vec<Assignment>)> {
        if let Some(end) = &self.end {
            if let End::Wait { steps } = end
                && let Some(results) = self.wait(tx, held, steps).await?
            {
                return Ok((Progress::Woken(results), Vec::new()));
            }
            self.end_attempt(tx, held, end).await?;
            let waiting = if end.may_rest() { Some(task::ask_waiting(tx, self.at.run).await?) } else { None };
            let claimed = match &self.claim {
                Some(spec) => claim_ready(tx, spec).await?,
                None => Vec::new(),
            };
            if let Some(waiting) = waiting {
                wait::rest_where(tx, self.at.run, waiting).await?;
            }
            return Ok((Progress::Ended, claimed));
        }
        if held.held && !self.begin.is_empty() {
            self.put_back(tx, held).await?;
            return Ok((Progress::PutBack, Vec::new()));
        }
        if let Some((tool, count)) = &self.repeated {
            let payload = json!({"tool": tool, "count": count});
            emit(tx, Kind::LoopDetected, self.on(), (Some(self.at.run), &self.agent()), payload);
        }
        let (mut verdicts, mut fences, mut begun) = (Vec::new(), Vec::new(), Vec::new());
        for intent in &self.begin {
            match self.record_intent(tx, held, intent, budgets.take()).await? {
                Admitted::Go => begun.push(intent.n),
                Admitted::Under(fence) => {
                    begun.push(intent.n);
                    fences.push((intent.n, fence));
                }
                Admitted::Settled(verdict) => verdicts.push(verdict),
                Admitted::Stop(stop) => {
                    if matches!(stop, Progress::Ended) {
                        self.drop_calls(tx, &begun).await?;
                    }
                    return Ok((stop, Vec::new()));
                }
            }
        }
        Ok((Progress::Going(verdicts, fences), Vec::new()))
    }

    /// Parks the task, unless there is nothing to wait for, or something to do meanwhile: then, what came of the steps.
    async fn wait(&self, tx: &mut Tx<'_>, held: &task::Held, steps: &[i64]) -> Result<Option<Vec<step::Record>>> {
        let results = self.results(tx, steps).await?;
        let goes_on = results.iter().any(|step| step.status == "retry");
        let waits = !goes_on && wait::park(tx, self.at.task, held).await?.is_some();
        Ok((!waits).then_some(results))
    }

    async fn results(&self, tx: &mut Tx<'_>, steps: &[i64]) -> Result<Vec<step::Record>> {
        let mut found = Vec::with_capacity(steps.len());
        for n in steps {
            found.extend(step::get(tx, self.step(*n)).await?);
        }
        Ok(found)
    }

    pub(crate) fn step(&self, n: i64) -> StepRef {
        StepRef { task: self.at.task, attempt: self.at.attempt, n }
    }

    pub(crate) fn on(&self) -> (&'static str, String) {
        ("task", self.at.task.to_string())
    }

    pub(crate) fn agent(&self) -> String {
        format!("agent:{}", self.at.agent)
    }

    /// Records what follows from a step that was finished; gives what was settled for it.
    pub(crate) async fn record_outcome(
        &self,
        tx: &mut Tx<'_>,
        outcome: &Finished,
        started: Asked<step::Started>,
        fence: i64,
    ) -> Result<Option<ledger::Settled>> {
        let at = self.step(outcome.n);
        let (output, error) = (outcome.output.as_deref(), outcome.error.as_deref());
        let Some(started) = tx.answer(started).await?.pop() else {
            return self.record_late(tx, outcome, fence).await.map(|()| None);
        };
        let mut settled = None;
        let mut payload = json!({"step": outcome.n, "kind": started.kind, "name": started.name, "try": started.tries});
        match &outcome.bill {
            Some(bill) => {
                settled = Some(ledger::settle(tx, at, &started, &self.at.agent, bill).await?);
                payload["tokens"] = bill.usage.total().into();
                payload["cost_usd"] = bill.cost.as_usd().into();
            }
            None => {
                effect::settle(tx, at, outcome.status).await?;
                if outcome.status != "done" {
                    convoke_store::approval::fail(tx, at).await?;
                }
            }
        }
        if let Some(error) = error {
            payload["error"] = error.into();
        }
        let kind = match outcome.status {
            "done" => Kind::StepCompleted,
            "unknown" => Kind::EffectUnknown,
            _ => Kind::StepFailed,
        };
        emit(tx, kind, self.on(), (Some(self.at.run), &self.agent()), payload);
        let is_program = outcome.status == "done" && started.name == TOOL && started.kind == "tool";
        if let Some(printed) = output.filter(|_| is_program) {
            program::share(tx, &self.at, self.spec.profiles.get(&self.at.agent), printed).await?;
        }
        Ok(settled)
    }

    /// Records what a call came to that was given up with its run, if that is known now.
    async fn record_late(&self, tx: &mut Tx<'_>, outcome: &Finished, fence: i64) -> Result<()> {
        let at = self.step(outcome.n);
        if outcome.status == "unknown" || outcome.bill.is_some() {
            return Ok(());
        }
        let result = (outcome.output.as_deref(), outcome.error.as_deref());
        if !step::come_late(tx, at, (fence, recover::LEFT), outcome.status, result).await? {
            return Ok(());
        }
        effect::settle(tx, at, outcome.status).await?;
        let Some(step) = step::get(tx, at).await? else { return Ok(()) };
        let mut payload = json!({"step": at.n, "kind": step.kind, "name": step.name, "try": step.tries});
        if let Some(error) = &step.error {
            payload["error"] = error.as_str().into();
        }
        let kind = if outcome.status == "done" { Kind::StepCompleted } else { Kind::StepFailed };
        emit(tx, kind, self.on(), (Some(self.at.run), &self.agent()), payload);
        Ok(())
    }

    /// Records an intent, and says whether it is to be carried out.
    async fn record_intent(
        &self,
        tx: &mut Tx<'_>,
        held: &task::Held,
        intent: &Begun,
        budgets: Option<Asked<budget::Record>>,
    ) -> Result<Admitted> {
        if held.mail > 0 && matches!(intent.what, Intent::Model { .. }) {
            return Ok(Admitted::Stop(Progress::Mail));
        }
        if self.after_crash {
            ledger::bill_lost(tx, self.step(intent.n), &self.at.agent, ledger::LOST).await?;
        }
        let mut go = Admitted::Go;
        match &intent.what {
            Intent::Kept { kind, text, event } => {
                return self.write_down(tx, intent, (kind, text, event.as_ref())).await;
            }
            Intent::Model { bound, scopes, tariff, call_id } => {
                if let Err(shortage) = ledger::reserve(tx, scopes, *bound, budgets).await? {
                    return self.exhausted(tx, held, shortage).await.map(Admitted::Stop);
                }
                let names: Vec<_> = scopes.iter().map(|scope| scope.name.as_str()).collect();
                let row = step::NewRow {
                    bound_cost: bound.cost.as_nanos(),
                    bound_tokens: bound.tokens,
                    scopes: &names.join("\n"),
                    tariff,
                    ..self.row(intent, "model", call_id, None)
                };
                step::start(tx, &row).await?;
            }
            Intent::Tool { call_id, args, repeat } => {
                match self.locked(tx, intent, args).await? {
                    Check::Free => {}
                    Check::Held(fence) => go = Admitted::Under(fence),
                    Check::Refused(message) => {
                        step::start(tx, &self.row(intent, "tool", call_id, Some(args))).await?;
                        return self.deny(tx, intent, lock::guard::LOCK, &message).await;
                    }
                }
                // Last of all, so that leave is used up by a call that begins, and by no other.
                if let Some(settled) = self.ask_leave(tx, intent).await? {
                    return Ok(settled);
                }
                self.start_tool(tx, intent, (call_id, args), *repeat).await?;
            }
            Intent::Denied { call_id, args, rule, message } => {
                step::start(tx, &self.row(intent, "tool", call_id, Some(args))).await?;
                return self.deny(tx, intent, rule, message).await;
            }
            Intent::Desk { call_id, args, tool, profile } => {
                if let Some(settled) = self.ask_leave(tx, intent).await? {
                    return Ok(settled);
                }
                step::start(tx, &self.row(intent, "tool", call_id, Some(&args.to_string()))).await?;
                let caller = Caller { at: &self.at, spec: &self.spec, profile, step: self.step(intent.n) };
                return self.at_desk(tx, intent, &caller, (tool, args)).await;
            }
        }
        let kind = if matches!(intent.what, Intent::Model { .. }) { "model" } else { "tool" };
        let payload = json!({"step": intent.n, "kind": kind, "name": intent.name, "turn": intent.turn});
        emit(tx, Kind::StepStarted, self.on(), (Some(self.at.run), &self.agent()), payload);
        Ok(go)
    }

    /// Finds leave for a call; something else than `None` if it may not begin now.
    async fn ask_leave(&self, tx: &mut Tx<'_>, intent: &Begun) -> Result<Option<Admitted>> {
        let Some(ask) = &intent.ask else { return Ok(None) };
        let (Intent::Tool { call_id, .. } | Intent::Desk { call_id, .. }) = &intent.what else { return Ok(None) };
        let caller = Caller { at: &self.at, spec: &self.spec, profile: &ask.profile, step: self.step(intent.n) };
        let leave = approval::admit(tx, &caller, &intent.name, ask).await?;
        let (id, due) = match leave {
            Leave::Given => return Ok(None),
            Leave::Refused(text) => {
                step::start(tx, &self.row(intent, "tool", call_id, Some(&ask.args))).await?;
                return self.deny(tx, intent, "ask", &text).await.map(Some);
            }
            Leave::Asked(id, due) => (id, due),
        };
        step::start(tx, &self.row(intent, "tool", call_id, Some(&ask.args))).await?;
        let on = desk::Wait { reason: WaitReason::Approval, key: id.to_string(), due };
        wait::begin(tx, &caller, &on).await?;
        let payload =
            json!({"step": intent.n, "kind": "tool", "name": intent.name, "turn": intent.turn, "waits_for": on.reason});
        emit(tx, Kind::StepStarted, self.on(), (Some(self.at.run), &self.agent()), payload);
        Ok(Some(Admitted::Settled(Verdict::waits(intent))))
    }

    async fn deny(&self, tx: &mut Tx<'_>, intent: &Begun, rule: &str, message: &str) -> Result<Admitted> {
        step::finish(tx, self.step(intent.n), self.at.fence, "denied", (Some(message), Some(message))).await?;
        let payload = json!({"step": intent.n, "tool": intent.name, "rule": rule, "message": message});
        emit(tx, Kind::ToolDenied, self.on(), (Some(self.at.run), &self.agent()), payload);
        Ok(settled(intent, (message, true), Vec::new()))
    }

    /// Carries out a call at the desk.
    async fn at_desk(
        &self,
        tx: &mut Tx<'_>,
        intent: &Begun,
        caller: &Caller<'_>,
        (tool, args): (&desk::Tool, &Value),
    ) -> Result<Admitted> {
        task::tie(tx, self.at.task).await?;
        let (text, is_error, cut) = match desk::call(tx, caller, tool, args).await? {
            Answer::Done(text) => (text, false, Vec::new()),
            Answer::Sent(text, cut) => (text, false, cut),
            Answer::Failed(text) => (text, true, Vec::new()),
            Answer::Denied(rule, message) => return self.deny(tx, intent, rule, &message).await,
            Answer::Leave(text) => {
                step::finish(tx, self.step(intent.n), 0, "done", (Some(&text), None)).await?;
                return Ok(Admitted::Stop(Progress::Ended));
            }
            Answer::Wait(on) => {
                wait::begin(tx, caller, &on).await?;
                let payload = json!({"step": intent.n, "kind": "tool", "name": intent.name, "turn": intent.turn, "waits_for": on.reason});
                emit(tx, Kind::StepStarted, self.on(), (Some(self.at.run), &self.agent()), payload);
                return Ok(Admitted::Settled(Verdict::waits(intent)));
            }
        };
        let (status, kind) = if is_error { ("failed", Kind::StepFailed) } else { ("done", Kind::StepCompleted) };
        let error = is_error.then_some(text.as_str());
        step::finish(tx, self.step(intent.n), self.at.fence, status, (Some(&text), error)).await?;
        let mut payload = json!({"step": intent.n, "kind": "tool", "name": intent.name, "try": 1});
        if let Some(error) = error {
            payload["error"] = error.into();
        }
        emit(tx, kind, self.on(), (Some(self.at.run), &self.agent()), payload);
        Ok(settled(intent, (&text, is_error), cut))
    }

    pub(crate) fn row<'a>(
        &'a self,
        intent: &'a Begun,
        kind: &'static str,
        call_id: &'a str,
        input: Option<&'a str>,
    ) -> step::NewRow<'a> {
        step::NewRow {
            at: self.step(intent.n),
            run: self.at.run,
            turn: intent.turn,
            kind,
            name: &intent.name,
            call_id,
            input_hash: &intent.input_hash,
            input,
            fence: self.at.fence,
            bound_cost: 0,
            bound_tokens: 0,
            scopes: "",
            tariff: "",
        }
    }

    /// Whether a write into what the run shares has its lock.
    async fn locked(&self, tx: &mut Tx<'_>, intent: &Begun, args: &str) -> Result<Check> {
        if !lock::guard::shares_files(&self.spec) {
            return Ok(Check::Free);
        }
        lock::guard::check(tx, &self.at, &intent.name, args).await
    }

    async fn start_tool(&self, tx: &mut Tx<'_>, intent: &Begun, call: (&str, &str), repeat: Repeat) -> Result<()> {
        let (call_id, args) = call;
        step::start(tx, &self.row(intent, "tool", call_id, Some(args))).await?;
        let repeat_rule = match repeat {
            Repeat::Harmless => return Ok(()),
            Repeat::Idempotent => "idempotent",
            Repeat::Once => "once",
        };
        let key = effect_key(&self.at, intent.n);
        let row = effect::NewRow {
            key: &key,
            run: self.at.run,
            at: self.step(intent.n),
            tool: &intent.name,
            args_hash: &intent.input_hash,
            repeat_rule,
        };
        effect::dispatch(tx, &row).await
    }
}

fn settled(intent: &Begun, (text, is_error): (&str, bool), cut: Vec<TaskId>) -> Admitted {
    let result = Some(ToolResult { content: text.to_owned(), is_error });
    Admitted::Settled(Verdict { n: intent.n, call_id: intent.call_id(), result, cut })
}

/// The stable key of a step's effect.
pub(crate) fn effect_key(at: &Assignment, n: i64) -> String {
    format!("{}:{}:{}:{}", at.run, at.task, at.attempt, n)
}
