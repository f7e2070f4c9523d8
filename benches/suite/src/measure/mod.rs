//! The measurements, one file each. [`crate::list`] names them all.

pub mod binary;
pub mod fsync;
pub mod idle;
pub mod mock;
pub mod runs;
pub mod tasks;
