//! Values on real servers: what evidence shows of every column type, at its edges, is what the
//! server's own program prints of the same log.
//!
//! `mysqlbinlog -v` and `mariadb-binlog -v` know nothing of the code here. What they print is
//! brought into one notation: they strip BINARY's zeros, show -1 for all ones whether a column has
//! a sign or not, and TIMESTAMP as seconds.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{path::Path, process::Command, sync::Arc};

use support::lab::{Lab, LabOptions, Server};
use twinlog::{
    binlog::{
        TablePlan,
        evidence::{Cell, Change, Evidence},
        value::Value,
    },
    feed::{FeedItem, FileFeed, Wanted, read_from_files, resolve_source},
    model::{BlindSpotReason, ColumnType},
};

/// A column type, and values of it as SQL.
struct Tried {
    kind: String,
    values: Vec<String>,
}

fn tried(kind: impl Into<String>, values: &[&str]) -> Tried {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    Tried { kind: kind.into(), values }
}

fn integers(all: &mut Vec<Tried>) {
    for (name, bits) in
        [("TINYINT", 8), ("SMALLINT", 16), ("MEDIUMINT", 24), ("INT", 32), ("BIGINT", 64)]
    {
        let half = 1_i128 << (bits - 1);
        let signed = [-half, half - 1, -1, 0, 1].map(|number| number.to_string());
        let unsigned = [0, 2 * half - 1, half, half - 1, 1].map(|number| number.to_string());
        all.push(Tried { kind: name.into(), values: signed.to_vec() });
        all.push(Tried { kind: format!("{name} UNSIGNED"), values: unsigned.to_vec() });
    }
    for bits in [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64] {
        let ones = format!("b'{}'", "1".repeat(bits));
        all.push(tried(format!("BIT({bits})"), &["0", "1", &ones]));
    }
}

fn fractions(all: &mut Vec<Tried>) {
    for precision in [1, 2, 4, 5, 9, 10, 11, 17, 18, 19, 27, 28, 30, 38, 64, 65] {
        let mut scales = vec![0, 1, precision / 2, precision];
        scales.retain(|scale| *scale <= 30);
        for scale in scales {
            let nines = format!("{}.{}", "9".repeat(precision - scale), "9".repeat(scale));
            let least = format!("0.{}1", "0".repeat(scale.saturating_sub(1)));
            let (minus_nines, minus_least) = (format!("-{nines}"), format!("-{least}"));
            let values = ["0", &nines, &minus_nines, &least, &minus_least, "-0.5", "1"];
            all.push(tried(format!("DECIMAL({precision},{scale})"), &values));
        }
    }
    let float = ["0", "-0.0", "0.1", "1.5", "-3.4028234e38", "1.17549435e-38", "16777217"];
    all.push(tried("FLOAT", &float));
    all.push(tried("FLOAT(7,2)", &["0", "-99999.99", "0.01"]));
    let double = ["0", "-0.0", "0.1", "-1.7976931348623157e308", "2.2250738585072014e-308", "1e15"];
    all.push(tried("DOUBLE", &double));
}

fn times(all: &mut Vec<Tried>) {
    all.push(tried("YEAR", &["0", "1901", "2155", "2000"]));
    let dates = ["'0000-00-00'", "'1000-01-01'", "'9999-12-31'", "'2024-02-29'", "'2024-00-00'"];
    all.push(tried("DATE", &dates));
    for digits in 0..=6 {
        let spans = [
            "'-838:59:59'",
            "'838:59:59'",
            "'00:00:00'",
            "'-00:00:00.000001'",
            "'-00:00:00.9'",
            "'-1:00:00.5'",
            "'-12:34:56.123456'",
            "'23:59:59.654321'",
        ];
        all.push(tried(format!("TIME({digits})"), &spans));
        let points = [
            "'0000-00-00'",
            "'1000-01-01'",
            "'9999-12-31 23:59:59'",
            "'2026-11-23 01:02:03.123456'",
            "'2026-00-00 00:00:00.5'",
        ];
        all.push(tried(format!("DATETIME({digits})"), &points));
        let stamps = [
            "'1970-01-01 00:00:01'",
            "'2038-01-19 03:14:07'",
            "'2026-10-25 01:30:00.654321'",
            "'0000-00-00'",
        ];
        all.push(tried(format!("TIMESTAMP({digits}) NULL"), &stamps));
    }
}

