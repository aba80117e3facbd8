//! The whole way from a file's text to a [`Config`] or a message.

use super::*;
use crate::model::{Operation, RowOwnership, RuleBody, ValuePattern};
use std::collections::BTreeMap;

const EXAMPLE: &str = include_str!("../../twinlog.example.toml");

/// What a user sees is compared to the letter.
#[test]
fn every_error_reads_as_written_down() {
    let cases = include_str!("errors.txt").split("====\n").skip(1).filter(|case| !case.is_empty());
    let mut count = 0;
    let mut wrong = String::new();
    for case in cases {
        let (text, expected) = case.split_once("----\n").expect("a file and a message");
        let found = match Config::parse(text, "twinlog.toml") {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        };
        count += 1;
        if found != expected.trim_end() {
            wrong += &format!("\n{text}----\n{found}\n==== expected:\n{expected}");
        }
    }
    assert_eq!(count, 143);
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn no_message_repeats_a_secret() {
    for text in [
        "[nodes.a]\npassword = \"s3cret\"",
        "[nodes.a]\npassword_env = \"s3cret!\"",
        "[nodes.a]\nurl = \"mysql://root:s3cret@h\"",
        "[nodes.a]\nurl = \"mysql://root:s3cret\"",
        "[nodes.a]\nurl = \"root:s3cret@h\"",
        "[nodes.a]\nurl = [\"mysql://root:s3cret@h\"]",
        "nodes.a = \"mysql://root:s3cret@h\"",
        "[nodes]\na = \"mysql://root:s3cret@h",
        "[nodes.a]\nurl = mysql://root:s3cret@h",
    ] {
        let error = Config::parse(text, "twinlog.toml").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    }
}

/// Parsing never panics, whatever stands in the file.
#[test]
fn every_beginning_of_a_file_is_accepted_or_refused() {
    for (end, _) in EXAMPLE.char_indices() {
        let _ = Config::parse(&EXAMPLE[..end], "twinlog.toml");
    }
    for end in (0..EXAMPLE.len()).filter(|end| EXAMPLE.is_char_boundary(*end)) {
        let _ = Config::parse(&EXAMPLE[end..], "twinlog.toml");
    }
}

#[test]
fn an_empty_file_is_all_defaults() {
    let config = Config::parse("", "").unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.shared_key_window, Duration::from_secs(600));
    assert_eq!(config.near_conflict_window, Duration::from_secs(1));
    assert_eq!(config.group_limit, 1000);
    assert_eq!(config.unlisted, Unlisted::Shared);
    assert_eq!(config.watch.listen.to_string(), "127.0.0.1:9477");
    assert_eq!(config.watch.missing_after, Duration::from_secs(300));
    assert_eq!(config.watch.start, Start::Now);
    assert_eq!(config.watch.store, None);
    assert_eq!(config.watch.retention, Duration::from_secs(2_592_000));
}

#[test]
fn the_example_is_read_whole() {
    let config = Config::parse(EXAMPLE, "twinlog.example.toml").unwrap();
    let names: Vec<&str> = config.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let a = &config.nodes[0];
    assert_eq!(a.server_ids, [1]);
    assert_eq!(a.url.as_ref().unwrap().to_string(), "mysql://twinlog@10.0.0.1:3306");
    assert_eq!(a.password, Some(PasswordSource::File("/etc/twinlog/a.password".into())));
    assert_eq!(a.effective_tls().mode, TlsMode::VerifyIdentity);
    assert_eq!(a.effective_tls().ca, Some("/etc/twinlog/ca.pem".into()));
    assert_eq!(config.ownership.len(), 6);
    assert_eq!(config.suppress[0].until, jiff::civil::date(2027, 1, 31));
    assert_eq!(config.suppress[0].origin, Some(NodeIndex(0)));
    assert_eq!(config.ignore_columns.len(), 1);
    assert_eq!(config.replica_server_id(NodeIndex(1)), 4_294_900_002);
}

