//! Values decoded from bytes that real servers logged, against what those servers showed; and
//! from bytes that no server logged, which must be an error or a value but never a panic.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use twinlog::binlog::value::{
    Value, ValueError, canonicalize, decode_key, decode_value, rule_value,
};
use twinlog::model::{Column, ColumnType, RowKey, RuleValue, Table, TableId};

/// Bytes that real servers logged; the file says how they were taken.
const RECORDED: &str = include_str!("data/row_images.tsv");

/// The column type that a line of the recording names.
fn kind(spec: &str) -> ColumnType {
    let words: Vec<&str> = spec.split(' ').collect();
    let number = |at: usize| words[at].parse::<u16>().unwrap();
    let byte = |at: usize| words[at].parse::<u8>().unwrap();
    match words[0] {
        "int" => ColumnType::Int { bytes: byte(1), unsigned: words[2] == "u" },
        "year" => ColumnType::Year,
        "float" => ColumnType::Float,
        "double" => ColumnType::Double,
        "dec" => ColumnType::Decimal { precision: byte(1), scale: byte(2) },
        "date" => ColumnType::Date,
        "time" => ColumnType::Time { fraction: byte(1) },
        "datetime" => ColumnType::DateTime { fraction: byte(1) },
        "timestamp" => ColumnType::Timestamp { fraction: byte(1) },
        "oldtime" => ColumnType::OldTime,
        "olddatetime" => ColumnType::OldDateTime,
        "oldtimestamp" => ColumnType::OldTimestamp,
        "bit" => ColumnType::Bit { bits: byte(1) },
        "enum" => ColumnType::Enum { bytes: byte(1) },
        "set" => ColumnType::Set { bytes: byte(1) },
        "str" => ColumnType::String {
            bytes_max: number(1),
            fixed: words[2] == "fixed",
            collation: Some(number(3)),
        },
        "blob" => ColumnType::Blob { length_bytes: byte(1), collation: Some(number(2)) },
        other => panic!("no such type: {other}"),
    }
}

fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Whether the value is what the server showed.
fn is_shown(value: &Value, mode: &str, shown: &str) -> bool {
    let json = value.to_json();
    match (mode, value) {
        ("n", _) => json.is_number() && Ok(json) == shown.parse().map_err(|_| ()),
        ("s", _) => json.as_str() == Some(shown),
        ("x", Value::Bytes(_)) => json == format!("0x{}", shown.to_lowercase()),
        ("t", Value::Text(text)) => text.as_bytes() == unhex(shown),
        ("d", _) => json.as_f64() == shown.parse().ok(),
        ("f", Value::Float(number)) => {
            shown.parse::<f64>().is_ok_and(|shown| shown as f32 == *number)
        }
        _ => false,
    }
}

fn table(kinds: &[ColumnType]) -> Table {
    let column = |kind: &ColumnType| Column { name: None, kind: kind.clone() };
    Table {
        id: TableId(0),
        schema: "s".to_owned(),
        name: "t".to_owned(),
        columns: kinds.iter().map(column).collect(),
        primary_key: (0..kinds.len() as u16).rev().collect(),
        unique_keys: vec![],
        shape: 0,
    }
}

#[test]
fn values_are_what_the_server_showed() {
    let mut count = 0;
    for line in RECORDED.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let (kind, bytes) = (kind(fields[0]), unhex(fields[1]));
        let (value, consumed) = decode_value(&kind, &bytes).expect(line);
        assert_eq!(consumed, bytes.len(), "{line}");
        assert!(is_shown(&value, fields[2], fields[3]), "{line}: {value:?}");

        let followed = [&bytes[..], &[0xa5; 9]].concat();
        assert_eq!(decode_value(&kind, &followed), Ok((value.clone(), consumed)), "{line}");
        for len in 0..bytes.len() {
            let cut = decode_value(&kind, &bytes[..len]);
            assert!(matches!(cut, Err(ValueError::Truncated { .. })), "{line} cut to {len}");
        }

        let mut canonical = b"before".to_vec();
        assert_eq!(canonicalize(&kind, &followed, &mut canonical), Ok(consumed), "{line}");
        let decoded = decode_key(&table(&[kind]), &[0], &canonical[6..]);
        assert_eq!(decoded, Ok(vec![("#1".to_owned(), value)]), "{line}");
        count += 1;
    }
    assert!(count > 400, "{count} values");
}

