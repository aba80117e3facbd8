"""Writes the Grafana dashboards. Called by scripts/dashboards.

The numbers of the panels are part of their addresses: a panel keeps its number, a new one takes one
that was never used. What a panel says is in docs/grafana.md.
"""

import json
import pathlib
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from panels import (BAD, GOOD, NEVER, PLAIN, WARN, age, any_is_bad, bars, begin, findings, heat,
                    in_words, lines, never, number, row, states, status_page, steps, to_other,
                    values)

OVERVIEW, PAIR = "twinlog-overview", "twinlog-pair"

OWNERSHIP = 'kind=~"table_ownership|row_ownership"'
UNTIL = "twinlog_verified_until_timestamp_seconds"
BEHIND = steps((None, GOOD), (60, WARN), (300, BAD))
OPEN_KIND = "/?kind=${__field.labels.kind}&state=open,acknowledged"
BY_TABLE = "&table=${__field.labels.table}"


OPEN_ROWS = "/?kind=divergence&state=open,acknowledged"


def health(made):
    made.with_panel(number(
        7, "twinlog", "Whether Prometheus gets metrics from every twinlog that is chosen above. "
        "While it is down nothing is verified, and no other number here is of now.",
        'min(up{@job=~".*twinlog.*"}) or vector(0)', width=3, limits=steps((None, BAD), (1, GOOD)),
        mappings=in_words("down", BAD, "up", GOOD)))
    made.with_panel(number(
        1, "Verification behind by", "How far the verification is behind the clock, at the node "
        "that is furthest behind: all before that was seen in all streams and judged. "
        "Seconds are well. If it grows, a stream is lost, replication has stopped, or a master "
        "waits for a long transaction: see 'Behind the clock' and 'Stream lag' below.",
        f"max({age(UNTIL + '{}')})", unit="s", width=4, limits=BEHIND,
        mappings=never("not begun")))
    made.with_panel(number(
        2, "Streams lost", "Nodes whose binary log is not being read now. While it is, nothing "
        "of that node is verified. See 'Connections lost' for the reason, and twinlog's log.",
        "sum(1 - twinlog_stream_connected{})", width=3))
    made.with_panel(number(
        3, "Rows that differ", "Rows whose last written image differs between the masters now. "
        "Click for the list; `twinlog findings repair --all-open` writes the SQL.",
        "sum(twinlog_open_divergences{})", width=4,
        links=findings("Open divergences", OPEN_ROWS)))
    made.with_panel(number(
        4, "Critical findings", "Critical findings told within the time range: conflicts, "
        "ownership violations, rows that differ, loops. Click for the open ones.",
        'round(sum(increase(twinlog_findings_total{@severity="critical"}[$__range])))', width=4,
        decimals=0, links=findings("Open findings", "/?state=open,acknowledged")))
    made.with_panel(number(
        5, "Checks that fail", "Settings of the masters without which twinlog is blind in places: "
        "see 'Settings of the masters' for which.",
        "sum(1 - twinlog_check_ok{})", width=3, limits=any_is_bad(WARN)))
    made.with_panel(number(
        6, "Findings dropped", "Findings that were told and are not in the store, or could not be "
        "written to standard output, within the time range. Look at the disk, and at what reads "
        "the output.",
        "round(sum(increase(twinlog_findings_dropped_total{}[$__range])))", width=3, decimals=0))