/// What the example shows as a default is the default.
#[test]
fn the_example_tells_the_defaults() {
    let is_key = |line: &str| line.starts_with("# ") && line.contains(" = ");
    let open = |line| if is_key(line) { &line[2..] } else { line };
    let opened: Vec<&str> = EXAMPLE.lines().map(open).collect();
    let mut opened = Config::parse(&opened.join("\n"), "twinlog.example.toml").unwrap();
    assert_eq!(opened.watch.token_file.take(), Some("/etc/twinlog/token".into()));
    assert!(matches!(std::mem::take(&mut opened.watch.tls), ListenTls::Files { .. }));
    assert_eq!(opened, Config::parse(EXAMPLE, "twinlog.example.toml").unwrap());
}

#[test]
fn the_chapters_snippets_are_accepted() {
    let chapter = include_str!("../../docs/configuration.md");
    let snippets: Vec<&str> = chapter.split("```toml\n").skip(1).collect();
    assert_eq!(snippets.len(), 7);
    for snippet in snippets {
        let snippet = snippet.split("```").next().unwrap();
        let nodes = if snippet.contains("[nodes.") { "" } else { "nodes = { a = {}, b = {} }\n" };
        let parsed = Config::parse(&format!("{nodes}{snippet}"), "docs/configuration.md");
        assert!(parsed.is_ok(), "{}", parsed.unwrap_err());
    }
}

fn bodies(rules: &str) -> Vec<RuleBody> {
    let text = format!("nodes = {{ b = {{}}, a = {{}} }}\n{rules}");
    let config = Config::parse(&text, "twinlog.toml").unwrap_or_else(|error| panic!("{error}"));
    config.ownership.into_iter().map(|rule| rule.body).collect()
}

fn row_rule(rows: &str) -> RowOwnership {
    let rule = format!("[[ownership]]\ntables = [\"x.y\"]\nrows = {{ column = \"id\", {rows} }}");
    match bodies(&rule).remove(0) {
        RuleBody::Rows(rule) => rule.by,
        other => panic!("{other:?}"),
    }
}

/// Nodes are numbered by name, not as they stand in the file.
#[test]
fn rules_number_their_nodes() {
    let (a, b) = (NodeIndex(0), NodeIndex(1));
    let rules = "ownership = [{ tables = [\"x.x\"], owner = \"b\" }, \
                 { tables = [\"y.y\"], owner = [\"a\", \"b\"] }, \
                 { tables = [\"z.z\"], class = \"local\", operations = [\"delete\"] }, \
                 { tables = [\"*.*\"], class = \"shared\" }]";
    let expected = [
        RuleBody::Owners(vec![b]),
        RuleBody::Owners(vec![a, b]),
        RuleBody::Local,
        RuleBody::Shared,
    ];
    assert_eq!(bodies(rules), expected);
    let text = format!("nodes = {{ a = {{}}, b = {{}} }}\n{rules}");
    let config = Config::parse(&text, "").unwrap();
    assert_eq!(config.ownership[2].operations, [Operation::Delete]);
}

