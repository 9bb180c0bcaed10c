"""Patches and field ownership against recorded Kubernetes, step by step and without a server.

Each write of the recordings is made again on the object that the recording says was live: the patched or applied
object, its managedFields, or the refusal must be the recorded ones. What admission, allocation, update strategies and
validation do is left out, for it is asked of a server.
"""

import gzip
import json
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from reconciler import kinds
from reconciler.kit import definitions
from reconciler.model import apply, decode, errors, meta, patch, schema
from reconciler.model.apply import form
from reconciler.model.kind import Kind, Version, status_of
from reconciler.model.roster import Roster

RECORDINGS = Path(__file__).parents[1] / "oracle"
TIME = "2026-11-21T00:00:00Z"
GROUPS = ("apply", "patch", "verbs", "subresources", "crd")
EXPECTED_EQUAL = {"apply": 0.99, "patch": 0.99, "verbs": 0.96, "subresources": 0.98, "crd": 0.98}
PATCHES = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}
SUBRESOURCES = ("", "status", "ephemeralcontainers", "resize", "approval")  # whose bodies are the object's own kind
NOT_OURS = ("uid", "resourceVersion", "creationTimestamp", "generation", "namespace", "managedFields", "selfLink")


@dataclass(frozen=True)
class Case:
    name: str
    kind: Kind
    version: str
    subresource: str
    write: str  # create, update, json, merge, strategic, apply
    manager: str
    force: bool
    live: Any
    body: Any
    status: int
    answer: Any


@cache
def roots() -> schema.Schemas:
    return schema.Schemas(definitions.load(), definitions.shapes())


def custom(definition: Mapping[str, Any]) -> Kind:
    """The kind of a CustomResourceDefinition, as far as ownership asks."""
    spec = definition["spec"]
    names = spec["names"]
    return Kind(
        group=spec["group"],
        kind=names["kind"],
        plural=names["plural"],
        singular=names.get("singular", ""),
        versions=tuple(Version(name=one["name"], schema=one["schema"]["openAPIV3Schema"]) for one in spec["versions"]),
        subresources=(status_of(names["kind"]),) if "status" in spec["versions"][0].get("subresources", {}) else (),
        custom=True,
    )


def cases(group: str) -> Iterator[Case]:
    with gzip.open(RECORDINGS / f"{group}.jsonl.gz", "rt") as lines:
        for line in lines:
            sequence = json.loads(line.replace("<time>", TIME).replace("{{id}}", "oracle").replace("{{ns}}", "oracle"))
            live: dict[str, Any] = {}
            roster = kinds.builtin()
            for index, step in enumerate(sequence["steps"]):
                if step.get("path", "").endswith("/customresourcedefinitions") and isinstance(step.get("body"), dict):
                    roster = with_custom(roster, step["body"])
                if "answer" not in step or "path" not in step:
                    continue
                case = of_step(f"{sequence['name']}#{index}", step, live, roster)
                if case is not None:
                    yield case
                remember(step, live)


def with_custom(roster: Roster, definition: Mapping[str, Any]) -> Roster:
    """`roster` with the kind that a step defines, where it has one version with a schema (others need conversion)."""
    spec = definition.get("spec") or {}
    versions, names = spec.get("versions"), spec.get("names") or {}
    whole = (
        {"kind", "plural"} <= names.keys()
        and isinstance(versions, list)
        and len(versions) == 1
        and "openAPIV3Schema" in (versions[0].get("schema") or {})
    )
    return roster.with_kinds([custom(definition)]) if whole else roster


def remember(step: Mapping[str, Any], live: dict[str, Any]) -> None:
    path, query = step["path"].partition("?")[::2]
    body = step["answer"].get("body")
    if not isinstance(body, dict) or body.get("kind") in (None, "Status", "Scale") or step["answer"]["status"] > 201 or "dryRun" in query:
        return
    if step["method"] == "POST":
        path += "/" + str(body.get("metadata", {}).get("name"))
    if step["method"] == "DELETE":
        live.pop(path, None)
    else:
        base, _, last = path.rpartition("/")
        live[base if last in SUBRESOURCES else path] = body


def of_step(name: str, step: Mapping[str, Any], live: Mapping[str, Any], roster: Roster) -> Case | None:
    path, _, text = step["path"].partition("?")
    query = dict(urllib.parse.parse_qsl(text))
    parts = path.strip("/").split("/")
    group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2]) if len(parts) > 2 else ("", "")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    kind = roster.of_resource(group, version, rest[0]) if rest else None
    subresource = rest[2] if len(rest) > 2 else ""
    if kind is None or subresource not in SUBRESOURCES or not {"body", "text"} & step.keys():
        return None
    base = path.removesuffix(f"/{subresource}")
    write = {"POST": "create", "PUT": "update"}.get(step["method"], "")
    if step["method"] == "PATCH":
        write = PATCHES.get(step.get("headers", {}).get("Content-Type", ""), "")
    body, answer = step.get("body"), step["answer"]
    if not isinstance(body, dict | list) or not write or "{{" in json.dumps(body) or not is_comparable(step, write):
        return None
    if (write not in ("create", "apply") and base not in live) or (kind.custom and write != "apply"):
        return None  # defaults and pruning of custom resources are the server's
    before = live.get(base)
    if before is not None and not kind.custom:
        before = decode.decode(roots().of(kind.version(version).schema), before).obj  # with what the recording ignores
    manager, force = query.get("fieldManager", "oracle"), query.get("force") == "true"
    return Case(name, kind, version, subresource, write, manager, force, before, body, answer["status"], answer["body"])


