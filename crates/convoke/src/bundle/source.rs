//! Where a bundle comes from: a folder, an archive, a git repository. Only definitions are taken; nothing of it is run.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::read::GzDecoder;

use crate::error::{Failure, Result};
use crate::file;
use crate::job::MAX_TEAM_FILE;
use crate::validate::{MAX_DEPTH, definitions_in, is_definition_name};

/// The most bytes of an archive, unpacked.
const MAX_ARCHIVE: u64 = 32 << 20;
/// The most files in a bundle.
const MAX_FILES: usize = 1_000;
/// How long a repository may take to come.
const CLONE_S: u64 = 120;
/// A block of a tar archive.
const BLOCK: usize = 512;

/// The definitions of a bundle: paths within it and texts, in the order of their paths.
pub async fn texts(from: &str, scratch: &Path) -> Result<Vec<(String, String)>> {
    let path = Path::new(from);
    let mut texts = if path.is_dir() {
        of_folder(path)?
    } else if path.is_file() {
        of_archive(path)?
    } else if is_url(from) {
        let folder = scratch.join(format!("bundle-{}", std::process::id()));
        let cloned = clone(from, &folder).await.and_then(|()| of_folder(&folder));
        // What is left of it is of no use.
        let _ = std::fs::remove_dir_all(&folder);
        cloned?
    } else {
        return Err(Failure::usage("missing_file", format!("there is no folder, archive or repository `{from}`"))
            .hint("name a folder, a `.tar` or `.tar.gz`, or a git URL such as `https://example.org/teams.git#v1`"));
    };
    texts.sort();
    if texts.is_empty() {
        let failure = Failure::usage("missing_file", format!("`{from}` holds no definitions"));
        return Err(failure.hint("definitions are files whose names end in `.yaml`, `.yml` or `.json`"));
    }
    Ok(texts)
}

fn of_folder(folder: &Path) -> Result<Vec<(String, String)>> {
    let mut files: Vec<PathBuf> = Vec::new();
    refuse_links(folder, folder, MAX_DEPTH)?;
    definitions_in(folder, &mut files)?;
    let one = |path: PathBuf| {
        let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        Ok((name, file::read(&path, MAX_TEAM_FILE)?))
    };
    files.into_iter().map(one).collect()
}

/// Refuses a folder in which a link would be followed: what is behind it is not of the bundle, and may be any file of this computer.
fn refuse_links(folder: &Path, top: &Path, depth: usize) -> Result<()> {
    let unreadable = |cause| Failure::usage("io", format!("cannot read `{}`", folder.display())).cause(cause);
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(unreadable)?);
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if kind.is_symlink() && (is_definition_name(&name) || path.is_dir()) {
            return Err(linked(&path.strip_prefix(top).unwrap_or(&path).display().to_string()));
        }
        if kind.is_dir() && depth > 0 {
            refuse_links(&path, top, depth - 1)?;
        }
    }
    Ok(())
}

fn linked(name: &str) -> Failure {
    Failure::usage("link_in_bundle", format!("`{name}` is a link, and a bundle holds nothing but files of its own"))
        .hint("put the file or folder itself in its place; nothing was installed")
}

fn is_url(from: &str) -> bool {
    ["https://", "ssh://", "git://", "file://", "git@"].iter().any(|start| from.starts_with(start))
}

/// Brings a repository, at the branch or tag behind `#` if there is one.
async fn clone(url: &str, to: &Path) -> Result<()> {
    let (url, at) = url.split_once('#').map_or((url, None), |(url, at)| (url, Some(at)));
    file::make_dir(to.parent().unwrap_or(to))?;
    let mut git = tokio::process::Command::new("git");
    git.args(["-c", "protocol.ext.allow=never", "-c", "core.hooksPath=/dev/null", "clone", "--quiet", "--depth", "1"]);
    if let Some(at) = at {
        git.arg(format!("--branch={at}"));
    }
    git.arg("--")
        .arg(url)
        .arg(to)
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    let failed = |cause: String| Failure::new("clone_failed", format!("cannot bring `{url}`")).cause(cause);
    let ended = tokio::time::timeout(Duration::from_secs(CLONE_S), git.output()).await;
    let output = ended.map_err(|_| failed(format!("it took longer than {CLONE_S} s")))?;
    let output = output.map_err(|cause| failed(format!("git: {cause}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(said.lines().last().unwrap_or("git failed").to_owned()))
}

/// The definitions in a tar archive, packed by gzip or not.
fn of_archive(path: &Path) -> Result<Vec<(String, String)>> {
    let broken =
        |cause: String| Failure::usage("bad_archive", format!("cannot read `{}`", path.display())).cause(cause);
    let file = std::fs::File::open(path).map_err(|cause| broken(cause.to_string()))?;
    let mut body = Vec::new();
    let is_packed = path.extension().is_some_and(|end| end == "gz" || end == "tgz");
    let reader: Box<dyn Read> = if is_packed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    reader.take(MAX_ARCHIVE + 1).read_to_end(&mut body).map_err(|cause| broken(cause.to_string()))?;
    if body.len() as u64 > MAX_ARCHIVE {
        return Err(broken(format!("it has more than {MAX_ARCHIVE} bytes, unpacked")));
    }
    untar(&body).map_err(|flaw| match flaw {
        Flaw::Broken(cause) => broken(cause),
        Flaw::Link(name) => linked(&name),
    })
}

/// Why an archive is refused.
#[derive(Debug)]
enum Flaw {
    /// It cannot be read.
    Broken(String),
    /// This definition in it is a link.
    Link(String),
}

impl From<String> for Flaw {
    fn from(cause: String) -> Self {
        Self::Broken(cause)
    }
}

/// The definitions in the bytes of a tar archive: plain files alone. What is hidden is passed over, and so are devices.
fn untar(mut body: &[u8]) -> std::result::Result<Vec<(String, String)>, Flaw> {
    let mut found = Vec::new();
    while body.len() >= BLOCK {
        let (head, rest) = body.split_at(BLOCK);
        if head.iter().all(|byte| *byte == 0) {
            break;
        }
        if &head[257..262] != b"ustar" {
            return Err("it is no tar archive".to_owned().into());
        }
        let size = usize::from_str_radix(&field(&head[124..136]), 8).map_err(|_| "a size cannot be read".to_owned())?;
        let content = rest.get(..size).ok_or_else(|| "it ends in the middle of a file".to_owned())?;
        let (prefix, name) = (field(&head[345..500]), field(&head[..100]));
        let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        match head[156] {
            b'0' | 0 if is_definition(&name) => {
                let text = String::from_utf8(content.to_vec()).map_err(|_| format!("`{name}` is not text in UTF-8"))?;
                found.push((name.trim_start_matches("./").to_owned(), text));
            }
            b'1' | b'2' if is_definition(&name) => return Err(Flaw::Link(name)),
            b'L' => return Err("a name in it is longer than 255 bytes".to_owned().into()),
            _ => {}
        }
        if found.len() > MAX_FILES {
            return Err(format!("it holds more than {MAX_FILES} files").into());
        }
        body = rest.get(size.next_multiple_of(BLOCK)..).unwrap_or_default();
    }
    Ok(found)
}

/// A text field: up to the first zero byte, without spaces around it.
fn field(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
}

fn is_definition(name: &str) -> bool {
    let is_hidden = name.split('/').any(|part| part.starts_with('.') && part != ".");
    !is_hidden && is_definition_name(name)
}
