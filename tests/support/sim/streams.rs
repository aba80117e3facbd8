//! What a reader sees of a world: streams of transactions, and the engine run over them.

use super::kills::Kills;
use super::{
    rng::{Rng, mix},
    world::{Change, Entry, FLUSH_TABLE, Family, Id, World},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};
use twinlog::{engine, engine::*, model::*};

/// The part of a world that is read.
pub struct Reading<'w> {
    pub world: &'w World,
    /// Per node: the entries of its log that are read.
    pub read: Vec<Range<usize>>,
    /// Per node: what its stream begins with.
    pub baselines: Vec<GtidSet>,
    pub streams: Vec<Vec<Transaction>>,
    pub settings: Settings,
    /// By node, for those that do not log what they apply: what their servers answer.
    pub answers: Vec<Option<Vec<Applied>>>,
    /// Some table in it has an owner; compiling rules for none would take most of a short run.
    has_owned: bool,
}

/// What the engine said.
pub struct Answer {
    /// Settled findings, sorted by id.
    pub findings: Vec<Finding>,
    pub open_transactions: usize,
    pub open_keys: usize,
}

/// How the reader takes turns between the streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turns {
    /// A whole stream, then the next.
    Whole,
    /// The same, the last stream first.
    WholeFromLast,
    /// `n` transactions each in turn.
    Each(usize),
    Random(u64),
    /// At random, by a daemon that is killed now and then.
    Killed(u64),
}

pub fn gtid(family: Family, id: Id) -> Gtid {
    let source = match family {
        Family::MySql => {
            let tag = Tag::parse(format!("t{}", id.domain).as_bytes()).unwrap();
            GtidSource::MySql { uuid: [id.origin as u8 + 1; 16], tag }
        }
        Family::MariaDb => {
            GtidSource::MariaDb { domain: id.domain.into(), server_id: id.origin as u32 + 1 }
        }
        Family::Anonymous => GtidSource::Anonymous { server_id: id.origin as u32 + 1 },
    };
    Gtid { source, sequence: id.number }
}

pub fn table_name(table: u8) -> String {
    match table {
        FLUSH_TABLE => "s.flush".to_owned(),
        table => format!("s.t{table}"),
    }
}

/// The node that may write a row of table 1, whose rows are owned by the remainder of the key.
pub fn row_owner(nodes: usize, key: i64) -> usize {
    key.rem_euclid(nodes as i64) as usize
}

pub const OWNED_TABLE: u8 = 0;
pub const OWNED_ROWS: u8 = 1;

fn ownership(nodes: usize) -> Ownership {
    let owners = |range: Range<usize>| range.map(|n| NodeIndex(n as u8)).collect::<Vec<_>>();
    let rule = |table, body| OwnershipRule {
        tables: vec![table_name(table)],
        body,
        operations: Vec::new(),
    };
    let by = RowOwnership::Modulo { modulo: nodes as u64, owners: owners(0..nodes) };
    let rules = vec![
        rule(OWNED_TABLE, RuleBody::Owners(owners(0..1))),
        rule(OWNED_ROWS, RuleBody::Rows(RowRule { column: "id".into(), by })),
    ];
    Ownership::new(rules, Unlisted::Shared).unwrap()
}

impl<'w> Reading<'w> {
    /// Reads these parts of the logs. `applied` begins a stream with what the node had applied
    /// by then, not only with what it had logged.
    pub fn new(world: &'w World, read: Vec<Range<usize>>, applied: bool) -> Self {
        let nodes = 0..world.setup.nodes;
        let baselines = nodes.clone().map(|n| baseline(world, n, read[n].start, applied));
        let mut tables = BTreeMap::new();
        let mut stream = |node: usize| {
            let entries = world.masters[node].log[read[node].clone()].iter().enumerate();
            entries
                .map(|(at, entry)| {
                    transaction(world.setup.family, node, read[node].start + at, entry, &mut tables)
                })
                .collect()
        };
        let streams = nodes.clone().map(&mut stream).collect();
        Reading {
            world,
            baselines: baselines.collect(),
            streams,
            read,
            answers: vec![None; world.setup.nodes],
            has_owned: tables.keys().any(|table| [OWNED_TABLE, OWNED_ROWS].contains(table)),
            settings: Settings {
                shared_key_window_micros: 4_000_000,
                near_conflict_window_micros: 1_000_000,
                missing_after_micros: 10_000_000,
                silent_window_micros: i64::MAX,
                ..Settings::default()
            },
        }
    }

