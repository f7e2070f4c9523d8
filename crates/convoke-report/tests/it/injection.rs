//! What nobody's text may do: run, load, lead astray, or stand where our own words stand.

use convoke_domain::record::RunRecord;
use convoke_report::{html, markdown};
use serde_json::Value;

use crate::samples;

const EVIL: &str = "\"><script>alert(1)</script>' onmouseover='alert(1) <img src=x onerror=alert(1)> &lt;b&gt; <!-- </style></title></svg>\n\n\
    # Root heading\n\n<div>\n\n[a](javascript:alert(1)) [b](JAVASCRIPT:alert(1)) [c](data:text/html;base64,PHNjcmlwdD4=) [d](vbscript:x) [e](//evil.test) \
    <javascript:alert(1)> ![f](data:image/svg+xml;base64,PHN2Zz4=) ![g](https://evil.test/pixel.png) [h](https://good.test/?a=1&b=\"2\" \"t' onclick='x\") [i]\n\n\
    [i]: javascript:alert(2)\n\n| a | b |\n|---|---|\n| <b>x</b> | `</td>` |\n\n## Costs\n\n| total | $0 |\n\n```\n</code></pre><script>alert(3)</script>\n\
    never closed\n# not a heading";

/// A run in which every text that others write is `text`.
fn poisoned(mut run: RunRecord, text: &str) -> RunRecord {
    let some = || Some(text.to_owned());
    let summary = &mut run.summary;
    (summary.task, summary.team, summary.created_by) = (text.into(), text.into(), text.into());
    (summary.input, summary.reason, summary.error) = (some(), some(), some());
    (run.coordinator, run.output) = (text.into(), some());
    for task in &mut run.tasks {
        (task.key, task.title, task.agent) = (text.into(), text.into(), text.into());
        task.output = task.output.as_ref().map(|_| text.to_owned());
        task.error = some();
        for attempt in &mut task.attempts {
            (attempt.agent, attempt.error) = (text.into(), some());
            for step in &mut attempt.steps {
                (step.name, step.output, step.error) = (text.into(), some(), some());
                step.input = Some(serde_json::json!({ text: text }));
            }
        }
    }
    for row in &mut run.usage {
        (row.agent, row.model, row.tariff) = (text.into(), text.into(), text.into());
    }
    run.budgets.iter_mut().for_each(|budget| budget.scope = text.into());
    for effect in &mut run.effects {
        (effect.key, effect.tool, effect.note) = (text.into(), text.into(), some());
        effect.resolved_by = effect.resolved_by.as_ref().map(|_| text.to_owned());
    }
    if let Some(flow) = &mut run.flow {
        let mut value = serde_json::to_value(&*flow).expect("JSON");
        poison(&mut value, text);
        *flow = serde_json::from_value(value).expect("the same with other texts");
    }
    run
}

