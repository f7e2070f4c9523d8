//! Tool calls whose outcome a person must tell, or told: which call it was, and what to do.

use convoke_domain::record::{EffectRecord, RunRecord, StepRecord, TaskRecord};

use crate::view::View;

/// What to do about a call whose outcome is not known.
const ADVICE: &str = "It is not known whether these calls took effect, and they are not repeated blindly. For \
     each, look at what the tool acts on, then say what became of it with `convoke resolve EFFECT done|failed|retry`; the \
     task goes on with your answer.";
/// The same where nobody goes on.
const ADVICE_ENDED: &str = "It is not known whether these calls took effect, and the run has ended, so nobody makes them again. \
     For each, look at what the tool acts on, then say what became of it with `convoke resolve EFFECT done|failed`, for the record.";

/// What to do about the calls of this run whose outcome is not known.
pub(crate) fn advice(view: &View<'_>) -> &'static str {
    if view.has_ended() { ADVICE_ENDED } else { ADVICE }
}

/// An effect with the call it stands for.
pub(crate) struct Effect<'a> {
    /// The effect.
    pub(crate) record: &'a EffectRecord,
    /// Its task, if the record has it.
    pub(crate) task: Option<&'a TaskRecord>,
    /// Its step, if the record has it.
    pub(crate) step: Option<&'a StepRecord>,
}

/// Effects nobody has told the outcome of.
pub(crate) fn open<'a>(view: &View<'a>) -> Vec<Effect<'a>> {
    let is_open = |effect: &&EffectRecord| match effect.state.as_str() {
        "unknown" => true,
        "dispatched" => view.has_ended(),
        _ => false,
    };
    in_order(view, view.run.effects.iter().filter(is_open))
}

/// Effects a person told the outcome of.
pub(crate) fn told<'a>(view: &View<'a>) -> Vec<Effect<'a>> {
    let is_told = |effect: &&EffectRecord| effect.resolved_by.is_some() && effect.state != "unknown";
    in_order(view, view.run.effects.iter().filter(is_told))
}

/// In the order of tasks and steps, which is the same in two runs of one script.
fn in_order<'a>(view: &View<'a>, effects: impl Iterator<Item = &'a EffectRecord>) -> Vec<Effect<'a>> {
    let place = |id| view.run.tasks.iter().position(|task| task.id == id);
    let mut located: Vec<_> = effects.map(|effect| located(view.run, effect)).collect();
    located.sort_by_key(|effect| (place(effect.record.task), effect.step.map(|step| step.n), &effect.record.key));
    located
}

/// Finds the step by the end of the key, `run:task:attempt:step`.
fn located<'a>(run: &'a RunRecord, record: &'a EffectRecord) -> Effect<'a> {
    let task = run.tasks.iter().find(|task| task.id == record.task);
    let mut places = record.key.rsplit(':').map(|part| part.parse::<i64>().ok());
    let [step, attempt] = [places.next().flatten(), places.next().flatten()];
    let attempt = task.and_then(|task| task.attempts.iter().find(|known| Some(known.n) == attempt));
    let step = attempt.and_then(|attempt| attempt.steps.iter().find(|known| Some(known.n) == step));
    Effect { record, task, step }
}
