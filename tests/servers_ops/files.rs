//! Who else may read what a watch reads and writes.

use crate::{
    daemon::{Daemon, config, until},
    support::lab::{Lab, Server},
};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_it_writes_is_its_own_and_what_others_can_read_is_told() {
    let lab = Lab::pair(Server::MariaDb);
    let loose = |name: &str| {
        let path = lab.dir().join(name);
        fs::write(&path, "twinlog").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    };
    let (password, token) = (loose("a.password"), loose("token"));
    let more =
        format!("listen = \"0.0.0.0:0\"\ntls = \"off\"\ntoken_file = \"{}\"\n", token.display());
    let path = config(&lab, &more);
    let text = fs::read_to_string(&path).unwrap();
    let (_, rest) = text.split_once("[nodes.b]").unwrap();
    let url = lab.url("a");
    let password_file = password.display();
    let a = format!("[nodes.a]\nurl = \"{url}\"\npassword_file = \"{password_file}\"\n[nodes.b]");
    fs::write(&path, a + rest).unwrap();
    // The umask of the daemon takes nothing away.
    let mut daemon = Daemon::start(&lab, &path);
    daemon.until_ready();
    for name in ["twinlog.db", "twinlog.db-wal", "twinlog.db-shm", "twinlog.db.lock"] {
        assert_eq!(mode(&lab.dir().join(name)), 0o600, "{name}");
    }
    let log = daemon.log();
    for (what, path) in [("password file", &password), ("token file", &token)] {
        let warning = format!("{what} {} can be read by every user (mode 644)", path.display());
        assert!(log.contains(&warning), "{log}");
    }
    fs::set_permissions(&token, fs::Permissions::from_mode(0o640)).unwrap();
    let before = daemon.log().len();
    daemon.signal("HUP");
    until("it is read again", || daemon.log()[before..].contains("nothing changed").then_some(()));
    assert!(!daemon.log()[before..].contains("can be read"), "{}", daemon.log());
    daemon.end("with files");
}