fn labels(all: &mut Vec<Tried>) {
    let labels = |count: usize| {
        let labels: Vec<String> = (1..=count).map(|label| format!("'l{label}'")).collect();
        labels.join(",")
    };
    for count in [1, 2, 255, 256, 300] {
        let last = format!("'l{count}'");
        all.push(tried(format!("ENUM({})", labels(count)), &["'l1'", &last, "'none'"]));
    }
    for count in [1, 8, 9, 16, 17, 24, 25, 32, 33, 40, 56, 64] {
        let ones = format!("{}", u64::MAX >> (64 - count));
        let last = format!("'l{count}'");
        all.push(tried(format!("SET({})", labels(count)), &["''", "'l1'", &last, &ones]));
    }
}

fn texts(server: Server, all: &mut Vec<Tried>) {
    let mut charsets = vec![
        "utf8mb4", "utf8mb3", "latin1", "ucs2", "utf16", "utf16le", "utf32", "sjis", "gbk",
        "cp1251", "koi8r", "ascii", "binary", "euckr", "big5", "ujis", "greek", "hebrew", "cp850",
    ];
    if server == Server::MySql {
        charsets.push("gb18030");
    }
    let values = [
        "''",
        "'a'",
        "'trailing  '",
        "'it''s \\\\ \\n \\r \\t \\0 \\Z \\b % \" ` é€ß'",
        "'日本ソ表 中文'",
        "'Привет שלום Ελλάδα'",
        "'Ā😀'",
        "REPEAT('ä',40)",
    ];
    for charset in charsets {
        for kind in ["CHAR(60)", "VARCHAR(63)", "VARCHAR(300)", "TINYTEXT", "TEXT"] {
            all.push(tried(format!("{kind} CHARACTER SET {charset}"), &values));
        }
    }
    for kind in ["CHAR(255)", "VARCHAR(255)", "VARCHAR(256)", "VARCHAR(16000)", "MEDIUMTEXT"] {
        let values = ["''", "REPEAT('é',120)", "REPEAT('x',255)", "REPEAT('ü',16000)"];
        all.push(tried(format!("{kind} CHARACTER SET utf8mb4"), &values));
    }
    let bytes =
        ["X''", "X'00'", "X'00FF00'", "X'5C27221B5B324A7F80'", "X'20'", "REPEAT(X'FE00',99)"];
    for kind in ["BINARY(1)", "BINARY(8)", "BINARY(255)", "VARBINARY(255)", "VARBINARY(256)"] {
        all.push(tried(kind, &bytes));
    }
    for kind in ["TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB", "LONGTEXT"] {
        all.push(tried(kind, &bytes));
    }
    all.push(tried("LONGBLOB", &["REPEAT(X'00FF',100000)"]));
}

const DOCUMENTS: [&str; 13] = [
    "'null'",
    "'{}'",
    "'[true, false, null, 0, -1, 32767, 32768, 65535, 65536, -32768, -32769]'",
    "'[2147483647, 2147483648, -2147483649, 0.1, 1e100]'",
    "'[9223372036854775807, -9223372036854775808, 18446744073709551615]'",
    r#"'{"a": [1, {"b": "x\\"y\\n\\t\\\\"}], "é": {"u": [[[]]]}, "": ""}'"#,
    "JSON_ARRAY(REPEAT('x',127), REPEAT('y',128), REPEAT('z',16384))",
    "JSON_ARRAY(REPEAT('x',70000), 1, 70000, -70000, 1.5)",
    "JSON_OBJECT('k', REPEAT('x',70000), 'a', JSON_OBJECT('b', 'c'))",
    "JSON_ARRAY(CAST('2020-01-02' AS DATE), CAST('-10:11:12.5' AS TIME(1)))",
    "JSON_ARRAY(TIMESTAMP'2020-01-02 03:04:05.000006', 1.50, -0.001)",
    "JSON_ARRAY(CAST('abc' AS BINARY))",
    "'\"just text\"'",
];

/// Times of the format before 5.6, which MariaDB can still make.
fn old_times() -> Vec<Tried> {
    let spans = ["'-838:59:59'", "'838:59:59'", "'00:00:00'", "'-00:00:01'", "'10:11:12'"];
    let points = ["'0000-00-00'", "'1000-01-01'", "'9999-12-31 23:59:59'", "'2026-00-00 1:2:3'"];
    let stamps = ["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'", "'0000-00-00'"];
    vec![tried("TIME", &spans), tried("DATETIME", &points), tried("TIMESTAMP NULL", &stamps)]
}

