//! Dates and times in the server's own notation.
//!
//! # Source
//! `my_time_packed_from_binary`, `my_datetime_packed_from_binary` and `my_timestamp_from_binary`
//! in MySQL's mysys/my_time.cc; `Field_newdate`, `Field_time`, `Field_datetime` and
//! `Field_timestamp` in its sql/field.cc for the formats before 5.6.

use super::value::ValueError;

/// The most digits of a fraction.
const FRACTION_MAX: u8 = 6;

/// Bytes of a fraction of so many digits.
///
/// # Errors
/// [`ValueError::Type`] for more than six.
pub(super) fn fraction_bytes(fraction: u8) -> Result<usize, ValueError> {
    if fraction > FRACTION_MAX {
        Err(ValueError::Type)
    } else {
        Ok(usize::from(fraction.div_ceil(2)))
    }
}

/// A big endian number of at most eight bytes.
fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// Microseconds from a fraction as stored: hundredths in one byte, ten thousandths in two,
/// millionths in three.
fn micros(stored: u64, fraction: u8) -> Result<u64, ValueError> {
    let unit = match fraction {
        0 => return Ok(0),
        1 | 2 => 10_000,
        3 | 4 => 100,
        _ => 1,
    };
    Some(stored * unit).filter(|&micros| micros < 1_000_000).ok_or(ValueError::Malformed)
}

/// `.123` for microseconds at so many digits; nothing for none.
fn fraction_text(micros: u64, fraction: u8) -> String {
    let digits = format!(".{micros:06}");
    let len = if fraction == 0 { 0 } else { usize::from(fraction) + 1 };
    digits.get(..len).unwrap_or_default().to_owned()
}

/// DATE: day, month and year in 5, 4 and 15 bits, little endian.
pub(super) fn date(bytes: [u8; 3]) -> String {
    let [low, middle, high] = bytes;
    let packed = u32::from_le_bytes([low, middle, high, 0]);
    let (year, month, day) = (packed >> 9, packed >> 5 & 15, packed & 31);
    format!("{year:04}-{month:02}-{day:02}")
}

/// TIME: three bytes of hours, minutes and seconds in 10, 6 and 6 bits under a sign, then the
/// fraction, all of it one number that an offset makes sort by bytes.
///
/// Below zero the number as a whole is negative, so its parts can only be read from its
/// magnitude: -00:00:00.10 is 0x7ffffff6, one below the offset and 0xf6.
pub(super) fn time(bytes: &[u8], fraction: u8) -> Result<String, ValueError> {
    let bits = 8 * fraction_bytes(fraction)?;
    let stored = i64::try_from(big_endian(bytes)).map_err(|_| ValueError::Malformed)?;
    let number = stored - (0x80_0000_i64 << bits);
    let magnitude = number.unsigned_abs();
    let seconds = magnitude >> bits;
    let micros = micros(magnitude & ((1 << bits) - 1), fraction)?;
    let (hour, minute, second) = (seconds >> 12 & 0x3ff, seconds >> 6 & 63, seconds & 63);
    let sign = if number < 0 { "-" } else { "" };
    Ok(format!("{sign}{hour:02}:{minute:02}:{second:02}{}", fraction_text(micros, fraction)))
}

/// DATETIME: five bytes of a sign (always set), year and month as year × 13 + month in 17 bits,
/// day, hour, minute and second in 5, 5, 6 and 6, then the fraction.
pub(super) fn datetime(bytes: &[u8], fraction: u8) -> Result<String, ValueError> {
    let bits = 8 * fraction_bytes(fraction)?;
    let stored = big_endian(bytes);
    let packed = (stored >> bits).checked_sub(0x80_0000_0000).ok_or(ValueError::Malformed)?;
    let micros = micros(stored & ((1 << bits) - 1), fraction)?;
    let (months, day) = (packed >> 22, packed >> 17 & 31);
    let (year, month) = (months / 13, months % 13);
    let (hour, minute, second) = (packed >> 12 & 31, packed >> 6 & 63, packed & 63);
    Ok(format!(
        "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{}",
        fraction_text(micros, fraction)
    ))
}

