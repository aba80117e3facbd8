//! What a watch gives to its pages.

use super::{
    desk::{Place, WatchDesk},
    keep::{MEMORY_MAX, Shown},
    watch::WatchError,
};
use crate::{
    config::{Config, Secret},
    http::{Access, Desk, Findings},
    store::Store,
};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// What the pages of a watch stand on.
pub(super) struct Pages {
    pub(super) findings: Arc<Findings>,
    pub(super) news: watch::Sender<u64>,
    pub(super) desk: Arc<dyn Desk>,
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
        Ok(Pages {
            findings: Arc::new(Findings::new(store, forgets)),
            news: watch::Sender::new(0),
            desk: Arc::new(WatchDesk::new(config.clone(), place)),
            access: Arc::new(Access::new(config.watch.listen.ip(), token)),
            memory,
        })
    }

    /// How the pages learn of what is told.
    pub(super) fn shown(&self) -> Shown {
        Shown { memory: self.memory.clone(), news: self.news.clone() }
    }
}
