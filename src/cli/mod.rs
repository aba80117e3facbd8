//! The command line: parse, run, exit code.

mod args;
mod explain;
mod findings;
mod findings_args;
mod health;
mod scan;
mod schema;
mod watch;

use args::{Args, Color, Command};
use clap::Parser;
use std::{io::IsTerminal, process::ExitCode};

/// How a command ended; a contract with scripts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Exit {
    /// Nothing at or above `--fail-on`.
    Clean,
    /// Findings at or above it.
    Findings,
    /// A watch that is not well, or does not answer.
    Unwell,
    /// Wrong usage or configuration.
    Usage,
    /// The input could not be verified whole; wins over findings.
    Incomplete,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Clean => 0,
            Exit::Findings | Exit::Unwell => 1,
            Exit::Usage => 2,
            Exit::Incomplete => 3,
        })
    }
}

/// Parses the command line and runs the command.
pub fn run() -> ExitCode {
    let args = Args::parse();
    let stdout_colour = match args.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => std::io::stdout().is_terminal(),
    };
    let exit = match args.command {
        Command::Scan(scan) => scan::run(scan, args.quiet, stdout_colour),
        Command::Findings { command } => findings::run(command, args.quiet, stdout_colour),
        Command::Watch(watch) => watch::run(watch, args.quiet, stdout_colour),
        Command::Schema(schema) => schema::run(&schema, args.quiet),
        Command::Health(health) => health::run(&health, args.quiet),
    };
    exit.into()
}

/// Tells an error to the person at the terminal.
fn complain(error: &dyn std::fmt::Display) {
    eprintln!("twinlog: {error}");
}
