//! Shell scripts: that they parse, and can be run.

use super::{Breach, Source, assert_none, root, short, sources};
use std::{
    io::Write,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

fn is_script(path: &str) -> bool {
    path.starts_with("scripts/") || path == ".ci/run"
}

/// Files that are sourced or imported by others end in `.sh` or `.py`; all others are programs.
fn check(source: &Source, executable: bool) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let first = source.text.lines().next().unwrap_or_default();
    let sourced = source.path.ends_with(".sh");
    let part = sourced || source.path.ends_with(".py");
    if !part && !first.starts_with("#!") {
        let instead = "begin it with #!/usr/bin/env bash; a part of others is named .sh or .py";
        breaches.push(source.breach(1, "interpreter", "a program that names none", instead));
    }
    if !part && !executable {
        let instead = "chmod +x, and git update-index --chmod=+x";
        breaches.push(source.breach(1, "executable", "it cannot be run", instead));
    }
    if (sourced || first.contains("bash"))
        && let Some((line, message)) = syntax_error(&source.text)
    {
        breaches.push(source.breach(line, "syntax", message, "what bash -n accepts"));
    }
    breaches
}

fn syntax_error(text: &str) -> Option<(usize, String)> {
    let pipes = || Stdio::piped();
    let mut bash = Command::new("bash")
        .args(["-n", "/dev/stdin"])
        .env("LC_ALL", "C")
        .stdin(pipes())
        .stderr(pipes())
        .spawn()
        .expect("bash is there");
    // A short write would be told by bash, as a syntax error.
    drop(bash.stdin.take().expect("a pipe").write_all(text.as_bytes()));
    let output = bash.wait_with_output().expect("bash ends");
    if output.status.success() {
        return None;
    }
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = message.split("line ").nth(1).and_then(|rest| rest.split(':').next()?.parse().ok());
    Some((line.unwrap_or(1), message.lines().next().unwrap_or_default().to_owned()))
}

#[test]
fn scripts_parse_and_can_be_run() {
    let mut breaches = Vec::new();
    for source in sources(is_script) {
        let mode = root().join(&source.path).metadata().expect("it is there").permissions().mode();
        breaches.extend(check(&source, mode & 0o111 != 0));
    }
    assert_none(breaches);
}

#[test]
fn a_broken_script_is_caught() {
    let check = |path, text, executable| short(&check(&Source::of(path, text), executable));
    let good = "#!/usr/bin/env bash\necho ok\n";
    assert!(check("scripts/x", good, true).is_empty());
    assert_eq!(check("scripts/x", good, false), ["1: executable"]);
    assert_eq!(check("scripts/x", "echo ok\n", true), ["1: interpreter"]);
    assert!(check("scripts/x.d/y.sh", "echo ok\n", false).is_empty());
    assert!(check("scripts/x.d/y.py", "import sys\n", false).is_empty());
    assert_eq!(check("scripts/x", "#!/usr/bin/env bash\nif; then\n", true), ["2: syntax"]);
    assert!(check("scripts/x", "#!/usr/bin/env python3\nif x:\n  y()\n", true).is_empty());
}
