//! Replica server ids that something else has.

use crate::{
    reader::options,
    support::lab::{Lab, Server},
    watch::Watch,
};
use tokio::runtime::Runtime;
use twinlog::feed::live::{LiveOptions, meet};

/// MariaDB shows its replicas only to who may do more than twinlog needs.
fn seer(lab: &Lab) -> &'static str {
    if lab.server() == Server::MariaDb {
        for node in ["a", "b"] {
            lab.sql(
                node,
                "SET sql_log_bin = 0; GRANT REPLICATION MASTER ADMIN ON *.* TO twinlog@'127.0.0.1'",
            );
        }
    }
    "twinlog"
}

/// b is a's replica: whoever comes with its id would end its stream.
pub(crate) fn of_a_replica(lab: &Lab) {
    let id_of_b = lab.node("b").server_id;
    let user = seer(lab);
    let taken =
        LiveOptions { replica_server_id: id_of_b, ..options(lab, user, Some(Lab::PASSWORD)) };
    let met = Runtime::new().unwrap().block_on(meet(&taken, |error| panic!("{error}")));
    let text = met.expect_err("an id that is taken").to_string();
    let problem = "another replica (127.0.0.1) is registered there under server id 2";
    assert!(text.contains(problem) && text.contains("watch.replica_server_id"), "{text}");
}

/// The newer of two twinlogs with the same ids goes on; the older one says why it does not, and
/// stays away until the newer one is gone.
pub(crate) fn of_another_twinlog(lab: &Lab) {
    let user = seer(lab);
    let drops =
        |node: &str| format!("stream_reconnects_total{{reason=\"same_id\",stream=\"{node}\"}}");
    let mut older = Watch::start(lab, "older", user, Lab::PASSWORD);
    older.until_connected();
    let mut newer = Watch::start(lab, "newer", user, Lab::PASSWORD);
    newer.until_connected();
    for node in ["a", "b"] {
        older.until("it sees the other", |older| older.metric(&drops(node)) >= 2.0);
        assert!(!older.connected(node));
        assert_eq!(newer.metric(&drops(node)), 0.0, "{}", newer.log());
    }
    let log = older.log();
    let ended =
        "another twinlog, uses server id 4294900001: end it, or set watch.replica_server_id";
    let seen = "is registered there under server id 4294900002";
    assert!(
        log.contains(ended) && log.contains("reason=\"same_id\"") && log.contains(seen),
        "{log}"
    );
    let warning = "if it runs, its stream ends now";
    assert!(newer.log().contains(warning), "{}", newer.log());
    drop(newer);
    older.until_connected();
    if lab.server() == Server::MariaDb {
        for node in ["a", "b"] {
            let revoke = "REVOKE REPLICATION MASTER ADMIN ON *.* FROM twinlog@'127.0.0.1'";
            lab.sql(node, &format!("SET sql_log_bin = 0; {revoke}"));
        }
    }
}
