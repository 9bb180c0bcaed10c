"""get, apply, explain and delete with each kubectl there is: the one on the PATH and those that RECONCILER_KUBECTLS lists.

Old ones (Debian's is 1.20) validate and explain by OpenAPI v2 in protobuf, new ones by OpenAPI v3.
"""

import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests import servers

FOUND = [path for path in (shutil.which("kubectl"), *os.environ.get("RECONCILER_KUBECTLS", "").split(os.pathsep)) if path]
pytestmark = pytest.mark.skipif(not FOUND, reason="kubectl is not installed")

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: host}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: "1"}
"""
DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: greetings.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: greetings, singular: greeting, kind: Greeting}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, description: What is wanted., properties: {colour: {type: string}}}}
"""
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def server() -> Iterator[servers.Server]:
    with servers.running("--runtime", "none") as made:
        yield made


@pytest.fixture(params=FOUND)
def run(request: pytest.FixtureRequest, server: servers.Server, tmp_path: pathlib.Path) -> Iterator[Run]:
    def run(*words: str, stdin: str | None = None, fails: bool | None = False) -> subprocess.CompletedProcess[str]:
        command = [request.param, "--kubeconfig", str(server.kubeconfig), "--cache-dir", str(tmp_path), *words]
        done = subprocess.run(command, input=stdin or "", capture_output=True, text=True, timeout=60, check=False)
        assert fails in (None, bool(done.returncode)), done.stdout + done.stderr
        return done

    yield run
    run("delete", "--ignore-not-found", "-f", "-", stdin=DEFINITION)
    run("delete", "--ignore-not-found", "-f", "-", stdin=WEB)


def test_objects_come_and_go(run: Run) -> None:
    assert run("apply", "-f", "-", stdin=WEB).stdout == "deployment.apps/web created\nconfigmap/settings created\n"
    assert run("apply", "-f", "-", stdin=WEB).stdout == "deployment.apps/web unchanged\nconfigmap/settings unchanged\n"
    assert "configured" in run("apply", "-f", "-", stdin=WEB.replace('"1"', '"2"')).stdout
    assert run("get", "configmap", "settings", "-o", "jsonpath={.data.a}").stdout == "2"
    assert run("get", "deployments").stdout.split()[:5] == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert "serverside-applied" in run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=WEB).stdout
    assert 'deployment.apps "web" deleted' in run("delete", "-f", "-", stdin=WEB).stdout
    assert "NotFound" in run("get", "deployment", "web", fails=True).stderr


def test_what_does_not_fit_is_refused(run: Run) -> None:
    refused = run("apply", "-f", "-", stdin=WEB.replace("replicas: 0", "replicaz: 0"), fails=True)
    assert "replicaz" in refused.stderr
    assert "invalid" in run("apply", "-f", "-", stdin=WEB.replace("name: settings", "name: Set_tings"), fails=True).stderr


def test_kinds_are_explained(run: Run) -> None:
    assert "RollingUpdate" in run("explain", "deployment.spec.strategy.type").stdout
    recursive = run("explain", "pod", "--recursive").stdout
    assert all(field in recursive for field in ("ephemeralContainers", "matchLabelKeys", "supplementalGroupsPolicy"))
    run("apply", "-f", "-", stdin=DEFINITION)
    run("wait", "crd/greetings.example.com", "--for=condition=Established", "--timeout=30s")

    def explained() -> bool:
        return "What is wanted." in run("explain", "greeting.spec", fails=None).stdout

    servers.eventually(explained)
    run("apply", "-f", "-", stdin="apiVersion: example.com/v1\nkind: Greeting\nmetadata: {name: a}\nspec: {colour: red}\n")
    assert run("get", "greetings", "-o", "name").stdout == "greeting.example.com/a\n"
