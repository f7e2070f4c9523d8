//! A table of a report, before it has a format. Rule: cells hold raw text; each format escapes it here.

use crate::quote;

/// Code of at most this many bytes is kept on one line.
const SHORT: usize = 40;

/// What a cell holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// Running text.
    Text(String),
    /// A name, an id, arguments: shown as code.
    Code(String),
    /// A figure: to the right.
    Number(String),
    /// A word that must catch the eye.
    Alarm(String),
}

/// Rows under headings.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Table {
    /// Headings.
    pub(crate) head: Vec<&'static str>,
    /// Rows, each as long as `head`.
    pub(crate) rows: Vec<Vec<Cell>>,
    /// The sum of the rows.
    pub(crate) total: Option<Vec<Cell>>,
}

impl Table {
    /// A table with these headings and no rows.
    pub(crate) fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), ..Self::default() }
    }

    /// The table without these columns.
    pub(crate) fn without(mut self, columns: &[&str]) -> Self {
        let kept: Vec<bool> = self.head.iter().map(|name| !columns.contains(name)).collect();
        for row in self.rows.iter_mut().chain(self.total.as_mut()) {
            retain(row, &kept);
        }
        retain(&mut self.head, &kept);
        self
    }

    /// As Markdown, ending with a line break.
    pub(crate) fn markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut text = line(self.head.iter().map(|name| (*name).to_owned()).collect());
        let rule = |column: usize| if self.is_number(column) { "--:" } else { "---" };
        text.push_str(&line((0..self.head.len()).map(|column| rule(column).to_owned()).collect()));
        for row in &self.rows {
            text.push_str(&line(row.iter().map(Cell::markdown).collect()));
        }
        if let Some(total) = &self.total {
            let strong = |cell: &Cell| if cell.is_empty() { String::new() } else { format!("**{}**", cell.markdown()) };
            text.push_str(&line(total.iter().map(strong).collect()));
        }
        text
    }

    /// As HTML. Each cell says under which heading it stands: in a narrow window a row is a list.
    pub(crate) fn html(&self) -> String {
        let head: String = (0..self.head.len()).map(|column| self.head_html(column)).collect();
        let cells = |row: &[Cell]| row.iter().zip(&self.head).map(|(cell, head)| cell.html(head)).collect::<String>();
        let line = |row: &Vec<Cell>| format!("<tr>{}</tr>\n", cells(row));
        let rows: String = self.rows.iter().map(line).collect();
        let foot = self.total.iter().map(|row| format!("<tfoot>{}</tfoot>\n", line(row))).collect::<String>();
        format!(
            "<div class=\"scroll\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n{foot}</table></div>\n"
        )
    }

    fn head_html(&self, column: usize) -> String {
        let class = if self.is_number(column) { " class=\"num\"" } else { "" };
        format!("<th scope=\"col\"{class}>{}</th>", quote::html(self.head[column]))
    }

    fn is_number(&self, column: usize) -> bool {
        self.rows.first().is_some_and(|row| matches!(row.get(column), Some(Cell::Number(_))))
    }
}

fn retain<T>(row: &mut Vec<T>, kept: &[bool]) {
    let mut kept = kept.iter();
    row.retain(|_| kept.next().copied().unwrap_or(true));
}

impl Cell {
    fn is_empty(&self) -> bool {
        let (Self::Text(text) | Self::Code(text) | Self::Number(text) | Self::Alarm(text)) = self;
        text.is_empty()
    }

    fn markdown(&self) -> String {
        match self {
            Self::Code(text) => quote::code(text),
            Self::Text(text) | Self::Number(text) => quote::markdown(text),
            Self::Alarm(text) => format!("**{}**", quote::markdown(text)),
        }
    }

    fn html(&self, head: &str) -> String {
        let class = if matches!(self, Self::Number(_)) { " class=\"num\"" } else { "" };
        let said = match self {
            Self::Text(text) | Self::Number(text) => quote::html(text),
            Self::Code(text) if text.is_empty() => "–".into(),
            Self::Code(text) if text.len() <= SHORT => format!("<code class=\"short\">{}</code>", quote::html(text)),
            Self::Code(text) => format!("<code>{}</code>", quote::html_of_path(text)),
            Self::Alarm(text) => format!("<strong class=\"alarm\">{}</strong>", quote::html(text)),
        };
        format!("<td{class} data-label=\"{}\">{said}</td>", quote::html(head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let row = |a: &str, b: &str| vec![Cell::Text(a.into()), Cell::Code(b.into()), Cell::Number("1".into())];
        Table { rows: vec![row("a|b\nc", "x|`y`")], total: Some(row("", "")), ..Table::new(&["text", "code", "n"]) }
    }

    #[test]
    fn cells_cannot_leave_their_row() {
        let expected = "| text | code | n |\n| --- | --- | --: |\n| a\\|b c | `` x\\|`y` `` | 1 |\n|  |  | **1** |\n";
        assert_eq!(sample().markdown(), expected);
    }

    /// A narrow window shows a row as a list, in which each value stands behind its heading.
    #[test]
    fn cells_know_their_heading() {
        let html = sample().html();
        assert!(
            html.contains(
                r#"<td data-label="code"><code class="short">x|`y`</code></td><td class="num" data-label="n">1</td>"#
            ),
            "{html}"
        );
        let path =
            Table { rows: vec![vec![Cell::Code(format!("{}end", "folder/".repeat(8)))]], ..Table::new(&["path"]) };
        assert!(
            path.html().contains("folder/<wbr>folder/<wbr>"),
            "a long path breaks behind its folders: {}",
            path.html()
        );
    }

    #[test]
    fn columns_can_be_left_out() {
        assert_eq!(
            sample().without(&["code"]).markdown(),
            "| text | n |\n| --- | --: |\n| a\\|b c | 1 |\n|  | **1** |\n"
        );
    }
}
