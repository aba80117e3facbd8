//! `twinlog scan --report` with rows that would do harm on a page, on real masters.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{fs, process::Command};

use support::lab::{Lab, Server};

fn rows_are_text(server: Server) {
    let lab = Lab::pair(server);
    lab.sql(
        "a",
        "CREATE DATABASE t;
         CREATE TABLE t.`x<img src=x onerror=alert(1)>`
             (k VARCHAR(80) PRIMARY KEY, `<script>alert(2)</script>` TEXT)",
    );
    lab.settle();
    lab.stop_replication();
    for node in ["a", "b"] {
        let value = format!("</td><script>alert(3)</script>{node}");
        let key = "\"><script>alert(4)</script>";
        let table = "t.`x<img src=x onerror=alert(1)>`";
        lab.sql(node, &format!("INSERT INTO {table} VALUES ('{key}', '{value}')"));
    }
    let report = lab.dir().join("report.html");
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinlog"));
    command.args(["scan", "--report"]).arg(&report);
    for node in ["a", "b"] {
        command.arg(format!("{node}={}", lab.binlog_dir(node).display()));
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let html = fs::read_to_string(report).unwrap();
    for number in [2, 3, 4] {
        let text = format!("&lt;script&gt;alert({number})&lt;/script&gt;");
        assert!(html.contains(&text), "{text} is not on the page");
    }
    assert!(html.contains("x&lt;img src=x onerror=alert(1)&gt;"));
    assert!(!html.contains("<script") && !html.contains("<img"));
}

#[test]
fn rows_are_text_on_mariadb() {
    rows_are_text(Server::MariaDb);
}

#[test]
fn rows_are_text_on_mysql() {
    rows_are_text(Server::MySql);
}
