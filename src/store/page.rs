//! What a page of findings needs: a part of the list, and counts of all.
//!
//! A store may hold hundreds of thousands of findings, and a page must not read them all. A list
//! is found in one index that has every column a filter asks for; only the findings that are shown
//! are read whole. The counts come from indexes, too.

use super::{
    Kept, Query, Store,
    query::{COLUMNS, ack_holds, kept, noted, state_condition, words},
};
use crate::{
    model::{FindingKind, Severity, State},
    store::StoreError,
};
use rusqlite::{Row, named_params};

/// Which part of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageQuery {
    /// Which findings, and after which place.
    pub query: Query,
    /// Only about these tables; `None`: about any, or none.
    pub tables: Option<Vec<String>>,
    /// Only of this group.
    pub group: Option<String>,
    /// A group is one entry: its newest finding of those that are asked for. Else each finding is.
    pub is_folded: bool,
    /// So many at most.
    pub limit: usize,
}

/// A finding that stands for its group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// The finding.
    pub kept: Kept,
    /// Others of its group that are in the same state, and rows past the group's limit.
    pub folded: u64,
}

/// Findings of a kind, a severity and a state: how many, with the rows past their groups' limits.
pub type KindCount = (FindingKind, Severity, State, u64);

/// Open findings of a table, a kind and a severity, without acknowledged ones: how many.
pub type TableCount = (String, FindingKind, Severity, u64);

impl Store {
    /// A part of the list, the newest first.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn page(&self, page: &PageQuery, now: i64) -> Result<Vec<Listed>, StoreError> {
        let sql = page_sql(page);
        let tables = page.tables.as_ref().map(serde_json::to_string).transpose();
        let tables = tables.unwrap_or_default();
        let read = || {
            let mut statement = self.connection.prepare_cached(&sql)?;
            let after = page.query.after.as_ref();
            let bound = named_params! {
                ":now": now,
                ":last_seen": after.map(|after| after.last_seen),
                ":id": after.map(|after| &after.id),
                ":tables": tables,
                ":group": page.group,
                ":limit": page.limit as i64,
            };
            let listed = |row: &Row<'_>| {
                Ok(Listed { kept: kept(row, now)?, folded: row.get::<_, i64>(9)?.cast_unsigned() })
            };
            statement.query_map(bound, listed)?.collect::<Result<_, _>>()
        };
        read().map_err(|source| self.fails("read findings", source))
    }

    /// How many findings there are of each kind, severity and state.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn counts(&self, now: i64) -> Result<Vec<KindCount>, StoreError> {
        let stored = "SELECT kind, severity, state, count(*) + sum(more) FROM findings
            GROUP BY kind, severity, state";
        let acknowledged = format!(
            "SELECT f.kind, f.severity, f.state, count(*) + sum(f.more)
            FROM acknowledgements a CROSS JOIN findings f ON f.id = a.finding_id
            WHERE f.state = 'open' AND {} GROUP BY f.kind, f.severity, f.state",
            ack_holds("a", "?1")
        );
        let read = || {
            let mut counts: Vec<KindCount> = Vec::new();
            let row =
                |row: &Row<'_>| Ok((words_of(row, 0)?, row.get::<_, String>(2)?, row.get(3)?));
            let mut statement = self.connection.prepare_cached(stored)?;
            for of in statement.query_map([], row)? {
                let ((kind, severity), state, count): (_, _, i64) = of?;
                let state = if state == "healed" { State::Healed } else { State::Open };
                counts.push((kind, severity, state, count.cast_unsigned()));
            }
            let mut statement = self.connection.prepare_cached(&acknowledged)?;
            for of in statement.query_map([now], row)? {
                let ((kind, severity), _, count): (_, _, i64) = of?;
                let count = count.cast_unsigned();
                let open = counts
                    .iter_mut()
                    .find(|of| (of.0, of.1, of.2) == (kind, severity, State::Open));
                if let Some(open) = open {
                    open.3 = open.3.saturating_sub(count);
                }
                counts.push((kind, severity, State::Acknowledged, count));
            }
            Ok(counts)
        };
        read().map_err(|source| self.fails("count findings", source))
    }

    /// How many findings are open about each table, by kind and severity.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn open_by_table(&self, now: i64) -> Result<Vec<TableCount>, StoreError> {
        let sql = format!(
            "SELECT table_name, kind, severity, sum(count) FROM (
                SELECT table_name, kind, severity, count(*) AS count FROM findings
                WHERE state = 'open' AND table_name IS NOT NULL
                GROUP BY table_name, kind, severity
                UNION ALL
                SELECT f.table_name, f.kind, f.severity, -count(*)
                FROM acknowledgements a CROSS JOIN findings f ON f.id = a.finding_id
                WHERE f.state = 'open' AND f.table_name IS NOT NULL AND {}
                GROUP BY f.table_name, f.kind, f.severity)
            GROUP BY table_name, kind, severity HAVING sum(count) > 0",
            ack_holds("a", "?1")
        );
        let read = || {
            let mut statement = self.connection.prepare_cached(&sql)?;
            let row = |row: &Row<'_>| {
                let (kind, severity) = words_of(row, 1)?;
                Ok((row.get(0)?, kind, severity, row.get::<_, i64>(3)?.cast_unsigned()))
            };
            statement.query_map([now], row)?.collect::<Result<_, _>>()
        };
        read().map_err(|source| self.fails("count findings", source))
    }

    /// How many findings of each kind began in each span of `step` microseconds from `start` on,
    /// `spans` of them: kind, span, count.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn over_time(
        &self,
        start: i64,
        step: i64,
        spans: usize,
    ) -> Result<Vec<(FindingKind, usize, u64)>, StoreError> {
        let sql = "SELECT kind, (first_seen - ?1) / ?2, count(*) FROM findings
            WHERE first_seen >= ?1 AND first_seen < ?3 GROUP BY 1, 2";
        let end = start.saturating_add(step.saturating_mul(spans as i64));
        let read = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let row = |row: &Row<'_>| {
                let span = usize::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
                Ok((kind_of(row, 0)?, span, row.get::<_, i64>(2)?.cast_unsigned()))
            };
            statement.query_map((start, step, end), row)?.collect::<Result<_, _>>()
        };
        read().map_err(|source| self.fails("count findings", source))
    }

    /// All tables that findings are about.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn tables(&self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT table_name FROM findings WHERE table_name IS NOT NULL";
        let read = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()
        };
        read().map_err(|source| self.fails("read tables", source))
    }
}

