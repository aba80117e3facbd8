//! The parts of `docker/` without containers: the masters' settings, the script that makes the
//! ring, the load, `twinlog.toml` and the health check, as they are shipped, on real masters. Only
//! hosts, ports and directories are others.

#![expect(clippy::disallowed_methods, reason = "a test's clock")]

mod support;

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output},
    time::{Duration, Instant},
};

use serde_json::Value;
use support::lab::{Lab, LabOptions, Server};

/// How long the stack may take to become well, and to tell what the load did.
const DEADLINE: Duration = Duration::from_secs(60);

fn docker(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docker").join(file)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The settings of a configuration file as options: all but where the log is, which is the lab's.
fn settings(file: &str) -> Vec<String> {
    let text = read(&docker(file));
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines = lines.filter(|line| !line.starts_with(['#', '[']) && !line.starts_with("log_bin"));
    lines.map(|line| format!("--{}", line.replace(" = ", "="))).collect()
}

/// Two masters as compose.yml starts them: no ring yet, and root with a password.
fn masters(secrets: &Path) -> Lab {
    let of = |node: &str| {
        let options = settings(&format!("mariadb/{node}.cnf")).into_iter();
        options.map(|option| (node.to_owned(), option)).collect::<Vec<_>>()
    };
    let options = LabOptions {
        replication: false,
        options: settings("mariadb/common.cnf"),
        node_options: [of("a"), of("b")].concat(),
        ..LabOptions::default()
    };
    let lab = Lab::start(Server::MariaDb, options);
    let password = read(&secrets.join("root_password"));
    for node in ["a", "b"] {
        // The accounts are those of the lab, and more particular than those that ring.sh makes.
        lab.sql(
            node,
            &format!(
                "SET SESSION sql_log_bin = 0; DROP USER twinlog@'127.0.0.1', repl@'127.0.0.1';
                 ALTER USER root@'127.0.0.1' IDENTIFIED BY '{password}'"
            ),
        );
    }
    lab
}

/// A script of docker/ with what stands in its container's environment.
fn script(name: &str, lab: &Lab, secrets: &Path, environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(docker(name));
    command.env("SECRETS", secrets).envs(environment.iter().copied());
    for (node, host, port) in [("a", "A_HOST", "A_PORT"), ("b", "B_HOST", "B_PORT")] {
        command.env(host, "127.0.0.1").env(port, lab.node(node).port.to_string());
    }
    command.output().expect("a script of docker/ runs")
}

fn run(name: &str, lab: &Lab, secrets: &Path, environment: &[(&str, &str)]) -> String {
    let output = script(name, lab, secrets, environment);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{name}: {told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

/// `docker/twinlog.toml` with other hosts, ports and directories.
fn configuration(lab: &Lab, secrets: &Path, port: u16) -> String {
    let mut text = read(&docker("twinlog.toml"));
    let store = lab.dir().join("store");
    let (secrets, store) = (format!("{}/", secrets.display()), format!("{}/", store.display()));
    let mut places = vec![
        ("/run/secrets/".to_owned(), secrets),
        ("/var/lib/twinlog/".to_owned(), store),
        ("0.0.0.0:9477".to_owned(), format!("127.0.0.1:{port}")),
    ];
    for node in ["a", "b"] {
        let address = format!("@127.0.0.1:{}", lab.node(node).port);
        places.push((format!("@{node}:3306"), address));
    }
    for (place, other) in places {
        assert!(text.contains(&place), "twinlog.toml has no {place}");
        text = text.replace(&place, &other);
    }
    text
}

/// A running watch; ended with the test.
struct Watch {
    child: Child,
    findings: PathBuf,
    log: PathBuf,
    url: String,
}

impl Watch {
    fn start(lab: &Lab, secrets: &Path) -> Watch {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let path = |name: &str| lab.dir().join(name);
        fs::create_dir(path("store")).expect("a directory");
        fs::write(path("twinlog.toml"), configuration(lab, secrets, port)).expect("a write");
        let child = Command::new(env!("CARGO_BIN_EXE_twinlog"))
            .args(["watch", "--config"])
            .arg(path("twinlog.toml"))
            .stdout(File::create(path("findings.ndjson")).expect("a file"))
            .stderr(File::create(path("watch.log")).expect("a file"))
            .spawn()
            .expect("twinlog runs");
        let url = format!("http://127.0.0.1:{port}/readyz");
        Watch { child, findings: path("findings.ndjson"), log: path("watch.log"), url }
    }

    /// What the image's health check runs, at another port.
    fn health(&self) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_twinlog"));
        command.args(["health", "--quiet", "--url", &self.url]).output().expect("twinlog runs")
    }

    /// Waits until something holds, and fails with the watch's log where it never does.
    fn wait(&mut self, what: &str, mut holds: impl FnMut(&Watch) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !holds(self) {
            let ended = self.child.try_wait().expect("a child");
            let log = read(&self.log);
            assert!(ended.is_none(), "the watch has ended: {log}");
            assert!(Instant::now() < deadline, "{what}: never\n{}\n{log}", read(&self.findings));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The findings as they stand: of lines about one the last one counts.
    fn findings(&self) -> Vec<Value> {
        let mut text = read(&self.findings);
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        let mut findings: Vec<Value> = Vec::new();
        for line in text.lines() {
            let finding: Value = serde_json::from_str(line).expect("NDJSON");
            findings.retain(|other| other["id"] != finding["id"]);
            findings.push(finding);
        }
        findings
    }

    fn count(&self, kind: &str, table: &str, state: &str) -> usize {
        let findings = self.findings();
        let is = |finding: &&Value| {
            finding["kind"] == kind && finding["table"] == table && finding["state"] == state
        };
        findings.iter().filter(is).count()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passwords as `docker/make-secrets` makes them, in a directory of the test's own.
fn make_secrets(directory: &Path) -> PathBuf {
    let copy = directory.join("make-secrets");
    fs::copy(docker("make-secrets"), &copy).expect("a copy");
    let made = |_| {
        let output = Command::new(&copy).output().expect("make-secrets runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let secrets = directory.join("secrets");
        let names = ["root_password", "repl_password", "twinlog_password", "twinlog_token"];
        (secrets.clone(), names.map(|name| read(&secrets.join(name))))
    };
    let ((secrets, first), (_, second)) = (made(1), made(2));
    assert_eq!(first, second, "what is there stays");
    assert!(first.iter().all(|secret| secret.len() == 48), "{first:?}");
    let mode = fs::metadata(&secrets).expect("a directory").permissions().mode();
    assert_eq!(mode & 0o077, 0, "others do not get in");
    secrets
}

#[test]
fn the_parts_of_the_stack_work_together() {
    let directory = tempfile::tempdir().expect("a directory");
    let secrets = make_secrets(directory.path());
    let lab = masters(&secrets);
    run("ring.sh", &lab, &secrets, &[]);
    run("ring.sh", &lab, &secrets, &[]);

    let mut watch = Watch::start(&lab, &secrets);
    watch.wait("well", |watch| watch.health().status.success());

    // Four rules are due in eight rounds, the last of which makes the masters equal again.
    let load = |rounds| [("ROUNDS", rounds), ("PAUSE", "0"), ("BREAK_EVERY", "2")];
    run("load.sh", &lab, &secrets, &load("6"));
    lab.settle();
    watch.wait("each rule that was broken", |watch| {
        watch.count("write_conflict", "shop.account", "open") == 1
            && watch.count("table_ownership", "crm.a_leads", "open") == 1
            && watch.count("row_ownership", "shop.orders", "open") == 1
            && watch.count("divergence", "shop.account", "open") == 1
    });
    // Two whole turns, the second by a script that begins anew, at the rounds of the first.
    for turn in 2..=3 {
        run("load.sh", &lab, &secrets, &[("ROUNDS", "4"), ("PAUSE", "0"), ("BREAK_EVERY", "1")]);
        lab.settle();
        watch.wait("all rules once more, and equal again", |watch| {
            watch.count("write_conflict", "shop.account", "open") == turn
                && watch.count("table_ownership", "crm.a_leads", "open") == turn
                && watch.count("row_ownership", "shop.orders", "open") == turn
                && watch.count("divergence", "shop.account", "open") == 0
                && watch.count("divergence", "shop.account", "healed") > 0
        });
    }
    // A statement that fails ends neither its round nor the load.
    lab.sql("b", "SET SESSION sql_log_bin = 0; RENAME TABLE crm.b_leads TO crm.away");
    let told = run("load.sh", &lab, &secrets, &load("2"));
    assert_eq!(told.matches("a statement failed on b").count(), 2, "{told}");
    assert!(told.contains("round 2: both update account 3"), "{told}");
    lab.sql("b", "SET SESSION sql_log_bin = 0; RENAME TABLE crm.away TO crm.b_leads");
    let findings = watch.findings();
    let known = ["write_conflict", "table_ownership", "row_ownership", "divergence"];
    let is_known = |finding: &&Value| {
        // Account 3 goes from one side to the other and back: a handover, and no harm.
        let kind = finding["kind"].as_str().unwrap_or_default();
        known.contains(&kind) || finding["severity"] == "info"
    };
    let others: Vec<_> = findings.iter().filter(|finding| !is_known(finding)).collect();
    assert!(others.is_empty(), "the load breaks no other rule: {others:#?}");

    lab.kill();
    watch.wait("no longer well", |watch| watch.health().status.code() == Some(1));
}
