//! Simulated masters: rows, logs, and appliers that do what real servers were seen to do.
//!
//! A master's rows change only by its own commits and by what it applies, and its log holds what
//! really happened to them: the copy of a transaction has the images of the node that applied it.

use super::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// Logs an empty copy of what changes nothing; may log n+1 before n.
    MySql,
    /// Logs no copy of what changes nothing; keeps the order within a domain.
    MariaDb,
    /// MySQL without GTIDs: a log of [`Family::MariaDb`]'s kind, whose heads say nothing. Worlds
    /// are made as of that one.
    Anonymous,
}

/// A transaction: who committed it first, in which sequence (MariaDB domain, MySQL tag), and its
/// number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Id {
    pub origin: usize,
    pub domain: u8,
    pub number: u64,
}

impl Id {
    pub fn same_source(&self, other: &Id) -> bool {
        (self.origin, self.domain) == (other.origin, other.domain)
    }
}

/// A row's name: table and key.
pub type RowName = (u8, i64);

/// One row of a row event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    pub table: u8,
    /// Key before and after, equal but for a row that moves.
    pub keys: [i64; 2],
    /// Value before; `None` is no row.
    pub before: Option<u32>,
    pub after: Option<u32>,
}

impl Change {
    pub fn names(&self) -> BTreeSet<RowName> {
        self.keys.iter().map(|key| (self.table, *key)).collect()
    }
}

/// One transaction in a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub id: Id,
    /// Whose server id it carries: the origin's, or that of an operator who injected it.
    pub server: usize,
    pub micros: i64,
    pub changes: Vec<Change>,
}

impl Entry {
    pub fn names(&self) -> BTreeSet<RowName> {
        self.changes.iter().flat_map(Change::names).collect()
    }
}

/// One master.
#[derive(Clone, Default, Debug)]
pub struct Master {
    pub rows: BTreeMap<RowName, u32>,
    pub log: Vec<Entry>,
    /// When each transaction took effect here. Between the entries `i - 1` and `i` of the log is
    /// `2 i + 1`, the entry `i` itself is `2 i + 2`: so a hole has a place, too.
    pub places: BTreeMap<Id, u64>,
    /// The rows of what passed without a trace.
    silent: BTreeMap<Id, BTreeSet<RowName>>,
    numbers: BTreeMap<u8, u64>,
}

impl Master {
    pub fn place_of_entry(index: usize) -> u64 {
        2 * index as u64 + 2
    }

    fn append(&mut self, entry: Entry) {
        self.places.insert(entry.id, Self::place_of_entry(self.log.len()));
        let newest = self.numbers.entry(entry.id.domain).or_default();
        *newest = (*newest).max(entry.id.number);
        self.log.push(entry);
    }

    fn pass_silently(&mut self, entry: &Entry) {
        self.places.insert(entry.id, 2 * self.log.len() as u64 + 1);
        self.silent.insert(entry.id, entry.names());
    }

    /// Whether the log, within these entries, shows the transaction.
    pub fn shows(&self, id: Id, read: &std::ops::Range<usize>) -> bool {
        self.log[read.clone()].iter().any(|entry| entry.id == id)
    }
}

/// Replication from one master to another.
#[derive(Clone, Debug)]
pub struct Link {
    pub from: usize,
    pub to: usize,
    pub stalled: bool,
    /// Entries of the upstream's log below this are done with.
    next: usize,
    /// Entries above `next` that a parallel applier has done already.
    done: BTreeSet<usize>,
}

/// How the masters are set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub family: Family,
    pub nodes: usize,
    /// Each node replicates from the one before it, and passes on what it got; else from all.
    pub ring: bool,
    pub parallel: bool,
    /// A failing row stops replication, until an operator skips the transaction.
    pub strict: bool,
    /// Sequences per node: MariaDB domains, MySQL tags.
    pub domains: u8,
    /// MariaDB's default: all nodes number in one domain.
    pub shared_domain: bool,
    pub tables: u8,
    pub keys: i64,
    pub values: u32,
}

#[derive(Clone, Debug)]
pub struct World {
    pub setup: Setup,
    pub masters: Vec<Master>,
    pub links: Vec<Link>,
    pub micros: i64,
    /// Rows that were changed without the log, by node: the length of its log at that moment.
    pub silent: BTreeMap<(usize, RowName), usize>,
}

/// What an apply comes to.
enum Applied {
    Done(Vec<Change>),
    Failed,
}

/// The table of the last transactions, which are never a no-op.
pub const FLUSH_TABLE: u8 = 100;

impl World {
    pub fn new(setup: Setup) -> Self {
        let link = |from, to| Link { from, to, stalled: false, next: 0, done: BTreeSet::new() };
        let all = 0..setup.nodes;
        let links = match setup.ring {
            true => all.clone().map(|at| link(at, (at + 1) % setup.nodes)).collect(),
            false => all
                .clone()
                .flat_map(|from| all.clone().map(move |to| (from, to)))
                .filter(|(from, to)| from != to)
                .map(|(from, to)| link(from, to))
                .collect(),
        };
        let masters = vec![Master::default(); setup.nodes];
        World { setup, masters, links, micros: 1_000_000_000_000, silent: BTreeMap::new() }
    }

