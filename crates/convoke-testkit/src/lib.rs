//! Tests only: a whole hub in a line, scripted models, fault injection.

pub mod incident;

pub mod event;
pub mod hub;
pub mod model;
pub mod tool;
