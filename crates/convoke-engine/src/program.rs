//! An attempt by a program: one step through the *act* door, whose outcome is the outcome of the attempt.
//!
//! Rule: a program is driven as if a model had asked for the one call that runs it, so that authority, approvals, the
//! journal, unknown outcomes and going on after a crash are those of every tool call. There is no other way to run one, and
//! nothing is stored here.

use convoke_domain::attempt::{Dialogue, Exchange, ToolResult};
use convoke_domain::profile::{AgentKind, Profile};
use convoke_domain::program::{self as domain, Again, Earlier, Input, Output, Program, VERSION};
use convoke_domain::transcript::{Block, StopReason, ToolCall, calls_of};
use convoke_port::tool::{Repeat, ToolInfo, ToolSpec};
use convoke_store::task;
use serde_json::json;

use crate::claim::Assignment;
use crate::drive::{Driver, Halt};

/// The turn that the one step of the attempt belongs to.
const TURN: u32 = 1;

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

/// The attempt before its first step: the call that runs the program, with all that it gets to read.
pub(crate) fn dialogue(
    at: &Assignment,
    (profile, program): (&Profile, &Program),
    inputs: &[task::Input],
    limit: usize,
) -> Dialogue {
    let document = document(at, profile, inputs.iter().map(|input| earlier(input, limit)).collect());
    let input = json!({
        "program": program.program, "args": program.args, "network": program.network, "env": program.env,
        "document": document,
    });
    let call = ToolCall { id: domain::TOOL.to_owned(), name: domain::TOOL.to_owned(), input };
    let exchange =
        Exchange { reply: vec![Block::ToolCall(call)], stop: StopReason::ToolCalls, results: Default::default() };
    Dialogue { exchanges: vec![exchange], ..Dialogue::default() }
}

/// What the program reads, but for what is known only where it runs: folders and the key of the step.
fn document(at: &Assignment, profile: &Profile, inputs: Vec<Earlier>) -> Input {
    Input {
        version: VERSION,
        agent: at.agent.clone(),
        prompt: profile.prompt.trim().to_owned(),
        title: at.title.clone(),
        instructions: at.instructions.clone(),
        run_task: at.run_task.clone(),
        stage: at.stage.clone(),
        run: at.run.to_string(),
        task: at.task.to_string(),
        attempt: at.attempt,
        inputs,
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

impl Driver {
    /// Runs the program of an agent that is one, and makes its answer the attempt's.
    pub(crate) async fn run_program(&mut self, program: &Program) -> Result<String, Halt> {
        loop {
            let Some(exchange) = self.dialogue.exchanges.first() else { return Err(Halt::Gone) };
            let Some(call) = calls_of(&exchange.reply).next().cloned() else { return Err(Halt::Gone) };
            if let Some(result) = exchange.results.get(&call.id).cloned() {
                return self.conclude(program, &result);
            }
            self.check_signals()?;
            // Each pass gives a result or halts; only a person's word, a retry or an approval, leads to another.
            self.act(TURN, vec![call]).await?;
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
        // The findings are part of the result until the run's shared context takes them.
        Ok(output) => output.told(has_schema),
        Err(_) if content.trim().is_empty() => {
            "It was done, as a person says; what it printed is not known.".to_owned()
        }
        Err(_) => content.to_owned(),
    }
}
