//! `twinlog watch`.

use super::{
    Colours, Exit,
    args::{LogFormat, WatchArgs, WatchFormat},
    complain,
    live::Live,
};
use crate::{
    app::{
        signals::{Hangup, Signals},
        watch::{WatchError, WatchSink, watch},
    },
    config::Config,
    model::{Finding, Nodes},
    report::{Record, finding_text, terminal::clean_json},
};
use std::{
    io::{self, IsTerminal, Write},
    path::Path,
};
use tokio::runtime::Runtime;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

pub(super) fn run(args: WatchArgs, quiet: bool, colour: Colours) -> Exit {
    if args.live && !io::stdout().is_terminal() {
        complain(
            &"watch --live needs a terminal, and standard output is none\n  hint: without --live, \
              findings are printed line by line",
        );
        return Exit::Usage;
    }
    let config = match Config::load(&args.config) {
        Ok(config) => config,
        Err(error) => {
            complain(&error);
            return Exit::Usage;
        }
    };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            return Exit::Incomplete;
        }
    };
    let level = match (quiet, args.verbose) {
        (true, _) => "warn",
        (false, true) => "twinlog=debug,info",
        (false, false) => "info",
    };
    let result = match args.live {
        true => watch_live(&args.config, config, &runtime, level),
        false => {
            log_to(io::stderr, args.log_format, colour.stderr, level);
            let mut printer = Printer { format: args.format, colour: colour.stdout };
            let signals = Signals::listen(|| {}, Hangup::Reloads).map_err(anyhow::Error::from);
            let watching = async { watch(config, signals?, &mut printer).await };
            runtime.block_on(watching)
        }
    };
    // Streams are in the middle of reading; nobody waits for them.
    runtime.shutdown_background();
    match result {
        Ok(()) => Exit::Clean,
        Err(error) => {
            match args.log_format {
                LogFormat::Text => complain(&error),
                LogFormat::Json => tracing::error!("{error}"),
            }
            match error {
                WatchError::Usage(_) | WatchError::Listen(..) => Exit::Usage,
                WatchError::Store(error) if error.is_usage() => Exit::Usage,
                WatchError::Store(_) | WatchError::Feed(_) | WatchError::Other(_) => {
                    Exit::Incomplete
                }
            }
        }
    }
}

fn log_to<W>(writer: W, format: LogFormat, colour: bool, level: &str)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let log = tracing_subscriber::fmt()
        .with_writer(writer)
        .with_target(false)
        .with_env_filter(EnvFilter::new(level))
        // It would say so on standard error, and panic where that is on the same full disk.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => log.with_ansi(colour).init(),
        LogFormat::Json => {
            log.json().flatten_event(true).with_current_span(false).with_span_list(false).init()
        }
    }
    std::panic::set_hook(Box::new(|panic| {
        // What was put together at run time may hold anything; the place tells enough.
        let what = panic.payload().downcast_ref::<&'static str>().copied();
        let place = panic.location().map(ToString::to_string);
        let (what, place) = (what.unwrap_or("a panic"), place.unwrap_or_default());
        tracing::error!("{what}, at {place}; please report this");
    }));
}

/// Watches with the live view on the terminal; gives the terminal back whatever happens.
fn watch_live(
    path: &Path,
    config: Config,
    runtime: &Runtime,
    level: &str,
) -> Result<(), WatchError> {
    let live = Live::new(path);
    let (mut sink, log) = (live.sink(), live.log());
    log_to(move || log.clone(), LogFormat::Text, false, level);
    let at_once = || drop(ratatui::try_restore());
    let signals = Signals::listen(at_once, Hangup::Ends).map_err(anyhow::Error::from)?;
    let shown = live.show().map_err(anyhow::Error::from)?;
    let result = runtime.block_on(watch(config, signals, &mut sink));
    shown.end();
    result
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
                let json = serde_json::to_string(&Record::new(finding, nodes));
                clean_json(&json.unwrap_or_default())
            }
        };
        io::stdout().write_all(format!("{text}\n").as_bytes())
    }

    fn flush(&mut self) {}
}
