//! Durations as people write them: `10m`, `1h30m`, `500ms`, `0s`.

use super::error::ValueError;
use std::time::Duration;

/// Reads a duration such as `10m`, `1s`, `500ms` or `1h30m`.
///
/// # Errors
/// Text that is no duration, has no unit, or is negative. Never panics.
pub fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    let parsed = text.parse::<jiff::SignedDuration>();
    parsed.ok().and_then(|signed| Duration::try_from(signed).ok()).ok_or_else(|| {
        let hint = r#"write hours, minutes, seconds or ms, such as "1h30m", "10m", "1s", "500ms""#;
        ValueError::new(format!("no duration: {text:?}"), hint)
    })
}

/// Reads a long duration such as `30d`, `1d12h` or `12h`: a day is 24 hours.
///
/// # Errors
/// Text that is no duration, has no unit, or is negative. Never panics.
pub fn parse_long_duration(text: &str) -> Result<Duration, ValueError> {
    let wrong = || {
        let hint = r#"write days or hours, such as "30d", "1d12h", "12h""#;
        ValueError::new(format!("no duration: {text:?}"), hint)
    };
    let (days, rest) = match text.split_once('d') {
        Some((days, rest)) => (days, rest.trim_start()),
        None => return parse_duration(text).map_err(|_| wrong()),
    };
    let digits = !days.is_empty() && days.bytes().all(|byte| byte.is_ascii_digit());
    let days: u64 = days.parse().ok().filter(|_| digits).ok_or_else(wrong)?;
    let rest = match rest {
        "" => Duration::ZERO,
        rest => parse_duration(rest).map_err(|_| wrong())?,
    };
    let days = days.checked_mul(24 * 60 * 60).map(Duration::from_secs);
    days.and_then(|days| days.checked_add(rest)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in
            [("10m", 600_000), ("1s", 1000), ("500ms", 500), ("1h30m", 5_400_000), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "10", "ten minutes", "-1s", "1h ago", "1d", "1 month", "99999999999999999h"]
        {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
    #[test]
    fn long_durations() {
        for (text, hours) in
            [("30d", 720), ("1d12h", 36), ("1d 12h", 36), ("12h", 12), ("0d", 0), ("0s", 0)]
        {
            assert_eq!(parse_long_duration(text), Ok(Duration::from_secs(hours * 3600)), "{text}");
        }
        for bad in ["", "30", "d", "-1d", "+1d", "1.5d", "1d12", "a day", "99999999999999999d"] {
            assert!(parse_long_duration(bad).is_err(), "{bad}");
        }
    }
}
