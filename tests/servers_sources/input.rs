//! Binlogs on standard input, one after the other.

use crate::{
    run::{conflict_on, explain, files, scan_of_files, twinlog_fed},
    support::lab::Lab,
};
use serde_json::Value;
use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
    thread,
};

/// All files of a node, as `cat` gives them.
fn cat(lab: &Lab, node: &str) -> Vec<u8> {
    lab.binlogs(node).iter().flat_map(|file| fs::read(file).unwrap()).collect()
}

/// A finding, with the files of standard input named as those of `a` are.
fn as_files(mut finding: Value) -> Value {
    for transaction in finding["transactions"].as_array_mut().unwrap() {
        rename(&mut transaction["coordinates"]["a"]);
    }
    if let Some(of) = finding["last_written"].get_mut("a") {
        rename(&mut of["coordinates"]);
        rename(of);
    }
    finding
}

fn rename(at: &mut Value) {
    if let Some(file) = at["file"].as_str().map(|file| file.replace("stdin.", "a-bin.")) {
        at["file"] = file.into();
    }
}

fn packed(program: &str, bytes: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(["-q", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut stdin, bytes) = (child.stdin.take().unwrap(), bytes.to_vec());
    let writer = thread::spawn(move || stdin.write_all(&bytes).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.stdout
}

pub(crate) fn gives_what_files_give(lab: &Lab) {
    let of_files = scan_of_files(lab).findings();
    let (plain, b) = (cat(lab, "a"), files(lab, "b"));
    let arguments = ["scan", "--format", "ndjson", "a=-", &b];
    for input in [plain.clone(), packed("gzip", &plain), packed("zstd", &plain)] {
        let ran = twinlog_fed(input, &arguments);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        let renamed: Vec<Value> = ran.findings().into_iter().map(as_files).collect();
        assert_eq!(renamed, of_files);
    }
    // The rows cannot be shown again, and that is said.
    let ran = twinlog_fed(plain, &arguments);
    let explained = explain(&ran, &conflict_on(&ran, 1), &[&files(lab, "a"), &b]);
    assert_eq!(explained.code, Some(3));
    let text = &explained.stdout;
    assert!(text.contains("on standard input, at offset") && text.contains("cannot be read again"));
    let again = explain(&ran, &conflict_on(&ran, 1), &["a=-", &b]);
    again.assert_says(2, &["a=-: what was read from standard input cannot be read again", "hint:"]);
}

pub(crate) fn is_refused_in_words(lab: &Lab) {
    let (plain, b) = (cat(lab, "a"), files(lab, "b"));
    let arguments = ["scan", "a=-", &b];
    // Cut off inside of the second file.
    let first = fs::metadata(&lab.binlogs("a")[0]).unwrap().len() as usize;
    let cut = twinlog_fed(plain[..first + 300].to_vec(), &arguments);
    cut.assert_says(3, &["node a: stdin.000002 at offset ", "the file is cut off"]);
    let whole = packed("zstd", &plain);
    let cut = twinlog_fed(whole[..whole.len() - 20].to_vec(), &arguments);
    cut.assert_says(3, &["node a: stdin.00000", "at offset "]);
    let mut mixed = plain.clone();
    mixed.extend(cat(lab, "b"));
    let words = ["what follows was logged by server id 2, and not by 1", "stdin.00000"];
    twinlog_fed(mixed, &arguments).assert_says(3, &words);
    twinlog_fed(Vec::new(), &arguments).assert_says(3, &["nothing came", "hint:"]);
    twinlog_fed(b"hello".to_vec(), &arguments).assert_says(3, &["stdin.000001", "no binlog"]);
}
