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
            let more =
                format!("and {} more", text::count(i64::try_from(nodes.len() - shown.len()).unwrap_or(i64::MAX)));
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
        let failed =
            nodes.iter().copied().filter(|at| course.node(*at).counts.failed > 0 && course.node(*at).counts.busy == 0);
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
        if !(node.children.is_empty() || self.folds && is_over) {
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
            let [ended, all] =
                [counts.ended(), counts.all].map(|count| text::count(i64::try_from(count).unwrap_or(i64::MAX)));
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

#[cfg(test)]
mod tests {
    use convoke_domain::time::Timestamp;
    use serde_json::{Value, json};

    use super::super::board::tests::{event, run_id};
    use super::super::lines::Teller;
    use super::*;

    const RUN: &str = "run_01kap0000000000000000000rn";

    /// A board and the lines that are told, from events given one after the other.
    struct Told {
        board: Board,
        lines: Vec<String>,
        seq: i64,
    }

    impl Told {
        fn new() -> Self {
            let mut told = Self { board: Board::new(run_id(), None), lines: Vec::new(), seq: 0 };
            told.run("run.created", json!({"team": "release"}));
            told.run("run.started", json!({}));
            told
        }

        fn happens(&mut self, kind: &str, (on, actor): (&str, &str), payload: Value) {
            self.seq += 1;
            let event = event(self.seq, kind, on, actor, payload);
            self.board.event(&event);
            self.lines.extend(Teller { several: false }.event(&self.board, &event));
        }

        fn run(&mut self, kind: &str, payload: Value) {
            self.happens(kind, (RUN, "system"), payload);
        }

        fn made(&mut self, n: usize, (path, agent): (&str, &str)) {
            let title = format!("{agent} works");
            let payload = json!({"key": path, "title": title, "stage": "step", "agent": agent, "state": "ready"});
            self.happens("task.created", (&task_id(n), "system"), payload);
        }

        fn task(&mut self, n: usize, kind: &str) {
            self.happens(kind, (&task_id(n), "agent:ann"), json!({}));
        }

        fn drawn(&self, columns: usize, room: usize) -> String {
            let now = Timestamp::from_micros(1_763_703_000_000_000 + self.seq * 1_000_000);
            let lines = draw(&self.board, Shot { size: (columns, 24), now, frame: 0, footer: None }, room);
            assert!(lines.len() <= room, "{} lines in {room}", lines.len());
            let plain = lines.iter().map(|line| anstream::adapter::strip_str(line).to_string().trim_end().to_owned());
            plain.inspect(|line| assert!(width(line) <= columns, "{columns}: `{line}`")).collect::<Vec<_>>().join("\n")
        }
    }

    fn task_id(n: usize) -> String {
        format!("task_01kap0000000000000000{n:05}")
    }

    /// A phase with a split that has ended, a vote under way, rounds, and a gate that sent the flow back.
    fn begun() -> Told {
        let mut told = Told::new();
        told.run("run.phase_changed", json!({"phase": "look"}));
        told.run("coordination.split.created", json!({"path": "look/views", "items": 3}));
        for (n, agent) in ["ann", "bob", "eve"].into_iter().enumerate() {
            told.made(n, (&format!("look/views/{agent}"), agent));
            told.task(n, "task.started");
        }
        told.task(0, "task.completed");
        told.task(1, "task.completed");
        told.task(2, "task.failed");
        told.run("coordination.sync.ready", json!({"path": "look/views", "completed": 2, "failed": 1, "met": true}));
        let positions = json!([{"path": "/a", "positions": [], "settled": true}]);
        told.run(
            "coordination.merge.completed",
            json!({"path": "look/list", "how": "best_of", "disagreements": positions}),
        );
        told.run("run.phase_ended", json!({"phase": "look", "summary": "two views\nof three"}));
        told.run("coordination.round.started", json!({"path": "rounds", "round": 1, "max": 3}));
        told.made(3, ("rounds/1/draft", "ann"));
        told.task(3, "task.started");
        told.task(3, "task.completed");
        told.run("coordination.gate.checked", json!({"path": "rounds/1/_known", "open": true}));
        told.run(
            "coordination.gate.checked",
            json!({"path": "rounds/1/bar", "open": false, "reason": "`draft` has no result"}),
        );
        told.run(
            "coordination.vote.opened",
            json!({"path": "choose", "voters": [["ann", 1.0], ["bob", 1.0], ["eve", 1.0]]}),
        );
        for (n, agent) in ["ann", "bob", "eve"].into_iter().enumerate() {
            told.made(4 + n, (&format!("choose/{agent}"), agent));
            told.task(4 + n, "task.started");
        }
        told.task(4, "task.completed");
        told
    }

    #[test]
    fn a_flow_is_a_tree_of_its_steps() {
        let mut told = begun();
        insta::assert_snapshot!("a_flow", told.drawn(80, 40));
        insta::assert_snapshot!("a_flow_where_there_is_little_room", told.drawn(80, 9));
        insta::assert_snapshot!("a_flow_on_a_narrow_terminal", told.drawn(40, 40));
        told.task(5, "task.completed");
        told.task(6, "task.completed");
        let standing = json!([{"said": "yes", "voters": ["ann", "eve"]}, {"said": "no", "voters": ["bob"]}]);
        let counted = json!({"path": "choose", "choice": "yes", "standing": standing, "dissent": [{"voter": "bob"}]});
        told.run("coordination.vote.counted", counted);
        assert!(told.drawn(80, 40).contains("choose  3 of 3  chosen: yes (yes 2, no 1); dissent: bob"));
        insta::assert_snapshot!("a_flow_as_lines", told.lines.join("\n"));
    }

    #[test]
    fn ten_thousand_parts_are_counted_and_not_listed() {
        let mut told = Told::new();
        told.run("coordination.split.created", json!({"path": "parts", "items": 10_000}));
        (0..10_000).for_each(|n| told.made(n, (&format!("parts/{}", n + 1), "ann")));
        (0..6_000).for_each(|n| told.task(n, "task.started"));
        (0..5_000).for_each(|n| told.task(n, "task.completed"));
        let drawn = told.drawn(80, 12);
        assert!(drawn.starts_with("⠋ parts  5,000 of 10,000  10,000 parts at the same time\n"), "{drawn}");
        assert!(drawn.ends_with("and 9,992 more"), "{drawn}");
        assert!(told.lines.len() < 20, "{} lines", told.lines.len());
        assert!(
            told.lines.last().is_some_and(|line| line.ends_with("parts: 5,000 of 10,000 have ended")),
            "{:?}",
            told.lines
        );
    }

    #[test]
    fn every_size_fits() {
        let told = begun();
        for columns in [20, 40, 59, 60, 80, 200] {
            for room in [1, 2, 5, 10, 50] {
                told.drawn(columns, room);
            }
        }
    }

    /// Tasks of stages say by themselves how they stand; what is written down of them is told in lines alone.
    #[test]
    fn a_run_without_a_flow_is_drawn_by_its_tasks() {
        let mut told = Told::new();
        told.run("coordination.split.created", json!({"path": "work/1", "items": 2, "width": 2, "wait": "all"}));
        for (n, agent) in ["ann", "bob"].into_iter().enumerate() {
            let payload = json!({"key": agent, "title": "look", "stage": "work", "agent": agent, "state": "ready"});
            told.happens("task.created", (&task_id(n), "system"), payload);
        }
        let dissent =
            json!({"path": "validation/1", "verdict": "revise", "rounds": 1, "dissent": ["bob"], "silent": []});
        told.run("coordination.review.ended", dissent);
        let now = Timestamp::from_micros(1_763_703_000_000_000);
        let lines = super::super::frame::draw(
            std::slice::from_ref(&told.board),
            Shot { size: (80, 24), now, frame: 0, footer: None },
        );
        let plain =
            lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect::<Vec<_>>().join("\n");
        assert!(plain.contains("ann") && plain.contains("bob") && !plain.contains("work"), "{plain}");
        let said = told.lines.join("\n");
        assert!(
            said.contains("work/1: 2 parts at the same time") && said.contains("validation/1: bob disagrees"),
            "{said}"
        );
    }
}
