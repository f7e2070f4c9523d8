//! What must hold after a round, whatever was killed when.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};
use convoke_bench_mock::tally::Record;
use convoke_domain::money::Money;
use convoke_domain::record::StepRecord;

use super::facts::{Facts, amount};
use super::{Outcome, job};

/// How the temporary file of a write begins that a kill cut off.
const TEMPORARY: &str = ".convoke-";

/// Everything.
pub fn all(facts: &Facts) -> Result<()> {
    let run = &facts.run.summary;
    ensure!(run.state == "completed", "the run is {}: {:?} {:?}", run.state, run.reason, run.error);
    ensure!(facts.problems.is_empty(), "the store finds {:?}", facts.problems);
    ensure!(facts.agents.iter().all(|(_, running)| *running == 0), "agents hold tasks: {:?}", facts.agents);
    requests(facts).context("the mock's requests against the ledger")?;
    ledger(facts).context("the ledger against the budgets")?;
    events(facts).context("the record of events")?;
    effects(facts).context("the effects")?;
    for task in &facts.run.tasks {
        ensure!(task.attempts.len() == 1, "a crash began attempt {} of {}", task.attempts.len(), task.key);
    }
    Ok(())
}

/// How often a call was repeated, and how many were billed as lost.
pub fn outcome(facts: &Facts) -> Outcome {
    let billed = facts.billed().count();
    Outcome { kills: 0, repeated: facts.records.len() - billed, lost: facts.bills.len() - billed }
}

/// That two reports are the same.
pub fn same(calm: &str, told: &str) -> Result<()> {
    for (line, (calm, told)) in calm.lines().zip(told.lines()).enumerate() {
        ensure!(calm == told, "the reports differ in line {}: `{calm}` became `{told}`", line + 1);
    }
    ensure!(calm == told, "the reports differ in length:\n{calm}\n---\n{told}");
    Ok(())
}

/// Every model step by the key that its calls carry.
fn steps(facts: &Facts) -> BTreeMap<String, (convoke_domain::id::TaskId, &StepRecord)> {
    let mut steps = BTreeMap::new();
    for task in &facts.run.tasks {
        for attempt in &task.attempts {
            for step in attempt.steps.iter().filter(|step| step.kind == "model") {
                let key = format!("{}:{}:{}:m{}", facts.run.summary.id, task.id, attempt.n, step.turn);
                steps.insert(key, (task.id, step));
            }
        }
    }
    steps
}

/// Each step has one committed reply, which the mock wrote once, and nothing was asked again after it.
fn requests(facts: &Facts) -> Result<()> {
    let steps = steps(facts);
    let asked: BTreeSet<&str> = facts.records.iter().map(|record| record.key.as_str()).collect();
    let known: BTreeSet<&str> = steps.keys().map(String::as_str).collect();
    ensure!(asked == known, "asked {asked:?}, kept {known:?}");
    for (key, (task, step)) in &steps {
        let bills: Vec<_> = facts.bills.iter().filter(|bill| bill.task == *task && bill.n == step.n).collect();
        let answered: Vec<_> = bills.iter().filter(|bill| bill.basis == "provider").collect();
        let [bill] = answered.as_slice() else { bail!("{key} has {} replies in the ledger", answered.len()) };
        let id = bill.response_id.as_deref().context("a reply without its id")?;
        let requests: Vec<&Record> = facts.records.iter().filter(|record| record.key == *key).collect();
        let last = requests.last().context("a reply that was never asked for")?;
        ensure!(last.id == id, "{key} was asked again after its reply {id} was committed: {requests:?}");
        ensure!(last.written, "the reply {id} is in the ledger, and yet was never written whole");
        ensure!(
            (bill.input_tokens, bill.output_tokens) == (last.prompt_tokens, last.completion_tokens),
            "{key} is billed {bill:?}, the mock counted {last:?}"
        );
        let lost = bills.len() - 1;
        ensure!(requests.len() - 1 <= lost, "{key} was asked {} times and billed {lost} times as lost", requests.len());
        ensure!(bills.iter().all(|bill| bill.basis == "provider" || bill.basis == "bound"), "{bills:?}");
    }
    Ok(())
}

