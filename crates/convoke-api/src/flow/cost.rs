//! Whether a team's budget can suffice at all: the least that its calls take, in tokens and in dollars.
//!
//! Rule: a budget is refused only if every way to run ends in want of it; so each call is made by whoever is known to make it, with
//! the cheapest of its models, and by whoever takes least where that is not known. What cannot be reckoned, since a model's price is
//! not known, is said. Start at [`check`].

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

/// The least that something takes, each figure by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Least {
    /// Model calls.
    pub(crate) calls: u64,
    /// Tokens that they use.
    tokens: u64,
    /// What they cost, in billionths of a dollar.
    nanos: i64,
    /// What is held for the dearest of them before it is made.
    held: i64,
}

impl Least {
    /// This and that.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            tokens: self.tokens.saturating_add(other.tokens),
            nanos: self.nanos.saturating_add(other.nanos),
            held: self.held.max(other.held),
        }
    }

    /// This or that.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            calls: self.calls.min(other.calls),
            tokens: self.tokens.min(other.tokens),
            nanos: self.nanos.min(other.nanos),
            held: self.held.min(other.held),
        }
    }

    /// This, so many times.
    pub(crate) fn times(self, many: u64) -> Self {
        let held = if many == 0 { 0 } else { self.held };
        Self {
            calls: self.calls.saturating_mul(many),
            tokens: self.tokens.saturating_mul(many),
            nanos: self.nanos.saturating_mul(i64::try_from(many).unwrap_or(i64::MAX)),
            held,
        }
    }

    /// So many of these, whichever they are.
    pub(crate) fn some_of(all: &[Self], many: usize) -> Self {
        fn least<T: Ord + Copy>(all: &[Least], many: usize, of: impl Fn(&Least) -> T) -> Vec<T> {
            let mut found: Vec<T> = all.iter().map(of).collect();
            found.sort_unstable();
            found.truncate(many);
            found
        }
        Self {
            calls: least(all, many, |one| one.calls).into_iter().fold(0, u64::saturating_add),
            tokens: least(all, many, |one| one.tokens).into_iter().fold(0, u64::saturating_add),
            nanos: least(all, many, |one| one.nanos).into_iter().fold(0, i64::saturating_add),
            held: least(all, many, |one| one.held).last().copied().unwrap_or(0),
        }
    }
}

/// One call of whoever of these it is: one of the names, or anybody where they are not known. Who asks no model takes nothing.
pub(crate) fn call(crew: Option<&Crew<'_>>, names: Option<&[String]>) -> Least {
    let any = Least { calls: 1, ..Least::default() };
    let Some(crew) = crew else { return any };
    let of = |name: &str| match crew.facts.get(name) {
        None => any,
        Some(facts) if facts.kind != AgentKind::Llm => Least::default(),
        Some(facts) => {
            let (nanos, held) = priced(crew, name, facts).unwrap_or((0, 0));
            Least { calls: 1, tokens: used(facts), nanos, held }
        }
    };
    match names {
        Some(names) => names.iter().map(|name| of(name)).reduce(Least::or).unwrap_or(any),
        None => models(crew).map(|(name, _)| of(name)).reduce(Least::or).unwrap_or(any),
    }
}

