//! What `twinlog scan` shows on a terminal.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{process::Command, time::Duration};

use support::{
    recorded::recorded,
    terminal::{Ended, OnTerminal},
};

const CONFLICT: &str = "mariadb118-03-update-update";

fn arguments() -> Vec<String> {
    let sample = recorded().join(CONFLICT);
    let sources = ["a", "b"].map(|node| format!("{node}={}", sample.join(node).display()));
    ["scan".to_owned()].into_iter().chain(sources).collect()
}

fn on_terminal(variables: &[(&str, &str)]) -> Ended {
    let ended = OnTerminal::start(arguments(), variables, (60, 100)).wait(Duration::from_secs(30));
    assert_eq!(ended.status.code(), Some(1));
    ended
}

#[test]
fn findings_and_summary_are_whole_beside_the_progress_bar() {
    let ended = on_terminal(&[]);
    let bytes = String::from_utf8_lossy(&ended.bytes);
    assert!(bytes.contains(" left"), "there is a bar: {bytes}");
    let seen = ended.screen.contents();
    assert!(!seen.contains(" left"), "and it goes: {seen}");
    let piped = Command::new(env!("CARGO_BIN_EXE_twinlog")).args(arguments()).output().unwrap();
    let piped = String::from_utf8(piped.stdout).unwrap();
    assert!(seen.starts_with(piped.trim_end()), "{seen}\nand not\n{piped}");
    assert!(seen[piped.len()..].contains("judged 5 of 5 rows (100.00 %)"), "{seen}");
    assert!(seen.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let coloured = |variables: &[_]| {
        String::from_utf8_lossy(&on_terminal(variables).bytes).contains("\x1b[1;31mCRITICAL")
    };
    assert!(coloured(&[]));
    assert!(coloured(&[("NO_COLOR", "")]), "an empty one asks for nothing");
    assert!(!coloured(&[("NO_COLOR", "1")]));
    assert!(!coloured(&[("TERM", "dumb")]));
}
