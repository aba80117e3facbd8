//! docs/metrics.md and the program's metrics are the same: names, types, labels and their values;
//! and every metric has a query that asks for what is there.

use super::{Breach, Source, assert_none, short, sources};
use std::collections::{BTreeMap, BTreeSet};
use twinlog::{
    binlog::event,
    feed::live::DropReason,
    metrics::Metrics,
    model::{Node, Nodes},
};

/// A metric, by its name.
#[derive(Default)]
struct Metric {
    /// `counter`, `gauge` or `histogram`.
    kind: String,
    /// Labels, with the values that are known from the start.
    labels: BTreeMap<String, BTreeSet<String>>,
}

type Served = BTreeMap<String, Metric>;

/// Labels whose values are told once for all, not metric by metric: nodes and tables, and the words
/// of findings, which the reference has to name.
const TOLD_ELSEWHERE: [&str; 8] =
    ["stream", "origin", "from", "to", "table", "kind", "severity", "version"];

/// Endings of a histogram's series.
const SERIES: [&str; 3] = ["_bucket", "_sum", "_count"];

/// What a program with two nodes serves.
fn served() -> String {
    let node = |name: &str| Node { name: name.into(), ..Node::default() };
    let nodes = Nodes::new(vec![node("a"), node("b")]);
    let reasons = DropReason::ALL.into_iter().map(DropReason::as_str);
    Metrics::new(&nodes, reasons, event::kind_names()).expect("metrics").text()
}

/// Reads Prometheus' text format, as far as it says what metrics there are.
fn read(text: &str) -> Served {
    let mut found = Served::new();
    for line in text.lines() {
        if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' '))
        {
            found.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if let Some((series, _)) = line.rsplit_once(' ').filter(|_| !line.starts_with('#')) {
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let Some(metric) = found.get_mut(family(name, |name| found.contains_key(name))) else {
                continue;
            };
            for label in labels.trim_end_matches('}').split("\",").filter(|of| !of.is_empty()) {
                let (label, value) = label.split_once("=\"").expect("a label has a value");
                // A histogram's own.
                if label != "le" {
                    let values = metric.labels.entry(label.to_owned()).or_default();
                    values.insert(value.trim_end_matches('"').to_owned());
                }
            }
        }
    }
    found
}

/// The metric that a series belongs to: itself, or the histogram.
fn family(series: &str, is_metric: impl Fn(&str) -> bool) -> &str {
    let histogram = SERIES.iter().find_map(|ending| series.strip_suffix(ending));
    histogram.filter(|name| is_metric(name)).unwrap_or(series)
}

/// One entry of the page.
struct Entry {
    line: usize,
    name: String,
    labels: Vec<String>,
    /// The lines below its heading.
    body: Vec<String>,
}

/// The entries: headings such as ``### `twinlog_x_total{stream}` ``, and what follows each.
fn entries(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut in_entry = false;
    for (at, line) in text.lines().enumerate() {
        if line.starts_with('#') {
            let heading = line.strip_prefix("### `").and_then(|rest| rest.strip_suffix('`'));
            in_entry = heading.is_some();
            entries.extend(heading.map(|heading| {
                let (name, labels) = heading.split_once('{').unwrap_or((heading, ""));
                let labels = labels.trim_end_matches('}').split(',').filter(|of| !of.is_empty());
                let (name, labels) = (name.to_owned(), labels.map(str::to_owned).collect());
                Entry { line: at + 1, name, labels, body: Vec::new() }
            }));
        } else if let Some(entry) = entries.last_mut().filter(|_| in_entry) {
            entry.body.push(line.to_owned());
        }
    }
    entries
}

impl Entry {
    /// The first word below the heading, in lower case: the type.
    fn kind(&self) -> String {
        let first = self.body.iter().find(|line| !line.is_empty());
        let word = first.and_then(|line| line.split([',', '.', ' ']).next()).unwrap_or_default();
        word.to_lowercase()
    }

    /// What stands in blocks of PromQL.
    fn query(&self) -> String {
        let lines = self.body.iter().skip_while(|line| *line != "```promql").skip(1);
        lines.take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect()
    }

    fn prose(&self) -> String {
        self.body.iter().take_while(|line| *line != "```promql").cloned().collect()
    }
}

/// The metrics that a query names, each with the labels that it selects by.
fn named(query: &str) -> Vec<(&str, Vec<&str>)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(start) = rest.find(is_word) {
        rest = &rest[start..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        if ["twinlog_", "process_"].iter().any(|prefix| word.starts_with(prefix)) {
            let inside = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let matchers = inside.map_or("", |(inside, _)| inside).split(',');
            let labels = matchers.filter_map(|of| Some(of.split_once(['=', '!'])?.0.trim()));
            found.push((word, labels.collect()));
        }
    }
    found
}

fn check(page: &Source, served: &Served) -> Vec<Breach> {
    let entries = entries(&page.text);
    let mut breaches = Vec::new();
    for (name, _) in served.iter().filter(|(name, _)| entries.iter().all(|of| of.name != **name)) {
        let instead = "add an entry: heading, type and unit, meaning, query";
        breaches.push(page.breach(1, "metric-missing", format!("{name} has no entry"), instead));
    }
    for entry in &entries {
        let Some(metric) = served.get(&entry.name) else {
            let found = format!("no metric is called {}", entry.name);
            let instead = "a metric that src/metrics/ registers";
            breaches.push(page.breach(entry.line, "metric-unknown", found, instead));
            continue;
        };
        check_entry(page, entry, metric, &mut breaches);
        check_query(page, entry, served, &mut breaches);
    }
    breaches
}

