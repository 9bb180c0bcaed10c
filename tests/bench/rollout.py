"""A Deployment of 5,000 replicas on 500 simulated nodes: to all bound, to all ready, and what others feel meanwhile."""

import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

from tests import servers
from tests.bench import Row
from tests.bench._api import Api

REPLICAS, NODES, RUNS = 5000, 500, 3
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "replicas": REPLICAS,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "main", "image": "web", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}]},
        },
    },
}


def rows() -> Iterator[Row]:
    bound, ready, cpu, gets, stalls = [], [], [], [], []
    for _ in range(RUNS):
        with servers.running("--runtime", "sim", "--nodes", str(NODES)) as server:
            one = _run(server)
        bound.append(one[0])
        ready.append(one[1])
        cpu.append(one[2])
        gets.extend(one[3])
        stalls.append(one[4])
    yield Row(f"{REPLICAS} replicas on {NODES} sim nodes: applied to all bound", "s", bound, "<= 6", "the real control plane: 74")
    yield Row("  ... to all ready", "s", ready, "<= 12")
    yield Row("  ... CPU of the daemon", "s", cpu, "", "the real control plane: 112")
    yield Row("  ... a GET meanwhile", "ms", gets, "p99 <= 25")
    yield Row("  ... longest stall of the event loop", "ms", stalls, "<= 50")


def _run(server: servers.Server) -> tuple[float, float, float, list[float], float]:
    api = Api(server)
    servers.eventually(lambda: sum(_is_open(node) for node in api.get("/api/v1/nodes")["items"]) == NODES, 60)
    before = _cpu_seconds(server)
    gets: list[float] = []
    done = threading.Event()
    prober = threading.Thread(target=_probe, args=(server, gets, done))
    prober.start()
    began = time.monotonic()
    api.ask("POST", "/apis/apps/v1/namespaces/default/deployments", DEPLOYMENT)
    bound = ready = 0.0
    while not ready and time.monotonic() - began < 120:
        time.sleep(0.1)
        if not bound and _all_bound(server):
            bound = time.monotonic() - began
        if api.get("/apis/apps/v1/namespaces/default/deployments/web")["status"].get("readyReplicas") == REPLICAS:
            ready = time.monotonic() - began
    done.set()
    prober.join()
    return bound or ready, ready, _cpu_seconds(server) - before, gets, _longest_stall(server) * 1000


def _is_open(node: dict[str, Any]) -> bool:
    """Ready, and no controller keeps pods away any more."""
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in node.get("status", {}).get("conditions", ()))
    return ready and not node["spec"].get("taints")


def _probe(server: servers.Server, gets: list[float], done: threading.Event) -> None:
    api = Api(server)
    while not done.wait(0.02):
        began = time.monotonic()
        api.get("/api/v1/namespaces/default")
        gets.append((time.monotonic() - began) * 1000)


def _metric(server: servers.Server, component: str, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics/{component}", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def _all_bound(server: servers.Server) -> bool:
    return _metric(server, "scheduler", 'scheduler_schedule_attempts_total{profile="default-scheduler",result="scheduled"}') >= REPLICAS


def _longest_stall(server: servers.Server) -> float:
    return _metric(server, "controllers", "reconciler_loop_longest_stall_seconds ")


def _cpu_seconds(server: servers.Server) -> float:
    with open(f"/proc/{server.process.pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
