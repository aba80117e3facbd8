//! The store over temporary directories.

use super::*;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

const DAY: i64 = 24 * 60 * 60 * 1_000_000;

fn store() -> (TempDir, Store) {
    let dir = TempDir::with_prefix("twinlog-store-").unwrap();
    let store = Store::open(&dir.path().join("twinlog.db")).unwrap();
    (dir, store)
}

fn finding(id: u8, last_seen: i64) -> StoredFinding {
    let id = format!("{id:02x}").repeat(16);
    StoredFinding {
        kind: FindingKind::WriteConflict,
        severity: Severity::Critical,
        certainty: Certainty::Exact,
        state: State::Open,
        outcome: Some(Outcome::Pending),
        settled: false,
        table: Some("shop.orders".to_owned()),
        key: Some("{\"id\":1}".to_owned()),
        group: "00".repeat(16),
        more: 0,
        first_seen: last_seen,
        last_seen,
        healed_at: None,
        record: format!("{{\"id\":\"{id}\",\"state\":\"open\"}}"),
        id,
    }
}

fn batch(now: i64, findings: Vec<StoredFinding>) -> Batch {
    Batch { now, findings, ..Batch::default() }
}

fn changes(store: &mut Store, now: i64, findings: &[&StoredFinding]) -> Vec<Change> {
    let findings = findings.iter().map(|finding| (*finding).clone()).collect();
    let committed = store.commit(&batch(now, findings)).unwrap();
    committed.into_iter().map(|of| of.change).collect()
}

fn ack(until: Option<i64>) -> Acknowledgement {
    Acknowledgement { by: "ann".to_owned(), why: "known".to_owned(), at: 1, until }
}

fn all(store: &Store, query: &Query, now: i64) -> Vec<Kept> {
    let mut all = Vec::new();
    let take = |kept| {
        all.push(kept);
        true
    };
    store.each(query, now, |_| true, take).unwrap();
    all
}

fn states(store: &Store, now: i64) -> Vec<State> {
    all(store, &Query::default(), now).into_iter().map(|kept| kept.state).collect()
}

#[test]
fn a_finding_is_told_once_for_each_thing_that_it_tells() {
    let (dir, mut store) = store();
    let pending = finding(1, 10);
    let mut located = pending.clone();
    located.record += " ";
    let mut stopped = pending.clone();
    stopped.outcome = Some(Outcome::Stopped);
    let mut unknown = pending.clone();
    (unknown.outcome, unknown.settled) = (Some(Outcome::Unknown), true);
    assert_eq!(changes(&mut store, 1, &[&pending]), [Change::New]);
    assert_eq!(changes(&mut store, 2, &[&located]), [Change::Same]);
    assert_eq!(all(&store, &Query::default(), 2)[0].record, located.record, "but it is kept");
    assert_eq!(changes(&mut store, 3, &[&stopped, &pending]), [Change::Changed, Change::Same]);
    assert_eq!(changes(&mut store, 4, &[&unknown]), [Change::Changed]);
    // A restarted watch reads the same again, from the beginning.
    drop(store);
    let mut store = Store::open(&dir.path().join("twinlog.db")).unwrap();
    let again = changes(&mut store, 5, &[&pending, &stopped, &unknown]);
    assert_eq!(again, [Change::Same; 3]);
    let kept = all(&store, &Query::default(), 5);
    assert_eq!((kept.len(), &kept[0].record), (1, &unknown.record), "settled stays settled");
}

#[test]
fn an_acknowledgement_outlives_what_changes_and_ends_in_time() {
    let (_dir, mut store) = store();
    let open = finding(1, 10);
    let mut changed = open.clone();
    changed.certainty = Certainty::Possible;
    changes(&mut store, 1, &[&open]);
    assert!(!store.acknowledge("00", &ack(None)).unwrap(), "no such finding");
    assert!(store.acknowledge(&open.id, &ack(Some(100))).unwrap());
    let committed = store.commit(&batch(50, vec![changed.clone()])).unwrap();
    let told =
        Committed { change: Change::Changed, is_acknowledged: true, was_open: true, is_open: true };
    assert_eq!(committed, [told]);
    assert_eq!(states(&store, 99), [State::Acknowledged]);
    assert_eq!(states(&store, 100), [State::Open]);
    assert!(store.acknowledge(&open.id, &ack(None)).unwrap(), "another takes its place");
    assert_eq!(states(&store, 100), [State::Acknowledged]);
    let mut healed = changed;
    (healed.state, healed.healed_at, healed.settled) = (State::Healed, Some(60), true);
    let committed = store.commit(&batch(101, vec![healed])).unwrap();
    assert_eq!(committed, [Committed { is_acknowledged: false, is_open: false, ..told }]);
    assert_eq!(states(&store, 102), [State::Healed]);
    assert_eq!(all(&store, &Query::default(), 102)[0].acknowledgement, Some(ack(None)));
    assert!(store.remove_acknowledgement(&open.id).unwrap());
    assert!(!store.remove_acknowledgement(&open.id).unwrap());
}