    /// When a transaction's write to a row took effect on a node; `u64::MAX` is never.
    ///
    /// What an operator skipped, or what never came because the upstream's copy does not have it,
    /// has no effect. In a log whose order is kept it counts from when a later one of its source
    /// is shown, for from then on nobody waits for it.
    pub fn truth(&self, node: usize, id: Id, row: RowName) -> u64 {
        let master = &self.masters[node];
        let came = master.silent.get(&id).is_none_or(|rows| rows.contains(&row));
        if let Some(place) = master.places.get(&id).filter(|_| came) {
            return *place;
        }
        let later = |entry: &Entry| entry.id.same_source(&id) && entry.id.number > id.number;
        let next = master.log.iter().position(later);
        let next = next.filter(|_| self.setup.family != Family::MySql);
        next.map_or(u64::MAX, |index| Master::place_of_entry(index) - 1)
    }

    /// Commits what these changes come to on the node's rows; false when that is nothing.
    pub fn commit(&mut self, node: usize, domain: u8, changes: Vec<Change>) -> bool {
        if changes.is_empty() {
            return false;
        }
        let own = if self.setup.shared_domain { 0 } else { node as u8 * 8 + 1 + domain };
        let master = &mut self.masters[node];
        for change in &changes {
            perform(&mut master.rows, change);
        }
        let number = master.numbers.get(&own).copied().unwrap_or(0) + 1;
        let id = Id { origin: node, domain: own, number };
        master.append(Entry { id, server: node, micros: self.micros, changes });
        true
    }

    /// Writes one row on a node: to a value, or away.
    pub fn write(&mut self, node: usize, names: &[RowName], value: Option<u32>) -> bool {
        let rows = &self.masters[node].rows;
        let changes = names.iter().filter_map(|&(table, key)| {
            let before = rows.get(&(table, key)).copied();
            let change = Change { table, keys: [key; 2], before, after: value };
            (before != value).then_some(change)
        });
        let changes = changes.collect();
        self.commit(node, 0, changes)
    }

    /// A random transaction of a few rows.
    pub fn commit_random(&mut self, node: usize, rng: &mut Rng) {
        let mut rows = self.masters[node].rows.clone();
        let mut changes = Vec::new();
        for _ in 0..1 + rng.below(3) {
            let table = rng.below(self.setup.tables.into()) as u8;
            let key = 1 + rng.below(self.setup.keys as usize) as i64;
            let other = 1 + rng.below(self.setup.keys as usize) as i64;
            let value = 1 + rng.below(self.setup.values as usize) as u32;
            let before = rows.get(&(table, key)).copied();
            let change = match (before, rng.below(10)) {
                (None, _) => Change { table, keys: [key; 2], before, after: Some(value) },
                (Some(_), 0..2) => Change { table, keys: [key; 2], before, after: None },
                (Some(_), 2) if !rows.contains_key(&(table, other)) => {
                    Change { table, keys: [key, other], before, after: Some(value) }
                }
                // REPLACE logs an update; a delete and an insert in one transaction two events.
                (Some(_), 3) => {
                    changes.push(Change { table, keys: [key; 2], before, after: None });
                    Change { table, keys: [key; 2], before: None, after: Some(value) }
                }
                (Some(old), _) if old == value => continue,
                (Some(_), _) => Change { table, keys: [key; 2], before, after: Some(value) },
            };
            perform(&mut rows, &change);
            changes.push(change);
        }
        let domain = rng.below(self.setup.domains.into()) as u8;
        self.commit(node, domain, changes);
    }

    /// Changes a row without the log: what `sql_log_bin=0` does.
    pub fn write_silently(&mut self, node: usize, rng: &mut Rng) {
        let table = rng.below(self.setup.tables.into()) as u8;
        let row = (table, 1 + rng.below(self.setup.keys as usize) as i64);
        let master = &mut self.masters[node];
        let value = 1 + rng.below(self.setup.values as usize) as u32;
        match rng.chance(30) {
            true => _ = master.rows.remove(&row),
            false => _ = master.rows.insert(row, value),
        }
        self.silent.insert((node, row), master.log.len());
    }

    /// Whether a row was changed without the log on a node that has not logged it since: nothing
    /// shows that.
    pub fn is_hidden(&self, row: RowName) -> bool {
        let hidden = |(node, at): (usize, usize)| {
            !self.masters[node].log[at..].iter().any(|entry| entry.names().contains(&row))
        };
        let of_row = self.silent.iter().filter(|((_, name), _)| *name == row);
        of_row.into_iter().any(|((node, _), at)| hidden((*node, *at)))
    }

    /// Entries that a link has still to bring, oldest first, at most `limit`.
    fn waiting(&mut self, link: usize, limit: usize) -> Vec<usize> {
        let Link { from, to, .. } = self.links[link];
        let (log, there) = (&self.masters[from].log, &self.masters[to].places);
        let ring = self.setup.ring;
        let link = &mut self.links[link];
        let wanted = |entry: &Entry| {
            let id = entry.id;
            id.origin != to && (ring || id.origin == from) && !there.contains_key(&id)
        };
        while link.next < log.len() && (link.done.remove(&link.next) || !wanted(&log[link.next])) {
            link.next += 1;
        }
        let more = (link.next..log.len()).filter(|at| !link.done.contains(at) && wanted(&log[*at]));
        more.take(limit).collect()
    }

