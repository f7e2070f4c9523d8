//! Tools over files: confined to the attempt's folder and, for reading, the run's input folder.
//!
//! Rule: every open goes through [`ground`], which lets no path lead outside. Start there.

mod fence;
pub(crate) mod ground;
pub(crate) mod line;
pub(crate) mod list;
pub(crate) mod patch;
pub(crate) mod read;
pub(crate) mod search;
pub(crate) mod walk;
mod wanted;
pub(crate) mod write;
