//! The sums that test runners print, found among their lines and, where there are many, added up.

/// True for a line in which a runner says how many tests passed.
pub fn is_sum(line: &str) -> bool {
    let line = plain(line);
    let line = line.trim_start();
    line.starts_with("test result:") || line.starts_with("Summary [")
}

/// One line for all sums of one runner. Nextest prints one, which is kept as it is; cargo's own prints one a binary.
pub fn add_up(name: &str, lines: &[String]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| plain(line).trim().to_owned()).collect();
    if let Some(summary) = lines.iter().find(|line| line.starts_with("Summary [")) {
        return format!("{name}: {summary}");
    }
    let count = |word: &str| lines.iter().map(|line| number_before(line, word)).sum::<u64>();
    let (passed, failed, ignored) = (count(" passed"), count(" failed"), count(" ignored"));
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    format!("{name}: test result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored")
}

fn number_before(line: &str, word: &str) -> u64 {
    let before = line.find(word).map_or("", |at| &line[..at]);
    before.rsplit(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// A line without its colours.
fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("\u{1b}[") {
        out.push_str(&rest[..at]);
        let code = &rest[at + 2..];
        rest = code.find(|c: char| c.is_ascii_alphabetic()).map_or("", |end| &code[end + 1..]);
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_many_binaries_are_added() {
        let lines = [
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out; finished in 0.00s".to_owned(),
            "test result: FAILED. 4 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out".to_owned(),
        ];
        assert!(lines.iter().all(|line| is_sum(line)));
        assert_eq!(add_up("tests", &lines), "tests: test result: FAILED. 7 passed; 1 failed; 1 ignored");
    }

    #[test]
    fn the_summary_of_nextest_is_kept() {
        let line = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.014s] 2 tests run: 2 passed, 0 skipped";
        assert!(is_sum(line));
        let sum = add_up("tests", &[line.to_owned()]);
        assert_eq!(sum, "tests: Summary [   0.014s] 2 tests run: 2 passed, 0 skipped");
    }
}
