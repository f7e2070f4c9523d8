//! The files a program says it leaves: that they are there, inside its folder, and what is in them by size and digest.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use convoke_domain::program::Artifact;
use sha2::{Digest, Sha256};

use crate::tool::file::ground::{Area, Ground, Spot};
use crate::tool::job::Job;

/// Measures each; says what is wrong with the first that is not as it should be.
pub(super) fn measure(job: &Job, artifacts: &mut [Artifact]) -> Result<(), String> {
    let ground = Ground::open(job).map_err(|error| error.to_string())?;
    for (place, artifact) in artifacts.iter_mut().enumerate() {
        let (spot, bytes, sha256) =
            one(job, &ground, &artifact.path).map_err(|why| format!("`artifacts[{place}].path`: {why}"))?;
        artifact.path = spot.shown();
        (artifact.bytes, artifact.sha256) = (Some(bytes), Some(sha256));
    }
    Ok(())
}

fn one(job: &Job, ground: &Ground, path: &str) -> Result<(Spot, u64, String), String> {
    // A program that was told its folder may name files by their full paths.
    let inside = Path::new(path).strip_prefix(&job.workdir).unwrap_or(Path::new(path));
    let text = inside.to_str().unwrap_or(path);
    let spot = Spot::parse(text, &job.limits.file).map_err(|why| format!("`{text}` {why}"))?;
    if spot.area != Area::Work {
        return Err(format!("`{text}` lies in the input folder; an artifact is a file that the program wrote"));
    }
    let (mut file, size) = ground.file(&spot).map_err(|error| error.to_string())?;
    let most = job.limits.program.artifact_bytes;
    if size > most {
        return Err(format!("`{text}` has {size} bytes; {most} are allowed"));
    }
    let (bytes, digest) = digest(job, &mut file).map_err(|error| format!("`{text}`: {error}"))?;
    Ok((spot, bytes, digest))
}

fn digest(job: &Job, file: &mut File) -> Result<(u64, String), String> {
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0u64, vec![0; 256 << 10]);
    loop {
        job.check().map_err(|error| error.to_string())?;
        let read = file.read(&mut buffer).map_err(|error| error.to_string())?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        bytes += read as u64;
    }
    let hex = hash.finalize().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    Ok((bytes, hex))
}
