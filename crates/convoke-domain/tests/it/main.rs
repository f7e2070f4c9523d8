//! What the domain promises to those outside of it.

mod event;
mod voting;
