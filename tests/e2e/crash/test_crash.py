"""SIGKILL at random points: of the daemon, of the keeper, of a shim, while clients write and a Deployment scales.

Whatever dies: what was acknowledged is there, nothing is half written, no revision is used twice, no container starts
twice and none is lost. The daemon and the keeper cost no container anything; a shim takes its one pod's containers
along, which are reported and started again. 20 kills each; RECONCILER_CRASH_KILLS sets another number.
"""

import asyncio
import collections
import contextlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.daemon import config
from reconciler.node.keeper import client, launch, records
from tests import servers
from tests.e2e.crash import load

KILLS = int(os.environ.get("RECONCILER_CRASH_KILLS", "20"))
SEED = int(os.environ.get("RECONCILER_CRASH_SEED", str(random.SystemRandom().randrange(1 << 32))))
PODS = "/api/v1/namespaces/default/pods"
SCRIPT = "echo $POD_UID >> /flag/starts; trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"


def deployment(name: str, replicas: int, folder: pathlib.Path) -> dict[str, Any]:
    variables = [
        {"name": "CRASH_TEST", "value": str(folder)},
        {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
    ]
    main = {
        "name": "main",
        "image": "host",
        "command": ["sh", "-c", SCRIPT],
        "env": variables,
        "volumeMounts": [{"name": "flag", "mountPath": "/flag"}],
    }
    volumes = [{"name": "flag", "hostPath": {"path": str(folder / "flag")}}]
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [main], "volumes": volumes, "terminationGracePeriodSeconds": 2, "automountServiceAccountToken": False},
    }
    return {"metadata": {"name": name}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}}


class Machine:
    """A daemon over the lives that it has in a test."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.run_dir = config.Config(data_dir=self.data_dir).run_dir
        self.api = load.Api(self.data_dir / "api.sock")
        for name in ("data", "repo", "flag"):
            (folder / name).mkdir()
        self.settings = servers.settings(folder / "config.yaml")
        self.process = self.launch()

    def launch(self) -> "subprocess.Popen[bytes]":
        words = ["--data-dir", str(self.data_dir), "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
        words += ["--config", str(self.settings)]
        with (self.folder / "daemon.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", "reconciler", "up", str(self.folder / "repo"), *words], stdout=log, stderr=log)

    def ready(self) -> bool:
        assert self.process.poll() is None, (self.folder / "daemon.log").read_text()[-4000:]
        return self.api.is_ready()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def down(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        command = [sys.executable, "-m", "reconciler", "down", "--grace-period", "0", "--data-dir", str(self.data_dir)]
        subprocess.run(command, capture_output=True, timeout=60, check=True)

    def pods(self, app: str = "") -> dict[str, dict[str, Any]]:
        """By uid, without those on their way out."""
        items = self.api.ask("GET", f"{PODS}?labelSelector=app{f'%3D{app}' if app else ''}")["items"]
        return {item["metadata"]["uid"]: item for item in items if "deletionTimestamp" not in item["metadata"]}

    def processes(self) -> dict[str, list[int]]:
        """The containers' first processes by pod uid, as the kernel has them; a fork that is about to become `sleep` is none."""
        mark = f"CRASH_TEST={self.folder}".encode()
        pods: dict[int, str] = {}
        parents: dict[int, int] = {}
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                variables = (entry / "environ").read_bytes().split(b"\0")
                is_alike = b"POD_UID >> /flag" in (entry / "cmdline").read_bytes()
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if mark in variables and is_alike:
                uid = next(one for one in variables if one.startswith(b"POD_UID=")).partition(b"=")[2]
                pods[int(entry.name)], parents[int(entry.name)] = uid.decode(), parent
        found = collections.defaultdict(list)
        for pid, uid in pods.items():
            if parents[pid] not in pods:
                found[uid].append(pid)
        return found

    def starts(self) -> collections.Counter[str]:
        path = self.folder / "flag" / "starts"
        return collections.Counter(path.read_text().split() if path.exists() else [])


@pytest.fixture
def machine(tmp_path: pathlib.Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    try:
        servers.eventually(made.ready)
        for name, replicas in (("steady", 2), ("scaled", 1)):
            made.api.ask("POST", "/apis/apps/v1/namespaces/default/deployments", deployment(name, replicas, tmp_path))
        servers.eventually(lambda: len(running(made.pods())) == 3)
        yield made
    finally:
        made.down()


def running(pods: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Restart counts of pods whose container runs."""
    statuses = {uid: (pod["status"].get("containerStatuses") or [{}])[0] for uid, pod in pods.items()}
    return {uid: one["restartCount"] for uid, one in statuses.items() if "running" in one.get("state", {})}


def settled(machine: Machine, work: load.Load) -> dict[str, int]:
    """Restart counts once the Deployments have what was asked for, and the kernel has just their containers."""

    def look() -> dict[str, int] | None:
        pods, scaled = machine.pods(), machine.pods("scaled")
        found = running(pods)
        wanted = machine.api.ask("GET", load.SCALED)["spec"].get("replicas", 0)
        assert wanted in work.replicas
        is_equal = dict.fromkeys(found, 1) == {uid: len(pids) for uid, pids in machine.processes().items()}
        return found if len(scaled) == wanted and len(pods) == len(found) == wanted + 2 and is_equal else None

    found: dict[str, int] = servers.eventually(look, 60)
    return found


def strike_daemon(machine: Machine, chance: random.Random) -> None:
    """Anywhere in its life: while it starts, while it reads the journal, while it works."""
    if chance.random() < 0.75:
        servers.eventually(machine.ready, 60)
    time.sleep(chance.random() * 0.5)
    machine.kill()
    machine.process = machine.launch()


def strike_keeper(machine: Machine, chance: random.Random) -> None:
    time.sleep(chance.random() * 0.3)
    try:
        hello = asyncio.run(client.request(machine.run_dir / launch.SOCKET, "hello"))
    except client.Gone:
        return  # nobody has needed it since it was killed
    os.kill(hello["pid"], signal.SIGKILL)


def strike_shim(machine: Machine, chance: random.Random) -> None:
    time.sleep(chance.random() * 0.3)
    folders = [records.PodFolder(str(machine.run_dir), uid) for uid in sorted(machine.pods("scaled"))]
    shims = [pid for folder in folders if (pid := folder.shim_pid(records.boot_id()))]
    if shims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(shims), signal.SIGKILL)


@pytest.mark.parametrize("victim", ["daemon", "keeper", "shim"])
def test_nothing_is_lost_when_it_is_killed(machine: Machine, victim: str) -> None:
    strike = {"daemon": strike_daemon, "keeper": strike_keeper, "shim": strike_shim}[victim]
    chance, work = random.Random(SEED), load.Load(machine.api, SEED)
    steady = {uid: pids for uid, pids in machine.processes().items() if uid in machine.pods("steady")}
    print(f"RECONCILER_CRASH_SEED={SEED}")
    work.start()
    for _ in range(KILLS):
        strike(machine, chance)
        work.check()
    servers.eventually(machine.ready, 60)
    work.stop()
    for writer in work.writers:
        writer.verify()
    restarts = settled(machine, work)
    starts, processes = machine.starts(), machine.processes()
    assert {uid: pids for uid, pids in processes.items() if uid in steady} == steady
    assert [restarts[uid] for uid in steady] == [0, 0]
    assert work.acknowledged > KILLS
    if victim == "shim":
        assert all(starts[uid] <= count + 1 for uid, count in restarts.items())
    else:
        assert set(restarts.values()) == {0}
        assert max(starts.values()) == 1
