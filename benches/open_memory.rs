//! What a million open transactions cost: replication has stopped, and one node goes on writing.
//!
//!     cargo bench --bench open_memory [rows a transaction...]
//!
//! For each size a process of its own drives the verifier: node a commits a million transactions
//! that node b does not show, each inserting rows of fresh integer keys. It prints the bytes that
//! live on the heap and the peak of resident memory; then node b shows all of them, and what is
//! left is printed.
#![expect(unsafe_code, reason = "an allocator that counts")]
#![expect(clippy::disallowed_methods, reason = "the clock of a benchmark")]

use std::{
    alloc::{GlobalAlloc, Layout},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};
use twinlog::engine::{Ownership, Settings, Verifier};
use twinlog::model::{
    CommitTime, Coordinates, FindingKind, Gtid, GtidSet, GtidSource, Key, Node, NodeIndex, Nodes,
    Operation, RowChange, RowState, Table, TableId, Transaction, Unlisted,
};
use xxhash_rust::xxh3::xxh3_128;

const TRANSACTIONS: u64 = 1_000_000;

/// The program's allocator, counting.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grow(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: every call goes to an allocator that keeps the contract; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { tikv_jemallocator::Jemalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { tikv_jemallocator::Jemalloc.dealloc(at, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { tikv_jemallocator::Jemalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // While it moves, both live.
        grow(size);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { tikv_jemallocator::Jemalloc.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The highest resident memory so far, in bytes; 0 where the system does not say.
fn peak_resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
    kilobytes.unwrap_or(0_usize) * 1024
}

/// A log of `rows` inserts a transaction, written anew where it is read.
struct Log {
    rows: u64,
    tx: Transaction,
}

impl Log {
    fn new(rows: u64, file: &str) -> Self {
        let table = Arc::new(Table {
            id: TableId::of("shop", "orders"),
            schema: "shop".into(),
            name: "orders".into(),
            columns: Vec::new(),
            primary_key: vec![0],
            unique_keys: Vec::new(),
            shape: 1,
        });
        let coordinates = Coordinates { file: Arc::from(file), start: 0, end: 0 };
        let mut tx = Transaction::empty(None, 1, coordinates, CommitTime::default());
        tx.tables.push(table);
        Log { rows, tx }
    }

    fn at(&mut self, sequence: u64) -> &Transaction {
        let tx = &mut self.tx;
        let source = GtidSource::MariaDb { domain: 0, server_id: 1 };
        tx.gtid = Some(Gtid { source, sequence });
        tx.coordinates.start = sequence * 500;
        tx.coordinates.end = sequence * 500 + 500;
        tx.committed_at = CommitTime::from_seconds((sequence / 300) as u32);
        tx.rows.clear();
        tx.key_bytes.clear();
        for row in 0..self.rows {
            let bytes = (sequence * self.rows + row).to_le_bytes();
            let start = tx.key_bytes.len() as u32;
            tx.key_bytes.extend(bytes);
            let key = Key { hash: xxh3_128(&bytes), start, len: 8, spelling: 0 };
            tx.rows.push(RowChange {
                table: 0,
                operation: Operation::Insert,
                rule_values: None,
                keys: Some([key, key]),
                before: RowState::Absent,
                after: RowState::Image(key.hash.rotate_left(17)),
            });
        }
        tx
    }
}

fn verifier() -> Verifier {
    let node = |name: &str, id| Node {
        name: name.into(),
        server_ids: vec![id],
        has_stream: true,
        ..Node::default()
    };
    let nodes = Nodes::new(vec![node("a", 1), node("b", 2)]);
    let ownership = Ownership::new(Vec::new(), Unlisted::Shared).expect("no rules");
    let mut verifier = Verifier::new(nodes, ownership, Settings::default());
    for node in [NodeIndex(0), NodeIndex(1)] {
        verifier.begin(node, GtidSet::default());
    }
    verifier
}

/// One size; prints one line.
fn measure(rows: u64) {
    let (mut originals, mut copies) =
        (Log::new(rows, "a-bin.000001"), Log::new(rows, "b-bin.000001"));
    let mut verifier = verifier();
    let mut out = Vec::new();
    let at_start = (LIVE.load(Ordering::Relaxed), peak_resident());
    PEAK.store(at_start.0, Ordering::Relaxed);
    let start = Instant::now();
    for sequence in 1..=TRANSACTIONS {
        verifier.observe(NodeIndex(0), originals.at(sequence), &mut out);
    }
    let took = start.elapsed();
    assert_eq!(verifier.open_transactions() as u64, TRANSACTIONS);
    assert_eq!(verifier.open_keys() as u64, TRANSACTIONS * rows);
    let live = LIVE.load(Ordering::Relaxed) - at_start.0;
    let peak = PEAK.load(Ordering::Relaxed) - at_start.0;
    let resident = peak_resident() - at_start.1;
    let per_row = |bytes: usize| bytes as f64 / (TRANSACTIONS * rows) as f64;
    println!(
        "{rows:>2} rows a transaction: {:.1} bytes a row, {:.1} a transaction; \
         peak {:.1} a row, resident {:.1} a row; read in {:.2} s",
        per_row(live),
        live as f64 / TRANSACTIONS as f64,
        per_row(peak),
        per_row(resident),
        took.as_secs_f64(),
    );
    let start = Instant::now();
    for sequence in 1..=TRANSACTIONS {
        verifier.observe(NodeIndex(1), copies.at(sequence), &mut out);
    }
    let took = start.elapsed().as_secs_f64();
    assert_eq!((verifier.open_transactions(), verifier.open_keys()), (0, 0));
    // Recent keys, past their bound, are a blind spot.
    assert!(out.iter().all(|report| report.finding.kind == FindingKind::BlindSpot));
    // Recent copies, for handovers, are kept on purpose.
    let left = LIVE.load(Ordering::Relaxed).saturating_sub(at_start.0);
    println!("   shown by the other node in {took:.2} s: 0 open, {:.1} MB left", left as f64 / 1e6);
}

fn main() {
    let mut sizes: Vec<u64> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    if let [rows] = sizes[..] {
        return measure(rows);
    }
    if sizes.is_empty() {
        sizes = vec![1, 4, 10];
    }
    let program = std::env::current_exe().expect("a process knows its program");
    for rows in sizes {
        let done = Command::new(&program).arg(rows.to_string()).status();
        assert!(done.is_ok_and(|status| status.success()), "{rows} rows a transaction failed");
    }
}
