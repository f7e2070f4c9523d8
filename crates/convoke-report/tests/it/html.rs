//! The HTML report.

use convoke_report::html;

use crate::samples;

#[test]
fn waiting() {
    let page = html(&samples::waiting());
    let (_, body) = page.split_once("</style>").expect("a style");
    insta::assert_snapshot!(body);
}

#[test]
fn every_kind_of_run_is_a_whole_page() {
    for run in [
        samples::completed(),
        samples::failed(),
        samples::out_of_budget(),
        samples::unpriced(),
        samples::empty(),
        samples::with_people(),
        samples::with_flow(),
    ] {
        let page = html(&run);
        assert!(page.starts_with("<!doctype html>\n") && page.ends_with("</body>\n</html>\n"));
        for tag in [
            "section", "details", "table", "svg", "div", "dl", "main", "header", "p", "span", "code", "pre", "ul", "li",
        ] {
            let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag} in {}", run.summary.state);
        }
    }
}

#[test]
fn nothing_is_loaded_or_run() {
    let page = html(&samples::completed());
    for outside in ["<script", "<link", "<img", "<iframe", "src=", "@import", "url(", "http://", "https://"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn what_ran_at_the_same_time_is_drawn_at_the_same_place() {
    let page = html(&samples::completed());
    let bars: Vec<_> =
        page.match_indices("<rect class=\"task\" x=\"").map(|(at, found)| &page[at + found.len()..][..5]).collect();
    assert_eq!(bars.len(), samples::completed().tasks.len());
    assert_eq!(bars[1], bars[2], "logs and perf began together");
}

#[test]
fn a_script_is_named_and_an_unknown_price_is_no_zero() {
    let simulated = html(&samples::simulated());
    assert!(simulated.contains("Played by a script: no model was called, usage and cost are simulated"));
    assert!(!html(&samples::completed()).contains("Played by a script"));
    let unpriced = html(&samples::unpriced());
    assert!(unpriced.contains("unpriced (2 calls)") && !unpriced.contains("<dd>$0.0000"));
}

#[test]
fn people_and_figures_stand_on_the_page() {
    let page = html(&samples::with_people());
    for id in ["ratings", "decisions", "approvals", "handoffs", "analytics"] {
        assert!(page.contains(&format!("<section id=\"{id}\">")), "{id}");
        assert!(!html(&samples::completed()).contains(&format!("<section id=\"{id}\">")), "{id}");
    }
    assert!(page.contains("found it, | but &lt;slowly&gt;") && page.contains("4 of 5"));
    assert!(page.contains("<strong class=\"alarm\">pending, 2 needed</strong>"));
}

#[test]
fn disagreement_is_shown() {
    let page = html(&samples::completed());
    assert!(page.contains("1 of 4 disagrees: cost. The result stands in spite of it."));
    assert!(page.contains("<strong class=\"alarm\">DISAGREES</strong>"));
}