def what_is_open(made):
    made.with_row(row(10, "Findings"))
    made.with_panel(lines(
        11, "Open findings by kind", "Findings that hold now. Of kinds that cannot heal "
        "(conflicts, ownership) these are all that the store keeps. An acknowledgement takes one "
        "off the status page's count, not off this one: read 'New findings' for what happens "
        "now.",
        [("sum by (kind) (twinlog_open_findings{})", "{{kind}}")], decimals=0,
        links=findings("Open findings of this kind", OPEN_KIND)))
    made.with_panel(lines(
        12, "New findings by kind", "Findings told per minute. A sudden rise of one kind is an "
        "application that writes to the wrong master, or a failover.",
        [("60 * sum by (kind) (rate(twinlog_findings_total{}[$__rate_interval]))", "{{kind}}")],
        unit="cpm", links=findings("Open findings of this kind", OPEN_KIND)))
    made.with_panel(bars(
        13, "Write conflicts by table", "Keys written on both sides at once, by table, since "
        "twinlog was started. Each may have left rows that differ.",
        'sort_desc(sum by (table) (twinlog_table_findings_total{@kind="write_conflict"}))',
        "{{table}}", empty="no conflict since the start, or no data",
        links=findings("Conflicts on this table", "/?kind=write_conflict" + BY_TABLE),
        other=findings("Conflicts", "/?kind=write_conflict")))
    made.with_panel(bars(
        14, "Ownership violations by table", "Writes by a node that does not own the table or the "
        "row, since twinlog was started. Find the client that writes to the wrong master: the "
        "finding has the transaction and its place in the binary log.",
        "sort_desc(sum by (table, kind) (twinlog_table_findings_total{@" + OWNERSHIP + "}))",
        "{{table}} ({{kind}})", empty="no violation since the start, or no data",
        links=findings("Violations on this table", "/?kind=${__field.labels.kind}" + BY_TABLE),
        other=findings("Violations", "/?kind=${__field.labels.kind}")))
    made.with_panel(bars(
        15, "Rows that differ by table", "Rows that differ between the masters now, by table. "
        "They heal when a later write makes them equal, over restarts of twinlog, too.",
        "sort_desc(sum by (table) (twinlog_open_divergences{}))", "{{table}}",
        links=findings("Open divergences of this table", OPEN_ROWS + BY_TABLE),
        other=findings("Open divergences", OPEN_ROWS)))
    made.with_panel(lines(
        16, "Ownership violations", "Violations told per minute, by kind: of tables that another "
        "node owns, and of rows.",
        [("60 * sum by (kind) (rate(twinlog_findings_total{@" + OWNERSHIP
          + "}[$__rate_interval]))", "{{kind}}")], unit="cpm", width=8,
        links=findings("Open findings of this kind", OPEN_KIND)))
    made.with_panel(lines(
        17, "Rows that differ over time", "A line that falls is healing, or a repair; one that "
        "stays is a row nobody has written since.",
        [("sum by (table) (twinlog_open_divergences{})", "{{table}}")], width=8, decimals=0,
        links=findings("Open divergences of this table", OPEN_ROWS + BY_TABLE),
        other=findings("Open divergences", OPEN_ROWS)))
    made.with_panel(bars(
        18, "Blind spots by reason", "What could not be verified, since twinlog was started: the "
        "ten most frequent reasons. What each means, and how to end it, is in the reference under "
        "'Reasons of blind spots'.",
        "topk(10, sum by (reason) (twinlog_blind_spots_total{}))", "{{reason}}",
        limits=any_is_bad(WARN), links=findings("Blind spots", "/?kind=blind_spot")))


def replication(made):
    made.with_row(row(20, "Replication"))
    made.with_panel(heat(
        21, "Replication delay", "From a commit to its copy being read on another node, all pairs: "
        "how many transactions took how long. The longer it is, the more time two nodes have to "
        "write the same row. The pair dashboard has each direction.",
        "twinlog_replication_delay_seconds"))
    made.with_panel(lines(
        22, "Behind the clock", "How long ago the last commit was that all streams have shown, by "
        "the node it came from. It follows the clock while the node is idle. A steady climb: that "
        "node's writes do not reach another, or its log is not read.",
        [(age(f"({UNTIL}{{}} > 0)"), "{{origin}}")], unit="s", height=9, limits=BEHIND,
        empty="not begun"))
    made.with_panel(lines(
        23, "Stream lag", "Age of the last transaction of each stream when twinlog read it. High "
        "on one stream: that server, or the way to it, is slow. High on all: twinlog is.",
        [("twinlog_stream_delay_seconds{}", "{{stream}}")], unit="s", width=8))
    made.with_panel(lines(
        24, "Pending transactions", "Transactions that some stream has not shown yet, by the node "
        "they came from. They are held in memory; past the bound they are let go, and a "
        "`bound_reached` blind spot says so.",
        [("twinlog_pending_transactions{}", "{{origin}}")], width=8, decimals=0))
    made.with_panel(lines(
        25, "Copies verified", "Copies compared with their originals, per second. `differs`: the "
        "copy wrote other rows than the original; `unverifiable`: one of the two does not show "
        "its rows.",
        [("sum by (result) (rate(twinlog_transactions_verified_total{}[$__rate_interval]))",
          "{{result}}")], unit="ops", width=8))


