//! Random transactions: as SQL, and which rows they may write.
//!
//! No model says what a statement really does, for the rows may differ between the masters and
//! others write them at the same time: the truth is what the masters hold at the end. An error of
//! a statement, such as a duplicate key, is a part of the game.

use crate::support::keys::Key;
use crate::support::random::Random;
use crate::tables::{Place, Role, Table};

/// One statement.
#[derive(Clone)]
pub struct Statement {
    pub sql: String,
    /// All rows that it can write.
    pub places: Vec<Place>,
    /// It moves the first of them to the second: where either does not fit, neither is written.
    pub is_move: bool,
}

#[derive(Clone)]
pub struct Transaction {
    pub statements: Vec<Statement>,
    is_explicit: bool,
    is_undone: bool,
}

impl Transaction {
    pub fn committed(statements: Vec<Statement>) -> Transaction {
        Transaction { statements, is_explicit: true, is_undone: false }
    }

    /// Its statements, with something between them.
    pub fn sql(&self, between: &str) -> String {
        let statements: Vec<&str> = self.statements.iter().map(|of| of.sql.as_str()).collect();
        let statements = statements.join(between);
        let end = if self.is_undone { "ROLLBACK" } else { "COMMIT" };
        if self.is_explicit { format!("BEGIN;\n{statements}{end};\n") } else { statements }
    }
}

/// Makes up transactions.
pub struct Writer<'a> {
    pub tables: &'a [Table],
    pub random: Random,
    /// Makes values differ from those of other writers.
    pub name: String,
    /// The last value that was new.
    pub value: i64,
    /// In so many of 100 cases it takes one of the first keys, as all others do.
    pub hot: usize,
}

const HOT_KEYS: usize = 2;

impl Writer<'_> {
    /// A transaction on tables of these roles.
    pub fn transaction(&mut self, fits: fn(Role) -> bool) -> Transaction {
        let count = if self.random.percent(50) { 1 } else { 1 + self.random.below(5) };
        let statements = (0..count).map(|_| self.statement(fits)).collect();
        let is_explicit = count > 1 || self.random.percent(30);
        let is_undone = is_explicit && self.random.percent(4);
        Transaction { statements, is_explicit, is_undone }
    }

    fn statement(&mut self, fits: fn(Role) -> bool) -> Statement {
        let fitting: Vec<&Table> = self
            .tables
            .iter()
            .filter(|table| table.role != Role::Known && fits(table.role))
            .collect();
        let table = fitting[self.random.below(fitting.len())];
        match (table.role, self.random.below(12)) {
            (Role::Auto, 0..5) => self.insert_auto(table),
            (Role::Auto, 5..11) => self.update(table),
            (Role::Gone, 0..7) => self.upsert(table),
            (Role::Gone, _) => self.update(table),
            (_, 0 | 1) => self.insert(table),
            (_, 2..5) => self.upsert(table),
            (_, 5..8) => self.update(table),
            (_, 8) => self.replace(table),
            (_, 9 | 10) => self.move_row(table),
            _ => self.delete(table),
        }
    }

    /// `v, w`: mostly new; else such as the other side may write too, so that some copies change
    /// nothing.
    fn row(&mut self, table: &Table) -> (String, String) {
        if table.role != Role::Gone && self.random.percent(30) {
            let w = if self.random.percent(50) { "NULL" } else { "'same'" };
            return (self.random.below(3).to_string(), w.to_owned());
        }
        self.new_row()
    }

    /// What nobody ever wrote before.
    fn new_row(&mut self) -> (String, String) {
        self.value += 1;
        (self.value.to_string(), format!("'{} {}é'", self.name, self.value))
    }

    /// Many keys in few cases.
    fn keys(&mut self, table: &Table) -> Vec<Key> {
        if self.random.percent(self.hot) {
            return vec![table.pool[self.random.below(HOT_KEYS)].clone()];
        }
        let count = if self.random.percent(25) { 2 + self.random.below(3) } else { 1 };
        self.random.some_of(table.pool.clone(), count)
    }

    fn rows(&mut self, table: &Table, keys: &[Key]) -> String {
        let rows = keys.iter().map(|key| {
            let (v, w) = self.row(table);
            table.values(key, &format!("{v}, {w}"))
        });
        rows.collect::<Vec<_>>().join(", ")
    }

    fn insert_auto(&mut self, table: &Table) -> Statement {
        let (v, w) = self.new_row();
        let sql = format!("INSERT INTO {} (v, w) VALUES ({v}, {w});\n", table.full_name());
        // Each master makes keys of its own, so nobody else can write this one before it is there.
        Statement { sql, places: Vec::new(), is_move: false }
    }

    fn insert(&mut self, table: &Table) -> Statement {
        let keys = self.keys(table);
        let ignore = if self.random.percent(30) { "IGNORE " } else { "" };
        let rows = self.rows(table, &keys);
        let sql = format!("INSERT {ignore}INTO {} VALUES {rows};\n", table.into());
        statement(table, sql, &keys)
    }

    fn upsert(&mut self, table: &Table) -> Statement {
        let keys = self.keys(table);
        let rows = self.rows(table, &keys);
        upsert(table, &keys, &rows)
    }

    /// Writes a row to what nobody ever wrote before: whatever is there, this is logged.
    pub fn upsert_new(&mut self, table: &Table, key: &Key) -> Statement {
        let (v, w) = self.new_row();
        upsert(table, std::slice::from_ref(key), &table.values(key, &format!("{v}, {w}")))
    }

    fn update(&mut self, table: &Table) -> Statement {
        let keys = self.keys(table);
        let (v, w) = self.row(table);
        let set = match self.random.below(10) {
            // Which of its values is the new one depends on those before.
            0 | 1 => "v = v + 1".to_owned(),
            2 if table.role != Role::Gone => format!("w = {w}"),
            _ => format!("v = {v}, w = {w}"),
        };
        let (name, condition) = (table.full_name(), table.is_one_of(&keys));
        statement(table, format!("UPDATE {name} SET {set} WHERE {condition};\n"), &keys)
    }

    fn replace(&mut self, table: &Table) -> Statement {
        let keys = self.keys(table);
        let rows = self.rows(table, &keys);
        statement(table, format!("REPLACE INTO {} VALUES {rows};\n", table.into()), &keys)
    }

    fn move_row(&mut self, table: &Table) -> Statement {
        let keys = self.random.some_of(table.pool.clone(), 2);
        let [from, to] = &keys[..] else { unreachable!("a pool of two") };
        let (set, condition) = (table.is_key(to, ", "), table.is_key(from, " AND "));
        let (v, _) = self.row(table);
        let name = table.full_name();
        let sql = format!("UPDATE {name} SET {set}, v = {v} WHERE {condition};\n");
        Statement { is_move: true, ..statement(table, sql, &keys) }
    }

    fn delete(&mut self, table: &Table) -> Statement {
        let keys = self.keys(table);
        let (name, condition) = (table.full_name(), table.is_one_of(&keys));
        statement(table, format!("DELETE FROM {name} WHERE {condition};\n"), &keys)
    }
}

fn upsert(table: &Table, keys: &[Key], rows: &str) -> Statement {
    let into = table.into();
    let sql = format!(
        "INSERT INTO {into} VALUES {rows} ON DUPLICATE KEY UPDATE v = VALUES(v), w = VALUES(w);\n"
    );
    statement(table, sql, keys)
}

fn statement(table: &Table, sql: String, keys: &[Key]) -> Statement {
    let places = keys.iter().map(|key| table.place(key)).collect();
    Statement { sql, places, is_move: false }
}
