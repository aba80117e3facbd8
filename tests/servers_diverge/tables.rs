//! The tables that are written and compared, and what they hold on one master.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::keys::{Key, Part, bytes, ints, key_json, pairs};
use crate::support::lab::Lab;

/// One row of the run: its table as findings name it, and its key as findings have it.
pub type Place = (String, String);

/// Rows as a client prints them.
pub type Rows = BTreeMap<Place, String>;

/// What befalls a table besides ordinary writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Plain,
    /// The server makes its keys.
    Auto,
    /// One side does not apply it for a while.
    Filtered,
    /// Its rows are written, without the log.
    Drift,
    /// Its rows are deleted, without the log. What happens to such a row later must leave no doubt
    /// in the log: a delete that finds the row missing looks like one that was filtered, and a
    /// write back to the image from before the silent delete looks like nothing at all. So no
    /// logged delete or move is made here, and no value is written twice.
    Gone,
    /// Written by [`crate::known`] alone.
    Known,
}

impl Role {
    /// An operator may skip transactions on it. Not where rows change without the log: of a write
    /// that is lacking, too, nobody could tell what it left. And not where the server makes keys:
    /// this test could not tell which were skipped.
    pub fn may_be_skipped(self) -> bool {
        matches!(self, Role::Plain | Role::Filtered)
    }
}

pub struct Table {
    pub name: &'static str,
    pub role: Role,
    /// Its columns, for CREATE TABLE.
    columns: &'static str,
    /// The names of its key columns.
    key: &'static [&'static str],
    /// The keys that are written to it: few, so that both masters meet.
    pub pool: Vec<Key>,
}

const SCHEMA: &str = "dvg";

pub fn tables() -> Vec<Table> {
    const INT: &str = "id INT PRIMARY KEY";
    const AUTO: &str = "id INT AUTO_INCREMENT PRIMARY KEY, at DATETIME(6) NOT NULL
        DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)";
    const BINARY: &str = "id BINARY(16) PRIMARY KEY";
    const PAIR: &str = "l VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_bin,
        u VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, PRIMARY KEY (l, u)";
    let table = |name, role, columns, key, pool| Table { name, role, columns, key, pool };
    vec![
        table("num", Role::Plain, INT, &["id"], ints(40)),
        table("bin", Role::Plain, BINARY, &["id"], bytes()),
        table("pair", Role::Plain, PAIR, &["l", "u"], pairs()),
        // Those that the servers make by and by.
        table("auto", Role::Auto, AUTO, &["id"], ints(60)),
        table("filt", Role::Filtered, INT, &["id"], ints(8)),
        table("drift", Role::Drift, BINARY, &["id"], bytes()),
        table("gone", Role::Gone, PAIR, &["l", "u"], pairs()),
        table("known", Role::Known, INT, &["id"], Vec::new()),
    ]
}

/// Creates them all, and tables whose writes only mark how far a master is.
pub fn schema(tables: &[Table]) -> String {
    let mut sql = format!("CREATE DATABASE {SCHEMA}; USE {SCHEMA};");
    for table in tables {
        let w = "w VARCHAR(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
        let columns = format!("{}, v INT NOT NULL, {w}", table.columns);
        sql += &format!("CREATE TABLE {} ({columns}) ENGINE=InnoDB;", table.name);
    }
    let mark = "(n INT AUTO_INCREMENT PRIMARY KEY)";
    sql + &format!("CREATE TABLE mark_a {mark}; CREATE TABLE mark_b {mark};")
}

impl Table {
    pub fn full_name(&self) -> String {
        format!("{SCHEMA}.{}", self.name)
    }

    pub fn place(&self, key: &Key) -> Place {
        let columns = self.key.iter().copied().zip(key.iter().map(Part::json));
        (self.full_name(), key_json(columns))
    }

    /// The key of a place in this table; `None` where it can be no key of it.
    pub fn key_at(&self, place: &Place) -> Option<Key> {
        let known = self.pool.iter().find(|key| self.place(key) == *place).cloned();
        known.or_else(|| {
            let columns: Value = serde_json::from_str(&place.1).ok()?;
            Some(vec![Part::Int(columns["id"].as_i64()?)])
        })
    }

    /// `l = 'é' AND u = 'ж'`.
    pub fn is_key(&self, key: &Key, between: &str) -> String {
        let columns = self.key.iter().zip(key);
        let columns = columns.map(|(name, part)| format!("{name} = {}", part.sql()));
        columns.collect::<Vec<_>>().join(between)
    }

    /// A condition that these keys meet and no others.
    pub fn is_one_of(&self, keys: &[Key]) -> String {
        let keys = keys.iter().map(|key| format!("({})", self.is_key(key, " AND ")));
        keys.collect::<Vec<_>>().join(" OR ")
    }

