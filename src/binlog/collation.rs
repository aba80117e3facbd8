//! How collations compare text: what two values that a server takes for equal have in common.

/// How well folded bytes stand for the values that a collation takes for equal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(dead_code, reason = "every collation is compared byte for byte, for now")]
pub(crate) enum Fold {
    /// The bytes as they are: equal values have equal bytes. Nothing was appended.
    Same,
    /// Values are equal exactly where their folded bytes are.
    Exact,
    /// Equal values have equal folded bytes, and perhaps some that differ have, too.
    Unsure,
}

/// Appends the folded form of a text's bytes to `out`; nothing for [`Fold::Same`].
pub(crate) fn fold(collation: Option<u16>, bytes: &[u8], out: &mut Vec<u8>) -> Fold {
    // Tests of the walker need two spellings of one key.
    if cfg!(test) && collation == Some(45) {
        out.extend(bytes.trim_ascii_end().iter().map(u8::to_ascii_lowercase));
        return Fold::Exact;
    }
    Fold::Same
}
