"""The scheduler of a real daemon: profiles from its configuration, a filter of an installed package, explanations."""

import json
import os
import pathlib

import pytest

from tests import servers
from tests.e2e.conftest import Cluster

FILTER = """\
from reconciler.scheduler.rules import Filter, Scope, node_differs, verdict


def check(case, rows):
    if case.shape.labels.get("team") != "red":
        return None
    racks = case.table.labels("rack")
    return verdict(~racks.among(("r1", "r2"))[: case.table.size][rows], "node(s) were in no red rack", is_final=True)


FILTER = Filter(name="RedRacks", scope=Scope.NODE, check=check, helped_by={"nodes": node_differs(("metadata", "labels"))})
"""
CONFIGURATION = """\
nodes: 2
---
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: default-scheduler
- schedulerName: anywhere
  plugins:
    filter:
      disabled: [{name: RedRacks}]
"""


def install(site: pathlib.Path) -> None:
    """What pip leaves behind of a package with one entry point."""
    (site / "my_rules.py").write_text(FILTER)
    info = site / "my_rules-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-rules\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[reconciler.filters]\nred-racks = my_rules:FILTER\n")


def pod(name: str, scheduler: str = "default-scheduler") -> str:
    spec = {"schedulerName": scheduler, "containers": [{"name": "main", "image": "web"}]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"team": "red"}}, "spec": spec})


def explained(server: servers.Server, wanted: str) -> str:
    """What is said of the pod once it says `wanted`."""
    said = server.cli("explain", "pod/red")
    return said if wanted in said else ""


def test_profiles_own_filters_and_explanations(cluster: Cluster, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    site.mkdir()
    install(site)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(site), os.environ.get("PYTHONPATH", os.getcwd()))))
    settings = tmp_path / "settings.yaml"
    settings.write_text(CONFIGURATION)
    server = cluster.up("--runtime", "sim", "--config", str(settings))

    server.kubectl("apply", "-f", "-", stdin=pod("free", "anywhere"))
    server.kubectl("wait", "pod/free", "--for=condition=PodScheduled", "--timeout=60s")
    server.kubectl("apply", "-f", "-", stdin=pod("red"))
    server.kubectl("wait", "pod/red", "--for=condition=PodScheduled=False", "--timeout=60s")
    said = servers.eventually(lambda: explained(server, "until something changes"), 60)
    assert "0/2 nodes are available: 2 node(s) were in no red rack." in said
    assert "waits for a node since" in said
    assert "until something changes that RedRacks cares about" in said
    assert "sim-1: RedRacks: node(s) were in no red rack; it would have the score" in said

    server.kubectl("label", "node", "sim-2", "rack=r1")
    server.kubectl("wait", "pod/red", "--for=jsonpath={.spec.nodeName}=sim-2", "--timeout=60s")
    said = server.cli("explain", "pod/red")
    assert "sim-2: fits, score" in said
    assert "sim-1: RedRacks: node(s) were in no red rack" in said
