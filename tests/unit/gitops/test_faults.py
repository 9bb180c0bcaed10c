"""Folders that are in a bad way while they are read: it converges, and nothing is pruned that is still meant."""

import asyncio
import os
import pathlib
import threading
from typing import Any

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


async def test_a_flood_of_files_while_events_are_lost(tmp_path: pathlib.Path, monkeypatch: Any) -> None:
    """As when the kernel's queue overflows: hints are missing, looking from time to time finds everything."""
    monkeypatch.setattr(watch._News, "add", lambda self: None)
    async with running(tmp_path) as world:
        for number in range(1000):
            world.write(f"{number % 20}/{number}.yaml", config(f"c-{number}"))
        await world.until(lambda: all(live(world, f"c-{number}") for number in range(1000)), "all of them")
        for number in range(990):
            (tmp_path / f"{number % 20}/{number}.yaml").unlink()
        await world.until(lambda: live(world, "c-0") is None and live(world, "c-989") is None, "the pruning")
        assert all(live(world, f"c-{number}") for number in range(990, 1000))
