//! Who may know whom, and which layers are pure.

use super::{
    Breach, Source, assert_none, is_source,
    lexer::{PathUse, code_only, paths, tokens},
    short, sources,
};

/// A layer, and the layers that it may name. What is not listed is forbidden.
const LAYERS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("binlog", &["model"]),
    ("engine", &["model"]),
    ("config", &["model"]),
    ("feed", &["model", "binlog", "config"]),
    ("store", &["model"]),
    ("metrics", &["model"]),
    // Of the engine, only what it says of its coverage.
    ("report", &["model", "binlog", "engine"]),
    ("http", &["metrics", "store", "report", "model"]),
    ("app", &["model", "binlog", "engine", "config", "feed", "store", "metrics", "report", "http"]),
    ("cli", &["app", "config", "report", "model"]),
];

/// Layers without input and output, clocks, threads and chance.
const PURE: [&str; 4] = ["model", "binlog", "engine", "report"];

/// What makes a layer impure: these segments, one after the other, anywhere in a path.
const IMPURE: &[&[&str]] = &[
    &["tokio"],
    &["mysql_async"],
    &["axum"],
    &["memmap2"],
    &["rand"],
    &["std", "fs"],
    &["std", "net"],
    &["std", "thread"],
    &["std", "env"],
    &["std", "process"],
    &["Instant"],
    &["SystemTime"],
];

const IMPURE_MACROS: [&str; 4] = ["println", "eprintln", "print", "eprint"];

/// Types whose iteration order changes from run to run.
const UNORDERED: &[&[&str]] = &[&["collections", "HashMap"], &["collections", "HashSet"]];

/// The layer a file belongs to: `engine` for `src/engine/open.rs`; empty for `src/main.rs`.
fn layer_of(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    inside.split_once('/').map_or("", |(layer, _)| layer)
}

/// How many `super` lead from the file's module to the crate's root.
fn depth_of(path: &str) -> usize {
    let modules = path.trim_start_matches("src/").trim_end_matches(".rs").split('/');
    modules.filter(|module| !["mod", "lib", "main"].contains(module)).count()
}

/// The layer that a path leads to. `super::*` leads to none: a module inside the file says that of
/// the file itself.
fn target(path: &PathUse, depth: usize) -> Option<&str> {
    let segments = &path.segments;
    let supers = segments.iter().take_while(|segment| *segment == "super").count();
    let after_root = match segments[0].as_str() {
        "crate" | "twinlog" => 1,
        "super" if supers >= depth => supers,
        _ => return None,
    };
    let target = segments.get(after_root).map(String::as_str);
    target.filter(|target| *target != "*" || segments[0] != "super")
}

fn check_dependencies(source: &Source) -> Vec<Breach> {
    let layer = layer_of(&source.path);
    let known = LAYERS.iter().find(|(name, _)| *name == layer);
    let allowed: &[&str] = match known {
        Some((_, allowed)) => allowed,
        None if source.path == "src/main.rs" => &["cli"],
        None if source.path == "src/lib.rs" => &[],
        None => {
            let found = format!("{layer:?} is no layer");
            let instead =
                "put the file into a layer, or add the layer to LAYERS and docs/design.md";
            return vec![source.breach(1, "layers", found, instead)];
        }
    };
    let mut breaches = Vec::new();
    for path in paths(&tokens(&code_only(&source.text))) {
        let Some(other) = target(&path, depth_of(&source.path)) else { continue };
        let is_layer = other == "*" || LAYERS.iter().any(|(name, _)| *name == other);
        if is_layer && other != layer && !allowed.contains(&other) {
            let found = format!("{} must not name {}", source.path, path.segments.join("::"));
            let instead = "move the shared words down to model, or the wiring up to app";
            breaches.push(source.breach(path.line, "layers", found, instead));
        }
    }
    breaches
}

fn check_purity(source: &Source) -> Vec<Breach> {
    let layer = layer_of(&source.path);
    let code = tokens(&code_only(&source.text));
    let mut breaches = Vec::new();
    for path in paths(&code) {
        let named = path.segments.join("::");
        if PURE.contains(&layer) && IMPURE.iter().any(|impure| path.has(impure)) {
            let found = format!("{layer} is pure and names {named}");
            let instead = "take the fact as an argument; feed, app and cli touch the world";
            breaches.push(source.breach(path.line, "purity", found, instead));
        }
        if path.segments[0] == "std" && UNORDERED.iter().any(|unordered| path.has(unordered)) {
            let instead = "a BTreeMap or BTreeSet; or hashbrown's, and never iterate over it";
            breaches.push(source.breach(path.line, "unordered", named, instead));
        }
    }
    for pair in code.windows(2).filter(|pair| pair[1].text == "!" && PURE.contains(&layer)) {
        if IMPURE_MACROS.contains(&pair[0].text.as_str()) {
            let found = format!("{layer} is pure and prints with {}!", pair[0].text);
            let instead = "return what is to be told; cli prints it";
            breaches.push(source.breach(pair[0].line, "purity", found, instead));
        }
    }
    breaches
}

