//! `twinlog watch` beside the masters, from the first transaction to the last.
#![allow(dead_code, unreachable_pub, reason = "not every test that compiles this uses it")]
#![expect(clippy::disallowed_methods, reason = "a test's clock")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::lab::Lab;

/// A running watch; ended with the test.
pub struct Watcher {
    child: Child,
    findings: PathBuf,
    log: PathBuf,
}

impl Watcher {
    /// Starts to watch a pair from the beginning of its logs, over the servers' sockets: a
    /// restarted server may have another port. The configuration, of a scan, has a `[nodes.a]` and
    /// a `[nodes.b]`.
    pub fn start(lab: &Lab, config: &str) -> Watcher {
        Watcher::start_with(lab, config, "")
    }

    /// The same with more in `[watch]`.
    pub fn start_with(lab: &Lab, config: &str, more: &str) -> Watcher {
        let mut config = config.to_owned();
        for node in ["a", "b"] {
            let socket = lab.node(node).socket.display().to_string();
            let head = format!("[nodes.{node}]\n");
            let url = format!("{head}url = \"mysql://root@localhost?socket={socket}\"\n");
            config = config.replace(&head, &url);
        }
        config += "[watch]\nlisten = \"127.0.0.1:0\"\nstart = \"earliest\"\n";
        config += more;
        let path = |name: &str| lab.dir().join(name);
        fs::write(path("watch.toml"), config).expect("a write");
        let (findings, log) = (path("watch.ndjson"), path("watch.log"));
        let file = |path: &PathBuf| File::create(path).expect("a file");
        let child = Command::new(env!("CARGO_BIN_EXE_twinlog"))
            .args(["watch", "--config"])
            .arg(path("watch.toml"))
            .stdout(file(&findings))
            .stderr(file(&log))
            .spawn()
            .expect("twinlog runs");
        Watcher { child, findings, log }
    }

    /// The address of its status page, as its log says.
    pub fn site(&self) -> String {
        let log = fs::read_to_string(&self.log).expect("a log");
        let (_, rest) = log.split_once("status page at ").expect("an address in the log");
        rest.split(',').next().unwrap_or_default().to_owned()
    }

    /// What its metrics say of a series; `None` where they do not, or not yet.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let log = fs::read_to_string(&self.log).expect("a log");
        let (_, rest) = log.split_once("metrics at http://")?;
        let mut connection = TcpStream::connect(rest.split('/').next()?).ok()?;
        connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).ok()?;
        answer.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }

    /// Waits for something that is not told.
    pub fn wait_for(&mut self, what: &str, done: impl Fn(&Watcher) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !done(self) {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none(), "{what}: the watch has ended: {log}");
            assert!(Instant::now() < deadline, "{what}: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until what it has told so far, NDJSON, is as it must be in the end. `differs` says
    /// what is not yet so, for the message when it never is.
    pub fn wait_until_same(mut self, differs: impl Fn(&str) -> Option<String>) {
        self.wait_until(differs);
    }

    /// The same; it goes on.
    pub fn wait_until(&mut self, differs: impl Fn(&str) -> Option<String>) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while let Some(what) = differs(&self.told()) {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none(), "the watch has ended: {log}");
            assert!(Instant::now() < deadline, "{what}\n{log}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The whole lines that it has written so far.
    fn told(&self) -> String {
        let mut told = fs::read_to_string(&self.findings).expect("findings");
        told.truncate(told.rfind('\n').map_or(0, |end| end + 1));
        told
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
