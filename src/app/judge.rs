//! What scan and watch share: a verifier made from a configuration.

use crate::{
    binlog::{TablePlan, TablePlans},
    config::{Config, table_pattern},
    engine::{Ownership, Remembered, Settings, Verifier},
    model::{Nodes, TableSchemas},
};
use globset::{GlobSet, GlobSetBuilder};
use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

/// A verifier of these nodes, by the configuration's rules; `memory_bytes` where it is not the
/// usual bound, `memory` where it goes on with one.
pub(super) fn verifier(
    config: &Config,
    nodes: Nodes,
    memory_bytes: Option<usize>,
    memory: Option<Remembered>,
) -> anyhow::Result<Verifier> {
    let ownership = ownership(config)?;
    let settings = settings(config, memory_bytes);
    Ok(match memory {
        None => Verifier::new(nodes, ownership, settings),
        Some(memory) => Verifier::go_on(memory, nodes, ownership, settings)?,
    })
}

/// Limits and windows as a configuration has them; `memory_bytes` where it is not the usual bound.
pub(super) fn settings(config: &Config, memory_bytes: Option<usize>) -> Settings {
    Settings {
        shared_key_window_micros: micros(config.shared_key_window),
        near_conflict_window_micros: micros(config.near_conflict_window),
        missing_after_micros: micros(config.watch.missing_after),
        group_limit: config.group_limit,
        memory_bytes: memory_bytes.unwrap_or(Settings::default().memory_bytes),
        ..Settings::default()
    }
}

/// A window as the engine has it.
pub(super) fn micros(window: Duration) -> i64 {
    i64::try_from(window.as_micros()).unwrap_or(i64::MAX)
}

/// Of a bound on all that is held, the share of what one stream has under way to the judge: one
/// transaction may take it all. What all streams have under way is half of the bound at most.
pub(super) fn under_way_max(memory_bytes: usize, nodes: usize) -> usize {
    memory_bytes / 2 / nodes.max(1)
}

/// What is known of one server's tables; `watch` may come to know more while a reader reads.
pub(super) type Known = Arc<RwLock<TableSchemas>>;

/// What a reader has to know of tables: the configuration's rules, and what their server knows.
pub(super) fn table_plans(config: &Config, known: Known) -> anyhow::Result<TablePlans> {
    let ownership = ownership(config)?;
    let ignored = ignored_columns(config)?;
    Ok(Arc::new(move |table: &str| TablePlan {
        rule_column: ownership.column_of(table).map(str::to_owned),
        ignore_columns: ignored
            .iter()
            .filter(|(tables, _)| tables.is_match(table))
            .flat_map(|(_, columns)| columns.iter().cloned())
            .collect(),
        known: known.read().unwrap_or_else(PoisonError::into_inner).get(table).cloned(),
    }))
}

/// The columns that are not compared, by the tables they belong to.
fn ignored_columns(config: &Config) -> anyhow::Result<Vec<(GlobSet, Vec<String>)>> {
    let compile = |(patterns, columns): &(Vec<String>, Vec<String>)| {
        let mut tables = GlobSetBuilder::new();
        for pattern in patterns {
            let glob = table_pattern(pattern).map_err(|error| anyhow::anyhow!("{error}"))?;
            tables.add(glob);
        }
        Ok((tables.build()?, columns.clone()))
    };
    config.ignore_columns.iter().map(compile).collect()
}

/// A configuration's rules, ready to be asked.
pub(super) fn ownership(config: &Config) -> anyhow::Result<Ownership> {
    Ok(Ownership::new(config.ownership.clone(), config.unlisted)?)
}
