//! A person at a terminal: the live view asks, the answer is typed in place, and the terminal is afterwards as it was.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::support::Place;

/// A fact that is not there after so long will not come.
const PATIENCE: Duration = Duration::from_secs(30);

const TEAM: &str = "kind: profile\nname: lead\nrole: coordinator\nprompt: You lead.\n\
    ---\nkind: profile\nname: worker\nprompt: You work.\ntools: [write_file]\nask: [write_file]\n\
    ---\nkind: profile\nname: clerk\nagent_kind: human\nprompt: You sign.\n\
    ---\nkind: team\nname: office\ncoordinator: lead\nmembers:\n  - {profile: worker}\n  - {profile: clerk}\n\
    rules: {planning: fixed}\ntasks:\n  - {key: note, title: Note it, assignee: worker}\n";
/// A person's part, after the note.
const SIGN: &str = "  - {key: sign, title: Sign it, assignee: clerk, depends_on: [note]}\n";
const SCRIPT: &str = "agents:\n  lead:\n    - text: \"Together: {% for part in context.contributions %}{{ part.output }} {% endfor %}\"\n  \
    worker:\n    - when: {turn: 1}\n      text: It must be kept.\n      tools:\n        \
    - {label: wrote, name: write_file, input: {path: note.txt, content: kept}}\n    - text: \"{{ results.wrote.content }}\"\n";

/// A worker that asks: once and waits, once and goes on.
const ASKING: &str = "kind: profile\nname: lead\nrole: coordinator\nprompt: You lead.\n\
    ---\nkind: profile\nname: worker\nprompt: You work.\ntools: [\"@talk\"]\n\
    ---\nkind: team\nname: office\ncoordinator: lead\nmembers:\n  - {profile: worker}\nrules: {planning: same_task}\n";

/// A script in which it asks so.
fn asks(more: &str) -> String {
    format!(
        "agents:\n  lead:\n    - text: \"Together: {{% for part in context.contributions %}}{{{{ part.output }}}} {{% endfor %}}\"\n  \
         worker:\n    - when: {{turn: 1}}\n      tools:\n        \
         - {{label: colour, name: ask, input: {{to: user, question: Which colour?, options: [red, blue], {more}}}}}\n    \
         - when: {{turn: 2}}\n      latency_ms: 1500\n      text: I go on.\n      tools: [{{label: waited, name: wait_for, input: {{timeout_s: 1}}}}]\n    \
         - text: \"It is {{{{ results.colour.content | regex_find('[|] (red|blue)', 1) }}}}.\"\n"
    )
}

/// A terminal with a program in it.
struct Terminal {
    master: File,
    slave: File,
    child: std::process::Child,
    shown: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    /// Starts the program with the terminal as its own.
    fn start(place: &Place, args: &[&str]) -> Self {
        let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("granted");
        unlockpt(&master).expect("unlocked");
        let name = ptsname(&master, Vec::new()).expect("its name").into_string().expect("text");
        let slave = File::options().read(true).write(true).open(&name).expect("its other side");
        tcsetwinsize(&slave, Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).expect("a size");
        let plain = place.command(args);
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg("--wait").arg(plain.get_program()).args(plain.get_args()).env_clear();
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TERM", "xterm");
        command.current_dir(plain.get_current_dir().expect("a folder"));
        let side = || Stdio::from(slave.try_clone().expect("a copy"));
        let child = command.stdin(side()).stdout(side()).stderr(side()).spawn().expect("it starts");
        let master = File::from(master);
        let (send, shown) = channel();
        let mut reader = master.try_clone().expect("a copy");
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count) = reader.read(&mut bytes) {
                if count == 0 || send.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { master, slave, child, shown, seen: String::new() }
    }

