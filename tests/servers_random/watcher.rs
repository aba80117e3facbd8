//! `twinlog watch` beside the masters, from the first transaction to the last.

use super::CONFIG;
use super::support::lab::Lab;
use super::truth::{Found, findings_of};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A running watch; ended with the test.
pub struct Watcher {
    child: Child,
    findings: PathBuf,
    log: PathBuf,
}

impl Watcher {
    /// Starts to watch a pair from the beginning of its logs, over the servers' sockets: a
    /// restarted server may have another port.
    pub fn start(lab: &Lab) -> Watcher {
        let mut config = CONFIG.to_owned();
        for node in ["a", "b"] {
            let socket = lab.node(node).socket.display().to_string();
            let head = format!("[nodes.{node}]\n");
            let url = format!("{head}url = \"mysql://root@localhost?socket={socket}\"\n");
            config = config.replace(&head, &url);
        }
        config += "[watch]\nlisten = \"127.0.0.1:0\"\nstart = \"earliest\"\n";
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

    /// Demands that the watch tells the same findings as the scan of the same logs, in the same
    /// last state; waits for those that are still on their way.
    pub fn check(mut self, scanned: &BTreeMap<String, Found>) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let told = findings_of(&fs::read_to_string(&self.findings).expect("findings"));
            let log = || fs::read_to_string(&self.log).unwrap_or_default();
            let same = |(id, found): (&String, &Found)| {
                told.get(id).is_some_and(|told| told.certainty == found.certainty)
            };
            let missing: Vec<_> = scanned.iter().filter(|found| !same(*found)).collect();
            if missing.is_empty() {
                let more: Vec<_> = told.iter().filter(|of| !scanned.contains_key(of.0)).collect();
                assert!(more.is_empty(), "only the watch tells {more:#?}\n{}", log());
                println!("watch tells the same {} findings", told.len());
                return;
            }
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none(), "the watch has ended: {}", log());
            assert!(Instant::now() < deadline, "only the scan tells {missing:#?}\n{}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
