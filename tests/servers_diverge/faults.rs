//! What operators do that makes masters differ: they skip, they filter, they write without the
//! log.

use crate::support::keys::Key;
use crate::support::lab::{Lab, Server};
use crate::support::random::Random;
use crate::tables::{Role, Table};

/// Transactions that one node is told to leave out: the next ones of the other.
pub struct Skip {
    /// Who leaves them out.
    pub node: &'static str,
    pub count: u64,
    by: Way,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// MariaDB: the position that the applier begins after.
    Position,
    /// MariaDB: so many groups of events are passed over.
    Counter,
    /// MySQL: empty transactions that have their GTIDs.
    Injection,
}

pub fn other(node: &str) -> &'static str {
    if node == "a" { "b" } else { "a" }
}

impl Skip {
    pub fn plan(server: Server, random: &mut Random) -> Skip {
        let node = ["a", "b"][random.below(2)];
        let count = 1 + random.below(2) as u64;
        let by = match server {
            Server::MySql => Way::Injection,
            Server::MariaDb if random.percent(50) => Way::Position,
            Server::MariaDb => Way::Counter,
        };
        Skip { node, count, by }
    }

    /// While replication is stopped, after the other's last transaction of this number has been
    /// applied. MariaDB takes a position only as long as the node has logged nothing of its own
    /// that the other has not applied: that would contradict its log, or not be in the other's.
    pub fn before_writes(&self, lab: &Lab, last: u64) {
        if self.by == Way::Position {
            let gtid = lab.gtid(other(self.node), last + self.count);
            let domain = gtid.split('-').next().expect("a domain").to_owned() + "-";
            let position = lab.sql(self.node, "SELECT @@GLOBAL.gtid_current_pos");
            let others = position.trim().split(',').filter(|of| !of.starts_with(&domain));
            let position: Vec<&str> =
                others.filter(|of| !of.is_empty()).chain([gtid.as_str()]).collect();
            let position = position.join(",");
            lab.sql(self.node, &format!("SET GLOBAL gtid_slave_pos = '{position}'"));
        }
    }

    /// While replication is stopped, when the other has written.
    pub fn after_writes(&self, lab: &Lab, last: u64) {
        match self.by {
            Way::Position => {}
            Way::Counter => {
                let count = self.count;
                lab.sql(self.node, &format!("SET GLOBAL sql_slave_skip_counter = {count}"));
            }
            Way::Injection => {
                for number in last + 1..=last + self.count {
                    let gtid = lab.gtid(other(self.node), number);
                    let next = format!("SET gtid_next = '{gtid}'; BEGIN; COMMIT;");
                    lab.sql(self.node, &(next + "SET gtid_next = 'AUTOMATIC'"));
                }
            }
        }
    }
}

/// Has a node leave out the writes of others to the tables of [`Role::Filtered`], or no more.
/// Replication is stopped.
pub fn filter(lab: &Lab, tables: &[Table], node: &str, is_on: bool) {
    let filtered = tables.iter().filter(|table| is_on && table.role == Role::Filtered);
    let names: Vec<String> = filtered.map(Table::full_name).collect();
    let names = names.join(",");
    lab.sql(
        node,
        &match lab.server() {
            Server::MariaDb => format!("SET GLOBAL replicate_ignore_table = '{names}'"),
            Server::MySql => {
                format!("CHANGE REPLICATION FILTER REPLICATE_IGNORE_TABLE = ({names})")
            }
        },
    );
}

/// Rows that a node wrote without its log.
pub struct Silent<'a> {
    pub node: &'static str,
    pub rows: Vec<(&'a Table, Key)>,
}

impl<'a> Silent<'a> {
    /// Deletes some rows, but none on the node that keeps all, and writes to others what nobody
    /// else ever writes.
    pub fn write(
        lab: &Lab,
        tables: &'a [Table],
        keeps_all: Option<&str>,
        random: &mut Random,
    ) -> Silent<'a> {
        let node = ["a", "b"][random.below(2)];
        let mut rows = Vec::new();
        let mut sql = "SET sql_log_bin = 0;".to_owned();
        for table in tables {
            let count = random.below(3);
            for key in random.some_of(table.pool.clone(), count) {
                let value = random.below(1_000_000_000);
                let row = table.values(&key, &format!("-{value}, 'silent {value}'"));
                sql += &match table.role {
                    Role::Drift => format!("REPLACE INTO {} VALUES {row};", table.into()),
                    Role::Gone if keeps_all != Some(node) => {
                        let condition = table.is_key(&key, " AND ");
                        format!("DELETE FROM {} WHERE {condition};", table.full_name())
                    }
                    _ => continue,
                };
                rows.push((table, key));
            }
        }
        lab.sql(node, &sql);
        Silent { node, rows }
    }
}
