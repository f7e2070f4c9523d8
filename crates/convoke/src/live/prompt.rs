//! A question below the live view, and the line in which it is answered. Pure: keys go in, an answer comes out.
//!
//! Rule: what was typed before a question was drawn does not answer it. Start at [`Prompt::key`].

use std::collections::BTreeSet;

use convoke_domain::approval::Choice;
use convoke_domain::record::{InboxEntry, InboxKind};

use crate::inbox;
use crate::text::{self, BOLD, DIM, YELLOW, cut, cut_start, paint};

/// Lines of details that are shown.
const DETAILS: usize = 4;
/// Characters of an answer that is typed here; longer ones come from a file.
const MOST: usize = 4_000;

/// What a person has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Yes or no to a tool call, and why.
    Decided(String, Choice, String),
    /// The result of a task, or why it will not be done.
    Answered(String, Result<String, String>),
}

/// The question that is asked, and what was typed so far.
#[derive(Debug, Default)]
pub struct Prompt {
    waiting: Vec<InboxEntry>,
    later: BTreeSet<String>,
    typed: String,
    bytes: Vec<u8>,
    /// Within the code of a key that is no character.
    escape: bool,
    drawn: bool,
    note: Option<String>,
}

impl Prompt {
    /// What waits now. The question that stands stays, as long as it waits.
    pub fn ask(&mut self, waiting: Vec<InboxEntry>) {
        let before = self.current().map(|entry| entry.id.clone());
        self.waiting = waiting;
        if self.current().map(|entry| entry.id.clone()) != before {
            (self.drawn, self.escape) = (false, false);
            self.typed.clear();
            self.bytes.clear();
        }
    }

    /// True while a question is asked that was not put off.
    pub fn is_asking(&self) -> bool {
        self.current().is_some()
    }

    /// Says something below the question.
    pub fn tell(&mut self, note: String) {
        self.note = Some(note);
    }

    fn current(&self) -> Option<&InboxEntry> {
        self.waiting.iter().find(|entry| !self.later.contains(&entry.id))
    }

    /// Takes in a key; an answer, if that ended one.
    pub fn key(&mut self, key: u8) -> Option<Said> {
        if !self.drawn || !self.is_asking() {
            return None;
        }
        if self.escape {
            // `ESC [ … letter`: arrows and the like.
            self.escape = !(key.is_ascii_alphabetic() || key == b'~');
            return None;
        }
        match key {
            b'\n' | b'\r' => return self.enter(),
            0x1b => self.escape = true,
            0x08 | 0x7f => drop(self.typed.pop()),
            // Ctrl-U takes the line back.
            0x15 => self.typed.clear(),
            0x00..0x20 => {}
            _ => self.character(key),
        }
        None
    }

    fn character(&mut self, byte: u8) {
        self.bytes.push(byte);
        let Ok(more) = std::str::from_utf8(&self.bytes) else {
            if self.bytes.len() >= 4 {
                self.bytes.clear();
            }
            return;
        };
        if self.typed.chars().count() < MOST {
            self.typed.push_str(more);
        }
        self.bytes.clear();
    }

    fn enter(&mut self) -> Option<Said> {
        let line = std::mem::take(&mut self.typed).trim().to_owned();
        let (kind, id, options) = self.current().map(|entry| (entry.kind, entry.id.clone(), entry.options.clone()))?;
        let (word, rest) = line.split_once(' ').map_or((line.as_str(), ""), |(word, rest)| (word, rest.trim()));
        self.note = None;
        let is_approval = kind == InboxKind::Approval;
        match word {
            "" => {}
            "l" | "later" if is_approval => self.put_off(id),
            "/later" => self.put_off(id),
            "y" | "yes" if is_approval => return Some(Said::Decided(id, Choice::Approve, rest.to_owned())),
            "n" | "no" if is_approval => return Some(Said::Decided(id, Choice::Reject, rest.to_owned())),
            _ if is_approval => self.note = Some("write y, n or l, then press Enter".to_owned()),
            _ if kind == InboxKind::Question => return self.choose(id, &options, line),
            "/no" => return Some(Said::Answered(id, Err(rest.to_owned()))),
            _ => return Some(Said::Answered(id, Ok(line))),
        }
        None
    }

    /// An answer to a question: where there are options, one of them or its number.
    fn choose(&mut self, id: String, options: &[String], line: String) -> Option<Said> {
        if options.is_empty() || options.contains(&line) {
            return Some(Said::Answered(id, Ok(line)));
        }
        let place = line.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
        let chosen = place.and_then(|at| options.get(at)).cloned();
        if chosen.is_none() {
            self.note = Some(format!("write one of the options, or its number, 1 to {}", options.len()));
        }
        chosen.map(|choice| Said::Answered(id, Ok(choice)))
    }

    fn put_off(&mut self, id: String) {
        self.later.insert(id);
        self.drawn = false;
    }

