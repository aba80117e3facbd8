//! Encrypted files: refused with what to do, and read through their server.

use crate::{
    run::{conflict_on, explain, files, scan, server, source, twinlog, twinlog_fed},
    support::lab::{Lab, LabOptions, Server},
};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

#[test]
fn mariadb_decrypts_what_it_sends() {
    let dir = TempDir::with_prefix("twinlog-keys-").unwrap();
    let keys = dir.path().join("keys");
    fs::write(&keys, "1;770A8A65DA156D24EE2A093277530142\n").unwrap();
    // The server may run as somebody else.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let options = vec![
        "--plugin-load-add=file_key_management".to_owned(),
        format!("--file-key-management-filename={}", keys.display()),
        "--encrypt-binlog=ON".to_owned(),
    ];
    let lab = Lab::start(Server::MariaDb, LabOptions { options, ..LabOptions::default() });
    decrypts_what_it_sends(&lab, 256);
}

#[test]
fn mysql_decrypts_what_it_sends() {
    // In one place, as the lab keeps a prepared data directory for each program.
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mysql-with-keyring");
    let Some(plugins) = with_keyring(&dir) else {
        println!("this MySQL has no component_keyring_file: its encryption is not tried");
        return;
    };
    let options = LabOptions {
        options: vec![format!("--plugin-dir={}", plugins.display())],
        node_options: vec![("a".to_owned(), "--binlog-encryption=ON".to_owned())],
        programs: Some(dir.join("bin")),
        ..LabOptions::default()
    };
    let lab = Lab::start(Server::MySql, options);
    decrypts_what_it_sends(&lab, 0);
}

/// `from`: the offset from which on its files are encrypted.
fn decrypts_what_it_sends(lab: &Lab, from: u64) {
    lab.sql(
        "a",
        "CREATE DATABASE t; CREATE TABLE t.x (id INT PRIMARY KEY, v VARCHAR(100));
         INSERT INTO t.x VALUES (1, 'one'); FLUSH BINARY LOGS",
    );
    lab.settle();
    lab.stop_replication();
    for node in ["a", "b"] {
        lab.sql(node, &format!("UPDATE t.x SET v = 'of {node}' WHERE id = 1"));
    }
    let [a, b] = ["a", "b"].map(|node| files(lab, node));
    let place = format!("node a: a-bin.000001 at offset {from}: the file is encrypted");
    let words = [place.as_str(), "hint: read it through its server", "NODE=mysql://user@host:port"];
    twinlog(&["scan", &a, &b]).assert_says(3, &words);
    let relay = lab.binlog_dir("a").parent().unwrap().join("relay");
    twinlog(&["scan", &source("b", &relay), &a]).assert_says(3, &["the file is encrypted"]);
    let bytes = lab.binlogs("a").iter().flat_map(|file| fs::read(file).unwrap()).collect();
    twinlog_fed(bytes, &["scan", "a=-", &b]).assert_says(3, &["stdin.000001", "is encrypted"]);
    let [a, b] = ["a", "b"].map(|node| server(lab, node));
    let live = scan(&[&a, &b]);
    assert_eq!(live.code, Some(1), "{}", live.stderr);
    let conflict = conflict_on(&live, 1);
    assert_eq!(conflict["certainty"], "exact");
    let explained = explain(&live, &conflict, &[&a, &b]);
    explained.assert_says(0, &[]);
    assert!(explained.stdout.contains("of a") && explained.stdout.contains("of b"));
}

/// Makes a MySQL that loads a keyring: servers look for its name beside their program, so this is
/// a copy of it. Gives the directory of its plugins.
fn with_keyring(dir: &Path) -> Option<PathBuf> {
    let one = LabOptions { nodes: 1, replication: false, ..LabOptions::default() };
    let lab = Lab::start(Server::MySql, one);
    let value = |name: &str| lab.sql("a", &format!("SELECT @@{name}")).trim().to_owned();
    let plugins = PathBuf::from(value("plugin_dir"));
    if !plugins.join("component_keyring_file.so").exists() {
        return None;
    }
    // The program as it was started, perhaps by a loader of its own, up to its first option.
    let started = fs::read(format!("/proc/{}/cmdline", lab.node("a").pid)).unwrap();
    let words = String::from_utf8(started).unwrap();
    let words: Vec<&str> = words.split('\0').collect();
    let at = words.iter().position(|word| *word == "--no-defaults").unwrap();
    let (mysqld, loader) = words[..at].split_last().unwrap();
    if dir.exists() {
        // With the keys of servers that are gone.
        fs::remove_dir_all(dir).unwrap();
    }
    for made in ["bin", "sbin", "plugins"] {
        fs::create_dir_all(dir.join(made)).unwrap();
    }
    let copied = dir.join("sbin/mysqld");
    fs::copy(mysqld, &copied).unwrap();
    for entry in fs::read_dir(&plugins).unwrap() {
        let plugin = entry.unwrap().path();
        symlink(&plugin, dir.join("plugins").join(plugin.file_name().unwrap())).unwrap();
    }
    let component = "{\"components\": \"file://component_keyring_file\"}";
    fs::write(dir.join("sbin/mysqld.my"), component).unwrap();
    let keyring = format!("{{\"path\": \"{}/keyring\", \"read_only\": false}}", dir.display());
    fs::write(dir.join("plugins/component_keyring_file.cnf"), keyring).unwrap();
    let quoted = |word: &str| format!("'{word}'");
    let mut command: Vec<String> = loader.iter().map(|word| quoted(word)).collect();
    command.push(quoted(copied.to_str().unwrap()));
    command.push("\"$@\"".to_owned());
    for name in ["basedir", "lc_messages_dir", "character_sets_dir"] {
        command.push(quoted(&format!("--{}={}", name.replace('_', "-"), value(name))));
    }
    script(&dir.join("bin/mysqld"), &command.join(" "));
    for tool in [lab.client_command("a").get_program(), lab.binlog_tool().as_os_str()] {
        let tool = Path::new(tool);
        symlink(tool, dir.join("bin").join(tool.file_name().unwrap())).unwrap();
    }
    Some(dir.join("plugins"))
}

fn script(path: &Path, command: &str) {
    fs::write(path, format!("#!/bin/sh\nexec {command}\n")).unwrap();
    let made = Command::new("chmod").arg("755").arg(path).status().unwrap();
    assert!(made.success());
}
