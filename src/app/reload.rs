//! SIGHUP: a watch reads its configuration again, and goes on with it.
//!
//! Nothing of what is connected, open or remembered is touched. What is judged by rules comes to
//! the new ones in the order of each stream: its reader takes them between two transactions, and
//! says so in its place, so that a row is judged by the rule for which its column was decoded. What
//! was told stays told.

use super::{
    desk::WatchDesk,
    filter::Filter,
    judge::{ownership, settings, table_plans},
    watch::{Judge, now},
    watch_start,
};
use crate::{
    config::{Changes, Config, Secret},
    engine::Ownership,
    http::{Access, Tls},
};
use std::{collections::BTreeMap, path::Path, sync::Arc};
use tracing::{debug, error, info, warn};

/// The configuration that a watch goes by, and who else goes by it.
pub(super) struct Current {
    config: Config,
    /// Rules, by the number of the plans that streams are read with. Those that some stream has not
    /// come past yet are kept.
    rules: BTreeMap<u64, Arc<Ownership>>,
    served: Served,
}

/// What pages have of the configuration.
pub(super) struct Served {
    pub(super) access: Arc<Access>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) desk: Arc<WatchDesk>,
}

impl Current {
    pub(super) fn new(config: Config, served: Served) -> anyhow::Result<Current> {
        let rules = BTreeMap::from([(0, Arc::new(ownership(&config)?))]);
        Ok(Current { config, rules, served })
    }
}

impl Judge {
    /// Reads the configuration again. One that is wrong changes nothing.
    pub(super) fn reload(&mut self) {
        let origin = self.current.config.origin.clone();
        self.service.reloading();
        info!("told to read {origin} again");
        match self.take_config(Path::new(&origin)) {
            Ok(changes) => {
                changes.taken.iter().for_each(|line| info!("{line}"));
                let waiting = changes.waiting.iter();
                waiting.for_each(|line| warn!("{line}: waits for a restart"));
                if changes == Changes::default() {
                    info!("nothing changed");
                }
                self.metrics.reloaded(Some(now()));
            }
            Err(what) => {
                // What is wrong, and the hint, on one line of the log.
                error!(
                    "{}",
                    what.replace("\n  hint: ", "; hint: ").replace("\nhint: ", "; hint: ")
                );
                error!("the configuration stays as it was");
                self.metrics.reloaded(None);
            }
        }
        self.service.reloaded();
    }

    fn take_config(&mut self, path: &Path) -> Result<Changes, String> {
        let new = Config::load(path).map_err(|error| error.to_string())?;
        let (next, mut changes) = self.current.config.reloaded(&new);
        let wrong = |error: anyhow::Error| format!("{}: {error}", next.origin);
        let filter = Filter::new(Vec::new(), &[], &next.suppress).map_err(wrong)?;
        let rules = Arc::new(ownership(&next).map_err(wrong)?);
        let plans = self.inputs.iter().map(|of| table_plans(&next, of.reading.known.clone()));
        let plans: Vec<_> = plans.collect::<anyhow::Result<_>>().map_err(wrong)?;
        let token = watch_start::token(&next).map_err(|error| error.to_string())?;
        // The last of what may fail: from here on everything is taken.
        if let Some(tls) = &self.current.served.tls {
            tls.reload().map_err(|error| error.to_string())?;
            info!("the listener's certificate was read again");
        }
        if self.current.served.access.set_token(token.as_ref().map(Secret::expose)) {
            changes.taken.push("watch.token_file: it holds another token".to_owned());
        }
        let old = &self.current.config;
        let rules_of = |of: &Config| (of.ownership.clone(), of.unlisted, of.ignore_columns.clone());
        if rules_of(old) != rules_of(&next) {
            let number = self.current.rules.last_key_value().map_or(0, |(number, _)| number + 1);
            self.current.rules.insert(number, rules);
            for (input, plans) in self.inputs.iter().zip(plans) {
                input.reading.plans.replace(number, plans);
            }
        }
        self.filter = filter;
        self.verifier.set_settings(settings(&next, Some(self.pressure.limit())));
        self.keeper.set_retention(next.watch.retention);
        self.current.served.desk.set_config(next.clone());
        self.current.config = next;
        Ok(changes)
    }

    /// Whether some stream has not come to the rules of the last reload.
    pub(super) fn rules_differ(&self) -> bool {
        self.current.rules.len() > 1
    }

    /// What comes of a stream from here on was read with these plans.
    pub(super) fn come_to_plans(&mut self, at: usize, number: u64) {
        let input = &mut self.inputs[at];
        let Some(rules) = self.current.rules.get(&number).filter(|_| input.plans != number) else {
            return;
        };
        input.plans = number;
        self.verifier.set_rules(input.node, rules.clone());
        debug!(
            node = self.nodes[input.node].name,
            "from here on the rules of the last reload hold"
        );
        let oldest = self.inputs.iter().map(|input| input.plans).min().unwrap_or(number);
        self.current.rules.retain(|number, _| *number >= oldest);
    }
}
