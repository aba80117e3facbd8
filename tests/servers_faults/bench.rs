//! A pair of masters, and a watch that reads them through proxies.

use crate::support::{
    lab::{Lab, Server},
    proxy::Proxy,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

/// How long anything here may take before the test has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A pair of masters, and a watch that reads them through proxies and has a store.
pub(crate) struct Bench {
    pub(crate) lab: Lab,
    pub(crate) proxies: [Proxy; 2],
    pub(crate) watch: Child,
    /// The next key that nobody has written.
    next: u32,
}

impl Bench {
    pub(crate) fn start(server: Server) -> Bench {
        Bench::with(Lab::pair(server), "")
    }

    /// The same with more in `[watch]`.
    pub(crate) fn with(lab: Lab, more: &str) -> Bench {
        lab.sql("a", TABLES);
        lab.settle();
        lab.idempotent();
        let proxies = ["a", "b"].map(|node| Proxy::start(lab.node(node).port));
        let path = |name: &str| lab.dir().join(name);
        fs::write(path("password"), Lab::PASSWORD).unwrap();
        let mut config = String::new();
        for (at, name) in ["a", "b"].into_iter().enumerate() {
            config += &format!(
                "[nodes.{name}]\nurl = \"mysql://twinlog@127.0.0.1:{}\"\n\
                 password_file = \"{}\"\nserver_ids = [{}]\n",
                proxies[at].port(),
                path("password").display(),
                at + 1
            );
        }
        config += &format!(
            "[watch]\nlisten = \"127.0.0.1:0\"\nstart = \"earliest\"\nstore = \"{}\"\n{more}",
            path("twinlog.db").display()
        );
        fs::write(path("twinlog.toml"), config).unwrap();
        let watch = spawn(&lab);
        let mut bench = Bench { lab, proxies, watch, next: 1 };
        bench.until("it is connected", |bench| {
            bench.metric("stream_connected{stream=\"b\"}") == 1.0
        });
        bench
    }

    /// Kills the watch, as a crash would, and starts it again after something has happened.
    pub(crate) fn restart_watch(&mut self, meanwhile: impl FnOnce(&mut Bench)) {
        self.until("it remembers where it is", |bench| {
            let store = rusqlite::Connection::open(bench.path("twinlog.db")).unwrap();
            let all = match bench.lab.server() {
                Server::MariaDb => "SELECT @@GLOBAL.gtid_binlog_state",
                Server::MySql => "SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '')",
            };
            let sorted = |set: &str| -> BTreeSet<String> {
                set.trim().split(',').map(str::to_owned).collect()
            };
            ["a", "b"].iter().all(|node| {
                let set = "SELECT gtid_set FROM checkpoint WHERE node = ?1";
                let set: String = store.query_row(set, [node], |row| row.get(0)).unwrap();
                sorted(&set) == sorted(&bench.lab.sql(node, all))
            })
        });
        self.watch.kill().unwrap();
        self.watch.wait().unwrap();
        meanwhile(self);
        self.watch = spawn(&self.lab);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.lab.dir().join(name)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// Waits for something, which is looked at every moment.
    pub(crate) fn until(&mut self, what: &str, done: impl Fn(&Bench) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !done(self) {
            let log = self.log();
            assert!(self.watch.try_wait().unwrap().is_none(), "{what}: it has ended: {log}");
            assert!(Instant::now() < deadline, "{what}\n{:#?}\n{log}", self.found());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What `/metrics` says of a series; nothing is a number that is equal to no other.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let log = self.log();
        let address =
            log.split_once("metrics at http://").and_then(|(_, rest)| rest.split_once('/'));
        let Some((address, _)) = address else { return f64::NAN };
        let mut answer = String::new();
        let mut connection = TcpStream::connect(address).unwrap();
        connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        connection.read_to_string(&mut answer).unwrap();
        let value =
            |line: &str| line.strip_prefix("twinlog_")?.strip_prefix(series)?.trim().parse().ok();
        answer.lines().find_map(value).unwrap_or(f64::NAN)
    }

    pub(crate) fn drops(&self, node: &str, reason: &str) -> f64 {
        self.metric(&format!("stream_reconnects_total{{reason=\"{reason}\",stream=\"{node}\"}}"))
    }

    /// What has been told, each finding as it was told last. None is told twice.
    pub(crate) fn found(&self) -> BTreeMap<String, Value> {
        let text = fs::read_to_string(self.path("findings")).unwrap();
        // The last line may still be on its way.
        let whole: Vec<&str> =
            text.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
        let mut lines = whole.clone();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), whole.len(), "told twice: {text}");
        by_id(&text[..text.rfind('\n').map_or(0, |end| end + 1)])
    }

    pub(crate) fn gaps(&self, node: &str) -> Vec<String> {
        let found = self.found();
        let gaps = found.values().filter(|of| of["reason"] == "gap" && of["node"] == node);
        gaps.map(|of| of["detail"].as_str().unwrap().to_owned()).collect()
    }

    /// After something has happened, both masters insert the same two rows at once, with clocks
    /// that jump to and fro. Then they are in step again. Returns the keys.
    pub(crate) fn clash(&mut self, before: impl FnOnce(&mut Bench)) -> [u32; 2] {
        let keys = [self.next, self.next + 1];
        self.next += 2;
        self.lab.stop_replication();
        before(self);
        for (node, times) in [("a", [1, 2_000_000_000]), ("b", [1_999_999_999, 5])] {
            for (key, time) in keys.iter().zip(times) {
                let insert = format!("INSERT INTO t.x VALUES ({key}, '{node}')");
                self.lab.sql(node, &format!("SET timestamp = {time}; {insert}"));
            }
        }
        self.heal();
        keys
    }

    /// Replication goes on, and every hole before is certain.
    pub(crate) fn heal(&self) {
        self.lab.idempotent();
        self.lab.start_replication();
        self.lab.settle();
        for node in ["a", "b"] {
            let mark = format!("INSERT INTO t.mark_{node} VALUES (NULL)");
            self.lab.sql(node, &mark);
        }
        self.lab.settle();
    }

    /// Keys of conflicts that have been told; where a table map lies, some are of other columns, or
    /// of none.
    pub(crate) fn conflicts(&self) -> Vec<u64> {
        let found = self.found();
        let conflicts = found.values().filter(|of| of["kind"] == "write_conflict");
        conflicts.filter_map(|of| of["key"]["id"].as_u64()).collect()
    }

    pub(crate) fn until_told(&mut self, keys: [u32; 2]) {
        self.until("conflicts", |bench| {
            let told = bench.conflicts();
            keys.iter().all(|key| told.contains(&u64::from(*key)))
        });
    }

    /// Shuts the masters down and starts them with these options for b.
    pub(crate) fn restart_with(&mut self, options: &[&str]) {
        self.lab.stop();
        self.lab.restart_with("b", options);
        self.reach();
    }

    /// The masters have been started again, perhaps at other ports.
    pub(crate) fn reach(&self) {
        for (proxy, node) in self.proxies.iter().zip(["a", "b"]) {
            proxy.to(self.lab.node(node).port);
        }
    }

    /// What a scan of the logs tells, as they are now.
    pub(crate) fn scan(&self) -> BTreeMap<String, Value> {
        let mut scan = Command::new(env!("CARGO_BIN_EXE_twinlog"));
        scan.args(["scan", "--format", "ndjson", "--config"]).arg(self.path("twinlog.toml"));
        for node in ["a", "b"] {
            scan.arg(format!("{node}={}", self.lab.binlog_dir(node).display()));
        }
        let output = scan.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        by_id(&text)
    }

    /// Waits until the watch has told what a scan of the same logs tells, and nothing else.
    pub(crate) fn equals_scan(&mut self) {
        let scanned = states(&self.scan());
        assert!(scanned.len() > 2, "{scanned:#?}");
        let deadline = Instant::now() + DEADLINE;
        loop {
            let mut told = self.found();
            told.retain(|_, of| !came_late(of));
            let told = states(&told);
            if told == scanned {
                return;
            }
            let differ: Vec<_> =
                scanned.iter().filter(|(id, is)| told.get(*id) != Some(is)).collect();
            let more: Vec<_> = told.iter().filter(|(id, _)| !scanned.contains_key(*id)).collect();
            let log = self.log();
            assert!(Instant::now() < deadline, "scan: {differ:#?}, more: {more:#?}\n{log}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ends the connections of the reader's account, as an operator would.
    pub(crate) fn kill_dumps(&self, node: &str) {
        let ids = "SELECT id FROM information_schema.processlist WHERE user = 'twinlog'";
        for id in self.lab.sql(node, ids).lines() {
            // It may have ended by itself.
            let _ = self.lab.try_sql(node, &format!("KILL {id}"));
        }
    }
}

/// A watch, which adds to what it has told, and begins its log anew.
fn spawn(lab: &Lab) -> Child {
    let path = |name: &str| lab.dir().join(name);
    let findings = File::options().create(true).append(true).open(path("findings")).unwrap();
    // A limit on the size of files is to be an error there, as a full disk is, and no signal.
    let mut command = Command::new("sh");
    if lab.has_clocks() {
        own_clock(&mut command, &path("clock"));
    }
    command
        .args(["-c", "trap '' XFSZ; exec \"$0\" watch --config \"$1\""])
        .arg(env!("CARGO_BIN_EXE_twinlog"))
        .arg(path("twinlog.toml"))
        .stdout(findings)
        .stderr(File::create(path("log")).unwrap())
        .spawn()
        .unwrap()
}

impl Drop for Bench {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.watch.kill();
        let _ = self.watch.wait();
    }
}

const TABLES: &str = "CREATE DATABASE t; CREATE TABLE t.x (id INT PRIMARY KEY, v VARCHAR(9));
    CREATE TABLE t.big (id INT PRIMARY KEY, v LONGBLOB);
    CREATE TABLE t.mark_a (id INT AUTO_INCREMENT PRIMARY KEY);
    CREATE TABLE t.mark_b (id INT AUTO_INCREMENT PRIMARY KEY);";

pub(crate) fn by_id(ndjson: &str) -> BTreeMap<String, Value> {
    let findings = ndjson.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    findings.map(|of| (of["id"].as_str().unwrap().to_owned(), of)).collect()
}

/// What two ways to look at the same logs must agree on.
pub(crate) fn states(found: &BTreeMap<String, Value>) -> BTreeMap<String, Vec<String>> {
    let fields = ["kind", "key", "certainty", "state", "outcome", "reason", "detail"];
    let words = |of: &Value| fields.iter().map(|field| of[*field].to_string()).collect();
    found.iter().map(|(id, of)| (id.clone(), words(of))).collect()
}

/// A copy that was late, and came.
pub(crate) fn came_late(of: &Value) -> bool {
    let detail = of["detail"].as_str().unwrap_or_default();
    of["kind"] == "missing_copy" && of["state"] == "healed" && detail.starts_with("not shown for")
}

/// Has a program see a clock that jumps: by the offset, such as `+3h`, that is in the file. Waits
/// are as long as they were.
fn own_clock(command: &mut Command, file: &Path) {
    let is_there = |dir: &PathBuf| dir.join("faketime/libfaketime.so.1").exists();
    let dirs = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let dir = dirs.into_iter().find(is_there).expect("libfaketime, of the package faketime");
    fs::write(file, "+0").unwrap();
    command.env("LD_PRELOAD", dir.join("faketime/libfaketime.so.1"));
    command.env("FAKETIME_TIMESTAMP_FILE", file).env("FAKETIME_NO_CACHE", "1");
    command.env("DONT_FAKE_MONOTONIC", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
}
