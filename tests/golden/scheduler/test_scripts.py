"""Runs the scripts beside this file: a small cluster, pods in turn, and what becomes of them.

A script is lines of words; `#` begins a comment, a blank line a new cluster. Words are `key=value`, values JSON where
they look like it.

    node NAME [cpu=4] [memory=8Gi] [pods=110] [labels={..}] [taints=[..]] [unschedulable=true] [images=[..]]
    on NODE NAME [cpu=..] [memory=..] [labels={..}] [spec={..}] [deleting=true]     a pod that is there already
    object {..}                                                                     anything else, as JSON
    args {..}                     what the profile gives its plugins, by their names; before the first pod
    pod NAME [cpu=..] [memory=..] [labels={..}] [spec={..}] -> NODE | NODE:VICTIM,VICTIM | "message"

After `->` stands the node, the nominated node with its victims, or (the beginning of) the message of refusal. Node
names are compared with `|` between them where several are right.
"""

import json
import pathlib
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.scheduler import plan as decisions
from tests.unit.scheduler import world

HERE = pathlib.Path(__file__).parent


def sections() -> Iterator[Any]:
    for path in sorted(HERE.glob("*.txt")):
        lines: list[str] = []
        for number, line in enumerate([*path.read_text().splitlines(), ""], 1):
            if line.strip():
                lines.append(line)
            elif lines:
                title = next((one.removeprefix("#").strip() for one in lines if one.startswith("#")), f"line {number}")
                yield pytest.param(lines, id=f"{path.stem}: {title}")
                lines = []


def value(text: str) -> Any:
    return json.loads(text) if text[:1] in "[{" or text in ("true", "false") else text


def options(words: list[str]) -> dict[str, Any]:
    return {key: value(text) for key, _, text in (word.partition("=") for word in words)}


def make_pod(name: str, more: dict[str, Any]) -> dict[str, Any]:
    asked = {key: more.pop(key) for key in list(more) if key in ("cpu", "memory") or "/" in key}
    return world.pod(name, asked, **{**more.pop("spec", {}), **more})


def said(decision: decisions.Decision) -> str:
    if isinstance(decision, decisions.Placed):
        return decision.node
    if decision.victims:
        return f"{decision.nominated}:{','.join(victim['metadata']['name'] for victim in decision.victims)}"
    return decision.message


@pytest.mark.parametrize("lines", list(sections()))
def test_script(lines: list[str]) -> None:
    made = world.World([world.namespace("default")])
    planner: decisions.Planner | None = None
    for line in lines:
        if line.startswith("#"):
            continue
        if line.startswith("object "):
            made.add(json.loads(line.removeprefix("object ")))
            continue
        if line.startswith("args "):
            made.arguments = json.loads(line.removeprefix("args "))
            continue
        before, _, expected = line.partition(" -> ")
        verb, *words = shlex.split(before.replace('"', '\\"'))
        if verb == "node":
            made.add(world.node(words[0], **options(words[1:])))
        elif verb == "on":
            made.add(make_pod(words[1], {**options(words[2:]), "on": words[0]}))
        else:
            planner = planner or made.planner()
            found = said(planner.place(make_pod(words[0], options(words[1:]))))
            wanted = expected.strip()
            if wanted.startswith('"'):
                assert found.startswith(wanted.strip('"')), f"{line}\n{found}"
            else:
                assert found in wanted.split("|"), f"{line}\n{found}"
