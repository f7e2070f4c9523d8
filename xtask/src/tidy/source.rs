//! Rust source as checks see it: code without comments and texts, what is test code, where functions begin and end.
//!
//! A lexer of a page, not a parser: it knows comments, strings, characters and brackets. That is enough to count, and it
//! keeps this program quick to build. Start at [`Source::new`].

/// One Rust file.
pub struct Source {
    /// From the root of the clone.
    pub file: String,
    /// As it is.
    pub text: String,
    /// The same bytes with comments, strings and characters blanked; lines stay where they are.
    pub code: String,
    /// For each line, whether it belongs to test code.
    tests: Vec<bool>,
    /// The whole file is test code.
    is_test_file: bool,
}

/// Marks the files that other files declare as `#[cfg(test)] mod name;`.
pub fn mark_test_files(sources: &mut [Source]) {
    let declared: Vec<String> = sources.iter().flat_map(Source::declared_tests).collect();
    for source in sources.iter_mut().filter(|source| declared.contains(&source.file)) {
        source.is_test_file = true;
    }
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line it begins at, from 1.
    pub line: usize,
    /// Lines from its `fn` to its closing brace.
    pub lines: usize,
    /// Parameters without `self`.
    pub parameters: usize,
}

impl Source {
    /// Reads a file.
    pub fn new(file: &str, text: String) -> Self {
        let code = blank(&text);
        let is_test_file = file.split('/').any(|part| part == "tests") || file.contains("testkit/");
        let mut source = Self { file: file.to_owned(), text, code, tests: Vec::new(), is_test_file };
        source.tests = source.find_tests();
        source
    }

    /// True if the line, from 1, is test code.
    pub fn is_test(&self, line: usize) -> bool {
        self.is_test_file || self.tests.get(line - 1).copied().unwrap_or(false)
    }

