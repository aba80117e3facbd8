//! DECIMAL: packed base-10⁹ digits as the decimal number that the server prints.
//!
//! The digits before the point stand in groups of nine counted from the point, so the first group
//! may be short; those after it likewise, so the last may be. A group of nine takes four bytes, a
//! short one as few as it needs, all big endian. The first bit of all is turned over, so that
//! bytes sort as numbers, and below zero every bit is.
//!
//! # Source
//! `decimal2bin` and `bin2decimal` in MySQL's strings/decimal.cc.

use super::value::ValueError;

/// Bytes of a group, by its digits.
const GROUP_BYTES: [u8; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
/// The powers of ten that a group stays below, by its digits.
const GROUP_LIMIT: [u32; 10] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

/// The most digits of any server.
const PRECISION_MAX: u8 = 65;
/// The most digits after the point: MariaDB's; MySQL stops at 30.
const SCALE_MAX: u8 = 38;

/// Digits and bytes of the groups of `digits` digits, the short one in front.
fn groups(digits: u8) -> impl DoubleEndedIterator<Item = (u8, u8)> {
    let short = digits % 9;
    let short = (short > 0).then_some(short);
    short
        .into_iter()
        .chain(std::iter::repeat_n(9, usize::from(digits / 9)))
        .map(|digits| (digits, GROUP_BYTES.get(usize::from(digits)).copied().unwrap_or_default()))
}

/// Bytes of a DECIMAL in a row image.
///
/// # Errors
/// [`ValueError::Type`] for a precision and scale that no server allows.
pub(super) fn width(precision: u8, scale: u8) -> Result<usize, ValueError> {
    if precision == 0 || precision > PRECISION_MAX || scale > precision.min(SCALE_MAX) {
        return Err(ValueError::Type);
    }
    let bytes = |digits: u8| {
        let short = GROUP_BYTES.get(usize::from(digits % 9)).copied().unwrap_or_default();
        usize::from(digits / 9) * 4 + usize::from(short)
    };
    Ok(bytes(precision - scale) + bytes(scale))
}

/// Decodes the bytes of a DECIMAL: `-0.50`, at least one digit before the point, all after it.
///
/// # Errors
/// [`ValueError::Type`] as [`width`]; [`ValueError::Truncated`] and [`ValueError::Malformed`] for
/// bytes that no server writes.
pub(super) fn decode(precision: u8, scale: u8, bytes: &[u8]) -> Result<String, ValueError> {
    let needed = width(precision, scale)?;
    let positive = bytes.first().is_some_and(|&first| first & 0x80 != 0);
    let turned = if positive { 0 } else { 0xff };
    let mut packed =
        bytes.iter().enumerate().map(|(at, &byte)| byte ^ turned ^ if at == 0 { 0x80 } else { 0 });
    let mut group = |digits: u8, group_bytes: u8| {
        let mut value = 0_u32;
        for _ in 0..group_bytes {
            let byte = packed.next().ok_or(ValueError::Truncated { needed, left: bytes.len() })?;
            value = value << 8 | u32::from(byte);
        }
        match GROUP_LIMIT.get(usize::from(digits)) {
            Some(&limit) if value < limit => Ok(format!("{value:0width$}", width = digits.into())),
            _ => Err(ValueError::Malformed),
        }
    };
    let mut whole = String::with_capacity(usize::from(precision) + 3);
    for (digits, group_bytes) in groups(precision - scale) {
        whole.push_str(&group(digits, group_bytes)?);
    }
    let mut fraction = String::with_capacity(usize::from(scale));
    for (digits, group_bytes) in groups(scale).rev() {
        fraction.push_str(&group(digits, group_bytes)?);
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let sign = if positive { "" } else { "-" };
    let point = if scale == 0 { "" } else { "." };
    Ok(format!("{sign}{whole}{point}{fraction}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_server_source_decodes() {
        let bytes = [0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2];
        assert_eq!(decode(14, 4, &bytes).as_deref(), Ok("1234567890.1234"));
        let negative = bytes.map(|byte| !byte);
        assert_eq!(decode(14, 4, &negative).as_deref(), Ok("-1234567890.1234"));
    }

    #[test]
    fn small_numbers_keep_one_zero_before_the_point() {
        assert_eq!(decode(2, 2, &[0x80 | 50]).as_deref(), Ok("0.50"));
        assert_eq!(decode(2, 2, &[!(0x80 | 50)]).as_deref(), Ok("-0.50"));
        assert_eq!(decode(4, 2, &[0x80, 0]).as_deref(), Ok("0.00"));
        assert_eq!(decode(5, 0, &[0x80, 0, 7]).as_deref(), Ok("7"));
    }

    #[test]
    fn widths_follow_the_manual() {
        for (precision, scale, expected) in
            [(1, 0, 1), (9, 0, 4), (10, 0, 5), (20, 6, 10), (18, 9, 8), (65, 30, 30), (65, 38, 29)]
        {
            assert_eq!(width(precision, scale), Ok(expected), "({precision},{scale})");
        }
    }

    /// The other direction, written independently: digit strings to bytes.
    fn encode(negative: bool, whole: &str, fraction: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut push = |digits: &str| {
            let value: u64 = if digits.is_empty() { 0 } else { digits.parse().unwrap() };
            let wide = value.to_be_bytes();
            let count = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4][digits.len()];
            bytes.extend_from_slice(&wide[8 - count..]);
        };
        let (short, full) = whole.split_at(whole.len() % 9);
        push(short);
        full.as_bytes().chunks(9).for_each(|group| push(std::str::from_utf8(group).unwrap()));
        fraction.as_bytes().chunks(9).for_each(|group| push(std::str::from_utf8(group).unwrap()));
        bytes[0] ^= 0x80;
        if negative {
            bytes.iter_mut().for_each(|byte| *byte = !*byte);
        }
        bytes
    }

    #[test]
    fn every_precision_and_scale_comes_back() {
        let digits = "98070605040302010908070605040302010203040506070809010203040506079";
        for precision in 1..=PRECISION_MAX {
            for scale in 0..=precision.min(SCALE_MAX) {
                for negative in [false, true] {
                    let (whole, fraction) =
                        digits[..usize::from(precision)].split_at(usize::from(precision - scale));
                    let bytes = encode(negative, whole, fraction);
                    assert_eq!(width(precision, scale), Ok(bytes.len()));
                    let sign = if negative { "-" } else { "" };
                    let whole = if whole.is_empty() { "0" } else { whole };
                    let point = if scale == 0 { "" } else { "." };
                    assert_eq!(
                        decode(precision, scale, &bytes),
                        Ok(format!("{sign}{whole}{point}{fraction}"))
                    );
                }
            }
        }
    }

    #[test]
    fn impossible_types_and_bytes_are_errors() {
        for (precision, scale) in [(0, 0), (66, 0), (255, 255), (10, 11), (65, 39)] {
            assert_eq!(width(precision, scale), Err(ValueError::Type), "({precision},{scale})");
        }
        assert_eq!(decode(9, 0, &[0xff; 4]), Err(ValueError::Malformed));
        assert_eq!(decode(9, 0, &[0x80, 0]), Err(ValueError::Truncated { needed: 4, left: 2 }));
    }
}
