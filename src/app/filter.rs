//! Which findings are told: what the command line asks for, less what is suppressed.

use crate::{
    config::{Suppression, table_pattern},
    model::{Finding, FindingKind},
};
use globset::{GlobSet, GlobSetBuilder};
use jiff::civil::Date;

/// What happens to a finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is told, and counts for the exit code.
    Told,
    /// The command line did not ask for it.
    Filtered,
    /// A suppression in the configuration covers it; counted apart.
    Suppressed,
}

/// The filter of one run.
pub struct Filter {
    kinds: Vec<FindingKind>,
    tables: Option<GlobSet>,
    suppressions: Vec<(GlobSet, Suppression)>,
}

impl Filter {
    /// A filter by kinds and tables (empty lists let everything through) and by suppressions.
    ///
    /// # Errors
    /// A pattern that is no glob over `schema.table`.
    pub fn new(
        kinds: Vec<FindingKind>,
        tables: &[String],
        suppressions: &[Suppression],
    ) -> anyhow::Result<Filter> {
        let compiled = suppressions.iter().map(|s| Ok((glob_set(&s.tables)?, s.clone())));
        Ok(Filter {
            kinds,
            tables: (!tables.is_empty()).then(|| glob_set(tables)).transpose()?,
            suppressions: compiled.collect::<anyhow::Result<_>>()?,
        })
    }

    /// What happens to this finding on this day: suppressions end.
    pub fn fate(&self, finding: &Finding, today: Date) -> Fate {
        let table = finding.table.as_deref();
        let wanted_kind = self.kinds.is_empty() || self.kinds.contains(&finding.kind);
        let wanted_table = match &self.tables {
            // What is about no table, a blind spot of a whole stream above all, may be about these.
            Some(tables) => table.is_none_or(|table| tables.is_match(table)),
            None => true,
        };
        if !wanted_kind || !wanted_table {
            return Fate::Filtered;
        }
        let covers = |(tables, suppression): &(GlobSet, Suppression)| {
            suppression.until >= today
                && suppression.kind == finding.kind.as_str()
                && (suppression.tables.is_empty() || table.is_some_and(|t| tables.is_match(t)))
                && suppression.origin.is_none_or(|origin| {
                    finding.transactions.iter().any(|t| t.origin == Some(origin))
                })
        };
        match self.suppressions.iter().any(covers) {
            true => Fate::Suppressed,
            false => Fate::Told,
        }
    }
}

pub(super) fn glob_set(patterns: &[String]) -> anyhow::Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = table_pattern(pattern).map_err(|error| anyhow::anyhow!("{error}"))?;
        set.add(glob);
    }
    Ok(set.build()?)
}
