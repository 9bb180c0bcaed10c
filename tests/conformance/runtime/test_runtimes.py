"""One suite for every runtime: whatever runs containers must do this. Modes that this machine forbids are skipped."""

import asyncio
import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from reconciler.node.keeper import client, launch
from reconciler.node.runtimes import process, types

MODES = ("root", "userns", "plain")
STRENGTH = {mode: -n for n, mode in enumerate(MODES)}
PATIENCE_SECONDS = 20.0
UID = f"u{os.getpid()}"  # names control groups, which the whole machine shares


class Bench:
    """A runtime with its folders, and what it told."""

    def __init__(self, folder: pathlib.Path, mode: Any) -> None:
        self.folder = folder
        self.mode = mode
        self.told: list[str] = []
        settings = process.Settings(run_dir=folder / "run", data_dir=folder / "data", mode=mode)
        self.runtime = process.ProcessRuntime(settings)
        self.settings = settings

    async def sandbox(self, uid: str = UID, **more: Any) -> types.Sandbox:
        spec = types.SandboxSpec(uid=uid, namespace="default", name=uid, hostname=uid, log_dir=self.folder / "logs" / uid, **more)
        return await self.runtime.start_sandbox(spec)

    async def start(self, *command: str, uid: str = UID, attempt: int = 0, name: str = "main", **more: Any) -> types.Container:
        spec = types.ContainerSpec(name=name, attempt=attempt, image="host", command=command, **more)
        return await self.runtime.start_container(uid, spec)

    def container(self, uid: str = UID, name: str = "main") -> types.Container:
        found = self.runtime.sandboxes()[uid].latest(name)
        assert found is not None
        return found

    async def ended(self, uid: str = UID, name: str = "main") -> types.Container:
        await self.until(lambda: self.container(uid, name).state not in ("created", "running"))
        return self.container(uid, name)

    async def until(self, fulfilled: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not fulfilled():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.005)

    def log(self, uid: str = UID, name: str = "main", attempt: int = 0) -> list[str]:
        path = self.runtime.log_path(uid, name, attempt)
        assert path is not None
        return [line.split(" ", 3)[3] for line in path.read_text().splitlines()]


