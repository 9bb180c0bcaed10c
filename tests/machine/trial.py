"""Runs inside the machine of tests.machine, after each boot: checks the units and goes on to the next boot.

Standard library only, Debian's Python. First boot: limits, then restart, kill, watchdog and upgrades of the daemon and
of the keeper with the same processes, and both stops. Second boot, after `reboot`: pods are back by themselves, each
container restarted once. Third, after a power cut while objects are written: once more, and nothing that was acknowledged
is lost; then everything is taken down.
"""

import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import traceback
import urllib.request
from collections.abc import Callable
from typing import Any

STAGE = pathlib.Path("/var/lib/trial-stage")
ACKNOWLEDGED = pathlib.Path("/var/lib/trial-acknowledged")
MAX_WRITTEN, WRITTEN_BEFORE_CUT = 100_000, 200
PACKAGE = pathlib.Path("/usr/lib/python3/dist-packages/reconciler")
RUNNING = 6  # the pods that run: two of the trial's Deployment, its busy and its parting one, and two of the example
PARTING = pathlib.Path("/var/lib/trial-parting/words")
FOLDER = pathlib.Path("/srv/cluster")
SOCKET = "/var/lib/reconciler/api.sock"
PATIENCE_SECONDS = float(os.environ.get("PATIENCE_SECONDS", "300"))
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
---
apiVersion: v1
kind: Pod
metadata: {name: parting}
spec:
  terminationGracePeriodSeconds: 60
  containers:
  - name: main
    image: host
    command: [sh, -c, "trap 'echo bye >> /parting/words; exit 0' TERM; while :; do sleep 0.1; done"]
    volumeMounts: [{name: parting, mountPath: /parting}]
  volumes: [{name: parting, hostPath: {path: /var/lib/trial-parting, type: DirectoryOrCreate}}]
"""


def say(words: str) -> None:
    print(f"trial: {words}", flush=True)


def ask(path: str, body: object = None) -> dict[str, Any]:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(SOCKET)
    connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    if answer.status >= 300:
        raise ValueError(f"{path}: {answer.status}")
    found: dict[str, Any] = json.loads(answer.read())
    connection.close()
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


def pods() -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one["status"] for one in ask("/api/v1/pods")["items"]}


def state(name: str) -> dict[str, Any]:
    return dict(pods()[name]["containerStatuses"][0]["state"])


def restarts() -> dict[str, int]:
    """Of every pod that is meant to run; nothing before all of them are ready."""
    found = {name: status["containerStatuses"][0] for name, status in pods().items() if name != "eater"}
    good = len(found) == RUNNING and all("running" in one["state"] and one["ready"] for one in found.values())
    return {name: one["restartCount"] for name, one in sorted(found.items())} if good else {}


def once_more(counts: dict[str, int]) -> dict[str, int]:
    return {name: count + 1 for name, count in counts.items()}


def service_answers() -> bool:
    """The example's page, by the address of its Service."""
    address = ask("/api/v1/namespaces/site/services/web")["spec"]["clusterIP"]
    with urllib.request.urlopen(f"http://{address}/", timeout=10) as answer:
        return b"It works" in answer.read()


