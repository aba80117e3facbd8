//! `twinlog findings`.
//!
//! Commands that look a finding up go through [`load`] and [`find`].

use super::{
    Exit,
    args::Format,
    complain, explain,
    findings_args::{AckArgs, FindingsCommand, ListArgs, LookupArgs, ShowArgs, ShowFormat},
};
use crate::{
    app::findings::{self, Acknowledgement, FindingsError, Found, Source, Wanted},
    report::{Folded, Line, listing_text, record_text, terminal::clean_json},
};
use jiff::Timestamp;
use std::io::{self, BufWriter, Write};

pub(super) fn run(command: FindingsCommand, quiet: bool, colour: bool) -> Exit {
    let result = match command {
        FindingsCommand::List(args) => list(&args, quiet, colour),
        FindingsCommand::Show(args) => show(&args, colour),
        FindingsCommand::Explain(args) => return explain::explain(args, colour),
        FindingsCommand::Repair(args) => return explain::repair(args),
        FindingsCommand::Ack(args) => ack(&args, quiet),
    };
    match result {
        Ok(exit) => exit,
        Err(error) => {
            complain(&error);
            if error.is_usage() { Exit::Usage } else { Exit::Incomplete }
        }
    }
}

/// Where the command line says to look.
pub(super) fn source(lookup: &LookupArgs) -> Source {
    match (&lookup.store, &lookup.from) {
        (Some(store), _) => Source::Store(store.clone()),
        (None, Some(file)) if file.as_os_str() != "-" => Source::File(file.clone()),
        (None, _) => Source::Stdin,
    }
}

/// All findings there, the newest first.
pub(super) fn load(lookup: &LookupArgs) -> Result<Vec<serde_json::Value>, FindingsError> {
    findings::load(&source(lookup), Timestamp::now())
}

/// The one finding there whose id begins so.
pub(super) fn find(lookup: &LookupArgs, prefix: &str) -> Result<Found, FindingsError> {
    findings::find(&source(lookup), prefix, Timestamp::now())
}

fn list(args: &ListArgs, quiet: bool, colour: bool) -> Result<Exit, FindingsError> {
    let severity = args.severity.map(|severity| severity.severity());
    let wanted = Wanted::new(args.kind.clone(), args.states(), severity, &args.table)?;
    let source = source(&args.lookup);
    let limit = args.limit.unwrap_or(usize::MAX);
    let mut out = BufWriter::new(io::stdout().lock());
    let printed = match args.format {
        Format::Text => {
            let lines = lines(&source, &wanted, args.all)?;
            let shown = &lines[..lines.len().min(limit)];
            let printed = out.write_all(listing_text(shown, colour).as_bytes());
            let printed = printed.and_then(|()| out.flush());
            if !quiet {
                let left = lines.len() - shown.len();
                let lines = if shown.len() == 1 { "line" } else { "lines" };
                let more = format!(", {left} more past --limit");
                eprintln!("{} {lines}{}", shown.len(), if left > 0 { &more } else { "" });
            }
            printed
        }
        format => {
            let (open, between, close) = match format {
                Format::Json => ("{\"findings\":[\n", ",\n", "\n]}\n"),
                _ => ("", "\n", "\n"),
            };
            let (mut count, mut printed) = (0, out.write_all(open.as_bytes()));
            findings::each(&source, &wanted, Timestamp::now(), |found| {
                if count < limit && printed.is_ok() {
                    let before = if count > 0 { between } else { "" };
                    printed = write!(out, "{before}{}", clean_json(&found.record));
                    count += 1;
                }
                count < limit && printed.is_ok()
            })?;
            let is_empty = count == 0 && args.format == Format::Ndjson;
            printed.and_then(|()| if is_empty { Ok(()) } else { out.write_all(close.as_bytes()) })
        }
    };
    Ok(told(printed.and_then(|()| out.flush())))
}

/// The lines of the table: one a group, or one a finding.
fn lines(source: &Source, wanted: &Wanted, all: bool) -> Result<Vec<Line>, FindingsError> {
    let (mut folded, mut lines) = (Folded::default(), Vec::new());
    let mut wrong = None;
    findings::each(source, wanted, Timestamp::now(), |found| {
        match Line::parse(&found.record) {
            Ok(line) if all => lines.push(line),
            Ok(line) => folded.add(line),
            Err(error) => wrong = Some(format!("finding {}: {error}", found.id)),
        }
        wrong.is_none()
    })?;
    match wrong {
        Some(wrong) => Err(FindingsError::Unreadable(wrong)),
        None if all => Ok(lines),
        None => Ok(folded.into_lines()),
    }
}

fn show(args: &ShowArgs, colour: bool) -> Result<Exit, FindingsError> {
    let found = find(&args.lookup, &args.id)?;
    let text = match args.format {
        ShowFormat::Text => record_text(&found.value(), colour),
        ShowFormat::Json => {
            let json = serde_json::to_string_pretty(&found.value());
            clean_json(&json.unwrap_or_default()) + "\n"
        }
        ShowFormat::Ndjson => clean_json(&found.record) + "\n",
    };
    Ok(told(io::stdout().write_all(text.as_bytes())))
}

fn ack(args: &AckArgs, quiet: bool) -> Result<Exit, FindingsError> {
    let source = source(&args.lookup);
    let now = Timestamp::now();
    let (id, what) = match args.remove {
        true => {
            (findings::remove_acknowledgement(&source, &args.id, now)?, "is not acknowledged now")
        }
        false => {
            let at = now.as_microsecond();
            let until = args.until.map(|until| until.after(now).as_microsecond());
            if until.is_some_and(|until| until <= at) {
                let problem = "--until is in the past\n  hint: the last day on which it holds";
                return Err(FindingsError::Usage(problem.to_owned()));
            }
            let (by, why) = (args.by.clone(), args.why.clone());
            let (by, why) = (by.unwrap_or_default(), why.unwrap_or_default());
            let ack = Acknowledgement { by, why, at, until };
            (findings::acknowledge(&source, &args.id, &ack)?, "is acknowledged")
        }
    };
    if !quiet {
        eprintln!("finding {id} {what}");
    }
    Ok(Exit::Clean)
}

/// A pipe that was closed has had enough: that is no fault.
fn told(printed: io::Result<()>) -> Exit {
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("cannot write findings: {error}"));
            Exit::Incomplete
        }
        _ => Exit::Clean,
    }
}
