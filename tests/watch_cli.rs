//! What `twinlog watch` ends with before it has asked any server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{fs, path::Path, process::Command};

/// Starts a watch whose store is this file, of two servers that nobody needs to answer; `before`
/// is said to the shell first. Gives its exit code, and what it said.
fn watch(directory: &Path, store: &Path, before: &str) -> (Option<i32>, String) {
    let config = directory.join("twinlog.toml");
    let node = |name: &str| {
        format!("[nodes.{name}]\nurl = \"mysql://u@localhost?socket=/nowhere/{name}.sock\"\n")
    };
    let watch = format!("[watch]\nlisten = \"127.0.0.1:0\"\nstore = {store:?}\n");
    fs::write(&config, format!("{}{}{watch}", node("a"), node("b"))).unwrap();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("{before}\nexec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_twinlog")]);
    let output = command.args(["watch", "--config"]).arg(&config).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_store_that_cannot_be_is_wrong_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("text"), "no store").unwrap();
    fs::create_dir(at("directory")).unwrap();
    for name in ["nowhere/store", "text/store", "text", "directory"] {
        let (code, said) = watch(directory.path(), &at(name), "");
        assert_eq!(code, Some(2), "{name}: {said}");
        assert!(said.contains("hint: "), "{name}: {said}");
    }
}

/// A limit on the size of files is an error where the signal is ignored, as a full disk is one.
#[test]
fn a_disk_that_fails_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let (code, said) = watch(directory.path(), &store, "trap '' XFSZ; ulimit -f 0");
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("cannot write its lock") && said.contains("hint: is there room"),
        "{said}"
    );
    // Enough for the lock, and not for the store.
    let (code, said) = watch(directory.path(), &store, "trap '' XFSZ; ulimit -f 4");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("cannot bring it up to date"), "{said}");
}