/// Only words of closed sets go into the text; what a user wrote is bound.
fn page_sql(page: &PageQuery) -> String {
    let query = &page.query;
    let mut conditions = vec![":now IS NOT NULL".to_owned()];
    // The plus keeps SQLite from an index that it would have to sort: the list's own has it all.
    let kinds = words("+f.kind", query.kinds.iter().map(|kind| kind.as_str()).collect());
    let severities = words("+f.severity", query.severities.iter().map(|of| of.as_str()).collect());
    conditions.extend([kinds, severities, state_condition("f", &query.states)]);
    conditions.push(match query.after {
        Some(_) => "(f.last_seen, f.id) < (:last_seen, :id)".to_owned(),
        None => ":last_seen IS NULL AND :id IS NULL".to_owned(),
    });
    conditions.push(match &page.tables {
        // One table has an index of its own; of many the list's order is the quicker way.
        Some(tables) => {
            let column = if tables.len() == 1 { "f.table_name" } else { "+f.table_name" };
            format!("{column} IN (SELECT value FROM json_each(:tables))")
        }
        None => ":tables IS NULL".to_owned(),
    });
    conditions.push(match page.group {
        Some(_) => "f.group_id = :group".to_owned(),
        None => ":group IS NULL".to_owned(),
    });
    let mut folded = "f.more".to_owned();
    if page.is_folded {
        // An acknowledged finding must not stand for one that is open.
        let same = format!("g.state = f.state AND {} = {}", noted("g"), noted("f"));
        folded = format!(
            "(SELECT count(*) - 1 + sum(g.more) FROM findings g WHERE g.group_id = f.group_id
                AND {same})"
        );
        conditions.push(format!(
            "NOT EXISTS (SELECT 1 FROM findings g WHERE g.group_id = f.group_id AND {same}
                AND (g.last_seen, g.id) > (f.last_seen, f.id) AND {})",
            state_condition("g", &query.states)
        ));
    }
    format!(
        "SELECT {}, {folded} FROM (
            SELECT f.rowid AS place FROM findings f WHERE {}
            ORDER BY f.last_seen DESC, f.id DESC LIMIT :limit) AS listed
        CROSS JOIN findings f ON f.rowid = listed.place
        LEFT JOIN acknowledgements a ON a.finding_id = f.id
        ORDER BY f.last_seen DESC, f.id DESC",
        COLUMNS,
        conditions.join(" AND ")
    )
}

fn words_of(row: &Row<'_>, at: usize) -> rusqlite::Result<(FindingKind, Severity)> {
    let severity = row.get_ref(at + 1)?.as_str()?;
    let severity = Severity::parse(severity).ok_or(rusqlite::Error::InvalidQuery)?;
    Ok((kind_of(row, at)?, severity))
}

