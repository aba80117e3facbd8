//! Random transactions, and what each of them really writes.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::model::{REGIONS, Row, Rule, State, Table};
use crate::support::keys::{Key, Part};
use crate::support::random::Random;

/// One row that a server logs.
#[derive(Clone, Debug)]
pub struct Change {
    pub table: usize,
    pub before: Option<(Key, Row)>,
    pub after: Option<(Key, Row)>,
}

/// Transactions for one master, as SQL and as changes.
pub struct Batch {
    pub sql: String,
    /// Of each transaction that the server logs: what it logs, at least one row.
    pub transactions: Vec<Vec<Change>>,
    /// The rows as they will be.
    pub state: State,
    /// Keys that the server is going to make, as [`made_key`] stands for them.
    keys_made: i64,
}

/// Stands for the n-th key that a server makes in a batch; the real ones are positive.
fn made_key(number: i64) -> Key {
    vec![Part::Int(-number)]
}

/// Writes batches.
pub struct Workload<'a> {
    pub tables: &'a [Table],
    pub random: Random,
    /// The last value that was new.
    pub value: i64,
}

impl Workload<'_> {
    /// A batch of 5 to 20 transactions over these rows.
    pub fn batch(&mut self, state: State) -> Batch {
        let mut batch = Batch { sql: String::new(), transactions: Vec::new(), state, keys_made: 0 };
        batch.sql.push_str("USE rnd;\n");
        for _ in 0..5 + self.random.below(16) {
            self.transaction(&mut batch);
        }
        batch
    }

    fn transaction(&mut self, batch: &mut Batch) {
        let operations = 1 + self.random.below(6);
        let before = batch.state.clone();
        let mut changes = Vec::new();
        if operations == 1 && self.random.percent(50) {
            self.operation(batch, &mut changes);
        } else {
            batch.sql.push_str("BEGIN;\n");
            for _ in 0..operations {
                if self.random.percent(5) {
                    self.undone(batch, &mut changes);
                }
                self.operation(batch, &mut changes);
            }
            if self.random.percent(5) {
                batch.sql.push_str("ROLLBACK;\n");
                batch.state = before;
                return;
            }
            batch.sql.push_str("COMMIT;\n");
        }
        // Neither server logs a transaction that wrote no row.
        if !changes.is_empty() {
            batch.transactions.push(changes);
        }
    }

    /// An operation that is rolled back to a savepoint; servers do not log it.
    fn undone(&mut self, batch: &mut Batch, changes: &mut Vec<Change>) {
        batch.sql.push_str("SAVEPOINT s;\n");
        let (state, written) = (batch.state.clone(), changes.len());
        self.operation(batch, changes);
        changes.truncate(written);
        batch.state = state;
        batch.sql.push_str("ROLLBACK TO SAVEPOINT s;\n");
    }

    fn operation(&mut self, batch: &mut Batch, changes: &mut Vec<Change>) {
        let at = self.random.below(self.tables.len());
        let table = &self.tables[at];
        let known = |key: &&Key| !matches!(key[..], [Part::Int(..0)]);
        let present: Vec<Key> = batch.state[at].keys().filter(known).cloned().collect();
        let absent: Vec<Key> =
            table.pool.iter().filter(|key| !batch.state[at].contains_key(*key)).cloned().collect();
        match self.random.below(10) {
            0..3 if table.auto => self.insert_auto(at, batch, changes),
            0..3 => self.insert(at, absent, batch, changes),
            3..6 => self.update(at, present, batch, changes),
            6 => self.move_row(at, present, absent, batch, changes),
            7 if !table.auto => self.replace(at, batch, changes),
            7 | 8 => self.delete(at, present, batch, changes),
            _ => self.touch_nothing(at, absent, batch),
        }
    }

    /// A row to write over these: never what is there already, for that is not logged. Mostly a
    /// new value; else one that the other side may write too, so that some copies change nothing.
    fn row(&mut self, at: usize, over: &[&Row]) -> Row {
        let region = (self.tables[at].rule == Rule::Region)
            .then(|| REGIONS[self.random.below(REGIONS.len())].0);
        let common = self.random.below(3) as i64;
        if self.random.percent(30) && over.iter().all(|old| old.v != common) {
            return Row { region, v: common };
        }
        self.value += 1;
        Row { region, v: self.value }
    }

    /// Many keys in few cases.
    fn few(&mut self) -> usize {
        if self.random.percent(25) { 2 + self.random.below(3) } else { 1 }
    }

    fn insert_auto(&mut self, at: usize, batch: &mut Batch, changes: &mut Vec<Change>) {
        let row = self.row(at, &[]);
        batch.keys_made += 1;
        let _ = writeln!(batch.sql, "INSERT INTO auto (v) VALUES ({});", row.v);
        batch.sql.push_str("SELECT 'made', LAST_INSERT_ID();\n");
        put(batch, changes, at, made_key(batch.keys_made), row);
    }

    fn insert(&mut self, at: usize, keys: Vec<Key>, batch: &mut Batch, into: &mut Vec<Change>) {
        let count = self.few();
        let keys = self.random.some_of(keys, count);
        if keys.is_empty() {
            return;
        }
        let table = &self.tables[at];
        let mut rows = Vec::new();
        for key in keys {
            let row = self.row(at, &[]);
            rows.push(table.values(&key, &row));
            put(batch, into, at, key, row);
        }
        let (name, columns, rows) = (table.name, table.columns(), rows.join(", "));
        let _ = writeln!(batch.sql, "INSERT INTO {name} ({columns}) VALUES {rows};");
    }

    fn replace(&mut self, at: usize, batch: &mut Batch, changes: &mut Vec<Change>) {
        let table = &self.tables[at];
        let key = table.pool[self.random.below(table.pool.len())].clone();
        let old: Vec<&Row> = batch.state[at].get(&key).into_iter().collect();
        let row = self.row(at, &old);
        let (name, columns, values) = (table.name, table.columns(), table.values(&key, &row));
        let _ = writeln!(batch.sql, "REPLACE INTO {name} ({columns}) VALUES {values};");
        put(batch, changes, at, key, row);
    }

    fn update(&mut self, at: usize, keys: Vec<Key>, batch: &mut Batch, into: &mut Vec<Change>) {
        let count = self.few();
        let keys = self.random.some_of(keys, count);
        if keys.is_empty() {
            return;
        }
        let table = &self.tables[at];
        let (name, condition) = (table.name, table.is_one_of(&keys));
        let old: Vec<&Row> = keys.iter().map(|key| &batch.state[at][key]).collect();
        let new = self.row(at, &old);
        // Moves the row to another owner in some cases.
        let region = new.region.filter(|_| self.random.percent(40));
        let set = region.map(|region| format!(", region = '{region}'")).unwrap_or_default();
        let _ = writeln!(batch.sql, "UPDATE {name} SET v = {}{set} WHERE {condition};", new.v);
        for key in keys {
            let old = batch.state[at][&key].clone();
            put(batch, into, at, key, Row { region: region.or(old.region), ..new });
        }
    }

    fn move_row(
        &mut self,
        at: usize,
        present: Vec<Key>,
        absent: Vec<Key>,
        batch: &mut Batch,
        changes: &mut Vec<Change>,
    ) {
        let from = self.random.some_of(present, 1);
        let to = self.random.some_of(absent, 1);
        let ([from], [to]) = (&from[..], &to[..]) else { return };
        let (table, v) = (&self.tables[at], self.row(at, &[]).v);
        let (name, set, condition) =
            (table.name, table.is_key(to, ", "), table.is_key(from, " AND "));
        let _ = writeln!(batch.sql, "UPDATE {name} SET {set}, v = {v} WHERE {condition};");
        let old = batch.state[at].remove(from).expect("it is present");
        let new = Row { v, ..old };
        batch.state[at].insert(to.clone(), new.clone());
        let (before, after) = (Some((from.clone(), old)), Some((to.clone(), new)));
        changes.push(Change { table: at, before, after });
    }

    fn delete(&mut self, at: usize, keys: Vec<Key>, batch: &mut Batch, into: &mut Vec<Change>) {
        let count = self.few();
        let keys = self.random.some_of(keys, count);
        if keys.is_empty() {
            return;
        }
        let table = &self.tables[at];
        let _ = writeln!(batch.sql, "DELETE FROM {} WHERE {};", table.name, table.is_one_of(&keys));
        for key in keys {
            let before = batch.state[at].remove_entry(&key);
            into.push(Change { table: at, before, after: None });
        }
    }

    /// Statements that match no row, or write what is there: not logged, no touch.
    fn touch_nothing(&mut self, at: usize, absent: Vec<Key>, batch: &mut Batch) {
        let table = &self.tables[at];
        let name = table.name;
        if self.random.percent(50) {
            let _ = writeln!(batch.sql, "UPDATE {name} SET v = v;");
        } else if let [key] = &self.random.some_of(absent, 1)[..] {
            let condition = table.is_key(key, " AND ");
            let _ = writeln!(batch.sql, "UPDATE {name} SET v = 0 WHERE {condition};");
            let _ = writeln!(batch.sql, "DELETE FROM {name} WHERE {condition};");
        }
    }
}

