//! Lengths, and what every source file begins with.

use super::{
    Breach, Source, assert_none, is_source,
    lexer::{code_only, functions, tokens},
    root, short, sources,
};

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 600;
const LINE_COLUMNS_MAX: usize = 100;

/// Files that may be long, and wide, and why.
const FLAT_TABLES: &[(&str, &str)] =
    &[("src/binlog/charset_tables.rs", "a flat table: one entry a collation, no logic")];

fn check(source: &Source) -> Vec<Breach> {
    let mut breaches = Vec::new();
    if !source.text.starts_with("//!") {
        let instead = "begin it with `//! What is in here.`";
        breaches.push(source.breach(1, "file-doc", "the file does not say what it is", instead));
    }
    let flat = FLAT_TABLES.iter().any(|(path, _)| *path == source.path);
    for (at, line) in source.text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > LINE_COLUMNS_MAX && !flat {
            let found = format!("{columns} columns, at most {LINE_COLUMNS_MAX}");
            let instead = "run cargo fmt, and break comments and strings by hand";
            breaches.push(source.breach(at + 1, "line-columns", found, instead));
        }
    }
    let code = code_only(&source.text);
    for function in functions(&tokens(&code)) {
        if function.lines > FUNCTION_LINES_MAX {
            let (name, lines) = (&function.name, function.lines);
            let found = format!("{name} has {lines} lines, at most {FUNCTION_LINES_MAX}");
            let instead = "give its parts names, as functions of their own";
            breaches.push(source.breach(function.line, "function-lines", found, instead));
        }
    }
    let lines = logic_lines(&code);
    if lines > FILE_LINES_MAX && !flat {
        let found = format!("{lines} lines of logic, at most {FILE_LINES_MAX}");
        let instead = "split it by what its parts are about";
        breaches.push(source.breach(1, "file-lines", found, instead));
    }
    breaches
}

/// Lines of code, without comments, empty lines and the tests at the end.
fn logic_lines(code: &str) -> usize {
    let lines: Vec<&str> = code.lines().map(str::trim_end).collect();
    let is_tests = |at: usize| {
        let next = lines.get(at + 1).is_some_and(|next| next.ends_with('{'));
        lines[at] == "#[cfg(test)]" && next
    };
    let end = (0..lines.len()).rfind(|at| is_tests(*at)).unwrap_or(lines.len());
    lines[..end].iter().filter(|line| !line.is_empty()).count()
}

#[test]
fn files_functions_and_lines_are_short() {
    assert_none(sources(is_source).iter().flat_map(check).collect());
}

#[test]
fn exceptions_are_still_there() {
    for (path, reason) in FLAT_TABLES {
        assert!(root().join(path).is_file(), "{path} is gone ({reason}): take it off the list");
    }
}

#[test]
fn what_is_too_long_is_caught() {
    let check = |text: &str| short(&check(&Source::of("src/engine/x.rs", text)));
    let body = |lines: usize| format!("fn f() {{\n{}}}\n", "g();\n".repeat(lines));
    assert!(check(&format!("//! Doc.\n{}", body(68))).is_empty());
    assert_eq!(check(&format!("//! Doc.\n{}", body(69))), ["2: function-lines"]);
    assert_eq!(check("fn f() {}"), ["1: file-doc"]);
    assert_eq!(check(&format!("//! Doc.\n// {}\n", "é".repeat(98))), ["2: line-columns"]);
    assert!(check(&format!("//! Doc.\n// {}\n", "é".repeat(97))).is_empty());
    let file = |lines: usize| format!("//! Doc.\n\n{}", "use x;\n".repeat(lines));
    assert!(check(&file(600)).is_empty());
    assert_eq!(check(&file(601)), ["1: file-lines"]);
    let tests = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", file(600), "use y;\n".repeat(99));
    assert!(check(&tests).is_empty());
}
