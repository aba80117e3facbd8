//! How long an acknowledgement holds, as a person writes it.

use crate::config::parse_long_duration;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use std::time::Duration;

/// When an acknowledgement ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// With this day, in UTC.
    Day(Date),
    /// So long after it was given.
    For(Duration),
}

impl Until {
    /// A day, such as `2027-01-31`, or a duration, such as `30d`.
    ///
    /// # Errors
    /// How to write it.
    pub fn parse(text: &str) -> Result<Until, String> {
        let is_date = text.len() == "2027-01-31".len() && text.matches('-').count() == 2;
        let wrong = || r#"write the last day, such as 2027-01-31, or how long, such as 30d or 12h"#;
        match is_date {
            true => text.parse().map(Until::Day).map_err(|_| wrong().to_owned()),
            false => parse_long_duration(text).map(Until::For).map_err(|_| wrong().to_owned()),
        }
    }

    /// The moment from which on it does not hold.
    pub fn after(self, now: Timestamp) -> Timestamp {
        let end = match self {
            Until::Day(day) => day
                .tomorrow()
                .and_then(|next| next.to_zoned(TimeZone::UTC))
                .map(|at| at.timestamp()),
            Until::For(duration) => now.checked_add(duration),
        };
        end.unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_ends_with_its_last_day() {
        let now: Timestamp = "2027-01-30T12:00:00Z".parse().unwrap();
        let after = |text| Until::parse(text).map(|until| until.after(now).to_string());
        assert_eq!(after("2027-01-31").unwrap(), "2027-02-01T00:00:00Z");
        assert_eq!(after("7d").unwrap(), "2027-02-06T12:00:00Z");
        assert_eq!(after("90m").unwrap(), "2027-01-30T13:30:00Z");
        for bad in ["", "tomorrow", "2027-13-01", "2027-01-31T00:00:00Z", "-1d", "7"] {
            assert!(after(bad).is_err(), "{bad}");
        }
    }
}
