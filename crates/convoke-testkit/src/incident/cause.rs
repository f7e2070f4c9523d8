//! What can run out, and the story that goes with it: where, through which setting, with which errors and bills.

use std::fmt;
use std::str::FromStr;

/// What runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Connections of a service to its database.
    Connections,
    /// Threads that serve requests.
    Threads,
    /// Space on a disk.
    Disk,
    /// Memory of a process.
    Memory,
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 4] = [Self::Connections, Self::Threads, Self::Disk, Self::Memory];

    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Threads => "threads",
            Self::Disk => "disk",
            Self::Memory => "memory",
        }
    }

    /// What the metrics' catalog calls the resource that runs out.
    pub fn resource_name(self) -> &'static str {
        let story = self.story();
        let named = super::metrics::RESOURCES.iter().find(|resource| resource.id == story.resource);
        named.map_or("", |resource| resource.name)
    }

    pub(super) const fn story(self) -> Story {
        match self {
            Self::Connections => CONNECTIONS,
            Self::Threads => THREADS,
            Self::Disk => DISK,
            Self::Memory => MEMORY,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Cause {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::as_str).join(", ");
        Self::ALL.into_iter().find(|cause| cause.as_str() == text).ok_or(format!("`{text}` is no cause; use {known}"))
    }
}

/// One cause in detail.
pub(super) struct Story {
    /// The service where it happens.
    pub(super) service: &'static str,
    /// The resource, as the metrics name it.
    pub(super) resource: &'static str,
    /// Its usual level.
    pub(super) usual: f64,
    /// Its limit before and after the deploy.
    pub(super) limits: (f64, f64),
    /// The setting that the deploy changed: file, key, before, after.
    pub(super) setting: (&'static str, &'static str, &'static str, &'static str),
    /// Versions: of an earlier harmless deploy, from and to, then of this one, from and to.
    pub(super) versions: [&'static str; 4],
    /// The team that owns the service.
    pub(super) team: &'static str,
    /// What the change says of itself.
    pub(super) summary: &'static str,
    /// What the service logs when a request fails: message and error.
    pub(super) failure: (&'static str, &'static str),
    /// What the services that call it log.
    pub(super) knock_on: (&'static str, &'static str),
    /// The item of the bill that rises.
    pub(super) billed: &'static str,
}

const CONNECTIONS: Story = Story {
    service: "payments-api",
    resource: "db_connections",
    usual: 13.0,
    limits: (50.0, 20.0),
    setting: ("config/payments-api.yaml", "db.pool.max_size", "50", "20"),
    versions: ["7.18.1", "7.18.2", "7.18.2", "7.19.0"],
    team: "team-harbour",
    summary: "Tidy configuration and align defaults with the staging cluster",
    failure: ("charge failed", "gave up after 5000 ms waiting to acquire"),
    knock_on: ("order not placed", "payments-api answered 503"),
    billed: "database",
};

const THREADS: Story = Story {
    service: "orders-api",
    resource: "thread_pool",
    usual: 17.0,
    limits: (64.0, 24.0),
    setting: ("config/orders-api.yaml", "server.worker_count", "64", "24"),
    versions: ["5.39.7", "5.40.0", "5.40.1", "5.41.0"],
    team: "team-orchard",
    summary: "Right-size the service after the capacity review",
    failure: ("request rejected", "queued for 5000 ms without being picked up"),
    knock_on: ("refund not started", "orders-api answered 503"),
    billed: "compute",
};

const DISK: Story = Story {
    service: "worker",
    resource: "disk_gb",
    usual: 58.0,
    limits: (100.0, 100.0),
    setting: ("config/worker.yaml", "spool.keep_hours", "2", "96"),
    versions: ["3.1.9", "3.2.0", "3.2.1", "3.3.0"],
    team: "team-quarry",
    summary: "Keep processed jobs for replay, as support asked",
    failure: ("job not saved", "write failed: os error 28"),
    knock_on: ("confirmation not queued", "worker answered 507"),
    billed: "storage",
};

const MEMORY: Story = Story {
    service: "orders-api",
    resource: "memory_mb",
    usual: 1_150.0,
    limits: (2_048.0, 2_048.0),
    setting: ("config/orders-api.yaml", "cache.max_entries", "20000", "2000000"),
    versions: ["5.39.7", "5.40.0", "5.40.1", "5.41.0"],
    team: "team-orchard",
    summary: "Speed up the product page by looking up less often",
    failure: ("process ended", "exit status 137, restarted by the platform"),
    knock_on: ("refund not started", "orders-api closed the connection"),
    billed: "compute",
};
