//! What the status page asks of the program: proofs, repairs, and acknowledgements.

use super::{
    explain::explain,
    repair::{RepairOptions, repair},
    sources::{EvidenceSources, quoted},
    until::Until,
};
use crate::{
    config::{Config, Evidence},
    http::{Desk, Explained},
    report::{Explanation, Repair, page::Rows},
    store::{Acknowledgement, Store, StoreError},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

/// Explanations that are kept: a page that is open is asked for again whenever anything changes,
/// and the servers should not be.
const KEPT_MAX: usize = 64;

/// The desk of a watch.
pub(super) struct WatchDesk {
    config: RwLock<Arc<Config>>,
    /// Where acknowledgements go: the store's file, or the store in memory.
    place: Place,
    /// By record: what was read of its transactions, the newest last.
    kept: Mutex<Vec<(Value, Arc<Read>)>>,
}

/// Where findings are kept.
pub(super) enum Place {
    /// In this file.
    File(PathBuf),
    /// In memory.
    Memory(Arc<Mutex<Store>>),
}

/// What was read of a finding's transactions.
struct Read {
    explanation: Explanation,
    repairs: Vec<(String, Repair)>,
    at: Timestamp,
}

/// How long what could not be read is left alone.
const READ_AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(60);

impl Read {
    /// What was read whole stays so; what was not may be there later.
    fn holds(&self) -> bool {
        self.explanation.is_whole() || Timestamp::now().duration_since(self.at) < READ_AGAIN_AFTER
    }
}

impl WatchDesk {
    pub(super) fn new(config: Config, place: Place) -> WatchDesk {
        let config = RwLock::new(Arc::new(config));
        WatchDesk { config, place, kept: Mutex::default() }
    }

    /// Goes by another configuration from here on. What was made by the old rules is made again.
    pub(super) fn set_config(&self, config: Config) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn config(&self) -> Arc<Config> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_full(&self) -> bool {
        self.config().watch.evidence == Evidence::Full
    }

    fn read(&self, record: &Value) -> anyhow::Result<Arc<Read>> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, read)) = kept().iter().find(|(of, read)| of == record && read.holds()) {
            return Ok(read.clone());
        }
        let sources = EvidenceSources::new(&[], Some(&self.config()))?;
        let explanation = explain(record, &sources)?;
        let repairs = self.repairs(record, &sources);
        let read = Arc::new(Read { explanation, repairs, at: Timestamp::now() });
        let mut kept = kept();
        kept.retain(|(of, _)| of != record);
        kept.push((record.clone(), read.clone()));
        let extra = kept.len().saturating_sub(KEPT_MAX);
        kept.drain(..extra);
        drop(kept);
        Ok(read)
    }

    /// For each node that could win, what makes the row the same on the others: the owner's where a
    /// rule says so, else each node's.
    fn repairs(&self, record: &Value, sources: &EvidenceSources) -> Vec<(String, Repair)> {
        if !is_repairable(record) {
            return Vec::new();
        }
        let config = self.config();
        let by = |winner: Option<&str>| {
            let options = RepairOptions { sources, config: Some(&config), winner, generated: &[] };
            repair(std::slice::from_ref(record), &options).ok()
        };
        let by_rule = by(None).filter(|repair| repair.refused.is_empty());
        if let Some(repair) = by_rule {
            let winner =
                repair.scripts.iter().flat_map(|of| &of.rows).map(|row| row.winner.clone());
            return winner.take(1).map(|winner| (winner, repair.clone())).collect();
        }
        let names = config.nodes.iter().map(|node| node.name.clone());
        names.filter_map(|name| by(Some(&name)).map(|repair| (name, repair))).collect()
    }

    /// Does something in the store, beside the judge who writes to it.
    fn in_store<T>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &self.place {
            Place::File(path) => work(&Store::acknowledge_in(path)?),
            Place::Memory(store) => work(&store.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn commands(&self, record: &Value) -> Vec<(&'static str, String)> {
        let Place::File(store) = &self.place else { return Vec::new() };
        let id: String = record["id"].as_str().unwrap_or_default().chars().take(12).collect();
        // Whoever copies it is elsewhere than where the daemon was started.
        let whole = |path: &Path| {
            let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            quoted(&whole.to_string_lossy())
        };
        let config = whole(Path::new(&self.config().origin));
        let common = format!("--store {} --config {config}", whole(store));
        let mut commands = vec![(
            "The proof: both orders and the row's values in each log",
            format!("twinlog findings explain {id} {common}"),
        )];
        if is_repairable(record) {
            let what = "SQL that makes the row the same again (--winner NODE where no rule says)";
            commands.push((what, format!("twinlog findings repair {id} {common}")));
        }
        commands
    }
}

fn is_repairable(record: &Value) -> bool {
    let is_open = record["state"] != "healed";
    is_open && (record["kind"] == "divergence" || record["outcome"] == "diverged")
}

impl Desk for WatchDesk {
    fn explain(&self, record: &Value) -> Result<Explained, String> {
        if !self.is_full() {
            let why = "Row values are not shown over HTTP: watch.evidence is \"keys\". The \
                       commands below show them; with evidence = \"full\" this page does.";
            return self.outline(record, why);
        }
        let read = self.read(record).map_err(|error| error.to_string())?;
        Ok(Explained {
            explanation: read.explanation.clone(),
            rows: Rows::Shown,
            repairs: read.repairs.clone(),
            commands: self.commands(record),
        })
    }

    fn outline(&self, record: &Value, why: &str) -> Result<Explained, String> {
        let explanation = explain(record, &EvidenceSources::for_commands(&self.config()));
        Ok(Explained {
            explanation: explanation.map_err(|error| error.to_string())?,
            rows: Rows::Hidden(why.to_owned()),
            repairs: Vec::new(),
            commands: self.commands(record),
        })
    }

    fn acknowledge(&self, id: &str, by: &str, why: &str, until: &str) -> Result<(), String> {
        for (what, text) in [("your name", by), ("why", why)] {
            if text.is_empty() {
                return Err(format!("Say {what}."));
            }
        }
        let now = Timestamp::now();
        let until = match until {
            "" => None,
            text => Some(Until::parse(text)?.after(now).as_microsecond()),
        };
        let at = now.as_microsecond();
        if until.is_some_and(|until| until <= at) {
            return Err("That day is over: give the last day on which it holds.".to_owned());
        }
        let ack = Acknowledgement { by: by.to_owned(), why: why.to_owned(), at, until };
        noted(self.in_store(|store| store.acknowledge(id, &ack)))
    }

    fn withdraw(&self, id: &str) -> Result<(), String> {
        noted(self.in_store(|store| store.remove_acknowledgement(id)))
    }
}

fn noted(done: Result<bool, StoreError>) -> Result<(), String> {
    match done {
        Ok(true) => Ok(()),
        Ok(false) => Err("It has just been deleted.".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
