//! The status page of a real watch over real masters, in a real browser.
//!
//! What is checked is in `tests/browser/site.mjs`: a violation appears soon and without a reload,
//! filters work with and without scripts, a finding's page has its picture, rows, repair and notes,
//! no request leaves the site, nothing is on the console, and everybody can use it.

mod support;

use std::{path::Path, process::Command};
use support::{
    lab::{Lab, Server},
    watcher::Watcher,
};

const CONFIG: &str = r#"
[nodes.a]
[nodes.b]
[[ownership]]
tables = ["crm.a_*"]
owner = "a"
"#;

#[test]
fn the_page_is_what_a_person_needs() {
    let lab = Lab::pair(Server::MariaDb);
    lab.idempotent();
    let set_up = "CREATE DATABASE shop; CREATE DATABASE crm;
        CREATE TABLE shop.account (id INT PRIMARY KEY, balance INT NOT NULL);
        CREATE TABLE crm.a_leads (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL);
        INSERT INTO shop.account VALUES (1, 100);";
    lab.sql("a", set_up);
    lab.settle();
    let store = lab.dir().join("twinlog.db");
    let more = format!("evidence = \"full\"\nstore = \"{}\"\n", store.display());
    let mut watch = Watcher::start_with(&lab, CONFIG, &more);
    lab.stop_replication();
    lab.sql("a", "UPDATE shop.account SET balance = 150 WHERE id = 1");
    lab.sql("b", "UPDATE shop.account SET balance = 250 WHERE id = 1");
    lab.start_replication();
    lab.settle();
    watch.wait_until(|told| {
        (!told.contains("\"divergence\"")).then(|| format!("no divergence: {told}"))
    });
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sql = format!("{} sql {}", root.join("scripts/lab").display(), lab.dir().display());
    let output = Command::new("node")
        .arg(root.join("tests/browser/site.mjs"))
        .args([&watch.site(), "--sql", &sql])
        .output()
        .expect("node runs: scripts/install-deps installs it");
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}");
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
}
