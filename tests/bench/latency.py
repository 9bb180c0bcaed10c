"""What a user waits for: a save until the new process runs, a killed container until its replacement runs, a start."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from tests import servers
from tests.bench import Row

RUNS = 20
WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {{name: main, image: host, command: [sleep, '100000']}}
"""


def rows() -> Iterator[Row]:
    yield from _edits()
    yield from _starts()


def _edits() -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="bench-") as top:
        folder = pathlib.Path(top)
        saves = []
        with servers.running(folder=folder) as server:
            for replicas in range(1, RUNS + 2):
                began = time.time()
                _save(folder / "web.yaml", WEB.format(replicas=replicas))
                started = _wait_running(server, replicas)
                if replicas > 1:
                    saves.append((started - began) * 1000)
            kills = [_kill(server) for _ in range(RUNS)]
    yield Row("save of a file to the new process running (replicas +1)", "ms", saves, "p50 <= 60, p99 <= 200")
    yield Row("kill -9 of a container to its replacement running", "ms", kills, "p50 <= 50")


def _save(path: pathlib.Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)


def _pids() -> set[int]:
    """Containers' first processes, found in /proc by their command."""
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if b"sleep\x00100000" in pathlib.Path(f"/proc/{entry}/cmdline").read_bytes():
                    found.add(int(entry))
            except OSError:
                continue
    return found


def _wait_running(server: servers.Server, count: int) -> float:
    """The moment at which `count` containers' processes were first seen."""
    deadline = time.time() + 20
    while len(_pids()) < count:
        if time.time() > deadline:
            raise AssertionError(f"{len(_pids())} of {count} containers run\n{server.log()}")
    return time.time()


def _kill(server: servers.Server) -> float:
    before = _pids()
    victim = min(before)
    began = time.time()
    os.kill(victim, signal.SIGKILL)
    while len(_pids() - before) < 1:
        if time.time() - began > 20:
            raise AssertionError(f"no replacement\n{server.log()}")
    return (time.time() - began) * 1000


def _starts() -> Iterator[Row]:
    """1,000 objects in the journal, then starts with a warm page cache until /readyz answers and the folder is compared."""
    with tempfile.TemporaryDirectory(prefix="bench-") as top:
        own = pathlib.Path(top)
        folder = own / "repo"
        folder.mkdir()
        for number in range(200):
            documents = [
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c{number}-{index}"}, "data": {"key": "value " * 20}}
                for index in range(5)
            ]
            (folder / f"{number}.yaml").write_text("---\n".join(json.dumps(document) + "\n" for document in documents))
        began = time.monotonic()
        server = servers.start(folder, own / "data", "--runtime", "none")
        first = time.monotonic() - began
        server.stop()
        again = []
        for _ in range(RUNS):
            began = time.monotonic()
            server = servers.start(folder, own / "data", "--runtime", "none")
            again.append((time.monotonic() - began) * 1000)
            server.stop()
        subprocess.run([sys.executable, "-m", "reconciler", "down", "--data-dir", str(own / "data")], capture_output=True, check=False)
    yield Row("first sync of 1,000 manifests in 200 files, start included", "s", [first], "<= 2")
    yield Row("start to ready with 1,000 objects, first diff done", "ms", again, "<= 900", "etcd and kube-apiserver, empty: 3,200")