/// Types that only one server has.
fn own(server: Server, all: &mut Vec<Tried>) {
    all.push(tried("JSON", if server == Server::MySql { &DOCUMENTS[..] } else { &DOCUMENTS[..6] }));
    if server == Server::MySql {
        let vectors = ["STRING_TO_VECTOR('[1,-2.5,3e10]')", "STRING_TO_VECTOR('[0,0,-0.001]')"];
        all.push(tried("VECTOR(3)", &vectors));
        return;
    }
    let shapes = ["ST_GeomFromText('POINT(1 -2.5)')", "ST_GeomFromText('LINESTRING(0 0,1 1)')"];
    all.push(tried("GEOMETRY", &shapes));
    all.push(tried("INET6", &["'2001:db8::1'", "'::'", "'::ffff:1.2.3.4'", "'ffff::'"]));
    all.push(tried("INET4", &["'1.2.3.4'", "'0.0.0.0'", "'255.255.255.255'", "'1.0.0.0'"]));
    let uuid = "'123e4567-e89b-12d3-a456-426655440000'";
    all.push(tried("UUID", &[uuid, "'00000000-0000-0000-0000-000000000000'"]));
}

fn everything(server: Server) -> Vec<Tried> {
    let mut all = Vec::new();
    integers(&mut all);
    fractions(&mut all);
    times(&mut all);
    labels(&mut all);
    texts(server, &mut all);
    own(server, &mut all);
    all
}

/// A table for each type; each value is inserted, replaced by the next, and deleted.
fn statements(number: usize, tried: &Tried) -> String {
    let table = format!("v.t{number}");
    let rows: Vec<String> = tried.values.iter().map(|value| format!("({value})")).collect();
    let kind = if tried.kind.ends_with("NULL") { "" } else { " NULL" };
    format!(
        "CREATE TABLE {table} (id INT AUTO_INCREMENT PRIMARY KEY, c {}{kind});
         INSERT INTO {table} (c) VALUES {}, (NULL);
         UPDATE {table} SET c = NULL WHERE id % 2 = 0;
         UPDATE {table} SET c = {} WHERE c IS NULL;
         DELETE FROM {table};\n",
        tried.kind,
        rows.join(", "),
        tried.values[0],
    )
}

/// Tables that are odd as a whole: many columns, columns that are computed or not shown.
fn odd_tables() -> String {
    let columns: Vec<String> = (0..300).map(|at| format!("c{at} SMALLINT")).collect();
    let values: Vec<String> =
        (0..300).map(|at| if at % 3 == 0 { "NULL".into() } else { at.to_string() }).collect();
    format!(
        "CREATE TABLE v.wide (id INT PRIMARY KEY, {});
         INSERT INTO v.wide VALUES (1, {}), (2, {});
         UPDATE v.wide SET c0 = 5, c299 = NULL;
         DELETE FROM v.wide;
         CREATE TABLE v.computed (id INT PRIMARY KEY, a INT, s INT AS (a + 1) STORED,
             w INT AS (a * 2) VIRTUAL, i INT INVISIBLE DEFAULT 7, z INT);
         INSERT INTO v.computed (id, a, z) VALUES (1, 10, 1), (2, NULL, 2);
         UPDATE v.computed SET a = 20, i = 8;
         DELETE FROM v.computed;
         CREATE TABLE v.parted (id INT PRIMARY KEY, a INT) PARTITION BY HASH (id) PARTITIONS 4;
         INSERT INTO v.parted VALUES (1, 1), (2, 2), (3, NULL);
         UPDATE v.parted SET id = id + 10;
         DELETE FROM v.parted;\n",
        columns.join(", "),
        values.join(", "),
        vec!["NULL"; 300].join(", "),
    )
}

/// A row change as the server's program prints it: places of columns, from 0, and their values.
#[derive(Default, Debug)]
struct Printed {
    before: Option<Vec<(usize, Vec<u8>)>>,
    after: Option<Vec<(usize, Vec<u8>)>>,
}

