"""Kubernetes' own kubectl, unmodified, against the server: the everyday verbs."""

import asyncio
import pathlib
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest

from reconciler import kinds
from reconciler.api import apiserver, backend, server
from reconciler.kit import clock
from reconciler.model import meta
from tests.unit.api.memory import MemoryJournal

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: c, image: "nginx:1", ports: [{containerPort: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}], type: NodePort}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: one, labels: {app: one}}
spec: {nodeName: node-1, containers: [{name: c, image: "i"}]}
"""


class Logs:
    """A node whose containers say three lines, the last one when somebody follows."""

    def logs(self, pod: meta.Obj, container: str, options: backend.LogOptions) -> AsyncIterator[bytes]:
        return self._logs(container, options)

    async def _logs(self, container: str, options: backend.LogOptions) -> AsyncIterator[bytes]:
        for line in ("first", "second")[-(options.tail_lines or 2) :]:
            yield f"{container}: {line}\n".encode()
        if options.follow:
            await asyncio.sleep(0)
            yield f"{container}: third\n".encode()


class Kubectl:
    def __init__(self, kubeconfig: pathlib.Path, home: pathlib.Path) -> None:
        self.kubeconfig = kubeconfig
        self.home = home

    async def __call__(self, *words: str, stdin: str = "", code: int = 0, **environment: str) -> str:
        assert KUBECTL is not None
        process = await asyncio.create_subprocess_exec(
            KUBECTL,
            "--kubeconfig",
            str(self.kubeconfig),
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"HOME": str(self.home), "PATH": "/usr/bin:/bin", **environment},
        )
        out, _ = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
        assert process.returncode == code, out.decode()
        return out.decode()


@pytest.fixture
async def api() -> AsyncIterator[apiserver.ApiServer]:
    made = apiserver.ApiServer(MemoryJournal(), kinds.builtin(), clock.SystemClock())
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def kubectl(api: apiserver.ApiServer, tmp_path: pathlib.Path) -> AsyncIterator[Kubectl]:
    made = server.HttpServer(api, server.Listen(port=0), tmp_path, node=Logs())
    await made.start()
    yield Kubectl(made.kubeconfig, tmp_path)
    await made.close()


async def test_apply_twice_get_and_delete(kubectl: Kubectl) -> None:
    assert "deployment.apps/web created" in await kubectl("apply", "-f", "-", stdin=WEB)
    assert "deployment.apps/web unchanged" in await kubectl("apply", "-f", "-", stdin=WEB)
    wide = await kubectl("get", "deployment", "-o", "wide")
    assert "CONTAINERS" in wide
    assert "nginx:1" in wide
    assert "clusterIP: 10.96." in await kubectl("get", "service", "web", "-o", "yaml")
    assert 'service "web" deleted' in await kubectl("delete", "-f", "-", stdin=WEB)
    assert "No resources found" in await kubectl("get", "deployment")


async def test_server_side_apply_names_conflicts(kubectl: Kubectl) -> None:
    await kubectl("apply", "--server-side", "--field-manager", "one", "-f", "-", stdin=WEB)
    changed = WEB.replace("replicas: 2", "replicas: 3")
    refused = await kubectl("apply", "--server-side", "--field-manager", "two", "-f", "-", stdin=changed, code=1)
    assert 'conflict with "one": .spec.replicas' in refused
    await kubectl("apply", "--server-side", "--field-manager", "two", "--force-conflicts", "-f", "-", stdin=changed)


async def test_describe_scale_label_edit(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=WEB)
    assert "scaled" in await kubectl("scale", "deployment", "web", "--replicas", "5")
    assert "labeled" in await kubectl("label", "deployment", "web", "tier=front")
    described = await kubectl("describe", "deployment", "web")
    assert "5 desired" in described
    assert "tier=front" in described
    await kubectl("create", "configmap", "settings", "--from-literal", "a=b")
    assert "edited" in await kubectl("edit", "configmap", "settings", EDITOR="sed -i s/a:.b/a:\\ c/")
    assert await kubectl("get", "configmap", "settings", "-o", "jsonpath={.data.a}") == "c"


async def test_watch_prints_what_happens(kubectl: Kubectl) -> None:
    await kubectl("create", "configmap", "before")
    watching = asyncio.create_task(kubectl("get", "configmaps", "-w", "--request-timeout", "3s"))
    await kubectl("create", "configmap", "after")
    await kubectl("label", "configmap", "after", "seen=yes")
    seen = (await watching).splitlines()
    assert seen[0].split() == ["NAME", "DATA", "AGE"]
    assert {line.split()[0] for line in seen[1:]} == {"before", "after"}


async def test_logs_are_followed(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=POD)
    assert await kubectl("logs", "one", "--tail", "1") == "c: second\n"
    assert await kubectl("logs", "-f", "one") == "c: first\nc: second\nc: third\n"
    assert "container x is not valid for pod one" in await kubectl("logs", "one", "-c", "x", code=1)


async def test_api_resources_and_explain(kubectl: Kubectl) -> None:
    listed = await kubectl("api-resources", "-o", "name")
    assert {"pods", "deployments.apps", "services", "leases.coordination.k8s.io"} <= set(listed.split())
    assert "FIELD: image <string>" in await kubectl("explain", "pod.spec.containers.image")


async def test_rollout_undo_and_status(kubectl: Kubectl, api: apiserver.ApiServer) -> None:
    await kubectl("apply", "-f", "-", stdin=WEB)
    for revision, image in ((1, "nginx:0"), (2, "nginx:1")):
        await kubectl("apply", "-f", "-", stdin=await _replica_set(api, revision, image))
    await kubectl("annotate", "deployment", "web", "deployment.kubernetes.io/revision=2")
    assert "rolled back" in await kubectl("rollout", "undo", "deployment/web")
    assert await kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}") == "nginx:0"
    status = '{"status":{"observedGeneration":9,"replicas":2,"updatedReplicas":2,"readyReplicas":2,"availableReplicas":2}}'
    await kubectl("patch", "deployment", "web", "--subresource", "status", "--type", "merge", "-p", status)
    assert "successfully rolled out" in await kubectl("rollout", "status", "deployment/web")


async def _replica_set(api: apiserver.ApiServer, revision: int, image: str) -> str:
    """What the controller would have made for one revision of the Deployment."""
    deployment = await api.client().get("deployments.apps", "default", "web")
    labels: dict[str, Any] = {"app": "web", "pod-template-hash": f"h{revision}"}
    return f"""
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: web-h{revision}
  labels: {labels}
  annotations: {{deployment.kubernetes.io/revision: "{revision}"}}
  ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: web, uid: {meta.uid(deployment)}, controller: true}}]
spec:
  replicas: 0
  selector: {{matchLabels: {labels}}}
  template:
    metadata: {{labels: {labels}}}
    spec: {{containers: [{{name: c, image: "{image}", ports: [{{containerPort: 80}}]}}]}}
"""
