//! What a watch keeps, and when it tells: first committed, then told, so that nothing that was
//! told is lost and nothing is told twice over a restart.
//!
//! What a restart goes on with is committed with them, now and then (see `remember`): the streams
//! are read again from there, and what had been told since is found again under the same ids.
//!
//! A commit waits for the disk, so findings wait here for the next one: [`PACE`] apart while there
//! is something to do. Where the store fails, findings wait until it works again; past
//! [`WAITING_MAX`] they are told without being kept, for an alarm is worth more than its memory.

use super::{
    memory,
    pages::PageNews,
    rate::{Rates, Way, brief},
    remember::Remembers,
    watch::{WatchSink, now},
};
use crate::{
    config::WatchConfig,
    engine::Report,
    metrics::{Dropped, Metrics},
    model::{CommitTime, Finding, FindingId, FindingKind, Nodes, State},
    report::Record,
    store::{
        Batch, Change, Checkpoint, Committed, Memory, PRUNE_BATCH, Store, StoreError, StoredFinding,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;
use tracing::{error, info, warn};

/// From one commit to the next at least.
const PACE: Duration = Duration::from_millis(100);
/// From a commit that failed to the next attempt.
const RETRY: Duration = Duration::from_secs(2);
/// From one look for findings to delete to the next.
const PRUNE_PACE: Duration = Duration::from_secs(600);
/// Findings that wait for a commit at most; about 1 KB each.
const WAITING_MAX: usize = 20_000;
/// From one look for room in a full store to the next.
const FULL_PACE: Duration = Duration::from_secs(60);
/// Findings that one commit lets go at most, where the store has too many.
const LET_GO_BATCH: u64 = 5_000;
/// Why findings are only counted.
const TOO_MANY: &str = "more than are told in a minute (watch.findings_per_minute)";
const TOO_MANY_KEPT: &str = "the store is full of open ones (watch.findings_max)";

/// What a restart goes on with, as it stands now.
pub(super) struct Standing<'m> {
    /// Where the streams are.
    pub(super) checkpoints: Vec<Checkpoint>,
    /// Writes what is remembered there.
    pub(super) memory: &'m dyn Fn(&mut dyn Write) -> io::Result<()>,
}

/// Findings on their way through the store to whoever is told.
pub(super) struct Keeper {
    store: Option<Store>,
    nodes: Nodes,
    metrics: Arc<Metrics>,
    /// How long closed findings are kept, in microseconds; `None`: for ever.
    keep: Option<i64>,
    /// In the order in which they came; one that comes again before it is committed takes the
    /// place of the earlier one.
    waiting: Vec<Report>,
    places: BTreeMap<FindingId, usize>,
    /// Of these only what the store has already is brought up to date.
    only_known: BTreeSet<FindingId>,
    pub(super) rates: Rates,
    /// Findings in the store.
    kept: u64,
    kept_max: u64,
    /// It has more than it may, and none to let go: since when.
    full: Option<Instant>,
    remembers: Remembers,
    /// Commits fail since then.
    failing: Option<CommitTime>,
    /// The last finding could not be written.
    unwritten: bool,
    committed_at: Instant,
    pruned_at: Option<Instant>,
    shown: PageNews,
}

impl Keeper {
    /// A keeper, and the metrics of what the store holds already.
    ///
    /// # Errors
    /// What the store says.
    pub(super) fn new(
        store: Option<Store>,
        config: &WatchConfig,
        nodes: Nodes,
        metrics: Arc<Metrics>,
        shown: PageNews,
    ) -> Result<Keeper, StoreError> {
        let mut kept = 0;
        if let Some(store) = &store {
            kept = store.count()?;
            let held = store.open_counts()?;
            held.kinds.iter().for_each(|(kind, count)| metrics.set_open(*kind, *count));
            for (table, count) in &held.divergences {
                metrics.add_open_divergences(table, *count);
            }
            set_needed_files(&metrics, &nodes, &store.checkpoints()?);
        }
        let keep = retention(config.retention);
        let now = Instant::now();
        Ok(Keeper {
            store,
            nodes,
            metrics,
            keep,
            waiting: Vec::new(),
            places: BTreeMap::new(),
            only_known: BTreeSet::new(),
            rates: Rates::new(config.findings_per_minute),
            kept,
            kept_max: config.findings_max,
            full: None,
            remembers: Remembers::new(),
            failing: None,
            unwritten: false,
            // The first finding waits for nothing.
            committed_at: now.checked_sub(PACE).unwrap_or(now),
            pruned_at: None,
            shown,
        })
    }

    /// Keeps closed findings for another time from here on; zero: for ever.
    pub(super) fn set_retention(&mut self, keep: Duration) {
        self.keep = retention(keep);
    }

    /// Whether there is a store.
    pub(super) fn keeps(&self) -> bool {
        self.store.is_some()
    }

    /// Says that a stream has moved, so that the next memory differs from the last one.
    pub(super) fn moved(&mut self) {
        self.remembers.moved = self.store.is_some();
    }

    /// Says whether all streams have begun: before that there is nothing that a restart could go
    /// on with.
    pub(super) fn all_begun(&mut self, begun: bool) {
        self.remembers.waits = !begun;
    }

    /// Says that something was judged that no stream tells again: the next commit remembers it.
    pub(super) fn must_remember(&mut self) {
        self.remembers.must = self.store.is_some();
    }

    /// Whether the next commit writes the memory.
    pub(super) fn will_remember(&self) -> bool {
        self.store.is_some() && self.remembers.is_due()
    }

    /// Since when commits fail; `None` while they work.
    pub(super) fn fails_since(&self) -> Option<CommitTime> {
        self.failing
    }

    /// Whether a finding was told before, by this run or an earlier one. A store that cannot say so
    /// now is taken to have it: a line too many is better than one that is never closed.
    pub(super) fn has_told(&self, id: FindingId) -> bool {
        let Some(store) = &self.store else { return false };
        self.places.contains_key(&id) || store.has(&id.to_string()).unwrap_or(true)
    }

    /// Takes a finding that is news, is settled, or has grown.
    pub(super) fn take(&mut self, mut report: Report, sink: &mut impl WatchSink) {
        if let Some(place) = self.places.get(&report.finding.id) {
            self.waiting[*place] = report;
            return;
        }
        if report.finding.kind != FindingKind::BlindSpot {
            let way = self.rates.way();
            if report.first && (way == Way::Counted || self.full.is_some()) {
                return self.count(&report, way);
            }
            match way {
                // What the store has in full stays so.
                Way::Brief if report.first => report.finding = brief(report.finding),
                Way::Full | Way::Brief => {}
                // What was only counted stays so.
                Way::Counted if self.waiting.len() >= WAITING_MAX => return,
                Way::Counted => drop(self.only_known.insert(report.finding.id)),
            }
        }
        if self.store.is_some() && self.waiting.len() < WAITING_MAX {
            self.places.insert(report.finding.id, self.waiting.len());
            self.waiting.push(report);
        } else if report.news {
            self.tell_unkept(&report, sink);
            sink.flush();
        }
    }

    fn count(&mut self, report: &Report, way: Way) {
        let (why, dropped) = match way {
            Way::Counted => (TOO_MANY, Dropped::Rate),
            _ => (TOO_MANY_KEPT, Dropped::Full),
        };
        self.metrics.dropped(dropped);
        self.rates.count(&report.finding, why, now());
    }

    /// Takes what was counted instead of told, where it is time to say so.
    fn take_counted(&mut self, at_end: bool, sink: &mut impl WatchSink) {
        for report in self.rates.counted(at_end) {
            self.take(report, sink);
        }
    }

    /// Leaves out what the store does not know, of what is only brought up to date.
    fn leave_unknown_out(&mut self) {
        let only_known = std::mem::take(&mut self.only_known);
        let Some(store) = self.store.as_ref().filter(|_| !only_known.is_empty()) else { return };
        let knows = |of: &Report| {
            let id = of.finding.id;
            !only_known.contains(&id) || store.has(&id.to_string()).unwrap_or(true)
        };
        self.waiting.retain(knows);
        self.places = self.waiting.iter().map(|of| of.finding.id).zip(0..).collect();
    }

    /// How long until there is something to commit; `None` while there is nothing.
    pub(super) fn due(&self) -> Option<Duration> {
        let pace = match (self.failing.is_some(), self.waiting.is_empty()) {
            (true, _) => RETRY,
            (_, false) => PACE,
            (_, true) if self.rates.owes() => PACE,
            (_, true) => {
                return [self.remembers.due(), self.rates.due()].into_iter().flatten().min();
            }
        };
        Some(pace.saturating_sub(self.committed_at.elapsed()))
    }

    /// Commits what waits, with what a restart goes on with where that is due, and tells what of it
    /// is new or changed.
    pub(super) fn commit(
        &mut self,
        now: CommitTime,
        standing: Standing<'_>,
        sink: &mut impl WatchSink,
    ) {
        let remembers = self.remembers.is_due();
        self.take_counted(false, sink);
        self.leave_unknown_out();
        let Some(store) = &mut self.store else { return };
        let findings = self.waiting.iter().map(|of| stored(&of.finding, &self.nodes)).collect();
        let checkpoints = if remembers { standing.checkpoints } else { Vec::new() };
        let batch = Batch { now: now.micros, findings, checkpoints };
        let memory = Memory { form: memory::FORM, write: standing.memory };
        let committed = store.commit_with(&batch, remembers.then_some(memory));
        self.committed_at = Instant::now();
        match committed {
            Ok((committed, size)) => {
                if self.failing.take().is_some() {
                    info!("the store works again");
                }
                if remembers {
                    self.remembers.done(size);
                    self.metrics.set_checkpoint(now);
                    set_needed_files(&self.metrics, &self.nodes, &batch.checkpoints);
                }
                self.places.clear();
                self.tell_committed(&committed, sink);
                self.prune(now);
                self.keep_number();
            }
            Err(error) => self.failed(&error),
        }
    }

    /// The end: commits what waits, and tells it even where that fails.
    pub(super) fn end(
        &mut self,
        now: CommitTime,
        standing: Standing<'_>,
        sink: &mut impl WatchSink,
    ) {
        self.remembers.end();
        self.take_counted(true, sink);
        self.commit(now, standing, sink);
        for report in std::mem::take(&mut self.waiting) {
            self.tell_unkept(&report, sink);
        }
        sink.flush();
    }

    fn tell_committed(&mut self, committed: &[Committed], sink: &mut impl WatchSink) {
        let waiting = std::mem::take(&mut self.waiting);
        for (mut report, committed) in waiting.into_iter().zip(committed) {
            self.metrics.kept(&report.finding, committed.was_open, committed.is_open);
            self.kept += u64::from(committed.change == Change::New);
            if committed.change == Change::Same {
                continue;
            }
            if committed.is_acknowledged && report.finding.state == State::Open {
                report.finding.state = State::Acknowledged;
            }
            self.tell(&report.finding, committed.change == Change::New, sink);
        }
        sink.flush();
    }

    fn failed(&mut self, error: &StoreError) {
        self.metrics.store_error();
        if self.failing.is_none() {
            self.failing = Some(now());
            error!("{error}");
            error!(
                "findings are told when the store works again, tried every {} s; past \
                 {WAITING_MAX} that wait they are told at once and not kept",
                RETRY.as_secs()
            );
        }
    }

    /// Deletes some of what is older than it has to be.
    fn prune(&mut self, now: CommitTime) {
        let (Some(store), Some(keep)) = (&mut self.store, self.keep) else { return };
        if self.pruned_at.is_some_and(|at| at.elapsed() < PRUNE_PACE) {
            return;
        }
        match store.prune(now.micros, keep) {
            Ok(pruned) => {
                self.kept = self.kept.saturating_sub(pruned.count as u64);
                for (kind, count) in pruned.open {
                    self.metrics.forgotten(kind, count);
                }
                // With a whole batch there is more: the next commit goes on.
                if pruned.count < PRUNE_BATCH {
                    self.pruned_at = Some(Instant::now());
                }
            }
            Err(error) => {
                self.pruned_at = Some(Instant::now());
                self.failed(&error);
            }
        }
    }

    /// Lets the oldest closed findings go, where there are more than there may be.
    fn keep_number(&mut self) {
        let over = self.kept.saturating_sub(self.kept_max);
        if self.kept_max == 0 || over == 0 {
            self.full = None;
            return;
        }
        if self.full.is_some_and(|since| since.elapsed() < FULL_PACE) {
            return;
        }
        let Some(store) = &mut self.store else { return };
        match store.let_go(over.min(LET_GO_BATCH)) {
            Ok(gone) => {
                self.kept = self.kept.saturating_sub(gone.count as u64);
                for (kind, count) in gone.open {
                    self.metrics.forgotten(kind, count);
                }
                if gone.count == 0 && self.full.is_none() {
                    warn!(
                        "the store has {} findings, and none of them is closed: new ones are \
                         counted, and not kept (watch.findings_max)",
                        self.kept
                    );
                }
                self.full = (gone.count == 0).then(Instant::now);
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Tells what is in no store: there is none, or it has failed.
    fn tell_unkept(&mut self, report: &Report, sink: &mut impl WatchSink) {
        match self.store {
            Some(_) => self.metrics.dropped(Dropped::Store),
            None => self.metrics.told_without_store(&report.finding, report.first),
        }
        self.tell(&report.finding, report.first, sink);
    }

    fn tell(&mut self, finding: &Finding, first: bool, sink: &mut impl WatchSink) {
        if first {
            self.metrics.told(finding, now());
        }
        self.shown.told(|| stored(finding, &self.nodes));
        let written = sink.finding(finding, &self.nodes);
        let was_unwritten = std::mem::replace(&mut self.unwritten, written.is_err());
        match written {
            Ok(()) if was_unwritten => info!("findings can be written again"),
            Ok(()) => {}
            Err(error) => {
                self.metrics.dropped(Dropped::Output);
                if !was_unwritten {
                    error!("cannot write findings: {error}; the metrics count those that are lost");
                }
            }
        }
    }
}

/// In microseconds; zero is for ever.
fn retention(keep: Duration) -> Option<i64> {
    i64::try_from(keep.as_micros()).ok().filter(|keep| *keep > 0)
}

/// From which file on each stream is needed by a restart.
fn set_needed_files(metrics: &Metrics, nodes: &Nodes, checkpoints: &[Checkpoint]) {
    for checkpoint in checkpoints {
        // A node that the store knows may be gone from the configuration.
        if let Some(node) = nodes.by_name(&checkpoint.node) {
            metrics.set_needed_file(node, &checkpoint.file);
        }
    }
}

/// A finding as the store keeps it.
fn stored(finding: &Finding, nodes: &Nodes) -> StoredFinding {
    let record = Record::new(finding, nodes);
    StoredFinding {
        kind: finding.kind,
        severity: finding.severity,
        certainty: finding.certainty,
        state: finding.state,
        outcome: finding.outcome,
        settled: finding.settled,
        first_seen: finding.first_seen.micros,
        last_seen: finding.last_seen.micros,
        healed_at: finding.healed.as_ref().map(|healed| healed.at.micros),
        key: record.key.as_ref().map(ToString::to_string),
        record: serde_json::to_string(&record).unwrap_or_default(),
        id: record.id,
        table: record.table,
        group: record.group,
        more: record.more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Node, Outcome, RowKey, Severity};
    use crate::store::Acknowledgement;
    use rusqlite::Connection;
    use std::path::{Path, PathBuf};
    use tempfile::TempDir;

    /// What was told.
    #[derive(Default)]
    struct Told(Vec<String>);

    /// Writes nothing.
    struct Full;

    impl WatchSink for Full {
        fn finding(&mut self, _: &Finding, _: &Nodes) -> std::io::Result<()> {
            Err(std::io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) {}
    }

    impl WatchSink for Told {
        fn finding(&mut self, finding: &Finding, _: &Nodes) -> std::io::Result<()> {
            let outcome = finding.outcome.map_or("", Outcome::as_str);
            self.0.push(format!("{} {} {outcome}", finding.id.0, finding.state.as_str()));
            Ok(())
        }

        fn flush(&mut self) {}
    }

    fn report(id: u128, outcome: Outcome, news: bool) -> Report {
        let finding = Finding {
            settled: outcome == Outcome::Unknown,
            table: Some("t.x".to_owned()),
            outcome: Some(outcome),
            group: FindingId(7),
            first_seen: CommitTime::from_seconds(1),
            last_seen: CommitTime::from_seconds(2),
            ..Finding::new(FindingId(id), FindingKind::WriteConflict, Severity::Critical)
        };
        Report { finding, news, first: news && outcome == Outcome::Pending }
    }

    fn nodes() -> Nodes {
        let node = |name: &str| Node { name: name.into(), ..Node::default() };
        Nodes::new(vec![node("a"), node("b")])
    }

    fn keeper(path: Option<&Path>) -> Keeper {
        let metrics = Arc::new(Metrics::new(&nodes(), [].into_iter(), [].into_iter()).unwrap());
        let store = path.map(|path| Store::open(path).unwrap());
        Keeper::new(store, &WatchConfig::default(), nodes(), metrics, PageNews::nowhere()).unwrap()
    }

    fn place() -> (TempDir, PathBuf) {
        let dir = TempDir::with_prefix("twinlog-keep-").unwrap();
        let path = dir.path().join("twinlog.db");
        (dir, path)
    }

    fn now() -> CommitTime {
        CommitTime::from_micros(5_000_000)
    }

    fn checkpoint(offset: u64) -> Vec<Checkpoint> {
        let (file, gtid_set) = ("a-bin.000001".to_owned(), "0-1-5".to_owned());
        let (heads, purged) = (gtid_set.clone(), String::new());
        vec![Checkpoint {
            node: "a".to_owned(),
            file,
            start: 4,
            offset,
            last: gtid_set.clone(),
            gtid_set,
            heads,
            purged,
            committed_at: 1,
        }]
    }

    fn standing(checkpoints: Vec<Checkpoint>) -> Standing<'static> {
        Standing { checkpoints, memory: &|into| into.write_all(b"remembered") }
    }

    fn divergence(id: u128, state: State) -> Report {
        let table = crate::model::Table {
            id: crate::model::TableId(1),
            schema: "t".into(),
            name: "x".into(),
            columns: Vec::new(),
            primary_key: Vec::new(),
            unique_keys: Vec::new(),
            shape: 0,
        };
        let key = RowKey { table: Arc::new(table), index: None, bytes: [7; 8].into() };
        let mut report = report(id, Outcome::Pending, true);
        report.finding.kind = FindingKind::Divergence;
        (report.finding.outcome, report.finding.state) = (None, state);
        report.finding.settled = state == State::Healed;
        (report.finding.key, report.finding.last_written) = (Some(key), vec![None, None]);
        report
    }

    /// The value of a series.
    fn value(keeper: &Keeper, series: &str) -> f64 {
        let text = keeper.metrics.text();
        let series = format!("twinlog_{series} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&series));
        value.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
    }

    const DIVERGENCES: &str = "open_findings{kind=\"divergence\"}";
    const OF_TABLE: &str = "open_divergences{table=\"t.x\"}";
    const CONFLICTS: &str = "open_findings{kind=\"write_conflict\"}";

    #[test]
    fn what_holds_is_counted_over_a_restart() {
        let (_dir, path) = place();
        let (mut first, mut told) = (keeper(Some(&path)), Told::default());
        for report in [
            divergence(1, State::Open),
            divergence(2, State::Open),
            report(3, Outcome::Pending, true),
        ] {
            first.take(report, &mut told);
        }
        assert_eq!(value(&first, DIVERGENCES), 0.0, "not told yet");
        first.moved();
        first.commit(now(), standing(checkpoint(9)), &mut told);
        let counts =
            |keeper: &Keeper| [DIVERGENCES, OF_TABLE, CONFLICTS].map(|of| value(keeper, of));
        assert_eq!(counts(&first), [2.0, 2.0, 1.0]);
        drop(first);
        let mut second = keeper(Some(&path));
        assert_eq!(counts(&second), [2.0, 2.0, 1.0], "from the start");
        assert_eq!(value(&second, "needed_file_number{stream=\"a\"}"), 1.0);
        assert_eq!(value(&second, "needed_file_number{stream=\"b\"}"), 0.0);
        // The logs are read again; one row has healed meanwhile.
        second.take(report(3, Outcome::Pending, true), &mut told);
        second.take(divergence(1, State::Open), &mut told);
        second.commit(now(), standing(Vec::new()), &mut told);
        assert_eq!(counts(&second), [2.0, 2.0, 1.0]);
        second.take(divergence(1, State::Healed), &mut told);
        second.commit(now(), standing(Vec::new()), &mut told);
        assert_eq!(counts(&second), [1.0, 1.0, 1.0]);
        let total = "findings_total{kind=\"divergence\",severity=\"critical\"}";
        assert_eq!(value(&second, total), 0.0, "the first run told them");
    }

    #[test]
    fn old_findings_that_are_deleted_do_not_count_as_open() {
        let (_dir, path) = place();
        let (mut keeper, mut told) = (keeper(Some(&path)), Told::default());
        keeper.take(report(1, Outcome::Pending, true), &mut told);
        keeper.commit(now(), standing(Vec::new()), &mut told);
        assert_eq!(value(&keeper, CONFLICTS), 1.0);
        // As much later as findings are kept, and more.
        keeper.pruned_at = None;
        let later = CommitTime::from_micros(now().micros + 2 * keeper.keep.unwrap());
        keeper.commit(later, standing(Vec::new()), &mut told);
        assert_eq!(value(&keeper, CONFLICTS), 0.0);
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let mut keeper = keeper(None);
        keeper.take(report(1, Outcome::Pending, true), &mut Full);
        keeper.take(report(2, Outcome::Pending, true), &mut Full);
        keeper.take(report(3, Outcome::Pending, true), &mut Told::default());
        assert_eq!(value(&keeper, "findings_dropped_total{reason=\"output\"}"), 2.0);
        assert_eq!(value(&keeper, "findings_dropped_total{reason=\"store\"}"), 0.0);
        assert_eq!(value(&keeper, CONFLICTS), 3.0, "without a store, those told since the start");
    }

    #[test]
    fn without_a_store_news_are_told_at_once() {
        let (mut keeper, mut told) = (keeper(None), Told::default());
        keeper.moved();
        keeper.take(report(1, Outcome::Pending, true), &mut told);
        keeper.take(report(1, Outcome::Unknown, false), &mut told);
        assert_eq!(told.0, ["1 open pending"]);
        assert_eq!(keeper.due(), None);
    }

    #[test]
    fn with_a_store_findings_are_told_when_they_are_committed_and_only_once() {
        let (_dir, path) = place();
        let (mut first, mut told) = (keeper(Some(&path)), Told::default());
        assert_eq!(first.due(), None);
        first.take(report(1, Outcome::Pending, true), &mut told);
        assert_eq!(first.due(), Some(Duration::ZERO), "the first waits for nothing");
        assert_eq!(told.0, [""; 0]);
        first.moved();
        first.commit(now(), standing(checkpoint(9)), &mut told);
        assert_eq!(told.0, ["1 open pending"]);
        assert_eq!(first.due(), None);
        first.take(report(2, Outcome::Pending, true), &mut told);
        assert!(first.due() > Some(Duration::ZERO), "the next one waits a little");
        first.take(report(2, Outcome::Stopped, true), &mut told);
        first.take(report(1, Outcome::Unknown, false), &mut told);
        first.moved();
        first.end(now(), standing(checkpoint(10)), &mut told);
        assert_eq!(told.0[1..], ["2 open stopped", "1 open unknown"]);
        assert!(first.metrics.text().contains("twinlog_checkpoint_timestamp_seconds 5\n"));
        drop(first);
        let (mut second, mut told) = (keeper(Some(&path)), Told::default());
        let store = second.store.as_ref().unwrap();
        assert_eq!(store.checkpoints().unwrap(), checkpoint(10));
        let ack = Acknowledgement { by: "ann".into(), why: "known".into(), at: 1, until: None };
        assert!(store.acknowledge(&FindingId(2).to_string(), &ack).unwrap());
        for outcome in [Outcome::Pending, Outcome::Unknown] {
            second.take(report(1, outcome, true), &mut told);
            second.commit(now(), standing(Vec::new()), &mut told);
        }
        second.take(report(2, Outcome::Stopped, true), &mut told);
        second.take(report(3, Outcome::Pending, true), &mut told);
        second.commit(now(), standing(Vec::new()), &mut told);
        assert_eq!(told.0, ["3 open pending"]);
        second.take(report(2, Outcome::Unknown, true), &mut told);
        second.commit(now(), standing(Vec::new()), &mut told);
        assert_eq!(told.0[1..], ["2 acknowledged unknown"]);
        second.moved();
        second.commit(now(), standing(Vec::new()), &mut told);
        second.moved();
        assert!(second.due() > Some(PACE), "a memory alone is in no hurry");
    }

    #[test]
    fn while_the_store_fails_findings_wait() {
        let (_dir, path) = place();
        let (mut keeper, mut told) = (keeper(Some(&path)), Told::default());
        let holder = Connection::open(&path).unwrap();
        holder.execute_batch("BEGIN IMMEDIATE").unwrap();
        keeper.take(report(1, Outcome::Pending, true), &mut told);
        keeper.commit(now(), standing(checkpoint(9)), &mut told);
        assert_eq!(told.0, [""; 0]);
        assert!(keeper.metrics.text().contains("twinlog_store_errors_total 1\n"));
        assert!(keeper.due() > Some(PACE), "it is tried again later");
        for id in 2..=WAITING_MAX as u128 {
            keeper.take(report(id, Outcome::Pending, true), &mut told);
        }
        assert_eq!(told.0, [""; 0]);
        keeper.take(report(0, Outcome::Pending, true), &mut told);
        assert_eq!(told.0, ["0 open pending"], "there is no more room");
        assert_eq!(value(&keeper, "findings_dropped_total{reason=\"store\"}"), 1.0);
        assert_eq!(value(&keeper, CONFLICTS), 0.0, "the store holds none");
        keeper.take(report(1, Outcome::Stopped, true), &mut told);
        holder.execute_batch("ROLLBACK").unwrap();
        keeper.commit(now(), standing(checkpoint(10)), &mut told);
        assert_eq!(told.0.len(), WAITING_MAX + 1);
        assert_eq!(told.0[1], "1 open stopped", "in the order in which they came");
        assert_eq!(keeper.due(), None);
        holder.execute_batch("BEGIN IMMEDIATE").unwrap();
        keeper.take(report(0, Outcome::Stopped, true), &mut told);
        keeper.end(now(), standing(Vec::new()), &mut told);
        assert_eq!(
            told.0.last().unwrap(),
            "0 open stopped",
            "at the end they are told all the same"
        );
        assert_eq!(value(&keeper, "findings_dropped_total{reason=\"store\"}"), 2.0);
        assert_eq!(value(&keeper, CONFLICTS), WAITING_MAX as f64);
    }

    fn bounded(path: &Path, findings_per_minute: u64, findings_max: u64) -> Keeper {
        let metrics = Arc::new(Metrics::new(&nodes(), [].into_iter(), [].into_iter()).unwrap());
        let config = WatchConfig { findings_per_minute, findings_max, ..WatchConfig::default() };
        let store = Some(Store::open(path).unwrap());
        Keeper::new(store, &config, nodes(), metrics, PageNews::nowhere()).unwrap()
    }

    #[test]
    fn a_storm_is_told_in_full_then_in_brief_then_counted() {
        let (_dir, path) = place();
        let (mut keeper, mut told) = (bounded(&path, 2, 0), Told::default());
        for id in 1..=30 {
            keeper.take(divergence(id, State::Open), &mut told);
        }
        keeper.commit(now(), standing(Vec::new()), &mut told);
        assert_eq!(told.0.len(), 10 + 1, "{:?}", told.0);
        assert_eq!(value(&keeper, "findings_dropped_total{reason=\"rate\"}"), 20.0);
        assert_eq!(value(&keeper, DIVERGENCES), 10.0);
        let looked = Connection::open(&path).unwrap();
        let places = "SELECT count(*) FROM findings WHERE record LIKE '%\"last_written\":{%'";
        let full: u32 = looked.query_row(places, [], |row| row.get(0)).unwrap();
        assert_eq!(full, 2, "what is brief says nothing of where");
        let counted = "SELECT record FROM findings WHERE kind = 'blind_spot'";
        let counted: String = looked.query_row(counted, [], |row| row.get(0)).unwrap();
        assert!(counted.contains("\"count\":20") && counted.contains("\"table\":\"t.x\""));
        // What was counted is not made known by a change of it; what was told is changed.
        keeper.take(divergence(30, State::Healed), &mut told);
        let healed = |id| Report { first: false, ..divergence(id, State::Healed) };
        keeper.take(healed(29), &mut told);
        keeper.take(healed(1), &mut told);
        keeper.end(now(), standing(Vec::new()), &mut told);
        assert_eq!(told.0.len(), 12, "{:?}", told.0);
        assert_eq!(value(&keeper, DIVERGENCES), 9.0);
        assert!(keeper.rates.owes_divergences(), "the engine is asked for what is still open");
        assert!(!keeper.rates.owes_divergences(), "once");
    }

    #[test]
    fn a_full_store_lets_closed_findings_go_and_counts_new_ones() {
        let (_dir, path) = place();
        let (mut keeper, mut told) = (bounded(&path, 0, 3), Told::default());
        for id in 1..=5 {
            keeper.take(divergence(id, State::Open), &mut told);
        }
        keeper.take(divergence(6, State::Healed), &mut told);
        keeper.commit(now(), standing(Vec::new()), &mut told);
        let count = |path: &Path| Store::look(path).unwrap().count().unwrap();
        assert_eq!(count(&path), 5, "what has healed is gone");
        keeper.take(divergence(7, State::Healed), &mut told);
        keeper.commit(now(), standing(Vec::new()), &mut told);
        assert_eq!(count(&path), 5);
        keeper.commit(now(), standing(Vec::new()), &mut told);
        assert!(keeper.full.is_some(), "nothing is left to let go");
        let before = told.0.len();
        keeper.take(divergence(8, State::Open), &mut told);
        keeper.commit(now(), standing(Vec::new()), &mut told);
        assert_eq!(told.0.len(), before + 1, "the blind spot alone");
        assert_eq!(value(&keeper, "findings_dropped_total{reason=\"full\"}"), 1.0);
    }
}
