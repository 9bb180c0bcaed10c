"""The shim that waits for the next pod: that it is used, that nothing depends on it, and that it goes with its keeper."""

import contextlib
import os
import pathlib
import signal

import pytest

from reconciler.node.keeper import client, linux
from reconciler.node.runtimes import types
from tests.conformance.runtime.test_runtimes import UID, Bench, bench  # noqa: F401 - a fixture

PEER = f"{UID}b"


def processes(at: Bench) -> dict[int, int]:
    """The keeper's, its zygote's and shims' with their parents, but for the containers' programs."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if os.fsencode(at.folder / "run") in words and fields[0] != "Z":
            found[int(entry.name)] = int(fields[1])
    return found


def spares(at: Bench) -> list[int]:
    """Children of the keeper that are no pod's shim, once their first worker waits."""
    found = processes(at)
    used = {sandbox.pid for sandbox in at.runtime.sandboxes().values()}
    children = [pid for pid, parent in found.items() if parent in found and found[parent] not in found]
    return [pid for pid in children if pid not in used and pid in found.values()]


async def spare(at: Bench) -> int:
    await at.until(lambda: spares(at))
    return spares(at)[0]


def kill_children(at: Bench, shim: int) -> None:
    for pid, parent in processes(at).items():
        if parent == shim:
            with contextlib.suppress(ProcessLookupError):  # the end of one may be the end of another
                os.kill(pid, signal.SIGKILL)


async def test_the_next_pod_gets_it(bench: Bench) -> None:  # noqa: F811
    await bench.sandbox()
    waiting = await spare(bench)
    assert (await bench.sandbox(PEER)).pid == waiting
    started = await bench.start("sh", "-c", "echo $HOSTNAME; hostname", uid=PEER)
    assert started.state in ("running", "exited")
    await bench.ended(PEER)
    assert bench.log(PEER)[0] == PEER
    assert await spare(bench) != waiting


async def test_a_pod_of_another_nature_does_not(bench: Bench) -> None:  # noqa: F811
    if bench.mode == "plain":
        pytest.skip("without namespaces all pods are alike")
    await bench.sandbox()
    waiting = await spare(bench)
    other = await bench.sandbox(PEER, share_process_namespace=True)
    assert other.pid != waiting
    await bench.start("sleep", "1000", uid=PEER)
    assert bench.container(PEER).state == "running"


async def test_a_killed_one_is_not_missed(bench: Bench) -> None:  # noqa: F811
    await bench.sandbox()
    os.kill(await spare(bench), signal.SIGKILL)
    await bench.sandbox(PEER)
    assert (await bench.start("sleep", "1000", uid=PEER)).state == "running"


async def test_a_killed_first_worker_is_not_missed(bench: Bench) -> None:  # noqa: F811
    """Its shim ends with it where no pod was claimed for, and does without it where one was."""
    await bench.sandbox()
    waiting = await spare(bench)
    kill_children(bench, waiting)
    assert (await bench.start("sleep", "1000")).state == "running"
    claimed = (await bench.sandbox(PEER)).pid
    kill_children(bench, claimed)
    assert (await bench.start("sleep", "1000", uid=PEER)).state == "running"


@pytest.mark.parametrize("end", ["kill", "upgrade", "shutdown"])
async def test_it_goes_with_its_keeper(bench: Bench, end: str) -> None:  # noqa: F811
    """And a pod's shim with its container does not."""
    held = (await bench.sandbox()).pid
    running = await bench.start("sleep", "1000")
    waiting = await spare(bench)
    waited = [pid for pid, parent in processes(bench).items() if waiting in (pid, parent)]
    socket = bench.folder / "run" / "keeper.sock"
    if end == "kill":
        os.kill((await client.request(socket, "hello"))["pid"], signal.SIGKILL)
    else:
        await client.request(socket, end)
    await bench.until(lambda: not set(waited) & set(processes(bench)))
    assert held in processes(bench)
    os.kill(running.pid, 0)


async def test_a_container_sees_what_was_mounted_meanwhile(bench: Bench, tmp_path: pathlib.Path) -> None:  # noqa: F811
    if bench.mode != "root":
        pytest.skip("only root mounts on the machine")
    place = tmp_path / "place"
    place.mkdir()
    await bench.sandbox()
    await spare(bench)
    linux.mount("tmpfs", str(place), "tmpfs")
    try:
        (place / "file").write_text("new\n")
        await bench.sandbox(PEER)
        await bench.start("cat", "/seen/file", uid=PEER, mounts=(types.Mount(str(place), "/seen"),))
        await bench.ended(PEER)
        assert bench.log(PEER) == ["new"]
    finally:
        linux.unmount(str(place))
