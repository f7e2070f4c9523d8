//! Markdown that others wrote, made to fit under a heading of ours: its headings become deeper than that, its raw HTML
//! becomes text, what it leaves open is closed, and its link definitions do not reach other texts.
//!
//! Rule: [`holds`] is what must be true afterwards. What cannot be brought there is shown as a fenced block.

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::quote;

/// Each pass can show markup that the one before it freed; what has not settled after this many is fenced.
const PASSES: usize = 8;

/// The Markdown that agents write: tables, struck-out text and task lists beyond the standard.
pub(crate) const DIALECT: Options =
    Options::ENABLE_TABLES.union(Options::ENABLE_STRIKETHROUGH).union(Options::ENABLE_TASKLISTS);

/// A change of the text: these bytes become that.
type Edit = (Range<usize>, String);

/// The text as it may stand under a heading of `level`; JSON as a fenced block.
pub(crate) fn nested(text: &str, level: usize) -> String {
    if let Some(pretty) = pretty_json(text) {
        return quote::fenced(&pretty, "json");
    }
    let mut text = quote::clean(text).trim_matches('\n').to_owned();
    for _ in 0..PASSES {
        let edits = edits(&text, level);
        if edits.is_empty() {
            break;
        }
        apply(&mut text, edits);
    }
    if holds(&text, level) { text } else { quote::fenced(&text, "text") }
}

/// The text indented, if it is a JSON object or array.
pub(crate) fn pretty_json(text: &str) -> Option<String> {
    let is_structure = text.trim_start().starts_with(['{', '[']);
    let value: serde_json::Value = is_structure.then(|| serde_json::from_str(text).ok())??;
    serde_json::to_string_pretty(&value).ok()
}

/// How far headings must move so that the highest comes right under `level`.
pub(crate) fn shift(text: &str, level: usize) -> usize {
    let levels = Parser::new_ext(text, DIALECT).filter_map(|event| match event {
        Event::Start(Tag::Heading { level, .. }) => Some(level as usize),
        _ => None,
    });
    levels.min().map_or(0, |highest| (level + 1).saturating_sub(highest))
}

fn edits(text: &str, level: usize) -> Vec<Edit> {
    let parser = Parser::new_ext(text, DIALECT);
    let mut edits: Vec<Edit> = Vec::new();
    for (_, link) in parser.reference_definitions().iter() {
        edits.push((link.span.start..link.span.start, "\\".into()));
    }
    let shift = shift(text, level);
    let mut depth = 0_usize;
    for (event, range) in parser.into_offset_iter() {
        match &event {
            Event::Html(_) | Event::InlineHtml(_) => {
                let opens = text[range.clone()].match_indices('<').map(|(at, _)| range.start + at);
                edits.extend(opens.map(|at| (at..at + 1, "&lt;".to_owned())));
            }
            Event::Start(Tag::Heading { level, .. }) if shift > 0 => edits.push(deeper(text, range, *level, shift)),
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_))) if depth == 0 => edits.extend(closed(text, range)),
            _ => {}
        }
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    edits.sort_by_key(|(range, _)| range.start);
    edits
}

/// A heading moved by `shift`; one that is underlined becomes one with signs in front.
fn deeper(text: &str, range: Range<usize>, level: HeadingLevel, shift: usize) -> Edit {
    let signs = "#".repeat((level as usize + shift).min(6));
    let source = &text[range.clone()];
    let own = source.len() - source.trim_start_matches('#').len();
    let is_atx = own == level as usize && source[own..].chars().next().is_none_or(char::is_whitespace);
    if is_atx {
        return (range.start..range.start + own, signs);
    }
    let kept = source.trim_end();
    let title = kept.rsplit_once('\n').map_or(kept, |(title, _underline)| title);
    let title: Vec<_> = title.lines().map(|line| line.trim_start_matches([' ', '\t', '>'])).collect();
    (range.start..range.start + kept.len(), format!("{signs} {}", title.join(" ")))
}

/// The end of a fenced block that has none.
fn closed(text: &str, range: Range<usize>) -> Option<Edit> {
    let source = text[range.clone()].trim_start();
    let sign = source.chars().next()?;
    let fence: String = source.chars().take_while(|c| *c == sign).collect();
    let last = source.trim_end().lines().skip(1).last().unwrap_or_default().trim();
    let is_closed = last.len() >= fence.len() && last.chars().all(|c| c == sign);
    let reaches_end = text[range.end..].trim().is_empty();
    (reaches_end && !is_closed).then(|| (text.len()..text.len(), format!("\n{fence}")))
}