#[test]
fn a_batch_is_committed_whole_or_not_at_all() {
    let (dir, mut store) = store();
    let checkpoint = |offset| Checkpoint {
        node: "a".to_owned(),
        file: "a-bin.000001".to_owned(),
        start: 4,
        offset,
        last: "0-1-5".to_owned(),
        gtid_set: "0-1-5".to_owned(),
        heads: "0-1-5".to_owned(),
        purged: String::new(),
        committed_at: 9,
    };
    let first =
        Batch { now: 1, findings: vec![finding(1, 10)], checkpoints: vec![checkpoint(100)] };
    // More than a part.
    let long: Vec<u8> =
        (0..3 << 20).map(|n: u32| n.wrapping_mul(0x9e37_79b9).to_be_bytes()[0]).collect();
    let commit = |store: &mut Store, batch: &Batch, memory: &[u8]| {
        let write = |into: &mut dyn Write| into.write_all(memory);
        store.commit_with(batch, Some(Memory { form: "f", write: &write }))
    };
    let remembered = |store: &Store, form: &str| {
        let mut read = Vec::new();
        store.memory(form).unwrap()?.read_to_end(&mut read).unwrap();
        Some(read)
    };
    assert_eq!(remembered(&store, "f"), None);
    assert_eq!(commit(&mut store, &first, &long).unwrap().1, long.len() as u64);
    assert_eq!(store.checkpoints().unwrap(), first.checkpoints);
    assert!(remembered(&store, "f") == Some(long.clone()));
    assert_eq!(remembered(&store, "g"), None, "another form is nobody's");
    // The last thing of a batch fails.
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON memory BEGIN
        SELECT raise(ABORT, 'no room'); END";
    store.connection.execute_batch(refuse).unwrap();
    let second = Batch {
        now: 2,
        findings: vec![finding(2, 20), finding(3, 30)],
        checkpoints: vec![checkpoint(200)],
    };
    let error = commit(&mut store, &second, b"short").unwrap_err().to_string();
    assert!(error.contains("twinlog.db: cannot write findings: no room"), "{error}");
    assert_eq!(all(&store, &Query::default(), 2).len(), 1);
    assert!(remembered(&store, "f") == Some(long));
    assert_eq!(store.checkpoints().unwrap(), first.checkpoints);
    // The same batch again, once there is room.
    store.connection.execute_batch("DROP TRIGGER refuse").unwrap();
    let (committed, _) = commit(&mut store, &second, b"short").unwrap();
    assert!(committed.iter().all(|of| of.change == Change::New), "{committed:?}");
    assert_eq!(remembered(&store, "f"), Some(b"short".to_vec()));
    // Findings alone leave the rest as it is.
    store.commit(&Batch { now: 3, findings: vec![finding(4, 40)], ..Batch::default() }).unwrap();
    assert_eq!(remembered(&store, "f"), Some(b"short".to_vec()));
    drop(store);
    let store = Store::look(&dir.path().join("twinlog.db")).unwrap();
    assert_eq!(store.checkpoints().unwrap(), second.checkpoints);
}

