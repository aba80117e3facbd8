//! A document as a tree, to apply diffs to.

use super::{Scalar, Sink, walk};
use crate::binlog::bytes::Short;
use std::borrow::Cow;

/// A value with all that it holds; text is borrowed from the log.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Node<'a> {
    Scalar(Scalar<'a>),
    Array(Vec<Node<'a>>),
    /// In the server's order of keys.
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// Where a key stands in the server's order, or would: shorter keys come first, then by bytes.
pub(super) fn find(members: &[(Cow<'_, str>, Node<'_>)], key: &str) -> Result<usize, usize> {
    members.binary_search_by(|(known, _)| {
        (known.len(), known.as_bytes()).cmp(&(key.len(), key.as_bytes()))
    })
}

impl<'a> Node<'a> {
    /// Reads a binary document.
    ///
    /// # Errors
    /// As [`walk`].
    pub(super) fn read(bytes: &'a [u8]) -> Result<Node<'a>, Short> {
        let mut builder = Builder { open: Vec::new(), whole: None };
        walk(bytes, &mut builder)?;
        builder.whole.ok_or(Short)
    }

    /// Tells the document.
    ///
    /// # Errors
    /// The sink's; and for a tree that is deeper than the server allows.
    pub(super) fn tell<'n>(&'n self, sink: &mut impl Sink<'n>) -> Result<(), Short> {
        self.tell_within(super::DEPTH_MAX, sink)
    }

    fn tell_within<'n>(&'n self, depth: usize, sink: &mut impl Sink<'n>) -> Result<(), Short> {
        match self {
            Node::Scalar(value) => return sink.scalar(*value),
            Node::Array(values) => {
                let depth = depth.checked_sub(1).ok_or(Short)?;
                sink.open(false, values.len())?;
                values.iter().try_for_each(|value| value.tell_within(depth, sink))?;
            }
            Node::Object(members) => {
                let depth = depth.checked_sub(1).ok_or(Short)?;
                sink.open(true, members.len())?;
                for (key, value) in members {
                    sink.key(key)?;
                    value.tell_within(depth, sink)?;
                }
            }
        }
        sink.close()
    }
}

/// Builds a tree of what it is told.
struct Builder<'a> {
    /// Containers that have begun and not ended, each with the key of the value that comes next.
    open: Vec<(Node<'a>, &'a str)>,
    whole: Option<Node<'a>>,
}

impl<'a> Builder<'a> {
    fn add(&mut self, node: Node<'a>) {
        match self.open.last_mut() {
            Some((Node::Array(values), _)) => values.push(node),
            Some((Node::Object(members), key)) => members.push((Cow::Borrowed(*key), node)),
            _ => self.whole = Some(node),
        }
    }
}

impl<'a> Sink<'a> for Builder<'a> {
    fn scalar(&mut self, value: Scalar<'a>) -> Result<(), Short> {
        self.add(Node::Scalar(value));
        Ok(())
    }

    fn open(&mut self, is_object: bool, _: usize) -> Result<(), Short> {
        let node = if is_object { Node::Object(Vec::new()) } else { Node::Array(Vec::new()) };
        self.open.push((node, ""));
        Ok(())
    }

    fn key(&mut self, key: &'a str) -> Result<(), Short> {
        if let Some((_, next)) = self.open.last_mut() {
            *next = key;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Short> {
        let (node, _) = self.open.pop().ok_or(Short)?;
        self.add(node);
        Ok(())
    }
}
