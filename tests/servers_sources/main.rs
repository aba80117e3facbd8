//! All that `twinlog scan` can read, of real masters: their files, the servers themselves, standard
//! input, relay logs, what the servers' own tools fetch, and encrypted files.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "a test that waits has a deadline")]

mod encrypted;
mod input;
mod live;
mod raw;
mod relay;
mod run;
#[path = "../support/mod.rs"]
mod support;

use support::lab::{Lab, LabOptions, Server};

#[test]
fn mariadb_is_read_in_all_ways() {
    is_read_in_all_ways(Server::MariaDb);
}

#[test]
fn mysql_is_read_in_all_ways() {
    is_read_in_all_ways(Server::MySql);
}

#[test]
fn mysql_without_gtids_is_read() {
    let lab = Lab::start(Server::MySql, LabOptions::without_gtids());
    conflicts(&lab);
    live::servers_without_gtids_end_at_a_place(&lab);
    raw::gives_what_files_give(&lab);
}

fn is_read_in_all_ways(server: Server) {
    let lab = Lab::start(server, LabOptions::default());
    conflicts(&lab);
    live::gives_what_files_give(&lab);
    live::takes_the_password_that_is_configured(&lab);
    live::is_refused_in_words(&lab);
    live::leaves_a_watch_alone(&lab);
    input::gives_what_files_give(&lab);
    input::is_refused_in_words(&lab);
    raw::gives_what_files_give(&lab);
    live::ends_where_it_began_while_masters_write(&lab);
    live::goes_on_after_a_broken_connection(&lab);
    live::says_how_far_it_came(&lab);
    live::begins_where_the_server_does(&lab);
}

/// A few conflicts in several files of both masters.
fn conflicts(lab: &Lab) {
    lab.sql(
        "a",
        "CREATE DATABASE t;
         CREATE TABLE t.x (id INT PRIMARY KEY, v VARCHAR(3000));
         INSERT INTO t.x VALUES (1, 'one'), (2, 'two'), (3, 'three');
         FLUSH BINARY LOGS;
         UPDATE t.x SET v = 'three, again' WHERE id = 3",
    );
    lab.settle();
    lab.stop_replication();
    for node in ["a", "b"] {
        lab.sql(node, &format!("UPDATE t.x SET v = '{node}' WHERE id = 1"));
        lab.sql(node, "FLUSH BINARY LOGS");
        lab.sql(node, &format!("UPDATE t.x SET v = 'also {node}' WHERE id = 2"));
    }
    lab.start_replication();
    lab.settle();
    lab.sql("b", "UPDATE t.x SET v = 'at last' WHERE id = 3");
    lab.settle();
}
