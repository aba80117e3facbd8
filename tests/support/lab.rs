//! Real masters for tests: a ring of MySQL or MariaDB servers, started by `scripts/lab`.
//!
//! A lab lives in a temporary directory and ends when its value is dropped, also in a panic. Where
//! the test process itself is killed, the lab sees that its owner is gone and ends too.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file compiles this as a part of itself, and uses a part of it"
)]

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Which server the masters run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    MariaDb,
    MySql,
}

impl Server {
    pub const ALL: [Server; 2] = [Server::MariaDb, Server::MySql];

    fn argument(self) -> &'static str {
        match self {
            Server::MariaDb => "mariadb",
            Server::MySql => "mysql",
        }
    }
}

/// What a lab is started with.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// Number of masters, 1 to 6.
    pub nodes: usize,
    /// Whether they replicate from each other.
    pub replication: bool,
    /// Whether each master has a clock of its own, which follows an offset in `NODE/clock`; MySQL
    /// does not start with libfaketime, and has the machine's.
    pub clocks: bool,
    /// Server options for all nodes, such as `--binlog-row-image=MINIMAL`.
    pub options: Vec<String>,
    /// Server options for one node: its name, the option.
    pub node_options: Vec<(String, String)>,
    /// A directory in which the server's programs are looked for first.
    pub programs: Option<PathBuf>,
}

impl Default for LabOptions {
    fn default() -> LabOptions {
        LabOptions {
            nodes: 2,
            replication: true,
            clocks: false,
            options: Vec::new(),
            node_options: Vec::new(),
            programs: None,
        }
    }
}

/// What has MySQL give no GTIDs.
const NO_GTIDS: &str = "--gtid-mode=OFF";

impl LabOptions {
    /// A pair of MySQL masters that give no GTIDs.
    pub fn without_gtids() -> LabOptions {
        let options = vec![NO_GTIDS.to_owned(), "--enforce-gtid-consistency=OFF".to_owned()];
        LabOptions { options, ..LabOptions::default() }
    }
}

/// One master.
#[derive(Clone, Debug)]
pub struct Node {
    pub name: String,
    pub port: u16,
    pub pid: u32,
    pub server_id: u32,
    pub socket: PathBuf,
    pub binlog_dir: PathBuf,
    pub datadir: PathBuf,
    pub error_log: PathBuf,
}

/// A running ring of masters.
#[derive(Debug)]
pub struct Lab {
    dir: TempDir,
    server: Server,
    clocks: bool,
    gtids: bool,
    version: String,
    client: PathBuf,
    binlog_tool: PathBuf,
    nodes: Vec<Node>,
}

impl Lab {
    /// Starts the masters `a`, `b`, ... and waits until they replicate. Panics with the lab's own
    /// message.
    pub fn start(server: Server, options: LabOptions) -> Lab {
        let dir = TempDir::with_prefix("twinlog-lab-").expect("a temporary directory");
        let mut command = lab_command("start", dir.path());
        command.args(["--server", server.argument(), "--nodes", &options.nodes.to_string()]);
        command.args(["--owner", &std::process::id().to_string()]);
        if !options.replication {
            command.arg("--no-replication");
        }
        if options.clocks && server == Server::MariaDb {
            command.arg("--clocks");
        }
        for option in &options.options {
            command.args(["--option", option]);
        }
        for (node, option) in &options.node_options {
            command.args([&format!("--option-{node}"), option]);
        }
        if let Some(programs) = &options.programs {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let all = std::iter::once(programs.clone()).chain(std::env::split_paths(&path));
            command.env("PATH", std::env::join_paths(all).expect("no colon in a path"));
        }
        run(&mut command);
        let mut lab = Lab::read(dir, server);
        lab.clocks = options.clocks;
        lab.gtids = !options.options.iter().any(|option| option == NO_GTIDS);
        lab
    }

    /// Starts a ring of two with the usual options.
    pub fn pair(server: Server) -> Lab {
        Lab::start(server, LabOptions::default())
    }

    fn read(dir: TempDir, server: Server) -> Lab {
        let text = std::fs::read(dir.path().join("lab.json")).expect("lab.json");
        let facts: Value = serde_json::from_slice(&text).expect("lab.json is JSON");
        let nodes = facts["nodes"].as_array().expect("nodes").iter().map(read_node).collect();
        Lab {
            dir,
            server,
            clocks: false,
            gtids: true,
            version: text_of(&facts["version"]),
            client: text_of(&facts["client"]).into(),
            binlog_tool: text_of(&facts["binlog_tool"]).into(),
            nodes,
        }
    }

    /// Runs statements as root over the socket. Returns the rows: columns split by tabs, one row a
    /// line, no names, with the client's escapes (`\n`, `\t`, `\\`). Panics where a statement
    /// fails.
    pub fn sql(&self, node: &str, sql: &str) -> String {
        match self.try_sql(node, sql) {
            Ok(rows) => rows,
            Err(message) => panic!("node {node}: {message}\nin: {sql}"),
        }
    }

