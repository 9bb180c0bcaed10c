"""Owners of replicas on their way to a Scale and back."""

from typing import Any

from reconciler.kit import definitions
from reconciler.model import apply
from reconciler.model.apply import scale
from reconciler.model.schema import Schemas

FORM = scale.form(Schemas(definitions.load(), definitions.shapes()))
PATHS: scale.Paths = {"apps/v1": scale.REPLICAS, "apps/v2": None}


def entry(manager: str, operation: str, owned: Any, **more: str) -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": owned, **more}


def shown(parent: scale.Entries) -> dict[str, Any]:
    metadata = {"name": "d", "uid": "u", "managedFields": scale.shown(parent, PATHS)}
    return {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": {"replicas": 1}, "status": {"replicas": 0}}


def test_an_applier_of_the_scale_takes_the_replicas_from_the_object() -> None:
    before = [entry("one", "Apply", {"f:spec": {"f:replicas": {}, "f:selector": {}}}, time="t0")]
    config = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 3}}
    made = apply.apply(FORM, shown(before), config, "hpa", "t1", force=True)
    assert scale.parent(before, made["metadata"]["managedFields"], "apps/v1", PATHS) == [
        entry("hpa", "Apply", {"f:spec": {"f:replicas": {}}}, subresource="scale"),
        entry("one", "Apply", {"f:spec": {"f:selector": {}}}, time="t0"),
    ]


def test_an_applier_that_keeps_the_replicas_keeps_its_entry() -> None:
    before = [entry("one", "Apply", {"f:spec": {"f:replicas": {}}}, time="t0")]
    made = apply.track(FORM, shown(before), {**shown(before), "spec": {"replicas": 1}}, "w", "t1")
    assert scale.parent(before, made["metadata"]["managedFields"], "apps/v1", PATHS) == before


def test_an_updaters_share_comes_back_as_an_entry_of_its_own() -> None:
    before = [entry("w", "Update", {"f:spec": {"f:replicas": {}, "f:selector": {}}}, time="t0")]
    after = scale.parent(before, scale.shown(before, PATHS), "apps/v1", PATHS)
    assert after == [
        entry("w", "Update", {"f:spec": {"f:replicas": {}}}),
        entry("w", "Update", {"f:spec": {"f:selector": {}}}, time="t0"),
    ]


def test_entries_without_replicas_stay_and_those_of_unknown_versions_go() -> None:
    other = entry("o", "Update", {"f:data": {}}, time="t0")
    second = {**entry("p", "Update", {"f:spec": {"f:replicas": {}}}, time="t0"), "apiVersion": "apps/v2"}
    gone = {**other, "apiVersion": "apps/v0"}
    assert scale.shown([other, second, gone], PATHS) == []
    assert scale.parent([other, second, gone], [], "apps/v1", PATHS) == [other, second]
