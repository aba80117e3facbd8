//! The row walker: steps over the images of a row event, hashing keys and images.
//!
//! Nothing is decoded but the columns of keys and of a row ownership rule, and nothing is
//! allocated per row but what the transaction keeps.
//!
//! An image that has all columns is hashed as it stands. Where columns are left out, by the server
//! or by the configuration, it is put together anew in the same form: first one bit per column that
//! says whether it is NULL, the last byte filled up with ones as servers do, then the values in
//! column order. So a row has one hash however much of it two servers log.
//!
//! So it is where the bytes of a column are not its content: JSON stands in its canonical form
//! there, compressed columns expanded. What a partial update logs of a document, diffs, is applied
//! to the document before.

use super::{
    bytes::{Bytes, Short},
    collation::Fold,
    compressed, json,
    layout::{Content, KeyPlan, Layout, NO_SLOT, Step, is_old_time},
    room::{Mark, Room},
    value,
};
use crate::model::{Key, Operation, RowChange, RowState, RuleValue, Transaction, UniqueTake};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128, xxh3_128_with_seed};

/// A row event, opened: what its images contain.
pub(crate) struct RowsEvent<'a> {
    operation: Operation,
    /// After images may hold diffs.
    is_partial: bool,
    before: Columns<'a>,
    after: Columns<'a>,
    images: &'a [u8],
}

/// The columns that an image contains.
#[derive(Clone, Copy)]
struct Columns<'a> {
    present: &'a [u8],
    count: usize,
    all: bool,
    /// All that are compared.
    complete: bool,
}

impl<'a> Columns<'a> {
    fn read(bytes: &mut Bytes<'a>, layout: &Layout) -> Result<Self, Short> {
        let columns = layout.steps.len();
        let present = bytes.take(columns.div_ceil(8))?;
        let count = (0..columns).filter(|at| bit(present, *at)).count();
        let all = count == columns;
        let compared = |at: &usize| layout.ignored.get(*at) == Some(&false);
        let rest = || (0..columns).filter(compared).all(|at| bit(present, at));
        let complete = all || !layout.ignored.is_empty() && rest();
        Ok(Columns { present, count, all, complete })
    }
}

/// Why a row event cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum RowsError {
    #[error("a row event ends inside a row")]
    Short(#[from] Short),
    #[error("a row event has {event} columns, its table map {map}")]
    Columns { event: u64, map: usize },
    /// MariaDB 5.3 to 10.0 gave times with a fraction a format of their own, wider than its type in
    /// the log says.
    #[error(
        "times of the format before 5.6 are not as wide as their type: MariaDB's with a fraction; \
         ALTER TABLE ... FORCE gives them today's format"
    )]
    OldTimes,
    #[error("a partial update has options that are not known")]
    Options,
    #[error("a key column cannot be read: {0}")]
    Key(#[from] value::ValueError),
}

/// Where a column's value stands within the event's images.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Slot {
    /// The image leaves it out.
    Missing,
    Null,
    At(usize, usize),
    /// Diffs of the document in the image before.
    Diffs(usize, usize),
    /// In canonical form, in [`Scratch::patched`].
    Patched(usize, usize),
}

impl Slot {
    /// This one, or the other where the image leaves it out.
    fn or(self, other: Slot) -> Slot {
        if self == Slot::Missing { other } else { self }
    }

    /// What stands there are diffs.
    fn hold_diffs(&mut self) {
        if let Slot::At(from, to) = *self {
            *self = Slot::Diffs(from, to);
        }
    }
}

/// Where the values of an image stand.
#[derive(Default)]
struct Spans {
    /// Of the columns that have a slot.
    slots: Vec<Slot>,
    /// Of every column, where an image has to be put together anew.
    columns: Vec<Slot>,
}

/// What the walker needs per row, kept from row to row.
#[derive(Default)]
pub(crate) struct Scratch {
    before: Spans,
    after: Spans,
    /// An image put together anew, or a folded key.
    bytes: Vec<u8>,
    /// Which columns are known.
    known: Vec<u8>,
    /// Documents that diffs were applied to.
    patched: Vec<u8>,
}

/// What could not be told of an event's rows.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Untold {
    /// Values of unique keys of which the images leave out columns.
    pub(crate) unique_values: u64,
    /// Documents that their diffs do not fit.
    pub(crate) documents: u64,
}

/// An image that has been stepped over.
struct Stepped<'a> {
    image: &'a [u8],
    /// Its bytes are what is hashed.
    as_is: bool,
}

impl<'a> RowsEvent<'a> {
    /// Opens the body of a row event after its table id and flags, and after a V2 event's extra
    /// data.
    pub(crate) fn open(
        mut body: Bytes<'a>,
        operation: Operation,
        is_partial: bool,
        layout: &Layout,
    ) -> Result<Self, RowsError> {
        let event = body.lenenc()?;
        let map = layout.steps.len();
        if event != map as u64 {
            return Err(RowsError::Columns { event, map });
        }
        let before = Columns::read(&mut body, layout)?;
        let after = match operation {
            Operation::Update => Columns::read(&mut body, layout)?,
            _ => before,
        };
        Ok(RowsEvent { operation, is_partial, before, after, images: body.0 })
    }

