//! `twinlog watch --live` on a terminal, beside real masters.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use support::{
    lab::{Lab, Server},
    terminal::OnTerminal,
};

/// How long what has no promise may take before the test has failed.
const LIMIT: Duration = Duration::from_secs(60);
/// How soon after its second commit a conflict is to be on the screen.
const LATENCY: Duration = Duration::from_secs(2);

/// Starts to watch a pair with the live view.
fn start(lab: &Lab, options: &[&str]) -> OnTerminal {
    let mut config = "[watch]\nlisten = \"127.0.0.1:0\"\n".to_owned();
    for node in ["a", "b"] {
        let socket = lab.node(node).socket.display().to_string();
        config += &format!("[nodes.{node}]\nurl = \"mysql://root@localhost?socket={socket}\"\n");
    }
    let path = lab.dir().join("live.toml");
    fs::write(&path, config).unwrap();
    let arguments = ["watch", "--live", "--config", path.to_str().unwrap()];
    OnTerminal::start(arguments.iter().chain(options), &[], (30, 120))
}

fn pair() -> Lab {
    let lab = Lab::pair(Server::MariaDb);
    lab.sql("a", "CREATE DATABASE t; CREATE TABLE t.x (id INT PRIMARY KEY, v VARCHAR(9))");
    lab.settle();
    lab
}

/// How many seconds ago a stream has shown the last transaction of `origin`, as the screen says.
fn age(seen: &str, origin: &str) -> Option<u64> {
    let line = seen.lines().find(|line| line.contains(&format!("of {origin}: ")))?;
    let before = line.split_once(" s ago")?.0;
    before.rsplit(' ').next()?.parse().ok()
}

/// Makes a conflict about a row, and waits for it: how long after the second commit it came.
#[expect(clippy::disallowed_methods, reason = "a test's clock")]
fn conflict(lab: &Lab, live: &mut OnTerminal, id: u8) -> Duration {
    for node in ["a", "b"] {
        lab.sql(node, &format!("UPDATE t.x SET v = '{node}' WHERE id = {id}"));
    }
    let committed = Instant::now();
    let row = format!("t.x id={id}: a updated");
    live.wait_until(LIMIT, "the conflict", |seen| {
        seen.contains("CRITICAL write_conflict pending") && seen.contains(&row)
    });
    committed.elapsed()
}

/// Streams that are shown as connected; the log below them has the word, too.
fn connected(seen: &str) -> usize {
    seen.lines().filter(|line| line.contains(" connected ") && !line.contains("INFO")).count()
}

#[test]
fn a_violation_is_on_the_screen_at_once_and_q_gives_the_terminal_back() {
    let lab = pair();
    let mut live = start(&lab, &[]);
    live.wait_until(LIMIT, "both connected", |seen| {
        seen.contains("  ready, up ") && connected(seen) == 2
    });
    assert!(live.screen().alternate_screen());
    lab.sql("a", "INSERT INTO t.x VALUES (7, 'first'), (8, 'first'), (9, 'first')");
    live.wait_until(LIMIT, "what b has shown of a", |seen| seen.contains("of a: 1 transaction,"));
    // On a busy machine the screen may leave seconds out.
    for _ in 0..2 {
        let shown = age(&live.screen().contents(), "a");
        assert!(shown.is_some(), "{}", live.screen().contents());
        live.wait_until(LIMIT, "an age that grows by itself", |seen| age(seen, "a") > shown);
    }

    lab.stop_replication();
    // Others use the machine, too: each conflict must come, and one of them in time.
    let took = [7, 8, 9].map(|id| conflict(&lab, &mut live, id));
    assert!(took.iter().any(|of| *of < LATENCY), "{took:?}");
    live.wait_until(LIMIT, "their number", |seen| seen.contains("Findings: 3 write_conflict"));

    live.resize(14, 60);
    live.wait_until(LIMIT, "another size", |seen| {
        seen.lines().count() <= 14 && seen.contains("CRITICAL write_conflict")
    });
    live.press("q");
    let ended = live.wait(LIMIT);
    assert_eq!(ended.status.code(), Some(0));
    let screen = ended.screen;
    assert!(!screen.alternate_screen() && !screen.hide_cursor() && ended.is_restored);
    let left = screen.contents();
    assert!(left.contains("findings told: 3 write_conflict"), "{left}");
    let bytes = String::from_utf8_lossy(&ended.bytes);
    assert!(bytes.contains("following"), "the log is printed after: {bytes}");
}

#[test]
fn a_lost_server_is_told_and_sigterm_and_control_c_end_it_as_q_does() {
    let lab = pair();
    // A terminal that is closed sends SIGHUP.
    for signal in ["-TERM", "-HUP"] {
        let mut live = start(&lab, &[]);
        live.wait_until(LIMIT, "both connected", |seen| connected(seen) == 2);
        let pid = live.pid().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let ended = live.wait(LIMIT);
        assert_eq!(ended.status.code(), Some(0), "{signal}");
        assert!(ended.is_restored && !ended.screen.alternate_screen());
    }

    let mut live = start(&lab, &[]);
    live.wait_until(LIMIT, "both connected", |seen| connected(seen) == 2);
    lab.sql("b", "SHUTDOWN");
    live.wait_until(LIMIT, "why", |seen| seen.contains(" LOST ") && seen.contains("node b: "));
    live.press("\x03");
    let ended = live.wait(LIMIT);
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.is_restored && !ended.screen.alternate_screen());

    // Now b is not there at all: it is waited for, the reason is in the log, and one can leave.
    let mut live = start(&lab, &[]);
    live.wait_until(LIMIT, "why", |seen| seen.contains("waiting for it: node b: "));
    live.press("\x03");
    let ended = live.wait(LIMIT);
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.is_restored && !ended.screen.alternate_screen());
}
