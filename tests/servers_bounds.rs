//! A watch with little memory beside real masters: it stays small, says what it let go, and lets
//! a stream wait where that is enough.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "a test that waits has a deadline")]

mod support;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command},
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{
    lab::{Lab, Server},
    proxy::Proxy,
};

/// How long anything here may take before the test has failed.
const DEADLINE: Duration = Duration::from_secs(300);
/// `watch.memory` of all watches here.
const MEMORY: f64 = (16 << 20) as f64;
/// Resident memory that docs/limits.md promises: one and a half times that, and 100 MB.
const RESIDENT_MAX: f64 = MEMORY * 1.5 + 100e6;

const TABLES: &str = "CREATE DATABASE t; CREATE TABLE t.x (id INT PRIMARY KEY, v VARCHAR(9));
    CREATE TABLE t.n (n INT PRIMARY KEY); CREATE TABLE t.mark_a (id INT PRIMARY KEY);
    CREATE TABLE t.mark_b (id INT PRIMARY KEY);
    INSERT INTO t.n VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);
    INSERT INTO t.n SELECT a.n + 10 * b.n + 100 * c.n FROM t.n a, t.n b, t.n c
    WHERE a.n + 10 * b.n + 100 * c.n > 9;";

struct Bench {
    lab: Lab,
    proxies: [Proxy; 2],
    watch: Option<Child>,
}

impl Bench {
    fn start(server: Server) -> Bench {
        let lab = Lab::pair(server);
        lab.sql("a", TABLES);
        lab.settle();
        lab.idempotent();
        let proxies = ["a", "b"].map(|node| Proxy::start(lab.node(node).port));
        let mut config = String::new();
        let path = |name: &str| lab.dir().join(name);
        fs::write(path("password"), Lab::PASSWORD).unwrap();
        for (at, name) in ["a", "b"].into_iter().enumerate() {
            let (port, password) = (proxies[at].port(), path("password"));
            write!(
                config,
                "[nodes.{name}]\nurl = \"mysql://twinlog@127.0.0.1:{port}\"\n\
                 password_file = \"{}\"\nserver_ids = [{}]\n",
                password.display(),
                at + 1
            )
            .unwrap();
        }
        config += "[defaults]\nshared_key_window = \"0s\"\nnear_conflict_window = \"0s\"\n\
                   [watch]\nlisten = \"127.0.0.1:0\"\nstart = \"earliest\"\nmemory = \"16MiB\"\n";
        fs::write(path("twinlog.toml"), config).unwrap();
        Bench { lab, proxies, watch: None }
    }

    fn watch(&mut self) {
        let file = |name: &str| File::create(self.path(name)).unwrap();
        let watch = Command::new(env!("CARGO_BIN_EXE_twinlog"))
            .args(["watch", "--config"])
            .arg(self.path("twinlog.toml"))
            .stdout(file("findings"))
            .stderr(file("log"))
            .spawn();
        self.watch = Some(watch.unwrap());
        self.until("it is connected", |bench| {
            bench.metric("twinlog_stream_connected{stream=\"b\"}") == 1.0
        });
    }

    fn path(&self, name: &str) -> PathBuf {
        self.lab.dir().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// Waits for something, which is looked at every moment; what is held never is too much.
    fn until(&mut self, what: &str, done: impl Fn(&Bench) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !done(self) {
            let log = self.log();
            let ended = self.watch.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "{what}: it has ended: {log}");
            let held = self.metric("twinlog_memory_held_bytes");
            assert!(held.is_nan() || held <= MEMORY * 1.02, "{what}: {held} bytes are held");
            assert!(Instant::now() < deadline, "{what}\n{:#?}\n{log}", self.found().values());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What `/metrics` says of a series; nothing is a number that is equal to no other.
    fn metric(&self, series: &str) -> f64 {
        let log = self.log();
        let address =
            log.split_once("metrics at http://").and_then(|(_, rest)| rest.split_once('/'));
        let Some((address, _)) = address else { return f64::NAN };
        let mut answer = String::new();
        let mut connection = TcpStream::connect(address).unwrap();
        connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        connection.read_to_string(&mut answer).unwrap();
        let value = |line: &str| line.strip_prefix(series)?.trim().parse().ok();
        answer.lines().find_map(value).unwrap_or(f64::NAN)
    }

    /// The most memory that was resident so far, in bytes.
    fn peak(&self) -> f64 {
        let pid = self.watch.as_ref().unwrap().id();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kilobytes = line.trim().trim_end_matches("kB").trim();
        kilobytes.parse::<f64>().unwrap() * 1024.0
    }

    /// What has been told, each finding as it was told last. None is told twice.
    fn found(&self) -> BTreeMap<String, Value> {
        let text = fs::read_to_string(self.path("findings")).unwrap();
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let mut lines: Vec<&str> = whole.lines().collect();
        let told = lines.len();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), told, "told twice: {text}");
        by_id(whole)
    }

