//! How servers are reached: TLS in all its modes, every way to log in, accounts with no more than
//! they need, and replica server ids that something else has.
//!
//! One pair of masters of each kind goes through all of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "a test that waits has a deadline")]

mod certs;
mod grants;
mod ids;
mod login;
mod reach;
mod reader;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod watch;

use certs::Certs;
use support::lab::{Lab, LabOptions, Server};

#[test]
fn mariadb_is_reached() {
    is_reached(Server::MariaDb);
}

#[test]
fn mysql_is_reached() {
    is_reached(Server::MySql);
}

fn is_reached(server: Server) {
    let certs = Certs::make();
    let mut options = certs.options();
    if server == Server::MariaDb {
        // After the lab's own --skip-ssl.
        options.push("--ssl=1".to_owned());
    }
    let lab = Lab::start(server, LabOptions { options, ..LabOptions::default() });
    tls::modes(&lab, &certs);
    tls::client_certificates(&lab, &certs);
    tls::streams(&lab, &certs);
    tls::scans(&lab, &certs);
    login::ways(&lab, &certs);
    reach::names(&lab);
    ids::of_a_replica(&lab);
    ids::of_another_twinlog(&lab);
    reach::later(&lab);
    grants::least(&lab);
    grants::too_few(&lab);
}
