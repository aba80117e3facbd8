"""What a run has shown: the figures, and whether they are as demanded."""

import os
import statistics
import time
from collections import Counter
from dataclasses import dataclass

from masters import NODES
from watch import Metrics

COLUMNS = ["time", "phase", "own_a", "own_b", "applied_a", "applied_b", "lag_a", "lag_b",
           "rest_a", "rest_b", "binlog_a", "binlog_b", "cpu_a", "cpu_b", "disk", "load1", "busy", "cpu_self",
           "conflicts", "rss", "rss_anonymous", "rss_metric", "held", "cpu_twinlog", "judged_a", "judged_b", "rows",
           "delay_a", "delay_b", "pending_a", "pending_b", "pending_keys", "findings"]
FLAT = 1.10
# Memory that fills with what has to be remembered (minutes of handovers) is not growth.
FLAT_MINUTES_MIN = 30
# twinlog remembers 200,000 keys of recent copies for each stream: at fewer rows written on both
# masters in a second these are not there when the first window begins, after a twelfth of the run.
KEYS_REMEMBERED = 2 * 200_000
# Lag moves with the writers' rests and MariaDB's whole seconds: this much more is not growth.
LAG_FACTOR, LAG_SECONDS = 1.5, 1.0
# Of the processors' time; the clients take a few hundredths.
OTHER_SHARE_MAX = 0.1
DISK_BYTES_MAX = 10e9
CONTESTED_TABLE = "soak.contested"
MIB = 2**20


def rate(samples, *columns):
    """How much the sum of the columns grew, per second."""
    first, last = samples[0], samples[-1]
    return (sum(last[c] - first[c] for c in columns)) / (last["time"] - first["time"])


def between(samples, first, last):
    """The samples of a part of the run, both ends as shares of it."""
    start, seconds = samples[0]["time"], samples[-1]["time"] - samples[0]["time"]
    part = [s for s in samples if first <= (s["time"] - start) / seconds <= last]
    return part or samples[-1:]


def sixths(samples, value):
    """The median of a value in each sixth of the run."""
    return [statistics.median(value(s) for s in between(samples, i / 6, (i + 1) / 6))
            for i in range(6)]


def grows(medians):
    return medians[-1] > LAG_FACTOR * medians[0] + LAG_SECONDS


@dataclass
class End:
    """How the run ended: `drained`, in `seconds`, all was applied, judged and healed."""

    metrics: Metrics
    drained: bool
    seconds: float
    code: int


class Report:
    """Lines for people, and the demands that were not met."""

    def __init__(self):
        self.lines = []
        self.missed = []

    def tell(self, what, text):
        self.lines.append(f"{what:<13} {text}")

    def demand(self, met, text):
        """A line with yes or no; a no is what makes the run fail."""
        self.tell("", f"{text}: {'yes' if met else 'NO'}")
        if not met:
            self.missed.append(text)


def report(run, end):
    """Prints the report and writes it beside the samples; tells whether all demands are met."""
    out = Report()
    samples = [s for s in run.samples if s["phase"] == "run"]
    if len(samples) < 6:
        print("soak: too few samples to report")
        return False
    head(out, run, samples)
    memory(out, run, samples)
    lag(out, run, samples, end)
    cost(out, run, samples)
    findings(out, run, end)
    disk = max(s["disk"] for s in run.samples)
    out.tell("disk", f"at most {disk / 1e9:.1f} GB for both masters")
    out.demand(disk <= DISK_BYTES_MAX, "at most 10 GB")
    missed = f"{len(out.missed)} demands are not met" if out.missed else "all demands are met"
    out.tell("result", missed)
    text = "\n".join(out.lines) + "\n"
    (run.output / "report.txt").write_text(text)
    print("\n" + text, end="", flush=True)
    return not out.missed


def head(out, run, samples):
    cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    out.tell("run", f"{run.options.server} {run.masters.version}, {run.options.minutes} minutes, "
             f"processors {cpus}, ended {time.strftime('%Y-%m-%d %H:%M')}")
    count = len(os.sched_getaffinity(0))
    masters, twinlog = rate(samples, "cpu_a", "cpu_b"), rate(samples, "cpu_twinlog")
    idle = max(0, count - rate(samples, "busy"))
    other = max(0, count - idle - masters - twinlog - rate(samples, "cpu_self"))
    out.tell("", f"of their time {100 * masters / count:.0f} % for the masters, "
             f"{100 * twinlog / count:.1f} % for twinlog, {100 * idle / count:.0f} % idle, "
             f"{100 * other / count:.0f} % for clients and other work")
    if other > OTHER_SHARE_MAX * count:
        out.tell("", "so much other work: speed, cost and lag are not those of the masters and "
                 "twinlog alone")
    seconds = samples[-1]["time"] - samples[0]["time"]
    rest = max(rate(samples, f"rest_{node}") for node in NODES)
    out.tell("written", f"{rate(samples, 'own_a', 'own_b'):.0f} transactions/s, "
             f"{rate(samples, 'rows'):.0f} rows/s by both masters' clients in {seconds:.0f} s; "
             f"{rate(samples, 'binlog_a', 'binlog_b') / 1e6:.1f} MB/s of binlog, copies included")
    out.tell("", f"{samples[-1]['own_a'] - samples[0]['own_a']} transactions on a, "
             f"{samples[-1]['own_b'] - samples[0]['own_b']} on b; the writers of one rested for "
             f"{100 * rest:.0f} % of the time, for replication to keep up")


