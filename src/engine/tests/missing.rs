//! Copies that do not come in time.

use super::*;

const MINUTES: i64 = 60;

/// A transaction that inserts a row of its own, committed at this second.
fn at(origin: u8, sequence: u64, seconds: i64) -> Transaction {
    let key = u128::from(origin) << 64 | u128::from(sequence);
    let mut tx = tx(Family::Maria, origin, sequence, &[(key, 0, 1)]);
    tx.committed_at = second(seconds);
    tx
}

fn second(seconds: i64) -> CommitTime {
    CommitTime::from_micros(seconds * 1_000_000)
}

/// GTID, count, state and whether it is settled, of each report.
fn told(out: &mut Vec<Report>) -> Vec<String> {
    let is_late = |of: &Finding| of.detail.as_ref().is_some_and(|d| d.starts_with("not shown"));
    let reports = out.drain(..).filter(|report| is_late(&report.finding));
    let words = reports.map(|report| {
        let Report { finding, news, .. } = report;
        let gtid = finding.transactions[0].gtid.unwrap();
        // On MariaDB applying it may have changed nothing, which leaves no trace either.
        let certainty = match gtid.source.is_ordered() {
            true => Certainty::Possible,
            false => Certainty::Exact,
        };
        assert_eq!((finding.node, finding.certainty), (Some(B), certainty));
        let state = finding.state.as_str();
        let (count, settled) = (finding.count, if finding.settled { "settled" } else { "" });
        format!("{gtid} {count} {state} {settled} {}", if news { "news" } else { "" })
    });
    words.collect()
}

#[test]
fn what_is_not_shown_in_time_is_told_once_and_heals_when_it_is() {
    let (mut verifier, mut out) = (verifier(["", ""]), Vec::new());
    for sequence in 1..=3 {
        verifier.observe(A, &at(1, sequence, 10 * sequence as i64), &mut out);
    }
    verifier.advance(B, second(10 + 5 * MINUTES), &mut out);
    assert_eq!(told(&mut out), [""; 0], "not before the time is over");
    verifier.advance(A, second(99 * MINUTES), &mut out);
    assert_eq!(told(&mut out), [""; 0], "its own stream lacks nothing");
    verifier.advance(B, second(11 + 5 * MINUTES), &mut out);
    let detail = out[0].finding.detail.clone().unwrap();
    assert!(
        detail.starts_with("not shown for 5m0s; replication from a to b is behind"),
        "{detail}"
    );
    let id = out[0].finding.id;
    assert_eq!(told(&mut out), ["1-1-1 1 open  news"]);
    verifier.advance(B, second(60 * MINUTES), &mut out);
    assert_eq!(told(&mut out), [""; 0], "one at a time");
    verifier.observe(B, &at(1, 1, 10), &mut out);
    let healed = out.iter().find(|r| r.finding.state == State::Healed).unwrap();
    assert_eq!(healed.finding.id, id);
    let gtid = healed.finding.transactions[0].gtid;
    assert_eq!(healed.finding.healed, Some(Healed { at: second(10), by: gtid }));
    assert!(healed.finding.transactions[0].coordinates[B.at()].is_some());
    assert_eq!(told(&mut out), ["1-1-1 3 healed settled news"]);
    verifier.advance(B, second(64 * MINUTES), &mut out);
    assert_eq!(told(&mut out), [""; 0], "while replication catches up, one in that time");
    verifier.advance(B, second(65 * MINUTES), &mut out);
    assert_eq!(told(&mut out), ["1-1-2 2 open  news"]);
    // The hole before 3 is passed.
    verifier.observe(B, &at(1, 3, 30), &mut out);
    assert_eq!(told(&mut out), ["1-1-2 2 healed settled news"]);
    verifier.advance(B, second(999 * MINUTES), &mut out);
    verifier.finish(&mut out);
    assert_eq!(told(&mut out), [""; 0]);
}