fn printed(lab: &Lab, file: &Path) -> Vec<Printed> {
    let mut tool = Command::new(lab.binlog_tool());
    tool.args(["--no-defaults", "--base64-output=decode-rows", "-v"]).arg(file);
    let output = tool.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (mut rows, mut is_after) = (Vec::<Printed>::new(), false);
    for line in output.stdout.split(|byte| *byte == b'\n') {
        let Some(text) = line.strip_prefix(b"### ") else { continue };
        if text.starts_with(b"Extra row info") {
            continue;
        }
        if [&b"INSERT"[..], b"UPDATE", b"DELETE"].iter().any(|word| text.starts_with(word)) {
            rows.push(Printed::default());
            continue;
        }
        let row = rows.last_mut().expect("a row's head");
        match text.strip_prefix(b"  @") {
            None => {
                is_after = text == b"SET";
                assert!(is_after || text == b"WHERE", "{}", String::from_utf8_lossy(text));
                *(if is_after { &mut row.after } else { &mut row.before }) = Some(Vec::new());
            }
            Some(value) => {
                let equals = value.iter().position(|byte| *byte == b'=').unwrap();
                let place = std::str::from_utf8(&value[..equals]).unwrap().parse::<usize>();
                let image = if is_after { &mut row.after } else { &mut row.before };
                image.as_mut().unwrap().push((place.unwrap() - 1, value[equals + 1..].to_vec()));
            }
        }
    }
    rows
}

/// Everything in the log, decoded.
fn decoded(directory: &Path, name: &str) -> Vec<Change> {
    let mut files = resolve_source("a", directory).unwrap();
    files.retain(|file| file.name == name);
    let mut all: Vec<Evidence> = Vec::new();
    let mut feed = FileFeed::new("a", Arc::new(|_| TablePlan::default()));
    feed.run(&files, |item, _| {
        if let FeedItem::Transaction(tx) = item {
            assert!(tx.blind_spots.iter().all(|spot| !spot.reason.hides_rows()), "{tx:?}");
            let gtid = tx.gtid.map(|gtid| gtid.to_string());
            let wanted = Wanted { at: tx.coordinates.clone(), gtid, row: None };
            let evidence = read_from_files("a", &files, &wanted).unwrap();
            assert_eq!(evidence.changes.len(), tx.rows.len());
            assert_eq!((evidence.more, evidence.not_decoded.len()), (0, 0));
            all.push(evidence);
        }
        true
    })
    .unwrap();
    all.into_iter().flat_map(|evidence| evidence.changes).collect()
}

/// Bytes in quotes, as the server's program escapes them.
fn quoted(server: Server, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![b'\''];
    for byte in bytes {
        match (server, byte) {
            (Server::MySql, b'\'' | b'\\') => out.extend([b'\\', *byte]),
            (Server::MySql, b'\n') => out.extend(b"\\n"),
            (Server::MySql, b'\r') => out.extend(b"\\r"),
            (Server::MySql, b'\t') => out.extend(b"\\t"),
            (Server::MySql, 8) => out.extend(b"\\b"),
            (Server::MySql, 12) => out.extend(b"\\f"),
            (_, 0..=0x1f) => out.extend(format!("\\x{byte:02x}").bytes()),
            _ => out.push(*byte),
        }
    }
    out.push(b'\'');
    out
}

/// Without the zeros at the end: the log has none of BINARY's.
fn stripped(quoted: &[u8]) -> &[u8] {
    let mut bytes = quoted.strip_suffix(b"'").unwrap_or(quoted);
    while let Some(rest) = bytes.strip_suffix(b"\\x00") {
        bytes = rest;
    }
    bytes
}

fn is_close(printed: &str, value: f64, relative: f64) -> bool {
    let printed: f64 = printed.trim().parse().unwrap();
    printed == value || (printed - value).abs() <= value.abs() * relative
}

/// A document as MySQL's program prints it.
fn is_document(printed: &[u8], text: &str) -> bool {
    if printed == quoted(Server::MySql, text.as_bytes()) {
        return true;
    }
    // Text alone stands without JSON's own quotes there.
    if let Ok(alone) = serde_json::from_str::<String>(text) {
        return printed == quoted(Server::MySql, alone.as_bytes());
    }
    // A DOUBLE may be written in two ways: as data they are the same.
    let inner = &printed[1..printed.len() - 1];
    let inner = String::from_utf8_lossy(inner).replace("\\'", "'").replace("\\\\", "\\");
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    read(&inner).is_some() && read(&inner) == read(text)
}

