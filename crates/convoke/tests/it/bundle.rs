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
fn what_a_bundle_replaces_is_told_before_it_is_installed() {
    let place = place();
    let librarys = place.done(&["profiles", "export", "security-specialist"]);
    place.write("scan/profiles/security.yaml", &librarys.replace("tools:", "ask: [read_file]\ntools:"));
    let said = place.done(&["bundle", "install", "scan"]);
    let replaces = "profile security-specialist\n  REPLACES the profile of this name in the library (version 1)";
    assert!(said.contains(replaces) && said.matches("REPLACES").count() == 1, "{said}");
    let told = place.json(&["bundle", "install", "scan"]);
    let of = |name: &str| told["profiles"].as_array().into_iter().flatten().find(|one| one["profile"] == name).cloned();
    let security = of("security-specialist").expect("the profile");
    assert_eq!(security["replaces"], serde_json::json!({"version": 1, "by": "library"}));
    assert!(of("scanner").expect("the profile")["replaces"].is_null());
    place.done(&["bundle", "install", "scan", "--digest", &digest(&place, "scan")]);
    let said = place.done(&["bundle", "install", "scan"]);
    assert!(said.matches("is there already").count() == 3 && !said.contains("REPLACES"), "{said}");
    // Somebody's own is replaced, too.
    place.write("scan/team.yaml", &TEAM.replace("2.5", "9.5"));
    let said = place.done(&["bundle", "install", "scan"]);
    assert!(said.contains("team scan-desk\n  REPLACES the team of this name that "), "{said}");
}

#[cfg(unix)]
#[test]
fn a_link_is_not_followed() {
    use std::os::unix::fs::symlink;
    let place = place();
    place.write("secret.yaml", SCANNER);
    place.write("elsewhere/x.yaml", SCANNER);
    std::fs::remove_file(place.path("scan/profiles/scanner.yaml")).expect("removed");
    symlink(place.path("secret.yaml"), place.path("scan/profiles/scanner.yaml")).expect("a link");
    let refused = |from: &str, name: &str| {
        let told = place.run(&["bundle", "install", from]);
        let expected = format!("`{name}` is a link, and a bundle holds nothing but files of its own");
        assert!(told.code == 2 && told.err.contains(&expected), "{from}: {}", told.err);
    };
    refused("scan", "profiles/scanner.yaml");
    tool(&place, "tar", &["--format=ustar", "-czf", "scan.tar.gz", "-C", "scan", "profiles", "team.yaml"]);
    refused("scan.tar.gz", "profiles/scanner.yaml");
    std::fs::remove_file(place.path("scan/profiles/scanner.yaml")).expect("removed");
    symlink(place.path("elsewhere"), place.path("scan/more")).expect("a link");
    symlink("notes.txt", place.path("scan/other.txt")).expect("a link");
    for args in [
        &["init", "-q", "-b", "main"][..],
        &["add", "."],
        &["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x"],
    ] {
        tool(&place, "git", &[&["-C", "scan"], args].concat());
    }
    refused(&format!("file://{}", place.path("scan").display()), "more");
    refused("scan", "more");
    std::fs::remove_file(place.path("scan/more")).expect("removed");
    place.write("scan/profiles/scanner.yaml", SCANNER);
    digest(&place, "scan");
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
