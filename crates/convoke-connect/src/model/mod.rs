//! Model providers: one adapter per wire format, and [`Providers`], which finds a model by its name.
//!
//! An adapter makes one attempt, streams it, and says honestly what went wrong. Start at [`Providers::find`] in
//! `providers.rs`; `http/` is the one place that sends anything; each format has `encode.rs` and `decode.rs`.

mod anthropic;
mod assemble;
mod chat;
mod config;
mod gemini;
mod http;
mod price;
mod providers;
mod responses;
#[cfg(test)]
mod sample;
mod sampling;
mod schema;
pub mod script;
mod secret;

use convoke_port::model::{Fault, ModelError};

pub use config::{Compatible, ConfigError, ModelConfig, Remote};
pub use price::{ModelFacts, PriceError, PriceTable};
pub use providers::Providers;
pub use secret::Secret;

/// An error that came before anything was sent: no status, nothing billed.
fn refused(fault: Fault, message: impl Into<String>) -> ModelError {
    ModelError { fault, message: message.into(), status: None, retry_after: None, may_be_billed: false, usage: None }
}
