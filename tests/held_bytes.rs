//! What the engine says that it holds, against what the allocator has given out.
#![expect(unsafe_code, reason = "an allocator that counts")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use twinlog::engine::{Ownership, Report, Settings, Verifier};
use twinlog::model::*;
use xxhash_rust::xxh3::xxh3_128;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to an allocator that keeps the contract; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size, Ordering::Relaxed);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const A: NodeIndex = NodeIndex(0);
const B: NodeIndex = NodeIndex(1);

/// Makes transactions of a few rows with integer keys.
struct Maker {
    table: Arc<Table>,
    files: [Arc<str>; 2],
}

impl Maker {
    fn new() -> Maker {
        let table = Arc::new(Table {
            id: TableId::of("shop", "orders"),
            schema: "shop".into(),
            name: "orders".into(),
            columns: Vec::new(),
            primary_key: vec![0],
            unique_keys: Vec::new(),
            shape: 1,
        });
        Maker { table, files: ["a-bin.000001", "b-bin.000001"].map(Arc::from) }
    }

    /// The `n`-th of a node, as a stream shows it: rows from `key` on, each with this value.
    fn tx(
        &self,
        stream: NodeIndex,
        origin: u32,
        n: u64,
        keys: [u64; 2],
        value: u64,
    ) -> Transaction {
        let source = GtidSource::MariaDb { domain: origin, server_id: origin };
        let gtid = Gtid { source, sequence: n };
        let file = self.files[stream.at()].clone();
        let at = Coordinates { file, start: n * 500, end: n * 500 + 500 };
        let committed_at = CommitTime::from_seconds((n / 300) as u32);
        let mut tx = Transaction::empty(Some(gtid), origin, at, committed_at);
        tx.tables.push(self.table.clone());
        for key in keys[0]..keys[1] {
            let bytes = key.to_le_bytes();
            let start = tx.key_bytes.len() as u32;
            tx.key_bytes.extend(bytes);
            let key = Key { hash: xxh3_128(&bytes), start, len: 8, spelling: 0 };
            tx.rows.push(RowChange {
                table: 0,
                operation: Operation::Insert,
                rule_values: None,
                keys: Some([key, key]),
                before: RowState::Absent,
                after: RowState::Image(key.hash.rotate_left(17) ^ u128::from(value)),
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
    for node in [A, B] {
        verifier.begin(node, GtidSet::default());
    }
    verifier
}

/// Runs one case, and compares what is said to be held with what lives on the heap.
fn compare(what: &str, run: impl FnOnce(&Maker, &mut Verifier, &mut Vec<Report>)) {
    let (maker, mut out) = (Maker::new(), Vec::new());
    let before = LIVE.load(Ordering::Relaxed);
    let mut verifier = verifier();
    run(&maker, &mut verifier, &mut out);
    drop(out);
    let live = LIVE.load(Ordering::Relaxed) - before;
    let held = verifier.held_bytes();
    let ratio = held as f64 / live as f64;
    println!("{what}: {held} bytes held, {live} on the heap, {ratio:.3}");
    assert!((0.85..=1.15).contains(&ratio), "{what}: {held} of {live} bytes");
}

/// Within 15 of 100, whatever it is that is held.
#[test]
fn what_is_held_is_counted() {
    for rows in [1, 4, 10] {
        compare(&format!("open, {rows} rows a transaction"), |maker, verifier, out| {
            for n in 1..=200_000 / rows {
                let tx = maker.tx(A, 1, n, [n * rows, n * rows + rows], 1);
                verifier.observe(A, &tx, out);
            }
        });
    }
    compare("conflicts", |maker, verifier, out| {
        for n in 1..=20_000 {
            verifier.observe(A, &maker.tx(A, 1, n, [n, n + 1], 1), out);
            out.clear();
        }
        for n in 1..=20_000 {
            verifier.observe(B, &maker.tx(B, 2, n, [n, n + 1], 2), out);
            out.clear();
        }
    });
    compare("copies before their originals", |maker, verifier, out| {
        for n in 1..=100_000 {
            verifier.observe(B, &maker.tx(B, 1, n, [n, n + 1], 1), out);
        }
    });
    compare("recent copies", |maker, verifier, out| {
        for n in 1..=150_000 {
            verifier.observe(A, &maker.tx(A, 1, n, [n, n + 1], 1), out);
            verifier.observe(B, &maker.tx(B, 1, n, [n, n + 1], 1), out);
        }
    });
    compare("rows that differ", |maker, verifier, out| {
        for n in 1..=50_000 {
            verifier.observe(A, &maker.tx(A, 1, n, [n, n + 1], 1), out);
            verifier.observe(B, &maker.tx(B, 1, n, [n, n + 1], 2), out);
            out.clear();
        }
    });
}
