//! What the service manager is told, over a real socket.

use crate::{
    daemon::{Daemon, Output, config, until},
    support::lab::{Lab, Server},
};
use std::{
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

/// How often the watchdog wants to be told.
const WATCHDOG: Duration = Duration::from_secs(2);

/// The service manager's end.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    told: Vec<String>,
}

impl Manager {
    fn new(lab: &Lab) -> Manager {
        let path = lab.dir().join("notify");
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        Manager { socket, path, told: Vec::new() }
    }

    fn environment(&self, command: &mut Command) {
        command.env("NOTIFY_SOCKET", &self.path);
        command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
    }

    /// Takes what has come; gives the assignments of one message if there is one.
    fn receive(&mut self) -> Option<String> {
        let mut bytes = [0; 4096];
        let count = self.socket.recv(&mut bytes).ok()?;
        let text = String::from_utf8(bytes[..count].to_vec()).unwrap();
        self.told.push(text.clone());
        Some(text)
    }

    /// Waits until a message with this line has come.
    fn until_told(&mut self, line: &str) {
        let has = |text: &String| text.lines().any(|of| of == line);
        if !self.told.iter().any(has) {
            self.until(line);
        }
    }

    /// Waits for a message with this line.
    fn until(&mut self, line: &str) -> String {
        until(line, || self.receive().filter(|text| text.lines().any(|of| of == line)))
    }

    /// How many times the watchdog is told in some time.
    fn beats(&mut self, within: Duration) -> usize {
        let end = Instant::now() + within;
        let mut beats = 0;
        while Instant::now() < end {
            beats += usize::from(self.receive().is_some_and(|text| text.contains("WATCHDOG=1")));
        }
        beats
    }
}

#[test]
fn the_service_manager_is_told_and_the_watchdog_only_by_a_judge_that_moves() {
    let lab = Lab::pair(Server::MariaDb);
    lab.sql("a", "CREATE DATABASE t; CREATE TABLE t.x (id INT PRIMARY KEY, v VARCHAR(9))");
    lab.settle();
    lab.stop_replication();
    let path = config(&lab, "");
    let mut manager = Manager::new(&lab);
    let mut daemon =
        Daemon::with(&lab, &path, &Output::File, |command| manager.environment(command));
    manager.until("READY=1");
    assert_eq!(manager.told.iter().filter(|text| text.contains("READY=1")).count(), 1);
    manager.until_told("STATUS=a: caught up, b: caught up");
    // Idle, and alive.
    assert!(manager.beats(3 * WATCHDOG) >= 3, "{:?}", manager.told);
    // The same with nobody to hear from.
    for node in ["a", "b"] {
        crate::daemon::send_signal(lab.node(node).pid, "STOP");
    }
    assert!(manager.beats(3 * WATCHDOG) >= 3, "{:?}", manager.told);
    for node in ["a", "b"] {
        crate::daemon::send_signal(lab.node(node).pid, "CONT");
    }

    daemon.signal("HUP");
    let reloading = manager.until("RELOADING=1");
    let since = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(since.unwrap().parse::<u64>().unwrap() > 0, "{reloading}");
    manager.until("READY=1");
    daemon.signal("TERM");
    manager.until("STOPPING=1");
    assert_eq!(daemon.wait().0.code(), Some(0), "{}", daemon.log());

    // The judge hangs in a write that nobody reads: the pages answer, the watchdog is not told.
    for node in ["a", "b"] {
        lab.sql(node, &format!("INSERT INTO t.x SELECT seq, '{node}' FROM t.seq_1000_to_1500"));
    }
    let daemon = Daemon::with(&lab, &path, &Output::Nobody, |command| {
        manager.environment(command);
    });
    let told = "twinlog_findings_total{kind=\"write_conflict\",severity=\"critical\"}";
    daemon.address();
    until("many findings are told", || (daemon.metric(told) > 20.0).then_some(()));
    let hangs = || {
        let before = daemon.metric(told);
        std::thread::sleep(Duration::from_millis(500));
        (daemon.metric(told) == before).then_some(())
    };
    until("it hangs", hangs);
    while manager.receive().is_some() {}
    assert_eq!(manager.beats(2 * WATCHDOG), 0, "{:?}", manager.told);
}
