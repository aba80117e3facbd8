//! Style as an ordinary test: properties of the text of this repository, each check itself tested.
//!
//! A breach names the file and line, the rule, and what to write instead. The rules are told in
//! CONTRIBUTING.md; a rule that has to give way gives way here, by name and with a reason.

mod docs;
mod layers;
mod lexer;
mod limits;
mod metrics;
mod read_only;
mod scripts;
mod servers;
mod words;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// One breach of a rule.
struct Breach {
    file: String,
    line: usize,
    rule: &'static str,
    found: String,
    instead: &'static str,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Breach { file, line, rule, found, instead } = self;
        write!(f, "{file}:{line}: {rule}: {found}\n    instead: {instead}")
    }
}

/// A text file of the repository.
struct Source {
    /// Its path from the repository's root, with `/`.
    path: String,
    text: String,
}

impl Source {
    fn of(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    fn breach(
        &self,
        line: usize,
        rule: &'static str,
        found: impl Into<String>,
        instead: &'static str,
    ) -> Breach {
        Breach { file: self.path.clone(), line, rule, found: found.into(), instead }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Directories that hold nothing of the repository.
const NOT_OURS: [&str; 3] = ["target", ".git", ".lab"];

/// Every file that git tracks or would track; where there is no git, every file that is there.
fn repository_files() -> Vec<PathBuf> {
    let git = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    let listed = Command::new("git").args(git).current_dir(root()).output();
    if let Ok(output) = listed
        && output.status.success()
    {
        let names = String::from_utf8(output.stdout).expect("file names are UTF-8");
        let paths = names.split_terminator('\0').map(|name| root().join(name));
        return paths.filter(|path| path.is_file()).collect();
    }
    let mut files = Vec::new();
    walk(root(), &mut files);
    files
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory that can be read") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default();
        if path.is_file() {
            files.push(path);
        } else if path.is_dir() && !NOT_OURS.iter().any(|other| name == *other) {
            walk(&path, files);
        }
    }
}

/// The repository's text files that `wanted` asks for, by their paths from its root.
fn sources(wanted: impl Fn(&str) -> bool) -> Vec<Source> {
    let mut found = Vec::new();
    for file in repository_files() {
        let path =
            file.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
        if !wanted(&path) {
            continue;
        }
        if let Ok(text) = String::from_utf8(fs::read(&file).expect("a file that can be read")) {
            found.push(Source { path, text });
        }
    }
    found.sort_by(|x, y| x.path.cmp(&y.path));
    found
}

fn is_source(path: &str) -> bool {
    path.starts_with("src/") && path.ends_with(".rs")
}

fn assert_none(breaches: Vec<Breach>) {
    let told: Vec<String> = breaches.iter().map(Breach::to_string).collect();
    assert!(told.is_empty(), "{} breaches of style:\n{}", told.len(), told.join("\n"));
}

/// For self-tests: the `line: rule` of each breach.
#[cfg(test)]
fn short(breaches: &[Breach]) -> Vec<String> {
    breaches.iter().map(|breach| format!("{}: {}", breach.line, breach.rule)).collect()
}

#[test]
fn a_breach_names_the_place_the_rule_and_the_replacement() {
    let breach = Source::of("src/x.rs", "").breach(7, "some-rule", "what is there", "do this");
    assert_eq!(breach.to_string(), "src/x.rs:7: some-rule: what is there\n    instead: do this");
}

#[test]
fn the_repository_is_found_with_and_without_git() {
    let mut walked = Vec::new();
    walk(root(), &mut walked);
    let tracked = repository_files();
    let this = root().join("tests/tidy/main.rs");
    assert!(walked.contains(&this) && tracked.contains(&this));
    assert!(!walked.iter().any(|path| path.starts_with(root().join("target"))));
    let code: Vec<String> = sources(is_source).into_iter().map(|source| source.path).collect();
    assert!(["src/lib.rs", "src/engine/mod.rs"].iter().all(|path| code.iter().any(|p| p == path)));
}
