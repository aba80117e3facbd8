//! What happens to a watch when servers, networks and stores fail: nothing is lost and nothing is
//! told twice, or a blind spot names what is missing.
//!
//! Each pair of masters walks through several faults, with two conflicts in each. At the end the
//! watch has told what a scan of the same logs tells.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "a test that waits has a deadline")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;
use support::{
    lab::{Lab, Server},
    proxy::Proxy,
};

/// How long anything here may take before the test has failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// A pair of masters, and a watch that reads them through proxies and has a store.
struct Bench {
    lab: Lab,
    proxies: [Proxy; 2],
    watch: Child,
    /// The next key that nobody has written.
    next: u32,
}

impl Bench {
    fn start(server: Server) -> Bench {
        let lab = Lab::pair(server);
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
            "[watch]\nlisten = \"127.0.0.1:0\"\nstart = \"earliest\"\nstore = \"{}\"\n",
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
    fn restart_watch(&mut self, meanwhile: impl FnOnce(&mut Bench)) {
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

    fn path(&self, name: &str) -> PathBuf {
        self.lab.dir().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// Waits for something, which is looked at every moment.
    fn until(&mut self, what: &str, done: impl Fn(&Bench) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !done(self) {
            let log = self.log();
            assert!(self.watch.try_wait().unwrap().is_none(), "{what}: it has ended: {log}");
            assert!(Instant::now() < deadline, "{what}\n{:#?}\n{log}", self.found());
            std::thread::sleep(Duration::from_millis(50));
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
        let value =
            |line: &str| line.strip_prefix("twinlog_")?.strip_prefix(series)?.trim().parse().ok();
        answer.lines().find_map(value).unwrap_or(f64::NAN)
    }

    fn drops(&self, node: &str, reason: &str) -> f64 {
        self.metric(&format!("stream_reconnects_total{{reason=\"{reason}\",stream=\"{node}\"}}"))
    }

    /// What has been told, each finding as it was told last. None is told twice.
    fn found(&self) -> BTreeMap<String, Value> {
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

    fn gaps(&self, node: &str) -> Vec<String> {
        let found = self.found();
        let gaps = found.values().filter(|of| of["reason"] == "gap" && of["node"] == node);
        gaps.map(|of| of["detail"].as_str().unwrap().to_owned()).collect()
    }

    /// After something has happened, both masters insert the same two rows at once, with clocks
    /// that jump to and fro. Then they are in step again. Returns the keys.
    fn clash(&mut self, before: impl FnOnce(&mut Bench)) -> [u32; 2] {
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
    fn heal(&self) {
        self.lab.idempotent();
        self.lab.start_replication();
        self.lab.settle();
        for node in ["a", "b"] {
            let mark = format!("INSERT INTO t.mark_{node} VALUES (NULL)");
            self.lab.sql(node, &mark);
        }
        self.lab.settle();
    }

    /// Keys of conflicts that have been told.
    fn conflicts(&self) -> Vec<u64> {
        let found = self.found();
        let conflicts = found.values().filter(|of| of["kind"] == "write_conflict");
        conflicts.map(|of| of["key"]["id"].as_u64().unwrap()).collect()
    }

    fn until_told(&mut self, keys: [u32; 2]) {
        self.until("conflicts", |bench| {
            let told = bench.conflicts();
            keys.iter().all(|key| told.contains(&u64::from(*key)))
        });
    }

    /// Shuts the masters down and starts them with these options for b.
    fn restart_with(&mut self, options: &[&str]) {
        self.lab.stop();
        self.lab.restart_with("b", options);
        self.reach();
    }

    /// The masters have been started again, perhaps at other ports.
    fn reach(&self) {
        for (proxy, node) in self.proxies.iter().zip(["a", "b"]) {
            proxy.to(self.lab.node(node).port);
        }
    }

    /// What a scan of the logs tells, as they are now.
    fn scan(&self) -> BTreeMap<String, Value> {
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
    fn equals_scan(&mut self) {
        let scanned = states(&self.scan());
        assert!(scanned.len() > 2, "{scanned:#?}");
        let deadline = Instant::now() + DEADLINE;
        loop {
            let mut told = self.found();
            told.retain(|_, of| !is_of_a_jump(of));
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
    fn kill_dumps(&self, node: &str) {
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
    Command::new("sh")
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

/// A transaction that MariaDB dates decades back is late at once, until its copy shows.
fn is_of_a_jump(of: &Value) -> bool {
    let at = of["transactions"][0]["committed_at"].as_str().unwrap_or_default();
    of["kind"] == "missing_copy" && of["state"] == "healed" && at < "1971"
}

#[test]
fn mariadb_faults_lose_nothing() {
    faults_lose_nothing(Server::MariaDb);
}

#[test]
fn mysql_faults_lose_nothing() {
    faults_lose_nothing(Server::MySql);
}

fn faults_lose_nothing(server: Server) {
    let mut bench = Bench::start(server);
    let keys = bench.clash(|_| ());
    bench.until_told(keys);

    // A network that is cut, and comes back.
    let keys = bench.clash(|bench| {
        bench.proxies.iter().for_each(Proxy::cut);
        bench.until("cut", |bench| bench.metric("stream_connected{stream=\"a\"}") == 0.0);
    });
    assert!(keys.iter().all(|key| !bench.conflicts().contains(&u64::from(*key))));
    bench.proxies.iter().for_each(Proxy::pass);
    bench.until_told(keys);

    half_open(&mut bench);
    slow_link(&mut bench);
    rotated_password(&mut bench);
    locked_store(&mut bench);
    full_disk(&mut bench);
    crash(&mut bench);
    bench.equals_scan();
    assert_eq!(bench.gaps("a").len() + bench.gaps("b").len(), 0);
}

/// Nothing comes any more, and nobody says so.
fn half_open(bench: &mut Bench) {
    let keys = bench.clash(|bench| bench.proxies[0].stall());
    bench.until("silence is noticed", |bench| bench.drops("a", "timeout") >= 1.0);
    assert!(keys.iter().all(|key| !bench.conflicts().contains(&u64::from(*key))));
    bench.proxies[0].pass();
    bench.until_told(keys);
}

/// The stream falls behind, and the delay says so.
fn slow_link(bench: &mut Bench) {
    let before = bench.drops("a", "timeout");
    bench.proxies[0].throttle(100_000);
    let keys = bench.clash(|bench| {
        for id in 0..8 {
            let insert = format!("INSERT INTO t.big VALUES ({id}, REPEAT('x', 100000))");
            bench.lab.sql("a", &insert);
        }
        bench.lab.sql("a", "INSERT INTO t.mark_a VALUES (NULL)");
    });
    bench.until_told(keys);
    let delay = bench.metric("stream_delay_seconds{stream=\"a\"}");
    assert!(delay > 3.0, "{delay}");
    assert_eq!(bench.drops("a", "timeout"), before, "slow is not silent");
    bench.proxies[0].pass();
}

/// The account's password changes on the server, and back.
fn rotated_password(bench: &mut Bench) {
    let set = |bench: &Bench, password: &str| {
        let alter = format!("ALTER USER twinlog@'127.0.0.1' IDENTIFIED BY '{password}'");
        bench.lab.sql("b", &format!("SET sql_log_bin = 0; {alter}"));
    };
    let keys = bench.clash(|bench| set(bench, "another"));
    // What is connected goes on.
    bench.until_told(keys);
    let keys = bench.clash(|bench| {
        bench.kill_dumps("b");
        bench.until("it is refused", |bench| bench.drops("b", "auth") >= 1.0);
    });
    set(bench, Lab::PASSWORD);
    bench.until_told(keys);
}

/// Somebody else holds the store: findings wait, and are told when it is free.
fn locked_store(bench: &mut Bench) {
    let holder = rusqlite::Connection::open(bench.path("twinlog.db")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let keys = bench.clash(|_| ());
    bench.until("commits fail", |bench| bench.metric("store_errors_total") >= 1.0);
    assert!(keys.iter().all(|key| !bench.conflicts().contains(&u64::from(*key))));
    holder.execute_batch("ROLLBACK").unwrap();
    drop(holder);
    bench.until_told(keys);
}

/// No file can grow: findings wait, and are told when there is room.
fn full_disk(bench: &mut Bench) {
    let limit = |bench: &Bench, bytes: Option<u64>| {
        let pid = Pid::from_child(&bench.watch);
        prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    };
    let failed = bench.metric("store_errors_total");
    limit(bench, Some(1));
    let keys = bench.clash(|_| ());
    bench.until("commits fail", |bench| bench.metric("store_errors_total") > failed);
    assert!(keys.iter().all(|key| !bench.conflicts().contains(&u64::from(*key))));
    limit(bench, None);
    bench.until_told(keys);
    assert_eq!(bench.metric("findings_dropped_total{reason=\"store\"}"), 0.0);
    assert_eq!(bench.metric("findings_dropped_total{reason=\"output\"}"), 0.0);
}

/// All servers are killed while they write, and come back.
fn crash(bench: &mut Bench) {
    let keys = bench.clash(|bench| {
        for round in 0..20 {
            bench.lab.sql("a", &format!("INSERT INTO t.big VALUES ({}, 'y')", 100 + round));
        }
    });
    bench.lab.kill();
    bench.lab.restart();
    bench.reach();
    bench.until_told(keys);
    let keys = bench.clash(|_| ());
    bench.until_told(keys);
}

#[test]
fn mariadb_what_is_lost_is_named() {
    what_is_lost_is_named(Server::MariaDb);
}

#[test]
fn mysql_what_is_lost_is_named() {
    what_is_lost_is_named(Server::MySql);
}

fn what_is_lost_is_named(server: Server) {
    let mut bench = Bench::start(server);
    let keys = bench.clash(|_| ());
    bench.until_told(keys);
    purged(&mut bench);
    another_server(&mut bench);
    silent(&mut bench);
    if server == Server::MySql {
        another_uuid(&mut bench);
    }
    reset(&mut bench, false);
    reset(&mut bench, true);
    older_backup(&mut bench);
}

/// Binlogs are purged before they are read: the gap names what is lost, and all after it is judged.
fn purged(bench: &mut Bench) {
    bench.proxies[0].cut();
    bench.until("cut", |bench| bench.metric("stream_connected{stream=\"a\"}") == 0.0);
    let lost = purge(bench);
    bench.proxies[0].pass();
    names_the_gap(bench, &lost, 1);
    assert!(bench.log().contains("not judged: the server purged"));
    // The same while nobody watches.
    let mut lost = None;
    bench.restart_watch(|bench| lost = Some(purge(bench)));
    names_the_gap(bench, &lost.unwrap(), 2);
    assert_eq!(bench.gaps("b"), [""; 0]);
}

/// What was written, and purged.
struct Lost {
    keys: [u32; 2],
    /// The first and the last number of a's own.
    numbers: [u64; 2],
}

/// Both masters write, and a purges it.
fn purge(bench: &mut Bench) -> Lost {
    let first = bench.lab.last_number("a") + 1;
    let keys = bench.clash(|_| ());
    let numbers = [first, bench.lab.last_number("a")];
    bench.lab.sql("a", "FLUSH BINARY LOGS");
    let newest = bench.lab.sql("a", "SHOW BINARY LOGS").lines().last().unwrap().to_owned();
    let purge = format!("PURGE BINARY LOGS TO '{}'", newest.split('\t').next().unwrap());
    // A file that is still read is left alone: until then, ask again.
    let deadline = Instant::now() + DEADLINE;
    while bench.lab.sql("a", "SHOW BINARY LOGS").lines().count() > 1 {
        assert!(Instant::now() < deadline, "the files stay");
        bench.lab.sql("a", &purge);
        std::thread::sleep(Duration::from_millis(100));
    }
    Lost { keys, numbers }
}

fn names_the_gap(bench: &mut Bench, lost: &Lost, count: usize) {
    bench.until("a gap", |bench| bench.gaps("a").len() == count);
    assert_eq!(bench.metric("gaps_total{stream=\"a\"}"), 1.0);
    let keys = bench.clash(|_| ());
    bench.until_told(keys);
    let gaps = bench.gaps("a");
    assert!(gaps.iter().any(|gap| names(bench, gap, lost.numbers)), "{:?}: {gaps:?}", lost.numbers);
    assert!(lost.keys.iter().all(|key| !bench.conflicts().contains(&u64::from(*key))));
}

/// Whether a gap's text names these numbers of a's own. A watch that was killed may have to read a
/// second again, and that is gone, too.
fn names(bench: &Bench, gap: &str, [first, last]: [u64; 2]) -> bool {
    let zero = bench.lab.gtid("a", 0);
    let source = zero.strip_suffix('0').unwrap();
    let words = gap.split([' ', ',']).find_map(|word| word.strip_prefix(source));
    let Some(words) = words else { return false };
    let (from, to) = words.split_once("..").or_else(|| words.split_once('-')).unwrap();
    let (from, to): (u64, u64) = (from.parse().unwrap(), to.parse().unwrap());
    to == last && (first.saturating_sub(3)..=first).contains(&from)
}

/// An address leads to the other master for a while: it is not followed, and that is told.
fn another_server(bench: &mut Bench) {
    bench.proxies[0].to(bench.lab.node("b").port);
    bench.proxies[0].break_once();
    bench.until("it is refused", |bench| bench.drops("a", "replaced") >= 2.0);
    let keys = bench.clash(|_| ());
    let gaps = bench.gaps("a");
    let refused = gaps.iter().filter(|gap| gap.starts_with("another server answers"));
    assert_eq!(refused.count(), 1, "told once: {gaps:?}");
    assert!(keys.iter().all(|key| !bench.conflicts().contains(&u64::from(*key))));
    bench.reach();
    bench.until_told(keys);
}

/// A master comes back with all it had and another UUID, as from a backup: it is followed.
fn another_uuid(bench: &mut Bench) {
    let gaps = bench.gaps("b");
    bench.lab.stop();
    fs::remove_file(bench.lab.node("b").datadir.join("auto.cnf")).unwrap();
    bench.lab.restart();
    bench.reach();
    bench.until("it is noted", |bench| bench.log().contains("another server_uuid"));
    let keys = bench.clash(|_| ());
    bench.until_told(keys);
    assert_eq!(bench.gaps("b"), gaps);
}

/// A master is started without logging what it applies, and then with it again.
fn silent(bench: &mut Bench) {
    let name = match bench.lab.server() {
        Server::MariaDb => "--log-slave-updates",
        Server::MySql => "--log-replica-updates",
    };
    bench.restart_with(&[&format!("{name}=OFF")]);
    bench.until("it is noted", |bench| {
        let silent = |of: &&Value| of["reason"] == "no_copies" && of["node"] == "b";
        bench.found().values().filter(silent).count() == 1
    });
    assert_eq!(bench.metric("check_ok{check=\"log_replica_updates\",stream=\"b\"}"), 0.0);
    let gaps = bench.metric("gaps_total{stream=\"b\"}");
    bench.restart_with(&[&format!("{name}=ON")]);
    bench.until("it begins anew", |bench| {
        bench.metric("gaps_total{stream=\"b\"}") > gaps
            && bench.metric("check_ok{check=\"log_replica_updates\",stream=\"b\"}") == 1.0
    });
    let keys = bench.clash(|_| ());
    bench.until_told(keys);
}

/// The logs of both masters are reset, with the same numbers again, while the watch is connected,
/// or while there is none.
fn reset(bench: &mut Bench, watch_is_down: bool) {
    bench.lab.stop_replication();
    let judged = ["a", "b"].map(|node| bench.gaps(node).len());
    let reset = |bench: &mut Bench| {
        for node in ["a", "b"] {
            match bench.lab.server() {
                Server::MariaDb => {
                    bench.lab.sql(node, "RESET MASTER; SET GLOBAL gtid_slave_pos = ''")
                }
                Server::MySql => bench.lab.sql(node, "RESET REPLICA; RESET BINARY LOGS AND GTIDS"),
            };
        }
        bench.lab.start_replication();
    };
    match watch_is_down {
        true => bench.restart_watch(reset),
        false => reset(bench),
    }
    bench.until("both begin anew", |bench| {
        let is = ["a", "b"].map(|node| bench.gaps(node).len());
        is.iter().zip(judged).all(|(is, was)| *is > was)
    });
    let before = bench.conflicts().len();
    let keys = bench.clash(|_| ());
    bench.until_told(keys);
    assert_eq!(bench.conflicts().len(), before + 2);
    // The numbers are those of the first transactions of all, and nothing is taken for them.
    let about = |of: &Value| of["key"]["id"].as_u64().is_some_and(|id| id >= u64::from(keys[0]));
    let new = |mut found: BTreeMap<String, Value>| {
        found.retain(|_, of| about(of) && !is_of_a_jump(of));
        states(&found)
    };
    let scanned = new(bench.scan());
    bench.until("what a scan tells", |bench| new(bench.found()) == scanned);
    let told = bench.found();
    let loops = told.values().filter(|of| of["kind"] == "replication_loop");
    assert_eq!(loops.count(), 0, "{told:#?}");
}

/// Both masters are set back to what they were before: their last transactions never were, and
/// their numbers come again.
fn older_backup(bench: &mut Bench) {
    let dirs: Vec<(PathBuf, PathBuf)> = ["a", "b"]
        .iter()
        .flat_map(|name| {
            let node = bench.lab.node(name);
            [("data", &node.datadir), ("binlog", &node.binlog_dir)]
                .map(|(what, dir)| (dir.clone(), bench.path(&format!("old-{what}-{name}"))))
        })
        .collect();
    let copy = |from: &Path, to: &Path| {
        let mut cp = Command::new("cp");
        cp.args(["--archive", "--no-target-directory"]).args([from, to]);
        assert!(cp.status().unwrap().success());
    };
    bench.lab.stop();
    dirs.iter().for_each(|(dir, old)| copy(dir, old));
    bench.lab.restart();
    bench.reach();
    let keys = bench.clash(|_| ());
    bench.until_told(keys);
    let gaps = ["a", "b"].map(|node| bench.gaps(node).len());
    bench.lab.stop();
    for (dir, old) in &dirs {
        fs::remove_dir_all(dir).unwrap();
        copy(old, dir);
    }
    bench.lab.restart();
    bench.reach();
    bench.until("both begin anew", |bench| {
        ["a", "b"].iter().zip(gaps).all(|(node, was)| bench.gaps(node).len() > was)
    });
    let keys = bench.clash(|_| ());
    bench.until_told(keys);
    let found = bench.found();
    let loops = found.values().filter(|of| of["kind"] == "replication_loop");
    assert_eq!(loops.count(), 0, "{found:#?}");
}