def twinlog_itself(made):
    made.with_row(row(30, "Streams and binary logs"))
    made.with_panel(states(
        31, "Settings of the masters", "`fails` is a setting that makes twinlog blind in places. "
        "The name says which: it must be ROW, ON or FULL; see 'What it needs' in the README.",
        "twinlog_check_ok{}", "{{stream}} {{check}}", in_words("fails", BAD, "ok", GOOD)))
    made.with_panel(lines(
        32, "Files left before a purge hurts", "Binary log files that the server still has before "
        "the oldest that a restart of twinlog would read again. At 0 the next purge takes that "
        "one, unless it is the newest; below 0 it is gone: after a restart a blind spot names what "
        "was in it. It falls, too, where the server begins new files while nothing is written: "
        "then nothing is in them. Keep the logs longer (binlog_expire_logs_seconds).",
        [("(twinlog_needed_file_number{} > 0) - (twinlog_server_oldest_file_number{} > 0)",
          "{{stream}}")], decimals=0, low=None, empty="nothing judged yet"))
    made.with_panel(lines(
        33, "Connections lost", "Connections lost or refused per minute, by stream and reason.",
        [("60 * sum by (stream, reason) (rate(twinlog_stream_reconnects_total{}"
          "[$__rate_interval]))", "{{stream}} {{reason}}")], unit="cpm", width=8))
    made.with_panel(lines(
        34, "Read", "Bytes of binary log read per second.",
        [("rate(twinlog_bytes_total{}[$__rate_interval])", "{{stream}}")], unit="Bps", width=8))
    made.with_panel(lines(
        35, "Detection latency", "From the commit that makes a finding to the finding, where the "
        "log has microseconds: MySQL 8 and later, not MariaDB. Half, and 99 of 100, took less.",
        [(f"histogram_quantile({q}, sum by (le) (rate(twinlog_detection_latency_seconds_bucket{{}}"
          f"[$__rate_interval])))", name) for q, name in (("0.5", "half"), ("0.99", "99 %"))],
        unit="s", width=8, empty="no finding with a precise time"))
    made.with_panel(lines(
        36, "Waits for another stream", "Share of the time in which a stream is not read on, since "
        "what is held is near its limit and another stream has to come after it first. Nothing is "
        "lost by it.",
        [("rate(twinlog_backpressure_seconds_total{}[$__rate_interval])", "{{stream}}")],
        unit="percentunit"))
    made.with_panel(lines(
        37, "Gaps", "Parts of a binary log that were not read and will not be, within the time "
        "range: purged, reset, or of another server. A blind spot names what was in each.",
        [("round(increase(twinlog_gaps_total{}[$__range]))", "{{stream}}")], decimals=0))
    made.with_panel(lines(
        38, "Answers to what was applied", "Per second, of servers that do not log what they "
        "apply: what they answer is the order of writes. While there are none, conflicts with "
        "what that node writes wait to be told.",
        [("rate(twinlog_applied_answers_total{}[$__rate_interval])", "{{stream}}")]))
    made.with_row(row(40, "twinlog itself"))
    made.with_panel(number(
        41, "Store", "When what a restart goes on with was last committed to the store. It grows "
        "while nothing is written, and between commits of a big memory: whether the store fails "
        "is in the next panel. 'none': no `watch.store` is configured, and nothing outlives a "
        "restart.",
        f"max({age('twinlog_checkpoint_timestamp_seconds{}')})", unit="s", width=4,
        mappings=never("none"), limits=steps((None, PLAIN), (NEVER, WARN))))
    made.with_panel(lines(
        42, "Findings dropped and store errors", "Per minute. Commits that fail are tried again; "
        "what is dropped is lost to the store or the output, by reason.",
        [("60 * sum by (reason) (rate(twinlog_findings_dropped_total{}[$__rate_interval]))",
          "dropped: {{reason}}"),
         ("60 * sum(rate(twinlog_store_errors_total{}[$__rate_interval]))", "store errors")],
        unit="cpm", width=8, height=6))
    made.with_panel(lines(
        43, "Memory", "Resident memory, and what is held of transactions that some stream has not "
        "shown yet, with its limit (watch.memory). It follows replication lag, not history.",
        [("process_resident_memory_bytes{}", "{{instance}} resident"),
         ("twinlog_memory_held_bytes{}", "{{instance}} held"),
         ("twinlog_memory_limit_bytes{}", "{{instance}} limit")],
        unit="bytes", width=6, height=6))
    made.with_panel(lines(
        44, "Processor", "Processor time per second: 1 is one core.",
        [("rate(process_cpu_seconds_total{}[$__rate_interval])", "{{instance}}")], width=6,
        height=6, decimals=2))
    made.with_panel(states(
        45, "Configuration file", "`not taken`: the file was wrong when twinlog was last told to "
        "read it again, and it goes by the one before. The log says what is wrong.",
        "twinlog_config_last_reload_successful{}", "{{instance}}",
        in_words("not taken", BAD, "taken", GOOD), width=8, height=6))
    made.with_panel(number(
        46, "Configuration taken", "How long ago a configuration was taken last, at a start or a "
        "reload.",
        f"max({age('twinlog_config_last_reload_success_timestamp_seconds{}')})", unit="s",
        width=4))
    made.with_panel(lines(
        47, "Reloads", "How often twinlog was told to read its configuration again within the time "
        "range, by what came of it.",
        [("sum by (result) (round(increase(twinlog_config_reloads_total{}[$__range])))",
          "{{result}}")], decimals=0, height=6))


