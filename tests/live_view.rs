//! `twinlog watch --live` on a terminal, beside real masters.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{fs, process::Command, time::Duration};

use support::{
    lab::{Lab, Server},
    terminal::OnTerminal,
};

/// How long what has no promise may take before the test has failed.
const LIMIT: Duration = Duration::from_secs(60);

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

#[test]
fn a_violation_is_on_the_screen_at_once_and_q_gives_the_terminal_back() {
    let lab = pair();
    let mut live = start(&lab, &[]);
    live.wait_until(LIMIT, "both connected", |seen| {
        seen.contains("  ready, up ") && seen.matches(" connected ").count() == 2
    });
    assert!(live.screen().alternate_screen());
    lab.sql("a", "INSERT INTO t.x VALUES (7, 'first')");
    live.wait_until(LIMIT, "what b has shown of a", |seen| seen.contains("of a: 1 transaction,"));
    live.wait_until(LIMIT, "an age that grows by itself", |seen| seen.contains(", 3 s ago"));
    live.wait_until(LIMIT, "another age", |seen| seen.contains(", 4 s ago"));

    lab.stop_replication();
    for node in ["a", "b"] {
        lab.sql(node, &format!("UPDATE t.x SET v = '{node}' WHERE id = 7"));
    }
    live.wait_until(Duration::from_secs(2), "the conflict", |seen| {
        seen.contains("Findings: 1 write_conflict")
            && seen.contains("CRITICAL write_conflict pending")
            && seen.contains("t.x id=7: a updated")
    });

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
    assert!(left.contains("findings told: 1 write_conflict"), "{left}");
    let bytes = String::from_utf8_lossy(&ended.bytes);
    assert!(bytes.contains("following"), "the log is printed after: {bytes}");
}

#[test]
fn a_lost_server_is_told_and_sigterm_and_control_c_end_it_as_q_does() {
    let lab = pair();
    let mut live = start(&lab, &[]);
    live.wait_until(LIMIT, "both connected", |seen| seen.matches(" connected ").count() == 2);
    let pid = live.pid().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let ended = live.wait(LIMIT);
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.is_restored && !ended.screen.alternate_screen());

    let mut live = start(&lab, &[]);
    live.wait_until(LIMIT, "both connected", |seen| seen.matches(" connected ").count() == 2);
    lab.sql("b", "SHUTDOWN");
    live.wait_until(LIMIT, "why", |seen| seen.contains(" LOST ") && seen.contains("node b: "));
    live.press("\x03");
    let ended = live.wait(LIMIT);
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.is_restored && !ended.screen.alternate_screen());

    // Now b is not there at all: it ends by itself, and the reason is on the terminal it had.
    let ended = start(&lab, &[]).wait(LIMIT);
    assert_eq!(ended.status.code(), Some(3));
    assert!(ended.is_restored && !ended.screen.alternate_screen());
    let left = ended.screen.contents();
    assert!(left.contains("twinlog: node b: "), "{left}");
}
