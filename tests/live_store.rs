//! `twinlog watch` with a store, beside real masters: nothing is told twice over a restart,
//! acknowledgements show, and metrics are what the servers and the store say.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "a test that waits has a deadline")]

mod support;

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output},
    time::{Duration, Instant},
};

use serde_json::Value;
use support::lab::{Lab, Server};

/// How long anything here may take before the test has failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// A watch that runs; killed with the test.
struct Watch {
    child: Child,
    findings: PathBuf,
    log: PathBuf,
}

impl Watch {
    fn start(lab: &Lab, round: u32) -> Watch {
        Watch::with(lab, &config(lab), round, &lab.dir().join(format!("findings-{round}")))
    }

    /// With this configuration; it writes what it tells to `findings`.
    fn with(lab: &Lab, config: &Path, round: u32, findings: &Path) -> Watch {
        let log = lab.dir().join(format!("log-{round}"));
        let to = File::options().write(true).create(true).truncate(true).open(findings);
        let child = Command::new(env!("CARGO_BIN_EXE_twinlog"))
            .args(["watch", "--config"])
            .arg(config)
            .stdout(to.unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Watch { child, findings: findings.to_owned(), log }
    }

    /// What `/metrics` says; empty before it is served.
    fn metrics(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap();
        let address =
            log.split_once("metrics at http://").and_then(|(_, rest)| rest.split_once('/'));
        let Some((address, _)) = address else { return String::new() };
        let mut answer = String::new();
        let mut connection = TcpStream::connect(address).unwrap();
        connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Waits until these series have these values.
    fn until_metrics(&mut self, wanted: &[(String, f64)]) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let text = self.metrics();
            let differ: Vec<String> = wanted
                .iter()
                .filter(|(series, wanted)| value(&text, series) != Some(*wanted))
                .map(|(series, wanted)| format!("{series} {:?} {wanted}", value(&text, series)))
                .collect();
            if differ.is_empty() {
                return;
            }
            let log = fs::read_to_string(&self.log).unwrap();
            assert!(self.child.try_wait().unwrap().is_none(), "the watch has ended: {log}");
            assert!(Instant::now() < deadline, "is, should be: {differ:#?}\n{log}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What it has told so far.
    fn told(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.findings).unwrap();
        // The last line may still be on its way.
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits for something, which is looked at every moment.
    fn until(&mut self, what: &str, mut done: impl FnMut(&[Value]) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !done(&self.told()) {
            let log = fs::read_to_string(&self.log).unwrap();
            assert!(self.child.try_wait().unwrap().is_none(), "the watch has ended: {log}");
            assert!(Instant::now() < deadline, "{what}: {:#?}\n{log}", self.told());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn store(lab: &Lab) -> String {
    lab.dir().join("twinlog.db").display().to_string()
}

/// Over sockets; with the first rows of the logs again at every start.
fn config(lab: &Lab) -> PathBuf {
    let url = |node: &str| {
        let socket = lab.node(node).socket.display().to_string();
        format!("[nodes.{node}]\nurl = \"mysql://root@localhost?socket={socket}\"\n")
    };
    let path = lab.dir().join("watch.toml");
    let watch = "[watch]\nlisten = \"127.0.0.1:0\"\nstart = \"earliest\"\n";
    let text = format!("{}{}{watch}store = \"{}\"\n", url("a"), url("b"), store(lab));
    fs::write(&path, text).unwrap();
    path
}

/// The same with the account that the documentation asks for.
fn config_of_account(lab: &Lab) -> PathBuf {
    let password = lab.dir().join("password");
    fs::write(&password, Lab::PASSWORD).unwrap();
    let node = |node: &str| {
        let (url, password) = (lab.url(node), password.display());
        format!("[nodes.{node}]\nurl = \"{url}\"\npassword_file = \"{password}\"\n")
    };
    let path = lab.dir().join("account.toml");
    let watch = "[watch]\nlisten = \"127.0.0.1:0\"\nstart = \"earliest\"\n";
    let text = format!("{}{}{watch}store = \"{}\"\n", node("a"), node("b"), store(lab));
    fs::write(&path, text).unwrap();
    path
}

/// The value of a series, without the prefix that all share.
fn value(metrics: &str, series: &str) -> Option<f64> {
    let line = |line: &str| Some(line.strip_prefix("twinlog_")?.strip_prefix(series)?.to_owned());
    metrics.lines().find_map(line)?.trim().parse().ok()
}

fn findings(lab: &Lab, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinlog"));
    command.arg("findings").args(arguments).args(["--store", &store(lab)]).output().unwrap()
}

/// All findings in the store.
fn stored(lab: &Lab) -> Vec<Value> {
    let output = findings(lab, &["list", "--state", "all", "--format", "ndjson"]);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn conflicts(findings: &[Value]) -> Vec<(&Value, &Value)> {
    let conflicts = findings.iter().filter(|finding| finding["kind"] == "write_conflict");
    conflicts.map(|finding| (&finding["key"]["id"], &finding["outcome"])).collect()
}

#[test]
fn what_was_told_before_a_crash_is_told_once() {
    let lab = Lab::pair(Server::MariaDb);
    lab.sql("a", "CREATE DATABASE t; CREATE TABLE t.x (id INT PRIMARY KEY, v VARCHAR(9))");
    lab.settle();
    lab.idempotent();
    lab.stop_replication();
    for node in ["a", "b"] {
        lab.sql(node, &format!("INSERT INTO t.x VALUES (1, '{node}'), (2, '{node}')"));
    }
    let mut watch = Watch::start(&lab, 1);
    watch.until("two conflicts", |told| conflicts(told).len() == 2);
    let told = watch.told();
    assert_eq!(stored(&lab).len(), told.len(), "what was told is kept");
    let second = Command::new(env!("CARGO_BIN_EXE_twinlog"))
        .args(["watch", "--config"])
        .arg(config(&lab))
        .output()
        .unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(2), "{said}");
    let process = format!("in use by another twinlog (process {})", watch.child.id());
    assert!(said.contains(&process), "{said}");
    let id = told.iter().find(|finding| finding["key"]["id"] == 1).unwrap()["id"].clone();
    let id = id.as_str().unwrap();
    let ack = findings(&lab, &["ack", id, "--by", "ann", "--why", "known"]);
    assert!(ack.status.success(), "{ack:?}");

    // Killed, as by a crash; the next one reads the same logs from their beginning.
    drop(watch);
    let mut watch = Watch::start(&lab, 2);
    lab.start_replication();
    lab.settle();
    lab.sql("a", "INSERT INTO t.x VALUES (3, 'a')");
    lab.settle();
    watch.until("both conflicts settled", |_| {
        conflicts(&stored(&lab)).iter().all(|(_, outcome)| *outcome != "pending")
    });
    watch.until("the change told", |told| conflicts(told).len() == 2);
    let again = watch.told();
    assert!(conflicts(&again).iter().all(|(_, outcome)| **outcome != "pending"), "{again:#?}");
    for finding in &again {
        let state = if finding["id"] == id { "acknowledged" } else { "open" };
        assert_eq!(finding["state"], state, "{finding}");
        let same = |other: &&Value| {
            ["id", "certainty", "outcome"].iter().all(|field| other[field] == finding[field])
        };
        assert_eq!(told.iter().find(same), None, "told twice");
    }
}

fn a_conflict_of_two_lives_is_told(server: Server) {
    let lab = Lab::pair(server);
    lab.sql("a", "CREATE DATABASE t; CREATE TABLE t.x (id INT PRIMARY KEY, v VARCHAR(9))");
    lab.settle();
    lab.idempotent();
    let text = fs::read_to_string(config(&lab)).unwrap();
    let path = lab.dir().join("now.toml");
    fs::write(&path, text.replace("earliest", "now")).unwrap();
    lab.stop_replication();
    let mut watch = Watch::with(&lab, &path, 1, &lab.dir().join("findings-1"));
    let connected = |node| (format!("stream_connected{{stream=\"{node}\"}}"), 1.0);
    watch.until_metrics(&[connected("a"), connected("b")]);
    lab.sql("a", "INSERT INTO t.x VALUES (1, 'a')");
    let judged = "transactions_total{origin=\"a\",stream=\"a\"}".to_owned();
    watch.until_metrics(&[(judged, 1.0)]);
    // Kept within a second; of b's stream nothing was judged.
    let is_kept = || {
        let store = twinlog::store::Store::look(Path::new(&store(&lab))).unwrap();
        let kept = store.checkpoints().unwrap();
        kept.iter().any(|of| !of.file.is_empty()) && kept.len() == 2
    };
    let deadline = Instant::now() + DEADLINE;
    while !is_kept() {
        assert!(Instant::now() < deadline, "no checkpoint");
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(watch);
    lab.sql("b", "INSERT INTO t.x VALUES (1, 'b')");
    let mut watch = Watch::with(&lab, &path, 2, &lab.dir().join("findings-2"));
    watch.until("the conflict", |told| conflicts(told).len() == 1);
}

#[test]
fn a_conflict_of_two_lives_is_told_on_mariadb() {
    a_conflict_of_two_lives_is_told(Server::MariaDb);
}

#[test]
fn a_conflict_of_two_lives_is_told_on_mysql() {
    a_conflict_of_two_lives_is_told(Server::MySql);
}

/// The numbers of the oldest and the newest file, as the server itself lists them.
fn file_numbers(lab: &Lab, node: &str) -> (f64, f64) {
    let listed = lab.sql(node, "SHOW BINARY LOGS");
    let number = |line: &str| {
        let name = line.split('\t').next().unwrap();
        name.rsplit('.').next().unwrap().parse().unwrap()
    };
    (number(listed.lines().next().unwrap()), number(listed.lines().last().unwrap()))
}

/// What the gauges of files must say now.
fn files_wanted(lab: &Lab) -> Vec<(String, f64)> {
    let of = |node: &str| {
        let (oldest, newest) = file_numbers(lab, node);
        let series = |name: &str| format!("server_{name}_file_number{{stream=\"{node}\"}}");
        [(series("oldest"), oldest), (series("newest"), newest)]
    };
    ["a", "b"].into_iter().flat_map(of).collect()
}

/// What `open_findings` must say now: what the store holds.
fn open_wanted(lab: &Lab) -> Vec<(String, f64)> {
    let held = stored(lab);
    let open = |kind: &str| {
        let open = |of: &&Value| of["kind"] == kind && of["state"] != "healed";
        held.iter().filter(open).count() as f64
    };
    let kinds = ["write_conflict", "divergence", "shared_key", "blind_spot", "missing_copy"];
    kinds.map(|kind| (format!("open_findings{{kind=\"{kind}\"}}"), open(kind))).into()
}

fn checks_wanted(node: &str, bad: &str) -> Vec<(String, f64)> {
    let checks = ["binlog_format", "log_replica_updates", "gtid_mode", "row_image", "row_metadata"];
    let of = |check: &str| {
        let series = format!("check_ok{{check=\"{check}\",stream=\"{node}\"}}");
        (series, if check == bad { 0.0 } else { 1.0 })
    };
    checks.map(of).into()
}

fn metrics_are_true_and_go_on_over_a_restart(server: Server) {
    let lab = Lab::pair(server);
    lab.sql("a", "CREATE DATABASE t; CREATE TABLE t.x (id INT PRIMARY KEY, v VARCHAR(9))");
    lab.sql("a", "FLUSH BINARY LOGS; FLUSH BINARY LOGS; FLUSH BINARY LOGS");
    lab.settle();
    // MariaDB keeps a file as long as it is in use, and says so in a warning alone.
    let newest_name = lab.sql("a", "SHOW BINARY LOGS").lines().last().unwrap().to_owned();
    let newest_name = newest_name.split('\t').next().unwrap();
    let deadline = Instant::now() + DEADLINE;
    while file_numbers(&lab, "a").0 == 1.0 {
        lab.sql("a", &format!("PURGE BINARY LOGS TO '{newest_name}'"));
        assert!(Instant::now() < deadline, "{}", lab.sql("a", "SHOW BINARY LOGS"));
        std::thread::sleep(Duration::from_millis(100));
    }
    lab.sql("a", "FLUSH BINARY LOGS");
    let (oldest, newest) = file_numbers(&lab, "a");
    assert!(1.0 < oldest && oldest < newest);
    lab.idempotent();
    lab.stop_replication();
    for node in ["a", "b"] {
        lab.sql(node, &format!("INSERT INTO t.x VALUES (1, '{node}'), (2, '{node}')"));
    }
    let config = config_of_account(&lab);
    let mut watch = Watch::with(&lab, &config, 1, &lab.dir().join("findings-1"));
    watch.until("two conflicts", |told| conflicts(told).len() == 2);
    let needed = ("needed_file_number{stream=\"a\"}".to_owned(), newest);
    let dropped = ("findings_dropped_total{reason=\"output\"}".to_owned(), 0.0);
    let mut wanted = [files_wanted(&lab), vec![needed, dropped]].concat();
    wanted.extend(["a", "b"].iter().flat_map(|node| checks_wanted(node, "")));
    watch.until_metrics(&wanted);
    lab.start_replication();
    lab.settle();
    let differ = |count: f64| {
        let series = ["open_findings{kind=\"divergence\"}", "open_divergences{table=\"t.x\"}"];
        series.map(|series| (series.to_owned(), count)).to_vec()
    };
    watch.until_metrics(&differ(2.0));

    // Killed, as by a crash. The gauges go on from the store; the logs are read again.
    drop(watch);
    lab.sql("b", "SET GLOBAL binlog_row_image = 'MINIMAL'");
    let id = stored(&lab).iter().find(|of| of["kind"] == "divergence").unwrap()["id"].clone();
    let ack = findings(&lab, &["ack", id.as_str().unwrap(), "--by", "ann", "--why", "known"]);
    assert!(ack.status.success(), "{ack:?}");
    let mut watch = Watch::with(&lab, &config, 2, &lab.dir().join("findings-2"));
    watch.until_metrics(&checks_wanted("b", "row_image"));
    let first = watch.metrics();
    for (series, wanted) in [open_wanted(&lab), differ(2.0)].concat() {
        assert_eq!(value(&first, &series), Some(wanted), "{series} from the start");
    }
    // What changes on a server shows in the next round.
    lab.sql("b", "SET GLOBAL binlog_row_image = 'FULL'; FLUSH BINARY LOGS");
    watch.until_metrics(&[files_wanted(&lab), checks_wanted("b", "")].concat());
    lab.sql("a", "UPDATE t.x SET v = 'same'");
    lab.settle();
    watch.until_metrics(&differ(0.0));
    watch.until_metrics(&open_wanted(&lab));

    // Nothing can be written, and each finding that is lost counts.
    drop(watch);
    fs::remove_file(store(&lab)).unwrap();
    let mut watch = Watch::with(&lab, &config, 3, Path::new("/dev/full"));
    let conflicts = ("open_findings{kind=\"write_conflict\"}".to_owned(), 2.0);
    watch.until_metrics(&[conflicts]);
    let text = watch.metrics();
    assert!(value(&text, "findings_dropped_total{reason=\"output\"}") >= Some(2.0), "{text}");
    assert_eq!(value(&text, "findings_dropped_total{reason=\"store\"}"), Some(0.0));
}

#[test]
fn metrics_are_true_and_go_on_over_a_restart_on_mariadb() {
    metrics_are_true_and_go_on_over_a_restart(Server::MariaDb);
}

#[test]
fn metrics_are_true_and_go_on_over_a_restart_on_mysql() {
    metrics_are_true_and_go_on_over_a_restart(Server::MySql);
}
