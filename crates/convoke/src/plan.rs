//! `convoke plan`: what a run would take, before any money is spent: by rule, or with a script in a folder that is thrown away.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use convoke_api::Source;
use convoke_domain::money::Money;
use convoke_domain::plan::{self, Forecast, Range, Rate, Sum};
use convoke_domain::profile::AgentKind;
use convoke_domain::record::RunRecord;
use convoke_domain::spec::RunSpec;
use convoke_domain::team::Pattern;
use convoke_engine::Caps;
use convoke_port::model::Tariff;
use serde_json::{Value, json};

use crate::args::{Global, money, tokens};
use crate::error::{Exit, Failure, Result};
use crate::hub::{Hub, Settings};
use crate::job::{Job, MAX_TEAM_FILE, is_path};
use crate::place::Place;
use crate::run::default_model;
use crate::runs::room;
use crate::text::{self, BOLD, DIM, Side, Table, YELLOW, paint};
use crate::wire::{self, Parts};
use crate::{definition, file, say};

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// A team's name, or the path of its file
    pub team: String,
    /// What it would be given to do
    pub task: String,
    /// Model for every agent, such as openai/gpt-5
    #[arg(long, value_name = "PROVIDER/MODEL")]
    pub model: Option<String>,
    /// The most dollars that the run may cost
    #[arg(long, value_name = "USD", value_parser = money, allow_negative_numbers = true)]
    pub budget: Option<Money>,
    /// The most tokens that the run may use
    #[arg(long, value_name = "N", value_parser = tokens, allow_negative_numbers = true)]
    pub tokens: Option<i64>,
    /// Play the run with this script, in a folder that is thrown away, and count
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    pub script: Option<PathBuf>,
    /// Folder that the members may read, with --script
    #[arg(long, value_name = "DIR", requires = "script")]
    pub input: Option<PathBuf>,
}

/// What is known before a run.
struct Planned {
    forecast: Forecast,
    /// Agents whose model has no known price, or who have none.
    unpriced: Vec<String>,
    warnings: Vec<String>,
    cap: Option<Money>,
    /// What a script's run took.
    played: Option<RunRecord>,
}

impl PlanArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let hub = Hub::up_to_date(global).await?;
        let mut spec = self.spec(&hub).await?;
        let script = self.script.as_deref().map(|path| wire::full_name(&format!("script/{}", path.display())));
        let over = match (script.transpose()?, &self.model) {
            (Some(script), _) => Some(script),
            (None, model) => model.as_deref().map(wire::full_name).transpose()?,
        };
        let default = default_model().as_deref().map(wire::full_name).transpose()?;
        let without = spec.choose_models(over.as_deref(), default.as_deref());
        let parts = wire::connect(&hub.place.dir)?;
        let (rates, mut unpriced) = rates(&spec, &parts, &hub.place.dir)?;
        unpriced.extend(without);
        let forecast = plan::forecast(&Arc::new(spec.clone()), &self.task, &rates);
        let cap = self.budget.or(spec.team.budget.max_cost_usd);
        let most_tokens = self.tokens.or_else(|| spec.team.budget.max_tokens.and_then(|most| i64::try_from(most).ok()));
        let warnings = warnings(&forecast, cap, most_tokens);
        let played = match &over {
            Some(script) if self.script.is_some() => Some(self.play(global, &spec, script).await?),
            _ => None,
        };
        let planned = Planned { forecast, unpriced, warnings, cap, played };
        if global.json {
            say::json(&as_json(&spec, &planned))?;
        } else {
            tell(&spec, &planned)?;
        }
        Ok(Exit::Done)
    }

    /// The team as a run would pin it. Nothing is saved.
    async fn spec(&self, hub: &Hub) -> Result<RunSpec> {
        if !is_path(&self.team) {
            return Ok(hub.engine.assemble(&self.team).await?.0);
        }
        let text = file::read(Path::new(&self.team), MAX_TEAM_FILE)?;
        // That a budget cannot suffice is what a plan tells, and why.
        let known = definition::known(hub).await?.without_rates();
        let bundle = definition::read(&[Source { file: &self.team, text: &text }], &known)?;
        let [team] = bundle.teams.as_slice() else {
            let message = format!("`{}` holds {}; a plan needs one", self.team, text::many(bundle.teams.len(), "team"));
            return Err(Failure::usage("which_team", message).hint("give a file with one document of `kind: team`"));
        };
        let mut spec = definition::spec_of(hub, team, &bundle.profiles).await?;
        spec.settle_flow()
            .map_err(|reason| Failure::usage("bad_flow", format!("the flow cannot be used: {reason}")))?;
        Ok(spec)
    }

    /// Plays the run with a script where nothing can come to harm.
    async fn play(&self, global: &Global, spec: &RunSpec, script: &str) -> Result<RunRecord> {
        let dir = std::env::temp_dir().join(format!("convoke-plan-{}", std::process::id()));
        let place = Place { dir: dir.clone(), usual: false };
        let global = Global { database: None, quiet: true, ..global.clone() };
        let played = self.played(&global, place, (spec, script)).await;
        // What could not be removed is in the folder for such things, and the system clears it.
        let _ = std::fs::remove_dir_all(&dir);
        played
    }

    async fn played(&self, global: &Global, place: Place, (spec, script): (&RunSpec, &str)) -> Result<RunRecord> {
        let parts = wire::connect(&place.dir)?;
        let parts = Parts { tools: wire::harmless(parts.tools), ..parts };
        let hub = Hub::worker(global, place, parts.clone(), Settings::default()).await?;
        hub.engine.save(spec.profiles.values().cloned().collect(), vec![spec.team.clone()], &hub.user).await?;
        let job = Job {
            team: spec.team.name.clone(),
            task: self.task.clone(),
            input: self.input.clone(),
            model: Some(script.to_owned()),
            default_model: None,
            caps: Caps { cost: self.budget, tokens: self.tokens },
            session: None,
            allow_unpriced: false,
        };
        job.play(&hub, &parts).await
    }
}

