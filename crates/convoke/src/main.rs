//! The `convoke` binary: flags, configuration, wiring, and text for the terminal.
//!
//! `main` reads the command line and calls one command; each command is a file of its noun. [`job`] carries a run from what
//! was typed to its end, [`live`] shows it, [`wire`] connects models and tools, [`error`] tells every failure.
#![allow(missing_docs, reason = "a binary has no readers of its documentation but those of its source")]

mod agents;
mod analytics;
mod answer;
mod args;
mod audit;
mod bundle;
mod completions;
mod context;
mod control;
mod db;
mod decision;
mod definition;
mod demo;
mod diagram;
mod doctor;
mod error;
mod events;
mod file;
mod govern;
mod grants;
mod handoffs;
mod hold;
mod hub;
mod inbox;
mod init;
mod job;
mod live;
mod locks;
mod log;
mod memory;
mod message;
mod outcome;
mod patterns;
mod people;
mod place;
mod plan;
mod profiles;
mod rate;
mod report;
mod reputation;
mod resume;
mod run;
mod runs;
mod say;
mod shelf;
mod show;
mod signals;
mod spawn;
mod stats;
mod teams;
mod text;
mod thread;
mod users;
mod validate;
mod watch;
mod which;
mod wire;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::args::{Cli, Command};
use crate::error::{Exit, Failure, Result};

/// Many small texts are made and dropped in each run; this allocator keeps threads out of each other's way.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // One TLS provider for the whole process; it can only be there already if it is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    restore_on_panic();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    let as_json = cli.global.json;
    let exit = prepare(&cli).and_then(|()| carry_out(cli));
    let exit = exit.unwrap_or_else(|failure| {
        failure.tell(as_json);
        failure.exit
    });
    ExitCode::from(exit.code())
}

/// A panic is a defect of the program; the terminal is to be usable after it all the same.
fn restore_on_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        live::screen::restore();
        usual(info);
    }));
}

/// What was typed is no command: help and version go to the output stream, everything else is an error.
fn misused(error: &clap::Error) -> ExitCode {
    let help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if !help && std::env::args_os().any(|arg| arg == "--json") {
        let text = error.render().to_string();
        let mut paragraphs = text.trim_start_matches("error: ").split("\n\n");
        let message = text::line(paragraphs.next().unwrap_or_default());
        Failure::usage("usage", message).hint("`convoke --help`, or `convoke COMMAND --help`").tell(true);
        return ExitCode::from(Exit::Usage.code());
    }
    // A reader that has gone away needs no help any more.
    let _ = error.print();
    ExitCode::from(if help { Exit::Done } else { Exit::Usage }.code())
}

fn prepare(cli: &Cli) -> Result<()> {
    if cli.global.no_color {
        anstream::ColorChoice::Never.write_global();
    }
    let colours = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    log::start(&cli.global.log, colours)
}

fn carry_out(cli: Cli) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| Failure::io("cannot start the runtime", &cause))?;
    let exit = runtime.block_on(act(cli));
    // What still runs in the background, such as a tool that does not heed its cancellation, is not waited for.
    runtime.shutdown_background();
    exit
}

async fn act(cli: Cli) -> Result<Exit> {
    let global = &cli.global;
    match cli.command {
        Command::Demo(command) => command.act(global).await,
        Command::Run(command) => command.act(global).await,
        Command::Plan(command) => command.act(global).await,
        Command::Resume(command) => command.act(global).await,
        Command::Cancel(command) => command.act(global).await,
        Command::Pause(command) => command.act(global).await,
        Command::Resolve(command) => command.act(global).await,
        Command::Inbox(command) => command.act(global).await,
        Command::Approve(command) => command.act(global).await,
        Command::Reject(command) => command.act(global).await,
        Command::Answer(command) => command.act(global).await,
        Command::Users(command) => command.act(global).await,
        Command::Runs(command) => command.act(global).await,
        Command::Show(command) => command.act(global).await,
        Command::Analytics(command) => command.act(global).await,
        Command::Rate(command) => command.act(global).await,
        Command::Report(command) => command.act(global).await,
        Command::Events(command) => command.act(global).await,
        Command::Handoffs(command) => command.act(global).await,
        Command::Say(command) => command.act(global).await,
        Command::Threads(command) => command.act(global).await,
        Command::Watch(command) => command.act(global).await,
        Command::Decisions(command) => command.act(global).await,
        Command::Locks(command) => command.act(global).await,
        Command::Context(command) => command.act(global).await,
        Command::Memory(command) => command.act(global).await,
        Command::Agents(command) => command.act(global).await,
        Command::Reputation(command) => command.act(global).await,
        Command::Grant(command) => command.act(global).await,
        Command::Grants(command) => command.act(global).await,
        Command::Revoke(command) => command.act(global).await,
        Command::Spawn(command) => command.act(global).await,
        Command::Kill(command) => command.act(global).await,
        Command::Budget(command) => command.act(global).await,
        Command::Profiles(command) => command.act(global).await,
        Command::Teams(command) => command.act(global).await,
        Command::Patterns(command) => command.act(global).await,
        Command::Bundle(command) => command.act(global).await,
        Command::Validate(command) => command.act(global).await,
        Command::Diagram(command) => command.act(global).await,
        Command::Init(command) => command.act(global),
        Command::Doctor(command) => command.act(global).await,
        Command::Stats(command) => command.act(global).await,
        Command::Db(command) => command.act(global).await,
        Command::Audit(command) => command.act(global).await,
        Command::Completions(command) => command.act(global),
    }
}
