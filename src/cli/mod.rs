//! The command line: parse, run, exit code.

mod args;
mod explain;
mod findings;
mod findings_args;
mod health;
mod live;
mod scan;
mod schema;
mod watch;

use crate::report::terminal::clean_lines;
use args::{Args, Color, Command};
use clap::Parser;
use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

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
    let colour = Colours::new(args.color);
    let exit = match args.command {
        Command::Scan(scan) => scan::run(scan, args.quiet, colour.stdout),
        Command::Findings { command } => findings::run(command, args.quiet, colour.stdout),
        Command::Watch(watch) => watch::run(watch, args.quiet, colour),
        Command::Schema(schema) => schema::run(&schema, args.quiet),
        Command::Health(health) => health::run(&health, args.quiet),
    };
    exit.into()
}

/// Where colours go. Nothing is told by colour alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Colours {
    stdout: bool,
    stderr: bool,
}

impl Colours {
    #[expect(clippy::disallowed_methods, reason = "what the person's environment asks for")]
    fn new(wanted: Color) -> Colours {
        let is_set = |name| std::env::var(name).is_ok_and(|value| !value.is_empty());
        let plain = is_set("NO_COLOR") || std::env::var("TERM").is_ok_and(|term| term == "dumb");
        let on = |is_terminal: bool| match wanted {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal && !plain,
        };
        Colours { stdout: on(io::stdout().is_terminal()), stderr: on(io::stderr().is_terminal()) }
    }
}

/// Tells an error to the person at the terminal.
fn complain(error: &dyn std::fmt::Display) {
    eprintln!("twinlog: {}", clean_lines(&error.to_string()));
}
