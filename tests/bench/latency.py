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
        with servers.running(folder=folder) as server:
            saves = [_edit(server, folder / "web.yaml", replicas) for replicas in range(1, RUNS + 2)][1:]
            kills = [_kill(server) for _ in range(RUNS)]
    yield Row("save of a file to the new process running (replicas +1)", "ms", saves, "p50 <= 60, p99 <= 200")
    yield Row("kill -9 of a container to its replacement running", "ms", kills, "p50 <= 50")


def _edit(server: servers.Server, file: pathlib.Path, replicas: int) -> float:
    known = _others()
    began = time.monotonic()
    _save(file, WEB.format(replicas=replicas))
    return (_started(server, known) - began) * 1000


def _save(path: pathlib.Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)


def _processes() -> set[int]:
    return {int(entry) for entry in os.listdir("/proc") if entry.isdigit()}


def _others() -> set[int]:
    """Processes that will not become a container: all but the keeper's, which has one wait ahead."""
    return {pid for pid in _processes() if b"/node/keeper/" not in _command(pid)}


def _command(pid: int) -> bytes:
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _is_container(pid: int) -> bool:
    """Whether it is a container's first process, by its command."""
    return b"sleep\x00100000" in _command(pid)


def _started(server: servers.Server, known: set[int]) -> float:
    """The moment at which a container was first seen among processes that are not `known`: looking at few costs little."""
    deadline = time.monotonic() + 20
    while not any(map(_is_container, _processes() - known)):
        if time.monotonic() > deadline:
            raise AssertionError(f"no container was started\n{server.log()}")
    return time.monotonic()


def _kill(server: servers.Server) -> float:
    known = _others()
    victim = min(filter(_is_container, known))
    began = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    return (_started(server, known) - began) * 1000


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
        subprocess.run(
            [sys.executable, "-m", "reconciler", "down", "--grace-period", "0", "--data-dir", str(own / "data")],
            capture_output=True,
            check=False,
        )
    yield Row("first sync of 1,000 manifests in 200 files, start included", "s", [first], "<= 2")
    yield Row("start to ready with 1,000 objects, first diff done", "ms", again, "<= 900", "etcd and kube-apiserver, empty: 3,200")
