"""What a machine pays for 100 pods that do nothing: memory, CPU, writes to the disk."""

import os
import pathlib
import re
import tempfile
import time
import urllib.request
from collections.abc import Iterator

from tests import servers
from tests.bench import Row
from tests.bench._api import Api

PODS, SETTLE_SECONDS, WATCH_SECONDS = 100, 30, 60
WEB = f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: idle}}
spec:
  replicas: {PODS}
  selector: {{matchLabels: {{app: idle}}}}
  template:
    metadata: {{labels: {{app: idle}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{{name: main, image: host, command: [sleep, "100000"]}}]
"""


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="bench-") as top:
        folder = pathlib.Path(top)
        (folder / "idle.yaml").write_text(WEB)
        with servers.running(folder=folder) as server:
            api = Api(server)
            path = "/apis/apps/v1/namespaces/default/deployments/idle"
            servers.eventually(lambda: api.get(path)["status"].get("readyReplicas") == PODS, 120)
            time.sleep(SETTLE_SECONDS)
            daemon = server.process.pid
            cpu, writes, began = _cpu_seconds(daemon), _fsyncs(server), time.monotonic()
            time.sleep(WATCH_SECONDS)
            passed = time.monotonic() - began
            cpu, writes = _cpu_seconds(daemon) - cpu, _fsyncs(server) - writes
            yield Row(
                f"idle with {PODS} pods: PSS of the daemon", "MB", [_pss_kib(daemon) / 1024], "<= 120", "the real control plane, empty: 495"
            )
            shims = [_pss_kib(pid) / 1024 for pid in _shims(server)]
            yield Row("  ... PSS of each shim", "MB", shims, "<= 0.5")
            yield Row("  ... CPU of a core", "%", [100 * cpu / passed], "<= 0.5", "the real control plane: 7.7")
            yield Row("  ... durable writes a minute", "", [writes * 60 / passed], "<= 1")


def _pss_kib(pid: int) -> int:
    found = re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def _cpu_seconds(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _fsyncs(server: servers.Server) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics/journal", timeout=10) as answer:
        text = answer.read().decode()
    found = re.search(r"^etcd_disk_wal_fsync_duration_seconds_count (\S+)", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def _shims(server: servers.Server) -> list[int]:
    """The parents of the pods' processes: children of this run's keeper that have children themselves."""
    parents: dict[int, int] = {}
    sleepers = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = pathlib.Path(f"/proc/{entry}/stat").read_text()
                parents[int(entry)] = int(stat.rpartition(")")[2].split()[1])
                if b"sleep\x00100000" in pathlib.Path(f"/proc/{entry}/cmdline").read_bytes():
                    sleepers.append(int(entry))
            except OSError:
                continue
    return sorted({parents[pid] for pid in sleepers if pid in parents})
