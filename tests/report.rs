//! `twinlog scan --report`, over recorded logs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use support::recorded::{recorded, samples};
use tempfile::TempDir;

/// One conflict, the divergence that came of it, and one `info`.
const CONFLICT: &str = "mariadb118-03-update-update";
/// Nothing at all.
const NOTHING: &str = "mariadb118-13-large";

fn scan(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinlog"));
    command.arg("scan").args(arguments).output().unwrap()
}

fn sources(sample: &Path) -> [String; 2] {
    ["a", "b"].map(|node| format!("{node}={}", sample.join(node).display()))
}

/// A scan with a report: its exit code, its JSON, and the report.
fn reported(sample: &Path, options: &[&str]) -> (Option<i32>, Value, String) {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("report.html");
    let [a, b] = sources(sample);
    let mut arguments = vec!["--format", "json", "--report", file.to_str().unwrap(), &a, &b];
    arguments.extend(options);
    let output = scan(&arguments);
    let json = serde_json::from_slice(&output.stdout).unwrap();
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds values of rows");
    (output.status.code(), json, fs::read_to_string(&file).unwrap())
}

/// Elements that have no end.
const VOID: [&str; 4] = ["meta", "link", "br", "input"];

/// Whether every element ends where it should; gives the tags, without their names' ends.
#[track_caller]
fn tags(html: &str) -> Vec<&str> {
    let (mut tags, mut open) = (Vec::new(), Vec::new());
    for part in html.split('<').skip(1) {
        let (tag, _) = part.split_once('>').unwrap_or_else(|| panic!("no end: {part}"));
        let name = tag.split([' ', '\n']).next().unwrap_or_default();
        match name.strip_prefix('/') {
            _ if name.starts_with('!') => {}
            Some(name) => assert_eq!(open.pop(), Some(name), "in {tags:?}"),
            None if VOID.contains(&name) => {}
            None => open.push(name),
        }
        tags.push(tag);
    }
    assert!(open.is_empty(), "{open:?} do not end");
    tags
}

#[track_caller]
fn assert_self_contained(html: &str) {
    for tag in tags(html) {
        assert!(!tag.starts_with("script") && !tag.contains(" src="), "{tag}");
        for link in tag.split(" href=\"").skip(1) {
            assert!(link.starts_with('#') || link.starts_with("data:,\""), "{tag}");
        }
    }
    assert!(!html.contains("@import") && !html.contains("url("));
}

/// The rows of a table, each cell's text.
fn table(html: &str, label: &str) -> Vec<Vec<String>> {
    let region = html.split_once(&format!("aria-label=\"{label}\"")).unwrap().1;
    let body = region.split_once("<tbody>").unwrap().1.split_once("</tbody>").unwrap().0;
    let rows = body.split("<tr").skip(1).map(|row| {
        let cells = row.split("<t").skip(1).map(|cell| {
            let texts = cell.split('<').filter_map(|part| Some(part.split_once('>')?.1));
            texts.collect::<String>().trim().to_owned()
        });
        cells.filter(|cell| !cell.is_empty()).collect()
    });
    rows.collect()
}

#[test]
fn every_recorded_scan_makes_a_whole_report_with_the_numbers_of_its_summary() {
    for sample in samples() {
        let (_, json, html) = reported(&sample, &[]);
        assert_self_contained(&html);
        let summary = &json["summary"];
        let number = |value: &Value| value.as_u64().unwrap().to_string();
        let judged = [number(&summary["rows_judged"]), number(&summary["rows_seen"])];
        let sentence = format!("{} of {} rows were judged", judged[0], judged[1]);
        assert!(html.contains(&sentence), "{}: {sentence}", sample.display());
        let rows = table(&html, "Coverage by stream");
        let streams = summary["streams"].as_object().unwrap();
        assert_eq!(rows.len(), streams.len());
        for (row, (name, stream)) in rows.iter().zip(streams) {
            let fields = ["originals", "copies", "unknown_origin", "rows_seen", "rows_judged"];
            let wanted = [name.clone()].into_iter();
            let wanted: Vec<_> = wanted.chain(fields.map(|field| number(&stream[field]))).collect();
            assert_eq!(row[..6], wanted, "{}", sample.display());
        }
        for of in summary["findings"].as_array().unwrap() {
            let tag = format!("{} {}</span>", of["count"], of["kind"].as_str().unwrap());
            assert!(html.contains(&tag), "{}: {tag}", sample.display());
        }
        for finding in json["findings"].as_array().unwrap() {
            let id = format!("id=\"{}\"", finding["id"].as_str().unwrap());
            assert_eq!(html.matches(&id).count(), 1, "{}: {id}", sample.display());
        }
        let written = summary["tables"].as_array().unwrap();
        let tables = table(&html, "Tables by origin");
        for of in written {
            let sum: u64 =
                ["inserts", "updates", "deletes"].map(|f| of[f].as_u64().unwrap()).iter().sum();
            let line = tables.iter().find(|line| of["table"] == line[0].as_str());
            let line = line.unwrap_or_else(|| panic!("{}: {of}", sample.display()));
            assert!(line.contains(&sum.to_string()), "{line:?} {of}");
        }
    }
}