/// TIMESTAMP: four bytes of seconds since the epoch, then the fraction. Printed in UTC.
pub(super) fn timestamp(bytes: &[u8], fraction: u8) -> Result<String, ValueError> {
    let bits = 8 * fraction_bytes(fraction)?;
    let stored = big_endian(bytes);
    let micros = micros(stored & ((1 << bits) - 1), fraction)?;
    let text = epoch_seconds(stored >> bits, micros)?;
    Ok(text + &fraction_text(micros, fraction))
}

/// Seconds since the epoch as date and time in UTC; the epoch itself is the zero date.
fn epoch_seconds(seconds: u64, micros: u64) -> Result<String, ValueError> {
    if seconds == 0 && micros == 0 {
        return Ok("0000-00-00 00:00:00".to_owned());
    }
    let seconds = i64::try_from(seconds).map_err(|_| ValueError::Malformed)?;
    let instant = jiff::Timestamp::from_second(seconds).map_err(|_| ValueError::Malformed)?;
    Ok(jiff::tz::Offset::UTC.to_datetime(instant).strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// TIME before 5.6: a signed little endian number of three bytes, in decimal HHMMSS.
///
/// # Errors
/// [`ValueError::Malformed`] for what is no time: MariaDB logs times of its own format under the
/// same type.
pub(super) fn old_time(bytes: [u8; 3]) -> Result<String, ValueError> {
    let [low, middle, high] = bytes;
    let number = i32::from_le_bytes([0, low, middle, high]) >> 8;
    let decimal = number.unsigned_abs();
    let (hour, minute, second) = (decimal / 10_000, decimal / 100 % 100, decimal % 100);
    if hour > 838 || minute > 59 || second > 59 {
        return Err(ValueError::Malformed);
    }
    let sign = if number < 0 { "-" } else { "" };
    Ok(format!("{sign}{hour:02}:{minute:02}:{second:02}"))
}

/// DATETIME before 5.6: a little endian number of eight bytes, in decimal YYYYMMDDHHMMSS.
pub(super) fn old_datetime(bytes: [u8; 8]) -> Result<String, ValueError> {
    let decimal = u64::from_le_bytes(bytes);
    let (day, time) = (decimal / 1_000_000, decimal % 1_000_000);
    let (year, month, day) = (day / 10_000, day / 100 % 100, day % 100);
    let (hour, minute, second) = (time / 10_000, time / 100 % 100, time % 100);
    if year > 9_999 || month > 12 || day > 31 || hour > 23 || minute > 59 || second > 59 {
        return Err(ValueError::Malformed);
    }
    Ok(format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"))
}

/// TIMESTAMP before 5.6: four little endian bytes of seconds since the epoch. Printed in UTC.
pub(super) fn old_timestamp(bytes: [u8; 4]) -> Result<String, ValueError> {
    epoch_seconds(u32::from_le_bytes(bytes).into(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let packed = |year: u32, month: u32, day: u32| {
            let [low, middle, high, _] = (year << 9 | month << 5 | day).to_le_bytes();
            [low, middle, high]
        };
        assert_eq!(date(packed(2026, 11, 23)), "2026-11-23");
        assert_eq!(date(packed(9999, 12, 31)), "9999-12-31");
        assert_eq!(date(packed(0, 0, 0)), "0000-00-00");
    }

    #[test]
    fn times_with_sign_and_fraction() {
        for (bytes, fraction, expected) in [
            (&b"\x80\x00\x00"[..], 0, "00:00:00"),
            (b"\x80\x10\x83", 0, "01:02:03"),
            (b"\xb4\x6e\xfb", 0, "838:59:59"),
            (b"\x7f\xff\xff", 0, "-00:00:01"),
            (b"\x4b\x91\x05", 0, "-838:59:59"),
            // The table in the comment of my_time_packed_from_binary, for TIME(2).
            (b"\x80\x00\x00\x0a", 2, "00:00:00.10"),
            (b"\x80\x00\x00\x00", 2, "00:00:00.00"),
            (b"\x7f\xff\xff\xff", 2, "-00:00:00.01"),
            (b"\x7f\xff\xff\xf6", 2, "-00:00:00.10"),
            (b"\x7f\xff\xff\x9d", 2, "-00:00:00.99"),
            (b"\x7f\xff\xff\x00", 2, "-00:00:01.00"),
            (b"\x7f\xff\xfe\xff", 2, "-00:00:01.01"),
            (b"\x7f\xff\xfe\xf6", 2, "-00:00:01.10"),
            (b"\x7f\xff\xff\xf6", 1, "-00:00:00.1"),
            (b"\x7f\xff\xff\xff\xf6", 3, "-00:00:00.001"),
            (b"\x7f\xff\xff\xff\xff\xff", 6, "-00:00:00.000001"),
            (b"\x80\x10\x83\x01\xe2\x40", 6, "01:02:03.123456"),
        ] {
            assert_eq!(time(bytes, fraction).as_deref(), Ok(expected), "{bytes:x?}");
        }
    }

    #[test]
    fn datetimes() {
        let packed = |year: u64, month: u64, day: u64, hour: u64, minute: u64, second: u64| {
            let number = ((year * 13 + month) << 5 | day) << 17 | hour << 12 | minute << 6 | second;
            (0x80_0000_0000 + number).to_be_bytes()[3..].to_vec()
        };
        let bytes = packed(2026, 11, 23, 18, 0, 59);
        assert_eq!(datetime(&bytes, 0).as_deref(), Ok("2026-11-23 18:00:59"));
        let bytes = [bytes, vec![0x01, 0xe2, 0x40]].concat();
        assert_eq!(datetime(&bytes, 6).as_deref(), Ok("2026-11-23 18:00:59.123456"));
        assert_eq!(datetime(&bytes, 5).as_deref(), Ok("2026-11-23 18:00:59.12345"));
        assert_eq!(datetime(&packed(0, 0, 0, 0, 0, 0), 0).as_deref(), Ok("0000-00-00 00:00:00"));
        let last = [packed(9999, 12, 31, 23, 59, 59), vec![99]].concat();
        assert_eq!(datetime(&last, 1).as_deref(), Ok("9999-12-31 23:59:59.9"));
    }

    #[test]
    fn timestamps_are_utc() {
        let bytes = 1_795_456_876_u32.to_be_bytes();
        assert_eq!(timestamp(&bytes, 0).as_deref(), Ok("2026-11-23 18:01:16"));
        assert_eq!(timestamp(&[0; 4], 0).as_deref(), Ok("0000-00-00 00:00:00"));
        assert_eq!(timestamp(&[0; 6], 4).as_deref(), Ok("0000-00-00 00:00:00.0000"));
        assert_eq!(timestamp(&[0, 0, 0, 1, 0, 5], 3).as_deref(), Ok("1970-01-01 00:00:01.000"));
        assert_eq!(timestamp(&[0xff; 4], 0).as_deref(), Ok("2106-02-07 06:28:15"));
        assert_eq!(old_timestamp([1, 0, 0, 0]).as_deref(), Ok("1970-01-01 00:00:01"));
        assert_eq!(old_timestamp([0; 4]).as_deref(), Ok("0000-00-00 00:00:00"));
    }

    #[test]
    fn formats_before_5_6() {
        let [low, middle, high, _] = 8_385_959_i32.to_le_bytes();
        assert_eq!(old_time([low, middle, high]).as_deref(), Ok("838:59:59"));
        let [low, middle, high, _] = (-10_203_i32).to_le_bytes();
        assert_eq!(old_time([low, middle, high]).as_deref(), Ok("-01:02:03"));
        assert_eq!(old_time([0x00, 0xb6, 0x37]), Err(ValueError::Malformed), "365:10:72");
        let bytes = 20_261_123_180_059_u64.to_le_bytes();
        assert_eq!(old_datetime(bytes).as_deref(), Ok("2026-11-23 18:00:59"));
        assert_eq!(old_datetime([0xff; 8]), Err(ValueError::Malformed));
        let bytes = 20_261_323_180_059_u64.to_le_bytes();
        assert_eq!(old_datetime(bytes), Err(ValueError::Malformed), "month 13");
    }

    #[test]
    fn fractions_that_no_server_writes_are_errors() {
        assert_eq!(fraction_bytes(7), Err(ValueError::Type));
        assert_eq!(time(&[0x80, 0, 0, 0xff], 2), Err(ValueError::Malformed));
        assert_eq!(datetime(&[0; 5], 0), Err(ValueError::Malformed));
        assert_eq!(timestamp(&[0, 0, 0, 1, 0xff, 0xff, 0xff], 6), Err(ValueError::Malformed));
    }
}