@pytest.fixture(params=MODES)
async def bench(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> AsyncIterator[Bench]:
    async with opened(tmp_path, request.param) as made:
        abilities = (await client.request(tmp_path / "run" / "keeper.sock", "hello"))["abilities"]
        if STRENGTH[abilities["mode"]] < STRENGTH[request.param]:
            pytest.skip(f"this machine allows no more than {abilities['mode']}")
        yield made


@contextlib.asynccontextmanager
async def opened(folder: pathlib.Path, mode: str) -> AsyncIterator[Bench]:
    made = Bench(folder, mode)
    await made.runtime.open(made.told.append)
    try:
        yield made
    finally:
        await made.runtime.close()
        await launch.stop_all(folder / "run")


async def test_runs_logs_and_tells_the_end(bench: Bench) -> None:
    await bench.sandbox()
    started = await bench.start("sh", "-c", "echo out; echo err >&2; echo $GREETING; exit 3", env=(("GREETING", "hi"),))
    assert started.state in ("running", "exited")
    ended = await bench.ended()
    assert (ended.state, ended.exit_code, ended.signal) == ("exited", 3, 0)
    assert sorted(bench.log()) == ["err", "hi", "out"]
    assert 0 < ended.started_at <= ended.finished_at
    assert UID in bench.told


async def test_an_attempt_starts_once(bench: Bench) -> None:
    await bench.sandbox()
    script = "echo x; sleep 1000"
    first, second = await asyncio.gather(bench.start("sh", "-c", script), bench.start("sh", "-c", script))
    assert first.pid == second.pid
    assert (await bench.start("sh", "-c", script)).pid == first.pid
    await bench.until(lambda: bench.log())
    await bench.runtime.signal(UID, "main", 0, "KILL")
    assert (await bench.ended()).signal == 9
    again = await bench.start("sh", "-c", script)
    assert again.state == "exited"
    assert bench.log() == ["x"]
    assert (await bench.sandbox()).containers[0].state == "exited"


async def test_signals_and_what_is_left_behind(bench: Bench) -> None:
    await bench.sandbox()
    started = await bench.start("sh", "-c", "trap 'echo term; exit 0' TERM; sleep 1000 & echo $!; while :; do sleep 0.02; done")
    await bench.until(lambda: bench.log())
    children = _descendants(started.pid)
    await bench.runtime.signal(UID, "main", 0, "TERM")
    assert (await bench.ended()).exit_code == 0
    assert bench.log()[-1] == "term"
    await bench.runtime.signal(UID, "main", 0, "KILL")
    await bench.until(lambda: not any(map(_lives, children)))


async def test_a_program_that_is_not_there(bench: Bench) -> None:
    await bench.sandbox()
    failed = await bench.start("no-such-program")
    assert (failed.state, failed.reason, failed.exit_code) == ("exited", "StartError", 128)
    assert "executable file not found" in failed.message
    assert (await bench.ended()).reason == "StartError"


async def test_programs_beside_a_container(bench: Bench) -> None:
    await bench.sandbox()
    await bench.start("sleep", "1000", env=(("COLOUR", "red"),))
    result = await bench.runtime.exec(UID, "main", ["sh", "-c", "echo $COLOUR; exit 4"], timeout_seconds=10)
    assert (result.exit_code, result.output) == (4, b"red\n")
    slow = await bench.runtime.exec(UID, "main", ["sh", "-c", "echo begun; sleep 1000"], timeout_seconds=1.5)
    assert (slow.timed_out, slow.output) == (True, b"begun\n")
    long = await bench.runtime.exec(UID, "main", ["sh", "-c", "head -c 100000 /dev/zero"], timeout_seconds=10, limit_bytes=10)
    assert (long.exit_code, len(long.output)) == (0, 10)
    with pytest.raises(types.RuntimeFailure, match="executable file not found"):
        await bench.runtime.exec(UID, "main", ["no-such-program"], timeout_seconds=10)
    with pytest.raises(types.RuntimeFailure, match="is not running"):
        await bench.runtime.exec(UID, "other", ["true"], timeout_seconds=10)


async def test_a_terminal(bench: Bench) -> None:
    await bench.sandbox()
    await bench.start("sh", "-c", "test -t 1 && echo terminal; exit 0", tty=True)
    await bench.ended()
    assert bench.log() == ["terminal"]


async def test_adoption(bench: Bench) -> None:
    await bench.sandbox()
    running = await bench.start("sleep", "1000")
    await bench.runtime.close()
    bench.runtime = process.ProcessRuntime(bench.settings)
    await bench.runtime.open(bench.told.append)
    assert bench.container() == dataclasses.replace(running)
    os.kill(running.pid, 9)
    assert (await bench.ended()).exit_code == 137


async def test_removing_leaves_nothing(bench: Bench) -> None:
    sandbox = await bench.sandbox()
    running = await bench.start("sleep", "1000")
    await bench.start("true", name="other")
    await bench.ended(name="other")
    await bench.runtime.remove_container(UID, "other", 0)
    assert bench.runtime.sandboxes()[UID].latest("other") is None
    await bench.runtime.stop_sandbox(UID)
    await bench.until(lambda: not bench.runtime.sandboxes()[UID].ready)
    assert bench.log() == []
    await bench.until(lambda: bench.container().state == "exited")
    await bench.runtime.remove_sandbox(UID)
    await bench.runtime.remove_sandbox(UID)
    assert bench.runtime.sandboxes() == {}
    assert not _lives(running.pid)
    assert not _lives(sandbox.pid)
    assert not any((bench.folder / "run" / "pods").iterdir())
    assert _groups(f"pod-{UID}") == []


async def test_sockets_inside_a_pod(bench: Bench) -> None:
    await bench.sandbox()
    listening = await bench.runtime.open_socket(UID, bind=("127.0.0.1", 0))
    os.close(listening)
    with pytest.raises(types.RuntimeFailure):
        await bench.runtime.open_socket(UID, bind=("203.0.113.1", 80))


async def test_isolation(bench: Bench) -> None:
    if bench.mode == "plain":
        pytest.skip("plain processes are not isolated")
    secret = bench.folder / "data" / "secret"
    secret.parent.mkdir(exist_ok=True)
    secret.write_text("x")
    await bench.sandbox()
    script = f"exec 2>&1; cat /etc/shadow; ls /root /home; ls {secret}; hostname; "
    script += "touch /new /dev/shm/x && echo writable; echo $$; "
    script += "grep -E 'NoNewPrivs|Seccomp:|CapEff' /proc/self/status; mount -t tmpfs none /mnt || echo refused; "
    script += "echo 1 > /proc/sys/vm/swappiness || echo ro"
    await bench.start("sh", "-c", script)
    await bench.ended()
    text = "\n".join(bench.log())
    assert f"{UID}\nwritable\n1\n" in text
    assert all(part in text for part in ("NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t00000000a80425fb", "refused", "ro"))
    assert ":99999:" not in text  # a line of the shadow file
    assert not os.path.exists("/new")  # noqa: ASYNC240


async def test_mounts(bench: Bench) -> None:
    folder = bench.folder / "volume"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_text("content\n")
    target = str(bench.folder / "mounted" / "here")
    await bench.sandbox()
    await bench.start("cat", f"{target}/file", mounts=(types.Mount(str(folder), target, sub_path="sub"),))
    assert (await bench.ended()).exit_code == 0
    assert bench.log() == ["content"]


async def test_links_in_a_volume_do_not_lead_out(bench: Bench) -> None:
    if bench.mode == "plain":
        pytest.skip("plain processes are not isolated")
    folder = bench.folder / "volume"
    folder.mkdir()
    (folder / "out").symlink_to("/")
    await bench.sandbox()
    failed = await bench.start("ls", "/mounted", mounts=(types.Mount(str(folder), "/mounted", sub_path="out/etc"),))
    assert (failed.state, failed.reason) == ("exited", "CreateContainerError")


def _lives(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _groups(name: str) -> list[pathlib.Path]:
    return list(pathlib.Path("/sys/fs/cgroup").glob(f"**/{name}"))


def _descendants(pid: int) -> list[int]:
    children = [int(one) for one in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(deeper for child in children for deeper in _descendants(child))]


async def test_what_stands_in_for_mounts_goes_with_the_pod(tmp_path: pathlib.Path) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / "word").write_text("here")
    target = tmp_path / "made" / "for" / "it"
    mounts = (types.Mount(str(tmp_path / "volume"), str(target)),)
    async with opened(tmp_path, "plain") as bench:
        await bench.sandbox()
        await bench.sandbox(UID + "-2")
        await bench.start("cat", f"{target}/word", mounts=mounts)
        await bench.ended()
        await bench.start("cat", f"{target}/word", attempt=1, mounts=mounts)
        await bench.ended()
        assert bench.log() == bench.log(attempt=1) == ["here"]
        with pytest.raises(types.RuntimeFailure, match="another volume is there"):
            await bench.start("true", uid=UID + "-2", mounts=(types.Mount(str(tmp_path), str(target)),))
        await bench.runtime.remove_container(UID, "main", 0)
        assert target.is_symlink()
        await bench.runtime.remove_sandbox(UID)
        assert not (tmp_path / "made").exists()
        assert (tmp_path / "volume" / "word").exists()


async def test_seccomp_profiles(bench: Bench) -> None:
    folder = bench.folder / "data" / "seccomp"
    folder.mkdir(parents=True)
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}
    (folder / "no-folders.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    await bench.sandbox()
    local = types.Security(seccomp="Localhost", seccomp_profile="no-folders.json")
    await bench.start("mkdir", "/tmp/never", name="local", security=local)
    assert (await bench.ended(name="local")).exit_code == 1
    assert "Operation not supported" in bench.log(name="local")[0]
    with pytest.raises(types.RuntimeFailure, match=r"gone\.json") as failure:
        await bench.start("true", name="gone", security=types.Security(seccomp="Localhost", seccomp_profile="gone.json"))
    assert failure.value.reason == "CreateContainerError"
    if bench.mode != "plain":
        status = ("grep", "Seccomp:", "/proc/self/status")
        await bench.start(*status, name="default")
        await bench.start(*status, name="free", security=types.Security(seccomp="Unconfined"))
        await bench.ended(name="default")
        await bench.ended(name="free")
        assert (bench.log(name="default"), bench.log(name="free")) == (["Seccomp:\t2"], ["Seccomp:\t0"])


async def test_what_a_container_writes_is_in_its_layer(bench: Bench) -> None:
    if bench.mode == "plain":
        pytest.skip("its root is the host's own")
    await bench.sandbox()
    await bench.start("sh", "-c", "echo kept > /var/lib/written-by-a-container")
    await bench.ended()
    layer = bench.runtime.layer_path(UID, "main", 0)
    assert layer is not None
    assert [path.read_text() for path in layer.rglob("written-by-a-container")] == ["kept\n"]