#[test]
fn a_conflict_has_its_picture_its_rows_and_its_proof() {
    let (code, json, html) = reported(&recorded().join(CONFLICT), &[]);
    assert_eq!(code, Some(1));
    let conflict = json["findings"].as_array().unwrap().iter();
    let conflict = conflict.clone().find(|of| of["kind"] == "write_conflict").unwrap();
    let section = format!("<section class=\"card\" id=\"{}\">", conflict["id"].as_str().unwrap());
    let section = html.split_once(&section).unwrap().1;
    let section = section.split("<section class=\"card\"").next().unwrap();
    for word in [
        "aria-label=\"The order in each stream\"",
        "<table class=\"images\">",
        "class=\"changed\"",
        "update t.x set v=",
        "mariadb-binlog ",
        "--start-position=",
    ] {
        assert!(section.contains(word), "no {word}");
    }
    assert!(html.contains("critical findings; 1 row on which the masters differed"));
}

#[test]
fn nothing_found_says_that_all_was_judged() {
    let (code, _, html) = reported(&recorded().join(NOTHING), &[]);
    assert_eq!(code, Some(0));
    assert!(html.contains("<h1>No rule was broken</h1>") && html.contains("(100.00 %)"));
}

#[test]
fn what_was_asked_for_is_said() {
    let (_, _, html) = reported(&recorded().join(CONFLICT), &["--kind", "divergence"]);
    assert!(html.contains("Only findings that were asked for: kind divergence."));
    assert!(!html.contains("write_conflict"));
}

fn cut_off(dir: &TempDir) -> PathBuf {
    let sample = dir.path().join("sample");
    for node in ["a", "b"] {
        fs::create_dir_all(sample.join(node)).unwrap();
        for entry in fs::read_dir(recorded().join(CONFLICT).join(node)).unwrap() {
            let path = entry.unwrap().path();
            let mut bytes = fs::read(&path).unwrap();
            let name = path.file_name().unwrap().to_owned();
            if name.to_string_lossy().starts_with("b-bin.0") {
                bytes.truncate(bytes.len() - 7);
            }
            fs::write(sample.join(node).join(name), bytes).unwrap();
        }
    }
    sample
}

#[test]
fn what_could_not_be_read_is_in_the_report_too() {
    let dir = TempDir::new().unwrap();
    let (code, json, html) = reported(&cut_off(&dir), &[]);
    assert_eq!(code, Some(3), "{json}");
    assert_self_contained(&html);
    assert!(html.contains("Not verified whole: ") && html.contains("b-bin.0"), "{html}");
    assert!(html.contains("not everything could be verified"));

    let file = dir.path().join("report.html");
    let [a, _] = sources(&recorded().join(CONFLICT));
    let output = scan(&["--report", file.to_str().unwrap(), &a, "b=no/such/directory"]);
    assert_eq!(output.status.code(), Some(3));
    let html = fs::read_to_string(&file).unwrap();
    assert_self_contained(&html);
    assert!(html.contains("Not verified whole: ") && html.contains("no/such/directory"));
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_the_scan() {
    let [a, b] = sources(&recorded().join(CONFLICT));
    let output = scan(&["--report", "no/such/directory/report.html", &a, &b]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("no/such/directory/report.html") && told.contains("hint: "), "{told}");
    assert!(output.stdout.is_empty());

    let dir = TempDir::new().unwrap();
    let [file, link] = ["file", "link"].map(|name| dir.path().join(name));
    fs::write(&file, "kept").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let output = scan(&["--report", link.to_str().unwrap(), &a, &b]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("it is a symbolic link") && output.stdout.is_empty(), "{told}");
    assert!(link.is_symlink() && fs::read_to_string(&file).unwrap() == "kept");
}
