//! Tests that start real servers are told by the name of their test program.

use super::{
    Breach, Source, assert_none,
    lexer::{code_only, paths, tokens},
    short, sources,
};

/// What `.config/nextest.toml` and `scripts/test` go by.
const NAMES: [&str; 3] = ["lab", "live", "servers"];

fn is_test(path: &str) -> bool {
    path.starts_with("tests/") && path.ends_with(".rs") && !path.starts_with("tests/support/")
}

fn check(source: &Source) -> Vec<Breach> {
    let program = source.path.trim_start_matches("tests/");
    if NAMES.iter().any(|name| program.starts_with(name)) {
        return Vec::new();
    }
    let uses = paths(&tokens(&code_only(&source.text)));
    let starts = uses.iter().filter(|path| path.has(&["lab"]));
    starts
        .map(|path| {
            let found = format!("it starts servers ({})", path.segments.join("::"));
            let instead = "name the test program lab*, live* or servers*: --quick leaves it out";
            source.breach(path.line, "server-tests", found, instead)
        })
        .collect()
}

#[test]
fn tests_that_start_servers_are_named_so() {
    assert_none(sources(is_test).iter().flat_map(check).collect());
}

#[test]
fn a_hidden_server_test_is_caught() {
    let text = "mod support;\nuse support::lab::{Lab, Server};";
    let check = |path| short(&check(&Source::of(path, text)));
    assert_eq!(check("tests/cli.rs"), ["2: server-tests", "2: server-tests"]);
    assert_eq!(check("tests/cli/main.rs"), ["2: server-tests", "2: server-tests"]);
    assert!(check("tests/servers_cli.rs").is_empty());
}
