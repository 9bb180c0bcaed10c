"""Golden scripts: given objects and a time, the expected actions with their reasons.

A script holds cases:

    === what the case shows
    controller NAME          the planner, by its name
    key NAMESPACE/NAME       what is planned, "/NAME" for cluster-wide objects
    now 2026-01-01T00:10:00Z
    --- given                YAML documents; identity that is left out is filled in
    --- expect               one line an action, groups divided by "then"

`GOLDEN=write pytest tests/golden` writes what planners answer into the scripts; read the difference before it is kept.
Planners run with time, randomness, sockets and open replaced by raisers.
"""

import base64
import builtins
import os
import pathlib
import random
import re
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from ruamel.yaml import YAML

from reconciler import controllers, kinds
from reconciler.controllers import measures, signing
from reconciler.kit import clock as clocks
from reconciler.kit import definitions
from reconciler.loop.snapshot import Snapshot
from reconciler.model import meta, plan
from reconciler.model.schema import Schemas

HERE = pathlib.Path(__file__).parent


class Office:
    """Reads requests that say in base64 whom they are for: NAME, or NAME@HOST with a name to serve under."""

    signs = True

    def read(self, packed: str) -> signing.Asked | None:
        name, _, host = base64.b64decode(packed).decode().partition("@")
        return signing.Asked(name, ("system:nodes",) if name.startswith("system:node:") else (), (host,) if host else ())

    def allows(self, sender: Mapping[str, Any], subresource: str) -> bool:
        return {"system:node:n": "selfnodeclient", "bootstrap": "nodeclient"}.get(sender["username"]) == subresource


POOL = ("192.0.2.1-192.0.2.2", "2001:db8::/126")
FACTS = controllers.Facts(
    root_ca="PEM",
    pod_range="10.244.0.0/23",
    volumes_folder="/data/volumes",
    load_balancer_pool=POOL,
    certificates=Office(),
    schemas=Schemas(definitions.load(), definitions.shapes()),
)
CONTROLLERS = {one.name: one for one in controllers.builtin(FACTS)}
ROSTER = kinds.builtin()


@dataclass(frozen=True)
class Case:
    script: pathlib.Path
    title: str
    head: str
    given: str
    expected: str


def cases() -> Iterator[Case]:
    for script in sorted(HERE.glob("*.txt")):
        for text in re.split(r"^=== ", script.read_text(), flags=re.MULTILINE)[1:]:
            title, _, rest = text.partition("\n")
            head, _, rest = rest.partition("--- given\n")
            given, _, expected = rest.partition("--- expect\n")
            yield Case(script, title.strip(), head, given, expected.strip())


ALL = list(cases())


