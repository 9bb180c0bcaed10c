"""Pods on a real node: from the API to processes and back."""

import os
import pathlib
import shutil
import signal
from typing import Any

from reconciler.model import meta
from tests.e2e.node.world import NODE, pod, running
from tests.unit.node import health_server


def is_running(status: dict[str, Any]) -> bool:
    return status["phase"] == "Running" and all("running" in one["state"] for one in status["containerStatuses"])


def terminated(status: dict[str, Any]) -> dict[str, Any]:
    return dict(status["containerStatuses"][0]["state"]["terminated"])


def condition(status: dict[str, Any], kind: str) -> str:
    return next(str(one["status"]) for one in status["conditions"] if one["type"] == kind)


async def test_runs_logs_and_completes(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path) as world:
        await world.create(pod("one", "sh", "-c", "echo hello; exit 0", spec={"restartPolicy": "Never"}))
        status = await world.reaches("one", lambda s: s["phase"] == "Succeeded")
        assert (terminated(status)["exitCode"], terminated(status)["reason"]) == (0, "Completed")
        assert world.log("one") == "hello"
        assert condition(status, "Ready") == "False"
        await world.delete("one")
        await world.is_gone("one")
        await world.until(
            lambda: not any(list(tmp_path.glob(f"{folder}/*")) for folder in ("run/pods", "data/pods", "logs")), "nothing left"
        )


async def test_exit_codes_and_messages(tmp_path: pathlib.Path) -> None:
    never = {"restartPolicy": "Never"}
    async with running(tmp_path) as world:
        await world.create(pod("bad", "sh", "-c", "echo why > /dev/termination-log; exit 7", spec=never))
        await world.create(pod("absent", "no-such-program", spec=never))
        await world.create(pod("image", image="nowhere/app:1"))
        await world.create(pod("tail", "sh", "-c", "echo last words; exit 1", spec=never, terminationMessagePolicy="FallbackToLogsOnError"))
        bad = terminated(await world.reaches("bad", lambda s: s["phase"] == "Failed"))
        assert (bad["exitCode"], bad["reason"], bad["message"]) == (7, "Error", "why\n")
        absent = terminated(await world.reaches("absent", lambda s: s["phase"] == "Failed"))
        assert (absent["exitCode"], absent["reason"]) == (128, "StartError")
        assert 'exec: "no-such-program": executable file not found in $PATH' in absent["message"]
        tail = terminated(await world.reaches("tail", lambda s: s["phase"] == "Failed"))
        assert tail["message"] == "last words"
        waiting = await world.reaches("image", lambda s: "waiting" in str(s.get("containerStatuses")) and "Image" in str(s))
        state = waiting["containerStatuses"][0]["state"]["waiting"]
        assert state["reason"] in ("ErrImagePull", "ImagePullBackOff")
        assert "--host-images" in state["message"]


async def test_a_killed_container_is_replaced_and_then_rests(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path) as world:
        await world.create(pod("web", "sleep", "1000"))
        await world.reaches("web", is_running)
        first = world.pid("web")
        os.kill(first, signal.SIGKILL)
        status = await world.reaches("web", lambda s: is_running(s) and s["containerStatuses"][0]["restartCount"] == 1)
        last = status["containerStatuses"][0]["lastState"]["terminated"]
        assert (last["exitCode"], last["reason"]) == (137, "Error")
        assert condition(status, "Ready") == "True"
        os.kill(world.pid("web"), signal.SIGKILL)
        status = await world.reaches("web", lambda s: "waiting" in s["containerStatuses"][0]["state"])
        waiting = status["containerStatuses"][0]["state"]["waiting"]
        assert waiting["reason"] == "CrashLoopBackOff"
        assert waiting["message"].startswith("back-off 10s restarting failed container=main pod=web_default(")
        assert status["phase"] == "Running"


async def test_init_containers_sidecars_and_order(tmp_path: pathlib.Path) -> None:
    shared = [{"name": "shared", "mountPath": "/shared"}]

    def container(name: str, script: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "image": "host", "command": ["sh", "-c", script], "volumeMounts": shared, **more}

    init = [
        container("first", "echo first >> /shared/order"),
        container("side", "echo side >> /shared/order; trap 'exit 0' TERM; sleep 1000 & wait", restartPolicy="Always"),
        container("second", "echo second >> /shared/order"),
    ]
    main = container("main", "echo main >> /shared/order; cat /shared/order")
    spec = {"initContainers": init, "containers": [main], "restartPolicy": "Never", "volumes": [{"name": "shared", "emptyDir": {}}]}
    async with running(tmp_path) as world:
        await world.create(pod("many", spec=spec))
        status = await world.reaches("many", lambda s: s["phase"] == "Succeeded")
        assert world.log("many").splitlines()[-4:] == ["first", "side", "second", "main"]
        assert [one["ready"] for one in status["initContainerStatuses"]] == [True, False, True]


