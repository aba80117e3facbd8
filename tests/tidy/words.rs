//! Words that must not stand in any text file of the repository.
//!
//! They are put together here from parts, so that this file does not hold them.

use super::{Breach, Source, assert_none, short, sources};

/// Directories that exist on one machine only.
fn machine_paths() -> [String; 6] {
    ["work", "workspace", "root", "home", "Users", "builds"].map(|name| format!("/{name}/"))
}

/// Labels of host names that serve packages: `REGISTRY.example.org`, `x.REGISTRY.example.org`.
fn registry_labels() -> [String; 6] {
    let parts = [
        ("regi", "stry"),
        ("artif", "actory"),
        ("nex", "us"),
        ("py", "pi"),
        ("cra", "tes"),
        ("go", "proxy"),
    ];
    parts.map(|(start, end)| format!("{start}{end}"))
}

fn unfinished() -> [String; 3] {
    [("TO", "DO"), ("FIX", "ME"), ("to", "do!(")].map(|(start, end)| format!("{start}{end}"))
}

/// Cargo writes where the public index is into every entry of the lock file.
fn is_lock_entry(source: &Source, line: &str) -> bool {
    let public = format!("source = \"{}+https://github.com/rust-lang/", &registry_labels()[0]);
    source.path == "Cargo.lock" && line.starts_with(&public)
}

fn check(source: &Source) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        if is_lock_entry(source, line) {
            continue;
        }
        if let Some(path) = machine_paths().iter().find(|path| names_path(line, path)) {
            let instead = "a path from the repository's root, or a variable such as $HOME";
            breaches.push(source.breach(at + 1, "machine-path", path.as_str(), instead));
        }
        if let Some(host) = hosts(line).find(|host| is_registry(host)) {
            let instead = "leave it to the ordinary client and its defaults";
            breaches.push(source.breach(at + 1, "registry-host", host, instead));
        }
        if let Some(word) = unfinished().iter().find(|word| has_word(line, word)) {
            let instead = "do it, or say in docs/limits.md what is not done";
            breaches.push(source.breach(at + 1, "unfinished", word.as_str(), instead));
        }
    }
    breaches
}

/// Whether a path begins here: what stands before it is no part of a longer path.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || "\"'`([{<=:,/".contains(c))
    })
}

/// The host names of the URLs in a line.
fn hosts(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("://").map(|(at, separator)| {
        let rest = &line[at + separator.len()..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || ".-@:".contains(c)));
        let authority = &rest[..end.unwrap_or(rest.len())];
        authority.rsplit_once('@').map_or(authority, |(_, host)| host)
    })
}

fn is_registry(host: &str) -> bool {
    let name = host.split(':').next().unwrap_or(host);
    let (labels, public) = (registry_labels(), format!("{}.io", registry_labels()[4]));
    name != public && name.split(['.', '-']).any(|label| labels.iter().any(|word| word == label))
}

fn has_word(line: &str, word: &str) -> bool {
    let is_letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let after = &line[at + word.len()..];
        !is_letter(line[..at].chars().next_back()) && !is_letter(after.chars().next())
    })
}

#[test]
fn no_file_names_a_machine_a_registry_or_unfinished_work() {
    assert_none(sources(|_| true).iter().flat_map(check).collect());
}

#[test]
fn machine_paths_are_caught() {
    let check = |text: &str| short(&check(&Source::of("docs/x.md", text)));
    for path in machine_paths() {
        for line in [format!("cd {path}x"), format!("`{path}x`"), format!("\"{path}x\"")] {
            assert_eq!(check(&line), ["1: machine-path"], "{line}");
        }
        for line in [format!("a{path}x"), format!("$HOME{path}x"), format!("${{X}}{path}x")] {
            assert!(check(&line).is_empty(), "{line}");
        }
    }
}

#[test]
fn registry_hosts_are_caught() {
    let check = |path: &str, text: &str| short(&check(&Source::of(path, text)));
    for label in registry_labels() {
        for host in [format!("{label}.example.org"), format!("u@eu-{label}.example.org:8443")] {
            let line = format!("get https://{host}/x");
            assert_eq!(check("a", &line), ["1: registry-host"], "{line}");
        }
        assert!(check("a", &format!("the {label} is at https://example.org/{label}")).is_empty());
    }
    let [word, ..] = registry_labels();
    let index = format!("{}.io-index", registry_labels()[4]);
    let lock = format!("source = \"{word}+https://github.com/rust-lang/{index}\"");
    assert!(check("Cargo.lock", &lock).is_empty());
    let lock = format!("source = \"{word}+https://{word}.example.org/index\"");
    assert_eq!(check("Cargo.lock", &lock), ["1: registry-host"]);
    assert!(check("a", &format!("https://{}.io/x", registry_labels()[4])).is_empty());
}

#[test]
fn unfinished_work_is_caught() {
    for word in unfinished() {
        let text = format!("fine\n// {word} later");
        assert_eq!(short(&check(&Source::of("src/x.rs", &text))), ["2: unfinished"]);
    }
    assert!(check(&Source::of("src/x.rs", "mastodon todos")).is_empty());
}