@pytest.mark.parametrize("case", ALL, ids=[f"{case.script.stem}: {case.title}" for case in ALL])
def test_script(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    words = dict(line.split(" ", 1) for line in case.head.splitlines() if line.strip())
    controller = CONTROLLERS[words["controller"]]
    namespace, _, name = words["key"].rpartition("/")
    view = Snapshot.of(ROSTER, objects(case.given), declared(controller))
    now = clocks.parse_rfc3339(words["now"])
    for module, attribute in ((socket, "socket"), (builtins, "open"), (time, "time"), (random, "random")):
        monkeypatch.setattr(module, attribute, forbidden)
    planned = controller.plan(view, (namespace, name), now)
    monkeypatch.undo()
    text = shown(planned, view)
    if os.environ.get("GOLDEN") == "write":
        rewrite(case, text)
    else:
        assert text == case.expected


def test_every_controller_has_a_script() -> None:
    scripted = {re.search(r"^controller (.*)$", case.head, re.MULTILINE)[1] for case in ALL}  # type: ignore[index]
    assert CONTROLLERS.keys() <= scripted


def forbidden(*_: Any, **__: Any) -> Any:
    raise AssertionError("a planner reaches out of its view")


def declared(controller: plan.Controller) -> set[str] | None:
    """The kinds that the planner said it reads; None for all."""
    kinds_read = {controller.kind, *controller.follows, *controller.reads} - {""}
    return None if plan.EVERY_KIND in kinds_read else kinds_read


def objects(text: str) -> Iterator[meta.Obj]:
    for number, document in enumerate(YAML(typ="safe").load_all(text), 1):
        kind = next(one for one in ROSTER if one.kind == document["kind"] and one.storage_id == one.id)
        metadata = {
            "uid": f"uid-{document['metadata']['name']}",
            "resourceVersion": str(number),
            "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            **({"namespace": "ns"} if kind.namespaced else {}),
            **document["metadata"],
        }
        whole = {"apiVersion": kind.api_version(), **document, "metadata": metadata}
        yield kind.hub_version.default(plain(whole))


def plain(value: Any) -> Any:
    """Only what JSON has: YAML's dates become text again."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if hasattr(value, "strftime") else value


def shown(planned: plan.Plan, view: Snapshot) -> str:
    lines = []
    for group in planned.groups:
        lines += [*([] if not lines else ["then"]), *(line for action in group for line in action_lines(action, view))]
    lines += [f"waits on {waiting.on}" for waiting in planned.waiting_on]
    if planned.again_at is not None:
        lines.append(f"again at {clocks.rfc3339(planned.again_at)}")
    return "\n".join(lines) or "nothing"


def action_lines(action: plan.Action, view: Snapshot) -> Iterator[str]:
    match action:
        case plan.Create():
            yield f"create {action.kind} {named(action.body)}: {action.why}"
            yield from (f"    {path} = {value}" for path, value in interesting(action.body))
        case plan.Update():
            of = f" {action.subresource}" if action.subresource else ""
            yield f"update {action.kind} {named(action.body)}{of}: {action.why}"
            before = view.get(action.kind, *meta.key(action.body)) or {}
            yield from (f"    {line}" for line in changes(flat(before), flat(action.body)))
        case plan.Delete():
            how = "".join(
                f" {word}" for word in (action.propagation, f"grace {action.grace_seconds}" * (action.grace_seconds is not None)) if word
            )
            yield f"delete {action.kind} {'/'.join(filter(None, (action.namespace, action.name)))}{how}: {action.why}"
        case plan.Patch():
            of = f" {action.subresource}" if action.subresource else ""
            yield f"patch {action.kind} {'/'.join(filter(None, (action.namespace, action.name)))}{of}: {action.why}"
            yield from (f"    {path} = {value}" for path, value in flat(action.patch).items())
        case signing.IssueToken():
            yield f"issue token of {action.account} into {action.namespace}/{action.name}: {action.why}"
        case signing.Sign():
            yield f"sign {action.name} for {action.seconds} s: {action.why}"
        case measures.Measure():
            for query in sorted(action.queries, key=str):
                yield f"measure {query.source} {query.metric} of {query.selector or query.described or 'nobody'}: {action.why}"
        case plan.Emit():
            yield f"emit {action.type} {action.reason} on {named(action.regarding)}: {action.message}"
    if (announcement := getattr(action, "announce", None)) is not None:
        yield f"    says {announcement.reason}: {announcement.message}"


def named(obj: meta.Obj) -> str:
    return "/".join(filter(None, meta.key(obj)))


def interesting(body: meta.Obj) -> Iterator[tuple[str, Any]]:
    """What a created object is besides its owner's template."""
    identity = r"apiVersion|kind|metadata\.(name|namespace|generateName|ownerReferences.*)$"
    defaults = r"data\.spec|spec\.(containers|template|dnsPolicy|restartPolicy|schedulerName|terminationGracePeriodSeconds).*"
    skipped = re.compile(f"{identity}|{defaults}")
    return ((path, value) for path, value in flat(body).items() if not skipped.match(path))


def flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return {inner: item for key, each in value.items() for inner, item in flat(each, f"{path}.{key}" if path else key).items()}
    if isinstance(value, list | tuple) and value:
        return {inner: item for at, each in enumerate(value) for inner, item in flat(each, f"{path}[{at}]").items()}
    return {} if value in ({}, []) else {path: value}


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            yield f"{path}: {before.get(path, '-')} -> {after.get(path, '-')}"


def rewrite(case: Case, text: str) -> None:
    whole = case.script.read_text()
    start = whole.index(f"=== {case.title}\n")
    at = whole.index("--- expect\n", start) + len("--- expect\n")
    following = whole.find("\n=== ", at - 1)
    end = len(whole) if following < 0 else following + 1
    case.script.write_text(whole[:at] + text + "\n" + ("\n" if following >= 0 else "") + whole[end:])