def overview():
    made = begin("twinlog: overview", OVERVIEW, "Whether masters that replicate to each other "
                 "keep the rules, how far that is verified, and what was not.")
    made = to_other(status_page(made), "One pair of nodes", PAIR)
    health(made)
    what_is_open(made)
    replication(made)
    twinlog_itself(made)
    return made


def streams_of(*names: str) -> str:
    """A selector's part for one or both nodes of the pair."""
    return 'stream=~"' + "|".join(names) + '"'


BOTH = streams_of("$from", "$to")
ORIGINS = 'origin=~"$from|$to"'


def pair_health(made):
    for at, node in enumerate(("from", "to")):
        made.with_panel(number(
            1 + at, f"Verification of ${node} behind by", "How far the verification of this "
            "node's writes is behind the clock: all before that were seen in every stream and "
            "judged.",
            f"max({age(UNTIL + '{@origin=~' + chr(34) + '$' + node + chr(34) + '}')})", unit="s",
            limits=BEHIND, mappings=never("not begun")))
    made.with_panel(number(
        3, "Streams lost", "Of these two nodes: those whose binary log is not being read now.",
        "sum(1 - twinlog_stream_connected{@" + BOTH + "})"))
    made.with_panel(number(
        4, "Checks that fail", "Settings of these two nodes that make twinlog blind in places; see "
        "below for which.", "sum(1 - twinlog_check_ok{@" + BOTH + "})", limits=any_is_bad(WARN)))
    made.with_panel(number(
        5, "Pending", "Transactions of these two nodes that some stream has not shown yet.",
        "sum(twinlog_pending_transactions{@" + ORIGINS + "})",
        limits=steps((None, PLAIN), (100_000, WARN), (1_000_000, BAD))))
    made.with_panel(number(
        6, "Copies that differ", "Copies of these two nodes' transactions that wrote other rows "
        "than their originals, within the time range. The rows are in the divergences.",
        'round(sum(increase(twinlog_transactions_verified_total{@' + ORIGINS
        + ', result="differs"}[$__range])))', decimals=0,
        links=findings("Open divergences", OPEN_ROWS)))


