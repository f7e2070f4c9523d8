//! Keeping a conversation within its model's window. What is decided is journaled with the call that follows from it, so an
//! attempt which goes on after a crash sends the same conversation.
//!
//! Rule: a summary by a model passes the *spend* door like any other call; where it cannot be had, a rule shortens instead.
//! Start at [`Driver::fit`].

use std::collections::BTreeMap;
use std::sync::Arc;

use convoke_domain::compaction::{self as domain, Compaction, CompactionRule, Room, Wanted};
use convoke_domain::event::Kind;
use convoke_domain::transcript::{Turn, text_of};
use convoke_store::{Result as Stored, Tx, step};
use serde_json::{Value, json};

use crate::drive::{Driver, Halt};
use crate::engine::emit;
use crate::journal::{Admitted, Begun, Intent, Journal};
use crate::spend::{Journaled, Said};

/// The kind of step that holds how a conversation is sent from then on.
pub(crate) const STEP: &str = "compact";
/// The kind of step that holds what an opening showed of shared context and memory.
pub(crate) const BRIEF: &str = "brief";
/// What the calls that summarize are called among those of their turn.
const CALL: &str = "compaction:";
/// The most tokens of a summary.
const SUMMARY_TOKENS: u32 = 2_000;
/// Percent of the summarizer's window that its material may take, and the most bytes of it.
const MATERIAL: (u64, usize) = (50, 400_000);
/// Tokens in 1,000 bytes for texts that a careful estimate finds too large.
const HOPEFUL: u64 = 250;

/// How a conversation is kept within its model's window.
#[derive(Default)]
pub(crate) struct Fit {
    how: Option<Compaction>,
    /// Summaries that were paid for, by turn and turns left out.
    summaries: BTreeMap<(i64, usize), String>,
    /// What the provider's counts say.
    density: Option<u64>,
    /// The turn at which a provider found the conversation too long.
    refused_at: Option<u32>,
    /// To be journaled with the next call.
    kept: Vec<Begun>,
}

impl Fit {
    /// Takes in what a provider counted.
    pub(crate) fn measure(&mut self, bytes: usize, tokens: u64) {
        let density = domain::measured(bytes, tokens);
        if density != domain::DENSITY {
            self.density = Some(density);
        }
    }

    /// Takes in that a provider found `bytes` too long for a window. False if it said so at this turn before: then nothing
    /// more can be done about it.
    pub(crate) fn refused(&mut self, turn: u32, bytes: usize, window: u64) -> bool {
        if self.refused_at == Some(turn) {
            return false;
        }
        self.refused_at = Some(turn);
        self.density = Some(window.saturating_mul(1_000) / (bytes as u64).max(1) + 1);
        true
    }

    /// What is to be journaled with the next call.
    pub(crate) fn take_kept(&mut self) -> Vec<Begun> {
        std::mem::take(&mut self.kept)
    }