    fn of_kind(&self, kind: &str) -> Vec<Value> {
        self.found().into_values().filter(|of| of["kind"] == kind).collect()
    }

    fn of_reason(&self, reason: &str) -> Vec<Value> {
        self.found().into_values().filter(|of| of["reason"] == reason).collect()
    }

    /// One node inserts so many thousand rows, a thousand in each transaction.
    fn write(&self, node: &str, thousands: std::ops::Range<u32>) {
        let mut sql = String::new();
        for from in thousands {
            writeln!(sql, "INSERT INTO t.x SELECT n + {}, '{node}' FROM t.n;", from * 1000)
                .unwrap();
        }
        self.lab.sql(node, &sql);
    }

    /// Waits until every node has applied the others' transactions: on a busy machine a lot of them
    /// takes longer than the lab waits at once.
    fn settle(&self) {
        let deadline = Instant::now() + DEADLINE;
        while let Err(message) = self.lab.try_settle() {
            assert!(Instant::now() < deadline, "{message}");
        }
    }

    /// Both masters insert the same row at once; then they are in step again.
    fn clash(&self, key: u32) {
        self.settle();
        self.lab.stop_replication();
        for node in ["a", "b"] {
            self.lab.sql(node, &format!("INSERT INTO t.x VALUES ({key}, 'at {node}')"));
        }
        self.lab.idempotent();
        self.lab.start_replication();
        self.settle();
        for node in ["a", "b"] {
            self.lab.sql(node, &format!("INSERT INTO t.mark_{node} VALUES ({key})"));
        }
        self.settle();
    }

    fn has_conflict(&self, key: u32) -> bool {
        self.of_kind("write_conflict").iter().any(|of| of["key"]["id"] == key)
    }

    /// What a scan of the logs tells.
    fn scan(&self) -> BTreeMap<String, Value> {
        let mut scan = Command::new(env!("CARGO_BIN_EXE_twinlog"));
        scan.args(["scan", "--format", "ndjson", "--config"]).arg(self.path("twinlog.toml"));
        for node in ["a", "b"] {
            scan.arg(format!("{node}={}", self.lab.binlog_dir(node).display()));
        }
        let output = scan.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        by_id(&String::from_utf8(output.stdout).unwrap())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(watch) = &mut self.watch {
            // It may have ended by itself; then there is nothing to end.
            let _ = watch.kill();
            let _ = watch.wait();
        }
    }
}

fn by_id(ndjson: &str) -> BTreeMap<String, Value> {
    let findings = ndjson.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    findings.map(|of| (of["id"].as_str().unwrap().to_owned(), of)).collect()
}

/// What two ways to look at the same logs must agree on.
fn states(found: &BTreeMap<String, Value>) -> BTreeMap<String, Vec<String>> {
    let fields = ["kind", "key", "certainty", "state", "outcome", "reason", "detail"];
    let words = |of: &Value| fields.iter().map(|field| of[*field].to_string()).collect();
    found.iter().map(|(id, of)| (id.clone(), words(of))).collect()
}

#[test]
fn mariadb_stopped_for_long_is_bounded() {
    stopped_for_long(Server::MariaDb);
}

#[test]
fn mysql_stopped_for_long_is_bounded() {
    stopped_for_long(Server::MySql);
}

/// Replication has stopped, and one side writes four times what may be held.
fn stopped_for_long(server: Server) {
    let mut bench = Bench::start(server);
    bench.watch();
    bench.lab.stop_replication();
    bench.write("a", 1..601);
    bench.until("all is read", |bench| {
        bench.metric("twinlog_rows_total{operation=\"insert\",origin=\"a\",stream=\"a\"}")
            >= 600_000.0
    });
    let peak = bench.peak();
    println!(
        "{server:?}: {:.0} MB resident at most, {:.0} MB may be",
        peak / 1e6,
        RESIDENT_MAX / 1e6
    );
    assert!(peak < RESIDENT_MAX, "{peak} bytes");
    let told = bench.of_reason("bound_reached");
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0]["node"], "a");
    // It goes on, and judges what is written then.
    bench.lab.start_replication();
    bench.settle();
    bench.clash(7);
    bench.until("a conflict is told", |bench| bench.has_conflict(7));
    bench.until("everything is shown", |bench| bench.metric("twinlog_pending_keys") == 0.0);
    let found = bench.found();
    let fine = |of: &&Value| match of["kind"].as_str().unwrap() {
        "write_conflict" | "divergence" => of["key"]["id"] == 7,
        "blind_spot" | "missing_copy" => true,
        _ => false,
    };
    let wrong: Vec<&Value> = found.values().filter(|of| !fine(of)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(bench.peak() < RESIDENT_MAX, "{} bytes", bench.peak());
}