    /// Adds every row to the transaction, as rows of its table number `table`.
    ///
    /// # Output
    /// How much could not be told. Where there is no room for all rows, none of them is added.
    ///
    /// # Errors
    /// Rows before the broken one have been added; never panics.
    pub(crate) fn walk(
        &self,
        layout: &Layout,
        table: u32,
        scratch: &mut Scratch,
        tx: &mut Transaction,
        room: &mut Room,
    ) -> Result<Untold, RowsError> {
        if layout.has_old_times && !self.fits(layout) {
            return Err(RowsError::OldTimes);
        }
        let (mark, mut at, mut untold) = (Mark::of(tx), 0, Untold::default());
        while at < self.images.len() {
            let start = at;
            let (before, after) = self.states(layout, &mut at, scratch, &mut untold)?;
            if at == start {
                // A table whose rows take no bytes would never end.
                return Err(Short.into());
            }
            let keys = self.keys(layout, scratch, tx)?;
            let rule_values = self.rule_values(layout, scratch, tx);
            if !layout.uniques.is_empty() && self.operation != Operation::Delete {
                untold.unique_values += self.unique_takes(layout, scratch, tx)?;
            }
            let operation = self.operation;
            tx.rows.push(RowChange { table, operation, rule_values, keys, before, after });
            room.take(mark, tx);
        }
        Ok(untold)
    }

    /// Whether all images are rows of this layout, as far as times before 5.6 show it. A column
    /// that is wider than the log says would make rows of what are none.
    fn fits(&self, layout: &Layout) -> bool {
        let images = match self.operation {
            Operation::Insert => [None, Some(&self.after)],
            Operation::Delete => [Some(&self.before), None],
            Operation::Update => [Some(&self.before), Some(&self.after)],
        };
        let mut at = 0;
        while at < self.images.len() {
            for columns in images.into_iter().flatten() {
                match self.end_of_fitting(layout, columns, at) {
                    Some(end) if end > at => at = end,
                    _ => return false,
                }
            }
        }
        true
    }

    /// Where an image ends whose old times are times.
    fn end_of_fitting(&self, layout: &Layout, columns: &Columns<'_>, at: usize) -> Option<usize> {
        let mut end = at + columns.count.div_ceil(8);
        let nulls = self.images.get(at..end)?;
        if !is_filled_up(nulls, columns.count) {
            return None;
        }
        let logged = (0..layout.steps.len()).filter(|column| bit(columns.present, *column));
        for (_, column) in logged.enumerate().filter(|(place, _)| !bit(nulls, *place)) {
            let from = end;
            end += self.width(layout.steps[column], from).ok()?;
            let value = self.images.get(from..end)?;
            let kind = &layout.table.columns[column].kind;
            if is_old_time(kind) {
                value::decode_value(kind, value).ok()?;
            }
        }
        Some(end)
    }

