"""A folder of 5,000 objects in 1,000 files: its first sync, one saved file among them, and a look at everything."""

import asyncio
import os
import pathlib
import tempfile
import time
from collections.abc import Iterator

from reconciler.gitops import load, marks, wanted
from reconciler.gitops import plan as gitops
from tests import servers
from tests.bench import Row
from tests.bench._api import Api
from tests.unit.gitops.world import running

FILES, PER_FILE, SAVES, CHECKS = 1000, 5, 40, 3
OBJECTS = FILES * PER_FILE
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c-{file}-{number}}}\ndata: {{value: '{value}', more: text}}\n"
LIST = "/api/v1/namespaces/default/configmaps"


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="bench-") as top:
        folder = pathlib.Path(top)
        for number in range(FILES):
            _write(folder, number, 0)
        yield from _served(folder)
        checks, writes = asyncio.run(_checked(folder, _read(folder)))
        yield Row(f"full drift check of {OBJECTS} objects, CPU", "s", checks, "<= 1")
        yield Row("  ... writes", "", writes, "0")


def _write(folder: pathlib.Path, file: int, value: int) -> None:
    directory = folder / f"app-{file % 50}"
    directory.mkdir(exist_ok=True)
    text = "---\n".join(CONFIG.format(file=file, number=number, value=value) for number in range(PER_FILE))
    (directory / f"{file}.yaml").write_text(text)


def _served(folder: pathlib.Path) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="bench-") as top:
        began = time.monotonic()
        words = ("--runtime", "none", "--metrics-listen", "127.0.0.1:0", "--listen", "127.0.0.1:0")
        server = servers.start(folder, pathlib.Path(top) / "data", *words)
        try:
            api = Api(server)
            servers.eventually(lambda: _count(api) == OBJECTS, 120)
            first = time.monotonic() - began
            yield Row(f"first sync of {OBJECTS} objects in {FILES} files, from starting", "s", [first], "<= 6", "Flux: about 300")
            yield Row("  ... CPU of the daemon", "s", [_cpu_seconds(server)])
            time.sleep(3)  # for what follows the first sync to end
            before = _cpu_seconds(server)
            saves = [_save(folder, api, number) * 1000 for number in range(SAVES)]
            yield Row(f"one changed file among {OBJECTS} objects: save to applied", "ms", saves, "p50 <= 40")
            yield Row("  ... CPU of the daemon, all told", "ms", [(_cpu_seconds(server) - before) / SAVES * 1000])
        finally:
            server.stop()


def _cpu_seconds(server: servers.Server) -> float:
    fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _read(folder: pathlib.Path) -> list[load.File]:
    return [load.parse(str(path.relative_to(folder)), path.read_bytes()) for path in folder.rglob("*.yaml")]


def _count(api: Api) -> int:
    found = api.get(f"{LIST}?limit=1")
    return len(found["items"]) + int(found["metadata"].get("remainingItemCount", 0)) - 1  # kube-root-ca.crt


def _save(folder: pathlib.Path, api: Api, number: int) -> float:
    """Seconds from saving a file until its last object says so."""
    file = number * 7 % FILES
    began = time.monotonic()
    _write(folder, file, number + 1)
    while api.get(f"{LIST}/c-{file}-{PER_FILE - 1}")["data"]["value"] != str(number + 1):
        time.sleep(0.001)
    took = time.monotonic() - began
    time.sleep(0.2)
    return took


async def _checked(folder: pathlib.Path, files: list[load.File]) -> tuple[list[float], list[float]]:
    """CPU seconds of deciding on every object afresh, and how many writes that would make."""
    async with running(folder) as world:
        resolved = wanted.Resolver(world.cache.roster).resolve(files)
        context = gitops.Context(
            view=world.cache, roster=world.cache.roster, wanted=resolved, sync="default", ownership=marks.Ownership(world.api.schemas)
        )
        took, writes = [], []
        for _ in range(CHECKS):
            began = time.process_time()
            decision = gitops.applies(context, resolved.documents)
            took.append(time.process_time() - began)
            writes.append(float(len(decision.todo.actions)))
        return took, writes
