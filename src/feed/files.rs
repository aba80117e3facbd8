//! Streams from binlog files and directories of them.

use super::{
    FeedError, FeedItem,
    continuity::{Continuity, Fit},
    error::{RELAY_HINT, read_hint},
    window::{Window, WindowError},
};
use crate::binlog::{Progress, ReadError, StreamReader, TablePlans, event};
use crate::model::GtidSet;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

/// One binlog file of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BinlogFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its base name as the server knows it, without `.gz` or `.zst`.
    pub name: String,
    /// Its length on disk, in bytes.
    pub bytes: u64,
}

impl BinlogFile {
    /// Whether it is compressed as a file.
    pub fn is_packed(&self) -> bool {
        self.path.extension().is_some_and(|ending| ending == "gz" || ending == "zst")
    }
}

/// Finds the binlog files that a source on the command line names, in stream order.
///
/// # Input
/// A file, or a directory: there, what the server's `.index` lists, else all files that are
/// numbered like binlogs, by number.
///
/// # Errors
/// A source that does not exist, is ambiguous or holds no binlogs, and an index that names a file
/// which is not there.
pub fn resolve_source(node: &str, source: &Path) -> Result<Vec<BinlogFile>, FeedError> {
    if !source.exists() && is_pattern(&base_name(source)) {
        return matching_files(node, source);
    }
    let found = fs::metadata(source).map_err(|error| FeedError::Io {
        node: node.into(),
        path: source.into(),
        source: error,
    })?;
    if !found.is_dir() {
        return Ok(vec![binlog_file(node, source)?]);
    }
    let paths = match index_of(node, source)? {
        Some(index) => listed_files(node, source, &index)?,
        None => numbered_files(node, source)?,
    };
    paths.iter().map(|path| binlog_file(node, path)).collect()
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// The files that a pattern names, by name: a shell does not expand `NODE=PATTERN`.
fn matching_files(node: &str, pattern: &Path) -> Result<Vec<BinlogFile>, FeedError> {
    let name = pattern.file_name().unwrap_or_default().to_string_lossy();
    let glob = globset::Glob::new(&name).map_err(|error| {
        source_error(node, pattern, error.to_string(), "name the files one by one")
    })?;
    let glob = glob.compile_matcher();
    let directory = pattern.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut paths = entries(node, directory.unwrap_or(Path::new(".")))?;
    paths.retain(|path| glob.is_match(path.file_name().unwrap_or_default()) && !is_index(path));
    if !is_relay_log(&name) {
        leave_relay_logs_out(node, pattern, &mut paths)?;
    }
    // The plain file sorts before the packed ones of the same name.
    paths.dedup_by_key(|path| base_name(path));
    if paths.is_empty() {
        let problem = "no file matches this pattern".to_owned();
        return Err(source_error(node, pattern, problem, "try the directory itself"));
    }
    paths.iter().map(|path| binlog_file(node, path)).collect()
}

fn is_index(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "index")
}

/// Relay logs may stand beside binlogs, and look like them.
fn is_relay_log(name: &str) -> bool {
    name.contains("relay")
}

/// Takes the relay logs out.
///
/// # Errors
/// Nothing else is there.
fn leave_relay_logs_out(
    node: &str,
    source: &Path,
    paths: &mut Vec<PathBuf>,
) -> Result<(), FeedError> {
    let before = paths.len();
    paths.retain(|path| !is_relay_log(&base_name(path)));
    if paths.is_empty() && before > 0 {
        let problem = "only relay logs here".to_owned();
        return Err(source_error(node, source, problem, RELAY_HINT));
    }
    Ok(())
}

fn binlog_file(node: &str, path: &Path) -> Result<BinlogFile, FeedError> {
    let found = fs::metadata(path).map_err(|error| FeedError::Io {
        node: node.into(),
        path: path.into(),
        source: error,
    })?;
    Ok(BinlogFile { path: path.to_owned(), name: base_name(path), bytes: found.len() })
}

fn base_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(&name);
    name.to_owned()
}

fn source_error(node: &str, path: &Path, problem: String, hint: &str) -> FeedError {
    FeedError::Source { node: node.into(), path: path.into(), problem, hint: hint.into() }
}

