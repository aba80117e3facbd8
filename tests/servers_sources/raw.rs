//! Files that `mysqlbinlog --raw` and `mariadb-binlog --raw` fetch from a server.

use crate::{
    run::{scan, scan_of_files, source},
    support::lab::{Lab, Server},
};
use std::{fs, path::PathBuf, process::Command};

fn fetch(lab: &Lab, node: &str) -> PathBuf {
    let dir = lab.dir().join("raw").join(node);
    fs::create_dir_all(&dir).unwrap();
    let first = lab.binlogs(node).remove(0);
    let mut command = Command::new(lab.binlog_tool());
    command.args(["--no-defaults", "--read-from-remote-server", "--raw", "--to-last-log"]);
    command.args(["--host=127.0.0.1", "--user=twinlog"]).env("MYSQL_PWD", Lab::PASSWORD);
    command.arg(format!("--port={}", lab.node(node).port));
    command.arg(match lab.server() {
        Server::MariaDb => "--skip-ssl",
        Server::MySql => "--get-server-public-key",
    });
    command.arg(format!("--result-file={}/", dir.display())).arg(first.file_name().unwrap());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    dir
}

pub(crate) fn gives_what_files_give(lab: &Lab) {
    let of_files = scan_of_files(lab);
    let [a, b] = ["a", "b"].map(|node| source(node, &fetch(lab, node)));
    let raw = scan(&[&a, &b]);
    assert_eq!(raw.code, Some(1), "{}", raw.stderr);
    assert_eq!(raw.findings(), of_files.findings());
}
