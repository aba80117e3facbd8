"""The two masters: started by scripts/lab, asked over clients that stay connected."""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections import deque
from contextlib import contextmanager
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent
NODES = ("a", "b")
OTHER = {"a": "b", "b": "a"}
MARK = "--- soak: the answer ends here"
TICKS = os.sysconf("SC_CLK_TCK")

# Binlogs small enough to be purged often, and memory enough that the masters are not held back by
# it: the lab's own settings are made for tests.
OPTIONS = ["--max-binlog-size=128M", "--innodb-buffer-pool-size=256M"]
SERVER_OPTIONS = {
    "mariadb": ["--innodb-log-file-size=256M", "--slave-parallel-threads=4",
                "--slave-parallel-mode=optimistic"],
    "mysql": ["--innodb-redo-log-capacity=512M", "--replica-parallel-workers=4"],
}


class Trouble(Exception):
    """What ends a run: the message says what happened."""


@contextmanager
def uninterrupted():
    """Puts Ctrl-C off: what is half started could not be ended."""
    came = []
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(s, lambda *_: came.append(True)) for s in signals]
    try:
        yield
    finally:
        for s, handler in zip(signals, before):
            signal.signal(s, handler)
    if came and before[0] != signal.SIG_IGN:
        raise KeyboardInterrupt


