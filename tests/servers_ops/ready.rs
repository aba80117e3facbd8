//! `/readyz` and `twinlog health`: who is behind is not ready, who is busy is.

use crate::{
    daemon::{Daemon, config, get, send_signal, until},
    support::lab::{Lab, Server},
};
use std::{
    io::Write,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A session on a that commits 50 times a second until it is dropped; `SET timestamp` to so many
/// seconds ago.
struct Busy(Child);

impl Busy {
    fn new(lab: &Lab, ago: u64) -> Busy {
        let mut client = lab.client_command("a").stdin(Stdio::piped()).spawn().unwrap();
        let text = format!(
            "DELIMITER //
             BEGIN NOT ATOMIC
               FOR i IN 1..100000 DO
                 SET timestamp = UNIX_TIMESTAMP(SYSDATE()) - {ago};
                 INSERT INTO t.x (v) VALUES (i);
                 DO SLEEP(0.02);
               END FOR;
             END//\n"
        );
        client.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        Busy(client)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn readyz(daemon: &Daemon) -> (u16, String) {
    let (code, answer) = get(daemon.address(), "/readyz").unwrap();
    (code, answer.lines().last().unwrap_or_default().to_owned())
}

/// For so long, it is as this says each time.
fn stays(daemon: &Daemon, within: Duration, is: impl Fn(u16, &str) -> bool) {
    let end = Instant::now() + within;
    while Instant::now() < end {
        let (code, why) = readyz(daemon);
        assert!(is(code, &why), "{code} {why}: {}", daemon.log());
        thread::sleep(Duration::from_millis(50));
    }
}

/// Ends what the session runs: the server goes on with it for a while after its client is gone.
fn quiet(lab: &Lab, busy: Busy) {
    let of = "SELECT id FROM information_schema.processlist WHERE command = 'Query' \
              AND user = 'root' AND id <> CONNECTION_ID()";
    for id in lab.sql("a", of).lines() {
        let _ = lab.try_sql("a", &format!("KILL {id}"));
    }
    drop(busy);
}

#[test]
fn who_is_behind_is_not_ready_and_who_is_busy_is() {
    let lab = Lab::pair(Server::MariaDb);
    lab.sql("a", "CREATE DATABASE t; CREATE TABLE t.x (id SERIAL PRIMARY KEY, v INT)");
    lab.settle();
    let behind = Busy::new(&lab, 3600);
    let rows = || lab.sql("a", "SELECT COUNT(*) FROM t.x").trim().parse::<u64>().unwrap();
    until("it writes", || (rows() > 10).then_some(()));
    let mut daemon = Daemon::start(&lab, &config(&lab, ""));
    until("both are followed", || {
        let followed = |of| daemon.metric(&format!("twinlog_stream_connected{{stream=\"{of}\"}}"));
        (["a", "b"].map(followed) == [1.0, 1.0]).then_some(())
    });
    until("it says who is behind", || {
        let (code, why) = readyz(&daemon);
        (code == 503 && why.contains("a: not caught up")).then_some(())
    });
    stays(&daemon, Duration::from_secs(3), |code, why| {
        code == 503 && why.contains("a: not caught")
    });
    let health = |daemon: &Daemon| {
        let url = format!("http://{}/readyz", daemon.address());
        let mut command = Command::new(env!("CARGO_BIN_EXE_twinlog"));
        command.args(["health", "--url", &url]).output().unwrap()
    };
    let unwell = health(&daemon);
    let said = String::from_utf8(unwell.stderr).unwrap();
    assert_eq!(unwell.status.code(), Some(1), "{said}");
    assert!(said.contains("says 503: not ready: a: not caught up"), "{said}");

    // The server says that there is nothing more.
    quiet(&lab, behind);
    daemon.until_ready();
    assert_eq!(health(&daemon).status.code(), Some(0));
    // Busy, and a little behind all the time; then with times of long ago, for a while.
    let busy = Busy::new(&lab, 0);
    stays(&daemon, Duration::from_secs(5), |code, _| code == 200);
    quiet(&lab, busy);
    let restored = Busy::new(&lab, 3600);
    stays(&daemon, Duration::from_secs(5), |code, _| code == 200);
    quiet(&lab, restored);

    send_signal(lab.node("a").pid, "STOP");
    until("it is lost", || {
        let (code, why) = readyz(&daemon);
        (code == 503 && why == "not ready: a: not connected").then_some(())
    });
    // The process is alive all the same.
    assert_eq!(get(daemon.address(), "/healthz").unwrap().0, 200);
    send_signal(lab.node("a").pid, "CONT");
    daemon.until_ready();
    daemon.end("ready");
}
