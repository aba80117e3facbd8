//! How long the status page takes with 100,000 findings in the store.
//!
//! A real store on the disk, the real routes on a loopback socket, and the time from the request to
//! the first byte of the answer: `cargo bench --bench status_page`. Counts are kept while no
//! finding changes, so each page is asked for twice: after a finding has changed, and again.

use axum::serve;
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, watch};
use twinlog::{
    http::{Access, Desk, Explained, Findings, Shared, router},
    metrics::Metrics,
    model::{Certainty, FindingKind, Node, Nodes, Severity, State},
    report::{Explanation, Status, page::Rows},
    store::{Batch, Store, StoredFinding},
};

const FINDINGS: u64 = 100_000;
const TABLES: u64 = 200;
const ROUNDS: usize = 15;

struct NoDesk;

impl Desk for NoDesk {
    fn explain(&self, record: &Value) -> Result<Explained, String> {
        let explanation = Explanation::of(record);
        let rows = Rows::Hidden(String::new());
        Ok(Explained { explanation, rows, repairs: Vec::new(), commands: Vec::new() })
    }

    fn outline(&self, record: &Value, _: &str) -> Result<Explained, String> {
        self.explain(record)
    }

    fn acknowledge(&self, _: &str, _: &str, _: &str, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn withdraw(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

/// Findings as a bad week makes them: conflicts alone and in groups of 1,000, most of the rest
/// healed, over a month.
fn finding(number: u64, now: i64) -> StoredFinding {
    let kind = FindingKind::ALL[usize::try_from(number % 11).unwrap_or(0)];
    let id = format!("{:032x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let group = match number % 3 {
        0 => format!("{:030x}{:02x}", number / 33_000, number % 11),
        _ => id.clone(),
    };
    let table = format!("shop.table_{}", number * 7 % TABLES);
    let last_seen = now - i64::try_from(number).unwrap_or(0) * 25_920_000;
    let is_healed = kind == FindingKind::Divergence && number.is_multiple_of(2);
    let record = json!({
        "id": id, "kind": kind.as_str(), "severity": "critical", "certainty": "exact",
        "state": if is_healed { "healed" } else { "open" }, "table": table,
        "key": {"id": number}, "group": group, "more": 0, "transactions": [],
        "message": "x".repeat(120), "last_seen": "2026-11-24T00:02:11Z", "detail": "y".repeat(1200),
    });
    StoredFinding {
        kind,
        severity: Severity::Critical,
        certainty: Certainty::Exact,
        state: if is_healed { State::Healed } else { State::Open },
        outcome: None,
        settled: true,
        table: Some(table),
        key: None,
        group,
        more: 0,
        first_seen: last_seen,
        last_seen,
        healed_at: None,
        record: record.to_string(),
        id,
    }
}

fn fill(path: &Path) -> i64 {
    let now = jiff::Timestamp::now().as_microsecond();
    let mut store = Store::open(path).expect("a store");
    for first in (0..FINDINGS).step_by(10_000) {
        let findings = (first..first + 10_000).map(|number| finding(number, now)).collect();
        store.commit(&Batch { now, findings, ..Batch::default() }).expect("a commit");
    }
    now
}

/// From the request to the first byte of its answer.
fn first_byte(address: SocketAddr, path: &str) -> (Duration, usize) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let start = now();
    stream.write_all(request.as_bytes()).expect("a request");
    let mut byte = [0];
    stream.read_exact(&mut byte).expect("an answer");
    let took = start.elapsed();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("the whole answer");
    assert!(rest.starts_with("TTP/1.1 200"), "{path}: {}", &rest[..80]);
    (took, rest.len())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn now() -> Instant {
    Instant::now()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("twinlog.db");
    fill(&path);
    let bytes = std::fs::metadata(&path).expect("the store").len();
    println!("{FINDINGS} findings, {TABLES} tables, store of {} MB", bytes / 1_000_000);
    let node = |name: &str| Node { name: name.into(), ..Node::default() };
    let nodes = Nodes::new(vec![node("a"), node("b")]);
    let store = Arc::new(Mutex::new(Store::look(&path).expect("the store")));
    let news = watch::Sender::new(0);
    let shared = Shared {
        metrics: Arc::new(Metrics::new(&nodes, [].into_iter(), [].into_iter()).expect("metrics")),
        refresh: Arc::new(|| {}),
        pulse: Arc::default(),
        status: watch::Sender::new(Arc::new(Status::default())).subscribe(),
        findings: Arc::new(Findings::new(store, None)),
        news: news.clone(),
        desk: Arc::new(NoDesk),
        explaining: Arc::new(Semaphore::new(1)),
        access: Arc::new(Access::new([127, 0, 0, 1].into(), None, false)),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move { serve(listener, router(shared)).await });
    let pages = [
        ("the status page", "/"),
        ("all states", "/?state=all"),
        ("of one kind", "/?kind=write_conflict"),
        ("of one table", "/?table=shop.table_7"),
        ("of a pattern of tables", "/?table=shop.*_1*&kind=divergence&state=healed"),
        ("of no table", "/?table=none.*"),
        ("the API, 100 findings", "/api/v1/findings"),
        ("one finding", "/api/v1/findings/9e3779b97f4a7c15"),
    ];
    for (what, path) in pages {
        let path = if what == "one finding" {
            format!("/findings/{:032x}", 0x9e37_79b9_7f4a_7c15_u64)
        } else {
            path.to_owned()
        };
        let ask = || (0..ROUNDS).map(|_| first_byte(address, &path));
        let fresh = ask()
            .map(|(took, _)| {
                news.send_modify(|news| *news += 1);
                took
            })
            .collect();
        let again: Vec<(Duration, usize)> = ask().collect();
        let size = again[0].1;
        let again = again.into_iter().map(|(took, _)| took).collect();
        println!(
            "{what:24} {:6.1} ms after a change, {:6.1} ms again, {} kB",
            median(fresh),
            median(again),
            size / 1000
        );
    }
}
