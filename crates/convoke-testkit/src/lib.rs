//! Tests only: a whole hub in a line, scripted models, fault injection.

pub mod incident;
