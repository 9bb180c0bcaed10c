"""Logs as clients see them."""

import pathlib
from collections.abc import Mapping
from typing import Any

import pytest

from reconciler.api.backend import LogOptions
from reconciler.kit import clock as clocks
from reconciler.model import errors
from reconciler.node import logs
from reconciler.node.runtimes import types
from tests.unit.node.pods import container, pod

T = "2026-01-02T03:04:0{}.000000000Z"


class Runtime:
    def __init__(self, folder: pathlib.Path, *containers: types.Container) -> None:
        self.folder = folder
        self.containers = containers

    def sandboxes(self) -> Mapping[str, types.Sandbox]:
        return {"u1": types.Sandbox(uid="u1", namespace="default", name="web", ready=True, containers=self.containers)}

    def log_path(self, uid: str, name: str, attempt: int) -> pathlib.Path:
        return self.folder / name / f"{attempt}.log"


def write(path: pathlib.Path, *entries: str) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.writelines(entry + "\n" for entry in entries)


async def read(runtime: Any, **options: Any) -> str:
    found = logs.Logs(runtime, clocks.SystemClock()).logs(pod(), "main", LogOptions(**options))
    return b"".join([piece async for piece in found]).decode()


@pytest.fixture
def runtime(tmp_path: pathlib.Path) -> Runtime:
    path = tmp_path / "main" / "1.log"
    write(path.with_name("1.log.20260102-030400.000001"), f"{T.format(1)} stdout F one")
    write(path, f"{T.format(2)} stderr F two", f"{T.format(3)} stdout P thr", f"{T.format(3)} stdout F ee", f"{T.format(4)} stdout F four")
    write(tmp_path / "main" / "0.log", f"{T.format(0)} stdout F before")
    return Runtime(tmp_path, container(state="exited", attempt=0), container(state="exited", attempt=1))


async def test_all_across_rotations(runtime: Runtime) -> None:
    assert await read(runtime) == "one\ntwo\nthree\nfour\n"
    assert await read(runtime, follow=True) == "one\ntwo\nthree\nfour\n"


async def test_options(runtime: Runtime) -> None:
    assert await read(runtime, tail_lines=2) == "three\nfour\n"
    assert await read(runtime, tail_lines=0) == ""
    assert await read(runtime, limit_bytes=5) == "one\nt"
    assert await read(runtime, stream="Stderr") == "two\n"
    assert await read(runtime, previous=True) == "before\n"
    assert await read(runtime, since=clocks.parse_rfc3339("2026-01-02T03:04:03+00:00")) == "three\nfour\n"
    assert await read(runtime, timestamps=True, tail_lines=2) == f"{T.format(3)} three\n{T.format(4)} four\n"


async def test_following_goes_on_over_a_rotation(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "main" / "0.log"
    write(path, f"{T.format(1)} stdout F one")
    runtime = Runtime(tmp_path, container())
    found = logs.Logs(runtime, clocks.SystemClock()).logs(pod(), "main", LogOptions(follow=True))  # type: ignore[arg-type]
    assert await anext(found) == b"one\n"
    write(path, f"{T.format(2)} stdout F two")
    path.rename(path.with_name("0.log.20260102-030402.000001"))
    write(path, f"{T.format(3)} stdout F three")
    runtime.containers = (container(state="exited"),)
    assert b"".join([piece async for piece in found]) == b"two\nthree\n"


async def test_what_has_no_log(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.StatusError, match='container "main" in pod "web" is waiting to start: ContainerCreating'):
        await read(Runtime(tmp_path))
    with pytest.raises(errors.StatusError, match='previous terminated container "main" in pod "web" not found'):
        await read(Runtime(tmp_path, container()), previous=True)