    /// Everything that was logged.
    pub fn whole(world: &'w World) -> Self {
        let read = world.masters.iter().map(|master| 0..master.log.len()).collect();
        Reading::new(world, read, false)
    }

    /// The same with so little memory.
    pub fn with_memory(mut self, bytes: usize) -> Self {
        self.settings.memory_bytes = bytes;
        self
    }

    /// Runs the engine over the streams.
    pub fn run(&self, turns: Turns) -> Answer {
        let nodes = self.world.setup.nodes;
        let node = |n: usize| Node {
            name: format!("n{n}"),
            server_ids: vec![n as u32 + 1],
            has_stream: true,
            ..Node::default()
        };
        let names = Nodes::new((0..nodes).map(node).collect());
        let ownership = || match self.has_owned {
            true => ownership(nodes),
            false => Ownership::new(Vec::new(), Unlisted::Shared).unwrap(),
        };
        let go_on = |memory: &[u8]| {
            let memory = rmp_serde::from_slice(memory).unwrap();
            Verifier::go_on(memory, names.clone(), ownership(), self.settings.clone()).unwrap()
        };
        let mut verifier = Verifier::new(names.clone(), ownership(), self.settings.clone());
        for (n, baseline) in self.baselines.iter().enumerate() {
            verifier.begin(NodeIndex(n as u8), baseline.clone());
        }
        let mut reports = Vec::new();
        for n in (0..nodes).filter(|n| self.answers[*n].is_some()) {
            let when = CommitTime::default();
            verifier.without_copies(NodeIndex(n as u8), when, &mut reports);
        }
        let (mut kills, mut order) = (Kills::new(turns), self.order(turns));
        let mut next = 0;
        while let Some(&(n, at)) = order.get(next) {
            let node = NodeIndex((n % nodes) as u8);
            match self.answers.get(n.wrapping_sub(nodes)).and_then(Option::as_ref) {
                Some(answers) => verifier.applied(node, answers[at].clone(), &mut reports),
                None => verifier.observe(node, &self.streams[n][at], &mut reports),
            }
            next += 1;
            if let Some(memory) = kills.after(&mut next, &mut order, &verifier, &mut reports) {
                verifier = go_on(&memory);
            }
        }
        let (open_transactions, open_keys) = (verifier.open_transactions(), verifier.open_keys());
        verifier.finish(&mut reports);
        Answer { findings: settled(reports), open_transactions, open_keys }
    }

    fn order(&self, turns: Turns) -> Vec<(usize, usize)> {
        let answers = self.answers.iter().map(|of| of.as_ref().map_or(0, Vec::len));
        let lengths: Vec<usize> = self.streams.iter().map(Vec::len).chain(answers).collect();
        let all = lengths.iter().enumerate();
        let mut order: Vec<_> = all.flat_map(|(n, len)| (0..*len).map(move |at| (n, at))).collect();
        match turns {
            Turns::Whole => {}
            Turns::WholeFromLast => order.sort_by_key(|&(n, at)| (usize::MAX - n, at)),
            Turns::Each(count) => order.sort_by_key(|&(n, at)| (at / count, n, at)),
            Turns::Random(seed) | Turns::Killed(seed) => {
                let (mut rng, mut at) = (Rng::new(seed), vec![0; lengths.len()]);
                for step in &mut order {
                    let left: Vec<usize> = (0..at.len()).filter(|n| at[*n] < lengths[*n]).collect();
                    let n = rng.pick(&left);
                    *step = (n, at[n]);
                    at[n] += 1;
                }
            }
        }
        order
    }
}

