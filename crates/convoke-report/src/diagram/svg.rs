//! A diagram as SVG, with a layout of our own: a list is drawn in rows from top to bottom, a step with others in it is a frame
//! around them, and nothing overlaps because every frame is as large as what it holds.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar;

use super::{Diagram, Edge, Lane, Look, Mood, Shape};
use crate::quote::html as escape;

/// Pixels of the letters of a line, a title and a label, and how much wider bold ones are.
const LETTERS: f64 = 13.0;
const TITLE: f64 = 15.0 * BOLD;
const LABEL: f64 = 12.0;
const BOLD: f64 = 1.13;
/// Pixels of one line, of the space within and between boxes.
const LINE: f64 = 17.0;
const PAD: f64 = 12.0;
const GAP: f64 = 22.0;
/// Between rows, where the arrows are.
const ROW: f64 = 34.0;
/// Beside a list for an arrow that leads back.
const BACK: f64 = 26.0;
const MARGIN: f64 = 20.0;
/// The least width of a box.
const LEAST: f64 = 110.0;

const STYLE: &str = "text{font:13px ui-sans-serif,system-ui,Helvetica,Arial,sans-serif;fill:#1c2733}\
.n{font-weight:600}.d{fill:#52606d}.t{font-size:15px;font-weight:600}.l{font-size:12px;fill:#52606d;font-style:italic}\
rect,polygon{stroke-width:1.3}.work{fill:#eef4fb;stroke:#5b8fc7}.data{fill:#f3f0fa;stroke:#8a76c0}.choice{fill:#fdf5e3;stroke:#c79a3a}\
.person{fill:#fdeee9;stroke:#cf7355}.group{fill:#fafbfc;stroke:#a8b3bf}.lane{fill:none;stroke:#c5ced8;stroke-dasharray:4 3}\
.done{fill:#e3f4e5;stroke:#2e7d32}.failed{fill:#fde7e7;stroke:#c62828}.rejected{fill:#fff1e0;stroke:#b45309;stroke-width:2.2}.open{fill:#dcebfd;stroke:#1565c0;stroke-width:2.2}\
.off{fill:#eee;stroke:#757575}.unbegun{fill:#fff;stroke:#9e9e9e}\
path{fill:none;stroke:#6b7885;stroke-width:1.4}.b{stroke-dasharray:5 4}";

/// The picture.
pub fn svg(diagram: &Diagram) -> String {
    let lane = place(&diagram.lane);
    let title = ems(&diagram.title) * TITLE;
    let notes = diagram.notes.iter().map(|note| ems(note) * LETTERS).fold(0.0, f64::max);
    let width = lane.width.max(title).max(notes) + 2.0 * MARGIN;
    let above = if diagram.title.is_empty() { 0.0 } else { 30.0 };
    let head = above + LINE * diagram.notes.len() as f64 + if diagram.notes.is_empty() { 0.0 } else { PAD };
    let height = lane.height + 2.0 * MARGIN + head;
    let mut out = Canvas::default();
    out.lane(&lane, (width - lane.width) / 2.0, MARGIN + head);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         role=\"img\" aria-label=\"{}\">\n<style>{STYLE}</style>\n<defs><marker id=\"a\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" \
         markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><polygon points=\"0,0.5 8,4 0,7.5\" fill=\"#6b7885\" stroke=\"none\"/></marker></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\" stroke=\"none\"/>\n",
        escape(&diagram.title)
    );
    if !diagram.title.is_empty() {
        let _ = writeln!(
            text,
            "<text class=\"t\" x=\"{MARGIN}\" y=\"{:.0}\">{}</text>",
            MARGIN + 8.0,
            escape(&diagram.title)
        );
    }
    for (at, note) in diagram.notes.iter().enumerate() {
        let y = MARGIN + above + LINE * at as f64;
        let _ = writeln!(text, "<text class=\"d\" x=\"{MARGIN}\" y=\"{y:.0}\">{}</text>", escape(note));
    }
    text.push_str(&out.text);
    text.push_str("</svg>\n");
    text
}

/// How wide a text is by the height of its letters, in the widest of the usual fonts: what fits there fits everywhere.
fn ems(text: &str) -> f64 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | '\'' | '|' => 0.34,
        ' ' | '.' | ',' | ':' | ';' | '!' | '(' | ')' | '[' | ']' | 'f' | 't' | 'r' | '-' | '/' | 'I' => 0.41,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' | '—' | '→' => 1.0,
        'A'..='Z' | '&' | '+' | '=' | '<' | '>' | '~' | '×' => 0.84,
        other => [0.0, 0.65, 1.05][other.width().unwrap_or(0).min(2)],
    };
    text.chars().map(em).sum()
}