fn entries(node: &str, directory: &Path) -> Result<Vec<PathBuf>, FeedError> {
    let io = |source| FeedError::Io { node: node.into(), path: directory.into(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(io)? {
        paths.push(entry.map_err(io)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// The index of the directory's binlogs; relay logs have one of their own beside it.
fn index_of(node: &str, directory: &Path) -> Result<Option<PathBuf>, FeedError> {
    let mut indices = entries(node, directory)?;
    indices.retain(|path| is_index(path) && !is_relay_log(&base_name(path)));
    match indices.as_slice() {
        [] => Ok(None),
        [index] => Ok(Some(index.clone())),
        several => {
            let names: Vec<_> = several.iter().map(|path| base_name(path)).collect();
            let problem = format!("several index files: {}", names.join(", "));
            let hint = "name the binlog files themselves, one NODE=FILE each";
            Err(source_error(node, directory, problem, hint))
        }
    }
}

/// The files an index lists, taken from beside it: it may have been copied from elsewhere.
fn listed_files(node: &str, directory: &Path, index: &Path) -> Result<Vec<PathBuf>, FeedError> {
    let text = fs::read_to_string(index).map_err(|error| FeedError::Io {
        node: node.into(),
        path: index.into(),
        source: error,
    })?;
    let mut paths = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let name = Path::new(line).file_name().unwrap_or_default();
        let plain = directory.join(name);
        let packed = [".zst", ".gz"].map(|ending| {
            let mut name = name.to_owned();
            name.push(ending);
            directory.join(name)
        });
        let found = std::iter::once(plain.clone()).chain(packed).find(|path| path.exists());
        let Some(path) = found else {
            let problem = format!("{} lists it, but it is not there", base_name(index));
            let hint = "copy the missing file, or name the files to scan one by one";
            return Err(source_error(node, &plain, problem, hint));
        };
        paths.push(path);
    }
    if paths.is_empty() {
        let problem = "the index lists no binlogs".to_owned();
        return Err(source_error(node, index, problem, "is log_bin on?"));
    }
    Ok(paths)
}

/// All files of one base name with a number, by number.
fn numbered_files(node: &str, directory: &Path) -> Result<Vec<PathBuf>, FeedError> {
    let mut paths = entries(node, directory)?;
    paths.retain(|path| base_and_number(path).is_some());
    leave_relay_logs_out(node, directory, &mut paths)?;
    let mut by_base: BTreeMap<String, BTreeMap<u64, PathBuf>> = BTreeMap::new();
    for path in paths {
        let Some((base, number)) = base_and_number(&path) else { continue };
        // The plain file sorts before the packed ones of the same name.
        by_base.entry(base).or_default().entry(number).or_insert(path);
    }
    let bases: Vec<&String> = by_base.keys().collect();
    match bases.as_slice() {
        [_] => Ok(by_base.into_values().flat_map(BTreeMap::into_values).collect()),
        [] => {
            let problem = "no binlogs in this directory".to_owned();
            let hint = "binlogs are named like mysql-bin.000001; is this the server's log_bin \
                        directory?";
            Err(source_error(node, directory, problem, hint))
        }
        several => {
            let problem = format!("binlogs of several base names: {several:?}");
            let hint = "name the binlog files themselves, one NODE=FILE each";
            Err(source_error(node, directory, problem, hint))
        }
    }
}

/// `mysql-bin` and 1 of `mysql-bin.000001`.
fn base_and_number(path: &Path) -> Option<(String, u64)> {
    let name = base_name(path);
    let (base, number) = name.rsplit_once('.')?;
    let digits = number.len() >= 6 && number.bytes().all(|byte| byte.is_ascii_digit());
    Some((base.to_owned(), number.parse().ok().filter(|_| digits)?))
}

pub(super) fn open(
    node: &str,
    file: &BinlogFile,
) -> Result<Window<Box<dyn Read + Send>>, FeedError> {
    let io = |source| FeedError::Io { node: node.to_owned(), path: file.path.clone(), source };
    let plain = File::open(&file.path).map_err(io)?;
    let input: Box<dyn Read + Send> = match file.path.extension().and_then(|e| e.to_str()) {
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(plain)),
        Some("zst") => Box::new(zstd::Decoder::new(plain).map_err(io)?),
        _ => Box::new(plain),
    };
    Ok(Window::new(input))
}

/// The server ids of the servers that wrote these files, as their format descriptions say.
///
/// Ends before a later file that cannot be read: the feed tells of that one at its place, after
/// the findings before it.
///
/// # Errors
/// A first file that cannot be opened, is no binlog, or whose first event is damaged.
pub fn file_server_ids(node: &str, files: &[BinlogFile]) -> Result<Vec<u32>, FeedError> {
    let mut ids = Vec::new();
    for file in files {
        match server_id(node, file) {
            Ok(id) => ids.push(id),
            Err(error) if ids.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// The server id in a file's format description, whose checksum is verified: a damaged one must
/// not name another server.
fn server_id(node: &str, file: &BinlogFile) -> Result<u32, FeedError> {
    let mut window = open(node, file)?;
    window.magic().map_err(|error| window_error(node, file, 0, error, false))?;
    let fail = |error| window_error(node, file, 4, error, false);
    let Some((_, bytes)) = window.event().map_err(fail)? else {
        return Err(fail(WindowError::Read(ReadError::Truncated)));
    };
    let fail = |error| fail(WindowError::Read(error));
    let header = event::Header::read(bytes).map_err(|error| fail(error.into()))?;
    if header.kind != event::kind::FORMAT_DESCRIPTION {
        return Err(fail(ReadError::NoFormat));
    }
    if event::is_relay_log(bytes) {
        return Err(fail(ReadError::RelayLog));
    }
    let format = event::Format::read(bytes).map_err(|error| fail(ReadError::Format(error)))?;
    event::verify_checksum(bytes).map_err(|(stored, computed)| {
        let kind = event::kind_name(header.kind);
        fail(ReadError::Checksum { kind, stored, computed })
    })?;
    Ok(format.server_id)
}

pub(super) fn window_error(
    node: &str,
    file: &BinlogFile,
    offset: u64,
    error: WindowError,
    in_use: bool,
) -> FeedError {
    let node = node.to_owned();
    let source = match error {
        WindowError::Io(source) if source.raw_os_error().is_some() => {
            return FeedError::Io { node, path: file.path.clone(), source };
        }
        // Not the system's but the decoder's: the packed file is cut off or damaged.
        WindowError::Io(_) => ReadError::Truncated,
        WindowError::Read(source) => source,
    };
    let hint = read_hint(&source, in_use);
    FeedError::Read { node, file: file.name.clone(), offset, hint, source }
}

/// Delivers the transactions of a stream of files.
pub struct FileFeed {
    node: String,
    reader: StreamReader,
    continuity: Continuity,
    begun: bool,
}

impl FileFeed {
    /// A feed of one node's files.
    pub fn new(node: &str, plans: TablePlans) -> Self {
        let reader = StreamReader::new("", plans);
        FileFeed { node: node.to_owned(), reader, continuity: Continuity::default(), begun: false }
    }

    /// The same, that holds so many bytes of a transaction: further rows are counted in a blind
    /// spot.
    #[must_use]
    pub fn bounded(mut self, transaction_bytes_max: usize) -> Self {
        self.reader = self.reader.bounded(transaction_bytes_max);
        self
    }

    /// Reads all files in order and gives every item to `deliver`, with the bytes read since the
    /// one before; stops early when `deliver` says no.
    ///
    /// # Errors
    /// The first place that cannot be read; everything before it has been delivered.
    pub fn run(
        &mut self,
        files: &[BinlogFile],
        mut deliver: impl FnMut(FeedItem, u64) -> bool,
    ) -> Result<(), FeedError> {
        for file in files {
            if !self.read_file(file, &mut deliver)? {
                return Ok(());
            }
        }
        if !self.begun {
            deliver(FeedItem::Begin(GtidSet::default()), 0);
        }
        Ok(())
    }

    /// Reads one file; false when the receiver has gone.
    fn read_file(
        &mut self,
        file: &BinlogFile,
        deliver: &mut impl FnMut(FeedItem, u64) -> bool,
    ) -> Result<bool, FeedError> {
        let mut window = open(&self.node, file)?;
        let mut delivered = 0;
        self.reader.enter_file(&file.name);
        let fail = |feed: &Self, offset, error| {
            let in_use = feed.reader.format().is_some_and(|format| format.in_use);
            window_error(&feed.node, file, offset, error, in_use)
        };
        window.magic().map_err(|error| fail(self, 0, error))?;
        loop {
            let offset = window.offset();
            let next = window.event().map_err(|error| fail(self, offset, error))?;
            let Some((offset, bytes)) = next else {
                // Servers end no file inside a transaction.
                return match self.reader.unfinished() {
                    Some(gtid) => {
                        let error = WindowError::Read(ReadError::Unfinished(gtid));
                        Err(fail(self, offset, error))
                    }
                    None => Ok(true),
                };
            };
            let end = offset + bytes.len() as u64;
            if event::is_relay_log(bytes) {
                return Err(fail(self, offset, WindowError::Read(ReadError::RelayLog)));
            }
            let progress = self.reader.event(bytes, offset);
            let progress =
                progress.map_err(|error| fail(self, offset, WindowError::Read(error)))?;
            for item in self.items(file, progress, offset)?.into_iter().flatten() {
                if !deliver(item, end - delivered) {
                    return Ok(false);
                }
                delivered = end;
            }
        }
    }

    /// What the engine has to be told of an event.
    fn items(
        &mut self,
        file: &BinlogFile,
        progress: Progress,
        offset: u64,
    ) -> Result<[Option<FeedItem>; 2], FeedError> {
        let begin = |feed: &mut Self, set: GtidSet| {
            (!std::mem::replace(&mut feed.begun, true)).then_some(FeedItem::Begin(set))
        };
        Ok(match progress {
            Progress::Baseline(baseline) => match self.continuity.head(&baseline) {
                Fit::First => [begin(self, baseline), None],
                Fit::Continues => [None, None],
                Fit::Missing(missing) => {
                    let detail =
                        format!("before {}: {} is in no file read", file.name, missing.spans());
                    [Some(FeedItem::Gap { missing, detail }), None]
                }
                Fit::Reset(gone) => {
                    let what = format!(
                        "this file does not continue the one before it: its server no longer \
                         knows {gone}"
                    );
                    let error = WindowError::Read(ReadError::Format(what));
                    return Err(window_error(&self.node, file, offset, error, false));
                }
            },
            Progress::Transaction(transaction) => {
                if let Some(gtid) = &transaction.gtid {
                    self.continuity.transaction(gtid);
                }
                [begin(self, GtidSet::default()), Some(FeedItem::Transaction(transaction))]
            }
            Progress::Nothing | Progress::Rotate { .. } => [None, None],
        })
    }
}
