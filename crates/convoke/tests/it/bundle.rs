//! `convoke bundle`: what a bundle asks for is shown first, and only what was agreed to is installed.

use std::process::Command;

use crate::support::Place;

const SCANNER: &str = "
kind: profile
name: scanner
role: specialist
capabilities: [scan]
prompt: Scan it.
tools: [read_file, shell, http_get]
ask: [shell]
authority: {shell: true, http_hosts: [scan.example.org], can_delegate: true}
";

const TEAM: &str = "
kind: team
name: scan-desk
coordinator: orchestrator
pattern: parallel
members: [{profile: scanner}]
mcp_servers: {docs: {command: docs-server, args: [--read-only]}}
budget: {max_cost_usd: 2.5}
";

fn place() -> Place {
    let place = Place::new();
    place.write("scan/profiles/scanner.yaml", SCANNER);
    place.write("scan/team.yaml", TEAM);
    place.write("scan/script.yaml", "agents:\n  scanner: [{text: x}]\n");
    place.write("scan/notes.txt", "not a definition");
    place
}

fn digest(place: &Place, from: &str) -> String {
    place.json(&["bundle", "install", from])["digest"].as_str().expect("a digest").to_owned()
}

fn tool(place: &Place, program: &str, args: &[&str]) {
    let done = Command::new(program).args(args).current_dir(place.path("")).output().expect(program);
    assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn rights_are_shown_before_anything_is_installed() {
    let place = place();
    insta::assert_snapshot!(place.told(&["bundle", "install", "scan"]));
    assert_eq!(place.run(&["teams", "show", "scan-desk"]).code, 2);
    assert!(place.done(&["bundle", "list"]).contains("no bundle"));
}

#[test]
fn what_was_agreed_to_is_installed_and_nothing_else() {
    let place = place();
    let agreed = digest(&place, "scan");
    let said = place.done(&["bundle", "install", "scan", "--digest", &agreed]);
    assert!(said.contains("1 profile, 1 team"), "{said}");
    assert!(place.done(&["teams", "show", "scan-desk"]).contains("scanner"));
    assert_eq!(place.json(&["bundle", "list"])[0]["digest"], agreed);
    // The folder changes: what was agreed to is not there any more, and that is told.
    place.write("scan/profiles/scanner.yaml", &SCANNER.replace("scan.example.org", "scan.example.net"));
    let refused = place.run(&["bundle", "install", "scan", "--digest", &agreed]);
    assert!(refused.code == 2 && refused.err.contains("not what was agreed to"), "{}", refused.err);
    assert!(!place.done(&["profiles", "show", "scanner"]).contains("example.net"));
    assert!(place.done(&["bundle", "install", "scan"]).contains("not what was installed from there before"));
}

#[test]
fn an_archive_and_a_repository_hold_the_same() {
    let place = place();
    let of_folder = digest(&place, "scan");
    tool(&place, "tar", &["--format=ustar", "-czf", "scan.tar.gz", "-C", "scan", "."]);
    assert_eq!(digest(&place, "scan.tar.gz"), of_folder);
    for args in [
        &["init", "-q", "-b", "main"][..],
        &["add", "."],
        &["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x"],
        &["tag", "v1"],
    ] {
        tool(&place, "git", &[&["-C", "scan"], args].concat());
    }
    let url = format!("file://{}#v1", place.path("scan").display());
    assert_eq!(digest(&place, &url), of_folder);
    place.done(&["bundle", "install", &url, "--digest", &of_folder]);
    assert!(place.done(&["bundle", "list"]).contains("#v1"));
    let gone = place.run(&["bundle", "install", "file:///no/such/repository.git"]);
    assert!(gone.code == 1 && gone.err.contains("cannot bring"), "{}", gone.err);
}

#[test]
fn what_is_no_bundle_is_refused() {
    let place = place();
    place.write("broken/team.yaml", "kind: team\nname: x\n");
    place.write("odd.tar", &"no archive ".repeat(100));
    std::fs::create_dir(place.path("empty")).expect("made");
    let told: Vec<String> =
        ["broken", "odd.tar", "empty", "nowhere"].iter().map(|from| place.told(&["bundle", "install", from])).collect();
    insta::assert_snapshot!(told.join("\n"));
}