/// Makes the changes, which are in order; one that begins inside another is left for the next pass.
fn apply(text: &mut String, edits: Vec<Edit>) {
    let mut changed = String::with_capacity(text.len());
    let mut done = 0;
    for (range, new) in edits {
        if range.start >= done {
            changed.push_str(&text[done..range.start]);
            changed.push_str(&new);
            done = range.end;
        }
    }
    changed.push_str(&text[done..]);
    *text = changed;
}

/// What must be true of a nested text: a heading after it is a heading of the document, none of its own is as high, and
/// there is no raw HTML and no link definition in it.
fn holds(text: &str, level: usize) -> bool {
    let marked = format!("{text}\n\n# end\n");
    let parser = Parser::new_ext(&marked, DIALECT);
    let mut harmless = parser.reference_definitions().iter().next().is_none();
    let (mut depth, mut ends) = (0_usize, false);
    for (event, range) in parser.into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { .. }) if depth == 0 && range.start == text.len() + 2 => ends = true,
            Event::Start(Tag::Heading { level: own, .. }) => harmless &= own as usize > level,
            Event::Html(_) | Event::InlineHtml(_) | Event::Start(Tag::HtmlBlock) => harmless = false,
            _ => {}
        }
        match event {
            Event::Start(_) => depth += 1,
            Event::End(TagEnd::Heading(_)) if ends => break,
            Event::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    harmless && ends
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headings_go_under_ours_and_keep_their_order() {
        assert_eq!(nested("# A\n\ntext\n\n## B\n", 3), "#### A\n\ntext\n\n##### B");
        assert_eq!(nested("Over\n====\n\nUnder\n-----\nx", 2), "### Over\n\n#### Under\nx");
        assert_eq!(nested("#### deep enough", 2), "#### deep enough");
        assert_eq!(nested("# A\n###### F", 5), "###### A\n###### F");
    }

    #[test]
    fn code_keeps_its_signs() {
        let text = "```sh\n# a comment\n```";
        assert_eq!(nested(text, 3), text);
    }

    #[test]
    fn open_fences_are_closed() {
        assert_eq!(nested("~~~~\ncut off", 2), "~~~~\ncut off\n~~~~");
        assert_eq!(nested("```", 2), "```\n```");
        assert_eq!(nested("- item\n\n  ```\n  in a list", 2), "- item\n\n  ```\n  in a list");
    }

    #[test]
    fn raw_html_becomes_text() {
        assert_eq!(nested("<!-- never closed\n\n# A", 2), "&lt;!-- never closed\n\n### A");
        assert_eq!(nested("a <script>x</script>", 2), "a &lt;script>x&lt;/script>");
        assert_eq!(nested("`<b>` stays", 2), "`<b>` stays");
    }

    #[test]
    fn link_definitions_do_not_leak() {
        assert_eq!(nested("see [a]\n\n[a]: http://x.test/", 2), "see [a]\n\n\\[a]: http://x.test/");
    }

    #[test]
    fn json_is_shown_as_json() {
        assert_eq!(nested(r#"{"a":[1]}"#, 2), "```json\n{\n  \"a\": [\n    1\n  ]\n}\n```");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn any_text_holds_or_is_fenced(parts in proptest::collection::vec(prop_oneof![
            Just("#"), Just("# "), Just("## x"), Just("\n"), Just("\n\n"), Just("==="), Just("---"), Just("```"), Just("~~~"),
            Just("````"), Just(" "), Just("    "), Just("\t"), Just("> "), Just("- "), Just("1. "), Just("<!--"), Just("-->"),
            Just("<div>"), Just("</div>"), Just("<script>"), Just("<"), Just("[a]: /u"), Just("[a]"), Just("`"), Just("|"),
            Just("|-|-|"), Just("word"), Just("\\"), Just("<?"), Just("<![CDATA["), Just("*"), Just("é"), Just("\r\n"),
        ], 0..30), level in 1_usize..5) {
            let text: String = parts.concat();
            let told = nested(&text, level);
            prop_assert!(holds(&told, level), "{:?} became {:?}", text, told);
        }
    }
}
