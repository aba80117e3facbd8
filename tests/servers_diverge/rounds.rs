//! Rounds of writes apart from each other, with everything that operators do in between.
//!
//! The rows in doubt are kept apart: those that both masters wrote in a round, that one was told to
//! leave out, or that were written without the log. All other rows must be the same on both at the
//! end of the round. That checks the servers and this test, without a look at twinlog.

use std::collections::BTreeSet;

use crate::client::Client;
use crate::faults::{Silent, Skip, filter, other};
use crate::support::keys::Key;
use crate::support::lab::Lab;
use crate::tables::{Place, Role, Rows, Table, difference, read};
use crate::writes::{Transaction, Writer};

pub const ROUNDS: usize = 8;
/// In which rounds one side leaves a table out, and in what comes between them.
const FILTERED: std::ops::Range<usize> = 2..6;

pub struct Rounds<'a> {
    pub lab: &'a Lab,
    pub tables: &'a [Table],
    pub writer: Writer<'a>,
    /// Where no row is deleted without the log.
    pub keeps_all: Option<&'static str>,
    clients: [(&'static str, Client); 2],
    /// Who leaves out [`Role::Filtered`] in some rounds.
    filtering: &'static str,
    /// Rows that differ from earlier rounds.
    differing: BTreeSet<Place>,
    /// Transactions sent.
    pub transactions: usize,
    /// Of these, those that one side was told to skip.
    skipped: u64,
    /// Rows written without the log.
    silent: usize,
    /// Rows that one side alone wrote in a round, and that were the same afterwards.
    proved_same: usize,
}

impl<'a> Rounds<'a> {
    pub fn new(lab: &'a Lab, tables: &'a [Table], mut writer: Writer<'a>) -> Rounds<'a> {
        Rounds {
            lab,
            tables,
            keeps_all: None,
            clients: ["a", "b"].map(|node| (node, Client::connect(lab, node, node))),
            filtering: ["a", "b"][writer.random.below(2)],
            writer,
            differing: BTreeSet::new(),
            transactions: 0,
            skipped: 0,
            silent: 0,
            proved_same: 0,
        }
    }

    /// Writes about every other row, and has the other master apply it: else most writes of the
    /// first rounds would find nothing.
    pub fn fill(&mut self) {
        let mut sql = String::new();
        for table in self.tables.iter().filter(|table| table.role != Role::Auto) {
            for key in &table.pool {
                if self.writer.random.percent(60) {
                    sql += &self.writer.upsert_new(table, key).sql;
                    self.transactions += 1;
                }
            }
        }
        self.lab.sql("a", &sql);
        self.lab.settle();
    }

    /// Takes the rows that differ as they are, when others have written.
    pub fn look(&mut self) {
        let [a, b] = rows(self.lab, self.tables);
        self.differing = difference(&a, &b).into_keys().collect();
    }

    pub fn round(&mut self, round: usize) {
        let (lab, tables) = (self.lab, self.tables);
        lab.stop_replication();
        if round == FILTERED.start || round == FILTERED.end {
            filter(lab, tables, self.filtering, FILTERED.contains(&round));
        }
        let silent = self.writer.random.percent(75);
        let silent =
            silent.then(|| Silent::write(lab, tables, self.keeps_all, &mut self.writer.random));
        let skip = self.writer.random.percent(50);
        let skip = skip.then(|| Skip::plan(lab.server(), &mut self.writer.random));
        let last = skip.as_ref().map_or(0, |skip| lab.last_number(other(skip.node)));
        skip.iter().for_each(|skip| skip.before_writes(lab, last));
        let batches = self.batches(skip.as_ref());
        self.commit(&batches);
        skip.iter().for_each(|skip| skip.after_writes(lab, last));
        // Before they start, so that they do not stop at once; a stopped one may have been set
        // back.
        lab.idempotent();
        lab.start_replication();
        lab.settle();
        self.write_again(silent.as_ref());
        mark(lab);
        self.check(round, &batches, skip.as_ref(), silent.as_ref());
        for node in ["a", "b"] {
            if self.writer.random.percent(30) {
                lab.sql(node, "FLUSH NO_WRITE_TO_BINLOG BINARY LOGS");
            }
        }
    }

    /// What a and b are going to write; first what the other one is told to skip.
    fn batches(&mut self, skip: Option<&Skip>) -> [Vec<Transaction>; 2] {
        let mut batches = ["a", "b"].map(|node| {
            let skipped = skip.filter(|skip| other(skip.node) == node).map_or(0, |skip| skip.count);
            let mut batch: Vec<_> = (0..skipped).map(|_| self.logged_for_sure()).collect();
            let count = 5 + self.writer.random.below(16);
            batch.extend((0..count).map(|_| self.writer.transaction(|_| true)));
            batch
        });
        if self.writer.random.percent(40) {
            let same = self.writer.transaction(|role| role != Role::Gone);
            batches.iter_mut().for_each(|batch| batch.push(same.clone()));
        }
        self.transactions += batches.iter().map(Vec::len).sum::<usize>();
        self.skipped += skip.map_or(0, |skip| skip.count);
        batches
    }

    /// A transaction that has a number of its own whatever is in the tables.
    fn logged_for_sure(&mut self) -> Transaction {
        let fits = |table: &&Table| table.role.may_be_skipped();
        let tables: Vec<&Table> = self.tables.iter().filter(fits).collect();
        let table = tables[self.writer.random.below(tables.len())];
        let key: Key = table.pool[self.writer.random.below(table.pool.len())].clone();
        let mut statements = vec![self.writer.upsert_new(table, &key)];
        if self.writer.random.percent(50) {
            statements.extend(self.writer.transaction(Role::may_be_skipped).statements);
        }
        Transaction::committed(statements)
    }

    fn commit(&mut self, batches: &[Vec<Transaction>; 2]) {
        std::thread::scope(|scope| {
            for ((_, client), batch) in self.clients.iter_mut().zip(batches) {
                scope.spawn(|| {
                    let sql: Vec<String> = batch.iter().map(|of| of.sql("")).collect();
                    client.run(&sql.concat());
                });
            }
        });
    }

    /// A silent change shows in the log when the row is written again: by the other node, to
    /// values that nobody ever wrote.
    fn write_again(&mut self, silent: Option<&Silent>) {
        let Some(silent) = silent else { return };
        let mut sql = String::new();
        for (table, key) in &silent.rows {
            sql += &self.writer.upsert_new(table, key).sql;
        }
        self.lab.sql(other(silent.node), &sql);
        self.transactions += silent.rows.len();
        self.silent += silent.rows.len();
    }

    /// Says what was done, and that it was not nothing.
    pub fn report(&self) {
        let Rounds { skipped, silent, proved_same, filtering, .. } = self;
        println!(
            "in rounds: {skipped} transactions skipped, {silent} rows written silently, a filter \
             on {filtering}; {proved_same} times a row was the same after one side alone wrote it"
        );
        assert!(*silent > 0 && *proved_same > 0, "nothing was checked");
    }

    fn check(
        &mut self,
        round: usize,
        batches: &[Vec<Transaction>; 2],
        skip: Option<&Skip>,
        silent: Option<&Silent>,
    ) {
        let mut doubtful = std::mem::take(&mut self.differing);
        let silent = silent.iter().flat_map(|silent| &silent.rows);
        doubtful.extend(silent.map(|(table, key)| table.place(key)));
        for (batch, node) in batches.iter().zip(["a", "b"]) {
            let skipped = skip.filter(|skip| other(skip.node) == node).map_or(0, |skip| skip.count);
            doubtful.extend(places(&batch[..skipped as usize]));
            if FILTERED.contains(&round) {
                let is_filtered = |place: &Place| {
                    let of = |table: &&Table| table.full_name() == place.0;
                    self.tables.iter().find(of).is_some_and(|of| of.role == Role::Filtered)
                };
                doubtful.extend(places(batch).into_iter().filter(is_filtered));
            }
        }
        let [of_a, of_b] = batches.each_ref().map(|batch| places(batch));
        doubtful.extend(of_a.intersection(&of_b).cloned());
        spread(&mut doubtful, batches);
        let [a, b] = rows(self.lab, self.tables);
        let differing = difference(&a, &b);
        let unexplained: Vec<_> =
            differing.iter().filter(|(place, _)| !doubtful.contains(*place)).collect();
        assert!(unexplained.is_empty(), "round {round}: {unexplained:#?}\nthough nobody met there");
        self.proved_same += of_a.union(&of_b).filter(|place| !doubtful.contains(*place)).count();
        self.differing = differing.into_keys().collect();
    }
}

/// MariaDB logs no copy of what changes nothing. Only a later number from the same master makes
/// such a hole certain.
pub fn mark(lab: &Lab) {
    for node in ["a", "b"] {
        lab.sql(node, &format!("INSERT INTO dvg.mark_{node} VALUES ()"));
    }
    lab.settle();
}

/// What a and b hold.
pub fn rows(lab: &Lab, tables: &[Table]) -> [Rows; 2] {
    ["a", "b"].map(|node| read(lab, tables, node))
}

fn places(batch: &[Transaction]) -> BTreeSet<Place> {
    let statements = batch.iter().flat_map(|transaction| &transaction.statements);
    statements.flat_map(|statement| &statement.places).cloned().collect()
}

/// A move that does not fit at one of its rows writes neither: doubt spreads.
fn spread(doubtful: &mut BTreeSet<Place>, batches: &[Vec<Transaction>; 2]) {
    let transactions = batches.iter().flatten();
    let moves: Vec<_> =
        transactions.flat_map(|of| &of.statements).filter(|statement| statement.is_move).collect();
    let mut before = None;
    while before != Some(doubtful.len()) {
        before = Some(doubtful.len());
        for of in &moves {
            if of.places.iter().any(|place| doubtful.contains(place)) {
                doubtful.extend(of.places.iter().cloned());
            }
        }
    }
}
