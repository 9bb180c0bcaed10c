"""Syncs in the hands of kubectl: scaling, autoscalers, objects applied by hand before, history and the way back."""

import json
import pathlib
import subprocess
import sys
from typing import Any

from tests import servers
from tests.e2e.conftest import Cluster

WEB = """apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: web, resources: {requests: {cpu: 100m}}}]
"""
HPA = """apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {minReplicas: 1, maxReplicas: 9, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}
"""
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: '%s'}\n"


def replicas(server: servers.Server) -> int:
    return int(server.json("get", "deployment", "web")["spec"]["replicas"])


def status(server: servers.Server) -> dict[str, Any]:
    return dict(json.loads(server.cli("status", "-o", "json", check=False))["syncs"][0])


def test_scaling_by_hand_is_drift_and_by_an_autoscaler_is_not(cluster: Cluster) -> None:
    cluster.write("web.yaml", WEB)
    server = cluster.up("--runtime", "none", "--controllers", "*,-horizontal-pod-autoscaler-controller")
    servers.eventually(lambda: replicas(server) == 2)
    server.kubectl("scale", "deployment", "web", "--replicas=5")
    servers.eventually(lambda: replicas(server) == 2)
    cluster.write("hpa.yaml", HPA)
    warning = "Deployment default/web (web.yaml:1): spec.replicas is left to HorizontalPodAutoscaler default/web (hpa.yaml:1)"
    servers.eventually(lambda: status(server)["warnings"] == [warning])
    assert replicas(server) == 2, "the value stays when its owner changes"
    server.kubectl("scale", "deployment", "web", "--replicas=6")
    cluster.write("web.yaml", WEB.replace("replicas: 2", "replicas: 2\n  minReadySeconds: 1"))
    servers.eventually(lambda: server.json("get", "deployment", "web")["spec"].get("minReadySeconds") == 1)
    assert replicas(server) == 6


def test_what_was_applied_by_hand_before_is_taken_over(cluster: Cluster) -> None:
    server = cluster.up("--runtime", "none")
    server.kubectl("apply", "-f", "-", stdin=WEB.replace("replicas: 2", "replicas: 2\n  paused: true"))
    cluster.write("web.yaml", WEB)
    servers.eventually(lambda: status(server)["documents"] == 1)
    servers.eventually(lambda: "paused" not in server.json("get", "deployment", "web")["spec"])
    managers = {entry["manager"] for entry in server.json("get", "deployment", "web", "--show-managed-fields")["metadata"]["managedFields"]}
    assert "kubectl-client-side-apply" not in managers


def test_settings_columns_history_and_the_way_back(cluster: Cluster) -> None:
    cluster.write("a.yaml", CONFIG % "1")
    server = cluster.up("--runtime", "none")
    servers.eventually(lambda: "Synced" in server.kubectl("get", "syncs"))
    cluster.write("a.yaml", CONFIG % "2")
    servers.eventually(lambda: server.cli("history").count("Healthy") == 2)
    assert "~ ConfigMap default/a data.k 1 -> 2" in server.cli("history", "-o", "wide")
    assert server.cli("rollback") == "revision 1 of default is applied until its folder changes\n"
    servers.eventually(lambda: server.json("get", "configmap", "a")["data"] == {"k": "1"})
    assert "RolledBack" in server.cli("status", check=False)
    cluster.write("a.yaml", CONFIG % "3")
    servers.eventually(lambda: server.json("get", "configmap", "a")["data"] == {"k": "3"})
    server.kubectl("patch", "sync", "default", "--type=merge", "-p", '{"spec": {"suspend": true}}')
    servers.eventually(lambda: "Suspended" in server.kubectl("get", "syncs"))


def test_render_is_what_kubectl_builds(tmp_path: pathlib.Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [web.yaml]\nconfigMapGenerator: [{name: c, literals: [a=b]}]\n")
    (tmp_path / "web.yaml").write_text(WEB)
    theirs, ours = (
        subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True).stdout
        for command in (["kubectl", "kustomize"], [sys.executable, "-m", "reconciler", "render"])
    )
    assert "".join(line for line in ours.splitlines(keepends=True) if not line.startswith("#")) == f"---\n{theirs}"