    /// The files in which modules may lie that this one declares for tests only.
    fn declared_tests(&self) -> Vec<String> {
        let folder = match self.file.rsplit_once('/') {
            Some((folder, "lib.rs" | "main.rs" | "mod.rs")) => folder.to_owned(),
            _ => self.file.trim_end_matches(".rs").to_owned(),
        };
        let declared = self.code.match_indices("#[cfg(test)]").filter_map(|(at, mark)| {
            let rest = self.code[at + mark.len()..].trim_start().trim_start_matches("pub ").strip_prefix("mod ")?;
            let name = &rest[..rest.find([';', '{'])?];
            Some(name.trim().to_owned())
        });
        declared.flat_map(|name| [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")]).collect()
    }

    /// Lines that are not test code.
    pub fn plain_lines(&self) -> usize {
        (1..=self.text.lines().count()).filter(|line| !self.is_test(*line)).count()
    }

    /// The lines of code that contain a word or phrase which is no part of a longer name, from 1.
    pub fn lines_with(&self, phrase: &str) -> Vec<usize> {
        let lines = self.code.lines().enumerate();
        lines.filter(|(_, line)| has_phrase(line, phrase)).map(|(index, _)| index + 1).collect()
    }

    /// All functions with a body that are not test code.
    pub fn functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        let mut from = 0;
        while let Some(at) = self.code[from..].find("fn ").map(|at| at + from) {
            from = at + 3;
            let starts_word = !self.code[..at].ends_with(is_name);
            if let Some(function) = Some(at).filter(|_| starts_word).and_then(|at| self.function(at)) {
                functions.push(function);
            }
        }
        functions.retain(|function| !self.is_test(function.line));
        functions
    }

    fn function(&self, at: usize) -> Option<Function> {
        let name: String = self.code[at + 3..].chars().take_while(|c| is_name(*c)).collect();
        let mut open = at + 3 + name.len();
        if name.is_empty() {
            return None;
        }
        if self.code[open..].starts_with('<') {
            open = closing(&self.code, open)? + 1;
        }
        let close = closing(&self.code, open)?;
        let end = self.code[close..].find(['{', ';']).map(|offset| close + offset)?;
        if self.code[end..].starts_with(';') {
            return None;
        }
        let last = closing(&self.code, end)?;
        let line = self.line_of(at);
        let parameters = count_parameters(&self.code[open + 1..close]);
        Some(Function { name, line, lines: self.line_of(last) - line + 1, parameters })
    }

    fn line_of(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }

    /// Marks the lines of every item behind `#[cfg(test)]`.
    fn find_tests(&self) -> Vec<bool> {
        let mut tests = vec![false; self.code.lines().count()];
        for (at, _) in self.code.match_indices("#[cfg(test)]") {
            let end = self.code[at..].find(['{', ';']).map(|offset| at + offset);
            let last = end
                .and_then(|end| if self.code[end..].starts_with(';') { Some(end) } else { closing(&self.code, end) });
            let last = last.map_or(tests.len(), |last| self.line_of(last));
            tests[self.line_of(at) - 1..last].fill(true);
        }
        tests
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn has_phrase(line: &str, phrase: &str) -> bool {
    line.match_indices(phrase).any(|(at, _)| {
        let inside_before = phrase.starts_with(is_name) && line[..at].ends_with(is_name);
        let inside_after = phrase.ends_with(is_name) && line[at + phrase.len()..].starts_with(is_name);
        !inside_before && !inside_after
    })
}

/// The place of the bracket that closes the one at `open`. An arrow's `>` closes nothing.
fn closing(code: &str, open: usize) -> Option<usize> {
    let bytes = code.as_bytes();
    let (opener, closer) = match bytes.get(open)? {
        b'(' => (b'(', b')'),
        b'[' => (b'[', b']'),
        b'{' => (b'{', b'}'),
        b'<' => (b'<', b'>'),
        _ => return None,
    };
    let mut depth = 0;
    for (at, byte) in bytes.iter().enumerate().skip(open) {
        let is_arrow = *byte == b'>' && matches!(bytes[at - 1], b'-' | b'=');
        if *byte == opener {
            depth += 1;
        } else if *byte == closer && !is_arrow {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

/// Parameters between the parentheses of a function, without `self`.
fn count_parameters(code: &str) -> usize {
    let mut depth = 0_i32;
    let mut parts = vec![String::new()];
    let mut before = ' ';
    for c in code.chars() {
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            '>' if before == '-' || before == '=' => {}
            ')' | ']' | '}' | '>' => depth -= 1,
            ',' if depth == 0 => parts.push(String::new()),
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
        before = c;
    }
    let is_self = |part: &str| {
        let name = part.trim_start_matches([',', ' ', '\n', '&']).split(':').next().unwrap_or_default();
        name.split_whitespace().next_back() == Some("self")
    };
    parts.iter().filter(|part| !part.trim_matches([',', ' ', '\n']).is_empty() && !is_self(part)).count()
}

/// Replaces comments, strings and characters by spaces, byte for byte.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = token_end(bytes, at);
        let Some(end) = end else {
            at += 1;
            continue;
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(out).expect("whole characters were replaced by spaces")
}

/// The end of the comment, string or character that begins here, if one does.
fn token_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return Some(at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()));
    }
    if rest.starts_with(b"/*") {
        return Some(at + block_comment(rest));
    }
    if rest[0] == b'"' {
        return Some(at + quoted(rest, b'"'));
    }
    if rest[0] == b'r' && !(at > 0 && is_name(char::from(bytes[at - 1])) && !matches!(bytes[at - 1], b'b' | b'c')) {
        return raw_string(rest).map(|length| at + length);
    }
    if rest[0] == b'\'' {
        return character(rest).map(|length| at + length);
    }
    None
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// Length of what is quoted, both quotes included.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return None;
    }
    let close = [b"\"".to_vec(), vec![b'#'; hashes]].concat();
    let body = &rest[2 + hashes..];
    let end = body
        .windows(close.len())
        .position(|window| window == close)
        .unwrap_or(body.len() - close.len().min(body.len()));
    Some(2 + hashes + end + close.len())
}

/// A character, which a lifetime is not.
fn character(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        return Some(quoted(rest, b'\''));
    }
    let width = std::str::from_utf8(&rest[1..rest.len().min(5)])
        .or_else(|error| std::str::from_utf8(&rest[1..1 + error.valid_up_to()]))
        .ok()
        .and_then(|text| text.chars().next())
        .map(char::len_utf8)?;
    (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_texts_are_blanked_and_lines_stay() {
        let text = "let a = \"x\\\"todo!()\"; // dbg!(1)\nlet b = r#\"fn \"q\" ()\"#; /* a /* b */ c */ let c: &'static str = 'ü'; 'x'";
        let code = blank(text);
        assert_eq!(code.len(), text.len());
        assert!(!code.contains("todo") && !code.contains("dbg") && !code.contains("fn") && !code.contains('ü'));
        assert!(code.contains("'static str") && code.contains("let c"), "{code}");
        assert_eq!(code.matches('\n').count(), 1);
    }

    #[test]
    fn functions_are_measured() {
        let text = "impl A {\n    fn get<F: Fn(u8) -> u8>(&mut self, f: F, b: HashMap<u8, u8>, c: (u8, u8)) -> u8\n    where F: Send {\n        1\n    }\n    fn none(self: Box<Self>);\n}\ntype T = fn (u8) -> u8;\n";
        let functions = Source::new("a.rs", text.to_owned()).functions();
        assert_eq!(functions, [Function { name: "get".into(), line: 2, lines: 4, parameters: 3 }]);
    }

    #[test]
    fn self_is_no_parameter_and_a_trailing_comma_makes_none() {
        assert_eq!(count_parameters("&'a mut self,\n a: u8,\n"), 1);
        assert_eq!(count_parameters("mut self"), 0);
        assert_eq!(count_parameters("self_made: u8"), 1);
        assert_eq!(count_parameters(""), 0);
    }

    #[test]
    fn test_code_is_known() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n";
        let source = Source::new("crates/x/src/a.rs", text.to_owned());
        let names: Vec<_> = source.functions().into_iter().map(|function| function.name).collect();
        assert_eq!(names, ["a", "c"]);
        assert_eq!(source.plain_lines(), 2);
    }

    #[test]
    fn files_declared_for_tests_are_known() {
        let files = [
            ("c/src/lib.rs", "#[cfg(test)]\nmod docs;\nmod a;\n"),
            ("c/src/a.rs", "#[cfg(test)]\nmod tests;"),
            ("c/src/docs.rs", ""),
            ("c/src/a/tests.rs", ""),
        ];
        let mut sources: Vec<Source> = files.map(|(file, text)| Source::new(file, text.to_owned())).into();
        mark_test_files(&mut sources);
        assert_eq!(sources.iter().map(|source| source.is_test(1)).collect::<Vec<_>>(), [true, true, true, true]);
        assert_eq!(sources.iter().map(|source| source.is_test(3)).collect::<Vec<_>>(), [false, false, true, true]);
    }

    #[test]
    fn a_phrase_is_found_only_as_a_whole() {
        let source = Source::new("a.rs", "my_todo!();\ntodo!();\n".to_owned());
        assert_eq!(source.lines_with("todo!"), [2]);
    }
}
