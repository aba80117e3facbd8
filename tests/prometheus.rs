//! The Prometheus rules: promtool takes them and their unit tests, every alert is told what to do
//! about, and they name nothing that twinlog does not have.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Output},
};
use support::monitoring::{RULES, programs, root};
use twinlog::{
    feed::live::DropReason,
    metrics::Metrics,
    model::{CommitTime, Finding, FindingId, FindingKind, Node, Nodes, Severity},
    store::Store,
};

const RUNBOOKS: &str = "https://github.com/twinlog/twinlog/blob/main/docs/runbooks/";

/// Kinds that no alert is about, and why.
const QUIET: [(FindingKind, &str); 3] = [
    (FindingKind::SharedKey, "info: no harm was done"),
    (FindingKind::NearConflict, "info: no harm was done"),
    (FindingKind::Divergence, "TwinlogDivergenceOpen goes by twinlog_open_divergences"),
];

fn text_of(path: &str) -> String {
    fs::read_to_string(root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text of a rule, without the comments.
struct Alert {
    name: String,
    text: String,
}

impl Alert {
    /// The value of a line `KEY: VALUE`.
    fn line(&self, key: &str) -> Option<&str> {
        let key = format!("{key}: ");
        self.text.lines().find_map(|line| line.trim_start().strip_prefix(&key))
    }

    /// What follows a line `KEY: >-`, on one line.
    fn folded(&self, key: &str) -> String {
        let from = self.text.lines().skip_while(|line| line.trim() != format!("{key}: >-"));
        let is_text = |line: &&str| !line.trim_start().starts_with("description:");
        let is_next = |line: &&str| !line.trim_start().starts_with("runbook_url:");
        let lines = from.skip(1).take_while(is_text).take_while(is_next).map(str::trim);
        lines.collect::<Vec<_>>().join(" ")
    }
}

fn alerts() -> Vec<Alert> {
    let rules = text_of(RULES);
    let rules = rules.lines().filter(|line| !line.trim_start().starts_with('#'));
    let rules = rules.collect::<Vec<_>>().join("\n");
    let blocks = rules.split("      - alert: ").skip(1);
    let read = |block: &str| {
        let text = block.split("\n      - record: ").next().unwrap().to_owned();
        Alert { name: block.lines().next().unwrap().to_owned(), text }
    };
    blocks.map(read).collect()
}

fn names() -> BTreeSet<String> {
    alerts().into_iter().map(|alert| alert.name).collect()
}

/// The words of a text that begin so.
fn words(text: &str, prefix: &str) -> BTreeSet<String> {
    let is_other = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':');
    let words = text.split(is_other).filter(|word| word.len() > prefix.len());
    words.filter(|word| word.starts_with(prefix)).map(str::to_owned).collect()
}

fn promtool(arguments: &[&str]) -> Output {
    run("PROMTOOL", arguments)
}

/// Runs a program in the directory of the rules.
fn run(program: &str, arguments: &[&str]) -> Output {
    let program = &programs()[program];
    let directory = root(RULES).parent().unwrap().to_owned();
    Command::new(program).args(arguments).current_dir(directory).output().unwrap()
}

/// The example of a file in the guide: the block that begins with its name.
fn example(file: &str) -> String {
    let guide = text_of("docs/alerting.md");
    let (_, rest) = guide.split_once(&format!("```yaml\n# {file}\n")).unwrap();
    rest.split("```").next().unwrap().to_owned()
}

fn assert_success(output: &Output) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
}

/// Metrics of two nodes, with one finding told about a table, and what has no value at the start.
fn served() -> String {
    let node = |name: &str| Node { name: name.into(), ..Node::default() };
    let nodes = Nodes::new(vec![node("a"), node("b")]);
    let reasons = DropReason::ALL.iter().map(|reason| reason.as_str());
    let metrics = Metrics::new(&nodes, reasons, ["xid"].into_iter()).unwrap();
    let finding = Finding {
        settled: true,
        table: Some("t.x".to_owned()),
        group: FindingId(1),
        first_seen: CommitTime::from_seconds(1),
        last_seen: CommitTime::from_seconds(1),
        ..Finding::new(FindingId(1), FindingKind::WriteConflict, Severity::Critical)
    };
    metrics.told(&finding, CommitTime::from_seconds(2));
    metrics.text()
}

/// The names of the series in Prometheus' text format.
fn series(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
}

#[test]
fn promtool_takes_the_rules() {
    assert_success(&promtool(&[
        "check",
        "rules",
        "--lint=all",
        "--lint-fatal",
        "twinlog.rules.yml",
    ]));
}

#[test]
fn the_unit_tests_of_the_rules_pass() {
    assert_success(&promtool(&["test", "rules", "twinlog.rules.test.yml"]));
}

#[test]
fn the_examples_in_the_guide_are_taken() {
    let directory = tempfile::tempdir().unwrap();
    let rules = fs::read(root(RULES)).unwrap();
    fs::write(directory.path().join("twinlog.rules.yml"), rules).unwrap();
    let write = |file: &str| {
        let path = directory.path().join(file);
        fs::write(&path, example(file)).unwrap();
        path.display().to_string()
    };
    assert_success(&promtool(&["check", "config", &write("prometheus.yml")]));
    assert_success(&run("AMTOOL", &["check-config", &write("alertmanager.yml")]));
}

