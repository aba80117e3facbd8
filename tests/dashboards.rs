//! The Grafana dashboards: every panel says what it is, and asks for what twinlog exports.
//!
//! That the files are what `scripts/dashboards` writes is a step of `scripts/test`; that Prometheus
//! answers the queries is a test with servers.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use support::dashboards::{
    EMPTY_WHILE_ALL_IS_WELL, Panel, dashboards, panels, queries, queries_while_all_is_well,
};

/// Labels that Prometheus gives, and that a histogram has.
const ALWAYS: [&str; 3] = ["job", "instance", "le"];

/// The metrics with their labels: the headings of docs/metrics.md, which tests/tidy compares with
/// what is served.
fn known() -> BTreeMap<String, BTreeSet<String>> {
    let headings = include_str!("../docs/metrics.md").lines();
    let mut known = BTreeMap::new();
    for heading in headings.filter_map(|line| line.strip_prefix("### ")) {
        for metric in heading.split('`').skip(1).step_by(2) {
            let (name, labels) = metric.split_once('{').unwrap_or((metric, "}"));
            let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
            known.insert(name.to_owned(), labels.map(|label| label.trim().to_owned()).collect());
        }
    }
    known
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The selectors in an expression: name, and the labels between its braces.
fn selectors(expr: &str) -> Vec<(&str, Vec<&str>)> {
    let mut found = Vec::new();
    for prefix in ["twinlog_", "process_"] {
        for (at, _) in expr.match_indices(prefix) {
            let rest = &expr[at..];
            let name = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
            let inside = rest[name.len()..].strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let matchers = inside.map_or("", |(inside, _)| inside).split(", ");
            let matchers = matchers.filter(|matcher| !matcher.is_empty());
            let label = |matcher: &&str| matcher.find(|c| !is_word(c)).unwrap_or(0);
            found.push((name, matchers.map(|matcher| &matcher[..label(&matcher)]).collect()));
        }
    }
    found
}

/// The labels that an expression groups by.
fn groups(expr: &str) -> BTreeSet<&str> {
    let lists = expr.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
    lists.flat_map(|list| list.split(',').map(str::trim)).collect()
}

/// Words between a start and an end: `{{kind}}`.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    text.split(start).skip(1).filter_map(|rest| rest.split(end).next()).collect()
}

/// What a name without `_bucket`, `_sum` and `_count` is called there.
fn base(name: &str) -> &str {
    ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// What is wrong with one query of a panel.
fn faults(expr: &str, legend: &str) -> Vec<String> {
    let known = known();
    let mut faults = Vec::new();
    let mut labels: BTreeSet<&str> = ALWAYS.into();
    for (name, used) in selectors(expr) {
        let entry = known.get(name).or_else(|| known.get(base(name)));
        match entry {
            None => faults.push(format!("{name} does not exist")),
            Some(entry) => labels.extend(entry.iter().map(String::as_str)),
        }
        for scope in ["job", "instance"].iter().filter(|scope| !used.contains(scope)) {
            faults.push(format!("{name} is not bounded by {scope}"));
        }
        for label in used.iter().filter(|label| !labels.contains(*label)) {
            faults.push(format!("{name} has no label {label}"));
        }
    }
    let grouped = groups(expr);
    for label in grouped.iter().chain(&between(legend, "{{", "}}")) {
        if !labels.contains(label) {
            faults.push(format!("no metric has a label {label}"));
        }
    }
    let sums = expr.contains("sum") || expr.contains("max(");
    for label in between(legend, "{{", "}}") {
        if sums && !grouped.contains(label) {
            faults.push(format!("the legend names {label}, which is summed up"));
        }
    }
    if expr.contains('$') {
        faults.push(format!("a variable is left: {expr}"));
    }
    faults
}

/// What is wrong with what a panel tells people.
fn untold(panel: &Panel) -> Vec<&'static str> {
    let json = &panel.json;
    let defaults = &json["fieldConfig"]["defaults"];
    let has = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let unit = match json["type"].as_str() {
        Some("heatmap") => &json["options"]["yAxis"]["unit"],
        _ => &defaults["unit"],
    };
    let limited = json["type"] == "timeseries" || json["type"] == "heatmap";
    let limits = defaults["thresholds"]["steps"].as_array().is_some_and(|steps| steps.len() > 1);
    let demands = [
        (has(&json["title"]), "a title"),
        (json["description"].as_str().is_some_and(|text| text.len() > 20), "a description"),
        (has(unit), "a unit"),
        (has(&defaults["noValue"]), "words for no data"),
        (limited || limits, "limits"),
        (json["datasource"]["uid"] == "${datasource}", "the data source's variable"),
        (json["targets"].as_array().is_some_and(|targets| !targets.is_empty()), "a query"),
    ];
    demands.into_iter().filter(|(met, _)| !met).map(|(_, what)| what).collect()
}

