//! Diffs of JSON, as partial updates log them in the place of a column's value.

use super::{
    DEPTH_MAX,
    tree::{Node, find},
};
use crate::binlog::bytes::{Bytes, Short};
use std::borrow::Cow;

/// What a diff does at its path.
enum Change<'a> {
    Replace(Node<'a>),
    Insert(Node<'a>),
    Remove,
}

/// A step of a path.
#[derive(PartialEq, Debug)]
enum Leg<'a> {
    Member(Cow<'a, str>),
    /// Counted from the first.
    Cell(usize),
    /// Counted from the last.
    FromLast(usize),
}

/// A document that diffs have been applied to.
///
/// # Input
/// The binary document before, and the diffs without their length in front.
///
/// # Errors
/// [`Short`] for what no server writes, for diffs that do not apply, and for so many of them in so
/// large a document that they would move its values without end; never panics. No path is longer
/// than documents are deep, so diffs one into the other make no deeper ones.
///
/// # Source
/// `read_json_diff` and `apply_json_diff` in MySQL's sql/json_diff.cc: a byte (0: replace, 1:
/// insert, 2: remove), the path and, but for remove, a binary document, each with a
/// length-encoded length in front.
pub(super) fn patched<'a>(before: &'a [u8], diffs: &'a [u8]) -> Result<Node<'a>, Short> {
    let mut document = Node::read(before)?;
    let mut bytes = Bytes(diffs);
    // An insert or a removal moves what stands behind it.
    let mut moves = MOVES_FREE + MOVES_PER_BYTE * (before.len() + diffs.len());
    while !bytes.is_empty() {
        let operation = bytes.u8()?;
        let path = std::str::from_utf8(bytes.lenenc_bytes()?).map_err(|_| Short)?;
        let legs = read_path(path)?;
        let change = match operation {
            0 => Change::Replace(Node::read(bytes.lenenc_bytes()?)?),
            1 => Change::Insert(Node::read(bytes.lenenc_bytes()?)?),
            2 => Change::Remove,
            _ => return Err(Short),
        };
        let moved = apply(&mut document, &legs, change)?;
        moves = moves.checked_sub(moved).ok_or(Short)?;
    }
    Ok(document)
}

/// Values that the diffs of one document may move: so many, and more by its length and theirs.
const MOVES_FREE: usize = 1 << 22;
const MOVES_PER_BYTE: usize = 64;

/// Applies one diff; gives the number of values that it moves.
fn apply<'a>(
    document: &mut Node<'a>,
    legs: &[Leg<'a>],
    change: Change<'a>,
) -> Result<usize, Short> {
    let (last, above) = legs.split_last().filter(|_| legs.len() <= DEPTH_MAX).ok_or(Short)?;
    let mut parent = document;
    for leg in above {
        parent = child(parent, leg)?;
    }
    match (change, parent) {
        (Change::Replace(value), parent) => {
            *child(parent, last)? = value;
            Ok(0)
        }
        (Change::Insert(value), Node::Object(members)) => {
            let Leg::Member(key) = last else { return Err(Short) };
            // One that is there already is no place for an insert.
            let place = find(members, key).err().ok_or(Short)?;
            members.insert(place, (key.clone(), value));
            Ok(members.len() - place)
        }
        (Change::Insert(value), Node::Array(values)) => {
            let place = place(last, values.len())?.unwrap_or(0).min(values.len());
            values.insert(place, value);
            Ok(values.len() - place)
        }
        (Change::Remove, Node::Object(members)) => {
            let Leg::Member(key) = last else { return Err(Short) };
            let place = find(members, key).map_err(|_| Short)?;
            members.remove(place);
            Ok(members.len() - place)
        }
        (Change::Remove, Node::Array(values)) => {
            let place = place(last, values.len())?.filter(|at| *at < values.len());
            let place = place.ok_or(Short)?;
            values.remove(place);
            Ok(values.len() - place)
        }
        (_, Node::Scalar(_)) => Err(Short),
    }
}

fn child<'n, 'a>(node: &'n mut Node<'a>, leg: &Leg<'a>) -> Result<&'n mut Node<'a>, Short> {
    match (node, leg) {
        (Node::Object(members), Leg::Member(key)) => {
            let place = find(members, key).map_err(|_| Short)?;
            Ok(&mut members[place].1)
        }
        (Node::Array(values), leg) => {
            let place = place(leg, values.len())?.ok_or(Short)?;
            values.get_mut(place).ok_or(Short)
        }
        _ => Err(Short),
    }
}

/// The place in an array of so many values; `None` before its first.
fn place(leg: &Leg<'_>, count: usize) -> Result<Option<usize>, Short> {
    match leg {
        Leg::Member(_) => Err(Short),
        Leg::Cell(at) => Ok(Some(*at)),
        Leg::FromLast(back) => Ok(count.checked_sub(1).and_then(|last| last.checked_sub(*back))),
    }
}

/// Reads a path without wildcards: `$.name."two words"[3][last-1]`.
fn read_path(path: &str) -> Result<Vec<Leg<'_>>, Short> {
    let mut rest = path.strip_prefix('$').ok_or(Short)?;
    let mut legs = Vec::new();
    while !rest.is_empty() {
        let leg;
        (leg, rest) = match rest.as_bytes() {
            [b'.', b'"', ..] => quoted(&rest[1..])?,
            [b'.', ..] => {
                let name = &rest[1..];
                let end = name.find(['.', '[']).unwrap_or(name.len());
                (Leg::Member(Cow::Borrowed(&name[..end])), &name[end..])
            }
            [b'[', ..] => {
                let (cell, rest) = rest[1..].split_once(']').ok_or(Short)?;
                (read_cell(cell.trim())?, rest)
            }
            _ => return Err(Short),
        };
        legs.push(leg);
    }
    Ok(legs)
}

