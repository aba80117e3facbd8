//! Ways to log in: each works, or is refused with what to do.

use crate::{
    certs::Certs,
    reader::{options, refused, works},
    support::{
        garbler::{Garbler, Sent},
        lab::{Lab, Server},
    },
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};
use twinlog::{
    config::{TlsConfig, TlsMode},
    feed::live::{DropReason, LiveOptions},
};

pub(crate) fn ways(lab: &Lab, certs: &Certs) {
    create(lab, "nobody", "", "127.0.0.1");
    works("no password", options(lab, "nobody", None));
    refused("a password too many", options(lab, "nobody", Some("x")), DropReason::Auth, &["1045"]);
    over_the_socket(lab);
    let encrypted = |user: &str| {
        let ca = Some(certs.path("ours.pem"));
        let tls = TlsConfig { mode: TlsMode::VerifyIdentity, ca, identity: None };
        LiveOptions { tls, ..options(lab, user, Some("p\u{e4}ss")) }
    };
    let plain = |user: &str| options(lab, user, Some("p\u{e4}ss"));
    match lab.server() {
        Server::MySql => {
            create(
                lab,
                "sha2",
                "IDENTIFIED WITH caching_sha2_password BY 'p\u{e4}ss'",
                "127.0.0.1",
            );
            // The first time with the server's public key, then by what it remembers.
            works("caching_sha2_password, full", plain("sha2"));
            works("caching_sha2_password, fast", plain("sha2"));
            lab.sql("a", "FLUSH LOCAL PRIVILEGES");
            works("caching_sha2_password, full, over TLS", encrypted("sha2"));
            works("caching_sha2_password, fast, over TLS", encrypted("sha2"));
            create(lab, "sha256", "IDENTIFIED WITH sha256_password BY 'p\u{e4}ss'", "127.0.0.1");
            let words = ["sha256_password", "make an account of caching_sha2_password"];
            refused("sha256_password", plain("sha256"), DropReason::Auth, &words);
        }
        Server::MariaDb => {
            let old = "IDENTIFIED VIA mysql_native_password USING PASSWORD('p\u{e4}ss')";
            create(lab, "native", old, "127.0.0.1");
            works("mysql_native_password", plain("native"));
            works("mysql_native_password over TLS", encrypted("native"));
            let oldest = "IDENTIFIED VIA mysql_old_password USING '606717496665bcba'";
            create(lab, "oldest", oldest, "127.0.0.1");
            lab.sql("a", "SET GLOBAL secure_auth = OFF");
            let words = ["mysql_old_password", "make an account of caching_sha2_password"];
            refused("mysql_old_password", plain("oldest"), DropReason::Auth, &words);
            if has_plugin(lab, "auth_ed25519") {
                let signed = "IDENTIFIED VIA ed25519 USING PASSWORD('p\u{e4}ss')";
                create(lab, "signed", signed, "127.0.0.1");
                works("ed25519", plain("signed"));
                works("ed25519 over TLS", encrypted("signed"));
                let wrong = options(lab, "signed", Some("x"));
                refused("another password", wrong, DropReason::Auth, &["1045"]);
                challenge_of_zero(lab, "client_ed25519", "signed");
            }
            // MariaDB has it since 11.6.
            if has_plugin(lab, "auth_parsec") {
                let parsec = "IDENTIFIED VIA parsec USING PASSWORD('p\u{e4}ss')";
                create(lab, "parsec", parsec, "127.0.0.1");
                works("parsec", plain("parsec"));
                challenge_of_zero(lab, "parsec", "parsec");
            }
        }
    }
    for (user, state, code) in [("locked", "ACCOUNT LOCK", ""), ("expired", "PASSWORD EXPIRE", "")]
    {
        create(lab, user, &format!("IDENTIFIED BY 'p' {state}"), "127.0.0.1");
        refused(user, options(lab, user, Some("p")), DropReason::Auth, &[code, "on the server"]);
    }
}

/// A challenge of random bytes can end with zero, which the client library takes for no part of it.
fn challenge_of_zero(lab: &Lab, method: &'static str, user: &str) {
    let mut through = options(lab, user, Some("p\u{e4}ss"));
    let garbler = Garbler::start(through.url.port);
    through.url.port = garbler.port();
    let zeros = Arc::new(AtomicU64::new(0));
    let counted = zeros.clone();
    garbler.tamper_with_all(move |connection| {
        let counted = counted.clone();
        let switch = [&[0xfe], method.as_bytes(), &[0]].concat();
        Box::new(move |_, packet| {
            if connection > 0 || !packet.starts_with(&switch) {
                return Sent::AsIs;
            }
            counted.fetch_add(1, SeqCst);
            Sent::Packet([&packet[..packet.len() - 1], &[0]].concat())
        })
    });
    works(&format!("{method} with a challenge that ends with zero"), through);
    assert_eq!(zeros.load(SeqCst), 1, "{method} was asked for on the first connection");
}

/// What this server does not have is not tried.
fn has_plugin(lab: &Lab, name: &str) -> bool {
    let installed = lab.try_sql("a", &format!("SET sql_log_bin = 0; INSTALL SONAME '{name}'"));
    if let Err(why) = &installed {
        println!("{name} is not tried on {}: {why}", lab.version());
    }
    installed.is_ok()
}

/// Who asks over the socket is known to the system, and needs no password.
fn over_the_socket(lab: &Lab) {
    let whoami = std::process::Command::new("id").arg("-un").output().unwrap();
    let user = String::from_utf8(whoami.stdout).unwrap();
    let user = user.trim();
    let by_system = match lab.server() {
        Server::MariaDb => "unix_socket",
        Server::MySql => {
            lab.sql("a", "SET sql_log_bin = 0; INSTALL PLUGIN auth_socket SONAME 'auth_socket.so'");
            "auth_socket"
        }
    };
    lab.sql(
        "a",
        &format!(
            "SET sql_log_bin = 0; CREATE USER IF NOT EXISTS {user}@localhost;
             ALTER USER {user}@localhost IDENTIFIED WITH {by_system};
             GRANT REPLICATION SLAVE ON *.* TO {user}@localhost"
        ),
    );
    let url = |user: &str| {
        let socket = lab.node("a").socket.display();
        format!("mysql://{user}@localhost?socket={socket}").parse().unwrap()
    };
    works(by_system, LiveOptions { url: url(user), ..options(lab, user, None) });
    create(lab, "nobody_else", &format!("IDENTIFIED WITH {by_system}"), "localhost");
    let other = LiveOptions { url: url("nobody_else"), ..options(lab, "nobody_else", None) };
    refused("another user", other, DropReason::Auth, &["1698"]);
}

fn create(lab: &Lab, user: &str, identified: &str, host: &str) {
    lab.sql(
        "a",
        &format!(
            "SET sql_log_bin = 0; CREATE USER {user}@'{host}' {identified}; \
             GRANT REPLICATION SLAVE ON *.* TO {user}@'{host}'"
        ),
    );
}
