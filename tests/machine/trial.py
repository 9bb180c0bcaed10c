"""Runs inside the machine of tests.machine, after each boot: checks the units and goes on to the next boot.

Standard library only, Debian's Python. First boot: limits, watchdog, restarts and upgrades with the same processes.
Second boot, after `reboot`: pods are back and have restarted once. Third, after a power cut: twice, and nothing that
was acknowledged is lost; then everything is taken down.
"""

import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

STAGE = pathlib.Path("/var/lib/trial-stage")
FOLDER = pathlib.Path("/srv/cluster")
SOCKET = "/var/lib/reconciler/api.sock"
PATIENCE_SECONDS = 1800.0  # with an emulated processor everything is slow
PODS = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: main, image: host, command: [sleep, "100000"], resources: {limits: {cpu: 500m, memory: 64Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: eater}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: host
    command: [python3, -c, "x = []\\nwhile True: x.append(bytearray(1 << 20))"]
    resources: {limits: {memory: 48Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: busy}
spec:
  containers:
  - {name: main, image: host, command: [sh, -c, "while :; do :; done"], resources: {limits: {cpu: 100m}}}
"""


def say(words: str) -> None:
    print(f"trial: {words}", flush=True)


def ask(path: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(SOCKET)
    connection.request("GET", path)
    found: dict[str, Any] = json.loads(connection.getresponse().read())
    return found


def eventually(what: str, check: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            value = check()
        except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError):
            value = None
        if value:
            say(f"{what}: yes")
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: still {value!r}")
        time.sleep(0.2)


def pods(app: str = "web") -> dict[str, dict[str, Any]]:
    items = ask("/api/v1/namespaces/default/pods")["items"]
    return {one["metadata"]["name"]: one["status"] for one in items if one["metadata"]["name"].startswith(app)}


def state(app: str) -> dict[str, Any]:
    return dict(next(iter(pods(app).values()))["containerStatuses"][0]["state"])


def web(restarts: int) -> list[str]:
    """The names of both pods once they run after so many restarts."""
    found = {name: status["containerStatuses"][0] for name, status in pods().items()}
    good = [name for name, one in found.items() if "running" in one["state"] and one["restartCount"] == restarts]
    return sorted(good) if len(good) == len(found) == 2 else []


def containers() -> list[int]:
    """The processes of the Deployment's containers."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cmdline").read_bytes() == b"sleep\x00100000\x00":
                found.append(int(entry.name))
        except OSError:
            continue
    return sorted(found)


def systemctl(*words: str) -> str:
    return subprocess.run(["systemctl", *words], check=True, capture_output=True, text=True).stdout.strip()


def main_pid(unit: str) -> int:
    return int(systemctl("show", "-P", "MainPID", unit))


def group_file(pid: int, name: str) -> str:
    group = pathlib.Path(f"/proc/{pid}/cgroup").read_text().partition("::")[2].strip()
    return pathlib.Path(f"/sys/fs/cgroup{group}/{name}").read_text().strip()


def limits() -> None:
    eater = eventually("a container over its memory limit ends", lambda: state("eater").get("terminated"))
    assert (eater["reason"], eater["exitCode"]) == ("OOMKilled", 137), eater
    pid = containers()[0]
    assert group_file(pid, "cpu.max") == "50000 100000", group_file(pid, "cpu.max")
    assert group_file(pid, "memory.max") == str(64 << 20)
    eventually("a busy container runs", lambda: "running" in state("busy"))
    time.sleep(15)
    nodes = ask("/reconciler/usage")["nodes"]
    used = next(pod for pod in nodes[0]["pods"] if pod["podRef"]["name"] == "busy")["containers"][0]["cpu"]["usageNanoCores"]
    say(f"a container with a limit of 100m uses {used / 1e9:.3f} cores")
    assert 5e7 < used < 1.5e8, used


def same_processes(what: str, before: list[int], do: Callable[[], Any]) -> None:
    daemon, keeper = main_pid("reconciler"), main_pid("reconciler-keeper")
    do()
    eventually(f"{what}: pods are well", lambda: web(0))
    assert containers() == before, (containers(), before)
    say(f"{what}: the same containers, daemon {daemon} -> {main_pid('reconciler')}, keeper {keeper} -> {main_pid('reconciler-keeper')}")


def replaced(unit: str, do: Callable[[], Any]) -> None:
    old = main_pid(unit)
    do()
    eventually(f"{unit} has another process", lambda: main_pid(unit) not in (0, old))
    eventually("the API is ready", lambda: ask("/api/v1/namespaces/default/pods"))


def first() -> None:
    (FOLDER / "pods.yaml").write_text(PODS)
    eventually("pods run", lambda: web(0))
    limits()
    before = containers()
    assert len(before) == 2, before
    same_processes("restart", before, lambda: replaced("reconciler", lambda: systemctl("restart", "reconciler")))
    same_processes("daemon killed", before, lambda: replaced("reconciler", lambda: os.kill(main_pid("reconciler"), signal.SIGKILL)))
    same_processes("watchdog", before, lambda: replaced("reconciler", lambda: os.kill(main_pid("reconciler"), signal.SIGSTOP)))
    same_processes("keeper upgraded", before, lambda: systemctl("reload", "reconciler-keeper"))
    same_processes(
        "keeper killed", before, lambda: replaced("reconciler-keeper", lambda: os.kill(main_pid("reconciler-keeper"), signal.SIGKILL))
    )
    systemctl("stop", "reconciler")
    assert containers() == before
    say("stop: the containers go on")
    systemctl("start", "reconciler")
    eventually("pods are well after a stop", lambda: web(0))
    next_boot("second", web(0))
    systemctl("reboot")


def second(names: list[str]) -> None:
    eventually("pods are back after a reboot, restarted once", lambda: web(1) == names)
    (FOLDER / "late.yaml").write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: late}, data: {word: kept}}")
    eventually("a late change is acknowledged", lambda: ask("/api/v1/namespaces/default/configmaps/late")["data"])
    next_boot("third", names)
    say("power cut")
    pathlib.Path("/proc/sysrq-trigger").write_text("b")


