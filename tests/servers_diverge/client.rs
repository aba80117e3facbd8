//! A client that stays connected: many statements a second, and errors do not end it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use crate::support::lab::Lab;

pub struct Client {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Batches sent.
    count: u64,
}

impl Client {
    /// Connects to a node. Its errors go to a file of that name in the lab's directory.
    pub fn connect(lab: &Lab, node: &str, name: &str) -> Client {
        let errors = File::create(lab.dir().join(format!("{name}.err"))).expect("a file");
        let mut command = lab.client_command(node);
        command.arg("--force");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().expect("the client runs");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Client { child, input, output, count: 0 }
    }

    /// Runs statements that answer nothing, and returns when the server has run them all.
    pub fn run(&mut self, sql: &str) {
        self.count += 1;
        let done = format!("done {}", self.count);
        writeln!(self.input, "{sql}SELECT '{done}';").expect("the client reads");
        self.input.flush().expect("the client reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the client answers");
        assert_eq!(line.trim_end(), done, "after\n{sql}");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