#[test]
fn what_holds_is_counted_and_every_commit_tells_how_it_changed() {
    let (_dir, mut store) = store();
    assert_eq!(store.open_counts().unwrap(), OpenCounts::default());
    let of = |id, kind, table: &str| StoredFinding {
        kind,
        table: Some(table.to_owned()),
        ..finding(id, 10)
    };
    let mut findings = vec![
        of(1, FindingKind::Divergence, "t.few"),
        of(2, FindingKind::Divergence, "t.many"),
        of(3, FindingKind::Divergence, "t.many"),
        of(4, FindingKind::WriteConflict, "t.many"),
    ];
    let mut opened = |findings: &[StoredFinding], now| {
        let committed = store.commit(&batch(now, findings.to_vec())).unwrap();
        let counts = store.open_counts().unwrap();
        let step = |of: &Committed| i64::from(of.is_open) - i64::from(of.was_open);
        (committed.iter().map(step).collect::<Vec<_>>(), counts)
    };
    let (steps, counts) = opened(&findings, 1);
    assert_eq!(steps, [1, 1, 1, 1]);
    assert_eq!(
        counts.divergences,
        [("t.many".to_owned(), 2), ("t.few".to_owned(), 1)],
        "the table with most of them first"
    );
    let kinds = [(FindingKind::Divergence, 3), (FindingKind::WriteConflict, 1)];
    assert_eq!(counts.kinds, kinds.into());
    (findings[1].state, findings[1].settled) = (State::Healed, true);
    let healed = findings[1].clone();
    let (steps, counts) = opened(&[healed, findings[3].clone()], 2);
    assert_eq!((steps, counts.kinds[&FindingKind::Divergence]), (vec![-1, 0], 2));
    // A restarted watch reads it again as it was at first: it stays healed.
    (findings[1].state, findings[1].settled) = (State::Open, false);
    let (steps, counts) = opened(&findings, 3);
    assert_eq!((steps, counts.kinds[&FindingKind::Divergence]), (vec![0; 4], 2));
    for finding in &findings {
        store.acknowledge(&finding.id, &ack(None)).unwrap();
    }
    assert_eq!(store.open_counts().unwrap(), counts, "what is acknowledged still holds");
}

#[test]
fn closed_findings_are_deleted_when_they_are_old_enough() {
    let (_dir, mut store) = store();
    let now = 100 * DAY;
    let of = |id, kind, state, last_seen| StoredFinding {
        kind,
        state,
        settled: true,
        ..finding(id, last_seen)
    };
    let old = [
        of(1, FindingKind::WriteConflict, State::Open, 10 * DAY),
        of(2, FindingKind::Divergence, State::Open, 10 * DAY),
        of(3, FindingKind::Divergence, State::Healed, 10 * DAY),
        of(4, FindingKind::WriteConflict, State::Open, 80 * DAY),
    ];
    store.commit(&batch(11 * DAY, old.to_vec())).unwrap();
    // Found today in old logs.
    store.commit(&batch(now, vec![finding(5, 10 * DAY)])).unwrap();
    store.acknowledge(&old[0].id, &ack(None)).unwrap();
    assert_eq!(store.prune(now, 95 * DAY).unwrap().count, 0);
    let pruned = store.prune(now, 30 * DAY).unwrap();
    assert_eq!((pruned.count, pruned.open), (2, [(FindingKind::WriteConflict, 1)].into()));
    let left: Vec<String> = all(&store, &Query::default(), now)
        .into_iter()
        .map(|kept| kept.place.id[..2].to_owned())
        .collect();
    assert_eq!(left, ["04", "05", "02"], "open divergences stay");
    let sql = "SELECT count(*) FROM acknowledgements";
    let count: i64 = store.connection.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(count, 0, "it goes with its finding");
    assert_eq!(store.prune(now, 30 * DAY).unwrap().count, 0);
}

#[test]
fn many_old_findings_are_deleted_in_small_batches() {
    let (_dir, mut store) = store();
    let many = |n: usize| StoredFinding { id: format!("{n:032x}"), ..finding(1, 1) };
    store.commit(&batch(1, (0..PRUNE_BATCH + 7).map(many).collect())).unwrap();
    assert_eq!(store.prune(100, 1).unwrap().count, PRUNE_BATCH);
    assert_eq!(store.prune(100, 1).unwrap().count, 7);
}