    /// Applies the next transaction of a link, if there is one; false when there is none or it
    /// fails and nobody skips it.
    pub fn deliver(&mut self, link: usize, rng: &mut Rng, skip: bool) -> bool {
        let window = if self.setup.parallel { 6 } else { 1 };
        let waiting = self.waiting(link, window);
        let Link { from, to, .. } = self.links[link];
        let free = self.free_to_go(from, &waiting);
        if free.is_empty() {
            return false;
        }
        let index = rng.pick(&free);
        let entry = self.masters[from].log[index].clone();
        let family = self.setup.family;
        let master = &mut self.masters[to];
        match apply(&mut master.rows, &entry, self.setup.strict) {
            Applied::Failed if !skip => return false,
            // The operator injects an empty transaction, under the node's own server id.
            Applied::Failed if family == Family::MySql => {
                master.append(Entry { server: to, changes: Vec::new(), ..entry });
            }
            // The operator skips it: nothing is logged, nothing has taken effect.
            Applied::Failed => {}
            Applied::Done(changes) if changes.is_empty() && family == Family::MariaDb => {
                master.pass_silently(&entry);
            }
            Applied::Done(changes) => master.append(Entry { changes, ..entry }),
        }
        self.links[link].done.insert(index);
        true
    }

    /// Which of the waiting entries a parallel applier may take next.
    fn free_to_go(&self, from: usize, waiting: &[usize]) -> Vec<usize> {
        let log = &self.masters[from].log;
        let mut free = Vec::new();
        for (at, index) in waiting.iter().enumerate() {
            let mut earlier = waiting[..at].iter().map(|before| &log[*before]);
            let entry = &log[*index];
            let held = match self.setup.family {
                Family::MySql => earlier.any(|before| !before.names().is_disjoint(&entry.names())),
                _ => earlier.any(|before| before.id.domain == entry.id.domain),
            };
            if !held {
                free.push(*index);
            }
        }
        free
    }

    /// All logs, a line per transaction, for a person who looks into a failure.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for (node, master) in self.masters.iter().enumerate() {
            for (index, Entry { id, server, changes, .. }) in master.log.iter().enumerate() {
                let place = Master::place_of_entry(index);
                let Id { origin, domain, number } = id;
                text += &format!("n{node} @{place}: {domain}-{origin}-{number} (server {server})");
                for Change { table, keys: [from, to], before, after } in changes {
                    text += &format!(", t{table} {from}>{to} {before:?}>{after:?}");
                }
                text.push('\n');
            }
            let holes = master.places.iter().filter(|(_, place)| **place % 2 == 1);
            text += &format!("n{node} holes: {:?}\n", holes.collect::<Vec<_>>());
        }
        text
    }

    /// Brings everything everywhere; what fails is skipped.
    pub fn settle(&mut self, rng: &mut Rng) {
        loop {
            let moved = (0..self.links.len()).filter(|link| self.deliver(*link, rng, true)).count();
            if moved == 0 {
                return;
            }
        }
    }

    /// One more transaction of every source, brought everywhere: every hole becomes certain.
    pub fn flush(&mut self, rng: &mut Rng) {
        for node in 0..self.setup.nodes {
            for domain in 0..self.setup.domains {
                self.micros += 1_000;
                let key = 1_000 + self.masters[node].log.len() as i64 * 64 + node as i64 * 8;
                let keys = [key + i64::from(domain); 2];
                let change = Change { table: FLUSH_TABLE, keys, before: None, after: Some(1) };
                self.commit(node, domain, vec![change]);
            }
        }
        self.settle(rng);
    }
}

fn perform(rows: &mut BTreeMap<RowName, u32>, change: &Change) {
    rows.remove(&(change.table, change.keys[0]));
    if let Some(value) = change.after {
        rows.insert((change.table, change.keys[1]), value);
    }
}

/// Applies a transaction; gives the changes as the applying node logs them.
fn apply(rows: &mut BTreeMap<RowName, u32>, entry: &Entry, strict: bool) -> Applied {
    let mut trial = rows.clone();
    let mut logged = Vec::new();
    for change in &entry.changes {
        let [from, to] = change.keys;
        let found = trial.get(&(change.table, from)).copied();
        let taken = from != to && trial.contains_key(&(change.table, to));
        let fails = match change.before {
            None => found.is_some(),
            Some(_) => found.is_none() || taken,
        };
        if fails && strict {
            return Applied::Failed;
        }
        // IDEMPOTENT: an insert over a row becomes an update, what is missing is skipped.
        let skipped = change.before.is_some() && fails;
        if skipped || (found == change.after && from == to) {
            continue;
        }
        let real = Change { before: found, ..*change };
        perform(&mut trial, &real);
        logged.push(real);
    }
    *rows = trial;
    Applied::Done(logged)
}
