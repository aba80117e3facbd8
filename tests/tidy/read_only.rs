//! twinlog reads: no statement that writes to a master stands in what is sent to one.

use super::{Breach, Source, assert_none, short, sources};

/// How statements begin that change rows, tables, logs or replication. Statements in the code are
/// written in upper case, hints for people are not.
const WRITING: [&str; 22] = [
    "INSERT",
    "UPDATE",
    "DELETE",
    "REPLACE",
    "LOAD",
    "CREATE",
    "ALTER",
    "DROP",
    "TRUNCATE",
    "RENAME",
    "GRANT",
    "REVOKE",
    "FLUSH",
    "RESET",
    "PURGE",
    "CHANGE",
    "START",
    "STOP",
    "KILL",
    "SET GLOBAL",
    "SET PERSIST",
    "CALL",
];

/// Layers that speak to servers.
fn speaks_to_servers(path: &str) -> bool {
    path.starts_with("src/feed/") || path.starts_with("src/app/")
}

fn check(source: &Source) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        for (quote, _) in line.match_indices('"') {
            let text = line[quote + 1..].trim_start();
            let is_statement = |word: &&&str| text.starts_with(&format!("{word} "));
            if let Some(word) = WRITING.iter().find(is_statement) {
                let instead = "SELECT or SHOW; what an operator has to do is said in a hint";
                breaches.push(source.breach(at + 1, "read-only", *word, instead));
            }
        }
    }
    breaches
}

#[test]
fn no_statement_that_writes_to_a_master_exists() {
    assert_none(sources(speaks_to_servers).iter().flat_map(check).collect());
}

#[test]
fn a_writing_statement_is_caught() {
    let check = |text: &str| short(&check(&Source::of("src/feed/live.rs", text)));
    assert_eq!(check("query(\n  \"INSERT INTO t VALUES (1)\")"), ["2: read-only"]);
    assert_eq!(check("query(\"SET GLOBAL x = 1\")"), ["1: read-only"]);
    assert!(check("query(\"SET @source_binlog_checksum = 'NONE'\")").is_empty());
    assert!(check("let hint = \"copy it again after FLUSH BINARY LOGS\";").is_empty());
}
