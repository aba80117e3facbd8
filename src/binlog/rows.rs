//! The row walker: steps over the images of a row event, hashing keys and images.
//!
//! Nothing is decoded but the columns of the key and of a row ownership rule, and nothing is
//! allocated per row but what the transaction keeps.

use super::{
    bytes::{Bytes, Short},
    layout::{Layout, NOT_IN_KEY, Step},
    value,
};
use crate::model::{Key, Operation, RowChange, RowState, RuleValue, Transaction};
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

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
}

impl<'a> Columns<'a> {
    fn read(bytes: &mut Bytes<'a>, columns: usize) -> Result<Self, Short> {
        let present = bytes.take(columns.div_ceil(8))?;
        let count = (0..columns).filter(|at| bit(present, *at)).count();
        Ok(Columns { present, count, all: count == columns })
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

/// Where the values of an image stand, reused from row to row.
#[derive(Default)]
pub(crate) struct Spans {
    /// Per key column: its bytes within the event's images; `None` where the image leaves it out.
    key: Vec<Option<(usize, usize)>>,
    /// The rule's column likewise; `Some(None)` is NULL.
    rule: Option<Option<(usize, usize)>>,
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
        let before = Columns::read(&mut body, map)?;
        let after = match operation {
            Operation::Update => Columns::read(&mut body, map)?,
            _ => before,
        };
        Ok(RowsEvent { operation, before, after, images: body.0 })
    }

    /// Adds every row to the transaction, as rows of its table number `table`.
    ///
    /// # Errors
    /// Rows before the broken one have been added; never panics.
    pub(crate) fn walk(
        &self,
        layout: &Layout,
        table: u32,
        spans: &mut [Spans; 2],
        tx: &mut Transaction,
    ) -> Result<(), RowsError> {
        let mut at = 0;
        while at < self.images.len() {
            let start = at;
            let [first, second] = spans;
            let (before, after) = match self.operation {
                Operation::Insert => {
                    let after = self.image(layout, &self.after, &mut at, second)?;
                    (RowState::Absent, after)
                }
                Operation::Delete => {
                    let before = self.image(layout, &self.before, &mut at, first)?;
                    (before, RowState::Absent)
                }
                Operation::Update => {
                    let before = self.image(layout, &self.before, &mut at, first)?;
                    let after = self.image(layout, &self.after, &mut at, second)?;
                    // What the after image leaves out is as it was.
                    for (after, before) in second.key.iter_mut().zip(&first.key) {
                        *after = after.or(*before);
                    }
                    (before, after)
                }
            };
            if at == start {
                // A table whose rows take no bytes would never end.
                return Err(Short.into());
            }
            let keys = self.keys(layout, spans, tx)?;
            let rule_values = self.rule_values(layout, spans, tx);
            let operation = self.operation;
            tx.rows.push(RowChange { table, operation, rule_values, keys, before, after });
        }
        Ok(())
    }

    /// Steps over one image from `at`; notes where the key's and the rule's columns stand.
    #[inline]
    fn image(
        &self,
        layout: &Layout,
        columns: &Columns<'_>,
        at: &mut usize,
        spans: &mut Spans,
    ) -> Result<RowState, RowsError> {
        let start = *at;
        let null_bytes = columns.count.div_ceil(8);
        let nulls = self.images.get(start..start + null_bytes).ok_or(Short)?;
        let mut end = start + null_bytes;
        spans.key.clear();
        spans.key.resize(layout.table.primary_key.len(), None);
        spans.rule = None;
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
            let key = layout.key_place[column];
            if key != NOT_IN_KEY && !is_null {
                spans.key[usize::from(key)] = Some((from, end));
            }
            if layout.rule_column == Some(column) {
                spans.rule = Some((!is_null).then_some((from, end)));
            }
        }
        let image = self.images.get(start..end).ok_or(Short)?;
        *at = end;
        Ok(match columns.all {
            true => RowState::Image(xxh3_128(image)),
            false => RowState::Partial {
                columns: xxh3_128(columns.present) as u32,
                values: xxh3_128(image) as u32,
            },
        })
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

    /// The row's key before and after; `None` when the log names none, or not all of it.
    fn keys(
        &self,
        layout: &Layout,
        spans: &[Spans; 2],
        tx: &mut Transaction,
    ) -> Result<Option<[Key; 2]>, RowsError> {
        if layout.table.primary_key.is_empty() {
            return Ok(None);
        }
        let [first, second] = spans;
        let keys = match self.operation {
            Operation::Insert => self.key(layout, second, tx)?.map(|key| [key, key]),
            Operation::Delete => self.key(layout, first, tx)?.map(|key| [key, key]),
            Operation::Update => {
                let before = self.key(layout, first, tx)?;
                if self.same_key(first, second) {
                    before.map(|key| [key, key])
                } else {
                    before.zip(self.key(layout, second, tx)?).map(Into::into)
                }
            }
        };
        Ok(keys)
    }

    fn same_key(&self, first: &Spans, second: &Spans) -> bool {
        let bytes = |span: &Option<(usize, usize)>| span.map(|(from, to)| &self.images[from..to]);
        first.key.iter().map(bytes).eq(second.key.iter().map(bytes))
    }

    /// Appends the canonical key to the transaction's key bytes and hashes it.
    fn key(
        &self,
        layout: &Layout,
        spans: &Spans,
        tx: &mut Transaction,
    ) -> Result<Option<Key>, RowsError> {
        let start = tx.key_bytes.len();
        for (span, column) in spans.key.iter().zip(&layout.table.primary_key) {
            let Some((from, to)) = *span else {
                tx.key_bytes.truncate(start);
                return Ok(None);
            };
            let kind = &layout.table.columns[usize::from(*column)].kind;
            value::canonicalize(kind, &self.images[from..to], &mut tx.key_bytes)?;
        }
        let bytes = &tx.key_bytes[start..];
        let hash = xxh3_128_with_seed(bytes, layout.table.id.0 as u64);
        let (Ok(start), Ok(len)) = (u32::try_from(start), u32::try_from(bytes.len())) else {
            // Past 4 GiB of keys in one transaction; the rest of it counts as keyless.
            tx.key_bytes.truncate(start);
            return Ok(None);
        };
        Ok(Some(Key { hash, start, len, spelling: 0 }))
    }

    /// Appends the two values of the rule's column, and gives their place.
    fn rule_values(
        &self,
        layout: &Layout,
        spans: &[Spans; 2],
        tx: &mut Transaction,
    ) -> Option<u32> {
        let column = layout.rule_column?;
        let kind = &layout.table.columns[column].kind;
        let place = u32::try_from(tx.rule_values.len()).ok()?;
        let absent = match self.operation {
            Operation::Insert => [true, false],
            Operation::Delete => [false, true],
            Operation::Update => [false, false],
        };
        for (spans, absent) in spans.iter().zip(absent) {
            tx.rule_values.push(match (absent, spans.rule) {
                (true, _) => RuleValue::NoRow,
                (false, None) => RuleValue::NotLogged,
                (false, Some(None)) => RuleValue::Null,
                (false, Some(Some((from, to)))) => value::rule_value(kind, &self.images[from..to]),
            });
        }
        Some(place)
    }
}

/// Bit `at` of a bitmap, the first in the lowest bit; past its end 0.
#[inline]
fn bit(bitmap: &[u8], at: usize) -> bool {
    bitmap.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}