fn read_cell(cell: &str) -> Result<Leg<'_>, Short> {
    let number = |text: &str| text.trim().parse().map_err(|_| Short);
    match cell.strip_prefix("last") {
        None => Ok(Leg::Cell(number(cell)?)),
        Some("") => Ok(Leg::FromLast(0)),
        Some(back) => Ok(Leg::FromLast(number(back.trim().strip_prefix('-').ok_or(Short)?)?)),
    }
}

/// A member's name in double quotes, with the escapes of JSON.
fn quoted(text: &str) -> Result<(Leg<'_>, &str), Short> {
    let mut is_escaped = false;
    let end = text.char_indices().skip(1).find(|(_, character)| match character {
        '\\' if !is_escaped => {
            is_escaped = true;
            false
        }
        '"' if !is_escaped => true,
        _ => {
            is_escaped = false;
            false
        }
    });
    let (name, rest) = text.split_at(end.ok_or(Short)?.0 + 1);
    let name: String = serde_json::from_str(name).map_err(|_| Short)?;
    Ok((Leg::Member(Cow::Owned(name)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::json::{Scalar, canonical, canonical_of_diffs};

    #[test]
    fn paths_are_read() {
        let member = |name: &str| Leg::Member(Cow::Owned(name.to_owned()));
        for (path, legs) in [
            ("$", vec![]),
            ("$.a", vec![member("a")]),
            ("$.ä[0].b", vec![member("ä"), Leg::Cell(0), member("b")]),
            (r#"$."two \"words\".[1]"[12]"#, vec![member("two \"words\".[1]"), Leg::Cell(12)]),
            (r#"$."back\\".x"#, vec![member("back\\"), member("x")]),
            ("$[last][ last - 2 ]", vec![Leg::FromLast(0), Leg::FromLast(2)]),
        ] {
            assert_eq!(read_path(path), Ok(legs), "{path}");
        }
        for path in ["", "a", "$a", "$[", "$[x]", "$[-1]", "$.\"a", "$[last+1]", "$[*]", "$**.a"] {
            assert_eq!(read_path(path), Err(Short), "{path}");
        }
    }

    /// `{"a": 7, "b": [null, "x"]}`.
    const DOCUMENT: &[u8] = b"\x00\x02\0\x22\0\x12\0\x01\0\x13\0\x01\0\x05\x07\0\x02\x14\0ab\
                              \x02\0\x0c\0\x04\0\0\x0c\x0a\0\x01x\0\0";

    fn diff(operation: u8, path: &str, value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![operation, path.len() as u8];
        bytes.extend(path.as_bytes());
        if operation < 2 {
            bytes.push(value.len() as u8);
            bytes.extend(value);
        }
        bytes
    }

    #[test]
    fn diffs_are_applied_one_after_the_other() {
        const ONE: &[u8] = b"\x05\x01\0";
        let one = || Node::Scalar(Scalar::Int(1));
        let diffs = [
            diff(0, "$.a", ONE),
            diff(1, "$.c", ONE),
            diff(1, "$.b[1]", ONE),
            diff(2, "$.b[0]", &[]),
            diff(1, "$.b[9]", ONE),
        ]
        .concat();
        let x = Node::Scalar(Scalar::String("x"));
        let members = [("a", one()), ("b", Node::Array(vec![one(), x, one()])), ("c", one())];
        let members = members.into_iter().map(|(key, value)| (Cow::Borrowed(key), value)).collect();
        assert_eq!(patched(DOCUMENT, &diffs), Ok(Node::Object(members)));
        for wrong in [
            diff(0, "$", ONE),
            diff(0, "$.z", ONE),
            diff(1, "$.a", ONE),
            diff(1, "$.a[0]", ONE),
            diff(2, "$.b[2]", &[]),
            diff(2, "$[0]", &[]),
            diff(3, "$.a", &[]),
        ] {
            assert_eq!(patched(DOCUMENT, &wrong), Err(Short));
        }
    }

    #[test]
    fn the_canonical_form_does_not_show_how_a_document_came_about() {
        let form = |bytes: &[u8]| {
            let mut out = Vec::new();
            canonical(bytes, &mut out).map(|()| out)
        };
        let mut unchanged = Vec::new();
        let there_and_back = [diff(1, "$.c", DOCUMENT), diff(2, "$.c", &[])].concat();
        canonical_of_diffs(DOCUMENT, &there_and_back, &mut unchanged).unwrap();
        assert_eq!(form(DOCUMENT), Ok(unchanged));
        // The array's string stands at 11 in place of 10, after a gap.
        let gap = b"\x00\x02\0\x23\0\x12\0\x01\0\x13\0\x01\0\x05\x07\0\x02\x14\0ab\
                    \x02\0\x0d\0\x04\0\0\x0c\x0b\0\x07\x01x\0\0";
        assert_eq!(form(DOCUMENT), form(gap));
        assert_eq!(form(b"\x05\x07\0"), form(b"\x0a\x07\0\0\0\0\0\0\0"));
        assert_ne!(form(b"\x05\x07\0"), form(b"\x05\x08\0"));
        assert_ne!(form(b"\x0c\x01x"), form(b"\x0c\x01y"));
        let mut kept = vec![1];
        assert_eq!(canonical(b"\x02\x09", &mut kept), Err(Short));
        assert_eq!(kept, [1]);
    }

    /// Each puts an array of 90 levels into the innermost one of the diff before.
    #[test]
    fn diffs_one_into_the_other_make_no_deeper_documents() {
        let mut nest = b"\x02\x00\x00\x04\x00".to_vec();
        for _ in 1..90 {
            let size = nest.len() as u16 + 6;
            let head = [&[2, 1, 0][..], &size.to_le_bytes(), &[2, 7, 0]].concat();
            nest = [&head, &nest[1..]].concat();
        }
        assert!(Node::read(&nest).is_ok());
        let deeper = |path: String| {
            let mut diff = vec![1, 252];
            diff.extend((path.len() as u16).to_le_bytes());
            diff.extend(path.as_bytes());
            diff.extend([252]);
            diff.extend((nest.len() as u16).to_le_bytes());
            [&diff[..], &nest].concat()
        };
        let mut diffs = deeper("$[0]".to_owned());
        assert!(patched(b"\x02\x00\x00\x04\x00", &diffs).is_ok());
        diffs.extend(deeper("$".to_owned() + &"[0]".repeat(90)));
        assert!(patched(b"\x02\x00\x00\x04\x00", &diffs).is_ok());
        for depth in 2..200 {
            diffs.extend(deeper("$".to_owned() + &"[0]".repeat(90 * depth)));
        }
        assert_eq!(patched(b"\x02\x00\x00\x04\x00", &diffs), Err(Short));
    }

    #[test]
    fn diffs_that_move_a_document_without_end_are_refused() {
        let mut array = vec![3];
        array.extend(100_000_u32.to_le_bytes());
        array.extend(500_008_u32.to_le_bytes());
        array.extend(b"\x04\0\0\0\0".repeat(100_000));
        let front = diff(1, "$[0]", b"\x04\x01");
        assert!(patched(&array, &front.repeat(100)).is_ok());
        assert_eq!(patched(&array, &front.repeat(100_000)), Err(Short));
    }

    #[test]
    fn no_diffs_panic() {
        let mut seed = 7_u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 40) as usize
        };
        let paths = ["$.a", "$.b[0]", "$.b[last]", "$.c", "$[1]", "$.\"a\"", "$.b.x", "$"];
        for _ in 0..50_000 {
            let mut diffs = Vec::new();
            for _ in 0..next() % 5 {
                let value = &DOCUMENT[next() % 4..][..next() % 30];
                diffs.extend(diff(next() as u8 % 4, paths[next() % paths.len()], value));
            }
            if let Some(byte) = diffs.len().checked_sub(1).map(|last| next() % (last + 1)) {
                diffs[byte] ^= next() as u8 % 8;
            }
            let _ = canonical_of_diffs(DOCUMENT, &diffs, &mut Vec::new());
        }
    }
}
