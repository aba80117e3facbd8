//! What a scan's report needs, collected while the scan runs, in bounded memory.

use super::{Reading, ScanFacts};
use crate::{
    app::{explain::explain, sources::EvidenceSources, watch::now},
    config::Config,
    engine::{Coverage, Ownership},
    model::{
        Certainty, CommitTime, Finding, FindingId, FindingKind, GtidSource, NodeIndex, Nodes,
        RuleBody, Severity, State, Transaction, Unlisted,
    },
    report::{
        Record,
        page::{
            Class,
            scan::{
                BigTransaction, Group, Grouped, GtidSpan, ScanReport, TableLine, TimeSpread,
                evidence_section, scan_report_page,
            },
        },
    },
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Findings that are listed at most.
pub const LISTED_MAX: usize = 2_000;
/// Findings that have their evidence in the report at most.
pub const EVIDENCE_MAX: usize = 200;
/// Of one group, findings that are listed, and those with evidence.
const GROUP_MAX: usize = 10;
const GROUP_EVIDENCE_MAX: usize = 3;
/// Findings of a kind that are taken before those of a less frequent one.
const TURN: u64 = 100;
/// How long evidence is read at most: packed files are unpacked again for each transaction. One
/// finding's evidence that was begun is read to its end.
pub const EVIDENCE_TIME_MAX: Duration = Duration::from_secs(60);
const BIGGEST_MAX: usize = 10;
const BIGGEST_TABLES_MAX: usize = 3;
const TABLES_MAX: usize = 500;
const SPANS_MAX: usize = 100;
/// Bars of the timeline.
const BARS: usize = 96;
const HOUR_MICROS: i64 = 3_600_000_000;

/// Which findings are kept first: the worst; what holds; of every kind some; the older.
type Rank = (Reverse<Severity>, bool, u64, CommitTime, FindingId);

/// Which of a group are kept first: what holds; the worst; what is certain; the older.
type GroupRank = (bool, Reverse<Severity>, Certainty, CommitTime, FindingId);

/// A group of which findings are kept.
#[derive(Default)]
struct KeptGroup {
    /// Those that are kept. Findings come as they settle, which the healed do early: the first to
    /// come are not the ones to keep.
    kept: BTreeMap<GroupRank, Rank>,
    /// How many findings there are.
    told: u64,
    /// What they count past `group_limit`.
    past_limit: u64,
}

/// Collects, in bounded memory, what the report needs.
pub(super) struct Collector {
    nodes: Nodes,
    kept: BTreeMap<Rank, Finding>,
    groups: BTreeMap<FindingId, KeptGroup>,
    by_kind: BTreeMap<FindingKind, u64>,
    /// Rows that differ, past `group_limit`: counted on a finding, and told by none.
    differ_past_limit: u64,
    times: TimeSpread,
    hours: [u64; 24],
    tables: BTreeMap<String, BTreeMap<(FindingKind, Severity), u64>>,
    spans: BTreeMap<(NodeIndex, GtidSource), (u64, u64, u64)>,
    spans_left_out: u64,
    biggest: BTreeSet<BigTransaction>,
}

impl Collector {
    /// An empty one.
    pub(super) fn new(nodes: Nodes) -> Collector {
        Collector {
            nodes,
            kept: BTreeMap::new(),
            groups: BTreeMap::new(),
            by_kind: BTreeMap::new(),
            differ_past_limit: 0,
            times: TimeSpread::default(),
            hours: [0; 24],
            tables: BTreeMap::new(),
            spans: BTreeMap::new(),
            spans_left_out: 0,
            biggest: BTreeSet::new(),
        }
    }

    /// Takes a finding in its last state.
    pub(super) fn finding(&mut self, finding: &Finding) {
        let told = self.by_kind.entry(finding.kind).or_default();
        *told += 1;
        let turn = *told / TURN;
        if finding.kind == FindingKind::Divergence {
            self.differ_past_limit += finding.more;
        }
        self.times.add(finding.kind, finding.first_seen);
        if Class::of(finding.kind) == Class::Conflict {
            let hour = finding.first_seen.micros.div_euclid(HOUR_MICROS).rem_euclid(24);
            self.hours[hour as usize] += 1;
        }
        let table = finding.table.clone().unwrap_or_default();
        let kinds = self.tables.entry(table).or_default();
        *kinds.entry((finding.kind, finding.severity)).or_default() += 1;

        let is_healed = finding.state == State::Healed;
        let rank = (Reverse(finding.severity), is_healed, turn, finding.first_seen, finding.id);
        let group = self.groups.entry(finding.group).or_default();
        group.told += 1;
        group.past_limit += finding.more;
        group.kept.insert(group_rank(finding), rank);
        self.kept.insert(rank, finding.clone());
        if group.kept.len() > GROUP_MAX
            && let Some((_, rank)) = group.kept.pop_last()
        {
            self.kept.remove(&rank);
        }
        while self.kept.len() > LISTED_MAX {
            let Some((_, last)) = self.kept.pop_last() else { break };
            if let Some(group) = self.groups.get_mut(&last.group) {
                group.kept.remove(&group_rank(&last));
                if group.kept.is_empty() {
                    self.groups.remove(&last.group);
                }
            }
        }
    }

    /// Takes a transaction as a stream shows it.
    pub(super) fn transaction(&mut self, stream: NodeIndex, transaction: &Transaction) {
        if let Some(gtid) = transaction.gtid {
            let is_full = self.spans.len() >= SPANS_MAX;
            match self.spans.get_mut(&(stream, gtid.source)) {
                Some((first, last, count)) => {
                    *first = gtid.sequence.min(*first);
                    *last = gtid.sequence.max(*last);
                    *count += 1;
                }
                None if is_full => self.spans_left_out += 1,
                None => {
                    let span = (gtid.sequence, gtid.sequence, 1);
                    self.spans.insert((stream, gtid.source), span);
                }
            }
        }
        let rows = transaction.rows.len();
        let is_small = self.biggest.len() >= BIGGEST_MAX
            && self.biggest.first().is_some_and(|least| least.rows >= rows);
        let is_original = self.nodes.by_server_id(transaction.server_id) == Some(stream);
        if is_small || !is_original || rows < 2 {
            return;
        }
        let tables = transaction.tables.iter().take(BIGGEST_TABLES_MAX);
        self.biggest.insert(BigTransaction {
            rows,
            origin: self.nodes[stream].name.clone(),
            gtid: transaction.gtid.map(|gtid| gtid.to_string()).unwrap_or_default(),
            committed_at: transaction.committed_at,
            tables: tables.map(|table| table.full_name()).collect(),
        });
        if self.biggest.len() > BIGGEST_MAX {
            self.biggest.pop_first();
        }
    }

    /// The report as HTML; the transactions of its findings are read again for it.
    ///
    /// # Errors
    /// Rules that cannot be compiled, which a configuration does not hold.
    pub(super) fn html(
        self,
        facts: &ScanFacts<'_>,
        reading: &mut Reading<'_>,
    ) -> anyhow::Result<String> {
        let (timeline, timeless) = match scanned_span(facts.coverage) {
            Some(span) => {
                let (timeline, timeless) = self.times.timeline(span, BARS);
                (Some(timeline), timeless)
            }
            None => (None, self.times.count()),
        };
        let (groups, evidence, evidence_left_out) = self.grouped(facts.sources, reading)?;
        let listed: u64 = groups.iter().map(|of| of.findings.len() as u64 + of.more).sum();
        let told: u64 = self.by_kind.values().sum();
        let (tables, tables_left_out) = self.table_lines(facts)?;
        let names: Vec<String> = self.nodes.iter().map(|(_, of)| of.name.clone()).collect();
        let spans = self.spans.iter().map(|((stream, source), (first, last, count))| GtidSpan {
            stream: self.nodes[*stream].name.clone(),
            source: source.to_string(),
            sequences: (*first, *last),
            transactions: *count,
        });
        Ok(scan_report_page(&ScanReport {
            summary: facts.summary,
            nodes: &names,
            files: facts.files.clone(),
            made_at: now(),
            wanted: facts.wanted.clone(),
            suppressed: facts.suppressed,
            timeline,
            timeless,
            hours: self.hours,
            spans: spans.collect(),
            spans_left_out: self.spans_left_out,
            tables,
            tables_left_out,
            biggest: self.biggest.into_iter().rev().collect(),
            differ_past_limit: self.differ_past_limit,
            groups,
            not_listed: told.saturating_sub(listed),
            evidence,
            evidence_left_out,
            bounds: (LISTED_MAX, EVIDENCE_MAX),
            evidence_seconds_max: EVIDENCE_TIME_MAX.as_secs(),
        }))
    }

    /// The kept findings in groups, the worst first, the evidence of the first of them, and for
    /// how many of these there was no time.
    fn grouped(
        &self,
        sources: &EvidenceSources,
        reading: &mut Reading<'_>,
    ) -> anyhow::Result<(Vec<Group>, Vec<String>, usize)> {
        let kept = |of: &KeptGroup| -> Vec<&Finding> {
            of.kept.values().filter_map(|rank| self.kept.get(rank)).collect()
        };
        let mut groups: Vec<(Vec<&Finding>, u64, u64)> =
            self.groups.values().map(|of| (kept(of), of.told, of.past_limit)).collect();
        // Which are kept goes by kind, too; how they are listed does not.
        groups.sort_by_key(|(group, ..)| {
            let first = group.first()?;
            let is_healed = first.state == State::Healed;
            Some((Reverse(first.severity), is_healed, first.first_seen, first.id))
        });
        let wanted = groups.iter().map(|(group, ..)| group.len().min(GROUP_EVIDENCE_MAX));
        let wanted = wanted.sum::<usize>().min(EVIDENCE_MAX);
        let (mut listed, mut evidence, mut left_out) = (Vec::new(), Vec::new(), 0);
        for (group, told, past_limit) in groups {
            let mut shown = Vec::new();
            for (at, finding) in group.iter().enumerate() {
                let record = serde_json::to_value(Record::new(finding, &self.nodes))?;
                let is_due = at < GROUP_EVIDENCE_MAX && evidence.len() + left_out < EVIDENCE_MAX;
                let has_evidence = is_due && (reading.elapsed)() < EVIDENCE_TIME_MAX;
                left_out += usize::from(is_due && !has_evidence);
                if has_evidence {
                    (reading.begun)(evidence.len() + 1, wanted);
                    evidence.push(evidence_section(&explain(&record, sources)?));
                }
                shown.push(Grouped { record, has_evidence });
            }
            let more = told.saturating_sub(shown.len() as u64);
            listed.push(Group { findings: shown, more, past_limit });
        }
        Ok((listed, evidence, left_out))
    }

    /// Tables with rows or findings, the most troubled first, then those with the most rows.
    fn table_lines(&self, facts: &ScanFacts<'_>) -> anyhow::Result<(Vec<TableLine>, u64)> {
        let ownership = Ownership::new(facts.config.ownership.clone(), facts.config.unlisted)?;
        let mut lines: BTreeMap<&str, TableLine> = BTreeMap::new();
        let line = |table: &str| TableLine {
            table: table.to_owned(),
            owner: owner(facts.config, &ownership, &self.nodes, table),
            rows: vec![[0; 3]; self.nodes.len()],
            findings: Vec::new(),
        };
        for ((table, origin), count) in &facts.coverage.tables {
            let rows = &mut lines.entry(table).or_insert_with(|| line(table)).rows;
            rows[origin.at()] = [count.inserts, count.updates, count.deletes];
        }
        for (table, kinds) in &self.tables {
            let findings = kinds.iter().map(|((kind, severity), count)| (*kind, *severity, *count));
            lines.entry(table).or_insert_with(|| line(table)).findings = findings.collect();
        }
        let mut lines: Vec<TableLine> = lines.into_values().collect();
        let trouble = |of: &TableLine, wanted: Option<Severity>| -> u64 {
            let counted = |severity| wanted.is_none_or(|wanted| wanted == severity);
            of.findings.iter().filter(|of| counted(of.1)).map(|of| of.2).sum()
        };
        lines.sort_by_key(|of| {
            let rows: u64 = of.rows.iter().flatten().sum();
            Reverse((trouble(of, Some(Severity::Critical)), trouble(of, None), rows))
        });
        let left_out = lines.len().saturating_sub(TABLES_MAX) as u64;
        lines.truncate(TABLES_MAX);
        Ok((lines, left_out))
    }
}

fn group_rank(of: &Finding) -> GroupRank {
    let is_healed = of.state == State::Healed;
    (is_healed, Reverse(of.severity), of.certainty, of.first_seen, of.id)
}

/// From the first commit in any stream to the last.
fn scanned_span(coverage: &Coverage) -> Option<(CommitTime, CommitTime)> {
    let spans = coverage.streams.iter().filter_map(|of| of.span);
    spans.reduce(|(first, last), (from, to)| (first.min(from), last.max(to)))
}

/// Whose a table is by the rules, in words.
fn owner(config: &Config, ownership: &Ownership, nodes: &Nodes, table: &str) -> String {
    let rule = ownership.rule_of(table).and_then(|at| config.ownership.get(at));
    let names = |owners: &[NodeIndex]| {
        let names: Vec<&str> = owners.iter().map(|node| nodes[*node].name.as_str()).collect();
        names.join(", ")
    };
    match rule.map(|rule| &rule.body) {
        _ if table.is_empty() => String::new(),
        Some(RuleBody::Owners(owners)) => names(owners),
        Some(RuleBody::Rows(rule)) => format!("row by row, by {}", rule.column),
        Some(RuleBody::Local) => "local: not to be replicated".to_owned(),
        Some(RuleBody::Shared) => "shared".to_owned(),
        None if config.unlisted == Unlisted::Shared => "shared: no rule".to_owned(),
        None => "nobody: no rule lists it".to_owned(),
    }
}