    /// Reads until the terminal shows `words`; what came before is forgotten.
    fn until(&mut self, words: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.seen.contains(words) {
            // It is drawn again and again, so that something always comes.
            match self.shown.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    let last: String = self.seen.chars().rev().take(4_000).collect();
                    panic!("it never showed `{words}`:\n{}", last.chars().rev().collect::<String>())
                }
            }
        }
        let at = self.seen.find(words).expect("it is there") + words.len();
        self.seen.drain(..at);
    }

    fn types(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("typed");
    }

    fn end(mut self) -> i32 {
        let code = self.child.wait().expect("it ends").code().unwrap_or(-1);
        let modes = tcgetattr(&self.slave).expect("modes").local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO), "the terminal is as it was: {modes:?}");
        code
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn office(more: &str) -> (Place, String) {
    let place = Place::new();
    place.write("office.yaml", &format!("{TEAM}{more}"));
    let script = place.write("script.yaml", SCRIPT);
    (place, format!("script/{}", script.display()))
}

#[test]
fn questions_are_answered_in_place_and_the_run_goes_on() {
    let (place, model) = office(SIGN);
    let mut terminal = Terminal::start(&place, &["run", "office.yaml", "Keep it", "--model", &model]);
    terminal.until("worker asks leave for write_file");
    terminal.until("y approve");
    terminal.until("> ");
    terminal.types("why\r");
    terminal.until("write y, n or l");
    terminal.types("y\r");
    terminal.until("for you to do: ");
    terminal.until("> ");
    terminal.types("It is signed\r");
    terminal.until("Together: ");
    terminal.until("It is signed");
    terminal.until("completed");
    let code = terminal.end();
    assert_eq!(code, 0);
    let record = place.json(&["show", "last"]);
    assert_eq!((&record["state"], &record["approvals"][0]["state"]), (&"completed".into(), &"executed".into()));
}

#[test]
fn what_is_put_off_waits_in_the_inbox() {
    let (place, model) = office("");
    let mut terminal = Terminal::start(&place, &["run", "office.yaml", "Keep it", "--model", &model]);
    terminal.until("y approve");
    terminal.until("> ");
    terminal.types("l\r");
    terminal.until("convoke approve appr_");
    assert_eq!(terminal.end(), 5);
    assert_eq!(place.json(&["inbox"]).as_array().map(Vec::len), Some(1));
}

fn asking(more: &str) -> (Place, String) {
    let place = Place::new();
    place.write("office.yaml", ASKING);
    let script = place.write("script.yaml", &asks(more));
    (place, format!("script/{}", script.display()))
}

#[test]
fn a_question_is_answered_in_place_by_its_number() {
    let (place, model) = asking("impact: The paint.");
    let mut terminal = Terminal::start(&place, &["run", "office.yaml", "Paint it", "--model", &model]);
    terminal.until("worker asks: Which colour?");
    terminal.until("what depends on it: The paint.");
    terminal.until("2  blue");
    terminal.until("> ");
    terminal.types("3\r");
    terminal.until("write one of the options");
    terminal.types("2\r");
    terminal.until("It is blue.");
    assert_eq!(terminal.end(), 0);
    assert_eq!(place.json(&["decisions", "last"])[0]["choice"], "blue");
}

#[test]
fn what_was_put_off_is_asked_again_when_the_run_is_resumed() {
    let (place, model) = asking("default: red, within_s: 3600");
    let mut terminal = Terminal::start(&place, &["run", "office.yaml", "Paint it", "--model", &model]);
    terminal.until("worker asks (until ");
    terminal.until("> ");
    terminal.types("/later\r");
    terminal.until("`convoke resume` goes on and the default `red` is taken");
    assert_eq!(terminal.end(), 5);
    let told = place.done(&["inbox"]);
    assert!(told.contains("after that, `convoke resume` goes on without an answer"), "{told}");
    let mut terminal = Terminal::start(&place, &["resume"]);
    terminal.until("worker asks (until ");
    terminal.until("> ");
    terminal.types("blue\r");
    terminal.until("It is blue.");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn a_question_nobody_waits_for_is_asked_and_goes_away_with_its_time() {
    let (place, model) = asking("default: red, within_s: 1, wait: false");
    let mut terminal = Terminal::start(&place, &["run", "office.yaml", "Paint it", "--model", &model]);
    terminal.until("worker asks (until ");
    terminal.until("Together: ");
    assert_eq!(terminal.end(), 0);
    assert_eq!(place.json(&["decisions", "last"])[0]["standing"], "defaulted");
}