def is_comparable(step: Mapping[str, Any], write: str) -> bool:
    """Whether the recording holds what is compared here."""
    body, ignored = step["answer"]["body"], json.dumps(step.get("ignore") or [])
    if not isinstance(body, dict) or "managedFields" in ignored or "message" in ignored:
        return False
    if write == "apply" and not isinstance(step["body"], dict):
        return False
    return body.get("kind") in ("Status", step["body"].get("kind") if isinstance(step["body"], dict) else None) or write in PATCHES.values()


def run(case: Case) -> tuple[int, Any]:
    made = form.of(case.kind, case.version, roots(), case.subresource)
    try:
        if case.write == "create":
            new = apply.track(made, None, typed(case, case.body), case.manager, TIME)
        elif case.write == "apply":
            new = typed(case, apply.apply(made, case.live, case.body, case.manager, TIME, force=case.force))
        else:
            new = apply.track(made, case.live, typed(case, changed(case, made)), case.manager, TIME)
    except errors.StatusError as refusal:
        return refusal.code, refusal.status()
    except decode.DecodeError as refusal:
        return 422, str(refusal)
    return 200, apply.settle_times(case.live, new) if case.live else new


def changed(case: Case, made: form.Form) -> Any:
    if case.write == "json":
        return patch.json_patch(case.live, case.body)
    if case.write == "merge":
        return patch.merge_patch(case.live, case.body)
    if case.write == "strategic":
        merged = patch.strategic_patch(made.node, case.live, case.body)
        if text := patch.misfit(made.node, merged):
            raise decode.DecodeError(f"misfit: {text}")
        return merged
    return case.body


def typed(case: Case, obj: Any) -> meta.Obj:
    """As the server has it before it asks who owns what."""
    if case.kind.custom:
        return obj
    version = case.kind.version(case.version)
    made = version.default(decode.decode(roots().of(version.schema), obj).obj)
    given = meta.meta(obj).get("managedFields")
    if case.write == "create":
        made = {**made, "metadata": {name: value for name, value in meta.meta(made).items() if not name.startswith("deletion")}}
    return made if given is None else meta.put(made, ("metadata", "managedFields"), given)


def owners(obj: Any) -> list[Any]:
    entries = meta.meta(obj).get("managedFields") or ()
    return sorted(({**entry, "time": "time" in entry} for entry in entries), key=lambda entry: json.dumps(entry, sort_keys=True))


def differs(case: Case) -> tuple[Any, Any] | None:
    """(recorded, made) where they are not equal."""
    status, body = run(case)
    if isinstance(body, str) and body.startswith("misfit: "):
        wanted, got = case.answer["message"].rpartition('": ')[2], body.removeprefix("misfit: ")
        return None if wanted == got else (wanted, got)
    if case.status not in (200, 201):
        ours = (status >= 400 and status != 422) or (isinstance(body, dict) and not (body.get("details") or {"any": ""}))
        if not ours:
            return None  # refused by what comes after
        wanted, got = (case.status, case.answer), (status, body)
        keys = ("message", "reason", "details", "code")
        wanted, got = ({key: one[1].get(key) for key in keys} for one in (wanted, got))
        return None if wanted == got else (wanted, got)
    if status != 200:
        return case.answer, body
    if case.answer["kind"] != case.kind.kind:
        return None
    if owners(body) != owners(case.answer):
        return owners(case.answer), owners(body)
    wanted, got = essence(case, case.answer), essence(case, body)
    return None if wanted == got else (wanted, got)


def essence(case: Case, obj: Any) -> Any:
    """What a patch or an applied configuration makes of an object, before the update strategy has its say."""
    if case.kind.custom or (case.live is None and case.kind.id == "services"):
        return None  # defaulted, allocated
    if case.write not in PATCHES.values() or case.subresource:
        return obj.get("status") if case.subresource == "status" and case.kind.id != "pods" else None
    metadata = {name: value for name, value in obj["metadata"].items() if name not in NOT_OURS}
    return {**{name: value for name, value in obj.items() if name != "status"}, "metadata": metadata}


@pytest.mark.parametrize("group", GROUPS)
def test_answers_equal_the_recorded_ones(group: str) -> None:
    found = list(cases(group))
    unequal = [case.name for case in found if differs(case) is not None]
    share = 1 - len(unequal) / len(found)
    assert share >= EXPECTED_EQUAL[group], f"{share:.3f} of {len(found)} equal; differing: {unequal}"
