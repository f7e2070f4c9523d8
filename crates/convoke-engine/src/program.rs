//! An attempt by a program: one step through the *act* door, whose outcome is the outcome of the attempt.
//!
//! Rule: a program is driven as if a model had asked for the one call that runs it, so that authority, approvals, the
//! journal, unknown outcomes and going on after a crash are those of every tool call. There is no other way to run one, and
//! nothing is stored here but its findings, which the run shares.

use convoke_domain::attempt::{Exchange, Next, ToolResult};
use convoke_domain::authority::covers;
use convoke_domain::context::{Confidence, Finding as Shared, MAX_EVIDENCE, MAX_FINDING, check_tags};
use convoke_domain::material::head_of;
use convoke_domain::profile::{AgentKind, Profile};
use convoke_domain::program::{self as domain, Again, Earlier, Finding, Input, Letter, Output, Program, VERSION};
use convoke_domain::transcript::{Block, StopReason, ToolCall};
use convoke_port::tool::{Repeat, ToolInfo, ToolSpec};
use convoke_store::{Error as StoreError, Result as Stored, Tx, step, task};
use serde_json::json;

use crate::claim::Assignment;
use crate::context;
use crate::drive::{Driver, Halt};
use crate::mail::{self, Delivered};

/// Findings of one program that go into the shared context: it has room for a thousand entries of all members.
const SHARED: usize = 100;
/// Deliveries of messages to one program, each of as many as a model gets at once; what is left stays for another task.
const MAIL_ROUNDS: usize = 16;
/// The tool by which other agents do the same.
const ADD_FINDING: &str = "add_finding";

/// The program of an agent that is one.
pub(crate) fn of(profile: &Profile) -> Option<&Program> {
    profile.command.as_ref().filter(|_| profile.agent_kind == AgentKind::Command)
}

/// The tool that runs it, which is offered to nobody else.
pub(crate) fn tool(program: &Program) -> ToolInfo {
    let repeat = match program.repeat {
        Again::Harmless => Repeat::Harmless,
        Again::Idempotent => Repeat::Idempotent,
        Again::Once => Repeat::Once,
    };
    let spec = ToolSpec {
        name: domain::TOOL.to_owned(),
        description: format!("Runs `{}`.", program.program),
        input_schema: json!({"type": "object"}),
    };
    ToolInfo { spec, id: domain::TOOL.to_owned(), repeat }
}

/// What stands for a model's reply: the call that runs the program, with all that it gets to read.
pub(crate) fn call(program: &Program, document: &Input) -> Exchange {
    let input = json!({
        "program": program.program, "args": program.args, "network": program.network, "env": program.env,
        "document": document,
    });
    let call = ToolCall { id: domain::TOOL.to_owned(), name: domain::TOOL.to_owned(), input };
    Exchange { reply: vec![Block::ToolCall(call)], stop: StopReason::ToolCalls, results: Default::default() }
}

/// What the program reads, but for what is known only where it runs: folders and the key of the step.
pub(crate) fn document(
    at: &Assignment,
    profile: &Profile,
    (inputs, handed_over): (&[task::Input], &str),
    limit: usize,
) -> Input {
    Input {
        version: VERSION,
        agent: at.agent.clone(),
        prompt: profile.prompt.trim().to_owned(),
        title: at.title.clone(),
        instructions: at.instructions.clone() + handed_over,
        run_task: at.run_task.clone(),
        stage: at.stage.clone(),
        run: at.run.to_string(),
        task: at.task.to_string(),
        attempt: at.attempt,
        inputs: inputs.iter().map(|input| earlier(input, limit)).collect(),
        messages: Vec::new(),
        input_folder: None,
        work_folder: String::new(),
        output_schema: at.output_schema.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        idempotency_key: String::new(),
    }
}

fn earlier(input: &task::Input, limit: usize) -> Earlier {
    let cut = input.output.as_ref().is_some_and(|output| output.len() > limit);
    let output = input.output.as_ref().map(|output| output[..output.floor_char_boundary(limit)].to_owned());
    Earlier {
        key: input.key.clone(),
        title: input.title.clone(),
        stage: input.stage.clone(),
        agent: input.agent.clone(),
        state: input.state.clone(),
        output,
        error: input.error.clone(),
        cut,
    }
}

/// The messages that an attempt was given before, from its steps.
fn given(steps: &[step::Record]) -> Stored<Vec<Letter>> {
    let mut letters = Vec::new();
    for text in steps.iter().filter(|step| step.kind == mail::STEP).filter_map(|step| step.output.as_deref()) {
        letters.extend(serde_json::from_str::<Vec<Letter>>(text)?);
    }
    Ok(letters)
}

