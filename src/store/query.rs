//! Looking into a store.

use super::{Acknowledgement, Store, StoreError};
use crate::model::{FindingKind, Severity, State};
use rusqlite::{Row, named_params};
use serde_json::{Value, json};

/// Which findings; the default is all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    /// Of these kinds; empty: of all.
    pub kinds: Vec<FindingKind>,
    /// In these states; empty: in all.
    pub states: Vec<State>,
    /// Of these severities; empty: of all.
    pub severities: Vec<Severity>,
    /// Only after this place.
    pub after: Option<After>,
}

/// A place in the order of findings: the newest first, by `last_seen`, then by id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct After {
    /// Of the last finding seen.
    pub last_seen: i64,
    /// Of the same.
    pub id: String,
}

/// A finding, as the store has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// Its place in the order; holds its id.
    pub place: After,
    /// `schema.table`.
    pub table: Option<String>,
    /// `acknowledged` while an acknowledgement holds.
    pub state: State,
    /// The line of NDJSON as it was told; its `state` knows nothing of acknowledgements.
    pub record: String,
    /// Who has taken note of it, whether or not that still holds.
    pub acknowledgement: Option<Acknowledgement>,
}

impl Kept {
    /// The finding as a JSON object, in its state of now, with who has taken note of it.
    pub fn told(&self) -> Value {
        let mut value: Value = serde_json::from_str(&self.record).unwrap_or_default();
        if let (Some(ack), Some(object)) = (&self.acknowledgement, value.as_object_mut()) {
            object.insert("state".to_owned(), Value::from(self.state.as_str()));
            object.insert("acknowledgement".to_owned(), acknowledgement_json(ack));
        }
        value
    }
}

fn acknowledgement_json(ack: &Acknowledgement) -> Value {
    let time = |micros| jiff::Timestamp::from_microsecond(micros).unwrap_or_default();
    let time = |micros| time(micros).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({"by": ack.by, "why": ack.why, "at": time(ack.at), "until": ack.until.map(time)})
}

/// What [`kept`] reads.
pub(super) const COLUMNS: &str =
    "f.id, f.last_seen, f.table_name, f.state, f.record, a.who, a.why, a.at, a.until";
const FROM: &str = "FROM findings f LEFT JOIN acknowledgements a ON a.finding_id = f.id";

impl Store {
    /// Findings at a time, the newest first, until `found` has enough.
    ///
    /// # Input
    /// `wanted` tells by its table whether to read a finding at all; `found` returns false to end.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn each(
        &self,
        query: &Query,
        now: i64,
        wanted: impl Fn(Option<&str>) -> bool,
        mut found: impl FnMut(Kept) -> bool,
    ) -> Result<(), StoreError> {
        let sql = select(query);
        let mut read = || {
            let mut statement = self.connection.prepare_cached(&sql)?;
            let after = query.after.as_ref();
            let mut rows = statement.query(named_params! {
                ":now": now,
                ":last_seen": after.map(|after| after.last_seen),
                ":id": after.map(|after| &after.id),
            })?;
            while let Some(row) = rows.next()? {
                let table = row.get_ref(2)?.as_str_or_null()?;
                if wanted(table) && !found(kept(row, now)?) {
                    break;
                }
            }
            Ok(())
        };
        read().map_err(|source| self.fails("read findings", source))
    }

    /// Findings whose id begins so, `limit` of them at most, in the order of their ids.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn find(&self, prefix: &str, limit: usize, now: i64) -> Result<Vec<Kept>, StoreError> {
        // The letter after f: past every id that begins so.
        let end = format!("{prefix}g");
        let sql = format!(
            "SELECT {COLUMNS} {FROM} WHERE f.id >= ?1 AND f.id < ?2 ORDER BY f.id LIMIT ?3"
        );
        let read = || {
            let mut statement = self.connection.prepare_cached(&sql)?;
            let rows = statement.query_map((prefix, end, limit as i64), |row| kept(row, now))?;
            rows.collect::<Result<_, _>>()
        };
        read().map_err(|source| self.fails("read findings", source))
    }
}

