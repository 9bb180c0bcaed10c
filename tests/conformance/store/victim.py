"""The program that the crash test kills: it writes as fast as it can and says what was acknowledged.

Each line on standard output is JSON and written at once: {"start": R}, the revision found at start; {"writer", "tries"}
before a durable write, with the value of each key, null for a removal; {"key", "value", "revision", "durable"} after the
acknowledgement.
"""

import asyncio
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

from reconciler.kit.clock import SystemClock
from reconciler.store import checkpoint
from reconciler.store.local import LocalJournal
from reconciler.store.types import Durability, Entry, Provenance, Put, Remove

WRITERS = 8
KEYS = 6  # per writer, so that keys have one writer each


def say(fact: dict[str, Any]) -> None:
    os.write(1, json.dumps(fact).encode() + b"\n")


def report(entry: Entry, durable: bool) -> None:
    value = None if entry.value is None else entry.value[:20].decode()
    say({"key": entry.key, "value": value, "revision": entry.mod_revision, "durable": durable})


async def write(journal: LocalJournal, writer: int, chance: random.Random) -> None:
    number = 0
    while True:
        number += 1
        key = f"w{writer}/{chance.randrange(KEYS)}"
        value = f"{os.getpid()}.{number}".encode().ljust(20) + bytes(chance.choice((10, 1000, 20_000)))
        what = chance.random()
        durable = what >= 0.2
        operations: list[Put | Remove] = [Put(key, value, durability=Durability.DURABLE if durable else Durability.VOLATILE)]
        if what > 0.9:
            operations = [Remove(key)]
        elif what > 0.6:  # two keys that must never be seen apart
            operations = [Put(f"w{writer}/left", value), Put(f"w{writer}/right", value)]
        if durable:
            tries = {operation.key: None if isinstance(operation, Remove) else operation.value[:20].decode() for operation in operations}
            say({"writer": writer, "tries": tries})
        for entry in await journal.commit(operations, Provenance(f"writer/{writer}")):
            report(entry, durable)


async def compact(journal: LocalJournal) -> None:
    while True:
        revision = journal.revision
        await journal.compact(revision)
        await asyncio.sleep(0.01)


async def main(folder: Path, seed: int) -> None:
    checkpoint.NUDGE_BYTES = 200_000
    checkpoint.LIMIT_FRAMES = 200
    journal = await LocalJournal.open(folder, SystemClock())
    say({"start": journal.revision})
    chance = random.Random(seed)
    await asyncio.gather(compact(journal), *(write(journal, writer, chance) for writer in range(WRITERS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
