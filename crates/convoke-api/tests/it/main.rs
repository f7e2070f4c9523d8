//! Tests of what files may say: broken ones and their messages, right ones and the way back.

mod broken;
mod course;
mod docs;
mod export;
mod extend;
mod judge;
mod library;
mod outcome;
mod pattern;
mod planned;
mod random;
mod schema;