fn select(query: &Query) -> String {
    format!(
        "SELECT {COLUMNS} {FROM} WHERE {} ORDER BY f.last_seen DESC, f.id DESC",
        condition(query)
    )
}

/// That an acknowledgement, under the name `a`, is there and holds at the time `now`.
pub(super) fn ack_holds(a: &str, now: &str) -> String {
    format!("{a}.at IS NOT NULL AND ({a}.until IS NULL OR {a}.until > {now})")
}

/// That somebody has taken note of a finding, under the name `f`, and that it holds at the time
/// `:now`. Not a join: this stands in subqueries, too.
pub(super) fn noted(f: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM acknowledgements n WHERE n.finding_id = {f}.id AND {})",
        ack_holds("n", ":now")
    )
}

/// That a finding, under the name `f`, is in one of these states at the time `:now`; empty: in any.
pub(super) fn state_condition(f: &str, states: &[State]) -> String {
    let noted = noted(f);
    let state = |state: &State| match state {
        State::Healed => format!("{f}.state = 'healed'"),
        State::Acknowledged => format!("({f}.state = 'open' AND {noted})"),
        State::Open => format!("({f}.state = 'open' AND NOT {noted})"),
    };
    match states {
        [] => "1".to_owned(),
        states => format!("({})", states.iter().map(state).collect::<Vec<_>>().join(" OR ")),
    }
}

/// That a column has one of these words; none: any.
pub(super) fn words(column: &str, words: Vec<&str>) -> String {
    match words.as_slice() {
        [] => "1".to_owned(),
        words => format!("{column} IN ('{}')", words.join("', '")),
    }
}

/// Only words of closed sets go into the text; what a user wrote is bound.
fn condition(query: &Query) -> String {
    let kinds = words("f.kind", query.kinds.iter().map(|kind| kind.as_str()).collect());
    let severities = query.severities.iter().map(|severity| severity.as_str()).collect();
    let severities = words("f.severity", severities);
    let states = state_condition("f", &query.states);
    // Both are bound whether or not they are asked for; `:now` likewise.
    let after = "(:last_seen IS NULL OR (f.last_seen, f.id) < (:last_seen, :id))";
    let after = match &query.after {
        // Without the OR, which would keep the index from being used.
        Some(_) => "(f.last_seen, f.id) < (:last_seen, :id)",
        None => after,
    };
    format!("{kinds} AND {severities} AND {states} AND {after} AND :now IS NOT NULL")
}

pub(super) fn kept(row: &Row<'_>, now: i64) -> rusqlite::Result<Kept> {
    let acknowledgement = match row.get(5)? {
        Some(by) => {
            Some(Acknowledgement { by, why: row.get(6)?, at: row.get(7)?, until: row.get(8)? })
        }
        None => None,
    };
    let holds = acknowledgement.as_ref().is_some_and(|ack| ack.holds(now));
    let state = match row.get_ref(3)?.as_str()? {
        "healed" => State::Healed,
        _ if holds => State::Acknowledged,
        _ => State::Open,
    };
    Ok(Kept {
        place: After { id: row.get(0)?, last_seen: row.get(1)? },
        table: row.get(2)?,
        state,
        record: row.get(4)?,
        acknowledgement,
    })
}

#[cfg(test)]
impl Store {
    /// How SQLite means to answer.
    pub(super) fn plan(&self, query: &Query) -> String {
        let sql = format!("EXPLAIN QUERY PLAN {}", select(query));
        let mut statement = self.connection.prepare(&sql).unwrap();
        let bound = named_params! { ":now": 0, ":last_seen": 1, ":id": "x" };
        let lines = statement.query_map(bound, |row| row.get::<_, String>(3)).unwrap();
        lines.map(|line| line.unwrap() + "\n").collect()
    }
}