    /// Steps over the images of one row; gives its states before and after.
    #[inline]
    fn states(
        &self,
        layout: &Layout,
        at: &mut usize,
        scratch: &mut Scratch,
        untold: &mut Untold,
    ) -> Result<(RowState, RowState), RowsError> {
        let Scratch { before: first, after: second, bytes, known, patched } = scratch;
        let mut state = |stepped: &Stepped<'_>, spans: &Spans, patched: &[u8]| match stepped.as_is {
            true => RowState::Image(xxh3_128(stepped.image)),
            false => self.anew(layout, &spans.columns, patched, bytes, known),
        };
        Ok(match self.operation {
            Operation::Insert => {
                let after = self.step_over(layout, &self.after, at, second, false)?;
                (RowState::Absent, state(&after, second, &[]))
            }
            Operation::Delete => {
                let before = self.step_over(layout, &self.before, at, first, false)?;
                (state(&before, first, &[]), RowState::Absent)
            }
            Operation::Update => {
                // MariaDB's FULL_NODUP logs after a whole image only what changed.
                let merged = self.before.complete && !self.after.complete;
                let before = self.step_over(layout, &self.before, at, first, merged)?;
                let bits = if self.is_partial { self.partial_bits(layout, at)? } else { &[] };
                let after = self.step_over_partial(layout, bits, at, second, merged)?;
                // What the after image leaves out is as it was.
                for (after, before) in second.slots.iter_mut().zip(&first.slots) {
                    *after = after.or(*before);
                }
                if merged {
                    for (after, before) in second.columns.iter_mut().zip(&first.columns) {
                        *after = after.or(*before);
                    }
                }
                untold.documents +=
                    self.patch(layout, &first.columns, &mut second.columns, patched);
                (state(&before, first, &[]), state(&after, second, patched))
            }
        })
    }

    /// Steps over what stands before the after image of a partial update; gives a bit for each
    /// column of JSON, whether the image has it or not: diffs stand in its place.
    ///
    /// # Source
    /// `Rows_log_event::print_verbose_one_row` in MySQL's sql/log_event.cc.
    fn partial_bits(&self, layout: &Layout, at: &mut usize) -> Result<&'a [u8], RowsError> {
        const PARTIAL_JSON: u64 = 1;
        let mut bytes = Bytes(self.images.get(*at..).ok_or(Short)?);
        let bits: &[u8] = match bytes.lenenc()? {
            0 => &[],
            PARTIAL_JSON => {
                let is_json = |content: &&Content| **content == Content::Json;
                bytes.take(layout.contents.iter().filter(is_json).count().div_ceil(8))?
            }
            _ => return Err(RowsError::Options),
        };
        *at = self.images.len() - bytes.len();
        Ok(bits)
    }

    /// Applies the diffs of an after image; gives the number of documents that they do not fit.
    ///
    /// These are unknown, as are those that the image before leaves out.
    fn patch(
        &self,
        layout: &Layout,
        before: &[Slot],
        after: &mut [Slot],
        patched: &mut Vec<u8>,
    ) -> u64 {
        patched.clear();
        let mut unfit = 0;
        for (column, slot) in after.iter_mut().enumerate() {
            let Slot::Diffs(from, to) = *slot else { continue };
            *slot = Slot::Missing;
            let Some(Slot::At(start, end)) = before.get(column).copied() else {
                continue;
            };
            let place = patched.len();
            let prefix = prefix_bytes(layout, column);
            let document = self.images.get(start + prefix..end).unwrap_or_default();
            let diffs = self.images.get(from + prefix..to).unwrap_or_default();
            match json::canonical_of_diffs(document, diffs, patched) {
                Ok(()) => *slot = Slot::Patched(place, patched.len()),
                Err(_) => {
                    patched.truncate(place);
                    unfit += 1;
                }
            }
        }
        unfit
    }

    /// [`RowsEvent::step_over`] of the after image of an update, where diffs may stand in the place
    /// of documents.
    fn step_over_partial(
        &self,
        layout: &Layout,
        bits: &[u8],
        at: &mut usize,
        spans: &mut Spans,
        every: bool,
    ) -> Result<Stepped<'a>, RowsError> {
        let stepped = self.step_over(layout, &self.after, at, spans, every)?;
        if bits.is_empty() {
            return Ok(stepped);
        }
        let is_json = |at: &usize| layout.content(*at) == Content::Json;
        let documents = (0..spans.columns.len()).filter(is_json).enumerate();
        for (_, column) in documents.filter(|(place, _)| bit(bits, *place)) {
            spans.columns[column].hold_diffs();
            let slot = layout.slots[column];
            if slot != NO_SLOT {
                spans.slots[slot as usize].hold_diffs();
            }
        }
        Ok(stepped)
    }

    /// Steps over one image from `at`; notes where the columns with slots stand, and where every
    /// column stands if `every` says so or the image has to be put together anew.
    #[inline]
    fn step_over(
        &self,
        layout: &Layout,
        columns: &Columns<'_>,
        at: &mut usize,
        spans: &mut Spans,
        every: bool,
    ) -> Result<Stepped<'a>, RowsError> {
        let start = *at;
        let null_bytes = columns.count.div_ceil(8);
        let nulls = self.images.get(start..start + null_bytes).ok_or(Short)?;
        let as_is = columns.all && layout.is_plain() && is_filled_up(nulls, columns.count);
        let every = every || !as_is;
        let mut end = start + null_bytes;
        spans.slots.clear();
        spans.slots.resize(layout.slot_count, Slot::Missing);
        spans.columns.clear();
        if every {
            spans.columns.resize(layout.steps.len(), Slot::Missing);
        }
        let mut place = 0;
        for (column, step) in layout.steps.iter().enumerate() {
            if !columns.all && !bit(columns.present, column) {
                continue;
            }
            let is_null = bit(nulls, place);
            place += 1;
            let from = end;
            if !is_null {
                end += self.width(*step, end)?;
            }
            let slot = layout.slots[column];
            if every || slot != NO_SLOT {
                let span = if is_null { Slot::Null } else { Slot::At(from, end) };
                if slot != NO_SLOT {
                    spans.slots[slot as usize] = span;
                }
                if every {
                    spans.columns[column] = span;
                }
            }
        }
        let image = self.images.get(start..end).ok_or(Short)?;
        *at = end;
        Ok(Stepped { image, as_is })
    }

    /// Puts an image of the columns that are compared together anew, and hashes it.
    fn anew(
        &self,
        layout: &Layout,
        columns: &[Slot],
        patched: &[u8],
        bytes: &mut Vec<u8>,
        known: &mut Vec<u8>,
    ) -> RowState {
        bytes.clear();
        known.clear();
        known.resize(columns.len().div_ceil(8), 0);
        let is_ignored = |column: usize| layout.ignored.get(column) == Some(&true);
        let (mut count, mut complete) = (0, true);
        for (column, span) in columns.iter().enumerate().filter(|(at, _)| !is_ignored(*at)) {
            if *span == Slot::Missing {
                complete = false;
                continue;
            }
            known[column / 8] |= 1 << (column % 8);
            if count % 8 == 0 {
                bytes.push(0xff);
            }
            if *span != Slot::Null {
                bytes[count / 8] &= !(1 << (count % 8));
            }
            count += 1;
        }
        for (column, span) in columns.iter().enumerate().filter(|(at, _)| !is_ignored(*at)) {
            match *span {
                Slot::At(from, to) => {
                    add_content(layout, column, &self.images[from..to], bytes);
                }
                Slot::Patched(from, to) => bytes.extend_from_slice(&patched[from..to]),
                Slot::Missing | Slot::Null | Slot::Diffs(..) => {}
            }
        }
        match complete {
            true => RowState::Image(xxh3_128(bytes)),
            false => {
                let (columns, values) = (xxh3_64(known) as u32, xxh3_64(bytes) as u32);
                RowState::Partial { columns, values }
            }
        }
    }

    /// Bytes of one value that begins at `at`; the caller checks the end.
    #[inline]
    fn width(&self, step: Step, at: usize) -> Result<usize, Short> {
        match step {
            Step::Fixed(bytes) => Ok(usize::from(bytes)),
            Step::Counted(bytes) => {
                let bytes = usize::from(bytes);
                let mut count = [0; 4];
                let field = self.images.get(at..at + bytes).ok_or(Short)?;
                count[..bytes].copy_from_slice(field);
                Ok(bytes + u32::from_le_bytes(count) as usize)
            }
        }
    }

    /// The row's key before and after; `None` when none is known, or not all of it.
    fn keys(
        &self,
        layout: &Layout,
        scratch: &mut Scratch,
        tx: &mut Transaction,
    ) -> Result<Option<[Key; 2]>, RowsError> {
        let Some(plan) = &layout.primary else { return Ok(None) };
        let Scratch { before, after, bytes, .. } = scratch;
        let keys = match self.operation {
            Operation::Insert => self.key(layout, plan, after, bytes, tx)?.map(|key| [key, key]),
            Operation::Delete => self.key(layout, plan, before, bytes, tx)?.map(|key| [key, key]),
            Operation::Update => {
                let first = self.key(layout, plan, before, bytes, tx)?;
                if self.is_unchanged(plan, before, after) {
                    first.map(|key| [key, key])
                } else {
                    first.zip(self.key(layout, plan, after, bytes, tx)?).map(Into::into)
                }
            }
        };
        Ok(keys)
    }

    fn is_unchanged(&self, plan: &KeyPlan, before: &Spans, after: &Spans) -> bool {
        let same = |slot: &u32| match (before.slots[*slot as usize], after.slots[*slot as usize]) {
            (Slot::At(from, to), Slot::At(start, end)) => {
                self.images[from..to] == self.images[start..end]
            }
            (before, after) => before == after,
        };
        plan.slots.iter().all(same)
    }

    /// Appends the canonical key to the transaction's key bytes and hashes it.
    fn key(
        &self,
        layout: &Layout,
        plan: &KeyPlan,
        spans: &Spans,
        folded: &mut Vec<u8>,
        tx: &mut Transaction,
    ) -> Result<Option<Key>, RowsError> {
        let start = tx.key_bytes.len();
        for (slot, column) in plan.slots.iter().zip(&plan.columns) {
            let Slot::At(from, to) = spans.slots[*slot as usize] else {
                tx.key_bytes.truncate(start);
                return Ok(None);
            };
            let kind = &layout.table.columns[usize::from(*column)].kind;
            value::canonicalize(kind, &self.images[from..to], &mut tx.key_bytes)?;
        }
        let bytes = &tx.key_bytes[start..];
        let (Ok(first), Ok(len)) = (u32::try_from(start), u32::try_from(bytes.len())) else {
            // Past 4 GiB of keys in one transaction; the rest of it counts as keyless.
            tx.key_bytes.truncate(start);
            return Ok(None);
        };
        let (hash, spelling) = match plan.has_text {
            false => (xxh3_128_with_seed(bytes, plan.seed), 0),
            true => {
                folded.clear();
                let fold = value::fold_key(&layout.table, &plan.columns, bytes, folded)?;
                let spelling = match fold {
                    Fold::Same | Fold::Exact => 0,
                    Fold::Unsure => (xxh3_64(bytes) as u16).max(1),
                };
                (xxh3_128_with_seed(folded, plan.seed), spelling)
            }
        };
        Ok(Some(Key { hash, start: first, len, spelling }))
    }

    /// Adds the values of unique keys that the next row takes; gives the number of those that
    /// cannot be told.
    fn unique_takes(
        &self,
        layout: &Layout,
        scratch: &mut Scratch,
        tx: &mut Transaction,
    ) -> Result<u64, RowsError> {
        let Scratch { before, after, bytes, .. } = scratch;
        // Events are shorter than 4 GiB, and a row takes a byte; past that nothing is added.
        let Ok(row) = u32::try_from(tx.rows.len()) else { return Ok(0) };
        let mut left_out = 0;
        for (index, plan) in layout.uniques.iter().enumerate() {
            if self.operation == Operation::Update && self.is_unchanged(plan, before, after) {
                continue;
            }
            let is =
                |of: Slot| plan.slots.iter().filter(|s| after.slots[**s as usize] == of).count();
            let (nulls, missing) = (is(Slot::Null), is(Slot::Missing));
            // A column that an insert does not name is NULL where it can be.
            let is_default = missing == plan.slots.len() && plan.is_nullable;
            if nulls > 0 || is_default {
                continue;
            }
            if missing > 0 {
                left_out += 1;
            } else if let Some(key) = self.key(layout, plan, after, bytes, tx)? {
                tx.unique_takes.push(UniqueTake { row, index: index as u16, key });
            }
        }
        Ok(left_out)
    }

    /// Appends the two values of the rule's column, and gives their place.
    fn rule_values(&self, layout: &Layout, scratch: &Scratch, tx: &mut Transaction) -> Option<u32> {
        let (column, slot) = layout.rule?;
        let kind = &layout.table.columns[column].kind;
        let place = u32::try_from(tx.rule_values.len()).ok()?;
        let absent = match self.operation {
            Operation::Insert => [true, false],
            Operation::Delete => [false, true],
            Operation::Update => [false, false],
        };
        for (spans, absent) in [&scratch.before, &scratch.after].into_iter().zip(absent) {
            let span = if absent { Slot::Missing } else { spans.slots[slot as usize] };
            tx.rule_values.push(match span {
                _ if absent => RuleValue::NoRow,
                Slot::Missing => RuleValue::NotLogged,
                Slot::Diffs(..) | Slot::Patched(..) => RuleValue::Unsupported,
                Slot::Null => RuleValue::Null,
                Slot::At(from, to) => value::rule_value(kind, &self.images[from..to]),
            });
        }
        Some(place)
    }
}

