//! Parts of a report before they have a format: headings, sentences, lists, tables, quoted texts.
//!
//! Rule: blocks hold raw text; each format escapes it here. Start at [`Block`].

use crate::html::{paragraph, prose, spoken};
use crate::table::Table;
use crate::{nest, quote};

/// One part.
pub(crate) enum Block {
    /// A heading below that of the section.
    Heading(String),
    /// A sentence of ours; names stand between backticks.
    Words(String),
    /// Lines, each so deep in the one before it that is less deep.
    List(Vec<(usize, String)>),
    /// A table.
    Table(Table),
    /// Text that others wrote.
    Quote(String),
}

/// All parts as Markdown; nothing if there are none.
pub(crate) fn markdown(blocks: &[Block]) -> Option<String> {
    let told: Vec<_> = blocks.iter().map(Block::markdown).collect();
    (!told.is_empty()).then(|| told.join("\n\n"))
}

/// All parts as HTML; nothing if there are none.
pub(crate) fn html(blocks: &[Block]) -> Option<String> {
    (!blocks.is_empty()).then(|| blocks.iter().map(Block::html).collect())
}

impl Block {
    fn markdown(&self) -> String {
        match self {
            Self::Heading(words) => format!("### {}", quote::markdown(words)),
            Self::Words(words) => quote::markdown(words),
            Self::List(lines) => {
                let line =
                    |(depth, words): &(usize, String)| format!("{}- {}", "  ".repeat(*depth), quote::markdown(words));
                lines.iter().map(line).collect::<Vec<_>>().join("\n")
            }
            Self::Table(table) => table.markdown().trim_end().to_owned(),
            Self::Quote(text) => quote::quotation(&nest::nested(text, 3)),
        }
    }

    fn html(&self) -> String {
        match self {
            Self::Heading(words) => format!("<h3>{}</h3>\n", spoken(words)),
            Self::Words(words) => paragraph(words),
            Self::List(lines) => list(lines),
            Self::Table(table) => table.html(),
            Self::Quote(text) => format!("<blockquote>\n{}</blockquote>\n", prose(text, 3)),
        }
    }
}

/// Lists in lists; a line may be any number of levels less deep than the one before it, and one deeper.
fn list(lines: &[(usize, String)]) -> String {
    let mut text = String::new();
    let mut open = 0;
    for (depth, words) in lines {
        let depth = (depth + 1).min(open + 1);
        if depth > open {
            text.push_str("<ul class=\"steps\">\n");
        } else {
            text.push_str("</li>\n");
            text.push_str(&"</ul>\n</li>\n".repeat(open - depth));
        }
        open = depth;
        text.push_str(&format!("<li>{}", spoken(words)));
    }
    text.push_str(&"</li>\n</ul>\n".repeat(open));
    text
}
