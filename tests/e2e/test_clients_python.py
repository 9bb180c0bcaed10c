"""Python's clients of Kubernetes, unmodified: the official one with its dynamic client and streams, kr8s, an operator on kopf.

Each runs as a program of its own, as its users run it.
"""

import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests import servers

PATIENCE_SECONDS = 90.0
POD = """
apiVersion: v1
kind: Pod
metadata: {name: shell}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: host, command: [sleep, "1000"]}]
"""

OFFICIAL = """
from kubernetes import client, config, dynamic, watch
from kubernetes.stream import portforward, stream

config.load_kube_config()
core = client.CoreV1Api()

out = stream(core.connect_get_namespaced_pod_exec, "shell", "default", command=["sh", "-c", "echo out; echo bad >&2"],
             stdin=False, stdout=True, stderr=True, tty=False)
assert sorted(out.split()) == ["bad", "out"], out

session = stream(core.connect_get_namespaced_pod_exec, "shell", "default", command=["sh", "-c", "read line; echo got $line; exit 4"],
                 stdin=True, stdout=True, stderr=True, tty=False, _preload_content=False)
session.write_stdin("words\\n")
session.run_forever(timeout=60)
assert session.read_stdout() == "got words\\n"
assert session.returncode == 4

made = core.create_namespaced_config_map("default", client.V1ConfigMap(metadata=client.V1ObjectMeta(name="typed"), data={"a": "1"}))
for event in watch.Watch().stream(core.list_namespaced_config_map, "default", field_selector="metadata.name=typed", timeout_seconds=60):
    assert event["object"].data == {"a": "1"}
    break
core.patch_namespaced_config_map("typed", "default", {"data": {"b": "2"}})
assert core.read_namespaced_config_map("typed", "default").data == {"a": "1", "b": "2"}

dyn = dynamic.DynamicClient(client.ApiClient())
maps = dyn.resources.get(api_version="v1", kind="ConfigMap")
body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dynamic", "namespace": "default"}, "data": {"x": "y"}}
maps.server_side_apply(body=body, namespace="default", field_manager="tester")
assert maps.get(name="dynamic", namespace="default").data.x == "y"
deployments = dyn.resources.get(api_version="apps/v1", kind="Deployment")
assert deployments.get(namespace="default").items == []
maps.delete(name="dynamic", namespace="default")
try:
    maps.get(name="dynamic", namespace="default")
    raise AssertionError("still there")
except dynamic.exceptions.NotFoundError as error:
    assert error.status == 404
print("done")
"""

KR8S = """
import kr8s
from kr8s.objects import ConfigMap, Deployment, Pod

made = ConfigMap({"metadata": {"name": "kr8s"}, "data": {"a": "1"}})
made.create()
made.patch({"data": {"b": "2"}})
made.refresh()
assert dict(made.data) == {"a": "1", "b": "2"}
made.label(colour="red")
assert [one.name for one in kr8s.get("configmaps", label_selector="colour=red")] == ["kr8s"]
pod = Pod.get("shell")
assert pod.ready()
done = pod.exec(["sh", "-c", "echo hello; exit 0"])
assert done.stdout == b"hello\\n", done
made.delete()
assert not made.exists()
print("done")
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
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {name: {type: string}}}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""

OPERATOR = """
import kopf
import kubernetes.client


@kopf.on.create("example.com", "v1", "greetings")
@kopf.on.update("example.com", "v1", "greetings", field="spec")
def greet(spec, namespace, name, body, patch, **_):
    import kubernetes

    kubernetes.config.load_kube_config()
    core = kubernetes.client.CoreV1Api()
    made = {"metadata": {"name": name}, "data": {"text": "hello " + spec["name"]}}
    kopf.adopt(made, owner=body)
    try:
        core.create_namespaced_config_map(namespace, made)
    except kubernetes.client.ApiException as error:
        if error.status != 409:
            raise
        core.patch_namespaced_config_map(name, namespace, made)
    patch.status["greeted"] = spec["name"]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    config = servers.settings(tmp_path_factory.mktemp("clients") / "config.yaml", serviceRange="10.94.0.0/16", podRange="10.242.0.0/16")
    with servers.running("--config", str(config)) as made:
        made.kubectl("apply", "-f", "-", stdin=POD)
        servers.eventually(lambda: '"ready":true' in re.sub(r"\s", "", made.kubectl("get", "pod", "shell", "-o", "json")), PATIENCE_SECONDS)
        yield made


def environment(server: servers.Server) -> dict[str, str]:
    return {**os.environ, "KUBECONFIG": str(server.kubeconfig)}


@pytest.mark.parametrize(("library", "script"), [("kubernetes", OFFICIAL), ("kr8s", KR8S)])
def test_libraries(server: servers.Server, library: str, script: str) -> None:
    pytest.importorskip(library)
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False, env=environment(server))
    assert done.stdout == "done\n", done.stderr[-3000:] + server.log()


def test_an_operator(server: servers.Server, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("kopf")
    server.kubectl("apply", "-f", "-", stdin=DEFINITION)
    script = tmp_path / "operator.py"
    script.write_text(OPERATOR)
    log = tmp_path / "operator.log"
    with log.open("w") as stream:
        command = [sys.executable, "-m", "kopf", "run", "--namespace=default", str(script)]
        operator = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, env=environment(server))
    try:
        greeting = "apiVersion: example.com/v1\nkind: Greeting\nmetadata: {name: one}\nspec: {name: %s}\n"
        for name in ("world", "again"):
            server.kubectl("apply", "-f", "-", stdin=greeting % name)
            servers.eventually(
                lambda name=name: f"hello {name}" in server.kubectl("get", "configmap", "one", "-o", "json", check=False), PATIENCE_SECONDS
            )
            servers.eventually(
                lambda name=name: server.json("get", "greeting", "one").get("status", {}).get("greeted") == name, PATIENCE_SECONDS
            )
        server.kubectl("delete", "greeting", "one")  # its finalizer is the operator's
        servers.eventually(
            lambda: "one" not in server.kubectl("get", "configmaps", "-o", "name").replace("kube-root", ""), PATIENCE_SECONDS
        )
    except AssertionError as error:
        raise AssertionError(f"{error}\n{log.read_text()[-3000:]}") from error
    finally:
        operator.terminate()
        operator.wait(PATIENCE_SECONDS)
