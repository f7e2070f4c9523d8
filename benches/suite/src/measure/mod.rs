//! The measurements, one file each. [`crate::list`] names them all.

pub mod binary;
pub mod flow;
pub mod fsync;
pub mod graph;
pub mod idle;
pub mod locks;
pub mod messages;
pub mod mock;
pub mod postgres;
pub mod runs;
pub mod spawn;
pub mod steps;
pub mod tasks;