async def test_environment_and_volumes(tmp_path: pathlib.Path) -> None:
    metadata = {"namespace": "default"}
    env = [
        {"name": "PLAIN", "value": "a"},
        {"name": "BOTH", "value": "$(PLAIN)-$(LEVEL)"},
        {"name": "LEVEL", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "level"}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}},
    ]
    volumes = [
        {"name": "settings", "configMap": {"name": "settings"}},
        {"name": "login", "secret": {"secretName": "login", "defaultMode": 0o400}},
        {"name": "host", "hostPath": {"path": str(tmp_path / "host"), "type": "DirectoryOrCreate"}},
    ]
    mounts = [
        {"name": "settings", "mountPath": "/settings"},
        {"name": "login", "mountPath": "/login", "readOnly": True},
        {"name": "host", "mountPath": "/host"},
    ]
    script = "echo $BOTH $POD $IP $PASSWORD $(cat /settings/level /login/password); touch /host/seen; "
    script += "until grep -q high /settings/level; do sleep 0.02; done; echo changed; touch /login/x || echo read-only"
    async with running(tmp_path) as world:
        await world.create(
            pod("env", "sh", "-c", script, env=env, volumeMounts=mounts, spec={"volumes": volumes, "restartPolicy": "Never"})
        )
        await world.until(lambda: world.events("FailedMount"), "a FailedMount event")
        await world.put(
            "configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**metadata, "name": "settings"}, "data": {"level": "low"}}
        )
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {**metadata, "name": "login"}, "stringData": {"password": "pw"}}
        await world.put("secrets", secret)
        await world.until(lambda: "a-$(LEVEL) env 127.0.0.1 pw lowpw" in world.log("env"), "the first line")
        await world.patch("configmaps", "settings", {"data": {"level": "high"}})
        await world.reaches("env", lambda s: s["phase"] == "Succeeded")
        assert world.log("env").splitlines()[-2:] == ["changed", "read-only"] or "read-only" in world.log("env")
        assert (tmp_path / "host" / "seen").exists()


async def test_probes_and_hooks(tmp_path: pathlib.Path) -> None:
    script = "touch /tmp/started; while :; do sleep 0.05; done"
    probes = {
        "startupProbe": {"exec": {"command": ["test", "-e", "/tmp/started"]}, "periodSeconds": 1},
        "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1},
        "livenessProbe": {"exec": {"command": ["test", "!", "-e", "/tmp/dead"]}, "periodSeconds": 1, "failureThreshold": 1},
        "lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "touch /tmp/hooked"]}}},
    }
    async with running(tmp_path) as world:
        await world.create(pod("probed", "sh", "-c", script, **probes))
        status = await world.reaches("probed", lambda s: is_running(s) and s["containerStatuses"][0]["started"])
        assert condition(status, "Ready") == "False"
        uid = meta.uid(await world.get("probed") or {})
        await world.runtime.exec(uid, "main", ["sh", "-c", "test -e /tmp/hooked && touch /tmp/ready"], timeout_seconds=5)
        await world.reaches("probed", lambda s: condition(s, "Ready") == "True")
        await world.runtime.exec(uid, "main", ["touch", "/tmp/dead"], timeout_seconds=5)
        await world.reaches("probed", lambda s: s["containerStatuses"][0]["restartCount"] == 1)
        assert "Container main failed liveness probe, will be restarted" in await world.events("Killing")
        assert any(message.startswith("Liveness probe failed") for message in await world.events("Unhealthy"))


