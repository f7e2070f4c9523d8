//! Power cuts of the whole program: it is killed, and of its data folder only that is left which was synced, and some of
//! what was not. No reply that was paid for and recorded is asked for again.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use convoke_bench::soak::kill::Machine;
use fastrand::Rng;

use crate::power_disk::{Disk, shim, take_record};
use crate::support::rounds;

const ROUNDS: u64 = 20;

/// A machine whose power goes with the process.
struct Unplugged;

impl Machine for Unplugged {
    fn before(&self, data: &Path, command: &mut Command) -> Result<()> {
        fs::create_dir_all(data)?;
        let before = data.with_extension("before");
        copy_files(data, &before)?;
        command.env("LD_PRELOAD", shim()).env("POWER_DIR", data).env("POWER_TRACE", data.with_extension("trace"));
        Ok(())
    }

    fn after_kill(&self, data: &Path, rng: &mut Rng) -> Result<()> {
        let mut disk = Disk::of(&data.with_extension("before"));
        let trace = data.with_extension("trace");
        // Killed before it did anything, a process has left no record.
        let record = if trace.exists() { take_record(&trace) } else { Vec::new() };
        record.iter().for_each(|entry| disk.go_on(entry));
        // What agents wrote lies deeper; their tool syncs it before it says so, and it stays as it is.
        for entry in fs::read_dir(data)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                fs::remove_file(entry.path())?;
            }
        }
        disk.cut(rng, data);
        Ok(())
    }
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

#[test]
fn twenty_rounds_of_power_cuts_change_nothing_but_what_was_lost() {
    rounds(ROUNDS, |rounds, seed| rounds.round_on(&Unplugged, seed));
}
