//! Whole hubs on a real store with scripted models: one file per subject.

mod budget;
mod bus;
mod concurrency;
mod crash;
mod effect;
mod failure;
mod fair;
mod lease;
mod limits;
mod outage;
mod pattern;
mod play;
mod run;
