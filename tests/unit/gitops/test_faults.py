"""Folders that are in a bad way while they are read: it converges, and nothing is pruned that is still meant."""

import asyncio
import os
import pathlib
import threading
from typing import Any

import pytest

from reconciler.gitops import watch
from tests.unit.gitops.world import World, config, running


def live(world: World, name: str) -> Any:
    return world.cache.get("configmaps", "default", name)


def uids(world: World, names: list[str]) -> dict[str, str]:
    return {name: live(world, name)["metadata"]["uid"] for name in names}


async def test_a_checkout_that_changes_while_it_is_read_recreates_nothing(tmp_path: pathlib.Path) -> None:
    """Two branches take turns: the same objects in files of other names."""
    names = [f"c-{number}" for number in range(60)]
    for name in names:
        (tmp_path / f"one-{name}.yaml").write_text(config(name, "1"))
    async with running(tmp_path) as world:
        before = uids(world, names)
        stop = threading.Event()

        def switch() -> None:
            turn = 0
            while not stop.is_set() and turn < 6:
                turn += 1
                for name in names:
                    old, new = ("one", "two") if turn % 2 else ("two", "one")
                    os.rename(tmp_path / f"{old}-{name}.yaml", tmp_path / f"{new}-{name}.yaml")

        await asyncio.to_thread(switch)
        stop.set()
        source = "reconciler.dev/source"
        await world.until(lambda: all(live(world, one)["metadata"]["annotations"][source] == f"one-{one}.yaml" for one in names), "the end")
        assert uids(world, names) == before


async def test_half_a_file_prunes_nothing(tmp_path: pathlib.Path) -> None:
    """A slow writer: what is not written yet is missing for longer than pruning waits, and the file ends in the middle."""
    whole = config("a", "1") + "---\n" + config("b", "1") + "---\n" + config("c", "1")
    (tmp_path / "all.yaml").write_text(whole)
    async with running(tmp_path) as world:
        before = uids(world, ["a", "b", "c"])
        cut = whole.index("name: c}") + 6
        (tmp_path / "all.yaml").write_text(whole[:cut])
        await world.until(lambda: world.errors(), "the broken end to be told")
        await world.until(lambda: (world.condition("Pruned") or ("",) * 3)[1] == "PruneHeld", "what was below it to be kept")
        (tmp_path / "all.yaml").write_text(whole)
        await world.until(lambda: not world.errors(), "the rest")
        assert uids(world, ["a", "b", "c"]) == before


async def test_editors_leavings_are_no_documents(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path) as world:
        for name in (".a.yaml.swp", ".a.yaml.swx", "a.yaml~", "#a.yaml#", ".#a.yaml", "4913", "a.yaml.orig", ".git/x.yaml"):
            world.write(name, config("leaving"))
        world.write("a.yaml", config("a", "1"))
        await world.until(lambda: live(world, "a"), "the file itself")
        assert live(world, "leaving") is None
        assert world.errors() == []


FLOOD_SECONDS = 240.0  # at most, on a busy machine


async def test_ten_thousand_files_at_once_while_events_are_lost(tmp_path: pathlib.Path, monkeypatch: Any) -> None:
    """As when the kernel's queue overflows: hints are missing, looking from time to time finds everything."""
    monkeypatch.setattr(watch._News, "add", lambda self: None)
    count = 10_000
    async with running(tmp_path) as world:
        await asyncio.to_thread(_flood, tmp_path, count)
        await world.until(lambda: _kept(world) == count, "all of them", FLOOD_SECONDS)
        await world.until(lambda: [error.partition(":")[0] for error in world.errors()] == ["9/bad.yaml"], "the broken one to be told")
        (tmp_path / "9/bad.yaml").unlink()
        for number in range(300):
            (tmp_path / f"{number % 100}/{number}.yaml").unlink()
        await world.until(lambda: _kept(world) == count - 300, "the pruning", FLOOD_SECONDS)
        assert live(world, "c-299") is None
        assert live(world, "c-300")


def _flood(root: pathlib.Path, count: int) -> None:
    for number in range(100):
        (root / str(number)).mkdir()
    for number in range(count):
        (root / f"{number % 100}/{number}.yaml").write_text(config(f"c-{number}"))
    (root / "9/bad.yaml").write_text("kind: [")


def _kept(world: World) -> int:
    return sum(1 for one in world.cache.every("configmaps") if one["metadata"]["name"].startswith("c-"))


@pytest.mark.parametrize("jump_seconds", [-50 * 365 * 86400.0, 365 * 86400.0])
async def test_clocks_that_jump(tmp_path: pathlib.Path, jump_seconds: float) -> None:
    """A board that boots in 1970 and learns the time, or the other way round: nothing is written for it, and saves are seen."""
    (tmp_path / "a.yaml").write_text(config("a", "1"))
    (tmp_path / "b.yaml").write_text(config("b", "1"))
    async with running(tmp_path) as world:
        writes = len(world.writes)
        world.clock.offset_seconds = jump_seconds
        world.write("a.yaml", config("a", "2"))
        os.utime(tmp_path / "a.yaml", (1.0, 1.0))
        await world.until(lambda: live(world, "a")["data"] == {"k": "2"}, "a save with an old date")
        world.clock.offset_seconds = 0.0
        world.write("b.yaml", config("b", "2"))
        os.utime(tmp_path / "b.yaml", (4e9, 4e9))
        await world.until(lambda: live(world, "b")["data"] == {"k": "2"}, "a save from the future")
        (tmp_path / "b.yaml").unlink()
        await world.until(lambda: live(world, "b") is None, "the pruning")
        assert len(world.writes) == writes + 3


async def test_a_file_that_never_settles_holds_up_no_other(tmp_path: pathlib.Path) -> None:
    """Somebody writes to it on and on: it is read as it is from time to time, and others at once."""
    (tmp_path / "busy.yaml").write_text(config("busy", "0"))
    stop = threading.Event()

    def scribble() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            (tmp_path / "busy.yaml").write_text(config("busy", str(number)))

    async with running(tmp_path) as world:
        scribbling = asyncio.create_task(asyncio.to_thread(scribble))
        try:
            world.write("a.yaml", config("a", "1"))
            await world.until(lambda: live(world, "a"), "the other one")
            await world.until(lambda: live(world, "busy")["data"] != {"k": "0"}, "itself")
        finally:
            stop.set()
            await scribbling
