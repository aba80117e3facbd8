//! `rows = { ... }`: row ownership by remainder, by value or by range.

use super::cursor::{Cursor, Section};
use super::error::{ConfigError, ValueError};
use super::ownership::Known;
use crate::model::{Endpoint, NodeIndex, RowOwnership, RowRule, ValuePattern};

const KEYS: [&str; 5] = ["column", "modulo", "remainders", "values", "ranges"];
const MODULO_MAX: u64 = 65_536;

const EXAMPLE: &str =
    r#"a table, such as { column = "id", modulo = 2, remainders = { a = 1, b = 0 } }"#;

/// Reads the value of `rows`.
pub(super) fn read_rows(cursor: &Cursor<'_>, nodes: Known<'_>) -> Result<RowRule, ConfigError> {
    let table = cursor.table(&KEYS, EXAMPLE)?;
    let column = table.need("column", r#"column = "NAME""#)?;
    let column = column.words("the name of a column")?.to_owned();
    let [modulo, remainders, values, ranges] =
        ["modulo", "remainders", "values", "ranges"].map(|key| table.get(key));
    let by = match (modulo, remainders, values, ranges) {
        (Some(modulo), Some(remainders), None, None) => {
            let modulo = modulo.integer(2, MODULO_MAX, "an integer")?;
            read_remainders(&remainders, modulo, nodes)?
        }
        (Some(_), None, None, None) => {
            return Err(table
                .place
                .error("remainders is missing", "add remainders = { NODE = 0 }"));
        }
        (None, Some(_), None, None) => {
            return Err(table.place.error("modulo is missing", "add modulo = 2"));
        }
        (None, None, Some(values), None) => RowOwnership::Values(read_values(&values, nodes)?),
        (None, None, None, Some(ranges)) => RowOwnership::Ranges(read_ranges(&ranges, nodes)?),
        _ => return Err(not_one_way(&table)),
    };
    Ok(RowRule { column, by })
}

fn not_one_way(table: &Section<'_>) -> ConfigError {
    let hint = "use exactly one of: modulo with remainders, values, ranges";
    let ways = ["modulo", "remainders", "values", "ranges"];
    let there: Vec<&str> = ways.into_iter().filter(|key| table.get(key).is_some()).collect();
    let message = match there.is_empty() {
        true => "does not say how the column names the owner".into(),
        false => format!("decides in more than one way: {}", there.join(" and ")),
    };
    table.place.error(message, hint)
}

/// Every element below `NODE = element or list`, with its node.
fn per_node<'t>(
    cursor: &Cursor<'t>,
    nodes: Known<'_>,
    example: &str,
) -> Result<Vec<(NodeIndex, Cursor<'t>)>, ConfigError> {
    let mut elements = Vec::new();
    for (name, value) in cursor.free_table(example)?.entries() {
        let node = nodes.find(&value, name)?;
        elements.extend(value.one_or_more(example)?.into_iter().map(|element| (node, element)));
    }
    match elements.is_empty() {
        true => Err(cursor.place.error("names no node", format!("write {example}"))),
        false => Ok(elements),
    }
}

/// Reads who owns each remainder; all from 0 to `modulo` - 1 must have exactly one owner.
fn read_remainders(
    cursor: &Cursor<'_>,
    modulo: u64,
    nodes: Known<'_>,
) -> Result<RowOwnership, ConfigError> {
    let mut owners: Vec<Option<NodeIndex>> = vec![None; modulo as usize];
    let example = "a remainder or a list of them for each node, such as { a = 1, b = [0, 2] }";
    for (node, element) in per_node(cursor, nodes, example)? {
        let remainder =
            element.integer(0, modulo - 1, &format!("a remainder of modulo {modulo}"))?;
        let slot = &mut owners[remainder as usize];
        if let Some(owner) = *slot {
            let name = &nodes.0[owner.at()].name;
            let message = format!("remainder {remainder} already belongs to node {name}");
            return Err(element.place.error(message, "each remainder has exactly one owner"));
        }
        *slot = Some(node);
    }
    let missing = (0..).zip(&owners).filter(|(_, owner)| owner.is_none());
    let missing: Vec<u64> = missing.map(|(remainder, _)| remainder).collect();
    if !missing.is_empty() {
        let first: Vec<String> = missing.iter().take(5).map(u64::to_string).collect();
        let more = if missing.len() > first.len() { ", ..." } else { "" };
        let message = format!("nobody owns remainder {}{more} of {modulo}", first.join(", "));
        return Err(cursor.place.error(message, "give each remainder to one node"));
    }
    Ok(RowOwnership::Modulo { modulo, owners: owners.into_iter().flatten().collect() })
}

/// Reads whose each value is; no value may be covered twice, except by prefixes of one node.
fn read_values(
    cursor: &Cursor<'_>,
    nodes: Known<'_>,
) -> Result<Vec<(NodeIndex, ValuePattern)>, ConfigError> {
    let example = r#"a value or a list of them for each node, such as { a = ["eu-*", 7] }"#;
    let mut values: Vec<(NodeIndex, ValuePattern)> = Vec::new();
    for (node, element) in per_node(cursor, nodes, example)? {
        let value = read_value(&element)?;
        let undecided = |(other_node, other): &&(NodeIndex, ValuePattern)| {
            same(other, &value) || (*other_node != node && overlap(other, &value))
        };
        if let Some((other_node, other)) = values.iter().find(undecided) {
            let name = &nodes.0[other_node.at()].name;
            let message = format!("{} overlaps {} of node {name}", show(&value), show(other));
            return Err(element.place.error(message, "each value has exactly one owner"));
        }
        values.push((node, value));
    }
    Ok(values)
}