#[test]
fn a_stream_is_judged_by_its_own_last_transaction_at_the_end() {
    let first = [at(1, 1, 0), at(1, 2, 4 * MINUTES), at(1, 3, 99 * MINUTES)];
    for (last, told_at_the_end) in
        [(5 * MINUTES, vec![]), (10 * MINUTES, vec!["1-1-2 1 open  news", "1-1-2 1 open settled "])]
    {
        // b shows the copy of the first alone, in any order of reading.
        let second_stream = [at(1, 1, 0), at(2, 1, last)];
        for order in 0u32..1 << 5 {
            if order.count_ones() != 2 {
                continue;
            }
            let (mut verifier, mut out) = (verifier(["", ""]), Vec::new());
            let mut next = [0, 0];
            for step in 0..5 {
                let which = (order >> step & 1) as usize;
                let tx = if which == 0 { &first[next[0]] } else { &second_stream[next[1]] };
                verifier.observe([A, B][which], tx, &mut out);
                next[which] += 1;
            }
            out.retain(|report| report.finding.kind == FindingKind::MissingCopy);
            assert_eq!(out, [], "nothing is told before the end");
            verifier.finish(&mut out);
            out.retain(|report| report.finding.node == Some(B));
            assert_eq!(told(&mut out), told_at_the_end, "{order:b}");
        }
    }
}

#[test]
fn silence_and_cut_streams_and_zero_tell_nothing() {
    for what in ["no copies", "cut", "off"] {
        let (mut verifier, mut out) = (verifier(["", ""]), Vec::new());
        match what {
            "cut" => verifier.cut_off(B),
            "off" => verifier.settings.missing_after_micros = 0,
            _ => {}
        }
        verifier.observe(A, &at(1, 1, 0), &mut out);
        verifier.observe(A, &at(1, 2, 1), &mut out);
        if what != "no copies" {
            verifier.observe(B, &at(1, 1, 0), &mut out);
        }
        verifier.observe(B, &at(2, 1, 99 * MINUTES), &mut out);
        verifier.finish(&mut out);
        out.retain(|report| report.finding.node == Some(B));
        assert_eq!(told(&mut out), [""; 0], "{what}");
    }
}

#[test]
fn without_commit_order_a_lower_number_is_still_found() {
    let my = |sequence, seconds| {
        let mut tx = tx(Family::My, 1, sequence, &[(u128::from(sequence), 0, 1)]);
        tx.committed_at = second(seconds);
        tx
    };
    let (mut verifier, mut out) = (verifier(["", ""]), Vec::new());
    for sequence in [1, 3, 2] {
        verifier.observe(A, &my(sequence, 0), &mut out);
    }
    verifier.advance(B, second(0), &mut out);
    verifier.observe(B, &my(1, 0), &mut out);
    verifier.observe(B, &my(3, 0), &mut out);
    verifier.advance(B, second(9 * MINUTES), &mut out);
    let about = out.iter().find(|r| r.finding.kind == FindingKind::MissingCopy).unwrap();
    assert_eq!(about.finding.transactions[0].gtid.unwrap().sequence, 2);
    assert!(about.finding.detail.as_ref().unwrap().ends_with("behind or stopped"));
    verifier.settings.memory_bytes = 0;
    verifier.observe(A, &my(4, 9 * MINUTES), &mut out);
    out.clear();
    verifier.advance(B, second(10 * MINUTES), &mut out);
    assert_eq!(out.len(), 1, "let go, so it stays as it is");
    assert_eq!((out[0].finding.settled, out[0].news), (true, false));
}

/// Minutes of a clock that does not jump.
fn waited(minutes: u64) -> std::time::Duration {
    std::time::Duration::from_secs(60 * minutes)
}

#[test]
fn a_watch_goes_by_how_long_it_has_waited_whatever_the_clocks_say() {
    for skew in [-99 * MINUTES, 0, 99 * MINUTES] {
        let (mut verifier, mut out) = (verifier(["", ""]), Vec::new());
        verifier.note_waiting(waited(0));
        for sequence in 1..=2 {
            verifier.observe(A, &at(1, sequence, skew), &mut out);
        }
        for minute in 1..=5 {
            verifier.note_waiting(waited(minute));
            verifier.advance_waiting(B, waited(minute), &mut out);
        }
        assert_eq!(told(&mut out), [""; 0], "observed after the first minute began");
        verifier.observe(A, &at(1, 3, skew), &mut out);
        verifier.note_waiting(waited(6));
        verifier.advance_waiting(B, waited(5), &mut out);
        assert_eq!(told(&mut out), [""; 0], "not read any further");
        verifier.advance_waiting(B, waited(6), &mut out);
        assert_eq!(told(&mut out), ["1-1-1 2 open  news"]);
        verifier.observe(B, &at(1, 1, skew), &mut out);
        assert_eq!(told(&mut out), ["1-1-1 2 healed settled news"], "the third has time");
    }
}