/// Writes a row, new or over an old one of that key.
fn put(batch: &mut Batch, changes: &mut Vec<Change>, table: usize, key: Key, row: Row) {
    let before = batch.state[table].insert(key.clone(), row.clone());
    let before = before.map(|before| (key.clone(), before));
    changes.push(Change { table, before, after: Some((key, row)) });
}

impl Batch {
    /// Puts the keys that the server made where [`made_key`] stands for them.
    pub fn name_made_keys(&mut self, answer: &str) {
        let made = answer.lines().filter_map(|line| line.strip_prefix("made\t"));
        let made: Vec<i64> = made.map(|id| id.parse().expect("an id")).collect();
        assert_eq!(made.len() as i64, self.keys_made);
        let real: BTreeMap<Key, Key> =
            (1..).zip(made).map(|(number, id)| (made_key(number), vec![Part::Int(id)])).collect();
        let rows = self.transactions.iter_mut().flatten();
        for (key, _) in rows.flat_map(|change| [&mut change.before, &mut change.after]).flatten() {
            if let Some(real) = real.get(key) {
                key.clone_from(real);
            }
        }
        for rows in &mut self.state {
            let old = std::mem::take(rows);
            rows.extend(old.into_iter().map(|(key, row)| {
                let real = real.get(&key).cloned();
                (real.unwrap_or(key), row)
            }));
        }
    }
}