/// Bytes of the length in front of a column's value.
fn prefix_bytes(layout: &Layout, column: usize) -> usize {
    match layout.steps[column] {
        Step::Counted(bytes) => usize::from(bytes),
        Step::Fixed(_) => 0,
    }
}

/// Appends the content of a column's bytes, which begin with their length where it has one; bytes
/// that have none stand for themselves.
fn add_content(layout: &Layout, column: usize, value: &[u8], out: &mut Vec<u8>) {
    let prefix = prefix_bytes(layout, column);
    let payload = value.get(prefix..).unwrap_or_default();
    let start = out.len();
    let told = match layout.content(column) {
        Content::Itself => None,
        Content::Json => json::canonical(payload, out).ok(),
        Content::Compressed => {
            // As the same column has it that is not compressed.
            out.extend_from_slice(&value[..prefix.min(value.len())]);
            compressed::expand_column(payload, out).map(|()| {
                let expanded = (out.len() - start - prefix) as u64;
                out[start..start + prefix].copy_from_slice(&expanded.to_le_bytes()[..prefix]);
            })
        }
    };
    if told.is_none() {
        out.truncate(start);
        out.extend_from_slice(value);
    }
}

/// Whether the bits past `count` in the last byte are ones, as servers write them.
#[inline]
fn is_filled_up(nulls: &[u8], count: usize) -> bool {
    match (nulls.last(), count % 8) {
        (None, _) | (_, 0) => true,
        (Some(last), used) => last >> used == 0xff >> used,
    }
}

