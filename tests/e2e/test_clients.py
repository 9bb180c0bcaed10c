"""kubectl as people use it beside get and apply: into containers, through the API server, and around objects.

One daemon serves all of these tests, each in a namespace of its own. What streams runs over both protocols of kubectl.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests import servers
from tests.e2e import terminals

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

PATIENCE_SECONDS = 60.0
PODS = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: host
    command: [python3, -c]
    args:
    - |
      import http.server
      class Handler(http.server.BaseHTTPRequestHandler):
          def do_GET(self):
              body = (self.command + " " + self.path).encode()
              self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
          do_POST = do_GET
      http.server.HTTPServer(("", %(port)d), Handler).serve_forever()
    ports: [{name: http, containerPort: %(port)d}]
    readinessProbe: {tcpSocket: {port: %(port)d}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Pod
metadata: {name: talker}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: listens, image: host, stdin: true, command: [sh, -c, 'while read line; do echo "got $line"; done; echo over; exec sleep 1000']}
  - {name: sleeps, image: host, command: [sleep, "1000"], env: [{name: COLOUR, value: red}], workingDir: /tmp}
"""


class Kubectl:
    def __init__(self, server: servers.Server, namespace: str, websockets: bool) -> None:
        self.server = server
        self.namespace = namespace
        flag = str(websockets).lower()
        self.env = {
            **os.environ,
            "KUBECONFIG": str(server.kubeconfig),
            "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": flag,
            "KUBECTL_PORT_FORWARD_WEBSOCKETS": flag,
        }

    def command(self, *words: str) -> list[str]:
        return ["kubectl", "--namespace", self.namespace, *words]

    def run(self, *words: str, stdin: str | bytes | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        given = {"input": stdin.decode() if isinstance(stdin, bytes) else stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        return subprocess.run(
            self.command(*words), capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False, env={**self.env, **env}, **given
        )

    def __call__(self, *words: str, stdin: str | None = None, **env: str) -> str:
        done = self.run(*words, stdin=stdin, **env)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}\n{self.server.log()}"
        return done.stdout

    def json(self, *words: str) -> dict[str, Any]:
        return dict(json.loads(self(*words, "-o", "json")))

    def at_terminal(self, *words: str, typed: list[tuple[str, str | None]]) -> tuple[int, str]:
        return terminals.run(self.command(*words), typed, env=self.env)

    @contextlib.contextmanager
    def serving(self, *words: str) -> Iterator[int]:
        """A kubectl that listens: the port that it says."""
        process = subprocess.Popen(self.command(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.env)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"127\.0\.0\.1:(\d+)", line)
            assert found, line + process.stdout.read()
            yield int(found[1])
        finally:
            process.send_signal(signal.SIGINT)
            process.kill()
            process.wait()
            process.stdout.close()  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    config = servers.settings(tmp_path_factory.mktemp("clients") / "config.yaml", serviceRange="10.99.0.0/16", podRange="10.247.0.0/16")
    with servers.running("--config", str(config)) as made:
        yield made


@pytest.fixture(scope="module")
def pods(server: servers.Server) -> str:
    """The namespace where PODS run."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server.kubectl("create", "namespace", "pods")
    server.kubectl("--namespace", "pods", "apply", "-f", "-", stdin=PODS % {"port": port})
    server.kubectl("--namespace", "pods", "wait", "pod", "--all", "--for=condition=Ready", "--timeout=60s")
    return "pods"


@pytest.fixture(params=["websockets", "spdy"])
def streaming(request: pytest.FixtureRequest, server: servers.Server, pods: str) -> Kubectl:
    return Kubectl(server, pods, request.param == "websockets")


@pytest.fixture
def kubectl(request: pytest.FixtureRequest, server: servers.Server) -> Kubectl:
    name = re.sub(r"[^a-z]+", "-", request.node.name).strip("-")
    server.kubectl("create", "namespace", name)
    return Kubectl(server, name, True)


def fetched(url: str, method: str = "GET") -> tuple[int, str]:
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30) as answer:
        return answer.status, answer.read().decode()


def test_exec(streaming: Kubectl) -> None:
    done = streaming.run("exec", "talker", "-c", "sleeps", "--", "sh", "-c", "echo $COLOUR; pwd; echo bad >&2; exit 3")
    assert (done.returncode, done.stdout) == (3, "red\n/tmp\n")
    assert done.stderr == "bad\ncommand terminated with exit code 3\n"
    text = "".join(f"{number}\n" for number in range(40_000))
    assert streaming("exec", "-i", "web", "--", "cat", stdin=text) == text


def test_exec_that_cannot_be(streaming: Kubectl) -> None:
    refused = {
        ("talker", "-c", "other", "--", "true"): "container other is not valid for pod talker",
        ("nobody", "--", "true"): 'pods "nobody" not found',
        ("web", "--", "no-such-program"): 'exec: "no-such-program": executable file not found in $PATH',
    }
    for words, expected in refused.items():
        done = streaming.run("exec", *words)
        assert done.returncode == 1
        assert expected in done.stderr


def test_exec_at_a_terminal(streaming: Kubectl) -> None:
    script = "stty -echo; echo ready; read line; echo got $line; stty size; test -t 0 && exit 5"
    code, seen = streaming.at_terminal("exec", "-it", "web", "--", "sh", "-c", script, typed=[("ready", "hello\r")])
    assert code == 5, seen
    assert "got hello\r\n30 100\r\n" in seen


def test_attach(streaming: Kubectl) -> None:
    process = subprocess.Popen(
        streaming.command("attach", "-i", "talker", "-c", "listens"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=streaming.env,
    )  # fmt: skip
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("one\n")
        process.stdin.flush()
        assert process.stdout.readline() == "got one\n"
    finally:
        process.kill()
        process.communicate()
    assert "got one" in streaming("logs", "talker", "-c", "listens")


def test_run_with_a_terminal_of_its_own(streaming: Kubectl) -> None:
    script = "echo ready; read line; echo got $line; stty size; exit 5"
    words = ("run", "-it", "--rm", "once", "--image=host", "--restart=Never", "--command", "--", "sh", "-c", script)
    code, seen = streaming.at_terminal(*words, typed=[("", "hello\r")])
    assert code == 5, seen
    assert "got hello\r\n30 100\r\n" in seen
    assert "not found" in streaming.run("get", "pod", "once").stderr


def test_copying(streaming: Kubectl, tmp_path: pathlib.Path) -> None:
    sent, received = tmp_path / "sent", tmp_path / "received"
    sent.write_bytes(os.urandom(1_500_000))
    there = f"/tmp/{streaming.namespace}-{os.getpid()}"
    streaming("cp", str(sent), f"web:{there}")
    streaming("cp", f"web:{there}", str(received))
    assert received.read_bytes() == sent.read_bytes()


def test_port_forward(streaming: Kubectl) -> None:
    for target in ("pod/web", "service/web"):
        with streaming.serving("port-forward", target, ":http") as port:
            for path in ("/a", "/b?c=d"):
                assert fetched(f"http://127.0.0.1:{port}{path}") == (200, f"GET {path}")


def test_proxies(kubectl: Kubectl, pods: str) -> None:
    with kubectl.serving("proxy", "--port=0") as port:
        api = f"http://127.0.0.1:{port}/api/v1"
        assert json.loads(fetched(f"{api}/namespaces/{pods}/pods/web")[1])["metadata"]["name"] == "web"
        for target in ("pods/web", "services/web:http", "services/http:web:80"):
            assert fetched(f"{api}/namespaces/{pods}/{target}/proxy/x?y=z", "POST") == (200, "POST /x?y=z")
        with pytest.raises(urllib.error.HTTPError) as missing:
            fetched(f"{api}/namespaces/{pods}/services/web:81/proxy/")
        assert missing.value.code == 503
        missing.value.close()
    node = kubectl.json("get", "nodes")["items"][0]["metadata"]["name"]
    base = f"/api/v1/nodes/{node}/proxy"
    assert kubectl("get", "--raw", f"{base}/healthz") == "ok"
    assert {pod["metadata"]["name"] for pod in json.loads(kubectl("get", "--raw", f"{base}/pods"))["items"]} >= {"web", "talker"}
    assert "kubelet_" in kubectl("get", "--raw", f"{base}/metrics")
    assert "_web_" in kubectl("get", "--raw", f"{base}/logs/")


def test_edit(kubectl: Kubectl, tmp_path: pathlib.Path) -> None:
    kubectl("create", "configmap", "settings", "--from-literal=colour=red")
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/colour: red/colour: blue/' \"$1\"\n")
    editor.chmod(0o755)
    assert "edited" in kubectl("edit", "configmap", "settings", KUBE_EDITOR=str(editor))
    assert kubectl.json("get", "configmap", "settings")["data"] == {"colour": "blue"}
    before = kubectl.json("get", "configmap", "settings")["metadata"]["resourceVersion"]
    assert "cancelled" in kubectl.run("edit", "configmap", "settings", KUBE_EDITOR="true").stderr
    assert kubectl.json("get", "configmap", "settings")["metadata"]["resourceVersion"] == before


WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: host, command: [sleep, "1000"], resources: {requests: {cpu: 1000m, memory: 1024Ki}}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: "1"}
"""


@pytest.mark.parametrize("server_side", [False, True])
def test_applying_twice_changes_nothing(kubectl: Kubectl, server_side: bool) -> None:
    words = ("apply", *(["--server-side"] if server_side else []), "-f", "-")
    kubectl(*words, stdin=WEB)
    kubectl("wait", "deployment/web", "--for=condition=Available", "--timeout=60s")
    kubectl("wait", "pod", "-l", "app=web", "--for=condition=Ready", "--timeout=60s")

    def revisions() -> list[str]:
        return [kubectl.json("get", kind)["metadata"]["resourceVersion"] for kind in ("deployment/web", "configmap/settings")]

    def is_unchanged() -> bool:
        """Statuses may still be settling at first."""
        before = revisions()
        kubectl(*words, stdin=WEB)
        return revisions() == before

    servers.eventually(is_unchanged, PATIENCE_SECONDS)
    differ = ("diff", *(["--server-side"] if server_side else []), "-f", "-")
    assert kubectl.run(*differ, stdin=WEB).returncode == 0
    changed = kubectl.run(*differ, stdin=WEB.replace('a: "1"', 'a: "2"'))
    assert changed.returncode == 1
    assert '-  a: "1"\n+  a: "2"' in changed.stdout
    assert kubectl.json("get", "configmap/settings")["data"] == {"a": "1"}


def test_a_three_way_apply_keeps_what_others_wrote(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=WEB)
    kubectl("scale", "deployment/web", "--replicas=0")
    kubectl("label", "deployment/web", "other=label")
    without = WEB.replace("  replicas: 1\n", "")
    kubectl("apply", "-f", "-", stdin=without)
    found = kubectl.json("get", "deployment/web")
    assert found["metadata"]["labels"] == {"other": "label"}
    assert found["spec"]["replicas"] == 1  # given up by its applier, so defaulted


def test_waiting(kubectl: Kubectl) -> None:
    kubectl("run", "short", "--image=host", "--restart=Never", "--command", "--", "true")
    servers.eventually(lambda: kubectl.json("get", "pod", "short")["status"].get("phase") == "Succeeded")
    late = kubectl.run("wait", "pod/short", "--for=condition=Ready", "--timeout=1s")
    assert "timed out waiting for the condition" in late.stderr
    waiting = subprocess.Popen(
        kubectl.command("wait", "pod/short", "--for=delete", "--timeout=60s"), env=kubectl.env, stdout=subprocess.DEVNULL
    )
    kubectl("delete", "pod", "short", "--wait=false")
    assert waiting.wait(PATIENCE_SECONDS) == 0


def test_what_may_be_done(kubectl: Kubectl) -> None:
    assert kubectl("auth", "can-i", "delete", "nodes").strip() == "yes"
    kubectl("create", "serviceaccount", "reader")
    kubectl("create", "role", "reads", "--verb=get,list", "--resource=pods")
    kubectl("create", "rolebinding", "reads", "--role=reads", f"--serviceaccount={kubectl.namespace}:reader")
    account = f"--as=system:serviceaccount:{kubectl.namespace}:reader"
    assert kubectl("auth", "can-i", "list", "pods", account).strip() == "yes"
    assert kubectl.run("auth", "can-i", "create", "pods", "--subresource=exec", account).stdout.strip() == "no"
    assert "forbidden" in kubectl.run("get", "configmaps", account).stderr


def test_resources_are_complete(kubectl: Kubectl) -> None:
    names = set(kubectl("api-resources", "--output=name").split())
    expected = (
        "bindings configmaps endpoints events namespaces nodes pods podtemplates services deployments.apps daemonsets.apps jobs.batch"
        " horizontalpodautoscalers.autoscaling ingresses.networking.k8s.io poddisruptionbudgets.policy roles.rbac.authorization.k8s.io"
        " customresourcedefinitions.apiextensions.k8s.io storageclasses.storage.k8s.io leases.coordination.k8s.io"
    )
    assert set(expected.split()) <= names
    streams = json.loads(kubectl("get", "--raw", "/api/v1"))["resources"]
    assert {"pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "services/proxy", "nodes/proxy"} <= {
        one["name"] for one in streams
    }