/// What each agent's calls cost, and for whom that is not known.
fn rates(spec: &RunSpec, parts: &Parts, dir: &Path) -> Result<(BTreeMap<String, Rate>, Vec<String>)> {
    let (mut rates, mut unpriced) = (BTreeMap::new(), Vec::new());
    for (agent, models) in &spec.models {
        let Some(first) = models.first() else { continue };
        let longest = spec.profiles.get(agent).map_or(4_096, |profile| profile.model_settings.max_output_tokens);
        let (price, most) = match parts.models.find(first) {
            Ok(handle) => {
                let price = match handle.tariff {
                    Tariff::Priced(price) | Tariff::Simulated(price) => Some(price),
                    Tariff::Local => Some(convoke_domain::price::Price::FREE),
                    Tariff::Unpriced => None,
                };
                (price, handle.max_output_tokens)
            }
            // Without a key its price is known all the same.
            Err(_) => (wire::price(dir, first)?, longest),
        };
        if price.is_none() {
            unpriced.push(agent.clone());
        }
        rates.insert(agent.clone(), Rate { price, max_output_tokens: longest.min(most) });
    }
    Ok((rates, unpriced))
}

fn warnings(forecast: &Forecast, cap: Option<Money>, most_tokens: Option<i64>) -> Vec<String> {
    let mut found = Vec::new();
    let least = forecast.takes.least;
    if let Some(cap) = cap {
        if least.cost_usd > cap {
            found.push(format!(
                "the budget of {cap} cannot suffice: the least that the run takes is about {}",
                least.cost_usd
            ));
        } else if forecast.dearest_call_usd > cap {
            found.push(format!(
                "the budget of {cap} cannot suffice: one call is held to cost up to {} before it is made",
                forecast.dearest_call_usd
            ));
        } else if forecast.takes.typical.cost_usd > cap {
            found.push(format!(
                "the budget of {cap} may not suffice: a run typically takes {}",
                forecast.takes.typical.cost_usd
            ));
        }
    }
    if let Some(most) = most_tokens.filter(|most| i64::try_from(least.tokens).unwrap_or(i64::MAX) > *most) {
        let (most, least) = (text::count(most), count(least.tokens));
        found
            .push(format!("the budget of {most} tokens cannot suffice: the least that the run takes is about {least}"));
    }
    if forecast.completed == 0 {
        found.push("no rehearsal came to a result: see what `convoke validate` says of the team".to_owned());
    }
    if forecast.broken_off {
        found.push(
            "rehearsals were broken off where they had too many tasks: the most is more than is shown".to_owned(),
        );
    }
    found
}

fn as_json(spec: &RunSpec, planned: &Planned) -> Value {
    let mut value = json!({
        "team": spec.team.name, "pattern": spec.team.pattern.as_str(), "budget_usd": planned.cap,
        "unpriced": planned.unpriced, "warnings": planned.warnings, "plan": planned.forecast,
    });
    if let Some(record) = &planned.played {
        let run = &record.summary;
        value["script"] = json!({
            "state": run.state, "tasks": record.tasks.len(), "model_calls": run.model_calls, "tool_calls": run.tool_calls,
            "tokens": run.tokens, "cost_usd": run.cost_usd, "error": run.error, "reason": run.reason,
        });
    }
    value
}

