//! Whether a team's budget can suffice at all: the least that its calls take, in tokens and in dollars.
//!
//! Rule: a budget is refused only if every way to run ends in want of it; so each call is that of whoever takes least. What cannot be
//! reckoned, since a model's price is not known, is said. Start at [`check`].

use convoke_domain::money::Money;
use convoke_domain::profile::AgentKind;
use convoke_domain::transcript::Usage;

use super::crew::{Crew, Priced};
use super::{Found, round_up};
use crate::known::Facts;
use crate::node::Node;
use crate::problem::finding;

/// A budget that cannot suffice.
pub(crate) const TOO_SMALL: &str = "budget_too_small";
/// A budget that cannot be reckoned; a note and no problem.
pub(crate) const UNPRICED: &str = "unpriced_model";

/// Tokens that a provider adds around a prompt; see docs/concept/budgets.md.
const AROUND: u64 = 400;
/// The most bytes of a prompt that any tokenizer makes one token of, in the mean.
const BYTES_MOST: usize = 8;
/// Bytes of a prompt for which a call reserves a token.
const BYTES_RESERVED: usize = 2;

/// What is wrong with a team's budgets if a run makes at least so many model calls.
pub(crate) fn check<'n>(crew: &Crew<'n>, calls: u64) -> Vec<Found<'n>> {
    let mut found = Vec::new();
    let mut say = |node: &'n Node, code: &'static str, message: String, hint: String| {
        found.push(Found { node, part: None, finding: finding(code, message, hint) });
    };
    let least = least_tokens(crew, calls);
    if let Some((most, node)) = crew.max_tokens.filter(|(most, _)| *most < least) {
        let message =
            format!("a run makes at least {calls} model calls, which need {least} tokens; the budget is {most}");
        let hint = format!(
            "set `budget: {{max_tokens: {}}}` or more, or lower `max_output_tokens` in the profiles",
            round_up(least)
        );
        say(node, TOO_SMALL, message, hint);
    }
    if calls == 0 || crew.max_cost.is_none() && crew.max_task_cost.is_none() {
        return found;
    }
    match costs(crew) {
        Costs::Known { used, reserved } => {
            let least = Money::from_nanos(nanos_times(used, calls - 1)) + reserved;
            if let Some((most, node)) = crew.max_cost.filter(|(most, _)| *most < least) {
                let message = match calls {
                    1 => format!(
                        "a run makes at least 1 model call, which is held to cost {least}; the budget is {most}"
                    ),
                    _ => format!("a run makes at least {calls} model calls, which cost {least}; the budget is {most}"),
                };
                say(node, TOO_SMALL, message, fix("max_cost_usd", least));
            }
            if let Some((most, node)) = crew.max_task_cost.filter(|(most, _)| *most < reserved) {
                let message = format!("one model call is held to cost {reserved} at least; a task may cost {most}");
                say(node, TOO_SMALL, message, fix("max_cost_per_task_usd", reserved));
            }
        }
        Costs::Unpriced { agent, model } => {
            let Some((_, node)) = crew.max_cost.or(crew.max_task_cost) else { return found };
            let message = format!(
                "whether this budget suffices is not checked: no price is known of `{model}`, the model of `{agent}`"
            );
            say(node, UNPRICED, message, "add its price to `prices.yaml` in the data folder".to_owned());
        }
        Costs::Open => {}
    }
    found
}

/// What to write instead of an amount that is too small, in whole ten-thousandths of a dollar.
fn fix(field: &str, least: Money) -> String {
    let units = u64::try_from(least.as_nanos()).unwrap_or(0).div_ceil(100_000);
    let amount = round_up(units) as f64 / 10_000.0;
    format!(
        "set `budget: {{{field}: {amount}}}` or more, lower `max_output_tokens` in the profiles, or name a cheaper model"
    )
}

fn nanos_times(one: Money, times: u64) -> i64 {
    one.as_nanos().saturating_mul(i64::try_from(times).unwrap_or(i64::MAX))
}

/// Those in the team who ask models.
fn models<'c, 'n>(crew: &'c Crew<'n>) -> impl Iterator<Item = (&'n str, &'c Facts)> {
    crew.facts.iter().filter(|(_, facts)| facts.kind == AgentKind::Llm).map(|(name, facts)| (*name, facts))
}

/// The least tokens that so many calls need, whoever makes them: each uses its prompt, and the last must find room for its reply.
fn least_tokens(crew: &Crew<'_>, calls: u64) -> u64 {
    let used = models(crew).map(|(_, facts)| used(facts)).min().unwrap_or(0);
    let reserved = models(crew).map(|(_, facts)| reserved(facts) + facts.reply).min().unwrap_or(0);
    if calls == 0 { 0 } else { (calls - 1).saturating_mul(used).saturating_add(reserved) }
}

fn used(facts: &Facts) -> u64 {
    (facts.prompt / BYTES_MOST) as u64 + 1
}

fn reserved(facts: &Facts) -> u64 {
    (facts.prompt / BYTES_RESERVED) as u64 + AROUND
}

/// What one call costs whoever takes least.
enum Costs<'c> {
    /// What it costs at least, and what is held for it before it is made.
    Known { used: Money, reserved: Money },
    /// Nobody knows what this agent's model costs.
    Unpriced { agent: &'c str, model: &'c str },
    /// Which model some agent will ask is not known before a run.
    Open,
}

fn costs<'c>(crew: &'c Crew<'_>) -> Costs<'c> {
    let mut least: Option<(Money, Money)> = None;
    let mut is_open = false;
    for (agent, facts) in models(crew) {
        for (model, priced) in crew.models.get(agent).map(Vec::as_slice).unwrap_or_default() {
            let Priced::At(price, longest) = priced else {
                if *priced == Priced::Unknown {
                    return Costs::Unpriced { agent, model };
                }
                is_open = true;
                continue;
            };
            let input = used(facts);
            let plain = price.of(Usage { input_tokens: input, ..Usage::default() });
            let cached = price.of(Usage { input_tokens: input, cache_read_tokens: input, ..Usage::default() });
            let one = (plain.min(cached), price.at_most(reserved(facts), facts.reply.min(u64::from(*longest))));
            least = Some(least.map_or(one, |(used, held)| (used.min(one.0), held.min(one.1))));
        }
        is_open |= crew.models.get(agent).is_none_or(Vec::is_empty);
    }
    match least {
        Some((used, reserved)) if !is_open => Costs::Known { used, reserved },
        _ => Costs::Open,
    }
}
