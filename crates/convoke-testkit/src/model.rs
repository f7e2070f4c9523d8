//! A model played by a closure, with a record of every call and a gate to hold calls at.

use std::sync::{Arc, Mutex, PoisonError};

use convoke_domain::price::Price;
use convoke_domain::transcript::{Block, StopReason, ToolCall, Usage};
use convoke_port::BoxFuture;
use convoke_port::model::{
    Delta, Fault, Model, ModelError, ModelHandle, ModelReply, ModelRequest, Models, RateLimit, Tariff,
};
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

type Play = dyn Fn(&ModelRequest) -> Result<ModelReply, ModelError> + Send + Sync;

/// Models that all answer as one closure says.
#[derive(Clone)]
pub struct FakeModels {
    play: Arc<Play>,
    tariff: Tariff,
    calls: Arc<Mutex<Vec<ModelRequest>>>,
    gates: Vec<(Gate, Held)>,
}

/// Which calls a gate holds.
#[derive(Clone)]
enum Held {
    /// Every one from this number on.
    From(usize),
    /// Those of these agents.
    Of(&'static [&'static str]),
}

/// Holds model calls until it is opened.
#[derive(Clone, Default)]
pub struct Gate {
    inner: Arc<Door>,
}

#[derive(Default)]
struct Door {
    opened: Notify,
    arrived: Notify,
    /// Whether it is open, and how many calls came.
    state: Mutex<(bool, usize)>,
}

impl Gate {
    /// Lets every call pass from now on.
    pub fn open(&self) {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner).0 = true;
        self.inner.opened.notify_waiters();
    }

    /// Returns once `count` calls are held, or have been.
    pub async fn held(&self, count: usize) {
        loop {
            let arrived = self.inner.arrived.notified();
            if self.inner.state.lock().unwrap_or_else(PoisonError::into_inner).1 >= count {
                return;
            }
            arrived.await;
        }
    }

    async fn pass(&self) {
        let opened = self.inner.opened.notified();
        tokio::pin!(opened);
        opened.as_mut().enable();
        let is_open = {
            let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.1 += 1;
            state.0
        };
        self.inner.arrived.notify_waiters();
        if !is_open {
            opened.await;
        }
    }
}

impl FakeModels {
    /// Models that answer as `play` says, at 1 USD per million tokens in and 2 out.
    pub fn new(play: impl Fn(&ModelRequest) -> Result<ModelReply, ModelError> + Send + Sync + 'static) -> Self {
        let price = Price { input: 1.0, output: 2.0, cache_read: None, cache_write: None };
        Self { play: Arc::new(play), tariff: Tariff::Priced(price), calls: Arc::default(), gates: Vec::new() }
    }

    /// The same on another tariff.
    #[must_use]
    pub fn with_tariff(mut self, tariff: Tariff) -> Self {
        self.tariff = tariff;
        self
    }

    /// The same, each call held at a gate.
    #[must_use]
    pub fn with_gate(self, gate: &Gate) -> Self {
        self.with_gate_from(gate, 1)
    }

    /// The same, each call from the `first` on held at a gate.
    #[must_use]
    pub fn with_gate_from(mut self, gate: &Gate, first: usize) -> Self {
        self.gates.push((gate.clone(), Held::From(first)));
        self
    }

    /// The same, each call of these agents held at a gate.
    #[must_use]
    pub fn with_gate_for(mut self, gate: &Gate, agents: &'static [&'static str]) -> Self {
        self.gates.push((gate.clone(), Held::Of(agents)));
        self
    }

    /// Every call so far, in order of arrival.
    pub fn calls(&self) -> Vec<ModelRequest> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Models for FakeModels {
    fn find(&self, name: &str) -> Result<ModelHandle, ModelError> {
        let Some((provider, model)) = name.split_once('/') else {
            return Err(fault(Fault::NoSuchModel, &format!("`{name}` is not `provider/model`")));
        };
        Ok(ModelHandle {
            model: Arc::new(self.clone()),
            provider: provider.to_owned(),
            name: model.to_owned(),
            tariff: self.tariff,
            context_window: 200_000,
            max_output_tokens: 8_192,
        })
    }
}

impl Model for FakeModels {
    fn call<'a>(
        &'a self,
        request: &'a ModelRequest,
        watch: &'a (dyn Fn(Delta) + Send + Sync),
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ModelReply, ModelError>> {
        Box::pin(async move {
            let number = {
                let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
                calls.push(request.clone());
                calls.len()
            };
            let is_held = |held: &Held| match held {
                Held::From(first) => number >= *first,
                Held::Of(agents) => agents.contains(&request.origin.agent.as_str()),
            };
            for (gate, _) in self.gates.iter().filter(|(_, held)| is_held(held)) {
                tokio::select! {
                    () = gate.pass() => {}
                    () = cancel.cancelled() => return Err(fault(Fault::Cancelled, "cancelled")),
                }
            }
            let reply = (self.play)(request)?;
            for block in &reply.blocks {
                if let Block::Text { text } = block {
                    watch(Delta::Text(text.clone()));
                }
            }
            Ok(reply)
        })
    }
}

/// A reply with this text: 100 tokens in, 10 out.
pub fn says(text: impl Into<String>) -> ModelReply {
    reply(vec![Block::Text { text: text.into() }], StopReason::End)
}

/// A reply that asks for tools: (call id, name, arguments).
pub fn asks(calls: &[(&str, &str, Value)]) -> ModelReply {
    let block = |(id, name, input): &(&str, &str, Value)| {
        Block::ToolCall(ToolCall { id: (*id).to_owned(), name: (*name).to_owned(), input: input.clone() })
    };
    reply(calls.iter().map(block).collect(), StopReason::ToolCalls)
}

fn reply(blocks: Vec<Block>, stop: StopReason) -> ModelReply {
    let usage = Usage { input_tokens: 100, output_tokens: 10, ..Usage::default() };
    let response_id = format!("resp-{:016x}", fastrand::u64(..));
    ModelReply { blocks, stop, usage: Some(usage), model: "fake".into(), response_id, rate_limit: RateLimit::default() }
}

/// An error of this kind that is not billed.
pub fn fault(fault: Fault, message: &str) -> ModelError {
    ModelError {
        fault,
        message: message.to_owned(),
        status: None,
        retry_after: None,
        may_be_billed: false,
        usage: None,
    }
}