#[test]
fn mariadb_a_slow_stream_is_waited_for() {
    a_slow_stream_is_waited_for(Server::MariaDb);
}

#[test]
fn mysql_a_slow_stream_is_waited_for() {
    a_slow_stream_is_waited_for(Server::MySql);
}

/// One stream comes through a slow link, and what the other brings is more than may be held.
fn a_slow_stream_is_waited_for(server: Server) {
    let mut bench = Bench::start(server);
    bench.write("a", 1..101);
    bench.clash(7);
    bench.write("a", 101..301);
    bench.clash(8);
    bench.settle();
    bench.proxies[1].throttle(100_000);
    bench.watch();
    // A thousand rows are 7 KB.
    bench.proxies[1].throttle(5_000);
    bench.until("the stream that is ahead waits", |bench| {
        bench.metric("twinlog_backpressure_seconds_total{stream=\"a\"}") > 1.0
    });
    bench.until("its connection is made again, quietly", |bench| {
        let reason = "{reason=\"backpressure\",stream=\"a\"}";
        bench.metric(&format!("twinlog_stream_reconnects_total{reason}")) >= 1.0
    });
    bench.proxies[1].pass();
    bench.until("both conflicts", |bench| bench.has_conflict(7) && bench.has_conflict(8));
    let scanned = states(&bench.scan());
    bench.until("what a scan tells", |bench| states(&bench.found()) == scanned);
    assert_eq!(bench.of_reason("bound_reached").len(), 0);
    assert_eq!(bench.metric("twinlog_backpressure_seconds_total{stream=\"b\"}"), 0.0);
    let log = bench.log();
    assert!(!log.contains("ERROR"), "{log}");
    assert!(bench.peak() < RESIDENT_MAX, "{} bytes", bench.peak());
}

#[test]
fn mariadb_a_huge_transaction_is_judged_in_part() {
    a_huge_transaction_is_judged_in_part(Server::MariaDb);
}

#[test]
fn mysql_a_huge_transaction_is_judged_in_part() {
    a_huge_transaction_is_judged_in_part(Server::MySql);
}

/// One transaction of 300,000 rows, ten times what is held of one: no row of it is taken for
/// different, and the rest of the logs is judged.
fn a_huge_transaction_is_judged_in_part(server: Server) {
    let mut bench = Bench::start(server);
    bench.watch();
    let huge = "INSERT INTO t.x SELECT 1000 * b.n + a.n + 1000, 'huge' FROM t.n a, t.n b
        WHERE b.n < 300";
    bench.lab.sql("a", huge);
    bench.clash(7);
    // One of its rows that was held, and one that was not, are written again.
    bench.lab.sql("b", "UPDATE t.x SET v = 'b' WHERE id IN (1000, 299999)");
    bench.clash(8);
    bench.until("both conflicts", |bench| bench.has_conflict(7) && bench.has_conflict(8));
    bench.until("everything is shown", |bench| bench.metric("twinlog_pending_keys") == 0.0);
    let told = bench.of_reason("bound_reached");
    let nodes: Vec<&str> = told.iter().map(|of| of["node"].as_str().unwrap()).collect();
    assert_eq!((nodes.len(), nodes.contains(&"a"), nodes.contains(&"b")), (2, true, true));
    for of in &told {
        let count = of["count"].as_u64().unwrap();
        assert!(of["table"] == "t.x" && (200_000..300_000).contains(&count), "{of:#}");
    }
    let found = bench.found();
    let of_others = found.values().filter(|of| {
        let differs = of["kind"] == "divergence" || of["kind"] == "write_conflict";
        differs && of["key"]["id"].as_u64().is_none_or(|id| id > 8)
    });
    assert_eq!(of_others.count(), 0, "{found:#?}");
    let counts: Vec<&Value> = told.iter().map(|of| &of["count"]).collect();
    println!("{server:?}: {counts:?} rows counted, {:.0} MB resident at most", bench.peak() / 1e6);
    assert!(bench.peak() < RESIDENT_MAX, "{} bytes", bench.peak());
}