def directions(made):
    made.with_row(row(10, "Replication delay"))
    metric = "twinlog_replication_delay_seconds"
    ways = (("$from", "$to"), ("$to", "$from"))
    for at, (start, end) in enumerate(ways):
        made.with_panel(heat(
            11 + at, f"{start} to {end}", "From a commit on the first node to its copy being read "
            "on the second: how many transactions took how long.", metric,
            selector='{@from=~"' + start + '", to=~"' + end + '"}'))
    for at, (start, end) in enumerate(ways):
        inside = '{@from=~"' + start + '", to=~"' + end + '"}[$__rate_interval]'
        rate = f"sum by (le) (rate({metric}_bucket{inside}))"
        made.with_panel(lines(
            13 + at, f"{start} to {end}: how long", "Half, 95 and 99 of 100 transactions took "
            "less than this. No line while nothing is written.",
            [(f"histogram_quantile({q}, {rate})", name)
             for q, name in (("0.5", "half"), ("0.95", "95 %"), ("0.99", "99 %"))],
            unit="s", empty="nothing replicated"))


def pair_streams(made):
    made.with_row(row(20, "Streams"))
    made.with_panel(states(
        21, "Connected", "Whether each server sends its binary log. What is written while it does "
        "not is judged later, as long as the server still has the files.",
        "twinlog_stream_connected{@" + BOTH + "}", "{{stream}}",
        in_words("lost", BAD, "connected", GOOD), height=6))
    made.with_panel(lines(
        22, "Connections lost", "Per minute, by reason.",
        [("60 * sum by (stream, reason) (rate(twinlog_stream_reconnects_total{@" + BOTH
          + "}[$__rate_interval]))", "{{stream}} {{reason}}")], unit="cpm", height=6))
    made.with_panel(lines(
        23, "Transactions read", "Per second, by the stream that showed them and the node they "
        "came from. In each stream both nodes should appear: a node that is missing from the "
        "other's stream is not replicated there.",
        [("sum by (stream, origin) (rate(twinlog_transactions_total{@" + BOTH
          + "}[$__rate_interval]))", "{{stream}}: of {{origin}}")], unit="ops"))
    made.with_panel(lines(
        24, "Rows read", "Row changes per second, by stream and operation.",
        [("sum by (stream, operation) (rate(twinlog_rows_total{@" + BOTH
          + "}[$__rate_interval]))", "{{stream}}: {{operation}}")], unit="ops"))
    made.with_panel(lines(
        25, "Stream lag", "Age of each stream's last transaction when twinlog read it.",
        [("twinlog_stream_delay_seconds{@" + BOTH + "}", "{{stream}}")], unit="s", width=8))
    made.with_panel(lines(
        26, "Bytes read", "Bytes of binary log per second.",
        [("rate(twinlog_bytes_total{@" + BOTH + "}[$__rate_interval])", "{{stream}}")], unit="Bps",
        width=8))
    made.with_panel(lines(
        27, "Events read", "Events of the binary log per second, the ten most frequent types.",
        [("topk(10, sum by (type) (rate(twinlog_events_total{@" + BOTH
          + "}[$__rate_interval])))", "{{type}}")], unit="ops", width=8))


