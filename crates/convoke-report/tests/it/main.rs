//! Reports of runs of every kind: snapshots of what is told, and what nobody's text may do to it.

mod html;
mod injection;
mod json;
mod markdown;
mod samples;
mod tree;
