//! Tests of the library's data: the incident, what the scripts make of it, and every pattern on real stores.

mod answer;
mod conduct;
mod incident;
mod left;
mod lock;
mod pattern;
mod script;
