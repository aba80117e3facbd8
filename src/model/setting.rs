//! Settings of a server that decide what its log shows.

/// A setting without which a server's log hides something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Setting {
    /// `binlog_format`.
    BinlogFormat,
    /// `log_replica_updates`, of older names `log_slave_updates`.
    LogReplicaUpdates,
    /// `gtid_mode`.
    GtidMode,
    /// `binlog_row_image`.
    RowImage,
    /// `binlog_row_metadata`.
    RowMetadata,
}

impl Setting {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Setting; 5] = [
        Setting::BinlogFormat,
        Setting::LogReplicaUpdates,
        Setting::GtidMode,
        Setting::RowImage,
        Setting::RowMetadata,
    ];

    /// The word in metrics and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Setting::BinlogFormat => "binlog_format",
            Setting::LogReplicaUpdates => "log_replica_updates",
            Setting::GtidMode => "gtid_mode",
            Setting::RowImage => "row_image",
            Setting::RowMetadata => "row_metadata",
        }
    }
}
