//! TLS: what each mode asks of a server's certificate, and what a server asks of ours.

use crate::{
    certs::Certs,
    reader::{logged, options, protected, read, refused, works},
    support::lab::{Lab, Server},
};
use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};
use twinlog::{
    config::{TlsConfig, TlsMode},
    feed::live::{DropReason, LiveOptions, LiveStart},
};

/// Has node a show another certificate. MySQL looks at it first, and may refuse.
fn try_serve(lab: &Lab, certs: &Certs, name: &str) -> Result<String, String> {
    certs.serve(name);
    lab.try_sql(
        "a",
        match lab.server() {
            Server::MariaDb => "FLUSH LOCAL SSL",
            Server::MySql => "ALTER INSTANCE RELOAD TLS",
        },
    )
}

fn serve(lab: &Lab, certs: &Certs, name: &str) {
    try_serve(lab, certs, name).unwrap();
}

pub(crate) fn modes(lab: &Lab, certs: &Certs) {
    let (ours, theirs) = (certs.path("ours.pem"), certs.path("theirs.pem"));
    let with = |mode| protected(lab, mode, Some(&ours));
    let required = || protected(lab, TlsMode::Required, None);
    let tls = DropReason::Tls;
    works("off", protected(lab, TlsMode::Off, None));
    works("required", required());
    works("verify-ca", with(TlsMode::VerifyCa));
    works("verify-identity", with(TlsMode::VerifyIdentity));
    let local = LiveOptions {
        url: lab.url("a").replace("127.0.0.1", "localhost").parse().unwrap(),
        ..with(TlsMode::VerifyIdentity)
    };
    works("verify-identity by name", local);
    for mode in [TlsMode::VerifyCa, TlsMode::VerifyIdentity] {
        let words = ["UnknownIssuer", "theirs.pem", "tls = { ca"];
        refused("another ca", protected(lab, mode, Some(&theirs)), tls, &words);
        let words = ["UnknownIssuer", "well-known public ones"];
        refused("public ones", protected(lab, mode, None), tls, &words);
    }
    let nowhere = protected(lab, TlsMode::VerifyCa, Some(&certs.path("nowhere.pem")));
    refused("no file", nowhere, tls, &["tls.ca", "nowhere.pem: No such file"]);
    let no_pem = protected(lab, TlsMode::VerifyCa, Some(&certs.path("ours/index")));
    refused("no PEM", no_pem, tls, &["there is no PEM in it"]);

    for name in ["other-name", "no-name"] {
        serve(lab, certs, name);
        works(name, required());
        works(name, with(TlsMode::VerifyCa));
        let words = ["not valid for name \"127.0.0.1\"", "mode \"verify-ca\""];
        refused(name, with(TlsMode::VerifyIdentity), tls, &words);
        // That the name does not count makes nobody an authority.
        let other = protected(lab, TlsMode::VerifyCa, Some(&theirs));
        refused(name, other, tls, &["UnknownIssuer"]);
    }
    serve(lab, certs, "version-1");
    // openssl 3.5 makes none any more.
    let modes = [TlsMode::VerifyCa, TlsMode::VerifyIdentity];
    for mode in modes.into_iter().filter(|_| certs.is_version_1("version-1")) {
        refused("version 1", with(mode), tls, &["X.509 version 1"]);
    }
    if let Err(why) = try_serve(lab, certs, "foreign") {
        println!("this server shows no certificate that its own ca does not know: {why}");
    } else {
        works("foreign", required());
        for mode in [TlsMode::VerifyCa, TlsMode::VerifyIdentity] {
            refused("foreign", with(mode), tls, &["UnknownIssuer"]);
        }
    }
    // One that is good when the server takes it.
    certs.make_short("short");
    serve(lab, certs, "short");
    let deadline = Instant::now() + Duration::from_secs(60);
    while read(with(TlsMode::VerifyCa)).is_ok() {
        assert!(Instant::now() < deadline, "it does not expire");
        std::thread::sleep(Duration::from_millis(200));
    }
    works("expired", required());
    for mode in [TlsMode::VerifyCa, TlsMode::VerifyIdentity] {
        refused("expired", with(mode), tls, &["expired", "renew the certificate"]);
    }
    serve(lab, certs, "good");
}