fn check_entry(page: &Source, entry: &Entry, metric: &Metric, breaches: &mut Vec<Breach>) {
    let name = &entry.name;
    if entry.kind() != metric.kind {
        let found = format!("{name} is a {}, not a {}", metric.kind, entry.kind());
        let instead = "begin with `Counter`, `Gauge` or `Histogram`, and its unit";
        breaches.push(page.breach(entry.line, "metric-type", found, instead));
    }
    let labels: BTreeSet<&String> = entry.labels.iter().collect();
    if labels != metric.labels.keys().collect() {
        let found = format!("{name} has the labels {:?}", metric.labels.keys());
        let instead = "the labels in the heading, as in `name{one,two}`";
        breaches.push(page.breach(entry.line, "metric-labels", found, instead));
    }
    let prose = entry.prose();
    // The reference names all reasons of blind spots.
    let closed = metric.labels.iter().filter(|(label, _)| {
        let is_told = TOLD_ELSEWHERE.contains(&label.as_str());
        !is_told && (name.as_str(), label.as_str()) != ("twinlog_blind_spots_total", "reason")
    });
    for (label, value) in closed.flat_map(|(label, of)| of.iter().map(move |value| (label, value)))
    {
        if !prose.contains(&format!("`{value}`")) {
            let found = format!("{name}: {label} may be `{value}`");
            let instead = "name every value of the label in the entry";
            breaches.push(page.breach(entry.line, "metric-value", found, instead));
        }
    }
}

fn check_query(page: &Source, entry: &Entry, served: &Served, breaches: &mut Vec<Breach>) {
    let query = entry.query();
    let named = named(&query);
    let own = |(word, _): &(&str, Vec<&str>)| {
        family(word, |name| served.contains_key(name)) == entry.name
    };
    let mut wrong: Vec<String> = Vec::new();
    if !named.iter().any(own) {
        wrong.push(format!("{} has no query that asks for it", entry.name));
    }
    for (word, labels) in &named {
        let Some(metric) = served.get(family(word, |name| served.contains_key(name))) else {
            wrong.push(format!("the query asks for {word}, which is no metric"));
            continue;
        };
        // A histogram's own name has no samples.
        if metric.kind == "histogram" && served.contains_key(*word) {
            wrong.push(format!(
                "the query asks for {word}, a histogram without _bucket or the like"
            ));
        }
        let no_label = |label: &&&str| **label != "le" && !metric.labels.contains_key(**label);
        wrong.extend(labels.iter().find(no_label).map(|label| format!("{word} has no {label}")));
    }
    let instead = "an example in a block of promql, of metrics and labels that are there";
    let breach = |found| page.breach(entry.line, "metric-query", found, instead);
    breaches.extend(wrong.into_iter().map(breach));
}

#[test]
fn the_page_of_metrics_is_what_is_served() {
    let pages = sources(|path| path == "docs/metrics.md");
    assert_eq!(pages.len(), 1, "docs/metrics.md is there");
    // The page says that they are there on Linux only.
    let on_linux = cfg!(target_os = "linux");
    let served = read(&served());
    assert!(served.len() > 25 && (!on_linux || served.contains_key("process_open_fds")));
    if on_linux {
        assert_none(pages.iter().flat_map(|page| check(page, &served)).collect());
    }
}

#[test]
fn a_page_that_is_not_what_is_served_is_caught() {
    let served = read(
        "# HELP twinlog_a_total What.\n# TYPE twinlog_a_total counter\n\
         twinlog_a_total{reason=\"x\",stream=\"one, two\"} 0\n\
         # TYPE twinlog_b histogram\ntwinlog_b_bucket{le=\"1\"} 0\ntwinlog_b_sum 0\n",
    );
    let first = "# M\n### `twinlog_a_total{stream,reason}`\n\nCounter, in x. `x`: y.\n\n\
                 ```promql\nrate(twinlog_a_total{reason=\"x\"}[5m])\n```\n";
    let second = "## More\n### `twinlog_b`\n\nHistogram.\n\n```promql\ntwinlog_b_sum\n```\n";
    let check = |text: &str| short(&check(&Source::of("docs/metrics.md", text), &served));
    let good = format!("{first}{second}");
    assert_eq!(check(&good), [""; 0]);
    assert_eq!(check(second), ["1: metric-missing"]);
    let caught = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        check(&good.replace(from, to))
    };
    let renamed = ["1: metric-missing", "10: metric-unknown"];
    assert_eq!(caught("### `twinlog_b`", "### `twinlog_c`"), renamed);
    assert_eq!(caught("Counter", "Gauge"), ["2: metric-type"]);
    assert_eq!(caught("{stream,reason}", "{stream}"), ["2: metric-labels"]);
    assert_eq!(caught("{stream,reason}", "{stream,reason,to}"), ["2: metric-labels"]);
    assert_eq!(caught("`x`: y", "z"), ["2: metric-value"]);
    assert_eq!(caught("{reason=", "{reasons="), ["2: metric-query"]);
    assert_eq!(caught("twinlog_b_sum", "twinlog_b"), ["10: metric-query"]);
    assert_eq!(caught("twinlog_b_sum", "up"), ["10: metric-query"]);
    assert_eq!(caught("twinlog_b_sum", "twinlog_b_sum / twinlog_gone"), ["10: metric-query"]);
    assert_eq!(caught("```promql\ntwinlog_b_sum\n```\n", ""), ["10: metric-query"]);
}
