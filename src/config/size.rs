//! Sizes as people write them: `512MiB`, `2GiB`.

use super::error::ValueError;

const UNITS: [(&str, u64); 6] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// Reads a size such as `512MiB` or `2GiB`; in bytes.
///
/// # Errors
/// Text that is no whole number with a unit, or past 64 bits. Never panics.
pub(super) fn parse_size(text: &str) -> Result<u64, ValueError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim_start()));
    let size = unit.and_then(|(_, bytes)| number.parse::<u64>().ok()?.checked_mul(*bytes));
    size.ok_or_else(|| {
        let hint = r#"write a whole number and KiB, MiB, GiB, KB, MB or GB, such as "512MiB""#;
        ValueError::new(format!("no size: {text:?}"), hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("512MiB", 512 << 20),
            ("2GiB", 2 << 30),
            ("64 mib", 64 << 20),
            ("1GB", 1_000_000_000),
            ("0KiB", 0),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "512", "MiB", "-1MiB", "1.5GiB", "1TiB", "512 MiB RAM", "99999999999GiB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
