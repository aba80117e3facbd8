//! Commit times as RFC 3339.

use crate::model::CommitTime;
use jiff::Timestamp;

/// A commit time in UTC: with microseconds where the log has them, else whole seconds.
pub fn rfc3339(time: CommitTime) -> String {
    let timestamp = Timestamp::from_microsecond(time.micros).unwrap_or_default();
    match time.whole_seconds {
        true => timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        false => timestamp.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_is_what_the_log_has() {
        assert_eq!(rfc3339(CommitTime::from_seconds(1_795_456_879)), "2026-11-23T18:01:19Z");
        let micros = CommitTime::from_micros(1_795_456_879_000_084);
        assert_eq!(rfc3339(micros), "2026-11-23T18:01:19.000084Z");
    }
}