def memory(out, run, samples):
    minutes = run.options.minutes
    early = statistics.median(s["rss"] for s in between(samples, 1 / 12, 1 / 6)) / MIB
    late = [s["rss"] / MIB for s in between(samples, 5 / 6, 1)]
    out.tell("memory", f"{early:.1f} MiB in minutes {minutes / 12:.1f} to {minutes / 6:.1f} "
             f"(median); last {minutes / 6:.1f} minutes: median {statistics.median(late):.1f}, "
             f"most {max(late):.1f}")
    out.tell("", f"most {max(s['rss'] for s in samples) / MIB:.1f} MiB of all, "
             f"{samples[-1]['rss'] / MIB:.1f} at the end "
             f"(by its own metric {samples[-1]['rss_metric'] / MIB:.1f})")
    for name, column in (("", "rss"), ("of it in no file ", "rss_anonymous"),
                         ("as twinlog counts what it holds ", "held")):
        medians = sixths(samples, lambda s, column=column: s[column])
        out.tell("", f"in sixths of the run, {name}".rstrip(", ")
                 + ": " + " ".join(f"{m / MIB:.1f}" for m in medians))
    if minutes < FLAT_MINUTES_MIN:
        out.tell("", f"flat within 10 %: too short to say, {FLAT_MINUTES_MIN} minutes are needed")
    elif rate(samples, "rows") * 60 * minutes / 12 < KEYS_REMEMBERED:
        out.tell("", "flat within 10 %: not to be said, with so few rows the memory of recent "
                 "copies was not yet full")
    else:
        out.demand(max(late) <= FLAT * early, "flat within 10 %")


def lag(out, run, samples, end):
    # twinlog counts from where it began; once all was judged, the difference says where that was.
    judged = {n: end.metrics.sum("twinlog_transactions_total", stream=n, origin=n) for n in NODES}
    base = {n: run.masters.own[n] - judged[n] for n in NODES}
    speed = {n: max(rate(samples, f"own_{n}"), 1e-9) for n in NODES}
    behind = sixths(samples, lambda s: max(
        max(0, s[f"own_{n}"] - base[n] - s[f"judged_{n}"]) / speed[n] for n in NODES))
    delay = sixths(samples, lambda s: max(s[f"delay_{n}"] for n in NODES))
    replication = sixths(samples, lambda s: max(s[f"lag_{n}"] for n in NODES))
    rest = [max(0, d - r) for d, r in zip(delay, replication)]
    out.tell("lag", "medians in sixths of the run, in seconds, the worse of both masters:")
    for name, medians in ((
            "twinlog, behind what the masters' clients have committed", behind), (
            "stream_delay, replication included", delay), ("replication", replication)):
        out.tell("", f"  {name}: " + " ".join(f"{m:.2f}" for m in medians))
    # What replication adds to the delay is not twinlog's.
    out.demand(not grows(behind) and not grows(rest), "does not grow")
    out.demand(end.drained, f"all was applied, judged and healed {end.seconds:.1f} s after the "
               "last write")


def cost(out, run, samples):
    twinlog, masters = rate(samples, "cpu_twinlog"), rate(samples, "cpu_a", "cpu_b")
    rates = {kind: [r for k, _, r in run.phases if k == kind] for kind in ("without", "with")}
    without, with_it = (statistics.median(rates[kind]) for kind in ("without", "with"))
    out.tell("processors", f"twinlog {twinlog:.2f} s/s, both masters {masters:.2f} s/s: "
             f"{100 * twinlog / masters:.1f} % of theirs; {1e6 * twinlog / rate(samples, 'rows'):.1f}"
             " microseconds a row written")
    out.tell("masters", f"{without:.0f} transactions/s without twinlog, {with_it:.0f} with it "
             f"(medians of {run.options.pairs}): ratio {with_it / without:.3f}")
    pairs = {}
    for kind, pair, value in run.phases:
        pairs.setdefault(pair, {})[kind] = value
    ratios = [p["with"] / p["without"] for p in pairs.values()]
    out.tell("", "pair by pair " + " ".join(f"{ratio:.3f}" for ratio in ratios)
             + f", their median {statistics.median(ratios):.3f}")


def findings(out, run, end):
    told = run.watch.told()
    ours = [f for f in told if f["table"] == CONTESTED_TABLE]
    conflicts = [f for f in ours if f["kind"] == "write_conflict"]
    divergences = [f for f in ours if f["kind"] == "divergence"]
    healed = sum(f["state"] == "healed" for f in divergences)
    made = run.conflicts.made
    out.tell("findings", f"{made} conflicts made and healed {run.conflicts.healed}; told: "
             f"{len(conflicts)} write_conflict, {len(divergences)} divergence, {healed} healed")
    out.demand(len(conflicts) == len(divergences) == healed == run.conflicts.healed == made,
               "each told once, each healed")
    verified = {result: end.metrics.sum("twinlog_transactions_verified_total", result=result)
                for result in ("identical", "differs", "unverifiable")}
    out.tell("", "copies compared with their originals: "
             + ", ".join(f"{count:.0f} {result}" for result, count in verified.items()))
    others = Counter()
    for f in told + run.told_early:
        if f["table"] != CONTESTED_TABLE:
            others[f"{f['severity']} {f['kind']} {f['reason'] or ''}".strip()] += 1
    handovers = Counter(f["kind"] for f in ours if f not in conflicts and f not in divergences)
    for name, count in sorted(handovers.items()):
        out.tell("", f"{count} {name} on the rows of the conflicts")
    for name, count in sorted(others.items()):
        out.tell("", f"{count} {name}")
    out.demand(not any(not name.startswith("info ") for name in others),
               "nothing else above info")
    out.demand(end.code == 0, "twinlog ended with exit code 0 when told to")
