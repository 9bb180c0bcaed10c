"""Looking ahead: the plan of one change, and an hour of a large cluster with an outage, each in a process of its own."""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from tests.bench import Row

DEPLOYMENTS = 100
NODES, PODS = (int(os.environ.get(name, default)) for name, default in (("BENCH_NODES", "5000"), ("BENCH_PODS", "50000")))
WORKLOADS = 10
DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: default}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: c, image: '{image}', resources: {{requests: {{cpu: 100m}}}}}}]}}
"""
SCENARIO = "duration: 1h\nevents:\n- {at: 20m, powerLoss: {zone: zone-2, for: 15m}}\n"


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="bench-") as top:
        took = list(_plans(pathlib.Path(top)))
    yield Row(f"plan of a change to a {DEPLOYMENTS}-Deployment repository", "s", took, "<= 2")
    with tempfile.TemporaryDirectory(prefix="bench-") as top:
        seconds, mebibytes = _simulated(pathlib.Path(top))
    what = f"simulate {NODES:,} nodes, {PODS:,} pods, one hour with a zone outage"
    yield Row(what, "s", [seconds], "<= 300")
    yield Row("  ... memory", "MiB", [mebibytes], "<= 2048")


def _plans(top: pathlib.Path) -> Iterator[float]:
    before, after = top / "before", top / "after"
    for folder in (before, after):
        folder.mkdir()
        for number in range(DEPLOYMENTS):
            (folder / f"{number}.yaml").write_text(DEPLOYMENT.format(name=f"d-{number}", replicas=1, image="a:1"))
    (after / "7.yaml").write_text(DEPLOYMENT.format(name="d-7", replicas=3, image="a:2"))
    for _ in range(3):
        began = time.monotonic()
        _run("plan", after, "--against", before, "--nodes", 10, codes=(2,))
        yield time.monotonic() - began


def _simulated(top: pathlib.Path) -> tuple[float, float]:
    """Seconds, and the most memory that was resident."""
    folder = top / "folder"
    folder.mkdir()
    for number in range(WORKLOADS):
        (folder / f"{number}.yaml").write_text(DEPLOYMENT.format(name=f"w-{number}", replicas=PODS // WORKLOADS, image="a:1"))
    (top / "scenario.yaml").write_text(SCENARIO)
    began = time.monotonic()
    memory_kibibytes = _run("simulate", folder, "--nodes", NODES, "--scenario", top / "scenario.yaml", codes=(0,))
    return time.monotonic() - began, memory_kibibytes / 1024


def _run(*words: object, codes: tuple[int, ...]) -> int:
    """The most memory that the verb had resident, in KiB."""
    process = subprocess.Popen([sys.executable, "-m", "reconciler", *map(str, words)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode in codes, f"reconciler {words[0]} ended with {process.returncode}"
    return usage.ru_maxrss
