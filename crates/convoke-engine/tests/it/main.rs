//! Whole hubs on a real store with scripted models: one file per subject.

mod agent;
mod approval;
mod budget;
mod bus;
mod compact;
mod concurrency;
mod crash;
mod effect;
mod failure;
mod fair;
mod grant;
mod handoff;
mod lease;
mod leave;
mod limits;
mod lock;
mod memory;
mod outage;
mod pattern;
mod person;
mod play;
mod program;
mod question;
mod run;
mod share;
mod spawn;
