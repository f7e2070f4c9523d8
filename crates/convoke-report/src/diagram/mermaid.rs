//! A diagram as text for Mermaid: <https://mermaid.js.org/syntax/flowchart.html>.

use std::fmt::Write as _;

use super::{Diagram, Lane, Look, Shape};

/// The text of a flowchart.
pub fn mermaid(diagram: &Diagram) -> String {
    let mut out = Writer { text: String::new(), classes: String::new() };
    if !diagram.title.is_empty() {
        let _ = write!(out.text, "---\ntitle: {}\n---\n", serde_json::Value::from(diagram.title.as_str()));
    }
    out.text.push_str("flowchart TD\n");
    if !diagram.notes.is_empty() {
        let notes: Vec<String> = diagram.notes.iter().map(|note| escaped(note)).collect();
        let _ = writeln!(
            out.text,
            "  notes[\"{}\"]\n  style notes fill:#ffffff,stroke:#c5ced8,stroke-dasharray:4 3",
            notes.join("<br/>")
        );
    }
    out.lane(&diagram.lane, "s", 1);
    out.text.push_str(
        "  classDef done fill:#e3f4e5,stroke:#2e7d32,color:#102a12\n  classDef failed fill:#fde7e7,stroke:#c62828,color:#3a0d0d\n  \
         classDef rejected fill:#fff1e0,stroke:#b45309,color:#3d1d02\n  \
         classDef open fill:#e5f0fd,stroke:#1565c0,color:#0c2340\n  classDef off fill:#eeeeee,stroke:#757575,color:#424242\n  \
         classDef unbegun fill:#ffffff,stroke:#9e9e9e,color:#424242\n",
    );
    out.text.push_str(&out.classes);
    out.text
}

struct Writer {
    text: String,
    classes: String,
}

impl Writer {
    fn lane(&mut self, lane: &Lane, prefix: &str, depth: usize) {
        let pad = "  ".repeat(depth);
        for (place, shape) in lane.boxes.iter().enumerate() {
            self.shape(shape, &format!("{prefix}{place}"), depth);
        }
        for edge in &lane.edges {
            let arrow = if edge.is_back { "-.->" } else { "-->" };
            let label = if edge.label.is_empty() { String::new() } else { format!("|\"{}\"|", escaped(&edge.label)) };
            let _ = writeln!(self.text, "{pad}{prefix}{} {arrow}{label} {prefix}{}", edge.from, edge.to);
        }
    }

    fn shape(&mut self, shape: &Shape, id: &str, depth: usize) {
        let pad = "  ".repeat(depth);
        let mut lines = vec![format!("<b>{}</b>", escaped(&shape.name))];
        lines.extend(shape.lines.iter().filter(|line| !line.is_empty()).map(|line| escaped(line)));
        let text = lines.join("<br/>");
        if shape.lanes.is_empty() {
            let (open, close) = match shape.look {
                Look::Work | Look::Group => ("[", "]"),
                Look::Data => ("([", "])"),
                Look::Choice => ("{{", "}}"),
                Look::Person => ("[/", "/]"),
            };
            let _ = writeln!(self.text, "{pad}{id}{open}\"{text}\"{close}");
        } else {
            let _ = writeln!(self.text, "{pad}subgraph {id}[\"{text}\"]\n{pad}  direction TB");
            let is_one = shape.lanes.len() == 1;
            for (place, lane) in shape.lanes.iter().enumerate() {
                let inner = format!("{id}_{place}_");
                if is_one && lane.label.is_empty() {
                    self.lane(lane, &inner, depth + 1);
                    continue;
                }
                let label = if lane.label.is_empty() { " ".to_owned() } else { escaped(&lane.label) };
                let _ = writeln!(self.text, "{pad}  subgraph {id}_{place}[\"{label}\"]\n{pad}    direction TB");
                self.lane(lane, &inner, depth + 2);
                let _ = writeln!(self.text, "{pad}  end");
            }
            let _ = writeln!(self.text, "{pad}end");
        }
        if let Some(state) = shape.state.filter(|_| shape.lanes.is_empty()) {
            let _ = writeln!(self.classes, "  class {id} {}", state.word());
        }
    }
}

/// Text in quotes, in which nothing is markup: <https://mermaid.js.org/syntax/flowchart.html#entity-codes-to-escape-characters>.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("#quot;"),
            '#' => out.push_str("#35;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            '&' => out.push_str("#amp;"),
            '`' => out.push_str("#96;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
