"""The walk: from a line of YAML to a process, and everything that may happen to it there."""

import json
import os
import pathlib
import signal
from typing import Any

from tests import servers
from tests.e2e.conftest import Cluster

WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata:
      labels: {{app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: host
        command: [sh, -c, 'trap "exit 0" TERM; n=0; while true; do echo "{word} $n"; n=$((n+1)); sleep 0.05; done']
"""


def pods(server: servers.Server, label: str = "app=web") -> list[dict[str, Any]]:
    items = json.loads(server.kubectl("get", "pods", "-l", label, "-o", "json"))["items"]
    return [pod for pod in items if not pod["metadata"].get("deletionTimestamp")]


def ready_pods(server: servers.Server, count: int) -> list[dict[str, Any]]:
    found = pods(server)
    ready = [pod for pod in found if any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))]
    return ready if len(ready) == len(found) == count else []


def container_pid(server: servers.Server, pod: dict[str, Any]) -> int:
    """The PID that `reconciler explain` names for the pod's container."""
    answer = server.cli("explain", f"pod/{pod['metadata']['name']}")
    line = next(line for line in answer.splitlines() if "pid " in line)
    return int(line.split("pid ")[1].split()[0].rstrip(",.;)"))


def is_alive(pid: int) -> bool:
    return pathlib.Path(f"/proc/{pid}").exists()


def test_a_file_becomes_processes_and_follows_its_edits(cluster: Cluster) -> None:
    cluster.write("web.yaml", WEB.format(replicas=2, word="one"))
    server = cluster.up()
    first = servers.eventually(lambda: ready_pods(server, 2))
    assert "one 0" in server.kubectl("logs", first[0]["metadata"]["name"])
    cluster.write("web.yaml", WEB.format(replicas=3, word="one"))
    servers.eventually(lambda: ready_pods(server, 3))
    cluster.write("web.yaml", WEB.format(replicas=3, word="two"))
    server.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    rolled = servers.eventually(lambda: ready_pods(server, 3))
    assert not {pod["metadata"]["uid"] for pod in first} & {pod["metadata"]["uid"] for pod in rolled}
    assert "two 0" in server.kubectl("logs", rolled[0]["metadata"]["name"])
    (cluster.folder / "other.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n")
    (cluster.folder / "web.yaml").unlink()
    servers.eventually(lambda: not pods(server))


def test_a_killed_container_comes_back(cluster: Cluster) -> None:
    cluster.write("web.yaml", WEB.format(replicas=1, word="one"))
    server = cluster.up()
    (pod,) = servers.eventually(lambda: ready_pods(server, 1))
    os.kill(container_pid(server, pod), signal.SIGKILL)

    def restarted() -> bool:
        found = ready_pods(server, 1)
        return bool(found) and found[0]["status"]["containerStatuses"][0]["restartCount"] == 1

    servers.eventually(restarted)
    (after,) = ready_pods(server, 1)
    assert after["metadata"]["uid"] == pod["metadata"]["uid"]
    last = after["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert last["exitCode"] == 137


def test_containers_outlive_the_daemon(cluster: Cluster) -> None:
    cluster.write("web.yaml", WEB.format(replicas=2, word="one"))
    server = cluster.up()
    before = servers.eventually(lambda: ready_pods(server, 2))
    pids = {pod["metadata"]["name"]: container_pid(server, pod) for pod in before}
    server.stop(signal.SIGKILL)
    assert all(is_alive(pid) for pid in pids.values())
    dying = sorted(pids)[0]
    os.kill(pids[dying], signal.SIGKILL)
    server = cluster.up()

    def noticed() -> bool:
        found = {pod["metadata"]["name"]: pod for pod in ready_pods(server, 2)}
        return dying in found and found[dying]["status"]["containerStatuses"][0]["restartCount"] == 1

    servers.eventually(noticed)
    survivor = sorted(pids)[1]
    after = {pod["metadata"]["name"]: pod for pod in pods(server)}
    assert after[survivor]["status"]["containerStatuses"][0]["restartCount"] == 0
    assert container_pid(server, after[survivor]) == pids[survivor]
    numbers = [int(line.split()[1]) for line in server.kubectl("logs", survivor).splitlines()]
    assert numbers == list(range(len(numbers)))


def test_one_bad_document_blocks_only_itself(cluster: Cluster) -> None:
    cluster.write("web.yaml", WEB.format(replicas=1, word="one"))
    server = cluster.up()
    (pod,) = servers.eventually(lambda: ready_pods(server, 1))
    cluster.write("web.yaml", WEB.format(replicas="many", word="one"))
    cluster.write("fine.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: fine}\n")
    servers.eventually(lambda: "fine" in server.kubectl("get", "configmaps", "-o", "name"))
    status = servers.eventually(lambda: "web.yaml:6:3" in (text := server.cli("status", check=False)) and text)
    assert "spec.replicas" in status
    assert ready_pods(server, 1)[0]["metadata"]["uid"] == pod["metadata"]["uid"]


def test_why_walks_back_to_file_and_line_after_compaction(cluster: Cluster) -> None:
    cluster.write("apps/web.yaml", WEB.format(replicas=1, word="one"))
    server = cluster.up()
    (pod,) = servers.eventually(lambda: ready_pods(server, 1))
    server.cli("compact")
    answer = server.cli("why", f"pod/{pod['metadata']['name']}")
    assert "replicaset-controller" in answer
    assert "deployment-controller" in answer
    assert "apps/web.yaml:1" in answer
    assert "apps/web.yaml:1" in server.cli("why", str(container_pid(server, pod)))
    assert "apps/web.yaml:1" in server.cli("why", pod["status"]["containerStatuses"][0]["containerID"])


def test_a_vanished_or_empty_folder_deletes_nothing(cluster: Cluster) -> None:
    path = cluster.write("web.yaml", WEB.format(replicas=1, word="one"))
    server = cluster.up()
    servers.eventually(lambda: ready_pods(server, 1))
    path.unlink()
    servers.eventually(lambda: "SourceEmpty" in server.cli("status", check=False))
    cluster.folder.rmdir()
    servers.eventually(lambda: "SourceMissing" in server.cli("status", check=False))
    assert ready_pods(server, 1)


def test_drift_is_corrected(cluster: Cluster) -> None:
    cluster.write("web.yaml", WEB.format(replicas=1, word="one"))
    server = cluster.up()
    servers.eventually(lambda: ready_pods(server, 1))
    server.kubectl("scale", "deployment/web", "--replicas=3")
    servers.eventually(lambda: server.json("get", "deployment", "web")["spec"]["replicas"] == 1)
    servers.eventually(lambda: ready_pods(server, 1))