def containers() -> dict[int, str]:
    """The first process of every container, and when it started: those that are number 1 in a namespace below this one.

    One that waits ahead for its container still runs the keeper's program, and is none yet.
    """
    found = {}
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            numbers = (entry / "status").read_text().partition("NSpid:")[2].partition("\n")[0].split()
            started = (entry / "stat").read_text().rpartition(")")[2].split()
            waits = b"node/keeper" in (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if len(numbers) > 1 and numbers[-1] == "1" and started[0] != "Z" and not waits:
            found[int(entry.name)] = started[19]
    return found


def systemctl(*words: str) -> str:
    return subprocess.run(["systemctl", *words], check=True, capture_output=True, text=True).stdout.strip()


def main_pid(unit: str) -> int:
    return int(systemctl("show", "-P", "MainPID", unit))


def group_file(pid: int, controller: str, v1: str, v2: str) -> str:
    """What stands in a process's control group: in the controller's file of version 1, or in that of version 2."""
    groups = dict(line.split(":", 2)[1:] for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    folder, name = (f"{controller}{groups[controller]}", v1) if controller in groups else (groups[""], v2)
    return pathlib.Path(f"/sys/fs/cgroup/{folder}/{name}").read_text().strip()


def parted(times: int) -> None:
    """The container that writes a word when it is asked to end has had the time for it."""
    words = PARTING.read_text().split()
    assert words == ["bye"] * times, words
    say(f"containers were given their grace: {times}")


def limits() -> None:
    eater = eventually("a container over its memory limit ends", lambda: state("eater").get("terminated"))
    assert (eater["reason"], eater["exitCode"]) == ("OOMKilled", 137), eater
    pid = next(pid for pid in containers() if pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x00100000\x00")
    quota, memory = group_file(pid, "cpu", "cpu.cfs_quota_us", "cpu.max"), group_file(pid, "memory", "memory.limit_in_bytes", "memory.max")
    assert (quota.split()[0], memory) == ("50000", str(64 << 20)), (quota, memory)
    pids = group_file(pid, "pids", "../pids.max", "../pids.max")
    assert pids == "200", pids
    say(f"limits: cpu {quota}, memory {memory}, processes of a pod {pids}")
    used = eventually("a container with a limit of 100m uses no more, and what it uses is measured", lambda: _near_its_limit("busy"))
    say(f"of 100m it uses {used[0] / 1e6:.0f}m, and {used[1] >> 10} KiB")


def _near_its_limit(pod: str) -> tuple[int, int] | None:
    """Nanocores and bytes of a container with a limit of a tenth of a core, once they are as they should be."""
    found = next(one for one in ask("/reconciler/usage")["nodes"][0]["pods"] if one["podRef"]["name"] == pod)["containers"][0]
    cpu, memory = found["cpu"]["usageNanoCores"], found["memory"]["workingSetBytes"]
    return (cpu, memory) if 5e7 < cpu < 1.5e8 and 0 < memory < 64 << 20 else None


def same_processes(what: str, do: Callable[[], Any]) -> None:
    counts = eventually(f"before {what}: pods are well", restarts)
    daemon, keeper, before = main_pid("reconciler"), main_pid("reconciler-keeper"), containers()
    assert len(before) >= RUNNING, before
    do()
    eventually(f"{what}: pods are well, as often restarted as before", lambda: restarts() == counts)
    eventually(f"{what}: the Service answers", service_answers)
    assert containers() == before, (containers(), before)
    say(f"{what}: the same containers, daemon {daemon} -> {main_pid('reconciler')}, keeper {keeper} -> {main_pid('reconciler-keeper')}")


def replaced(unit: str, do: Callable[[], Any]) -> None:
    old = main_pid(unit)
    do()
    eventually(f"{unit} has another process", lambda: main_pid(unit) not in (0, old))
    eventually(f"{unit} is active", lambda: systemctl("show", "-P", "ActiveState", unit) == "active")  # before that no watchdog looks


def upgraded_daemon() -> None:
    """Install another version over this one, as a package would, and restart."""
    source = PACKAGE / "__init__.py"
    source.write_text(re.sub(r'(__version__ = "[^"]*)"', r'\1+upgraded"', source.read_text()))
    replaced("reconciler", lambda: systemctl("restart", "reconciler"))
    eventually("the daemon is the new version", lambda: ask("/version")["gitVersion"].endswith("+upgraded"))


def upgraded_keeper() -> None:
    """It executes itself anew: the same process, started with the descriptors that it handed on."""
    pid = main_pid("reconciler-keeper")
    systemctl("reload", "reconciler-keeper")
    again = pathlib.Path(f"/proc/{pid}/environ")
    eventually("the keeper has executed its program again", lambda: b"RECONCILER_KEEPER_DESCRIPTORS=" in again.read_bytes())
    subprocess.run(["reconciler", "keeper", "list", "--config", "/etc/reconciler/config.yaml"], check=True, capture_output=True)


def lost_shim() -> None:
    """Its pod alone starts anew, and is connected again."""
    before = eventually("before a shim is killed: pods are well", restarts)
    uid = ask("/api/v1/namespaces/site/pods")["items"][0]["metadata"]["uid"]
    lines = subprocess.run(["reconciler", "keeper", "list"], check=True, capture_output=True, text=True).stdout.splitlines()
    os.kill(next(int(line.split()[-1]) for line in lines if line.startswith(uid)), signal.SIGKILL)
    eventually("shim killed: one restart more", lambda: (now := restarts()) and sum(now.values()) == sum(before.values()) + 1)
    eventually("shim killed: the Service answers", service_answers)


def signalled(unit: str, number: signal.Signals) -> None:
    replaced(unit, lambda: os.kill(main_pid(unit), number))


def stops() -> dict[str, int]:
    """The daemon's stop leaves the containers, the keeper's ends them. How often they have restarted after both."""
    counts, before = eventually("before the stops: pods are well", restarts), containers()
    systemctl("stop", "reconciler")
    assert containers() == before, (containers(), before)
    say("stop of the daemon: the containers go on")
    systemctl("stop", "reconciler-keeper")
    eventually("stop of the keeper: the containers end", lambda: not containers())
    parted(1)
    assert subprocess.run(["systemctl", "is-failed", "--quiet", "reconciler-keeper"], check=False).returncode, "the keeper's stop failed"
    systemctl("start", "reconciler")
    eventually("both are started: pods are well, restarted once", lambda: restarts() == once_more(counts))
    systemctl("stop", "reconciler-keeper")
    assert not main_pid("reconciler"), "the daemon runs without its keeper"
    eventually("stop of the keeper under a daemon: the containers end", lambda: not containers())
    parted(2)
    systemctl("start", "reconciler")
    return dict(eventually("pods are well, restarted once more", lambda: restarts() == once_more(once_more(counts)) and restarts()))


def first() -> None:
    (FOLDER / "pods.yaml").write_text(PODS)
    eventually("pods run", restarts)
    eventually("the Service answers", service_answers)
    limits()
    same_processes("restart", lambda: replaced("reconciler", lambda: systemctl("restart", "reconciler")))
    same_processes("daemon killed", lambda: signalled("reconciler", signal.SIGKILL))
    same_processes("watchdog", lambda: signalled("reconciler", signal.SIGSTOP))
    same_processes("daemon upgraded", upgraded_daemon)
    same_processes("keeper upgraded", upgraded_keeper)
    same_processes("keeper killed", lambda: signalled("reconciler-keeper", signal.SIGKILL))
    lost_shim()
    next_boot("second", stops())
    systemctl("reboot")


def second(counts: dict[str, int]) -> None:
    eventually("pods are back after a reboot, restarted once", lambda: restarts() == once_more(counts))
    parted(3)
    eventually("the Service answers", service_answers)
    (FOLDER / "late.yaml").write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: late}, data: {word: kept}}")
    eventually("a late change is acknowledged", lambda: ask("/api/v1/namespaces/default/configmaps/late")["data"])
    next_boot("third", once_more(counts))
    with ACKNOWLEDGED.open("w") as log:
        for number in range(MAX_WRITTEN):
            name = f"written-{number}"
            ask("/api/v1/namespaces/default/configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
            log.write(name + "\n")
            log.flush()
            os.fsync(log.fileno())
            if number == WRITTEN_BEFORE_CUT:
                say("cut the power")
    raise AssertionError("the power was not cut")


def third(counts: dict[str, int]) -> None:
    eventually("the late change is there", lambda: ask("/api/v1/namespaces/default/configmaps/late")["data"] == {"word": "kept"})
    there = {one["metadata"]["name"] for one in ask("/api/v1/namespaces/default/configmaps")["items"]}
    written = [line for line in ACKNOWLEDGED.read_text().splitlines(keepends=True) if line.endswith("\n")]
    lost = {line.strip() for line in written} - there
    assert len(written) > WRITTEN_BEFORE_CUT, written
    assert not lost, lost
    say(f"power cut: all {len(written)} acknowledged objects are there")
    eventually("pods are back after a power cut, restarted once", lambda: restarts() == once_more(counts))
    eventually("the Service answers", service_answers)
    systemctl("stop", "reconciler")
    down = subprocess.run(["reconciler", "down", "--config", "/etc/reconciler/config.yaml"], capture_output=True, text=True, check=False)
    say(f"down: {down.stdout.strip()} {down.stderr.strip()}")
    parted(4)
    assert containers() == {}
    assert not list(pathlib.Path("/sys/fs/cgroup").glob("**/pod-*"))
    rules = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    assert "reconciler" not in rules, rules


def next_boot(stage: str, counts: dict[str, int]) -> None:
    STAGE.write_text(json.dumps([stage, counts]))
    os.sync()


def main() -> int:
    stage, counts = json.loads(STAGE.read_text()) if STAGE.exists() else ("first", {})
    say(f"{stage} boot")
    try:
        {"first": lambda _: first(), "second": second, "third": third}[stage](counts)
    except Exception:  # noqa: BLE001 - whatever it is belongs on the console
        say("FAILED " + traceback.format_exc().replace("\n", "\ntrial: "))
        log = subprocess.run(["journalctl", "-b", "-n", "60", "--no-pager"], capture_output=True, text=True, check=False).stdout
        say(log.replace("\n", "\ntrial: "))
    else:
        if stage != "third":
            return 0
        say("all is well")
    systemctl("poweroff")
    return 0


if __name__ == "__main__":
    sys.exit(main())