#[test]
fn row_rules_become_the_models() {
    let (a, b) = (NodeIndex(0), NodeIndex(1));
    assert_eq!(
        row_rule("modulo = 3, remainders = { b = [2, 0x0], a = 1 }"),
        RowOwnership::Modulo { modulo: 3, owners: vec![b, a, b] }
    );
    assert_eq!(
        row_rule(r#"values = { a = ["eu", "de-*", "de-by-*", -7], b = 18446744073709551615 }"#),
        RowOwnership::Values(vec![
            (a, ValuePattern::Text("eu".into())),
            (a, ValuePattern::Prefix("de-".into())),
            (a, ValuePattern::Prefix("de-by-".into())),
            (a, ValuePattern::Int(-7)),
            (b, ValuePattern::Int(u64::MAX.into())),
        ])
    );
    assert_eq!(
        row_rule(r#"ranges = { a = ["..-5", "10..20"], b = ["-5..10", "1_000.."] }"#),
        RowOwnership::Ranges(vec![
            (a, None, Some(-5)),
            (a, Some(10), Some(20)),
            (b, Some(-5), Some(10)),
            (b, Some(1000), None),
        ])
    );
}

#[test]
fn start_may_be_coordinates() {
    let text = "nodes = { a = {}, b = {} }\nwatch.start = { a = \"a-bin.000003:4\" }";
    let start = Config::parse(text, "").unwrap().watch.start;
    assert_eq!(start, Start::At(BTreeMap::from([("a".into(), ("a-bin.000003".into(), 4))])));
}

#[test]
fn tls_defaults_to_verification_off_the_machine() {
    for (url, mode) in [
        ("mysql://u@127.0.0.1", TlsMode::Off),
        ("mysql://u@h?socket=/run/s", TlsMode::Off),
        ("mysql://u@10.0.0.1", TlsMode::VerifyIdentity),
    ] {
        let config = Config::parse(&format!("nodes.a.url = {url:?}"), "").unwrap();
        assert_eq!(
            config.nodes[0].effective_tls(),
            TlsConfig { mode, ..TlsConfig::default() },
            "{url}"
        );
    }
    let text = "nodes.a = { url = \"mysql://u@127.0.0.1\", tls = { ca = \"ca.pem\" } }";
    let config = Config::parse(text, "").unwrap();
    assert_eq!(config.nodes[0].effective_tls().mode, TlsMode::VerifyIdentity);
}

#[test]
fn a_scan_without_configured_nodes_makes_its_own() {
    let config = Config::default().with_scan_nodes(&["b", "a", "b"]).unwrap();
    let names: Vec<&str> = config.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(config.node("b"), Some(NodeIndex(1)));
    assert!(config.nodes[1].to_node(true).has_stream);
}

#[test]
fn a_scan_keeps_the_configured_nodes() {
    let text = "nodes.c = { server_ids = [3] }\nnodes.a = {}";
    let config = Config::parse(text, "twinlog.toml").unwrap();
    assert_eq!(config.clone().with_scan_nodes(&["c"]).as_ref(), Ok(&config));
    for (name, expected) in [
        (
            "b",
            "twinlog.toml: no node is called \"b\"\nhint: write \"a\" or \"c\", or add [nodes.b]",
        ),
        (
            "/x",
            "no name for a node: \"/x\"\n\
             hint: 1 to 64 letters, digits, _ and -, such as \"eu-1\"",
        ),
    ] {
        let error = config.clone().with_scan_nodes(&["a", name]).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_ring_has_at_most_12_nodes() {
    let names: Vec<String> = (0..13).map(|n| format!("n{n}")).collect();
    let text = |count: usize| names[..count].iter().map(|n| format!("[nodes.{n}]\n")).collect();
    let text: [String; 2] = [text(12), text(13)];
    assert_eq!(Config::parse(&text[0], "t").unwrap().nodes.len(), 12);
    assert_eq!(
        Config::parse(&text[1], "t").unwrap_err().to_string(),
        "t:13: nodes.n12: one node more than the 12 that a ring can have\n\
         hint: split the ring, one twinlog for each part"
    );
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let error = Config::default().with_scan_nodes(&names).unwrap_err();
    assert_eq!(error.to_string(), "13 nodes; a ring has at most 12");
}

#[test]
fn files_are_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("twinlog.toml");
    let missing = Config::load(&path).unwrap_err().to_string();
    let what = ": cannot be read: No such file or directory (os error 2)";
    assert_eq!(missing, format!("{}{what}", path.display()));
    std::fs::write(&path, "group_limit = 1\n").unwrap();
    let error = Config::load(&path).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}:1: group_limit: unknown key", path.display())));
}
