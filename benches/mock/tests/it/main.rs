//! The mock over real sockets, spoken to by a client written here in a few lines.

mod answers;
mod client;
mod faults;
