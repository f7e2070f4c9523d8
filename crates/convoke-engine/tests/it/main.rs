//! Whole hubs on a real store with scripted models: one file per subject.

mod approval;
mod budget;
mod concurrency;
mod crash;
mod effect;
mod failure;
mod fair;
mod lease;
mod leave;
mod limits;
mod outage;
mod pattern;
mod person;
mod play;
mod run;
