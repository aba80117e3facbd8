//! What one master's tables hold, kept without a look at any binlog.

use std::collections::BTreeMap;

use crate::support::keys::{self, Key, Part, bytes, ints, pairs};

/// The columns outside the key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Only in tables with [`Rule::Region`].
    pub region: Option<&'static str>,
    pub v: i64,
}

/// The rows of all tables of one master.
pub type State = Vec<BTreeMap<Key, Row>>;

/// Whose a row is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    Shared,
    Table(&'static str),
    /// Odd ids are a's, even ones b's.
    Parity,
    /// By the column `region`.
    Region,
}

/// One table of the schema `rnd`.
pub struct Table {
    pub name: &'static str,
    /// Its columns, for CREATE TABLE.
    pub columns: &'static str,
    /// The names of its key columns.
    pub key: &'static [&'static str],
    pub rule: Rule,
    /// The keys that are written to it: few, so that both masters meet.
    pub pool: Vec<Key>,
    /// The server makes its keys.
    pub auto: bool,
}

pub const REGIONS: [(&str, &str); 3] = [("eu-north", "a"), ("eu-süd", "a"), ("us", "b")];

/// All tables.
pub fn tables() -> Vec<Table> {
    let table = |name, columns, key, rule, pool| Table {
        name,
        columns,
        key,
        rule,
        pool,
        auto: name == "auto",
    };
    const INT: &str = "id INT PRIMARY KEY, v INT";
    const AUTO: &str = "id INT AUTO_INCREMENT PRIMARY KEY, v INT";
    const PAIR: &str = "l VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_bin,
        u VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, v INT, PRIMARY KEY (l, u)";
    const GEO: &str =
        "id INT PRIMARY KEY, region VARCHAR(10) CHARACTER SET utf8mb4 NOT NULL, v INT";
    vec![
        table("num", INT, &["id"], Rule::Shared, ints(10)),
        table("bin", "id BINARY(16) PRIMARY KEY, v INT", &["id"], Rule::Shared, bytes()),
        table("pair", PAIR, &["l", "u"], Rule::Shared, pairs()),
        table("auto", AUTO, &["id"], Rule::Shared, Vec::new()),
        table("own_a", INT, &["id"], Rule::Table("a"), ints(5)),
        table("own_b", INT, &["id"], Rule::Table("b"), ints(5)),
        table("par", INT, &["id"], Rule::Parity, ints(8)),
        table("geo", GEO, &["id"], Rule::Region, ints(8)),
    ]
}

impl Table {
    /// `shop.table`, as findings name it.
    pub fn full_name(&self) -> String {
        format!("rnd.{}", self.name)
    }

    /// The key as findings have it.
    pub fn key_json(&self, key: &Key) -> String {
        keys::key_json(self.key.iter().copied().zip(key.iter().map(Part::json)))
    }

    /// `id = 7`.
    pub fn is_key(&self, key: &Key, between: &str) -> String {
        let columns = self.key.iter().zip(key);
        let columns: Vec<String> =
            columns.map(|(name, part)| format!("{name} = {}", part.sql())).collect();
        columns.join(between)
    }

    /// A condition that these keys meet and no others.
    pub fn is_one_of(&self, keys: &[Key]) -> String {
        let keys: Vec<String> =
            keys.iter().map(|key| format!("({})", self.is_key(key, " AND "))).collect();
        keys.join(" OR ")
    }

    /// The columns in the order of [`Table::values`].
    pub fn columns(&self) -> String {
        let region = if self.rule == Rule::Region { ", region" } else { "" };
        format!("{}{region}, v", self.key.join(", "))
    }

    /// A row for INSERT.
    pub fn values(&self, key: &Key, row: &Row) -> String {
        let key: Vec<String> = key.iter().map(Part::sql).collect();
        let region = row.region.map(|region| format!(", '{region}'")).unwrap_or_default();
        format!("({}{region}, {})", key.join(", "), row.v)
    }

    /// Selects all rows, in the form that [`Table::read`] takes.
    pub fn select(&self) -> String {
        let columns = self.columns();
        let columns = if self.name == "bin" { "LOWER(HEX(id)), v" } else { &columns };
        format!("SELECT '{}', {columns} FROM rnd.{};", self.name, self.name)
    }

    /// Reads the columns of a line of that answer.
    pub fn read(&self, columns: &[&str]) -> (Key, Row) {
        let (key, rest) = columns.split_at(self.key.len());
        let key: Vec<&str> = key.to_vec();
        let shown = |known: &Key| {
            known.iter().map(Part::shown).eq(key.iter().map(|text| (*text).to_owned()))
        };
        let known = self.pool.iter().find(|known| shown(known)).cloned();
        let key = known.unwrap_or_else(|| vec![Part::Int(key[0].parse().expect("an id"))]);
        let (region, v) = match rest {
            [v] => (None, v),
            [region, v] => (REGIONS.iter().map(|(name, _)| *name).find(|name| name == region), v),
            _ => panic!("{columns:?}"),
        };
        (key, Row { region, v: v.parse().expect("a number") })
    }

    /// Who may write this row; `None` where both may.
    pub fn owner(&self, key: &Key, row: &Row) -> Option<&'static str> {
        match self.rule {
            Rule::Shared => None,
            Rule::Table(owner) => Some(owner),
            Rule::Parity => match key[..] {
                [Part::Int(id)] => Some(if id % 2 == 1 { "a" } else { "b" }),
                _ => panic!("an integer key"),
            },
            Rule::Region => {
                let region = REGIONS.iter().find(|(name, _)| Some(*name) == row.region);
                region.map(|(_, owner)| *owner)
            }
        }
    }
}
