//! The findings behind the pages: a store to read, and counts that are not counted twice.

use super::query;
use crate::{
    model::{FindingKind, Severity, State},
    report::page::{Count, Counted, Filter, List, ListedFinding, RANGES, Timeline, Trouble},
    store::{Kept, Listed, PageQuery, Query, Store, StoreError},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Tables that are listed by trouble.
const TABLES_MAX: usize = 20;

/// Findings, as pages read them. Calls wait for the disk.
pub struct Findings {
    store: Arc<Mutex<Store>>,
    counted: Mutex<Option<LastCount>>,
    /// Only so many of the newest are known, and none after the end.
    pub(super) forgets: Option<usize>,
}

/// The last counts, and what they are of.
struct LastCount {
    news: u64,
    range: &'static str,
    at: i64,
    overall: Arc<Overall>,
}

/// A part of the list.
pub(super) struct Part {
    pub(super) findings: Vec<Listed>,
    /// Where the next part begins, if there is one.
    pub(super) next: Option<String>,
}

/// What there is of findings in all.
#[derive(Debug)]
pub(super) struct Overall {
    pub(super) counts: Counted,
    pub(super) timeline: Timeline,
    pub(super) tables: Vec<Trouble>,
    pub(super) more_tables: usize,
}

/// How long counts hold while no finding changes, in microseconds: acknowledgements end, and the
/// timeline moves.
const COUNTS_HOLD: i64 = 10_000_000;

impl Findings {
    /// Findings of a store; `forgets` where it is one in memory, with how many it keeps.
    pub fn new(store: Arc<Mutex<Store>>, forgets: Option<usize>) -> Findings {
        Findings { store, counted: Mutex::default(), forgets }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts of all findings, and of a time up to `now`; `news` is what was counted up last.
    pub(super) fn overall(
        &self,
        range: &str,
        news: u64,
        now: i64,
    ) -> Result<Arc<Overall>, StoreError> {
        let (range, bars, step) =
            RANGES.into_iter().find(|(word, ..)| *word == range).unwrap_or(RANGES[1]);
        // Whoever comes meanwhile waits for these counts rather than count, too.
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = counted.as_ref()
            && (last.news, last.range) == (news, range)
            && (last.at..last.at + COUNTS_HOLD).contains(&now)
        {
            return Ok(last.overall.clone());
        }
        let overall = Arc::new(count(&self.store(), bars, step, now)?);
        *counted = Some(LastCount { news, range, at: now, overall: overall.clone() });
        Ok(overall)
    }

    /// A part of the list; `is_folded`: groups as one entry each.
    pub(super) fn list(
        &self,
        filter: &Filter,
        is_folded: bool,
        limit: usize,
        now: i64,
    ) -> Result<Part, StoreError> {
        let store = self.store();
        let page = PageQuery {
            query: Query {
                kinds: filter.kinds.clone(),
                states: filter.states.clone(),
                severities: severities(filter.severity),
                after: filter.after.as_deref().and_then(query::place),
            },
            tables: match filter.table.as_deref().map(query::glob) {
                Some(Ok(glob)) => {
                    let mut tables = store.tables()?;
                    tables.retain(|table| glob.is_match(table));
                    Some(tables)
                }
                _ => None,
            },
            group: filter.group.clone(),
            is_folded,
            limit: limit + 1,
        };
        let mut findings = store.page(&page, now)?;
        let more = findings.len() > limit;
        findings.truncate(limit);
        let next = findings.last().filter(|_| more).map(|of| query::place_text(&of.kept.place));
        Ok(Part { findings, next })
    }

    /// The same for a page.
    pub(super) fn listed(
        &self,
        filter: &Filter,
        limit: usize,
        now: i64,
    ) -> Result<List, StoreError> {
        let part = self.list(filter, filter.group.is_none(), limit, now)?;
        let finding = |of: &Listed| {
            let mut finding = ListedFinding::read(&of.kept.told());
            finding.folded = of.folded;
            finding
        };
        Ok(List { findings: part.findings.iter().map(finding).collect(), next: part.next })
    }

    /// Findings whose id begins so, two at most.
    pub(super) fn find(&self, prefix: &str, now: i64) -> Result<Vec<Kept>, StoreError> {
        self.store().find(&prefix.to_ascii_lowercase(), 2, now)
    }
}

fn severities(least: Option<Severity>) -> Vec<Severity> {
    let all = [Severity::Info, Severity::Warning, Severity::Critical];
    least.map_or_else(Vec::new, |least| all.into_iter().filter(|of| *of >= least).collect())
}

fn count(store: &Store, bars: usize, step: i64, now: i64) -> Result<Overall, StoreError> {
    let counts = store.counts(now)?.into_iter();
    let counts =
        counts.map(|(kind, severity, state, count)| Count { kind, severity, state, count });
    // Bars begin at whole steps, or they would change with every look.
    let start = (now / step + 1 - bars as i64) * step;
    let mut timeline = Timeline::new(start, step, bars);
    for (kind, bar, count) in store.over_time(start, step, bars)? {
        timeline.add(kind, start + step * bar as i64, count);
    }
    let mut tables: Vec<Trouble> = Vec::new();
    for (table, kind, severity, count) in store.open_by_table(now)? {
        match tables.last_mut().filter(|of| of.table == table) {
            Some(of) => of.kinds.push((kind, severity, count)),
            None => tables.push(Trouble { table, kinds: vec![(kind, severity, count)] }),
        }
    }
    tables.sort_by(|x, y| (y.weight(), &x.table).cmp(&(x.weight(), &y.table)));
    let more_tables = tables.len().saturating_sub(TABLES_MAX);
    tables.truncate(TABLES_MAX);
    for of in &mut tables {
        of.kinds.sort_by_key(|(kind, severity, _): &(FindingKind, Severity, u64)| {
            (std::cmp::Reverse(*severity), kind.as_str())
        });
    }
    Ok(Overall {
        counts: Counted(counts.filter(|of| of.count > 0).collect()),
        timeline,
        tables,
        more_tables,
    })
}

/// The state that a list shows where the address does not say.
pub(super) const LISTED: [State; 1] = [State::Open];