def pair_verification(made):
    made.with_row(row(30, "Verification"))
    made.with_panel(lines(
        31, "Copies verified", "Copies compared with their originals, per second, by the "
        "original's node. `unverifiable`: one of the two does not show its rows.",
        [("sum by (origin, result) (rate(twinlog_transactions_verified_total{@" + ORIGINS
          + "}[$__rate_interval]))", "{{origin}}: {{result}}")], unit="ops", width=8))
    made.with_panel(lines(
        32, "Pending transactions", "Transactions that some stream has not shown yet, by the node "
        "they came from.",
        [("twinlog_pending_transactions{@" + ORIGINS + "}", "{{origin}}")], width=8, decimals=0))
    made.with_panel(lines(
        33, "Pending keys", "Keys held in memory for the pending transactions of all nodes.",
        [("twinlog_pending_keys{}", "{{instance}}")], width=8, decimals=0))
    made.with_panel(lines(
        34, "Handovers", "Rows written from one side and then, in order, from the other, per "
        "minute: no harm, but a little more delay makes a conflict of it.",
        [("60 * rate(twinlog_handovers_total{}[$__rate_interval])", "{{instance}}")], unit="cpm",
        width=8, links=findings("Handovers", "/?kind=near_conflict")))
    made.with_panel(lines(
        35, "Open findings by kind", "Findings of this twinlog that hold now, of all its nodes.",
        [("sum by (kind) (twinlog_open_findings{})", "{{kind}}")], width=8, decimals=0,
        links=findings("Open findings of this kind", OPEN_KIND)))
    made.with_panel(lines(
        36, "Suppressed findings", "Findings per minute that a `[[suppress]]` covers: told to "
        "nobody, and counted here.",
        [("60 * sum by (kind) (rate(twinlog_findings_suppressed_total{}[$__rate_interval]))",
          "{{kind}}")], unit="cpm", width=8))


def pair_logs(made):
    made.with_row(row(40, "Binary logs"))
    for at, node in enumerate(("$from", "$to")):
        inside = "{@" + streams_of(node) + "}"
        made.with_panel(lines(
            41 + at, f"Files of {node}", "Numbers of the files: what the server has, where twinlog "
            "reads, and the oldest that a restart of twinlog would read again. When the oldest on "
            "the server rises past that, a restart leaves out what was in between.",
            [(f"twinlog_server_oldest_file_number{inside}", "oldest on the server"),
             (f"twinlog_needed_file_number{inside}", "needed by a restart"),
             (f"twinlog_stream_file_number{inside}", "being read"),
             (f"twinlog_server_newest_file_number{inside}", "newest on the server")],
            decimals=0))
    made.with_panel(lines(
        43, "Place in the file", "Offset up to which the current file has been read. It falls to "
        "the beginning when the server starts a new file.",
        [("twinlog_stream_offset_bytes{@" + BOTH + "}", "{{stream}}")], unit="bytes"))
    made.with_panel(states(
        44, "Settings of the masters", "`fails` is a setting that makes twinlog blind in places. "
        "The name says which: it must be ROW, ON or FULL; see 'What it needs' in the README.",
        "twinlog_check_ok{@" + BOTH + "}", "{{stream}} {{check}}",
        in_words("fails", BAD, "ok", GOOD)))


def pair():
    made = begin("twinlog: one pair", PAIR, "Two nodes in depth: both directions of replication, "
                 "their streams, their binary logs.")
    delays = 'twinlog_replication_delay_seconds_count{job=~"$job", instance=~"$instance"'
    made.with_variable(values(
        "from", "From", "A node of the ring.", delays + "}", "from", False))
    made.with_variable(values(
        "to", "To", "The node that it replicates to.", delays + ', from=~"$from"}', "to", False))
    made = to_other(status_page(made), "Overview", OVERVIEW)
    pair_health(made)
    directions(made)
    pair_streams(made)
    pair_verification(made)
    pair_logs(made)
    return made


def plain(made) -> dict:
    """A dashboard without what the library gives every variable and only intervals have."""
    dashboard = json.loads(json.dumps(made.build(), cls=JSONEncoder))
    for variable in dashboard["templating"]["list"]:
        for field in ("auto", "auto_min", "auto_count"):
            del variable[field]
    return dashboard


def main() -> None:
    out = pathlib.Path(sys.argv[1])
    for name, made in ((OVERVIEW, overview()), (PAIR, pair())):
        text = json.dumps(plain(made), indent=2, ensure_ascii=False)
        (out / f"{name}.json").write_text(text + "\n", encoding="utf-8")


main()
