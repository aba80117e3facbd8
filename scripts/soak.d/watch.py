"""twinlog watch, beside the masters: its configuration, its process, its metrics."""

import json
import re
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

from masters import NODES, Trouble, cpu_seconds

READY_SECONDS = 60
STOP_SECONDS = 10
SERIES = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="([^"]*)"')

RULES = """
[[ownership]]                       # each server its own tables
tables = ["soak.a_*"]
owner = "a"

[[ownership]]
tables = ["soak.b_*"]
owner = "b"

[[ownership]]                       # each server its own rows
tables = ["soak.stock"]
rows = { column = "id", modulo = 2, remainders = { a = 1, b = 0 } }
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


class Watch:
    """One run of twinlog watch. Its files are `directory`'s: findings, log, store."""

    def __init__(self, program, masters, directory):
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        password = directory / "password"
        password.touch(0o600)
        password.write_text("twinlog")
        text = "".join(f'[nodes.{node}]\nurl = "mysql://twinlog@127.0.0.1:'
                       f'{masters.nodes[node]["port"]}"\npassword_file = "{password}"\n\n'
                       for node in NODES)
        text += RULES + (f'\n[watch]\nlisten = "127.0.0.1:{self.port}"\n'
                         f'store = "{directory / "store.db"}"\n')
        config = directory / "twinlog.toml"
        config.write_text(text)
        self.findings = directory / "findings.ndjson"
        with open(self.findings, "w") as out, open(directory / "watch.log", "w") as log:
            # Told to end also where this program is killed.
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", str(program), "watch", "--config", str(config)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=log, start_new_session=True)

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return answer.read().decode()

    def check(self):
        code = self.process.poll()
        if code is not None:
            log = (self.directory / "watch.log").read_text().splitlines()[-5:]
            raise Trouble("twinlog watch has ended with exit code %d:\n  %s"
                          % (code, "\n  ".join(log)))

    def wait_ready(self):
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            self.check()
            try:
                self.get("/readyz")
                return
            except OSError:
                time.sleep(0.1)
        raise Trouble(f"twinlog watch was not ready after {READY_SECONDS} s")

    def metrics(self):
        """By name the series: a list of (labels, value)."""
        try:
            text = self.get("/metrics")
        except OSError as error:
            self.check()
            raise Trouble(f"twinlog's metrics cannot be read: {error}") from error
        series = {}
        for line in text.splitlines():
            found = SERIES.match(line)
            if found:
                name, labels, value = found.groups()
                series.setdefault(name, []).append((dict(LABEL.findall(labels or "")),
                                                    float(value)))
        return Metrics(series)

    def resident_bytes(self):
        """All resident memory, and of it what is its own and no part of a file."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return [1024 * int(re.search(rf"^{name}:\s*(\d+) kB$", status, re.MULTILINE).group(1))
                for name in ("VmRSS", "RssAnon")]

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)

    def stop(self):
        """Ends it as an operator would; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()

    def told(self):
        """The findings it has told, each as it was told last."""
        findings = {}
        with open(self.findings) as lines:
            for line in lines:
                if line.endswith("\n"):
                    finding = json.loads(line)
                    findings[finding["id"]] = finding
        return list(findings.values())


class Metrics:
    """What /metrics said at one moment."""

    def __init__(self, series):
        self.series = series

    def sum(self, name, **labels):
        """The sum of the series with these labels."""
        return sum(value for have, value in self.series.get(name, [])
                   if all(have.get(key) == want for key, want in labels.items()))
