//! Looking findings up: in a store, or in what a scan or a watch has written.

use super::filter::glob_set;
use crate::{
    model::{FindingKind, Severity, State},
    store::{After, Kept, Query, Store, StoreError},
};
use globset::GlobSet;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::{
    collections::BTreeMap,
    io::{self, Read},
    path::PathBuf,
};

pub use crate::store::Acknowledgement;

/// Where findings are looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A store, beside a watch or without one.
    Store(PathBuf),
    /// What `twinlog scan` or `watch` has written: NDJSON, or a scan's JSON.
    File(PathBuf),
    /// The same, from standard input.
    Stdin,
}

/// Why a finding cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum FindingsError {
    /// Wrong usage: nothing has this id, more than one has, or the question makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

impl FindingsError {
    /// Whether the user can do something else, rather than to the file.
    pub fn is_usage(&self) -> bool {
        matches!(self, FindingsError::Usage(_) | FindingsError::Store(StoreError::Missing(_)))
    }
}

/// Which findings; the default is all.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    kinds: Vec<FindingKind>,
    states: Vec<State>,
    severity: Option<Severity>,
    tables: Option<GlobSet>,
}

impl Wanted {
    /// Findings of these kinds and in these states (empty: of all), at or above a severity, about
    /// tables that match one of these patterns (empty: all) or about no table.
    ///
    /// # Errors
    /// A pattern that is no glob over `schema.table`.
    pub fn new(
        kinds: Vec<FindingKind>,
        states: Vec<State>,
        severity: Option<Severity>,
        tables: &[String],
    ) -> Result<Wanted, FindingsError> {
        let tables = (!tables.is_empty()).then(|| glob_set(tables)).transpose();
        let tables = tables.map_err(|error| FindingsError::Usage(error.to_string()))?;
        Ok(Wanted { kinds, states, severity, tables })
    }

    fn wants_table(&self, table: Option<&str>) -> bool {
        let Some(tables) = &self.tables else { return true };
        table.is_none_or(|table| tables.is_match(table))
    }

    fn severities(&self) -> Vec<Severity> {
        let all = [Severity::Info, Severity::Warning, Severity::Critical];
        all.into_iter().filter(|severity| Some(*severity) >= self.severity).collect()
    }

    fn wants(&self, found: &Written) -> bool {
        let kind = |kind: &FindingKind| kind.as_str() == found.kind;
        let state = |state: &State| state.as_str() == found.state;
        (self.kinds.is_empty() || self.kinds.iter().any(kind))
            && (self.states.is_empty() || self.states.iter().any(state))
            && self.severities().iter().any(|severity| severity.as_str() == found.severity)
            && self.wants_table(found.table.as_deref())
    }
}

/// A finding that was looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// 32 hex digits.
    pub id: String,
    /// As a line of NDJSON, in the state it is in now; with an `acknowledgement` where the store
    /// has one.
    pub record: String,
}

impl Found {
    /// The record as a JSON object.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.record).unwrap_or_default()
    }
}

/// All findings as JSON objects, the newest first.
///
/// # Errors
/// A source that cannot be read.
pub fn load(source: &Source, now: Timestamp) -> Result<Vec<Value>, FindingsError> {
    let mut all = Vec::new();
    each(source, &Wanted::default(), now, |found| {
        all.push(found.value());
        true
    })?;
    Ok(all)
}

/// The findings that are wanted, the newest first, until `take` has enough and returns false.
///
/// # Errors
/// A source that cannot be read.
pub fn each(
    source: &Source,
    wanted: &Wanted,
    now: Timestamp,
    mut take: impl FnMut(Found) -> bool,
) -> Result<(), FindingsError> {
    let Source::Store(path) = source else {
        let mut all = read_written(source)?;
        all.retain(|written| wanted.wants(written));
        all.sort_by(|a, b| b.place.cmp(&a.place));
        for written in all {
            if !take(Found { id: written.place.id, record: written.record }) {
                break;
            }
        }
        return Ok(());
    };
    let store = Store::look(path)?;
    let mut query = Query {
        kinds: wanted.kinds.clone(),
        states: wanted.states.clone(),
        severities: wanted.severities(),
        after: None,
    };
    // Page by page: a reader that waits for a terminal must not hold back the log of the writer.
    loop {
        let mut page = Vec::with_capacity(PAGE);
        store.each(
            &query,
            now.as_microsecond(),
            |table| wanted.wants_table(table),
            |kept| {
                page.push(kept);
                page.len() < PAGE
            },
        )?;
        let is_last = page.len() < PAGE;
        query.after = page.last().map(|kept| kept.place.clone());
        for kept in page {
            if !take(found(kept)) {
                return Ok(());
            }
        }
        if is_last {
            return Ok(());
        }
    }
}

