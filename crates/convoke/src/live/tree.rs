//! The flow of a run in the live view: its steps as a tree that fits. What goes on is shown, what has ended is folded, and of
//! many parts those under way are shown and the others counted. Start at [`draw`].

use super::board::Board;
use super::course::{Course, Node};
use super::frame::{AGENT, NARROW, SPINNER, Shot, task};
use crate::text::{self, BOLD, CYAN, DIM, GREEN, RED, YELLOW, cut, paint, width};

/// The most parts of one step that are shown, the more the less must be folded.
const PARTS: [usize; 4] = [60, 20, 8, 3];

/// The tree in at most `room` lines.
pub fn draw(board: &Board, shot: Shot<'_>, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for (level, parts) in PARTS.into_iter().enumerate() {
        let mut sketch = Sketch { board, shot, folds: level > 0, parts, most: room, lines: Vec::new(), agent: 0 };
        sketch.agent = sketch.agents();
        sketch.list(board.course.top(), 0);
        lines = sketch.lines;
        if lines.len() <= room {
            return lines;
        }
    }
    // What is newest is at the end.
    let over = lines.len().saturating_sub(room);
    lines.drain(..over);
    lines
}

struct Sketch<'a> {
    board: &'a Board,
    shot: Shot<'a>,
    /// What has ended is one line.
    folds: bool,
    parts: usize,
    most: usize,
    lines: Vec<String>,
    agent: usize,
}

impl<'a> Sketch<'a> {
    const fn course(&self) -> &'a Course {
        &self.board.course
    }

    /// Columns for names.
    fn agents(&self) -> usize {
        let jobs = self.board.jobs.iter().rev().take(500);
        jobs.map(|job| width(&job.agent)).max().unwrap_or(0).min(AGENT).min(self.shot.size.0 / 4)
    }

    fn list(&mut self, nodes: &[usize], depth: usize) {
        let shown = self.chosen(nodes);
        for at in &shown {
            // Nothing that is far too long is drawn to its end.
            if self.lines.len() > self.most * 2 {
                return;
            }
            self.node(*at, depth);
        }
        if shown.len() < nodes.len() {
            let more = format!("and {} more", text::count(i64::try_from(nodes.len() - shown.len()).unwrap_or(i64::MAX)));
            self.push(depth, &paint(DIM, &cut(&more, self.room(depth))));
        }
    }

    /// The parts that are shown, in their order: those that go on or failed, then the newest.
    fn chosen(&self, nodes: &[usize]) -> Vec<usize> {
        if nodes.len() <= self.parts {
            return nodes.to_vec();
        }
        let course = self.course();
        let mut shown: Vec<usize> =
            nodes.iter().copied().filter(|at| course.node(*at).counts.busy > 0).take(self.parts).collect();
        let failed = nodes.iter().copied().filter(|at| course.node(*at).counts.failed > 0 && course.node(*at).counts.busy == 0);
        shown.extend(failed.take(self.parts - shown.len()));
        shown.sort_unstable();
        shown
    }

    fn node(&mut self, at: usize, depth: usize) {
        let course = self.course();
        let (mut node, mut name) = (course.node(at), course.node(at).name.clone());
        // A step that only holds another one needs no line of its own.
        while let [only] = node.children.as_slice()
            && node.words.is_empty()
            && node.job.is_none()
            && course.node(*only).job.is_none()
        {
            node = course.node(*only);
            name = format!("{name} / {}", node.name);
        }
        if let Some(job) = node.job.and_then(|job| self.board.jobs.get(job)) {
            let line = task(job, self.shot, (self.indent(depth), self.agent));
            self.lines.push(line);
        } else {
            self.head(node, &name, depth);
        }
        let is_over = node.counts.all > 0 && node.counts.ended() == node.counts.all;
        if !(self.folds && is_over) && !node.children.is_empty() {
            self.list(&node.children, depth + 1);
        }
    }

    fn head(&mut self, node: &Node, name: &str, depth: usize) {
        let counts = node.counts;
        let (style, mark) = match () {
            () if node.alarm => (RED, "!"),
            () if counts.busy > 0 => (CYAN, SPINNER[self.shot.frame % SPINNER.len()]),
            () if counts.ended() < counts.all => (DIM, "○"),
            () if counts.failed > 0 => (YELLOW, "✓"),
            () => (GREEN, "✓"),
        };
        let room = self.room(depth).saturating_sub(2);
        let name = cut(name, room);
        let mut rest = String::new();
        let tasks = (counts.all > 1).then(|| {
            let [ended, all] = [counts.ended(), counts.all].map(|count| text::count(i64::try_from(count).unwrap_or(i64::MAX)));
            let failed = if counts.failed > 0 { format!(", {} failed", counts.failed) } else { String::new() };
            format!("{ended} of {all}{failed}")
        });
        for part in [tasks, Some(node.words.clone()).filter(|words| !words.is_empty())].into_iter().flatten() {
            rest.push_str(&format!("  {part}"));
        }
        let rest = cut(&rest, room.saturating_sub(width(&name)));
        let rest = if node.alarm { paint(RED, &rest) } else { paint(DIM, &rest) };
        self.push(depth, &format!("{} {}{rest}", paint(style, mark), paint(BOLD, &name)));
    }

    /// Columns before a line; on a narrow terminal fewer.
    fn indent(&self, depth: usize) -> usize {
        let step = if self.shot.size.0 < NARROW { 1 } else { 2 };
        (depth * step).min(self.shot.size.0 / 4)
    }

    fn room(&self, depth: usize) -> usize {
        self.shot.size.0.saturating_sub(self.indent(depth))
    }

    fn push(&mut self, depth: usize, line: &str) {
        self.lines.push(format!("{}{line}", " ".repeat(self.indent(depth))));
    }
}