async def test_termination_takes_its_grace(tmp_path: pathlib.Path) -> None:
    script = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done"
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo stopping > /proc/1/fd/1"]}}}
    async with running(tmp_path) as world:
        await world.create(pod("polite", "sh", "-c", script, lifecycle=hook, spec={"terminationGracePeriodSeconds": 30}))
        await world.create(pod("deaf", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.02; done"))
        await world.until(lambda: world.log("polite") == world.log("deaf") == "up", "both to be up")
        kept = world.log_file("polite").open()
        await world.delete("polite")
        await world.delete("deaf")
        await world.is_gone("polite")
        await world.is_gone("deaf")
        assert [line.split(" ", 3)[3].strip() for line in kept] == ["up", "stopping", "bye"]
        kept.close()
        await world.create(pod("forced", "sh", "-c", "trap '' TERM; sleep 1000", spec={"terminationGracePeriodSeconds": 1000}))
        await world.reaches("forced", is_running)
        pid = world.pid("forced")
        await world.delete("forced", grace_seconds=0)
        await world.until(lambda: not pathlib.Path(f"/proc/{pid}").exists(), "the process to end")


async def test_memory_limit_and_deadline(tmp_path: pathlib.Path) -> None:
    eat = "x = []\nwhile True: x.append(bytearray(1 << 20))"
    resources = {"limits": {"memory": "40Mi", "cpu": "500m"}}
    async with running(tmp_path) as world:
        await world.create(pod("eater", "python3", "-c", eat, resources=resources, spec={"restartPolicy": "Never"}))
        await world.create(pod("late", "sleep", "1000", spec={"activeDeadlineSeconds": 1, "restartPolicy": "Never"}))
        eater = terminated(await world.reaches("eater", lambda s: s["phase"] == "Failed"))
        assert (eater["exitCode"], eater["reason"]) == (137, "OOMKilled")
        late = await world.reaches("late", lambda s: s["phase"] == "Failed")
        assert late["reason"] == "DeadlineExceeded"


async def test_the_node_is_registered(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path) as world:
        node = await world.client.get("nodes", "", NODE)
        assert {one["type"]: one["status"] for one in meta.status(node)["conditions"]}["Ready"] == "True"
        assert meta.status(node)["nodeInfo"]["containerRuntimeVersion"].startswith("process://")
        lease = await world.client.get("leases.coordination.k8s.io", "kube-node-lease", NODE)
        assert meta.spec(lease)["holderIdentity"] == NODE


async def test_what_does_not_fit_fails_and_what_runs_stays(tmp_path: pathlib.Path) -> None:
    most = {"requests": {"cpu": f"{(os.cpu_count() or 1) * 600}m"}}
    async with running(tmp_path) as world:
        await world.create(pod("first", "sleep", "1000", resources=most))
        await world.reaches("first", is_running)
        await world.create(pod("second", "sleep", "1000", resources=most))
        await world.create(pod("elsewhere", "sleep", "1000", spec={"nodeSelector": {"disk": "fast"}}))
        second = await world.reaches("second", lambda s: s["phase"] == "Failed")
        elsewhere = await world.reaches("elsewhere", lambda s: s["phase"] == "Failed")
        assert (second["reason"], elsewhere["reason"]) == ("OutOfcpu", "NodeAffinity")
        assert second["message"].startswith("Pod was rejected: Node didn't have enough resource: cpu, requested: ")
        await world.until(lambda: world.events("OutOfcpu"), "its event")
        assert "containerStatuses" not in second
        pid = world.pid("first")
        await world.patch("nodes", NODE, {"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}})
        await world.stop()
        await world.start()
        await world.create(pod("third", "sleep", "1000"))
        assert (await world.reaches("third", lambda s: s["phase"] == "Failed"))["reason"] == "TaintToleration"
        assert (world.pid("first"), (await world.status("first"))["phase"]) == (pid, "Running")
        await world.delete("second")
        await world.is_gone("second")


PROBED = """\
import http.server, os, signal, socket, subprocess, sys, threading
signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if os.path.exists("/flag/ready") else 503)
        self.end_headers()
    def log_message(self, *_): pass
grpc = subprocess.Popen([sys.executable, "/flag/health_server.py", "5000", "/flag/health"])
web = http.server.ThreadingHTTPServer(("", 8080), Handler)
threading.Thread(target=web.serve_forever).start()
while not os.path.exists("/flag/start"): threading.Event().wait(0.02)
open("/flag/started", "w").close()
listener = socket.create_server(("", 7000))
while True: listener.accept()[0].close()
"""


async def test_http_tcp_and_grpc_probes(tmp_path: pathlib.Path) -> None:
    flag = tmp_path / "flag"
    flag.mkdir()
    shutil.copy(health_server.__file__, flag)
    (flag / "health").write_text("1")
    probes = {
        "startupProbe": {"tcpSocket": {"port": "late"}, "periodSeconds": 1, "failureThreshold": 1000},
        "readinessProbe": {"httpGet": {"port": 8080, "path": "/ready"}, "periodSeconds": 1},
        "livenessProbe": {"grpc": {"port": 5000}, "periodSeconds": 1, "failureThreshold": 2, "terminationGracePeriodSeconds": 1},
        "ports": [{"name": "late", "containerPort": 7000}],
        "volumeMounts": [{"name": "flag", "mountPath": "/flag"}],
    }
    spec = {"terminationGracePeriodSeconds": 10_000, "volumes": [{"name": "flag", "hostPath": {"path": str(flag)}}]}
    async with running(tmp_path) as world:
        await world.create(pod("probed", "python3", "-c", PROBED, spec=spec, **probes))
        await world.until(lambda: world.events("Unhealthy"), "the first failures")
        assert not (await world.container("probed"))["started"]
        (flag / "start").touch()
        await world.reaches("probed", lambda s: s["containerStatuses"][0]["started"])
        assert condition(await world.status("probed"), "Ready") == "False"
        (flag / "ready").touch()
        await world.reaches("probed", lambda s: condition(s, "Ready") == "True")
        (flag / "ready").unlink()
        await world.reaches("probed", lambda s: condition(s, "Ready") == "False")
        (flag / "health").write_text("2")
        status = await world.reaches("probed", lambda s: s["containerStatuses"][0]["restartCount"] == 1)
        assert status["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137
        heard = await world.events("Unhealthy")
        assert 'Liveness probe failed: service unhealthy (responded with "NOT_SERVING")' in heard
        assert "Readiness probe failed: HTTP probe failed with statuscode: 503" in heard
        assert any(message.startswith("Startup probe failed: dial tcp 127.0.0.1:7000: connect: connection refused") for message in heard)
        await world.delete("probed", grace_seconds=0)