/// Makes every text of a value `text` that is not one of a few words of ours.
fn poison(value: &mut Value, text: &str) {
    const OURS: [&str; 8] = ["state", "wait", "majority", "tie", "is", "task", "started_at", "finished_at"];
    match value {
        Value::String(own) => text.clone_into(own),
        Value::Array(list) => list.iter_mut().for_each(|one| poison(one, text)),
        Value::Object(fields) => {
            fields.iter_mut().filter(|(name, _)| !OURS.contains(&name.as_str())).for_each(|(_, one)| poison(one, text));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn all() -> [RunRecord; 6] {
    [
        samples::completed(),
        samples::failed(),
        samples::waiting(),
        samples::out_of_budget(),
        samples::unpriced(),
        samples::with_flow(),
    ]
}

/// Every tag of a page, as its text between the brackets.
fn tags(page: &str) -> Vec<&str> {
    let (_, body) = page.split_once("</style>").expect("a style");
    body.split('<').skip(1).map(|tag| tag.split_once('>').expect("the end of a tag").0).collect()
}

/// Names of a tag's attributes; values are between double quotes and hold none.
fn attributes(tag: &str) -> Vec<&str> {
    let names = tag.split('"').step_by(2).flat_map(str::split_whitespace).skip(1);
    names.map(|name| name.trim_end_matches('=')).filter(|name| !name.is_empty() && *name != "/").collect()
}

const TAGS: [&str; 42] = [
    "wbr",
    "blockquote",
    "head",
    "title",
    "body",
    "html",
    "main",
    "header",
    "footer",
    "section",
    "p",
    "span",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "b",
    "strong",
    "code",
    "pre",
    "div",
    "dl",
    "dt",
    "dd",
    "ul",
    "ol",
    "li",
    "details",
    "summary",
    "table",
    "thead",
    "tbody",
    "tfoot",
    "tr",
    "th",
    "td",
    "svg",
    "rect",
    "a",
    "style",
];
const ATTRIBUTES: [&str; 20] = [
    "data-label",
    "class",
    "id",
    "scope",
    "title",
    "role",
    "aria-label",
    "width",
    "height",
    "x",
    "y",
    "rx",
    "href",
    "rel",
    "open",
    "lang",
    "start",
    "style",
    "charset",
    "content",
];

#[test]
fn pages_hold_only_tags_and_attributes_of_ours() {
    for run in all() {
        let page = html(&poisoned(run, EVIL));
        for tag in tags(&page) {
            let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
            assert!(TAGS.contains(&name), "<{tag}>");
            assert_eq!(attributes(tag).into_iter().find(|name| !ATTRIBUTES.contains(name)), None, "<{tag}>");
        }
    }
}

#[test]
fn links_lead_to_the_web_and_nothing_is_loaded() {
    for run in all() {
        let page = html(&poisoned(run, EVIL));
        let hrefs: Vec<_> =
            page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap_or_default()).collect();
        assert!(!hrefs.is_empty());
        assert_eq!(hrefs.iter().find(|href| !href.starts_with("https://good.test/")), None);
        assert!(!page.contains("src=\"") && !page.contains("<img") && !page.contains("<script"));
    }
}

#[test]
fn styles_and_titles_are_not_left() {
    let page = html(&poisoned(samples::completed(), "</title></style><script>x</script>"));
    assert_eq!(page.matches("</title>").count() - page.matches("<title>").count(), 0);
    assert_eq!(page.matches("</style>").count(), 1);
    assert!(page.contains("&lt;/title&gt;&lt;/style&gt;&lt;script&gt;"));
}

/// Headings of ours, `#` to `###`, outside of fenced blocks.
fn headings(report: &str) -> Vec<String> {
    use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag};
    let parser = Parser::new_ext(report, Options::ENABLE_TABLES).into_offset_iter();
    let ours = parser.filter_map(|(event, range)| match event {
        Event::Start(Tag::Heading { level, .. }) if level <= HeadingLevel::H2 => Some(report[range].trim().to_owned()),
        _ => None,
    });
    ours.skip(1).collect()
}

#[test]
fn sections_of_the_markdown_are_ours_alone() {
    for run in all() {
        let mut expected = headings(&markdown(&run));
        expected.retain(|heading| {
            !["## Plan", "## What went wrong", "## What it needs", "## Earlier drafts"].contains(&heading.as_str())
        });
        let mut told = headings(&markdown(&poisoned(run, EVIL)));
        told.retain(|heading| {
            !["## Plan", "## What went wrong", "## What it needs", "## Earlier drafts"].contains(&heading.as_str())
        });
        assert_eq!(told, expected);
    }
}

#[test]
fn no_raw_html_is_left_in_the_markdown() {
    use pulldown_cmark::{Event, Options, Parser};
    for run in all() {
        let report = markdown(&poisoned(run, EVIL));
        let raw = Parser::new_ext(&report, Options::ENABLE_TABLES)
            .find(|event| matches!(event, Event::Html(_) | Event::InlineHtml(_)));
        assert_eq!(raw, None);
    }
}

#[test]
fn rows_of_tables_keep_their_cells() {
    use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
    let tables = |run: &RunRecord| {
        let report = markdown(run);
        let mut rows = Vec::new();
        for event in Parser::new_ext(&report, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::TableHead) => rows.push(0),
                Event::End(TagEnd::TableRow) => *rows.last_mut().expect("a table") += 1,
                _ => {}
            }
        }
        rows
    };
    let run = samples::waiting();
    assert_eq!(tables(&poisoned(run.clone(), "a | b\n| c | d |\n\n")), tables(&poisoned(run, "harmless")));
}
