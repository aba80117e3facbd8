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
}
