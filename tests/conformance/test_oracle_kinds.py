"""Kind records against recorded Kubernetes: decode, default, prepare and validate as the server would, without one.

Every POST to a collection in the recordings is put through the rules of its kind; the object or the refusal must be the
recorded one. What admission, allocation and storage add to an object is left out of the comparison, for it is not the
kind's business; so are requests that are refused before the kind is asked (headers, bad JSON, other kinds, options).
"""

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from reconciler import kinds
from reconciler.kit import definitions
from reconciler.model import decode, errors, meta, metadata, schema
from reconciler.model.kind import Kind, Version

RECORDINGS = Path(__file__).parents[1] / "oracle"
TIME = "2026-11-21T00:00:00Z"
UID = "4d0ad3a1-6fbb-4b55-9b0c-4a1b3d1b5a2e"
GROUPS = ("defaulting", "validation")
EXPECTED_EQUAL = {"defaulting": 0.99, "validation": 0.985}
ALLOCATION = re.compile("failed to allocate|pod-security|not configured|multiple IP families|valid range|already allocated")
NOT_THE_KINDS = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "namespace", "generateName", "selfLink")


@dataclass(frozen=True)
class Case:
    name: str
    kind: Kind
    version: Version
    body: Any
    status: int
    answer: Any
    strict: bool


@cache
def roots() -> schema.Schemas:
    return schema.Schemas(definitions.load(), definitions.shapes())


def cases(group: str) -> Iterator[Case]:
    path = RECORDINGS / f"{group}.jsonl.gz"
    with gzip.open(path, "rt") as lines:
        for line in lines:
            sequence = json.loads(line.replace("<time>", TIME).replace("<uid>", UID).replace("{{id}}", "oracle"))
            for index, step in enumerate(sequence["steps"]):
                found = of_step(sequence["name"], index, step)
                if found is not None:
                    yield found


def of_step(name: str, index: int, step: Mapping[str, Any]) -> Case | None:
    path, _, query = step["path"].partition("?")
    parts = path.strip("/").split("/")
    group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2])
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    body, answer = step.get("body"), step.get("answer")
    if (
        step["method"] != "POST"
        or len(rest) != 1
        or not isinstance(body, dict)
        or not answer
        or "{{" in json.dumps(body).replace("{{ns}}", "")
    ):
        return None
    kind = kinds.builtin().of_resource(group, version, rest[0])
    if kind is None or "get" not in kind.verbs or body.get("kind") != kind.kind or body.get("apiVersion") != kind.api_version(version):
        return None
    if answer["status"] not in (201, 400, 422) or not isinstance(answer["body"], dict):
        return None
    message = str(answer["body"].get("message", ""))
    if answer["status"] == 400 and ("cannot be handled as" not in message or "no kind" in message):
        return None
    if ALLOCATION.search(message):
        return None
    return Case(f"{name}#{index}", kind, kind.version(version), body, answer["status"], answer["body"], "fieldValidation=Strict" in query)


def run(case: Case) -> tuple[int, Any]:
    """(status, object or Status) as the kind's rules alone make it."""
    kind, version = case.kind, case.version
    assert isinstance(version.schema, str)
    root = roots().of(version.schema)
    try:
        decoded = decode.decode(root, case.body)
    except decode.DecodeError as error:
        return 400, str(error)
    if decoded.unknown and case.strict:
        return 400, "strict decoding error: " + ", ".join(f'unknown field "{path}"' for path in decoded.unknown)
    obj = decoded.obj
    given = {name: value for name, value in (obj.get("metadata") or {}).items() if name not in ("managedFields", "deletionTimestamp")}
    stamped = {**given, "uid": UID, "creationTimestamp": TIME}
    if kind.namespaced:
        stamped["namespace"] = "{{ns}}"
    hub = version.to_hub(version.default({**obj, "metadata": stamped}))
    stored_kind = kinds.builtin()[kind.storage_id]
    hub = stored_kind.hub_version.default(kind.prepare(hub, None))
    refused = [*metadata.refused(kind, hub), *kind.validate(hub, None)]
    if refused:
        return 422, errors.invalid_object(kind.kind, kind.stored_group, meta.name(hub), refused).status()
    canonical = decode.decode(root, json.loads(json.dumps(version.from_hub(hub))))
    return 201, canonical.obj


def comparable(case: Case, status: int, body: Any) -> Any:
    """What of an answer is the kind's business."""
    if status == 400:
        text = re.sub(r"^.*?cannot be handled as an? \w+: ", "", body["message"] if isinstance(body, dict) else body)
        return re.sub(r"2006-01-02T15:04:05(\.0+)?Z", TIME, text)
    if status == 422:
        return {name: body.get(name) for name in ("message", "reason", "details")}
    kept = {name: value for name, value in body["metadata"].items() if name not in NOT_THE_KINDS}
    return _without_allocation(_without_admission({**body, "metadata": kept}))


def _without_admission(obj: dict[str, Any]) -> dict[str, Any]:
    if obj["kind"] in ("PersistentVolumeClaim", "PersistentVolume", "VolumeAttributesClass"):
        obj["metadata"].pop("finalizers", None)
    if obj["kind"] == "Node":
        obj["spec"] = {k: v for k, v in obj["spec"].items() if k != "taints"}
    if obj["kind"] == "CertificateSigningRequest":
        obj["spec"] = {k: v for k, v in obj["spec"].items() if k not in ("username", "groups", "uid", "extra")}
    if obj["kind"] == "PriorityClass":
        return obj
    if obj["kind"] != "Pod":
        return obj
    spec = {
        k: v
        for k, v in obj["spec"].items()
        if k not in ("priority", "preemptionPolicy", "serviceAccount", "serviceAccountName", "tolerations")
    }
    spec["tolerations"] = [t for t in obj["spec"].get("tolerations", ()) if t.get("tolerationSeconds") != 300]
    spec["volumes"] = [v for v in spec.get("volumes", ()) if not v["name"].startswith("kube-api-access")]
    for field in ("containers", "initContainers"):
        for one in spec.get(field, ()):
            one["volumeMounts"] = [m for m in one.get("volumeMounts", ()) if not m["name"].startswith("kube-api-access")]
    return {**obj, "spec": spec}


def _without_allocation(obj: dict[str, Any]) -> dict[str, Any]:
    if obj["kind"] != "Service":
        return obj
    allocated = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort")
    spec = {k: v for k, v in obj["spec"].items() if k not in allocated}
    spec["ports"] = [{k: v for k, v in port.items() if k != "nodePort"} for port in spec.get("ports", ())]
    return {**obj, "spec": spec}


def differs(case: Case) -> tuple[Any, Any] | None:
    status, body = run(case)
    wanted, got = comparable(case, case.status, case.answer), comparable(case, status, body)
    return None if (case.status, wanted) == (status, got) else ((case.status, wanted), (status, got))


@pytest.mark.parametrize("group", GROUPS)
def test_answers_equal_the_recorded_ones(group: str) -> None:
    found = list(cases(group))
    unequal = [case.name for case in found if differs(case) is not None]
    share = 1 - len(unequal) / len(found)
    assert share >= EXPECTED_EQUAL[group], f"{share:.3f} equal; differing: {Counter(name.split('/')[1] for name in unequal)}"