/// A time as the server's program prints it.
fn time(kind: &ColumnType, text: &str) -> String {
    match kind {
        ColumnType::Date => format!("'{}'", text.replace('-', ":")),
        ColumnType::Timestamp { .. } | ColumnType::OldTimestamp => {
            let (moment, fraction) = text.split_at(19);
            let seconds = match moment.parse::<jiff::civil::DateTime>() {
                Ok(moment) => {
                    moment.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second()
                }
                Err(_) => 0,
            };
            format!("{seconds}{fraction}")
        }
        _ => format!("'{text}'"),
    }
}

fn is_same(server: Server, kind: &ColumnType, cell: &Cell, printed: &[u8]) -> bool {
    let bytes = |raw: &[u8]| stripped(&quoted(server, raw)) == stripped(printed);
    let text = String::from_utf8_lossy(printed);
    let (first, second) = text.split_once(" (").unwrap_or((&text, &text));
    match cell {
        Cell::Null | Cell::Value(Value::Null) => printed == b"NULL",
        Cell::Json(json) => is_document(printed, &json.text),
        Cell::Recoded(_, raw) => bytes(raw),
        Cell::NotLogged | Cell::Undecoded(_) => false,
        Cell::Value(value) => match value {
            Value::Null => false,
            Value::Int(number) => first == number.to_string(),
            Value::UInt(number) => second.trim_end_matches(')') == number.to_string(),
            Value::Float(number) => is_close(&text, f64::from(*number), 1e-5),
            Value::Double(number) => is_close(&text, *number, 0.0),
            Value::Decimal(number) => *text == *number,
            // The program adds 1900 to what stands for the year 0, too.
            Value::Year(year) => *text == (if *year == 0 { 1900 } else { *year }).to_string(),
            Value::Time(moment) => *text == time(kind, moment),
            Value::Bit { bits, value } => {
                *text == format!("b'{value:0width$b}'", width = usize::from(*bits))
            }
            Value::Enum(place) => *text == place.to_string(),
            Value::Set(set) => {
                let ColumnType::Set { bytes } = kind else { return false };
                // As the bytes stand in the log, the lowest first.
                let bytes = &set.to_le_bytes()[..usize::from(*bytes)];
                let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
                *text == format!("b'{bits}'")
            }
            Value::Bytes(raw) if matches!(kind, ColumnType::Vector { .. }) => {
                let numbers = text.trim_matches(['[', ']']).split(',');
                let floats =
                    raw.chunks_exact(4).map(|raw| f32::from_le_bytes(raw.try_into().unwrap()));
                numbers.clone().count() == raw.len() / 4
                    && numbers.zip(floats).all(|(text, number)| is_close(text, number.into(), 1e-5))
            }
            Value::Text(text) => bytes(text.as_bytes()),
            Value::Bytes(raw) => bytes(raw),
        },
    }
}

/// Compares an image; gives the number of values.
fn compare(
    server: Server,
    change: &Change,
    cells: Option<&Vec<Cell>>,
    printed: Option<&Vec<(usize, Vec<u8>)>>,
    wrong: &mut Vec<String>,
) -> usize {
    let (cells, printed) = match (cells, printed) {
        (Some(cells), Some(printed)) => (cells, printed),
        (cells, printed) => {
            assert!(cells.is_none() && printed.is_none(), "{change:?} {printed:?}");
            return 0;
        }
    };
    let logged = cells.iter().enumerate().filter(|(_, cell)| **cell != Cell::NotLogged);
    let logged: Vec<(usize, &Cell)> = logged.collect();
    assert_eq!(logged.len(), printed.len(), "{change:?}");
    for ((at, cell), (place, value)) in logged.iter().zip(printed) {
        let kind = &change.of.table.columns[*at].kind;
        if at != place || !is_same(server, kind, cell, value) {
            let table = change.of.table.full_name();
            let (cell, value) = (format!("{cell:?}"), String::from_utf8_lossy(value));
            wrong.push(format!("{table} {kind:?}: {cell:.300} is not {value:.300}"));
        }
    }
    printed.len()
}

