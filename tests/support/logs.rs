//! What a master of the lab has logged: its own transactions' numbers, and its files.
#![allow(dead_code, unreachable_pub, reason = "not every test that compiles this uses it")]

use std::path::PathBuf;
use std::process::Command;

use super::lab::{Lab, Server};

impl Lab {
    /// The number of the last transaction that a master committed first; without GTIDs, how many
    /// there are.
    pub fn last_number(&self, node: &str) -> u64 {
        if !self.has_gtids() {
            return self.commit_times(node).len() as u64;
        }
        let (variable, mark) = match self.server() {
            Server::MariaDb => {
                let id = self.node(node).server_id;
                ("@@GLOBAL.gtid_binlog_state", format!("{id}-{id}-"))
            }
            Server::MySql => ("@@GLOBAL.gtid_executed", format!("{}:", uuid(node))),
        };
        let answer = self.sql(node, &format!("SELECT REPLACE({variable}, '\\n', '')"));
        let mut own = answer.trim().split(',').filter_map(|of| of.strip_prefix(&mark));
        let numbers = own.next().unwrap_or("0");
        let last = numbers.rsplit(['-', ':']).next().unwrap_or(numbers);
        last.parse().unwrap_or_else(|_| panic!("{answer}"))
    }

    /// The GTID of a master's own transaction of that number.
    pub fn gtid(&self, node: &str, number: u64) -> String {
        match self.server() {
            Server::MariaDb => format!("{0}-{0}-{number}", self.node(node).server_id),
            Server::MySql => format!("{}:{number}", uuid(node)),
        }
    }

    /// What tells so many of a master's own transactions apart, from that number on.
    pub fn identities(&self, node: &str, first: u64, count: usize) -> Vec<String> {
        if self.has_gtids() {
            return (first..).take(count).map(|number| self.gtid(node, number)).collect();
        }
        let times = self.commit_times(node).into_iter().skip(first as usize - 1).take(count);
        let id = self.node(node).server_id;
        times.map(|time| format!("anonymous-{id}-{time}")).collect()
    }

    /// When each transaction was committed that a master committed first, in microseconds; told by
    /// the server's own tool.
    pub fn commit_times(&self, node: &str) -> Vec<String> {
        let own = format!("server id {} ", self.node(node).server_id);
        let mut tool = Command::new(self.binlog_tool());
        let output = tool.args(self.binlogs(node)).output().expect("the tool runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        let events = text.lines().filter(|line| line.contains("Anonymous_GTID"));
        let time = |line: &str| {
            let (_, time) = line.split_once("original_committed_timestamp=").expect("a time");
            time.split_ascii_whitespace().next().expect("a time").to_owned()
        };
        events.filter(|line| line.contains(&own)).map(time).collect()
    }

    /// The binlogs of a node, in order.
    pub fn binlogs(&self, node: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.binlog_dir(node)).expect("binlogs");
        let mut files: Vec<PathBuf> =
            entries.map(|entry| entry.expect("an entry").path()).collect();
        let digits = |path: &PathBuf| path.extension().is_some_and(|e| e.len() == 6);
        files.retain(digits);
        files.sort();
        files
    }
}

/// The UUID that the lab gives a MySQL master.
fn uuid(node: &str) -> String {
    [8, 4, 4, 4, 12].map(|digits| node.repeat(digits)).join("-")
}