#[test]
fn a_key_of_several_columns_decodes_in_key_order() {
    let kinds = [kind("int 3 s"), kind("str 80 var 8"), kind("dec 5 2")];
    let mut table = table(&kinds);
    table.columns[1].name = Some("region".to_owned());
    let mut canonical = Vec::new();
    canonicalize(&kinds[2], &[0x7f, 0xff, 0xcd], &mut canonical).unwrap();
    canonicalize(&kinds[1], b"\x03n\xe9e", &mut canonical).unwrap();
    canonicalize(&kinds[0], &[0xfd, 0xff, 0xff], &mut canonical).unwrap();
    assert_eq!(canonical, b"\x7f\xff\xcd\x03\0\0\0n\xe9e\xfd\xff\xff\xff\xff\xff\xff\xff");
    let key = RowKey { table: Arc::new(table), index: None, bytes: canonical.into() };
    assert_eq!(
        decode_key(&key.table, key.columns(), &key.bytes),
        Ok(vec![
            ("#3".to_owned(), Value::Decimal("-0.50".to_owned())),
            ("region".to_owned(), Value::Text("née".to_owned())),
            ("#1".to_owned(), Value::Int(-3)),
        ])
    );
    let longer = [&key.bytes[..], b"x"].concat();
    assert_eq!(
        decode_key(&key.table, key.columns(), &longer),
        Err(ValueError::Trailing { left: 1 })
    );
    let shorter = decode_key(&key.table, key.columns(), &key.bytes[..17]);
    assert_eq!(shorter, Err(ValueError::Truncated { needed: 8, left: 7 }));
    assert_eq!(decode_key(&key.table, &[3], b""), Err(ValueError::Column { place: 4, columns: 3 }));
}

#[test]
fn json_has_the_forms_of_the_contract() {
    for (value, expected) in [
        (Value::Null, "null"),
        (Value::Int(i64::MIN), "-9223372036854775808"),
        (Value::UInt(u64::MAX), "18446744073709551615"),
        (Value::Float(0.1), "0.1"),
        (Value::Double(f64::NAN), "\"NaN\""),
        (Value::Decimal("-0.50".to_owned()), "\"-0.50\""),
        (Value::Year(0), "0"),
        (Value::Bit { bits: 64, value: u64::MAX }, "18446744073709551615"),
        (Value::Text("né\n".to_owned()), "\"né\\n\""),
        (Value::Bytes(vec![]), "\"0x\""),
        (Value::Bytes(vec![0x0a, 0xff]), "\"0x0aff\""),
    ] {
        assert_eq!(value.to_json().to_string(), expected);
    }
}

#[test]
fn without_a_collation_text_is_text_and_the_rest_is_binary_of_full_width() {
    let kind = ColumnType::String { bytes_max: 4, fixed: true, collation: None };
    let decoded = |bytes: &[u8]| decode_value(&kind, bytes).map(|(value, _)| value);
    assert_eq!(decoded(b"\x02ab"), Ok(Value::Text("ab".to_owned())));
    assert_eq!(decoded(b"\x02\xff\x01"), Ok(Value::Bytes(vec![0xff, 1, 0, 0])));
    let latin1 = ColumnType::String { bytes_max: 4, fixed: true, collation: Some(11) };
    let no_text = decode_value(&latin1, b"\x02\xff\x01");
    assert_eq!(no_text, Ok((Value::Bytes(vec![0xff, 1]), 3)));
}

