//! How the servers are set and which files they have, for metrics and pages: asked now and then,
//! never judged by.

use super::board::Board;
use crate::{
    feed::live::{LiveOptions, ServerFacts, Survey, keep_surveying},
    metrics::Metrics,
    model::{NodeIndex, Setting},
    report::Check,
};
use tokio::sync::mpsc;

/// The servers that are asked.
#[derive(Default)]
pub(super) struct Surveys(Vec<(NodeIndex, mpsc::Receiver<Survey>)>);

impl Surveys {
    /// Begins to ask a node's server.
    pub(super) fn add(&mut self, node: NodeIndex, options: LiveOptions) {
        let (send, answers) = mpsc::channel(1);
        tokio::spawn(keep_surveying(options, send));
        self.0.push((node, answers));
    }

    /// Takes the answers that have come.
    pub(super) fn look(&mut self, board: &mut Board, metrics: &Metrics) {
        for (node, answers) in &mut self.0 {
            while let Ok(survey) = answers.try_recv() {
                note(board, metrics, *node, &survey.facts);
                if let Some((oldest, newest)) = survey.files {
                    metrics.set_server_files(*node, oldest, newest);
                    board.has_files(*node, oldest, newest);
                }
            }
        }
    }
}

/// Notes a server's settings.
pub(super) fn note(board: &mut Board, metrics: &Metrics, node: NodeIndex, facts: &ServerFacts) {
    let check = |setting: Setting| {
        let (ok, found) = look_at(setting, facts);
        metrics.set_check(node, setting, ok);
        Check { name: setting.as_str(), ok, found }
    };
    board.checked(node, Setting::ALL.map(check).into());
}

/// Whether a setting is as it has to be, and what it is.
fn look_at(setting: Setting, facts: &ServerFacts) -> (bool, String) {
    let (found, wanted): (&str, &[&str]) = match setting {
        Setting::BinlogFormat => (&facts.binlog_format, &["ROW"]),
        Setting::LogReplicaUpdates => {
            (if facts.log_replica_updates { "ON" } else { "OFF" }, &["ON"])
        }
        Setting::GtidMode if facts.is_mariadb => return (true, "always".to_owned()),
        Setting::GtidMode => (facts.gtid_mode.as_deref().unwrap_or_default(), &["ON"]),
        // What FULL_NODUP leaves out of an after image stands in the before image.
        Setting::RowImage => (&facts.row_image, &["FULL", "FULL_NODUP"]),
        Setting::RowMetadata => (&facts.row_metadata, &["FULL"]),
    };
    let ok = wanted.contains(&found);
    // A server that is too old for it.
    (ok, if found.is_empty() { "none".to_owned() } else { found.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(is_mariadb: bool) -> ServerFacts {
        ServerFacts {
            version: "11.8.3".to_owned(),
            is_mariadb,
            server_id: 1,
            server_uuid: None,
            log_bin: true,
            log_replica_updates: true,
            binlog_format: "ROW".to_owned(),
            row_image: "FULL".to_owned(),
            row_metadata: "FULL".to_owned(),
            gtid_mode: (!is_mariadb).then(|| "ON".to_owned()),
            checksum: "CRC32".to_owned(),
        }
    }

    fn wrong(facts: &ServerFacts) -> Vec<String> {
        let looked = Setting::ALL.map(|setting| (setting, look_at(setting, facts)));
        let wrong = looked.into_iter().filter(|(_, (ok, _))| !ok);
        wrong.map(|(setting, (_, found))| format!("{}={found}", setting.as_str())).collect()
    }

    #[test]
    fn a_setting_that_hides_something_is_told() {
        for is_mariadb in [false, true] {
            assert_eq!(wrong(&facts(is_mariadb)), [""; 0]);
        }
        let without = |text: &str| text.to_owned();
        let bad = ServerFacts {
            log_replica_updates: false,
            binlog_format: without("MIXED"),
            row_image: without("MINIMAL"),
            row_metadata: without(""),
            gtid_mode: Some(without("ON_PERMISSIVE")),
            ..facts(false)
        };
        assert_eq!(
            wrong(&bad),
            [
                "binlog_format=MIXED",
                "log_replica_updates=OFF",
                "gtid_mode=ON_PERMISSIVE",
                "row_image=MINIMAL",
                "row_metadata=none"
            ]
        );
        let fuller = ServerFacts { row_image: without("FULL_NODUP"), ..facts(true) };
        assert_eq!(wrong(&fuller), [""; 0]);
    }
}