fn legends(panel: &Panel) -> Vec<String> {
    let targets = panel.json["targets"].as_array().into_iter().flatten();
    targets.map(|target| target["legendFormat"].as_str().unwrap_or("").to_owned()).collect()
}

#[test]
fn every_query_asks_for_metrics_and_labels_that_exist() {
    let mut all = Vec::new();
    for panel in panels() {
        for (expr, legend) in panel.queries().iter().zip(legends(&panel)) {
            let faults = faults(expr, &legend);
            all.extend(faults.into_iter().map(|fault| format!("{}: {fault}", panel.name())));
        }
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn a_query_with_a_fault_is_caught() {
    let scope = "job=~\".*\", instance=~\".*\"";
    let check = |expr: &str, legend| faults(&expr.replace("{}", &format!("{{{scope}}}")), legend);
    assert!(check("sum by (kind) (twinlog_open_findings{})", "{{kind}}").is_empty());
    assert_eq!(check("twinlog_open_finding{}", ""), ["twinlog_open_finding does not exist"]);
    let table = format!("twinlog_open_findings{{{scope}, table=\"x\"}}");
    assert_eq!(check(&table, ""), ["twinlog_open_findings has no label table"]);
    let unbounded = check("twinlog_open_findings", "");
    assert_eq!(unbounded.len(), 2, "{unbounded:?}");
    let summed = "sum by (stream) (twinlog_open_findings{})";
    assert_eq!(check(summed, "{{stream}}").len(), 2, "grouped by, and named");
    assert_eq!(
        check("sum(twinlog_open_findings{})", "{{kind}}"),
        ["the legend names kind, which is summed up"]
    );
    assert_eq!(check("twinlog_pending_keys{} > $limit", "").len(), 1);
    let buckets = "sum by (le) (rate(twinlog_replication_delay_seconds_bucket{}[1m]))";
    assert!(check(buckets, "{{le}}").is_empty());
}

#[test]
fn every_metric_that_tells_of_trouble_is_on_a_dashboard() {
    let text: String = queries().into_iter().map(|(_, query)| query).collect();
    let ours = known().into_keys().filter(|name| name.starts_with("twinlog_"));
    // The version is not a measurement.
    let measured = ours.filter(|name| name != "twinlog_build_info");
    let unused: Vec<_> = measured.filter(|name| !text.contains(name.as_str())).collect();
    assert!(unused.is_empty(), "no panel shows {}", unused.join(", "));
}

#[test]
fn every_panel_tells_what_it_is() {
    let untold = panels().into_iter().map(|panel| (panel.name(), untold(&panel)));
    let untold: Vec<_> = untold.filter(|(_, what)| !what.is_empty()).collect();
    assert!(untold.is_empty(), "missing: {untold:#?}");
}

#[test]
fn a_panel_that_tells_too_little_is_caught() {
    let mut panel = panels().swap_remove(0);
    assert!(untold(&panel).is_empty());
    for (field, what) in [("description", "a description"), ("title", "a title")] {
        let was = std::mem::replace(&mut panel.json[field], Value::Null);
        assert_eq!(untold(&panel), [what]);
        panel.json[field] = was;
    }
    panel.json["fieldConfig"]["defaults"] = Value::Null;
    assert_eq!(untold(&panel), ["a unit", "words for no data", "limits"]);
}

#[test]
fn panels_have_numbers_of_their_own_and_do_not_overlap() {
    for (name, json) in dashboards() {
        assert_eq!(json["uid"], name.as_str(), "the uid is the file's name");
        let mut numbers = BTreeSet::new();
        let mut taken = BTreeMap::new();
        for panel in json["panels"].as_array().expect("panels") {
            let number = panel["id"].as_u64().expect("a number");
            assert!(number > 0 && numbers.insert(number), "{name}: {number} is there twice");
            let side = |field: &str| panel["gridPos"][field].as_u64().expect("a place");
            assert!(side("x") + side("w") <= 24, "{name} {number}: beyond the right edge");
            for x in side("x")..side("x") + side("w") {
                for y in side("y")..side("y") + side("h") {
                    let other = taken.insert((x, y), number);
                    assert_eq!(other, None, "{name} {number}: on another panel");
                }
            }
        }
    }
}

#[test]
fn links_to_findings_name_labels_that_the_query_keeps() {
    let mut linked = 0;
    for panel in panels() {
        let links = panel.json["fieldConfig"]["defaults"]["links"].as_array();
        for link in links.into_iter().flatten() {
            linked += 1;
            let url = link["url"].as_str().expect("a url");
            assert!(url.starts_with("${status:raw}/?"), "{}: {url}", panel.name());
            for label in between(url, "${__field.labels.", "}") {
                let queries = panel.queries();
                let keeps = queries.iter().all(|query| groups(query).contains(label));
                assert!(keeps, "{}: {label} is summed up", panel.name());
            }
        }
    }
    assert!(linked > 5, "only {linked} links");
}

/// What lets a number look well while there is no twinlog: the value of a while ago, or the colour of
/// a low value where there is none.
fn stale(panel: &Panel) -> Vec<&'static str> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut faults = Vec::new();
    let is_of_now = |target: &Value| target["instant"] == true && target["range"] != true;
    if !list(&panel.json["targets"]).iter().all(is_of_now) {
        faults.push("asked over a range");
    }
    let mappings = list(&panel.json["fieldConfig"]["defaults"]["mappings"]);
    let nothing = mappings.iter().find(|mapping| mapping["options"]["match"] == "null+nan");
    let color = nothing.and_then(|nothing| nothing["options"]["result"]["color"].as_str());
    if color.is_none_or(|color| color == "green") {
        faults.push("green without data");
    }
    faults
}

#[test]
fn a_twinlog_that_is_gone_is_not_green() {
    let is_number =
        |panel: &Panel| panel.json["type"] == "stat" || panel.json["type"] == "bargauge";
    let mut numbers: Vec<_> = panels().into_iter().filter(is_number).collect();
    assert!(numbers.len() > 10, "{numbers:?}");
    for panel in &numbers {
        assert!(stale(panel).is_empty(), "{}: {:?}", panel.name(), stale(panel));
    }
    let panel = &mut numbers[0];
    assert_eq!((panel.dashboard.as_str(), panel.id()), ("twinlog-overview", 7), "the first");
    let [up] = panel.queries().try_into().expect("one query");
    assert!(up.starts_with("min(up{") && up.ends_with(") or vector(0)"), "{up}");
    panel.json["targets"][0]["range"] = Value::Bool(true);
    panel.json["fieldConfig"]["defaults"]["mappings"] = Value::Null;
    assert_eq!(stale(panel), ["asked over a range", "green without data"]);
}

#[test]
fn the_table_other_is_no_table_in_a_link() {
    for panel in panels() {
        let links = panel.json["fieldConfig"]["defaults"]["links"].as_array().cloned();
        let named = links.into_iter().flatten().filter(|link| {
            link["url"].as_str().is_some_and(|url| url.contains("&table=${__field.labels.table}"))
        });
        if named.count() == 0 {
            continue;
        }
        let overrides = &panel.json["fieldConfig"]["overrides"][0];
        assert_eq!(overrides["matcher"]["options"], "/^other( |$)/", "{}", panel.name());
        let url = overrides["properties"][0]["value"][0]["url"].as_str().expect("a link");
        assert!(!url.contains("table="), "{}: {url}", panel.name());
    }
}

#[test]
fn the_documentation_has_every_panel_in_its_own_words() {
    let page = include_str!("../docs/grafana.md");
    let missing = panels().into_iter().filter(|panel| {
        let word = |field: &str| panel.json[field].as_str().unwrap_or_default().to_owned();
        let row = format!("| {} | {} | {} |", panel.id(), word("title"), word("description"));
        !page.lines().any(|line| line == row)
    });
    let missing: Vec<_> = missing.map(|panel| panel.name()).collect();
    assert!(missing.is_empty(), "docs/grafana.md has no row, or another one, of {missing:#?}");
}

#[test]
fn panels_that_may_be_empty_are_there() {
    for (dashboard, id, why) in EMPTY_WHILE_ALL_IS_WELL {
        let is_this = |panel: &Panel| panel.dashboard == dashboard && panel.id() == id;
        assert!(panels().iter().any(is_this), "{dashboard} {id} is gone ({why})");
    }
    let left = queries().len() - queries_while_all_is_well().len();
    assert_eq!(left, EMPTY_WHILE_ALL_IS_WELL.len(), "each of them has one query");
}