fn read_value(element: &Cursor<'_>) -> Result<ValuePattern, ConfigError> {
    let example = r#"an integer, a string, or a prefix such as "eu-*""#;
    if !element.is_text() {
        let (min, max) = (i128::from(i64::MIN), i128::from(u64::MAX));
        return element.integer(min, max, example).map(ValuePattern::Int);
    }
    element.parsed(example, |text| match text.split_once('*') {
        None => Ok(ValuePattern::Text(text.to_owned())),
        Some(("", "")) => Err(ValueError::new("\"*\" is every value", "use owner = \"NODE\"")),
        Some((prefix, "")) => Ok(ValuePattern::Prefix(prefix.to_owned())),
        Some(_) => {
            let hint = r#"* stands for the rest of a value, at its end, such as "eu-*""#;
            Err(ValueError::new(format!("{text:?} has a * before its end"), hint))
        }
    })
}

/// A value as the file would have it.
pub(super) fn show(value: &ValuePattern) -> String {
    match value {
        ValuePattern::Int(n) => n.to_string(),
        ValuePattern::Text(text) => format!("{text:?}"),
        ValuePattern::Prefix(text) => format!("{:?}", format!("{text}*")),
    }
}

/// Whether two patterns are one. An integer and the text of its digits count as one, since which
/// of the two a column holds is not known here.
fn same(x: &ValuePattern, y: &ValuePattern) -> bool {
    match (x, y) {
        (ValuePattern::Int(n), ValuePattern::Text(text))
        | (ValuePattern::Text(text), ValuePattern::Int(n)) => *text == n.to_string(),
        _ => x == y,
    }
}

/// Whether some value matches both.
fn overlap(x: &ValuePattern, y: &ValuePattern) -> bool {
    match (x, y) {
        (ValuePattern::Prefix(x), ValuePattern::Prefix(y)) => x.starts_with(y) || y.starts_with(x),
        (ValuePattern::Prefix(prefix), ValuePattern::Text(text))
        | (ValuePattern::Text(text), ValuePattern::Prefix(prefix)) => text.starts_with(prefix),
        _ => same(x, y),
    }
}

/// Reads whose each range is; they may leave gaps, but not overlap.
fn read_ranges(
    cursor: &Cursor<'_>,
    nodes: Known<'_>,
) -> Result<Vec<(NodeIndex, Endpoint, Endpoint)>, ConfigError> {
    let example =
        r#"a range or a list of them for each node, such as { a = "..100", b = "100.." }"#;
    let mut ranges: Vec<(NodeIndex, Endpoint, Endpoint)> = Vec::new();
    for (node, element) in per_node(cursor, nodes, example)? {
        let (start, end) = element.parsed(example, parse_range)?;
        let below = |lo: Endpoint, hi: Endpoint| lo.is_none() || hi.is_none() || lo < hi;
        let overlaps = |(_, lo, hi): &&(_, _, _)| below(start, *hi) && below(*lo, end);
        if let Some((owner, lo, hi)) = ranges.iter().find(overlaps) {
            let (this, other) = (show_range(start, end), show_range(*lo, *hi));
            let name = &nodes.0[owner.at()].name;
            let message = format!("{this:?} overlaps {other:?} of node {name}");
            let hint = "the end is not part of a range: \"..100\" and \"100..\" meet";
            return Err(element.place.error(message, hint));
        }
        ranges.push((node, start, end));
    }
    Ok(ranges)
}

/// Reads `lo..hi`, where either end may be left out, but not both.
fn parse_range(text: &str) -> Result<(Endpoint, Endpoint), ValueError> {
    let wrong = || {
        let hint = r#"write "1..100", "..100" or "100.."; the end is not part of the range"#;
        ValueError::new(format!("no range of integers: {text:?}"), hint)
    };
    let (start, end) = text.split_once("..").ok_or_else(wrong)?;
    let endpoint = |digits: &str| match digits.trim() {
        "" => Ok(None),
        digits => digits.replace('_', "").parse::<i128>().map(Some).map_err(|_| wrong()),
    };
    match (endpoint(start)?, endpoint(end)?) {
        (None, None) => Err(ValueError::new("\"..\" is every value", "use owner = \"NODE\"")),
        (Some(lo), Some(hi)) if lo >= hi => Err(ValueError::new(
            format!("{text:?} is an empty range"),
            format!("the end is not part of the range: write more than {lo} after the dots"),
        )),
        range => Ok(range),
    }
}

fn show_range(start: Endpoint, end: Endpoint) -> String {
    let show = |endpoint: Endpoint| endpoint.map_or(String::new(), |n| n.to_string());
    format!("{}..{}", show(start), show(end))
}
