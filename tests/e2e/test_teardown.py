"""`reconciler down` leaves nothing on the machine, whoever was killed before."""

import asyncio
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess

import pytest

from reconciler.daemon import config, machine
from reconciler.node.keeper import client, launch
from tests import servers
from tests.e2e.conftest import Cluster
from tests.e2e.test_walk import container_pid, ready_pods

PARTING = """\
apiVersion: v1
kind: Pod
metadata: {{name: parting, labels: {{app: web}}}}
spec:
  os: {{name: linux}}
  terminationGracePeriodSeconds: {grace}
  containers:
  - name: main
    image: host
    command: [sh, -c, "trap 'echo bye > {file}; exit' USR1; while :; do sleep 0.02; done"]
    lifecycle: {{stopSignal: SIGUSR1}}
    volumeMounts: [{{name: own, mountPath: {folder}}}]
  volumes: [{{name: own, hostPath: {{path: {folder}}}}}]
"""
MANIFESTS = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      volumes: [{{name: fast, emptyDir: {{medium: Memory}}}}]
      containers:
      - name: main
        image: host
        command: [sleep, "100000"]
        volumeMounts: [{{name: fast, mountPath: {mount}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}
"""


def left(settings: config.Config, uids: list[str]) -> dict[str, str]:
    """What there is on the machine that belongs to these pods or to this daemon."""
    instance = machine.instance_of(settings)
    words = {
        "links": ["ip", "link", "show"],
        "addresses": ["ip", "address", "show", "lo"],
        "rules": ["nft", "list", "tables"],
    }
    outputs = {name: subprocess.run(command, capture_output=True, text=True, check=False).stdout for name, command in words.items()}
    mine = {"links": f"alias {instance} ", "addresses": machine.address_label(settings), "rules": instance}
    found = {name: text for name, text in outputs.items() if mine[name] in text}
    paths = [*pathlib.Path("/sys/fs/cgroup").glob("**/pod-*"), *pathlib.Path("/dev/shm").glob("reconciler-*")]
    found |= {str(path): "" for path in paths if any(uid in path.name for uid in uids)}
    return found | ({str(settings.run_dir): ""} if settings.run_dir.exists() else {})


@pytest.mark.parametrize("isolation", ["root", "plain"])
def test_down_after_everything_was_killed(cluster: Cluster, tmp_path: pathlib.Path, isolation: str) -> None:
    if isolation == "root" and os.geteuid() != 0:
        pytest.skip("pods with addresses of their own need root")
    file = servers.settings(tmp_path / "config.yaml", isolation=isolation, serviceRange="10.98.0.0/16", podRange="10.246.0.0/16")
    settings = config.load(file, {"data_dir": cluster.data_dir})
    mount = tmp_path / "fast"
    replicas = 1 if isolation == "plain" else 2  # where nothing is mounted, a second volume has no place of its own
    cluster.write("a.yaml", MANIFESTS.format(replicas=replicas, mount=mount if isolation == "plain" else "/fast"))
    server = cluster.up("--config", str(file))
    pods = servers.eventually(lambda: ready_pods(server, replicas))
    uids = [pod["metadata"]["uid"] for pod in pods]
    assert len(left(settings, uids)) > 1
    keeper = asyncio.run(client.request(settings.run_dir / launch.SOCKET, "hello"))["pid"]
    server.stop(signal.SIGKILL)
    os.kill(keeper, signal.SIGKILL)
    assert f"stopped {replicas} pod" in server.cli("down", "--grace-period", "0", "--config", str(file))
    assert left(settings, uids) == {}
    assert not mount.is_symlink()
    assert "stopped 0 pods" in server.cli("down", "--grace-period", "0", "--config", str(file))


def test_the_keepers_stop_ends_containers_and_keeps_their_records(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    cluster.write("a.yaml", MANIFESTS.format(replicas=1, mount=tmp_path / "fast"))
    server = cluster.up()
    (pod,) = servers.eventually(lambda: ready_pods(server, 1))
    first = container_pid(server, pod)
    server.stop()
    server.cli("keeper", "stop", "--grace-period", "0.1", "--data-dir", str(cluster.data_dir))
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    assert f"{pod['metadata']['uid']} ended" in server.cli("keeper", "list", "--data-dir", str(cluster.data_dir))
    server = cluster.up()
    again = servers.eventually(lambda: [one for one in ready_pods(server, 1) if one["status"]["containerStatuses"][0]["restartCount"] == 1])
    assert again[0]["metadata"]["uid"] == pod["metadata"]["uid"]


@pytest.mark.parametrize("words", [["keeper", "stop"], ["down"]])
def test_a_stop_gives_containers_their_grace(cluster: Cluster, tmp_path: pathlib.Path, words: list[str]) -> None:
    folder = tmp_path / "left"
    folder.mkdir()
    cluster.write("a.yaml", PARTING.format(grace=3600, file=folder / "word", folder=folder))
    server = cluster.up()
    servers.eventually(lambda: ready_pods(server, 1))
    server.stop()
    server.cli(*words, "--data-dir", str(cluster.data_dir))
    assert (folder / "word").read_text() == "bye\n"


def test_what_a_reboot_leaves_goes_with_the_pod(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    """Where nothing is mounted, links stand in for volumes: they are on the disk, and what the keeper knew is not."""
    file = servers.settings(tmp_path / "config.yaml", isolation="plain")
    settings = config.load(file, {"data_dir": cluster.data_dir})
    mount = tmp_path / "new" / "fast"
    cluster.write("a.yaml", MANIFESTS.format(replicas=1, mount=mount))
    cluster.write("b.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: stays}}")
    server = cluster.up("--config", str(file))
    (pod,) = servers.eventually(lambda: ready_pods(server, 1))
    boots_again(server, settings)
    assert mount.is_symlink()
    server = cluster.up("--config", str(file))
    servers.eventually(lambda: [one for one in ready_pods(server, 1) if one["status"]["containerStatuses"][0]["restartCount"] == 1])
    boots_again(server, settings)
    (cluster.folder / "a.yaml").unlink()
    server = cluster.up("--config", str(file))
    servers.eventually(lambda: not json.loads(server.kubectl("get", "pods", "-o", "json"))["items"])
    assert not mount.parent.exists()
    for folder in ("layers", "pods", "logs"):
        assert not list((cluster.data_dir / folder).glob(f"*{pod['metadata']['uid']}"))


def boots_again(server: servers.Server, settings: config.Config) -> None:
    """What a reboot does: every process ends at once, and the run folder is empty."""
    hello = asyncio.run(client.request(settings.run_dir / launch.SOCKET, "hello"))
    listed = asyncio.run(client.request(settings.run_dir / launch.SOCKET, "list"))["pods"]
    server.stop(signal.SIGKILL)
    ended = [os.pidfd_open(pid) for pid in (hello["pid"], *(pod["pid"] for pod in listed))]
    for descriptor in ended:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        select.select([descriptor], [], [], 20)
        os.close(descriptor)
    shutil.rmtree(settings.run_dir)