/// Accounts that have to show a certificate, or at least to encrypt.
pub(crate) fn client_certificates(lab: &Lab, certs: &Certs) {
    for (user, require) in [("shows", "X509"), ("hides", "SSL")] {
        lab.sql(
            "a",
            &format!(
                "SET sql_log_bin = 0; CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'p' \
                 REQUIRE {require}; GRANT REPLICATION SLAVE ON *.* TO {user}@'127.0.0.1'"
            ),
        );
    }
    let with = |user: &str, identity: Option<&str>| {
        let file = |name: &str, ending| certs.path(&format!("{name}.{ending}"));
        let identity = identity.map(|name| (file(name, "pem"), file(name, "key")));
        let (mode, ca) = (TlsMode::VerifyIdentity, Some(certs.path("ours.pem")));
        let tls = TlsConfig { mode, ca, identity };
        LiveOptions { tls, ..options(lab, user, Some("p")) }
    };
    works("a certificate that is asked for", with("shows", Some("client")));
    works("encryption that is asked for", with("hides", None));
    let auth = DropReason::Auth;
    refused("none", with("shows", None), auth, &["error 1045", "REQUIRE SSL or X509"]);
    refused("no TLS", options(lab, "hides", Some("p")), auth, &["1045", "REQUIRE SSL or X509"]);
    let foreign = with("shows", Some("foreign-client"));
    refused("a foreign one", foreign, DropReason::Tls, &["the server refuses", "ssl_ca"]);
    let half = TlsConfig {
        identity: Some((certs.path("client.pem"), certs.path("ours.cnf"))),
        ..with("shows", None).tls
    };
    let half = LiveOptions { tls: half, ..with("shows", None) };
    refused("no key", half, DropReason::Tls, &["tls.key", "there is no PEM in it"]);

    lab.sql("a", "SET GLOBAL require_secure_transport = ON");
    let plain = protected(lab, TlsMode::Off, None);
    // MariaDB 10.11 says no more than of a wrong password.
    match lab.server() == Server::MySql || lab.version().starts_with("11.") {
        true => refused("TLS alone", plain, DropReason::Tls, &["error 3159", "tls = {"]),
        false => refused("TLS alone", plain, auth, &["1045", "require_secure_transport"]),
    }
    lab.sql("a", "SET GLOBAL require_secure_transport = OFF");
}

/// The stream itself goes over TLS: also a row of more than a packet, and many events in one
/// transaction.
pub(crate) fn streams(lab: &Lab, certs: &Certs) {
    lab.sql(
        "a",
        "CREATE DATABASE t; CREATE TABLE t.big (id INT AUTO_INCREMENT PRIMARY KEY, v LONGBLOB);
         INSERT INTO t.big VALUES (1, REPEAT('x', 20000000));
         BEGIN; INSERT INTO t.big (v) VALUES (REPEAT('y', 9000)), (REPEAT('z', 9000));
         INSERT INTO t.big (v) SELECT v FROM t.big WHERE id > 1; INSERT INTO t.big (v) SELECT v
         FROM t.big WHERE id > 1; INSERT INTO t.big (v) SELECT v FROM t.big WHERE id > 1; COMMIT;",
    );
    lab.settle();
    let ca = certs.path("ours.pem");
    let earliest = LiveOptions {
        start: LiveStart::Earliest,
        ..protected(lab, TlsMode::VerifyIdentity, Some(&ca))
    };
    let (over_tls, logged) = (read(earliest).unwrap(), logged(lab));
    assert!(over_tls == logged, "{} and {} transactions", over_tls.len(), logged.len());
    assert!(logged.len() >= 4 && lab.sql("a", "SHOW STATUS LIKE 'Ssl_accepts'").len() > 3);
}

/// A scan of a live server goes by what the configuration says of its node.
pub(crate) fn scans(lab: &Lab, certs: &Certs) {
    let path = |name: &str| lab.dir().join(name);
    let password = path("scan.password");
    fs::write(&password, Lab::PASSWORD).unwrap();
    let scan = |tls: &str| {
        let config = format!("[nodes.a]\npassword_file = {password:?}\n{tls}\n[nodes.b]\n");
        fs::write(path("scan.toml"), config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_twinlog"));
        command.args(["scan", "--quiet", "--config"]).arg(path("scan.toml"));
        let a = format!("a={}", lab.url("a"));
        let output = command.args([a, format!("b={}", lab.binlog_dir("b").display())]).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let verified = |ca: &str| {
        scan(&format!("tls = {{ mode = \"verify-identity\", ca = {:?} }}", certs.path(ca)))
    };
    lab.sql("a", "SET GLOBAL require_secure_transport = ON");
    let (code, stderr) = verified("ours.pem");
    assert!(code <= Some(1), "{code:?} {stderr}");
    let (code, stderr) = verified("theirs.pem");
    assert!(code == Some(3) && stderr.contains("UnknownIssuer"), "{code:?} {stderr}");
    // On loopback it does not encrypt by itself.
    let (code, stderr) = scan("");
    assert!(code == Some(3) && stderr.contains("require_secure_transport"), "{code:?} {stderr}");
    lab.sql("a", "SET GLOBAL require_secure_transport = OFF");
}
