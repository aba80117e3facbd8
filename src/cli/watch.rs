//! `twinlog watch`.

use super::{
    Exit,
    args::{WatchArgs, WatchFormat},
    complain,
};
use crate::{
    app::watch::{WatchError, WatchSink, watch},
    config::Config,
    model::{Finding, Nodes},
    report::{Record, finding_text},
};
use std::io::{self, IsTerminal, Write};
use tracing_subscriber::EnvFilter;

pub(super) fn run(args: WatchArgs, quiet: bool, colour: bool) -> Exit {
    let level = match (quiet, args.verbose) {
        (true, _) => "warn",
        (false, true) => "twinlog=debug,info",
        (false, false) => "info",
    };
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .with_env_filter(EnvFilter::new(level))
        .init();
    let config = match Config::load(&args.config) {
        Ok(config) => config,
        Err(error) => {
            complain(&error);
            return Exit::Usage;
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            return Exit::Incomplete;
        }
    };
    let mut printer = Printer { format: args.format, colour };
    let result = runtime.block_on(watch(config, &mut printer));
    // Streams are in the middle of reading; nobody waits for them.
    runtime.shutdown_background();
    match result {
        Ok(()) => Exit::Clean,
        Err(error) => {
            complain(&error);
            match error {
                WatchError::Usage(_) | WatchError::Listen(..) | WatchError::Store(_) => Exit::Usage,
                WatchError::Feed(_) | WatchError::Other(_) => Exit::Incomplete,
            }
        }
    }
}

struct Printer {
    format: WatchFormat,
    colour: bool,
}

impl WatchSink for Printer {
    /// In one write that ends a line, so that standard output holds nothing back: what fails is
    /// this finding, and no other.
    fn finding(&mut self, finding: &Finding, nodes: &Nodes) -> io::Result<()> {
        let text = match self.format {
            WatchFormat::Text => finding_text(finding, nodes, self.colour),
            WatchFormat::Ndjson => {
                serde_json::to_string(&Record::new(finding, nodes)).unwrap_or_default()
            }
        };
        io::stdout().write_all(format!("{text}\n").as_bytes())
    }

    fn flush(&mut self) {}
}
