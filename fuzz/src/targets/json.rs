//! MySQL's binary JSON, and diffs of it.

use super::super::framing::{Dialect, Streams};
use twinlog::{
    binlog::{
        event::kind,
        evidence::{Cell, JsonText},
    },
    model::RowState,
};

/// `s.t (id INT PRIMARY KEY, j JSON)`, after the table id and flags.
const MAP: &[u8] = b"\x01s\0\x01t\0\x02\x03\xf5\x01\x04\x02\x04\x05\x02id\x01j\x08\x01\0";

/// Input: whether the second part is a document too, or diffs of the first; the length of the first
/// (2 bytes); both.
pub fn json(data: &[u8]) {
    let Some((&[how, low, high], rest)) = data.split_first_chunk::<3>() else { return };
    let length = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
    let (before, after) = rest.split_at(length);
    let is_partial = how & 1 == 1;
    let table = [9, 0, 0, 0, 0, 0, 1, 0];
    let mut streams = Streams::new(Dialect { mariadb: false, checksums: false, plan: 0 });
    streams.take(kind::GTID, &[&[0; 17][..], &9_u64.to_le_bytes()].concat());
    streams.take(kind::TABLE_MAP, &[&table, MAP].concat());
    let mut body = [&table[..], &[2, 0, 2, 0xff, 0xff]].concat();
    body.extend(image(before));
    if is_partial {
        body.extend([1, 1]);
    }
    body.extend(image(after));
    let event_kind = if is_partial { kind::PARTIAL_UPDATE_ROWS } else { kind::UPDATE_ROWS };
    streams.take(event_kind, &body);
    streams.take(kind::XID, &[0; 8]);
    let Some((tx, Some(evidence))) = streams.told else { panic!("a transaction") };
    assert_eq!((tx.rows.len(), evidence.changes.len()), (1, 1));
    let (row, change) = (&tx.rows[0], &evidence.changes[0]);
    let text = |cells: &Option<Vec<Cell>>| match cells.as_ref().map(|cells| cells[1].clone()) {
        Some(Cell::Json(text)) => Some(text),
        _ => None,
    };
    let texts = [text(&change.before), text(&change.after)];
    for text in texts.iter().flatten() {
        assert!(text.text.len() <= 12 * rest.len() + 64, "{} bytes", text.text.len());
    }
    if let [Some(before), Some(after)] = texts
        && is_plain(&before)
        && is_plain(&after)
    {
        let images = [row.before, row.after].map(|state| matches!(state, RowState::Image(_)));
        assert_eq!(images, [true, true], "a document that is known");
        assert_eq!(before == after, row.before == row.after, "{before:?} {after:?}");
    }
}

/// Whether the text says all: no value of SQL's types, and no number that is none.
fn is_plain(json: &JsonText) -> bool {
    json.is_exact && !["NaN", "inf"].iter().any(|word| json.text.contains(word))
}

fn image(json: &[u8]) -> Vec<u8> {
    [&[0xfc, 7, 0, 0, 0][..], &(json.len() as u32).to_le_bytes(), json].concat()
}