/// Findings that are read from a store at once.
const PAGE: usize = 1000;
/// Hex digits that an id has at least when it is given.
const PREFIX_MIN: usize = 4;
/// Findings that an ambiguous id lists.
const CANDIDATES_MAX: usize = 10;

/// The finding whose id begins so.
///
/// # Errors
/// An id that is none, that no finding has, or that several have; a source that cannot be read.
pub fn find(source: &Source, prefix: &str, now: Timestamp) -> Result<Found, FindingsError> {
    let prefix = prefix.to_ascii_lowercase();
    let is_hex = prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex || !(PREFIX_MIN..=32).contains(&prefix.len()) {
        return Err(FindingsError::Usage(format!(
            "{prefix:?} is no id of a finding\n  hint: {PREFIX_MIN} to 32 hex digits, as `twinlog \
             findings list` shows them"
        )));
    }
    let limit = CANDIDATES_MAX + 1;
    let mut candidates: Vec<Found> = match source {
        Source::Store(path) => {
            let kept = Store::look(path)?.find(&prefix, limit, now.as_microsecond())?;
            kept.into_iter().map(found).collect()
        }
        Source::File(_) | Source::Stdin => {
            let all = read_written(source)?.into_iter();
            let begins = |written: &Written| written.place.id.starts_with(&prefix);
            let mut begin: Vec<Written> = all.filter(begins).collect();
            begin.sort_by(|a, b| a.place.id.cmp(&b.place.id));
            let found = |written: Written| Found { id: written.place.id, record: written.record };
            begin.into_iter().take(limit).map(found).collect()
        }
    };
    match candidates.len() {
        1 => Ok(candidates.remove(0)),
        0 => Err(FindingsError::Usage(format!(
            "no finding's id begins with {prefix}\n  hint: `twinlog findings list --state all` \
             shows all"
        ))),
        count => {
            let lines = candidates.iter().take(CANDIDATES_MAX).map(candidate);
            let lines: String = lines.collect();
            let more = if count > CANDIDATES_MAX { "\n    and more" } else { "" };
            Err(FindingsError::Usage(format!(
                "more than one finding's id begins with {prefix}:{lines}{more}\n  hint: give more \
                 of its digits"
            )))
        }
    }
}

fn candidate(found: &Found) -> String {
    let record = found.value();
    let table = record["table"].as_str().unwrap_or_default();
    let kind = record["kind"].as_str().unwrap_or_default();
    format!("\n    {} {kind} {table}", found.id)
}

/// As it is told: in its state of now, with who has taken note of it.
fn found(kept: Kept) -> Found {
    let record = match kept.acknowledgement {
        Some(_) => kept.told().to_string(),
        None => kept.record,
    };
    Found { id: kept.place.id, record }
}

/// A finding as it stands in a file.
struct Written {
    place: After,
    kind: String,
    severity: String,
    state: String,
    table: Option<String>,
    record: String,
}

/// The fields that are looked at; any others may come.
#[derive(Deserialize)]
struct Head {
    id: String,
    kind: String,
    severity: String,
    state: String,
    table: Option<String>,
    last_seen: String,
}

/// What a scan with `--format json` has written.
#[derive(Deserialize)]
struct Scanned<'t> {
    #[serde(borrow)]
    findings: Vec<&'t RawValue>,
}