    /// Like [`Lab::sql`], with the client's message where a statement fails; those before it have
    /// run.
    pub fn try_sql(&self, node: &str, sql: &str) -> Result<String, String> {
        let output = feed(&mut self.client_command(node), sql);
        let rows = String::from_utf8_lossy(&output.stdout).into_owned();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(rows) } else { Err(message) }
    }

    /// The command of the server's client, connected to that node as root; statements go to its
    /// standard input. For sessions that stay open, as a lock holder needs.
    pub fn client_command(&self, node: &str) -> Command {
        let mut command = Command::new(&self.client);
        command.arg("--no-defaults");
        if self.server == Server::MariaDb {
            command.arg("--skip-ssl");
        }
        command.args(["--user=root", "--batch", "--skip-column-names", "--unbuffered"]);
        command.args(["--default-character-set=utf8mb4", "--binary-mode"]);
        command.arg(format!("--socket={}", self.node(node).socket.display()));
        command
    }

    /// Stops receiving and applying on all nodes: from here on they write apart from each other.
    pub fn stop_replication(&self) {
        run(self.command("replication").arg("stop"));
    }

    /// Starts receiving and applying on all nodes.
    pub fn start_replication(&self) {
        run(self.command("replication").arg("start"));
    }

    /// Waits until every node has applied the others' transactions. Panics where an applier has
    /// stopped.
    pub fn settle(&self) {
        run(&mut self.command("settle"));
    }

    /// Like [`Lab::settle`], with the lab's message, which has the applier's error number, where it
    /// cannot be.
    pub fn try_settle(&self) -> Result<(), String> {
        let output = self.command("settle").output().expect("scripts/lab runs");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(message) }
    }

    /// Has all appliers pass over rows that are missing or already there.
    pub fn idempotent(&self) {
        run(self.command("mode").arg("idempotent"));
    }

    /// Has all appliers stop at rows that are missing or already there, as they do at first.
    pub fn strict(&self) {
        run(self.command("mode").arg("strict"));
    }

    /// Shuts the masters down cleanly; their logs end with a stop event and stay until the lab is
    /// dropped.
    pub fn stop(&self) {
        run(&mut self.command("stop"));
    }

    /// Kills the masters, as a crash would.
    pub fn kill(&self) {
        run(self.command("stop").arg("--fast"));
    }

    /// Starts stopped masters again, with their data. Ports may change.
    pub fn restart(&mut self) {
        self.restart_with("a", &[]);
    }

    /// The same with server options for one node, in the place of all that were given before; none
    /// leaves them as they were at the last start.
    pub fn restart_with(&mut self, node: &str, options: &[&str]) {
        let mut command = self.command("start");
        command.args(["--owner", &std::process::id().to_string()]);
        for option in options {
            command.args([&format!("--option-{node}"), *option]);
        }
        run(&mut command);
        let text = std::fs::read(self.dir().join("lab.json")).expect("lab.json");
        let facts: Value = serde_json::from_slice(&text).expect("lab.json is JSON");
        self.nodes = facts["nodes"].as_array().expect("nodes").iter().map(read_node).collect();
    }

    /// The directory of a node's binary logs; it holds nothing else.
    pub fn binlog_dir(&self, node: &str) -> &Path {
        &self.node(node).binlog_dir
    }

    /// The address of a node for the account that may read binary logs. Its password is
    /// [`Lab::PASSWORD`].
    pub fn url(&self, node: &str) -> String {
        format!("mysql://twinlog@127.0.0.1:{}", self.node(node).port)
    }

    /// The password of the account in [`Lab::url`].
    pub const PASSWORD: &'static str = "twinlog";

    /// One master's facts.
    pub fn node(&self, name: &str) -> &Node {
        self.nodes.iter().find(|node| node.name == name).expect("a node of that name")
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Whether transactions have GTIDs: MySQL can be told to give none.
    pub fn has_gtids(&self) -> bool {
        self.gtids
    }

    pub fn server(&self) -> Server {
        self.server
    }

    /// Whether clocks are to jump here.
    pub fn has_clocks(&self) -> bool {
        self.clocks
    }

    /// The server's version, such as `10.11.6`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The server's own program for printing binary logs.
    pub fn binlog_tool(&self) -> &Path {
        &self.binlog_tool
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn command(&self, command: &str) -> Command {
        lab_command(command, self.dir())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // The data is thrown away: nothing is gained by a clean shutdown. No panic here, one may be
        // on its way.
        if let Err(error) = self.command("stop").arg("--fast").status() {
            eprintln!("could not stop the lab in {}: {error}", self.dir().display());
        }
    }
}

fn read_node(facts: &Value) -> Node {
    let number = |name: &str| facts[name].as_u64().expect("a number");
    let path = |name: &str| PathBuf::from(text_of(&facts[name]));
    Node {
        name: text_of(&facts["name"]),
        port: u16::try_from(number("port")).expect("a port"),
        pid: u32::try_from(number("pid")).expect("a process id"),
        server_id: u32::try_from(number("server_id")).expect("a server id"),
        socket: path("socket"),
        binlog_dir: path("binlog_dir"),
        datadir: path("datadir"),
        error_log: path("error_log"),
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn lab_command(command: &str, dir: &Path) -> Command {
    let mut lab = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/lab"));
    lab.args([OsStr::new(command), dir.as_os_str()]);
    lab
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("scripts/lab runs");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{message}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Writes on another thread, so that neither pipe can fill up and block both sides.
fn feed(command: &mut Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the client runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::thread::scope(|scope| {
        // A client that failed reads no further: its exit code says so, the broken pipe need not.
        scope.spawn(move || drop(stdin.write_all(input.as_bytes())));
        child.wait_with_output().expect("the client ends")
    })
}