/// The settled findings; each must be told settled once, and as it was told last.
///
/// Only a conflict may be told and never settle: in a stream without copies the end shows that
/// one write was made over the other.
fn settled(reports: Vec<engine::Report>) -> Vec<Finding> {
    let mut last = BTreeMap::new();
    let mut settled: BTreeMap<FindingId, Finding> = BTreeMap::new();
    let mut unsettled: BTreeSet<FindingId> = BTreeSet::new();
    for Report { finding, news, .. } in reports {
        let id = finding.id;
        assert!(!settled.contains_key(&id), "told after it was settled: {finding:?}");
        let written = finding.last_written.clone();
        let now = (finding.certainty, finding.outcome, finding.state, written);
        if news {
            let before = last.insert(id, now.clone());
            assert_ne!(before.as_ref(), Some(&now), "told twice: {finding:?}");
        }
        assert_eq!(last.get(&id), Some(&now), "settled as it was never told: {finding:?}");
        let conflict = finding.kind == FindingKind::WriteConflict;
        if finding.settled {
            unsettled.remove(&id);
            settled.insert(id, finding);
        } else if !conflict {
            unsettled.insert(id);
        }
    }
    assert!(unsettled.is_empty(), "not everything was settled");
    settled.into_values().collect()
}

fn baseline(world: &World, node: usize, start: usize, applied: bool) -> GtidSet {
    let (master, family) = (&world.masters[node], world.setup.family);
    let mut set = GtidSet::default();
    let logged = master.log[..start].iter().map(|entry| entry.id);
    let passed = master.places.iter().filter(|(_, place)| **place <= 2 * start as u64);
    let passed = passed.map(|(id, _)| *id).filter(|_| applied);
    for id in logged.chain(passed) {
        match family {
            Family::MySql => drop(set.add(&gtid(family, id))),
            Family::MariaDb => set.add_up_to(&gtid(family, id)),
            Family::Anonymous => {}
        }
    }
    set
}

fn transaction(
    family: Family,
    node: usize,
    index: usize,
    entry: &Entry,
    tables: &mut BTreeMap<u8, Arc<Table>>,
) -> Transaction {
    let mut own: Vec<u8> = entry.changes.iter().map(|change| change.table).collect();
    own.sort();
    own.dedup();
    let mut table = |table: u8| tables.entry(table).or_insert_with(|| new_table(table)).clone();
    let start = index as u64 * 100 + 4;
    let file = Arc::from(format!("n{node}-bin.000001"));
    let at = Coordinates { file, start, end: start + 100 };
    let committed_at = match family {
        Family::MySql => CommitTime::from_micros(entry.micros),
        _ => CommitTime::from_seconds((entry.micros / 1_000_000) as u32),
    };
    let (gtid, server) = (gtid(family, entry.id), entry.server as u32 + 1);
    let mut tx = Transaction::empty(Some(gtid), server, at, committed_at);
    tx.tables = own.iter().map(|name| table(*name)).collect();
    for change in &entry.changes {
        let place = own.iter().position(|table| *table == change.table).unwrap();
        add_row(&mut tx, place, change);
    }
    tx
}

fn new_table(table: u8) -> Arc<Table> {
    let name = table_name(table);
    let (schema, short) = name.split_once('.').unwrap();
    Arc::new(Table {
        id: TableId(table.into()),
        schema: schema.to_owned(),
        name: short.to_owned(),
        columns: Vec::new(),
        primary_key: vec![0],
        unique_keys: vec![],
        shape: 0,
    })
}

fn add_row(tx: &mut Transaction, table: usize, change: &Change) {
    let mut keys = change.keys.map(|key| {
        let start = tx.key_bytes.len() as u32;
        tx.key_bytes.extend(key.to_le_bytes());
        let hash = mix(u64::from(change.table) << 32 | key as u64);
        Key { hash: u128::from(hash) << 64 | u128::from(mix(hash)), start, len: 8, spelling: 0 }
    });
    if change.keys[0] == change.keys[1] {
        keys[1] = keys[0];
    }
    let image = |key: i64, value: Option<u32>| match value {
        None => RowState::Absent,
        Some(value) => RowState::Image(mix(key as u64 * 1_000 + u64::from(value)).into()),
    };
    let [before, after] =
        [image(change.keys[0], change.before), image(change.keys[1], change.after)];
    let mut rule_values = None;
    if change.table == OWNED_ROWS {
        rule_values = Some(tx.rule_values.len() as u32);
        tx.rule_values.extend([(0, before), (1, after)].map(|(side, state)| match state {
            RowState::Absent => RuleValue::NoRow,
            _ => RuleValue::Int(change.keys[side].into()),
        }));
    }
    tx.rows.push(RowChange {
        table: table as u32,
        operation: match (change.before, change.after) {
            (None, _) => Operation::Insert,
            (_, None) => Operation::Delete,
            _ => Operation::Update,
        },
        rule_values,
        keys: Some(keys),
        before,
        after,
    });
}