fn kind_of(row: &Row<'_>, at: usize) -> rusqlite::Result<FindingKind> {
    FindingKind::parse(row.get_ref(at)?.as_str()?).ok_or(rusqlite::Error::InvalidQuery)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Certainty, Outcome},
        store::{Acknowledgement, After, Batch, StoredFinding},
    };

    /// Findings as `id state group table last_seen`.
    fn findings(findings: &[(&str, State, &str, &str, i64)]) -> Vec<StoredFinding> {
        let finding =
            |(id, state, group, table, last_seen): &(&str, State, &str, &str, i64)| StoredFinding {
                id: (*id).to_owned(),
                kind: FindingKind::WriteConflict,
                severity: Severity::Critical,
                certainty: Certainty::Exact,
                state: *state,
                outcome: Some(Outcome::Pending),
                settled: false,
                table: Some((*table).to_owned()),
                key: None,
                group: (*group).to_owned(),
                more: 0,
                first_seen: *last_seen,
                last_seen: *last_seen,
                healed_at: None,
                record: "{}".to_owned(),
            };
        findings.iter().map(finding).collect()
    }

    fn store(of: &[(&str, State, &str, &str, i64)]) -> Store {
        let mut store = Store::in_memory().unwrap();
        store.commit(&Batch { now: 1, findings: findings(of), ..Batch::default() }).unwrap();
        store
    }

    fn folded(states: &[State]) -> PageQuery {
        let query = Query { states: states.to_vec(), ..Query::default() };
        PageQuery { query, tables: None, group: None, is_folded: true, limit: 10 }
    }

    fn ids(store: &Store, page: &PageQuery) -> Vec<(String, u64)> {
        let listed = store.page(page, 5).unwrap();
        listed.into_iter().map(|of| (of.kept.place.id, of.folded)).collect()
    }

    fn id(text: &str, folded: u64) -> (String, u64) {
        (text.to_owned(), folded)
    }

    #[test]
    fn a_group_is_its_newest_finding_and_never_hides_an_open_one() {
        let store = store(&[
            ("a1", State::Open, "g", "s.t", 10),
            ("a2", State::Open, "g", "s.t", 30),
            ("a3", State::Healed, "g", "s.t", 40),
            ("b1", State::Open, "h", "s.u", 20),
        ]);
        assert_eq!(ids(&store, &folded(&[])), [id("a3", 0), id("a2", 1), id("b1", 0)]);
        assert_eq!(ids(&store, &folded(&[State::Open])), [id("a2", 1), id("b1", 0)]);
        let ack = Acknowledgement { by: "x".into(), why: "y".into(), at: 1, until: None };
        store.acknowledge("a2", &ack).unwrap();
        assert_eq!(ids(&store, &folded(&[State::Open])), [id("b1", 0), id("a1", 0)]);
        assert_eq!(ids(&store, &folded(&[State::Acknowledged])), [id("a2", 0)]);
        let all = [id("a3", 0), id("a2", 0), id("b1", 0), id("a1", 0)];
        assert_eq!(ids(&store, &folded(&[])), all);
        let flat = PageQuery { is_folded: false, group: Some("g".to_owned()), ..folded(&[]) };
        assert_eq!(ids(&store, &flat), [id("a3", 0), id("a2", 0), id("a1", 0)]);
        let tables = PageQuery { tables: Some(vec!["s.u".to_owned()]), ..folded(&[]) };
        assert_eq!(ids(&store, &tables), [id("b1", 0)]);
        let mut after = folded(&[]);
        after.query.after = Some(After { last_seen: 30, id: "a2".to_owned() });
        assert_eq!(ids(&store, &after), [id("b1", 0), id("a1", 0)]);
    }

    #[test]
    fn rows_past_a_groups_limit_are_counted() {
        let mut store = Store::in_memory().unwrap();
        let mut findings =
            findings(&[("a1", State::Open, "g", "s.t", 10), ("a2", State::Open, "g", "s.t", 30)]);
        findings[0].more = 5000;
        store.commit(&Batch { now: 1, findings, ..Batch::default() }).unwrap();
        assert_eq!(ids(&store, &folded(&[])), [id("a2", 5001)]);
        assert_eq!(store.counts(5).unwrap()[0].3, 5002);
    }

    #[test]
    fn counts_know_what_is_acknowledged() {
        let store = store(&[
            ("a1", State::Open, "g", "s.t", 10),
            ("a2", State::Open, "g", "s.t", 30),
            ("a3", State::Healed, "g", "s.t", 40),
            ("b1", State::Open, "h", "s.u", 20),
        ]);
        let ack = |until| Acknowledgement { by: "x".into(), why: "y".into(), at: 1, until };
        store.acknowledge("a2", &ack(None)).unwrap();
        store.acknowledge("a1", &ack(Some(3))).unwrap();
        let of = |state| {
            let counts = store.counts(5).unwrap();
            counts.iter().filter(|of| of.2 == state).map(|of| of.3).sum::<u64>()
        };
        assert_eq!((of(State::Open), of(State::Acknowledged), of(State::Healed)), (2, 1, 1));
        let tables: Vec<_> = store.open_by_table(5).unwrap();
        let tables: Vec<_> = tables.iter().map(|of| (of.0.as_str(), of.3)).collect();
        assert_eq!(tables, [("s.t", 1), ("s.u", 1)]);
        let over_time: Vec<_> = store.over_time(10, 10, 3).unwrap();
        let mut over_time: Vec<_> = over_time.iter().map(|of| (of.1, of.2)).collect();
        over_time.sort_unstable();
        assert_eq!(over_time, [(0, 1), (1, 1), (2, 1)]);
        assert_eq!(store.tables().unwrap(), ["s.t", "s.u"]);
    }

    #[test]
    fn a_store_in_memory_keeps_the_newest() {
        let mut store =
            store(&[("a1", State::Open, "g", "s.t", 10), ("a2", State::Open, "h", "s.t", 30)]);
        store.keep_newest(1).unwrap();
        assert_eq!(ids(&store, &folded(&[])), [id("a2", 0)]);
    }
}
