//! The live view of a watch: what it shows, and how it is drawn.
//!
//! Drawing is a function of the [`View`] and the time: the terminal itself is `cli`'s.

mod draw;

pub use draw::draw;

use super::{Status, message, terminal::clean};
use crate::model::{CommitTime, Finding, FindingId, FindingKind, Nodes, Severity, State};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Findings that are shown at most.
const FINDINGS_MAX: usize = 200;
/// Findings that are told apart at most: one that is told again past them counts again.
const KNOWN_MAX: usize = 100_000;
/// Lines of the log that are held at most.
const LOG_MAX: usize = 1_000;

/// What the live view shows.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The configuration file.
    config: String,
    /// The newest snapshot; `None` before the servers have been asked.
    status: Option<Arc<Status>>,
    /// The newest last.
    findings: VecDeque<Told>,
    /// All findings told, up to [`KNOWN_MAX`], with the oldest to be forgotten first.
    known: BTreeMap<FindingId, (FindingKind, State)>,
    order: VecDeque<FindingId>,
    counts: BTreeMap<FindingKind, Counted>,
    log: VecDeque<String>,
    log_dropped: u64,
}

/// How many findings of a kind were told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// All of them.
    pub told: u64,
    /// Those that do not hold any more.
    pub healed: u64,
}

/// A finding as it is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Told {
    id: FindingId,
    severity: Severity,
    kind: FindingKind,
    /// What is to be known of its state, such as `pending`; empty where nothing is.
    state: &'static str,
    last_seen: CommitTime,
    message: String,
}

impl View {
    /// A view before anything is known.
    pub fn new(config: &str) -> View {
        View { config: clean(config), ..View::default() }
    }

    /// Takes the newest snapshot.
    pub fn status(&mut self, status: &Status) {
        self.status = Some(Arc::new(status.clone()));
    }

    /// Takes a finding that is new or has changed; it becomes the newest.
    pub fn finding(&mut self, finding: &Finding, nodes: &Nodes) {
        self.count(finding);
        self.findings.retain(|told| told.id != finding.id);
        let pending = finding.outcome.filter(|_| finding.state == State::Open);
        self.findings.push_back(Told {
            id: finding.id,
            severity: finding.severity,
            kind: finding.kind,
            state: match (finding.state, pending) {
                (State::Open, Some(outcome)) => outcome.as_str(),
                (State::Open, None) => "",
                (state, _) => state.as_str(),
            },
            last_seen: finding.last_seen,
            message: clean(&message(finding, nodes)),
        });
        while self.findings.len() > FINDINGS_MAX {
            self.findings.pop_front();
        }
    }

    fn count(&mut self, finding: &Finding) {
        let counted = self.counts.entry(finding.kind).or_default();
        match self.known.insert(finding.id, (finding.kind, finding.state)) {
            Some((_, State::Healed)) => counted.healed -= 1,
            Some(_) => {}
            None => {
                counted.told += 1;
                self.order.push_back(finding.id);
            }
        }
        counted.healed += u64::from(finding.state == State::Healed);
        if self.order.len() > KNOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Takes lines of the log.
    pub fn log(&mut self, text: &str) {
        for line in text.lines().filter(|line| !line.is_empty()) {
            self.log.push_back(clean(line));
            if self.log.len() > LOG_MAX {
                self.log.pop_front();
                self.log_dropped += 1;
            }
        }
    }

    /// The lines of the log that are held, the oldest first; and how many are gone.
    pub fn logged(&self) -> (impl Iterator<Item = &str>, u64) {
        (self.log.iter().map(String::as_str), self.log_dropped)
    }

    /// Findings told, by kind.
    pub fn counts(&self) -> &BTreeMap<FindingKind, Counted> {
        &self.counts
    }
}

/// Findings by kind in words: `2 write_conflict, 1 divergence (1 healed)`; `none`.
pub fn counts_text(counts: &BTreeMap<FindingKind, Counted>) -> String {
    let counts = counts.iter().map(|(kind, of)| match of.healed {
        0 => format!("{} {}", of.told, kind.as_str()),
        healed => format!("{} {} ({healed} healed)", of.told, kind.as_str()),
    });
    match counts.collect::<Vec<_>>() {
        counts if counts.is_empty() => "none".to_owned(),
        counts => counts.join(", "),
    }
}

#[cfg(test)]
mod tests;