/// Bit `at` of a bitmap, the first in the lowest bit; past its end 0.
#[inline]
fn bit(bitmap: &[u8], at: usize) -> bool {
    bitmap.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        binlog::TablePlan,
        model::{
            BlindSpotReason, ColumnSchema, ColumnType, CommitTime, Coordinates, KeyPart,
            TableSchema, UniqueSchema,
        },
    };
    use std::sync::Arc;

    const NAMES: [&str; 4] = ["id", "v", "n", "at"];
    const DEFINITIONS: [&str; 4] = ["int(10) unsigned", "varchar(20)", "int(11)", "varchar(20)"];

    /// A table map of `s.t (id INT PRIMARY KEY, v VARCHAR(20), n INT, at VARCHAR(20))`.
    /// As the log describes it without names, or with these.
    fn table_map(names: &[&str]) -> Vec<u8> {
        let mut body = b"\x01s\0\x01t\0\x04\x03\x0f\x03\x0f\x04\x50\0\x50\0\x0e".to_vec();
        if !names.is_empty() {
            let names: Vec<u8> =
                names.iter().flat_map(|n| [&[n.len() as u8], n.as_bytes()].concat()).collect();
            body.extend([4, names.len() as u8]);
            body.extend(names);
            body.extend([8, 1, 0]);
        }
        body
    }

    /// With a unique key `u (v, n)`.
    fn known() -> TableSchema {
        let column = |(name, definition): (&&str, &&str)| ColumnSchema {
            name: (*name).to_owned(),
            definition: (*definition).to_owned(),
            collation: None,
            collation_id: definition.starts_with("varchar").then_some(45),
        };
        let part = |column| KeyPart { column: Some(column), prefix: None };
        TableSchema {
            columns: NAMES.iter().zip(&DEFINITIONS).map(column).collect(),
            primary_key: vec![part(0)],
            unique_keys: vec![UniqueSchema {
                name: "u".into(),
                parts: vec![part(1), part(2)],
                is_nullable: true,
            }],
        }
    }

    fn layout(with_names: bool, ignore: &[&str], known: Option<TableSchema>) -> Layout {
        let plan = TablePlan {
            rule_column: None,
            ignore_columns: ignore.iter().map(|name| (*name).to_owned()).collect(),
            known: known.map(Arc::new),
        };
        let names = if with_names { &NAMES[..] } else { &[] };
        Layout::compile(&table_map(names), false, &|_| plan.clone()).expect("a table map")
    }

    /// A value of each column: none is not in the image, an empty one is NULL.
    type Row<'a> = [Option<&'a [u8]>; 4];

    const NULL: Option<&[u8]> = Some(b"");
    const LEFT_OUT: Option<&[u8]> = None;

    fn present(row: &Row<'_>) -> u8 {
        0xf0 | (0..4).filter(|at| row[*at].is_some()).fold(0, |bits, at| bits | 1 << at)
    }

    fn image(row: &Row<'_>) -> Vec<u8> {
        let values: Vec<&[u8]> = row.iter().flatten().copied().collect();
        let is_value = |at: &usize| !values[*at].is_empty();
        let nulls = (0..values.len()).filter(is_value).fold(0xff, |bits: u8, at| bits & !(1 << at));
        [&[nulls][..], &values.concat()].concat()
    }

    fn body(rows: &[Row<'_>]) -> Vec<u8> {
        let bitmaps: Vec<u8> = rows.iter().map(present).collect();
        [&[4][..], &bitmaps, &rows.iter().flat_map(image).collect::<Vec<u8>>()].concat()
    }

    fn empty() -> Transaction {
        Transaction {
            gtid: None,
            server_id: 1,
            coordinates: Coordinates { file: "f".into(), start: 0, end: 0 },
            committed_at: CommitTime::default(),
            logged_at: None,
            tables: vec![],
            rows: vec![],
            key_bytes: vec![],
            rule_values: vec![],
            unique_takes: vec![],
            statements: vec![],
            blind_spots: vec![],
            xa: None,
        }
    }

    fn endless() -> Room {
        Room::new(usize::MAX)
    }

    #[test]
    fn an_event_without_room_is_counted_and_never_held() {
        let layout = layout(true, &[], None);
        let row = [ID, NULL, NULL, NULL];
        let body = [body(&[row]), image(&row).repeat(99_999)].concat();
        let event = RowsEvent::open(Bytes(&body), Operation::Insert, false, &layout);
        let (mut tx, mut room) = (empty(), Room::new(1 << 16));
        let event = event.expect("a row event");
        let walked = event.walk(&layout, 0, &mut Scratch::default(), &mut tx, &mut room);
        assert!(walked.is_ok());
        assert_eq!((room.past, tx.rows.len(), tx.key_bytes.len()), (100_000, 0, 0));
        let held = tx.rows.capacity() * size_of::<RowChange>() + tx.key_bytes.capacity();
        assert!(held < 1 << 18, "{held} bytes");
    }

    fn try_walk(layout: &Layout, operation: Operation, body: &[u8]) -> (Transaction, u64) {
        let mut tx = empty();
        let event = RowsEvent::open(Bytes(body), operation, false, layout);
        let walked =
            event.and_then(|e| e.walk(layout, 0, &mut Scratch::default(), &mut tx, &mut endless()));
        (tx, walked.map_or(99, |untold| untold.unique_values))
    }

    fn walk(layout: &Layout, operation: Operation, rows: &[Row<'_>]) -> (Transaction, u64) {
        try_walk(layout, operation, &body(rows))
    }

    #[track_caller]
    fn update(layout: &Layout, before: Row<'_>, after: Row<'_>) -> RowChange {
        let (tx, _) = walk(layout, Operation::Update, &[before, after]);
        assert_eq!(tx.rows.len(), 1);
        tx.rows[0]
    }

    const ID: Option<&[u8]> = Some(b"\x07\0\0\0");
    const ONE: Option<&[u8]> = Some(b"\x03one");
    const TWO: Option<&[u8]> = Some(b"\x03two");
    const N: Option<&[u8]> = Some(b"\x0a\0\0\0");
    const AT: Option<&[u8]> = Some(b"\x02at");
    const LATER: Option<&[u8]> = Some(b"\x05later");

    #[test]
    fn an_image_without_what_did_not_change_has_the_hash_of_the_whole() {
        let layout = layout(true, &[], None);
        for (before, changed, after) in [
            ([ID, ONE, N, AT], [LEFT_OUT, TWO, LEFT_OUT, LEFT_OUT], [ID, TWO, N, AT]),
            ([ID, ONE, N, AT], [LEFT_OUT, NULL, LEFT_OUT, LATER], [ID, NULL, N, LATER]),
            ([ID, NULL, NULL, AT], [LEFT_OUT, LEFT_OUT, N, LEFT_OUT], [ID, NULL, N, AT]),
        ] {
            let whole = update(&layout, before, after);
            assert_eq!(update(&layout, before, changed), whole);
            let RowState::Image(hash) = whole.after else { panic!("{whole:?}") };
            assert_eq!(hash, xxh3_128(&image(&after)), "as the bytes of the whole image");
        }
    }

    #[test]
    fn an_image_that_leaves_columns_out_is_partial() {
        let layout = layout(true, &[], None);
        let only_key = [ID, LEFT_OUT, LEFT_OUT, LEFT_OUT];
        let first = update(&layout, only_key, [LEFT_OUT, TWO, LEFT_OUT, LEFT_OUT]);
        let other = update(&layout, only_key, [LEFT_OUT, ONE, LEFT_OUT, LEFT_OUT]);
        let elsewhere = update(&layout, only_key, [LEFT_OUT, LEFT_OUT, LEFT_OUT, TWO]);
        let parts = |state: RowState| match state {
            RowState::Partial { columns, values } => (columns, values),
            state => panic!("{state:?}"),
        };
        let [a, b, c] = [first, other, elsewhere].map(|row| parts(row.after));
        assert!(a.0 == b.0 && a.1 != b.1, "{a:?} {b:?}");
        assert!(a.0 != c.0 && a.1 == c.1, "{a:?} {c:?}");
        assert_eq!(first.before, other.before);
        assert_ne!(parts(first.before).0, a.0);
        let keys = first.keys.expect("the key is in the before image");
        assert_eq!(keys[0], keys[1]);
    }

    #[test]
    fn columns_that_are_ignored_do_not_count() {
        let plain = layout(true, &[], None);
        let layout = layout(true, &["AT", "nothing"], None);
        let early = update(&layout, [ID, ONE, N, AT], [ID, TWO, N, AT]);
        let late = update(&layout, [ID, ONE, N, LATER], [ID, TWO, N, NULL]);
        assert_eq!((early.before, early.after), (late.before, late.after));
        assert!(matches!(early.after, RowState::Image(_)));
        let without = update(&layout, [ID, ONE, N, LEFT_OUT], [ID, TWO, N, LEFT_OUT]);
        assert_eq!((early.before, early.after), (without.before, without.after));
        let merged = update(&layout, [ID, ONE, N, LEFT_OUT], [LEFT_OUT, TWO, LEFT_OUT, AT]);
        assert_eq!(merged.after, early.after);
        assert_ne!(early.after, update(&plain, [ID, ONE, N, AT], [ID, TWO, N, AT]).after);
        assert_ne!(layout.table.shape, plain.table.shape);
        assert!(layout.notes.is_empty());
    }

    #[test]
    fn bits_that_stand_for_no_column_do_not_count() {
        let layout = layout(true, &[], None);
        let whole = body(&[[ID, ONE, N, AT]]);
        let mut other = whole.clone();
        assert_eq!(other[2], 0xf0, "the bits of NULLs");
        other[2] = 0x50;
        let state = |body: &[u8]| try_walk(&layout, Operation::Insert, body).0.rows[0].after;
        assert_eq!(state(&whole), state(&other));
    }

    #[test]
    fn inserts_and_updates_take_unique_values() {
        let layout = layout(true, &[], Some(known()));
        let takes = |operation, rows: &[Row<'_>]| {
            let (tx, left_out) = walk(&layout, operation, rows);
            (tx.unique_takes.len(), left_out)
        };
        use Operation::{Delete, Insert, Update};
        let whole = [ID, ONE, N, AT];
        for (operation, rows, expected) in [
            (Insert, vec![whole], (1, 0)),
            (Insert, vec![[ID, NULL, N, AT]], (0, 0)),
            (Insert, vec![[ID, LEFT_OUT, LEFT_OUT, AT]], (0, 0)),
            (Insert, vec![[ID, ONE, LEFT_OUT, AT]], (0, 1)),
            (Delete, vec![whole], (0, 0)),
            (Update, vec![whole, [ID, ONE, N, LATER]], (0, 0)),
            (Update, vec![whole, [ID, TWO, N, AT]], (1, 0)),
            (Update, vec![whole, [LEFT_OUT, TWO, LEFT_OUT, LEFT_OUT]], (1, 0)),
            (Update, vec![whole, [ID, NULL, N, AT]], (0, 0)),
            (Update, vec![[ID, NULL, N, AT], whole], (1, 0)),
            (Update, vec![[ID, LEFT_OUT, LEFT_OUT, LEFT_OUT], [LEFT_OUT, TWO, N, AT]], (1, 0)),
            (Update, vec![[ID, LEFT_OUT, LEFT_OUT, LEFT_OUT], [LEFT_OUT, TWO, None, AT]], (0, 1)),
            (Update, vec![[ID, LEFT_OUT, LEFT_OUT, AT], [ID, LEFT_OUT, LEFT_OUT, AT]], (0, 0)),
        ] {
            assert_eq!(takes(operation, &rows), expected, "{operation:?} {rows:?}");
        }
        let (tx, _) = walk(&layout, Insert, &[whole]);
        let take = tx.unique_takes[0];
        assert_eq!((take.row, take.index), (0, 0));
        let columns = &layout.table.unique_keys[0].columns;
        let decoded = value::decode_key(&layout.table, columns, tx.key_bytes_of(&take.key));
        let decoded = decoded.expect("a key").into_iter().map(|(n, v)| (n, v.to_json()));
        let expected = [("v".to_owned(), "one".into()), ("n".to_owned(), 10.into())];
        assert_eq!(decoded.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_unique_key_never_meets_the_primary_one_or_another() {
        let mut known = known();
        known.unique_keys[0].parts = known.primary_key.clone();
        let other = UniqueSchema { name: "w".into(), ..known.unique_keys[0].clone() };
        known.unique_keys.push(other);
        let layout = layout(true, &[], Some(known));
        let (tx, _) = walk(&layout, Operation::Insert, &[[ID, ONE, N, AT]]);
        let mut hashes: Vec<u128> = tx.unique_takes.iter().map(|take| take.key.hash).collect();
        hashes.push(tx.rows[0].keys.expect("a key")[0].hash);
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 3);
    }

    #[test]
    fn text_is_compared_as_its_collation_does_and_shown_as_it_is() {
        let layout = layout(true, &[], Some(known()));
        let take = |v: &[u8]| {
            let (tx, _) = walk(&layout, Operation::Insert, &[[ID, Some(v), N, AT]]);
            let key = tx.unique_takes[0].key;
            (key.hash, tx.key_bytes_of(&key).to_vec())
        };
        let (ada, lower, other) = (take(b"\x03Ada"), take(b"\x04ada "), take(b"\x03Adb"));
        assert_eq!(ada.0, lower.0);
        assert_ne!(ada.1, lower.1);
        assert_ne!(ada.0, other.0);
    }

    #[test]
    fn the_schema_completes_what_the_log_leaves_out() {
        let bare = layout(false, &["at"], None);
        assert_eq!(bare.notes[0].0, BlindSpotReason::NoColumn);
        assert!(bare.primary.is_none());
        let layout = layout(false, &["at"], Some(known()));
        assert!(layout.notes.is_empty() && layout.ignored == [false, false, false, true]);
        let names = layout.table.columns.iter().map(|column| column.name.as_deref());
        assert!(names.eq(NAMES.map(Some)));
        assert_eq!(layout.table.primary_key, [0]);
        let unsigned = ColumnType::Int { bytes: 4, unsigned: true };
        assert_eq!(layout.table.columns[0].kind, unsigned);
        let (tx, _) = walk(&layout, Operation::Insert, &[[Some(&[0xff; 4]), ONE, N, AT]]);
        let key = tx.rows[0].keys.expect("a key")[0];
        assert_eq!(tx.key_bytes_of(&key), [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    }

    #[test]
    fn a_schema_of_another_time_is_not_used() {
        let mut short = known();
        short.columns.pop();
        let mut renamed = known();
        renamed.columns[3].name = "then".to_owned();
        let mut other_type = known();
        other_type.columns[1].definition = "bigint".to_owned();
        for (with_names, known) in [(true, short), (true, renamed), (false, other_type)] {
            let layout = layout(with_names, &[], Some(known));
            assert!(layout.is_stale && layout.uniques.is_empty());
            assert_eq!(layout.notes[0].0, BlindSpotReason::StaleSchema);
            assert_eq!(layout.primary.is_some(), with_names, "what the log says stays");
        }
    }

    #[test]
    fn columns_that_a_server_hides_make_no_schema_stale() {
        let mut shown = known();
        shown.columns.pop();
        let hidden = |name: &str| {
            let map = table_map(&["id", "v", "n", name]);
            let plan = TablePlan { known: Some(Arc::new(shown.clone())), ..TablePlan::default() };
            Layout::compile(&map, false, &|_| plan.clone()).expect("a table map").is_stale
        };
        assert!(!hidden("DB_ROW_HASH_1") && !hidden("row_end") && hidden("v2"));
    }

    #[test]
    fn a_unique_key_of_prefixes_is_noted_and_left_out() {
        let mut known = known();
        known.unique_keys[0].parts[0].prefix = Some(10);
        let layout = layout(true, &[], Some(known));
        assert_eq!(layout.notes[0].0, BlindSpotReason::NoKey);
        assert!(layout.uniques.is_empty() && layout.table.unique_keys.is_empty());
    }

    /// `s.t (id INT PRIMARY KEY, j JSON, c VARCHAR(100) COMPRESSED)`; no server has both types.
    fn documents() -> Layout {
        let mut body = b"\x01s\0\x01t\0\x03\x03\xf5\x8d\x03\x04\x65\0\x06".to_vec();
        body.extend(b"\x04\x07\x02id\x01j\x01c\x08\x01\0");
        Layout::compile(&body, false, &|_| TablePlan::default()).expect("a table map")
    }

    fn counted(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_le_bytes()[..], bytes].concat()
    }

    /// An image of row 7 with this document and compressed column.
    fn document(document: &[u8], compressed: &[u8]) -> Vec<u8> {
        let compressed = [&[compressed.len() as u8], compressed].concat();
        [b"\xf8\x07\0\0\0", &counted(document)[..], &compressed].concat()
    }

    fn rows_of(layout: &Layout, is_partial: bool, body: &[u8]) -> (Vec<RowChange>, Untold) {
        let mut tx = empty();
        let event = RowsEvent::open(Bytes(body), Operation::Update, is_partial, layout);
        let walked =
            event.and_then(|e| e.walk(layout, 0, &mut Scratch::default(), &mut tx, &mut endless()));
        (tx.rows, walked.expect("a row event"))
    }

    /// `{"a": 7, "b": [null, "x"]}`; then with a gap in the array; then with 8 for 7.
    const WITHOUT_GAP: &[u8] = b"\x00\x02\0\x22\0\x12\0\x01\0\x13\0\x01\0\x05\x07\0\x02\x14\0ab\
                                 \x02\0\x0c\0\x04\0\0\x0c\x0a\0\x01x\0\0";
    const WITH_GAP: &[u8] = b"\x00\x02\0\x23\0\x12\0\x01\0\x13\0\x01\0\x05\x07\0\x02\x14\0ab\
                              \x02\0\x0d\0\x04\0\0\x0c\x0b\0\x07\x01x\0\0";
    const OF_EIGHT: &[u8] = b"\x00\x02\0\x22\0\x12\0\x01\0\x13\0\x01\0\x05\x08\0\x02\x14\0ab\
                              \x02\0\x0c\0\x04\0\0\x0c\x0a\0\x01x\0\0";

    #[test]
    fn equal_content_has_one_hash_whatever_its_bytes() {
        let layout = documents();
        let states = |before: Vec<u8>, after: Vec<u8>| {
            let (rows, _) =
                rows_of(&layout, false, &[&b"\x03\xff\xff"[..], &before, &after].concat());
            (rows[0].before, rows[0].after)
        };
        let (gap, none) = states(document(WITH_GAP, b"\0ab"), document(WITHOUT_GAP, b"\0ab"));
        assert!(gap == none && matches!(gap, RowState::Image(_)));
        // "ab" as zlib stores it, with and without its header.
        let zlib = b"\x81\x02\x78\x9c\x4b\x4c\x02\0\x01\x26\0\xc4";
        let raw = b"\x89\x02\x4b\x4c\x02\0";
        let (one, other) = states(document(WITH_GAP, zlib), document(WITH_GAP, raw));
        assert!(one == gap && other == gap);
        let (eight, other) = states(document(OF_EIGHT, b"\0ab"), document(WITH_GAP, b"\0ac"));
        assert!(eight != gap && other != gap && eight != other);
        let (damaged, null) = states(document(b"\x63", b"\x01"), document(b"\x04\0", b""));
        assert!(damaged != null && matches!(damaged, RowState::Image(_)));
    }

    /// The after image of a partial update of the document.
    fn diffs(options: &[u8], diffs: &[u8]) -> Vec<u8> {
        let row = [b"\xf8\x07\0\0\0", &counted(diffs)[..], b"\x03\0ab"].concat();
        [options, &row].concat()
    }

    #[test]
    fn a_partial_update_has_the_hash_of_a_whole_one() {
        let layout = documents();
        let before = document(WITHOUT_GAP, b"\0ab");
        let update = |is_partial, after: &[u8]| {
            let body = [&b"\x03\xff\xff"[..], &before, after].concat();
            let (rows, untold) = rows_of(&layout, is_partial, &body);
            assert_eq!((rows.len(), untold.unique_values), (1, 0));
            (rows[0].after, untold.documents)
        };
        let whole = update(false, &document(OF_EIGHT, b"\0ab"));
        let to_eight = b"\0\x03$.a\x03\x05\x08\0";
        assert_eq!(update(true, &diffs(b"\x01\x01", to_eight)), whole);
        let unchanged = update(false, &before);
        assert_eq!(update(true, &diffs(b"\x01\x01", b"")), unchanged);
        assert_eq!(update(true, &[b"\x01\0", &before[..]].concat()), unchanged);
        assert_eq!(update(true, &[b"\0", &before[..]].concat()), unchanged);
        let (unknown, unfit) = update(true, &diffs(b"\x01\x01", b"\x02\x03$.z"));
        assert!(matches!(unknown, RowState::Partial { .. }) && unfit == 1);
        // The image before leaves the document out.
        let key = [&b"\x03\x01\xff\xfe\x07\0\0\0"[..], &diffs(b"\x01\x01", to_eight)].concat();
        let (rows, untold) = rows_of(&layout, true, &key);
        assert!(matches!(rows[0].after, RowState::Partial { .. }) && untold.documents == 0);
        let unknown = [&b"\x03\xff\xff"[..], &before, &diffs(b"\x03\x01", to_eight)].concat();
        let event = RowsEvent::open(Bytes(&unknown), Operation::Update, true, &layout);
        let walked = event.and_then(|e| {
            e.walk(&layout, 0, &mut Scratch::default(), &mut empty(), &mut endless())
        });
        assert_eq!(walked, Err(RowsError::Options));
    }

    #[test]
    fn no_row_event_panics() {
        let plain = layout(false, &[], Some(known()));
        let layouts = [layout(true, &["at"], Some(known())), plain, documents()];
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 0..60_000_u64 {
            let mut next = || {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random
            };
            let mut body: Vec<u8> = (0..next() % 60).map(|_| next() as u8 % 12).collect();
            let layout = &layouts[(round / 3 % 3) as usize];
            if let Some(count) = body.first_mut() {
                *count = layout.steps.len() as u8;
            }
            let operation = [Operation::Insert, Operation::Update, Operation::Delete];
            let operation = operation[(round % 3) as usize];
            let is_partial = operation == Operation::Update && round % 2 == 0;
            let mut tx = empty();
            let event = RowsEvent::open(Bytes(&body), operation, is_partial, layout);
            let _ =
                event.map(|e| e.walk(layout, 0, &mut Scratch::default(), &mut tx, &mut endless()));
            assert!(tx.rows.len() <= body.len() && tx.key_bytes.len() <= body.len() * 8);
        }
    }
}
