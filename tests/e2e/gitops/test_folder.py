"""A folder in the hands of its users: the real daemon, the real kubectl, simulated nodes."""

import json
import pathlib
import shutil
import signal
import subprocess
from typing import Any

import pytest

from tests import servers
from tests.e2e.conftest import Cluster

EXAMPLE = pathlib.Path(__file__).resolve().parents[3] / "examples/cluster-repo"
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{k: '{value}'}}\n"


@pytest.fixture
def followed(cluster: Cluster) -> tuple[Cluster, servers.Server]:
    shutil.copytree(EXAMPLE, cluster.folder, dirs_exist_ok=True)
    return cluster, cluster.up("--runtime", "sim")


def status(server: servers.Server) -> dict[str, Any]:
    return dict(json.loads(server.cli("status", "-o", "json", check=False))["syncs"][0])


def deployment(server: servers.Server, name: str) -> dict[str, Any]:
    return server.json("get", "deployment", name, "-n", "site")


def names(server: servers.Server) -> list[str]:
    return server.kubectl("get", "configmaps", "-n", "default", "-o", "name").split()


def test_the_example_comes_up_and_follows_its_edits(followed: tuple[Cluster, servers.Server]) -> None:
    cluster, server = followed
    servers.eventually(lambda: deployment(server, "web")["status"].get("readyReplicas") == 1)
    assert status(server)["state"] == "Synced"
    web = (cluster.folder / "site/web.yaml").read_text()
    cluster.write("site/web.yaml", web.replace("replicas: 1 ", "replicas: 3 "))
    servers.eventually(lambda: deployment(server, "web")["status"].get("readyReplicas") == 3)
    assert status(server)["changes"] == ["~ Deployment site/web spec.replicas 1 -> 3"]
    cluster.write("site/web.yaml", web.replace("replicas: 1 ", "replicas: two "))
    servers.eventually(lambda: status(server)["state"] == "Blocked")
    assert status(server)["errors"] == ['site/web.yaml:11:3: spec.replicas: must be an integer, not a string "two"']
    assert deployment(server, "web")["spec"]["replicas"] == 3
    cluster.write("work/settings.yaml", (cluster.folder / "work/settings.yaml").read_text().replace("still here", "and now"))
    servers.eventually(lambda: server.json("get", "configmap", "settings", "-n", "work")["data"]["words"] == "and now")


def test_drift_by_kubectl_is_undone_and_other_fields_are_left(followed: tuple[Cluster, servers.Server]) -> None:
    _, server = followed
    server.kubectl("annotate", "deployment", "web", "-n", "site", "mine=yes")
    server.kubectl("scale", "deployment", "web", "-n", "site", "--replicas=5")
    servers.eventually(lambda: deployment(server, "web")["spec"]["replicas"] == 1)
    assert deployment(server, "web")["metadata"]["annotations"]["mine"] == "yes"
    server.kubectl("delete", "service", "web", "-n", "site")
    servers.eventually(lambda: "service/web" in server.kubectl("get", "services", "-n", "site", "-o", "name"))


def test_pruning_renaming_and_an_empty_folder(cluster: Cluster) -> None:
    for name in "abc":
        cluster.write(f"{name}.yaml", CONFIG.format(name=name, value="1"))
    server = cluster.up("--runtime", "none")
    uid = server.json("get", "configmap", "b")["metadata"]["uid"]
    (cluster.folder / "b.yaml").rename(cluster.folder / "moved.yaml")
    (cluster.folder / "a.yaml").unlink()
    servers.eventually(lambda: "configmap/a" not in names(server))
    assert server.json("get", "configmap", "b")["metadata"]["uid"] == uid
    for path in cluster.folder.glob("*.yaml"):
        path.unlink()
    servers.eventually(lambda: status(server)["state"] == "Stopped")
    assert [condition["reason"] for condition in status(server)["conditions"]] == ["SourceEmpty"]
    assert {"configmap/b", "configmap/c"} <= set(names(server))


def test_killed_in_the_middle_of_a_sync_it_converges(cluster: Cluster) -> None:
    for name in ("keep", "gone"):
        cluster.write(f"{name}.yaml", CONFIG.format(name=name, value="1"))
    server = cluster.up("--runtime", "none")
    for number in range(300):
        cluster.write(f"many/{number}.yaml", CONFIG.format(name=f"many-{number}", value="1"))
    servers.eventually(lambda: "configmap/many-0" in names(server))
    server.stop(signal.SIGKILL)
    (cluster.folder / "gone.yaml").unlink()
    cluster.write("keep.yaml", "kind: [\n")
    server = cluster.up("--runtime", "none")
    servers.eventually(lambda: "configmap/gone" not in names(server))
    assert len([name for name in names(server) if "many-" in name]) == 300
    assert "configmap/keep" in names(server)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_checkout_is_applied_as_a_whole(cluster: Cluster) -> None:
    def git(*words: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *words]
        return subprocess.run(command, cwd=cluster.folder, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q", "-b", "main")
    for number in range(100):
        cluster.write(f"{number}.yaml", CONFIG.format(name=f"c-{number}", value="1"))
    git("add", ".")
    git("commit", "-qm", "one")
    git("checkout", "-q", "-b", "two")
    for number in range(100):
        (cluster.folder / f"{number}.yaml").rename(cluster.folder / f"renamed-{number}.yaml")
    git("add", ".")
    git("commit", "-qm", "two")
    second = git("rev-parse", "HEAD")
    server = cluster.up("--runtime", "none")
    uids = {item["metadata"]["name"]: item["metadata"]["uid"] for item in server.json("get", "configmaps")["items"]}
    git("checkout", "-q", "main")
    commit = git("rev-parse", "HEAD")
    servers.eventually(lambda: status(server)["commit"] == commit and status(server)["state"] == "Synced")
    found = server.json("get", "configmaps")["items"]
    assert {item["metadata"]["name"]: item["metadata"]["uid"] for item in found} == uids
    sources = {item["metadata"]["annotations"]["reconciler.dev/source"] for item in found if item["metadata"]["name"].startswith("c-")}
    assert sources == {f"{number}.yaml" for number in range(100)}
    assert f"renamed-7.yaml:1 (commit {second[:12]})" in server.cli("why", "configmap/c-7")
