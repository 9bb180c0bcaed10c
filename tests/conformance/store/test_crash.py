"""SIGKILL at random points while a process writes: everything acknowledged is there, nothing is half there.

20 kills; JOURNAL_KILLS sets another number. A failure names the seed.
"""

import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reconciler.kit.clock import VirtualClock
from reconciler.store.local import LocalJournal
from tests.conformance.store import victim

KILLS = int(os.environ.get("JOURNAL_KILLS", "20"))


@dataclass
class Known:
    """What was acknowledged over all lives of the journal."""

    values: dict[str, str | None] = field(default_factory=dict)  # durable ones
    tries: dict[int, dict[str, str | None]] = field(default_factory=dict)  # what each writer was doing when it was killed
    revisions: set[int] = field(default_factory=set)
    start: int = 0

    def learn(self, fact: dict[str, Any]) -> None:
        if "start" in fact:
            assert fact["start"] >= self.start
            self.start = fact["start"]
            return
        if "tries" in fact:
            self.tries[fact["writer"]] = fact["tries"]
            return
        assert fact["revision"] not in self.revisions, "a revision was used twice"
        self.revisions.add(fact["revision"])
        if fact["durable"]:
            self.values[fact["key"]] = fact["value"]


def run_and_kill(folder: Path, seed: int, acknowledgements: int) -> list[dict[str, Any]]:
    """What a victim said before it was killed after so many acknowledgements, and in the instant after."""
    program = [sys.executable, "-m", "tests.conformance.store.victim", str(folder), str(seed)]
    root = Path(__file__).parents[3]
    child = subprocess.Popen(program, stdout=subprocess.PIPE, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(1 + acknowledgements)]
    child.kill()
    rest, _ = child.communicate()
    lines += rest.splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


async def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    known = Known()
    for kill in range(KILLS):
        note = f"seed {seed}, kill {kill}"
        for fact in run_and_kill(tmp_path, chance.randrange(1 << 32), chance.choice((0, 1, 10, 100, 1000, 3000))):
            known.learn(fact)
        await check(tmp_path, known, note)


async def check(folder: Path, known: Known, note: str) -> None:
    journal = await LocalJournal.open(folder, VirtualClock())
    assert journal.revision > max(known.revisions, default=0), note
    found = {entry.key: entry.value for entry in (await journal.range("")).entries}
    for key in {*known.values, *found, *(key for tries in known.tries.values() for key in tries)}:
        tries = known.tries.get(int(key[1]), {})
        stored = found.get(key)
        value = None if stored is None else stored[:20].decode()
        assert value == known.values.get(key) or (key in tries and value == tries[key]), f"{note}: {key}"
        known.values[key] = value
    for writer in range(victim.WRITERS):
        assert found.get(f"w{writer}/left") == found.get(f"w{writer}/right"), f"{note}: half a transaction"
    for key in found:
        assert await journal.provenance(key), note
    known.tries.clear()
    await journal.close()