#[test]
fn rules_judge_integers_years_and_text() {
    let text = kind("str 80 var 8");
    for (kind, bytes, expected) in [
        (kind("int 1 s"), &b"\xff"[..], RuleValue::Int(-1)),
        (kind("int 8 u"), &[0xff; 8], RuleValue::Int(u64::MAX.into())),
        (kind("year"), b"\x7e", RuleValue::Int(2026)),
        (text.clone(), b"\x04eu-\xe9", RuleValue::Text("eu-é".to_owned())),
        (text, b"\x04eu", RuleValue::Unsupported),
        (kind("str 80 var 63"), b"\x01a", RuleValue::Unsupported),
        (kind("enum 1"), b"\x01", RuleValue::Unsupported),
        (kind("dec 5 0"), b"\x80\x00\x01", RuleValue::Unsupported),
        (ColumnType::Null, b"", RuleValue::Null),
    ] {
        assert_eq!(rule_value(&kind, bytes), expected, "{kind:?}");
    }
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn byte(&mut self) -> u8 {
        (self.next() >> 56) as u8
    }

    /// A type whose parameters are mostly possible and sometimes not.
    fn kind(&mut self) -> ColumnType {
        let any = self.byte();
        let small = if self.next().is_multiple_of(8) { any } else { any % 10 };
        let collation = match self.next() % 4 {
            0 => None,
            1 => Some(self.next() as u16),
            _ => Some(u16::from(self.byte()) + 1),
        };
        match self.next() % 22 {
            0 => ColumnType::Int { bytes: small, unsigned: any.is_multiple_of(2) },
            1 => ColumnType::Year,
            2 => ColumnType::Float,
            3 => ColumnType::Double,
            4 | 5 => ColumnType::Decimal { precision: any % 80, scale: self.byte() % 50 },
            6 => ColumnType::Date,
            7 => ColumnType::OldTime,
            8 => ColumnType::OldDateTime,
            9 => ColumnType::OldTimestamp,
            10 => ColumnType::Time { fraction: small },
            11 => ColumnType::DateTime { fraction: small },
            12 => ColumnType::Timestamp { fraction: small },
            13 => ColumnType::Bit { bits: any % 80 },
            14 => ColumnType::Enum { bytes: small },
            15 => ColumnType::Set { bytes: small },
            16 | 17 => {
                let bytes_max = self.next() as u16 % 1024;
                ColumnType::String { bytes_max, fixed: any.is_multiple_of(2), collation }
            }
            18 => ColumnType::Blob { length_bytes: small, collation },
            19 => ColumnType::Json { length_bytes: small },
            20 => ColumnType::Geometry { length_bytes: small },
            _ => ColumnType::Vector { length_bytes: small },
        }
    }

    /// Up to 40 bytes, the first ones often small so that they serve as a length.
    fn bytes(&mut self) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..self.next() % 41).map(|_| self.byte()).collect();
        for byte in bytes.iter_mut().take(usize::from(self.byte() % 5)) {
            *byte %= 32;
        }
        bytes
    }
}

#[test]
fn no_bytes_panic() {
    for seed in 1..=200_000_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (kind, bytes) = (random.kind(), random.bytes());
        let context = || format!("seed {seed}: {kind:?} {bytes:x?}");
        let decoded = decode_value(&kind, &bytes);
        let mut canonical = Vec::new();
        let stepped = canonicalize(&kind, &bytes, &mut canonical);
        let _ = rule_value(&kind, &bytes);
        let table = table(std::slice::from_ref(&kind));
        let _ = decode_key(&table, &[0], &bytes);
        match (decoded, stepped) {
            (Ok((value, consumed)), Ok(stepped)) => {
                assert!(consumed <= bytes.len() && consumed == stepped, "{}", context());
                let _ = value.to_json();
                let key = decode_key(&table, &[0], &canonical).unwrap();
                assert_eq!(key[0].1.to_json(), value.to_json(), "{}", context());
            }
            (Err(ValueError::Malformed), Ok(stepped)) => {
                assert!(stepped <= bytes.len(), "{}", context());
            }
            (Err(decoded), Err(stepped)) => {
                assert_eq!(decoded, stepped, "{}", context());
                assert!(canonical.is_empty(), "{}", context());
            }
            (decoded, stepped) => panic!("{}: {decoded:?}, {stepped:?}", context()),
        }
    }
}
