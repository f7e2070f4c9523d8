//! Flows driven through made-up runs: what each primitive makes of what can happen, and that every run ends.

mod bounds;
mod large;
mod noted;
mod primitives;
mod situations;
mod told;
mod world;
