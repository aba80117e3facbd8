//! A watch under test.

use crate::support::lab::Lab;
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// How long anything here may take before the test has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until `done` gives something; `what` is for the message when it never does.
pub(crate) fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A watch that runs; killed with the test.
pub(crate) struct Daemon {
    child: Child,
    findings: PathBuf,
    log: PathBuf,
}

/// Where its findings go.
pub(crate) enum Output {
    /// To a file.
    File,
    /// To a pipe that nobody reads.
    Nobody,
}

impl Daemon {
    /// Starts one with this configuration.
    pub(crate) fn start(lab: &Lab, config: &Path) -> Daemon {
        Daemon::with(lab, config, &Output::File, |_| {})
    }

    /// The same, and more said of the command.
    pub(crate) fn with(
        lab: &Lab,
        config: &Path,
        output: &Output,
        more: impl FnOnce(&mut Command),
    ) -> Daemon {
        let path = |name: &str| lab.dir().join(name);
        let (findings, log) = (path("findings.ndjson"), path("watch.log"));
        // A shell, for the umask: nothing may depend on a careful one.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "umask 000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_twinlog")]);
        command.args(["watch", "--config"]).arg(config);
        command.stderr(File::create(&log).unwrap());
        let file = File::create(&findings).unwrap();
        match output {
            Output::File => command.stdout(file),
            Output::Nobody => command.stdout(Stdio::piped()),
        };
        more(&mut command);
        Daemon { child: command.spawn().unwrap(), findings, log }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The address of its pages.
    pub(crate) fn address(&self) -> SocketAddr {
        until(&format!("no address: {}", self.log()), || {
            let log = self.log();
            let (_, rest) = log.split_once("status page at ")?;
            let (_, rest) = rest.split_once("://")?;
            rest.split('/').next()?.parse().ok()
        })
    }

    /// The whole lines that it has written.
    pub(crate) fn told(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.findings).unwrap();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits until it has told of a conflict on that row.
    pub(crate) fn until_conflict(&self, id: u64) {
        until(&format!("a conflict on {id}: {}", self.log()), || {
            let is_it = |of: &Value| of["kind"] == "write_conflict" && of["key"]["id"] == id;
            self.told().iter().any(is_it).then_some(())
        });
    }

    /// The value of a metric's series, as it is served.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let (_, metrics) = get(self.address(), "/metrics").unwrap();
        let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in {metrics}")).parse().unwrap()
    }

    /// Waits until `/readyz` says that all is well.
    pub(crate) fn until_ready(&self) {
        until(&format!("never ready: {}", self.log()), || {
            get(self.address(), "/readyz").filter(|(code, _)| *code == 200)
        });
    }

    pub(crate) fn signal(&self, signal: &str) {
        send_signal(self.pid(), signal);
    }

    /// Waits for its end; and how long that took.
    pub(crate) fn wait(&mut self) -> (ExitStatus, Duration) {
        let since = Instant::now();
        let status = until("it does not end", || self.child.try_wait().unwrap());
        (status, since.elapsed())
    }

    /// Tells it to end, and wants it to have ended well in less than 5 seconds.
    pub(crate) fn end(&mut self, what: &str) -> Duration {
        self.signal("TERM");
        let (status, took) = self.wait();
        assert_eq!(status.code(), Some(0), "{what}: {}", self.log());
        assert!(took < Duration::from_secs(5), "{what}: {took:?}\n{}", self.log());
        println!("{what}: ended after {took:?}");
        took
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn send_signal(pid: u32, signal: &str) {
    let done = Command::new("kill").args(["-s", signal, &pid.to_string()]).status().unwrap();
    assert!(done.success(), "kill -s {signal} {pid}");
}

/// Both nodes over their sockets, from the beginning of their logs, with a store; and more.
pub(crate) fn config(lab: &Lab, more: &str) -> PathBuf {
    let url = |node: &str| {
        let socket = lab.node(node).socket.display().to_string();
        format!("[nodes.{node}]\nurl = \"mysql://root@localhost?socket={socket}\"\n")
    };
    let path = lab.dir().join("watch.toml");
    let store = lab.dir().join("twinlog.db");
    let watch = format!("[watch]\nstart = \"earliest\"\nstore = \"{}\"\n", store.display());
    let listen = match more.contains("listen =") {
        true => "",
        false => "listen = \"127.0.0.1:0\"\n",
    };
    fs::write(&path, format!("{}{}{watch}{listen}{more}", url("a"), url("b"))).unwrap();
    path
}

/// Asks for a page; the status code, and the whole answer. `None` where there is no answer.
pub(crate) fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    ask(TcpStream::connect(address).ok()?, path, "")
}

/// The same over a connection that is there, with more headers.
pub(crate) fn ask(
    mut connection: impl Read + Write,
    path: &str,
    headers: &str,
) -> Option<(u16, String)> {
    let head = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n");
    connection.write_all(head.as_bytes()).ok()?;
    let mut answer = Vec::new();
    // A server that is done may end the connection without a word.
    let _ = connection.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let code = answer.split(' ').nth(1)?.parse().ok()?;
    Some((code, answer))
}
