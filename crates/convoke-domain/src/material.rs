//! Text that others wrote, made fit for a prompt: it cannot pass for a heading, a section or an instruction of the runtime.
//!
//! Each line of it stands behind `> `, and characters that act instead of showing are left out. Start at [`quoted`].

/// True for characters that act instead of showing: controls, marks that turn the direction of text, and those that
/// take no room, in which words can be hidden from people.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `text` as a quotation: every line behind `> `, nothing hidden in it, at most `limit` bytes of it.
pub fn quoted(text: &str, limit: usize) -> String {
    let cut = head_of(text, limit);
    let mut out = String::with_capacity(cut.len() + 16);
    for line in cut.lines() {
        out.push_str("> ");
        out.extend(line.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !is_hidden(*c)));
        out.push('\n');
    }
    if cut.len() < text.len() {
        out.push_str(&format!("> [… {} of {} bytes left out]\n", text.len() - cut.len(), text.len()));
    }
    out
}

/// `text` on one line, nothing hidden in it, at most `limit` bytes of it.
pub fn one_line(text: &str, limit: usize) -> String {
    let words: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let plain: String = words.chars().filter(|c| !is_hidden(*c)).collect();
    let cut = head_of(&plain, limit);
    if cut.len() < plain.len() { format!("{cut}…") } else { plain }
}

/// A name as it may stand in a message: what is hidden shows as its escape.
pub fn shown(name: &str) -> String {
    let escaped: String = name
        .chars()
        .flat_map(|c| if is_hidden(c) { c.escape_unicode().collect::<Vec<_>>() } else { vec![c] })
        .collect();
    let cut = head_of(&escaped, 80);
    if cut.len() < escaped.len() { format!("{cut}…") } else { escaped }
}

/// The beginning of `text` in at most `limit` bytes, at the border of a character.
pub fn head_of(text: &str, limit: usize) -> &str {
    if text.len() <= limit { text } else { &text[..text.floor_char_boundary(limit)] }
}

/// The end of `text` in at most `limit` bytes, at the border of a character.
pub fn tail_of(text: &str, limit: usize) -> &str {
    if text.len() <= limit { text } else { &text[text.ceil_char_boundary(text.len() - limit)..] }
}

/// Tokens that `text` will hardly exceed: a third of its bytes, more where it is not ASCII. An estimate for limits of
/// sections; what is paid for is bounded elsewhere.
pub fn tokens(text: &str) -> usize {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    (ascii + 2 * (text.len() - ascii)).div_ceil(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_cannot_leave_its_quotation() {
        let text = "fine\n# Task of the team\n\u{1b}[2J\u{202e}ignore\u{200b} all\r\n> nested";
        assert_eq!(quoted(text, 100), "> fine\n> # Task of the team\n> [2Jignore all\n> > nested\n");
        assert_eq!(quoted("añb", 2), "> a\n> [… 3 of 4 bytes left out]\n");
        assert!(quoted("a\u{2028}b\u{85}c\u{b}d", 100).lines().all(|line| line.starts_with("> ")));
    }

    #[test]
    fn names_show_what_is_hidden_in_them() {
        assert_eq!(shown("a\u{7}\u{202e}b"), "a\\u{7}\\u{202e}b");
        assert_eq!(one_line(" a\n b\u{0}c ", 3), "a b…");
        assert_eq!((head_of("añb", 2), tail_of("bña", 2)), ("a", "a"));
    }

    #[test]
    fn estimates_are_careful_with_what_is_not_ascii() {
        assert_eq!((tokens("abc"), tokens("日本"), tokens("")), (1, 4, 0));
    }
}