fn tell(spec: &RunSpec, planned: &Planned) -> Result<()> {
    let forecast = &planned.forecast;
    let own = spec.team.flow.is_some() && spec.team.pattern.as_str() == Pattern::COORDINATOR_WORKER;
    let way = if own { "by steps of its own".to_owned() } else { format!("by `{}`", spec.team.pattern.as_str()) };
    say::line(&format!("{}  {}", paint(BOLD, &spec.team.name), paint(DIM, &format!("{way}; no money was spent"))))?;
    say::line("")?;
    say::text(&takes(forecast, planned).text(room()))?;
    say::line("")?;
    say::text(&agents(forecast).text(room()))?;
    let asks: Vec<_> = forecast.agents.iter().filter(|share| !share.asks.is_empty()).collect();
    if !asks.is_empty() {
        say::line(&format!("\n{}", paint(BOLD, "A person is asked for leave")))?;
    }
    for share in asks {
        say::line(&format!("  {} asks before it calls {}", share.agent, text::line(&share.asks.join(", "))))?;
    }
    tell_not_counted(planned)?;
    if let Some(record) = &planned.played {
        let run = &record.summary;
        let why =
            run.error.as_ref().or(run.reason.as_ref()).map(|why| format!(": {}", text::line(why))).unwrap_or_default();
        say::line(&format!(
            "\n{}  {}{why}; {}, {} and {}, {} tokens, {} (simulated)",
            paint(BOLD, "With the script"),
            run.state,
            text::many(record.tasks.len(), "task"),
            calls(run.model_calls, "model call"),
            calls(run.tool_calls, "tool call"),
            text::count(run.tokens),
            run.cost_usd
        ))?;
    }
    if !planned.unpriced.is_empty() {
        let who = planned.unpriced.join(", ");
        say::line(&format!(
            "\n{}",
            paint(YELLOW, &format!("not in the cost, as no price is known of the model: {who}"))
        ))?;
    }
    for warning in &planned.warnings {
        say::line(&format!("\n{} {}", paint(YELLOW, "warning:"), warning))?;
    }
    Ok(())
}

/// What agents may do besides, and what bounds it.
fn tell_not_counted(planned: &Planned) -> Result<()> {
    let beyond = &planned.forecast.not_counted;
    if beyond.is_empty() {
        return Ok(());
    }
    say::line(&format!("\n{}", paint(BOLD, "Not counted: what agents decide themselves")))?;
    for one in beyond {
        say::line(&format!("  {} may, with `{}`, {}", one.agent, one.tool, one.may))?;
    }
    let holds = match planned.cap {
        Some(cap) => format!("the budget of {cap} does"),
        None => "a budget does, and none is set: `--budget USD`".to_owned(),
    };
    say::line(&format!("  How often they do depends on what models answer, so no figure would hold; {holds}."))
}

fn calls(number: i64, noun: &str) -> String {
    text::many(usize::try_from(number).unwrap_or(0), noun)
}

fn count(number: u64) -> String {
    text::count(i64::try_from(number).unwrap_or(i64::MAX))
}

fn takes(forecast: &Forecast, planned: &Planned) -> Table {
    let right = |name| (name, Side::Right);
    let mut table = Table::new(&[("", Side::Left), right("LEAST"), right("TYPICAL"), right("MOST")]);
    let mut row = |name: &str, of: &dyn Fn(&Sum) -> String| {
        let Range { least, typical, most } = &forecast.takes;
        table.row([name.to_owned(), of(least), of(typical), of(most)]);
    };
    row("tasks", &|sum| count(sum.tasks));
    row("model calls", &|sum| count(sum.calls));
    row("tokens", &|sum| count(sum.tokens));
    let known = forecast.takes.most.cost_usd > Money::ZERO || planned.unpriced.is_empty();
    row("cost", &|sum| if known { sum.cost_usd.to_string() } else { "–".to_owned() });
    for (name, range) in [("at the same time", &forecast.width), ("rounds", &forecast.rounds)] {
        table.row([name.to_owned(), count(range.least), count(range.typical), count(range.most)]);
    }
    table
}

fn agents(forecast: &Forecast) -> Table {
    let mut table =
        Table::new(&[("AGENT", Side::Left), ("TASKS", Side::Right), ("TYPICAL", Side::Right), ("MODEL", Side::Left)]);
    for share in &forecast.agents {
        let Range { least, typical, most } = share.tasks;
        let tasks = if least == most { count(least) } else { format!("{}–{}", count(least), count(most)) };
        let model = match (share.agent_kind, &share.model) {
            (AgentKind::Human, _) => "a person".to_owned(),
            (AgentKind::Command, _) => "a program".to_owned(),
            (AgentKind::Llm, Some(model)) => text::line(model),
            (AgentKind::Llm, None) => "–".to_owned(),
        };
        table.row([share.agent.clone(), tasks, count(typical), model]);
    }
    table
}