/// A lane whose boxes have their places in it.
struct Placed<'d> {
    lane: &'d Lane,
    boxes: Vec<Spot<'d>>,
    width: f64,
    height: f64,
}

/// A box, its place within its lane, and the lanes in it.
struct Spot<'d> {
    shape: &'d Shape,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    row: usize,
    lanes: Vec<(f64, f64, Placed<'d>)>,
}

/// Gives every box of a lane its place: rows by the longest way from the start.
fn place(lane: &Lane) -> Placed<'_> {
    let rows = rows(lane);
    let mut boxes: Vec<Spot<'_>> = lane.boxes.iter().zip(&rows).map(|(shape, row)| size(shape, *row)).collect();
    let count = rows.iter().max().map_or(0, |last| last + 1);
    let row_width = |boxes: &[Spot<'_>], row: usize| {
        let widths: Vec<f64> = boxes.iter().filter(|one| one.row == row).map(|one| one.width).collect();
        widths.iter().sum::<f64>() + GAP * widths.len().saturating_sub(1) as f64
    };
    let back = if lane.edges.iter().any(|edge| edge.is_back) { 2.0 * BACK } else { 0.0 };
    let label = if lane.label.is_empty() { 0.0 } else { LINE };
    let widest = (0..count).map(|row| row_width(&boxes, row)).fold(ems(&lane.label) * LABEL, f64::max);
    let mut y = label;
    for row in 0..count {
        let mut x = (widest - row_width(&boxes, row)) / 2.0 + back / 2.0;
        let tallest = boxes.iter().filter(|one| one.row == row).map(|one| one.height).fold(0.0, f64::max);
        for one in boxes.iter_mut().filter(|one| one.row == row) {
            one.x = x;
            one.y = y + (tallest - one.height) / 2.0;
            x += one.width + GAP;
        }
        y += tallest + if row + 1 < count { ROW } else { 0.0 };
    }
    Placed { lane, boxes, width: widest + back, height: y.max(LINE) }
}

fn rows(lane: &Lane) -> Vec<usize> {
    let mut rows = vec![0; lane.boxes.len()];
    // Edges may lead to earlier places; as often as there are boxes is enough, and bounds a circle.
    for _ in 0..lane.boxes.len() {
        let mut has_changed = false;
        for edge in lane.edges.iter().filter(|edge| !edge.is_back) {
            if rows[edge.to] <= rows[edge.from] && rows[edge.from] < lane.boxes.len() {
                rows[edge.to] = rows[edge.from] + 1;
                has_changed = true;
            }
        }
        if !has_changed {
            break;
        }
    }
    rows
}

fn size(shape: &Shape, row: usize) -> Spot<'_> {
    let lines = shape.lines.iter().filter(|line| !line.is_empty());
    let words = lines.clone().map(|line| ems(line) * LETTERS).fold(ems(&shape.name) * LETTERS * BOLD, f64::max);
    let head = LINE * (1 + lines.count()) as f64 + PAD;
    let mut width = (words + 2.0 * PAD).max(LEAST);
    let mut height = head + PAD / 2.0;
    let mut lanes = Vec::new();
    let mut x = PAD;
    for lane in &shape.lanes {
        let placed = place(lane);
        let (wide, high) = (placed.width, placed.height);
        lanes.push((x, head + PAD, placed));
        x += wide + GAP;
        height = f64::max(height, head + high + 2.0 * PAD);
    }
    let inner = x - GAP + PAD;
    if !lanes.is_empty() {
        let shift = ((width - inner) / 2.0).max(0.0);
        width = width.max(inner);
        lanes.iter_mut().for_each(|lane| lane.0 += shift);
    }
    Spot { shape, x: 0.0, y: 0.0, width, height, row, lanes }
}

#[derive(Default)]
struct Canvas {
    text: String,
}

impl Canvas {
    fn lane(&mut self, placed: &Placed<'_>, x: f64, y: f64) {
        if !placed.lane.label.is_empty() {
            self.words("l", (x + placed.width / 2.0, y + LINE - 8.0), &placed.lane.label);
        }
        for edge in &placed.lane.edges {
            self.edge(edge, placed, (x, y));
        }
        for spot in &placed.boxes {
            self.shape(spot, x + spot.x, y + spot.y);
        }
    }

