//! The names that a template uses: filters, tests and variables, each with its place. minijinja looks them up when the
//! template runs, which for a script may be an hour into a run; here they are looked up when the script is read.
//!
//! The template has been compiled before, so it is well-formed. Start at [`unknown`].

use minijinja::{Environment, ErrorKind};

/// The variables of a call.
pub(super) const VARIABLES: [&str; 11] =
    ["agent", "attempt", "context", "prompt", "results", "round", "seen", "stage", "task", "task_key", "turn"];

/// What a word of a template is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Filter,
    Test,
    Variable,
    /// A field of something.
    Field,
}

/// A word of a template, and the byte at which it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Word<'a> {
    role: Role,
    text: &'a str,
    at: usize,
}

/// The first name in a template that nobody knows, with what to say of it and the byte at which it stands.
pub(super) fn unknown(environment: &Environment<'_>, template: &str) -> Option<(usize, String)> {
    let words = words(template);
    let mut state = environment.empty_state();
    let function = words.iter().find(|word| match word.role {
        // Without a value it fails for another reason, if there is such a thing.
        Role::Filter => state.apply_filter(word.text, &[]).is_err_and(|why| why.kind() == ErrorKind::UnknownFilter),
        Role::Test => state.perform_test(word.text, &[]).is_err_and(|why| why.kind() == ErrorKind::UnknownTest),
        Role::Variable | Role::Field => false,
    });
    let function = function.map(|word| {
        let noun = if word.role == Role::Filter { "filter" } else { "test" };
        (word.at, format!("there is no {noun} `{}`", word.text))
    });
    let undeclared = environment.template_from_str(template).ok()?.undeclared_variables(false);
    let is_known = |name: &str| VARIABLES.contains(&name) || environment.globals().any(|(known, _)| known == name);
    let variable =
        words.iter().find(|word| word.role == Role::Variable && undeclared.contains(word.text) && !is_known(word.text));
    let variable = variable.map(|word| {
        let known = VARIABLES.join(", ");
        (word.at, format!("there is no variable `{}`; there are {known}", word.text))
    });
    function.into_iter().chain(variable).min_by_key(|(at, _)| *at)
}

/// The words in the tags of a template.
fn words(template: &str) -> Vec<Word<'_>> {
    let (mut words, mut at) = (Vec::new(), 0);
    while let Some(start) = template[at..].find('{').map(|found| at + found) {
        let rest = &template[start..];
        at = if rest.starts_with("{#") {
            end_of(template, start, "#}")
        } else if let Some(raw) = raw_block(rest) {
            start + raw
        } else if rest.starts_with("{{") || rest.starts_with("{%") {
            tag(template, start + 2, &mut words)
        } else {
            start + 1
        };
    }
    words
}

fn end_of(template: &str, start: usize, mark: &str) -> usize {
    template[start..].find(mark).map_or(template.len(), |found| start + found + mark.len())
}

/// The length of a block whose inside is no template, if one begins here.
fn raw_block(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix("{%")?.trim_start_matches(['-', '+']).trim_start();
    inside.strip_prefix("raw")?.trim_start().strip_prefix(['-', '+', '%'])?;
    let end = rest.find("endraw")?;
    Some(end_of(rest, end, "%}"))
}

/// Takes the words of one tag, from `at` on; gives where it ends.
fn tag<'a>(template: &'a str, mut at: usize, words: &mut Vec<Word<'a>>) -> usize {
    let (mut role, mut open) = (Role::Variable, 0_usize);
    while let Some(c) = template[at..].chars().next() {
        let rest = &template[at..];
        if open == 0 && (rest.starts_with("}}") || rest.starts_with("%}")) {
            return at + 2;
        }
        if c == '"' || c == '\'' {
            at = string_end(template, at + 1, c);
            role = Role::Variable;
        } else if c.is_alphabetic() || c == '_' {
            let text = &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())];
            role = match (text, role) {
                ("is", Role::Variable) => Role::Test,
                ("not", Role::Test) => Role::Test,
                ("filter", Role::Variable) if words_of_tag_are_none(template, at) => Role::Filter,
                _ => {
                    words.push(Word { role, text, at });
                    Role::Variable
                }
            };
            at += text.len();
        } else {
            open = match c {
                '{' => open + 1,
                '}' => open.saturating_sub(1),
                _ => open,
            };
            role = match c {
                '|' => Role::Filter,
                '.' => Role::Field,
                c if c.is_whitespace() => role,
                _ => Role::Variable,
            };
            at += c.len_utf8();
        }
    }
    at
}

/// True if nothing stands between the tag's beginning and `at`.
fn words_of_tag_are_none(template: &str, at: usize) -> bool {
    template[..at].trim_end().trim_end_matches(['-', '+']).ends_with("{%")
}

fn string_end(template: &str, mut at: usize, quote: char) -> usize {
    while let Some(c) = template[at..].chars().next() {
        at += c.len_utf8();
        if c == quote {
            return at;
        }
        if c == '\\' {
            at += template[at..].chars().next().map_or(0, char::len_utf8);
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(template: &str) -> Option<(usize, String)> {
        let environment = Environment::new();
        environment.template_from_str(template).expect(template);
        unknown(&environment, template)
    }

    #[test]
    fn names_that_are_known_are_left_alone() {
        for template in [
            "plain",
            "{{ task | upper }}, {{ results.x.json.rows | length }}",
            "{{ 'a | nothing' ~ \"{{ nope }}\" }}{# {{ nope | nope }} #}",
            "{% raw %}{{ nope | nope }}{% endraw %}{{ turn }}",
            "{% for row in results.x.json.rows if row[0] is not none %}{{ loop.index }}{{ row.nope | default('|x') }}{% endfor %}",
            "{% set total = 1 %}{{ total }}{{ dict(nope=1) }}{{ {'a': {'b': round}} | tojson }}",
            "{% filter upper %}a{% endfilter %}{{ range(3) | map('upper') | list }}",
            "{{ 1.5 | round(1) }}{{ 'it\\'s | odd' }}{ {",
        ] {
            assert_eq!(told(template), None, "{template}");
        }
    }

    #[test]
    fn names_that_nobody_knows_are_found_where_they_stand() {
        for (template, name, what) in [
            ("ä {{ task | uper }}", "uper", "filter"),
            ("{{ a_b.task }}", "a_b", "variable"),
            ("{{ task if tsk else 1 }}", "tsk", "variable"),
            ("{% if task is not evn %}{% endif %}", "evn", "test"),
            ("{% filter uper %}a{% endfilter %}", "uper", "filter"),
            ("{{- task -}}{%- if task|lenth > 1 -%}{%- endif -%}", "lenth", "filter"),
            ("{{ {'a': {'b': 1}} | tojsn }}", "tojsn", "filter"),
        ] {
            let (at, why) = told(template).unwrap_or_else(|| panic!("{template} was taken"));
            assert_eq!(Some(at), template.find(name), "{template}");
            assert!(why.starts_with(&format!("there is no {what} `{name}`")), "{why}");
        }
    }
}