    /// The lines to draw below all else.
    pub fn lines(&mut self, columns: usize) -> Vec<String> {
        let Some(entry) = self.current() else {
            return self.note.iter().map(|note| paint(YELLOW, &cut(note, columns))).collect();
        };
        let (title, keys) = match entry.kind {
            InboxKind::Approval => {
                let who = entry.from.trim_start_matches("agent:");
                (format!("? {who} asks leave for {}", entry.title), "y approve · n WHY reject · l later")
            }
            InboxKind::Question => {
                let who = entry.from.trim_start_matches("agent:");
                let keys =
                    if entry.options.is_empty() { "an answer · /later" } else { "an option or its number · /later" };
                let until = entry.due.map(|due| format!(" (until {} UTC)", text::clock(due))).unwrap_or_default();
                (format!("? {who} asks{until}: {}", entry.title), keys)
            }
            _ => (format!("? for you to do: {}", entry.title), "an answer · /no WHY decline · /later"),
        };
        let mut lines = vec![String::new(), paint(BOLD, &cut(&text::line(&title), columns))];
        let about = inbox::about(entry);
        // A question of one line is its own title.
        let about = about.lines().filter(|line| *line != entry.title).take(DETAILS);
        lines.extend(about.map(|line| paint(DIM, &cut(&format!("  {line}"), columns))));
        let options = entry.options.iter().enumerate();
        lines.extend(options.map(|(at, option)| cut(&format!("  {}  {}", at + 1, text::line(option)), columns)));
        lines.extend(self.note.iter().map(|note| paint(YELLOW, &cut(&text::line(note), columns))));
        lines.push(paint(DIM, &cut(keys, columns)));
        lines.push(format!("> {}", cut_start(&format!("{}▏", self.typed), columns.saturating_sub(2).max(1))));
        self.drawn = true;
        lines
    }
}

#[cfg(test)]
mod tests {
    use convoke_domain::time::Timestamp;

    use super::*;

    fn entry(kind: InboxKind, id: &str) -> InboxEntry {
        InboxEntry {
            kind,
            id: id.to_owned(),
            run: None,
            from: "agent:logs".to_owned(),
            title: "shell {\"command\":\"rm \u{1b}[2J x\"}".to_owned(),
            detail: String::new(),
            since: Timestamp::default(),
            due: None,
            approval: None,
            output_schema: None,
            options: Vec::new(),
        }
    }

    fn typed(prompt: &mut Prompt, text: &str) -> Option<Said> {
        text.bytes().filter_map(|byte| prompt.key(byte)).last()
    }

    fn asking(kind: InboxKind) -> Prompt {
        let mut prompt = Prompt::default();
        prompt.ask(vec![entry(kind, "a"), entry(kind, "b")]);
        prompt.lines(80);
        prompt
    }

    #[test]
    fn answers_are_lines() {
        let mut prompt = asking(InboxKind::Approval);
        assert_eq!(typed(&mut prompt, "what\r"), None);
        assert!(prompt.lines(80).iter().any(|line| line.contains("write y, n or l")));
        assert_eq!(typed(&mut prompt, "x\x7fy\r"), Some(Said::Decided("a".into(), Choice::Approve, String::new())));
        let no = Said::Decided("a".into(), Choice::Reject, "not größer".into());
        assert_eq!(typed(&mut prompt, "zz\x15n\x1b[D not größer\n"), Some(no));
        let mut task = asking(InboxKind::Task);
        assert_eq!(typed(&mut task, "y\r"), Some(Said::Answered("a".into(), Ok("y".into()))));
        assert_eq!(typed(&mut task, "/no too dear\r"), Some(Said::Answered("a".into(), Err("too dear".into()))));
    }

    #[test]
    fn a_question_takes_an_option_or_its_number() {
        let mut prompt = Prompt::default();
        let options = vec!["go on".to_owned(), "stop".to_owned()];
        prompt.ask(vec![InboxEntry { options, ..entry(InboxKind::Question, "a") }, entry(InboxKind::Question, "b")]);
        prompt.lines(80);
        for line in ["maybe\r", "0\r", "3\r", "/no\r"] {
            assert_eq!(typed(&mut prompt, line), None, "{line}");
            assert!(prompt.lines(80).iter().any(|line| line.contains("or its number, 1 to 2")));
        }
        assert_eq!(typed(&mut prompt, "2\r"), Some(Said::Answered("a".into(), Ok("stop".into()))));
        assert_eq!(typed(&mut prompt, "go on\r"), Some(Said::Answered("a".into(), Ok("go on".into()))));
        typed(&mut prompt, "/later\r");
        prompt.lines(80);
        assert_eq!(typed(&mut prompt, "Use 3.\r"), Some(Said::Answered("b".into(), Ok("Use 3.".into()))));
    }

    #[test]
    fn what_was_typed_before_answers_nothing() {
        let mut prompt = Prompt::default();
        assert_eq!(typed(&mut prompt, "y\r"), None);
        prompt.ask(vec![entry(InboxKind::Approval, "a")]);
        assert_eq!(typed(&mut prompt, "y\r"), None, "it is not drawn yet");
        prompt.lines(80);
        assert_eq!(typed(&mut prompt, "y"), None);
        // Somebody else answers meanwhile, and another question comes.
        prompt.ask(vec![entry(InboxKind::Approval, "b")]);
        prompt.lines(80);
        assert_eq!(typed(&mut prompt, "\r"), None, "the y was for the other");
    }

    #[test]
    fn what_is_put_off_is_not_asked_again() {
        let mut prompt = asking(InboxKind::Approval);
        typed(&mut prompt, "l\r");
        prompt.lines(80);
        assert_eq!(typed(&mut prompt, "y\r"), Some(Said::Decided("b".into(), Choice::Approve, String::new())));
        prompt.ask(vec![entry(InboxKind::Approval, "a")]);
        assert!(!prompt.is_asking());
    }

    #[test]
    fn nothing_of_it_acts_on_the_terminal_and_all_fits() {
        let mut prompt = asking(InboxKind::Approval);
        for columns in [1, 10, 40, 200] {
            for line in prompt.lines(columns) {
                let plain = anstream::adapter::strip_str(&line).to_string();
                assert!(!plain.contains('\u{1b}'), "{plain:?}");
                assert!(text::width(&plain) <= columns.max(3), "{columns}: {plain:?}");
            }
        }
    }
}