fn values_are_what_the_servers_program_prints(server: Server, settings: &[(&str, &str)]) {
    let options = LabOptions { nodes: 1, replication: false, ..LabOptions::default() };
    let lab = Lab::start(server, options);
    let everything = everything(server);
    let mut total = 0;
    for (round, (metadata, image)) in settings.iter().enumerate() {
        lab.sql("a", &format!("SET GLOBAL binlog_row_metadata='{metadata}'; FLUSH BINARY LOGS;"));
        let file = format!("a-bin.{:06}", round + 2);
        let mut sql = format!(
            "SET NAMES utf8mb4; SET SESSION time_zone='+00:00', sql_mode='';
             SET SESSION binlog_row_image='{image}';
             CREATE DATABASE v CHARACTER SET utf8mb4;\n"
        );
        everything.iter().enumerate().for_each(|(at, tried)| sql += &statements(at, tried));
        sql += &odd_tables();
        if server == Server::MariaDb {
            sql += "SET GLOBAL mysql56_temporal_format=OFF;";
            let old = old_times();
            old.iter().enumerate().for_each(|(at, tried)| sql += &statements(1000 + at, tried));
            sql += "SET GLOBAL mysql56_temporal_format=ON;";
        }
        lab.sql("a", &(sql + "DROP DATABASE v;"));
        let printed = printed(&lab, &lab.binlog_dir("a").join(&file));
        let changes = decoded(lab.binlog_dir("a"), &file);
        assert_eq!(printed.len(), changes.len());
        let (mut count, mut wrong) = (0, Vec::new());
        for (change, printed) in changes.iter().zip(&printed) {
            let (before, after) = (change.before.as_ref(), change.after.as_ref());
            count += compare(server, change, before, printed.before.as_ref(), &mut wrong);
            count += compare(server, change, after, printed.after.as_ref(), &mut wrong);
        }
        println!(
            "{server:?} {} binlog_row_metadata={metadata} binlog_row_image={image}: {} types, {} \
             row changes, {count} values compared, {} differ",
            lab.version(),
            everything.len(),
            changes.len(),
            wrong.len()
        );
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        total += count;
    }
    assert!(total > 10_000, "{total} values");
}

#[test]
fn mysql_values_are_what_mysqlbinlog_prints() {
    let settings = [("FULL", "FULL"), ("MINIMAL", "FULL"), ("FULL", "MINIMAL")];
    values_are_what_the_servers_program_prints(Server::MySql, &settings);
}

#[test]
fn mariadb_values_are_what_mariadb_binlog_prints() {
    let settings =
        [("FULL", "FULL"), ("NO_LOG", "FULL"), ("MINIMAL", "NOBLOB"), ("FULL", "MINIMAL")];
    values_are_what_the_servers_program_prints(Server::MariaDb, &settings);
}

/// MariaDB's times with a fraction, of tables from before 10.1, are wider than the log says.
#[test]
fn mariadb_old_times_with_a_fraction_are_a_blind_spot() {
    let options = LabOptions { nodes: 1, replication: false, ..LabOptions::default() };
    let lab = Lab::start(Server::MariaDb, options);
    lab.sql(
        "a",
        "CREATE DATABASE v; SET GLOBAL mysql56_temporal_format=OFF;
         CREATE TABLE v.old (id INT PRIMARY KEY, t TIME(3), d DATETIME(2), s TIMESTAMP(3) NULL);
         INSERT INTO v.old VALUES (1, '10:11:12.345', '2026-11-23 1:2:3.5', '2026-11-23 1:2:3.25');
         UPDATE v.old SET t = '-1:2:3.999';
         SET GLOBAL mysql56_temporal_format=ON; ALTER TABLE v.old FORCE;
         UPDATE v.old SET t = '-1:2:4.5';",
    );
    let files = resolve_source("a", lab.binlog_dir("a")).unwrap();
    let mut told = Vec::new();
    let mut feed = FileFeed::new("a", Arc::new(|_| TablePlan::default()));
    feed.run(&files, |item, _| {
        if let FeedItem::Transaction(tx) = item
            && tx.statements.is_empty()
        {
            let spots = tx.blind_spots.iter().map(|spot| (spot.reason, spot.count));
            told.push((tx.rows.len(), spots.collect::<Vec<_>>()));
        }
        true
    })
    .unwrap();
    let blind = || (0, vec![(BlindSpotReason::UnsupportedEvent, 1)]);
    assert_eq!(told, [blind(), blind(), (1, vec![])]);
}