    /// Has something journaled with the next call, as step `n`.
    pub(crate) fn keep(
        &mut self,
        n: i64,
        turn: i64,
        (kind, by): (&'static str, &str),
        text: String,
        event: Option<(Kind, Value)>,
    ) {
        self.kept.retain(|begun| begun.n != n);
        let what = Intent::Kept { kind, text, event };
        self.kept.push(Begun { n, turn, name: by.to_owned(), input_hash: String::new(), what, ask: None });
    }
}

impl Driver {
    /// Takes over a step that is about the conversation itself. False if the step is another.
    pub(crate) fn replay_fit(&mut self, step: &step::Record) -> Result<bool, Halt> {
        let output = step.output.as_deref().filter(|_| step.status == "done");
        match step.kind.as_str() {
            STEP => {
                let how = output.map(serde_json::from_str).transpose().map_err(convoke_store::Error::from)?;
                self.fit.how = how.or(self.fit.how.take());
            }
            BRIEF => output.into_iter().for_each(|text| self.add_brief(text)),
            "model" if step.call_id.starts_with(CALL) => {
                let dropped = step.call_id.trim_start_matches(CALL).parse::<usize>().unwrap_or_default();
                if let Some(output) = output {
                    let reply: Journaled = serde_json::from_str(output).map_err(convoke_store::Error::from)?;
                    self.fit.summaries.insert((step.turn, dropped), text_of(&reply.blocks));
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The conversation as it is sent for the `turn`-th call: as it is, or without what fills the window.
    pub(crate) async fn fit(&mut self, turn: u32, said: Said, with_tools: bool) -> Result<Said, Halt> {
        let Some(room) = self.room(with_tools) else { return Ok(said) };
        // What is far from full needs no exact measure, which would cost more with each turn.
        if self.fit.how.is_none() && !room.is_full(said.1.saturating_mul(2)) {
            return Ok(said);
        }
        let turns = said.0;
        let sent = self.fit.how.as_ref().map(|how| domain::view(&turns, how));
        let before = domain::size(sent.as_ref().unwrap_or(&turns));
        if !room.is_full(before) {
            return Ok((sent.map_or(turns, Arc::new), before));
        }
        let readable = self.offered.iter().any(|tool| tool.id == "read_dropped");
        let (how, by) = match self.summarized(turn, &turns, &room, readable).await? {
            Some(found) => found,
            None => (self.by_rule(&turns, room, readable)?, "rule".to_owned()),
        };
        let sent = domain::view(&turns, &how);
        let n = self.number_of_tool(turn, STEP);
        let payload = json!({
            "step": n, "turn": turn, "by": by, "dropped": how.dropped, "bytes_before": before, "bytes_after": domain::size(&sent),
            "window": room.window,
        });
        let text = serde_json::to_string(&how).map_err(convoke_store::Error::from)?;
        self.fit.keep(n, turn.into(), (STEP, &by), text, Some((Kind::ContextCompacted, payload)));
        self.fit.how = Some(how);
        let size = domain::size(&sent);
        Ok((Arc::new(sent), size))
    }

    /// Whether a conversation that a provider found too long shall be compacted and sent again.
    pub(crate) fn may_compact(&mut self, turn: u32, turns: &[Turn], with_tools: bool) -> bool {
        let Some(room) = self.room(with_tools) else { return false };
        self.fit.refused(turn, domain::size(turns) + room.fixed, room.tokens())
    }

    fn rule(&self) -> CompactionRule {
        self.profile.compaction.clone().or_else(|| self.spec.team.compaction.clone()).unwrap_or_default()
    }

    /// The room in the smallest window of the agent's models, so that each of them can take the call. Nothing if none of
    /// them can be had: the call itself will say so.
    fn room(&self, with_tools: bool) -> Option<Room> {
        let names = self.spec.models.get(&self.at.agent)?;
        let handles: Vec<_> = names.iter().filter_map(|name| self.engine.models().find(name).ok()).collect();
        let window = handles.iter().map(|handle| handle.context_window).min()?;
        let most = self.profile.model_settings.max_output_tokens;
        let reply = handles.iter().map(|handle| most.min(handle.max_output_tokens)).max()?;
        let tools = self.offered.iter().filter(|_| with_tools);
        let tools: usize =
            tools.map(|tool| tool.spec.description.len() + tool.spec.input_schema.to_string().len()).sum();
        let schema = self.schema.as_ref().map_or(0, |schema| schema.to_string().len());
        Some(Room {
            window: self.rule().window.unwrap_or(window),
            reply: reply.into(),
            fixed: self.system.len() + tools + schema,
            density: self.fit.density.unwrap_or(domain::DENSITY),
        })
    }

    /// Shortens without a model. What a careful estimate finds too large is measured less carefully before it is given up.
    fn by_rule(&self, turns: &[Turn], room: Room, readable: bool) -> Result<Compaction, Halt> {
        let before = self.fit.how.as_ref();
        let planned = domain::plan(turns, before, &room, readable).or_else(|error| match self.fit.density {
            Some(_) => Err(error),
            None => domain::plan(turns, before, &Room { density: HOPEFUL, ..room }, readable),
        });
        planned.map_err(|error| {
            let message = format!("{error}; use a model with a larger window, or give the agent less to begin with");
            Halt::failed("context_too_large", message, false)
        })
    }

    /// Has a model summarize the older turns, where one is named for it and answers.
    async fn summarized(
        &mut self,
        turn: u32,
        turns: &[Turn],
        room: &Room,
        readable: bool,
    ) -> Result<Option<(Compaction, String)>, Halt> {
        let Some(model) = self.rule().model else { return Ok(None) };
        let Ok(handle) = self.engine.models().find(&model) else { return Ok(None) };
        let most = handle.context_window.saturating_mul(MATERIAL.0) / 100;
        let most = usize::try_from(most.saturating_mul(1_000) / domain::DENSITY).unwrap_or(usize::MAX).min(MATERIAL.1);
        let wanted = domain::wanted(turns, self.fit.how.as_ref(), room, readable, most);
        let Some(Wanted { how, material }) = wanted else { return Ok(None) };
        let known = self.fit.summaries.get(&(turn.into(), how.dropped)).cloned();
        let summary = match known {
            Some(summary) => summary,
            None => match self.ask_for_summary(turn, &model, (material, how.dropped)).await? {
                Some(summary) => summary,
                None => return Ok(None),
            },
        };
        let how = domain::summarized(how, &summary, room);
        let fits = !room.is_full(domain::size(&domain::view(turns, &how)));
        Ok((fits && !summary.trim().is_empty()).then_some((how, model)))
    }

    async fn ask_for_summary(
        &mut self,
        turn: u32,
        model: &str,
        (material, dropped): (String, usize),
    ) -> Result<Option<String>, Halt> {
        let turns = vec![Turn::user(format!("The conversation so far, oldest first:\n\n{material}"))];
        let call = match self.prepare_beside(model, turn, (domain::SUMMARIZER, turns), SUMMARY_TOKENS) {
            Ok(call) => call,
            Err(error) => {
                tracing::warn!(task = %self.at.task, %error, "older turns are shortened by rule: the model that should summarize them cannot be used");
                return Ok(None);
            }
        };
        let reply = self.spend_beside(turn, call, format!("{CALL}{dropped}")).await?;
        Ok(reply.map(|reply| text_of(&reply.reply)))
    }
}

impl Journal {
    /// Records what was decided about the conversation itself: it is done by being written down.
    pub(crate) async fn write_down(
        &self,
        tx: &mut Tx<'_>,
        intent: &Begun,
        (kind, text, event): (&'static str, &str, Option<&(Kind, Value)>),
    ) -> Stored<Admitted> {
        step::start(tx, &self.row(intent, kind, kind, None)).await?;
        step::finish(tx, self.step(intent.n), self.at.fence, "done", (Some(text), None)).await?;
        if let Some((kind, payload)) = event {
            emit(tx, *kind, self.on(), (Some(self.at.run), &self.agent()), payload.clone());
        }
        Ok(Admitted::Go)
    }
}

/// What a compaction says, for people.
pub(crate) fn told(output: &str) -> String {
    let Ok(how) = serde_json::from_str::<Compaction>(output) else { return output.to_owned() };
    let cut = format!("results before turn {} cut to {} bytes", how.cut_before + 1, how.cut_bytes);
    match how.dropped {
        0 => cut,
        dropped => format!("turns 1 to {dropped} left out; {cut}; in their place:\n{}", how.summary),
    }
}
