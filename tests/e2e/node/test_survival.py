"""Containers outlive whoever looks after them: daemon, keeper; and what a dead shim takes with it."""

import asyncio
import os
import pathlib
import random
import signal
from collections.abc import Sequence
from typing import Any

from reconciler.model import meta
from reconciler.node.keeper import client, records
from tests.e2e.node.test_pods import is_running, terminated
from tests.e2e.node.world import World, pod, running

KILLS = int(os.environ.get("RECONCILER_CRASH_KILLS", "20"))
SEED = int(os.environ.get("RECONCILER_CRASH_SEED", "7"))
TICK = "i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.01; done"


def is_alive(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def keeper_pid(world: World) -> int:
    return int((await client.request(world.run_dir / "keeper.sock", "hello"))["pid"])


def ticks(world: World, name: str) -> list[int]:
    return [int(line.split()[1]) for line in world.log(name).splitlines()]


async def test_a_restarted_daemon_adopts(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path) as world:
        await world.create(pod("ticking", "sh", "-c", TICK))
        await world.create(pod("ending", "sh", "-c", "until test -e /flag/now; do sleep 0.01; done; exit 9", **_flag(tmp_path)))
        await world.reaches("ticking", is_running)
        await world.reaches("ending", is_running)
        pid = world.pid("ticking")
        before = await world.container("ticking")
        await world.stop()
        ending = world.pid("ending")
        (tmp_path / "flag" / "now").touch()
        await world.until(lambda: not is_alive(ending), "its end while nobody looks")
        await world.start()
        ended = terminated(await world.reaches("ending", lambda s: s["phase"] == "Failed"))
        assert ended["exitCode"] == 9
        assert world.pid("ticking") == pid
        after = await world.container("ticking")
        assert (after["restartCount"], after["containerID"], after["state"]) == (0, before["containerID"], before["state"])
        seen = len(ticks(world, "ticking"))
        await world.until(lambda: len(ticks(world, "ticking")) > seen + 5, "more of the log")
        assert ticks(world, "ticking") == list(range(1, len(ticks(world, "ticking")) + 1))


async def test_a_killed_keeper_loses_nothing(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path) as world:
        await world.create(pod("ticking", "sh", "-c", TICK))
        await world.reaches("ticking", is_running)
        pid = world.pid("ticking")
        os.kill(await keeper_pid(world), signal.SIGKILL)
        await world.create(pod("second", "sleep", "1000"))
        await world.reaches("second", is_running)
        assert is_alive(pid)
        assert world.pid("ticking") == pid
        os.kill(pid, signal.SIGKILL)
        await world.reaches("ticking", lambda s: s["containerStatuses"][0]["restartCount"] == 1)
        assert (await world.container("second"))["restartCount"] == 0


async def test_a_keeper_upgrades_in_place(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path) as world:
        await world.create(pod("ticking", "sh", "-c", TICK))
        await world.reaches("ticking", is_running)
        pid, keeper = world.pid("ticking"), await keeper_pid(world)
        await client.request(world.run_dir / "keeper.sock", "upgrade")
        await world.create(pod("second", "sleep", "1000"))
        await world.reaches("second", is_running)
        assert await keeper_pid(world) == keeper
        assert is_alive(pid)
        await world.delete("ticking")
        await world.is_gone("ticking")


async def test_an_upgrade_beside_ended_pods_ends_none(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path) as world:
        names = [f"living-{number}" for number in range(3)]
        for number, name in enumerate(names):
            await world.create(pod(f"ended-{number}", "true", spec={"restartPolicy": "Never"}))
            await world.create(pod(name, "sleep", "1000"))
        for number, name in enumerate(names):
            await world.reaches(name, is_running)
            await world.reaches(f"ended-{number}", lambda s: s["phase"] == "Succeeded")
        shims = [sandbox.pid for sandbox in world.runtime.sandboxes().values() if sandbox.name.startswith("ended")]
        await world.until(lambda: not any(map(is_alive, shims)), "the shims of ended pods to end")
        pids = [world.pid(name) for name in names]
        await client.request(world.run_dir / "keeper.sock", "upgrade")
        await world.create(pod("second", "sleep", "1000"))
        await world.reaches("second", is_running)
        await world.stop()
        await world.start()
        await world.until(lambda: all(world.pid(name) for name in names), "the node to know its pods again")
        assert [world.pid(name) for name in names] == pids
        assert all(map(is_alive, pids))


class Connections:
    """A network that remembers which processes it connected, and refuses to connect a pod twice."""

    def __init__(self) -> None:
        self.connected: dict[str, int] = {}
        self.seen: list[int] = []

    async def attach(self, pid: int, pod_uid: str, host_ports: Sequence[tuple[str, int, int]] = ()) -> str:
        assert self.connected.get(pod_uid, pid) == pid
        self.connected[pod_uid] = pid
        self.seen.append(pid)
        return f"127.0.0.{len(self.seen)}"

    async def detach(self, pod_uid: str) -> None:
        self.connected.pop(pod_uid, None)


async def test_the_new_sandbox_of_a_lost_shim_is_connected(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path) as world:
        await world.stop()
        world.network = network = Connections()
        await world.start()
        await world.create(pod("again", "sleep", "1000"))
        await world.reaches("again", is_running)
        (sandbox,) = world.runtime.sandboxes().values()
        os.kill(sandbox.pid, signal.SIGKILL)
        await world.reaches("again", lambda s: is_running(s) and s["containerStatuses"][0]["restartCount"] == 1)
        (sandbox,) = world.runtime.sandboxes().values()
        assert network.connected == {sandbox.uid: sandbox.pid}
        assert len(network.seen) == 2
        await world.reaches("again", lambda s: s["podIPs"] == [{"ip": "127.0.0.2"}] and s["podIP"] == "127.0.0.2")


async def test_a_killed_shim_loses_its_pod_and_says_so(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path) as world:
        await world.create(pod("lost", "sh", "-c", TICK, spec={"restartPolicy": "Never"}))
        await world.create(pod("again", "sh", "-c", TICK))
        await world.reaches("lost", is_running)
        await world.reaches("again", is_running)
        victims = {name: world.pid(name) for name in ("lost", "again")}
        for sandbox in list(world.runtime.sandboxes().values()):
            os.kill(sandbox.pid, signal.SIGKILL)
        lost = terminated(await world.reaches("lost", lambda s: s["phase"] == "Failed"))
        assert (lost["exitCode"], lost["reason"]) == (137, "ContainerStatusUnknown")
        await world.reaches("again", lambda s: is_running(s) and s["containerStatuses"][0]["restartCount"] == 1)
        assert not any(map(is_alive, victims.values()))


async def test_random_kills(tmp_path: pathlib.Path) -> None:
    """No attempt starts twice, none is lost: each start writes its own line; what the runtime says runs, and only that."""
    chance = random.Random(SEED)
    script = "echo start >> /flag/$HOSTNAME; " + TICK
    mark = {"name": "MARK", "value": str(tmp_path)}
    names = [f"pod-{n}" for n in range(3)]
    async with running(tmp_path) as world:
        for name in names:
            await world.create(pod(name, "sh", "-c", script, env=[mark], **_flag(tmp_path, "Always")))
        for name in names:
            await world.reaches(name, is_running)
        for _ in range(KILLS):
            await _kill_something(world, chance)
        for name in names:
            uid = meta.uid(await world.get(name) or {})
            await world.until(lambda uid=uid: _is_settled(world, uid), f"{name} to settle")
            attempts = [c.attempt for c in world.runtime.sandboxes()[uid].containers]
            assert len(attempts) == len(set(attempts))
            starts = (tmp_path / "flag" / name).read_text().splitlines()
            recorded = [attempt for _, attempt in records.PodFolder(str(world.run_dir), uid).attempts()]
            assert len(starts) <= max(recorded) + 1
            variables = f"MARK={tmp_path}", f"HOSTNAME={name}"
            await world.until(lambda uid=uid, variables=variables: _claimed(world, uid) == _processes(*variables), f"{name}'s processes")


def _is_settled(world: World, uid: str) -> bool:
    """The pod has a living shim, and its newest attempt runs or has an end."""
    sandbox = world.runtime.sandboxes().get(uid)
    latest = sandbox.latest("main") if sandbox is not None and sandbox.ready else None
    return latest is not None and (latest.state != "running" or is_alive(latest.pid))


def _claimed(world: World, uid: str) -> set[int]:
    return {c.pid for c in world.runtime.sandboxes()[uid].containers if c.state == "running"}


def _processes(*variables: str) -> set[int]:
    """The shells of containers with these variables in their environment."""
    found = set()
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            if all(one.encode() in environment for one in variables) and b"tick" in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
        except OSError:
            continue
    return found


async def _kill_something(world: World, chance: random.Random) -> None:
    what = chance.choice(["daemon", "keeper", "keeper", "container", "shim"])
    if what == "daemon":
        await world.stop()
        await world.start()
    elif what == "keeper":
        try:
            os.kill(await keeper_pid(world), signal.SIGKILL)
        except client.Gone:
            return
    else:
        ready = [sandbox for sandbox in world.runtime.sandboxes().values() if sandbox.ready and sandbox.pid]
        if ready:
            sandbox = chance.choice(ready)
            latest = sandbox.latest("main")
            pid = latest.pid if what == "container" and latest is not None and latest.state == "running" else sandbox.pid
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return
    await asyncio.sleep(chance.random() * 0.05)


def _flag(tmp_path: pathlib.Path, policy: str = "Never") -> dict[str, Any]:
    (tmp_path / "flag").mkdir(exist_ok=True)
    volume = {"name": "flag", "hostPath": {"path": str(tmp_path / "flag")}}
    spec = {"restartPolicy": policy, "volumes": [volume]}
    return {"volumeMounts": [{"name": "flag", "mountPath": "/flag"}], "spec": spec}
