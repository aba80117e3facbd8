//! A whole file, as a scan reads it.

use super::super::framing::{check, plans};
use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    os::fd::AsRawFd,
    path::PathBuf,
};
use twinlog::{
    binlog::event::{Format, HEADER_BYTES, Header, kind},
    feed::{BinlogFile, FeedError, FeedItem, FileFeed},
};

/// Input: what is to be mended, and a file. Where checksums are mended, damage comes past them.
pub fn file(data: &[u8]) {
    let Some((how, bytes)) = data.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if how & 1 == 1 {
        mend(&mut bytes);
    }
    let file = Unnamed::with(&bytes);
    let name = "a-bin.000001".to_owned();
    let source = BinlogFile { path: file.path(), name, bytes: bytes.len() as u64 };
    let (mut read, mut items, mut last) = (0, 0, 0);
    let mut feed = FileFeed::new("a", plans(how >> 2 & 3)).bounded(1 << 20);
    let end = feed.run(&[source], |item, count| {
        items += 1;
        read += count;
        match item {
            FeedItem::Begin(_) => assert_eq!(items, 1, "a stream begins once"),
            FeedItem::Transaction(tx) => {
                check(&tx, bytes.len() as u64);
                assert!(tx.coordinates.start >= last);
                last = tx.coordinates.end;
            }
            FeedItem::Gap { .. } | FeedItem::Standing { .. } => {}
        }
        true
    });
    assert!(read <= bytes.len() as u64);
    match end {
        Ok(()) => assert!(items > 0, "a stream that ends has begun"),
        Err(FeedError::Read { file, offset, source, hint, .. }) => {
            assert!(file == "a-bin.000001" && offset <= bytes.len() as u64, "{source} {hint}");
        }
        Err(other) => panic!("{other}"),
    }
}

/// Gives every event the checksum of what it is.
pub fn mend(bytes: &mut [u8]) {
    let (mut at, mut checksums) = (4, true);
    while let Some(Ok(header)) = bytes.get(at..).map(Header::read) {
        let Some(event) = (header.event_bytes as usize)
            .checked_add(at)
            .filter(|_| header.event_bytes as usize >= HEADER_BYTES + 4)
            .and_then(|end| bytes.get_mut(at..end))
        else {
            return;
        };
        let is_format = header.kind == kind::FORMAT_DESCRIPTION;
        let body = event.len() - 4;
        if is_format {
            checksums = Format::read(event).is_ok_and(|format| format.checksums);
        }
        if checksums || is_format {
            let mut whole = event[..body].to_vec();
            if is_format {
                whole[17] &= !1;
            }
            event[body..].copy_from_slice(&crc32fast::hash(&whole).to_le_bytes());
        }
        at += event.len();
    }
}

/// A file without a name: nothing is left behind, however this ends.
struct Unnamed(File);

impl Unnamed {
    fn with(bytes: &[u8]) -> Unnamed {
        let at = std::env::temp_dir().join(format!(
            "twinlog-fuzz-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        let options = File::options().read(true).write(true).create(true).truncate(true).open(&at);
        let mut file = options.expect("a file in the directory for temporary ones");
        std::fs::remove_file(&at).expect("it was just made");
        file.write_all(bytes).expect("a write");
        file.seek(SeekFrom::Start(0)).expect("a seek");
        Unnamed(file)
    }

    fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}