/// All findings of a file, each once: a watch writes a line for every state of a finding, and the
/// last one counts.
fn read_written(source: &Source) -> Result<Vec<Written>, FindingsError> {
    let (name, text) = read_text(source)?;
    let hint = "give what `twinlog scan --format ndjson` or `--format json` has written";
    let wrong = |place: String, error: &serde_json::Error| {
        FindingsError::Unreadable(format!("{place}: no finding: {error}\n  hint: {hint}"))
    };
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let mut all = Vec::new();
    let mut places = BTreeMap::new();
    let mut add = |record: &str| -> serde_json::Result<()> {
        let Head { id, kind, severity, state, table, last_seen } = serde_json::from_str(record)?;
        let last_seen: Timestamp = last_seen.parse().map_err(serde::de::Error::custom)?;
        let place = After { last_seen: last_seen.as_microsecond(), id };
        // A whole object may have been laid out anew; a record is one line.
        let record = match record.contains('\n') {
            true => serde_json::from_str::<Value>(record)?.to_string(),
            false => record.trim().to_owned(),
        };
        let written = Written { kind, severity, state, table, record, place };
        match places.get(&written.place.id) {
            Some(at) => all[*at] = written,
            None => {
                places.insert(written.place.id.clone(), all.len());
                all.push(written);
            }
        }
        Ok(())
    };
    if serde_json::from_str::<Head>(first).is_err()
        && let Ok(scanned) = serde_json::from_str::<Scanned<'_>>(&text)
    {
        for (at, record) in scanned.findings.iter().enumerate() {
            let place = || format!("{name}: findings[{}]", at + 1);
            add(record.get()).map_err(|error| wrong(place(), &error))?;
        }
        return Ok(all);
    }
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        add(line).map_err(|error| wrong(format!("{name}:{}", at + 1), &error))?;
    }
    Ok(all)
}

fn read_text(source: &Source) -> Result<(String, String), FindingsError> {
    let (name, text) = match source {
        Source::File(path) => (path.display().to_string(), std::fs::read_to_string(path)),
        Source::Store(_) | Source::Stdin => {
            let mut text = String::new();
            ("standard input".to_owned(), io::stdin().read_to_string(&mut text).map(|_| text))
        }
    };
    match text {
        Ok(text) => Ok((name, text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(FindingsError::Usage(
            format!("{name}: {error}\n  hint: --from FILE, or - for a pipe"),
        )),
        Err(error) => Err(FindingsError::Unreadable(format!("{name}: cannot be read: {error}"))),
    }
}

/// Takes note of the finding whose id begins so, in a store; tells its id.
///
/// # Errors
/// What [`find`] says, and a store that cannot be written.
pub fn acknowledge(
    source: &Source,
    prefix: &str,
    ack: &Acknowledgement,
) -> Result<String, FindingsError> {
    let path = only_store(source)?;
    let now = Timestamp::from_microsecond(ack.at).unwrap_or_default();
    let id = find(source, prefix, now)?.id;
    match Store::acknowledge_in(path)?.acknowledge(&id, ack)? {
        true => Ok(id),
        // A watch that deletes old findings may come in between.
        false => Err(FindingsError::Usage(format!("finding {id} has just been deleted"))),
    }
}

/// Takes the note back; tells the finding's id.
///
/// # Errors
/// What [`find`] says, a finding without a note, and a store that cannot be written.
pub fn remove_acknowledgement(
    source: &Source,
    prefix: &str,
    now: Timestamp,
) -> Result<String, FindingsError> {
    let path = only_store(source)?;
    let id = find(source, prefix, now)?.id;
    match Store::acknowledge_in(path)?.remove_acknowledgement(&id)? {
        true => Ok(id),
        false => Err(FindingsError::Usage(format!("finding {id} is not acknowledged"))),
    }
}

fn only_store(source: &Source) -> Result<&PathBuf, FindingsError> {
    match source {
        Source::Store(path) => Ok(path),
        Source::File(_) | Source::Stdin => Err(FindingsError::Usage(
            "findings of a file cannot be acknowledged: there is nowhere to remember it\n  \
             hint: --store FILE, the watch.store of a watch; or a [[suppress]] in the \
             configuration"
                .to_owned(),
        )),
    }
}
