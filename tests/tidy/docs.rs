//! Documentation: links that lead somewhere, and a reference that leaves nothing out.

use super::{Breach, Source, assert_none, root, short, sources};
use std::{fs, path::Path};
use twinlog::model::{BlindSpotReason, FindingKind};

fn is_page(path: &str) -> bool {
    let top = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"];
    top.contains(&path) || path.starts_with("docs/") && path.ends_with(".md")
}

/// The lines outside code blocks, numbered, without `inline code`.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut in_block = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            return None;
        }
        let outside = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        (!in_block).then_some((at + 1, outside))
    })
}

/// The targets of `[text](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.trim()))
}

/// How a heading is linked to.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || "-_ ".contains(*c);
    heading.trim().to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

fn has_anchor(text: &str, wanted: &str) -> bool {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#'))).any(|anchor| anchor == wanted)
}

/// `read` gives the text of a file by its path from the root, an empty one for a directory.
fn check_links(source: &Source, read: impl Fn(&str) -> Option<String>) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let directory = Path::new(&source.path).parent().unwrap_or(Path::new(""));
    for (at, line) in prose(&source.text) {
        for link in links(&line).filter(|link| !link.contains("://") && !link.starts_with("mailto"))
        {
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let text = match file {
                "" => Some(source.text.clone()),
                file => read(&directory.join(file).to_string_lossy()),
            };
            let reaches =
                text.is_some_and(|text| fragment.is_empty() || has_anchor(&text, fragment));
            if !reaches {
                let instead = "a file or heading that is there, from this page's directory";
                breaches.push(source.breach(at, "link", format!("{link} leads nowhere"), instead));
            }
        }
    }
    breaches
}

/// The exit codes of the program.
const EXIT_CODES: [u8; 4] = [0, 1, 2, 3];

fn check_reference(source: &Source) -> Vec<Breach> {
    let kinds = FindingKind::ALL.map(|kind| ("kind", kind.as_str().to_owned()));
    let reasons = BlindSpotReason::ALL.map(|reason| ("reason", reason.as_str().to_owned()));
    let codes = EXIT_CODES.map(|code| ("exit code", code.to_string()));
    let first_cell = |word: &str| {
        let cell = format!("| `{word}` |");
        source.text.lines().any(|line| line.starts_with(&cell))
    };
    let words = kinds.into_iter().chain(reasons).chain(codes);
    words
        .filter(|(_, word)| !first_cell(word))
        .map(|(what, word)| {
            let found = format!("{what} `{word}` has no row");
            source.breach(1, "reference", found, "add a row that begins with `| `WORD` |`")
        })
        .collect()
}

/// The tests that an invariant names: words in `backticks` with two `_` or more.
fn named_tests(line: &str) -> impl Iterator<Item = &str> {
    let is_test = |word: &&str| {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        word.matches('_').count() > 1 && word.chars().all(legal)
    };
    line.split('`').skip(1).step_by(2).filter(is_test)
}

fn check_invariants(source: &Source, code: &str) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (at, line) in source.text.lines().enumerate().filter(|(_, line)| line.starts_with("//!")) {
        for name in named_tests(line).filter(|name| !code.contains(&format!("fn {name}()"))) {
            let found = format!("no test is called {name}");
            let instead = "the name of the test that holds the invariant";
            breaches.push(source.breach(at + 1, "invariant", found, instead));
        }
    }
    breaches
}

#[test]
fn invariants_name_tests_that_exist() {
    let code: String = sources(|path| path.ends_with(".rs")).into_iter().map(|s| s.text).collect();
    let check = |source| check_invariants(source, &code);
    assert_none(sources(|path| path == "src/lib.rs").iter().flat_map(check).collect());
}

#[test]
fn an_invariant_without_its_test_is_caught() {
    let text = "//! One. `x/tests.rs`: `it_is_there`.\n//! Two. `it_is_gone`, `no_test`.\n";
    let check = |code| short(&check_invariants(&Source::of("src/lib.rs", text), code));
    assert_eq!(check("fn it_is_there() {}"), ["2: invariant"]);
}

#[test]
fn links_lead_somewhere() {
    let read = |path: &str| {
        let path = root().join(path);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        // A picture is no text, and there all the same.
        if path.is_dir() { Some(String::new()) } else { fs::read(path).ok().map(text) }
    };
    assert_none(sources(is_page).iter().flat_map(|page| check_links(page, read)).collect());
}

#[test]
fn the_reference_names_every_kind_reason_and_exit_code() {
    let pages = sources(|path| path == "docs/reference.md");
    assert_eq!(pages.len(), 1, "docs/reference.md is there");
    assert_none(pages.iter().flat_map(check_reference).collect());
}

#[test]
fn a_broken_link_is_caught() {
    let read = |path: &str| (path == "docs/there.md").then(|| "# A *big* heading!\n".to_owned());
    let check = |text: &str| short(&check_links(&Source::of("docs/x.md", text), read));
    assert!(check("[a](there.md), [b](https://example.org/x) and [c](#me)\n## Me").is_empty());
    assert!(check("[a](there.md#a-big-heading)").is_empty());
    assert_eq!(check("\n[a](gone.md)"), ["2: link"]);
    assert_eq!(check("[a](there.md) [b](there.md#small)"), ["1: link"]);
    assert_eq!(check("[a](#nobody)"), ["1: link"]);
    assert!(check("`[a](gone.md)`\n```\n[a](gone.md)\n```").is_empty());
}

#[test]
fn a_word_that_the_reference_leaves_out_is_caught() {
    let count = FindingKind::ALL.len() + BlindSpotReason::ALL.len() + EXIT_CODES.len();
    let check = |text: &str| check_reference(&Source::of("docs/reference.md", text)).len();
    assert_eq!(check("write_conflict, no_key and 3 are named in passing"), count);
    assert_eq!(check("| `write_conflict` | x |\n| `no_key` | y |\n| `3` | z |\n"), count - 3);
}