/// Budgets are the sums of the ledger; nothing is held any more; the report says the same.
fn ledger(facts: &Facts) -> Result<()> {
    let total = amount(facts.bills.iter());
    let mock: u64 = {
        let ids: BTreeSet<&str> = facts.billed().filter_map(|bill| bill.response_id.as_deref()).collect();
        let written = facts.records.iter().filter(|record| ids.contains(record.id.as_str()));
        written.map(|record| record.prompt_tokens + record.completion_tokens).sum()
    };
    ensure!(i64::try_from(mock) == Ok(amount(facts.billed()).tokens), "the mock counted {mock} tokens");
    ensure!(
        facts.run.summary.cost_usd == total.cost,
        "the report says {}, the ledger {}",
        facts.run.summary.cost_usd,
        total.cost
    );
    let mut by_level: BTreeMap<&str, convoke_domain::budget::Amount> = BTreeMap::new();
    for budget in &facts.budgets {
        ensure!(budget.reserved.cost == Money::ZERO && budget.reserved.tokens == 0, "still held: {budget:?}");
        // A day may end while the run goes on.
        let sum = by_level.entry(budget.scope.split(':').next().unwrap_or_default()).or_default();
        (sum.cost, sum.tokens) = (sum.cost + budget.settled.cost, sum.tokens + budget.settled.tokens);
    }
    for level in ["run", "session", "workspace"] {
        ensure!(
            by_level.get(level) == Some(&total),
            "the {level} budget has {:?}, the ledger {total:?}",
            by_level.get(level)
        );
    }
    Ok(())
}

/// No gap, one end of the run, one end of each task.
fn events(facts: &Facts) -> Result<()> {
    let numbers = facts.events.iter().map(|event| event.seq);
    ensure!(numbers.eq(1..=i64::try_from(facts.events.len())?), "there is a gap");
    let count = |kind: &str, id: &str| {
        facts.events.iter().filter(|event| event.kind.as_str() == kind && event.entity_id == id).count()
    };
    let run = facts.run.summary.id.to_string();
    for kind in ["run.created", "run.started", "run.completed"] {
        ensure!(count(kind, &run) == 1, "{} times {kind}", count(kind, &run));
    }
    for task in &facts.run.tasks {
        let id = task.id.to_string();
        for kind in ["task.created", "task.started", "task.completed"] {
            ensure!(count(kind, &id) == 1, "{} times {kind} of {}", count(kind, &id), task.key);
        }
    }
    Ok(())
}

/// Each specialist's file is there once, whole, and recorded as done.
fn effects(facts: &Facts) -> Result<()> {
    ensure!(facts.files.len() == crate::hub::SPECIALISTS.len(), "{} specialists", facts.files.len());
    for (specialist, files) in &facts.files {
        let whole: Vec<_> = files.iter().filter(|(name, _)| !name.starts_with(TEMPORARY)).collect();
        let [(name, text)] = whole.as_slice() else { bail!("{specialist} has the files {files:?}") };
        ensure!(name == job::FILE && *text == job::findings(specialist), "{specialist} wrote `{text}` to {name}");
    }
    let calls = facts.run.tasks.iter().flat_map(|task| &task.attempts).flat_map(|attempt| &attempt.steps);
    let writes: Vec<_> = calls.filter(|step| step.kind == "tool").collect();
    ensure!(writes.len() == facts.files.len() && writes.iter().all(|step| step.status == "done"), "{writes:?}");
    ensure!(facts.run.effects.iter().all(|effect| effect.state == "done"), "{:?}", facts.run.effects);
    Ok(())
}