impl Driver {
    /// Makes the one call of a program: with the messages that it was given, and those that have come unless it was called
    /// before. What it reads is settled then: whoever approves the call, or runs it again, has the same.
    pub(crate) async fn begin_program(&mut self, mut document: Input, steps: &[step::Record]) -> Result<(), Halt> {
        document.messages = given(steps)?;
        let mut n = steps.iter().map(|step| step.n).max().unwrap_or(0);
        let was_called = steps.iter().any(|step| step.kind == "tool");
        for _ in 0..if self.mail && !was_called { MAIL_ROUNDS } else { 0 } {
            n += 1;
            let deliver = mail::Deliver { ws: self.engine.ws(), at: self.at.clone(), turn: 1, n, as_json: true };
            let (text, left) = match self.engine.store().run(deliver).await? {
                Delivered::Gone => return Err(Halt::Gone),
                Delivered::Nothing => break,
                Delivered::Letters(text, left) => (text, left),
            };
            document.messages.extend(serde_json::from_str::<Vec<Letter>>(&text).map_err(StoreError::from)?);
            self.numbered.note(1, &mail::call_id(n), n);
            if left == 0 {
                break;
            }
        }
        if let Some(program) = of(&self.profile.clone()) {
            self.take(call(program, &document));
        }
        Ok(())
    }

    /// Runs the program of an agent that is one, and makes its answer the attempt's.
    pub(crate) async fn run_program(&mut self, program: &Program) -> Result<String, Halt> {
        loop {
            if let Some(result) = self.dialogue.result(domain::TOOL) {
                return self.conclude(program, result);
            }
            self.check_signals()?;
            // Each pass gives a result or halts; only a person's word, a retry or an approval, leads to another.
            match self.next() {
                Next::RunTools(calls) => self.act(self.dialogue.answered(), calls).await?,
                Next::CallModel { .. } | Next::Answer(_) | Next::Stop { .. } => return Err(Halt::Gone),
            }
        }
    }

    /// What the outcome of the program makes of the attempt.
    fn conclude(&self, program: &Program, result: &ToolResult) -> Result<String, Halt> {
        if result.is_error {
            return Err(self.failure(program, &result.content));
        }
        let told = told(&result.content, self.schema.is_some());
        self.fits(&told).map_err(|why| {
            let message = format!("what `{}` answered does not fit: {why}", program.program);
            Halt::failed("schema_mismatch", message, false)
        })
    }

    fn failure(&self, program: &Program, content: &str) -> Halt {
        if let Err(denial) = domain::may_run(&self.profile) {
            return Halt::failed("denied", denial.message, false);
        }
        let (code, what) = domain::split(content);
        Halt::failed(code, format!("`{}`: {what}", program.program), domain::can_pass(code, program.repeat))
    }
}

/// The output in words. What is journaled is a document; anything else is what a person said became of the program.
fn told(content: &str, has_schema: bool) -> String {
    match serde_json::from_str::<Output>(content) {
        Ok(output) => output.told(has_schema),
        Err(_) if content.trim().is_empty() => {
            "It was done, as a person says; what it printed is not known.".to_owned()
        }
        Err(_) => content.to_owned(),
    }
}

/// Puts the findings of a program into its run's shared context, in the transaction that journals what it printed. They
/// are in its result anyway, so a context that is full takes no more of them and nothing fails.
pub(crate) async fn share(tx: &mut Tx<'_>, at: &Assignment, profile: Option<&Profile>, content: &str) -> Stored<()> {
    let is_forbidden = |profile: &Profile| profile.authority.forbidden_actions.iter().any(|it| covers(it, ADD_FINDING));
    if profile.is_none_or(is_forbidden) {
        return Ok(());
    }
    let output = serde_json::from_str::<Output>(content).unwrap_or_default();
    for finding in output.findings.iter().take(SHARED) {
        match context::add(tx, at.run, &format!("agent:{}", at.agent), &shared(finding)).await {
            Ok(_) => {}
            Err(StoreError::Refused(_)) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A program's finding as members write theirs.
fn shared(finding: &Finding) -> Shared {
    let text = match finding.detail.trim() {
        "" => finding.title.trim().to_owned(),
        detail => format!("{}: {detail}", finding.title.trim()),
    };
    let line = finding.line.map(|line| format!(":{line}")).unwrap_or_default();
    let evidence = finding.file.as_ref().map(|file| format!("{file}{line}")).unwrap_or_default();
    Shared {
        text: head_of(&text, MAX_FINDING).to_owned(),
        evidence: head_of(&evidence, MAX_EVIDENCE).to_owned(),
        tags: finding.severity.iter().filter(|word| check_tags(std::slice::from_ref(word)).is_ok()).cloned().collect(),
        confidence: Confidence::default(),
    }
}
