//! What is remembered: counts, and a record of each request with whether its answer was fully written.
//!
//! "Written" means handed to the operating system whole; a client that died meanwhile may not have read it. It is noted
//! just before the bytes go out and taken back if they do not, so whoever has read an answer finds it counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::options::Usage;

/// Records that are kept; further requests are counted only, and `records_left_out` says how many.
const RECORDS: usize = 1_000_000;

/// One request and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its number from 1, in order of arrival.
    pub number: u64,
    /// The id of the response; empty where none was made.
    pub id: String,
    /// The model that was asked for.
    pub model: String,
    /// The request's own key, from its `Idempotency-Key` or `X-Client-Request-Id` header.
    pub key: String,
    /// A digest of the request's body: two requests with the same digest asked the same.
    pub digest: u64,
    /// True once the whole response was written.
    pub written: bool,
    /// The fault that struck it.
    pub fault: Option<String>,
    /// Microseconds from the whole request to the response.
    pub served_us: u64,
    /// The tokens that the response claimed; zero where none was made.
    pub prompt_tokens: u64,
    /// As above.
    pub completion_tokens: u64,
}

/// Counts since the start or the last reset.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Requests that arrived whole.
    pub requests: u64,
    /// Responses that were written whole and were no errors.
    pub completed: u64,
    /// Requests that a fault struck, by its name.
    pub faults: BTreeMap<String, u64>,
    /// Requests that could not be read.
    pub unreadable: u64,
    /// Sums over the completed responses.
    pub prompt_tokens: u64,
    /// As above; reasoning included.
    pub completion_tokens: u64,
    /// As above.
    pub cached_tokens: u64,
    /// As above.
    pub reasoning_tokens: u64,
    /// Requests being answered now.
    pub in_flight: u64,
    /// The most requests that were being answered at once.
    pub max_in_flight: u64,
    /// Connections since the start.
    pub connections: u64,
    /// Mean microseconds from the whole request to the response, of the completed.
    pub served_us_mean: f64,
    /// The longest such time.
    pub served_us_max: u64,
    /// Requests beyond the records that are kept.
    pub records_left_out: u64,
}

/// Counts and records behind one lock, which is held for an instant only.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    stats: Stats,
    served_us_sum: u64,
    records: Vec<Record>,
}

/// What is known of a request when it arrives.
#[derive(Debug)]
pub struct Arrival {
    /// Its number from 1.
    pub number: u64,
    /// When it was read whole.
    pub at: Instant,
}

impl Tally {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("nothing panics with the lock held")
    }

    /// Counts a connection.
    pub fn connection(&self) {
        self.inner().stats.connections += 1;
    }

    /// Counts a request that could not be read.
    pub fn unreadable(&self) {
        self.inner().stats.unreadable += 1;
    }

    /// Counts a request and opens its record.
    pub fn arrived(&self, key: &str, digest: u64) -> Arrival {
        let mut inner = self.inner();
        inner.stats.requests += 1;
        inner.stats.in_flight += 1;
        inner.stats.max_in_flight = inner.stats.max_in_flight.max(inner.stats.in_flight);
        let number = inner.stats.requests;
        if inner.records.len() < RECORDS {
            inner.records.push(Record {
                number,
                id: String::new(),
                model: String::new(),
                key: key.to_owned(),
                digest,
                written: false,
                fault: None,
                served_us: 0,
                prompt_tokens: 0,
                completion_tokens: 0,
            });
        } else {
            inner.stats.records_left_out += 1;
        }
        Arrival { number, at: Instant::now() }
    }

    /// Notes what a request asked and what will be answered, before a byte of the answer is written.
    pub fn answering(&self, arrival: &Arrival, model: &str, id: &str, usage: Usage) {
        self.inner().with(arrival, |record| {
            model.clone_into(&mut record.model);
            id.clone_into(&mut record.id);
            record.prompt_tokens = usage.prompt_tokens;
            record.completion_tokens = usage.completion_tokens;
        });
    }

    /// Notes the fault that strikes a request.
    pub fn struck(&self, arrival: &Arrival, fault: &'static str) {
        let mut inner = self.inner();
        *inner.stats.faults.entry(fault.to_owned()).or_default() += 1;
        inner.with(arrival, |record| record.fault = Some(fault.to_owned()));
    }

    /// Closes a request whose good response is about to be written whole.
    pub fn completed(&self, arrival: &Arrival, usage: Usage) {
        let served = micros(arrival.at.elapsed());
        let mut inner = self.inner();
        inner.leave();
        inner.stats.completed += 1;
        inner.stats.prompt_tokens += usage.prompt_tokens;
        inner.stats.completion_tokens += usage.completion_tokens;
        inner.stats.cached_tokens += usage.cached_tokens;
        inner.stats.reasoning_tokens += usage.reasoning_tokens;
        inner.stats.served_us_max = inner.stats.served_us_max.max(served);
        inner.served_us_sum += served;
        inner.with(arrival, |record| {
            record.written = true;
            record.served_us = served;
        });
    }

    /// Takes back `completed`: the client went away before all was written.
    pub fn not_written(&self, arrival: &Arrival, usage: Usage) {
        let mut inner = self.inner();
        let stats = &mut inner.stats;
        stats.completed = stats.completed.saturating_sub(1);
        stats.prompt_tokens = stats.prompt_tokens.saturating_sub(usage.prompt_tokens);
        stats.completion_tokens = stats.completion_tokens.saturating_sub(usage.completion_tokens);
        stats.cached_tokens = stats.cached_tokens.saturating_sub(usage.cached_tokens);
        stats.reasoning_tokens = stats.reasoning_tokens.saturating_sub(usage.reasoning_tokens);
        let mut served = 0;
        inner.with(arrival, |record| {
            record.written = false;
            served = record.served_us;
        });
        inner.served_us_sum = inner.served_us_sum.saturating_sub(served);
    }

    /// Closes a request that got no good response.
    pub fn failed(&self, arrival: &Arrival) {
        let served = micros(arrival.at.elapsed());
        let mut inner = self.inner();
        inner.leave();
        inner.with(arrival, |record| record.served_us = served);
    }

    /// The counts.
    pub fn stats(&self) -> Stats {
        let inner = self.inner();
        let mut stats = inner.stats.clone();
        if stats.completed > 0 {
            stats.served_us_mean = inner.served_us_sum as f64 / stats.completed as f64;
        }
        stats
    }

    /// The records, without the first `skip`.
    pub fn records(&self, skip: usize) -> Vec<Record> {
        self.inner().records.iter().skip(skip).cloned().collect()
    }

    /// Forgets everything but the requests that are being answered, which end as requests nobody knows.
    pub fn reset(&self) {
        let mut inner = self.inner();
        let (in_flight, connections) = (inner.stats.in_flight, inner.stats.connections);
        *inner = Inner::default();
        inner.stats.in_flight = in_flight;
        inner.stats.connections = connections;
    }
}

impl Inner {
    fn leave(&mut self) {
        self.stats.in_flight = self.stats.in_flight.saturating_sub(1);
    }

    /// Changes the record of a request, if it is kept and no reset came between.
    fn with(&mut self, arrival: &Arrival, change: impl FnOnce(&mut Record)) {
        let index = usize::try_from(arrival.number - 1).unwrap_or(usize::MAX);
        if let Some(record) = self.records.get_mut(index) {
            change(record);
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
