//! What a restart goes on with: how the engine's memory stands in the store, and what is made of it
//! at the next start.

use crate::{
    config::Config,
    engine::{Remembered, Verifier},
    feed::live::ResumePoint,
    model::{CommitTime, Coordinates, Gtid, GtidSet},
    store::{Checkpoint, Store, StoreError},
};
use std::{
    collections::BTreeMap,
    io::{self, BufReader, BufWriter, Write},
};

/// The form of the memory: only an engine of the same sources reads it, see `build.rs`.
pub(super) const FORM: &str = env!("TWINLOG_MEMORY_FORM");

/// Hashes do not shrink, and the judge waits: the level that costs least.
const ZSTD_LEVEL: i32 = 1;

/// Writes all that the verifier remembers.
///
/// # Errors
/// What the writer says.
pub(super) fn write(verifier: &Verifier, into: &mut dyn Write) -> io::Result<()> {
    let packed = zstd::Encoder::new(into, ZSTD_LEVEL)?;
    let mut buffered = BufWriter::new(packed);
    rmp_serde::encode::write(&mut buffered, &verifier.memory()).map_err(io::Error::other)?;
    buffered.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
    Ok(())
}

/// Where one node's stream goes on.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) point: ResumePoint,
    /// The last transaction that was judged, if there was one.
    pub(super) at: Option<Coordinates>,
    pub(super) newest: CommitTime,
}

/// What a start begins with.
pub(super) struct Beginning {
    /// By node; those that the store does not know begin as `watch.start` says.
    pub(super) places: BTreeMap<String, Place>,
    /// What the engine remembers at these places.
    pub(super) memory: Option<Remembered>,
    /// Why it remembers nothing, although there are places.
    pub(super) forgot: Option<String>,
}

impl Beginning {
    /// A first start.
    pub(super) fn first() -> Beginning {
        Beginning { places: BTreeMap::new(), memory: None, forgot: None }
    }

    /// What the store has for the nodes of a configuration.
    ///
    /// # Errors
    /// What SQLite says. A memory that cannot be used is no error: it is forgotten, and `forgot`
    /// says why.
    pub(super) fn from_store(store: &Store, config: &Config) -> Result<Beginning, StoreError> {
        let checkpoints = store.checkpoints()?;
        let mut beginning = Beginning::first();
        for node in &config.nodes {
            let known = checkpoints.iter().find(|checkpoint| checkpoint.node == node.name);
            if let Some(place) = known.and_then(place) {
                beginning.places.insert(node.name.clone(), place);
            }
        }
        if beginning.places.is_empty() {
            return Ok(beginning);
        }
        let known: Vec<&str> = checkpoints.iter().map(|of| of.node.as_str()).collect();
        let same = known.len() == config.nodes.len()
            && config.nodes.iter().all(|node| beginning.places.contains_key(&node.name));
        match store.memory(FORM)? {
            _ if !same => {
                beginning.forgot = Some(format!("the nodes were {} before", known.join(", ")));
            }
            None => beginning.forgot = Some("another version of twinlog wrote it".to_owned()),
            Some(parts) => match read(parts) {
                Ok(memory) => beginning.memory = Some(memory),
                Err(error) => beginning.forgot = Some(format!("it cannot be read: {error}")),
            },
        }
        Ok(beginning)
    }
}

fn read(parts: impl io::Read) -> anyhow::Result<Remembered> {
    let unpacked = BufReader::new(zstd::Decoder::new(parts)?);
    Ok(rmp_serde::from_read(unpacked)?)
}

/// `None` where the store holds what is no GTID: then the node begins anew.
fn place(checkpoint: &Checkpoint) -> Option<Place> {
    let set = |text: &str| text.parse::<GtidSet>().ok();
    let at = (!checkpoint.file.is_empty()).then(|| Coordinates {
        file: checkpoint.file.as_str().into(),
        start: checkpoint.start,
        end: checkpoint.offset,
    });
    Some(Place {
        point: ResumePoint {
            set: set(&checkpoint.gtid_set)?,
            heads: heads_of(&checkpoint.heads)?,
            purged: set(&checkpoint.purged)?,
            at: at.clone(),
            last: heads_of(&checkpoint.last)?.pop(),
        },
        at,
        newest: CommitTime::from_micros(checkpoint.committed_at),
    })
}

/// The last GTID of each source in a text.
fn heads_of(text: &str) -> Option<Vec<Gtid>> {
    let set = text.parse::<GtidSet>().ok()?;
    let heads = set.iter().filter_map(|(source, ranges)| {
        ranges.last().map(|(_, sequence)| Gtid { source: *source, sequence: *sequence })
    });
    Some(heads.collect())
}
