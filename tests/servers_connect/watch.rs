//! A watch with a configuration of one's own.

use crate::support::lab::Lab;
use serde_json::Value;
use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command},
    time::{Duration, Instant},
};

const DEADLINE: Duration = Duration::from_secs(60);

/// A watch that runs; killed with the test.
pub(crate) struct Watch {
    child: Child,
    findings: PathBuf,
    log: PathBuf,
}

impl Watch {
    /// Watches both nodes of a lab by that account, from now on; files are named by `name`.
    pub(crate) fn start(lab: &Lab, name: &str, user: &str, password: &str) -> Watch {
        let ports = ["a", "b"].map(|node| lab.node(node).port);
        Watch::at(lab, name, user, password, ports)
    }

    /// The same at other ports.
    pub(crate) fn at(lab: &Lab, name: &str, user: &str, password: &str, ports: [u16; 2]) -> Watch {
        let path = |ending: &str| lab.dir().join(format!("{name}.{ending}"));
        fs::write(path("password"), password).unwrap();
        let mut config = String::new();
        for (node, port) in ["a", "b"].iter().zip(ports) {
            writeln!(
                config,
                "[nodes.{node}]\nurl = \"mysql://{user}@127.0.0.1:{port}\"\npassword_file = {:?}",
                path("password")
            )
            .unwrap();
        }
        config += "[watch]\nlisten = \"127.0.0.1:0\"\n";
        writeln!(config, "store = {:?}", path("db")).unwrap();
        fs::write(path("toml"), config).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_twinlog"))
            .args(["watch", "--config"])
            .arg(path("toml"))
            .stdout(File::create(path("findings")).unwrap())
            .stderr(File::create(path("log")).unwrap())
            .spawn()
            .unwrap();
        Watch { child, findings: path("findings"), log: path("log") }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// What `/metrics` says of a series; nothing is a number that is equal to no other.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let log = self.log();
        let address =
            log.split_once("metrics at http://").and_then(|(_, rest)| rest.split_once('/'));
        let Some((address, _)) = address else { return f64::NAN };
        let mut answer = String::new();
        let mut connection = TcpStream::connect(address).unwrap();
        connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        connection.read_to_string(&mut answer).unwrap();
        let value =
            |line: &str| line.strip_prefix("twinlog_")?.strip_prefix(series)?.trim().parse().ok();
        answer.lines().find_map(value).unwrap_or(f64::NAN)
    }

    pub(crate) fn connected(&self, node: &str) -> bool {
        self.metric(&format!("stream_connected{{stream=\"{node}\"}}")) == 1.0
    }

    pub(crate) fn told(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.findings).unwrap();
        // The last line may still be on its way.
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits for something, which is looked at every moment.
    pub(crate) fn until(&mut self, what: &str, done: impl Fn(&Watch) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !done(self) {
            let log = self.log();
            assert!(self.child.try_wait().unwrap().is_none(), "{what}: it has ended: {log}");
            assert!(Instant::now() < deadline, "{what}\n{:#?}\n{log}", self.told());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until it follows both nodes.
    pub(crate) fn until_connected(&mut self) {
        self.until("it is connected", |watch| watch.connected("a") && watch.connected("b"));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
