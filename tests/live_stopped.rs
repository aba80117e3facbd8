//! `twinlog watch` beside real masters whose appliers an error has stopped.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use serde_json::Value;
use support::{
    lab::{Lab, Server},
    watcher::Watcher,
};

/// Waits until the newest state of the one conflict is as it should be.
fn until(watcher: &mut Watcher, what: &str, done: impl Fn(&Value) -> bool) {
    watcher.wait_until(|told| {
        let mut findings = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let newest = findings.rfind(|finding| finding["kind"] == "write_conflict");
        match newest {
            Some(finding) if done(&finding) => None,
            newest => Some(format!("{what}: {newest:?}")),
        }
    });
}

fn an_apply_error_is_told(server: Server) {
    let lab = Lab::pair(server);
    lab.sql("a", "CREATE DATABASE t; CREATE TABLE t.x (id INT PRIMARY KEY, v VARCHAR(9))");
    lab.settle();
    lab.stop_replication();
    for node in ["a", "b"] {
        lab.sql(node, &format!("INSERT INTO t.x VALUES (1, '{node}')"));
    }
    let mut watcher = Watcher::start(&lab, "[nodes.a]\n[nodes.b]\n");
    until(&mut watcher, "pending", |finding| finding["outcome"] == "pending");
    lab.start_replication();
    until(&mut watcher, "stopped on both", |finding| {
        let detail = finding["detail"].as_str().unwrap_or_default();
        finding["outcome"] == "stopped" && detail == "error 1062 on a, error 1062 on b"
    });
    for node in ["a", "b"] {
        lab.sql(node, "SET sql_log_bin=0; DELETE FROM t.x WHERE id = 1");
    }
    lab.start_replication();
    lab.settle();
    until(&mut watcher, "its outcome", |finding| {
        ["converged", "diverged"].iter().any(|outcome| finding["outcome"] == *outcome)
            && finding["detail"] == Value::Null
    });
}

#[test]
fn an_apply_error_is_told_on_mariadb() {
    an_apply_error_is_told(Server::MariaDb);
}

#[test]
fn an_apply_error_is_told_on_mysql() {
    an_apply_error_is_told(Server::MySql);
}
