//! The lists: every measurement and every soak by name. A new one needs a file and a row here.

use anyhow::Result;

use crate::context::Context;
use crate::figure::Figure;
use crate::{measure, soak};

/// One measurement: called once a round.
#[derive(Debug, Clone, Copy)]
pub struct Measurement {
    /// A short name.
    pub name: &'static str,
    /// What it measures and how, in a sentence.
    pub about: &'static str,
    /// Measures once.
    pub run: fn(&Context) -> Result<Vec<Figure>>,
}

/// One soak: called with one seed after another.
#[derive(Debug, Clone, Copy)]
pub struct Soak {
    /// A short name.
    pub name: &'static str,
    /// What must hold, in a sentence.
    pub about: &'static str,
    /// Rounds when nobody says how many.
    pub rounds: u64,
    /// One round; all its chances come from the seed.
    pub run: fn(&Context, u64) -> Result<()>,
}

/// All measurements, in the order of the table.
pub const MEASUREMENTS: &[Measurement] = &[
    Measurement {
        name: "fsync",
        about: "4 KiB appended to a file and `fdatasync`, one after another: the floor of every durable step.",
        run: measure::fsync::run,
    },
    Measurement {
        name: "mock",
        about: "The mock model server at latency 0 with 64 connections: what it costs must be small beside a run.",
        run: measure::mock::run,
    },
    Measurement {
        name: "overhead",
        about: "One durable run of six model calls at a time (plan, 4 in parallel, synthesis): what Convoke adds to the models' time.",
        run: measure::runs::overhead,
    },
    Measurement {
        name: "runs",
        about: "The same run many times at once at 50 ms latency, durable on SQLite, in one process.",
        run: measure::runs::throughput,
    },
    Measurement {
        name: "postgres",
        about: "The same runs durable on PostgreSQL on the same machine; its own processor time is not in these figures.",
        run: measure::postgres::run,
    },
    Measurement {
        name: "tasks",
        about: "Task lifecycles on SQLite (create, claim, complete, each answered after its commit) with 1 to 1,024 in flight; and floors.",
        run: measure::tasks::run,
    },
    Measurement {
        name: "locks",
        about: "Locks on SQLite (acquire and release, each answered after its commit) with 1 to 1,024 in flight.",
        run: measure::locks::run,
    },
    Measurement {
        name: "graph",
        about: "A run of 100,000 tasks, each waiting for two others: its start, its ready set, and a task's cost beside one of 1,000.",
        run: measure::graph::run,
    },
    Measurement {
        name: "flow",
        about: "Flows on SQLite: the cost of a step in short and long ones, what coordination adds at 50 ms latency, what working at once gains.",
        run: measure::flow::run,
    },
    Measurement {
        name: "spawn",
        about: "An agent added to a run that is under way: its rights, limits, task and events in one durable transaction.",
        run: measure::spawn::run,
    },
    Measurement {
        name: "steps",
        about: "An attempt of 100,000 model calls: what an entry of its journal costs near its end, beside one near the beginning of another.",
        run: measure::steps::journal,
    },
    Measurement {
        name: "resume",
        about: "A worker that died after 100,000 steps of an attempt: the time until the attempt goes on.",
        run: measure::steps::resume,
    },
    Measurement {
        name: "messages",
        about: "Messages from people to agents of a run, durable on SQLite, 1,024 in flight; and from a sender to a follower at 1,000 a second.",
        run: measure::messages::run,
    },
    Measurement {
        name: "binary",
        about: "Size of the release binary, and the time from starting `convoke --version` to its end.",
        run: measure::binary::run,
    },
    Measurement {
        name: "idle",
        about: "Memory of a Convoke whose only run waits for a model that does not answer.",
        run: measure::idle::run,
    },
];

/// All soaks.
pub const SOAKS: &[Soak] = &[
    Soak {
        name: "mock",
        about: "Whatever goes wrong, the mock's counts equal its records and what its clients saw.",
        rounds: 50,
        run: soak::mock::run,
    },
    Soak {
        name: "kill",
        about: "A run whose process is killed at random points, resumed and killed again, ends as if nothing had been.",
        rounds: 500,
        run: soak::kill::run,
    },
    Soak {
        name: "kill-postgres",
        about: "The same with the data on PostgreSQL, where a task is taken over when its lease has run out.",
        rounds: 200,
        run: soak::kill::run_on_postgres,
    },
];
