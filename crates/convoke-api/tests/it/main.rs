//! Tests of what files may say: broken ones and their messages, right ones and the way back.

mod broken;
mod export;
mod library;
mod schema;
