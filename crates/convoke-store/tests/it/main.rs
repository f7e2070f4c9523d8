//! What the store promises, checked on real databases: every case in `cases!` runs on each of them.

mod support;

mod backup;
mod batch;
mod event;
mod fault;
mod folder;
mod migrate;
mod power;
mod power_disk;
mod read;
mod row;
