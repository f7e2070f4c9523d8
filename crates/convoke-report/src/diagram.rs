//! Diagrams of flows and runs: boxes in boxes, each list of steps from top to bottom. Pure.
//!
//! Rule: what is drawn follows from the flow and the record alone, so the same input gives the same bytes; texts of people and
//! agents are escaped by each form. Start at [`of_flow`], [`of_team`] or [`of_run`]; forms are [`mermaid`] and [`svg`].

mod mermaid;
mod run;
mod step;
mod svg;
mod team;
mod words;

pub use mermaid::mermaid;
pub use run::{Standing, of_run};
pub use svg::svg;
pub use team::of_team;

use convoke_domain::flow::Flow;

use self::run::Standings;
use self::step::Scene;
use self::words::Words;
use crate::quote::one_line;

/// The most characters of one line of a box.
const LINE: usize = 44;
/// The most boxes of one diagram; what goes beyond is told in a number.
const BOXES: usize = 400;

/// A diagram.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Diagram {
    title: String,
    /// What there is to know besides, a line each.
    notes: Vec<String>,
    lane: Lane,
}

/// Boxes from top to bottom.
#[derive(Debug, Clone, Default, PartialEq)]
struct Lane {
    /// What is said above it, such as the condition of a case.
    label: String,
    boxes: Vec<Shape>,
    /// Which box comes after which, by their places.
    edges: Vec<Edge>,
}

/// From one box to another.
#[derive(Debug, Clone, PartialEq)]
struct Edge {
    from: usize,
    to: usize,
    label: String,
    /// Back to an earlier box.
    is_back: bool,
}

/// A box: a step, or a task of a run.
#[derive(Debug, Clone, Default, PartialEq)]
struct Shape {
    /// What it is called.
    name: String,
    /// What else there is to say, a line each.
    lines: Vec<String>,
    look: Look,
    /// What is in it, side by side.
    lanes: Vec<Lane>,
    /// How it stands in a run.
    state: Option<Mood>,
}

/// What a box looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Look {
    /// Somebody works.
    #[default]
    Work,
    /// Others are in it.
    Group,
    /// Something is brought together or computed.
    Data,
    /// Something is decided.
    Choice,
    /// A person is asked.
    Person,
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Done,
    Failed,
    /// Work was done, and turned down.
    Rejected,
    Off,
    Open,
    Unbegun,
}

impl Mood {
    const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Off => "off",
            Self::Open => "open",
            Self::Unbegun => "unbegun",
        }
    }

    /// What the state of a task means.
    fn of(state: &str) -> Self {
        match state {
            "completed" | "archived" => Self::Done,
            "failed" => Self::Failed,
            "cancelled" => Self::Off,
            "pending" | "ready" | "blocked" => Self::Unbegun,
            _ => Self::Open,
        }
    }
}

/// The diagram of what a pattern does.
pub fn of_flow(title: &str, flow: &Flow) -> Diagram {
    of_steps(short(title), flow, Scene { words: &Words::default(), standings: &Standings::default() })
}

fn of_steps(title: String, flow: &Flow, scene: Scene<'_>) -> Diagram {
    let lane = step::lane(&flow.steps, "", scene);
    Diagram { title, notes: scene.words.notes(), lane }
}

/// One line, cut.
fn short(text: &str) -> String {
    one_line(text, LINE)
}
