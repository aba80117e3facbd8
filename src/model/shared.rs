//! Values that many hold, written down once.
//!
//! A table or a file's name is held by thousands of rows and findings, through an [`Arc`]. Within
//! [`once`] it is written when it is met first; after that its number stands for it, and who reads
//! it back holds one value again, not thousands. Elsewhere every value is written whole.
//!
//! serde hands no context from value to value, so the numbers are kept per thread.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{any::Any, cell::RefCell, collections::BTreeMap, sync::Arc};

thread_local! {
    static KNOWN: RefCell<Option<Known>> = const { RefCell::new(None) };
}

/// What was written or read so far, and its number.
#[derive(Default)]
struct Known {
    /// By address: the values live at least as long as the writing lasts.
    written: BTreeMap<usize, u32>,
    read: BTreeMap<u32, Box<dyn Any>>,
}

/// The number of a value that is written outside of [`once`].
const ALONE: u32 = u32::MAX;

/// Writes or reads with every shared value once. Calls do not nest.
pub(crate) fn once<T>(work: impl FnOnce() -> T) -> T {
    /// Forgets what was known, also where the work panics.
    struct Forget;
    impl Drop for Forget {
        fn drop(&mut self) {
            KNOWN.set(None);
        }
    }
    KNOWN.set(Some(Known::default()));
    let _forget = Forget;
    work()
}

/// A handle to a value that others may hold, too.
pub(crate) trait Handle: Clone + 'static {
    /// The value as it is written.
    type Value: Serialize + ?Sized;
    /// The value as it is read.
    type Read: for<'de> Deserialize<'de>;
    /// The value.
    fn value(&self) -> &Self::Value;
    /// A handle to what was read.
    fn new(read: Self::Read) -> Self;
}

impl<T: Serialize + for<'de> Deserialize<'de> + 'static> Handle for Arc<T> {
    type Value = T;
    type Read = T;
    fn value(&self) -> &T {
        self
    }
    fn new(read: T) -> Self {
        Arc::new(read)
    }
}

impl Handle for Arc<str> {
    type Value = str;
    type Read = String;
    fn value(&self) -> &str {
        self
    }
    fn new(read: String) -> Self {
        read.into()
    }
}

/// For `#[serde(with)]`.
pub(crate) fn serialize<H: Handle, S: Serializer>(
    handle: &H,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let value = handle.value();
    let address = std::ptr::from_ref(value).cast::<()>().addr();
    let number = KNOWN.with_borrow_mut(|known| {
        let Some(Known { written, .. }) = known else { return (ALONE, true) };
        let next = written.len() as u32;
        let number = *written.entry(address).or_insert(next);
        (number, number == next)
    });
    match number {
        (number, true) => (number, Some(value)).serialize(serializer),
        (number, false) => (number, None::<&H::Value>).serialize(serializer),
    }
}

/// For `#[serde(with)]`.
pub(crate) fn deserialize<'de, H: Handle, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<H, D::Error> {
    let (number, value) = <(u32, Option<H::Read>)>::deserialize(deserializer)?;
    let value = value.map(H::new);
    let held = KNOWN.with_borrow_mut(|known| match (known, value) {
        (Some(known), Some(value)) if number != ALONE => {
            known.read.insert(number, Box::new(value.clone()));
            Some(value)
        }
        (_, Some(value)) => Some(value),
        (Some(known), None) => known.read.get(&number)?.downcast_ref::<H>().cloned(),
        (None, None) => None,
    });
    held.ok_or_else(|| D::Error::custom("a number stands for a value that was not written"))
}

/// For `#[serde(with)]`: handles in a row.
pub(crate) mod list {
    use super::{Handle, Shared};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<H: Handle, S: Serializer>(
        handles: &[H],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(handles.iter().map(|handle| Shared(handle.clone())))
    }

    pub(crate) fn deserialize<'de, H: Handle, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<H>, D::Error> {
        let handles = Vec::<Shared<H>>::deserialize(deserializer)?;
        Ok(handles.into_iter().map(|handle| handle.0).collect())
    }
}

/// A handle within another type, as in `Vec<Shared<Arc<Table>>>`.
#[derive(Clone, Debug)]
pub(crate) struct Shared<H>(pub(crate) H);

impl<H: Handle> Serialize for Shared<H> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&self.0, serializer)
    }
}

impl<'de, H: Handle> Deserialize<'de> for Shared<H> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer).map(Shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Names = Vec<Shared<Arc<str>>>;

    fn names(text: &[&Arc<str>]) -> Names {
        text.iter().map(|name| Shared((*name).clone())).collect()
    }

    #[test]
    fn a_value_is_written_once_and_held_by_all() {
        let (a, b): (Arc<str>, Arc<str>) = ("a-bin.000001".into(), "b".into());
        let names = names(&[&a, &b, &a, &a]);
        let written = once(|| serde_json::to_string(&names)).unwrap();
        assert_eq!(written, r#"[[0,"a-bin.000001"],[1,"b"],[0,null],[0,null]]"#);
        let read: Names = once(|| serde_json::from_str(&written)).unwrap();
        let texts: Vec<&str> = read.iter().map(|name| &*name.0).collect();
        assert_eq!(texts, ["a-bin.000001", "b", "a-bin.000001", "a-bin.000001"]);
        assert!(Arc::ptr_eq(&read[0].0, &read[3].0));
    }

    #[test]
    fn alone_a_value_is_written_whole() {
        let a: Arc<str> = "a".into();
        let written = serde_json::to_string(&names(&[&a, &a])).unwrap();
        let read: Names = serde_json::from_str(&written).unwrap();
        assert_eq!(read.iter().map(|name| &*name.0).collect::<Vec<_>>(), ["a", "a"]);
        assert!(serde_json::from_str::<Names>("[[0,null]]").is_err());
        assert!(once(|| serde_json::from_str::<Names>("[[7,null]]")).is_err());
    }
}
