//! Which files a source on the command line names, and in which order.

use super::FeedError;
use std::{
    collections::BTreeMap,
    fs,
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
/// numbered like binlogs, by number. Relay logs count where there are no binlogs beside them.
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
        leave_relay_logs_out(&mut paths);
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

/// Takes the relay logs out, where anything else is there.
fn leave_relay_logs_out(paths: &mut Vec<PathBuf>) {
    if !paths.iter().all(|path| is_relay_log(&base_name(path))) {
        paths.retain(|path| !is_relay_log(&base_name(path)));
    }
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

/// The index of the directory's binlogs; relay logs have one of their own beside it, which counts
/// where there is nothing else.
fn index_of(node: &str, directory: &Path) -> Result<Option<PathBuf>, FeedError> {
    let mut indices = entries(node, directory)?;
    indices.retain(|path| is_index(path) || base_and_number(path).is_some());
    leave_relay_logs_out(&mut indices);
    indices.retain(|path| is_index(path));
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
    leave_relay_logs_out(&mut paths);
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