#[test]
fn every_metric_in_the_rules_exists() {
    let (rules, served) = (text_of(RULES), series(&served()));
    let recorded: BTreeSet<_> = words(&rules, "twinlog:");
    let defined: BTreeSet<_> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- record: "))
        .map(str::to_owned)
        .collect();
    assert_eq!(recorded, defined, "recorded names are used, and used names are recorded");
    // The names of the groups, and of the metrics.
    let is_group = |name: &String| rules.contains(&format!("- name: {name}\n"));
    let named: Vec<_> =
        words(&rules, "twinlog_").into_iter().filter(|name| !is_group(name)).collect();
    assert!(named.len() > 10, "{named:?}");
    for name in &named {
        assert!(served.contains(name), "{name} is not served");
    }
}

#[test]
fn every_kind_of_finding_is_alerted_or_known_to_be_quiet() {
    let exprs: String = alerts().iter().map(|alert| alert.folded("expr")).collect();
    let kinds = exprs.split("kind=").skip(1).filter_map(|rest| rest.split('"').nth(1));
    let asked: BTreeSet<_> = kinds.flat_map(|kinds| kinds.split('|')).collect();
    let loud = FindingKind::ALL.iter().filter(|kind| QUIET.iter().all(|(of, _)| of != *kind));
    let loud: BTreeSet<_> = loud.map(|kind| kind.as_str()).collect();
    assert_eq!(asked, loud);
}

#[test]
fn every_alert_says_how_bad_it_is_what_happened_and_what_to_do() {
    for alert in alerts() {
        let name = &alert.name;
        let severity = alert.line("severity").unwrap_or_default();
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: {severity}");
        assert!(alert.folded("summary").len() > 20, "{name} has a summary");
        let description = alert.folded("description");
        assert!(description.contains("$labels.instance"), "{name}: {description}");
        assert!(description.contains("First: "), "{name}: what to do first");
        assert_eq!(alert.line("runbook_url"), Some(format!("{RUNBOOKS}{name}.md").as_str()));
    }
}

#[test]
fn every_alert_has_its_runbook_and_every_runbook_its_alert() {
    let pages: BTreeSet<_> = fs::read_dir(root("docs/runbooks"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".md").map(str::to_owned))
        .filter(|name| name != "README")
        .collect();
    assert_eq!(names(), pages);
    let (index, guide) = (text_of("docs/runbooks/README.md"), text_of("docs/alerting.md"));
    for name in names() {
        let page = text_of(&format!("docs/runbooks/{name}.md"));
        assert!(page.starts_with(&format!("# {name}\n")), "{name}: its heading");
        for heading in ["What it means", "How bad", "Look", "Do", "When it ends", "False alarms"] {
            assert!(page.contains(&format!("\n## {heading}\n")), "{name}: {heading}");
        }
        assert!(index.contains(&format!("]({name}.md)")), "{name} is in the index");
        assert!(guide.contains(&format!("](runbooks/{name}.md)")), "{name} is in the guide");
    }
}

/// The command lines of twinlog's in the pages, as they stand there.
fn commands() -> BTreeSet<String> {
    let pages = fs::read_dir(root("docs/runbooks")).unwrap();
    let text: String =
        pages.map(|page| fs::read_to_string(page.unwrap().path()).unwrap()).collect();
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).map(str::trim);
    lines.filter(|line| line.starts_with("twinlog ")).map(str::to_owned).collect()
}

#[test]
fn the_runbooks_commands_are_understood() {
    let directory = tempfile::tempdir().unwrap();
    drop(Store::open(&directory.path().join("twinlog.db")).unwrap());
    fs::write(directory.path().join("twinlog.toml"), "[nodes.a]\n[nodes.b]\n").unwrap();
    let commands = commands();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        let line = command.replace(" ID ", " 0123abcd ").replace("=DIR", "=.");
        let line = line.replace("--table TABLE", "--table shop.account");
        let line = line.replacen("twinlog", env!("CARGO_BIN_EXE_twinlog"), 1);
        let output =
            Command::new("sh").args(["-c", &line]).current_dir(&directory).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // The store is empty, so many find nothing; but what they ask for is asked for rightly.
        assert!(!said.contains("try '--help'") && !said.contains("panicked"), "{command}: {said}");
        let is_list = command.contains("findings list") || command.contains("--all-open");
        assert!(!is_list || output.status.success(), "{command}: {said}");
    }
}

/// promtool compares all labels and annotations of what is expected to fire.
#[test]
fn every_alert_is_seen_to_fire_and_not_to_fire() {
    let tests = text_of("dashboards/prometheus/twinlog.rules.test.yml");
    let asked: Vec<_> = tests.split("        alertname: ").skip(1).collect();
    let of = |name: &str| {
        let asked = asked.clone().into_iter();
        asked.filter(|test| test.lines().next() == Some(name)).collect::<Vec<_>>()
    };
    for alert in alerts() {
        let severity = format!("severity: \"{}\"", alert.line("severity").unwrap());
        let thread = alert.line("thread").map_or(String::new(), |of| format!("thread: \"{of}\""));
        let fires =
            |test: &&&str| test.lines().any(|l| l.contains(&severity) && l.contains(&thread));
        let tests = of(&alert.name);
        assert!(tests.iter().any(|test| fires(&test)), "{} {severity} fires", alert.name);
        let is_quiet = |test: &&str| test.lines().nth(1) == Some("        exp_alerts: []");
        assert!(tests.into_iter().any(|test| is_quiet(&test)), "{} is quiet", alert.name);
    }
}
