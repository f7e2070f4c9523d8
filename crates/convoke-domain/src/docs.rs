//! Tests only: pages of `docs/` that are printed from the code and must agree with it.

use std::path::Path;

/// Compares a page with what the code says. With `CONVOKE_UPDATE_DOCS` set it writes the page instead.
pub(crate) fn check(page: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    if std::env::var_os("CONVOKE_UPDATE_DOCS").is_some() {
        std::fs::write(&path, text).expect("docs can be written");
    }
    let stands = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stands == text, "docs/{page} is not what the code says; run the tests with CONVOKE_UPDATE_DOCS=1");
}

/// A page with what each command makes of each state.
pub(crate) fn table<'a>(
    noun: &str,
    file: &str,
    commands: &[&str],
    rows: impl Iterator<Item = (&'a str, Vec<&'a str>)>,
) -> String {
    let mut page = format!(
        "# {noun} states\n\nPrinted from `convoke-domain/src/{file}`: what each command makes of each state. An empty cell \
         is refused.\n\n| state | {} |\n|---{}|\n",
        commands.join(" | "),
        "|---".repeat(commands.len())
    );
    for (state, cells) in rows {
        page.push_str(&format!("| **{state}** | {} |\n", cells.join(" | ")));
    }
    page
}
