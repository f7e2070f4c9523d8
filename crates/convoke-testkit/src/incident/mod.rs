//! A made-up incident as a folder of files: logs, metrics, deploys, access rules, bills, prose.
//!
//! Rule: the same [`Options`] give the same bytes. No file names the cause; it shows only when metrics, logs and deploys are
//! laid side by side. The files are the example and the proof that the library's scripts hold no answer: another cause
//! or time must lead to another report. Start at [`generate`].

mod access;
mod billing;
mod cause;
mod deploys;
mod draw;
mod logs;
mod metrics;
mod prose;
mod when;

use std::io;
use std::path::Path;

pub use cause::Cause;
use cause::Story;
use draw::Draw;
pub use when::Minute;

/// Minutes of data before the incident.
const BEFORE: i64 = 180;
/// Minutes of data after it began; it is still going on at the end.
const AFTER: i64 = 40;
/// Minutes from the deploy that caused it to the incident.
const FUSE: i64 = 16;
/// Services, in the order in which they are written.
const SERVICES: [&str; 4] = ["gateway", "orders-api", "payments-api", "worker"];

/// What happens and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// What runs out.
    pub cause: Cause,
    /// When it has run out.
    pub at: Minute,
    /// Noise differs with the seed, the story does not.
    pub seed: u64,
}

impl Default for Options {
    /// The database connection pool of the payment service, at 14:30 UTC.
    fn default() -> Self {
        Self { cause: Cause::Connections, at: Minute::of_day(14, 30), seed: 7 }
    }
}

/// A file: its path inside the folder, and its bytes.
pub type File = (String, Vec<u8>);

/// What all files are made from.
struct Scene {
    story: Story,
    at: Minute,
    seed: u64,
}

impl Scene {
    fn start(&self) -> Minute {
        self.at.plus(-BEFORE)
    }

    fn minutes(&self) -> impl Iterator<Item = Minute> + use<> {
        let start = self.start();
        (0..BEFORE + AFTER).map(move |minute| start.plus(minute))
    }

    fn deployed(&self) -> Minute {
        self.at.plus(-FUSE)
    }

    /// How far the resource is on its way from its usual level (0) to its limit (1).
    fn strain(&self, minute: Minute) -> f64 {
        let done = minute.since(self.deployed()) as f64 / FUSE as f64;
        done.clamp(0.0, 1.0)
    }

    /// Random numbers for one file, independent of how much noise another file has.
    fn draw(&self, file: &str) -> Draw {
        Draw::new(self.seed, file)
    }
}

/// All files of the incident.
pub fn generate(options: &Options) -> Vec<File> {
    let scene = Scene { story: options.cause.story(), at: options.at, seed: options.seed };
    let mut files = logs::files(&scene);
    files.extend(metrics::files(&scene));
    files.extend(deploys::files(&scene));
    files.extend(access::files(&scene));
    files.extend(billing::files(&scene));
    files.extend(prose::files(&scene));
    files.sort();
    files
}

/// Writes all files into `folder`, which is made if it is not there.
pub fn write(options: &Options, folder: &Path) -> io::Result<()> {
    for (path, bytes) in generate(options) {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, bytes)?;
    }
    Ok(())
}
