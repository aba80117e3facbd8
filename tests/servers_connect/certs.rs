//! Certificates, made with openssl: of two authorities, for right and wrong names, and one that
//! soon expires.

use jiff::{SignedDuration, Timestamp};
use std::{fs, path::PathBuf, process::Command};
use tempfile::TempDir;

/// Certificates of servers, each with what it is for.
const SERVERS: [(&str, &str, &str, &str); 5] = [
    ("good", "ours", "subjectAltName=IP:127.0.0.1,DNS:localhost", "20400101000000Z"),
    ("other-name", "ours", "subjectAltName=DNS:db.example", "20400101000000Z"),
    // As MySQL makes its own: a common name, and no name that counts.
    ("no-name", "ours", "basicConstraints=CA:FALSE", "20400101000000Z"),
    // Without any extension openssl makes one of X.509 version 1, as far as it is old.
    ("version-1", "ours", "", "20400101000000Z"),
    ("foreign", "theirs", "subjectAltName=IP:127.0.0.1,DNS:localhost", "20400101000000Z"),
];

/// A directory of certificates, and of what servers use of it now.
pub(crate) struct Certs {
    dir: TempDir,
}

impl Certs {
    /// Makes them; what servers use is `good`.
    pub(crate) fn make() -> Certs {
        let certs = Certs { dir: TempDir::with_prefix("twinlog-certs-").unwrap() };
        for authority in ["ours", "theirs"] {
            certs.make_authority(authority);
        }
        for (name, authority, extension, until) in SERVERS {
            certs.make_leaf(name, authority, extension, until);
        }
        for (name, authority) in [("client", "ours"), ("foreign-client", "theirs")] {
            certs.make_leaf(name, authority, "basicConstraints=CA:FALSE", "20400101000000Z");
        }
        certs.serve("good");
        certs
    }

    /// Makes one that expires in a few seconds.
    pub(crate) fn make_short(&self, name: &str) {
        let until = Timestamp::now() + SignedDuration::from_secs(5);
        let until = until.strftime("%Y%m%d%H%M%SZ").to_string();
        self.make_leaf(name, "ours", "subjectAltName=IP:127.0.0.1", &until);
    }

    /// The path of `NAME.pem`, `NAME.key` or an authority's `NAME.pem`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Whether a certificate is of X.509 version 1.
    pub(crate) fn is_version_1(&self, name: &str) -> bool {
        let mut command = Command::new("openssl");
        command.args(["x509", "-noout", "-text", "-in"]).arg(self.path(&format!("{name}.pem")));
        let text = command.output().expect("openssl runs").stdout;
        String::from_utf8_lossy(&text).contains("Version: 1 ")
    }

    /// What a lab is started with so that its servers offer TLS.
    pub(crate) fn options(&self) -> Vec<String> {
        let option = |name: &str, file: &str| format!("--{name}={}", self.path(file).display());
        vec![
            option("ssl-ca", "ours.pem"),
            option("ssl-cert", "served.pem"),
            option("ssl-key", "served.key"),
        ]
    }

    /// Puts a certificate where servers look for theirs; they have to be told.
    pub(crate) fn serve(&self, name: &str) {
        for ending in ["pem", "key"] {
            let to = self.path(&format!("served.{ending}"));
            fs::copy(self.path(&format!("{name}.{ending}")), to).unwrap();
        }
    }

    fn make_authority(&self, name: &str) {
        let dir = self.path(name);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("index"), "").unwrap();
        let config = format!(
            "[ca]\ndefault_ca = here\n[here]\ndatabase = {0}/index\nnew_certs_dir = {0}\n\
             rand_serial = yes\ndefault_md = sha256\npolicy = any\nunique_subject = no\n\
             copy_extensions = copy\n[any]\ncommonName = supplied\n\
             [req]\ndistinguished_name = none\n[none]\n",
            dir.display()
        );
        fs::write(self.path(&format!("{name}.cnf")), config).unwrap();
        let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
        let mut command = self.openssl("req", &format!("{name}.cnf"));
        command.args(["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        command.args(["-days", "3650", "-subj", &format!("/CN={name}")]);
        command.args(["-addext", "basicConstraints=critical,CA:TRUE"]);
        run(command.args(["-keyout", &key, "-out", &pem]));
    }

    fn make_leaf(&self, name: &str, authority: &str, extension: &str, until: &str) {
        let config = format!("{authority}.cnf");
        let (key, request, pem) =
            (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let mut command = self.openssl("req", &config);
        command.args(["-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        command.args(["-subj", &format!("/CN={name}"), "-keyout", &key, "-out", &request]);
        if !extension.is_empty() {
            command.args(["-addext", extension]);
        }
        run(&mut command);
        let mut command = self.openssl("ca", &config);
        command.args(["-batch", "-notext", "-cert", &format!("{authority}.pem")]);
        command.args(["-keyfile", &format!("{authority}.key"), "-in", &request, "-out", &pem]);
        run(command.args(["-startdate", "20200101000000Z", "-enddate", until]));
    }

    fn openssl(&self, command: &str, config: &str) -> Command {
        let mut openssl = Command::new("openssl");
        openssl.current_dir(self.dir.path()).args([command, "-config", config]);
        openssl
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("openssl runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{said}");
}
