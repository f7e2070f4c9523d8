//! Markdown that others wrote, as HTML: raw HTML is shown as text, links lead only to the web and to mail, pictures are
//! named and not loaded.

use pulldown_cmark::{CowStr, Event, HeadingLevel, LinkType, Parser, Tag, TagEnd, html};

use crate::nest::{DIALECT, pretty_json, shift};
use crate::quote;

/// The text as HTML under a heading of `level`.
pub(crate) fn prose(text: &str, level: usize) -> String {
    if let Some(json) = pretty_json(text) {
        return format!("<pre><code>{}</code></pre>\n", quote::html(&json));
    }
    let text = quote::clean(text);
    let shift = shift(&text, level);
    let mut open_links = Vec::new();
    let events = Parser::new_ext(&text, DIALECT).map(|event| harmless(event, shift, &mut open_links));
    let mut written = String::new();
    html::push_html(&mut written, events);
    format!("<div class=\"prose\">\n{written}</div>\n")
}

fn harmless<'a>(event: Event<'a>, shift: usize, open_links: &mut Vec<bool>) -> Event<'a> {
    match event {
        Event::Html(raw) | Event::InlineHtml(raw) => Event::Text(raw),
        Event::Start(Tag::HtmlBlock) => Event::Start(Tag::Paragraph),
        Event::End(TagEnd::HtmlBlock) => Event::End(TagEnd::Paragraph),
        Event::Start(Tag::Heading { level, .. }) => {
            let level = deeper(level, shift);
            Event::Start(Tag::Heading { level, id: None, classes: Vec::new(), attrs: Vec::new() })
        }
        Event::End(TagEnd::Heading(level)) => Event::End(TagEnd::Heading(deeper(level, shift))),
        Event::Start(Tag::Link { link_type, dest_url, .. }) => {
            let target = target(link_type, &dest_url);
            open_links.push(target.is_some());
            written(target.map(|target| link(&target)).unwrap_or_default())
        }
        Event::End(TagEnd::Link) => written(if open_links.pop() == Some(true) { "</a>" } else { "" }.into()),
        Event::Start(Tag::Image { .. }) => written("<span class=\"image\">[picture, not loaded: ".into()),
        Event::End(TagEnd::Image) => written("]</span>".into()),
        other => other,
    }
}

fn deeper(level: HeadingLevel, shift: usize) -> HeadingLevel {
    HeadingLevel::try_from((level as usize + shift).min(6)).unwrap_or(HeadingLevel::H6)
}

/// HTML of ours.
fn written<'a>(html: String) -> Event<'a> {
    Event::InlineHtml(CowStr::from(html))
}

fn link(target: &str) -> String {
    format!("<a href=\"{}\" rel=\"noopener noreferrer nofollow\">", quote::html(target))
}

/// Where a link leads, if it leads where links may.
fn target(link_type: LinkType, dest: &str) -> Option<String> {
    let dest = if link_type == LinkType::Email { format!("mailto:{dest}") } else { dest.to_owned() };
    let starts_with = |scheme: &str| dest.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let is_allowed = ["http://", "https://", "mailto:"].into_iter().any(starts_with);
    (is_allowed && !dest.chars().any(|c| c.is_control() || c.is_whitespace())).then_some(dest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_web_and_to_mail_only() {
        let led = ["https://a.test/?x=1&y=2", "HTTP://a.test", "mailto:a@b.test"];
        assert!(led.iter().all(|dest| target(LinkType::Inline, dest).is_some()));
        let not = [
            "javascript:alert(1)",
            "JaVaScRiPt:x",
            "data:text/html,x",
            "vbscript:x",
            "file:///etc/passwd",
            "//evil.test",
            "/path",
            "#here",
            "",
            " https://a.test",
            "java\tscript:x",
            "httpsx://a",
        ];
        assert_eq!(not.iter().find(|dest| target(LinkType::Inline, dest).is_some()), None);
    }

    #[test]
    fn a_refused_link_keeps_its_words() {
        assert_eq!(
            prose("[a](javascript:x) [b](http://b.test/)", 2),
            "<div class=\"prose\">\n<p>a <a href=\"http://b.test/\" rel=\"noopener noreferrer nofollow\">b</a></p>\n</div>\n"
        );
    }
}
