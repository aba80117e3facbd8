//! The row walker: steps over the images of a row event, hashing keys and images.
//!
//! Nothing is decoded but the columns of keys and of a row ownership rule, and nothing is
//! allocated per row but what the transaction keeps.
//!
//! An image that has all columns is hashed as it stands. Where columns are left out, by the server
//! or by the configuration, it is put together anew in the same form: first one bit per column that
//! says whether it is NULL, the last byte filled up with ones as servers do, then the values in
//! column order. So a row has one hash however much of it two servers log.

use super::{
    bytes::{Bytes, Short},
    collation::Fold,
    layout::{KeyPlan, Layout, NO_SLOT, Step},
    value,
};
use crate::model::{Key, Operation, RowChange, RowState, RuleValue, Transaction, UniqueTake};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128, xxh3_128_with_seed};

/// A row event, opened: what its images contain.
pub(crate) struct RowsEvent<'a> {
    operation: Operation,
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
}

impl Slot {
    /// This one, or the other where the image leaves it out.
    fn or(self, other: Slot) -> Slot {
        if self == Slot::Missing { other } else { self }
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
        Ok(RowsEvent { operation, before, after, images: body.0 })
    }

    /// Adds every row to the transaction, as rows of its table number `table`.
    ///
    /// # Output
    /// How many values of unique keys could not be told, because the images leave out columns.
    ///
    /// # Errors
    /// Rows before the broken one have been added; never panics.
    pub(crate) fn walk(
        &self,
        layout: &Layout,
        table: u32,
        scratch: &mut Scratch,
        tx: &mut Transaction,
    ) -> Result<u64, RowsError> {
        let (mut at, mut left_out) = (0, 0);
        while at < self.images.len() {
            let start = at;
            let (before, after) = self.states(layout, &mut at, scratch)?;
            if at == start {
                // A table whose rows take no bytes would never end.
                return Err(Short.into());
            }
            let keys = self.keys(layout, scratch, tx)?;
            let rule_values = self.rule_values(layout, scratch, tx);
            if !layout.uniques.is_empty() && self.operation != Operation::Delete {
                left_out += self.unique_takes(layout, scratch, tx)?;
            }
            let operation = self.operation;
            tx.rows.push(RowChange { table, operation, rule_values, keys, before, after });
        }
        Ok(left_out)
    }

    /// Steps over the images of one row; gives its states before and after.
    #[inline]
    fn states(
        &self,
        layout: &Layout,
        at: &mut usize,
        scratch: &mut Scratch,
    ) -> Result<(RowState, RowState), RowsError> {
        let Scratch { before: first, after: second, bytes, known } = scratch;
        let mut state = |stepped: &Stepped<'_>, spans: &Spans| match stepped.as_is {
            true => RowState::Image(xxh3_128(stepped.image)),
            false => self.anew(layout, &spans.columns, bytes, known),
        };
        Ok(match self.operation {
            Operation::Insert => {
                let after = self.step_over(layout, &self.after, at, second, false)?;
                (RowState::Absent, state(&after, second))
            }
            Operation::Delete => {
                let before = self.step_over(layout, &self.before, at, first, false)?;
                (state(&before, first), RowState::Absent)
            }
            Operation::Update => {
                // MariaDB's FULL_NODUP logs after a whole image only what changed.
                let merged = self.before.complete && !self.after.complete;
                let before = self.step_over(layout, &self.before, at, first, merged)?;
                let after = self.step_over(layout, &self.after, at, second, merged)?;
                // What the after image leaves out is as it was.
                for (after, before) in second.slots.iter_mut().zip(&first.slots) {
                    *after = after.or(*before);
                }
                if merged {
                    for (after, before) in second.columns.iter_mut().zip(&first.columns) {
                        *after = after.or(*before);
                    }
                }
                (state(&before, first), state(&after, second))
            }
        })
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
        let as_is = columns.all && layout.ignored.is_empty() && is_filled_up(nulls, columns.count);
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
        for (_, span) in columns.iter().enumerate().filter(|(at, _)| !is_ignored(*at)) {
            if let Slot::At(from, to) = *span {
                bytes.extend_from_slice(&self.images[from..to]);
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
                Slot::Null => RuleValue::Null,
                Slot::At(from, to) => value::rule_value(kind, &self.images[from..to]),
            });
        }
        Some(place)
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