/// What is wrong with a team's budgets if a run takes at least so much.
pub(crate) fn check<'n>(crew: &Crew<'n>, takes: Least) -> Vec<Found<'n>> {
    let mut found = Vec::new();
    let mut say = |node: &'n Node, code: &'static str, message: String, hint: String| {
        found.push(Found { node, part: None, finding: finding(code, message, hint) });
    };
    let calls = takes.calls;
    let least = least_tokens(crew, takes);
    if let Some((most, node)) = crew.max_tokens.filter(|(most, _)| *most < least) {
        let made = if calls == 1 {
            "1 model call, which needs".to_owned()
        } else {
            format!("{calls} model calls, which need")
        };
        let message = format!("a run makes at least {made} {least} tokens; the budget is {most}");
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
        Costs::Known { room } => {
            let (all, one) = (takes.nanos.saturating_add(room), takes.held);
            let least = Money::from_nanos(all.max(one));
            if let Some((most, node)) = crew.max_cost.filter(|(most, _)| *most < least) {
                let message = match calls {
                    1 => format!(
                        "a run makes at least 1 model call, which is held to cost {least}; the budget is {most}"
                    ),
                    _ if one > all => format!(
                        "a run makes at least {calls} model calls, one of which is held to cost {least}; the budget is {most}"
                    ),
                    _ => format!("a run makes at least {calls} model calls, which cost {least}; the budget is {most}"),
                };
                say(node, TOO_SMALL, message, fix("max_cost_usd", least));
            }
            let one = Money::from_nanos(one);
            if let Some((most, node)) = crew.max_task_cost.filter(|(most, _)| *most < one) {
                let message = format!("one model call is held to cost {one} at least; a task may cost {most}");
                say(node, TOO_SMALL, message, fix("max_cost_per_task_usd", one));
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

/// Those in the team who ask models.
fn models<'c, 'n>(crew: &'c Crew<'n>) -> impl Iterator<Item = (&'n str, &'c Facts)> {
    crew.facts.iter().filter(|(_, facts)| facts.kind == AgentKind::Llm).map(|(name, facts)| (*name, facts))
}

/// The least tokens that calls need: each uses its prompt, and the last, whoever makes it, must find room for its reply.
fn least_tokens(crew: &Crew<'_>, takes: Least) -> u64 {
    let room = |facts: &Facts| (reserved(facts) + facts.reply).saturating_sub(used(facts));
    let room = models(crew).map(|(_, facts)| room(facts)).min().unwrap_or(0);
    if takes.calls == 0 { 0 } else { takes.tokens.saturating_add(room) }
}

fn used(facts: &Facts) -> u64 {
    (facts.prompt / BYTES_MOST) as u64 + 1
}

fn reserved(facts: &Facts) -> u64 {
    (facts.prompt / BYTES_RESERVED) as u64 + AROUND
}

/// What is known of what calls cost.
enum Costs<'c> {
    /// All of it: what the last call, whoever makes it, must find room for besides what it costs.
    Known { room: i64 },
    /// Nobody knows what this agent's model costs.
    Unpriced { agent: &'c str, model: &'c str },
    /// Which model some agent will ask is not known before a run.
    Open,
}

fn costs<'c>(crew: &'c Crew<'_>) -> Costs<'c> {
    let mut room: Option<i64> = None;
    let mut is_open = false;
    for (agent, facts) in models(crew) {
        let all = crew.models.get(agent).map(Vec::as_slice).unwrap_or_default();
        if let Some((model, _)) = all.iter().find(|(_, priced)| *priced == Priced::Unknown) {
            return Costs::Unpriced { agent, model };
        }
        is_open |= all.is_empty() || all.iter().any(|(_, priced)| *priced == Priced::Unasked);
        for (used, held) in all.iter().filter_map(|(_, priced)| one(facts, *priced)) {
            let more = held.saturating_sub(used);
            room = Some(room.map_or(more, |room| room.min(more)));
        }
    }
    match room {
        Some(room) if !is_open => Costs::Known { room },
        _ => Costs::Open,
    }
}

/// What a call of an agent costs at least, and what is held for it: by the model that takes least.
fn priced(crew: &Crew<'_>, name: &str, facts: &Facts) -> Option<(i64, i64)> {
    let all = crew.models.get(name)?.iter().filter_map(|(_, priced)| one(facts, *priced));
    all.reduce(|a, b| (a.0.min(b.0), a.1.min(b.1)))
}

/// What one call costs at least, and what is held for it before it is made.
fn one(facts: &Facts, priced: Priced) -> Option<(i64, i64)> {
    let Priced::At(price, longest) = priced else { return None };
    let input = used(facts);
    let plain = price.of(Usage { input_tokens: input, ..Usage::default() });
    let cached = price.of(Usage { input_tokens: input, cache_read_tokens: input, ..Usage::default() });
    let held = price.at_most(reserved(facts), facts.reply.min(u64::from(longest)));
    Some((plain.min(cached).as_nanos(), held.as_nanos()))
}
