//! Tests of the library's data: the incident, and what the scripts make of it.

mod incident;
mod lock;
mod script;