def third(names: list[str]) -> None:
    assert ask_late()["word"] == "kept"
    eventually("pods are back after a power cut, restarted twice", lambda: web(2) == names)
    systemctl("stop", "reconciler")
    down = subprocess.run(["reconciler", "down", "--config", "/etc/reconciler/config.yaml"], capture_output=True, text=True, check=False)
    say(f"down: {down.stdout.strip()} {down.stderr.strip()}")
    assert containers() == []
    assert not list(pathlib.Path("/sys/fs/cgroup").glob("**/pod-*"))
    rules = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    assert "reconciler" not in rules, rules


def ask_late() -> dict[str, str]:
    found: dict[str, str] = eventually("the late change is there", lambda: ask("/api/v1/namespaces/default/configmaps/late")["data"])
    return found


def next_boot(stage: str, names: list[str]) -> None:
    STAGE.write_text(json.dumps([stage, names]))
    os.sync()


def main() -> int:
    stage, names = json.loads(STAGE.read_text()) if STAGE.exists() else ("first", [])
    say(f"{stage} boot")
    try:
        {"first": lambda _: first(), "second": second, "third": third}[stage](names)
    except Exception:  # noqa: BLE001 - whatever it is belongs on the console
        say("FAILED " + traceback.format_exc().replace("\n", "\ntrial: "))
        log = subprocess.run(["journalctl", "-b", "-n", "60", "--no-pager"], capture_output=True, text=True, check=False).stdout
        say(log.replace("\n", "\ntrial: "))
        STAGE.write_text(json.dumps(["third", names]))
    else:
        if stage != "third":
            return 0
        say("all is well")
    systemctl("poweroff")
    return 0


if __name__ == "__main__":
    sys.exit(main())