#[test]
fn queries_filter_and_go_on_after_a_place() {
    let (_dir, mut store) = store();
    let mut findings = vec![finding(1, 30), finding(2, 20), finding(3, 20), finding(4, 10)];
    findings[0].kind = FindingKind::SharedKey;
    findings[0].severity = Severity::Info;
    findings[1].table = None;
    store.commit(&batch(1, findings.clone())).unwrap();
    store.acknowledge(&findings[3].id, &ack(Some(50))).unwrap();
    let ids = |query: &Query| -> Vec<String> {
        let all = all(&store, query, 40);
        all.into_iter().map(|kept| kept.place.id[..2].to_owned()).collect()
    };
    assert_eq!(ids(&Query::default()), ["01", "03", "02", "04"]);
    let kinds = vec![FindingKind::SharedKey];
    assert_eq!(ids(&Query { kinds, ..Query::default() }), ["01"]);
    let severities = vec![Severity::Warning, Severity::Critical];
    assert_eq!(ids(&Query { severities, ..Query::default() }), ["03", "02", "04"]);
    let acknowledged = Query { states: vec![State::Acknowledged], ..Query::default() };
    assert_eq!(ids(&acknowledged), ["04"]);
    let states = vec![State::Open, State::Healed];
    assert_eq!(ids(&Query { states, ..Query::default() }), ["01", "03", "02"]);
    let after = Some(After { last_seen: 20, id: findings[2].id.clone() });
    assert_eq!(ids(&Query { after, ..Query::default() }), ["02", "04"]);
    let mut tables = Vec::new();
    let wanted = |table: Option<&str>| table.is_some();
    let take = |kept: Kept| {
        tables.push(kept.table);
        tables.len() < 2
    };
    store.each(&Query::default(), 40, wanted, take).unwrap();
    assert_eq!(tables, [Some("shop.orders".to_owned()), Some("shop.orders".to_owned())]);
    let find = |prefix: &str| store.find(prefix, 10, 40).unwrap().len();
    assert_eq!((find("01"), find("0"), find(&findings[0].id), find("05")), (1, 4, 1, 0));
    assert_eq!(store.find("0", 2, 40).unwrap().len(), 2);
}

#[test]
fn a_page_of_many_is_read_through_the_index() {
    let (_dir, store) = store();
    let after = Some(After { last_seen: 20, id: "x".to_owned() });
    for query in [Query::default(), Query { after, ..Query::default() }] {
        let plan = store.plan(&query);
        assert!(plan.contains("findings_listed"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "sorted by the index: {plan}");
        assert_eq!(plan.contains("SEARCH f"), query.after.is_some(), "{plan}");
    }
}

/// A store of an older version, with a finding and an acknowledgement in it.
fn older(path: &Path, version: usize) {
    let connection = Connection::open(path).unwrap();
    for step in &schema::STEPS[..version] {
        connection.execute_batch(step).unwrap();
    }
    connection.pragma_update(None, "user_version", version as i64).unwrap();
    if version > 0 {
        connection.pragma_update(None, "application_id", schema::APPLICATION_ID).unwrap();
        let fixture = "INSERT INTO findings (id, kind, severity, certainty, state, settled,
                group_id, first_seen, last_seen, written_at, told, record)
            VALUES ('ab', 'blind_spot', 'warning', 'exact', 'open', 0, 'cd', 1, 2, 3, '', '{}');
            INSERT INTO acknowledgements VALUES ('ab', 'ann', 'known', 1, NULL);";
        connection.execute_batch(fixture).unwrap();
    }
}

#[test]
fn every_older_version_is_brought_up_to_date() {
    for version in 0..schema::STEPS.len() {
        for open in [Store::open, Store::look, Store::acknowledge_in] {
            let dir = TempDir::with_prefix("twinlog-store-").unwrap();
            let path = dir.path().join("twinlog.db");
            older(&path, version);
            let store = open(&path).unwrap();
            assert_eq!(schema::version(&store.connection, &path).unwrap(), schema::VERSION);
            let kept = all(&store, &Query::default(), 5);
            assert_eq!(kept.len(), usize::from(version > 0));
            assert!(kept.iter().all(|kept| kept.state == State::Acknowledged), "{kept:?}");
            drop(store);
            let mut store = Store::open(&path).unwrap();
            assert_eq!(changes(&mut store, 6, &[&finding(1, 1)]), [Change::New]);
        }
    }
}

#[test]
fn an_older_store_is_left_alone_while_a_watch_has_it() {
    let dir = TempDir::with_prefix("twinlog-store-").unwrap();
    let path = dir.path().join("twinlog.db");
    older(&path, 1);
    let _lock = Lock::take(&path).unwrap();
    assert!(matches!(Store::look(&path), Err(StoreError::InUse { .. })));
    let connection = Connection::open(&path).unwrap();
    assert_eq!(schema::version(&connection, &path).unwrap(), 1);
}

