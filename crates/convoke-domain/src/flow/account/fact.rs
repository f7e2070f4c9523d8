//! What there is to say of votes, merges, reviews, handoffs, delegations, and of how disagreement was settled.

use serde_json::Value;

use super::walk::{Walk, keys};
use super::{
    EarlierVote, Fact, Judged, MOST_DISAGREEMENTS, MergeFact, ReviewFact, ReviewRound, SettleFact, Turn, VoteFact,
};
use crate::event::Kind;
use crate::flow::memory::{self, State};
use crate::flow::{MAX_ROUNDS, ReviewStep, SettleStep, path};
use crate::merge::Position;
use crate::vote;

impl Walk<'_> {
    pub(super) fn vote(&self, at: &str, state: &memory::Vote) -> Fact {
        let tally = vote::tally(&state.rule, &state.electorate, &state.ballots);
        let result = self.frame(at).and_then(|frame| frame.result.as_ref());
        let casting = result.and_then(|result| serde_json::from_value(result["casting"].clone()).ok());
        let counted = self.sources.notes.iter().filter(|note| {
            note.kind == Kind::VoteCounted.as_str()
                && note.payload["path"] == at
                && note.payload["round"] != state.round
        });
        let earlier = counted.map(|note| EarlierVote {
            round: note.payload["round"].as_u64().and_then(|round| u32::try_from(round).ok()).unwrap_or(1),
            standing: serde_json::from_value(note.payload["standing"].clone()).unwrap_or_default(),
            ballots: serde_json::from_value(note.payload["ballots"].clone()).unwrap_or_default(),
        });
        let name = path::split(at).map_or(at, |(_, segment)| path::id_of(segment));
        let question = self.own.get(name).and_then(|step| step.vote.as_ref()).map(|vote| vote.question.clone());
        Fact::Vote(Box::new(VoteFact {
            question: question.filter(|question| !question.contains("{{") && !question.contains("{%")),
            options: state.rule.options.clone(),
            electorate: state.electorate.clone(),
            majority: state.rule.majority,
            quorum: state.rule.quorum,
            tie: state.rule.tie,
            choice: result.and_then(|result| result["choice"].as_str()).map(str::to_owned),
            casting: casting.unwrap_or(None),
            round: state.round,
            earlier: earlier.collect(),
            outcome: tally.outcome,
            standing: tally.standing,
            ballots: tally.ballots,
            dissent: tally.dissent,
            abstained: tally.abstained,
            outstanding: tally.outstanding,
            turnout: tally.turnout,
            quorum_met: tally.quorum_met,
            decided_early: tally.decided_early,
            tie_broken: tally.tie_broken,
        }))
    }

    pub(super) fn merge(&self, at: &str) -> Option<Fact> {
        let note = self.note(Kind::MergeCompleted, at)?;
        let list = |key: &str| serde_json::from_value(note[key].clone()).unwrap_or_default();
        let mut fact = MergeFact {
            how: note["how"].as_str().unwrap_or_default().to_owned(),
            from: list("from"),
            missing: list("missing"),
            disagreements: serde_json::from_value(note["disagreements"].clone()).unwrap_or_default(),
            more_disagreements: note["more_disagreements"]
                .as_u64()
                .and_then(|more| usize::try_from(more).ok())
                .unwrap_or(0),
        };
        fact.more_disagreements += fact.disagreements.len().saturating_sub(MOST_DISAGREEMENTS);
        fact.disagreements.truncate(MOST_DISAGREEMENTS);
        Some(Fact::Merge(fact))
    }

    pub(super) fn settle(&self, at: &str, settle: &SettleStep) -> Option<Fact> {
        self.frame(at)?;
        let leaf = |name: &str| self.frame(&path::join(at, name)).and_then(|frame| frame.result.as_ref());
        let result = self.result(at).filter(|result| result.get("settled_by").is_some()).unwrap_or(Value::Null);
        let (above, _) = path::split(at).unwrap_or_default();
        let mut positions: Vec<Position> = Vec::new();
        for (agent, value) in self.shares(above, &settle.of) {
            let value = settle.field.as_ref().map_or(value.clone(), |field| value[field].clone());
            let same = |one: &&mut Position| vote::canonical_value(&one.value) == vote::canonical_value(&value);
            match positions.iter_mut().find(same) {
                Some(position) => position.agents.push(agent),
                None => positions.push(Position { value, agents: vec![agent] }),
            }
        }
        positions.sort_by_key(|position| std::cmp::Reverse(position.agents.len()));
        Some(Fact::Settle(SettleFact {
            answer: result["answer"].clone(),
            settled_by: result["settled_by"].as_str().map(str::to_owned),
            reason: result["reason"].as_str().map(str::to_owned),
            positions,
            agreement: leaf("_agreement").and_then(Value::as_f64).or_else(|| result["agreement"].as_f64()),
        }))
    }

    /// Who said what in a split, or in a list of its results.
    fn shares(&self, block: &str, name: &str) -> Vec<(String, Value)> {
        let visits = match self.frame(block).map(|frame| &frame.state) {
            Some(State::Block(block)) => block.visits.values().copied().max().unwrap_or(1),
            _ => 1,
        };
        let paths = (1..=visits.min(MAX_ROUNDS)).rev().map(|visit| path::visited(block, name, visit));
        let Some((at, frame)) = paths.into_iter().find_map(|at| self.frame(&at).map(|frame| (at, frame))) else {
            return Vec::new();
        };
        if let State::Split(split) = &frame.state {
            let shares = keys(split).filter_map(|key| {
                let child = path::join(&at, &key);
                let agent = self.tasks.get(child.as_str()).map_or(key, |task| task.agent.clone());
                Some((agent, self.result(&child)?))
            });
            return shares.collect();
        }
        let shares = frame.result.as_ref().and_then(Value::as_array).into_iter().flatten();
        let shares = shares.filter(|share| share["ok"] == true).map(|share| {
            let agent = share["agent"].as_str().or(share["key"].as_str()).unwrap_or_default();
            (agent.to_owned(), share["value"].clone())
        });
        shares.collect()
    }

    /// The paths of the rounds that began in what stands at a path.
    fn rounds(&self, at: &str) -> Vec<(u32, String)> {
        let all = path::join(at, "rounds");
        let Some(State::Loop { round, .. }) = self.frame(&all).map(|frame| &frame.state) else { return Vec::new() };
        (1..=*round).map(|round| (round, path::join(&all, &round.to_string()))).collect()
    }

    pub(super) fn review(&self, at: &str, review: &ReviewStep) -> Fact {
        let mut fact = ReviewFact::default();
        for (round, inside) in self.rounds(at) {
            let verdicts = path::join(&inside, "verdicts");
            let keys: Vec<String> = match self.frame(&verdicts).map(|frame| &frame.state) {
                Some(State::Split(split)) => keys(split).collect(),
                _ => Vec::new(),
            };
            let revision = self.tasks.get(path::join(&inside, "revision").as_str());
            fact.author = fact.author.or_else(|| revision.map(|task| task.agent.clone()));
            fact.rounds.push(ReviewRound {
                round,
                verdict: self
                    .result(&path::join(&inside, "_verdict"))
                    .and_then(|said| said.as_str().map(str::to_owned)),
                verdicts: keys.iter().map(|key| self.judged(&path::join(&verdicts, key), "verdict")).collect(),
                revised: revision.is_some_and(|task| task.output.is_some()),
            });
        }
        fact.author = fact.author.or_else(|| Some(review.author.clone()).filter(|author| !author.contains("{{")));
        Fact::Review(fact)
    }

    fn judged(&self, at: &str, field: &str) -> Judged {
        let said = self.result(at).unwrap_or(Value::Null);
        let task = self.tasks.get(at);
        let verdict = match &said[field] {
            Value::Bool(true) => Some("accept".to_owned()),
            Value::Bool(false) => Some("send_back".to_owned()),
            other => other.as_str().map(str::to_owned),
        };
        let error = || task.and_then(|task| task.error.clone()).unwrap_or_default();
        Judged {
            by: task.map(|task| task.agent.clone()).unwrap_or_default(),
            verdict,
            comments: said["comments"].as_str().map_or_else(error, str::to_owned),
        }
    }

    pub(super) fn handoff(&self, at: &str) -> Fact {
        let turns = self.rounds(at).into_iter().filter_map(|(_, inside)| {
            let work = path::join(&inside, "work");
            let task = self.tasks.get(work.as_str())?;
            let said = self.result(&work).unwrap_or(Value::Null);
            let text = |key: &str| said[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
            let status = text("status");
            let to = text("hand_to").filter(|_| status.as_deref() == Some("hand_over"));
            Some(Turn { agent: task.agent.clone(), status, to, reason: text("reason").unwrap_or_default() })
        });
        Fact::Handoff(turns.collect())
    }

    pub(super) fn delegate(&self, at: &str) -> Fact {
        let judged = self.rounds(at).into_iter().filter_map(|(_, inside)| {
            let judgement = path::join(&inside, "judgement");
            self.tasks.contains_key(judgement.as_str()).then(|| self.judged(&judgement, "accept"))
        });
        Fact::Delegate(judged.collect())
    }
}
