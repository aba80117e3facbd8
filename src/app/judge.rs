//! What scan and watch share: a verifier made from a configuration.

use crate::{
    binlog::RuleColumn,
    config::Config,
    engine::{Ownership, Settings, Verifier},
    model::{Nodes, OwnershipRule, Unlisted},
};
use std::{sync::Arc, time::Duration};

/// A verifier of these nodes, by the configuration's rules; `open_keys_max` where it is not the
/// usual bound.
pub(super) fn verifier(
    config: &Config,
    nodes: Nodes,
    open_keys_max: Option<usize>,
) -> anyhow::Result<Verifier> {
    let ownership = ownership(&config.ownership, config.unlisted)?;
    let micros = |window: Duration| i64::try_from(window.as_micros()).unwrap_or(i64::MAX);
    let settings = Settings {
        shared_key_window_micros: micros(config.shared_key_window),
        near_conflict_window_micros: micros(config.near_conflict_window),
        group_limit: config.group_limit,
        open_keys_max: open_keys_max.unwrap_or(Settings::default().open_keys_max),
        ..Settings::default()
    };
    Ok(Verifier::new(nodes, ownership, settings))
}

/// Which column of which table the readers have to decode.
pub(super) fn rule_column(config: &Config) -> anyhow::Result<RuleColumn> {
    let ownership = ownership(&config.ownership, config.unlisted)?;
    Ok(Arc::new(move |table: &str| ownership.column_of(table).map(str::to_owned)))
}

fn ownership(rules: &[OwnershipRule], unlisted: Unlisted) -> anyhow::Result<Ownership> {
    Ok(Ownership::new(rules.to_vec(), unlisted)?)
}
