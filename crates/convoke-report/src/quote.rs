//! Text that others wrote (models, tools, people), made harmless for one line, a table cell, a code span, an attribute.
//!
//! Rule: no such text reaches a report but through here or through [`crate::nest`].

/// The text without what could act on a terminal or reorder a line: control characters and bidirectional overrides
/// become U+FFFD; line breaks and tabs stay, carriage returns go.
pub(crate) fn clean(text: &str) -> String {
    let acts = |c: char| {
        (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let kept = text.chars().filter(|c| *c != '\r');
    kept.map(|c| if acts(c) { '\u{fffd}' } else { c }).collect()
}

/// The text on one line, runs of white space as one space, at most `max` characters with `…` for what was cut.
pub(crate) fn one_line(text: &str, max: usize) -> String {
    // Four bytes are the most a character has, and white space shrinks: no more than this can be needed.
    let enough = text.floor_char_boundary(max.saturating_mul(8));
    let mut line = clean(&text[..enough]).split_whitespace().collect::<Vec<_>>().join(" ");
    let cut = enough < text.len() && !text[enough..].trim().is_empty();
    if cut || line.chars().count() > max {
        line = line.chars().take(max.saturating_sub(1)).collect();
        line.push('…');
    }
    line
}

/// At most `max` bytes of a text of several lines, cut at a character, with a note of how much was left off.
pub(crate) fn excerpt(text: &str, max: usize) -> String {
    let end = text.floor_char_boundary(max);
    let mut kept = clean(&text[..end]);
    if end < text.len() {
        kept.push_str(&format!("\n… {} more bytes", text.len() - end));
    }
    kept
}

/// The parts of a text between backticks, if they are paired: those at odd places are code.
pub(crate) fn spans(text: &str) -> Option<Vec<&str>> {
    let parts: Vec<_> = text.split('`').collect();
    let is_paired = parts.len() % 2 == 1 && parts.iter().skip(1).step_by(2).all(|part| !part.trim().is_empty());
    (is_paired && !text.contains("``")).then_some(parts)
}

/// For running Markdown text, headings and table cells: nothing in it is markup but names between backticks. Words of
/// ours must come before it where a line begins, since signs that begin a block are left alone.
pub(crate) fn markdown(text: &str) -> String {
    let text = clean(text);
    let Some(parts) = spans(&text) else { return escaped(text.trim()) };
    let told = parts.iter().enumerate().map(|(place, part)| if place % 2 == 1 { code(part) } else { escaped(part) });
    told.collect::<String>().trim().to_owned()
}

fn escaped(text: &str) -> String {
    let line: Vec<char> = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    let mut safe = String::with_capacity(line.len());
    for (place, c) in line.iter().enumerate() {
        let neighbours = [place.checked_sub(1), Some(place + 1)].map(|at| at.and_then(|at| line.get(at)));
        if is_markup(*c, neighbours) {
            safe.push('\\');
        }
        safe.push(*c);
    }
    safe
}

/// Underscores and ampersands inside words are common and harmless; the rest is not worth a closer look.
fn is_markup(c: char, [before, after]: [Option<&char>; 2]) -> bool {
    let in_word = |c: Option<&char>| c.is_some_and(|c| c.is_alphanumeric());
    match c {
        '\\' | '`' | '*' | '[' | ']' | '<' | '|' | '~' => true,
        '_' => !(in_word(before) && in_word(after)),
        '&' => in_word(after) || after == Some(&'#'),
        // At the end of a heading these signs would be taken for its close.
        '#' => after.is_none_or(|after| *after == '#'),
        _ => false,
    }
}

/// A Markdown code span of one line, also good in a table cell.
pub(crate) fn code(text: &str) -> String {
    let line = clean(text).split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    if line.is_empty() {
        return "–".into();
    }
    let fence = "`".repeat(longest_run(&line, '`') + 1);
    let pad = if line.starts_with('`') || line.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{line}{pad}{fence}")
}

/// A fenced block that the text cannot end.
pub(crate) fn fenced(text: &str, language: &str) -> String {
    let fence = "`".repeat((longest_run(text, '`') + 1).max(3));
    format!("{fence}{language}\n{}\n{fence}", clean(text).trim_end_matches('\n'))
}

/// Every line as part of a Markdown quotation.
pub(crate) fn quotation(markdown: &str) -> String {
    let line = |line: &str| if line.is_empty() { ">".to_owned() } else { format!("> {line}") };
    markdown.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// For HTML text: a long path may break behind each of its folders.
pub(crate) fn html_of_path(text: &str) -> String {
    html(text).replace('/', "/<wbr>")
}

/// For HTML text and quoted attributes.
pub(crate) fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn longest_run(text: &str, of: char) -> usize {
    let mut runs = [0, 0];
    for c in text.chars() {
        runs[0] = if c == of { runs[0] + 1 } else { 0 };
        runs[1] = runs[1].max(runs[0]);
    }
    runs[1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_acts_on_a_terminal() {
        assert_eq!(clean("a\u{1b}[31mb\u{202e}c\r\nd\te"), "a\u{fffd}[31mb\u{fffd}c\nd\te");
    }

    #[test]
    fn lines_are_cut_with_a_mark() {
        assert_eq!(one_line("  a \n\n b\t c ", 10), "a b c");
        assert_eq!(one_line("abcdef", 4), "abc…");
        assert_eq!(one_line(&format!("ab{}", " ".repeat(900)), 10), "ab");
        assert_eq!(one_line(&format!("ab{}c", " ".repeat(900)), 10), "ab…");
        assert_eq!(one_line(&"é".repeat(500), 3), "éé…");
    }

    #[test]
    fn markup_is_escaped_and_names_stay_readable() {
        assert_eq!(
            markdown("payment_api <b> | x\n# y *z* [l](u) &lt; R&D"),
            r"payment_api \<b> \| x # y \*z\* \[l\](u) \&lt; R\&D"
        );
        assert_eq!(markdown("#1 a ##"), r"#1 a \#\#");
        assert_eq!(markdown("`fs.read` *is* `a|b`"), r"`fs.read` \*is\* `a\|b`");
        assert_eq!(markdown("`open *x*"), r"\`open \*x\*");
    }

    #[test]
    fn code_spans_outlast_their_backticks() {
        assert_eq!(code("a `b` | c\nd"), r"``a `b` \| c d``");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(fenced("x\n````\ny", "text"), "`````text\nx\n````\ny\n`````");
    }
}
