//! What a driver reads before it begins: results of other tasks, its own steps, and what its opening shows.

use convoke_domain::handoff::Packet;
use convoke_domain::id::{TaskId, WorkspaceId};
use convoke_store::{Result, Tx, UseCase, step, task};

use crate::{handoff, prompt};

/// Steps read at once when an attempt goes on.
const STEPS_PAGE: i64 = 10_000;

/// Reads what a driver needs: the results its task builds on, the steps of an attempt that goes on, and what an attempt
/// that begins is shown of shared context and memory.
pub(crate) struct Load {
    pub ws: WorkspaceId,
    pub task: TaskId,
    pub attempt: Option<i64>,
    /// Who may have been handed the task.
    pub handed: Option<String>,
    pub brief: Option<prompt::Brief>,
}

/// What was read.
#[derive(Default)]
pub(crate) struct Loaded {
    pub inputs: Vec<task::Input>,
    pub steps: Vec<step::Record>,
    /// Who handed the task over, and what went along.
    pub packet: Option<(String, Packet)>,
    pub brief: Option<String>,
}

impl UseCase for Load {
    type Out = Loaded;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Loaded> {
        let inputs = task::inputs(tx, self.task).await?;
        let mut steps = Vec::new();
        if let Some(attempt) = self.attempt {
            loop {
                let after = steps.last().map_or(0, |step: &step::Record| step.n);
                let page = step::of_attempt(tx, self.task, attempt, after, STEPS_PAGE).await?;
                let full = page.len() >= usize::try_from(STEPS_PAGE).unwrap_or(usize::MAX);
                steps.extend(page);
                if !full {
                    break;
                }
            }
        }
        let packet = match &self.handed {
            Some(agent) => handoff::packet_for(tx, self.task, agent).await?,
            None => None,
        };
        let brief = match &self.brief {
            // What was shown before the first call is among the steps.
            Some(brief) if steps.is_empty() => brief.load(tx).await?,
            _ => None,
        };
        Ok(Loaded { inputs, steps, packet, brief })
    }
}

/// What is read before a call, the call, what follows from it.
pub(crate) fn place_in_turn(step: &step::Record) -> u8 {
    match step.kind.as_str() {
        "tool" => 2,
        "model" if step.call_id.is_empty() => 1,
        _ => 0,
    }
}