#[test]
fn a_newer_version_is_refused() {
    let (dir, store) = store();
    let path = dir.path().join("twinlog.db");
    store.connection.pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
    drop(store);
    for open in [Store::open, Store::look, Store::acknowledge_in] {
        let error = open(&path).unwrap_err().to_string();
        let (newer, known) = (schema::VERSION + 1, schema::VERSION);
        let said = format!("has version {newer}, this twinlog knows versions up to {known}");
        assert!(error.contains(&said) && error.contains("hint: "), "{error}");
    }
}

#[test]
fn what_is_no_store_is_refused_and_left_as_it_is() {
    let dir = TempDir::with_prefix("twinlog-store-").unwrap();
    let path = dir.path().join("x");
    let missing = Store::look(&path).unwrap_err().to_string();
    assert!(missing.contains("no store at") && missing.contains("hint: "), "{missing}");
    assert!(!path.exists(), "looking makes nothing");
    let text = "id,name\n1,not a database, but longer than a hundred bytes\n".repeat(20);
    std::fs::write(&path, &text).unwrap();
    let error = Store::open(&path).unwrap_err().to_string();
    assert!(error.contains("is no store of twinlog: it is no SQLite file"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    let path = dir.path().join("y");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE contacts (name)").unwrap();
    for open in [Store::open, Store::look] {
        let error = open(&path).unwrap_err().to_string();
        assert!(error.contains("it is another program's SQLite file"), "{error}");
    }
    let error = Store::open(&dir.path().join("no/such/x.db")).unwrap_err().to_string();
    assert!(error.contains("the directory must be there"), "{error}");
}

#[test]
fn a_second_writer_is_refused_and_readers_are_not() {
    let (dir, mut store) = store();
    let path = dir.path().join("twinlog.db");
    let error = Store::open(&path).unwrap_err().to_string();
    let process = format!("in use by another twinlog (process {})", std::process::id());
    assert!(error.contains(&process) && error.contains("hint: "), "{error}");
    let reader = Store::look(&path).unwrap();
    changes(&mut store, 1, &[&finding(1, 1), &finding(2, 2)]);
    assert_eq!(all(&reader, &Query::default(), 2).len(), 2);
    let beside = Store::acknowledge_in(&path).unwrap();
    assert!(beside.acknowledge(&finding(1, 1).id, &ack(None)).unwrap());
    assert_eq!(states(&store, 2), [State::Open, State::Acknowledged]);
    assert!(reader.acknowledge(&finding(1, 1).id, &ack(None)).is_err(), "looking writes nothing");
    let link = dir.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let error = Store::open(&link).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "by another name: {error}");
    drop(store);
    assert!(Store::open(&path).is_ok(), "the lock goes with the writer");
}

#[test]
fn a_full_disk_is_an_error_and_takes_nothing_with_it() {
    let (_dir, mut store) = store();
    changes(&mut store, 1, &[&finding(1, 1)]);
    let limit = |store: &Store, pages: i64| {
        store.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
    };
    // No more pages than it has.
    limit(&store, 1).unwrap();
    let many = |n: u32| StoredFinding { id: format!("{n:032x}"), ..finding(2, 2) };
    let many: Vec<StoredFinding> = (0..500).map(many).collect();
    let error = store.commit(&batch(2, many.clone())).unwrap_err().to_string();
    assert!(error.contains("full") && error.contains("hint: make room"), "{error}");
    assert_eq!(all(&store, &Query::default(), 2).len(), 1);
    limit(&store, 1 << 20).unwrap();
    assert_eq!(store.commit(&batch(3, many)).unwrap().len(), 500);
}

#[test]
fn nobody_else_can_read_it() {
    let (dir, mut store) = store();
    changes(&mut store, 1, &[&finding(1, 1)]);
    let mut files = 0;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
        files += 1;
    }
    assert_eq!(files, 4, "the store, its log, the log's index, and the lock");
}

#[test]
fn a_store_that_is_held_by_another_program_is_an_error_and_works_again_later() {
    let (dir, mut store) = store();
    let holder = Connection::open(dir.path().join("twinlog.db")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.connection.busy_timeout(Duration::from_millis(10)).unwrap();
    let error = store.commit(&batch(1, vec![finding(1, 1)])).unwrap_err().to_string();
    assert!(error.contains("another program holds the file"), "{error}");
    holder.execute_batch("ROLLBACK").unwrap();
    assert_eq!(changes(&mut store, 2, &[&finding(1, 1)]), [Change::New]);
}