def lab(*arguments, text=None):
    with uninterrupted():
        done = subprocess.run([str(SCRIPTS / "lab"), *map(str, arguments)], input=text,
                              capture_output=True, text=True, start_new_session=True)
    if done.returncode:
        raise Trouble(f"scripts/lab {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def cpu_seconds(pid):
    """User and system time of a process; it must be there."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def busy_seconds(cpus):
    """For how long these processors have not been idle, all of them together."""
    total = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in cpus:
            # user nice system idle iowait irq softirq steal; guests' time is in user's
            total += sum(map(int, ticks[:8])) - int(ticks[3]) - int(ticks[4])
    return total / TICKS


class Session:
    """A client that stays connected to one master. For one thread at a time."""

    def __init__(self, masters, node):
        self.node = node
        self.errors = tempfile.TemporaryFile("w+")
        command = [masters.client, "--no-defaults", *masters.client_options, "--user=root",
                   f"--socket={masters.nodes[node]['socket']}", "--batch", "--skip-column-names",
                   "--unbuffered"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True, start_new_session=True)

    def ask(self, statement):
        """The rows of one statement, each a list of columns."""
        try:
            self.process.stdin.write(f"{statement};\nSELECT '{MARK}';\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass  # What the client has said follows.
        rows = []
        for line in self.process.stdout:
            line = line.rstrip("\n")
            if line == MARK:
                return rows
            rows.append(line.split("\t"))
        self.errors.seek(0)
        said = self.errors.read().strip() or "the connection ended"
        raise Trouble(f"master {self.node}: {said} (in: {' '.join(statement.split())[:80]})")

    def close(self):
        """Ends the client; what it was doing is broken off."""
        self.process.kill()
        self.process.wait()


class Masters:
    """Two masters in a ring, and what is known of how far each has come."""

    def __init__(self, server):
        self.server = server
        self.directory = tempfile.mkdtemp(prefix="soak-")
        self.client_options = ["--skip-ssl"] if server == "mariadb" else []
        self.nodes = {}
        self.sessions = {}
        self.own = dict.fromkeys(NODES, 0)      # transactions committed by its own clients
        self.applied = dict.fromkeys(NODES, 0)  # of them, those the other master has applied
        self.history = {node: deque() for node in NODES}
        self.lag = dict.fromkeys(NODES, 0.0)    # seconds until the other master has applied them
        self.files = {node: {} for node in NODES}  # of binlogs: number -> (name, bytes)
        self.seen = {node: {} for node in NODES}   # number -> `own` when the file was first seen
        self.purged_bytes = dict.fromkeys(NODES, 0)

    def start(self):
        options = []
        for option in OPTIONS + SERVER_OPTIONS[self.server]:
            options += ["--option", option]
        lab("start", self.directory, "--server", self.server, "--owner", os.getpid(), *options)
        facts = json.loads(Path(self.directory, "lab.json").read_text())
        self.version, self.client = facts["version"], facts["client"]
        self.nodes = {node["name"]: node for node in facts["nodes"]}
        self.sessions = {node: Session(self, node) for node in NODES}

    def stop(self):
        for session in self.sessions.values():
            session.close()
        if Path(self.directory, "lab.conf").exists():
            lab("destroy", self.directory)
        else:
            Path(self.directory).rmdir()

    def run(self, node, text):
        """Runs a script of statements, as the client reads them."""
        lab("sql", self.directory, node, text=text)

    def settle(self):
        lab("settle", self.directory, "--timeout", 120)

    def position(self, session):
        """How many transactions of each master's clients this one has."""
        if self.server == "mysql":
            text = session.ask("SELECT @@GLOBAL.gtid_executed")[0][0].replace("\\n", "")
            return {node: mysql_count(text, node) for node in NODES}
        text = session.ask("SELECT @@GLOBAL.gtid_binlog_state")[0][0]
        counts = {int(gtid.split("-")[1]): int(gtid.split("-")[2])
                  for gtid in text.split(",") if gtid}
        return {node: counts.get(self.nodes[node]["server_id"], 0) for node in NODES}

    def look(self):
        """Brings `own`, `applied` and `lag` up to date."""
        # The reader first: what it has applied by then was committed before.
        positions = {}
        for node in NODES:
            positions[node] = self.position(self.sessions[node])
        now = time.monotonic()
        for node in NODES:
            own, applied = positions[node][node], positions[OTHER[node]][node]
            history = self.history[node]
            history.append((now, own))
            # The oldest look at which there was more than is applied now.
            while history[0][1] <= applied and len(history) > 1:
                history.popleft()
            self.own[node], self.applied[node] = own, min(applied, own)
            self.lag[node] = now - history[0][0] if history[0][1] > applied else 0.0

    def look_at_files(self):
        """Brings the sizes of the binlogs up to date."""
        for node in NODES:
            for name, size, *_ in self.sessions[node].ask("SHOW BINARY LOGS"):
                number = int(name.rpartition(".")[2])
                self.files[node][number] = (name, int(size))
                self.seen[node].setdefault(number, self.own[node])

    def purge(self, needed):
        """Deletes binlogs that the other master and twinlog have read.

        `needed`: by node the oldest file that twinlog needs; None where it does not run.
        """
        for node in NODES:
            files = self.files[node]
            keep = max(files)
            if needed is not None:
                keep = min(keep, int(needed[node]))
            # A file is whole when the next one is seen first.
            while keep > min(files) and self.applied[node] < self.seen[node].get(keep, 0):
                keep -= 1
            old = [number for number in files if number < keep]
            if not old:
                continue
            self.sessions[node].ask(f"PURGE BINARY LOGS TO '{files[keep][0]}'")
            for number in old:
                self.purged_bytes[node] += files.pop(number)[1]

    def binlog_bytes(self, node):
        """Everything its binlogs have held so far."""
        return self.purged_bytes[node] + sum(size for _, size in self.files[node].values())

    def disk_bytes(self):
        """What the servers' directories take on the disk."""
        total = 0
        for directory, _, names in os.walk(self.directory):
            for name in names:
                try:
                    total += os.lstat(os.path.join(directory, name)).st_blocks * 512
                except FileNotFoundError:
                    pass  # Purged meanwhile.
        return total

    def cpu_seconds(self, node):
        return cpu_seconds(self.nodes[node]["pid"])


def mysql_count(text, node):
    """How many GTIDs of a node's uuid (its name, written out) a set holds."""
    total = 0
    for part in text.split(","):
        part = part.strip()
        if re.match(rf"{node}{{8}}-", part):
            for interval in part.split(":")[1:]:
                first, _, last = interval.partition("-")
                total += int(last or first) - int(first) + 1
    return total
