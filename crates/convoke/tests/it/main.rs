//! The real binary in a temporary folder: what a person types, what they read, how it ends.

mod analytics;
mod budget;
mod bundle;
mod db;
mod demo;
mod diagram;
mod docs;
mod govern;
mod inbox;
mod json;
mod library;
mod person;
mod plan;
mod postgres;
mod quiet;
mod refused;
mod share;
mod shelf;
mod stop;
mod support;
mod talk;
mod terminal;
mod together;
mod together_work;
mod usage;
