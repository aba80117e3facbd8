//! What a watch gives to its pages.

use super::{
    desk::{Place, WatchDesk},
    watch::{WatchError, now},
};
use crate::{
    config::{Config, ListenTls, Secret},
    http::{Access, Findings},
    store::{Batch, Store, StoreError, StoredFinding},
};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tracing::error;

/// What the pages of a watch stand on.
pub(super) struct Pages {
    pub(super) findings: Arc<Findings>,
    pub(super) news: watch::Sender<u64>,
    pub(super) desk: Arc<WatchDesk>,
    pub(super) access: Arc<Access>,
    memory: Option<Arc<Mutex<Store>>>,
}

impl Pages {
    /// Opens the store a second time, to read beside the judge who writes; where there is none,
    /// makes one in memory.
    ///
    /// # Errors
    /// A store that cannot be opened.
    pub(super) fn open(config: &Config, token: Option<&Secret>) -> Result<Pages, WatchError> {
        let (store, place, memory, forgets) = match &config.watch.store {
            Some(path) => {
                let store = Arc::new(Mutex::new(Store::look(path)?));
                (store, Place::File(path.clone()), None, None)
            }
            None => {
                let store = Arc::new(Mutex::new(Store::in_memory()?));
                let place = Place::Memory(store.clone());
                (store.clone(), place, Some(store), Some(MEMORY_MAX))
            }
        };
        let token = token.map(Secret::expose);
        let has_tls = matches!(config.watch.tls, ListenTls::Files { .. });
        Ok(Pages {
            findings: Arc::new(Findings::new(store, forgets)),
            news: watch::Sender::new(0),
            desk: Arc::new(WatchDesk::new(config.clone(), place)),
            access: Arc::new(Access::new(config.watch.listen.ip(), token, has_tls)),
            memory,
        })
    }

    /// How the pages learn of what is told.
    pub(super) fn shown(&self) -> PageNews {
        PageNews { memory: self.memory.clone(), news: self.news.clone() }
    }
}

/// How pages learn of what is told.
pub(super) struct PageNews {
    /// Where no store is configured: one in memory.
    memory: Option<Arc<Mutex<Store>>>,
    /// Counts up whenever findings are told.
    news: watch::Sender<u64>,
}

/// Findings that pages show where no store is configured; about 2 KB each.
const MEMORY_MAX: usize = 10_000;
/// Findings from one look for old ones in memory to the next.
const MEMORY_PRUNE: u64 = 500;

impl PageNews {
    /// Pages that nobody looks at.
    #[cfg(test)]
    pub(super) fn nowhere() -> PageNews {
        PageNews { memory: None, news: watch::Sender::new(0) }
    }

    /// A finding was told; `finding` writes it down where no store keeps it.
    pub(super) fn told(&self, finding: impl FnOnce() -> StoredFinding) {
        if let Some(memory) = &self.memory {
            let mut store = memory.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = self.put(&mut store, finding()) {
                error!("the pages do not show a finding: {error}");
            }
        }
        self.news.send_modify(|news| *news += 1);
    }

    fn put(&self, store: &mut Store, finding: StoredFinding) -> Result<(), StoreError> {
        let findings = vec![finding];
        store.commit(&Batch { now: now().micros, findings, ..Batch::default() })?;
        match *self.news.borrow() % MEMORY_PRUNE {
            0 => store.keep_newest(MEMORY_MAX),
            _ => Ok(()),
        }
    }
}
