"""The examples by which Kubernetes' documentation explains each kind, written anew, converge on simulated nodes.

A file of textbook/ holds the objects, and in comments what becomes of them within an hour of virtual time:

    # expect KIND NAMESPACE/NAME PATH: VALUE      the field at PATH has the VALUE; /KEY/ is a key with dots
    # has KIND NAMESPACE/NAME PATH                the field is there
    # gone KIND NAMESPACE/NAME                    the object was there and is no more
    # count KIND NAMESPACE SELECTOR: NUMBER       so many objects have the labels
"""

import pathlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from ruamel.yaml import YAML

from reconciler.client import protocol
from reconciler.foresight import virtual, world
from reconciler.loop.cache import Cache
from reconciler.model import meta, plan, selectors

EXAMPLES = sorted(pathlib.Path(__file__).with_name("textbook").glob("*.yaml"))
ORIGIN = protocol.Origin(actor="user/reader")
START = 1_767_225_600.0
LIMIT_SECONDS = 3600
Check = Callable[[Cache], bool]


@pytest.mark.parametrize("example", EXAMPLES, ids=[one.stem for one in EXAMPLES])
def test_an_example_converges(example: pathlib.Path) -> None:
    text = example.read_text()
    wanted = re.findall(r"^# (?:expect|has|gone|count) .*$", text, re.MULTILINE)
    assert wanted
    assert not virtual.run(_left_over(text, wanted)), "after an hour this is still not so"


async def _left_over(text: str, wanted: list[str]) -> list[str]:
    """Apply the objects, and return what has not come true in time."""
    clock = virtual.Clock(START)
    async with world.running(world.Beginning(now=START, nodes=3), clock) as made:
        await clock.sleep(2)  # the namespaces have their accounts
        client = made.client("kubectl")
        for document in YAML(typ="safe").load_all(text):
            kind = made.cache.roster.of_object(document["apiVersion"], document["kind"])
            assert kind is not None
            if kind.namespaced:
                document["metadata"].setdefault("namespace", "default")
            await client.perform(plan.Create(kind=kind.id, body=document, why="the book says so"), ORIGIN)
        checks = {line: _check(line) for line in wanted}
        for _ in range(LIMIT_SECONDS):
            await clock.sleep(1)
            left = [line for line, holds in checks.items() if not holds(made.cache)]
            if not left:
                break
        return left


def _check(line: str) -> Check:
    verb, kind, *rest = line.removeprefix("# ").split(" ", 3)
    if verb == "count":
        labels, _, number = rest[1].partition(":")
        selector = selectors.from_labels(dict([labels.split("=")]))
        return lambda cache: len(list(cache.select(kind, rest[0], selector))) == int(number)
    namespace, _, name = rest[0].partition("/")
    if verb == "gone":
        seen: set[str] = set()
        return lambda cache: _is_gone(cache.get(kind, namespace, name), seen)
    path, colon, text = rest[1].partition(": ")
    value = YAML(typ="safe").load(text) if colon else None

    def holds(cache: Cache) -> bool:
        obj = cache.get(kind, namespace, name)
        found = _field(obj, path) if obj is not None else None
        return found == value if colon else bool(found)

    return holds


def _is_gone(obj: meta.Obj | None, seen: set[str]) -> bool:
    seen.update([meta.uid(obj)] if obj is not None else [])
    return obj is None and bool(seen)


def _field(value: Any, path: str) -> Any:
    for key in re.findall(r"/([^/]+(?:/[^/]+)*)/|([^.]+)", path):
        name = key[0] or key[1]
        if isinstance(value, list | tuple):
            value = value[int(name)] if int(name) < len(value) else None
        else:
            value = (value or {}).get(name)
    return value
