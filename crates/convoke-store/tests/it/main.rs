//! What the store promises, checked on real databases: every case in `cases!` runs on each of them.

mod support;

mod agent;
mod analytics;
mod approval;
mod backup;
mod batch;
mod bus;
mod context;
mod event;
mod fault;
mod folder;
mod frame;
mod handoff;
mod journal;
mod load;
mod lock;
mod memory;
mod migrate;
mod node;
mod noun;
mod outage;
mod outcome;
mod postgres;
mod power;
mod power_disk;
mod rating;
mod read;
mod row;
mod run;
mod scale;
mod server;
mod task;
mod tenant;
mod tls;
mod wait;