    fn shape(&mut self, spot: &Spot<'_>, x: f64, y: f64) {
        let shape = spot.shape;
        let look = match shape.look {
            Look::Work => "work",
            Look::Group => "group",
            Look::Data => "data",
            Look::Choice => "choice",
            Look::Person => "person",
        };
        let class = shape.state.map_or(look, Mood::word);
        let round = if shape.look == Look::Data { 14 } else { 5 };
        let (w, h) = (spot.width, spot.height);
        let _ = writeln!(
            self.text,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"{round}\"/>"
        );
        let mut line = y + LINE + 1.0;
        self.words("n", (x + w / 2.0, line), &shape.name);
        for text in shape.lines.iter().filter(|line| !line.is_empty()) {
            line += LINE;
            self.words("d", (x + w / 2.0, line), text);
        }
        let has_frames = spot.lanes.len() > 1;
        for (dx, dy, lane) in &spot.lanes {
            if has_frames && !lane.lane.label.is_empty() {
                let (x, y) = (x + dx - 6.0, y + dy - 8.0);
                let (w, h) = (lane.width + 12.0, lane.height + 14.0);
                let _ = writeln!(
                    self.text,
                    "<rect class=\"lane\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"4\"/>"
                );
            }
            self.lane(lane, x + dx, y + dy);
        }
    }

    fn words(&mut self, class: &str, (x, y): (f64, f64), text: &str) {
        let _ = writeln!(
            self.text,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{}</text>",
            escape(text)
        );
    }

    fn edge(&mut self, edge: &Edge, placed: &Placed<'_>, (x, y): (f64, f64)) {
        let (from, to) = (&placed.boxes[edge.from], &placed.boxes[edge.to]);
        if edge.is_back {
            let between = placed.boxes.iter().filter(|one| (to.row..=from.row).contains(&one.row));
            let right = between.map(|one| one.x + one.width).fold(0.0, f64::max);
            return self.back((from, to), (x, y), right, &edge.label);
        }
        let (x1, y1) = (x + from.x + from.width / 2.0, y + from.y + from.height);
        let (x2, y2) = (x + to.x + to.width / 2.0, y + to.y);
        if (x1 - x2).abs() < 1.0 && to.row == from.row + 1 {
            let _ = writeln!(self.text, "<path d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\" marker-end=\"url(#a)\"/>");
        } else {
            let bend = ((y2 - y1) / 2.0).clamp(ROW / 2.0, 60.0);
            let (c1, c2) = (y1 + bend, y2 - bend);
            let _ = writeln!(
                self.text,
                "<path d=\"M{x1:.1} {y1:.1}C{x1:.1} {c1:.1} {x2:.1} {c2:.1} {x2:.1} {y2:.1}\" marker-end=\"url(#a)\"/>"
            );
        }
        if !edge.label.is_empty() {
            let middle = y2 - ROW / 2.0 + 4.0;
            let _ = writeln!(
                self.text,
                "<text class=\"l\" x=\"{:.1}\" y=\"{middle:.1}\">{}</text>",
                x2 + 8.0,
                escape(&edge.label)
            );
        }
    }

    /// An arrow beside the list, up to an earlier box.
    fn back(&mut self, (from, to): (&Spot<'_>, &Spot<'_>), (x, y): (f64, f64), right: f64, label: &str) {
        let side = x + right + BACK / 2.0;
        let (x1, y1) = (x + from.x + from.width, y + from.y + from.height / 2.0);
        let (x2, y2) = (x + to.x + to.width, y + to.y + to.height / 2.0);
        let _ = writeln!(
            self.text,
            "<path class=\"b\" d=\"M{x1:.1} {y1:.1}H{side:.1}V{y2:.1}H{x2:.1}\" marker-end=\"url(#a)\"/>"
        );
        let (mid, label) = ((y1 + y2) / 2.0, escape(label));
        let _ = writeln!(
            self.text,
            "<text class=\"l\" transform=\"translate({:.1} {mid:.1}) rotate(-90)\" text-anchor=\"middle\">{label}</text>",
            side + 14.0
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of an attribute of the first tag that begins so.
    fn figure(svg: &str, tag: &str, name: &str) -> f64 {
        let rest = svg.split(tag).nth(1).expect("the tag");
        let value = rest.split(&format!(" {name}=\"")).nth(1).and_then(|rest| rest.split('"').next());
        value.and_then(|value| value.parse().ok()).expect("a number")
    }

    /// As wide as DejaVu Sans, in which letters are wider than in most fonts.
    #[test]
    fn wide_letters_fit_into_their_box_and_the_picture() {
        let words = "among among, at most most";
        let shape = Shape { name: "wwwwww mmmmmm".into(), lines: vec![words.into()], ..Shape::default() };
        let lane = Lane { boxes: vec![shape], ..Lane::default() };
        let drawn = svg(&Diagram { lane, ..Diagram::default() });
        let wide = figure(&drawn, "<rect class=\"work\"", "width");
        assert!(wide >= 189.0 + 2.0 * PAD, "{wide} of {words}, which takes 189 pixels");
        let title = "rejected-review: Propose a model for questions of customers";
        let drawn = svg(&Diagram { title: title.into(), ..Diagram::default() });
        let wide = figure(&drawn, "<svg", "width");
        assert!(wide >= 520.0 + 2.0 * MARGIN, "{wide} of a title that takes 520 pixels");
    }
}