/// `src/lib.rs` is documentation and the list of layers.
fn check_lib(source: &Source) -> Vec<Breach> {
    let code = code_only(&source.text);
    let code = code.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let list =
        |line: &str| line.is_empty() || line.starts_with("pub mod ") || line.starts_with('#');
    code.filter(|(_, line)| !list(line))
        .map(|(at, line)| {
            let instead = "the code belongs to a layer; src/lib.rs is documentation and `pub mod`";
            source.breach(at, "lib", format!("code: {line}"), instead)
        })
        .collect()
}

#[test]
fn layers_know_only_those_below_them() {
    assert_none(sources(is_source).iter().flat_map(check_dependencies).collect());
}

#[test]
fn model_binlog_engine_and_report_are_pure() {
    assert_none(sources(is_source).iter().flat_map(check_purity).collect());
}

#[test]
fn the_crate_root_holds_no_code() {
    assert_none(sources(|path| path == "src/lib.rs").iter().flat_map(check_lib).collect());
}

#[test]
fn a_dependency_upwards_is_caught_in_every_form() {
    let check = |path, text| short(&check_dependencies(&Source::of(path, text)));
    let layers = |lines: &[usize]| -> Vec<String> {
        lines.iter().map(|line| format!("{line}: layers")).collect()
    };
    let engine = "src/engine/order.rs";
    assert_eq!(check(engine, "use crate::model::Gtid;\nuse super::open::X;"), layers(&[]));
    assert_eq!(check(engine, "\nuse crate::binlog::X;"), layers(&[2]));
    assert_eq!(check(engine, "use crate::{\n  model::X,\n  feed::{Y, Z},\n};"), layers(&[3, 3]));
    assert_eq!(check(engine, "fn f() { crate::app::run() }"), layers(&[1]));
    assert_eq!(check(engine, "use super::super::binlog::X;"), layers(&[1]));
    assert_eq!(check("src/engine/mod.rs", "use super::{binlog, model};"), layers(&[1]));
    assert_eq!(check(engine, "use crate::*;"), layers(&[1]));
    assert_eq!(check("src/engine/mod.rs", "mod tests { use super::*; }"), layers(&[]));
    assert_eq!(check(engine, "// crate::feed\nconst X: &str = \"crate::feed\";"), layers(&[]));
    assert_eq!(
        check("src/main.rs", "fn main() { twinlog::app::run(); twinlog::cli::main() }"),
        layers(&[1])
    );
    assert_eq!(check("src/helpers/mod.rs", ""), layers(&[1]));
    assert_eq!(check("src/app/mod.rs", "use crate::{cli::X, engine::Y};"), layers(&[1]));
}

#[test]
fn an_impure_layer_is_caught() {
    let check = |path, text| short(&check_purity(&Source::of(path, text)));
    let text = "use std::{fs, net::IpAddr, sync::Arc};\nuse tokio::time;\n\
                let t = std::time::Instant::now();\nprintln!();\nlet r = rand::random();\n\
                use std::time::{self};\nlet n = time::SystemTime::now(); // std::env";
    let purity = |lines: &[usize]| -> Vec<String> {
        lines.iter().map(|line| format!("{line}: purity")).collect()
    };
    assert_eq!(check("src/engine/x.rs", text), purity(&[1, 1, 2, 3, 5, 7, 4]));
    assert_eq!(check("src/feed/x.rs", text), purity(&[]));
    assert_eq!(
        check("src/feed/x.rs", "use std::collections::{BTreeMap, HashMap};"),
        ["1: unordered"]
    );
    assert!(check("src/engine/x.rs", "use hashbrown::HashMap;").is_empty());
}

#[test]
fn code_in_the_crate_root_is_caught() {
    let text = "//! Words.\n#![deny(missing_docs)]\npub mod model;\n\nfn f() {}";
    assert_eq!(short(&check_lib(&Source::of("src/lib.rs", text))), ["5: lib"]);
}
