"""Golden scripts of a node that runs short: what it says and whom it ends, pass by pass.

A script holds cases, each "=== TITLE" and commands:

    > settings {..}         the arguments of thresholds.settings, none where they are left out
    > pod NAME {..}         priority, grace, requests and limits of its container c, limit of one beside it, sizes of its volumes;
                            and what it uses: memory, written (by c), files (how many these are), filled (volumes), processes,
                            or unmeasured
    > gone NAME
    > at SECONDS {..}       a pass that sees SIGNAL: "AVAILABLE/CAPACITY"; below it conditions, event and the evicted pod
    > limits                below it the pods that hold more than they may

`GOLDEN=write pytest tests/golden/eviction` writes what is decided into the scripts; read the difference before it is kept.
"""

import json
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.model import meta, quantity
from reconciler.node.eviction import choice, plan, thresholds
from tests.golden import commands

HERE = pathlib.Path(__file__).parent
NOTHING: dict[str, Any] = {"hard": {}, "soft": {}, "soft_grace": {}, "minimum_reclaim": {}}


def cases() -> Iterator[Any]:
    for script in sorted(HERE.glob("*.txt")):
        for text in re.split(r"^=== ", script.read_text(), flags=re.MULTILINE)[1:]:
            title, _, body = text.partition("\n")
            yield pytest.param(script, body, id=f"{script.stem}: {title}")


class Node:
    def __init__(self) -> None:
        self.settings = thresholds.NEVER
        self.past = plan.Past()
        self.candidates: dict[str, choice.Candidate] = {}

    def run(self, command: str) -> str:
        verb, _, rest = command.partition(" ")
        if verb == "settings":
            self.settings = thresholds.settings(**{**NOTHING, **json.loads(rest)})
        elif verb == "pod":
            name, _, given = rest.partition(" ")
            self.candidates[name] = candidate(name, json.loads(given or "{}"))
        elif verb == "gone":
            del self.candidates[rest]
        elif verb == "at":
            at, _, seen = rest.partition(" ")
            return "".join(self.look(float(at), json.loads(seen)))
        elif verb == "limits":
            return "".join(map(said, choice.over_limits(self.candidates.values()))) or "nobody\n"
        return ""

    def look(self, at: float, seen: dict[str, str]) -> Iterator[str]:
        figures = {signal: [quantity.value(part) for part in text.split("/")] for signal, text in seen.items()}
        observed = {signal: plan.Observed(capacity, available) for signal, (available, capacity) in figures.items()}
        found = plan.assess(self.settings, observed, self.past, at)
        self.past = found.past
        yield from (f"{condition}: {message}\n" for condition, message in found.conditions.items())
        if not found.due:
            yield "" if found.conditions else "calm\n"
            return
        yield f"event: {plan.attempt(found.due[0], observed)}\n"
        chosen = choice.of_node(found.due, observed, self.candidates.values(), self.settings)
        yield said(chosen) if chosen is not None else "nobody to evict\n"


def said(eviction: choice.Eviction) -> str:
    mark = ", DisruptionTarget" if eviction.is_disruption else ""
    return f"evict {meta.name(eviction.pod)} ({eviction.signal}, {eviction.grace_seconds:g} s{mark}): {eviction.message.rstrip()}\n"


def candidate(name: str, given: dict[str, Any]) -> choice.Candidate:
    resources = {part: given[part] for part in ("requests", "limits") if part in given}
    beside = [{"name": "beside", "resources": {"limits": {"ephemeral-storage": given["beside"]}}}] if "beside" in given else []
    volumes = [{"name": one, "emptyDir": {"sizeLimit": size} if size else {}} for one, size in given.get("volumes", {}).items()]
    spec = {
        "priority": given.get("priority", 0),
        "terminationGracePeriodSeconds": given.get("grace", 30),
        "containers": [{"name": "c", "resources": resources}, *beside],
        "volumes": volumes,
    }
    used = choice.Used(
        memory={"c": quantity.value(given.get("memory", "0"))},
        processes=given.get("processes", 0),
        containers={"c": choice.Space(quantity.value(given.get("written", "0")), given.get("files", 0))},
        volumes={one: choice.Space(quantity.value(size), 1) for one, size in given.get("filled", {}).items()},
    )
    return choice.Candidate({"metadata": {"name": name, "namespace": "ns"}, "spec": spec}, None if given.get("unmeasured") else used)


@pytest.mark.parametrize(("script", "body"), list(cases()))
def test_script(script: pathlib.Path, body: str) -> None:
    node = Node()
    steps = [(command, answer) for command, answer in commands.steps(body) if command]
    found = [(command, node.run(command)) for command, _ in steps]
    if os.environ.get("GOLDEN") == "write":
        text = "".join(f"> {command}\n{answer}" for command, answer in found)
        script.write_text(script.read_text().replace(body, text + ("\n" if body.endswith("\n\n") else "")))
    else:
        assert found == [(command, answer.rstrip("\n") + "\n" if answer.strip() else "") for command, answer in steps]