    /// `num (id, v, w)`.
    pub fn into(&self) -> String {
        format!("{} ({}, v, w)", self.full_name(), self.key.join(", "))
    }

    /// `(7, 1001, 'x')`, in the order of [`Table::into`].
    pub fn values(&self, key: &Key, row: &str) -> String {
        let key: Vec<String> = key.iter().map(Part::sql).collect();
        format!("({}, {row})", key.join(", "))
    }

    fn is_binary(&self) -> bool {
        self.columns.contains("BINARY")
    }

    fn select(&self) -> String {
        let key = if self.is_binary() { "LOWER(HEX(id))" } else { &self.key.join(", ") };
        let at = if self.role == Role::Auto { ", at" } else { "" };
        let (name, full_name) = (self.name, self.full_name());
        let order = self.key.join(", ");
        format!("SELECT '{name}', {key}, v, w{at} FROM {full_name} ORDER BY {order};")
    }

    fn read_key(&self, column: &str) -> Value {
        match () {
            () if self.is_binary() => json!(format!("0x{column}")),
            () if self.key.len() > 1 => json!(column),
            () => json!(column.parse::<i64>().expect("an id")),
        }
    }
}

/// All rows of all tables on a master.
pub fn read(lab: &Lab, tables: &[Table], node: &str) -> Rows {
    let select: Vec<String> = tables.iter().map(Table::select).collect();
    rows_of(tables, &lab.sql(node, &select.join("\n")))
}

fn rows_of(tables: &[Table], answer: &str) -> Rows {
    let rows = answer.lines().map(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        let table = tables.iter().find(|table| table.name == columns[0]).expect("a table");
        let (key, rest) = columns[1..].split_at(table.key.len());
        let key = table.key.iter().zip(key).map(|(name, text)| (*name, table.read_key(text)));
        ((table.full_name(), key_json(key)), rest.join("\t"))
    });
    let count = answer.lines().count();
    let rows: Rows = rows.collect();
    assert_eq!(rows.len(), count, "two rows of one key");
    rows
}

/// The rows on which two masters differ, with what each has.
pub fn difference(a: &Rows, b: &Rows) -> BTreeMap<Place, String> {
    let places = a.keys().chain(b.keys().filter(|place| !a.contains_key(*place)));
    let differing = places.filter(|place| a.get(*place) != b.get(*place));
    differing
        .map(|place| {
            let shown = |rows: &Rows| rows.get(place).map_or("no row".to_owned(), String::clone);
            (place.clone(), format!("a: {}; b: {}", shown(a), shown(b)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_as_findings_name_them() {
        let answer = "num\t7\t1\tx y\nbin\t0001ff\t2\tNULL\npair\té\t日本\t3\tw\n\
                      auto\t9\t4\tw\t2026-01-01 00:00:00.000001\n";
        let rows = rows_of(&tables(), answer);
        let row = |table: &str, key: &str| {
            rows.get(&(table.to_owned(), key.to_owned())).expect("a row").as_str()
        };
        assert_eq!(row("dvg.num", r#"{"id":7}"#), "1\tx y");
        assert_eq!(row("dvg.bin", r#"{"id":"0x0001ff"}"#), "2\tNULL");
        assert_eq!(row("dvg.pair", r#"{"l":"é","u":"日本"}"#), "3\tw");
        assert_eq!(row("dvg.auto", r#"{"id":9}"#), "4\tw\t2026-01-01 00:00:00.000001");
        for table in &tables() {
            for key in &table.pool {
                let shown: Vec<String> = key.iter().map(Part::shown).collect();
                let line = format!("{}\t{}\t1\tw\n", table.name, shown.join("\t"));
                assert!(rows_of(&tables(), &line).contains_key(&table.place(key)), "{line}");
                assert_eq!(table.key_at(&table.place(key)).as_ref(), Some(key));
            }
        }
    }

    #[test]
    fn a_row_differs_where_its_values_do_or_one_side_has_none() {
        let rows = |text| rows_of(&tables(), text);
        let a = rows("num\t1\t1\tw\nnum\t2\t1\tw\nnum\t3\t1\tw\n");
        let b = rows("num\t1\t1\tw\nnum\t2\t1\tW\nnum\t4\t1\tw\n");
        let differ: Vec<String> = difference(&a, &b).into_keys().map(|(_, key)| key).collect();
        assert_eq!(differ, [r#"{"id":2}"#, r#"{"id":3}"#, r#"{"id":4}"#]);
        assert!(difference(&a, &a).is_empty());
    }
}
